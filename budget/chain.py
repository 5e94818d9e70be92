"""What proves that a ledger's rows are those that were booked.

Every entry carries a `link`: a checksum over the link before it and the entry's own facts. So no
entry can be changed, removed or inserted, and none moved, without the links from there on saying
so. An entry whose usage rose moves to the end of the chain; its old place stays in `superseded`
with its link and its checksum, and the entry names the places it had in `replaces`.

Rows that are not in the chain carry a `seal`, a checksum of their own facts. Neither is a secret:
they show that something else than this program wrote, not who may write.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b  # all that a hook needs of hashlib, which takes longer to load
except ImportError:  # an interpreter that is built otherwise
    from hashlib import blake2b

from budget.lean import Any

GUARD = "only_budget_writes_its_ledger"
"""The SQL function that every trigger of a ledger calls, and that only this program's connections
have: another program's change ends with `no such function: only_budget_writes_its_ledger`."""

ENTRY_COLUMNS = (
    "message_id, session_id, agent, agent_id, prompt_id, branch, model, at_ms, input_tokens,"
    " output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,"
    " web_searches, speed, geo, tier, responses, parts, stated_picousd, user, picousd,"
    " bound_picousd, listed_picousd, price_version"
)
"""The facts of an entry, in the order in which they are written and linked."""

SEALED = {
    "unattributed": "seq, session_id, quarter, user, picousd",
    "client_totals": "session_id, source, since_ms, base_picousd, total_picousd",
    "grants": "seq, at_ms, until_ms, session_id, budget, unit, amount, person, reason",
    "cursors": "path, session_id, device, inode, size, mtime_ns, offset, head, prompt_id,"
    " tool_use_ids, message_id, tail, bad_lines",
    "sources": "path, ledger_id, stamp, seq, unattributed_seq",
}
"""The sealed columns of each table. Grants follow one another: a seal goes on from the last one."""

_BYTES = 16
# Two dozen values in one call: one that holds the separator itself has one more of them.
_SEPARATOR = "\x1f"
_ENTRY = _SEPARATOR.join(["%s"] * 27)


def first_link(ledger_id: str) -> bytes:
    """What the first entry's link goes on from: no chain fits into another ledger."""
    return blake2b(ledger_id.encode(), digest_size=_BYTES).digest()


def digest(entry: tuple[Any, ...]) -> bytes:
    """The checksum of an entry: its `seq`, the columns of its facts, and `replaces`."""
    return blake2b((_ENTRY % entry).encode(), digest_size=_BYTES).digest()


def link(previous: bytes, own: bytes) -> bytes:
    """The link of an entry with that checksum, after the one before it."""
    return blake2b(previous + own, digest_size=_BYTES).digest()


def seal(table: str, row: tuple[Any, ...], before: bytes = b"") -> bytes:
    """The seal of a row, its columns as in `SEALED`; `before` is that of the grant before it."""
    text = _SEPARATOR.join((table, *map(str, row)))
    before = before if table == "grants" else b""
    return blake2b(before + text.encode(), digest_size=_BYTES).digest()
