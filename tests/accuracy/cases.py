"""Awkward transcripts, and what they truly cost, worked out as arithmetic.

Each case writes the files a Claude Code config folder would hold. The shapes are those of the
client (2.1.330, measured 2026-11-23), or of the older client that a case names. Prices stand in
the cases as USD per million tokens, so that no price table is trusted; the rules that apply them
are the client's own, as far as its `costUSD` tells them.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

SONNET = "claude-sonnet-4-6"
"""Every tool knows its price: 3 in, 15 out, 0.3 cache reads, 3.75 and 6 cache writes."""
OPUS = "claude-opus-4-6"
START = datetime(2026, 11, 20, 10, tzinfo=UTC)

# The first digit of a session id decides how the files sort.
_FIRST_DIGIT = {"early fork": "0", "fork": "f"}

Line = dict[str, Any] | bytes


def usd(*terms: tuple[int, str]) -> Decimal:
    """Sum of tokens times USD per million tokens."""
    return sum((tokens * Decimal(rate) for tokens, rate in terms), Decimal()) / 10**6


PLAIN_USD = usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (2_000, "3.75"))
"""One step of `Files.step` with nothing said: 0.0225."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the files of a case hold."""

    steps: int
    input: int = 0
    output: int = 0
    cache_read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    searches: int = 0
    usd: Decimal
    """Of the steps that have a price."""
    unattributed_usd: Decimal = Decimal()
    """What only the client's own total tells of."""
    unpriced_steps: int = 0
    unpriced_models: tuple[str, ...] = ()
    skipped_lines: int = 0
    """Damaged lines that a tool should tell of."""
    views: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """USD by day, session (by its label in the case), agent or prompt, where that is the point."""

    @property
    def total_usd(self) -> Decimal:
        return self.usd + self.unattributed_usd

    @property
    def tokens(self) -> tuple[int, int, int, int, int]:
        return (self.input, self.output, self.cache_read, self.write_5m, self.write_1h)


def plain(steps: int, **more: Any) -> Truth:
    """A number of steps of 1,000 input, 200 output, 30,000 read and 2,000 written tokens."""
    kinds = {"input": 1_000, "output": 200, "cache_read": 30_000, "write_5m": 2_000}
    counts: dict[str, Any] = {kind: steps * tokens for kind, tokens in kinds.items()}
    return Truth(steps=steps, **{**counts, "usd": steps * PLAIN_USD, **more})


def session_id(case: str, label: str) -> str:
    whole = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{case}/{label}"))
    return _FIRST_DIGIT.get(label, "5") + whole[1:]


def at(minute: int) -> str:
    return stamp(START + timedelta(minutes=minute))


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def used(
    input: int = 1_000,  # noqa: A002
    output: int = 200,
    cache_read: int = 30_000,
    write_5m: int = 2_000,
    write_1h: int = 0,
    **more: object,
) -> dict[str, Any]:
    """A usage as the API gives it; a value of `...` takes a key out."""
    usage = {
        "input_tokens": input,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_read_input_tokens": cache_read,
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
        "service_tier": "standard",
        "cache_creation": {
            "ephemeral_1h_input_tokens": write_1h,
            "ephemeral_5m_input_tokens": write_5m,
        },
        "inference_geo": "",
        "iterations": [],
        "speed": "standard",
    }
    return {key: value for key, value in {**usage, **more}.items() if value is not ...}


