"""The tables of a ledger, and how a ledger of an older format becomes one of the next.

A new ledger goes the same way from the first format on, so that both are the same to the letter.
Loaded only where a ledger is made or migrated.
"""

import sqlite3

from budget.chain import ENTRY_COLUMNS, GUARD, SEALED, digest, first_link, link, seal

_FIRST = """CREATE TABLE entries (
  seq INTEGER PRIMARY KEY, -- rises with every change: what has a higher one is news
  message_id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL, agent TEXT NOT NULL, agent_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL, branch TEXT NOT NULL, model TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL,
  speed TEXT NOT NULL, geo TEXT NOT NULL, tier TEXT NOT NULL,
  responses INTEGER NOT NULL, -- 1, or 0 for what an advisor used within another step
  parts TEXT NOT NULL, -- the iterations of the step as JSON, or empty
  stated_picousd INTEGER, -- what a 1.x client wrote that it cost
  user TEXT NOT NULL, -- whose session it was
  price_version TEXT NOT NULL, picousd INTEGER, bound_picousd INTEGER NOT NULL,
  listed_picousd INTEGER NOT NULL -- at list prices, as the client counts
);
CREATE INDEX entries_at ON entries (at_ms);
CREATE INDEX entries_session ON entries (session_id, at_ms);
CREATE INDEX IF NOT EXISTS entries_user ON entries (user, at_ms);

-- Derived: sums per bucket of time, per session and over all. `start` is milliseconds, or the
-- session's id for the span 'session', or 0 for 'all'.
CREATE TABLE totals (
  span TEXT NOT NULL, start NOT NULL,
  model TEXT NOT NULL, agent TEXT NOT NULL, branch TEXT NOT NULL, user TEXT NOT NULL,
  steps INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL, bound_picousd INTEGER NOT NULL,
  listed_picousd INTEGER NOT NULL, unattributed_picousd INTEGER NOT NULL,
  unpriced_steps INTEGER NOT NULL,
  PRIMARY KEY (span, start, model, agent, branch, user)
) WITHOUT ROWID;

CREATE TABLE cursors (
  path TEXT PRIMARY KEY, session_id TEXT NOT NULL,
  device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, head TEXT NOT NULL,
  prompt_id TEXT NOT NULL, tool_use_ids TEXT NOT NULL, message_id TEXT NOT NULL,
  tail TEXT NOT NULL, bad_lines INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX cursors_session ON cursors (session_id);

-- Steps of another session that a session's transcript repeats: the history of a fork.
CREATE TABLE copies (
  session_id TEXT NOT NULL, message_id TEXT NOT NULL,
  PRIMARY KEY (session_id, message_id)
) WITHOUT ROWID;

-- The client's own totals for a session, by source: each process the sensor reports on, the
-- transcript, the status line, the result message.
CREATE TABLE client_totals (
  session_id TEXT NOT NULL, source TEXT NOT NULL, since_ms INTEGER NOT NULL,
  base_picousd INTEGER NOT NULL, total_picousd INTEGER NOT NULL,
  before_picousd INTEGER NOT NULL, -- derived: the session's entries from before since_ms
  PRIMARY KEY (session_id, source)
) WITHOUT ROWID;

-- What the client says each model used in a session, from its result messages (see result.py).
CREATE TABLE IF NOT EXISTS model_totals (
  session_id TEXT NOT NULL, model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL,
  PRIMARY KEY (session_id, model)
) WITHOUT ROWID;

-- What the client counts beyond the session's entries, by the quarter of an hour it appeared in.
CREATE TABLE unattributed (
  seq INTEGER PRIMARY KEY, -- as of entries
  session_id TEXT NOT NULL, quarter INTEGER NOT NULL, user TEXT NOT NULL,
  picousd INTEGER NOT NULL,
  UNIQUE (session_id, quarter, user)
);

-- When a session's context was compacted, as its transcript tells.
CREATE TABLE compactions (
  session_id TEXT NOT NULL, at_ms INTEGER NOT NULL,
  before_tokens INTEGER NOT NULL, after_tokens INTEGER NOT NULL, automatic INTEGER NOT NULL,
  PRIMARY KEY (session_id, at_ms)
) WITHOUT ROWID;

-- What a person added to a budget's limit, and until when.
CREATE TABLE grants (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  session_id TEXT NOT NULL, -- empty: of every session
  budget TEXT NOT NULL, unit TEXT NOT NULL, amount INTEGER NOT NULL,
  person TEXT NOT NULL, reason TEXT NOT NULL
);

-- What running agents hold for their next steps (see `reservations.py`).
CREATE TABLE reservations (
  session_id TEXT NOT NULL, agent_id TEXT NOT NULL, user TEXT NOT NULL,
  who TEXT NOT NULL, spend TEXT NOT NULL, -- JSON
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, agent_id)
) WITHOUT ROWID;

-- What happened: stops, warnings, grants, and what should not have happened. `facts` is JSON.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, kind TEXT NOT NULL, session_id TEXT NOT NULL, agent_id TEXT NOT NULL,
  facts TEXT NOT NULL
);
CREATE INDEX events_kind ON events (kind, at_ms);

-- How far other ledgers were taken over into this one: only in the ledger of people.
CREATE TABLE sources (
  path TEXT PRIMARY KEY, ledger_id TEXT NOT NULL, stamp TEXT NOT NULL,
  seq INTEGER NOT NULL, unattributed_seq INTEGER NOT NULL
) WITHOUT ROWID;

-- About the ledger itself: `root`, the folder of the project; `id`, which no other ledger has.
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- What was said once: a warning per budget, window and mark; a notice per session.
CREATE TABLE said (key TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_SECOND = """
ALTER TABLE entries ADD COLUMN replaces TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN link BLOB NOT NULL DEFAULT x'';
ALTER TABLE grants ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE cursors ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE client_totals ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE unattributed ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE sources ADD COLUMN seal BLOB NOT NULL DEFAULT x'';

