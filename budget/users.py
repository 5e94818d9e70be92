"""What each user has spent: sums of the ledger by whose work it was."""

from typing import NamedTuple

from budget.ledger import Ledger
from budget.model import Filter, Spend, Window
from budget.readings import ENTRY_SUMS
from budget.windows import QUARTER_MS

# A session is its first step's user's; what it leaves unattributed is theirs, too.
_OWNER = (
    "(SELECT user FROM entries WHERE session_id = unattributed.session_id ORDER BY seq LIMIT 1)"
)


def user_spend(ledger: Ledger, user: str, window: Window) -> Spend:
    """What one user has spent in a window of time, or in one session: exact to the millisecond.

    An unattributed amount counts with the whole quarter of an hour it appeared in.
    """
    return ledger.spend(window, Filter(user=user))


class Part(NamedTuple):
    """What one user spent on one model in one session within a quarter of an hour."""

    user: str
    model: str
    """Empty for what is unattributed."""
    session_id: str
    quarter_ms: int
    spend: Spend


def parts(ledger: Ledger, start_ms: int, end_ms: int) -> list[Part]:
    """Everything within [start, end), whole quarters of an hour, by user, model and session."""
    rows = ledger.rows(
        f"SELECT user, model, session_id, at_ms / {QUARTER_MS} * {QUARTER_MS}, {ENTRY_SUMS}"
        " FROM entries WHERE at_ms >= ? AND at_ms < ? GROUP BY 1, 2, 3, 4",
        start_ms,
        end_ms,
    )
    found = [Part._make((*row[:4], Spend(*row[4:]))) for row in rows]
    rows = ledger.rows(
        "SELECT user, session_id, quarter, picousd FROM unattributed"
        " WHERE quarter >= ? AND quarter < ? AND picousd > 0",
        start_ms,
        end_ms,
    )
    return found + [
        Part(user, "", session_id, quarter, Spend(unattributed_picousd=picousd))
        for user, session_id, quarter, picousd in rows
    ]
