"""What happened, from the ledgers only: what was spent on what, and how sessions came to cost it.

Facts of the past for whoever shows them; nothing here decides, and every figure adds up to the
totals of `report`. What runs now is another matter.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import tzinfo
from typing import Any, NamedTuple

from budget import events
from budget.evaluate import spent
from budget.ledger import Ledger
from budget.model import (
    LEVEL_UNITS,
    Budget,
    Compaction,
    Filter,
    Spend,
    Verdict,
    Window,
)
from budget.report import period_of
from budget.verdicts import budget_window
from budget.windows import CALENDAR, QUARTER_MS, local_time

PERIODS = ("hour", "day", "week", "month")

TAKEN_MS = 30 * 60_000
"""Within this time after it advice counts as taken, when what it advised was done."""

_FAR_MS = 2**53
_POINTS = 60
_EVENTS = 10_000

_PROMPT = "input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
_ENTRY = (
    "responses, input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens,"
    " cache_write_1h_tokens, web_searches, coalesce(picousd, 0), bound_picousd, listed_picousd,"
    " 0, picousd IS NULL"
)
"""What one entry adds to a `Spend`, field by field."""
_ENTRY_COLUMNS = (
    f"at_ms, agent, agent_id, prompt_id, branch, model, user, ({_PROMPT}) * responses, {_ENTRY}"
)
"""A row of `_Entry`."""


# -- what it went on -------------------------------------------------------------------------------


class Cell(NamedTuple):
    """What one kind of work spent in one quarter of an hour."""

    start_ms: int
    session_id: str
    prompt_id: str
    """Empty where it is not known, or was not asked for."""
    model: str
    agent: str
    branch: str
    user: str
    spend: Spend

    @property
    def unattributed(self) -> bool:
        """Counted by the client beyond the steps: it has no model, agent, branch or prompt."""
        return self.spend.unattributed_picousd > 0


def cells(
    ledger: Ledger, start_ms: int, end_ms: int, prompts: Collection[str] | None = None
) -> Iterator[Cell]:
    """All that was spent in [start, end), whole quarters of an hour.

    Of `prompts` only these are told apart; None: all. The sum of all cells is the total of a
    report over the same time.
    """
    rows = ledger.rows(
        f"SELECT at_ms / {QUARTER_MS} * {QUARTER_MS}, session_id, prompt_id, model, agent, branch,"
        f" user, {_ENTRY} FROM entries WHERE at_ms >= ? AND at_ms < ?",
        start_ms,
        min(end_ms, _FAR_MS),
    )
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        key = row[:7]
        if prompts is not None and row[2] not in prompts:
            key = (*row[:2], "", *row[3:7])
        known = sums.get(key)
        if known is None:
            sums[key] = list(row[7:])
        else:
            for number, value in enumerate(row[7:]):
                known[number] += value
    for key, values in sums.items():
        yield Cell._make((*key, Spend._make(values)))
    amounts = ledger.rows(
        "SELECT quarter, session_id, user, picousd FROM unattributed"
        " WHERE quarter >= ? AND quarter < ? AND picousd > 0",
        start_ms,
        min(end_ms, _FAR_MS),
    )
    for quarter, session_id, user, picousd in amounts:
        spend = Spend(unattributed_picousd=picousd)
        yield Cell(quarter, session_id, "", "", "", "", user, spend)


def period_key(period: str, start_ms: int, tz: tzinfo | None) -> str:
    """The hour, day, week or month of a time: `2026-11-27T09`, else as reports name it."""
    local = local_time(start_ms, tz)
    return f"{local:%Y-%m-%dT%H}" if period == "hour" else period_of(period, local)


def series(
    found: Iterable[Cell], period: str, tz: tzinfo | None, field: str = "model"
) -> dict[str, dict[str, Spend]]:
    """Spend by period, and within it by a field of the cells; both in order."""
    names: dict[int, str] = {}
    sums: dict[str, dict[str, Spend]] = {}
    for cell in found:
        name = names.get(cell.start_ms) or period_key(period, cell.start_ms, tz)
        names[cell.start_ms] = name
        of_period = sums.setdefault(name, {})
        key = getattr(cell, field)
        of_period[key] = of_period.get(key, Spend()).plus(cell.spend)
    return {name: dict(sorted(sums[name].items())) for name in sorted(sums)}


def cache_hits(spend: Spend) -> float | None:
    """The share of the prompts' tokens that was read from the cache; None without a prompt."""
    prompt = spend.input_tokens + spend.cache_read_tokens + spend.cache_write
    return spend.cache_read_tokens / prompt if prompt else None


