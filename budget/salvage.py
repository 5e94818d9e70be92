"""Takes over what can still be read of a damaged ledger that was set aside.

The client keeps transcripts for 30 days; what is older is nowhere else. Only entries whose link
holds are taken over: where the file is damaged, so may be what is in it. A slice at a time, from
where the last one ended.
"""

import glob
import os
import time
from collections.abc import Iterator
from json import dumps, loads
from typing import Any

from budget.chain import ENTRY_COLUMNS, digest, first_link, link
from budget.database import Database
from budget.entry import entry_of
from budget.errors import LedgerError
from budget.lean import suppress
from budget.ledger import Ledger

FACT = "salvage"
"""[file, the last place that was looked at, the link there or ""]."""
_AT_ONCE = 500


def begin(ledger: Ledger) -> None:
    """Of a ledger that was just made anew: what the damaged one still tells is to be taken over."""
    copies = sorted(glob.glob(f"{glob.escape(ledger.path)}.damaged-*[0-9]"), key=_changed)
    if not copies:
        return
    with ledger.transaction():
        ledger.set_fact(FACT, dumps([copies[-1], 0, None]))
        ledger.set_fact("backlog", "all")


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def go_on(ledger: Ledger, until: float) -> bool:
    """Takes over a further slice, no longer than to a time of the monotonic clock.

    Whether all was looked at. Raises `LedgerError` for the new ledger only.
    """
    told = ledger.fact(FACT)
    if not told:
        return True
    path, seq, previous = loads(told)
    try:
        old = Database(path, wait_s=0.5, make=False)
    except LedgerError:
        return _done(ledger)
    try:
        places = _places(old, seq, None if previous is None else bytes.fromhex(previous))
        while some := _take(places):
            with ledger.transaction():
                entries = [entry_of(row) for _, _, row in some if row]
                ledger.absorb(entries)
                at, reached, _ = some[-1]
                ledger.set_fact(FACT, dumps([path, at, reached.hex() if reached else ""]))
            if time.monotonic() > until:
                return False
    finally:
        old.close()
    return _done(ledger)


def _done(ledger: Ledger) -> bool:
    with ledger.transaction():
        ledger.set_fact(FACT, None)
    return True


Place = tuple[int, bytes | None, tuple[Any, ...] | None]
"""A place of the chain, the link there, and the entry where the link says that it is intact."""


def _take(places: Iterator[Place]) -> list[Place]:
    return [place for place, _ in zip(places, range(_AT_ONCE), strict=False)]


def _places(old: Database, seq: int, previous: bytes | None) -> Iterator[Place]:
    """Every place after `seq` that can be read; a link that is empty is one that is not known."""
    left = {}
    with suppress(LedgerError):
        for place, own, checksum in old.rows("SELECT seq, link, digest FROM superseded"):
            left[place] = (own, checksum)
    if previous is None:
        with suppress(LedgerError, IndexError):
            previous = first_link(old.row("SELECT value FROM facts WHERE key = 'id'")[0])
    last = max([*left, *_last(old)], default=0)
    while seq < last:
        upto = min(last, seq + _AT_ONCE)
        found = _read(old, seq, upto)
        for place in range(seq + 1, upto + 1):
            if place in found:
                row = found[place]
                own = row[0]
                is_whole = previous is not None and link(previous, digest(row[1:])) == own
                previous = own if isinstance(own, bytes) else None
                yield place, previous, row[2:27] if is_whole else None
            elif place in left:
                previous = left[place][0]
        seq = upto
        yield seq, previous, None


def _last(old: Database) -> list[int]:
    """The last place of the chain, as far as the file tells; of a torn one, from its indexes."""
    for query in ("SELECT max(seq) FROM entries", "SELECT max(rowid) FROM entries NOT INDEXED"):
        with suppress(LedgerError):
            return [int(old.row(query)[0] or 0)]
    return []


def _read(old: Database, after: int, upto: int) -> dict[int, tuple[Any, ...]]:
    """(link, seq, facts, replaces) of the entries in a stretch; row by row where it is damaged."""
    query = f"SELECT link, seq, {ENTRY_COLUMNS}, replaces FROM entries NOT INDEXED WHERE seq > ?"
    try:
        return {row[1]: row for row in old.rows(f"{query} AND seq <= ?", after, upto)}
    except LedgerError:
        found: dict[int, tuple[Any, ...]] = {}
        for seq in range(after + 1, upto + 1):
            with suppress(LedgerError):
                found |= {row[1]: row for row in old.rows(f"{query} AND seq <= ?", seq - 1, seq)}
        return found
