"""Pictures of the real thing: a terminal's screen as an SVG, a page as a PNG, each with its text.

The text a picture shows can be read back from the file itself, so a test can compare it with what
the program prints now (`tests/test_pictures.py`).
"""

import io
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from tests.realclient.terminal import Terminal

_SVG = "{http://www.w3.org/2000/svg}"
_CELL = 12.2
"""The width of a character in the SVGs that rich and textual make, in their own units."""
_PNG = b"\x89PNG\r\n\x1a\n"
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_SETTLED = [
    # What is another time or place in every run; the first that fits holds.
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>"),
    (r"/\S*/realclient-\w+", "<home>"),
    (r"\d{4}-\d\d-\d\d", "<date>"),
    (r"\b\d\d:\d\d(:\d\d)?\b", "<time>"),
    (r"(about|comes to|month to) \$[\d.]+", r"\1 <amount>"),
    (r"\$[\d.]+(?= an hour|/h)", "<amount>"),
    (r"(\d+ days?|\d+ h( \d+ min)?|\d+ min|\d+ s)\b", "<duration>"),
]


class Picture(NamedTuple):
    """A file and the text that it shows."""

    data: bytes
    text: str


def of_screen(ansi: str, title: str, columns: int = 120) -> Picture:
    """The lines of a screen that hold something, as an SVG that loads nothing from anywhere."""
    lines = [line.rstrip() for line in ansi.splitlines()]
    while lines and not _plain(lines[-1]):
        lines.pop()
    while lines and not _plain(lines[0]):
        lines.pop(0)
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines), no_wrap=True))
    return of_svg(console.export_svg(title=title))


def of_svg(svg: str) -> Picture:
    """An SVG made by rich or textual (`App.export_screenshot`), without fonts from elsewhere."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    data = "\n".join(line.rstrip() for line in svg.splitlines()).encode() + b"\n"
    return Picture(data, text_of(data))


def of_page(png: bytes, text: str) -> Picture:
    """A PNG of a page, with the page's text in the file, for the test that compares it."""
    if not png.startswith(_PNG):
        raise ValueError("not a PNG")
    payload = b"iTXt" + b"Description\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(payload) - 4) + payload + struct.pack(">I", zlib.crc32(payload))
    header = len(_PNG) + 25  # the signature and the first chunk, which is of a fixed size
    return Picture(png[:header] + chunk + png[header:], text)


def text_of(data: bytes) -> str:
    """The text that a picture of this module shows. Raises `ValueError` for any other file."""
    if data.startswith(_PNG):
        found = re.search(rb"(.{4})iTXtDescription\0{5}", data, re.DOTALL)
        if found is None:
            raise ValueError("a PNG without its text")
        length = struct.unpack(">I", found[1])[0] - len(b"Description\0\0\0\0\0")
        return data[found.end() : found.end() + length].decode()
    lines: dict[int, str] = {}
    for each in ET.fromstring(data.decode()).iter(f"{_SVG}text"):
        line = re.search(r"-line-(\d+)\)", each.get("clip-path", ""))
        if line is None:
            continue  # the title
        number, column = int(line[1]), round(float(each.get("x", "0")) / _CELL)
        before = lines.get(number, "")
        lines[number] = before.ljust(column) + (each.text or "").replace("\xa0", " ")
    rows = [lines.get(number, "").rstrip() for number in range(max(lines, default=-1) + 1)]
    return "\n".join(rows).rstrip()


def settled(text: str) -> str:
    """A picture's text without what differs between two runs: times, ids, places, spinners.

    Where lines are broken may differ with the length of those, so all of it is one line.
    """
    # The client's closing line has a verb that it picks at random; what it says of its effort and
    # its mode comes and goes.
    lines = [
        line
        for line in text.splitlines()
        if not (line.startswith("✻") or "· /effort" in line or " mode on" in line)
    ]
    told = " ".join(" ".join(lines).split())
    for pattern, instead in _SETTLED:
        told = re.sub(pattern, instead, told)
    return told


def printed(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], columns: int = 120, lines: int = 40
) -> str:
    """What a program that ends by itself prints on a terminal of this size, with its colours."""
    with Terminal(argv, cwd=cwd, env=env, columns=columns, lines=lines) as screen:
        screen.wait_ended()
        return screen.screen_ansi()


def _plain(line: str) -> str:
    return _ESCAPE.sub("", line).strip()
