"""What the page is told adds up to the report, whatever is merged; the file is one, and closed."""

import base64
import hashlib
import json
import re
import zoneinfo
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from budget import report
from budget.dashboard import cube, facts, render
from budget.model import PICO, Step, Usage
from budget.pricing import load_table
from tests.dashboards import HOSTILE, HOUR_MS, NOW_MS, Place, fill, hostile, work
from tests.plugin import ROOT

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
VENDOR = ROOT / "budget" / "dashboard" / "vendor"
MONEY = {"usd": ("micro", "pico"), "unattributed_usd": ("unattributed_micro", "unattributed_pico")}
COUNTS = {
    "steps": "steps",
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "read",
    "cache_write_5m_tokens": "write_5m",
    "cache_write_1h_tokens": "write_1h",
    "web_searches": "searches",
    "unpriced_steps": "unpriced",
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def scope(place: Place, every: bool = False, **days: date) -> facts.Scope:
    since, until = days.get("since"), days.get("until")
    return facts.Scope(place.env, place.project, every, since, until, "Europe/Berlin", BERLIN)


def column(cells: dict[str, Any], name: str) -> list[int]:
    packed = cells["columns"][name]
    if isinstance(packed, list):
        return packed
    values = [0] * packed["length"]
    for at, value in zip(packed["at"], packed["values"], strict=True):
        values[at] = value
    return values


def summed(cells: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """The rows of a table as `report.row_facts` has them, without the key."""
    told: dict[str, Any] = {
        name: sum(column(cells, of)[row] for row in rows) for name, of in COUNTS.items()
    }
    for name, (micro, pico) in MONEY.items():
        whole = sum(column(cells, micro)[row] for row in rows) * 10**6
        whole += sum(column(cells, pico)[row] for row in rows)
        told[name] = f"{(whole + 500_000) // 10**12}.{(whole + 500_000) // 10**6 % 10**6:06d}"
    return told


def by(cells: dict[str, Any], dimension: str) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[int]] = {}
    for row, number in enumerate(column(cells, dimension)):
        groups.setdefault(cells["names"][dimension][number], []).append(row)
    return {name: summed(cells, rows) for name, rows in groups.items()}


def expected(place: Place, view: str, *words: str) -> dict[str, dict[str, Any]]:
    rows = place.report(view, "--timezone", "Europe/Berlin", *words)["rows"]
    return {row["key"]: {name: row[name] for name in row if name != "key"} for row in rows}


@pytest.mark.parametrize("view", [each for each in report.GROUPS if each != "project"])
def test_the_cells_add_up_to_the_report_in_every_view(place: Place, view: str) -> None:
    fill(place)
    told = facts.collect(scope(place), NOW_MS)
    assert by(told["cells"], view) == expected(place, view)


def test_the_cells_of_some_days_are_the_report_of_them(place: Place) -> None:
    fill(place)
    some = scope(place, since=date(2026, 11, 22), until=date(2026, 11, 25))
    told = facts.collect(some, NOW_MS)
    days = ("--since", "2026-11-22", "--until", "2026-11-25")
    assert by(told["cells"], "model") == expected(place, "model", *days)
    groups: dict[str, list[int]] = {}
    for row, number in enumerate(column(told["cells"], "time")):
        groups.setdefault(told["cells"]["times"][number][:10], []).append(row)
    daily = {day: summed(told["cells"], rows) for day, rows in groups.items()}
    assert daily == expected(place, "daily", *days)


def test_all_projects_are_the_report_of_all(place: Place, tmp_path: Path) -> None:
    fill(place)
    other = Place(tmp_path / "more", "other", config="")
    other.env = place.env
    ledger = other.ledger()
    with ledger.transaction():
        ledger.book(work(NOW_MS, 2, seed=8), load_table())
    ledger.close()
    told = facts.collect(scope(place, every=True), NOW_MS)
    assert by(told["cells"], "project") == expected(place, "project", "--all")
    assert told["total"] == place.report("project", "--all")["total"]
    assert by(facts.collect(scope(place), NOW_MS)["cells"], "project") == expected(place, "project")


def test_what_is_merged_still_adds_up(place: Place) -> None:
    fill(place, days=40)
    ledger = place.ledger()
    made = cube.build([ledger], scope(place).query, NOW_MS, most=150)
    ledger.close()
    told = made.facts()
    assert made.others["session"] > 0
    assert any(len(time) == 10 for time in made.times), "hours of long ago are days"
    assert len(made.columns["time"]) < 1_000
    rows = list(range(len(made.columns["time"])))
    total = place.report("model")["total"]
    assert summed(told, rows) == {name: total[name] for name in total if name != "key"}
    assert max(made.columns["session"]) == len(made.names["session"])


def test_sums_beyond_what_a_double_holds_stay_exact(place: Place) -> None:
    ledger = place.ledger()
    with ledger.transaction():
        for number in range(40):
            quarter = NOW_MS // 900_000 * 900_000
            ledger.add_unattributed(f"s{number}", quarter, "ana", 9_000 * PICO + number)
    ledger.close()
    told = facts.collect(scope(place), NOW_MS)["cells"]
    assert sum(column(told, "unattributed_micro")) * 10**6 + sum(
        column(told, "unattributed_pico")
    ) == 40 * 9_000 * PICO + sum(range(40))
    assert max(map(max, (column(told, name) for name in told["columns"]))) < 2**53


# -- what is said first ----------------------------------------------------------------------------


def told_first(place: Place, now_ms: int = NOW_MS) -> dict[str, Any]:
    found: dict[str, Any] = facts.collect(scope(place), now_ms)["headline"]
    return found


def test_what_is_left_is_what_status_says(place: Place) -> None:
    ledger = place.ledger()
    with ledger.transaction():
        ledger.book(work(NOW_MS, 3), load_table())
    ledger.close()
    told = told_first(place)
    assert (told["kind"], told["budget"], told["period"]) == ("day", "day", "today")
    assert told["limit"] == "$20.00"
    assert told["resets"] == "at 00:00 (in 9 h)"
    went = told["went_on"]
    assert told["spent_micro"] == went["micro"]
    assert sum(part["micro"] for part in went["model"]) in range(
        went["micro"] - 9, went["micro"] + 1
    )
    assert [part["name"] for part in went["branch"]] == ["main", "fix-login"]


def test_without_a_day_budget_the_next_longer_one_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, config='version = 1\n[budgets.month]\nper = "month"\nusd = 300\n')
    fill(place)
    told = told_first(place)
    assert (told["kind"], told["period"]) == ("other", "this month")
    assert told["today"]["micro"] < told["went_on"]["micro"]


