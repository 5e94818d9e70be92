"""What projection and advice rely on, with the real client (2.1.330, 2026-11-23)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from budget import advice, projection
from budget.model import PICO, Step
from budget.model import Usage as Counts
from budget.pricing import load_table
from tests.realclient.client import Home, run_headless
from tests.realclient.request import blocks, last
from tests.realclient.stub import STEP_MODEL, Answer, Call, Request, Stub, Usage, summary

STEP = Usage(input_tokens=3, output_tokens=400, cache_read=20_000, cache_5m=3_000)
COMPACTION = Usage(input_tokens=5, output_tokens=900, cache_read=22_000, cache_5m=100)


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def three_tools(request: Request) -> Answer:
    if request.turn_step > 3:
        return Answer("done", usage=STEP)
    command = f"yes 'ein Wört' | head -c {request.turn_step * 1_000}"
    call = Call("Bash", {"command": command, "description": "Say it often"})
    return Answer("again", (call, call), STEP)


def allowed(**hooks: Path) -> dict[str, Any]:
    """Settings that let Bash run and write the payload of each event into a file, line by line."""
    table = {
        event: [{"hooks": [{"type": "command", "command": f"cat >> {path}; echo >> {path}"}]}]
        for event, path in hooks.items()
    }
    # The hook's own output would be an answer: `cat` has none.
    return {"permissions": {"allow": ["Bash(*)"]}, "hooks": table}


def payloads(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def boundary(home: Home, session_id: str) -> dict[str, Any]:
    """What the client writes about a compaction."""
    lines = map(json.loads, home.transcript(session_id).read_text().splitlines())
    found = [line for line in lines if line.get("subtype") == "compact_boundary"]
    facts: dict[str, Any] = found[-1]["compactMetadata"]
    return facts


def test_a_batch_tells_the_results_as_the_model_sees_them(home: Home) -> None:
    path = home.root / "batches"
    with Stub(three_tools) as stub:
        run_headless(home, stub, "go", settings=allowed(PostToolBatch=path))
        seen = [blocks(last(request.messages, "user")) for request in stub.requests[1:]]
    told = [projection.bytes_of_results(payload["tool_calls"]) for payload in payloads(path)]
    sizes = [sum(len(block["content"].encode()) for block in each) for each in seen]
    assert told == sizes
    assert len(told) == 3


def test_a_compaction_is_one_request_that_continues_the_conversation(home: Home) -> None:
    path = home.root / "starts"
    settings = allowed(SessionStart=path)
    with Stub(three_tools, compaction=summary(COMPACTION)) as stub:
        run = run_headless(home, stub, "go", settings=settings)
        resume = ["--resume", run.session_id]
        compacted = run_headless(home, stub, "/compact", settings=settings, args=resume)
        run_headless(home, stub, "go on", settings=settings, args=resume)
        step, request, after = stub.requests[3:6]
    assert [each.kind for each in (step, request, after)] == ["step", "compaction", "step"]
    for shared in ("model", "tools", "thinking"):
        assert request.body[shared] == step.body[shared], "the cache of the session is read"
    # The first block of the system prompt is a line about the client, without a mark.
    assert request.body["system"][1:] == step.body["system"][1:] == after.body["system"][1:]

    table = load_table()
    priced = Counts(5, 900, 22_000, 100)
    like = Step("", "", "main", "", "", "", STEP_MODEL, 0, priced)
    cost = Decimal(projection.cost(like, table)) / PICO
    assert compacted.total_cost_usd - run.total_cost_usd == cost, "and only the client counts it"

    context = projection.context_tokens(like._replace(usage=Counts(3, 400, 20_000, 3_000)))
    facts = boundary(home, run.session_id)
    assert facts["preTokens"] == context == 3 + 20_000 + 3_000 + 400
    assert facts["postTokens"] < context
    resumed = next(each for each in payloads(path) if each["source"] == "resume")
    assert resumed["context_tokens"] == context
    assert resumed["prompt_cache_likely_expired"] is False
    recent = [like._replace(usage=Counts(3, 400, 20_000, 3_000))]
    written = Decimal(advice.writing(recent, context, table)) / PICO
    assert Decimal(str(resumed["estimated_cache_write_usd"])) == round(written, 4)
