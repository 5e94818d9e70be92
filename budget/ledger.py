"""The ledger of one project: what was spent, and on what.

Entries are facts. Totals are derived from them in the same transaction: per session, per bucket of
time and in all. Nothing here decides: it adds up.
"""

from __future__ import annotations

from collections.abc import Iterable

from budget.chain import ENTRY_COLUMNS, SEALED, digest, link, seal
from budget.entry import entry_of, row_of, spend_of, spend_of_rows
from budget.lean import Any, NamedTuple, loads
from budget.model import Compaction, Price, Spend, Step
from budget.pricing import Prices, Table, price
from budget.readings import OF_PROMPTS, PLACED, Readings
from budget.transcript import Cursor
from budget.windows import QUARTER_MS, SPANS

_COLUMNS = ENTRY_COLUMNS
_INSERT = f"INSERT INTO entries (seq, {_COLUMNS}, replaces, link) VALUES ({', '.join('?' * 28)})"
_UPDATE = (
    f"UPDATE entries SET (seq, {_COLUMNS}, replaces, link) = ({', '.join('?' * 28)}) WHERE seq = ?"
)
_ADD = f"""INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, {", ".join("?" * len(Spend._fields))})
  ON CONFLICT (span, start, model, agent, branch, user) DO UPDATE SET
  {", ".join(f"{field} = {field} + excluded.{field}" for field in Spend._fields)}"""
_ADD_TO_PROMPTS = f"""INSERT INTO prompt_totals VALUES (?, ?, {", ".join("?" * 11)})
  ON CONFLICT (prompt_id, quarter) DO UPDATE SET
  {", ".join(f"{field} = {field} + excluded.{field}" for field in OF_PROMPTS)}"""

Bucket = tuple[str, int | str, str, str, str, str]
"""(span, start, model, agent, branch, user): the key of a total."""

Floors = tuple[tuple[Any, ...], ...]
"""(budget, unit, window, amount) of each budget."""


class Booked(NamedTuple):
    """What a booking changed."""

    new: int
    """Steps that were not in the ledger."""
    raised: int
    """Known steps whose usage rose."""


class Ledger(Readings):
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
                changes.add_new(row_of(step, prices.of(step)))
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

    def reprice_unpriced(self, table: Table) -> int:
        """Prices what was booked without a price and has one in this table; how many entries."""
        changes = _Changes(self)
        done = 0
        for row in self.rows(f"SELECT {PLACED} FROM entries WHERE picousd IS NULL"):
            step, _ = entry_of(row)
            cost = price(step, table)
            if cost.picousd is not None:
                done += 1
                changes.replace(row, step, cost)
        changes.write()
        return done

    def add_to_totals(self, totals: dict[Bucket, Spend]) -> None:
        self.insert_many(_ADD, [(*bucket, *spend) for bucket, spend in totals.items()])

    def absorb(self, entries: Iterable[tuple[Step, Price]]) -> None:
        """Takes entries over as they are, price included; a known one follows its change.

        One message id in two ledgers counts once: the higher usage stands.
        """
        changes = _Changes(self)
        entries = list(entries)
        known_rows = self._known([step.message_id for step, _ in entries])
        for step, cost in entries:
            row = known_rows.get(step.message_id)
            if row is None:
                changes.add_new(row_of(step, cost))
                continue
            known, old_cost = entry_of(row)
            if (known, old_cost) != (step, cost) and known.usage.highest(step.usage) == step.usage:
                changes.replace(row, step, cost)
        changes.write()

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

    def set_fact(self, key: str, value: str | None) -> None:
        """None forgets it."""
        if value is None:
            self.write("DELETE FROM facts WHERE key = ?", (key,))
        else:
            self.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

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
        """A known entry, as a row of `PLACED`, by what is known of its step now."""
        self._replaced.append((row, row_of(step, cost)))
        known, old_cost = entry_of(row)
        self._add(known, Spend().minus(spend_of(known, old_cost)))
        self._add(step, spend_of(step, cost))

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
            self._spend[key] = self._spend.get(key, Spend()).plus(spend_of_rows(rows))
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


def buckets(
    session_id: str, at_ms: int, model: str, agent: str, branch: str, user: str
) -> list[Bucket]:
    """Every total that holds a moment of a session."""
    what = (model, agent, branch, user)
    spans: list[Bucket] = [(span, at_ms // size * size, *what) for span, size in SPANS]
    return [*spans, ("session", session_id, *what), ("all", 0, *what)]
