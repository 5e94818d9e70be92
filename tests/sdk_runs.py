"""What tests of the Agent SDK adapter share: a home, runs through the real SDK, and the books."""

from collections.abc import AsyncIterable
from decimal import Decimal
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, Message, ResultMessage

from budget import sdk
from budget.ledger import Ledger
from budget.model import PICO, Window
from budget.sessions import by_model
from tests.plugin import ledger
from tests.realclient.client import Home
from tests.realclient.stub import STEP_MODEL, Stub

NO_TRANSCRIPT: dict[str, str | None] = {"no-session-persistence": None}


def options(home: Home, stub: Stub, **more: Any) -> ClaudeAgentOptions:
    """Options of the real client against the stub, in the home's project."""
    env = home.env(stub) | more.pop("env", {})
    return ClaudeAgentOptions(**{"model": STEP_MODEL, "cwd": str(home.project), "env": env, **more})


class Run:
    """One `query` to its end: its messages, and the error that ended it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.error: BaseException | None = None

    @property
    def results(self) -> list[ResultMessage]:
        return [each for each in self.messages if isinstance(each, ResultMessage)]

    @property
    def result(self) -> ResultMessage:
        return self.results[-1]


async def ask(
    home: Home,
    stub: Stub,
    prompt: str | AsyncIterable[dict[str, Any]] = "count",
    *,
    terms: dict[str, Any] | None = None,
    **more: Any,
) -> Run:
    """`terms` are those of `guard`, `more` goes into the options."""
    run = Run()
    try:
        async for message in sdk.query(
            prompt=prompt, options=options(home, stub, **more), **(terms or {})
        ):
            run.messages.append(message)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        run.error = error
    return run


def session_total(books: Ledger, session_id: str) -> tuple[Decimal, Decimal]:
    """(attributed, unattributed) of a session in USD."""
    spend = books.spend(Window(0, None, session_id=session_id))
    return Decimal(spend.picousd) / PICO, Decimal(spend.unattributed_picousd) / PICO


def agrees(home: Home, result: ResultMessage) -> Decimal:
    """Ledger plus unattributed is the client's total, each model is the client's; unattributed."""
    books = ledger(home)
    attributed, unattributed = session_total(books, result.session_id)
    assert attributed + unattributed == exact(result.total_cost_usd or 0)
    spent = by_model(books, result.session_id)
    for model, told in (result.model_usage or {}).items():
        booked = spent[model]
        assert booked.input_tokens == told["inputTokens"]
        assert booked.output_tokens == told["outputTokens"]
        assert booked.cache_read_tokens == told["cacheReadInputTokens"]
        assert booked.cache_write == told["cacheCreationInputTokens"]
        assert booked.web_searches == told["webSearchRequests"]
        assert Decimal(booked.picousd) / PICO == exact(told["costUSD"])
    books.close()
    return unattributed


def exact(usd: float) -> Decimal:
    """The client adds floats: to twelve places."""
    return Decimal(str(usd)).quantize(Decimal("1e-12"))
