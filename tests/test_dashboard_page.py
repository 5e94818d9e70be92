"""The page in a real browser: drawn, filtered, readable, and closed to the outside."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from budget import paths
from budget.dashboard import facts, render
from budget.paths import ledger_file
from budget.pricing import load_table
from budget.windows import zone
from tests import browser, sample_work
from tests.dashboards import HOSTILE, HOUR_MS, NOW_MS, Place, fill, hostile, work
from tests.samples import AT_MS, prompt_line, step_line
from tests.test_dashboard import COUNTS, expected, scope

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright", reason="playwright is missing")
pytest.importorskip("axe_playwright_python", reason="axe-core is missing")
pytestmark = pytest.mark.skipif(not browser.chromium(), reason="chromium is missing")

SCHEMES = ("light", "dark")
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def opened() -> Iterator["Browser"]:
    with browser.browser() as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(Path(tmp_path_factory.mktemp("page")))
    fill(made)
    return made


def written(place: Place, now_ms: int = NOW_MS, name: str = "page.html") -> str:
    """The address of the file that the page is written to."""
    path = place.home / name
    path.write_text(render.page(facts.collect(scope(place), now_ms)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def address(place: Place) -> str:
    return written(place)


@pytest.fixture
def page(opened: "Browser", address: str) -> Iterator[browser.Watched]:
    with browser.watched(opened, address) as found:
        yield found
        assert found.complaints == []
        assert found.requests == [address]


def exact(page: browser.Watched) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(page.page.get_attribute("#figures", "data-exact") or "")
    return told


def total(place: Place, *words: str) -> dict[str, Any]:
    row = place.report("model", "--timezone", "Europe/Berlin", *words)["total"]
    return {name: row[name] for name in (*COUNTS, "usd", "unattributed_usd")}


def rows(page: browser.Watched, table: str) -> dict[str, str]:
    """The first cell of each row of a table, and its exact cost as the figure's title has it."""
    page.page.wait_for_selector(f"#{table}")  # what stands behind a chart unfolds in its own time
    for more in page.page.query_selector_all(f"div.table:has(#{table}) .more button"):
        more.click()
    told: list[tuple[str, str]] = page.page.evaluate(
        """(id) => [...document.querySelectorAll("#" + id + " > tbody > tr")].map((row) => [
          row.querySelector("bdi[title]")?.title || row.cells[0].innerText.trim(),
          row.querySelector("span[title^='$']").title])""",
        table,
    )
    return dict(told)


def costs(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        key: f"${row['usd']} and ${row['unattributed_usd']} unattributed"
        for key, row in rows.items()
    }


def test_every_chart_is_drawn(page: browser.Watched) -> None:
    page.page.click("#sessions button.twist")
    for _ in range(50):
        if all(page.drawn().values()):
            break
        page.page.wait_for_timeout(100)
    assert page.drawn() == {
        "chart-time": True,
        "chart-story-0": True,
        "chart-kinds": True,
        "chart-cache": True,
    }


def test_while_money_goes_the_limit_that_is_reached_is_named(
    opened: "Browser", tmp_path: Path
) -> None:
    shop = sample_work.made(tmp_path, AT_MS)
    project = paths.find_project(str(shop.project))
    asked = facts.Scope(shop.env, project, False, None, None, "Etc/GMT+0", zone("UTC"))
    file = tmp_path / "pace.html"
    file.write_text(render.page(facts.collect(asked, AT_MS)), encoding="utf-8")
    with browser.watched(opened, file.as_uri()) as found:
        assert found.text("#pace") == (
            'Now: $5.64 an hour (last 8 min): "session" is used up in 13 min.'
        )
        assert "It is past its warning at 80 %." in found.text("#headline")
        assert "(UTC)" in found.text("#as-of")
        assert found.text("#h-total").startswith("Total Nov ")
        found.page.click("#headline button.name")
        assert "Below, only: session" in found.text("#filtered")


