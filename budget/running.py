"""What runs now: the sessions and agents at work, as facts. Standard library only.

What they have spent, hold and would pay for their context comes from the code that decides:
`reservations`, `projection`, `advice`, `counsel`, `events`. Nothing is added up here that the
ledger has a total of.
"""

from __future__ import annotations

import os

from budget import advice, counsel, events, projection, reservations
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.model import Filter, Spend, Step, Verdict, Window
from budget.pricing import Table

LISTED_MS = 60 * 60_000
"""A session is listed this long after its last step: as long as its cache can hold."""
AGENT_MS = 2 * 60_000
"""An agent that holds no step counts as running this long after its last one."""
_MAIN = Filter(agents=("main",))
_STOPS = 50


class Thread(NamedTuple):
    """One line of work: the main thread of a session, or one of its agents."""

    session_id: str
    agent_id: str
    """Empty for the main thread; `starting:` and more for an agent that is about to start."""
    agent: str
    """`main`, or the agent's type."""
    model: str
    branch: str
    prompt_id: str
    steps: int
    picousd: int
    """What budgets count for its steps."""
    last_ms: int | None
    """When its last step was made; None: none was yet."""
    context_tokens: int
    context_picousd: int
    """What reading that context costs in the next step, while it is cached."""
    expired_picousd: int
    """What it costs once the cache has expired."""
    expires_at_ms: int | None
    """When its context is cached no more; None: nothing is cached."""
    reserved_picousd: int
    """What it holds for its next step."""
    works: bool
    """It holds a step, or has a moment ago made one that is not the end of a turn or a stop."""


class Session(NamedTuple):
    """A session that made a step lately, or holds one."""

    id: str
    main: Thread
    agents: tuple[Thread, ...]
    """Those at work, the dearest first."""
    ended_agents: int
    ended_picousd: int
    """Agents of the session that ended, and what they have spent."""
    spend: Spend
    """Of the whole session, agents and what is unattributed included."""
    per_hour: int
    """Picodollars an hour, over the last minutes."""

    @property
    def works(self) -> bool:
        return self.main.works or bool(self.agents)

    @property
    def reserved_picousd(self) -> int:
        return sum(each.reserved_picousd for each in (self.main, *self.agents))

    @property
    def last_ms(self) -> int:
        return max(each.last_ms or 0 for each in (self.main, *self.agents))


class Booked(NamedTuple):
    """A step as it stands in the ledger."""

    seq: int
    """Rises with every change of the ledger: what has a higher one is news."""
    step: Step
    picousd: int
    """What budgets count for it."""
    priced: bool


class Stop(NamedTuple):
    """A time that budgets stopped the work."""

    at_ms: int
    session_id: str
    agent_id: str
    verdicts: tuple[Verdict, ...]
    """The budgets that stopped it, as they stood then."""


def sessions(ledger: Ledger, table: Table, now_ms: int) -> list[Session]:
    """Every session that runs or has just paused; those at work first, then the newest."""
    moment = _moment(ledger, table, now_ms)
    known = dict(ledger.last_of_sessions(now_ms - LISTED_MS))
    ids = [*known, *{each.session_id for each in moment.held if each.session_id not in known}]
    found = [_session(moment, each) for each in ids]
    return sorted(found, key=lambda each: (not each.works, -each.last_ms, each.id))


def session(ledger: Ledger, table: Table, session_id: str, now_ms: int) -> Session:
    """One session as it stands, whether it runs or not."""
    return _session(_moment(ledger, table, now_ms), session_id)


def last_steps(ledger: Ledger, count: int) -> list[Booked]:
    """What was booked last, the newest first: in the order of booking, not of time."""
    return [
        Booked(seq, step, (price.picousd or 0) + price.bound_picousd, price.picousd is not None)
        for seq, step, price in ledger.last_booked(count)
    ]


def last_stop(ledger: Ledger) -> Stop | None:
    found = events.last(ledger, (events.STOP,), 1)
    if not found:
        return None
    return Stop(found[0].at_ms, found[0].session_id, found[0].agent_id, events.stopped(found[0]))


def next_change_ms(found: list[Session], verdicts: tuple[Verdict, ...], now_ms: int) -> int | None:
    """When these facts change by time alone; None: never.

    A window that ends, a cache or a session's place in the list that expires; while money was
    spent in the last minutes its rate falls with every half minute.
    """
    times = [each.window.resets_at_ms for each in verdicts]
    for each in found:
        times += [each.main.expires_at_ms, each.last_ms + LISTED_MS]
        if each.works or each.per_hour:
            times.append(now_ms + 30_000)
    times += [now_ms + 30_000 for each in verdicts if each.budget.per.startswith("rolling ")]
    return min((at for at in times if at is not None and at > now_ms), default=None)


