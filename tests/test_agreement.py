"""The ledger agrees with the client's own total, to the cent, in every way that sessions go.

Parallel tools, agents, agents of a workflow, a resume, a compaction, a title and a fork; headless
and on the screen; with nothing but the plugin, and with its sensor switched off. Every request
costs the same, so the truth is how many the API was asked.
"""

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.plugin import ROOT, entries, status, without_sensor
from tests.realclient.client import Home, run_headless
from tests.realclient.scripts import agent, workflow
from tests.realclient.stub import (
    NOTIFICATION,
    STEP_USAGE,
    STEP_USD,
    Answer,
    Call,
    Request,
    Stub,
    bash_loop,
    summary,
    title,
)
from tests.realclient.terminal import have_tmux, open_client

needs_tmux = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")
ALLOWED = {"permissions": {"allow": ["Workflow", "Bash"]}}
COUNT = bash_loop(2)


def work(request: Request) -> Answer:
    """What the prompt's word asks for; agents count with two steps and a closing one."""
    if request.marker:
        return COUNT(request)
    calls: dict[str, tuple[Call, ...]] = {
        "tools": tuple(Call("Bash", {"command": f"echo {k}"}) for k in range(3)),
        "agents": (agent("agent-1"), agent("agent-2")),
        "workflow": (workflow(2),),
    }
    asked = calls.get(request.prompt.split()[-1]) if request.turn_step == 1 else None
    if asked:
        return Answer(f"doing {request.prompt}", asked, STEP_USAGE)
    return Answer(f"did {request.prompt[:20]}", usage=STEP_USAGE)


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True, settings=ALLOWED) as made:
        yield made


@pytest.fixture(params=["with the sensor", "without the sensor"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return ROOT if request.param == "with the sensor" else without_sensor(tmp_path / "plugin")


def stub() -> Stub:
    """Charges for compactions and titles as for steps."""
    return Stub(work, compaction=summary(STEP_USAGE), background=title(STEP_USAGE))


def env_with_titles(home: Home, api: Stub) -> dict[str, str]:
    env = home.env(api)
    del env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]  # it keeps titles from being asked
    return env


def counts(api: Stub) -> tuple[int, int]:
    """How many requests were steps, and how many left no trace."""
    steps = sum(request.kind == "step" for request in api.requests)
    return steps, len(api.requests) - steps


def assert_agreement(home: Home, api: Stub, total: Decimal | None, sensed: bool) -> None:
    """`total` is what the client counted of all its sessions."""
    steps, others = counts(api)
    assert total == (steps + others) * STEP_USD
    told = status(home)["totals"]
    assert Decimal(told["usd"]) == steps * STEP_USD
    assert total - Decimal(told["usd"]) == others * STEP_USD, "the requests that leave no trace"
    if sensed:
        assert Decimal(told["unattributed_usd"]) == others * STEP_USD


def test_headless_sessions_agree_with_the_client(home: Home, plugin: Path) -> None:
    with stub() as api:
        env = env_with_titles(home, api)

        def go(prompt: str, *args: str) -> tuple[str, Decimal]:
            run = run_headless(home, api, prompt, plugin_dir=plugin, env=env, args=args)
            assert run.exit_code == 0, run.stderr
            return run.session_id, run.total_cost_usd

        session, _ = go("do tools")
        resume = ("--resume", session)
        go("do agents", *resume)
        go("do workflow", *resume)
        go("/compact", *resume)
        _, before = go("do tools", *resume)
        fork, total = go("do tools", *resume, "--fork-session")
        assert fork != session
        agents = {request.agent_id for request in api.steps() if request.agent_id}
        assert len(agents) == 4
        assert counts(api)[1] >= 1
        # A fork's total begins with its origin's.
        assert home.final_total(session) == before
        assert_agreement(home, api, total, plugin == ROOT)


@needs_tmux
def test_sessions_on_the_screen_agree_with_the_client(home: Home, plugin: Path) -> None:
    with stub() as api:
        env = env_with_titles(home, api)
        with open_client(home, api, plugin_dir=plugin, env=env) as screen:
            for word, agents in (("tools", 0), ("agents", 2), ("workflow", 4)):
                screen.submit(f"do {word}")
                screen.wait_for(re.compile(f"❯ do {word}.*did", re.DOTALL))
                wait_for_agents(api, agents)
            screen.submit("/compact")
            screen.wait_for("Compacted")
            screen.submit("now tools")
            screen.wait_for(re.compile("❯ now tools.*did", re.DOTALL))
            # A client that is hung up may lose the lines it has not written yet.
            wait_for_entries(home, api)
        session = entries(home, "session_id")[0][0]
        resume = ["--resume", session]
        with open_client(home, api, plugin_dir=plugin, env=env, args=resume) as screen:
            screen.submit("again tools")
            screen.wait_for(re.compile("❯ again tools.*did", re.DOTALL))
            wait_for_entries(home, api)
        # What the last requests on a screen cost is told when the session goes on.
        run_headless(home, api, "do nothing", plugin_dir=plugin, env=env, args=resume)
        before = home.final_total(session)
        fork = [*resume, "--fork-session"]
        with open_client(home, api, plugin_dir=plugin, env=env, args=fork) as screen:
            screen.submit("elsewhere tools")
            screen.wait_for(re.compile("❯ elsewhere tools.*did", re.DOTALL))
            wait_for_entries(home, api)
        forked = entries(home, "session_id")[-1][0]
        assert forked != session
        last = ("--resume", forked)
        total = run_headless(home, api, "do nothing", plugin_dir=plugin, env=env, args=last)
        assert home.final_total(session) == before
        assert len({request.agent_id for request in api.steps() if request.agent_id}) == 4
        assert {request.kind for request in api.requests} == {"step", "compaction", "background"}
        assert_agreement(home, api, total.total_cost_usd, plugin == ROOT)


def wait_for_agents(api: Stub, count: int) -> None:
    """Until so many agents are done, and the main thread has heard of the last."""

    def done(requests: list[Request]) -> bool:
        answers = [each.answer for each in requests if each.agent_id]
        closed = sum(bool(answer and not answer.calls) for answer in answers)
        told = requests[-1].agent_id is None and NOTIFICATION in str(requests[-1].body)
        return closed == count and (told or not count)

    api.wait_until(done)


def wait_for_entries(home: Home, api: Stub) -> None:
    until = time.monotonic() + 20
    while len(entries(home)) < counts(api)[0]:
        assert time.monotonic() < until, (entries(home), counts(api))
        time.sleep(0.05)
