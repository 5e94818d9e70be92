"""`budget watch` driven by textual's pilot: what it shows, keys, sizes, themes, errors."""

import os
import re
import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from budget import grants, messages, pipeline, reservations
from budget.evaluate import Who
from budget.messages import percent
from budget.model import Spend, Usage
from budget.pricing import load_table
from budget.status import Standing
from budget.watch import words
from budget.watch.app import DARK, LIGHT, WatchApp
from budget.watch.facts import Choice
from budget.watch.screens import GrantScreen, SessionScreen
from budget.watch.widgets import Lines, Rows
from tests import workday
from tests.samples import a_step
from tests.watched import Place, screen, until, until_shown

WORKING, WAITING = workday.SESSIONS[0], workday.SESSIONS[1]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def shown(app: WatchApp, name: str) -> str:
    content = app.query_one(f"#{name}", Lines).shown
    return content.plain if content else ""


def test_it_says_what_is_left_and_what_it_went_on(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.view
        standing = Standing(place.env, place.project, app.view.now_ms)
        day = next(each for each in standing.verdicts if each.budget.name == "day")
        lines = screen(app).splitlines()
        ends = r" \$9\.\d\d left in session 5d0f1c9e: used up in 2 h \d+ min"
        assert re.match(ends, lines[1]), "what is reached first"
        assert f" {messages.left(day)} left today of $40.00" in lines[2]
        assert f"{percent(day)} spent" in lines[2]
        spent = words.glance(day.spent)
        assert lines[3].startswith(f" {spent} today on ")
        assert all(model in lines[3] for model in ("opus-5-5", "sonnet-5-5"))

    place.watch(do)


def test_every_budget_is_a_bar_with_its_marks_and_when_it_resets(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        lines = shown(app, "budgets").splitlines()
        assert [each.split()[0] for each in lines] == ["session", "day", "month", "opus"]
        assert lines[1].count("┊") == 2, "marks at 50 and 80 %"
        assert lines[1].count("█") >= 1
        assert "resets at 00:00" in lines[1]
        assert "resets with a new session" in lines[0]

    place.watch(do, (120, 40))


def test_what_runs_is_listed_with_context_cache_and_what_is_held(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        rows = {row.key: row for row in app.query_one("#running", Rows).rows}
        assert app.view
        sessions = {each.id: each for _, each in app.view.sessions}
        first = next(iter(rows))
        assert first == WORKING
        assert rows[WORKING].cells["does"][0] == "working"
        spend = sessions[WORKING].spend.counted_picousd
        assert rows[WORKING].cells["spent"][0] == words.glance(spend)
        assert rows[WORKING].cells["cache"][0].endswith(" min")
        assert rows[WORKING].cells["held"][0] == "$0.16"
        plan = rows[f"{WORKING}/agent-plan-1"]
        assert plan.cells["who"][0] == "├ Plan"
        assert plan.cells["branch"][0] == "feature/invoices"
        assert rows[f"{WORKING}/ended"].cells["who"][0] == "└ 1 agent done"
        assert rows[WAITING].cells["does"][0].startswith("waiting ")
        assert rows[WAITING].cells["cache"][0] == "expired"

    place.watch(do, (200, 60))


def test_a_step_appears_when_it_is_booked(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.view
        before = app.view.today.steps
        now_ms = place.now_ms
        used = Usage(10, 77_777, 1_000)
        made = a_step("new", used, session_id=WORKING, at_ms=now_ms, model="claude-sonnet-5-5")
        ledger = place.open()
        with ledger.transaction():
            ledger.book([made], load_table())
        await until_shown(pilot, "78k out")
        assert app.view.today.steps == before + 1

    place.watch(do, (120, 40))


def test_a_config_that_changes_shows_at_once(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.pause(0.5)
        config = place.folder / ".claude" / "budget.toml"
        config.write_text('version = 1\n[budgets.day]\nper = "day"\nusd = 123\n')
        await until_shown(pilot, "of $123.00")

    place.watch(do)


def test_nothing_is_written_while_it_is_watched(place: Place) -> None:
    def files() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in place.folder.parent.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")
        }

    before = files()

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        for key in ("w", "b", "s", "enter", "escape", "down"):
            await pilot.press(key)
            await pilot.pause(0.1)

    place.watch(do)
    assert files() == before


# -- keys ------------------------------------------------------------------------------------------


def test_w_goes_through_the_windows(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        for title in ("This week", "This month", "Session", "This hour", "Today"):
            await pilot.press("w")
            await until(pilot, lambda title=title: title in shown(app, "plot"))  # type: ignore[misc]
        await pilot.press("W")
        await until(pilot, lambda: "This hour" in shown(app, "plot"))

    place.watch(do)


def test_b_tells_what_it_went_on_by_model_branch_agent_session_and_prompt(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.view
        total = app.view.spend
        expected = ["feature/invoices", "Explore", WORKING[:8], "", "opus-5-5"]
        for by, name in zip(
            ("branch", "agent", "session", "prompt", "model"), expected, strict=True
        ):
            await pilot.press("b")
            wanted = f"by {by}"
            await until(pilot, lambda wanted=wanted: wanted in shown(app, "parts"))  # type: ignore[misc]
            assert name in shown(app, "parts")
            sums = [spend.counted_picousd for _, spend in app.view.parts]
            assert sum(sums) == total.counted_picousd, by

    place.watch(do, (120, 50))


def test_s_sorts_and_the_cursor_stays_on_its_session(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        rows = app.query_one("#running", Rows)
        assert rows.chosen == WORKING
        await pilot.press("s")
        assert rows.chosen == WORKING
        own = [row for row in rows.rows if "/" not in row.key]
        amounts = [float(row.cells["spent"][0].strip("$")) for row in own]
        assert amounts == sorted(amounts, reverse=True)
        assert "by spent" in shown(app, "running_head")

    place.watch(do, (160, 40))


def test_a_session_opens_by_enter_and_by_the_mouse(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        assert isinstance(app.screen, SessionScreen)
        text = await until_shown(pilot, "began")
        await until(pilot, lambda: app.view is not None and app.view.story is not None)
        assert app.view
        assert app.view.story
        text = await until_shown(pilot, f"1 prompts {len(app.view.story.told.prompts)} ")
        assert WORKING in text
        assert "Budget session: $" in text
        await pilot.press("2")
        text = await until_shown(pilot, "Explore")
        assert "Plan" in text
        await pilot.press("v")
        await until_shown(pilot, "written")
        rows = app.screen.query_one(Rows)
        assert len(rows.rows) == app.view.story.told.spend.steps
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, SessionScreen))
        assert app.choice.opened == ""
        await pilot.click("#running", offset=(10, 2), times=2)
        await pilot.pause(0.1)
        assert app.query_one("#running", Rows).cursor == 1

    place.watch(do, (120, 40))


def test_budgets_of_a_session_are_those_of_the_chosen_one(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("end")
        chosen = app.query_one("#running", Rows).chosen
        await until(pilot, lambda: f"session {chosen[:8]}" in shown(app, "budgets"))

    place.watch(do, (120, 40))


def test_p_chooses_a_project_or_all(place: Place, tmp_path: Path) -> None:
    other = workday.prepare(tmp_path / "other", place.env)
    ledger = pipeline.open_ledger(place.env, other)
    with ledger.transaction():
        made = a_step("other", session_id="of-other", at_ms=place.now_ms, model="claude-sonnet-5")
        ledger.book([made], load_table())

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        await until_shown(pilot, "all projects of this machine")
        await pilot.press("home", "enter")
        await until_shown(pilot, "all projects")
        await until(pilot, lambda: app.view is not None and len(app.view.projects) == 2)
        assert app.view
        sums = [facts.today for facts in app.view.projects]
        assert app.view.today == sums[0].plus(sums[1])
        assert "of-other" in screen(app)
        assert "other: day" in shown(app, "budgets")
        assert "left today in shop of $40.00" in shown(app, "answer"), "the one that leaves least"
        await pilot.press("p")
        await pilot.press("home", "down", "enter")
        await until(pilot, lambda: app.view is not None and len(app.view.projects) == 1)

    place.watch(do, (140, 50))


def test_the_last_steps_stand_by_their_time(place: Place) -> None:
    ledger = place.open()
    at_ms = place.now_ms - 30 * workday.MINUTE_MS
    late = a_step("late", session_id=WAITING, at_ms=at_ms, model="claude-sonnet-5")
    with ledger.transaction():
        ledger.book([late], load_table())
    ledger.close()

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.view
        steps = [booked for _, booked in app.view.steps]
        times = [booked.step.at_ms for booked in steps]
        assert times == sorted(times, reverse=True)
        assert max(steps, key=lambda each: each.seq) != steps[0], "what was booked last is older"

    place.watch(do)


def test_help_tells_every_key(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        text = await until_shown(pilot, "Esc closes this.")
        for key in ("w  W", "p ", "Enter", "b ", "s ", "g ", "t ", "q "):
            assert f"│ {key}" in text
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)

    place.watch(do, (100, 40))


def test_light_and_dark(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.theme == LIGHT
        await pilot.press("t")
        assert app.theme == DARK

    place.watch(do, light=True)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60), (30, 10)])
def test_it_fits(place: Place, size: tuple[int, int]) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        lines = screen(app).splitlines()
        assert len(app.screen._compositor.render_strips()) == size[1]
        assert "left in session" in lines[1] and "left today" in shown(app, "answer")
        if size[0] >= 60:
            assert "Running now" in screen(app)
            assert WORKING[:8] in screen(app)
            assert "Last steps" in screen(app)
            assert (await until_shown(pilot, "q Quit")).splitlines()[-1].startswith("q Quit")
        await pilot.resize_terminal(100, 30)
        await until_shown(pilot, "It went on")
        assert len(app.screen._compositor.render_strips()) == 30

    place.watch(do, size)


def test_without_colours_states_are_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    tight = workday.CONFIG.replace("usd = 40", "usd = 2")
    place = Place(tmp_path, tight)

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert app.no_color
        lines = screen(app).splitlines()
        assert lines[1].startswith(" Nothing left today")
        assert "USED UP" in shown(app, "budgets")
        strips = app.screen._compositor.render_strips()
        colours = {
            segment.style.color.triplet
            for strip in strips
            for segment in strip
            if segment.style and segment.style.color and segment.style.color.triplet
        }
        assert all(each.red == each.green == each.blue for each in colours)

    place.watch(do)


# -- nothing there ---------------------------------------------------------------------------------


def test_without_a_ledger_it_says_what_to_do_and_makes_none(tmp_path: Path) -> None:
    place = Place(tmp_path, works=False)
    shutil.rmtree(place.state)

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        text = screen(app)
        assert "$40.00 left today" in text
        assert "No step is booked yet. Start claude in your project" in text
        assert not place.state.exists()
        workday.work(place.open(), place.now_ms - workday.HOUR_MS * 12, place.now_ms)
        await until_shown(pilot, WORKING[:8])

    place.watch(do, (120, 40))


def test_without_a_budget_it_says_how_to_set_one(tmp_path: Path) -> None:
    place = Place(tmp_path, "version = 1\n")

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        text = screen(app)
        assert "spent today" in text.splitlines()[1]
        assert "no budget is set · budget init --day 20 sets one" in text
        await pilot.press("g")
        await pilot.pause(0.2)
        assert not isinstance(app.screen, GrantScreen)

    place.watch(do)


def test_where_nobody_works_it_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, works=False)
    ledger = place.open()
    made = a_step("old", at_ms=place.now_ms - 3 * workday.HOUR_MS, model="claude-sonnet-5")
    with ledger.transaction():
        ledger.book([made], load_table())

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert "nobody at work" in screen(app)
        assert "No session made a step in the last hour" in screen(app)

    place.watch(do)


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_damaged_ledger_is_told_in_place_and_recovered_from(place: Place) -> None:
    whole = place.ledger_file.read_bytes()

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        before = shown(app, "answer")
        place.ledger_file.write_bytes(b"no ledger" * 1_000)
        await until(pilot, lambda: "It is damaged" in shown(app, "trouble"))
        assert "What is shown is from before" in shown(app, "trouble")
        assert shown(app, "answer")[:8] == before[:8], "the last known figures"
        place.ledger_file.write_bytes(whole)
        await until(pilot, lambda: not shown(app, "trouble"))

    place.watch(do, (160, 40))


def test_a_ledger_of_a_newer_version_is_left_alone(place: Place) -> None:
    ledger = place.open()
    ledger.write("PRAGMA user_version = 99")
    ledger.close()

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert "A newer budget wrote it: update this one" in shown(app, "trouble")

    place.watch(do, (200, 40))


def test_a_state_folder_that_vanishes_is_told_and_found_again(place: Place) -> None:
    away = place.state.with_name("away")

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.pause(0.5)
        place.state.rename(away)
        await until(pilot, lambda: "is gone" in shown(app, "trouble"))
        assert not place.state.exists()
        away.rename(place.state)
        await until(pilot, lambda: not shown(app, "trouble") and WORKING[:8] in screen(app))

    place.watch(do, (160, 40))


@pytest.mark.skipif(os.name != "posix", reason="locks are looked at on POSIX")
def test_a_writer_that_holds_the_ledger_keeps_nobody_from_looking(place: Place) -> None:
    ledger = place.open()

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        with ledger.transaction():
            await pilot.press("b")
            await until(pilot, lambda: "by branch" in shown(app, "parts"))
        assert not shown(app, "trouble")

    place.watch(do, (120, 40))


def test_names_from_outside_are_never_markup_or_escapes(tmp_path: Path) -> None:
    place = Place(tmp_path, works=False)
    evil = "[red]x[/red]\x1b[31m\x07\u202e[@click=app.quit]y[/]\n$primary"
    made = a_step(
        *("evil", Usage(10, 10)),
        session_id="s",
        branch=evil,
        model="claude-[b]sonnet\x1b]0;title\x07",
        agent="[reverse]a",
        prompt_id=evil,
        at_ms=place.now_ms,
    )
    ledger = place.open()
    with ledger.transaction():
        ledger.book([made], load_table())
        who = Who("[bold]z", "m[/]", evil)
        until_ms = place.now_ms + reservations.LAPSES_MS
        kept = reservations.Reservation("s", "[i]", "", who, Spend(1, picousd=1), until_ms)
        reservations.hold(ledger, kept)

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        for by in ("model", "branch", "agent", "session", "prompt"):
            await until(pilot, lambda by=by: f"by {by}" in shown(app, "parts"))  # type: ignore[misc]
            text = screen(app)
            assert not any(each in text for each in ("\x1b", "\x07", "\u202e"))
            await pilot.press("b")
        assert "[red]x[/red]?[31m??[@…" in screen(app)
        assert "[bold]z" in screen(app)
        await pilot.press("enter")
        await until_shown(pilot, "1 prompts 1")
        await pilot.press("3")
        text = await until_shown(pilot, "[reverse]a")
        assert "\x1b" not in text

    place.watch(do, (200, 60))


# -- grants ----------------------------------------------------------------------------------------


async def fill_in(pilot: Pilot[None], amount: str, reason: str) -> None:
    await pilot.press("g")
    await until_shown(pilot, "Grant more on a budget.")
    pilot.app.screen.query_one("#amount", Input).value = amount
    pilot.app.screen.query_one("#reason", Input).value = reason
    await pilot.click("#make")


def test_a_grant_without_a_persons_terminal_is_refused(place: Place) -> None:
    """The pilot has none: what `budget allow` says is said in the dialog, and kept."""

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await fill_in(pilot, "5", "the release")
        await until_shown(pilot, "Nothing was granted:")
        assert isinstance(app.screen, GrantScreen)
        await pilot.press("escape")

    place.watch(do, (100, 40))
    assert grants.active(place.open(), place.now_ms + 60_000) == []
    assert Standing(place.env, place.project, place.now_ms + 60_000).incidents


def test_a_grant_says_what_is_missing(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await fill_in(pilot, "", "x")
        await until_shown(pilot, "An amount comes first")
        await pilot.press("escape")
        await fill_in(pilot, "5", "")
        await until_shown(pilot, "Say why")

    place.watch(do, (100, 40))


def test_a_grant_is_made_as_budget_allow_makes_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a person's terminal; the real one is in test_watch_screen."""
    monkeypatch.setattr("budget.granting.refuse_agents", lambda *_args, **_kw: None)

    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        await fill_in(pilot, "5", "the [b]release[/b]")
        await until(pilot, lambda: not isinstance(app.screen, GrantScreen))
        await until(pilot, lambda: "of $45.00" in shown(app, "answer"))

    place.watch(do, (120, 40))
    made = grants.active(place.open(), place.now_ms)
    assert [(each.budget, each.amount, each.reason) for each in made] == [
        ("day", 5 * 10**12, "the [b]release[/b]")
    ]


def test_the_choice_of_the_command_line_holds(place: Place) -> None:
    async def do(app: WatchApp, pilot: Pilot[None]) -> None:
        assert "This hour" in shown(app, "plot")
        assert "all projects" in shown(app, "title")

    place.watch(do, choice=Choice("", "hour"))
