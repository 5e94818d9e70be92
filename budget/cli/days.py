"""Days that options name: `2026-11-23`, `today`, `yesterday`."""

from datetime import date, datetime, timedelta, tzinfo

from budget.cli.place import now_ms
from budget.errors import OptionError

AGO = {"today": 0, "yesterday": 1}


def day_of(text: str, option: str, tz: tzinfo | None) -> date | None:
    """The day that an option names; None where it names none. Raises `OptionError`."""
    if not text:
        return None
    if text in AGO:
        # A naive time of the system's zone where there is no other, as everywhere.
        today = datetime.fromtimestamp(now_ms() / 1000, tz).date()
        return today - timedelta(days=AGO[text])
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise OptionError(
            f"{option} expects a date such as 2026-11-23, today or yesterday, got {text!r}."
        ) from None


def period(since: str, until: str, tz: tzinfo | None) -> tuple[date | None, date | None]:
    """The first and the last day that `--since` and `--until` name. Raises `OptionError`."""
    first, last = day_of(since, "--since", tz), day_of(until, "--until", tz)
    if first and last and first > last:
        raise OptionError(f"--until ({last}) is before --since ({first}).")
    return first, last
