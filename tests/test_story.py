"""What is told of the past adds up to the report, and is what the ledger holds."""

import zoneinfo
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from budget import events, report, story
from budget.ledger import Ledger
from budget.model import PICO, Budget, Compaction, Source, Spend, Step, Usage, Window
from budget.pricing import load_table
from tests.test_report import START_MS, ZONES, steps

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
AT_MS = 1_795_428_000_000
"""2026-11-23T10:00:00Z."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(str(tmp_path / "ledger.db"), root="/srv/shop")
    yield made
    made.close()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    made = Ledger(str(Path(tmp_path_factory.mktemp("story")) / "ledger.db"), root="/srv/shop")
    with made.transaction():
        made.book(steps(), load_table())
        made.add_unattributed("s3", START_MS // 900_000 * 900_000, "ana@example.com", 5 * PICO)
        made.add_unattributed("s4", (START_MS + 9**11) // 900_000 * 900_000, "", PICO // 3)
    yield made
    made.close()


def step(number: int, at_ms: int, read: int = 1_000, **more: object) -> Step:
    fields = {
        "message_id": f"m{number}",
        "session_id": "s1",
        "agent": "main",
        "agent_id": "",
        "prompt_id": "p1",
        "branch": "main",
        "model": "claude-sonnet-5",
        "at_ms": at_ms,
        "usage": Usage(10, 100, read),
        "user": "ana@example.com",
        **more,
    }
    return Step(**fields)  # type: ignore[arg-type]


def book(ledger: Ledger, *made: Step) -> None:
    with ledger.transaction():
        ledger.book(made, load_table())


def total(found: Iterator[story.Cell]) -> Spend:
    return Spend._make(map(sum, zip(Spend(), *(cell.spend for cell in found), strict=True)))


@pytest.mark.parametrize("prompts", [None, (), ("p1", "p7")])
def test_all_cells_add_up_to_the_ledger(year: Ledger, prompts: tuple[str, ...] | None) -> None:
    assert total(story.cells(year, 0, 2**62, prompts)) == year.spend(Window(0, None))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("by", report.PERIODS)
def test_the_series_of_a_period_is_the_report_of_it(year: Ledger, zone: str, by: str) -> None:
    tz = zoneinfo.ZoneInfo(zone)
    made = report.make(report.Query(by, date(2025, 10, 20), date(2026, 3, 31), tz), [year])
    query = report.Query(by, date(2025, 10, 20), date(2026, 3, 31), tz)
    found = story.cells(year, query.start_ms, query.end_ms)
    told = story.series(found, report.PERIOD_NAMES[by], tz)
    sums = {
        key: Spend._make(map(sum, zip(Spend(), *by_model.values(), strict=True)))
        for key, by_model in told.items()
    }
    assert sums == made.rows


@pytest.mark.parametrize("by", ["session", "model", "agent", "branch", "prompt"])
def test_the_cells_of_a_kind_are_the_report_by_it(year: Ledger, by: str) -> None:
    field = {"session": "session_id", "prompt": "prompt_id"}.get(by, by)
    told: dict[str, Spend] = {}
    for cell in story.cells(year, 0, 2**62):
        key = getattr(cell, field)
        if cell.unattributed and by != "session":
            key = "(unattributed)"
        told[key or "(none)"] = told.get(key or "(none)", Spend()).plus(cell.spend)
    assert told == report.make(report.Query(by, None, None, None), [year]).rows


def test_hours_are_of_the_wall_clock() -> None:
    tz = zoneinfo.ZoneInfo("Asia/Kolkata")
    assert story.period_key("hour", AT_MS, tz) == "2026-11-23T15"
    assert story.period_key("week", AT_MS, tz) == "2026-W48"


def test_a_session_is_told_by_its_prompts_agents_context_and_compactions(ledger: Ledger) -> None:
    agent = {"agent": "Explore", "agent_id": "a1", "model": "claude-haiku-5-5"}
    book(
        ledger,
        step(1, AT_MS, 20_000),
        step(2, AT_MS + MINUTE_MS, 90_000, branch="fix"),
        step(3, AT_MS + 2 * MINUTE_MS, 30_000, **agent),
        step(4, AT_MS + 9 * MINUTE_MS, 15_000, prompt_id="p2", branch="fix"),
        step(5, AT_MS, 9_000, session_id="other"),
    )
    made = Compaction("s1", AT_MS + 5 * MINUTE_MS, 90_110, 4_000, False)
    with ledger.transaction():
        ledger.note_compactions([made])
        ledger.add_unattributed("s1", AT_MS, "ana@example.com", PICO)
    told = story.session(ledger, "s1")
    assert told is not None
    assert told.spend == ledger.spend(Window(0, None, session_id="s1"))
    assert told.spend.unattributed_picousd == PICO
    assert (told.users, told.branches) == (("ana@example.com",), ("main", "fix"))
    assert told.models == ("claude-sonnet-5", "claude-haiku-5-5")
    assert [each.tokens for each in told.context] == [20_010, 90_010, 15_010]
    assert told.largest_context == 90_010
    assert told.compactions == (made,)
    assert [(run.agent, run.agent_id, run.spend.steps) for run in told.agents] == [
        ("Explore", "a1", 1)
    ]
    first, second = told.prompts
    assert (first.prompt_id, first.agents, first.spend.steps) == ("p1", 1, 3)
    assert (first.context_from, first.context_to) == (20_010, 90_010)
    assert (second.prompt_id, second.context_from, second.context_to) == ("p2", 15_010, 15_010)
    assert story.session(ledger, "nobody") is None


def test_the_dearest_sessions_come_first_and_the_rest_is_counted(ledger: Ledger) -> None:
    book(ledger, *(step(n, AT_MS, n * 10_000, session_id=f"s{n}") for n in range(1, 6)))
    with ledger.transaction():
        ledger.add_unattributed("s1", AT_MS, "", 9 * PICO)
    sessions, more = story.dearest(ledger, "session", 0, 2**53, 3)
    assert (list(sessions), more) == (["s1", "s5", "s4"], 2)
    assert sessions["s1"].unattributed_picousd == 9 * PICO
    prompts, more = story.dearest(ledger, "prompt", 0, 2**53, 3)
    assert (list(prompts), more) == (["p1"], 0)


def test_thinning_keeps_peaks_valleys_and_ends() -> None:
    many = [story.Context(number, 50_000 + number % 7) for number in range(5_000)]
    many[1_234] = story.Context(1_234, 180_000)
    many[4_321] = story.Context(4_321, 3_000)
    kept = story.thinned(many)
    assert len(kept) <= 62
    assert {many[0], many[1_234], many[4_321], many[-1]} <= set(kept)
    assert list(kept) == sorted(kept)


def stop_event(at_ms: int, spent: int, session_id: str = "s1") -> events.Event:
    source = Source("repo", "/p/.claude/budget.toml", "budgets.day", ".claude/budget.toml")
    budget = Budget("day", "day", "usd", 5 * PICO, (0.8,), "block", "", source)
    numbers = {"spent": spent, "granted": 0, "reserved": 0, "expected": 0}
    window = [AT_MS // 86_400_000 * 86_400_000, None, None]
    told = {**budget._asdict(), "source": source._asdict(), **numbers, "window": window}
    facts = {"event": "PostToolBatch", "person": "ana", "budgets": [told]}
    return events.Event(at_ms, events.STOP, session_id, "", facts)


def test_a_budget_that_stops_again_in_its_window_is_one_stop(ledger: Ledger) -> None:
    with ledger.transaction():
        events.record(ledger, stop_event(AT_MS, 5 * PICO))
        events.record(ledger, stop_event(AT_MS + HOUR_MS, 6 * PICO, "s2"))
    (stop,) = story.stops(ledger)
    assert (stop.times, stop.first_ms, stop.last_ms) == (2, AT_MS, AT_MS + HOUR_MS)
    assert stop.verdict.spent == 6 * PICO
    assert set(stop.sessions) == {"s1", "s2"}
    assert story.stops(ledger, AT_MS + 2 * HOUR_MS) == []


def test_a_mark_that_was_told_is_a_warning(ledger: Ledger) -> None:
    key = f"mark|day|day|usd|{5 * PICO}|block|project|1795392000000|0.8"
    with ledger.transaction():
        ledger.say_once(key, AT_MS)
        ledger.say_once("market|other", AT_MS)
    assert story.warnings(ledger) == [story.Warned(AT_MS, "day", "day", "usd", 5 * PICO, "0.8")]


def test_advice_is_taken_when_it_was_followed_in_time(ledger: Ledger) -> None:
    book(
        ledger,
        step(1, AT_MS - MINUTE_MS),
        step(2, AT_MS - MINUTE_MS, session_id="s|2"),
        step(3, AT_MS - MINUTE_MS, session_id="s3", user="ben@example.com"),
        step(4, AT_MS + 20 * MINUTE_MS, session_id="s4"),
    )
    made = Compaction("s1", AT_MS + 5 * MINUTE_MS, 180_000, 9_000, False)
    with ledger.transaction():
        ledger.note_compactions([made])
        ledger.say_once("advice|s1|compact|1", AT_MS)
        ledger.say_once("advice|s|2|clear|1", AT_MS + 1)
        ledger.say_once("advice|s3|clear|1", AT_MS + 2)
        ledger.say_once("advice|s1|compact|2", AT_MS + HOUR_MS)
    soon, later = AT_MS + HOUR_MS + MINUTE_MS, AT_MS + 5 * HOUR_MS
    told = {(each.session_id, each.at_ms): each for each in story.advice(ledger, soon)}
    assert list(told.values()) == sorted(told.values(), key=lambda each: -each.at_ms)
    assert told["s1", AT_MS] == story.Given(
        AT_MS, "s1", "compact", made.at_ms, False, 180_000, 9_000
    )
    assert told["s|2", AT_MS + 1].taken_ms == AT_MS + 20 * MINUTE_MS
    assert told["s3", AT_MS + 2].taken_ms is None, "another person's session is no answer to it"
    assert told["s1", AT_MS + HOUR_MS].open
    assert not any(each.open for each in story.advice(ledger, later))


def test_clear_was_not_taken_where_the_session_went_on(ledger: Ledger) -> None:
    book(
        ledger,
        step(1, AT_MS - MINUTE_MS),
        step(2, AT_MS + 3 * MINUTE_MS, session_id="s2"),
        step(3, AT_MS + 4 * MINUTE_MS),
    )
    with ledger.transaction():
        ledger.say_once("advice|s1|clear|1", AT_MS)
    assert [each.taken_ms for each in story.advice(ledger, AT_MS + HOUR_MS)] == [None]