def test_without_any_budget_what_was_spent_today_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, config="")
    fill(place)
    told = told_first(place)
    assert told["kind"] == "none"
    assert told["went_on"]["unattributed"]["words"] == "$0.14"


def test_a_budget_over_all_projects_tells_what_all_spent(tmp_path: Path) -> None:
    place = Place(tmp_path, config="")
    other = Place(tmp_path / "more", "other", config="")
    other.env = place.env
    (tmp_path / ".claude").mkdir()
    config = 'version = 1\n[budgets.mine]\nper = "day"\nscope = "user"\nusd = 50\n'
    (tmp_path / ".claude" / "budget.toml").write_text(config)
    for each, seed in ((place, 3), (other, 8)):
        ledger = each.ledger()
        with ledger.transaction():
            ledger.book(work(NOW_MS, 1, seed), load_table())
        ledger.close()
    facts.add_up(scope(place))
    told = told_first(place)
    assert told["whose"] == "in all your projects"
    assert told["spent_micro"] == told["went_on"]["micro"] > told["today"]["micro"] > 0


def test_of_several_projects_a_budget_over_all_comes_first_then_this_ones(tmp_path: Path) -> None:
    place = Place(tmp_path)
    tighter = 'version = 1\n[budgets.tight]\nper = "day"\nusd = 2\n'
    other = Place(tmp_path / "more", "other", config=tighter)
    other.env = place.env
    for each, seed in ((place, 3), (other, 8)):
        ledger = each.ledger()
        with ledger.transaction():
            ledger.book(work(NOW_MS, 1, seed), load_table())
        ledger.close()
    every = scope(place, every=True)
    assert facts.collect(every, NOW_MS)["headline"]["budget"] == "day"
    (tmp_path / ".claude").mkdir()
    config = 'version = 1\n[budgets.mine]\nper = "month"\nscope = "user"\nusd = 50\n'
    (tmp_path / ".claude" / "budget.toml").write_text(config)
    facts.add_up(every)
    told = facts.collect(every, NOW_MS)
    assert told["headline"]["budget"] == "mine"
    assert told["headline"]["today"]["micro"] == told["headline"]["spent_micro"]
    names = [budget["name"] for budget in told["budgets"]]
    assert sorted(names) == ["day", "mine", "month", "opus", "tight"], "each of them once"


def test_an_empty_project_is_told(place: Place) -> None:
    told = facts.collect(scope(place), NOW_MS)
    assert told["headline"]["left"] == "$20.00"
    assert told["cells"]["times"] == told["stops"] == told["advice"] == []
    assert not Path(place.env["BUDGET_HOME"], "projects").exists(), "looking makes no ledger"


