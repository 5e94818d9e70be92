"""A generated history of Claude Code transcripts, in the form and the proportions of real ones.

    python -m bench.history FOLDER --megabytes 300 [--shape client|conversation|sparse]

Writes `FOLDER/projects/<slug>/<session>.jsonl` with subagents beside them. Seeded: the same
arguments give the same bytes.

What is measured (Claude Code 2.1.330 against a stub, 2026-11-23, a session of two prompts, 12 steps
and 489 KB): which lines there are, the order of their keys, and what each adds beside its content.
A session begins with 130 KB (prompt, tools, skills); a request leaves 1.9 KB; an answer leaves a
line of 1.1 KB plus its content for each content block, all with the same usage; a tool result
leaves a line of 0.7 KB plus its content twice (for the model and for the person).

What no stub can tell is what models write and tools answer. Assumed: an answer has a thinking
block half of the time, a text two times in three, and one to three tool calls, 1.4 in the mean;
their contents have a median of 400 characters, tool results one of 1,500, both log-normal with a
long tail (a mean of 3,100 for results, at most 30,000: where the client cuts them).

The shapes:

- `client`: all of that, what 2.1.330 writes;
- `conversation`: only the prompts, answers and results: what clients before the lines of requests
  and snapshots wrote, and the densest in steps;
- `sparse`: two content blocks a step and results of 500 to 20,000 characters, evenly spread.
"""

import argparse
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-sonnet-5", "claude-haiku-5-5")
_START = datetime(2025, 11, 23, 8, tzinfo=UTC)
_LONGEST = 30_000
_SESSION_BYTES = (300_000, 6_000_000)
_AGENT_BYTES = 200_000
Line = dict[str, Any]


class Shape(NamedTuple):
    """What a session's lines are."""

    requests: bool
    """Whether the client keeps its requests and prompts too."""
    several_blocks: bool
    """Whether answers differ in their blocks; else a text and one tool call."""
    median_result: int
    """Characters; 0: evenly spread."""


SHAPES = {
    "client": Shape(requests=True, several_blocks=True, median_result=1_500),
    "conversation": Shape(requests=False, several_blocks=True, median_result=1_500),
    "sparse": Shape(requests=False, several_blocks=False, median_result=0),
}


def write_history(folder: Path, megabytes: float, shape: str = "client", seed: int = 1) -> int:
    """Fills the folder; returns the number of steps."""
    chance = random.Random(seed)
    words = "".join(chance.choices('abcdefghijklmnopqrstuvwxyz    \\n"{}:,', k=200_000))
    left, number, steps = int(megabytes * 1_000_000), 0, 0
    while left > 0:
        number += 1
        project = f"/home/dev/project-{number % 7}"
        path = folder / "projects" / project.replace("/", "-") / f"session-{number:05d}.jsonl"
        at = _START + timedelta(hours=number * 3 % (364 * 24))
        size = min(left, chance.randint(*_SESSION_BYTES))
        left -= size
        session = _Session(SHAPES[shape], path.stem, project, at, words, chance)
        steps += session.write(path, size)
        if number % 4 == 0:
            agent = path.with_suffix("") / "subagents" / f"agent-{number}.jsonl"
            size = min(max(left, 0), _AGENT_BYTES)
            left -= size
            session = _Session(SHAPES[shape], path.stem, project, at, words, chance, f"{number}")
            steps += session.write(agent, size)
    return steps


