"""Checks a ledger against itself: every row that counts, and every sum that is derived.

Each finding says which row, and what is wrong with it; a ledger without one is as it was booked.
What cannot be seen is what was written with this program's own code: a seal is no secret.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from budget import derived
from budget.chain import ENTRY_COLUMNS, SEALED, digest, first_link, link, seal
from budget.ledger import Ledger
from budget.model import PICO, Spend

_AT_ONCE = 5_000
_SHOWN = 20
"""Of findings of one kind: the first ones say what is wrong, a thousand say nothing."""

Progress = Callable[[int, int], None]
"""Called with entries done, and how many there are."""


class Finding(NamedTuple):
    """One thing that is not as it was booked."""

    kind: str
    """`damaged`, `schema`, `changed`, `removed`, `inserted`, `total` or `seal`; those who compare a
    ledger with more than itself add kinds of their own."""
    text: str
    """A sentence for people."""
    table: str = ""
    seq: int | None = None
    """The entry's place in the chain."""
    message_id: str = ""


class Checked(NamedTuple):
    entries: int
    """How many there are."""
    findings: list[Finding]
    broken: frozenset[int]
    """Entries (their `seq`) that are not as they were booked: nothing should be built on them."""


def check(ledger: Ledger, progress: Progress = lambda _done, _all: None) -> Checked:
    """All that a ledger can tell of itself, of one state of it, whatever hooks write meanwhile.

    Raises `LedgerError` where SQLite cannot read it.
    """
    with ledger.snapshot():
        damage = [
            Finding("damaged", f"SQLite says of the file: {text}.")
            for (text,) in ledger.rows(f"PRAGMA integrity_check({_SHOWN})")
            if text != "ok"
        ]
        if damage:
            return Checked(0, damage, frozenset())
        count: int = ledger.row("SELECT count(*) FROM entries")[0]
        of_chain = list(chain(ledger, lambda done: progress(done, count)))
        findings = [*_schema(ledger), *of_chain, *_seals(ledger), *_sums(ledger)]
    broken = {each.seq for each in of_chain if each.kind != "removed" and each.table == "entries"}
    return Checked(count, findings, frozenset(seq for seq in broken if seq is not None))


def _schema(ledger: Ledger) -> Iterator[Finding]:
    now, kept = ledger.row("PRAGMA schema_version")[0], ledger.fact("schema")
    if str(now) != kept:
        yield Finding(
            "schema",
            "Something else than budget changed the tables: a guard was taken away, a table was"
            f" added, or the file was compacted (state {now}, budget left it at {kept}).",
        )


# -- the chain -------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """One place of the chain."""

    seq: int
    link: bytes
    digest: bytes
    entry: tuple[Any, ...] = ()
    """As `chain.digest` takes it; empty where the entry has moved to a later place."""

    @property
    def replaces(self) -> list[int]:
        """The places that the entry had before."""
        return [int(each) for each in str(self.entry[-1]).split() if each.isdecimal()]

    @property
    def shown(self) -> str:
        """`Entry 12 (msg_1, claude-opus-5-5, 2026-11-23 10:00 UTC, $0.0110)`."""
        if not self.entry:
            return f"Place {self.seq} of the chain, where an entry was before it rose,"
        _, message_id, *_, model, at_ms = self.entry[:9]
        cost = self.entry[22]
        try:
            at = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            money = "unpriced" if cost is None else f"${cost / PICO:.4f}"
        except (TypeError, ValueError, OverflowError, OSError):
            return f"Entry {self.seq} ({message_id})"
        return f"Entry {self.seq} ({message_id}, {model}, {at}, {money})"


class _Suspect(NamedTuple):
    """An entry whose link does not follow: what the next one goes on from tells why."""

    place: _Place
    previous: bytes
    computed: bytes
    missing: range

    def finding(self, why: str = "") -> Finding:
        place = self.place
        if why == "inserted":
            kind, text = "inserted", f"{place.shown} was not booked by budget."
        elif self.missing:
            kind = "removed"
            text = f"{_places(self.missing)} gone, before {place.shown.replace('E', 'e', 1)}."
        else:
            kind, text = "changed", f"{place.shown} is not as it was booked."
        table = "entries" if place.entry else "superseded"
        return Finding(kind, text, table, place.seq, str(place.entry[1]) if place.entry else "")


def _places(missing: range) -> str:
    """`Place 7 of the chain is`, `Places 7 to 9 of the chain are`."""
    if len(missing) == 1:
        return f"Place {missing[0]} of the chain is"
    return f"Places {missing[0]} to {missing[-1]} of the chain are"


def chain(ledger: Ledger, progress: Callable[[int], None] = lambda _: None) -> Iterator[Finding]:
    """Walks the chain; a finding for each place where it does not hold."""
    previous = first_link(ledger.id)
    # Before there was a chain, an entry that rose left no trace of its old place.
    last = start = int(ledger.fact("chained_from") or 0)
    left: set[int] = set()
    replaced: dict[int, _Place] = {}
    suspect: _Suspect | None = None
    places = _all_places(ledger)
    done = 0
    while some := list(islice(places, _AT_ONCE)):
        for place in some:
            missing = range(last + 1, place.seq) if place.seq > start else range(0)
            last = max(last, place.seq)
            if place.entry:
                replaced |= dict.fromkeys(place.replaces, place)
            else:
                left.add(place.seq)
            computed = link(previous, place.digest)
            if suspect and computed != place.link:
                if link(suspect.previous, place.digest) == place.link:
                    yield suspect.finding("inserted")
                    computed, suspect = place.link, None
                elif link(suspect.computed, place.digest) == place.link:
                    computed = place.link
            if suspect:
                yield suspect.finding()
                suspect = None
            if computed != place.link or missing:
                suspect = _Suspect(place, previous, computed, missing)
            previous = place.link
        done += len(some)
        progress(done)
    if suspect:
        yield suspect.finding()
    yield from _moves(left, replaced, start)
    yield from _not_numbers(ledger)


