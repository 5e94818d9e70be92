"""What each user has spent: sums of the ledger by whose work it was."""

from typing import NamedTuple

from budget.ledger import Ledger
from budget.model import Spend, Window
from budget.windows import QUARTER_MS

_SUMS = """coalesce(sum(responses), 0), coalesce(sum(input_tokens), 0),
  coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0),
  coalesce(sum(cache_write_5m_tokens), 0), coalesce(sum(cache_write_1h_tokens), 0),
  coalesce(sum(web_searches), 0), coalesce(sum(picousd), 0), coalesce(sum(bound_picousd), 0),
  coalesce(sum(listed_picousd), 0), 0, count(*) - count(picousd)"""
_END = 2**62
# A session is its first step's user's; what it leaves unattributed is theirs, too.
_OWNER = (
    "(SELECT user FROM entries WHERE session_id = unattributed.session_id ORDER BY seq LIMIT 1)"
)


def user_spend(ledger: Ledger, user: str, window: Window) -> Spend:
    """What one user has spent in a window of time, or in one session: exact to the millisecond.

    An unattributed amount counts with the whole quarter of an hour it appeared in.
    """
    values: tuple[object, ...]
    late_values: tuple[object, ...]
    if window.session_id is None:
        start, end = window.start_ms, window.end_ms or _END
        where, values = "at_ms >= ? AND at_ms < ?", (start, end)
        late, late_values = "quarter >= ? AND quarter < ?", (_quarter(start), end)
    else:
        where = late = "session_id = ?"
        values = late_values = (window.session_id,)
    spend = Spend(
        *ledger.row(f"SELECT {_SUMS} FROM entries WHERE user = ? AND {where}", user, *values)
    )
    unattributed = ledger.row(
        f"SELECT coalesce(sum(picousd), 0) FROM unattributed WHERE {late} AND {_OWNER} = ?",
        *late_values,
        user,
    )[0]
    return spend._replace(unattributed_picousd=unattributed)


def _quarter(at_ms: int) -> int:
    return at_ms // QUARTER_MS * QUARTER_MS


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
        f"SELECT user, model, session_id, at_ms / {QUARTER_MS} * {QUARTER_MS}, {_SUMS}"
        " FROM entries WHERE at_ms >= ? AND at_ms < ? GROUP BY 1, 2, 3, 4",
        start_ms,
        end_ms,
    )
    found = [Part._make((*row[:4], Spend(*row[4:]))) for row in rows]
    rows = ledger.rows(
        f"SELECT coalesce({_OWNER}, ''), session_id, quarter, picousd FROM unattributed"
        " WHERE quarter >= ? AND quarter < ? AND picousd > 0",
        start_ms,
        end_ms,
    )
    return found + [
        Part(user, "", session_id, quarter, Spend(unattributed_picousd=picousd))
        for user, session_id, quarter, picousd in rows
    ]
