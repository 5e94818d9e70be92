"""Decodes the line of a step by the types it has, in half the time a general parser takes.

msgspec checks the whole line, keeps the fields named here and passes over all others. A line of
any other form (a type that differs, damaged text, what clients before 2.1.100 repeat of agents)
goes the general way, `transcript.decoded`: that says what a line means, and this must
agree.
"""

from functools import lru_cache
from typing import Annotated, Any

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from budget import transcript
from budget.model import MAX_SEARCHES, MAX_TOKENS, Step
from budget.steps import (
    Found,
    Writer,
    advisors_of,
    clean,
    milliseconds,
    parts_of,
    priced_model,
    used,
)

_Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


class _Split(Struct, gc=False):
    ephemeral_5m_input_tokens: _Count = 0
    ephemeral_1h_input_tokens: _Count = 0


class _Tools(Struct, gc=False):
    web_search_requests: Annotated[int, Meta(ge=0, le=MAX_SEARCHES)] = 0


class _Usage(Struct, gc=False):
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0
    cache_creation: _Split | None = None
    server_tool_use: _Tools | None = None
    speed: str | None = None
    inference_geo: str | None = None
    service_tier: str | None = None
    iterations: list[Any] | None = None


class _Block(Struct, gc=False):
    type: str = ""
    id: str | None = None


class _Message(Struct, gc=False):
    id: str = ""
    model: str = ""
    content: list[_Block] | str | None = None
    usage: _Usage | None = None


class _Line(Struct, gc=False):
    """`costUSD` is of any type: only a line without it is decoded here."""

    type: str
    message: _Message | None = None
    timestamp: str = ""
    requestedModel: str | None = None  # noqa: N815 - the client's name
    requestSessionId: str | None = None  # noqa: N815
    gitBranch: str | None = None  # noqa: N815
    costUSD: Any = None  # noqa: N815


_decode = Decoder(_Line).decode
_NO_SPLIT, _NO_TOOLS = _Split(), _Tools()
# Names recur: of models, branches, tiers.
_name = lru_cache(maxsize=256)(clean)


@lru_cache(maxsize=256)
def _names(*told: str | None) -> tuple[str, ...]:
    return tuple(map(clean, told))


_model = lru_cache(maxsize=256)(priced_model)


def decoded(line: bytearray, writer: Writer, prompt_id: str) -> Found | None:
    """The same as `transcript.decoded`, for every line."""
    try:
        told = _decode(line)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return transcript.decoded(line, writer, prompt_id)
    message = told.message
    usage = message.usage if message else None
    if (
        told.type != "assistant"
        or message is None
        or usage is None
        or not message.id
        or message.model == "<synthetic>"
        or told.costUSD is not None
    ):
        return transcript.decoded(line, writer, prompt_id)
    split, tools = usage.cache_creation or _NO_SPLIT, usage.server_tool_use or _NO_TOOLS
    session_id = _name(told.requestSessionId) or writer.session_id
    counts = used(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        split.ephemeral_5m_input_tokens,
        split.ephemeral_1h_input_tokens,
        tools.web_search_requests,
    )
    iterations = usage.iterations
    branch, speed, geo, tier = _names(
        told.gitBranch, usage.speed, usage.inference_geo, usage.service_tier
    )
    step = Step._make(
        (
            clean(message.id),
            session_id,
            writer.agent,
            writer.agent_id,
            prompt_id,
            branch,
            _model(told.requestedModel, message.model),
            milliseconds(told.timestamp),
            counts,
            speed,
            geo,
            tier,
            1,
            parts_of(iterations, counts) if iterations else (),
            None,
            writer.session_id if session_id != writer.session_id else "",
            writer.user,
        )
    )
    content = message.content
    if isinstance(content, list):
        calls = " ".join([clean(block.id) for block in content if block.type == "tool_use"])
    else:
        calls = ""
    steps = [step, *advisors_of(iterations, step)] if iterations else [step]
    return Found._make((steps, calls))