class Files:
    """Writes the transcripts of one case. Ids and folders are its own, so that cases can be put
    together in one folder.
    """

    def __init__(self, config: Path, case: str) -> None:
        self._config = config
        self._case = case
        self._lines = 0
        self.slug = f"-home-ana-{case}"
        self.cwd = f"/home/ana/{case}"

    def session(self, label: str = "main") -> str:
        return session_id(self._case, label)

    def message_id(self, number: int) -> str:
        return f"msg_{self._case}_{number:04d}"

    def common(self, session: str = "main") -> dict[str, Any]:
        """What every line has."""
        self._lines += 1
        line_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._case}/line-{self._lines}")
        return {
            "parentUuid": None,
            "isSidechain": False,
            "uuid": str(line_id),
            "userType": "external",
            "cwd": self.cwd,
            "sessionId": self.session(session),
            "version": "2.1.330",
            "gitBranch": "main",
        }

    def step(
        self,
        number: int,
        usage: dict[str, Any] | None = None,
        *,
        model: str = SONNET,
        session: str = "main",
        content: list[dict[str, Any]] | None = None,
        message: Mapping[str, object] | None = None,
        **line: object,
    ) -> dict[str, Any]:
        """One line of a step; a value of `...` takes a key out."""
        answer = {
            "id": self.message_id(number),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content or [{"type": "text", "text": f"block {self._lines}"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": used() if usage is None else usage,
            **(message or {}),
        }
        told = {
            **self.common(session),
            "message": {key: value for key, value in answer.items() if value is not ...},
            "requestId": f"req_{self._case}_{number:04d}",
            "requestedModel": model,
            "type": "assistant",
            "timestamp": at(number),
            **line,
        }
        return {key: value for key, value in told.items() if value is not ...}

    def prompt(
        self, text: str = "go on", *, session: str = "main", **line: object
    ) -> dict[str, Any]:
        return {
            **self.common(session),
            "type": "user",
            "promptId": f"prompt-{self._case}",
            "message": {"role": "user", "content": text},
            "timestamp": at(0),
            **line,
        }

    def tool_result(self, text: str, result: object = None) -> Line:
        block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": text}
        message = {"role": "user", "content": [block]}
        return self.prompt(message=message, toolUseResult=result or {"stdout": text, "stderr": ""})

    def cost_state(self, total: Decimal, session: str = "main") -> Line:
        """The client's own total, as it writes it when a session ends."""
        return {
            "type": "cost-state",
            "sessionId": self.session(session),
            "totalCostUSD": float(total),
            "modelUsage": {},
            "hasUnknownModelCost": False,
        }

    def copied(self, lines: Iterable[Line], into: str, **more: object) -> list[Line]:
        """Lines as a fork copies them into its own file."""
        return [
            {**line, "sessionId": self.session(into), **more}
            for line in lines
            if isinstance(line, dict) and line["type"] != "cost-state"
        ]

    def put(
        self,
        lines: Iterable[Line],
        *,
        session: str = "main",
        below: str = "",
        slug: str = "",
        name: str = "",
        newline: bytes = b"\n",
        end: bytes | None = None,
    ) -> Path:
        """Writes a session's file, or with `below` one in the session's own folder."""
        folder = self._config / "projects" / (slug or self.slug)
        path = folder / (name or f"{self.session(session)}.jsonl")
        if below:
            path = folder / self.session(session) / below
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = newline.join(line if isinstance(line, bytes) else compact(line) for line in lines)
        path.write_bytes(whole + (newline if end is None else end))
        return path

    def agent(
        self, lines: Iterable[Line], agent_id: str, kind: str = "Explore", folder: str = ""
    ) -> None:
        """Writes a subagent's file and the description beside it."""
        marked: list[Line] = [
            line if isinstance(line, bytes) else {**line, "isSidechain": True, "agentId": agent_id}
            for line in lines
        ]
        path = self.put(marked, below=f"subagents/{folder}agent-{agent_id}.jsonl")
        told = {"agentType": kind, "description": "look around", "toolUseId": "toolu_1"}
        path.with_suffix(".meta.json").write_text(json.dumps(told))


def compact(line: Mapping[str, Any]) -> bytes:
    """As the client writes it."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One awkward set of transcripts."""

    name: str
    group: str
    about: str
    make: Callable[[Files], object]
    truth: Truth
    judged: str = "usd"
    """What an answer is right by: `usd`, `daily` or `session` (USD by these), or `unpriced`."""
    timezone: str = "UTC"
    convention: str = ""
    """Whose rule the truth follows, where another can be argued for."""

    def build(self, config_dir: Path) -> None:
        """Writes the files below `<config_dir>/projects`."""
        self.make(Files(config_dir, self.name))

    def view(self, by: str) -> dict[str, Decimal]:
        """The truth by day, session, agent or prompt; empty where it is not the point."""
        told = self.truth.views.get(by, {})
        if by == "session":
            return {session_id(self.name, label): amount for label, amount in told.items()}
        return dict(told)


CASES: list[Case] = []


def case(
    name: str, about: str, truth: Truth, **more: str
) -> Callable[[Callable[[Files], object]], Callable[[Files], object]]:
    """Adds a case to `CASES`: the decorated function writes its files."""

    def add(make: Callable[[Files], object]) -> Callable[[Files], object]:
        CASES.append(Case(name=name, group=_group, about=about, make=make, truth=truth, **more))
        return make

    return add


def one_step(
    name: str,
    about: str,
    truth: Truth,
    usage: dict[str, Any] | None = None,
    *,
    convention: str = "",
    **line: Any,
) -> None:
    """Adds a case of a single step."""
    case(name, about, truth, convention=convention)(
        lambda files: files.put([files.prompt(), files.step(1, usage, **line)])
    )


# -- what is one step ------------------------------------------------------------------------------

_group = "What is one step"

one_step("one-step", "One step on one line: nothing awkward.", plain(1))


@case("three-lines", "Each step is written as three lines, one per content block.", plain(2))
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(number) for number in (1, 1, 1, 2, 2, 2))])


@case(
    "placeholder-first",
    "The first lines of a step carry a placeholder `output_tokens` of 1, the last the true 200.",
    plain(1),
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, used(output=count)) for count in (1, 1, 200))])


@case(
    "placeholder-last",
    "The line with the placeholder comes after the one with the true count.",
    plain(1),
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, used(output=count)) for count in (200, 1))])


