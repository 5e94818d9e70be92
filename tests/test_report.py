"""Every view of a report adds up to the same, in every zone."""

import random
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from budget import report
from budget.ledger import Ledger
from budget.model import Step, Usage, Window
from budget.pricing import load_table
from budget.render import show_report

START_MS = 1_758_000_000_000  # 2025-09-16: daylight-saving changes lie within the year
YEAR_MS = 365 * 86_400_000


def steps() -> list[Step]:
    chance = random.Random(7)
    return [
        Step(
            f"m{number}",
            f"s{number % 40}",
            chance.choice(("main", "Explore")),
            "",
            f"p{number % 90}",
            chance.choice(("main", "fix", "")),
            chance.choice(("claude-sonnet-5", "claude-opus-5-5", "claude-omega-9")),
            START_MS + chance.randrange(YEAR_MS),
            Usage(chance.randrange(50), chance.randrange(900), chance.randrange(90_000)),
            user="ana@example.com",
        )
        for number in range(1500)
    ]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    made = Ledger(str(Path(tmp_path_factory.mktemp("report")) / "ledger.db"), root="/srv/shop")
    with made.transaction():
        made.book(steps(), load_table())
    yield made
    made.close()


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("by", report.VIEWS)
def test_every_view_adds_up_to_all(ledger: Ledger, by: str, zone: str) -> None:
    made = report.make(report.Query(by, None, None, zoneinfo.ZoneInfo(zone)), [ledger])
    assert made.total == ledger.spend(Window(0, None))
    assert made.unpriced_models == ["claude-omega-9"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_step_belongs_to_the_day_of_its_zone(ledger: Ledger, zone: str) -> None:
    tz = zoneinfo.ZoneInfo(zone)
    days = Counter(f"{datetime.fromtimestamp(s.at_ms / 1000, tz):%Y-%m-%d}" for s in steps())
    made = report.make(report.Query("daily", None, None, tz), [ledger])
    assert {key: spend.steps for key, spend in made.rows.items()} == days
    assert list(made.rows) == sorted(days)


@pytest.mark.parametrize("by", report.VIEWS)
def test_since_and_until_hold_in_every_view(ledger: Ledger, by: str) -> None:
    tz = zoneinfo.ZoneInfo("Asia/Kolkata")
    since, until = date(2025, 10, 20), date(2026, 3, 31)
    inside = [s for s in steps() if since <= datetime.fromtimestamp(s.at_ms / 1000, tz).date()]
    inside = [s for s in inside if datetime.fromtimestamp(s.at_ms / 1000, tz).date() <= until]
    made = report.make(report.Query(by, since, until, tz), [ledger])
    assert made.total.steps == len(inside)
    assert made.total.output_tokens == sum(step.usage.output_tokens for step in inside)


def test_two_projects_add_up_by_key(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(str(tmp_path / "other.db"), root="/srv/other")
    with other.transaction():
        other.book(steps()[:100], load_table())
    both = report.make(report.Query("project", None, None, None), [ledger, other])
    assert {key: spend.steps for key, spend in both.rows.items()} == {
        "/srv/shop": 1500,
        "/srv/other": 100,
    }
    other.close()


def test_in_a_pipe_nothing_is_cut(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    made = report.make(report.Query("session", None, None, None), [ledger])
    long = {f"{number:036d}": spend for number, spend in enumerate(made.rows.values())}
    show_report(made._replace(rows=long), "session", "")
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert all(key in shown for key in long)
