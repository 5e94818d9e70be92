"""What a ledger tells: sums over windows, entries, what is known of a session. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from budget.chain import ENTRY_COLUMNS, first_link
from budget.database import Database, damaged
from budget.entry import entry_of, spend_of
from budget.lean import Any
from budget.model import Compaction, Filter, Price, Spend, Step, Window
from budget.transcript import Cursor
from budget.windows import QUARTER_MS, SPANS, cover

_COLUMNS = ENTRY_COLUMNS
_SUMS = ", ".join(f"coalesce(sum({field}), 0)" for field in Spend._fields)
ENTRY_SUMS = """coalesce(sum(responses), 0), coalesce(sum(input_tokens), 0),
  coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0),
  coalesce(sum(cache_write_5m_tokens), 0), coalesce(sum(cache_write_1h_tokens), 0),
  coalesce(sum(web_searches), 0), coalesce(sum(picousd), 0), coalesce(sum(bound_picousd), 0),
  coalesce(sum(listed_picousd), 0), 0,
  count(*) - count(picousd)"""
"""The fields of a `Spend`, summed over entries."""

PLACED = f"{_COLUMNS}, seq, replaces, link"
"""An entry and its place in the chain."""
OF_PROMPTS = (*Spend._fields[:10], "unpriced_steps")
"""What is summed by prompt."""

# Later than any entry; a whole number of days, so that it leaves no ragged edge.
_FAR = SPANS[0][1] * 10**7

EVERYTHING = Filter()


class Readings(Database):
    """An open ledger, for those who look at it."""

    def cursors(self, session_id: str) -> dict[str, Cursor]:
        """How far each file of a session was read, by path."""
        rows = self.rows(
            "SELECT path, device, inode, size, mtime_ns, offset, head, prompt_id, tool_use_ids,"
            " message_id, tail, bad_lines FROM cursors WHERE session_id = ?",
            session_id,
        )
        return {row[0]: Cursor(*row[1:]) for row in rows}

    def _known(self, message_ids: list[str]) -> dict[str, tuple[Any, ...]]:
        """The entries of those message ids that are booked, as rows of `PLACED`."""
        known: dict[str, tuple[Any, ...]] = {}
        if len(message_ids) > 500 and not self.rows("SELECT 1 FROM entries LIMIT 1"):
            return known  # an import into a new ledger
        for first in range(0, len(message_ids), 500):
            some = message_ids[first : first + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT {PLACED} FROM entries WHERE message_id IN ({marks})"
            known |= {row[0]: row for row in self.rows(query, *some)}
        return known

    def booked(self, message_ids: list[str]) -> dict[str, Step]:
        """Those of the steps that are booked, by message id."""
        return {name: entry_of(row)[0] for name, row in self._known(message_ids).items()}

    def spend(self, window: Window, only: Filter = EVERYTHING) -> Spend:
        """The sums over a window, exact to the millisecond."""
        if window.session_id is not None:
            return self._totals("session", window.session_id, only)
        if window.start_ms == 0 and window.end_ms is None:
            return self._totals("all", 0, only)
        total = Spend()
        also, patterns = _condition(only)
        for span, start, end in cover(window.start_ms, window.end_ms or _FAR):
            if span == "entry":
                where = f"SELECT {ENTRY_SUMS} FROM entries WHERE at_ms >= ? AND at_ms < ?{also}"
                total = total.plus(Spend(*self.row(where, start, end, *patterns)))
                # When within its quarter an unattributed amount appeared is not kept: all counts.
                quarter = self._totals("quarter", start // QUARTER_MS * QUARTER_MS, only)
                unattributed = quarter.unattributed_picousd
                total = total.plus(Spend(unattributed_picousd=unattributed))
            else:
                where = f"SELECT {_SUMS} FROM totals WHERE span = ? AND start >= ? AND start < ?"
                total = total.plus(Spend(*self.row(where + also, span, start, end, *patterns)))
        return total

    def _totals(self, span: str, start: int | str, only: Filter) -> Spend:
        also, patterns = _condition(only)
        where = f"SELECT {_SUMS} FROM totals WHERE span = ? AND start = ?{also}"
        return Spend(*self.row(where, span, start, *patterns))

    def sums_by(self, column: str, start_ms: int, end_ms: int) -> list[tuple[str, Spend]]:
        """Sums over [start, end), whole quarters of an hour, grouped by a column of the totals."""
        sums: dict[str, Spend] = {}
        for span, start, end in cover(start_ms, min(end_ms, _FAR)):
            for key, spend in self.buckets_by(column, span, start, end):
                sums[key] = sums[key].plus(spend) if key in sums else spend
        return list(sums.items())

    def buckets_by(
        self, column: str, span: str, start_ms: int | str, end_ms: int | str
    ) -> list[tuple[str, Spend]]:
        """Sums of the buckets of one size that begin in [start, end), grouped by a column.

        Buckets of the span `session` begin with its id.
        """
        rows = self.rows(
            f"SELECT {column}, {_SUMS} FROM totals WHERE span = ? AND start >= ?"
            f" AND start < ? GROUP BY {column}",
            span,
            start_ms,
            end_ms,
        )
        return [(str(row[0]), Spend(*row[1:])) for row in rows]

    def extent(self) -> tuple[int, int]:
        """The first and the last quarter of an hour in which something was spent; (0, -1): none."""
        low, high = self.row("SELECT min(start), max(start) FROM totals WHERE span = 'quarter'")
        return (0, -1) if low is None else (int(low), int(high))

    def sums_between(self, starts: list[int], span: str) -> list[tuple[int, Spend]]:
        """Sums of [start, next start) for each but the last, without those that are empty."""
        where = f"SELECT {_SUMS} FROM totals WHERE span = ? AND start >= ? AND start < ?"
        windows = pairwise(starts)
        sums = [(start, Spend(*self.row(where, span, start, end))) for start, end in windows]
        return [(start, spend) for start, spend in sums if any(spend)]

    def prompt_sums(self, start_ms: int, end_ms: int) -> list[tuple[str, Spend]]:
        """Sums over [start, end), whole quarters of an hour, by prompt."""
        sums = ", ".join(f"sum({field})" for field in OF_PROMPTS)
        rows = self.rows(
            f"SELECT prompt_id, {sums} FROM prompt_totals WHERE quarter >= ? AND quarter < ?"
            " GROUP BY prompt_id",
            start_ms,
            end_ms,
        )
        return [(row[0], Spend._make((*row[1:11], 0, row[11]))) for row in rows]

    def entry_sums_by(self, column: str, start_ms: int, end_ms: int) -> list[tuple[str, Spend]]:
        """The same from the entries, for what totals are not kept by."""
        # Of all entries, the index of times would only be a detour: `+` keeps SQLite from it.
        at_ms = "+at_ms" if start_ms == 0 and end_ms >= _FAR else "at_ms"
        rows = self.rows(
            f"SELECT {column}, {ENTRY_SUMS} FROM entries WHERE {at_ms} >= ? AND {at_ms} < ?"
            f" GROUP BY {column}",
            start_ms,
            end_ms,
        )
        return [(str(key), Spend._make(sums)) for key, *sums in rows]

    def unattributed_by_session(self, start_ms: int, end_ms: int) -> list[tuple[str, Spend]]:
        rows = self.rows(
            "SELECT session_id, sum(picousd) FROM unattributed WHERE quarter >= ? AND quarter < ?"
            " GROUP BY session_id HAVING sum(picousd) > 0",
            start_ms,
            end_ms,
        )
        return [(session, Spend(unattributed_picousd=amount)) for session, amount in rows]

    def entries(self) -> Iterator[tuple[Step, Price]]:
        """Every entry, in the order of booking, without holding them all."""
        last = 0
        while rows := self.rows(
            f"SELECT {_COLUMNS}, seq FROM entries WHERE seq > ? ORDER BY seq LIMIT 5000", last
        ):
            last = rows[-1][-1]
            yield from (entry_of(row[:-1]) for row in rows)

    def steps_between(
        self, start_ms: int, end_ms: int, session_id: str | None
    ) -> list[tuple[Step, Spend]]:
        """What each entry of [start, end) adds to totals, in order of time; of one session."""
        only = "" if session_id is None else " AND session_id = ?"
        rows = self.rows(
            f"SELECT {_COLUMNS} FROM entries WHERE at_ms >= ? AND at_ms < ?{only}"
            " ORDER BY at_ms, seq",
            *((start_ms, end_ms) if session_id is None else (start_ms, end_ms, session_id)),
        )
        return [(step, spend_of(step, cost)) for step, cost in map(entry_of, rows)]

    def unattributed_between(self, start_ms: int, end_ms: int) -> list[tuple[int, str, str, int]]:
        """(quarter, session id, user, picodollars) of what appeared in [start, end)."""
        return self.rows(
            "SELECT quarter, session_id, user, picousd FROM unattributed"
            " WHERE quarter > ? - ? AND quarter < ? AND picousd > 0 ORDER BY quarter",
            *(start_ms, QUARTER_MS, end_ms),
        )

    def unpriced_models(self) -> list[str]:
        rows = self.rows(
            "SELECT DISTINCT model FROM totals WHERE span = 'all' AND unpriced_steps > 0"
        )
        return [row[0] for row in rows]

    def files(self) -> list[str]:
        """Every transcript file that was read into this ledger."""
        return [row[0] for row in self.rows("SELECT path FROM cursors")]

    def files_since(self, at_ms: int) -> list[tuple[str, str, int, int]]:
        """Files that changed since then when they were read, or were not read to their end.

        (path, session id, size, mtime in nanoseconds) as they were read.
        """
        return self.rows(
            "SELECT path, session_id, size, mtime_ns FROM cursors"
            " WHERE mtime_ns >= ? OR mtime_ns < 0",
            at_ms * 10**6,
        )

    def root(self) -> str:
        """The folder of the project."""
        return self.fact("root") or ""

    def bad_lines(self) -> int:
        """Lines of transcripts that should have told of a step and could not be read."""
        return int(self.row("SELECT coalesce(sum(bad_lines), 0) FROM cursors")[0])

    def context_tokens(self, session_id: str) -> int:
        """The size of the main thread's context: at its last step, or after a later compaction."""
        rows = self.rows(
            "SELECT at_ms, input_tokens + cache_read_tokens + cache_write_5m_tokens"
            " + cache_write_1h_tokens FROM entries WHERE session_id = ? AND agent = 'main'"
            " AND responses = 1 ORDER BY at_ms DESC, seq DESC LIMIT 1",
            session_id,
        )
        at_ms, tokens = rows[0] if rows else (0, 0)
        later = self.compacted_to(session_id, at_ms)
        return int(tokens) if later is None else later

    def compacted_to(self, session_id: str, since_ms: int) -> int | None:
        """What the last compaction after a time left of a session's context, in tokens."""
        rows = self.rows(
            "SELECT after_tokens FROM compactions WHERE session_id = ? AND at_ms > ?"
            " ORDER BY at_ms DESC LIMIT 1",
            session_id,
            since_ms,
        )
        return int(rows[0][0]) if rows else None

    def base_tokens(self, session_id: str) -> int:
        """The smallest prompt of a session's main thread: about what a new session begins with."""
        least = self.row(
            "SELECT min(input_tokens + cache_read_tokens + cache_write_5m_tokens"
            " + cache_write_1h_tokens) FROM entries WHERE session_id = ? AND agent_id = ''"
            " AND responses = 1",
            session_id,
        )[0]
        return int(least or 0)

    def last_compaction(self, session_id: str) -> Compaction | None:
        rows = self.rows(
            "SELECT session_id, at_ms, before_tokens, after_tokens, automatic FROM compactions"
            " WHERE session_id = ? ORDER BY at_ms DESC LIMIT 1",
            session_id,
        )
        return Compaction(*rows[0]) if rows else None

    def first_entry_ms(self, since_ms: int, session_id: str | None = None) -> int | None:
        """When the first step from a time on was made; of one session, where one is named."""
        only, values = ("", ()) if session_id is None else (" AND session_id = ?", (session_id,))
        query = f"SELECT min(at_ms) FROM entries WHERE at_ms >= ?{only}"
        first = self.row(query, since_ms, *values)[0]
        return None if first is None else int(first)

    def session_spend(self, session_id: str, since_ms: int) -> Spend:
        """The sums of a session's entries from a time on."""
        where = f"SELECT {ENTRY_SUMS} FROM entries WHERE session_id = ? AND at_ms >= ?"
        return Spend(*self.row(where, session_id, since_ms))

    def agent_sums(self, session_id: str) -> dict[str, tuple[int, Spend]]:
        """By agent id, without the main thread: when the agent's last step was, and its sums."""
        rows = self.rows(
            f"SELECT agent_id, max(at_ms), {ENTRY_SUMS} FROM entries"
            " WHERE session_id = ? AND agent_id != '' GROUP BY agent_id",
            session_id,
        )
        return {row[0]: (row[1], Spend(*row[2:])) for row in rows}

    def last_of_sessions(self, since_ms: int) -> list[tuple[str, int]]:
        """Sessions that made a step from a time on, and when the last was; the newest first.

        It looks each session up instead of reading every step of that time.
        """
        rows = self.rows(
            "WITH RECURSIVE ids(id) AS (SELECT min(session_id) FROM entries UNION ALL SELECT"
            " (SELECT min(session_id) FROM entries WHERE session_id > ids.id) FROM ids"
            " WHERE ids.id IS NOT NULL) SELECT id, (SELECT max(at_ms) FROM entries"
            " WHERE session_id = ids.id) AS last FROM ids WHERE id IS NOT NULL AND last >= ?"
            " ORDER BY last DESC, id",
            since_ms,
        )
        return [(str(row[0]), int(row[1])) for row in rows]

    def recent_steps(
        self,
        session_id: str,
        agent_id: str,
        count: int,
        since_ms: int = -1,
        until_ms: int = 2**62,
    ) -> list[Step]:
        """The last steps of one agent, in their order; of the main thread for an empty id.

        Those of the times after `since_ms`, up to and including `until_ms`.
        """
        rows = self.rows(
            f"SELECT {_COLUMNS} FROM entries WHERE session_id = ? AND at_ms > ? AND at_ms <= ?"
            " AND agent_id = ? AND responses = 1 ORDER BY at_ms DESC, seq DESC LIMIT ?",
            *(session_id, since_ms, until_ms, agent_id, count),
        )
        return [entry_of(row)[0] for row in reversed(rows)]

    def first_steps(self, agent: str, count: int) -> list[Step]:
        """First steps of the last agents of a type (empty: any but `main`) among recent entries."""
        rows = self.rows(
            f"SELECT {_COLUMNS} FROM entries WHERE seq IN (SELECT min(seq) FROM"
            " (SELECT seq, session_id, agent_id, agent, responses FROM entries"
            " ORDER BY seq DESC LIMIT 2000) WHERE responses = 1"
            " AND (agent = ? OR (? = '' AND agent_id != ''))"
            " GROUP BY session_id, agent_id ORDER BY 1 DESC LIMIT ?)",
            agent,
            agent,
            count,
        )
        return [entry_of(row)[0] for row in rows]

    @property
    def id(self) -> str:
        return self.fact("id") or ""

    def changed_since(self, seq: int, limit: int) -> tuple[list[tuple[Step, Price]], int]:
        """Entries that are new or changed since `seq`, and the `seq` up to which they go."""
        rows = self.rows(
            f"SELECT {_COLUMNS}, seq FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit
        )
        return [entry_of(row[:-1]) for row in rows], rows[-1][-1] if rows else seq

    def unattributed_since(self, seq: int) -> list[tuple[int, str, int, str, int]]:
        """(seq, session id, quarter, user, picodollars) of what changed since `seq`.

        Raises `DamagedLedgerError` for a row of another table, which a damaged file may hold here.
        """
        rows = self.rows(
            "SELECT seq, session_id, quarter, user, picousd FROM unattributed WHERE seq > ?"
            " ORDER BY seq",
            seq,
        )
        if any(tuple(map(type, row)) != (int, str, int, str, int) for row in rows):
            raise damaged(self.path, "rows of `unattributed` are none")
        return rows

    def newest_seq(self) -> tuple[int, int]:
        """The `seq` of the last change of an entry, and of an unattributed amount; 0 for none."""
        return (
            self.row("SELECT coalesce(max(seq), 0) FROM entries")[0],
            self.row("SELECT coalesce(max(seq), 0) FROM unattributed")[0],
        )

    def last_booked(self, count: int) -> list[tuple[int, Step, Price]]:
        """The entries that were booked or raised last, with their `seq`; the newest first."""
        rows = self.rows(f"SELECT {_COLUMNS}, seq FROM entries ORDER BY seq DESC LIMIT ?", count)
        return [(row[-1], *entry_of(row[:-1])) for row in rows]

    def last_link(self) -> tuple[int, bytes]:
        """The end of the chain: the `seq` of the last entry and its link."""
        rows = self.rows("SELECT seq, link FROM entries ORDER BY seq DESC LIMIT 1")
        return rows[0] if rows else (0, first_link(self.id))

    def last_session(self, until_ms: int = 2**62) -> str | None:
        """The session of the last step, up to and including a time."""
        rows = self.rows(
            "SELECT session_id FROM entries WHERE at_ms <= ? ORDER BY at_ms DESC, seq DESC LIMIT 1",
            until_ms,
        )
        return str(rows[0][0]) if rows else None

    def fact(self, key: str) -> str | None:
        rows = self.rows("SELECT value FROM facts WHERE key = ?", key)
        return str(rows[0][0]) if rows else None


def _condition(only: Filter) -> tuple[str, list[str]]:
    """A filter as SQL that goes on a condition, and its values."""
    sql = ""
    values: list[str] = []
    for column, patterns in zip(("model", "agent", "branch"), only[:3], strict=True):
        if patterns:
            sql += " AND (" + " OR ".join(f"{column} GLOB ?" for _ in patterns) + ")"
            values += patterns
    if only.user:
        sql += " AND user = ?"
        values.append(only.user)
    return sql, values