@case("no-request-id", "Two lines of a step, neither with a `requestId`.", plain(1))
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, requestId=...) for _ in range(2))])


@case(
    "request-id-on-some",
    "A gateway sets the `requestId` late: of three lines of a step only the last has one.",
    plain(1),
)
def _(files: Files) -> None:
    lines = [files.step(1, requestId=...), files.step(1, requestId=...), files.step(1)]
    files.put([files.prompt(), *lines])


@case(
    "request-id-differs",
    "Lines of one step with different request ids: a gateway retried or replayed the answer.",
    plain(1),
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, requestId=f"req_retry_{n}") for n in range(3))])


@case(
    "no-message-id",
    "A gateway gives no message id: two lines of one answer share their `requestId`.",
    plain(1),
    convention="without a message id the request id names the step",
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, message={"id": ...}) for _ in range(2))])


@case(
    "empty-message-id",
    "A gateway gives every answer the same empty message id: two steps, two request ids.",
    plain(2),
    convention="without a message id the request id names the step",
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(number, message={"id": ""}) for number in (1, 2))])


@case("equal-steps", "Two steps with the same time stamp and the same usage are two.", plain(2))
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1), files.step(2, timestamp=at(1))])


# -- sessions and files ----------------------------------------------------------------------------

_group = "Sessions and files"


def _fork(files: Files, label: str, **copied: object) -> None:
    history = [files.prompt(), files.step(1), files.step(2)]
    own = [files.prompt(session=label), files.step(3, session=label)]
    files.put([*history, files.cost_state(2 * PLAIN_USD)])
    files.put(
        [*files.copied(history, label, **copied), *own, files.cost_state(3 * PLAIN_USD, label)],
        session=label,
    )


@case(
    "fork",
    "A fork copies two steps of history into its own file and adds one.",
    plain(3, views={"session": {"main": 2 * PLAIN_USD, "fork": PLAIN_USD}}),
)
def _(files: Files) -> None:
    _fork(files, "fork", requestSessionId=files.session())


@case(
    "fork-by-session",
    "The same, where the fork's file sorts first: copied history is the origin session's.",
    plain(3, views={"session": {"main": 2 * PLAIN_USD, "early fork": PLAIN_USD}}),
    judged="session",
)
def _(files: Files) -> None:
    _fork(files, "early fork", requestSessionId=files.session())


@case(
    "old-fork",
    "A fork as 2.1.290 and 2.1.310 wrote it: the copied lines do not say whose they are, and the"
    " fork's own total holds what they cost.",
    plain(3),
)
def _(files: Files) -> None:
    _fork(files, "fork")


@case(
    "fork-of-2.0",
    "A fork as 2.0.42 wrote it: a new file that repeats the history, and nothing that says so.",
    plain(3),
)
def _(files: Files) -> None:
    history = [files.prompt(), files.step(1), files.step(2)]
    files.put(history)
    copied = files.copied(history, "early fork")
    files.put([*copied, files.step(3, session="early fork")], session="early fork")


@case(
    "fork-of-placeholder",
    "A fork sorts first and has copied a placeholder; the origin's file has the true count.",
    plain(1),
)
def _(files: Files) -> None:
    early = files.copied([files.prompt(), files.step(1, used(output=1))], "early fork")
    files.put(early, session="early fork")
    files.put([files.prompt(), files.step(1)])


@case(
    "resumed",
    "A session that is resumed two days later goes on in the same file.",
    plain(3, views={"daily": {"2026-11-20": 2 * PLAIN_USD, "2026-11-22": PLAIN_USD}}),
    judged="daily",
)
def _(files: Files) -> None:
    first = [files.prompt(), files.step(1), files.step(2), files.cost_state(2 * PLAIN_USD)]
    day = "2026-11-22T10:00:00.000Z"
    second = [files.prompt(timestamp=day), files.step(3, timestamp=day)]
    files.put([*first, *second, files.cost_state(3 * PLAIN_USD)])


@case(
    "two-folders",
    "A worktree was moved: the session's file lies in two project folders, and went on in one.",
    plain(3),
)
def _(files: Files) -> None:
    history = [files.prompt(), files.step(1), files.step(2)]
    files.put(history)
    files.put([*history, files.step(3, cwd=f"{files.cwd}-moved")], slug=f"{files.slug}-moved")


@case("copied-file", "Someone kept a copy of the file beside it, under another name.", plain(2))
def _(files: Files) -> None:
    lines = [files.prompt(), files.step(1), files.step(2)]
    files.put(lines)
    files.put(lines, name=f"{files.session()} copy.jsonl")


@case(
    "subagent",
    "A subagent's steps are in a file of their own, below the session's folder.",
    plain(3, views={"agent": {"main": PLAIN_USD, "Explore": 2 * PLAIN_USD}}),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1)])
    files.agent([files.prompt(), files.step(2), files.step(3)], "a85a128dfb3751c9a")