-- Windows find their entries by time, whoever's they are; a fourth index only slows booking.
DROP INDEX IF EXISTS entries_user;

-- Places of the chain whose entry rose and moved to the end of it.
CREATE TABLE superseded (
  seq INTEGER PRIMARY KEY, link BLOB NOT NULL, digest BLOB NOT NULL
);

-- Derived: sums per prompt and quarter of an hour.
CREATE TABLE prompt_totals (
  prompt_id TEXT NOT NULL, quarter INTEGER NOT NULL,
  steps INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL, bound_picousd INTEGER NOT NULL,
  listed_picousd INTEGER NOT NULL, unpriced_steps INTEGER NOT NULL,
  PRIMARY KEY (prompt_id, quarter)
) WITHOUT ROWID;
"""

GUARDED = (
    *("entries", "superseded", "totals", "prompt_totals", "unattributed", "client_totals"),
    *("grants", "cursors", "copies", "compactions", "sources", "facts", "events", "reservations"),
)
"""Tables that nothing but this program may change. The function of their triggers is looked up
when a change is prepared, and is never called. `AFTER`: before an insert SQLite would copy the
row."""


QUARTER = "at_ms / 900000 * 900000"
PROMPT_TOTALS = f"""SELECT prompt_id, {QUARTER} AS quarter, sum(responses) AS steps,
  sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
  sum(cache_read_tokens) AS cache_read_tokens,
  sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
  sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(web_searches) AS web_searches,
  coalesce(sum(picousd), 0) AS picousd, sum(bound_picousd) AS bound_picousd,
  sum(listed_picousd) AS listed_picousd, count(*) - count(picousd) AS unpriced_steps
  FROM entries GROUP BY 1, 2"""
"""What `prompt_totals` holds, from the entries."""


def bring_up(connection: sqlite3.Connection, version: int, root: str) -> None:
    """Makes the tables, or those that are missing. Inside a transaction: all or nothing.

    `version` is the format that is there, 0 for none; `root` is the folder of the project.
    """
    if version == 0:
        _run(connection, _FIRST)
        connection.execute("INSERT INTO facts VALUES ('root', ?)", (root,))
        connection.execute("INSERT INTO facts VALUES ('id', hex(randomblob(8)))")
    if version == 1:
        from budget import early  # only here

        early.complete(connection, _FIRST)
    if version < 2:
        _run(connection, _SECOND)
        _seal_all(connection)
    guard(connection)
    connection.execute("PRAGMA user_version = 2")


def guard(connection: sqlite3.Connection) -> None:
    """Makes every trigger anew, ours only, and keeps what the tables are now. In a transaction."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in found:
        quoted = name.replace('"', '""')
        connection.execute(f'DROP TRIGGER "{quoted}"')
    for table in GUARDED:
        for change in ("INSERT", "UPDATE", "DELETE"):
            connection.execute(
                f"CREATE TRIGGER {table}_{change.lower()} AFTER {change} ON {table}"
                f" BEGIN SELECT {GUARD}() WHERE 0; END"
            )
    # What drops a trigger changes this number: a hook compares it (see `anchor.py`).
    schema = connection.execute("PRAGMA schema_version").fetchone()[0]
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('schema', ?)", (str(schema),))


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _seal_all(connection: sqlite3.Connection) -> None:
    """The chain and the seals of what was booked before there were any, and the sums by prompt."""
    ledger_id = connection.execute("SELECT value FROM facts WHERE key = 'id'").fetchone()[0]
    previous, seq = first_link(ledger_id), 0
    chained = f"SELECT seq, {ENTRY_COLUMNS}, replaces FROM entries WHERE seq > ? ORDER BY seq"
    while rows := connection.execute(f"{chained} LIMIT 5000", (seq,)).fetchall():
        links = []
        for row in rows:
            previous, seq = link(previous, digest(row)), row[0]
            links.append((previous, seq))
        connection.executemany("UPDATE entries SET link = ? WHERE seq = ?", links)
    connection.execute("INSERT INTO facts VALUES ('chained_from', ?)", (str(seq),))
    for table, columns in SEALED.items():
        before = b""
        rows = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()
        for row in rows:
            before = seal(table, row, before)
            same = f"({columns}) = ({', '.join('?' * len(row))})"
            connection.execute(f"UPDATE {table} SET seal = ? WHERE {same}", (before, *row))
    connection.execute(f"INSERT INTO prompt_totals {PROMPT_TOTALS}")
