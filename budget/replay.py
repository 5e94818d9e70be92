"""Plays the ledger's history again, in the order in which it was spent. Pure.

Each budget is followed by itself, over what really happened: what a stop would have kept from
happening is counted as what lies past it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from budget.evaluate import Who, concerns, spent
from budget.model import LEVEL_UNITS, PERCENT_UNITS, Budget, Spend, Step, Window
from budget.windows import rolling_ms, window, zone


class Spent(NamedTuple):
    """One thing of the history: a step, or what a client counted beyond its steps."""

    at_ms: int
    session_id: str
    who: Who
    spend: Spend
    context_tokens: int
    """Of the main thread after it; 0 for anything else."""


class Mark(NamedTuple):
    """A budget would have spoken here."""

    at_ms: int
    session_id: str
    spent: int
    """In the unit of the limit, with the step that led to it."""
    share: float | None
    """The mark of `warn_at`; None for the limit itself."""


class Stop(NamedTuple):
    """The work would have ended here, in one window of a budget."""

    mark: Mark
    window: Window
    past: int
    """What was spent after it, in the same window and the same unit."""


class Outcome(NamedTuple):
    """What one budget would have done."""

    budget: Budget
    warnings: list[Mark]
    stops: list[Stop]
    windows: list[tuple[Window, int]]
    """Each window in which something was spent, and how much; none for a rolling budget."""
    sessions: int
    unnoticed: int
    """Sessions that would have seen neither a warning nor a stop."""

    @property
    def past(self) -> int:
        return sum(stop.past for stop in self.stops)


def followed(budget: Budget, history: Iterable[Spent]) -> Outcome | None:
    """One budget over a history in order of time; None for what a ledger does not tell."""
    if budget.unit in PERCENT_UNITS:
        return None
    run = _Run(budget)
    for each in history:
        run.add(each)
    return run.outcome()


class _Run:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._tz = zone(budget.timezone)
        self._length = rolling_ms(budget.per)
        self._recent: deque[tuple[int, int]] = deque()
        self._in_recent = 0
        self._sums: dict[str, tuple[Window, int]] = {}
        self._said: set[tuple[str, float]] = set()
        self._warnings: list[Mark] = []
        self._stops: dict[str, Stop] = {}
        self._sessions: set[str] = set()
        self._noticed: set[str] = set()

    def add(self, each: Spent) -> None:
        budget = self._budget
        self._sessions.add(each.session_id)
        if not _counts(budget, each):
            return
        level = budget.unit in LEVEL_UNITS
        amount = each.context_tokens if level else spent(budget, each.spend)
        if not amount:
            return
        at = self._window(each)
        key = f"session:{each.session_id}" if level else at.key
        total = amount if level else self._total(at, key, each.at_ms, amount)
        stopped = self._stops.get(key)
        if stopped is not None:
            if not (self._length and total < budget.limit):
                self._noticed.add(each.session_id)
                past = stopped.past + (0 if level else amount)
                self._stops[key] = stopped._replace(past=past)
                return
            # A rolling window is free again: the next stop is another one.
            self._stops[f"{key}|{stopped.mark.at_ms}"] = self._stops.pop(key)
        self._speak(at, key, each, total, 0 if level else amount)

    def _window(self, each: Spent) -> Window:
        budget = self._budget
        at = window(budget.per, each.at_ms, each.session_id, self._tz, budget.week_starts)
        # A rolling window moves with every step: it is one, that empties at its far end.
        return Window(0, None) if self._length else at

    def _total(self, at: Window, key: str, at_ms: int, amount: int) -> int:
        if self._length:
            self._recent.append((at_ms, amount))
            self._in_recent += amount
            while self._recent[0][0] < at_ms - self._length:
                self._in_recent -= self._recent.popleft()[1]
            return self._in_recent
        total = self._sums.get(key, (at, 0))[1] + amount
        self._sums[key] = (at, total)
        return total

    def _speak(self, at: Window, key: str, each: Spent, total: int, amount: int) -> None:
        limit = self._budget.limit
        if total >= limit:
            # `before` does not make the step that would pass the limit.
            past = amount if self._budget.stop == "before" and total > limit else 0
            mark = Mark(each.at_ms, each.session_id, total - past, None)
            self._stops[key] = Stop(mark, at, past)
            self._noticed.add(each.session_id)
            return
        period = str(each.at_ms // self._length) if self._length else key
        for share in self._budget.warn_at:
            if total >= share * limit and (period, share) not in self._said:
                self._said.add((period, share))
                self._warnings.append(Mark(each.at_ms, each.session_id, total, share))
                self._noticed.add(each.session_id)

    def outcome(self) -> Outcome:
        stops = sorted(self._stops.values(), key=lambda stop: stop.mark.at_ms)
        return Outcome(
            self._budget,
            self._warnings,
            stops,
            list(self._sums.values()),
            len(self._sessions),
            len(self._sessions - self._noticed),
        )


def _counts(budget: Budget, each: Spent) -> bool:
    if budget.filtered and each.who == Who():
        return False  # not a step: no filter matches it
    return concerns(budget, each.who)


def history(
    entries: Iterable[tuple[Step, Spend]], unattributed: Iterable[tuple[int, str, int]]
) -> Iterator[Spent]:
    """Entries and unattributed amounts as one history, in order of time.

    `unattributed` is (time in ms, session id, picodollars) of each amount.
    """
    told = [
        Spent(
            step.at_ms,
            step.session_id,
            Who(step.agent, step.model, step.branch),
            spend,
            step.usage.prompt_tokens if step.agent == "main" and step.responses else 0,
        )
        for step, spend in entries
    ]
    told += [
        Spent(at_ms, session_id, Who(), Spend(unattributed_picousd=picousd), 0)
        for at_ms, session_id, picousd in unattributed
    ]
    told.sort(key=lambda each: each.at_ms)
    return iter(told)