@case(
    "workflow-agents",
    "Agents of a workflow, one folder deeper: `subagents/workflows/wf_1/agent-....jsonl`.",
    plain(3, views={"agent": {"main": PLAIN_USD, "worker": 2 * PLAIN_USD}}),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1)])
    for number in (2, 3):
        files.agent([files.step(number)], f"b{number}", "worker", "workflows/wf_1/")


@case(
    "subagent-with-history",
    "A subagent that starts from its parent's context: its file begins with the parent's steps.",
    plain(3, views={"agent": {"main": 2 * PLAIN_USD, "Explore": PLAIN_USD}}),
)
def _(files: Files) -> None:
    history: list[Line] = [files.prompt(), files.step(1), files.step(2)]
    files.put(history)
    files.agent([*history, files.step(3)], "a85a128dfb3751c9a")


@case(
    "subagent-replay",
    "A subagent's file repeats a step of its parent under another request id.",
    plain(2),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1)])
    files.agent([files.step(1, requestId="req_replayed"), files.step(2)], "a85a128dfb3751c9a")


@case(
    "sidechain-lines",
    "An older client (1.x) wrote a subagent's steps into the session's file, as sidechain lines.",
    plain(2),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1), files.step(2, isSidechain=True)])


@case(
    "old-agent-file",
    "A subagent's file as 2.0.42 wrote it: beside the session's, as `agent-2a52fcd3.jsonl`.",
    plain(2),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1)])
    own = files.step(2, isSidechain=True, agentId="2a52fcd3", version="2.0.42")
    files.put([own], name="agent-2a52fcd3.jsonl")


@case(
    "subagent-alone",
    "Only a subagent's file is left: the session's own was deleted or never synchronised.",
    plain(1),
)
def _(files: Files) -> None:
    files.agent([files.prompt(), files.step(1)], "a85a128dfb3751c9a")


@case(
    "agent-result",
    "The result of an Agent call repeats the subagent's usage and totals in the parent's file.",
    plain(2),
)
def _(files: Files) -> None:
    result = {
        "status": "completed",
        "agentId": "a85a128dfb3751c9a",
        "content": [{"type": "text", "text": "found it"}],
        "totalTokens": 33_200,
        "totalToolUseCount": 1,
        "usage": used(),
    }
    files.put([files.prompt(), files.step(1), files.tool_result("found it", result)])
    files.agent([files.prompt(), files.step(2)], "a85a128dfb3751c9a")


def _progress(files: Files, own: dict[str, Any]) -> Line:
    """A line of the parent's file that repeats an answer of a subagent."""
    inner = {key: own[key] for key in ("type", "message", "requestId", "uuid", "timestamp")}
    told = {"type": "agent_progress", "agentId": "a85a128dfb3751c9a", "message": inner}
    return {**files.common(), "type": "progress", "data": told, "timestamp": own["timestamp"]}


@case(
    "agent-progress",
    "`progress` lines in the parent's file repeat whole answers of the subagent.",
    plain(2),
)
def _(files: Files) -> None:
    own = files.step(2)
    files.put([files.prompt(), files.step(1), _progress(files, own)])
    files.agent([files.prompt(), own], "a85a128dfb3751c9a")


@case(
    "progress-alone",
    "The same, and the subagent's own file is gone: only the `progress` lines tell of its step.",
    plain(2),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1), _progress(files, files.step(2))])


@case(
    "client-total",
    "The client's own total is 0.01 USD above the steps: a compaction, which leaves no usage.",
    plain(2, unattributed_usd=Decimal("0.01")),
    convention="what the client counted is spent, although no step tells of it",
)
def _(files: Files) -> None:
    total = 2 * PLAIN_USD + Decimal("0.01")
    files.put([files.prompt(), files.step(1), files.step(2), files.cost_state(total)])


# -- cache writes ----------------------------------------------------------------------------------

_group = "Cache writes"

one_step(
    "hour-writes",
    "All cache writes are for 1 hour: twice the input price.",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=30_000,
        write_1h=20_000,
        usd=usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (20_000, "6")),
    ),
    used(write_5m=0, write_1h=20_000),
)
one_step(
    "both-writes",
    "Cache writes for 5 minutes and for 1 hour in one step.",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=30_000,
        write_5m=4_000,
        write_1h=6_000,
        usd=usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (4_000, "3.75"), (6_000, "6")),
    ),
    used(write_5m=4_000, write_1h=6_000),
)
one_step(
    "no-split",
    "Only the total of the cache writes is told.",
    plain(1),
    used(cache_creation=...),
    convention="the client charges 5-minute writes",
)


