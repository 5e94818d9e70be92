"""What happened in a project, kept in its ledger: stops, warnings, and what should not have been.

`budget explain` tells of the last stop from here; `budget doctor` and `budget status` show what a
person should know of: a ledger that was deleted, a grant that an agent asked for.
"""

from __future__ import annotations

from budget.lean import Any, NamedTuple, dumps, loads
from budget.ledger import Ledger
from budget.model import Budget, Source, Verdict, Window

STOP = "stop"
WARNING = "warning"
GRANT = "grant"
GRANT_REFUSED = "grant refused"
HELD = "held"
REMADE = "ledger made anew"
CHANGED = "ledger changed"
REBUILT = "ledger rebuilt"
RESTORED = "ledger restored"
COMPACTION = "compaction ordered"
NOTABLE = (GRANT_REFUSED, HELD, REMADE, CHANGED, REBUILT, RESTORED)
"""Kinds that a person should hear of."""


class Event(NamedTuple):
    at_ms: int
    kind: str
    session_id: str
    agent_id: str
    facts: dict[str, Any]


def record(ledger: Ledger, event: Event) -> None:
    """Inside a transaction."""
    ledger.write(
        "INSERT INTO events (at_ms, kind, session_id, agent_id, facts) VALUES (?, ?, ?, ?, ?)",
        (event.at_ms, event.kind, event.session_id, event.agent_id, dumps(event.facts)),
    )


def last(
    ledger: Ledger, kinds: tuple[str, ...], count: int = 1, until_ms: int = 2**53
) -> list[Event]:
    """The last events of some kinds, up to and including a time; the newest first."""
    marks = ", ".join("?" * len(kinds))
    rows = ledger.rows(
        f"SELECT at_ms, kind, session_id, agent_id, facts FROM events WHERE kind IN ({marks})"
        " AND at_ms <= ? ORDER BY at_ms DESC, seq DESC LIMIT ?",
        *kinds,
        until_ms,
        count,
    )
    return [Event(row[0], row[1], row[2], row[3], loads(row[4])) for row in rows]


def stopped(stop: Event) -> tuple[Verdict, ...]:
    """The budgets that made a stop, as they stood then."""
    return tuple(map(_verdict, stop.facts["budgets"]))


def _verdict(facts: dict[str, Any]) -> Verdict:
    fields = {key: facts[key] for key in Budget._fields}
    for key in ("warn_at", "models", "agents", "branches"):
        fields[key] = tuple(fields[key])
    budget = Budget(**{**fields, "source": Source(**facts["source"])})
    start_ms, end_ms, session_id = facts["window"]
    window = Window(start_ms, end_ms, session_id, None if session_id else end_ms)
    return Verdict(
        budget,
        window,
        facts["spent"],
        facts["granted"],
        reserved=facts["reserved"],
        expected=facts["expected"],
    )
