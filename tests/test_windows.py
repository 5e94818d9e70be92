"""Windows follow the wall clock of the time zone; buckets cover them exactly."""

import sys
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.model import Window
from budget.windows import SPANS, WEEKDAYS, cover, is_period, rolling_ms, window, zone
from tests.samples import DAY_MS, HOUR_MS

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
# Zones with unusual changes or offsets today: half hours, midnights that do not exist, two hours.
ODD_ZONES = [
    "Africa/Cairo",
    "America/Havana",
    "America/Nuuk",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Atlantic/Azores",
    "Europe/Berlin",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "UTC",
]
MINUTE_MS = 60_000


def ms(text: str) -> int:
    """An ISO time with its offset, in milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


YEARS = st.integers(ms("2015-01-01T00:00:00+00:00"), ms("2037-12-31T00:00:00+00:00"))
"""Any moment of these years: within what time zones know and the client has lived through."""


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's time zone is New York's."""
    if sys.platform == "win32":
        pytest.skip("a process cannot change its time zone here")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


# -- the calendar ----------------------------------------------------------------------------------


def test_a_day_runs_from_midnight_to_midnight_of_the_zone() -> None:
    day = window("day", ms("2026-11-23T10:00:00+00:00"), "s", BERLIN)
    start, end = ms("2026-11-23T00:00:00+01:00"), ms("2026-11-24T00:00:00+01:00")
    assert day == Window(start, end, None, end)


def test_a_moment_before_midnight_utc_is_the_next_day_in_berlin() -> None:
    day = window("day", ms("2026-11-22T23:30:00+00:00"), "s", BERLIN)
    assert day.start_ms == ms("2026-11-23T00:00:00+01:00")


def test_midnight_itself_is_in_the_new_day() -> None:
    midnight = ms("2026-11-23T00:00:00+01:00")
    assert window("day", midnight, "s", BERLIN).start_ms == midnight
    assert window("day", midnight - 1, "s", BERLIN).end_ms == midnight


def test_a_day_at_a_daylight_saving_change_has_23_or_25_hours() -> None:
    spring = window("day", ms("2026-03-29T12:00:00+02:00"), "s", BERLIN)
    autumn = window("day", ms("2026-10-25T12:00:00+01:00"), "s", BERLIN)
    assert spring.end_ms == spring.start_ms + 23 * HOUR_MS
    assert autumn.end_ms == autumn.start_ms + 25 * HOUR_MS


def test_a_day_whose_midnight_does_not_exist_starts_when_the_clock_is_put_forward() -> None:
    cairo = zoneinfo.ZoneInfo("Africa/Cairo")  # 2026-04-24: 00:00 becomes 01:00
    day = window("day", ms("2026-04-24T12:00:00+03:00"), "s", cairo)
    assert day.start_ms == ms("2026-04-24T00:00:00+02:00")
    assert day.end_ms == day.start_ms + 23 * HOUR_MS


def test_a_week_begins_on_the_chosen_weekday() -> None:
    wednesday = ms("2026-11-25T12:00:00+01:00")
    starts = [
        window("week", wednesday, "s", BERLIN, weekday).start_ms
        for weekday in ("monday", "wednesday", "thursday", "sunday")
    ]
    assert starts == [
        ms(f"{date}T00:00:00+01:00")
        for date in ("2026-11-23", "2026-11-25", "2026-11-19", "2026-11-22")
    ]


def test_a_week_at_a_daylight_saving_change_is_an_hour_shorter() -> None:
    week = window("week", ms("2026-03-25T12:00:00+01:00"), "s", BERLIN)
    assert week.end_ms == week.start_ms + 7 * DAY_MS - HOUR_MS


