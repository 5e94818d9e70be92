"""What was spent, grouped: from the ledgers only, every view adding up to the same total."""

import os
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from budget import events, messages, paths
from budget.errors import LedgerError
from budget.ledger import Ledger
from budget.messages import usd6
from budget.model import Spend
from budget.windows import HOUR_MS, day_start_ms, local_time

PERIOD_NAMES = {"daily": "day", "weekly": "week", "monthly": "month"}
PERIODS = tuple(PERIOD_NAMES)
GROUPS = ("session", "model", "agent", "branch", "prompt", "project", "user")
VIEWS = (*PERIODS, *GROUPS)

# What a total of the ledger is grouped by. Prompts have sums of their own; those of sessions are
# summed from the entries.
_TOTAL_COLUMNS = {"model": "model", "agent": "agent", "branch": "branch"}
_UNATTRIBUTED = "(unattributed)"
_GRANTS = 100

_COUNTS = Spend._fields[:7]
FACTS = ("key", *_COUNTS, "usd", "unattributed_usd", "unpriced_steps")
"""What programs read of a row."""


class Query(NamedTuple):
    """What a report is about. Dates are days of the time zone; `until` is the last one."""

    by: str
    since: date | None
    until: date | None
    tz: tzinfo | None

    @property
    def start_ms(self) -> int:
        return day_start_ms(self.since, self.tz) if self.since else 0

    @property
    def end_ms(self) -> int:
        return day_start_ms(self.until + timedelta(days=1), self.tz) if self.until else 2**62


class Report(NamedTuple):
    """Rows by key, and the sum of all."""

    rows: dict[str, Spend]
    unpriced_models: list[str]
    skipped_lines: int
    """Damaged lines of the transcripts: what was in them is not counted."""
    grants: tuple[str, ...] = ()
    """The last grants that were made in the time of the report, a line each."""

    @property
    def total(self) -> Spend:
        return Spend._make(map(sum, zip(Spend(), *self.rows.values(), strict=True)))


def make(query: Query, ledgers: Iterable[Ledger]) -> Report:
    """One report over any number of projects."""
    rows: dict[str, Spend] = {}
    unpriced: set[str] = set()
    skipped = 0
    granted: list[dict[str, Any]] = []
    for ledger in ledgers:
        for key, spend in _grouped(query, ledger):
            rows[key] = rows[key].plus(spend) if key in rows else spend
        unpriced.update(ledger.unpriced_models())
        skipped += ledger.bad_lines()
        made = events.last(ledger, (events.GRANT,), _GRANTS, query.end_ms - 1)
        granted += [each.facts for each in made if each.at_ms >= query.start_ms]
    rows = {key: spend for key, spend in rows.items() if any(spend)}
    order = sorted(rows) if query.by in PERIODS else sorted(rows, key=lambda key: _rank(rows[key]))
    granted.sort(key=lambda facts: int(facts["at_ms"]))
    lines = tuple(messages.grant_made(facts, query.tz) for facts in granted)
    return Report({key: rows[key] for key in order}, sorted(unpriced), skipped, lines)


def _rank(spend: Spend) -> tuple[int, int]:
    """The dearest first."""
    return -spend.counted_picousd, -spend.tokens


def _grouped(query: Query, ledger: Ledger) -> list[tuple[str, Spend]]:
    if query.by in PERIODS:
        return _by_period(query, ledger)
    if query.by == "project":
        everything = ledger.sums_by("'all'", query.start_ms, query.end_ms)
        return [(ledger.root(), spend) for _, spend in everything]
    if query.by in _TOTAL_COLUMNS:
        column = _TOTAL_COLUMNS[query.by]
        sums = ledger.sums_by(column, query.start_ms, query.end_ms)
        return [row for key, spend in sums for row in _without_name(key, spend)]
    if query.by == "user":
        sums = ledger.sums_by("user", query.start_ms, query.end_ms)
        rows = [(key, spend._replace(unattributed_picousd=0)) for key, spend in sums]
    elif query.by == "prompt":
        rows = ledger.prompt_sums(query.start_ms, query.end_ms)
    else:
        rows = ledger.entry_sums_by("session_id", query.start_ms, query.end_ms)
    keyed = [(key or "(none)", spend) for key, spend in rows]
    sessions = ledger.unattributed_by_session(query.start_ms, query.end_ms)
    if query.by == "session":
        return keyed + sessions
    rest = sum(spend.unattributed_picousd for _, spend in sessions)
    return [*keyed, (_UNATTRIBUTED, Spend(unattributed_picousd=rest))] if rest else keyed


def _without_name(key: str, spend: Spend) -> list[tuple[str, Spend]]:
    """What is unattributed has no model, agent or branch; a branch may well be unknown, too."""
    if key:
        return [(key, spend)]
    beyond = Spend(unattributed_picousd=spend.unattributed_picousd)
    return [("(none)", spend.minus(beyond)), (_UNATTRIBUTED, beyond)]


def _by_period(query: Query, ledger: Ledger) -> list[tuple[str, Spend]]:
    """Sums of days of the wall clock: one window of whole hours or quarters for each."""
    first_ms, last_ms = ledger.extent()
    first_ms, last_ms = max(first_ms, query.start_ms), min(last_ms, query.end_ms - 1)
    rows: list[tuple[str, Spend]] = []
    if first_ms > last_ms:
        return rows
    day = local_time(first_ms, query.tz).date()
    starts = [day_start_ms(day, query.tz)]
    while starts[-1] <= last_ms:
        day += timedelta(days=1)
        starts.append(day_start_ms(day, query.tz))
    on_the_hour = all(start % HOUR_MS == 0 for start in starts)
    for start_ms, spend in ledger.sums_between(starts, "hour" if on_the_hour else "quarter"):
        rows.append((period_of(PERIOD_NAMES[query.by], local_time(start_ms, query.tz)), spend))
    return rows


def period_of(period: str, local: datetime) -> str:
    """The day, week or month of a time, as reports name it."""
    if period == "week":
        year, week, _ = local.isocalendar()
        return f"{year}-W{week:02d}"
    return f"{local:%Y-%m}" if period == "month" else f"{local:%Y-%m-%d}"


def open_ledgers(
    env: paths.Env, project: paths.Project, every: bool, tell: Callable[[str], None]
) -> list[Ledger]:
    """The ledgers a report reads: of one project, or of all. None is made.

    Of all, one that cannot be read is left out: `tell` gets why. Else raises `LedgerError`.
    """
    if not every:
        path = paths.ledger_file(env, project)
        return [Ledger(path)] if os.path.exists(path) else []
    ledgers = []
    for path in paths.all_ledgers(env):
        try:
            ledgers.append(Ledger(path))
        except LedgerError as error:
            tell(str(error))
    return ledgers


def row_facts(key: str, spend: Spend) -> dict[str, Any]:
    """A row as programs read it."""
    usd, beyond = usd6(spend.picousd), usd6(spend.unattributed_picousd)
    return dict(zip(FACTS, (key, *spend[:7], usd, beyond, spend.unpriced_steps), strict=True))
