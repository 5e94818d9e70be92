"""Budgets through the real Agent SDK and the real client, against the loopback stub.

After every run the ledger, with what is unattributed, is the client's total, and each model is the
client's.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    HookMatcher,
    ProcessError,
    ResultMessage,
)

from budget import result, sdk, sessions
from budget.errors import ConfigError
from budget.sdk import BudgetExceeded, guard
from tests.plugin import budget_toml, command, entries, ledger
from tests.realclient import answer
from tests.realclient import stub as stub_module
from tests.realclient.client import Home
from tests.realclient.stub import (
    STEP_USAGE,
    STEP_USD,
    Answer,
    Call,
    Request,
    Stub,
    Usage,
    bash_loop,
    spawn_agents,
)
from tests.sdk_runs import NO_TRANSCRIPT, agrees, ask, exact, options, session_total

HAIKU = "claude-haiku-4-5"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    # The SDK hands its own environment on to the client.
    monkeypatch.delenv("CLAUDE_CONFIG_DIR")
    with Home(git=True) as made:
        yield made


@pytest.fixture(params=["transcript", "no transcript"])
def extra(request: pytest.FixtureRequest) -> dict[str, str | None]:
    return NO_TRANSCRIPT if request.param == "no transcript" else {}


def parallel_tools(request: Request) -> Answer:
    if request.turn_step > 2:
        return Answer("done", usage=STEP_USAGE)
    calls = tuple(
        Call("Bash", {"command": f"echo {k}", "description": f"Say {k}"}) for k in range(3)
    )
    return Answer("three at once", calls, Usage(20, 300, 4_000, 500, 250))


# -- counting --------------------------------------------------------------------------------------


def test_parallel_tools_are_one_step(home: Home, extra: dict[str, str | None]) -> None:
    with Stub(parallel_tools) as stub:
        run = asyncio.run(ask(home, stub, terms={"user": "ana"}, extra_args=extra))
        assert len(stub.requests) == 3
    assert run.error is None
    assert agrees(home, run.result) == 0
    assert {row[0] for row in entries(home, "user")} == {"ana"}
    steps = [row for row in entries(home, "message_id, responses") if row[1]]
    assert len(steps) == 3
    assert bool(home.transcripts()) is not bool(extra)


def test_subagents_of_another_model(home: Home, extra: dict[str, str | None]) -> None:
    """A model mix: agents work on Haiku; the stream tells only part of their steps."""
    spawn = spawn_agents(2, 2, background=False)

    def script(request: Request) -> Answer:
        answer = spawn(request)
        calls = tuple(
            call._replace(input={**call.input, "model": "haiku"}) if call.name == "Agent" else call
            for call in answer.calls
        )
        return answer._replace(calls=calls)

    with Stub(script) as stub:
        run = asyncio.run(ask(home, stub, extra_args=extra))
        models = {request.model for request in stub.requests}
    assert run.error is None
    assert len(models) == 2
    assert set(run.result.model_usage or {}) == models
    assert agrees(home, run.result) == 0


def test_background_agents(home: Home) -> None:
    with Stub(spawn_agents(2, 2)) as stub:
        run = asyncio.run(ask(home, stub))
        made = len(stub.requests)
    assert run.error is None
    assert agrees(home, run.result) == 0
    assert len(entries(home)) == made


def test_a_resumed_session_goes_on_in_the_books(home: Home) -> None:
    async def both(stub: Stub) -> list[ResultMessage]:
        first = await ask(home, stub)
        second = await ask(home, stub, resume=first.result.session_id)
        assert first.error is second.error is None
        return [first.result, second.result]

    with Stub(bash_loop(1)) as stub:
        first, second = asyncio.run(both(stub))
    assert first.session_id == second.session_id
    assert second.total_cost_usd == pytest.approx(float(4 * STEP_USD))
    assert agrees(home, second) == 0


def test_streaming_input_has_a_result_for_each_turn(home: Home) -> None:
    async def prompts() -> AsyncIterator[dict[str, Any]]:
        for text in ("count", "again", "once more"):
            yield {"type": "user", "message": {"role": "user", "content": text}}
            await asyncio.sleep(1.5)

    with Stub(bash_loop(1)) as stub:
        run = asyncio.run(ask(home, stub, prompts()))
        made = len(stub.requests)
    assert run.error is None
    assert len(run.results) == 3
    assert exact(run.result.total_cost_usd or 0) == made * STEP_USD
    assert agrees(home, run.result) == 0


def test_a_client_with_several_prompts(home: Home, extra: dict[str, str | None]) -> None:
    async def talk(stub: Stub) -> list[ResultMessage]:
        results = []
        async with sdk.Client(options(home, stub, extra_args=extra), user="bo") as client:
            for prompt in ("count", "again"):
                await client.query(prompt)
                async for message in client.receive_response():
                    if isinstance(message, ResultMessage):
                        results.append(message)
                        agrees(home, message)
        return results

    with Stub(bash_loop(2)) as stub:
        results = asyncio.run(talk(stub))
        assert len(stub.requests) == 6
    assert len(results) == 2
    assert agrees(home, results[-1]) == 0


def test_an_overloaded_server_costs_nothing(home: Home, extra: dict[str, str | None]) -> None:
    loop = bash_loop(2)

    def script(request: Request) -> Answer:
        return Answer(http_status=529) if request.index == 2 else loop(request)

    with Stub(script) as stub:
        run = asyncio.run(ask(home, stub, extra_args=extra))
    assert run.error is None
    assert agrees(home, run.result) == 0
    assert exact(run.result.total_cost_usd or 0) == 3 * STEP_USD


def test_a_refused_request_keeps_what_was_spent_before(home: Home) -> None:
    def script(request: Request) -> Answer:
        return Answer(http_status=400) if request.turn_step == 3 else bash_loop(5)(request)

    with Stub(script) as stub:
        run = asyncio.run(ask(home, stub))
    assert isinstance(run.error, ProcessError), "the SDK's own error, not ours"
    assert agrees(home, run.result) == 0
    assert exact(run.result.total_cost_usd or 0) == 2 * STEP_USD


def test_a_stream_that_breaks_is_counted_and_the_difference_listed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client counts a broken answer, and asks again. Its transcript has the placeholder."""
    whole, answers = answer.stream_body, iter(range(1, 100))

    def broken(*arguments: Any) -> bytes:
        body = whole(*arguments)
        return body[: len(body) // 2] if next(answers) == 2 else body

    monkeypatch.setattr(stub_module, "stream_body", broken)
    with Stub(bash_loop(2)) as stub:
        run = asyncio.run(ask(home, stub, terms={"user": "ana"}))
    assert run.error is None
    books = ledger(home)
    attributed, unattributed = session_total(books, run.result.session_id)
    assert attributed + unattributed == exact(run.result.total_cost_usd or 0)
    told = [(each.user, each.what, each.client - each.steps) for each in result.differences(books)]
    if unattributed:
        assert ("ana", "usd", int(unattributed * 10**12)) in told
    else:
        assert told == []


def test_a_result_with_less_output_than_the_steps_is_listed(home: Home) -> None:
    """The steps are facts, the total is the client's: both stay, and the difference is told."""
    with Stub(bash_loop(1)) as stub:
        run = asyncio.run(ask(home, stub, terms={"user": "ana"}))
    agrees(home, run.result)
    books = ledger(home)
    session, model = run.result.session_id, "claude-sonnet-5"
    assert result.differences(books) == []
    with books.transaction():
        books.write("DELETE FROM model_totals")
        lower = {"inputTokens": 400, "outputTokens": 150, "costUSD": 0.0023}
        message = {"type": "result", "session_id": session, "modelUsage": {model: lower}}
        told = result.result_of({**message, "total_cost_usd": 0.0023})
        assert told is not None
        result.note(books, told, 0)
    assert [(d.what, d.steps, d.client) for d in result.differences(books)] == [
        ("output_tokens", 400, 150),
        ("usd", 4_800_000_000, 2_300_000_000),
    ]
    assert session_total(books, session) == (2 * STEP_USD, Decimal(0)), "what was booked stays"


# -- failing, being cancelled ----------------------------------------------------------------------


def test_a_run_that_is_cancelled_keeps_what_was_spent(
    home: Home, extra: dict[str, str | None]
) -> None:
    """After a cancellation the client goes on until the SDK ends it, some seconds later: what it
    still does stands in its transcript, and without one nowhere."""
    seen: set[str | None] = set()

    async def cancelled(stub: Stub) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                terms = options(home, stub, extra_args=extra)
                async for message in sdk.query(prompt="count", options=terms, user="ana"):
                    if isinstance(message, AssistantMessage):
                        seen.add(message.message_id)

    with Stub(bash_loop(None, delay_s=0.3)) as stub:
        asyncio.run(cancelled(stub))
        answered = len(stub.requests)
    booked = {row[0] for row in entries(home)}
    assert seen <= booked
    assert len(seen) >= 2
    if not extra:
        assert answered - 1 <= len(booked) <= answered, "all but the one in the making"


# The SDK closes what is below its own `query` only when it is collected (0.2.187).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_that_is_left_early_keeps_what_was_spent(home: Home) -> None:
    async def left_early(stub: Stub) -> None:
        messages = sdk.query(prompt="count", options=options(home, stub))
        async for message in messages:
            if isinstance(message, AssistantMessage) and len(stub.requests) >= 3:
                break
        await messages.aclose()

    with Stub(bash_loop(None, delay_s=0.2)) as stub:
        asyncio.run(left_early(stub))
        answered = len(stub.requests)
        assert len(entries(home)) >= 2
        # What the client did until it had ended stands in its transcript.
        assert command(home, "import").returncode == 0
        assert answered - 1 <= len(entries(home)) <= len(stub.requests)


def test_an_interrupted_turn_agrees(home: Home) -> None:
    async def interrupt(stub: Stub) -> ResultMessage:
        async with sdk.Client(options(home, stub)) as client:
            await client.query("count")
            async for message in client.receive_response():
                if isinstance(message, AssistantMessage) and len(stub.requests) == 2:
                    await client.interrupt()
                if isinstance(message, ResultMessage):
                    return message
        raise AssertionError("no result")

    with Stub(bash_loop(None, delay_s=0.3)) as stub:
        run = asyncio.run(interrupt(stub))
    assert run.subtype == "error_during_execution"
    agrees(home, run)


# -- stopping --------------------------------------------------------------------------------------


def test_a_budget_stops_the_run_and_says_so(home: Home, extra: dict[str, str | None]) -> None:
    home.write(".claude/budget.toml", budget_toml(session='usd = 0.0060\nstop = "after"'))
    with Stub(bash_loop(None)) as stub:
        run = asyncio.run(ask(home, stub, terms={"user": "ana"}, extra_args=extra))
        assert len(stub.requests) == 3
    assert isinstance(run.error, BudgetExceeded)
    assert str(run.error).startswith(
        'Budget "session" is used up: $0.0072 of $0.0060 in this session (120 %)'
    )
    assert [(b.name, b.limit, b.spent) for b in run.error.budgets] == [
        ("session", "0.006000", "0.007200")
    ]
    assert (run.error.user, run.error.cost_usd, run.error.started) == ("ana", "0.007200", True)
    assert run.error.session_id == run.result.session_id
    agrees(home, run.result)


def test_a_step_that_would_not_fit_stops_the_run(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0060"))
    with Stub(bash_loop(None)) as stub:
        run = asyncio.run(ask(home, stub))
        assert len(stub.requests) == 2
    assert isinstance(run.error, BudgetExceeded)
    # On a busy disk the second step is not in the transcript yet when its hook asks.
    assert re.match(
        r"Stopped before the next step: \$0\.0012 of \$0\.0060 is left in this session"
        r"( beside \$0\.0024 held for steps under way)?, and the step needs up to \$0\.0024\.",
        str(run.error),
    )
    assert [(b.name, b.limit, b.spent) for b in run.error.budgets] == [
        ("session", "0.006000", "0.004800")
    ]


def test_a_hook_stops_what_the_client_does_not_know(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="steps = 2"))
    with Stub(bash_loop(None)) as stub:
        run = asyncio.run(ask(home, stub))
        assert len(stub.requests) == 2
        assert isinstance(run.error, BudgetExceeded)
        assert run.result.terminal_reason == "hook_stopped"
        again = asyncio.run(ask(home, stub))
        assert len(stub.requests) == 2, "the client is not started"
    assert isinstance(again.error, BudgetExceeded)
    assert again.messages == []
    assert not again.error.started
    assert str(again.error).startswith('Nothing was sent. Budget "day" is used up: 2 of 2 steps')


def test_budgets_of_the_program_hold_beside_the_configs(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="usd = 1"))
    terms = {"budgets": {"call": {"per": "session", "steps": 2}}}
    with Stub(bash_loop(None)) as stub:
        run = asyncio.run(ask(home, stub, terms=terms))
        assert len(stub.requests) == 2
    assert isinstance(run.error, BudgetExceeded)
    assert [b.name for b in run.error.budgets] == ["call"]
    assert run.error.budgets[0].source.key == "budgets.call"
    assert "set in the program's budgets" in str(run.error)


