"""Makes a ledger whole again, in one transaction: all or nothing, and beside hooks at work.

What is derived is added up anew. An entry that is not as it was booked is taken out, to be read
again from its transcript; where none tells of it any more, it comes back as it was found, priced
anew. Rows whose seal does not hold are dropped: a grant is made again by a person, what the client
counted is told again by the client. The rest is sealed anew, and what was wrong is kept among the
events.
"""

from collections.abc import Callable
from json import dumps, loads
from typing import NamedTuple

from budget import derived, events, reconcile
from budget.chain import ENTRY_COLUMNS, SEALED, digest, first_link, link, seal
from budget.errors import DamagedLedgerError
from budget.ledger import Ledger
from budget.model import MAX_TOKENS, Step, Usage
from budget.pricing import Table
from budget.verify import Checked, check

_AT_ONCE = 5_000
_KEPT_TEXTS = 20
DOUBTFUL = "doubtful"
"""The fact that holds entries which are taken out, until every transcript was read again."""


class Rebuilt(NamedTuple):
    checked: Checked
    """What the ledger was before."""
    taken_out: int
    """Entries that are to be read again."""


def rebuild(
    ledger: Ledger,
    now_ms: int,
    keep: bool = True,
    cut_off: bool = False,
    before_commit: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Rebuilt:
    """Without `keep` no entry stays: they are those of another project. `cut_off`: the end of the
    chain is known to be missing.

    Raises `LedgerError`; `DamagedLedgerError` for a file that SQLite finds damage in.
    """
    with ledger.transaction():
        checked = check(ledger, progress)
        damage = [each.text for each in checked.findings if each.kind == "damaged"]
        if damage:
            raise DamagedLedgerError(" ".join(damage[:3]), ledger.path)
        of_chain = any(each.table in ("entries", "superseded") for each in checked.findings)
        taken_out = 0
        if not keep:
            for table in ("entries", "superseded", *SEALED, "copies"):
                ledger.write(f"DELETE FROM {table}")
        elif checked.findings or cut_off:
            taken_out = _take_out(ledger, checked)
        if of_chain or not keep:
            _seal_anew(ledger)
        if checked.findings or not keep:
            for table in SEALED:
                _drop_unsealed(ledger, table)
            derived.replace(ledger)
            _settle(ledger, now_ms)
        ledger.guard_anew()
        facts = {
            "text": _told(checked, taken_out),
            "findings": [each.text for each in checked.findings[:_KEPT_TEXTS]],
        }
        if checked.findings or not keep:
            events.record(ledger, events.Event(now_ms, events.REBUILT, "", "", facts))
        before_commit()
    return Rebuilt(checked, taken_out)


def forget_what_was_read(ledger: Ledger) -> None:
    """Every transcript is read again from its start. Inside a transaction."""
    ledger.write("DELETE FROM cursors")
    ledger.set_fact("backlog", "all")


def _told(checked: Checked, taken_out: int) -> str:
    """`2 findings of 1,000 entries, the first: ...`, as `budget status` shows it."""
    if not checked.findings:
        return f"all {checked.entries:,} entries are as they were booked."
    count = len(checked.findings)
    read_again = f" {taken_out:,} entries are read again from the transcripts." * bool(taken_out)
    what = "1 finding" if count == 1 else f"{count} findings"
    return f"{what} among {checked.entries:,} entries: {checked.findings[0].text}{read_again}"


def _take_out(ledger: Ledger, checked: Checked) -> int:
    """Entries that were changed wait apart; those that were never booked go."""
    forged = {each.seq for each in checked.findings if each.kind == "inserted"}
    doubtful = []
    for seq in sorted(checked.broken):
        row = ledger.row(f"SELECT {ENTRY_COLUMNS} FROM entries WHERE seq = ?", seq)
        if seq not in forged and not any(isinstance(cell, bytes) for cell in row):
            doubtful.append(row)
        ledger.write("DELETE FROM entries WHERE seq = ?", (seq,))
    forget_what_was_read(ledger)
    if doubtful:
        waiting = loads(ledger.fact(DOUBTFUL) or "[]")
        ledger.set_fact(DOUBTFUL, dumps([*waiting, *doubtful]))
    return len(checked.broken)


def _seal_anew(ledger: Ledger) -> None:
    """A chain over the entries that are there. Places before its end need not follow closely."""
    previous, last = first_link(ledger.id), 0
    ledger.write("UPDATE entries SET replaces = ''")
    ledger.write("DELETE FROM superseded")
    query = f"SELECT seq, {ENTRY_COLUMNS}, replaces FROM entries WHERE seq > ? ORDER BY seq"
    seqs = ledger.row("SELECT min(seq) FROM entries")[0]
    last = (seqs or 1) - 1
    while rows := ledger.rows(f"{query} LIMIT {_AT_ONCE}", last):
        links = []
        for row in rows:
            previous, last = link(previous, digest(row)), row[0]
            links.append((previous, last))
        ledger.write_many("UPDATE entries SET link = ? WHERE seq = ?", links)
    ledger.set_fact("chained_from", str(last))


def _drop_unsealed(ledger: Ledger, table: str) -> None:
    """Rows that something else wrote. What follows a dropped grant is sealed anew."""
    columns = SEALED[table]
    found_before = kept_before = b""
    for sealed, *cells in ledger.rows(f"SELECT seal, {columns} FROM {table} ORDER BY {columns}"):
        row = tuple(cells)
        same = f"({columns}) = ({', '.join('?' * len(row))})"
        if seal(table, row, found_before) == sealed:
            kept_before, found_before = seal(table, row, kept_before), sealed
            if kept_before != sealed:
                ledger.write(f"UPDATE {table} SET seal = ? WHERE {same}", (kept_before, *row))
        else:
            ledger.write(f"DELETE FROM {table} WHERE {same}", row)
            found_before = sealed if isinstance(sealed, bytes) else b""


def _settle(ledger: Ledger, now_ms: int) -> None:
    """What clients counted beyond the entries that are there now, dated with their last step."""
    for session_id, at_ms in ledger.rows(
        "SELECT session_id, (SELECT max(at_ms) FROM entries"
        " WHERE entries.session_id = client_totals.session_id) FROM client_totals GROUP BY 1"
    ):
        reconcile.settle(ledger, session_id, now_ms if at_ms is None else min(now_ms, at_ms))


def bring_back(ledger: Ledger, table: Table) -> int:
    """Books entries that were taken out, of sessions without a transcript any more; how many.

    Their price is worked out anew, and counts that no step can have are not booked. Inside a
    transaction.
    """
    waiting = loads(ledger.fact(DOUBTFUL) or "[]")
    if not waiting:
        return 0
    ledger.set_fact(DOUBTFUL, None)
    read_again = {row[0] for row in ledger.rows("SELECT DISTINCT session_id FROM cursors")}
    steps = [step for step in map(_step, waiting) if step and step.session_id not in read_again]
    return ledger.book(steps, table).new


def _step(row: list[object]) -> Step | None:
    try:
        usage = Usage(*(int(str(cell)) for cell in row[8:14]))
        at_ms, responses = int(str(row[7])), int(str(row[17]))
    except ValueError:
        return None
    if not all(0 <= count <= MAX_TOKENS for count in usage) or not 0 <= at_ms < 2**53:
        return None
    texts = [str(cell) for cell in (*row[:7], *row[14:17], row[20])]
    parts: tuple[Usage, ...] = ()
    more = (min(1, max(0, responses)), parts, None, "", texts[10])
    return Step._make((*texts[:7], at_ms, usage, *texts[7:10], *more))
