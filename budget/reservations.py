"""What running agents hold for their next steps, so that together they cannot pass a limit.

An agent holds the estimate of its next step from the end of one step to the end of the next, when
the real cost is booked. What others hold counts as spent. A reservation of an agent that died
lapses.
"""

from __future__ import annotations

from collections.abc import Iterable

from budget.evaluate import Who
from budget.lean import NamedTuple, dumps, loads
from budget.ledger import Ledger
from budget.model import Spend, Step

LAPSES_MS = 10 * 60_000
"""A step with its tools takes less, and a dead agent holds a step's worth no longer than this."""
_LONGEST_MS = 2 * LAPSES_MS
"""Of two hooks the one that began later may have been faster: its clock is a little ahead."""
STARTING = "starting:"
"""Before the id of the tool call that starts an agent: its own id is not known yet."""


class Reservation(NamedTuple):
    session_id: str
    agent_id: str
    """Empty for the main thread; `starting:` and a tool call's id for an agent that starts."""
    user: str
    who: Who
    spend: Spend
    """The next step as it is expected."""
    until_ms: int


def held(ledger: Ledger, now_ms: int) -> list[Reservation]:
    """All that hold now. One that would hold for long was made before the clock was set back."""
    rows = ledger.rows(
        "SELECT session_id, agent_id, user, who, spend, until_ms FROM reservations"
        " WHERE until_ms > ? AND until_ms <= ? ORDER BY session_id, agent_id",
        *(now_ms, now_ms + _LONGEST_MS),
    )
    return [
        Reservation(row[0], row[1], row[2], Who(*loads(row[3])), Spend(*loads(row[4])), row[5])
        for row in rows
    ]


def hold(ledger: Ledger, reservation: Reservation) -> None:
    """Replaces what the agent held. Inside a transaction."""
    ledger.write(
        "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?, ?)",
        (
            *reservation[:3],
            dumps(reservation.who),
            dumps(reservation.spend),
            reservation.until_ms,
        ),
    )


def drop(ledger: Ledger, session_id: str, agent_id: str) -> None:
    """An agent makes no step now. Inside a transaction."""
    ledger.write(
        "DELETE FROM reservations WHERE session_id = ? AND agent_id = ?", (session_id, agent_id)
    )


def drop_session(ledger: Ledger, session_id: str, now_ms: int) -> None:
    """A session is over, or begins; with its reservations goes what has lapsed.

    Inside a transaction.
    """
    ledger.write(
        "DELETE FROM reservations WHERE session_id = ? OR NOT until_ms BETWEEN ? AND ?",
        (session_id, now_ms + 1, now_ms + _LONGEST_MS),
    )


def replaced_by(ledger: Ledger, steps: Iterable[Step]) -> None:
    """Steps are about to be booked: they take the place of what was held for them.

    The same transaction books them, after this: of hooks that read a step at the same moment only
    the first finds its agent without one. Whose hook reads a step does not matter: it counts once.
    What was held after a step was made is for the next one.
    """
    if not ledger.rows("SELECT 1 FROM reservations LIMIT 1"):
        return
    last: dict[tuple[str, str, str], int] = {}
    for step in steps:
        key = (step.session_id, step.agent_id, step.agent)
        last[key] = max(step.at_ms, last.get(key, 0))
    for (session_id, agent_id, agent), at_ms in last.items():
        ledger.write(
            "DELETE FROM reservations WHERE session_id = ? AND agent_id = ? AND until_ms < ?",
            (session_id, agent_id, at_ms + LAPSES_MS),
        )
        if agent_id and not ledger.rows(
            "SELECT 1 FROM entries WHERE session_id = ? AND agent_id = ? LIMIT 1",
            *(session_id, agent_id),
        ):
            _started(ledger, session_id, agent)


def _started(ledger: Ledger, session_id: str, agent: str) -> None:
    """The first step of an agent: one was held when its start was allowed, by its type."""
    ledger.write(
        "DELETE FROM reservations WHERE (session_id, agent_id) IN (SELECT session_id, agent_id"
        " FROM reservations WHERE session_id = ? AND agent_id GLOB ? AND instr(who, ?) = 1"
        " ORDER BY until_ms LIMIT 1)",
        (session_id, f"{STARTING}*", f"[{dumps(agent)},"),
    )
