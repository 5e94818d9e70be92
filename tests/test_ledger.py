"""The ledger counts each step once; its totals are sums of its entries; its errors say so."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import reconcile, sensor
from budget.errors import LedgerError
from budget.ledger import Booked, Ledger
from budget.model import MAX_SEARCHES, MAX_TOKENS, PICO, ClientTotal, Spend, Step, Usage, Window
from budget.pricing import Table, price
from budget.transcript import Cursor
from tests.samples import (
    AT_MS,
    DAY_MS,
    HOUR_MS,
    MODEL,
    RATE,
    ROUND_TABLE,
    SESSION,
    USAGE,
    a_step,
    folded_totals,
    quick_folder,
    rows,
    stored_totals,
    unguarded,
)

ROOT = Path(__file__).resolve().parent.parent
FORK = "f0f0f0f0-0000-4000-8000-000000000001"
QUARTER_MS = HOUR_MS // 4
ALL = Window(0, None)
# Of a step with `USAGE` in `ROUND_TABLE`.
COST = 1 * RATE * 10 + 10 * RATE * 200 + RATE // 10 * 30_000 + 2 * RATE * 1_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(str(tmp_path / "project" / "ledger.db"))
    yield opened
    opened.close()


@contextmanager
def new_ledger() -> Iterator[Ledger]:
    with quick_folder() as folder:
        opened = Ledger(os.path.join(folder, "ledger.db"))
        yield opened
        opened.close()


def book(ledger: Ledger, *steps: Step, table: Table = ROUND_TABLE) -> Booked:
    with ledger.transaction():
        return ledger.book(steps, table)


def session(session_id: str = SESSION) -> Window:
    return Window(0, None, session_id=session_id)


# -- booking ---------------------------------------------------------------------------------------


def test_a_booked_step_is_in_every_total_that_holds_it(ledger: Ledger) -> None:
    assert book(ledger, a_step()) == Booked(new=1, raised=0)
    spend = Spend(1, *USAGE, picousd=COST, listed_picousd=COST)
    hour_ms = AT_MS // HOUR_MS * HOUR_MS
    assert ledger.spend(ALL) == ledger.spend(session()) == spend
    assert ledger.spend(Window(hour_ms, hour_ms + HOUR_MS)) == spend
    assert ledger.spend(Window(hour_ms - HOUR_MS, hour_ms)) == Spend()
    assert ledger.spend(session("another")) == Spend()


def test_booking_twice_changes_nothing(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1"), a_step("msg_2"))
    before = rows(ledger.path, "entries"), stored_totals(ledger.path)
    assert book(ledger, a_step("msg_1"), a_step("msg_2"), a_step("msg_1")) == Booked(0, 0)
    assert (rows(ledger.path, "entries"), stored_totals(ledger.path)) == before


def test_the_rise_of_a_known_step_raises_every_total(ledger: Ledger) -> None:
    book(ledger, a_step(used=USAGE._replace(output_tokens=1)))
    assert book(ledger, a_step()) == Booked(new=0, raised=1)
    spend = Spend(1, *USAGE, picousd=COST, listed_picousd=COST)
    assert ledger.spend(ALL) == ledger.spend(session()) == spend
    assert stored_totals(ledger.path) == folded_totals(ledger.path)


def test_a_placeholder_that_comes_late_lowers_nothing(ledger: Ledger) -> None:
    book(ledger, a_step())
    assert book(ledger, a_step(used=USAGE._replace(output_tokens=1))) == Booked(0, 0)
    assert ledger.spend(ALL).picousd == COST


def test_a_step_stays_where_it_was_booked_first(ledger: Ledger) -> None:
    """A fork copies its history into a file of its own."""
    book(ledger, a_step("msg_1"))
    copy = a_step("msg_1", session_id=FORK, branch="other", at_ms=AT_MS + DAY_MS)
    assert book(ledger, copy, a_step("msg_2", session_id=FORK)) == Booked(1, 0)
    assert ledger.spend(session()).steps == ledger.spend(session(FORK)).steps == 1
    higher = copy._replace(usage=USAGE._replace(output_tokens=300))
    assert book(ledger, higher) == Booked(0, 1)
    assert ledger.spend(session()).picousd == COST + 10 * RATE * 100
    assert ledger.spend(session(FORK)).picousd == COST


def test_what_an_advisor_used_costs_and_is_no_step(ledger: Ledger) -> None:
    book(ledger, a_step(), a_step("msg_1/advisor-0", responses=0))
    assert ledger.spend(ALL).steps == 1
    assert ledger.spend(ALL).picousd == 2 * COST
    unknown = a_step("msg_1/advisor-1", responses=0, model="claude-omega-9")
    book(ledger, unknown)
    assert ledger.spend(ALL).unpriced_steps == 1
    assert ledger.spend(ALL).bound_picousd == COST
    assert stored_totals(ledger.path) == folded_totals(ledger.path)


def test_a_step_of_an_unknown_model_counts_at_its_bound(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1"), a_step("msg_2", model="claude-omega-9"))
    spend = ledger.spend(ALL)
    assert (spend.picousd, spend.bound_picousd, spend.unpriced_steps) == (COST, COST, 1)
    assert spend.counted_picousd == 2 * COST
    assert ledger.unpriced_models() == ["claude-omega-9"]


def test_an_unpriced_step_gets_its_price_from_a_newer_table(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1"), a_step("msg_2", model="claude-omega-9"))
    newer = Table("newer", {"claude-omega-9": ROUND_TABLE.models[MODEL]}, {}, multiplier="3")
    with ledger.transaction():
        assert ledger.reprice_unpriced(ROUND_TABLE) == 0
        assert ledger.reprice_unpriced(newer) == 1
    spend = ledger.spend(ALL)
    assert (spend.picousd, spend.bound_picousd, spend.unpriced_steps) == (4 * COST, 0, 0)
    assert ledger.unpriced_models() == []
    assert stored_totals(ledger.path) == folded_totals(ledger.path)


def test_a_cursor_is_kept_by_path_with_the_bad_lines_before_it(ledger: Ledger) -> None:
    first = Cursor(1, 2, 3, 4, 5, "5:abc", "prompt-1", "toolu_1 toolu_2", bad_lines=2)
    second = first._replace(size=30, offset=50, bad_lines=3)
    with ledger.transaction():
        ledger.move_cursor("/a", SESSION, first)
        ledger.move_cursor("/b", SESSION, first)
        ledger.move_cursor("/c", FORK, first._replace(bad_lines=0))
        ledger.move_cursor("/a", SESSION, second)
    assert ledger.cursors(SESSION) == {"/a": second, "/b": first}
    assert ledger.bad_lines() == 3 + 2


def test_the_context_is_that_of_the_last_step_of_the_main_thread(ledger: Ledger) -> None:
    assert ledger.context_tokens(SESSION) == 0
    book(
        ledger,
        a_step("msg_3", Usage(1, 9, 20, 300, 4000), at_ms=AT_MS + 2),
        a_step("msg_1", Usage(7), at_ms=AT_MS),
        a_step("msg_4", Usage(8), at_ms=AT_MS + 3, agent="Explore"),
        a_step("msg_5", Usage(9), at_ms=AT_MS + 4, responses=0),
        a_step("msg_6", Usage(9), at_ms=AT_MS + 5, session_id=FORK),
    )
    assert ledger.context_tokens(SESSION) == 4321
    assert ledger.last_session() == FORK


def test_an_empty_ledger_has_no_session(ledger: Ledger) -> None:
    assert ledger.last_session() is None
    assert ledger.spend(ALL) == Spend()


def test_the_largest_counts_a_line_may_have_can_be_booked(ledger: Ledger) -> None:
    book(ledger, a_step(used=Usage(*(MAX_TOKENS,) * 5, MAX_SEARCHES)))


# -- laws ------------------------------------------------------------------------------------------

USAGES = st.lists(st.integers(0, 5_000), min_size=6, max_size=6).map(lambda n: Usage(*n))


def some_steps(count: int) -> list[Step]:
    """Steps of few message ids that differ in everything: drawn from, this is fast."""
    pick = random.Random(1)
    return [
        a_step(
            f"msg_{pick.randrange(7)}",
            Usage(*(pick.choice((0, 1, 7, pick.randrange(5_000))) for _ in range(6))),
            session_id=pick.choice((SESSION, FORK)),
            agent=pick.choice(("main", "Explore")),
            model=pick.choice((MODEL, MODEL, "claude-omega-9")),
            branch=pick.choice(("main", "")),
            responses=pick.choice((1, 1, 1, 0)),
            at_ms=AT_MS
            + pick.randrange(-30, 30) * HOUR_MS
            + pick.choice((0, 1, QUARTER_MS - 1, QUARTER_MS)),
        )
        for _ in range(count)
    ]


STEPS = st.sampled_from(some_steps(400))
BATCHES = st.lists(st.lists(STEPS, max_size=6), max_size=5)


@given(BATCHES)
def test_every_total_is_the_sum_of_the_entries(batches: list[list[Step]]) -> None:
    with new_ledger() as ledger:
        for batch in batches:
            book(ledger, *batch)
        assert stored_totals(ledger.path) == folded_totals(ledger.path)


@given(BATCHES)
def test_booking_everything_again_changes_nothing(batches: list[list[Step]]) -> None:
    with new_ledger() as ledger:
        for batch in batches:
            book(ledger, *batch)
        before = rows(ledger.path, "entries"), stored_totals(ledger.path)
        for batch in batches:
            assert book(ledger, *batch) == Booked(0, 0)
        assert (rows(ledger.path, "entries"), stored_totals(ledger.path)) == before


def facts_of_entries(ledger: Ledger) -> list[tuple[Any, ...]]:
    """The entries without their places in the chain."""
    return sorted((row[1:26] for row in rows(ledger.path, "entries")), key=repr)


@given(BATCHES)
def test_how_steps_are_grouped_into_bookings_does_not_matter(batches: list[list[Step]]) -> None:
    with new_ledger() as together, new_ledger() as one_by_one:
        book(together, *(step for batch in batches for step in batch))
        for batch in batches:
            for step in batch:
                book(one_by_one, step)
        assert facts_of_entries(together) == facts_of_entries(one_by_one)
        assert stored_totals(together.path) == stored_totals(one_by_one.path)


@given(st.lists(USAGES, min_size=1, max_size=6), st.data())
def test_any_order_and_repetition_of_a_steps_lines_is_the_highest_of_each_count(
    usages: list[Usage], data: st.DataObject
) -> None:
    highest = Usage(*(max(counts) for counts in zip(*usages, strict=True)))
    lines = [a_step(used=used) for used in usages]
    shuffled = data.draw(st.permutations(lines + lines[: len(lines) // 2]))
    cost = price(a_step(used=highest), ROUND_TABLE).picousd or 0
    with new_ledger() as ledger:
        cut = data.draw(st.integers(0, len(shuffled)))
        book(ledger, *shuffled[:cut])
        book(ledger, *shuffled[cut:])
        assert ledger.spend(ALL) == Spend(1, *highest, picousd=cost, listed_picousd=cost)


@given(BATCHES, st.data())
def test_a_window_holds_the_steps_from_its_start_to_before_its_end(
    batches: list[list[Step]], data: st.DataObject
) -> None:
    with new_ledger() as ledger:
        for batch in batches:
            book(ledger, *batch)
        facts = "at_ms, responses, output_tokens, coalesce(picousd, 0), bound_picousd"
        entries = rows(ledger.path, "entries", facts)
        at = [row[0] for row in entries] or [AT_MS]
        edges = st.sampled_from([AT_MS, *at, *(each + 1 for each in at), at[0] - 30 * DAY_MS])
        for _ in range(4):
            start_ms = data.draw(edges)
            end_ms = data.draw(st.none() | edges)
            inside = [row[1:] for row in entries if start_ms <= row[0] < (end_ms or 10**15)]
            spend = ledger.spend(Window(start_ms, end_ms))
            found = (spend.steps, spend.output_tokens, spend.picousd, spend.bound_picousd)
            assert found == tuple(map(sum, zip((0, 0, 0, 0), *inside, strict=True)))


# -- the client's own total ------------------------------------------------------------------------


def sensed(
    total: int, *, since_ms: int = AT_MS - HOUR_MS, base: int = 0, process: str = "p1.json"
) -> ClientTotal:
    return ClientTotal(SESSION, f"sensor:{process}", since_ms, base, total)


def told(total: int, source: str = "transcript", session_id: str = SESSION) -> ClientTotal:
    return ClientTotal(session_id, source, 0, 0, total)


def settle(ledger: Ledger, *reports: ClientTotal, now_ms: int = AT_MS) -> int:
    """Notes reports; returns what is unattributed in the session then."""
    with ledger.transaction():
        reconcile.note(ledger, reports)
        reconcile.settle(ledger, SESSION, now_ms)
    assert stored_totals(ledger.path) == folded_totals(ledger.path)
    return ledger.spend(session()).unattributed_picousd


@pytest.mark.parametrize("report", [sensed, told])
def test_what_the_client_counts_beyond_the_steps_is_unattributed(
    ledger: Ledger, report: Any
) -> None:
    book(ledger, a_step())
    assert settle(ledger, report(COST + PICO)) == PICO
    assert ledger.spend(session()).counted_picousd == ledger.spend(ALL).counted_picousd
    assert ledger.spend(ALL).counted_picousd == COST + PICO


def test_without_a_report_nothing_is_unattributed(ledger: Ledger) -> None:
    book(ledger, a_step())
    assert settle(ledger) == 0


def test_what_is_unattributed_rises_with_the_clients_total(ledger: Ledger) -> None:
    assert [settle(ledger, sensed(total)) for total in (5, 5, 9)] == [0, 0, 0]  # noise of floats
    totals = [PICO, PICO, 3 * PICO]
    assert [settle(ledger, sensed(total)) for total in totals] == totals


def test_what_is_unattributed_falls_when_late_steps_arrive(ledger: Ledger) -> None:
    assert settle(ledger, sensed(3 * COST)) == 3 * COST
    book(ledger, a_step("msg_1"))
    assert settle(ledger) == 2 * COST
    book(ledger, a_step("msg_2"), a_step("msg_3"))
    assert settle(ledger) == 0


def test_what_is_unattributed_is_never_negative(ledger: Ledger) -> None:
    assert settle(ledger, sensed(COST)) == COST
    book(ledger, a_step("msg_1"), a_step("msg_2"), a_step("msg_3"))
    assert settle(ledger) == 0
    assert settle(ledger, sensed(2 * COST)) == 0
    assert settle(ledger, sensed(4 * COST)) == COST


def test_a_total_that_falls_is_an_older_report(ledger: Ledger) -> None:
    assert settle(ledger, sensed(2 * PICO)) == 2 * PICO
    assert settle(ledger, sensed(PICO)) == 2 * PICO


def test_what_appeared_last_is_the_first_to_go(ledger: Ledger) -> None:
    early, late = Window(AT_MS, AT_MS + HOUR_MS), Window(AT_MS + HOUR_MS, AT_MS + 2 * HOUR_MS)
    settle(ledger, sensed(2 * COST), now_ms=AT_MS)
    settle(ledger, sensed(3 * COST), now_ms=AT_MS + HOUR_MS)
    assert ledger.spend(early).unattributed_picousd == 2 * COST
    assert ledger.spend(late).unattributed_picousd == COST
    book(ledger, a_step("msg_1"), a_step("msg_2"))
    assert settle(ledger, now_ms=AT_MS + 2 * HOUR_MS) == COST
    assert ledger.spend(early).unattributed_picousd == COST
    assert ledger.spend(late).unattributed_picousd == 0


def test_two_client_processes_add_up(ledger: Ledger) -> None:
    assert settle(ledger, sensed(PICO), sensed(2 * PICO, process="p2.json")) == 3 * PICO


def test_a_resumed_sessions_base_is_not_counted(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1", at_ms=AT_MS - 2 * HOUR_MS), a_step("msg_2"))
    assert settle(ledger, sensed(10 * PICO + COST, base=10 * PICO)) == 0
    assert settle(ledger, sensed(10 * PICO + 2 * COST, base=10 * PICO)) == COST


def test_steps_from_before_the_client_process_do_not_hide_a_gap(ledger: Ledger) -> None:
    old = [a_step(f"msg_{n}", at_ms=AT_MS - 2 * HOUR_MS) for n in range(5)]
    book(ledger, *old[:3])
    assert settle(ledger, sensed(PICO)) == PICO
    book(ledger, *old)  # late, and still from before
    assert settle(ledger) == PICO
    book(ledger, a_step("msg_9"))
    assert settle(ledger) == PICO - COST


def test_a_step_of_the_moment_the_client_began_is_its_own(ledger: Ledger) -> None:
    first, late = (a_step(f"msg_{n}", at_ms=AT_MS - HOUR_MS) for n in (1, 2))
    book(ledger, first)
    assert settle(ledger, sensed(3 * COST)) == 2 * COST
    book(ledger, late)
    assert settle(ledger) == COST


def test_the_rise_of_a_step_from_before_does_not_hide_a_gap(ledger: Ledger) -> None:
    early = AT_MS - 2 * HOUR_MS
    book(ledger, a_step(used=USAGE._replace(output_tokens=1), at_ms=early))
    assert settle(ledger, sensed(PICO)) == PICO
    book(ledger, a_step(at_ms=early))
    assert settle(ledger) == PICO


def test_a_surcharge_does_not_hide_what_the_client_counts_at_list_prices(ledger: Ledger) -> None:
    dearer = ROUND_TABLE._replace(multiplier="3", listed=ROUND_TABLE)
    book(ledger, a_step(), table=dearer)
    assert ledger.spend(session()).picousd == 3 * COST
    assert settle(ledger, sensed(2 * COST)) == COST


def test_an_unpriced_step_is_not_unattributed_too(ledger: Ledger) -> None:
    book(ledger, a_step(model="claude-omega-9"))
    assert settle(ledger, sensed(COST)) == 0


def test_the_highest_of_the_sources_holds_and_they_do_not_add_up(ledger: Ledger) -> None:
    book(ledger, a_step())
    assert settle(ledger, told(COST + 2 * PICO)) == 2 * PICO
    assert settle(ledger, told(COST + PICO, "status line"), sensed(COST + PICO)) == 2 * PICO
    assert settle(ledger, sensed(COST + 3 * PICO)) == 3 * PICO


def test_a_fork_does_not_count_the_history_it_copied(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1"), a_step("msg_2"))
    assert settle(ledger, told(2 * COST + PICO)) == PICO
    copies = [a_step(f"msg_{n}", copied_into=FORK) for n in (1, 2)]
    book(ledger, *copies, a_step("msg_3", session_id=FORK, at_ms=AT_MS + 1))
    with ledger.transaction():
        reconcile.note(ledger, [told(3 * COST + PICO + 7 * RATE, session_id=FORK)])
        reconcile.settle(ledger, FORK, AT_MS)
    assert ledger.spend(session(FORK)).unattributed_picousd == 7 * RATE
    assert ledger.spend(ALL).counted_picousd == 3 * COST + PICO + 7 * RATE
    assert stored_totals(ledger.path) == folded_totals(ledger.path)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["p1.json", "p2.json"]),
            st.lists(st.integers(0, 9), max_size=3),
            st.integers(0, 100),
        ),
        max_size=6,
    )
)
def test_entries_and_unattributed_are_what_the_clients_counted(
    events: list[tuple[int, str, list[int], int]],
) -> None:
    """Unless the entries alone are more."""
    with new_ledger() as ledger:
        highest: dict[str, int] = {}
        for cents, process, numbers, minutes in events:
            book(ledger, *(a_step(f"msg_{number}") for number in numbers))
            report = sensed(cents * PICO // 100, process=process)
            settle(ledger, report, now_ms=AT_MS + minutes * 60_000)
            highest[process] = max(highest.get(process, 0), report.total_picousd)
            spend = ledger.spend(session())
            assert spend.counted_picousd == max(spend.picousd, sum(highest.values()))


def test_what_appeared_an_hour_ago_is_in_a_rolling_day(ledger: Ledger) -> None:
    settle(ledger, sensed(PICO))
    now_ms = AT_MS + HOUR_MS
    assert ledger.spend(Window(now_ms - DAY_MS, None)).unattributed_picousd == PICO


@pytest.mark.parametrize("minutes", [5, 14, 60])
def test_what_appeared_a_minute_ago_is_in_a_rolling_window(ledger: Ledger, minutes: int) -> None:
    settle(ledger, sensed(PICO), now_ms=AT_MS + 14 * 60_000)
    now_ms = AT_MS + max(15, minutes + 13) * 60_000
    assert ledger.spend(Window(now_ms - minutes * 60_000, None)).unattributed_picousd == PICO


# -- reports of the sensor -------------------------------------------------------------------------


def report(folder: Path, name: str, content: object) -> None:
    folder.mkdir(exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / name).write_bytes(data)


GOOD = {"session": SESSION, "since_ms": AT_MS, "base_usd": 0.5, "usd": 1.25}


def test_each_process_has_its_report(tmp_path: Path) -> None:
    report(tmp_path, "b.json", GOOD)
    report(tmp_path, "a.json", {**GOOD, "usd": 0.5})
    report(tmp_path, "a.json.tmp", GOOD)
    assert sensor.client_totals(str(tmp_path), SESSION) == [
        ClientTotal(SESSION, "sensor:a.json", AT_MS, PICO // 2, PICO // 2),
        ClientTotal(SESSION, "sensor:b.json", AT_MS, PICO // 2, PICO * 5 // 4),
    ]


def test_without_a_sensor_there_is_no_report(tmp_path: Path) -> None:
    assert sensor.client_totals(str(tmp_path / "none"), SESSION) == []


BAD_REPORTS: dict[str, object] = {
    "torn": json.dumps(GOOD).encode()[:-9],
    "empty": b"",
    "a list": [],
    "none": None,
    "of another session": {**GOOD, "session": FORK},
    "without a total": {key: GOOD[key] for key in ("session", "since_ms", "base_usd")},
    "a total as text": {**GOOD, "usd": "1"},
    "not a number": {**GOOD, "usd": float("nan")},
    "infinite": {**GOOD, "usd": float("inf")},
    "negative": {**GOOD, "usd": -1, "base_usd": -2},
    "a million dollars": {**GOOD, "usd": 10**6},
    "below its base": {**GOOD, "usd": 0.25},
    "before 1970": {**GOOD, "since_ms": -1},
    "since ever": {**GOOD, "since_ms": float("-inf")},
    "deep": b"[" * 60_000,
}


@pytest.mark.parametrize("content", BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_a_report_that_is_none_is_passed_over(tmp_path: Path, content: object) -> None:
    report(tmp_path, "a.json", content)
    report(tmp_path, "b.json", GOOD)
    found = sensor.client_totals(str(tmp_path), SESSION)
    assert [each.source for each in found] == ["sensor:b.json"]


def test_a_report_from_the_far_future_harms_nothing(tmp_path: Path, ledger: Ledger) -> None:
    report(tmp_path / "client", "a.json", {**GOOD, "since_ms": 10**30})
    settle(ledger, *sensor.client_totals(str(tmp_path / "client"), SESSION))


# -- once ------------------------------------------------------------------------------------------


def test_a_thing_is_said_once(ledger: Ledger) -> None:
    with ledger.transaction():
        assert ledger.say_once("a", AT_MS)
        assert not ledger.say_once("a", AT_MS + 1)
        assert ledger.say_once("b", AT_MS)
    other = Ledger(ledger.path)
    with other.transaction():
        assert not other.say_once("a", AT_MS + 2)
    other.close()


# -- files that are no ledger ----------------------------------------------------------------------


def test_a_new_ledger_is_its_owners_only(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("no modes here")
    folder = tmp_path / "a" / "b"
    Ledger(str(folder / "ledger.db")).close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_ledger_of_a_newer_budget_is_refused_and_left_alone(ledger: Ledger) -> None:
    book(ledger, a_step())
    with ledger.transaction():
        ledger.write("PRAGMA user_version = 99")
    with pytest.raises(LedgerError) as raised:
        Ledger(ledger.path)
    assert str(raised.value) == (
        f"The ledger {ledger.path} has the format 99, this version of budget knows 2."
        " A newer budget wrote it: update this one. Nothing was changed."
    )
    assert ledger.spend(ALL).steps == 1


@pytest.mark.parametrize("size", [20, 100, 5_000, 100_000])
def test_a_file_of_garbage_is_a_ledger_error_that_says_what_to_do(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "ledger.db"
    garbage = (b"garbage " * size)[:size]
    path.write_bytes(garbage)
    with pytest.raises(LedgerError) as raised:
        Ledger(str(path))
    assert str(raised.value) == (
        f"The ledger {path} cannot be used: file is not a database."
        " It is damaged: `budget rebuild`, or the next step, makes it anew from the"
        " transcripts."
    )
    assert path.read_bytes() == garbage


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    made = Ledger(str(tmp_path / "ledger.db"))
    assert book(made, a_step()) == Booked(1, 0)
    made.close()


def test_a_file_in_place_of_the_folder_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "project").touch()
    path = tmp_path / "project" / "ledger.db"
    with pytest.raises(LedgerError, match=f"The ledger {path} cannot be used: "):
        Ledger(str(path))


def test_a_folder_in_place_of_the_file_is_a_ledger_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as raised:
        Ledger(str(tmp_path))
    assert str(raised.value) == (
        f"The ledger {tmp_path} cannot be used: unable to open database file."
        " Make the folder writable for you, or set BUDGET_HOME to one that is."
    )


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_ledger_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerError, match="Make the folder writable"):
        Ledger(str(tmp_path / "ledger.db"))
    tmp_path.chmod(0o700)


def test_a_table_that_is_gone_is_a_ledger_error_wherever_it_is_read(ledger: Ledger) -> None:
    with unguarded(ledger.path) as db:
        db.executescript("DROP TABLE entries; DROP TABLE totals; DROP TABLE cursors;")
    db.close()
    readings: Sequence[Any] = (
        lambda: ledger.spend(ALL),
        lambda: ledger.spend(Window(1, 2)),
        lambda: ledger.context_tokens(SESSION),
        ledger.last_session,
        lambda: ledger.cursors(SESSION),
        ledger.bad_lines,
        ledger.unpriced_models,
        lambda: book(ledger, a_step()),
    )
    for reading in readings:
        with pytest.raises(LedgerError, match="no such table"):
            reading()


def test_a_ledger_that_another_process_holds_is_a_ledger_error(ledger: Ledger) -> None:
    other = Ledger(ledger.path, wait_s=0.01)
    with ledger.transaction():
        ledger.book([a_step()], ROUND_TABLE)
        with pytest.raises(LedgerError) as raised:
            book(other, a_step("msg_2"))
        assert other.spend(ALL) == Spend()  # reading needs no lock
    assert str(raised.value) == (
        f"The ledger {ledger.path} cannot be used: database is locked."
        " Another process holds it; it is tried again at the next step."
    )
    assert book(other, a_step("msg_2")) == Booked(1, 0)
    other.close()


def test_a_transaction_that_fails_changes_nothing(ledger: Ledger) -> None:
    book(ledger, a_step("msg_1"))
    with pytest.raises(ZeroDivisionError), ledger.transaction():
        ledger.book([a_step("msg_2")], ROUND_TABLE)
        ledger.say_once("a", AT_MS)
        _ = 1 // 0
    assert ledger.spend(ALL).steps == 1
    with ledger.transaction():
        assert ledger.say_once("a", AT_MS)


FULL = """
import resource, signal, sys
sys.path.append(sys.argv[1])
from budget.errors import LedgerError
from tests.samples import ROUND_TABLE, a_step
from budget.ledger import Ledger
ledger = Ledger(sys.argv[2])
size = 64 * 1024
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    with ledger.transaction():
        ledger.book([a_step(f"msg_{n}", branch="x" * 200) for n in range(20_000)], ROUND_TABLE)
except LedgerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with ledger.transaction():
    print(ledger.book([a_step()], ROUND_TABLE).new)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the size of files cannot be limited here")
def test_a_disk_without_room_is_named_and_the_ledger_lives_on(tmp_path: Path) -> None:
    path = str(tmp_path / "project" / "ledger.db")
    run = python(FULL, path)
    out, err = run.communicate()
    assert err == ""
    message, new = out.splitlines()
    assert message.startswith(f"The ledger {path} cannot be used: ")
    assert "rollback" not in message
    assert new == "1"


NO_ROOM = """
import resource, signal, sys, time
sys.path.append(sys.argv[1])
from budget.errors import LedgerError
from budget.ledger import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
start = time.monotonic()
try:
    Ledger(sys.argv[2], wait_s=1)
except LedgerError as error:
    print(time.monotonic() - start < 0.5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the size of files cannot be limited here")
def test_only_a_lock_is_waited_for(tmp_path: Path) -> None:
    assert python(NO_ROOM, str(tmp_path / "ledger.db")).communicate() == ("True\n", "")


# -- many processes --------------------------------------------------------------------------------


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", code, str(ROOT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


BOOKER = """
import sys
sys.path.append(sys.argv[1])
from budget.ledger import Ledger
from tests.samples import ROUND_TABLE, a_step
number = int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(sys.argv[2])
new = 0
for first in range(number * 5, number * 5 + 20, 4):
    with ledger.transaction():
        new += ledger.book([a_step(f"msg_{n}") for n in range(first, first + 4)], ROUND_TABLE).new
