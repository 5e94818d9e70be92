"""The ledger of one project: what was spent, and on what.

Entries are facts. Totals are derived from them in the same transaction: per session, per bucket of
time and in all. Nothing here decides: it adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from budget.chain import ENTRY_COLUMNS, SEALED, digest, first_link, link, seal
from budget.database import Database
from budget.lean import Any, NamedTuple, dumps, loads
from budget.model import Compaction, Filter, Price, Spend, Step, Usage, Window
from budget.pricing import Prices, Table, price
from budget.transcript import Cursor
from budget.windows import QUARTER_MS, SPANS, cover

_COLUMNS = ENTRY_COLUMNS
_INSERT = f"INSERT INTO entries (seq, {_COLUMNS}, replaces, link) VALUES ({', '.join('?' * 28)})"
_UPDATE = (
    f"UPDATE entries SET (seq, {_COLUMNS}, replaces, link) = ({', '.join('?' * 28)}) WHERE seq = ?"
)
_PLACED = f"{_COLUMNS}, seq, replaces, link"
"""An entry and its place in the chain."""
_SUMS = ", ".join(f"coalesce(sum({field}), 0)" for field in Spend._fields)
_ENTRY_SUMS = """coalesce(sum(responses), 0), coalesce(sum(input_tokens), 0),
  coalesce(sum(output_tokens), 0), coalesce(sum(cache_read_tokens), 0),
  coalesce(sum(cache_write_5m_tokens), 0), coalesce(sum(cache_write_1h_tokens), 0),
  coalesce(sum(web_searches), 0), coalesce(sum(picousd), 0), coalesce(sum(bound_picousd), 0),
  coalesce(sum(listed_picousd), 0), 0,
  count(*) - count(picousd)"""
_ADD = f"""INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, {", ".join("?" * len(Spend._fields))})
  ON CONFLICT (span, start, model, agent, branch, user) DO UPDATE SET
  {", ".join(f"{field} = {field} + excluded.{field}" for field in Spend._fields)}"""
_OF_PROMPTS = (*Spend._fields[:10], "unpriced_steps")
_ADD_TO_PROMPTS = f"""INSERT INTO prompt_totals VALUES (?, ?, {", ".join("?" * 11)})
  ON CONFLICT (prompt_id, quarter) DO UPDATE SET
  {", ".join(f"{field} = {field} + excluded.{field}" for field in _OF_PROMPTS)}"""

# Later than any entry; a whole number of days, so that it leaves no ragged edge.
_FAR = SPANS[0][1] * 10**7

Bucket = tuple[str, int | str, str, str, str, str]
"""(span, start, model, agent, branch, user): the key of a total."""

EVERYTHING = Filter()

Floors = tuple[tuple[Any, ...], ...]
"""(budget, unit, window, amount) of each budget."""


class Booked(NamedTuple):
    """What a booking changed."""

    new: int
    """Steps that were not in the ledger."""
    raised: int
    """Known steps whose usage rose."""


class Ledger(Database):
    """Every method that writes belongs inside `transaction()`."""

    _floors: Floors | None = None

    @property
    def floors(self) -> Floors:
        """What was known to be spent before the ledger lost it, or was changed."""
        if self._floors is None:
            told = self.fact("floors")
            self._floors = tuple(map(tuple, loads(told))) if told else ()
        return self._floors

    @floors.setter
    def floors(self, known: Floors) -> None:
        self._floors = known

    def cursors(self, session_id: str) -> dict[str, Cursor]:
        """How far each file of a session was read, by path."""
        rows = self.rows(
            "SELECT path, device, inode, size, mtime_ns, offset, head, prompt_id, tool_use_ids,"
            " message_id, tail, bad_lines FROM cursors WHERE session_id = ?",
            session_id,
        )
        return {row[0]: Cursor(*row[1:]) for row in rows}

    def move_cursor(self, path: str, session_id: str, cursor: Cursor) -> None:
        row = (path, session_id, *cursor)
        self.write(
            "INSERT INTO cursors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (path) DO UPDATE SET"
            " session_id = excluded.session_id, device = excluded.device, inode = excluded.inode,"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, offset = excluded.offset,"
            " head = excluded.head, prompt_id = excluded.prompt_id,"
            " tool_use_ids = excluded.tool_use_ids, message_id = excluded.message_id,"
            " tail = excluded.tail, bad_lines = excluded.bad_lines, seal = excluded.seal",
            (*row, seal("cursors", row)),
        )

    def book(self, steps: Iterable[Step], table: Table) -> Booked:
        """Adds what is new; raises what is known to the field-wise maximum of its usage.

        A message id that another session has already booked (a fork copies its history) stays
        where it is.
        """
        changes = _Changes(self)
        joined: dict[str, Step] = {}
        for step in steps:
            known = joined.get(step.message_id)
            joined[step.message_id] = known.joined(step) if known else step
            if known and known.session_id != step.session_id:
                # An old client's fork: its lines do not say whose they are.
                changes.copies.append((step.session_id, step.message_id))
            if step.copied_into:
                changes.copies.append((step.copied_into, step.message_id))
        known_rows = self._known(list(joined))
        prices = Prices(table)
        new = raised = 0
        for step in joined.values():
            row = known_rows.get(step.message_id)
            if row is None:
                new += 1
                changes.add_new(_values(step, prices.of(step)))
                continue
            booked, _ = entry_of(row)
            if booked.session_id != step.session_id:
                changes.copies.append((step.session_id, step.message_id))
            higher = booked.joined(step)
            if higher != booked:
                raised += 1
                changes.replace(row, higher, prices.of(higher))
        changes.write()
        return Booked(new, raised)

    def _known(self, message_ids: list[str]) -> dict[str, tuple[Any, ...]]:
        """The entries of those message ids that are booked, as rows of `_PLACED`."""
        known: dict[str, tuple[Any, ...]] = {}
        for first in range(0, len(message_ids), 500):
            some = message_ids[first : first + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT {_PLACED} FROM entries WHERE message_id IN ({marks})"
            known |= {row[0]: row for row in self.rows(query, *some)}
        return known

    def booked(self, message_ids: list[str]) -> dict[str, Step]:
        """Those of the steps that are booked, by message id."""
        return {name: entry_of(row)[0] for name, row in self._known(message_ids).items()}

    def reprice_unpriced(self, table: Table) -> int:
        """Prices what was booked without a price and has one in this table; how many entries."""
        changes = _Changes(self)
        done = 0
        for row in self.rows(f"SELECT {_PLACED} FROM entries WHERE picousd IS NULL"):
            step, _ = entry_of(row)
            cost = price(step, table)
            if cost.picousd is not None:
                done += 1
                changes.replace(row, step, cost)
        changes.write()
        return done

    def add_to_totals(self, totals: dict[Bucket, Spend]) -> None:
        self.insert_many(_ADD, [(*bucket, *spend) for bucket, spend in totals.items()])

    # -- reading ---------------------------------------------------------------------------------

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
                where = f"SELECT {_ENTRY_SUMS} FROM entries WHERE at_ms >= ? AND at_ms < ?{also}"
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
        sums = ", ".join(f"sum({field})" for field in _OF_PROMPTS)
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
            f"SELECT {column}, {_ENTRY_SUMS} FROM entries WHERE {at_ms} >= ? AND {at_ms} < ?"
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
        return [(step, _spend(step, cost)) for step, cost in map(entry_of, rows)]

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
        where = f"SELECT {_ENTRY_SUMS} FROM entries WHERE session_id = ? AND at_ms >= ?"
        return Spend(*self.row(where, session_id, since_ms))

    def agent_sums(self, session_id: str) -> dict[str, tuple[int, Spend]]:
        """By agent id, without the main thread: when the agent's last step was, and its sums."""
        rows = self.rows(
            f"SELECT agent_id, max(at_ms), {_ENTRY_SUMS} FROM entries"
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

    # -- what another ledger takes over ----------------------------------------------------------

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
        """(seq, session id, quarter, user, picodollars) of what changed since `seq`."""
        return self.rows(
            "SELECT seq, session_id, quarter, user, picousd FROM unattributed WHERE seq > ?"
            " ORDER BY seq",
            seq,
        )

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

    def absorb(self, entries: Iterable[tuple[Step, Price]]) -> list[Step]:
        """Takes entries over as they are, price included; a known one follows its change.

        One message id in two ledgers counts once: the higher usage stands. Answers what was new.
        """
        new = []
        changes = _Changes(self)
        entries = list(entries)
        known_rows = self._known([step.message_id for step, _ in entries])
        for step, cost in entries:
            row = known_rows.get(step.message_id)
            if row is None:
                changes.add_new(_values(step, cost))
                new.append(step)
                continue
            known, old_cost = entry_of(row)
            if (known, old_cost) != (step, cost) and known.usage.highest(step.usage) == step.usage:
                changes.replace(row, step, cost)
        changes.write()
        return new

    def last_link(self) -> tuple[int, bytes]:
        """The end of the chain: the `seq` of the last entry and its link."""
        rows = self.rows("SELECT seq, link FROM entries ORDER BY seq DESC LIMIT 1")
        return rows[0] if rows else (0, first_link(self.id))

    # -- unattributed ------------------------------------------------------------------------------

    def add_unattributed(self, session_id: str, quarter: int, user: str, picousd: int) -> None:
        """Changes what a session's client counted beyond its entries, in one quarter of an hour."""
        known = self.rows(
            "SELECT picousd FROM unattributed WHERE session_id = ? AND quarter = ? AND user = ?",
            *(session_id, quarter, user),
        )
        seq = self.row("SELECT coalesce(max(seq), 0) + 1 FROM unattributed")[0]
        row = (seq, session_id, quarter, user, picousd + (known[0][0] if known else 0))
        self.write(
            f"INSERT INTO unattributed ({SEALED['unattributed']}, seal) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (session_id, quarter, user) DO UPDATE SET"
            " picousd = excluded.picousd, seq = excluded.seq, seal = excluded.seal",
            (*row, seal("unattributed", row)),
        )
        spend = Spend(unattributed_picousd=picousd)
        self.add_to_totals(dict.fromkeys(buckets(session_id, quarter, "", "", "", user), spend))

    def note_compactions(self, compactions: Iterable[Compaction]) -> None:
        rows: list[tuple[Any, ...]] = list(compactions)
        self.write_many("INSERT OR IGNORE INTO compactions VALUES (?, ?, ?, ?, ?)", rows)

    def last_session(self, until_ms: int = 2**62) -> str | None:
        """The session of the last step, up to and including a time."""
        rows = self.rows(
            "SELECT session_id FROM entries WHERE at_ms <= ? ORDER BY at_ms DESC, seq DESC LIMIT 1",
            until_ms,
        )
        return str(rows[0][0]) if rows else None

    # -- facts -----------------------------------------------------------------------------------

    def fact(self, key: str) -> str | None:
        rows = self.rows("SELECT value FROM facts WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def set_fact(self, key: str, value: str | None) -> None:
        """None forgets it."""
        if value is None:
            self.write("DELETE FROM facts WHERE key = ?", (key,))
        else:
            self.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    # -- saying things once ----------------------------------------------------------------------

    def say_once(self, key: str, now_ms: int) -> bool:
        """True for the first caller with this key, of all processes."""
        return self.write("INSERT OR IGNORE INTO said VALUES (?, ?)", (key, now_ms)) == 1


class _Changes:
    """Entries that a booking adds or replaces, and all that is derived of them, written at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # By (session, quarter, model, agent, branch, user, prompt): every total sums some of these.
        self._spend: dict[tuple[str, int, str, str, str, str, str], Spend] = {}
        self._rows: dict[tuple[str, int, str, str, str, str, str], list[tuple[Any, ...]]] = {}
        self._steps: list[tuple[int, str, int]] = []
        self._new: list[tuple[Any, ...]] = []
        self._replaced: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []
        self.copies: list[tuple[str, str]] = []

    def add_new(self, row: tuple[Any, ...]) -> None:
        """An entry as a row of `_COLUMNS`: summed with the others of its kind in `write`."""
        self._new.append(row)
        key = (row[1], row[7] // QUARTER_MS * QUARTER_MS, row[6], row[2], row[5], row[20], row[4])
        self._rows.setdefault(key, []).append(row)

    def replace(self, row: tuple[Any, ...], step: Step, cost: Price) -> None:
        """A known entry, as a row of `_PLACED`, by what is known of its step now."""
        self._replaced.append((row, _values(step, cost)))
        known, old_cost = entry_of(row)
        self._add(known, Spend().minus(_spend(known, old_cost)))
        self._add(step, _spend(step, cost))

    def _add(self, step: Step, spend: Spend) -> None:
        quarter = step.at_ms // QUARTER_MS * QUARTER_MS
        what = (step.model, step.agent, step.branch, step.user)
        key = (step.session_id, quarter, *what, step.prompt_id)
        known = self._spend.get(key)
        self._spend[key] = spend if known is None else known.plus(spend)
        self._steps.append((spend.listed_picousd, step.session_id, step.at_ms))

    def write(self) -> None:
        if self._new or self._replaced:
            self._write_entries()
            self._write_totals()
        if self.copies:
            self._ledger.write_many("INSERT OR IGNORE INTO copies VALUES (?, ?)", self.copies)

    def _write_entries(self) -> None:
        """Each at the end of the chain; what was replaced leaves its place and link behind."""
        ledger = self._ledger
        seq, previous = ledger.last_link()
        for old, values in self._replaced:
            seq, (was, replaces, old_link) = seq + 1, old[25:28]
            entry = (seq, *values, f"{replaces} {was}".lstrip())
            previous = link(previous, digest(entry))
            ledger.write(_UPDATE, (*entry, previous, was))
            own = digest((was, *old[:25], replaces))
            ledger.write("INSERT INTO superseded VALUES (?, ?, ?)", (was, old_link, own))
        rows = []
        for values in self._new:
            seq += 1
            entry = (seq, *values, "")
            previous = link(previous, digest(entry))
            rows.append((*entry, previous))
        ledger.insert_many(_INSERT, rows)

    def _write_totals(self) -> None:
        ledger = self._ledger
        for key, rows in self._rows.items():
            self._spend[key] = self._spend.get(key, Spend()).plus(_spend_of(rows))
        prompts: dict[tuple[str, int], Spend] = {}
        parts: dict[tuple[str, int, str, str, str, str], Spend] = {}
        for key, spend in self._spend.items():
            _sum_into(prompts, (key[6], key[1]), spend)
            _sum_into(parts, key[:6], spend)
        totals: dict[Bucket, Spend] = {}
        for part, spend in parts.items():
            for bucket in buckets(*part):
                _sum_into(totals, bucket, spend)
        ledger.add_to_totals(totals)
        ledger.insert_many(
            _ADD_TO_PROMPTS, [(*key, *spend[:10], spend[11]) for key, spend in prompts.items()]
        )
        if ledger.rows("SELECT 1 FROM client_totals WHERE since_ms > 0 LIMIT 1"):
            new = [(row[23], row[1], row[7]) for row in self._new]
            ledger.write_many(
                "UPDATE client_totals SET before_picousd = before_picousd + ?"
                " WHERE session_id = ? AND since_ms > ?",
                self._steps + new,
            )


def _sum_into(sums: dict[Any, Spend], key: Any, spend: Spend) -> None:
    known = sums.get(key)
    sums[key] = spend if known is None else known.plus(spend)


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


def buckets(
    session_id: str, at_ms: int, model: str, agent: str, branch: str, user: str
) -> list[Bucket]:
    """Every total that holds a moment of a session."""
    what = (model, agent, branch, user)
    spans: list[Bucket] = [(span, at_ms // size * size, *what) for span, size in SPANS]
    return [*spans, ("session", session_id, *what), ("all", 0, *what)]


def _values(step: Step, cost: Price) -> tuple[Any, ...]:
    """An entry as a row of `_COLUMNS`."""
    return (
        *step[:8],
        *step.usage,
        *step[9:12],
        step.responses,
        dumps(step.parts) if step.parts else "",
        step.stated_picousd,
        step.user,
        *cost,
    )


def entry_of(row: tuple[Any, ...]) -> tuple[Step, Price]:
    """The reverse of `_values`; what follows in the row does not matter."""
    parts = tuple(Usage(*part) for part in loads(row[18])) if row[18] else ()
    step = Step._make((*row[:8], Usage(*row[8:14]), *row[14:18], parts, row[19], "", row[20]))
    return step, Price(*row[21:25])


def _spend_of(rows: list[tuple[Any, ...]]) -> Spend:
    """What entries, as rows of `_COLUMNS`, add to a total."""
    columns = list(zip(*rows, strict=True))
    costs = [cost for cost in columns[21] if cost is not None]
    sums = [*map(sum, (columns[17], *columns[8:14], costs, *columns[22:24]))]
    return Spend._make([*sums, 0, len(rows) - len(costs)])


def _spend(step: Step, cost: Price) -> Spend:
    """What one entry adds to a total."""
    return Spend(
        step.responses,
        *step.usage,
        cost.picousd or 0,
        cost.bound_picousd,
        cost.listed_picousd,
        0,
        int(cost.picousd is None),
    )
