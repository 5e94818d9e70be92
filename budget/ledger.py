"""The ledger of one project: what was spent, on what, and what has been said about it.

SQLite, because its transactions take the operating system's file locks, survive a killed process,
and its `UNIQUE` on the message id makes booking idempotent. Entries are facts; totals are derived
from them in the same transaction. Nothing here decides: it adds up.

The write-ahead log is left to the next connection (see `hook.py`): a hook pays for no `fsync`, and
a transaction that a power failure takes away is read again from the transcript, because the
cursor that says "this was read" went with it.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from budget.errors import LedgerError
from budget.model import ClientTotal, Price, Spend, Step, Usage, Window
from budget.pricing import Table, price
from budget.transcript import Cursor
from budget.windows import QUARTER_MS, SPANS, cover

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL, agent TEXT NOT NULL, agent_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL, branch TEXT NOT NULL, model TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL,
  speed TEXT NOT NULL, geo TEXT NOT NULL, tier TEXT NOT NULL,
  price_version TEXT NOT NULL, picousd INTEGER, bound_picousd INTEGER NOT NULL
);
CREATE INDEX entries_at ON entries (at_ms);
CREATE INDEX entries_session ON entries (session_id, at_ms);

-- Derived: sums per bucket of time, per session and over all. `start` is milliseconds, or the
-- session's id for the span 'session', or 0 for 'all'.
CREATE TABLE totals (
  span TEXT NOT NULL, start NOT NULL,
  model TEXT NOT NULL, agent TEXT NOT NULL, branch TEXT NOT NULL,
  steps INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL, picousd INTEGER NOT NULL, bound_picousd INTEGER NOT NULL,
  unattributed_picousd INTEGER NOT NULL, unpriced_steps INTEGER NOT NULL,
  PRIMARY KEY (span, start, model, agent, branch)
) WITHOUT ROWID;

CREATE TABLE cursors (
  path TEXT PRIMARY KEY, session_id TEXT NOT NULL,
  device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, offset INTEGER NOT NULL, head TEXT NOT NULL,
  prompt_id TEXT NOT NULL, tool_use_ids TEXT NOT NULL,
  bad_lines INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX cursors_session ON cursors (session_id);

-- What each client process reports as its own running total for a session.
CREATE TABLE client_totals (
  session_id TEXT NOT NULL, instance TEXT NOT NULL, since_ms INTEGER NOT NULL,
  base_picousd INTEGER NOT NULL, total_picousd INTEGER NOT NULL,
  before_picousd INTEGER NOT NULL, -- derived: the session's entries from before since_ms
  PRIMARY KEY (session_id, instance)
) WITHOUT ROWID;

-- What the client counts beyond the session's entries, by the quarter of an hour it appeared in.
CREATE TABLE unattributed (
  session_id TEXT NOT NULL, quarter INTEGER NOT NULL, picousd INTEGER NOT NULL,
  PRIMARY KEY (session_id, quarter)
) WITHOUT ROWID;

-- What was said once: a warning per budget, window and mark; a notice per session.
CREATE TABLE said (key TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_SUMS = ", ".join(f"coalesce(sum({field}), 0)" for field in Spend._fields)
_ENTRY_SUMS = """count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
  coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_5m_tokens), 0),
  coalesce(sum(cache_write_1h_tokens), 0), coalesce(sum(web_searches), 0),
  coalesce(sum(picousd), 0), coalesce(sum(bound_picousd), 0), 0,
  count(*) - count(picousd)"""
_ADD = f"""INSERT INTO totals VALUES (?, ?, ?, ?, ?, {", ".join("?" * len(Spend._fields))})
  ON CONFLICT (span, start, model, agent, branch) DO UPDATE SET
  {", ".join(f"{f} = {f} + excluded.{f}" for f in Spend._fields)}"""

# Later than any entry; a whole number of days, so that it leaves no ragged edge.
_FAR = SPANS[0][1] * 10**7


class Booked(NamedTuple):
    """What a booking changed."""

    new: int
    """Steps that were not in the ledger."""
    raised: int
    """Known steps whose usage rose."""


class Ledger:
    """One open ledger. Every method that writes belongs inside `transaction()`.

    Raises `LedgerError` wherever SQLite does, with what to do.
    """

    def __init__(self, path: str, wait_s: float = 5.0) -> None:
        self.path = path
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise _explained(path, error) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = self._one("PRAGMA user_version")
        if version == 0:
            self._db.execute("PRAGMA journal_mode = WAL")
            with self.transaction():
                if self._one("PRAGMA user_version") == 0:
                    for statement in _SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {self.path} has the format {version}, this version of budget knows "
                f"{SCHEMA_VERSION}. A newer budget wrote it: update this one. Nothing was changed."
            )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one writer at a time."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    # -- booking ---------------------------------------------------------------------------------

    def cursors(self, session_id: str) -> dict[str, Cursor]:
        """How far each file of a session was read, by path."""
        rows = self._all(
            "SELECT path, device, inode, size, mtime_ns, offset, head, prompt_id, tool_use_ids"
            " FROM cursors WHERE session_id = ?",
            session_id,
        )
        return {row[0]: Cursor(*row[1:]) for row in rows}

    def move_cursor(self, path: str, session_id: str, cursor: Cursor, bad_lines: int) -> None:
        self._db.execute(
            "INSERT INTO cursors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (path) DO UPDATE SET"
            " session_id = excluded.session_id, device = excluded.device, inode = excluded.inode,"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, offset = excluded.offset,"
            " head = excluded.head, prompt_id = excluded.prompt_id,"
            " tool_use_ids = excluded.tool_use_ids, bad_lines = bad_lines + excluded.bad_lines",
            (path, session_id, *cursor, bad_lines),
        )

    def book(self, steps: Iterable[Step], table: Table) -> Booked:
        """Adds what is new; raises what is known to the field-wise maximum of its usage.

        A message id that another session of this project has already booked (a fork copies its
        history) stays where it is.
        """
        new = raised = 0
        for step in steps:
            known = self._db.execute(
                "SELECT session_id, agent, model, branch, at_ms, input_tokens, output_tokens,"
                " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_searches,"
                " speed, geo, tier, picousd, bound_picousd FROM entries WHERE message_id = ?",
                (step.message_id,),
            ).fetchone()
            if known is None:
                new += 1
                self._insert(step, price(step, table))
                continue
            usage = step.usage.highest(Usage(*known[5:11]))
            if usage == known[5:11]:
                continue
            raised += 1
            first = step._replace(
                session_id=known[0],
                agent=known[1],
                model=known[2],
                branch=known[3],
                at_ms=known[4],
                usage=usage,
                speed=known[11] or step.speed,
                geo=known[12] or step.geo,
                tier=known[13] or step.tier,
            )
            self._raise(first, Usage(*known[5:11]), known[14], known[15], price(first, table))
        return Booked(new, raised)

    def _insert(self, step: Step, cost: Price) -> None:
        self._db.execute(
            f"INSERT INTO entries VALUES (NULL{', ?' * 20})",
            (
                step.message_id,
                step.session_id,
                step.agent,
                step.agent_id,
                step.prompt_id,
                step.branch,
                step.model,
                step.at_ms,
                *step.usage,
                step.speed,
                step.geo,
                step.tier,
                cost.version,
                cost.picousd,
                cost.bound_picousd,
            ),
        )
        unpriced = int(cost.picousd is None)
        spend = Spend(1, *step.usage, cost.picousd or 0, cost.bound_picousd, 0, unpriced)
        self._add_step(step, spend)

    def _raise(self, step: Step, old: Usage, picousd: int | None, bound: int, cost: Price) -> None:
        self._db.execute(
            "UPDATE entries SET input_tokens = ?, output_tokens = ?, cache_read_tokens = ?,"
            " cache_write_5m_tokens = ?, cache_write_1h_tokens = ?, web_searches = ?, speed = ?,"
            " geo = ?, tier = ?, price_version = ?, picousd = ?, bound_picousd = ?"
            " WHERE message_id = ?",
            (
                *step.usage,
                step.speed,
                step.geo,
                step.tier,
                cost.version,
                cost.picousd,
                cost.bound_picousd,
                step.message_id,
            ),
        )
        rise = Usage(*(now - before for now, before in zip(step.usage, old, strict=True)))
        spend = Spend(
            0,
            *rise,
            (cost.picousd or 0) - (picousd or 0),
            cost.bound_picousd - bound,
            0,
            int(cost.picousd is None) - int(picousd is None),
        )
        self._add_step(step, spend)

    def _add_step(self, step: Step, spend: Spend) -> None:
        self._add(step.session_id, step.at_ms, (step.model, step.agent, step.branch), spend)
        self._db.execute(
            "UPDATE client_totals SET before_picousd = before_picousd + ?"
            " WHERE session_id = ? AND since_ms > ?",
            (spend.picousd + spend.bound_picousd, step.session_id, step.at_ms),
        )

    def _add(self, session_id: str, at_ms: int, what: tuple[str, str, str], spend: Spend) -> None:
        """Adds to every total that holds this moment; `what` is (model, agent, branch)."""
        buckets: list[tuple[str, int | str]] = [
            (span, at_ms // size * size) for span, size in SPANS
        ]
        buckets += [("session", session_id), ("all", 0)]
        self._db.executemany(_ADD, [(*bucket, *what, *spend) for bucket in buckets])

    # -- the client's own total ------------------------------------------------------------------

    def note_client_totals(self, reports: Iterable[ClientTotal]) -> None:
        """Keeps the latest report of each client process. A total never falls within one."""
        for report in reports:
            before = self._one(
                "SELECT coalesce(sum(coalesce(picousd, bound_picousd)), 0) FROM entries"
                " WHERE session_id = ? AND at_ms < ? AND NOT EXISTS"
                " (SELECT 1 FROM client_totals WHERE session_id = ? AND instance = ?)",
                report.session_id,
                report.since_ms,
                report.session_id,
                report.instance,
            )
            self._db.execute(
                "INSERT INTO client_totals VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (session_id, instance) DO UPDATE SET"
                " total_picousd = max(total_picousd, excluded.total_picousd)",
                (*report, before),
            )

    def settle_unattributed(self, session_id: str, now_ms: int) -> None:
        """Makes entries plus unattributed of a session equal to what its clients counted.

        The unattributed amount is a level, not a sum: when steps that were late arrive, it falls
        by what they cost, the newest first, and never below zero. What rises is dated `now_ms`.
        """
        row = self._db.execute(
            "SELECT sum(total_picousd - base_picousd) OVER (), before_picousd FROM client_totals"
            " WHERE session_id = ? ORDER BY since_ms LIMIT 1",
            (session_id,),
        ).fetchone()
        if row is None:
            return
        counted, before = row
        session = self._totals("session", session_id)
        booked = session.picousd + session.bound_picousd - before
        quarters = self._all(
            "SELECT quarter, picousd FROM unattributed WHERE session_id = ? ORDER BY quarter DESC",
            session_id,
        )
        rise = max(0, counted - booked) - sum(amount for _, amount in quarters)
        if rise > 0:
            self._shift_unattributed(session_id, now_ms // QUARTER_MS * QUARTER_MS, rise)
        for quarter, amount in quarters:
            if rise >= 0:
                break
            fall = min(amount, -rise)
            self._shift_unattributed(session_id, quarter, -fall)
            rise += fall

    def _shift_unattributed(self, session_id: str, quarter: int, picousd: int) -> None:
        self._db.execute(
            "INSERT INTO unattributed VALUES (?, ?, ?)"
            " ON CONFLICT (session_id, quarter) DO UPDATE SET picousd = picousd + excluded.picousd",
            (session_id, quarter, picousd),
        )
        self._add(session_id, quarter, ("", "", ""), Spend(unattributed_picousd=picousd))

    # -- reading ---------------------------------------------------------------------------------

    def spend(self, window: Window) -> Spend:
        """The sums over a window, exact to the millisecond."""
        if window.session_id is not None:
            return self._totals("session", window.session_id)
        if window.start_ms == 0 and window.end_ms is None:
            return self._totals("all", 0)
        total = Spend()
        for span, start, end in cover(window.start_ms, window.end_ms or _FAR):
            if span == "entry":
                where = f"SELECT {_ENTRY_SUMS} FROM entries WHERE at_ms >= ? AND at_ms < ?"
                total = total.plus(Spend(*self._row(where, start, end)))
            else:
                where = f"SELECT {_SUMS} FROM totals WHERE span = ? AND start >= ? AND start < ?"
                total = total.plus(Spend(*self._row(where, span, start, end)))
        return total

    def _totals(self, span: str, start: int | str) -> Spend:
        where = f"SELECT {_SUMS} FROM totals WHERE span = ? AND start = ?"
        return Spend(*self._row(where, span, start))

    def unpriced_models(self) -> list[str]:
        rows = self._all(
            "SELECT DISTINCT model FROM totals WHERE span = 'all' AND unpriced_steps > 0"
        )
        return [row[0] for row in rows]

    def bad_lines(self) -> int:
        """Lines of transcripts that should have told of a step and could not be read."""
        return int(self._one("SELECT coalesce(sum(bad_lines), 0) FROM cursors"))

    def context_tokens(self, session_id: str) -> int:
        """The size of the main thread's context at its last step."""
        row = self._db.execute(
            "SELECT input_tokens + cache_read_tokens + cache_write_5m_tokens"
            " + cache_write_1h_tokens FROM entries WHERE session_id = ? AND agent = 'main'"
            " ORDER BY at_ms DESC, seq DESC LIMIT 1",
            (session_id,),
        ).fetchone()
        return int(row[0]) if row else 0

    def last_session(self) -> str | None:
        row = self._db.execute(
            "SELECT session_id FROM entries ORDER BY at_ms DESC, seq DESC LIMIT 1"
        ).fetchone()
        return str(row[0]) if row else None

    # -- saying things once ----------------------------------------------------------------------

    def say_once(self, key: str, now_ms: int) -> bool:
        """True for the first caller with this key, of all processes."""
        added = self._db.execute("INSERT OR IGNORE INTO said VALUES (?, ?)", (key, now_ms))
        return added.rowcount == 1

    # -- rows ------------------------------------------------------------------------------------

    def _all(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def _row(self, sql: str, *values: object) -> tuple:  # type: ignore[type-arg]
        return self._all(sql, *values)[0]

    def _one(self, sql: str, *values: object) -> int:
        return int(self._row(sql, *values)[0])


def _explained(path: str, error: Exception) -> LedgerError:
    text = str(error)
    if "locked" in text or "busy" in text:
        advice = "Another process holds it; it is tried again at the next step."
    elif "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        advice = "Make the folder writable for you, or set BUDGET_HOME to one that is."
    elif "malformed" in text or "not a database" in text:
        advice = "It is damaged: move it away; the next step books the transcripts anew."
    elif "full" in text or getattr(error, "errno", 0) == 28:
        advice = "Free some space on its disk."
    else:
        advice = "`budget doctor` looks closer."
    return LedgerError(f"The ledger {path} cannot be used: {text}. {advice}")
