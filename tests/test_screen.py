"""The real client on a real terminal: what a person sees when a budget is used up."""

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from budget import paths, untyped
from tests.plugin import ROOT, budget_toml, command, ledger, status
from tests.realclient.client import Home
from tests.realclient.stub import (
    STEP_USAGE,
    STEP_USD,
    Answer,
    Call,
    Request,
    Stub,
    bash_loop,
    done,
    spawn_agents,
    summary,
)
from tests.realclient.terminal import have_tmux, open_client

pytestmark = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def test_the_stop_the_blocked_prompt_compact_clear_and_the_status_line(home: Home) -> None:
    config = budget_toml(session='usd = 0.0100\nstop = "after"', day="usd = 1.00")
    home.write(".claude/budget.toml", config + '[advice]\nfocus = "code samples"\n')
    # The status line comes from settings; the hooks in this test come from the plugin.
    assert command(home, "install").returncode == 0
    settings_file = home.home / ".claude" / "settings.json"
    settings = json.loads(settings_file.read_text())
    settings_file.write_text(json.dumps({"statusLine": settings["statusLine"]}))
    with (
        Stub(bash_loop(None), compaction=summary(STEP_USAGE)) as stub,
        open_client(home, stub, plugin_dir=ROOT) as screen,
    ):
        screen.submit("count")
        screen.wait_for("PostToolBatch hook stopped Claude")
        screen.wait_for("Stopped: the $0.0100 in this session are used up ($0.0120 spent).")
        screen.wait_for('Budget "session" in .claude/budget.toml, resets with a new session.')
        told = " ".join(screen.screen().split())
        assert "96 % is spent, $0.0004 of $0.0100 left in this session." in told
        assert "/compact Focus on code samples" in screen.screen()
        screen.wait_for("session ██████████ 120 % · USED UP $0.0120 of $0.0100")
        assert len(stub.requests) == 5

        screen.submit("go on")
        screen.wait_for("Not sent: no money was spent.")
        screen.keys("C-u")
        screen.submit("/budget:status")
        screen.wait_for(re.compile(r"\$0\.98\d\d of \$1\.00 left"))
        screen.keys("C-u")
        assert len(stub.requests) == 5, "neither makes a request"

        screen.submit("/compact")
        screen.wait_for("Compacted")
        assert [request.kind for request in stub.requests[5:]] == ["compaction"]

        screen.submit("/clear")
        screen.wait_gone("Compacted")
        screen.submit("count anew")
        screen.wait_for("hook stopped Claude")
        assert len(stub.requests) == 11, "a new session has a whole budget"
    facts = status(home)
    assert facts["totals"]["steps"] == 10
    assert Decimal(facts["totals"]["usd"]) == 10 * STEP_USD
    assert Decimal(facts["totals"]["unattributed_usd"]) == STEP_USD, "what the compaction cost"
    assert {b["name"]: b["spent"] for b in facts["budgets"]} == {
        "session": "0.012000",
        "day": "0.026400",
    }


def test_a_session_line_tells_what_is_left(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 5"))
    with Stub(bash_loop(0)) as stub, open_client(home, stub, plugin_dir=ROOT) as screen:
        screen.submit("hello")
        screen.wait_for(done(0))
        screen.wait_for("budget: session $5.00 left.")


def test_a_finished_agent_starts_no_new_turn_when_the_budget_is_used_up(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session='usd = 0.0120\nstop = "after"'))
    with (
        Stub(spawn_agents(2, None)) as stub,
        open_client(home, stub, plugin_dir=ROOT) as screen,
    ):
        screen.submit("start them")
        screen.wait_for("Not sent: no money was spent", timeout=30)
        main = [request for request in stub.steps() if request.agent_id is None]
        assert len(main) == 2, "the call and the closing text, no turn for the notification"
        assert 5 <= len(stub.requests) <= 5 + 2


def test_the_client_tells_at_the_end_of_a_turn_what_is_scheduled(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(total='usd = 1\non_exceed = "ask"'))
    home.write(".claude/settings.json", json.dumps({"permissions": {"allow": ["CronCreate"]}}))
    later = {"cron": "0 0 1 1 *", "prompt": "check the deploy", "recurring": False}

    def schedule(request: Request) -> Answer:
        if request.called("CronCreate"):
            return Answer("scheduled it", (), STEP_USAGE)
        if request.called("ToolSearch"):
            return Answer("now", (Call("CronCreate", later),), STEP_USAGE)
        return Answer("first", (Call("ToolSearch", {"query": "select:CronCreate"}),), STEP_USAGE)

    with Stub(schedule) as stub, open_client(home, stub, plugin_dir=ROOT) as screen:
        screen.submit("remind me")
        screen.wait_for("scheduled it")
        books = ledger(home)
        project = paths.find_project(str(home.project))
        session = books.last_session() or ""
        until = time.monotonic() + 20
        while not untyped.is_scheduled("check the deploy", books, session, project):
            assert time.monotonic() < until, "the client tells it in another form"
            time.sleep(0.05)
        assert not untyped.is_scheduled("check it", books, session, project)
        books.close()