def test_budgets_of_the_program_are_validated_by_the_same_rules(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"budgets\.day\.per: expected session, hour, day"):
        guard(ClaudeAgentOptions(cwd=home.project), budgets={"day": {"per": "dya", "usd": 1}})


def test_a_lower_limit_of_the_caller_wins(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="usd = 1"))
    env = {"HOME": str(home.home), "BUDGET_HOME": str(home.state)}

    def limit(theirs: float | None) -> float | None:
        made = ClaudeAgentOptions(cwd=home.project, env=env, max_budget_usd=theirs)
        return guard(made).max_budget_usd

    assert (limit(None), limit(0.5), limit(2.0)) == (1.0, 0.5, 1.0)
    with Stub(bash_loop(None)) as stub:
        run = asyncio.run(ask(home, stub, max_budget_usd=0.004))
    assert isinstance(run.error, BudgetExceeded)
    assert run.error.budgets == []
    assert str(run.error) == (
        "The client stopped at max_budget_usd of the options. This conversation cost $0.0048."
    )


def test_a_client_is_told_before_a_prompt_is_sent(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="steps = 2"))

    async def talk(stub: Stub) -> None:
        async with sdk.Client(options(home, stub)) as client:
            await client.query("count")
            with pytest.raises(BudgetExceeded) as stopped:
                async for _ in client.receive_response():
                    pass
            assert stopped.value.started
            with pytest.raises(BudgetExceeded) as blocked:
                await client.query("again")
            assert not blocked.value.started
        with pytest.raises(BudgetExceeded):
            await sdk.Client(options(home, stub)).connect()

    with Stub(bash_loop(None)) as stub:
        asyncio.run(talk(stub))
        assert len(stub.requests) == 2


