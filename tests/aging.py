"""Makes a session lie further back in time: what its transcript and its ledger say of when."""

import re
from datetime import datetime, timedelta

from tests.plugin import ledger
from tests.realclient.client import Home
from tests.realclient.meter import Meter
from tests.samples import unguarded

EXPIRED_S = 6 * 60
"""Longer than the five minutes that the client's cache lives by default."""

_TIMESTAMP = re.compile(r'(?<="timestamp":")[^"]+(?=")')
_TIMES = (
    "UPDATE entries SET at_ms = at_ms - :ms",
    "UPDATE client_totals SET since_ms = max(0, since_ms - :ms)",
    "UPDATE compactions SET at_ms = at_ms - :ms",
)


def let_pass(home: Home, meter: Meter, seconds: int) -> None:
    """As if all that happened in a home so far had happened so much earlier.

    The lines of its transcripts, what was booked of them, and what the stub has cached.
    """
    meter.age(seconds)
    for path in home.transcripts():
        text = path.read_text(encoding="utf-8")
        path.write_text(_TIMESTAMP.sub(lambda found: _earlier(found[0], seconds), text))
    if ledger(home).fact("root"):
        with unguarded(ledger(home).path) as db:
            for statement in _TIMES:
                db.execute(statement, {"ms": seconds * 1000})


def _earlier(timestamp: str, seconds: int) -> str:
    then = datetime.fromisoformat(timestamp) - timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
