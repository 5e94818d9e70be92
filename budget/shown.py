"""What commands print, without anything a terminal would obey but colours.

Names of folders, branches and models come from outside, and so does what an agent may have written
into a ledger: each is cleaned where it is read, and all of it once more here.
"""

import re
from collections.abc import Iterable
from typing import TextIO

from budget.files import printable

_PARTS = re.compile(r"(\x1b\[[0-9;]*m|\r?\n)")


def shown(text: str) -> str:
    """Text of several lines in which only colours are left of what is not printable."""
    if text.isprintable() or text.replace("\n", "").isprintable():
        return text
    parts = _PARTS.split(text)
    # Between the separators, at the odd places, is what has to be printable.
    return "".join(part if at % 2 else printable(part) for at, part in enumerate(parts))


class Shown:
    """A text stream that lets nothing else through. All but writing is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(shown(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(map(shown, lines))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