# -- sessions and prompts --------------------------------------------------------------------------


class Context(NamedTuple):
    """The size of the main thread's context at one step."""

    at_ms: int
    tokens: int


class AgentRun(NamedTuple):
    """One agent of a session, from its first step to its last."""

    agent: str
    agent_id: str
    first_ms: int
    last_ms: int
    models: tuple[str, ...]
    spend: Spend


class Prompt(NamedTuple):
    """What one prompt led to, agents included."""

    prompt_id: str
    session_id: str
    first_ms: int
    last_ms: int
    models: tuple[str, ...]
    agents: int
    """How many it started; without the main thread."""
    context_from: int
    """Tokens of the main thread's context at its first step; 0 without one."""
    context_to: int
    spend: Spend


class Session(NamedTuple):
    """How a session came to cost what it cost."""

    session_id: str
    users: tuple[str, ...]
    branches: tuple[str, ...]
    models: tuple[str, ...]
    first_ms: int
    last_ms: int
    spend: Spend
    """With what is unattributed."""
    context: tuple[Context, ...]
    """Of the main thread, in order; thinned out (see `thinned`)."""
    compactions: tuple[Compaction, ...]
    agents: tuple[AgentRun, ...]
    """The dearest first; without the main thread."""
    prompts: tuple[Prompt, ...]
    """In order of time."""

    @property
    def largest_context(self) -> int:
        return max((each.tokens for each in self.context), default=0)


class _Entry(NamedTuple):
    at_ms: int
    agent: str
    agent_id: str
    prompt_id: str
    branch: str
    model: str
    user: str
    prompt_tokens: int
    spend: Spend


def dearest(
    ledger: Ledger, what: str, start_ms: int, end_ms: int, count: int
) -> tuple[dict[str, Spend], int]:
    """The sessions or prompts (`session`, `prompt`) that cost most, and how many more there are.

    Prompts without an id are left out. What is unattributed counts for its session.
    """
    column = {"session": "session_id", "prompt": "prompt_id"}[what]
    sums = dict(ledger.entry_sums_by(column, start_ms, end_ms))
    if what == "session":
        for key, spend in ledger.unattributed_by_session(start_ms, end_ms):
            sums[key] = sums.get(key, Spend()).plus(spend)
    else:
        sums.pop("", None)
    order = sorted(sums, key=lambda key: (-sums[key].counted_picousd, -sums[key].tokens, key))
    return {key: sums[key] for key in order[:count]}, max(0, len(order) - count)


