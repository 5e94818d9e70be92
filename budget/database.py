"""The file of a ledger: its format, opening it, transactions, and errors that say what to do.

SQLite, because its transactions take the operating system's file locks, survive a killed process,
and its `UNIQUE` on the message id makes booking idempotent. The write-ahead log is left to the next
connection (see `hook.py`): a hook pays for no `fsync`, and a transaction that a power failure takes
away is read again from the transcript, because the cursor that says "this was read" went with it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from budget.errors import DamagedLedgerError, LedgerError, StateError
from budget.files import check_file, check_folder, make_folder, make_own

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE entries (
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


class Database:
    """One open ledger file. Raises `LedgerError` wherever SQLite fails, with what to do."""

    is_new = False
    """Whether this process made it."""

    def __init__(
        self,
        path: str,
        wait_s: float = 5.0,
        root: str = "",
        make: bool = True,
        looks: bool = False,
    ) -> None:
        """`make`: whether a file without a ledger becomes one; else it is an error.

        Who only `looks` makes no file, changes none, and keeps no writer waiting.
        """
        self.path = path
        self.looks = looks
        self._make = make and not looks
        self._root = root
        self._wait_s = wait_s
        self._alone = False
        try:
            self._make_room()
            self._connection = self._look() if looks else self._connect()
        except StateError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise _explained(path, error) from error
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise _explained(path, error) from error
            raise

    def _make_room(self) -> None:
        """Sees to it that folder and file are ours alone; without a file it makes an empty one."""
        folder = os.path.dirname(self.path)
        if self.looks:
            check_folder(folder)
        else:
            make_folder(folder)
        if not check_file(self.path) and self._make:
            with suppress(FileExistsError):  # another process made it at the same moment
                make_own(self.path)  # the log beside it gets its mode

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=self._wait_s, isolation_level=None)

    def _look(self) -> sqlite3.Connection:
        """A connection that reads only.

        Where there is no log, SQLite would make one to read by; a file that nobody writes to is
        read as it is. Whether that held is told by `overtaken`.
        """
        from urllib.parse import quote  # only for who looks on

        os.stat(self.path)
        self._alone = not os.path.exists(f"{self.path}-wal")
        path = os.path.abspath(self.path).replace(os.sep, "/")
        place = ("/" if path[:1] != "/" else "") + quote(os.fsencode(path))
        how = "mode=ro&immutable=1" if self._alone else "mode=ro"
        return sqlite3.connect(
            f"file://{place}?{how}", uri=True, timeout=self._wait_s, isolation_level=None
        )

    @property
    def overtaken(self) -> bool:
        """Of who looks: whether somebody began to write, so that all has to be read again."""
        return self._alone and os.path.exists(f"{self.path}-wal")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within it is of one moment. Writers do not wait for it."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def _prepare(self) -> None:
        if not self.looks:
            self._connection.execute("PRAGMA synchronous = NORMAL")
        version = self.row("PRAGMA user_version")[0]
        if version == 0 and not self._make:
            raise LedgerError(f"The ledger {self.path} is empty: nothing is booked in it yet.")
        if version == 0:
            self._use_write_ahead_log()
            with self.transaction():
                if self.row("PRAGMA user_version")[0] == 0:
                    for statement in _SCHEMA.split(";\n"):
                        self._connection.execute(statement)
                    self.write("INSERT INTO facts VALUES ('root', ?)", (self._root,))
                    self.write("INSERT INTO facts VALUES ('id', hex(randomblob(8)))")
                    self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    self.is_new = True
        elif version != SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {self.path} has the format {version}, this version of budget knows "
                f"{SCHEMA_VERSION}. A newer budget wrote it: update this one. Nothing was changed."
            )

    def _use_write_ahead_log(self) -> None:
        """Changes the journal's mode. SQLite does not wait for others there, so this does."""
        until = time.monotonic() + self._wait_s
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one writer at a time. Within one it is a part of it."""
        if self._connection.in_transaction:
            yield
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # SQLite may have rolled back by itself (a full disk): then this has nothing to do.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def write(self, sql: str, values: Iterator[Any] | tuple[Any, ...] = ()) -> int:
        """Changes something, inside a transaction; how many rows."""
        return self._connection.execute(sql, tuple(values)).rowcount

    def write_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self._connection.executemany(sql, rows)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def check_pages(self, until: float = float("inf")) -> None:
        """Looks through the whole file; no longer than to a time of the monotonic clock.

        Raises `DamagedLedgerError` with what is found.
        """
        self._connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        try:
            found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            if "interrupted" in str(error):
                return
            raise _explained(self.path, error) from error
        finally:
            self._connection.set_progress_handler(None, 0)
        if found != "ok":
            raise _damaged(self.path, " ".join(found.split()))

    def row(self, sql: str, *values: object) -> tuple[Any, ...]:
        """The first row of a query that has one."""
        return self.rows(sql, *values)[0]


def _explained(path: str, error: Exception) -> LedgerError:
    text = str(error)
    if "locked" in text or "busy" in text:
        advice = "Another process holds it; it is tried again at the next step."
    elif "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        advice = "Make the folder writable for you, or set BUDGET_HOME to one that is."
    elif "malformed" in text or "not a database" in text:
        return _damaged(path, text)
    elif "full" in text or getattr(error, "errno", 0) == 28:
        advice = "Free some space on its disk."
    else:
        advice = "`budget doctor` looks closer."
    return LedgerError(f"The ledger {path} cannot be used: {text}. {advice}")


def _damaged(path: str, text: str) -> DamagedLedgerError:
    return DamagedLedgerError(
        f"The ledger {path} cannot be used: {text}. It is damaged: move it away; the next step"
        " books the transcripts anew.",
        path,
    )
