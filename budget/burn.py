"""How fast money goes, and what follows from it. Pure.

Rates are picodollars per hour.
"""

HOUR_MS = 3_600_000


def per_hour(picousd: int, over_ms: int) -> int:
    """Picodollars per hour, of an amount that was spent over some time; 0 over no time."""
    return picousd * HOUR_MS // over_ms if over_ms > 0 else 0


def used_up_in_ms(left: int, rate_per_hour: int) -> int | None:
    """When a limit is reached at a rate; None: never."""
    return left * HOUR_MS // rate_per_hour if rate_per_hour > 0 else None


def at_this_rate(spent: int, rate_per_hour: int, now_ms: int, end_ms: int) -> int:
    """What is spent at `end_ms` when the work goes on as in the last minutes."""
    return spent + rate_per_hour * max(0, end_ms - now_ms) // HOUR_MS


def at_this_pace(spent: int, start_ms: int, now_ms: int, end_ms: int) -> int:
    """What is spent at a window's end when its rest goes like the part that is over, pauses too."""
    return spent * (end_ms - start_ms) // (now_ms - start_ms) if now_ms > start_ms else spent