with ledger.transaction():
    said = ledger.say_once("a warning", number)
print(new, int(said))
"""


def wait_for(processes: list[subprocess.Popen[str]]) -> None:
    """Returns when all of them are ready."""
    for process in processes:
        assert line_of(process.stdout) == "ready\n"


def let_go(processes: list[subprocess.Popen[str]], word: str = "\n") -> list[str]:
    """Sends all of them a word at once; what each wrote. They must not fail."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(word)
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    assert [err for _, err in outputs] == [""] * len(processes)
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [out for out, _ in outputs]


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_twenty_processes_on_a_ledger_that_is_not_there_yet_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "project" / "ledger.db")
    processes = [python(BOOKER, path, str(number)) for number in range(20)]
    wait_for(processes)
    outputs = let_go(processes)
    distinct = 19 * 5 + 20
    assert sum(int(out.split()[0]) for out in outputs) == distinct
    assert sum(int(out.split()[1]) for out in outputs) == 1
    messages = [row[0] for row in rows(path, "entries", "message_id")]
    assert sorted(messages) == sorted(f"msg_{n}" for n in range(distinct))
    assert stored_totals(path) == folded_totals(path)
    ledger = Ledger(path)
    used = [distinct * count for count in USAGE]
    cost = distinct * COST
    assert ledger.spend(ALL) == Spend(distinct, *used)._replace(picousd=cost, listed_picousd=cost)
    ledger.close()