def _split(five_minutes: int, hour: int) -> dict[str, int]:
    return {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": hour}


one_step(
    "split-above-total",
    "The split (8,000 and 6,000) is larger than the total (10,000).",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=30_000,
        write_5m=10_000 - 6_000,
        write_1h=6_000,
        usd=usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (4_000, "3.75"), (6_000, "6")),
    ),
    used(cache_creation_input_tokens=10_000, cache_creation=_split(8_000, 6_000)),
    convention="the client's: the 1-hour writes, and what is left of the total",
)
one_step(
    "split-below-total",
    "The split (1,000 and 2,000) is smaller than the total (10,000).",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=30_000,
        write_5m=10_000 - 2_000,
        write_1h=2_000,
        usd=usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (8_000, "3.75"), (2_000, "6")),
    ),
    used(cache_creation_input_tokens=10_000, cache_creation=_split(1_000, 2_000)),
    convention="the client's: the 1-hour writes, and what is left of the total",
)
one_step(
    "split-alone",
    "The split is told, its total is 0.",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=30_000,
        write_5m=4_000,
        write_1h=6_000,
        usd=usd((1_000, "3"), (200, "15"), (30_000, "0.3"), (4_000, "3.75"), (6_000, "6")),
    ),
    used(cache_creation_input_tokens=0, cache_creation=_split(4_000, 6_000)),
    convention="the client's: the split holds",
)


# -- what else is charged --------------------------------------------------------------------------

_group = "What else is charged"

_SEARCHES = {"web_search_requests": 2, "web_fetch_requests": 5}
_OPUS_USD = usd((1_000, "5"), (200, "25"), (30_000, "0.5"), (2_000, "6.25"))
_OPUS_5_5_USD = usd((1_000, "4"), (200, "20"), (30_000, "0.2"), (2_000, "5"))

one_step(
    "web-searches",
    "Two web searches at 0.01 USD, and five fetches, which are free.",
    plain(1, searches=2, usd=PLAIN_USD + 2 * Decimal("0.01")),
    used(server_tool_use=_SEARCHES),
)
one_step(
    "us-inference",
    "`inference_geo` is `us`: all tokens at 1.1 times the price.",
    plain(1, usd=PLAIN_USD * Decimal("1.1")),
    used(inference_geo="us"),
    convention="the client's, and the published price",
)
one_step(
    "fast-opus-4-6",
    "Fast mode of Opus 4.6: 6 times the price.",
    plain(1, usd=6 * _OPUS_USD),
    used(speed="fast"),
    model=OPUS,
)
one_step(
    "fast-opus-5-5",
    "Fast mode of Opus 5.5: 2 times the price.",
    plain(1, usd=2 * _OPUS_5_5_USD),
    used(speed="fast"),
    model="claude-opus-5-5",
)
one_step(
    "fast-sonnet",
    "`speed: fast` on a model that has no fast mode costs nothing more.",
    plain(1),
    used(speed="fast"),
)
one_step(
    "all-at-once",
    "Opus 5.5, fast, in the US, with two searches: the factors hold for tokens only.",
    plain(1, searches=2, usd=_OPUS_5_5_USD * 2 * Decimal("1.1") + 2 * Decimal("0.01")),
    used(speed="fast", inference_geo="us", server_tool_use=_SEARCHES),
    model="claude-opus-5-5",
)
one_step(
    "long-prompt",
    "Haiku 5.5 with a prompt of 101,000 tokens: all of it at 5 times the price.",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=100_000,
        usd=usd((1_000, "0.5"), (200, "2.5"), (100_000, "0.05")),
    ),
    used(cache_read=100_000, write_5m=0),
    model="claude-haiku-5-5",
)
one_step(
    "long-prompt-just-not",
    "Haiku 5.5 with a prompt of exactly 100,000 tokens: the ordinary price.",
    Truth(
        steps=1,
        input=1_000,
        output=200,
        cache_read=99_000,
        usd=usd((1_000, "0.1"), (200, "0.5"), (99_000, "0.01")),
    ),
    used(cache_read=99_000, write_5m=0),
    model="claude-haiku-5-5",
)


def _iteration(kind: str, prompt: int, output: int, **more: object) -> dict[str, Any]:
    whole = used(prompt, output, 0, 0)
    kept = {key: value for key, value in whole.items() if "tokens" in key}
    return {"type": kind, **kept, "cache_creation": _split(0, 0), **more}


