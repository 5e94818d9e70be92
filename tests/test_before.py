"""With the real client: the step that would pass a limit is not made."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.plugin import ROOT, booked, budget_toml, entries, said, status, without_sensor
from tests.realclient.client import Home, run_headless
from tests.realclient.stub import STEP_USD, Stub, bash_loop, spawn_agents

THREE_AND_A_HALF = "usd = 0.0084"
"""3.5 steps of 0.0024."""


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


@pytest.fixture(params=["sensor", "no sensor"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return ROOT if request.param == "sensor" else without_sensor(tmp_path / "plugin")


@pytest.mark.parametrize("per", ["session", "day"])
def test_steps_of_constant_cost_stop_before_the_limit(home: Home, plugin: Path, per: str) -> None:
    home.write(".claude/budget.toml", budget_toml(**{per: THREE_AND_A_HALF}))
    with Stub(bash_loop(None)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 3
        assert booked(home) == 3 * STEP_USD == run.total_cost_usd
        message = said(run.messages)
        over = {"session": "in this session", "day": "today"}[per]
        assert f"Stopped before the next step: $0.0012 of $0.0084 is left {over}, and" in message
        assert "the step needs up to $0.0024." in message
        assert f'Budget "{per}" in .claude/budget.toml, resets ' in message

        resume = ["--resume", run.session_id]
        again = run_headless(home, stub, "go on", plugin_dir=plugin, args=resume)
        assert len(stub.requests) == 3, "the next prompt does not fit either"
        assert "Not sent: no money was spent" in said(again.messages)


def test_a_limit_of_whole_steps_is_used_to_the_last(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0072"))
    with Stub(bash_loop(None)) as stub:
        run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 3
    assert booked(home) == Decimal("0.0072")


def test_a_budget_smaller_than_one_step_says_so(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(day="usd = 0.0020"))
    with Stub(bash_loop(None)) as stub:
        run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 1, "nothing is known of the first step of all"
        again = run_headless(home, stub, "count", plugin_dir=plugin)
        assert len(stub.requests) == 1
    assert "Stopped: the $0.0020 today are used up ($0.0024 spent)." in said(again.messages)


@pytest.mark.parametrize("agents", [3, 10])
def test_agents_in_the_background_stay_within_a_budget_together(
    home: Home, plugin: Path, agents: int
) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0600"))
    with Stub(spawn_agents(agents, None)) as stub:
        run = run_headless(home, stub, "start them", plugin_dir=plugin)
        made = len(stub.requests)
    assert run.total_cost_usd == made * STEP_USD == booked(home)
    assert run.total_cost_usd <= Decimal("0.0600")
    assert made >= 25 - agents, "what is left is less than what the agents hold"
    assert len(entries(home)) == made
    assert status(home)["budgets"][0]["reserved"] == "0.000000", "nobody is at work any more"


def test_an_agent_needs_room_for_its_first_step(home: Home, plugin: Path) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0060"))
    with Stub(spawn_agents(2, 3)) as stub:
        run = run_headless(home, stub, "start them", plugin_dir=plugin)
    assert run.total_cost_usd <= Decimal("0.0060")
    assert booked(home) == run.total_cost_usd
