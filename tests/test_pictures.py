"""The pictures of the README and the docs show what the programs print now."""

import zlib

import pytest

from docs import pictures
from tests.browser import chromium
from tests.capture import of_page, of_screen, settled, text_of
from tests.plugin import ROOT
from tests.realclient.terminal import have_tmux

DOCS = ROOT / "docs"


@pytest.mark.skipif(not have_tmux(), reason="tmux is missing")
@pytest.mark.parametrize("name", list(pictures.PICTURES))
def test_a_picture_shows_what_is_printed_now(name: str) -> None:
    if name.endswith(".png") and not chromium():
        pytest.skip("chromium is missing")
    kept = settled(text_of((DOCS / name).read_bytes()))
    assert kept == settled(pictures.PICTURES[name]().text), "run: python docs/pictures.py"


def test_every_picture_is_made_by_the_script() -> None:
    drawn = {path.name for path in DOCS.iterdir() if path.suffix in (".svg", ".png")}
    # The plot of the benchmarks is drawn by `bench.page`, from the figures that are kept.
    assert drawn - {"performance.svg"} == set(pictures.PICTURES)


def test_a_picture_has_the_text_of_its_screen() -> None:
    screen = "  \x1b[1mBudget\x1b[0m  \x1b[32m████\x1b[0m░░ <b> & ü\n\n  next   line   \n\n"
    made = of_screen(screen, "title", 40)
    assert made.text == "  Budget  ████░░ <b> & ü\n\n  next   line"
    assert text_of(made.data) == made.text
    assert b"http://" not in made.data.replace(b'xmlns="http://www.w3.org/2000/svg"', b"")


def test_a_page_carries_its_text() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    pixel = chunk(b"IDAT", zlib.compress(b"\0\0"))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixel + chunk(b"IEND", b"")
    made = of_page(png, "what it says: ü")
    assert text_of(made.data) == "what it says: ü"
    with pytest.raises(ValueError, match="without its text"):
        text_of(png)


def test_what_differs_between_two_runs_is_no_difference() -> None:
    one = "day resets at 00:00 (in 8 h 12 min)\n✻ Brewed for 3s\n"
    one += "7c1e5b52-9a0d-4f4e-8a52-3f1f0f6d2c11"
    two = "day resets at 01:30 (in 9 h)\n✻ Sauteed for 4s\n00000000-0000-4000-8000-000000000000"
    assert settled(one) == settled(two)
    assert settled("$1.00 of $5.00 today") != settled("$1.01 of $5.00 today")
