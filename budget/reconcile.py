"""Makes entries and the client's own total agree: the difference is *unattributed*.

Compaction, titles and other background requests leave no step in a transcript, but the client
counts them. Where its total comes from does not matter here: the sensor, the transcript's own
`cost-state` line, the status line, the result message of a headless run.
"""

from collections.abc import Iterable
from typing import NamedTuple

from budget.ledger import Ledger, buckets
from budget.model import ClientTotal, Spend, Window
from budget.windows import QUARTER_MS

# The client adds floats: a difference below this (a thousandth of a micro-dollar) is none.
_NOISE_PICOUSD = 1_000


def note(ledger: Ledger, reports: Iterable[ClientTotal]) -> None:
    """Keeps the highest report of each source. Inside a transaction."""
    for report in reports:
        before = ledger.row(
            "SELECT coalesce(sum(listed_picousd), 0) FROM entries"
            " WHERE session_id = ? AND at_ms < ? AND NOT EXISTS"
            " (SELECT 1 FROM client_totals WHERE session_id = ? AND source = ?)",
            report.session_id,
            report.since_ms,
            report.session_id,
            report.source,
        )[0]
        ledger.write(
            "INSERT INTO client_totals VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (session_id, source) DO UPDATE SET"
            " total_picousd = max(total_picousd, excluded.total_picousd)",
            (*report, before),
        )


def is_news(ledger: Ledger, report: ClientTotal) -> bool:
    """Whether a report is higher than the last one of its source."""
    known = ledger.rows(
        "SELECT total_picousd FROM client_totals WHERE session_id = ? AND source = ?",
        report.session_id,
        report.source,
    )
    return not known or known[0][0] < report.total_picousd


def settle(ledger: Ledger, session_id: str, now_ms: int) -> None:
    """Sets the unattributed amount of a session. Inside a transaction.

    It is a level, not a sum: when steps that were late arrive, it falls by what they cost, the
    newest first, and never below zero. What rises is dated `now_ms`.
    """
    quarters = ledger.rows(
        "SELECT quarter, picousd FROM unattributed WHERE session_id = ? ORDER BY quarter DESC",
        session_id,
    )
    rise = gap(ledger, session_id) - sum(amount for _, amount in quarters)
    if rise > 0:
        _shift(ledger, session_id, now_ms // QUARTER_MS * QUARTER_MS, rise)
    for quarter, amount in quarters:
        if rise >= 0:
            break
        fall = min(amount, -rise)
        _shift(ledger, session_id, quarter, -fall)
        rise += fall


def settle_all(ledger: Ledger, session_ids: set[str], now_ms: int) -> None:
    """Settles those sessions and every fork: what a fork inherited may have changed with them."""
    rows = ledger.rows(
        "SELECT DISTINCT session_id, session_id IN (SELECT session_id FROM copies)"
        " FROM client_totals ORDER BY session_id"
    )
    for session_id, is_fork in rows:
        if is_fork or session_id in session_ids:
            settle(ledger, session_id, now_ms)


def gap(ledger: Ledger, session_id: str) -> int:
    """What the clients of a session counted beyond its entries, in picodollars, never negative.

    Each source gives a lower bound (a killed client's total is lost, a sensor sees only its own
    process), so the highest of them holds.
    """
    rows = ledger.rows(
        "SELECT source, total_picousd - base_picousd, before_picousd FROM client_totals"
        " WHERE session_id = ? ORDER BY since_ms",
        session_id,
    )
    if not rows:
        return 0
    session = ledger.spend(Window(0, None, session_id=session_id))
    booked = session.listed_picousd
    sensed = [row for row in rows if row[0].startswith("sensor:")]
    gaps = [
        counted - booked - _inherited(ledger, session_id)
        for source, counted, _ in rows
        if not source.startswith("sensor:")
    ]
    if sensed:
        before = sensed[0][2]  # the first of them: what the session had cost when it began
        gaps.append(sum(counted for _, counted, _ in sensed) - (booked - before))
    highest = max(gaps)
    return int(highest) if highest > _NOISE_PICOUSD else 0


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


def _shift(ledger: Ledger, session_id: str, quarter: int, picousd: int) -> None:
    ledger.write(
        "INSERT INTO unattributed VALUES (?, ?, ?)"
        " ON CONFLICT (session_id, quarter) DO UPDATE SET picousd = picousd + excluded.picousd",
        (session_id, quarter, picousd),
    )
    spend = Spend(unattributed_picousd=picousd)
    ledger.add_to_totals(dict.fromkeys(buckets(session_id, quarter, "", "", ""), spend))


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
        spend = ledger.spend(Window(0, None, session_id=session_id))
        rows = ledger.rows(
            "SELECT source, since_ms, total_picousd - base_picousd, before_picousd"
            " FROM client_totals WHERE session_id = ? ORDER BY since_ms",
            session_id,
        )
        if not rows:
            continue
        booked = spend.listed_picousd
        sensed = [row for row in rows if row[0].startswith("sensor:")]
        told = [row for row in rows if not row[0].startswith("sensor:")]
        candidates = [
            Comparison(
                session_id,
                source,
                max(0, counted - _inherited(ledger, session_id)),
                booked,
                spend.unattributed_picousd,
            )
            for source, _, counted, _ in told
        ]
        if sensed:
            counted = sum(row[2] for row in sensed)
            booked_since = booked - sensed[0][3]
            unattributed = spend.unattributed_picousd
            candidates.append(Comparison(session_id, "sensor", counted, booked_since, unattributed))
        compared.append(max(candidates, key=lambda each: each.difference_picousd))
    return compared, len(sessions) - len(compared)
