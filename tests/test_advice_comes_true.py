"""What is predicted of a cold cache and of a compaction, held to what the client then pays.

The stub bills like the API (`meter`): what a request marks is cached, its beginning is read.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate

import pytest

from budget import advice
from tests.aging import EXPIRED_S, let_pass
from tests.plugin import ROOT, budget_toml, said
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.meter import Meter
from tests.realclient.stub import Answer, Call, Request, Stub, Usage

READ, WRITE, IN, OUT = (Decimal(rate) / 10**6 for rate in ("0.2", "2.5", "2", "10"))
"""Dollars per token of Sonnet 5."""

CONFIG = budget_toml(session="usd = 20") + "[advice]\ncontext_tokens = 50_000\n"
BASH = {"permissions": {"allow": ["Bash(*)"]}}
CENT = Decimal("0.01")
WORK = 20
"""Steps that are made after a compaction."""
SUMMARY = "word " * (advice.SUMMARY_TOKENS * 27 // 10 // 5)


def cents(usd: Decimal) -> Decimal:
    return usd.quantize(CENT)


def paid(used: Usage) -> Decimal:
    cached = used.cache_read * READ + used.cache_5m * WRITE
    return cached + used.input_tokens * IN + used.output_tokens * OUT


def context(used: Usage) -> int:
    """The prompt of a step and its output."""
    return used.input_tokens + used.cache_read + used.cache_5m + used.output_tokens


def reads_and_works(request: Request) -> Answer:
    """To the prompt `read` five steps of large results, to `work` many of small ones."""
    k = request.turn_step
    if "read" in request.prompt and k <= 5:
        commands = [f"yes 'words {k} {number}' | head -c 25000" for number in range(3)]
    elif "work" in request.prompt and k < WORK:
        commands = [f"echo step-{k}"]
    else:
        return Answer("done")
    calls = (Call("Bash", {"command": each, "description": "Say it"}) for each in commands)
    return Answer("on", tuple(calls))


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        made.write(".claude/budget.toml", CONFIG)
        yield made


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def stub(meter: Meter) -> Iterator[Stub]:
    def compacted(request: Request) -> Answer:
        return Answer(f"<summary>{SUMMARY}</summary>")

    with Stub(meter.billing(reads_and_works), compaction=meter.billing(compacted)) as made:
        yield made


def run(home: Home, stub: Stub, prompt: str, *args: str) -> Result:
    return run_headless(home, stub, prompt, plugin_dir=ROOT, settings=BASH, args=args)


def numbers(pattern: str, text: str) -> list[Decimal]:
    """The numbers of a sentence that was said, in its order; `N` stands for each."""
    found = re.search(re.escape(pattern).replace("N", r"\$?([0-9.,]*[0-9])"), text)
    assert found, text
    return [Decimal(each.replace(",", "")) for each in found.groups()]


def said_at_start(run: Result) -> str:
    """What the hook of a resumed session said to the person."""
    hooks = (each for each in run.messages if each.get("subtype") == "hook_response")
    outputs = (each["output"] for each in hooks if each["hook_name"] == "SessionStart:resume")
    return str(json.loads(next(outputs))["systemMessage"])


def test_once_the_cache_has_expired_the_next_prompt_pays_what_the_resume_said(
    home: Home, meter: Meter, stub: Stub
) -> None:
    first = run(home, stub, "read")
    last = stub.requests[-1].usage
    let_pass(home, meter, EXPIRED_S)
    again = run(home, stub, "thanks", "--resume", first.session_id)
    cold = stub.requests[-1].usage
    assert cold.cache_read == 0, "the API has forgotten it"

    text = said_at_start(again)
    (tokens,) = numbers("this session's N tokens: their cache expired", text)
    write, read = numbers("the next prompt pays N for them instead of N.", text)
    assert tokens == context(last)
    assert (write, read) == (cents(tokens * WRITE), (tokens * READ).quantize(CENT / 100))

    # Beyond the context the step pays for the typed prompt with its frame, and for its answer.
    cost = again.total_cost_usd - first.total_cost_usd
    prompt = context(cold) - cold.output_tokens - context(last)
    assert cost == (tokens + prompt) * WRITE + cold.output_tokens * OUT
    assert prompt < 100
    # These are less than half a cent, to which the text is rounded.
    assert cents(cost) == write


def test_a_compaction_costs_and_saves_and_pays_back_as_was_said(home: Home, stub: Stub) -> None:
    """One session is compacted, a fork of it is not, and both make the same steps."""
    first = run(home, stub, "read")
    resume = ("--resume", first.session_id)
    fork = run(home, stub, "work", *resume, "--fork-session")
    without = [each.usage for each in stub.requests[-WORK:]]
    compacted = run(home, stub, "/compact", *resume)
    request = stub.requests[-1].usage
    after = run(home, stub, "work", *resume)
    with_it = [each.usage for each in stub.requests[-WORK:]]

    # The client counts what the stub billed.
    assert fork.total_cost_usd - first.total_cost_usd == sum(map(paid, without))
    assert compacted.total_cost_usd - first.total_cost_usd == paid(request)
    assert after.total_cost_usd - compacted.total_cost_usd == sum(map(paid, with_it))

    text = said(first.messages)
    said_saving, _, _, left, said_cost, said_steps = numbers(
        "/compact saves N per step: of N tokens, N in every step, it leaves about N."
        " It costs about N once and pays for itself after N steps.",
        text,
    )
    # What the request costs is known but for the summary's length, which is a guess of 4,000
    # tokens, and so is what it leaves beside a first step's prompt, one of 10,000: that has room
    # for files, of which this session has read none.
    begun = stub.requests[0].usage
    assert left == begun.cache_5m + advice.KEPT_TOKENS
    anew = with_it[0]
    kept = anew.cache_read + anew.cache_5m - begun.cache_5m
    assert advice.SUMMARY_TOKENS < kept < advice.KEPT_TOKENS

    # System prompt and tools are still in the cache, what follows them is written: it comes to
    # what was said, less the tokens that were guessed too many; the text is rounded to cents.
    assert anew.cache_read > begun.cache_5m * 3 // 4
    cost = paid(request) + anew.cache_read * READ + anew.cache_5m * WRITE
    guessed = (advice.KEPT_TOKENS - kept) * WRITE
    assert cost - CENT <= said_cost <= cost + guessed + CENT

    # Per step: what the context of the fork costs beyond that of the compacted one. Each of the
    # tokens that were guessed too many counts with its read.
    savings = [paid(one) - paid(two) for one, two in zip(without[1:], with_it[1:], strict=True)]
    wrong = (advice.KEPT_TOKENS - kept) * READ
    for saving in savings:
        assert abs(saving - said_saving) <= wrong + Decimal("0.0005")

    # It has paid for itself as soon as was said, or sooner by what was guessed too much: less than
    # one step.
    gone = accumulate(map(paid, without))
    instead = accumulate(map(paid, with_it), initial=paid(request))
    next(instead)
    steps = 1 + [one >= two for one, two in zip(gone, instead, strict=True)].index(True)
    assert guessed < said_saving
    assert said_steps - 1 <= steps <= said_steps
