"""The file of a ledger: its format, opening it, transactions, and errors that say what to do.

SQLite, because its transactions take the operating system's file locks, survive a killed process,
and its `UNIQUE` on the message id makes booking idempotent. The write-ahead log is left to the next
connection (see `hook.py`): a hook pays for no `fsync`, and a transaction that a power failure takes
away is read again from the transcript, because the cursor that says "this was read" went with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from budget.chain import GUARD
from budget.errors import DamagedLedgerError, LedgerError, StateError
from budget.files import check_file, check_folder, make_folder, make_own
from budget.lean import Any, contextmanager, sqlite3, suppress

SCHEMA_VERSION = 2

_left_open: list[sqlite3.Connection] = []


class Database:
    """One open ledger file. Raises `LedgerError` wherever SQLite fails, with what to do."""

    is_new = False
    """Whether this process made it."""
    ends_at_once = False
    """Set where the process ends soon, and without closing anything: an orderly close would fold
    the log back, with two fsyncs. The next connection takes it up as it is."""

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
        if self._connection.in_transaction:
            yield
            return
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
            self._connection.create_function(GUARD, 0, int)
            self._connection.execute("PRAGMA synchronous = NORMAL")
            # A hook reads through the log that others left: a long one takes it a millisecond.
            self._connection.execute("PRAGMA wal_autocheckpoint = 250")
            # Where SQLite was built to trust no trigger, a ledger's could not call the guard.
            self._connection.execute("PRAGMA trusted_schema = ON")
        # With triggers SQLite keeps a journal of each statement: not in a file.
        self._connection.execute("PRAGMA temp_store = MEMORY")
        version = self.row("PRAGMA user_version")[0]
        if version == SCHEMA_VERSION:
            return
        if version == 0 and not self._make:
            raise LedgerError(f"The ledger {self.path} is empty: nothing is booked in it yet.")
        if not 0 <= version < SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {self.path} has the format {version}, this version of budget knows "
                f"{SCHEMA_VERSION}. A newer budget wrote it: update this one. Nothing was changed."
            )
        if self.looks:
            return  # one of an older format can be read as it is
        if version == 0:
            self._use_write_ahead_log()
        self._bring_up()

    def _bring_up(self) -> None:
        """Makes the ledger, or brings one of an older format up to this one: once, of all."""
        from budget import tables  # only here

        with self.transaction():
            version = self.row("PRAGMA user_version")[0]  # another process may have been faster
            if version < SCHEMA_VERSION:
                tables.bring_up(self._connection, version, self._root)
                self.is_new = version == 0

    def guard_anew(self) -> None:
        """Makes the guards of the tables anew. Inside a transaction."""
        from budget import tables  # only where they were touched

        tables.guard(self._connection)

    def copy_to(self, path: str) -> None:
        """A copy as it is on disk, this connection's open transaction left out."""
        source = self._connect()
        try:
            target = sqlite3.connect(path, isolation_level=None)
            try:
                source.backup(target)
            finally:
                target.close()
        except sqlite3.Error as error:
            raise _explained(path, error) from error
        finally:
            source.close()

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
        if self.ends_at_once:
            _left_open.append(self._connection)
        else:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one writer at a time. Within one it is a part of it."""
        if self._connection.in_transaction:
            yield
            return
        try:
            self._begin()
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

    def _begin(self) -> None:
        """Who waited in vain for another writer waits no more: a hook writes several times."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                self._connection.execute("PRAGMA busy_timeout = 20")
            raise

    def write(self, sql: str, values: Iterator[Any] | tuple[Any, ...] = ()) -> int:
        """Changes something, inside a transaction; how many rows."""
        return self._connection.execute(sql, tuple(values)).rowcount

    def write_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self._connection.executemany(sql, rows)

    def insert_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """The same for an insert with one row of `?`: many rows in a statement.

        For each statement that has triggers SQLite keeps a journal to undo it alone. Row by row
        that took as long as the rows; no statement has more than the 999 values that old builds
        allow.
        """
        if len(rows) > 1:
            width = len(rows[0])
            marks = f"({', '.join('?' * width)})"
            at_once = 999 // width
            whole = len(rows) // at_once * at_once
            groups = [
                [value for row in rows[first : first + at_once] for value in row]
                for first in range(0, whole, at_once)
            ]
            self._connection.executemany(sql.replace(marks, ", ".join([marks] * at_once)), groups)
            rows = rows[whole:]
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
            raise damaged(self.path, " ".join(found.split()))

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
        return damaged(path, text)
    elif "full" in text or getattr(error, "errno", 0) == 28:
        advice = "Free some space on its disk."
    else:
        advice = "`budget doctor` looks closer."
    return LedgerError(f"The ledger {path} cannot be used: {text}. {advice}")


def damaged(path: str, text: str) -> DamagedLedgerError:
    return DamagedLedgerError(
        f"The ledger {path} cannot be used: {text}. It is damaged: `budget rebuild`, or the"
        " next step, makes it anew from the transcripts.",
        path,
    )
