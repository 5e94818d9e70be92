"""What a line of a transcript says: the step it tells of, with what advisors used within it.

Source of the format and of every rule: Claude Code 2.1.330, measured 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from budget.lean import UTC, Any, NamedTuple, datetime, time
from budget.model import MAX_SEARCHES, MAX_TOKENS, PICO, Step, Usage

_INT = {int}


class Found(NamedTuple):
    steps: list[Step]
    """The step, and what advisor models used within it."""
    tools: str


class Writer(NamedTuple):
    """Who writes a transcript file: what all its steps have in common."""

    session_id: str
    agent: str = "main"
    agent_id: str = ""
    user: str = ""


def step_of(line: dict[str, Any], writer: Writer, prompt_id: str) -> Found | None:
    """What a line tells of; None for a line that is no API response.

    Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for a damaged one.
    """
    if line.get("type") == "progress":
        # Clients of 2.1.0 to 2.1.100 or so repeat an agent's answers in the parent's transcript.
        told = line.get("data")
        if not isinstance(told, dict) or not isinstance(told.get("message"), dict):
            return None
        line = told["message"]
        writer = writer._replace(agent="subagent", agent_id=clean(told.get("agentId")))
    if line.get("type") != "assistant":
        return None
    message = line["message"]
    if not isinstance(message, dict):
        raise TypeError("message")
    answered_by = clean(message.get("model"))
    if answered_by == "<synthetic>" or message.get("usage") is None:
        return None  # the client's own words (an API error, an interruption): nothing was used
    message_id = clean(message.get("id")) or clean(line.get("requestId")) or clean(line["uuid"])
    if not message_id:
        raise ValueError("no message id")
    raw = message["usage"]
    usage = _usage(raw)
    session_id = clean(line.get("requestSessionId")) or writer.session_id
    iterations = raw.get("iterations")
    step = Step(
        message_id,
        session_id,
        writer.agent,
        writer.agent_id,
        prompt_id,
        clean(line.get("gitBranch")),
        priced_model(line.get("requestedModel"), answered_by),
        milliseconds(line["timestamp"]),
        usage,
        clean(raw.get("speed")),
        clean(raw.get("inference_geo")),
        clean(raw.get("service_tier")),
        responses=1,
        parts=parts_of(iterations, usage) if iterations else (),
        stated_picousd=stated_picousd(line.get("costUSD")),
        copied_into=writer.session_id if session_id != writer.session_id else "",
        user=writer.user,
    )
    steps = [step, *advisors_of(iterations, step)] if iterations else [step]
    return Found(steps, _tool_use_ids(message.get("content")))


def priced_model(requested: object, answered_by: object) -> str:
    """The client prices what it asked for, whatever the answer names (2.1.330, 2026-11-23).

    An alias of the person's own (a Bedrock profile) says nothing, and the answer's name is better.
    """
    asked_for, answered = clean(requested), clean(answered_by)
    return asked_for if "claude" in asked_for.lower() else answered or asked_for


def _tool_use_ids(content: Any) -> str:
    return " ".join(
        clean(block.get("id"))
        for block in _list(content)
        if isinstance(block, dict) and block.get("type") == "tool_use"
    )


def parts_of(iterations: Any, usage: Usage) -> tuple[Usage, ...]:
    """The iterations of a step, where they are several and add up to it (else they tell nothing).

    The client decides on a long-prompt rate for each of them. 1-hour writes that only the total
    tells of go to the iterations without a split, in order.
    """
    messages = [each for each in _list(iterations) if _is_iteration(each, "message")]
    parts = [_usage(each) for each in messages]
    if len(parts) < 2:
        return ()
    hour_writes = usage.cache_write_1h_tokens - sum(each.cache_write_1h_tokens for each in parts)
    for number, (raw, part) in enumerate(zip(messages, parts, strict=True)):
        moved = min(max(0, hour_writes), _unsplit_writes(raw))
        hour_writes -= moved
        parts[number] = part._replace(
            cache_write_5m_tokens=part.cache_write_5m_tokens - moved,
            cache_write_1h_tokens=part.cache_write_1h_tokens + moved,
        )
    sums = tuple(map(sum, zip(*parts, strict=True)))
    return tuple(parts) if sums[:5] == usage[:5] else ()


def _unsplit_writes(raw: dict[str, Any]) -> int:
    """Cache writes of a usage that its own split does not tell of."""
    split = raw.get("cache_creation")
    told = split if isinstance(split, dict) else {}
    hour, minutes = told.get("ephemeral_1h_input_tokens"), told.get("ephemeral_5m_input_tokens")
    return max(0, (raw.get("cache_creation_input_tokens") or 0) - (hour or 0) - (minutes or 0))


def advisors_of(iterations: Any, step: Step) -> Iterator[Step]:
    """What advisor models used within a step: priced on their model, `us` as the step.

    Source: the client's costUSD (2.1.330, measured 2026-11-23). Their `speed` and web searches
    are not charged, nor is an advisor without a model.
    """
    for number, each in enumerate(_list(iterations)):
        if _is_iteration(each, "advisor_message") and each.get("model"):
            yield step._replace(
                message_id=f"{step.message_id}/advisor-{number}",
                model=clean(each["model"]),
                usage=_usage(each)._replace(web_searches=0),
                speed="",
                responses=0,
                parts=(),
                stated_picousd=None,
            )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_iteration(value: object, kind: str) -> bool:
    return isinstance(value, dict) and value.get("type") == kind


def stated_picousd(usd: object) -> int | None:
    if not isinstance(usd, int | float) or isinstance(usd, bool) or not 0 <= usd < 10**6:
        return None
    return round(usd * PICO)


def _usage(raw: Any) -> Usage:
    """Raises `ValueError` for a count that is none."""
    split = raw.get("cache_creation")
    tools = raw.get("server_tool_use")
    has_split = isinstance(split, dict)
    counts = (
        raw.get("input_tokens"),
        raw.get("output_tokens"),
        raw.get("cache_read_input_tokens"),
        raw.get("cache_creation_input_tokens"),
        split.get("ephemeral_5m_input_tokens") if has_split else 0,
        split.get("ephemeral_1h_input_tokens") if has_split else 0,
        tools.get("web_search_requests") if isinstance(tools, dict) else 0,
    )
    return _counted(counts)


def _counted(counts: tuple[Any, ...]) -> Usage:
    """A usage of its counts as the API states them, None for one that is missing.

    They are: input, output, cache reads, cache writes in all, of these for 5 minutes and for
    1 hour, web searches. Raises `ValueError` for a count that is none.
    """
    numbers = [0 if count is None else count for count in counts]
    # The types themselves, not `isinstance`: true and false are no counts.
    if {*map(type, numbers)} != _INT or min(numbers) < 0 or max(numbers) > MAX_TOKENS:
        raise ValueError("not a count")
    if numbers[-1] > MAX_SEARCHES:
        raise ValueError("not a count of searches")
    return used(*numbers)


def used(
    tokens_in: int,
    tokens_out: int,
    cache_read: int,
    write: int,
    write_5m: int,
    write_1h: int,
    searches: int,
) -> Usage:
    """A usage of those counts: see `_counted`."""
    # Of the total, what the split does not call a 1-hour write is a 5-minute write; without a
    # total the split stands alone.
    total = write or write_5m + write_1h
    write_1h = min(write_1h, total)
    return Usage._make((tokens_in, tokens_out, cache_read, total - write_1h, write_1h, searches))


def milliseconds(timestamp: object) -> int:
    """Since the epoch. Raises `TypeError` or `ValueError` for what is no time."""
    if not isinstance(timestamp, str):
        raise TypeError("timestamp")
    # The client's own form, `2026-11-23T06:39:21.434Z`: day and minute are looked up.
    if len(timestamp) == 24 and timestamp[23] == "Z" and timestamp[19] == ".":
        minute_ms = _day_ms(timestamp[:10]) + _clock_ms(timestamp[11:16])
        return minute_ms + int(timestamp[17:19] + timestamp[20:23])
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


@lru_cache(maxsize=64)
def _day_ms(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00Z").timestamp()) * 1000


@lru_cache(maxsize=1440)
def _clock_ms(clock: str) -> int:
    moment = time.fromisoformat(clock)
    return (moment.hour * 60 + moment.minute) * 60_000


def clean(value: object, limit: int = 200) -> str:
    """Outside text made safe to store and to print: one line, no control characters, bounded."""
    if not isinstance(value, str):
        return ""
    if len(value) <= limit and value.isprintable():
        return value
    text = value[:limit].encode("utf-8", "replace").decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