def test_what_is_left_comes_first_and_in_words(page: browser.Watched, place: Place) -> None:
    status = json.loads(place.run("status", "--json").stdout)
    assert status["budgets"][0]["limit"] == "20.000000"
    told = facts.collect(scope(place), NOW_MS)["headline"]
    assert page.text("#left") == f"{told['left']} left today"
    assert f"{told['spent']} of $20.00 is spent" in page.text("#headline")
    assert told["went_on"]["model"][0]["words"] in page.text("#headline")
    models = [each["name"].removeprefix("claude-") for each in told["went_on"]["model"]]
    assert all(f"\n{name}\n" in page.text("#headline") for name in models), "as in the live view"
    box = page.page.locator("#headline").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 420, "before anything has to be scrolled"


def test_the_totals_are_those_of_the_report(page: browser.Watched, place: Place) -> None:
    assert exact(page) == total(place)
    whole = facts.collect(scope(place), NOW_MS)["total"]
    assert exact(page) == {name: whole[name] for name in exact(page)}


@pytest.mark.parametrize("view", ["model", "agent", "branch", "user"])
def test_the_rows_of_a_part_are_the_reports(page: browser.Watched, place: Place, view: str) -> None:
    assert rows(page, f"table-part-{view}") == costs(expected(place, view))


@pytest.mark.parametrize("view", ["daily", "weekly", "monthly"])
def test_the_rows_of_a_period_are_the_reports(
    page: browser.Watched, place: Place, view: str
) -> None:
    period = {"daily": "Day", "weekly": "Week", "monthly": "Month"}[view]
    page.page.click(f"#periods >> text={period}")
    page.page.click("#behind-time > summary")
    assert rows(page, "table-time") == costs(expected(place, view))


def test_hours_add_up_to_their_days(page: browser.Watched, place: Place) -> None:
    page.page.click("#periods >> text=Hour")
    page.page.click("#behind-time > summary")
    days: dict[str, list[str]] = {}
    for key, title in rows(page, "table-time").items():
        days.setdefault(key[:10], []).append(title.split()[0][1:])
    told = {day: sum(int(each.replace(".", "")) for each in sums) for day, sums in days.items()}
    for day, row in expected(place, "daily").items():
        # Each hour is rounded to six places for itself.
        assert abs(told[day] - int(row["usd"].replace(".", ""))) <= 24


@pytest.mark.parametrize("view", ["session", "prompt"])
def test_sessions_and_prompts_are_the_reports(
    page: browser.Watched, place: Place, view: str
) -> None:
    told = rows(page, f"table-{view}s")
    said = {"unattributed": "(unattributed)", "without a prompt": "(none)"}
    assert {said.get(key, key): value for key, value in told.items()} == costs(
        expected(place, view)
    )


# -- filters ---------------------------------------------------------------------------------------


def test_a_filter_changes_every_figure(page: browser.Watched, place: Place) -> None:
    page.page.select_option("#filter-model", label="opus-5-5")
    opus = expected(place, "model")["claude-opus-5-5"]
    assert exact(page) == {name: opus[name] for name in exact(page)}
    assert "only: model opus-5-5" in page.text("#filtered")
    for table in ("sessions", "prompts", "part-branch"):
        assert f"{opus['steps']:,}" in page.text(f"#table-{table} tfoot")
    assert page.drawn()["chart-time"]
    page.page.click("#clear")
    assert exact(page) == total(place)


def test_filters_of_several_kinds_hold_together(page: browser.Watched, place: Place) -> None:
    page.page.click("#part-branch button:has-text('fix-login')")
    page.page.select_option("#filter-user", label="ben@example.com")
    cells = [
        step
        for step in work(NOW_MS, 9)
        if step.branch == "fix-login" and step.user == "ben@example.com"
    ]
    assert exact(page)["steps"] == len(cells) > 0
    assert exact(page)["output_tokens"] == sum(step.usage.output_tokens for step in cells)


def test_the_days_of_the_filter_are_those_of_the_report(
    page: browser.Watched, place: Place
) -> None:
    page.page.click("#filters >> text=7 days")
    assert exact(page) == total(place, "--since", "2026-11-21", "--until", "2026-11-27")
    page.page.fill("#filter-from", "2026-11-23")
    page.page.fill("#filter-to", "2026-11-24")
    assert exact(page) == total(place, "--since", "2026-11-23", "--until", "2026-11-24")
    page.page.click("#filters >> text=All")
    assert exact(page) == total(place)