one_step(
    "short-iterations",
    "A step of two requests of 60,000 tokens: none is long, only their sum is (Haiku 5.5).",
    Truth(steps=1, input=120_000, output=200, usd=usd((120_000, "0.1"), (200, "0.5"))),
    used(
        120_000,
        200,
        0,
        0,
        iterations=[_iteration("message", 60_000, 100), _iteration("message", 60_000, 100)],
    ),
    model="claude-haiku-5-5",
    convention="the client's: the length of each request counts",
)
one_step(
    "one-long-iteration",
    "A step of two requests, one of them long: only that one at the long price (Haiku 5.5).",
    Truth(
        steps=1,
        input=130_000,
        output=200,
        usd=usd((120_000, "0.5"), (100, "2.5")) + usd((10_000, "0.1"), (100, "0.5")),
    ),
    used(
        130_000,
        200,
        0,
        0,
        iterations=[_iteration("message", 120_000, 100), _iteration("message", 10_000, 100)],
    ),
    model="claude-haiku-5-5",
    convention="the client's: the length of each request counts",
)
one_step(
    "advisor",
    "An advisor model (Opus 4.6) answered within a step of Sonnet 4.6: charged on its own price.",
    plain(
        1,
        input=1_000 + 2_000,
        output=200 + 100,
        usd=PLAIN_USD + usd((2_000, "5"), (100, "25")),
    ),
    used(
        iterations=[
            {"type": "message", **used(iterations=...)},
            _iteration("advisor_message", 2_000, 100, model=OPUS),
        ]
    ),
)


# -- models ----------------------------------------------------------------------------------------

_group = "Models"

one_step(
    "requested-model",
    "Opus 4.6 was asked for and Sonnet 4.6 is named in the answer.",
    plain(1, usd=_OPUS_USD),
    requestedModel=OPUS,
    convention="the client charges what it asked for",
)
one_step(
    "requested-profile",
    "A Bedrock profile of the person's own was asked for; the answer names Sonnet 4.6.",
    plain(1),
    requestedModel="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12cd",
)
one_step(
    "bedrock-id",
    "`global.anthropic.claude-sonnet-4-5-20250929-v1:0`, as Bedrock names it.",
    plain(1),
    model="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
)
one_step(
    "vertex-id",
    "`claude-opus-4-5@20251101`, as Vertex names it.",
    plain(1, usd=_OPUS_USD),
    model="claude-opus-4-5@20251101",
)
one_step(
    "one-million-id",
    "`claude-sonnet-4-6[1m]`, as the client names the long context.",
    plain(1),
    model=f"{SONNET}[1m]",
)
one_step(
    "dated-id",
    "`claude-haiku-4-5-20251001`.",
    plain(1, usd=usd((1_000, "1"), (200, "5"), (30_000, "0.1"), (2_000, "1.25"))),
    model="claude-haiku-4-5-20251001",
)
one_step(
    "fable-5-2",
    "A newest model: 8 in, 40 out, cache reads at 0.2.",
    plain(1, usd=usd((1_000, "8"), (200, "40"), (30_000, "0.2"), (2_000, "10"))),
    model="claude-fable-5-2",
)
one_step(
    "opus-5-5",
    "A newest model: 4 in, 20 out, cache reads at 0.2.",
    plain(1, usd=_OPUS_5_5_USD),
    model="claude-opus-5-5",
)
one_step(
    "sonnet-5-5",
    "A newest model: 2 in, 10 out, cache reads at 0.1.",
    plain(1, usd=usd((1_000, "2"), (200, "10"), (30_000, "0.1"), (2_000, "2.5"))),
    model="claude-sonnet-5-5",
)
one_step(
    "haiku-5-5",
    "A newest model: 0.1 in, 0.5 out, cache reads at 0.01.",
    plain(1, usd=usd((1_000, "0.1"), (200, "0.5"), (30_000, "0.01"), (2_000, "0.125"))),
    model="claude-haiku-5-5",
)


def _unknown(name: str, about: str, model: str) -> None:
    truth = plain(2, usd=PLAIN_USD, unpriced_steps=1, unpriced_models=(model,))
    case(name, about, truth, judged="unpriced")(
        lambda files: files.put([files.prompt(), files.step(1), files.step(2, model=model)])
    )


_unknown(
    "unknown-model",
    "A private model without a published price: it has to be told of, not passed over.",
    "acme-coder-x",
)
_unknown(
    "unknown-claude",
    "A Claude model that no table knows: it must not silently pass for one of its family.",
    "claude-sonnet-9-9",
)


@case(
    "synthetic",
    "A `<synthetic>` line: the client's own words about an API error. Nothing was used.",
    plain(1),
)
def _(files: Files) -> None:
    nothing = used(0, 0, 0, 0)
    words = [{"type": "text", "text": "API Error: 529 overloaded"}]
    error = files.step(
        2, nothing, model="<synthetic>", content=words, isApiErrorMessage=True, requestId=...
    )
    files.put([files.prompt(), files.step(1), error])


def _one_x(files: Files, number: int, model: str, cost: Decimal) -> Line:
    """A line of a 1.x client."""
    usage = used(
        cache_creation=..., inference_geo=..., iterations=..., speed=..., server_tool_use=...
    )
    return files.step(
        number,
        usage,
        model=model,
        requestId=...,
        requestedModel=...,
        gitBranch=...,
        version="0.2.60",
        timestamp=f"2025-04-10T10:0{number}:00.000Z",
        costUSD=float(cost),
        durationMs=4_000,
    )


