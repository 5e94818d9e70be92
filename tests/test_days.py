"""Days that options name, as their zone has them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from budget.cli import days
from budget.errors import OptionError

LATE = int(datetime(2026, 11, 23, 23, 30, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def half_an_hour_before_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "now_ms", lambda: LATE)


@pytest.mark.parametrize(
    ("zone", "text", "day"),
    [
        ("UTC", "today", date(2026, 11, 23)),
        ("UTC", "yesterday", date(2026, 11, 22)),
        ("Europe/Berlin", "today", date(2026, 11, 24)),
        ("Europe/Berlin", "yesterday", date(2026, 11, 23)),
        ("America/New_York", "today", date(2026, 11, 23)),
        ("UTC", "2026-11-23", date(2026, 11, 23)),
        ("UTC", "", None),
    ],
)
def test_a_word_names_the_day_of_the_zone(zone: str, text: str, day: date | None) -> None:
    assert days.day_of(text, "--since", ZoneInfo(zone)) == day


def test_words_and_dates_make_one_period() -> None:
    assert days.period("2026-11-01", "today", UTC) == (date(2026, 11, 1), date(2026, 11, 23))
    told = r"^--until \(2026-11-22\) is before --since \(2026-11-23\)\.$"
    with pytest.raises(OptionError, match=told):
        days.period("today", "yesterday", UTC)


def test_what_is_no_day_says_what_one_is() -> None:
    told = "^--until expects a date such as 2026-11-23, today or yesterday, got '23.11.'.$"
    with pytest.raises(OptionError, match=told):
        days.period("today", "23.11.", UTC)
