"""Makes entries and the client's own total agree: the difference is *unattributed*.

Compaction, titles and other background requests leave no step in a transcript, but the client
counts them. Where its total comes from does not matter here: the sensor, the transcript's own
`cost-state` line, the status line.
"""

from __future__ import annotations

from collections.abc import Iterable

from budget.chain import seal
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.model import ClientTotal, Window
from budget.windows import QUARTER_MS

# The client adds floats: a difference below this (a thousandth of a micro-dollar) is none.
_NOISE_PICOUSD = 1_000


def note(ledger: Ledger, reports: Iterable[ClientTotal]) -> None:
    """Keeps the highest report of each source. Inside a transaction."""
    for report in reports:
        known = ledger.rows(
            "SELECT since_ms, base_picousd, total_picousd FROM client_totals"
            " WHERE session_id = ? AND source = ?",
            *report[:2],
        )
        if not known:
            before = ledger.row(
                "SELECT coalesce(sum(listed_picousd), 0) FROM entries"
                " WHERE session_id = ? AND at_ms < ?",
                *(report.session_id, report.since_ms),
            )[0]
            ledger.write(
                "INSERT INTO client_totals VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*report, before, seal("client_totals", report)),
            )
        elif known[0][2] < report.total_picousd:
            row = (*report[:2], *known[0][:2], report.total_picousd)
            ledger.write(
                "UPDATE client_totals SET total_picousd = ?, seal = ?"
                " WHERE session_id = ? AND source = ?",
                (report.total_picousd, seal("client_totals", row), *report[:2]),
            )


def is_news(ledger: Ledger, report: ClientTotal) -> bool:
    """Whether a report is higher than the last one of its source."""
    known = ledger.rows(
        "SELECT total_picousd FROM client_totals WHERE session_id = ? AND source = ?",
        report.session_id,
        report.source,
    )
    return not known or known[0][0] < report.total_picousd


def settle(ledger: Ledger, session_id: str, now_ms: int, user: str = "") -> None:
    """Sets the unattributed amount of a session. Inside a transaction.

    `user` is whose session it is; by default that of its last step.

    It is a level, not a sum: when steps that were late arrive, it falls by what they cost, the
    newest first, and never below zero. What rises is dated `now_ms` when a live source tells of
    it, and with the session's last step when it stands in a transcript, which may be old.
    """
    quarters = ledger.rows(
        "SELECT quarter, user, picousd FROM unattributed WHERE session_id = ?"
        " ORDER BY quarter DESC",
        session_id,
    )
    beyond, is_live = _gap(ledger, session_id)
    rise = beyond - sum(amount for _, _, amount in quarters)
    if rise > 0:
        last_ms, last_user = _last_step(ledger, session_id, now_ms)
        at_ms = now_ms if is_live else min(now_ms, last_ms)
        quarter = at_ms // QUARTER_MS * QUARTER_MS
        ledger.add_unattributed(session_id, quarter, user or last_user, rise)
    for quarter, whose, amount in quarters:
        if rise >= 0:
            break
        fall = min(amount, -rise)
        ledger.add_unattributed(session_id, quarter, whose, -fall)
        rise += fall


def _last_step(ledger: Ledger, session_id: str, default_ms: int) -> tuple[int, str]:
    """When a session's last step was, and whose."""
    rows = ledger.rows(
        "SELECT at_ms, user FROM entries WHERE session_id = ? ORDER BY at_ms DESC LIMIT 1",
        session_id,
    )
    return rows[0] if rows else (default_ms, "")


def settle_all(ledger: Ledger, now_ms: int, session_ids: set[str] | None = None) -> None:
    """Settles those sessions (default: all) and every fork: what it inherited may have changed."""
    rows = ledger.rows(
        "SELECT DISTINCT session_id, session_id IN (SELECT session_id FROM copies)"
        " FROM client_totals ORDER BY session_id"
    )
    for session_id, is_fork in rows:
        if session_ids is None or is_fork or session_id in session_ids:
            settle(ledger, session_id, now_ms)