def test_a_month_ends_with_its_own_last_day() -> None:
    february = window("month", ms("2028-02-29T23:59:59+01:00"), "s", BERLIN)
    assert february[:2] == (ms("2028-02-01T00:00:00+01:00"), ms("2028-03-01T00:00:00+01:00"))
    december = window("month", ms("2026-12-31T23:59:59+01:00"), "s", BERLIN)
    assert december[:2] == (ms("2026-12-01T00:00:00+01:00"), ms("2027-01-01T00:00:00+01:00"))


def test_an_hour_follows_the_clock_of_a_zone_with_half_an_hour() -> None:
    kolkata = zoneinfo.ZoneInfo("Asia/Kolkata")
    hour = window("hour", ms("2026-11-23T10:45:12.345+05:30"), "s", kolkata)
    start = ms("2026-11-23T10:00:00+05:30")
    assert hour == Window(start, start + HOUR_MS, None, start + HOUR_MS)


def test_the_repeated_hour_of_autumn_is_two_windows() -> None:
    first = window("hour", ms("2026-10-25T02:30:00+02:00"), "s", BERLIN)
    second = window("hour", ms("2026-10-25T02:30:00+01:00"), "s", BERLIN)
    assert second.start_ms == first.end_ms == first.start_ms + HOUR_MS


@pytest.mark.usefixtures("in_new_york")
def test_without_a_name_the_zone_is_the_systems() -> None:
    day = window("day", ms("2026-11-23T03:00:00+00:00"), "s", zone(""))
    assert day.start_ms == ms("2026-11-22T00:00:00-05:00")


@pytest.mark.usefixtures("in_new_york")
def test_a_daylight_saving_day_of_the_systems_zone_has_25_hours() -> None:
    day = window("day", ms("2026-11-01T12:00:00-05:00"), "s", None)
    assert day.start_ms == ms("2026-11-01T00:00:00-04:00")
    assert day.end_ms == day.start_ms + 25 * HOUR_MS


# -- windows without a calendar --------------------------------------------------------------------


def test_a_rolling_window_reaches_back_from_now_and_has_no_end() -> None:
    now_ms = ms("2026-11-23T10:00:00.123+00:00")
    assert window("rolling 5h", now_ms, "s", BERLIN) == Window(now_ms - 5 * HOUR_MS, None)
    assert window("rolling 90m", now_ms, "s", BERLIN) == Window(now_ms - 90 * MINUTE_MS, None)
    assert window("rolling 7d", now_ms, "s", BERLIN) == Window(now_ms - 7 * DAY_MS, None)


def test_a_session_window_is_the_session_and_total_is_everything() -> None:
    assert window("session", 5, "abc", BERLIN) == Window(0, None, session_id="abc")
    assert window("total", 5, "abc", BERLIN) == Window(0, None)


def test_windows_are_named_by_their_session_or_their_start() -> None:
    assert window("session", 5, "abc", BERLIN).key == "session:abc"
    start = ms("2026-11-23T00:00:00+00:00")
    assert window("day", start + 7, "abc", UTC).key == str(start)


@pytest.mark.parametrize(
    "per", ["session", "total", "hour", "day", "week", "month", "rolling 5h", "rolling 99999d"]
)
def test_these_are_periods(per: str) -> None:
    assert is_period(per)


NO_PERIODS = (
    "|Day|year|5h|rolling|rolling h|rolling 0h|rolling 05h|rolling 5|rolling 5s|rolling 100000d"
    "|rolling -5h|rolling 1.5h|rolling 5h |rolling 5h\n|rolling \N{ARABIC-INDIC DIGIT FIVE}h"
)


@pytest.mark.parametrize("per", NO_PERIODS.split("|"))
def test_these_are_no_periods(per: str) -> None:
    assert not is_period(per)
    assert rolling_ms(per) is None


