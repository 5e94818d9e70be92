"""Grants: what a person added to a budget's limit, how much, until when, and why.

A grant on a budget of scope `user` is kept in the ledger of people, so that it holds in every
project, as the budget does; any other in the project's own.
"""

from __future__ import annotations

from budget.chain import SEALED, seal
from budget.lean import NamedTuple
from budget.ledger import Ledger


class Grant(NamedTuple):
    at_ms: int
    until_ms: int
    """Exclusive."""
    session_id: str
    """The one session it holds in; empty for all."""
    budget: str
    """The name of the budget; of budgets with this name, every one in this unit is raised."""
    unit: str
    amount: int
    """Picodollars, or a count, as the budget's limit."""
    person: str
    reason: str


def add(ledger: Ledger, grant: Grant) -> None:
    """Inside a transaction."""
    rows = ledger.rows("SELECT seq, seal FROM grants ORDER BY seq DESC LIMIT 1")
    seq, before = rows[0] if rows else (0, b"")
    row = (seq + 1, *grant)
    ledger.write(
        f"INSERT INTO grants ({SEALED['grants']}, seal) VALUES ({', '.join('?' * 10)})",
        (*row, seal("grants", row, before)),
    )


def active(ledger: Ledger, now_ms: int) -> list[Grant]:
    """Those that hold now, in any session, the oldest first."""
    rows = ledger.rows(
        "SELECT at_ms, until_ms, session_id, budget, unit, amount, person, reason FROM grants"
        " WHERE at_ms <= ? AND until_ms > ? ORDER BY seq",
        now_ms,
        now_ms,
    )
    return [Grant(*row) for row in rows]


def total(grants: list[Grant], budget: str, unit: str, session_id: str) -> int:
    """What they add to one limit in one session."""
    return sum(
        grant.amount
        for grant in grants
        if (grant.budget, grant.unit) == (budget, unit) and grant.session_id in ("", session_id)
    )