def test_hooks_of_the_caller_are_kept(home: Home) -> None:
    seen: list[str] = []

    async def mine(payload: Any, tool_use_id: str | None, context: Any) -> Any:
        seen.append(payload["hook_event_name"])
        return {}

    hooks: Any = {"Stop": [HookMatcher(hooks=[mine])], "PostToolUse": [HookMatcher(hooks=[mine])]}
    with Stub(bash_loop(1)) as stub:
        run = asyncio.run(ask(home, stub, hooks=hooks))
    assert run.error is None
    assert seen == ["PostToolUse", "Stop"]
    assert agrees(home, run.result) == 0


def test_guarded_options_work_with_the_functions_of_the_sdk(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our `query` the hooks book and stop; the result is not compared.

    No event of the session follows the one that stops it. Where the client had not written the last
    step by then, the next that begins books it.
    """
    import claude_agent_sdk

    monkeypatch.setattr(sessions, "CATCHES_UP_MS", -1)

    home.write(".claude/budget.toml", budget_toml(day="steps = 2"))

    async def plain(stub: Stub) -> None:
        guarded = guard(options(home, stub), user="ana")
        async for _ in claude_agent_sdk.query(prompt="count", options=guarded):
            pass

    with Stub(bash_loop(None)) as stub:
        asyncio.run(plain(stub))
        assert len(stub.requests) == 2
        with pytest.raises(BudgetExceeded):
            guard(options(home, stub), user="ana")
    assert entries(home, "user") == [("ana",)] * 2