def _all_places(ledger: Ledger) -> Iterator[_Place]:
    left = ledger.rows("SELECT seq, link, digest FROM superseded ORDER BY seq")
    return merge(
        (_Place(seq, _bytes(own), _bytes(told)) for seq, own, told in left),
        _entry_places(ledger),
        key=lambda place: place.seq,
    )


def _bytes(cell: object) -> bytes:
    """A checksum as it was found: whoever changed it may have put anything in its place."""
    return cell if isinstance(cell, bytes) else repr(cell).encode()


def _entry_places(ledger: Ledger) -> Iterator[_Place]:
    last = -(2**63)
    query = f"SELECT link, seq, {ENTRY_COLUMNS}, replaces FROM entries WHERE seq > ? ORDER BY seq"
    while rows := ledger.rows(f"{query} LIMIT {_AT_ONCE}", last):
        last = rows[-1][1]
        for row in rows:
            yield _Place(row[1], _bytes(row[0]), digest(row[1:]), row[1:])


def _moves(left: set[int], replaced: dict[int, _Place], start: int) -> Iterator[Finding]:
    """A place is left because one entry moved on from it, and it says so."""
    for seq in sorted(left.difference(replaced)):
        text = f"{_places(range(seq, seq + 1))} marked as left, and no entry was there before."
        yield Finding("removed", text, "superseded", seq)
    for seq in sorted(set(replaced).difference(left)):
        if seq > start:
            place = replaced[seq]
            text = f"{_places(range(seq, seq + 1))} not marked as left by {place.shown}."
            yield Finding("changed", text, "superseded", seq)


def _not_numbers(ledger: Ledger) -> Iterator[Finding]:
    """No price and the text `None` look alike in the chain."""
    for seq, message_id in ledger.rows(
        "SELECT seq, message_id FROM entries WHERE typeof(picousd) = 'text'"
        " OR typeof(stated_picousd) = 'text'"
    ):
        text = f"Entry {seq} ({message_id}) has a text for its price."
        yield Finding("changed", text, "entries", seq, message_id)


# -- what is not in the chain ----------------------------------------------------------------------

_CALLED = {
    "unattributed": "The unattributed amount of session {1} at {2}",
    "client_totals": "The client's own total of session {0} by {1}",
    "grants": "The grant {0} on {4}",
    "cursors": "The reading position in {0}",
    "sources": "How far the ledger {0} was taken over",
}


def _seals(ledger: Ledger) -> Iterator[Finding]:
    for table, columns in SEALED.items():
        before = b""
        query = f"SELECT seal, {columns} FROM {table} ORDER BY {columns}"
        for sealed, *row in ledger.rows(query):
            if seal(table, tuple(row), before) != sealed:
                text = f"{_CALLED[table].format(*row)} is not as budget wrote it."
                yield Finding("seal", text, table)
            before = _bytes(sealed)


def _sums(ledger: Ledger) -> Iterator[Finding]:
    derived.add_up(ledger)
    wrong = derived.wrong_totals(ledger)
    for key, kept, anew in wrong[:_SHOWN]:
        yield Finding("total", f"The total of {_bucket(key)}: {_numbers(kept, anew)}.", "totals")
    if len(wrong) > _SHOWN:
        text = f"{len(wrong) - _SHOWN} more totals are not the sum of their entries."
        yield Finding("total", text, "totals")
    prompts = derived.wrong_prompts(ledger)
    if prompts:
        (prompt_id, _), _, _ = prompts[0]
        text = f"The sums of {len(prompts)} prompt(s) are not those of their entries: {prompt_id}."
        yield Finding("total", text, "prompt_totals")
    for session_id, source, kept_before, before in derived.wrong_befores(ledger):
        yield Finding(
            "total",
            f"What session {session_id} had cost before {source} began: kept"
            f" {kept_before} picodollars, its entries make {before}.",
            "client_totals",
        )


def _bucket(key: tuple[Any, ...]) -> str:
    """`day 2026-11-23 00:00 UTC (claude-opus-5-5, main, main)`."""
    span, start, *what = key
    named = ", ".join(filter(None, map(str, what)))
    try:
        at = datetime.fromtimestamp(start / 1000, UTC).strftime(" %Y-%m-%d %H:%M UTC")
    except (TypeError, ValueError, OverflowError, OSError):
        at = f" {start}"
    return f"{span}{'' if span == 'all' else at}" + (f" ({named})" if named else "")


def _numbers(kept: Spend, anew: Spend) -> str:
    """`steps: kept 10, its entries make 9`."""
    return "; ".join(
        f"{name.replace('_', ' ')}: kept {one}, its entries make {other}"
        for name, one, other in zip(Spend._fields, kept, anew, strict=True)
        if one != other
    )