@case(
    "client-1.x",
    "Two lines of a 1.x client: `costUSD`, no `requestId`, no split (Claude 3.7 Sonnet).",
    plain(2),
)
def _(files: Files) -> None:
    steps = (_one_x(files, number, "claude-3-7-sonnet-20250219", PLAIN_USD) for number in (1, 2))
    files.put([files.prompt(timestamp="2025-04-10T10:00:00.000Z"), *steps])


@case(
    "client-1.x-unknown",
    "A 1.x client said what a step on a private model cost: 0.03 USD.",
    plain(1, usd=Decimal("0.03")),
    convention="a cost that the client stated is better than none",
)
def _(files: Files) -> None:
    files.put([files.prompt(), _one_x(files, 1, "acme-coder-x", Decimal("0.03"))])


# -- dates -----------------------------------------------------------------------------------------

_group = "Dates"


@case(
    "price-change",
    "Sonnet 5.5 a millisecond before and at its cheaper cache reads (0.2, then 0.1) of 2026-10-07.",
    convention="the price before that day is told by claudit 1.9.2",
    truth=Truth(
        steps=2,
        input=2_000,
        output=400,
        cache_read=200_000,
        usd=usd((1_000, "2"), (200, "10"), (100_000, "0.2"))
        + usd((1_000, "2"), (200, "10"), (100_000, "0.1")),
    ),
)
def _(files: Files) -> None:
    lines: list[Line] = []
    for number, time in enumerate(("2026-10-06T23:59:59.999Z", "2026-10-07T00:00:00.000Z")):
        usage = used(cache_read=100_000, write_5m=0)
        step = files.step(number, usage, model="claude-sonnet-5-5", timestamp=time)
        lines += [files.prompt(timestamp=time), step]
    files.put(lines)


def _long_sonnet(name: str, about: str, day: str, cost: Decimal) -> None:
    truth = Truth(steps=1, input=1_000, output=200, cache_read=250_000, usd=cost)
    one_step(
        name,
        about,
        truth,
        used(cache_read=250_000, write_5m=0),
        model="claude-sonnet-4-5-20250929",
        timestamp=f"{day}T10:00:00.000Z",
    )


_long_sonnet(
    "long-prompt-then",
    "Sonnet 4.5 with 251,000 tokens of prompt in February 2026: all of it at the long price.",
    "2026-02-10",
    usd((1_000, "6"), (200, "22.5"), (250_000, "0.6")),
)
_long_sonnet(
    "long-prompt-now",
    "The same in June 2026: the ordinary price, as for every length since 2026-04-30.",
    "2026-06-10",
    usd((1_000, "3"), (200, "15"), (250_000, "0.3")),
)


def _days(name: str, about: str, truth: Truth, *times: str) -> None:
    def make(files: Files) -> None:
        # A prompt for each, because some tools date whole turns.
        lines: list[Line] = []
        for number, time in enumerate(times):
            lines += [files.prompt(timestamp=time), files.step(number, timestamp=time)]
        files.put(lines)

    case(name, about, truth, judged="daily", timezone="Europe/Berlin")(make)


_days(
    "midnight",
    "Steps at 22:30 and 23:30 UTC are on two days in Berlin.",
    plain(2, views={"daily": {"2026-11-20": PLAIN_USD, "2026-11-21": PLAIN_USD}}),
    "2026-11-20T22:30:00.000Z",
    "2026-11-20T23:30:00.000Z",
)
_days(
    "time-stamps-with-offsets",
    "Time stamps with offsets of -5 and +9 hours, on other days than their dates say.",
    plain(2, views={"daily": {"2026-11-20": PLAIN_USD, "2026-11-21": PLAIN_USD}}),
    "2026-11-20T18:30:00.000-05:00",
    "2026-11-21T05:00:00.000+09:00",
)
_days(
    "end-of-summer-time",
    "The day of 25 hours: 00:30 and 23:30 of 2026-10-25 in Berlin, and 00:30 of the next day.",
    plain(3, views={"daily": {"2026-10-25": 2 * PLAIN_USD, "2026-10-26": PLAIN_USD}}),
    "2026-10-24T22:30:00.000Z",
    "2026-10-25T22:30:00.000Z",
    "2026-10-25T23:30:00.000Z",
)


# -- damage and noise ------------------------------------------------------------------------------

_group = "Damage and noise"


@case(
    "broken-line",
    "The second of three lines of a step was cut off in its usage.",
    plain(2, skipped_lines=1),
)
def _(files: Files) -> None:
    whole = compact(files.step(1))
    broken = whole[: whole.index(b'"output_tokens":') + 18]
    files.put([files.prompt(), files.step(1), broken, files.step(1), files.step(2)])


@case("cut-last-line", "The second line of the last step is cut off at the end of file.", plain(2))
def _(files: Files) -> None:
    whole = compact(files.step(2))
    broken = whole[: whole.index(b'"output_tokens":') + 18]
    files.put([files.prompt(), files.step(1), files.step(2), broken], end=b"")