class _Moment(NamedTuple):
    """What every thread is told from."""

    ledger: Ledger
    table: Table
    now_ms: int
    held: list[reservations.Reservation]
    stops: dict[tuple[str, str], int]
    """When a budget last stopped a thread, by session and agent id."""


def _moment(ledger: Ledger, table: Table, now_ms: int) -> _Moment:
    found = events.last(ledger, (events.STOP,), _STOPS)
    stops = {(each.session_id, each.agent_id): each.at_ms for each in reversed(found)}
    return _Moment(ledger, table, now_ms, reservations.held(ledger, now_ms), stops)


def _session(moment: _Moment, session_id: str) -> Session:
    ledger, now_ms = moment.ledger, moment.now_ms
    spend = ledger.spend(Window(0, None, session_id=session_id))
    own = {each.agent_id: each for each in moment.held if each.session_id == session_id}
    ended_turn = _ended_turns(ledger, session_id)
    main_sums = ledger.spend(Window(0, None, session_id=session_id), _MAIN)
    main = _thread(moment, session_id, "", main_sums, own.get(""), ended_turn)
    # Where only the main thread has spent, no entry is looked at for agents.
    sums = ledger.agent_sums(session_id) if spend.steps > main_sums.steps else {}
    running, ended = [], []
    for agent_id, (_, agent_sums) in sums.items():
        kept = own.get(agent_id)
        thread = _thread(moment, session_id, agent_id, agent_sums, kept, ended_turn)
        if thread.works:
            running.append(thread)
        else:
            ended.append(agent_sums.counted_picousd)
    running += [
        _thread(moment, session_id, agent_id, Spend(), kept, ended_turn)
        for agent_id, kept in own.items()
        if agent_id and agent_id not in sums
    ]
    running.sort(key=lambda each: (-each.picousd, each.agent_id))
    rate, _ = counsel.last_rate(ledger, now_ms, session_id)
    return Session(session_id, main, tuple(running), len(ended), sum(ended), spend, rate)


def _ended_turns(ledger: Ledger, session_id: str) -> set[str]:
    """The threads whose last step, as their transcript tells, called no tool: its turn is over."""
    found = set()
    for path, cursor in ledger.cursors(session_id).items():
        name = os.path.basename(path).removesuffix(".jsonl")
        if not cursor.tool_use_ids:
            found.add("" if name == session_id else name.removeprefix("agent-"))
    return found


def _thread(
    moment: _Moment,
    session_id: str,
    agent_id: str,
    sums: Spend,
    kept: reservations.Reservation | None,
    ended_turn: set[str],
) -> Thread:
    ledger, table = moment.ledger, moment.table
    starting = agent_id.startswith(reservations.STARTING)
    recent = [] if starting else ledger.recent_steps(session_id, agent_id, projection.RECENT)
    last = recent[-1] if recent else None
    who = kept.who if kept else None
    tokens = read = written = 0
    if last:
        # Of the main thread as limits on the context count it: after a compaction what that left.
        tokens = last.usage.prompt_tokens if agent_id else ledger.context_tokens(session_id)
        read = advice.reading(last, tokens, table)
        written = advice.writing(recent, tokens, table)
    return Thread(
        session_id=session_id,
        agent_id=agent_id,
        agent=last.agent if last else (who.agent if who else "") or "main",
        model=last.model if last else who.model if who else "",
        branch=last.branch if last else who.branch if who else "",
        prompt_id=last.prompt_id if last else "",
        steps=sums.steps,
        picousd=sums.counted_picousd,
        last_ms=last.at_ms if last else None,
        context_tokens=tokens,
        context_picousd=read,
        expired_picousd=written,
        expires_at_ms=projection.expires_at_ms(recent) if recent else None,
        reserved_picousd=kept.spend.counted_picousd if kept else 0,
        works=kept is not None or _goes_on(moment, last, agent_id in ended_turn),
    )


def _goes_on(moment: _Moment, last: Step | None, ended_turn: bool) -> bool:
    """Whether a thread that holds nothing is at work: where no budget is set none ever does."""
    if last is None or ended_turn or last.at_ms <= moment.now_ms - AGENT_MS:
        return False
    return moment.stops.get((last.session_id, last.agent_id), 0) < last.at_ms
