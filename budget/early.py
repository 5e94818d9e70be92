"""Ledgers of 0.1.0: they call their format 1, and lack what was added to it before there was a 2.

Loaded only where a ledger of format 1 is brought up.
"""

import re
import sqlite3

from budget.windows import SPANS

_SPENT = """sum(responses), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
  sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(web_searches),
  coalesce(sum(picousd), 0), sum(bound_picousd), sum(listed_picousd), 0,
  count(*) - count(picousd)"""
_LAST_USER = """coalesce((SELECT entries.user FROM entries
  WHERE entries.session_id = old_unattributed.session_id
  ORDER BY at_ms DESC, seq DESC LIMIT 1), '')"""


def complete(connection: sqlite3.Connection, tables: str) -> None:
    """Makes what is missing of `tables`, the statements of the whole format 1.

    Inside a transaction. Totals by user are added up from the entries; an unattributed amount
    belongs to the user of its session's last step.
    """
    by_user = "user" in _columns(connection, "totals")
    numbered = {"seq", "user"} <= _columns(connection, "unattributed")
    if not by_user:
        connection.execute("DROP TABLE totals")
    if not numbered:
        connection.execute("ALTER TABLE unattributed RENAME TO old_unattributed")
    for statement in tables.split(";\n"):
        missing = re.sub(r"CREATE (TABLE|INDEX) (?!IF)", r"CREATE \1 IF NOT EXISTS ", statement)
        connection.execute(missing)
    connection.execute("INSERT OR IGNORE INTO facts VALUES ('id', hex(randomblob(8)))")
    if not numbered:
        connection.execute(
            "INSERT INTO unattributed (session_id, quarter, user, picousd)"
            f" SELECT session_id, quarter, {_LAST_USER}, picousd FROM old_unattributed"
        )
        connection.execute("DROP TABLE old_unattributed")
    if not by_user:
        _add_up(connection)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _add_up(connection: sqlite3.Connection) -> None:
    buckets = [(f"'{span}'", f"at_ms / {size} * {size}") for span, size in SPANS]
    for span, start in (*buckets, ("'session'", "session_id"), ("'all'", "0")):
        connection.execute(
            f"INSERT INTO totals SELECT {span}, {start}, model, agent, branch, user, {_SPENT}"
            " FROM entries GROUP BY 2, 3, 4, 5, 6"
        )
        connection.execute(
            f"INSERT INTO totals SELECT {span}, {start.replace('at_ms', 'quarter')}, '', '', '',"
            " user, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(picousd), 0 FROM unattributed WHERE true"
            " GROUP BY 2, 6 ON CONFLICT DO UPDATE SET unattributed_picousd ="
            " excluded.unattributed_picousd"
        )