class _Session:
    """The lines of one transcript."""

    def __init__(
        self,
        shape: Shape,
        session_id: str,
        project: str,
        at: datetime,
        words: str,
        chance: random.Random,
        agent_id: str = "",
    ) -> None:
        self._shape = shape
        self._words = words
        self._chance = chance
        self._model = chance.choice(MODELS)
        self._agent_id = agent_id
        self._name = f"{session_id}-{agent_id}" if agent_id else session_id
        self._at = at
        self._context = 20_000
        self._steps = 0
        self._who = {
            "userType": "external",
            "entrypoint": "cli",
            "cwd": project,
            "sessionId": session_id,
            "version": "2.1.330",
            "gitBranch": "main",
        }

    def write(self, path: Path, size: int) -> int:
        """A file of at least so many bytes; returns its steps."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("w", encoding="utf-8") as file:
            lines = self._start()
            while written < size:
                for line in lines:
                    written += file.write(json.dumps(line, separators=(",", ":")) + "\n")
                lines = self._step()
        return self._steps

    def _start(self) -> Iterator[Line]:
        """What a session begins with, of the sizes measured."""
        if self._shape.requests and not self._agent_id:
            for kind, size in {"environment": 500, "agent_listing_delta": 1_900}.items():
                yield self._attachment(kind, self._text(size), twice=True)
            yield self._attachment("skill_listing", self._text(6_500), twice=True)
            yield self._attachment("prompt_snapshot", self._text(28_000), twice=False)
            yield {"type": "api-request-shape", "shape": {"system": self._text(78_000)}}

    def _step(self) -> Iterator[Line]:
        """One request, its answer and the results of its tool calls."""
        if self._steps % 10 == 0:
            yield self._user(self._text(300))
        self._steps += 1
        if self._shape.requests:
            reminder = "<total_tokens>15000000 tokens left</total_tokens>"
            yield self._attachment("total_tokens_reminder", reminder, twice=True)
            params = {"model": self._model, "betas": [self._text(300)], "tools": self._text(400)}
            yield {
                "type": "api-request",
                "sessionId": self._who["sessionId"],
                "id": self._uuid(),
                "timestamp": self._time(),
                "params": params,
                "requestDigest": self._text(64),
            }
        self._at += timedelta(seconds=self._chance.randint(5, 90))
        usage = self._usage()
        calls = []
        for number, block in enumerate(self._blocks()):
            yield self._answer(block, number, usage)
            calls += [block["id"]] if block["type"] == "tool_use" else []
        for call in calls:
            yield self._result(call)

    def _blocks(self) -> Iterator[Line]:
        chance, several = self._chance, self._shape.several_blocks
        if several and chance.random() < 0.5:
            signature = self._text(chance.randint(300, 1_500))
            yield {"type": "thinking", "thinking": "", "signature": signature}
        if not several or chance.random() < 0.67:
            yield {"type": "text", "text": self._text(self._length(400))}
        for number in range(chance.choice((1, 1, 1, 2, 2)) if several else 1):
            yield {
                "type": "tool_use",
                "id": f"toolu_{self._name}_{self._steps}_{number}",
                "name": "Bash",
                "input": {"command": self._text(self._length(300)), "description": "Do it"},
            }

    def _answer(self, block: Line, number: int, usage: Line) -> Line:
        message = {
            "id": f"msg_{self._name}_{self._steps}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [block],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": usage,
            "stop_details": None,
        }
        return self._linked() | {
            "message": message,
            "apiBlockIndex": number,
            "requestId": f"req_{self._name}_{self._steps}",
            "requestRef": self._uuid(),
            "requestedModel": self._model,
            "promptCacheRequested": "1h",
            "type": "assistant",
            "uuid": self._uuid(),
            "timestamp": self._time(),
            "effort": "high",
            "perTurnEffort": None,
            "madeBy": "model",
            **self._who,
        }

    def _usage(self) -> Line:
        chance = self._chance
        added = chance.randint(200, 4_000)
        self._context += added
        return {
            "input_tokens": chance.randint(2, 12),
            "cache_creation_input_tokens": added,
            "cache_read_input_tokens": self._context - added,
            "output_tokens": chance.randint(50, 1_500),
            "output_tokens_details": {"thinking_tokens": chance.randint(0, 50)},
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
            "service_tier": "standard",
            "cache_creation": {
                "ephemeral_1h_input_tokens": added,
                "ephemeral_5m_input_tokens": 0,
            },
            "inference_geo": "",
            "iterations": [],
            "speed": "standard",
            "fallback_credit": None,
        }

    def _result(self, call: str) -> Line:
        median = self._shape.median_result
        even = self._chance.randint(500, 20_000)
        text = self._text(self._length(median) if median else even)
        block = {"tool_use_id": call, "type": "tool_result", "content": text}
        return self._user([block]) | {
            "toolUseResult": {"stdout": text, "stderr": "", "interrupted": False},
            "sourceToolAssistantUUID": self._uuid(),
        }

    def _user(self, content: str | list[Line]) -> Line:
        return self._linked() | {
            "promptId": f"prompt-{self._steps // 10}",
            "type": "user",
            "message": {"role": "user", "content": content},
            "uuid": self._uuid(),
            "timestamp": self._time(),
            "permissionMode": "default",
            **self._who,
        }

    def _attachment(self, kind: str, text: str, twice: bool) -> Line:
        reminder = f"<system-reminder>\n{text}\n</system-reminder>" if twice else ""
        return self._linked() | {
            "attachment": {"type": kind, "text": text},
            "type": "attachment",
            "uuid": self._uuid(),
            "timestamp": self._time(),
            "rendered": [{"content": reminder}],
            **self._who,
        }

    def _linked(self) -> Line:
        agent = {"agentId": self._agent_id} if self._agent_id else {}
        return {"parentUuid": self._uuid(), "isSidechain": bool(self._agent_id), **agent}

    def _time(self) -> str:
        self._at += timedelta(milliseconds=self._chance.randint(1, 900))
        return self._at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self._at.microsecond // 1000:03d}Z"

    def _uuid(self) -> str:
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _length(self, median: int) -> int:
        return min(_LONGEST, int(median * self._chance.lognormvariate(0, 1.2)))

    def _text(self, length: int) -> str:
        start = self._chance.randrange(len(self._words) - length)
        return self._words[start : start + length]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--shape", choices=SHAPES, default="client")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    steps = write_history(options.folder, options.megabytes, options.shape, options.seed)
    print(f"{steps} steps")


if __name__ == "__main__":
    main()
