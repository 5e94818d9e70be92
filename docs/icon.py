"""Draws the plugin's icon: a gauge that has come to its end, around a stop sign with a dollar.

    python docs/icon.py            writes .claude-plugin/icon.png
    python docs/icon.py --check    exits 1 when the file there shows another picture

Every shape is a distance function: the distance to an edge, cut off at half a pixel on either
side, is the share of the pixel that the shape covers, so edges are smooth. Standard library only.
"""

import math
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

ICON = Path(__file__).parent.parent / ".claude-plugin" / "icon.png"
SIZE = 512
"""Pixels on each side: the least that the plugin directory takes."""

Colour = tuple[float, float, float]
Distance = Callable[[float, float], float]
"""Pixels to the edge of a shape from a point, seen from the centre, y downward; inside negative."""

NIGHT, DUSK = (0x0F, 0x17, 0x2A), (0x27, 0x35, 0x54)
GREEN, AMBER, RED = (0x2D, 0xD4, 0x8F), (0xFB, 0xBF, 0x24), (0xEF, 0x44, 0x44)
WHITE = (0xFF, 0xFF, 0xFF)
GAUGE_FROM, GAUGE_TO = 135.0, 405.0
"""Degrees, clockwise from the right: open at the bottom."""
LOWERED = 18
"""Pixels: the gauge is heavier at its top, so its middle looks right a little below the card's."""


def box(half: float, radius: float) -> Distance:
    def distance(x: float, y: float) -> float:
        dx, dy = abs(x) - half + radius, abs(y) - half + radius
        return math.hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - radius

    return distance


def arc(
    radius: float, width: float, start: float, end: float, centre: tuple[float, float] = (0, 0)
) -> Distance:
    """A stroke along a circle with round ends, clockwise from `start` to `end` degrees."""
    ends = [
        (radius * math.cos(math.radians(at)), radius * math.sin(math.radians(at)))
        for at in (start, end)
    ]

    def distance(x: float, y: float) -> float:
        x, y = x - centre[0], y - centre[1]
        if (math.degrees(math.atan2(y, x)) - start) % 360 <= end - start:
            return abs(math.hypot(x, y) - radius) - width / 2
        return min(math.hypot(x - ex, y - ey) for ex, ey in ends) - width / 2

    return distance


def stroke(length: float, width: float) -> Distance:
    """An upright line with round ends."""

    def distance(x: float, y: float) -> float:
        return math.hypot(x, max(abs(y) - length / 2, 0)) - width / 2

    return distance


def octagon(inner: float) -> Distance:
    """The shape of a stop sign; `inner` pixels from its centre to a side."""

    def distance(x: float, y: float) -> float:
        x, y = abs(x), abs(y)
        return max(x, y, (x + y) * math.sqrt(0.5)) - inner

    return distance


def blend(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def cover(distance: float) -> float:
    return min(1.0, max(0.0, 0.5 - distance))


def gauge_colour(x: float, y: float) -> Colour:
    """From green over amber to red, along the gauge."""
    turn = (math.degrees(math.atan2(y, x)) - GAUGE_FROM) % 360
    share = turn / (GAUGE_TO - GAUGE_FROM)
    if share > 1:  # a round end reaches a little past the gauge
        share = 1 if turn < (360 + GAUGE_TO - GAUGE_FROM) / 2 else 0
    return blend(GREEN, AMBER, share / 0.6) if share < 0.6 else blend(AMBER, RED, share / 0.4 - 1.5)


def rows() -> Iterator[bytes]:
    """The picture, a row of RGBA pixels at a time, the top first."""
    card = box(SIZE / 2, 116)
    gauge = arc(178, 40, GAUGE_FROM, GAUGE_TO)
    sign, rim = octagon(112), octagon(103)
    upper = arc(28, 17, 90, 335, (0, -28))
    lower = arc(28, 17, -90, 155, (0, 28))
    bar = stroke(148, 13)
    for row in range(SIZE):
        line = bytearray()
        y = row + 0.5 - SIZE / 2 - LOWERED
        for column in range(SIZE):
            x = column + 0.5 - SIZE / 2
            colour = blend(DUSK, NIGHT, row / SIZE)
            radius = math.hypot(x, y)
            if 150 < radius < 206:
                colour = blend(colour, gauge_colour(x, y), cover(gauge(x, y)))
            elif radius < 125:
                colour = blend(colour, WHITE, cover(sign(x, y)))
                colour = blend(colour, RED, cover(rim(x, y)))
                dollar = min(upper(x, y), lower(x, y), bar(x, y))
                colour = blend(colour, WHITE, cover(dollar))
            alpha = cover(card(x, y + LOWERED)) if radius > 200 else 1.0
            line += bytes([*map(round, colour), round(255 * alpha)])
        yield bytes(line)


def png(lines: Iterator[bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)  # 8 bits, RGBA
    packed = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def pixels(picture: bytes) -> bytes:
    """What `png` packed: compressors differ, so pictures are compared unpacked."""
    at = picture.index(b"IDAT")
    (length,) = struct.unpack(">I", picture[at - 4 : at])
    return zlib.decompress(picture[at + 4 : at + 4 + length])


def same(one: bytes, other: bytes) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def main() -> int:
    made = png(rows())
    if "--check" in sys.argv[1:]:
        # The last bit of a sine is the machine's own: a shade of difference is none.
        if ICON.exists() and same(pixels(ICON.read_bytes()), pixels(made)):
            return 0
        print(f"{ICON} shows another picture. Run: python docs/icon.py")
        return 1
    ICON.write_bytes(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
