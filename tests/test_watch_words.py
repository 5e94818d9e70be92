"""The parts of the live view that are pure: plots, tables, words, and what counts as news."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from budget.model import PICO
from budget.watch import words
from budget.watch.facts import Point
from budget.watch.plot import plot
from budget.watch.table import Column, bar, cell, fitted
from budget.windows import zone
from tests.samples import AT_MS, DAY_MS, HOUR_MS

UTC = zone("UTC")
MIDNIGHT_MS = AT_MS - AT_MS % DAY_MS
DAY = (MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS)


def drawn(points: Sequence[Point], width: int, height: int, window: str = "day") -> list[str]:
    return plot(points, window, DAY, MIDNIGHT_MS + 12 * HOUR_MS, width, height, UTC).rows


def test_a_bar_is_as_high_as_what_was_spent() -> None:
    points = [Point(MIDNIGHT_MS, 4 * PICO), Point(MIDNIGHT_MS + 2 * HOUR_MS, 2 * PICO)]
    rows = drawn(points, 8 + 24, 5)
    assert rows[0] == " $4.00 ┤█" + " " * 23
    assert rows[1][8:12] == "█   "
    assert [row[:8] for row in rows[1:]] == ["       ┤", " $2.00 ┤", "       ┤", "    $0 └"]
    assert rows[2][8:12] == "█ █ "
    assert rows[3][8:12] == "█ █ "
    assert rows[4].startswith("    $0 └00─03─06─09─12─15")


def test_the_smallest_amount_is_seen() -> None:
    points = [Point(MIDNIGHT_MS, 10**6 * PICO), Point(MIDNIGHT_MS + 12 * HOUR_MS, 1)]
    rows = drawn(points, 32, 4)
    assert rows[2][8 + 12] == "▁"
    assert rows[0].startswith("   $1M ┤")


def test_the_plot_is_as_wide_as_its_place() -> None:
    points = [Point(MIDNIGHT_MS + hour * HOUR_MS, PICO) for hour in range(24)]
    for width in range(32, 130):
        rows = drawn(points, width, 4)
        assert {len(row) for row in rows} == {width}


def test_where_nothing_was_spent_nothing_is_drawn() -> None:
    rows = drawn([], 60, 6)
    assert all(set(row) <= set(" ┤") for row in rows[:-1])


def test_where_it_is_wide_a_bar_is_a_quarter_of_an_hour() -> None:
    bars = [
        plot([], "day", DAY, AT_MS, width, 6, UTC).bar for width in (8 + 96, 8 + 48, 8 + 24, 20)
    ]
    assert bars == ["15 min", "30 min", "hour", "2 hours"]


def test_now_is_marked_where_no_time_is_written() -> None:
    now_ms = MIDNIGHT_MS + 10 * HOUR_MS + HOUR_MS // 2
    axis = plot([], "day", DAY, now_ms, 8 + 48, 6, UTC).rows[-1]
    assert axis[8 + 21] == "▲"


@given(
    st.lists(st.tuples(st.integers(0, DAY_MS - 1), st.integers(0, 10**15)), max_size=30),
    st.integers(14, 220),
    st.integers(2, 30),
)
def test_a_plot_fits_and_its_highest_bar_reaches_the_top(
    amounts: list[tuple[int, int]], width: int, height: int
) -> None:
    points = sorted(Point(MIDNIGHT_MS + at, amount) for at, amount in amounts)
    rows = drawn(points, width, height)
    assert len(rows) == height
    assert all(len(row) <= width for row in rows)
    if any(point.picousd for point in points):
        assert "█" in rows[0]


COLUMNS = (Column("a", "", 6), Column("b", "", 4, weight=1), Column("c", "", 4, weight=2))


def test_what_matters_less_gives_way_first() -> None:
    assert [each.key for each in fitted(COLUMNS, 16)] == ["a", "b", "c"]
    assert [each.key for each in fitted(COLUMNS, 15)] == ["a", "b"]
    assert [each.key for each in fitted(COLUMNS, 8)] == ["a"]
    assert [each.key for each in fitted(COLUMNS, 2)] == ["a"]
    assert fitted(COLUMNS, 20)[0].width == 10


@given(st.text(max_size=30), st.integers(2, 20), st.booleans())
def test_a_cell_has_the_width_of_its_column(text: str, width: int, right: bool) -> None:
    shown = words.name(text)
    assert cell_len(cell(shown, Column("", "", width, right))) == width


@given(st.floats(0, 3), st.floats(0, 1), st.lists(st.floats(0, 1), max_size=3), st.integers(1, 60))
def test_a_budgets_bar_is_full_only_when_it_is_used_up(
    fraction: float, held: float, marks: list[float], width: int
) -> None:
    filled, taken, rest = bar(fraction, held, marks, width)
    assert len(filled) + len(taken) + len(rest) == width
    assert (len(filled) == width) == (fraction >= 1)
    assert not taken or held > 0


def test_marks_are_where_they_warn() -> None:
    assert bar(0.25, 0.25, (0.5, 0.8), 20) == ("█" * 5, "▒" * 5, "┊░░░░░┊░░░")


def test_amounts_at_a_glance() -> None:
    assert words.glance(0) == "$0.00"
    assert words.glance(PICO // 100 - 1) == "$0.0099"
    assert words.glance(PICO * 2 - 1) == "$1.99", "rounded down: it is not two dollars yet"
    assert [words.tokens(count) for count in (950, 31_010, 163_000, 1_250_000)] == [
        *("950", "31k", "163k", "1.2M"),
    ]
    assert [words.minutes(each) for each in (245_999, 59_999)] == ["4 min", "<1 min"]


@given(st.text())
def test_names_are_printable_and_bounded(text: str) -> None:
    for shown in (words.name(text), words.model(text), words.short_id(text), words.line(text)):
        assert shown.isprintable()
    assert len(words.name(text, 10)) <= 10
