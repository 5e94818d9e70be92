"""Our price of a step is the client's own `costUSD`, for every model it has a price for.

The real client asks the stub, which states a usage; the client says what that cost, and we book the
transcript it wrote. One process of the client works through many cells, a prompt each: a cell is a
requested model and the answer to one request, its cost the growth of `modelUsage`.

One difference is deliberate (`test_what_the_client_has_no_price_for_it_charges_as_its_default`).
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any, NamedTuple, Self

import pytest

from budget import hook
from budget.model import PICO, Window
from budget.pricing import load_table, resolve
from tests import plugin
from tests.realclient.client import Home, client_argv
from tests.realclient.stub import NO_USAGE, Answer, Request, Stub, Usage

TABLE = load_table()
PRICED = sorted(
    model for model, periods in TABLE.models.items() if periods[0]["source"].startswith("client ")
)
"""The models of the table that the client has a price for; `test_..._charges_as_its_default`
has the others."""

AS_REQUESTED = {
    # By their usual ids the client asks Opus 5.5 in their place, and says so in its transcript.
    "claude-opus-4-0": "claude-opus-4",
    "claude-opus-4-1": "claude-opus-4-1@20250805",
}

# The client adds floats; a thousandth of a micro-dollar is far above what that loses.
NOISE_USD = Decimal("1e-9")

CLIENTS = 3
"""How many clients work at the same time; half of it they wait."""
CLIENT_S = 200
"""When a client that does not end by itself is killed."""

pytestmark = pytest.mark.timeout(240)  # the first test waits for all clients


class Cell(NamedTuple):
    """One comparison: what is asked for, and what is answered."""

    requested: str
    kind: str
    answer: Answer

    @property
    def name(self) -> str:
        return f"{self.requested}: {self.kind}"


class Observed(NamedTuple):
    """What one cell cost; models by the name the client has for them, without free ones."""

    client: dict[str, Decimal]
    ours: dict[str, Decimal | None]
    """None: a model without a price."""
    bound: Decimal
    """What budgets count for what has no price."""
    bases: set[str]
    """On what the client founds its prices: `list`, or `unknown`."""

    @property
    def difference(self) -> Decimal:
        """The largest one of any model; a price that is missing is a difference of the whole."""
        return max(
            abs((self.ours.get(model) or Decimal()) - self.client.get(model, Decimal()))
            for model in {*self.client, *self.ours}
        )

    @property
    def agrees(self) -> bool:
        return None not in self.ours.values() and self.difference < NOISE_USD


class Session(NamedTuple):
    """One process of the client, to its end."""

    cells: dict[str, Observed]
    client_total: Decimal
    """By its last result."""
    booked: Decimal
    unattributed: Decimal
    unpriced: int


# -- the kinds of usage ----------------------------------------------------------------------------

SOME = Usage(1_000, 200)
ALL = Usage(10_000, 2_000, 30_000, 4_000, 5_000, web_search_requests=3)


class Early(Usage):
    """Counts the prompt at the start of the answer and says nothing of it at the end."""

    def body(self) -> dict[str, Any]:
        return {"output_tokens": self.output_tokens}


class Late(Usage):
    """Counts the prompt at the end of the answer only."""

    def placeholder(self) -> dict[str, Any]:
        return NO_USAGE.placeholder()


class Corrected(Usage):
    """Counts the prompt too high at the start of the answer."""

    def placeholder(self) -> dict[str, Any]:
        return self._replace(input_tokens=2 * self.input_tokens).body()


class Zeroed(Usage):
    """Counts the prompt at the start of the answer and gives it as zero at the end."""

    def body(self) -> dict[str, Any]:
        return NO_USAGE._replace(output_tokens=self.output_tokens).body()


def said(usage: Usage, **extra: object) -> Answer:
    """An answer with this usage and further keys of it; None takes a key out."""
    return Answer(usage=usage._replace(extra={**usage.extra, **extra}))


def split(total: int | None, five_minutes: int | None, hour: int | None) -> Answer:
    """Cache writes whose total and split do not agree; None leaves a count out."""
    parts = {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": hour}
    told = {key: count for key, count in parts.items() if count is not None}
    return said(Usage(), cache_creation_input_tokens=total, cache_creation=told)


def message(usage: Usage, **extra: object) -> dict[str, Any]:
    """One iteration: a request of its own that the API made within a step."""
    return {"type": "message", **usage._replace(extra=extra).body()}


def advisor(model: str | None, usage: Usage, **extra: object) -> dict[str, Any]:
    """One iteration of another model."""
    return message(usage, type="advisor_message", model=model, **extra)


def iterated(parts: Sequence[Usage], *advisors: dict[str, Any], **extra: object) -> Answer:
    """A step of several messages, which add up to it, and of advisors, which do not count."""
    total = Usage(*(reduce(add, counts) for counts in zip(*(p[:6] for p in parts), strict=True)))
    return said(total, iterations=[*map(message, parts), *advisors], **extra)


UNSPLIT: dict[str, object] = {"cache_creation": None}
BY_ANOTHER = "answered by another model"
FAST_US: dict[str, object] = {"speed": "fast", "inference_geo": "us"}

KINDS = {
    "input": said(Usage(10_000)),
    "output": said(Usage(output_tokens=10_000)),
    "cache reads": said(Usage(cache_read=10_000)),
    "5-minute writes": said(Usage(cache_5m=10_000)),
    "1-hour writes": said(Usage(cache_1h=10_000)),
    "both writes": said(Usage(cache_5m=4_000, cache_1h=6_000)),
    "writes without a split": said(Usage(cache_5m=10_000), **UNSPLIT),
    "a split larger than its total": split(10_000, 9_000, 9_000),
    "web searches": said(Usage(1, web_search_requests=3)),
    "all": said(ALL),
    "us": said(ALL, inference_geo="us"),
    "fast": said(ALL, speed="fast"),
    "fast, us": said(ALL, **FAST_US),
    "several messages": iterated([SOME, ALL]),
    "an advisor": iterated([SOME], advisor("claude-fable-5-2", ALL)),
    "everything together": iterated([ALL, SOME], advisor("claude-fable-5-2", ALL), **FAST_US),
}
IN_DEPTH = ("claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-4-6")
DEPTHS = {
    "1-hour writes larger than the total": split(10_000, 0, 20_000),
    "a split smaller than its total": split(10_000, 2_000, 3_000),
    "a split without a total": split(0, 5_000, 6_000),
    "not us, not fast": said(ALL, inference_geo="global", speed="standard"),
    "batch": said(ALL, service_tier="batch"),
    "priority": said(ALL, service_tier="priority"),
    "prompt counted at the start": Answer(usage=Early(*ALL)),
    "prompt counted at the end": Answer(usage=Late(*ALL)),
    "prompt corrected": Answer(usage=Corrected(*ALL)),
    "prompt zero at the end": Answer(usage=Zeroed(*ALL._replace(web_search_requests=0))),
    BY_ANOTHER: said(ALL)._replace(model="claude-haiku-4-5-20251001"),
    "one message": iterated([SOME]),
    "messages less than the whole": said(ALL, iterations=[message(SOME), message(SOME)]),
    "messages more than the whole": said(SOME, iterations=[message(ALL), message(ALL)]),
    "searches of several messages": iterated([ALL, ALL], **FAST_US),
    "an advisor's 1-hour writes": iterated([SOME], advisor("claude-fable-5", Usage(cache_1h=900))),
    "an advisor's writes without a split": iterated(
        [SOME], advisor("claude-fable-5", Usage(cache_5m=900), **UNSPLIT)
    ),
    "an advisor's own us and fast": iterated(
        [SOME], advisor("claude-fable-5-2", SOME, inference_geo="us", speed="fast")
    ),
    "an advisor's own searches": iterated(
        [SOME], advisor("claude-fable-5-2", Usage(3_000, web_search_requests=2))
    ),
    "an advisor of the same model": iterated([SOME], advisor("claude-opus-5-5", ALL)),
    "two advisors": iterated(
        [SOME, ALL], advisor("claude-fable-5", ALL), advisor("claude-opus-5", SOME)
    ),
    "an advisor twice": iterated(
        [SOME], advisor("claude-fable-5", ALL), advisor("claude-fable-5", SOME)
    ),
    "a compaction": iterated([SOME], message(ALL, type="compaction")),
    "another model's fallback": iterated(
        [SOME], message(ALL, type="fallback_message", model="claude-opus-4-8")
    ),
}


def long_kinds(above: int) -> dict[str, Answer]:
    """Prompts around the last count that is still priced at the ordinary rates."""
    half = above * 6 // 10
    return {
        "just below": said(Usage(above - 1, 200)),
        "at the threshold": said(Usage(above - 6_000, 200, 3_000, 2_000, 1_000)),
        "just above": said(Usage(above + 1, 200)),
        "just above by cache reads": said(Usage(1, 200, cache_read=above)),
        "just above by writes": said(Usage(1, 200, cache_5m=above - 1_000, cache_1h=1_000)),
        "everything, long, fast, us": said(ALL._replace(input_tokens=above), **FAST_US),
        "messages long together": iterated([Usage(half, 100), Usage(half, 100)]),
        "one message of two long": iterated([Usage(2 * half, 100), ALL], inference_geo="us"),
    }


def long_depths(above: int) -> dict[str, Answer]:
    """The same for prompts told of in iterations, where each of them may be long or not."""
    half = above * 6 // 10
    writes = Usage(1_000, 200, cache_5m=half)
    hour = {"cache_creation": {"ephemeral_1h_input_tokens": half}}
    return {
        "just above by writes without a split": said(Usage(1, 200, cache_5m=above), **UNSPLIT),
        "short, with much output": said(Usage(10, above + 10)),
        "one message, long": iterated([Usage(above + 1, 200)]),
        "messages that do not add up": said(
            Usage(2 * half, 200),
            iterations=[message(Usage(half, 100)), message(Usage(half - 1, 100))],
        ),
        "1-hour writes told of the whole only": said(
            Usage(2_000, 400, cache_5m=half // 2, cache_1h=2 * half - half // 2),
            iterations=[message(writes, **UNSPLIT), message(writes, **UNSPLIT)],
        ),
        "a message with a split, a long one without": said(
            Usage(2_000 + above, 200, cache_5m=half, cache_1h=half),
            iterations=[
                message(Usage(1_000, 100, cache_5m=half // 2, cache_1h=half - half // 2)),
                message(Usage(1_000 + above, 100, cache_5m=half), **UNSPLIT),
            ],
        ),
        "a split that is larger than its total": said(
            Usage(2_000, 400, cache_5m=half, cache_1h=half),
            iterations=[message(writes, **hour), message(writes)],
        ),
        "an advisor with a long prompt": iterated(
            [Usage(half, 100), Usage(half, 100)],
            advisor("claude-haiku-5-5", Usage(100_001, 100)),
            advisor("claude-haiku-5-5", Usage(100_000, 100)),
        ),
    }


def cells_of(model: str) -> Iterator[Cell]:
    requested = AS_REQUESTED.get(model, model)
    tiers = [period["long"]["above"] for period in TABLE.models[model] if "long" in period]
    above = max(tiers, default=200_000)
    kinds, long = KINDS, long_kinds(above)
    if model in IN_DEPTH:
        kinds, long = kinds | DEPTHS, long | long_depths(above)
    for kind, answer in kinds.items():
        yield Cell(requested, kind, answer)
    for kind, answer in long.items():
        # By this name every model has room for such a prompt, and the client goes on.
        yield Cell(f"{requested}[1m]", kind, answer)


# -- ids -------------------------------------------------------------------------------------------

IDS = """
claude-3-5-haiku-20241022 claude-3-5-haiku-latest claude-3-5-sonnet-20241022
claude-3-7-sonnet-20250219 claude-sonnet-4 claude-sonnet-4-20250514 claude-sonnet-4-5-20250929
claude-sonnet-4-5-20250929[1m] claude-opus-4-5-20251101 claude-haiku-4-5-20251001
claude-opus-5-20260701 claude-opus-5-5-latest
claude-opus-4-0 claude-opus-4-20250514 claude-opus-4-1 claude-opus-4-1-20250805
opus sonnet haiku fable opus[1m] opusplan
us.anthropic.claude-sonnet-4-5-20250929-v1:0 global.anthropic.claude-opus-4-5-20251101-v1:0
us.anthropic.claude-opus-4-1-20250805-v1:0 us.anthropic.claude-opus-4-20250514-v1:0
us.anthropic.claude-haiku-5-5 eu.anthropic.claude-opus-4-6-v1
anthropic.claude-3-5-sonnet-20241022-v2:0
arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0
claude-sonnet-4-5@20250929 claude-opus-4@20250514 claude-3-5-haiku@20241022 claude-opus-5-5@default
anthropic/claude-sonnet-4.5 claude-opus-5.5 CLAUDE-OPUS-4-8
"""
"""As releases, aliases, Bedrock, Vertex and gateways spell them."""

SUFFIXED = """
anthropic/claude-opus-4.8:thinking anthropic.claude-opus-4-8-v1:0:48k claude-opus-5-5-7
"""
"""Made of a known name and an ending that the price table knows nothing of."""

ADVISORS = """
claude-opus-4-0 claude-opus-4-1 claude-opus-5-5[2m] claude-opus-4-20991231
claude-sonnet-4-20991231 claude-fable-5-2-20261101 claude-opus-5-5-fast claude-fable-5-2-preview
claude-opus-5-5-v1 claude-opus-4-8-eap claude-3-7-sonnet-latest claude-haiku-5-5[1m]
apac.anthropic.claude-sonnet-4-5-20250929-v1:0 jp.anthropic.claude-sonnet-4-5-20250929-v1:0
au.anthropic.claude-sonnet-4-5-20250929-v1:0 us.anthropic.claude-opus-4-6-v1:0
us-gov.anthropic.claude-opus-4-8 us.anthropic.claude-sonnet-4-20250514-v1:0
claude-sonnet-4@20250514 claude-haiku-5-5@20261014 claude-opus-5-5@latest claude-haiku-5.5
vertex_ai/claude-opus-4-8@20260101 bedrock/us.anthropic.claude-opus-4-8 Claude-Opus-4-8
anthropic/claude-opus-4.8 anthropic.claude-opus-5 claude-3.5-sonnet
"""
"""More of them, as the models of advisors."""


def id_cells() -> Iterator[Cell]:
    for requested in (*IDS.split(), *SUFFIXED.split()):
        # What answers has another price, so this tells which of the two names was taken.
        yield Cell(requested, BY_ANOTHER, said(ALL)._replace(model="claude-haiku-4-5-20251001"))
    each = (advisor(model, Usage(1_000 + n, 7 * n)) for n, model in enumerate(ADVISORS.split()))
    yield Cell("claude-haiku-5-5", "advisors", iterated([SOME], *each))


UNKNOWN = ("claude-foo-9", "claude-opus-6", "claude-opus-4-9", "claude-4-5-sonnet", "acme-coder")
OLD = sorted({*TABLE.models} - {*PRICED})
"""Models of the table that the client has no price for any more."""


def unknown_cells() -> Iterator[Cell]:
    for requested in ("opus", *OLD, *UNKNOWN):
        yield Cell(requested, "all", said(ALL))
    yield Cell("acme-coder", BY_ANOTHER, said(ALL)._replace(model="claude-haiku-4-5"))
    yield Cell("opus", "an unknown advisor", iterated([SOME], advisor("claude-foo-9", ALL)))


DIFFERENT: dict[str, str] = {}
"""Where we are wrong, and why."""


# -- the client ------------------------------------------------------------------------------------


class Conversation:
    """A headless client that is asked one thing after another, until the `with` block ends."""

    def __init__(self, home: Home, stub: Stub, model: str) -> None:
        self.model = model
        self._errors = open(home.root / "stderr", "w+", encoding="utf-8")  # noqa: SIM115
        formats = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
        # The stated prompts are larger than the conversation: it must not be compacted for them.
        whole = {"DISABLE_AUTO_COMPACT": "1", "DISABLE_COMPACT": "1"}
        self._process = subprocess.Popen(
            client_argv(model=model, args=("--print", *formats, "--tools", "Bash")),
            cwd=home.project,
            env=home.env(stub, extra=whole),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            start_new_session=True,
        )
        self._deadline = threading.Timer(CLIENT_S, self._kill)
        self._deadline.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # until it has written its total into the transcript
        self._deadline.cancel()
        self._errors.close()

    def use(self, model: str) -> None:
        """Changes the model that is asked for from now on."""
        if model != self.model:
            self._send(
                type="control_request",
                request_id=model,
                request={"subtype": "set_model", "model": model},
            )
            response = self._next("control_response")["response"]
            assert response["subtype"] == "success", response
            self.model = model

    def ask(self, prompt: str) -> dict[str, Any]:
        """The client's closing message, with all that its session has cost so far."""
        text = [{"type": "text", "text": prompt}]
        self._send(type="user", message={"role": "user", "content": text})
        return self._next("result")

    def _send(self, **value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def _next(self, kind: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            value: dict[str, Any] = json.loads(line, parse_float=Decimal)
            if value["type"] == kind:
                return value
        self._errors.seek(0)
        raise RuntimeError(f"the client ended before its {kind}: {self._errors.read()}")

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)


def observe(cells: Sequence[Cell]) -> Session:
    """Runs the cells in one process of the client and books the transcript it wrote."""
    answers = {cell.name: cell.answer for cell in cells}
    assert len(answers) == len(cells), "names tell the cells apart"

    def script(request: Request) -> Answer:
        return answers[request.prompt]

    results = []
    with Home() as home, Stub(script) as stub:
        with Conversation(home, stub, cells[0].requested) as client:
            for cell in cells:
                client.use(cell.requested)
                results.append(client.ask(cell.name))
        asked = {request.prompt: request.message_id for request in stub.steps()}
        assert len(asked) == len(stub.steps()), "the client asked once for each cell"
        book(home, results[-1]["session_id"])
        with closing(plugin.ledger(home)) as ledger:
            entries = ledger.rows("SELECT message_id, model, picousd, bound_picousd FROM entries")
            total = ledger.spend(Window(0, None))
    observed = {}
    before: dict[str, Decimal] = {}
    for cell, result in zip(cells, results, strict=True):
        assert not result["is_error"], (cell.name, result)
        counted: dict[str, Decimal] = {}
        bases = set()
        for model, used in result["modelUsage"].items():
            cost = Decimal(used["costUSD"]) - before.get(model, Decimal())
            before[model] = Decimal(used["costUSD"])
            if cost > NOISE_USD:
                name = used["canonicalModel"]
                counted[name] = counted.get(name, Decimal()) + cost
                bases.add(used["costBasis"])
        ours = [row[1:] for row in entries if row[0].partition("/")[0] == asked[cell.name]]
        bound = usd(sum(row[2] for row in ours))
        observed[cell.name] = Observed(counted, by_model(ours), bound, bases)
    return Session(
        observed,
        Decimal(results[-1]["total_cost_usd"]),
        usd(total.picousd),
        usd(total.unattributed_picousd),
        total.unpriced_steps,
    )


def book(home: Home, session_id: str) -> None:
    """What the hook does at the end of a turn."""
    event = {
        "hook_event_name": "Stop",
        "session_id": session_id,
        "transcript_path": str(home.transcript(session_id)),
        "cwd": str(home.project),
    }
    env = {"HOME": str(home.home), "BUDGET_HOME": str(home.state)}
    said = hook.respond(event, env, int(time.time() * 1000)).get("systemMessage", "")
    assert not said or said.startswith("budget: /compact saves "), "nothing but advice"


def by_model(entries: Iterable[tuple[Any, ...]]) -> dict[str, Decimal | None]:
    """The sum of each model that costs something; None where there is no price."""
    sums: dict[str, Decimal | None] = {}
    for model, picousd, bound in entries:
        name = resolve(model, TABLE) or model
        if picousd is None:
            sums[name] = None
        elif picousd or bound:
            sums[name] = (sums.get(name) or Decimal()) + usd(picousd)
    return sums


def usd(picousd: int) -> Decimal:
    return Decimal(picousd) / PICO


# -- the tests -------------------------------------------------------------------------------------


class Grid(NamedTuple):
    priced: list[Session]
    other: Session
    """Of what the client has no price for, and of known differences."""

    @property
    def cells(self) -> dict[str, Observed]:
        sessions = (*self.priced, self.other)
        return {name: seen for session in sessions for name, seen in session.cells.items()}


@pytest.fixture(scope="module")
def grid() -> Grid:
    """All cells, in a few clients at once."""
    shares = [[cell for m in PRICED[n::CLIENTS] for cell in cells_of(m)] for n in range(CLIENTS)]
    shares.append([*id_cells()])
    agreeing = [[cell for cell in share if cell.name not in DIFFERENT] for share in shares]
    different = [cell for share in shares for cell in share if cell.name in DIFFERENT]
    with ThreadPoolExecutor(CLIENTS) as pool:
        *priced, other = pool.map(observe, [*agreeing, [*unknown_cells(), *different]])
    return Grid(priced, other)


def disagreements(grid: Grid, cells: Iterable[Cell]) -> list[str]:
    """A line for each cell that has another price than the client's, or none by its list."""
    seen = [(cell.name, grid.cells[cell.name]) for cell in cells if cell.name not in DIFFERENT]
    assert seen
    return [
        f"{name}: {_told(each.client)} by its {'/'.join(each.bases)}, ours {_told(each.ours)}"
        for name, each in seen
        if not each.agrees or each.bases != {"list"}
    ]


def _told(costs: Mapping[str, Decimal | None]) -> str:
    return ", ".join(f"{model} {cost:.9f}" if cost else model for model, cost in costs.items())


@pytest.mark.parametrize("model", PRICED)
def test_a_step_costs_what_the_client_says(grid: Grid, model: str) -> None:
    cells = list(cells_of(model))
    assert disagreements(grid, cells) == []
    assert all(model in grid.cells[cell.name].client for cell in cells), "it is this model's price"


def test_a_model_costs_the_same_by_each_of_its_ids(grid: Grid) -> None:
    assert disagreements(grid, id_cells()) == []


@pytest.mark.parametrize("name", DIFFERENT)
@pytest.mark.xfail(strict=True, raises=AssertionError, reason="see DIFFERENT")
def test_a_known_difference_is_gone(grid: Grid, name: str) -> None:
    assert grid.cells[name].agrees


def test_opus_4_is_answered_and_charged_as_its_successor(grid: Grid) -> None:
    """The client asks another model than the person; its transcript, and so we, name that one."""
    for requested in ("claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-1-20250805"):
        seen = grid.cells[f"{requested}: {BY_ANOTHER}"]
        assert [*seen.client] == [*seen.ours] == ["claude-opus-5-5"]


def test_a_session_costs_the_sum_of_its_steps(grid: Grid) -> None:
    """The client's total at its end is what is booked: nothing is unattributed or unpriced."""
    for session in grid.priced:
        assert abs(session.client_total - session.booked) < NOISE_USD
        assert session.unattributed == session.unpriced == 0


def test_what_the_client_has_no_price_for_it_charges_as_its_default(grid: Grid) -> None:
    """The one deliberate difference: it says `unknown` and takes its default model's price.

    We say that a step is unpriced and count it as dear as any; what the table knows from before,
    or the answer's model where the requested one is an alias of the person's own, has its price.
    """
    cells = grid.other.cells
    assert cells["opus: all"].agrees
    (charged,) = cells["opus: all"].client.values()
    for model in (*OLD, *UNKNOWN):
        seen = cells[f"{model}: all"]
        (cost,) = seen.client.values()
        assert seen.bases == {"unknown"}
        assert abs(cost - charged) < NOISE_USD
        assert [*seen.ours] == [model]
        if model in OLD:
            assert seen.ours[model] is not None
        else:
            assert seen.ours[model] is None
            assert seen.bound >= charged
    alias = cells[f"acme-coder: {BY_ANOTHER}"]
    assert alias.bases == {"unknown"}
    assert alias.ours == {"claude-haiku-4-5": Decimal("0.068")}
    advised = cells["opus: an unknown advisor"]
    assert advised.bases == {"list", "unknown"}
    assert advised.ours == {"claude-opus-5-5": Decimal("0.008"), "claude-foo-9": None}