def test_a_bar_becomes_the_time_of_everything(page: browser.Watched, place: Place) -> None:
    page.page.click("#periods >> text=Week")
    box = page.page.locator("#chart-time").bounding_box()
    assert box is not None
    page.page.click("#chart-time", position={"x": box["width"] * 0.75, "y": box["height"] * 0.6})
    page.page.wait_for_selector("#clear")
    assert exact(page) == total(place, "--since", "2026-11-23", "--until", "2026-11-29")


def test_one_session_is_told_alone(page: browser.Watched, place: Place) -> None:
    page.page.click("#sessions button.twist")
    story = page.text("#sessions .story-in")
    assert "prompts." in story
    session = story.split("Session ")[-1].split()[0]
    page.page.click("#sessions .story-in >> text=show only this session")
    row = expected(place, "session")[session]
    assert exact(page) == {name: row[name] for name in exact(page)}


def test_what_happened_is_told(page: browser.Watched) -> None:
    told = page.text("#events")
    assert "used up" in told
    assert "1 time given, 1 taken" in told
    assert "+$1.00 on day, by ana@example.com: <b>release</b>" in told
    assert "$0.1428 is unattributed" in page.text("#beyond")
    assert "claude-omega-9" in page.text("#beyond")
    assert "Stopped the work 1 time" in page.text("#budgets")


# -- names from outside ----------------------------------------------------------------------------


def test_hostile_names_stay_text(opened: "Browser", tmp_path: Path) -> None:
    place = Place(tmp_path, config="")
    hostile(place)
    address = written(place)
    with browser.watched(opened, address) as found:
        assert found.page.locator("img, svg, iframe, object, embed, form").count() == 0
        assert found.page.locator("script").count() == 3
        shown = found.text("#part-model")
        for name in HOSTILE:
            if name.isascii() and name.isprintable():
                assert name in shown
        assert "fix\ufffdgnp.exe\ufffd" in shown, "what turns text around is seen"
        assert not {"\u202e", "\u2066", "\x1b"} & set(found.text("body"))
        for twist in found.page.query_selector_all("#sessions button.twist"):
            twist.click()
        for name in ("model", "agent", "branch", "user", "session"):
            options = found.page.locator(f"#filter-{name} option").count()
            assert options == 1 + len(HOSTILE) + (name == "agent")
            found.page.select_option(f"#filter-{name}", index=1)
        found.page.focus("#chart-time")
        found.page.keyboard.press("End")
        found.page.wait_for_timeout(200)
        assert found.complaints == []
        assert found.requests == [address]


