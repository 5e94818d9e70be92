"""Reads what `hooks/sensor.js` reports: the client's own running total, a file per process.

The client writes a file of a few dozen bytes after each model request, before the hooks of that
step start. A torn or foreign file is passed over: the next report replaces it. The other way goes
the time at which a hook answered: where none does, the module warns the person.
"""

from __future__ import annotations

import os

from budget.files import make_folder, overwrite_own, read_own
from budget.lean import loads, suppress
from budget.model import PICO, ClientTotal

_LARGEST = 65_536


def client_totals(folder: str, session_id: str) -> list[ClientTotal]:
    """The reports on one session; empty without a sensor."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []
    return [total for name in names if (total := _read(os.path.join(folder, name), session_id))]


def tell_answered(folder: str, now_ms: int) -> None:
    """Leaves the time of a hook's answer for the module, once for each prompt.

    A time in the file, not the file's own: the clock of a disk may be another.
    """
    with suppress(OSError, ValueError):  # it does not report either, and does not warn
        make_folder(folder)  # which a link in its place fails
        overwrite_own(os.path.join(folder, "answered"), str(now_ms).encode())


def _read(path: str, session_id: str) -> ClientTotal | None:
    try:
        report = loads(read_own(path, _LARGEST))
        base, total = _picousd(report["base_usd"]), _picousd(report["usd"])
        since = int(report["since_ms"])
        if report["session"] != session_id or total < base or not 0 <= since < 2**53:
            return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return ClientTotal(session_id, f"sensor:{os.path.basename(path)[:80]}", since, base, total)


def _picousd(usd: object) -> int:
    if not isinstance(usd, int | float) or not 0 <= usd < 10**6:
        raise ValueError("not an amount")
    return round(usd * PICO)
