"""All that was spent as one table of cells that the page filters and sums by itself.

A cell is what one session, prompt, model, agent, branch and user spent within an hour. The more
there is, the coarser the cells: hours of long ago become days, and of the sessions, prompts and
branches that cost least only the sum is kept. Whatever is merged, all cells add up to the report.
"""

from collections.abc import Iterable
from datetime import date, timedelta, tzinfo
from typing import Any, NamedTuple

from budget import report, story
from budget.ledger import Ledger
from budget.model import Spend
from budget.windows import local_time

DIMENSIONS = ("project", "session", "prompt", "model", "agent", "branch", "user")
MOST_CELLS = 20_000

_MICRO = 10**6
_COLUMNS = (
    *("steps", "input", "output", "read", "write_5m", "write_1h", "searches"),
    *("micro", "pico", "bound", "unattributed_micro", "unattributed_pico", "unpriced"),
)
"""Money is whole micro-dollars and what remains of them in picodollars, so that sums of any size
stay exact in the page's numbers; `bound` is what unpriced steps cost at most, in micro-dollars."""


class Grain(NamedTuple):
    """How fine the cells are: hours of the last so many days, and so many names of each kind."""

    days: int
    project: int
    session: int
    prompt: int
    model: int
    agent: int
    branch: int
    user: int


GRAINS = (
    Grain(400, 100, 800, 200, 60, 60, 200, 100),
    Grain(62, 100, 500, 150, 60, 40, 120, 100),
    Grain(31, 60, 300, 100, 40, 30, 60, 60),
    Grain(14, 40, 120, 60, 30, 20, 30, 40),
    Grain(7, 20, 40, 30, 20, 12, 12, 20),
    Grain(2, 8, 10, 10, 8, 6, 6, 8),
)
"""From the finest to the coarsest."""


class Cube(NamedTuple):
    """The table, column by column, and the names that its numbers stand for."""

    times: list[str]
    """`2026-11-27T09` for an hour, `2026-03-02` for a day of long ago."""
    hours_since: str
    """The first day of which hours are told apart."""
    names: dict[str, list[str]]
    """By dimension. A number beyond the last name stands for all others."""
    others: dict[str, int]
    """How many names of each dimension are not told apart."""
    columns: dict[str, list[int]]

    def facts(self) -> dict[str, Any]:
        packed = {name: _packed(values) for name, values in self.columns.items()}
        return {**self._asdict(), "columns": packed}


def build(
    ledgers: Iterable[Ledger],
    query: report.Query,
    now_ms: int,
    most: int = MOST_CELLS,
) -> Cube:
    """The cells of the time that a report is about. Raises `LedgerError`."""
    clock = _Clock(query.tz)
    ranks: dict[str, dict[str, int]] = {name: {} for name in DIMENSIONS}
    found: list[tuple[int, tuple[str, ...], Spend]] = []
    for ledger in ledgers:
        root = ledger.root()
        for cell in story.cells(ledger, query.start_ms, query.end_ms):
            key = _key(root, cell)
            found.append((cell.start_ms, key, cell.spend))
            weight = cell.spend.counted_picousd + cell.spend.tokens
            for ranked, name in zip(ranks.values(), key, strict=True):
                ranked[name] = ranked.get(name, 0) + weight
    order = {
        name: sorted(ranked, key=lambda each, of=ranked: (-of[each], each))  # type: ignore[misc]
        for name, ranked in ranks.items()
    }
    last_day = min(local_time(now_ms, query.tz).date(), query.until or date.max)
    for grain in GRAINS:
        shape = _Shape(grain, order, last_day, clock)
        if grain is GRAINS[-1] or len({shape.place(at, key) for at, key, _ in found}) <= most:
            break
    sums: dict[tuple[Any, ...], Spend] = {}
    for at, key, spend in found:
        place = shape.place(at, key)
        known = sums.get(place)
        sums[place] = spend if known is None else known.plus(spend)
    return _cube(sums, shape, order)


def _key(root: str, cell: story.Cell) -> tuple[str, ...]:
    """The names of a cell, as reports have them."""
    if cell.unattributed:
        rest = "(unattributed)"
        return root, cell.session_id, rest, rest, rest, rest, rest
    names = (cell.prompt_id, cell.model, cell.agent, cell.branch, cell.user)
    return (root, cell.session_id, *(name or "(none)" for name in names))


class _Clock:
    """The hour of a time on the wall; each quarter of an hour is looked up once."""

    def __init__(self, tz: tzinfo | None) -> None:
        self._tz = tz
        self._known: dict[int, str] = {}

    def hour(self, at_ms: int) -> str:
        known = self._known.get(at_ms)
        if known is None:
            known = self._known[at_ms] = story.period_key("hour", at_ms, self._tz)
        return known


class _Shape:
    """Where a cell goes at one grain."""

    def __init__(
        self, grain: Grain, order: dict[str, list[str]], last_day: date, clock: _Clock
    ) -> None:
        self.hours_since = (last_day - timedelta(days=grain.days)).isoformat()
        self.names = {name: order[name][: getattr(grain, name)] for name in DIMENSIONS}
        self._numbers = [
            {name: number for number, name in enumerate(self.names[each])} for each in DIMENSIONS
        ]
        self._clock = clock

    def place(self, at_ms: int, key: tuple[str, ...]) -> tuple[Any, ...]:
        hour = self._clock.hour(at_ms)
        time = hour if hour >= self.hours_since else hour[:10]
        numbers = zip(self._numbers, key, strict=True)
        return (time, *(known.get(name, len(known)) for known, name in numbers))


def _cube(sums: dict[tuple[Any, ...], Spend], shape: _Shape, order: dict[str, list[str]]) -> Cube:
    places = sorted(sums)
    times = sorted({place[0] for place in places})
    numbers = {time: number for number, time in enumerate(times)}
    columns: dict[str, list[int]] = {"time": [numbers[place[0]] for place in places]}
    for position, name in enumerate(DIMENSIONS, 1):
        columns[name] = [place[position] for place in places]
    values = [_values(sums[place]) for place in places]
    for position, name in enumerate(_COLUMNS):
        columns[name] = [row[position] for row in values]
    others = {name: len(order[name]) - len(shape.names[name]) for name in DIMENSIONS}
    return Cube(times, shape.hours_since, shape.names, others, columns)


def _values(spend: Spend) -> tuple[int, ...]:
    return (
        *spend[:7],
        *divmod(spend.picousd, _MICRO),
        -(-spend.bound_picousd // _MICRO),
        *divmod(spend.unattributed_picousd, _MICRO),
        spend.unpriced_steps,
    )


def _packed(values: list[int]) -> list[int] | dict[str, Any]:
    """A column that is mostly zero as the places and values of the others."""
    kept = [number for number, value in enumerate(values) if value]
    if len(kept) * 3 > len(values):
        return values
    return {"length": len(values), "at": kept, "values": [values[number] for number in kept]}