def test_a_process_waits_for_another_that_makes_the_ledger(tmp_path: Path) -> None:
    """Two that change the journal mode at the same moment are in each other's way like this."""
    path = str(tmp_path / "ledger.db")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    done.start()
    try:
        ledger = Ledger(path)
        assert book(ledger, a_step()) == Booked(1, 0)
        ledger.close()
    finally:
        done.join()
        other.close()


OPENER = """
import sys, time
sys.path.append(sys.argv[1])
from budget.ledger import Ledger
from tests.samples import ROUND_TABLE, a_step
print("ready", flush=True)
start = float(sys.stdin.readline())
for number in range(12):
    time.sleep(max(0, start + number * 0.05 - time.time()))
    ledger = Ledger(f"{sys.argv[2]}/{number}/ledger.db")
    with ledger.transaction():
        ledger.book([a_step(f"msg_{sys.argv[3]}")], ROUND_TABLE)
    ledger.close()
"""


def test_a_ledger_that_many_make_at_the_same_moment_is_made_once(tmp_path: Path) -> None:
    processes = [python(OPENER, str(tmp_path), str(number)) for number in range(8)]
    wait_for(processes)
    start = time.time() + 0.1
    assert let_go(processes, f"{start}\n") == [""] * 8
    for number in range(12):
        assert len(rows(str(tmp_path / str(number) / "ledger.db"), "entries")) == 8


HOLDER = """
import sys, time
sys.path.append(sys.argv[1])
from budget.ledger import Ledger
from tests.samples import ROUND_TABLE, a_step
ledger = Ledger(sys.argv[2])
with ledger.transaction():
    ledger.book([a_step(f"msg_{n}") for n in range(1000)], ROUND_TABLE)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_in_a_transaction_leaves_nothing_and_holds_nothing_up(
    ledger: Ledger,
) -> None:
    holder = python(HOLDER, ledger.path)
    assert line_of(holder.stdout) == "ready\n"
    holder.kill()
    holder.communicate()
    assert ledger.spend(ALL) == Spend()
    assert book(ledger, a_step("msg_1")) == Booked(1, 0)
    assert stored_totals(ledger.path) == folded_totals(ledger.path)