def test_the_policy_holds_against_what_gets_in(page: browser.Watched) -> None:
    ran = page.page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          const sent = await fetch("https://example.com/").then(() => true, () => false);
          return [window.ran === true, sent];
        }"""
    )
    assert ran == [False, False]
    assert any("Content Security Policy" in each for each in page.complaints)
    page.complaints.clear()
    page.requests = page.requests[:1]


# -- for everybody ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "scheme"), [("desk", "light"), ("phone", "dark")])
def test_axe_finds_nothing(opened: "Browser", address: str, size: str, scheme: str) -> None:
    with browser.watched(
        opened, address, color_scheme=scheme, **(PHONE if size == "phone" else {})
    ) as found:
        found.page.click("#sessions button.twist")
        for behind in ("time", "kinds", "cache"):
            found.page.click(f"#behind-{behind} > summary")
            found.page.wait_for_selector(f"#table-{behind}")
        assert found.violations() == []
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= (390 if size == "phone" else 1280), "nothing has to be scrolled sideways"


def test_the_keyboard_reaches_everything(page: browser.Watched) -> None:
    page.page.focus("#chart-time")
    page.page.keyboard.press("End")
    assert page.text("#spoken").startswith("Nov 27 2026: ")
    page.page.keyboard.press("ArrowLeft")
    assert page.text("#spoken").startswith("Nov 26 2026: ")
    page.page.keyboard.press("Enter")
    assert page.page.input_value("#filter-from") == "2026-11-26"
    page.page.focus("#clear")
    page.page.keyboard.press("Enter")
    page.page.focus("#table-sessions th button[data-key=first]")
    page.page.keyboard.press("Enter")
    assert page.page.evaluate("document.activeElement.dataset.key") == "first"
    first = page.page.locator("#table-sessions tbody tr").first.inner_text()
    assert first.strip().startswith("Nov 19")
    page.page.keyboard.press("Enter")
    assert page.page.locator("th[aria-sort=descending] button[data-key=first]").count() == 1
    page.page.focus("#sessions button.twist")
    page.page.keyboard.press("Space")
    assert page.page.locator("#sessions .story-in").count() == 1


def test_the_scheme_follows_the_system_and_the_switch(opened: "Browser", address: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in SCHEMES:
        with browser.watched(opened, address, color_scheme=scheme) as found:
            seen[scheme] = found.page.evaluate(background)
            found.page.click("#scheme")
            seen[f"{scheme}, switched"] = found.page.evaluate(background)
            assert found.drawn()["chart-time"]
    assert seen["light"] == seen["dark, switched"] != seen["dark"] == seen["light, switched"]


def test_it_prints_without_its_controls(page: browser.Watched) -> None:
    page.page.emulate_media(media="print")
    for hidden in ("#filters", "#scheme", "#behind-time > summary"):
        assert not page.page.locator(hidden).is_visible()
    assert page.page.locator("#left").is_visible()
    assert page.page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("count", [0, 1])
def test_a_ledger_of_next_to_nothing_is_a_page(
    opened: "Browser", tmp_path: Path, count: int
) -> None:
    place = Place(tmp_path)
    if count:
        ledger = place.ledger()
        with ledger.transaction():
            ledger.book([next(work(NOW_MS, 1))], load_table())
        ledger.close()
    with browser.watched(opened, written(place)) as found:
        assert "left today" in found.text("#left")
        assert exact(found)["steps"] == count
        assert ("Nothing is booked here yet" in found.text("main")) is not bool(count)
        assert found.violations() == []
        assert found.complaints == []


def test_100_000_entries_are_a_page_below_3_mb(opened: "Browser", tmp_path: Path) -> None:
    place = Place(tmp_path, config="")
    from bench.scene import year_of_entries

    year_of_entries(place.env, place.folder, 100_000)
    assert Path(ledger_file(place.env, place.project)).exists()
    address = written(place, now_ms=1_763_000_000_000 + 365 * 24 * HOUR_MS)
    assert (place.home / "page.html").stat().st_size < 3_000_000
    with browser.watched(opened, address) as found:
        assert exact(found) == total(place)
        assert all(found.drawn().values())
        found.page.select_option("#filter-model", label="opus-5-5")
        row = expected(place, "model")["claude-opus-5-5"]
        assert exact(found) == {name: row[name] for name in exact(found)}
        assert found.complaints == []


# -- served ----------------------------------------------------------------------------------------


def hook(place: Place, session: str, transcript: Path) -> None:
    payload = {
        "hook_event_name": "PostToolBatch",
        "session_id": session,
        "transcript_path": str(transcript),
        "cwd": str(place.folder),
        "tool_calls": [{"tool_use_id": "toolu_1"}],
    }
    run = subprocess.run(
        [sys.executable, "-c", "from budget import hook; hook.main([])"],
        input=json.dumps(payload),
        env=place.env,
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""


def test_a_step_that_a_hook_books_appears_by_itself(opened: "Browser", tmp_path: Path) -> None:
    place = Place(tmp_path)
    session = "5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11"
    transcript = tmp_path / ".claude" / "projects" / "p" / f"{session}.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_bytes(prompt_line("p1") + step_line("msg_1", tools=["toolu_1"]))
    hook(place, session, transcript)
    command = [sys.executable, "-m", "budget", "dashboard", "--serve"]
    process = subprocess.Popen(command, env=place.env, cwd=place.folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().split()[-1].decode()
        with browser.watched(opened, address) as found:
            assert exact(found)["steps"] == 1
            found.page.wait_for_selector("#live:not(.off):not([hidden])")
            found.page.select_option("#filter-model", index=1)
            with transcript.open("ab") as file:
                file.write(step_line("msg_2", tools=["toolu_1"]))
            hook(place, session, transcript)
            found.page.wait_for_selector("""#figures[data-exact*='"steps":2']""", timeout=20_000)
            assert "only: model" in found.text("#filtered"), "what was picked stays picked"
            assert found.complaints == []
            origin = address.rsplit("/", 2)[0]
            assert all(each.startswith(origin) for each in found.requests)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            found.page.wait_for_selector("#live.off", timeout=20_000)
            assert "not live" in found.text("#live")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
