"""Windows of time: the only module that knows time zones.

A window is half open, [start, end). Calendar windows follow the wall clock of the time zone, so a
day at a daylight-saving change has 23 or 25 hours.
"""

from __future__ import annotations

import os

from budget.lean import UTC, date, datetime, timedelta, tzinfo
from budget.model import Window

CALENDAR = ("hour", "day", "week", "month")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}

# Totals are kept in buckets of these sizes (milliseconds). Every offset of a time zone in use is
# a multiple of 15 minutes, so every calendar window is a whole number of the smallest bucket.
SPANS = (("day", 86_400_000), ("hour", 3_600_000), ("quarter", 900_000))
QUARTER_MS = 900_000
HOUR_MS = 3_600_000


def rolling_ms(per: str) -> int | None:
    """The length of `rolling 5h` and its like in milliseconds; None for another kind."""
    if not per.startswith("rolling "):
        return None
    count, unit = per[len("rolling ") : -1], per[-1]
    is_count = count.isascii() and count.isdigit() and len(count) <= 5 and count[0] != "0"
    return int(count) * _UNIT_MS[unit] if is_count and unit in _UNIT_MS else None


def is_period(per: str) -> bool:
    return per in ("session", "total", *CALENDAR) or rolling_ms(per) is not None


def zone(name: str) -> tzinfo | None:
    """The zone of an IANA name; None stands for the system's.

    Raises `ValueError` for a name the time zone database does not have.
    """
    if not name:
        return None
    import zoneinfo  # only for a named zone: it costs a hook more than the rest of this module

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name!r} in this system's database") from error


def window(
    per: str, now_ms: int, session_id: str, tz: tzinfo | None, week_starts: str = "monday"
) -> Window:
    """The window of kind `per` that holds `now_ms`."""
    if per == "session":
        return Window(0, None, session_id=session_id)
    if per == "total":
        return Window(0, None)
    length = rolling_ms(per)
    if length is not None:
        return Window(now_ms - length, None)
    local = _local(now_ms, tz)
    if per == "hour":
        return _hour(now_ms, local, tz)
    start, end = _dates(per, local, week_starts)
    end_ms = _midnight_ms(end, tz)
    return Window(_midnight_ms(start, tz), end_ms, resets_at_ms=end_ms)


def system_zone_name() -> str:
    """The system's zone: its IANA name where it tells one, else its offset."""
    name = os.environ.get("TZ", "").removeprefix(":")
    target = os.path.realpath("/etc/localtime")
    if not name and "zoneinfo/" in target:
        name = target.partition("zoneinfo/")[2]
    return name or datetime.now().astimezone().strftime("UTC%z")


def local_time(at_ms: int, tz: tzinfo | None) -> datetime:
    """The wall clock at a time."""
    return _local(at_ms, tz)


def _local(at_ms: int, tz: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(tz)


def _dates(per: str, local: datetime, week_starts: str) -> tuple[datetime, datetime]:
    day = datetime(local.year, local.month, local.day)
    if per == "day":
        return day, day + timedelta(days=1)
    if per == "week":
        start = day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_starts)) % 7)
        return start, start + timedelta(days=7)
    start = day.replace(day=1)
    return start, (start + timedelta(days=32)).replace(day=1)


def _hour(now_ms: int, local: datetime, tz: tzinfo | None) -> Window:
    """The hour of the wall clock. One that is repeated in autumn is two windows."""
    into_hour = timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    start_ms = now_ms - into_hour // timedelta(milliseconds=1)
    end_ms = start_ms + HOUR_MS
    if tz is not None:
        # Where the clock changes by half an hour, an hour has 30 or 90 minutes.
        top = local.replace(minute=0, second=0, microsecond=0)
        after = (top.replace(tzinfo=None, fold=0) + timedelta(hours=1)).replace(tzinfo=tz)
        start_ms = int(top.timestamp() * 1000)
        end_ms = min(start_ms + HOUR_MS, int(after.timestamp() * 1000))
        if end_ms <= now_ms:
            start_ms, end_ms = end_ms, end_ms + HOUR_MS
    return Window(start_ms, end_ms, resets_at_ms=end_ms)


def day_start_ms(day: date, tz: tzinfo | None) -> int:
    """When a day of the wall clock begins."""
    return _midnight_ms(datetime(day.year, day.month, day.day), tz)


def _midnight_ms(date: datetime, tz: tzinfo | None) -> int:
    # A naive datetime's timestamp() follows the system's zone, daylight saving included.
    return int((date if tz is None else date.replace(tzinfo=tz)).timestamp() * 1000)


def cover(start_ms: int, end_ms: int) -> list[tuple[str, int, int]]:
    """[start, end) as ranges of whole buckets, the largest possible, plus ragged edges.

    Each range is `(span, from, to)` with a span of `SPANS`, or `entry` for an edge that is
    shorter than the smallest bucket and has to be summed from the entries.
    """
    return _cover(start_ms, end_ms, 0)


def _cover(start_ms: int, end_ms: int, level: int) -> list[tuple[str, int, int]]:
    if start_ms >= end_ms:
        return []
    if level == len(SPANS):
        return [("entry", start_ms, end_ms)]
    span, size = SPANS[level]
    first, last = -(-start_ms // size) * size, end_ms // size * size
    if first >= last:
        return _cover(start_ms, end_ms, level + 1)
    return [
        *_cover(start_ms, first, level + 1),
        (span, first, last),
        *_cover(last, end_ms, level + 1),
    ]