def session(
    ledger: Ledger, session_id: str, start_ms: int = 0, end_ms: int = _FAR_MS
) -> Session | None:
    """One session within [start, end); None when nothing of it is in that time."""
    rows = ledger.rows(
        f"SELECT {_ENTRY_COLUMNS} FROM entries"
        " WHERE session_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms, seq",
        *(session_id, start_ms, min(end_ms, _FAR_MS)),
    )
    entries = [_Entry._make((*row[:8], Spend._make(row[8:]))) for row in rows]
    amounts = ledger.rows(
        "SELECT quarter, user, picousd FROM unattributed"
        " WHERE session_id = ? AND quarter >= ? AND quarter < ? AND picousd > 0 ORDER BY quarter",
        *(session_id, start_ms, min(end_ms, _FAR_MS)),
    )
    if not entries and not amounts:
        return None
    beyond = Spend(unattributed_picousd=sum(amount for _, _, amount in amounts))
    times = [each.at_ms for each in entries] or [quarter for quarter, _, _ in amounts]
    contexts = [Context(each.at_ms, each.prompt_tokens) for each in entries if _is_main(each)]
    by_agent = _by(entries, "agent_id")
    runs = [_run(agent_id, group) for agent_id, group in by_agent.items() if agent_id]
    return Session(
        session_id,
        tuple(dict.fromkeys([each.user for each in entries] + [user for _, user, _ in amounts])),
        tuple(dict.fromkeys(each.branch for each in entries)),
        tuple(dict.fromkeys(each.model for each in entries)),
        min(times),
        max(times),
        _sum(entries).plus(beyond),
        thinned(contexts),
        compactions(ledger, session_id, start_ms, end_ms),
        tuple(sorted(runs, key=lambda run: -run.spend.counted_picousd)),
        tuple(_prompt(each, session_id, of) for each, of in _by(entries, "prompt_id").items()),
    )


def prompts(
    ledger: Ledger, wanted: Collection[str], start_ms: int = 0, end_ms: int = _FAR_MS
) -> list[Prompt]:
    """The prompts of these ids within [start, end)."""
    found, ids = [], list(wanted)
    for first in range(0, len(ids), 500):
        some = ids[first : first + 500]
        marks = ", ".join("?" * len(some))
        rows = ledger.rows(
            f"SELECT session_id, {_ENTRY_COLUMNS} FROM entries WHERE prompt_id IN ({marks})"
            " AND at_ms >= ? AND at_ms < ? ORDER BY at_ms, seq",
            *(*some, start_ms, min(end_ms, _FAR_MS)),
        )
        sessions = {row[4]: row[0] for row in reversed(rows)}
        entries = [_Entry._make((*row[1:9], Spend._make(row[9:]))) for row in rows]
        for prompt_id, of in _by(entries, "prompt_id").items():
            found.append(_prompt(prompt_id, sessions[prompt_id], of))
    return found


def compactions(
    ledger: Ledger, session_id: str, start_ms: int = 0, end_ms: int = _FAR_MS
) -> tuple[Compaction, ...]:
    """Those of a session in [start, end), in order of time."""
    rows = ledger.rows(
        "SELECT session_id, at_ms, before_tokens, after_tokens, automatic FROM compactions"
        " WHERE session_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms",
        *(session_id, start_ms, min(end_ms, _FAR_MS)),
    )
    return tuple(Compaction._make((*row[:4], bool(row[4]))) for row in rows)


