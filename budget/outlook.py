"""What is about to be spent: the next step of the agent at work, or the first of one that starts.

Collects what `projection` needs from the ledger and from the event.
"""

from __future__ import annotations

from budget import projection
from budget.evaluate import Who
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.model import Spend, Step, Usage
from budget.pricing import Table

_EARLIER = 5
"""First steps of earlier agents and sessions to tell the next one by."""


class Upcoming(NamedTuple):
    """A step that is not made yet."""

    agent_id: str
    who: Who
    spend: Spend
    """What it is expected to use. Of a step like none that was ever seen only that it is one: a
    guess would refuse work, and keep others from theirs."""


def next_step(
    ledger: Ledger,
    table: Table,
    session_id: str,
    agent_id: str,
    agent: str,
    added_bytes: int | None,
    now_ms: int,
) -> Upcoming:
    """The next step of an agent, after its last one or after a prompt."""
    recent = ledger.recent_steps(session_id, agent_id, projection.RECENT)
    if not recent:
        return first_step(ledger, table, session_id, agent_id, agent, now_ms)
    rewritten = _rewritten_tokens(ledger, session_id, recent[-1]) if not agent_id else None
    expected = projection.next_step(recent, added_bytes, now_ms, table, rewritten)
    return _upcoming(expected, agent_id, agent or recent[-1].agent, table)


def first_step(
    ledger: Ledger, table: Table, session_id: str, agent_id: str, agent: str, now_ms: int
) -> Upcoming:
    """The first step of an agent or a session, by those of earlier ones."""
    agent = agent or "main"
    firsts = ledger.first_steps(agent, _EARLIER)
    if not firsts and agent != "main":
        firsts = ledger.first_steps("", _EARLIER) or ledger.first_steps("main", 1)
    unknown = Step("", session_id, agent, agent_id, "", "", "", now_ms, Usage())
    expected = projection.first_step(firsts, table, now_ms, unknown)
    return _upcoming(expected, agent_id, agent, table)


def _upcoming(expected: projection.Projection, agent_id: str, agent: str, table: Table) -> Upcoming:
    step = expected.step
    spend = Spend(1) if expected.basis == "default" else projection.spend(step, table)
    return Upcoming(agent_id, Who(agent or "main", step.model, step.branch), spend)


def _rewritten_tokens(ledger: Ledger, session_id: str, last: Step) -> int | None:
    """The context that a compaction since the last step left; None when there was none."""
    after = ledger.compacted_to(session_id, last.at_ms)
    if after is None:
        return None
    # `postTokens` leaves out the system prompt and the tools (2.1.330, 2026-11-23).
    return after + ledger.base_tokens(session_id)
