"""The harness itself: the real client does what scripts ask; its totals are the stated ones."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from .client import Home, run_headless
from .stub import (
    NO_USAGE,
    STEP_USAGE,
    STEP_USD,
    Answer,
    Request,
    Stub,
    Usage,
    bash_loop,
    done,
    spawn_agents,
    summary,
)
from .terminal import Terminal, have_tmux, open_client

needs_tmux = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def test_a_headless_loop_of_three_is_four_steps_and_costs_four(home: Home) -> None:
    with Stub(bash_loop(3)) as stub:
        run = run_headless(home, stub, "count")
    assert run.exit_code == 0, run.stderr
    assert [(r.kind, r.step, r.turn_step, r.marker) for r in stub.requests] == [
        ("step", k, k, None) for k in (1, 2, 3, 4)
    ]
    assert run.result["result"] == done(3)
    assert run.total_cost_usd == 4 * STEP_USD
    assert home.final_total(run.session_id) == 4 * STEP_USD


def test_a_resume_starts_the_loop_anew_and_keeps_the_total(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        first = run_headless(home, stub, "count", output="json")
        again = run_headless(home, stub, "more", args=["--resume", first.session_id])
    assert [(r.prompt, r.step, r.turn_step) for r in stub.steps()] == [
        ("count", 1, 1),
        ("count", 2, 2),
        ("more", 3, 1),
        ("more", 4, 2),
    ]
    assert (first.total_cost_usd, again.total_cost_usd) == (2 * STEP_USD, 4 * STEP_USD)


def test_three_background_agents_each_run_their_loop(home: Home) -> None:
    with Stub(spawn_agents(3, 2)) as stub:
        run = run_headless(home, stub, "start them")
    per_agent = Counter(r.marker for r in stub.steps() if r.agent_id is not None)
    assert per_agent == {"agent-1": 3, "agent-2": 3, "agent-3": 3}
    # The main thread: the calls, a closing text, and one step per wave of notifications.
    main = [r for r in stub.steps() if r.agent_id is None]
    assert 3 <= len(main) <= 5
    assert run.total_cost_usd == len(stub.steps()) * STEP_USD
    assert sum("subagents" in path.parts for path in home.transcripts()) == 3


def test_an_overloaded_server_costs_an_attempt_and_no_step(home: Home) -> None:
    loop = bash_loop(1)
    with Stub(lambda r: Answer(http_status=529) if r.index == 1 else loop(r)) as stub:
        run = run_headless(home, stub, "count")
    assert [(r.step, r.attempt, r.usage) for r in stub.requests] == [
        (1, 1, NO_USAGE),
        (1, 2, STEP_USAGE),
        (2, 1, STEP_USAGE),
    ]
    assert run.total_cost_usd == 2 * STEP_USD


def test_the_client_prices_every_part_of_the_usage(home: Home) -> None:
    usage = Usage(
        input_tokens=100,
        output_tokens=200,
        cache_read=3_000,
        cache_5m=4_000,
        cache_1h=5_000,
        web_search_requests=2,
        extra={"inference_geo": "us"},
    )
    with Stub(bash_loop(0, usage)) as stub:
        run = run_headless(home, stub, "count")
    in_, out = Decimal(2) / 10**6, Decimal(10) / 10**6
    cache = (3_000 * Decimal("0.1") + 4_000 * Decimal("1.25") + 5_000 * Decimal(2)) * in_
    tokens = 100 * in_ + 200 * out + cache
    assert run.total_cost_usd == tokens * Decimal("1.1") + 2 * Decimal("0.01")


def test_a_failing_script_is_raised_at_the_end_of_the_block(home: Home) -> None:
    def script(request: Request) -> Answer:
        raise LookupError(request.prompt)

    with pytest.raises(LookupError, match="count"), Stub(script) as stub:
        assert run_headless(home, stub, "count").exit_code == 1


def test_a_run_without_an_end_is_killed_and_reported(home: Home) -> None:
    with (
        Stub(lambda _: Answer(delay_s=60)) as stub,
        pytest.raises(TimeoutError, match="ran for 2 s"),
    ):
        run_headless(home, stub, "count", timeout=2)


def test_no_variable_of_the_caller_reaches_the_client(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CODE_EFFORT_LEVEL", "low")
    with Stub(bash_loop(0)) as stub:
        env = home.env(stub)
    assert not {name for name in env if name in os.environ} - {
        "PATH",
        "HOME",
        "TERM",
        "LANG",
        "TMPDIR",
    }
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert env["HOME"] == str(home.home) != os.environ.get("HOME")


@needs_tmux
def test_on_the_screen_a_prompt_compact_and_clear_work(home: Home) -> None:
    with (
        Stub(bash_loop(1), compaction=summary(STEP_USAGE)) as stub,
        open_client(home, stub) as terminal,
    ):
        terminal.submit("[[main]] first")
        terminal.wait_for(done(1))
        terminal.submit("/compact Focus on counting")
        terminal.wait_for("Compacted")
        terminal.submit("second")
        terminal.wait_for(re.compile(f"second.*{done(1)}", re.DOTALL))
        terminal.submit("/clear")
        terminal.wait_gone(done(1))
        terminal.submit("third")
        terminal.wait_for(done(1))
        terminal.close()
        before, after = dict.fromkeys(r.session_id for r in stub.requests)
    seen = [(r.session_id, r.kind, r.marker, r.prompt) for r in stub.requests]
    assert seen == [
        (before, "step", "main", "[[main]] first"),
        (before, "step", "main", "[[main]] first"),
        (before, "compaction", "main", seen[2][3]),
        (before, "step", "main", "second"),
        (before, "step", "main", "second"),
        (after, "step", None, "third"),
        (after, "step", None, "third"),
    ]
    assert "Focus on counting" in str(stub.requests[2].messages)
    assert home.final_total(before) == 5 * STEP_USD
    assert home.final_total(after) == 2 * STEP_USD


@needs_tmux
def test_on_the_screen_background_agents_report_back(home: Home) -> None:
    with Stub(spawn_agents(2, 1)) as stub, open_client(home, stub) as terminal:
        terminal.submit("start them")
        terminal.wait_for(
            re.compile("agent-1. finished.*noted|noted.*agent-1. finished", re.DOTALL)
        )
        stub.wait_until(lambda _: len([r for r in stub.steps() if r.agent_id]) == 4)
    assert {r.marker for r in stub.steps()} == {None, "agent-1", "agent-2"}


@needs_tmux
def test_a_text_that_never_comes_is_reported_with_the_screen(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    with Terminal(["printf", "%s", "só; far"], cwd=tmp_path, env=env) as terminal:
        terminal.wait_for("só; far")
        with pytest.raises(TimeoutError, match=r"(?s)not shown 'more'.*só; far"):
            terminal.wait_for("more", timeout=0.1)
        assert terminal.ended