def test_events_are_told_with_their_reasons(place: Place) -> None:
    fill(place)
    told = facts.collect(scope(place), NOW_MS)
    (stop,) = told["stops"]
    assert (stop["at"], stop["spent_of"]) == ("2026-11-27 13:00", "$20.00 of $20.00")
    assert (stop["why"], stop["over"]) == ("used up", "today")
    assert told["warnings"] == [
        {"at": "2026-11-27 13:00", "budget": "day", "limit": "$20.00", "mark": "80 %"}
    ]
    (advice,) = told["advice"]
    assert (advice["kind"], advice["taken"]) == ("compact", "2026-11-27 13:00")
    assert told["grants"] == ["2026-11-27 13:00 +$1.00 on day, by ana@example.com: <b>release</b>"]
    story = told["stories"][stop["sessions"][0]]
    assert len(story["compactions"]) == 1
    assert [run["agent"] for run in story["agents"]] == ["Explore"]
    budget = told["budgets"][0]
    assert len(budget["history"]) == 9
    assert budget["history"][-1]["spent"] == budget["spent_of"].partition(" of ")[0]


# -- the page --------------------------------------------------------------------------------------


def scripts(page: str) -> list[tuple[str, str]]:
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)


def sha256(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_hostile_names_cannot_leave_the_data(place: Place) -> None:
    hostile(place)
    told = facts.collect(scope(place), NOW_MS)
    page = render.page(told)
    (attributes, data), *programs = scripts(page)
    assert attributes == ' type="application/json" id="data"'
    assert json.loads(data) == {**json.loads(json.dumps(told)), "served": False}
    assert data.isascii()
    assert not set("<>&") & set(data)
    assert len(programs) == 2
    for name in HOSTILE:
        assert name not in page.replace(data, "")


def test_the_policy_lets_in_the_three_pieces_and_nothing_else(place: Place) -> None:
    page = render.page(facts.collect(scope(place), NOW_MS))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    _, chart, own = scripts(page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert rules == {
        "default-src": "'none'",
        "script-src": f"{sha256(chart[1])} {sha256(own[1])}",
        "style-src": sha256(style[1]),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "connect-src 'self'" in render.policy(served=True)


def test_the_page_names_nothing_that_a_browser_would_load(place: Place) -> None:
    page = render.page(facts.collect(scope(place), NOW_MS))
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert re.findall(r"""(?:src|href)=["']?([^"'> ]*)""", markup) == ["data:,", "#main"]
    assert "url(" not in page.partition("<style>")[2].partition("</style>")[0]
    assert "sourceMappingURL" not in page


def test_chart_js_is_what_the_registry_has() -> None:
    record = json.loads((VENDOR / "chart.js.json").read_text())
    for name, known in record["files"].items():
        digest = hashlib.sha512((VENDOR / name).read_bytes()).digest()
        assert known == f"sha512-{base64.b64encode(digest).decode()}", name
    assert record["license"] == "MIT"
    assert f"Chart.js v{record['version']}" in (VENDOR / "chart.umd.min.js").read_text()[:100]
    assert "MIT" in (VENDOR / "chart.js.LICENSE.md").read_text()


# -- the command -----------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_says_where(place: Place) -> None:
    fill(place)
    run = place.run("dashboard", "--out", "budget.html")
    assert (run.returncode, run.stdout) == (0, "Written to budget.html: open it in a browser.\n")
    assert "<!DOCTYPE html>" in (place.folder / "budget.html").read_text()
    assert sorted(path.name for path in place.folder.iterdir()) == [
        ".claude",
        ".git",
        "budget.html",
    ]
    printed = place.run("dashboard", "--out", "-")
    assert printed.stdout.startswith("<!DOCTYPE html>")
    told = json.loads(place.run("dashboard", "--json").stdout)
    assert told["total"] == place.report("model")["total"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "Say where the page goes: --out budget.html, or --serve."),
        (("--serve", "--out", "x.html"), 2, "--serve goes without --out and --json."),
        (("--out", "x.html", "--port", "80"), 2, "--port belongs to --serve."),
        (("--json", "--open"), 2, "--open needs --serve or --out FILE."),
        (("--out", "x.html", "--since", "friday"), 2, "--since expects a date"),
        (("--out", "x.html", "--timezone", "Mars/Olympus"), 2, "no time zone 'Mars/Olympus'"),
        (("--out", "no/such/x.html"), 3, "no/such/x.html cannot be written: No such file"),
    ],
)
def test_a_command_line_that_cannot_be_followed_says_why(
    place: Place, words: tuple[str, ...], code: int, said: str
) -> None:
    run = place.run("dashboard", *words)
    assert run.returncode == code
    assert said in " ".join(run.stderr.replace("│", " ").split())
    assert "Traceback" not in run.stderr


def test_a_one_step_ledger_is_a_page(place: Place) -> None:
    ledger = place.ledger()
    with ledger.transaction():
        step = Step(
            "m1", "s1", "main", "", "p1", "", "claude-haiku-5-5", NOW_MS - HOUR_MS, Usage(1, 90)
        )
        ledger.book([step], load_table())
    ledger.close()
    told = facts.collect(scope(place), NOW_MS)
    assert told["cells"]["names"]["branch"] == ["(none)"]
    assert told["headline"]["spent"] == f"${told['total']['usd']}" > "$0.000001"
