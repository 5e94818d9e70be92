"""The real client under a budget, headless: booked step by step, stopped when it is used up."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.plugin import ROOT, booked, budget_toml, command, entries, said, status, without_sensor
from tests.realclient.client import Home, run_headless
from tests.realclient.stub import STEP_USD, Answer, Request, Stub, bash_loop, spawn_agents


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


@pytest.fixture(params=["sensor", "no sensor"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return ROOT if request.param == "sensor" else without_sensor(tmp_path / "plugin")


def test_a_session_budget_of_a_cent_stops_after_the_fifth_step(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session='usd = 0.0100\nstop = "after"'))
    with Stub(bash_loop(None)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 5
        assert run.result["terminal_reason"] == "hook_stopped"
        assert len(entries(home)) == 5
        assert booked(home) == 5 * STEP_USD == run.total_cost_usd
        assert {row[0] for row in entries(home)} == {r.message_id for r in stub.requests}
        message = said(run.messages)
        assert "Stopped: the $0.0100 in this session are used up ($0.0120 spent)." in message
        assert "resets with a new session." in message

        again = run_headless(
            home, stub, "go on", plugin_dir=plugin, args=["--resume", run.session_id]
        )
        assert len(stub.requests) == 5, "the next prompt makes no request"
        assert "Not sent: no money was spent" in said(again.messages)

        fresh = run_headless(home, stub, "anew", plugin_dir=plugin)
        assert len(stub.requests) == 10, "a new session has a whole budget"
        assert fresh.session_id != run.session_id
    assert booked(home) == 10 * STEP_USD


def test_a_day_budget_holds_over_sessions(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(day='usd = 0.0100\nstop = "after"'))
    with Stub(bash_loop(2)) as stub:
        run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 3
        run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 5, "stopped in the second session, at the fifth step"
        third = run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 5
    assert "Stopped: the $0.0100 today are used up ($0.0120 spent)." in said(third.messages)
    assert booked(home) == 5 * STEP_USD


def test_three_background_agents_stop_at_their_next_step(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0240"))
    with Stub(spawn_agents(3, None)) as stub:
        run = run_headless(home, stub, "start them", plugin_dir=plugin)
        requests = list(stub.requests)
    limit_steps = 10  # 0.0240 / 0.0024
    assert limit_steps <= len(requests) <= limit_steps + 3, "at most one step per agent past it"
    assert run.total_cost_usd == len(requests) * STEP_USD
    assert booked(home) == run.total_cost_usd
    assert len(entries(home)) == len(requests)
    agents = {row[0] for row in entries(home, "agent")}
    assert agents == {"main", "general-purpose"}


def test_an_agent_is_not_started_when_the_budget_is_used_up(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0024"))
    with Stub(spawn_agents(2, 3)) as stub:
        run = run_headless(home, stub, "start them", plugin_dir=plugin)
        requests = list(stub.requests)
    if plugin == ROOT:
        assert len(requests) == 1, "the sensor tells the cost before the tool starts"
    # Without it the step is not in the transcript yet when the agents start: one step each.
    assert len(requests) <= 1 + 2
    assert booked(home) == len(requests) * STEP_USD == run.total_cost_usd


def test_a_token_budget_stops_an_agent_whose_lines_are_late(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session="steps = 6"))
    with Stub(spawn_agents(1, None)) as stub:
        run_headless(home, stub, "start it", plugin_dir=plugin)
        # main: the call and the closing text; the agent: one step may be in flight
        assert 6 <= len(stub.requests) <= 7
    assert len(entries(home)) == len(stub.requests)


def test_plugin_and_settings_install_at_once_book_nothing_twice(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session='usd = 0.0100\nstop = "after"'))
    installed = command(home, "install", "--scope", "user")
    assert installed.returncode == 0, installed.stderr
    with Stub(bash_loop(None)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=ROOT)
        assert len(stub.requests) == 5
    assert len(entries(home)) == 5
    assert booked(home) == 5 * STEP_USD == run.total_cost_usd


def test_a_settings_install_alone_stops_too(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session='usd = 0.0100\nstop = "after"'))
    assert command(home, "install").returncode == 0
    with Stub(bash_loop(None)) as stub:
        run_headless(home, stub, "count")
        assert len(stub.requests) == 5
    assert command(home, "uninstall").returncode == 0
    with Stub(bash_loop(6)) as stub:
        run_headless(home, stub, "count")
        assert len(stub.requests) == 7


def test_a_budget_that_advises_lets_work_go_on(home: Home, plugin: Path) -> None:
    rules = 'usd = 0.0050\non_exceed = "advise"'
    home.write(".claude/budget.toml", budget_toml(session=rules))
    with Stub(bash_loop(4)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 5
    message = said(run.messages)
    assert message.count("is used up: $0.0072 of $0.0050") == 1, "said once"


def test_the_model_is_told_of_a_mark_as_a_fact(home: Home, plugin: Path) -> None:
    rules = "usd = 0.0100\nwarn_at = [0.4]"
    home.write(".claude/budget.toml", budget_toml(session=rules))
    with Stub(bash_loop(3)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=plugin)
        bodies = [str(request.body) for request in stub.requests]
    fact = (
        'of the budget "session" of .claude/budget.toml is spent:'
        " $0.0048 of $0.0100 in this session."
    )
    assert [fact in body for body in bodies] == [False, False, True, True]
    assert said(run.messages).count('Budget "session": 48 % is spent') == 1


def test_what_background_requests_cost_is_unattributed_and_counts(home: Home) -> None:
    """A total that the client reports beyond the transcript counts against the budget."""
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(bash_loop(2)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=ROOT)
    facts = status(home)
    assert Decimal(facts["totals"]["usd"]) + Decimal(facts["totals"]["unattributed_usd"]) == (
        run.total_cost_usd
    )
    assert facts["totals"]["unattributed_usd"] == "0.000000"


def test_a_fork_books_the_copied_history_once(home: Home, plugin: Path) -> None:
    with Stub(bash_loop(1)) as stub:
        first = run_headless(home, stub, "count", plugin_dir=plugin)
        fork = ["--resume", first.session_id, "--fork-session"]
        second = run_headless(home, stub, "more", plugin_dir=plugin, args=fork)
        assert len(stub.requests) == 4
    assert second.session_id != first.session_id
    assert second.total_cost_usd == 4 * STEP_USD, "the client's own total includes the history"
    sessions = [row[0] for row in entries(home, "session_id")]
    assert sessions == [first.session_id] * 2 + [second.session_id] * 2
    assert status(home)["totals"]["unattributed_usd"] == "0.000000"


def test_an_overloaded_server_costs_no_step(home: Home, plugin: Path) -> None:
    loop = bash_loop(1)

    def script(request: Request) -> Answer:
        return Answer(http_status=529) if request.index == 1 else loop(request)

    with Stub(script) as stub:
        run = run_headless(home, stub, "count", plugin_dir=plugin)
    assert booked(home) == 2 * STEP_USD == run.total_cost_usd
