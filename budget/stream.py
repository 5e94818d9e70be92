"""Steps from the client's message stream, for sessions that leave no transcript.

The client can be told to keep none (`--no-session-persistence`). Its messages then tell of each
step with a placeholder for the output (one token, 2.1.330), and of a subagent only the steps that
call tools. What is missing stands in the result's `modelUsage`: it is booked per model as one more
entry that is no step of its own.
"""

from collections.abc import Mapping
from typing import Any

from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.pricing import Table
from budget.result import Result
from budget.status import iso_ms
from budget.steps import Writer, step_of

# Of every count: `model_totals` and entries hold cache writes of both kinds.
_SUMS = (
    "coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
    " coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_5m_tokens), 0),"
    " coalesce(sum(cache_write_1h_tokens), 0), coalesce(sum(web_searches), 0)"
)


def steps_of(
    message: Mapping[str, Any], session_id: str, parent: str, user: str, now_ms: int
) -> list[Step]:
    """What a message of the API in the stream tells of: the step, and advisors within it.

    `message` has `id`, `model` and `usage`; `parent` is the tool call that started the agent, or
    empty. A message that tells of no usage, or a damaged one, is no step.
    """
    line = {
        "type": "assistant",
        "message": {**message, "content": []},
        "timestamp": iso_ms(now_ms),
        "uuid": message.get("id"),
    }
    agent = ("subagent", parent) if parent else ("main", "")
    try:
        found = step_of(line, Writer(session_id, *agent, user), "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return found.steps if found else []


def book_rest(ledger: Ledger, table: Table, result: Result, user: str, now_ms: int) -> None:
    """Books what the client counted for each model beyond the steps. Inside a transaction.

    Done again with a later result of the session, it is raised, never doubled.
    """
    booked = _booked(ledger, result.session_id)
    # A gateway may answer under another name than was asked for, by which the client counts.
    others = [usage for model, usage in booked.items() if model not in result.models]
    rests = {
        model: _beyond(total.usage, booked.get(model, Usage()))
        for model, total in result.models.items()
    }
    if others and rests:
        largest = max(rests, key=lambda model: rests[model].prompt_tokens)
        for usage in others:
            rests[largest] = _beyond(rests[largest], usage)
    steps = [
        _rest(result.session_id, model, usage, user, now_ms)
        for model, usage in rests.items()
        if any(usage)
    ]
    ledger.book(steps, table)


def _booked(ledger: Ledger, session_id: str) -> dict[str, Usage]:
    """The steps of a session by model, without what this module added."""
    rows = ledger.rows(
        f"SELECT model, {_SUMS} FROM entries WHERE session_id = ?"
        " AND message_id NOT LIKE session_id || '/result/%' GROUP BY model",
        session_id,
    )
    return {row[0]: Usage(*row[1:]) for row in rows}


def _beyond(usage: Usage, known: Usage) -> Usage:
    return Usage(*(max(0, ours - theirs) for ours, theirs in zip(usage, known, strict=True)))


def _rest(session_id: str, model: str, usage: Usage, user: str, now_ms: int) -> Step:
    return Step(
        message_id=f"{session_id}/result/{model}",
        session_id=session_id,
        agent="main",
        agent_id="",
        prompt_id="",
        branch="",
        model=model,
        at_ms=now_ms,
        usage=usage,
        responses=0,
        user=user,
    )
