"""A plot of amounts over time as text: blocks of an eighth of a line, and two axes. Pure."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from budget.messages import money
from budget.model import PICO
from budget.watch.facts import Point
from budget.windows import HOUR_MS, QUARTER_MS, local_time

_BLOCKS = " ▁▂▃▄▅▆▇█"
_GUTTER = 8
_MINUTE_MS = 60_000
_DAY_MS = 24 * HOUR_MS
# What a bar may stand for, by the window; the finest that fits is taken.
_STEPS = {
    "hour": [(n * _MINUTE_MS, f"{n} min" if n > 1 else "minute") for n in (1, 2, 5, 10)],
    "day": [
        (QUARTER_MS, "15 min"),
        *((2 * QUARTER_MS, "30 min"), (HOUR_MS, "hour"), (2 * HOUR_MS, "2 hours")),
        (4 * HOUR_MS, "4 hours"),
    ],
    "week": [(n * HOUR_MS, f"{n} hours" if n > 1 else "hour") for n in (1, 2, 4, 6, 12, 24)],
    "month": [(_DAY_MS, "day"), (2 * _DAY_MS, "2 days"), (4 * _DAY_MS, "4 days")],
}


class Plot(NamedTuple):
    """The lines, and what one bar stands for."""

    rows: list[str]
    """Each with its gutter; the last one is the axis of time, with the present as `▲`."""
    bar: str
    """`hour`, `15 min`."""


def plot(
    points: Sequence[Point],
    window: str,
    bounds: tuple[int, int],
    now_ms: int,
    width: int,
    height: int,
    tz: tzinfo | None,
) -> Plot:
    """A bar for each stretch of time, its height in proportion to what was spent in it."""
    room = max(4, width - _GUTTER)
    rows = max(1, height - 1)
    start_ms, end_ms = bounds
    if window == "session":
        length, bar = _session_length(points, room)
        end_ms = points[-1].start_ms + 1 if points else start_ms + 1
    else:
        length, bar = next(
            (each for each in _STEPS[window] if -(-(end_ms - start_ms) // each[0]) <= room),
            _STEPS[window][-1],
        )
    count = max(1, -(-(end_ms - start_ms) // length))
    sums = [0] * count
    for point in points:
        number = _number(point.start_ms, start_ms, length, window)
        if 0 <= number < count:
            sums[number] += point.picousd
    # Over the whole width: where it is no multiple, some bars are a column wider.
    places = [number * room // count for number in range(count + 1)]
    gap = 1 if room // count >= 3 else 0
    top = max(sums)
    labels = {rows - 1: top, rows // 2 - 1: top * (rows // 2) // rows} if top else {}
    lines = []
    for row in range(rows - 1, -1, -1):
        gutter = _label(labels[row]) if row in labels else ""
        cells = "".join(
            _cell(value, top, row, rows) * (places[number + 1] - places[number] - gap) + " " * gap
            for number, value in enumerate(sums)
        )
        lines.append(f"{gutter:>{_GUTTER - 2}} ┤{cells}"[:width])
    axis = _axis(window, start_ms, length, places, tz)
    number = _number(now_ms, start_ms, length, window)
    now = places[number] if 0 <= number < count else -1
    if 0 <= now < len(axis) and axis[now] == "─":
        axis = f"{axis[:now]}▲{axis[now + 1 :]}"
    return Plot([*lines, f"{'$0':>{_GUTTER - 2}} └{axis}"[:width]], bar)


def _label(picousd: int) -> str:
    """In six columns; at least a cent, so that the axis does not say nothing."""
    shown = money(max(picousd, PICO // 100), 2)
    whole = picousd // PICO
    if whole >= 10_000:
        return f"${whole // 10**6}M" if whole >= 10**6 else f"${whole // 1000}k"
    return shown if len(shown) < _GUTTER - 1 else shown.partition(".")[0]


def _number(at_ms: int, start_ms: int, length: int, window: str) -> int:
    if window == "month":  # days of 23 or 25 hours begin up to an hour off
        return (at_ms - start_ms + HOUR_MS) // length
    return (at_ms - start_ms) // length


def _session_length(points: Sequence[Point], room: int) -> tuple[int, str]:
    step = points[1].start_ms - points[0].start_ms if len(points) > 1 else _MINUTE_MS
    times = -(-len(points) // room) if points else 1
    minutes = max(1, step * times // _MINUTE_MS)
    return step * times, f"{minutes} min" if minutes > 1 else "minute"


def _cell(value: int, top: int, row: int, rows: int) -> str:
    if not value:
        return " "
    # What was spent at all is seen, however little it is.
    eighths = max(1, value * rows * 8 // top)
    return _BLOCKS[min(8, max(0, eighths - row * 8))]


def _axis(window: str, start_ms: int, length: int, places: list[int], tz: tzinfo | None) -> str:
    """Times below the bars, as many as fit without touching."""
    room = places[-1]
    form = {"hour": "%H:%M", "day": "%H", "week": "%a", "month": "%-d", "session": "%H:%M"}[window]
    form = form.replace("%-d", "%d")
    line = ["─"] * room
    free = 0
    known = ""
    for number, at in enumerate(places[:-1]):
        local = local_time(start_ms + number * length + (HOUR_MS if window == "month" else 0), tz)
        if window == "day" and (local.minute or local.hour % (3 if room < 90 else 2)):
            continue
        if window == "hour" and local.minute % 10:
            continue
        text = local.strftime(form)
        if text != known and at >= free and at + len(text) <= len(line):
            line[at : at + len(text)] = text
            free = at + len(text) + 1
            known = text
    return "".join(line)
