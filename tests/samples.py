"""Transcripts as the client writes them (2.1.330), line by line, and what a ledger then holds."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from budget.chain import GUARD
from budget.model import Spend, Step, Usage
from budget.places import Place
from budget.pricing import Table
from budget.transcript import Batch, Cursor, read
from budget.windows import SPANS

SESSION = "5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11"
MODEL = "claude-sonnet-5"
AT = "2026-11-23T10:00:00.000Z"
AT_MS = 1_795_428_000_000
"""`AT` in milliseconds."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# One US dollar per million tokens, in picodollars per token.
RATE = 10**6

ROUND_TABLE = Table(
    version="round",
    models={
        "claude-sonnet-5": [
            {
                "from": None,
                "input": "1",
                "output": "10",
                "cache_read": "0.1",
                "cache_write_5m": "2",
                "cache_write_1h": "4",
                "web_search": "0.01",
            }
        ]
    },
    aliases={},
)
"""A table of one model with round prices."""


def line(value: object) -> bytes:
    """One line of a transcript: compact JSON, as the client writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def usage(output_tokens: int = 200, **more: object) -> dict[str, object]:
    """A usage of 10 input, 30,000 cache-read and 1,000 five-minute cache-write tokens."""
    return {
        "input_tokens": 10,
        "cache_creation_input_tokens": 1_000,
        "cache_read_input_tokens": 30_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
        **more,
    }


USAGE = Usage(10, 200, 30_000, 1_000, 0, 0)
"""What `usage()` says."""


def assistant(
    message_id: str,
    used: object = None,
    *,
    at: str = AT,
    tools: Iterable[str] = (),
    content: list[dict[str, Any]] | None = None,
    **message: object,
) -> dict[str, Any]:
    """One line of a step; without `used` it carries `usage()`."""
    calls = [{"type": "tool_use", "id": tool, "name": "Bash", "input": {}} for tool in tools]
    return {
        "parentUuid": "8b7e0b7e-0001",
        "isSidechain": False,
        "gitBranch": "main",
        "message": {
            "model": MODEL,
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "content": content or calls or [{"type": "text", "text": "done"}],
            "usage": usage() if used is None else used,
            **message,
        },
        "requestId": f"req_{message_id}",
        "type": "assistant",
        "uuid": f"uuid-of-{message_id}",
        "timestamp": at,
        "sessionId": SESSION,
    }


def step_line(message_id: str, used: object = None, **more: Any) -> bytes:
    return line(assistant(message_id, used, **more))


def prompt_line(prompt_id: str, text: str = "hello") -> bytes:
    return line(
        {
            "parentUuid": None,
            "promptId": prompt_id,
            "type": "user",
            "message": {"role": "user", "content": text},
            "timestamp": AT,
        }
    )


def result_line(text: str) -> bytes:
    """A tool's result, whose text is outside text."""
    return line(
        {
            "parentUuid": "8b7e0b7e-0001",
            "type": "user",
            "message": {"role": "user", "content": [{"type": "tool_result", "content": text}]},
            "toolUseResult": {"stdout": text},
            "timestamp": AT,
        }
    )


class Found(NamedTuple):
    """What a file held beyond a cursor."""

    steps: list[Step]
    cursor: Cursor
    bad_lines: int

    @property
    def ids(self) -> list[str]:
        return [step.message_id for step in self.steps]


def read_on(path: Path, cursor: Cursor | None = None) -> Found:
    """All that was appended since `cursor`."""
    return joined(read(Place(str(path), SESSION), cursor or Cursor()), cursor)


def joined(batches: Iterator[Batch], cursor: Cursor | None = None) -> Found:
    steps: list[Step] = []
    bad_lines = 0
    for batch in batches:
        steps += batch.steps
        bad_lines += batch.bad_lines
        cursor = batch.cursor
    return Found(steps, cursor or Cursor(), bad_lines)


def a_step(message_id: str = "msg_1", used: Usage = USAGE, **more: Any) -> Step:
    """A step of the main thread at `AT`."""
    known = {
        "session_id": SESSION,
        "agent": "main",
        "agent_id": "",
        "prompt_id": "prompt-1",
        "branch": "main",
        "model": MODEL,
        "at_ms": AT_MS,
        **more,
    }
    return Step(message_id=message_id, usage=used, **known)


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """For examples of hypothesis, which share the fixtures of their test and are many."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def unguarded(ledger: str) -> sqlite3.Connection:
    """A connection that may change a ledger's tables: as someone who knows how it is guarded."""
    db = sqlite3.connect(ledger)
    db.create_function(GUARD, 0, int)
    return db


def rows(ledger: str, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a ledger's table, read past the code under test."""
    db = sqlite3.connect(ledger)
    try:
        return sorted(db.execute(f"SELECT {columns} FROM {table}"), key=repr)
    finally:
        db.close()


Totals = dict[tuple[Any, ...], Spend]
"""(span, start, model, agent, branch, user) to the sums."""


def stored_totals(ledger: str) -> Totals:
    """The totals a ledger keeps; those that are all zero say nothing and are left out."""
    found = {row[:6]: Spend(*row[6:]) for row in rows(ledger, "totals")}
    return {key: spend for key, spend in found.items() if spend != Spend()}


def folded_totals(ledger: str) -> Totals:
    """The same totals, added up from the entries and the unattributed amounts."""
    totals: Totals = {}

    def add(at_ms: int, session_id: str, what: tuple[str, ...], spend: Spend) -> None:
        buckets = [(span, at_ms - at_ms % size) for span, size in SPANS]
        for bucket in (*buckets, ("session", session_id), ("all", 0)):
            key = (*bucket, *what)
            totals[key] = totals.get(key, Spend()).plus(spend)

    facts = (
        "at_ms, session_id, model, agent, branch, user, responses, input_tokens, output_tokens,"
        " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_searches, picousd,"
        " bound_picousd, listed_picousd"
    )
    for at_ms, session_id, model, agent, branch, user, *counts in rows(ledger, "entries", facts):
        responses, *used, picousd, bound, listed = counts
        unpriced = int(picousd is None)
        spend = Spend(responses, *Usage(*used), picousd or 0, bound, listed, 0, unpriced)
        add(at_ms, session_id, (model, agent, branch, user), spend)
    amounts = rows(ledger, "unattributed", "session_id, quarter, user, picousd")
    for session_id, quarter, user, picousd in amounts:
        add(quarter, session_id, ("", "", "", user), Spend(unattributed_picousd=picousd))
    return {key: spend for key, spend in totals.items() if spend != Spend()}
