"""What a ledger stood at after the last step, kept in a file apart from it.

Who edits a ledger, cuts it off, puts an older copy or another ledger in its place or deletes it
has a file to forget. A hook compares the two in one look-up. The file holds no secret either: who
knows of it can write it, too. Losing it costs nothing but that comparison.

Hooks write it one over the other, without waiting: an older state is as good as the last one, as
long as it was true once.
"""

from __future__ import annotations

from binascii import crc32

from budget.errors import LedgerError
from budget.files import overwrite_own, read_own
from budget.lean import Any, NamedTuple, dumps, loads, suppress
from budget.ledger import Ledger

_LARGEST = 65_536
_BLOCK = 512

GUARDS, SWAPPED, CHANGED = "guards", "swapped", "changed"
BEHIND, GONE, FORGOTTEN = "behind", "gone", "forgotten"


class Anchor(NamedTuple):
    """A state of a ledger."""

    ledger_id: str
    seq: int
    """The last place of its chain, 0 for none, and the link there."""
    link: str
    steps: int
    picousd: int
    """What the ledger held in all: as budgets count it."""
    spent: list[list[Any]]
    """[budget, unit, window, amount] of each budget."""


class Trouble(NamedTuple):
    """A ledger is not what it was."""

    kind: str
    """`guards`: its tables were changed; `swapped`: it is another one; `changed`: its chain has
    another past; `behind`: its end is missing; `gone`: it was deleted. `forgotten`: the ledger is
    as it says itself, and the file that would confirm it is gone."""
    anchor: Anchor | None


def read(path: str) -> Anchor | None:
    """None where there is none, or none that can be read: nothing is compared then."""
    for _ in range(3):  # it may be read while it is written
        try:
            data = read_own(path, _LARGEST)
        except OSError:
            return None
        checksum, _, text = data.partition(b" ")
        try:
            if int(checksum, 16) == crc32(text.rstrip()):
                told = loads(text)
                ledger_id, seq, link, steps, picousd, spent = told
                return Anchor(ledger_id, seq, link, steps, picousd, spent)
        except (ValueError, TypeError, LookupError):
            continue
    return None


def write(path: str, anchor: Anchor) -> None:
    """Raises `OSError`."""
    text = dumps(anchor).encode()
    data = b"%08x %s" % (crc32(text), text)
    overwrite_own(path, data.ljust(-len(data) % _BLOCK + len(data)))


def keep(ledger: Ledger, path: str, spent: list[list[Any]]) -> None:
    """Writes what a ledger stands at, where that is news. It is never worth a failure."""
    with suppress(OSError, LedgerError):
        now, told = state(ledger, spent), read(path)
        if now == told:
            return
        write(path, now)
        if told is None and not ledger.fact("anchored"):
            with ledger.transaction():
                ledger.set_fact("anchored", "1")


def state(ledger: Ledger, spent: list[list[Any]]) -> Anchor:
    """What a ledger stands at now."""
    seq, link = ledger.last_link()
    steps, picousd = ledger.row(
        "SELECT coalesce(sum(steps), 0), coalesce(sum(picousd + bound_picousd"
        " + unattributed_picousd), 0) FROM totals WHERE span = 'all'"
    )
    return Anchor(ledger.id, seq, bytes(link).hex(), steps, picousd, spent)


def compare(ledger: Ledger, path: str) -> Trouble | None:
    """Whether a ledger is what it was. Raises `LedgerError`."""
    anchor = read(path)  # first: a hook writes it after the ledger
    if ledger.is_new:  # other hooks may have booked in it since
        gone = anchor and anchor.seq and anchor.ledger_id != ledger.id
        return Trouble(GONE, anchor) if gone else None
    seq = anchor.seq if anchor else 0
    ledger_id, schema, anchored, floors, last, link = ledger.row(
        "SELECT (SELECT value FROM facts WHERE key = 'id'),"
        " (SELECT value FROM facts WHERE key = 'schema'),"
        " (SELECT value FROM facts WHERE key = 'anchored'),"
        " (SELECT value FROM facts WHERE key = 'floors'),"
        " (SELECT max(seq) FROM entries),"
        " (SELECT link FROM entries WHERE seq = ?1 UNION ALL"
        " SELECT link FROM superseded WHERE seq = ?1)",
        seq,
    )
    ledger.floors = tuple(map(tuple, loads(floors))) if floors else ()
    if str(ledger.row("PRAGMA schema_version")[0]) != schema:
        return Trouble(GUARDS, anchor)
    if anchor is None:
        return Trouble(FORGOTTEN, None) if anchored else None
    if ledger_id != anchor.ledger_id:
        return Trouble(SWAPPED, anchor)
    if seq > (last or 0):
        return Trouble(BEHIND, anchor)
    if seq and (not isinstance(link, bytes) or link.hex() != anchor.link):
        return Trouble(CHANGED, anchor)
    return None