def _gap(ledger: Ledger, session_id: str) -> tuple[int, bool]:
    """What the clients of a session counted beyond its entries, in picodollars, never negative;
    and whether a live source says so.

    Each source gives a lower bound (a killed client's total is lost, a sensor sees only its own
    process), so the highest of them holds.
    """
    totals = _client_totals(ledger, session_id)
    gaps = [(counted - booked, source) for source, counted, booked in totals]
    gap, source = max(gaps, default=(0, ""))
    return (gap, source != "transcript") if gap > _NOISE_PICOUSD else (0, False)


def _client_totals(ledger: Ledger, session_id: str) -> list[tuple[str, int, int]]:
    """(source, what the client counted, what is booked of the same time) for each source.

    All processes a sensor reports on are one source, `sensor`.
    """
    rows = ledger.rows(
        "SELECT source, total_picousd - base_picousd, before_picousd FROM client_totals"
        " WHERE session_id = ? ORDER BY since_ms",
        session_id,
    )
    if not rows:
        return []
    booked = ledger.spend(Window(0, None, session_id=session_id)).listed_picousd
    sensed = [row for row in rows if row[0].startswith("sensor:")]
    whole = [row for row in rows if not row[0].startswith("sensor:")]
    inherited = _inherited(ledger, session_id) if whole else 0
    totals = [(source, max(0, counted - inherited), booked) for source, counted, _ in whole]
    if sensed:
        before = sensed[0][2]  # the first of them: what the session had cost when it began
        totals.append(("sensor", sum(counted for _, counted, _ in sensed), booked - before))
    return totals


def _inherited(ledger: Ledger, session_id: str) -> int:
    """What a fork's total held at its start; 0 for a session that is none.

    The client starts a fork with its origin's whole total, agents included (2.1.330, measured
    2026-11-23). A sensor that saw the start knows the figure; else it is what the origin had
    spent before the fork's first step of its own.
    """
    origins = ledger.rows(
        "SELECT entries.session_id, sum(listed_picousd) FROM copies"
        " JOIN entries USING (message_id) WHERE copies.session_id = ? AND entries.session_id != ?"
        " GROUP BY entries.session_id",
        session_id,
        session_id,
    )
    if not origins:
        return 0
    seen = ledger.rows(
        "SELECT base_picousd FROM client_totals WHERE session_id = ? AND since_ms > 0"
        " AND before_picousd = 0 ORDER BY since_ms LIMIT 1",
        session_id,
    )
    if seen:
        return int(seen[0][0])
    inherited = 0
    for origin, copied in origins:
        spent = ledger.row(
            "SELECT coalesce(sum(listed_picousd), 0) FROM entries"
            " WHERE session_id = ? AND at_ms < coalesce("
            " (SELECT min(at_ms) FROM entries WHERE session_id = ?), at_ms + 1)",
            origin,
            session_id,
        )[0]
        unattributed = ledger.spend(Window(0, None, session_id=origin)).unattributed_picousd
        inherited += max(spent, copied) + unattributed
    return int(inherited)


class Comparison(NamedTuple):
    """One session: what the client counted, against what is booked."""

    session_id: str
    source: str
    client_picousd: int
    """Without what the session inherited."""
    booked_picousd: int
    """Entries of the time the client's total covers; unpriced steps at their bound."""
    unattributed_picousd: int

    @property
    def difference_picousd(self) -> int:
        """What is still not explained: above zero, the client counted more than is booked."""
        return self.client_picousd - self.booked_picousd - self.unattributed_picousd


def compare(ledger: Ledger) -> tuple[list[Comparison], int]:
    """Every session with a client total, and how many sessions have none."""
    compared = []
    sessions = ledger.rows("SELECT start FROM totals WHERE span = 'session' GROUP BY start")
    for (session_id,) in sessions:
        window = Window(0, None, session_id=session_id)
        unattributed = ledger.spend(window).unattributed_picousd
        candidates = [
            Comparison(session_id, source, counted, booked, unattributed)
            for source, counted, booked in _client_totals(ledger, session_id)
        ]
        if candidates:
            compared.append(max(candidates, key=lambda each: each.difference_picousd))
    return compared, len(sessions) - len(compared)