@pytest.mark.parametrize(
    "name", ["Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "x" * 5000]
)
def test_an_unknown_zone_is_a_value_error_that_names_it(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone") as raised:
        zone(name)
    assert str(raised.value) == f"no time zone {name!r} in this system's database"


# -- laws ------------------------------------------------------------------------------------------

PERIODS = st.sampled_from(["hour", "day", "week", "month", "total", "rolling 7m", "rolling 3d"])


@given(PERIODS, YEARS, st.sampled_from(ZONES), st.sampled_from(WEEKDAYS))
def test_a_window_contains_its_now(per: str, now_ms: int, name: str, weekday: str) -> None:
    found = window(per, now_ms, "s", zone(name), weekday)
    assert found.start_ms <= now_ms
    assert found.end_ms is None or now_ms < found.end_ms
    assert found.resets_at_ms == found.end_ms


@given(st.sampled_from(["day", "week", "month"]), YEARS, st.sampled_from(ZONES), st.data())
def test_every_moment_of_a_calendar_window_has_this_window(
    per: str, now_ms: int, name: str, data: st.DataObject
) -> None:
    assert_windows_do_not_overlap(per, now_ms, zone(name), data)


@given(YEARS, st.sampled_from(ODD_ZONES), st.data())
def test_every_moment_of_an_hour_has_this_hour(now_ms: int, name: str, data: st.DataObject) -> None:
    assert_windows_do_not_overlap("hour", now_ms, zone(name), data)


def assert_windows_do_not_overlap(
    per: str, now_ms: int, tz: tzinfo | None, data: st.DataObject
) -> None:
    found = window(per, now_ms, "s", tz)
    assert found.end_ms is not None
    other = data.draw(st.integers(found.start_ms, found.end_ms - 1))
    for at_ms in (found.start_ms, other, found.end_ms - 1):
        assert window(per, at_ms, "s", tz) == found
    assert window(per, found.end_ms, "s", tz).start_ms == found.end_ms


@given(YEARS, st.sampled_from(ZONES))
def test_calendar_windows_are_whole_quarters_of_an_hour(now_ms: int, name: str) -> None:
    for per in ("hour", "day", "week", "month"):
        found = window(per, now_ms, "s", zone(name))
        assert found.end_ms is not None
        spans = {span for span, _, _ in cover(found.start_ms, found.end_ms)}
        assert "entry" not in spans


def test_hours_do_not_overlap_where_daylight_saving_is_half_an_hour() -> None:
    lord_howe = zoneinfo.ZoneInfo("Australia/Lord_Howe")  # 2026-10-04: 02:00 becomes 02:30
    before = window("hour", ms("2026-10-04T01:59:00+10:30"), "s", lord_howe)
    after = window("hour", ms("2026-10-04T02:45:00+11:00"), "s", lord_howe)
    assert before.end_ms is not None
    assert before.end_ms <= after.start_ms


SIZES = dict(SPANS)
TIMES = st.integers(-3 * DAY_MS, 40 * DAY_MS)
ROUND_TIMES = st.one_of(
    TIMES,
    st.builds(lambda time, size: time // size * size, TIMES, st.sampled_from(list(SIZES.values()))),
)


@given(ROUND_TIMES, ROUND_TIMES)
def test_the_ranges_of_cover_partition_the_interval(start_ms: int, end_ms: int) -> None:
    ranges = cover(start_ms, end_ms)
    edges = [start for _, start, _ in ranges] + [max(start_ms, end_ms)]
    assert edges[0] == (start_ms if ranges else max(start_ms, end_ms))
    assert [end for _, _, end in ranges] == edges[1:]
    assert all(start < end for _, start, end in ranges)
    assert bool(ranges) == (start_ms < end_ms)


@given(ROUND_TIMES, ROUND_TIMES)
def test_cover_takes_whole_buckets_and_the_largest(start_ms: int, end_ms: int) -> None:
    ranges = cover(start_ms, end_ms)
    for span, start, end in ranges:
        if span != "entry":
            assert start % SIZES[span] == end % SIZES[span] == 0
    larger = {"hour": DAY_MS, "quarter": HOUR_MS, "entry": SIZES["quarter"]}
    for span, start, end in ranges:
        if span in larger:  # the next whole larger bucket does not fit in
            assert -(-start // larger[span]) * larger[span] + larger[span] > end


def test_a_ragged_interval_is_edges_quarters_hours_and_days() -> None:
    quarter = SIZES["quarter"]
    assert cover(DAY_MS - HOUR_MS - quarter - 5, 3 * DAY_MS + HOUR_MS + 7) == [
        ("entry", DAY_MS - HOUR_MS - quarter - 5, DAY_MS - HOUR_MS - quarter),
        ("quarter", DAY_MS - HOUR_MS - quarter, DAY_MS - HOUR_MS),
        ("hour", DAY_MS - HOUR_MS, DAY_MS),
        ("day", DAY_MS, 3 * DAY_MS),
        ("hour", 3 * DAY_MS, 3 * DAY_MS + HOUR_MS),
        ("entry", 3 * DAY_MS + HOUR_MS, 3 * DAY_MS + HOUR_MS + 7),
    ]


# -- zones and dates that surprise -----------------------------------------------------------------

LORD_HOWE, KIRITIMATI = "Australia/Lord_Howe", "Pacific/Kiritimati"
NEW_YORK = "America/New_York"

CHANGES = [
    # (kind, zone, week starts, any moment, start, minutes): the start on the day of the moment
    ("hour", "Europe/Berlin", "monday", "2026-03-29T01:59:59.999+01:00", "01:00+01:00", 60),
    ("hour", "Europe/Berlin", "monday", "2026-03-29T03:00:00+02:00", "03:00+02:00", 60),
    ("hour", "Europe/Berlin", "monday", "2026-10-25T02:30:00+02:00", "02:00+02:00", 60),
    ("hour", "Europe/Berlin", "monday", "2026-10-25T02:30:00+01:00", "02:00+01:00", 60),
    ("hour", "Asia/Kolkata", "monday", "2026-11-23T10:29:59.999+05:30", "10:00+05:30", 60),
    ("hour", "Asia/Kathmandu", "monday", "2026-11-23T10:45:00+05:45", "10:00+05:45", 60),
    ("day", "Europe/Berlin", "monday", "2026-03-29T12:00:00+02:00", "00:00+01:00", 23 * 60),
    ("day", "Europe/Berlin", "monday", "2026-10-25T12:00:00+01:00", "00:00+02:00", 25 * 60),
    ("day", "America/New_York", "monday", "2026-03-08T12:00:00-04:00", "00:00-05:00", 23 * 60),
    ("day", "America/New_York", "monday", "2026-11-01T00:30:00-04:00", "00:00-04:00", 25 * 60),
    ("day", "Australia/Lord_Howe", "monday", "2026-04-05T12:00:00+10:30", "00:00+11:00", 1470),
    ("day", "Australia/Lord_Howe", "monday", "2026-10-04T12:00:00+11:00", "00:00+10:30", 1410),
    ("day", "Asia/Kolkata", "monday", "2026-11-23T00:00:00+05:30", "00:00+05:30", 24 * 60),
    ("day", "Asia/Kathmandu", "monday", "2026-11-23T23:59:59.999+05:45", "00:00+05:45", 24 * 60),
]

LONG_CHANGES = [
    # (kind, zone, week starts, any moment, start, hours)
    ("week", "Europe/Berlin", "monday", "2026-03-25T12:00+01:00", "2026-03-23T00:00+01:00", 167),
    ("week", "Europe/Berlin", "monday", "2026-10-25T23:00+01:00", "2026-10-19T00:00+02:00", 169),
    ("week", "Europe/Berlin", "sunday", "2026-03-29T00:00+01:00", "2026-03-29T00:00+01:00", 167),
    (
        "week",
        "Australia/Lord_Howe",
        "monday",
        "2026-04-01T12:00+11:00",
        "2026-03-30T00:00+11:00",
        168.5,
    ),
    ("month", "Europe/Berlin", "monday", "2026-03-15T12:00+01:00", "2026-03-01T00:00+01:00", 743),
    ("month", "Europe/Berlin", "monday", "2026-10-15T12:00+02:00", "2026-10-01T00:00+02:00", 745),
    (
        "month",
        "Australia/Lord_Howe",
        "monday",
        "2026-10-31T12:00+11:00",
        "2026-10-01T00:00+10:30",
        743.5,
    ),
    ("month", "Asia/Kathmandu", "monday", "2028-02-29T12:00+05:45", "2028-02-01T00:00+05:45", 696),
    # over New Year
    ("week", "UTC", "monday", "2026-12-31T23:59:59.999+00:00", "2026-12-28T00:00+00:00", 168),
    ("week", "UTC", "monday", "2027-01-01T00:00+00:00", "2026-12-28T00:00+00:00", 168),
    ("week", "UTC", "sunday", "2027-01-02T12:00+00:00", "2026-12-27T00:00+00:00", 168),
    ("week", "UTC", "sunday", "2027-01-03T00:00+00:00", "2027-01-03T00:00+00:00", 168),
    (
        "week",
        "Pacific/Kiritimati",
        "saturday",
        "2027-01-01T12:00+14:00",
        "2026-12-26T00:00+14:00",
        168,
    ),
    ("month", "UTC", "monday", "2026-12-31T23:59:59.999+00:00", "2026-12-01T00:00+00:00", 744),
    (
        "month",
        "America/New_York",
        "monday",
        "2026-12-31T23:30-05:00",
        "2026-12-01T00:00-05:00",
        744,
    ),
    ("day", NEW_YORK, "monday", "2026-12-31T23:30-05:00", "2026-12-31T00:00-05:00", 24),
]


@pytest.mark.parametrize(("per", "name", "weekday", "moment", "start", "minutes"), CHANGES)
def test_hours_and_days_of_zones_that_surprise(
    per: str, name: str, weekday: str, moment: str, start: str, minutes: int
) -> None:
    found = window(per, ms(moment), "s1", zone(name), weekday)
    start_ms = ms(f"{moment[:10]}T{start}")
    assert (found.start_ms, found.end_ms) == (start_ms, start_ms + minutes * MINUTE_MS)
    assert found.resets_at_ms == found.end_ms


@pytest.mark.parametrize(("per", "name", "weekday", "moment", "start", "hours"), LONG_CHANGES)
def test_weeks_and_months_of_zones_that_surprise(
    per: str, name: str, weekday: str, moment: str, start: str, hours: float
) -> None:
    found = window(per, ms(moment), "s1", zone(name), weekday)
    assert (found.start_ms, found.end_ms) == (ms(start), ms(start) + int(hours * HOUR_MS))
    assert found.resets_at_ms == found.end_ms


@pytest.mark.parametrize("per", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("name", [*ODD_ZONES, "Australia/Lord_Howe"])
def test_a_window_resets_at_its_millisecond(per: str, name: str) -> None:
    now_ms = ms("2026-11-23T10:00:00.123+00:00")
    tz = zone(name)
    for _ in range(30):
        found = window(per, now_ms, "s1", tz, "sunday")
        resets_ms = found.resets_at_ms
        assert resets_ms is not None
        assert window(per, resets_ms - 1, "s1", tz, "sunday") == found
        after = window(per, resets_ms, "s1", tz, "sunday")
        assert after.start_ms == resets_ms
        now_ms = resets_ms


def test_a_clock_that_is_set_back_is_in_the_window_of_before() -> None:
    midnight_ms = ms("2026-11-24T00:00:00+01:00")
    before = window("day", midnight_ms - 1, "s1", BERLIN)
    assert window("day", midnight_ms, "s1", BERLIN) != before
    assert window("day", midnight_ms - 5 * MINUTE_MS, "s1", BERLIN) == before
    assert window("rolling 5h", midnight_ms - 1, "s1", None).end_ms is None, "the future counts"