@case(
    "no-last-newline",
    "The last line is whole, and only its newline is missing.",
    plain(2),
)
def _(files: Files) -> None:
    files.put([files.prompt(), files.step(1), files.step(2)], end=b"")


@case("not-utf-8", "A prompt between the steps holds bytes that are not UTF-8.", plain(2))
def _(files: Files) -> None:
    noise = compact({"type": "user", "text": "caf?"}).replace(b"?", b"\xe9")
    files.put([files.prompt(), files.step(1), noise, files.step(2)])


@case(
    "not-utf-8-in-step",
    "The text of a step itself holds a byte that is not UTF-8; its usage is legible.",
    plain(2),
)
def _(files: Files) -> None:
    words = [{"type": "text", "text": "caf?"}]
    damaged = compact(files.step(2, content=words)).replace(b"caf?", b"caf\xe9")
    files.put([files.prompt(), files.step(1), damaged])


@case(
    "half-an-emoji",
    "The text of a step was cut in the middle of an emoji: an escaped lone surrogate.",
    plain(2),
)
def _(files: Files) -> None:
    words = [{"type": "text", "text": "fine ?"}]
    cut = compact(files.step(2, content=words)).replace(b"fine ?", rb"fine \ud83d")
    files.put([files.prompt(), files.step(1), cut])


@case(
    "usage-in-a-result",
    "A tool printed a transcript: its result holds whole assistant lines as text.",
    plain(1),
)
def _(files: Files) -> None:
    printed = compact(files.step(7, used(900_000, 90_000))).decode()
    files.put([files.prompt(), files.step(1), files.tool_result(f"{printed}\n{printed}\n")])


@case(
    "usage-in-a-call",
    "A tool call's input holds a usage and another message's id, as objects.",
    plain(2),
)
def _(files: Files) -> None:
    told = {"id": files.message_id(1), "usage": used(900_000, 90_000)}
    call = [{"type": "tool_use", "id": "toolu_1", "name": "Write", "input": told}]
    files.put([files.prompt(), files.step(1), files.step(2, content=call)])


@case(
    "negative-count",
    "One of three lines of a step has -5,000 output tokens.",
    plain(1, skipped_lines=1),
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, used(output=n)) for n in (200, -5_000, 200))])


@case(
    "absurd-count",
    "One of three lines of a step has 10^18 input tokens.",
    plain(1, skipped_lines=1),
)
def _(files: Files) -> None:
    files.put([files.prompt(), *(files.step(1, used(n)) for n in (1_000, 10**18, 1_000))])


@case(
    "null-fields",
    "Fields of a usage are null, and one line has no usage at all.",
    Truth(steps=1, input=1_000, output=200, usd=usd((1_000, "3"), (200, "15"))),
)
def _(files: Files) -> None:
    empty = (
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cache_creation",
        "server_tool_use",
        "iterations",
        "speed",
        "service_tier",
        "inference_geo",
    )
    usage = {**used(), **dict.fromkeys(empty)}
    files.put([files.prompt(), files.step(1, usage), files.step(2, message={"usage": None})])


@case("line-of-20-mb", "A line of 20 MB without usage between two steps.", plain(2))
def _(files: Files) -> None:
    image: Line = {"type": "attachment", "data": "x" * 20_000_000}
    files.put([files.prompt(), files.step(1), image, files.step(2)])


@case("crlf", "Lines end with CR and LF, and some are blank.", plain(2))
def _(files: Files) -> None:
    lines: list[Line] = [b"", files.prompt(), files.step(1), b"", b"   ", files.step(2), b""]
    files.put(lines, newline=b"\r\n")


@case("byte-order-mark", "The file begins with a byte order mark, and then a step.", plain(2))
def _(files: Files) -> None:
    files.put([b"\xef\xbb\xbf" + compact(files.step(1)), files.step(2)])


@case(
    "compaction",
    "A `compact_boundary` with its token counts, and the summary that follows it.",
    plain(2),
)
def _(files: Files) -> None:
    boundary: Line = {
        **files.common(),
        "type": "system",
        "subtype": "compact_boundary",
        "content": "Conversation compacted",
        "timestamp": at(1),
        "compactMetadata": {"trigger": "manual", "preTokens": 150_000, "postTokens": 9_000},
    }
    summary = files.prompt("This session is being continued ...", isCompactSummary=True)
    files.put([files.prompt(), files.step(1), boundary, summary, files.step(2)])


@case(
    "prompt-in-text",
    "A prompt quotes a transcript line, with another prompt's id, escaped.",
    plain(2, views={"prompt": {"prompt-prompt-in-text": 2 * PLAIN_USD}}),
)
def _(files: Files) -> None:
    quoted = files.prompt('what is {"promptId":"prompt-of-another","type":"user"} about?')
    files.put([quoted, files.step(1), files.tool_result('{"promptId":"another"}'), files.step(2)])
