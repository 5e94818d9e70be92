"""What a ledger keeps beside its facts because adding it up anew would take too long.

Totals, sums by prompt, and what a session had cost before its client began: all of it follows from
entries and unattributed amounts. Here it is added up anew, by SQLite, to compare or to replace it.
"""

from budget.ledger import Ledger
from budget.model import Spend
from budget.tables import PROMPT_TOTALS, QUARTER
from budget.windows import SPANS

_NUMBERS = Spend._fields
_WHAT = "model, agent, branch, user"
TOTALS = f"span, start, {_WHAT}, {', '.join(_NUMBERS)}"
PROMPTS = f"prompt_id, quarter, {', '.join((*_NUMBERS[:10], _NUMBERS[11]))}"
_SUMS = ", ".join(f"sum({number}) AS {number}" for number in _NUMBERS)
_OF_ENTRIES = """sum(responses) AS steps, sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens, sum(cache_read_tokens) AS cache_read_tokens,
  sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
  sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(web_searches) AS web_searches,
  coalesce(sum(picousd), 0) AS picousd, sum(bound_picousd) AS bound_picousd,
  sum(listed_picousd) AS listed_picousd, 0 AS unattributed_picousd,
  count(*) - count(picousd) AS unpriced_steps"""
_TRUE_BEFORE = """(SELECT coalesce(sum(listed_picousd), 0) FROM entries
  WHERE entries.session_id = client_totals.session_id AND at_ms < since_ms)"""


def add_up(ledger: Ledger) -> None:
    """Makes the temporary tables `derived_totals` and `derived_prompts`. Inside a transaction."""
    for name in ("parts", "derived_totals", "derived_prompts"):
        ledger.write(f"DROP TABLE IF EXISTS temp.{name}")
    ledger.write(
        f"CREATE TEMP TABLE parts AS SELECT session_id, {QUARTER} AS quarter, {_WHAT},"
        f" {_OF_ENTRIES} FROM entries GROUP BY 1, 2, 3, 4, 5, 6"
    )
    ledger.write(
        "INSERT INTO parts SELECT session_id, quarter, '', '', '', user, 0, 0, 0, 0, 0, 0, 0, 0,"
        " 0, 0, picousd, 0 FROM unattributed"
    )
    starts = [(span, f"quarter / {size} * {size}") for span, size in SPANS]
    selects = [
        f"SELECT '{span}' AS span, {start} AS start, {_WHAT}, {_SUMS} FROM parts"
        " GROUP BY 2, 3, 4, 5, 6"
        for span, start in (*starts, ("session", "session_id"), ("all", "0"))
    ]
    ledger.write(f"CREATE TEMP TABLE derived_totals AS {' UNION ALL '.join(selects)}")
    ledger.write(f"CREATE TEMP TABLE derived_prompts AS {PROMPT_TOTALS}")
    ledger.write("DROP TABLE temp.parts")


def replace(ledger: Ledger) -> None:
    """Puts what was added up anew in the place of what was kept. Inside a transaction."""
    add_up(ledger)
    ledger.write("DELETE FROM totals")
    ledger.write(f"INSERT INTO totals ({TOTALS}) SELECT * FROM derived_totals")
    ledger.write("DELETE FROM prompt_totals")
    ledger.write(f"INSERT INTO prompt_totals ({PROMPTS}) SELECT * FROM derived_prompts")
    ledger.write(f"UPDATE client_totals SET before_picousd = {_TRUE_BEFORE}")


def wrong_totals(ledger: Ledger) -> list[tuple[tuple[object, ...], Spend, Spend]]:
    """(key, kept, added up anew) of each total that is not the sum of its entries."""
    any_number = " OR ".join(f"{number} <> 0" for number in _NUMBERS)
    return [
        (key, Spend._make(kept), Spend._make(anew))
        for key, kept, anew in _differences(
            ledger, TOTALS, "totals", "derived_totals", 6, f" WHERE {any_number}"
        )
    ]


def wrong_prompts(
    ledger: Ledger,
) -> list[tuple[tuple[object, ...], tuple[int, ...], tuple[int, ...]]]:
    """The same of the sums by prompt."""
    columns = PROMPTS.split(", ")[2:]
    any_number = " OR ".join(f"{number} <> 0" for number in columns)
    return _differences(
        ledger, PROMPTS, "prompt_totals", "derived_prompts", 2, f" WHERE {any_number}"
    )


def wrong_befores(ledger: Ledger) -> list[tuple[str, str, int, int]]:
    """(session id, source, kept, added up anew) of what sessions cost before their client began."""
    rows: list[tuple[str, str, int, int]] = ledger.rows(
        f"SELECT session_id, source, before_picousd, {_TRUE_BEFORE} FROM client_totals"
        f" WHERE before_picousd <> {_TRUE_BEFORE}"
    )
    return rows


def _differences(
    ledger: Ledger, columns: str, kept: str, anew: str, width: int, where: str
) -> list[tuple[tuple[object, ...], tuple[int, ...], tuple[int, ...]]]:
    """Rows that are not in both: (key, numbers that are kept, numbers added up anew)."""
    zeros = (0,) * (len(columns.split(", ")) - width)
    sides = []
    for one, other in ((kept, f"temp.{anew}"), (f"temp.{anew}", kept)):
        rows = ledger.rows(
            f"SELECT {columns} FROM {one}{where} EXCEPT SELECT {columns} FROM {other}{where}"
        )
        sides.append({row[:width]: row[width:] for row in rows})
    keys = sorted({*sides[0], *sides[1]}, key=str)
    return [(key, sides[0].get(key, zeros), sides[1].get(key, zeros)) for key in keys]
