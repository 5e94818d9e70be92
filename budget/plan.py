"""How much of a subscription plan's own windows is used, as the client tells it.

The sensor reports it after each step of a session, the status line after each message (2.1.330,
measured 2026-11-23). Clients that pay per request tell nothing.
"""

from __future__ import annotations

import os

from budget import paths
from budget.files import read_own, replace_own
from budget.lean import Any, NamedTuple, datetime, dumps, loads, suppress
from budget.model import PERCENT_UNITS

STALE_MS = 15 * 60_000
"""An older reading does not stop anything: others may use the plan meanwhile, and windows pass."""
_LARGEST = 65_536


class Reading(NamedTuple):
    """One window of the plan: `unit` is `five_hour_percent` or `seven_day_percent`."""

    unit: str
    percent: int
    """Rounded down."""
    resets_at_ms: int | None
    at_ms: int


def latest(env: paths.Env, session_id: str) -> dict[str, Reading]:
    """The newest reading of each window, by unit, from all that is known."""
    found: dict[str, Reading] = {}
    for reading in (*_of_session(env, session_id), *_stored(env)):
        if reading.unit not in found or found[reading.unit].at_ms < reading.at_ms:
            found[reading.unit] = reading
    return found


def store(env: paths.Env, status: dict[str, Any], now_ms: int) -> None:
    """Keeps what a status line's input tells, for the hooks of every session."""
    readings = _of_status_line(status.get("rate_limits"), now_ms)
    if not readings:
        return
    with suppress(OSError):
        replace_own(paths.plan_usage_file(env), dumps(readings), at_top=True)


def _of_status_line(limits: object, now_ms: int) -> list[Reading]:
    """`{"five_hour": {"used_percentage": 42, "resets_at": 1795434333}, ...}`"""
    if not isinstance(limits, dict):
        return []
    told = []
    for unit in PERCENT_UNITS:
        each = limits.get(unit.removesuffix("_percent"))
        if isinstance(each, dict):
            seconds = each.get("resets_at")
            resets_at_ms = None
            if isinstance(seconds, int | float) and 0 < seconds < 2**40:
                resets_at_ms = int(seconds * 1000)
            told.append(_reading(unit, each.get("used_percentage"), resets_at_ms, now_ms))
    return [reading for reading in told if reading]


def _of_session(env: paths.Env, session_id: str) -> list[Reading]:
    """`[{"kind": "five_hour", "percentUsed": 42, "resetsAt": "2026-11-23T11:45:33.000Z"}, ...]`"""
    folder = paths.client_totals_folder(env, session_id)
    found = []
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return []
    for name in names:
        try:
            report = loads(read_own(os.path.join(folder, name), _LARGEST))
            for each in report["rate_limits"]:
                resets = int(datetime.fromisoformat(each["resetsAt"]).timestamp() * 1000)
                unit = f"{each['kind']}_percent"
                reading = _reading(unit, each["percentUsed"], resets, int(report["at_ms"]))
                found += [reading] if reading and unit in PERCENT_UNITS else []
        except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
            continue  # torn or foreign: the next report replaces it
    return found


def _stored(env: paths.Env) -> list[Reading]:
    try:
        told = loads(read_own(paths.plan_usage_file(env), _LARGEST))
        readings = [_reading(each[0], each[1], each[2], each[3]) for each in told]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return [each for each in readings if each and each.unit in PERCENT_UNITS]


def _reading(unit: str, percent: object, resets_at_ms: object, at_ms: object) -> Reading | None:
    if not isinstance(percent, int | float) or not 0 <= percent <= 1000:
        return None
    if type(at_ms) is not int or not (resets_at_ms is None or type(resets_at_ms) is int):
        return None
    return Reading(unit, int(percent), resets_at_ms, at_ms)
