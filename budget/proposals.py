"""Proposes limits from what a project has spent so far. Pure."""

from collections.abc import Iterable
from datetime import tzinfo
from typing import NamedTuple

from budget.model import PICO
from budget.windows import local_time

ENOUGH_DAYS = 3
"""With fewer days of work there is nothing to propose from."""
_STEPS = (1, 2, 5)


class Usual(NamedTuple):
    """What one session, or one day of work, costs: in picodollars."""

    number: int
    median: int
    high: int
    """The 95th percentile: one in twenty costs more."""


class History(NamedTuple):
    sessions: Usual
    days: Usual


def usual(amounts: Iterable[int]) -> Usual:
    """The nearest-rank median and 95th percentile."""
    ordered = sorted(amounts)
    if not ordered:
        return Usual(0, 0, 0)

    def rank(percent: int) -> int:
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    return Usual(len(ordered), rank(50), rank(95))


def history(spent: Iterable[tuple[int, str, int]], tz: tzinfo | None) -> History:
    """Of (time in ms, session id, picodollars): sessions, and days on which work was done."""
    sessions: dict[str, int] = {}
    days: dict[str, int] = {}
    for at_ms, session_id, picousd in spent:
        day = local_time(at_ms, tz).date().isoformat()
        sessions[session_id] = sessions.get(session_id, 0) + picousd
        days[day] = days.get(day, 0) + picousd
    return History(usual(sessions.values()), usual(days.values()))


def limit_usd(high: int) -> float:
    """A round limit that one in twenty passes: the next 1, 2 or 5 times a power of ten, in USD."""
    power = 10**4  # a hundredth of a micro-dollar
    while True:
        for step in _STEPS:
            if step * power >= high:
                return step * power / PICO
        power *= 10