def thinned(contexts: list[Context], points: int = _POINTS) -> tuple[Context, ...]:
    """At most about so many of them: of each stretch the smallest and the largest, and the ends.

    So neither a peak nor what a compaction left gets lost.
    """
    if len(contexts) <= points:
        return tuple(contexts)
    length = -(-len(contexts) // (points // 2))
    kept = {0, len(contexts) - 1}
    for first in range(0, len(contexts), length):
        stretch = range(first, min(first + length, len(contexts)))
        kept.add(min(stretch, key=lambda number: contexts[number].tokens))
        kept.add(max(stretch, key=lambda number: contexts[number].tokens))
    return tuple(contexts[number] for number in sorted(kept))


def _is_main(entry: _Entry) -> bool:
    return not entry.agent_id and entry.agent == "main" and entry.prompt_tokens > 0


def _by(entries: list[_Entry], field: str) -> dict[str, list[_Entry]]:
    groups: dict[str, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(getattr(entry, field), []).append(entry)
    return groups


def _sum(entries: list[_Entry]) -> Spend:
    return Spend._make(map(sum, zip(Spend(), *(each.spend for each in entries), strict=True)))


def _models(entries: list[_Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.model for each in entries))


def _run(agent_id: str, entries: list[_Entry]) -> AgentRun:
    first, last = entries[0], entries[-1]
    times = (first.at_ms, last.at_ms)
    return AgentRun(first.agent, agent_id, *times, _models(entries), _sum(entries))


def _prompt(prompt_id: str, session_id: str, entries: list[_Entry]) -> Prompt:
    sizes = [each.prompt_tokens for each in entries if _is_main(each)] or [0]
    agents = {each.agent_id for each in entries} - {""}
    return Prompt(
        *(prompt_id, session_id, entries[0].at_ms, entries[-1].at_ms, _models(entries)),
        *(len(agents), sizes[0], sizes[-1], _sum(entries)),
    )


# -- what budgets did ------------------------------------------------------------------------------


class Stop(NamedTuple):
    """A budget that stopped the work in one window, once or again and again."""

    first_ms: int
    last_ms: int
    times: int
    sessions: tuple[str, ...]
    verdict: Verdict
    """How it stood the last time."""


class Warned(NamedTuple):
    """A mark of a budget was passed, and the person was told."""

    at_ms: int
    budget: str
    per: str
    unit: str
    limit: int
    mark: str
    """A fraction, such as `0.8`, or `limit`."""


def windows(
    ledger: Ledger, budget: Budget, person: str, now_ms: int, count: int
) -> list[tuple[Window, int]]:
    """The last windows of a calendar budget and what it counted in each, the oldest first.

    `ledger` is the one that the budget is counted in (see `verdicts.counts_people`); windows from
    before its first step are left out. Empty for what is not counted by the calendar.
    """
    if budget.per not in CALENDAR or budget.unit in LEVEL_UNITS:
        return []
    user = person if budget.scope == "user" else ""
    only = Filter(budget.models, budget.agents, budget.branches, user)
    first_ms, _ = ledger.extent()
    found: list[tuple[Window, int]] = []
    at_ms = now_ms
    while len(found) < count and (not found or at_ms >= first_ms):
        at = budget_window(budget, "", at_ms)
        found.append((at, spent(budget, ledger.spend(at, only))))
        at_ms = at.start_ms - 1
    return found[::-1]


def stops(ledger: Ledger, start_ms: int = 0, end_ms: int = _FAR_MS) -> list[Stop]:
    """What stopped the work in [start, end), the newest first."""
    found: dict[tuple[Any, ...], Stop] = {}
    for event in _events(ledger, (events.STOP,), start_ms, end_ms):
        for verdict in events.stopped(event):
            key = (verdict.budget, verdict.limit, verdict.window[:3])
            known = found.get(key)
            if known is None:
                found[key] = Stop(event.at_ms, event.at_ms, 1, (event.session_id,), verdict)
                continue
            found[key] = known._replace(
                first_ms=min(known.first_ms, event.at_ms),
                times=known.times + 1,
                sessions=tuple(dict.fromkeys((*known.sessions, event.session_id))),
            )
    return sorted(found.values(), key=lambda stop: -stop.last_ms)


def _events(
    ledger: Ledger, kinds: tuple[str, ...], start_ms: int, end_ms: int
) -> list[events.Event]:
    """Those of [start, end), the newest first."""
    found = events.last(ledger, kinds, _EVENTS, min(end_ms, _FAR_MS) - 1)
    return [event for event in found if event.at_ms >= start_ms]


def grants(ledger: Ledger, start_ms: int = 0, end_ms: int = _FAR_MS) -> list[events.Event]:
    """What was granted in [start, end), the newest first; `messages.grant_made` words the facts."""
    return _events(ledger, (events.GRANT,), start_ms, end_ms)


def incidents(ledger: Ledger, start_ms: int = 0, end_ms: int = _FAR_MS) -> list[events.Event]:
    """What should not have happened, the newest first; `status.incident_line` words it."""
    return _events(ledger, events.NOTABLE, start_ms, end_ms)


def warnings(ledger: Ledger, start_ms: int = 0, end_ms: int = _FAR_MS) -> list[Warned]:
    """The marks that were passed in [start, end), the newest first.

    From the ledger's notes of what was said once (see `answers._warnings` for their form).
    """
    found = []
    for key, at_ms in _said(ledger, "mark|", start_ms, end_ms):
        _, name, per, unit, limit, *_, mark = key.split("|")
        if limit.isdecimal():
            found.append(Warned(at_ms, name, per, unit, int(limit), mark))
    return found


def _said(ledger: Ledger, begins: str, start_ms: int, end_ms: int) -> list[tuple[str, int]]:
    return ledger.rows(
        "SELECT key, at_ms FROM said WHERE key >= ? AND key < ? AND at_ms >= ? AND at_ms < ?"
        " ORDER BY at_ms DESC",
        *(begins, f"{begins[:-1]}{chr(ord(begins[-1]) + 1)}", start_ms, min(end_ms, _FAR_MS)),
    )


# -- advice ----------------------------------------------------------------------------------------


class Given(NamedTuple):
    """Advice that was given at the end of a turn, and what came of it.

    That it was given is kept; that it was taken is derived: what it advised was done within
    `TAKEN_MS`.
    """

    at_ms: int
    session_id: str
    kind: str
    """`compact`, `clear`, or `ordered`: a compaction that budget ordered itself."""
    taken_ms: int | None
    """When what it advised was done; None: not so far."""
    open: bool
    """Not taken, and there is still time for it."""
    before_tokens: int
    """The context before and after the compaction; 0 where none was made."""
    after_tokens: int


def advice(ledger: Ledger, now_ms: int, start_ms: int = 0, end_ms: int = _FAR_MS) -> list[Given]:
    """What was advised in [start, end), the newest first. Advice beside a warning is not kept."""
    told = []
    for key, at_ms in _said(ledger, "advice|", start_ms, end_ms):
        _, *session_id, kind, _growth = key.split("|")
        told.append((at_ms, "|".join(session_id), kind))
    ordered = _events(ledger, (events.COMPACTION,), start_ms, end_ms)
    told += [(event.at_ms, event.session_id, "ordered") for event in ordered]
    extents = _extents(ledger) if told else {}
    return [_given(ledger, extents, now_ms, *each) for each in sorted(told, reverse=True)]


def _given(
    ledger: Ledger,
    extents: dict[str, tuple[str, int, int]],
    now_ms: int,
    at_ms: int,
    session_id: str,
    kind: str,
) -> Given:
    until_ms = at_ms + TAKEN_MS
    taken_ms, before, after = None, 0, 0
    if kind == "clear":
        taken_ms = _cleared(extents, session_id, at_ms)
    else:
        made = compactions(ledger, session_id, at_ms, until_ms + 1)
        if made:
            taken_ms, before, after = made[0].at_ms, made[0].before_tokens, made[0].after_tokens
    still = taken_ms is None and now_ms <= until_ms
    return Given(at_ms, session_id, kind, taken_ms, still, before, after)


def _extents(ledger: Ledger) -> dict[str, tuple[str, int, int]]:
    """Whose each session is, and the first and the last step of its main thread."""
    rows = ledger.rows(
        "SELECT session_id, min(user), min(at_ms), max(at_ms) FROM entries WHERE agent_id = ''"
        " GROUP BY session_id"
    )
    return {row[0]: row[1:] for row in rows}


def _cleared(extents: dict[str, tuple[str, int, int]], session_id: str, at_ms: int) -> int | None:
    """When the person's next session began in time, this one having made no further step."""
    user, _, last_ms = extents.get(session_id, ("", 0, 0))
    if last_ms > at_ms:
        return None
    began = (
        first_ms
        for whose, first_ms, _ in extents.values()
        if whose == user and at_ms < first_ms <= at_ms + TAKEN_MS
    )
    return min(began, default=None)
