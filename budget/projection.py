"""What the next step will use, told from the steps before it. Pure.

A step reads the whole context and adds to it, so most of its cost is known before it is made:

    context      = the last step's prompt + its output (the client's own count: `preTokens`)
    read again   = what the last step read from the cache and wrote to it
    written      = the last step's output + the tool results + the client's reminders
    output       = unknown; well above the largest of the agent's recent ones

A cache that expired is written anew, whole. Source: Claude Code 2.1.330, measured 2026-11-23: every
request marks its last message for the cache, so a step's prompt is cached but for a few tokens.
How well this holds is in docs/projection.md; `bench/overshoot.py` measures it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from budget.lean import Any, NamedTuple
from budget.model import Spend, Step, Usage
from budget.pricing import Table, price

RECENT = 30
"""How many of an agent's last steps are worth handing in."""

# Characters that make a token: 2.69 of TypeScript, 3.60 of English in the tokenizer of Opus 4.7 and
# newer models, more in older ones (published measurements with the API's own counter, April 2026).
# Tool results are mostly code and logs, and too few tokens let a limit be passed: so 2.7.
_BYTES_PER_10_TOKENS = 27
# An image costs by its size on the screen, not by its bytes: width x height / 750, at most about
# 1,600 (documented).
IMAGE_TOKENS = 1_600
# Around each batch of results: a reminder of some 120 characters, and the results' own frames.
OVERHEAD_TOKENS = 60
# A prompt that is smaller than any of the client's own does not follow the context either.
_SMALLEST_PROMPT = 8_000
# What a step that writes a small file answers with; room for it is kept in a real context.
LONG_OUTPUT_TOKENS = 2_000

# The client's first request without any history, in characters of JSON: 28,946 of system prompt,
# 48,047 of tools, 11,369 of messages; a general-purpose agent's 3,539, 37,236 and 9,373
# (2.1.330, 2026-11-23). By 2.7 characters per token:
FIRST_PROMPT_TOKENS = 33_000
FIRST_AGENT_PROMPT_TOKENS = 19_000
FIRST_OUTPUT_TOKENS = 500

TTL_5M_MS = 300_000
TTL_1H_MS = 3_600_000


class Projection(NamedTuple):
    """The next step as it is expected."""

    step: Step
    """Its usage is the estimate, its time the request's, its message id empty."""
    picousd: int
    """What budgets count for it."""
    basis: str
    """`repeated`, `grown`, `expired`, `rewritten`, `first` or `default`: what it was told from.

    Nothing is known of a `default`: it is fit to be shown, not to refuse a step by.
    """


def next_step(
    recent: Sequence[Step],
    added_bytes: int | None,
    now_ms: int,
    table: Table,
    rewritten_tokens: int | None = None,
) -> Projection:
    """The next step of the agent whose last steps are `recent`, in their order, one at least.

    `added_bytes` is what joins the context before it: tool results (`bytes_of_results`) or a
    prompt; None when that is not known yet. `now_ms` is when it is made: the cache may have
    expired. `rewritten_tokens` is the size of a context that was made anew since the last step, by
    a compaction.

    Steps of constant cost are estimated exactly: a step that repeats the prompt of the one before
    it, to the token, is expected once more. Its usage does not follow the context (a gateway's, a
    test's). Of a single step that cannot be told, so the dearer of both is expected.
    """
    last = recent[-1]
    repeated = last.parts[-1] if last.parts else last.usage
    grown = _grown(recent, repeated, added_bytes, now_ms)
    if rewritten_tokens is not None:
        tokens = rewritten_tokens + _added(recent, added_bytes)
        return _projection(recent, _writing(tokens, repeated, recent), "rewritten", now_ms, table)
    if len(recent) > 1:
        if _prompt_side(recent[-2].usage) == _prompt_side(last.usage):
            return _projection(recent, last.usage, "repeated", now_ms, table)
        return _projection(recent, *grown, now_ms, table)
    again = _projection(recent, last.usage, "repeated", now_ms, table)
    if repeated.prompt_tokens < _SMALLEST_PROMPT:
        return again
    return max(_projection(recent, *grown, now_ms, table), again, key=lambda each: each.picousd)


def _grown(
    recent: Sequence[Step], used: Usage, added_bytes: int | None, now_ms: int
) -> tuple[Usage, str]:
    """The prompt that follows from the last step's, and whether its cache is still there."""
    new = used.output_tokens + _added(recent, added_bytes)
    cached = used.cache_read_tokens + written(used)
    if not cached:
        return Usage(input_tokens=used.prompt_tokens + new), "grown"
    expires = expires_at_ms(recent)
    if expires is not None and now_ms >= expires:
        return _writing(used.prompt_tokens + new, used, recent), "expired"
    # The few tokens that are not cached are so again.
    usage = _writing(used.input_tokens + new, used, recent)
    return usage._replace(cache_read_tokens=cached), "grown"


def _projection(
    recent: Sequence[Step], prompt: Usage, basis: str, now_ms: int, table: Table
) -> Projection:
    """A prompt with the output that the agent's recent steps lead one to expect."""
    usage = prompt._replace(
        output_tokens=high_output(recent),
        web_searches=max(step.usage.web_searches for step in recent),
    )
    step = _with(recent[-1], usage)._replace(message_id="", at_ms=now_ms)
    return Projection(step, cost(step, table), basis)


def _with(step: Step, usage: Usage) -> Step:
    """The step with another usage; what was said of the old one in other ways goes."""
    if usage == step.usage:
        return step
    return step._replace(usage=usage, parts=(), stated_picousd=None)


def first_step(
    firsts: Sequence[Step], table: Table, now_ms: int, unknown: Step, model: str = ""
) -> Projection:
    """The first step of a new agent or session, from the first steps of earlier ones.

    `firsts` are those of the same agent type, else of any agent, else the session's own first step:
    the dearest of them is expected, priced as `model` when that is known. `unknown` says whose it
    is (agent, model, session) when there are none; then it is the client's own prompt without any
    history, written to the cache.
    """
    basis = "first"
    steps = list(firsts)
    if steps:
        output = high_output(steps)
        steps = [_with(step, step.usage._replace(output_tokens=output)) for step in steps]
    else:
        basis = "default"
        tokens = FIRST_PROMPT_TOKENS if unknown.agent == "main" else FIRST_AGENT_PROMPT_TOKENS
        usage = Usage(output_tokens=FIRST_OUTPUT_TOKENS, cache_write_5m_tokens=tokens)
        steps = [unknown._replace(usage=usage, parts=())]
    steps = [
        step._replace(message_id="", at_ms=now_ms, model=model or step.model) for step in steps
    ]
    expected = [Projection(step, cost(step, table), basis) for step in steps]
    return max(expected, key=lambda each: each.picousd)


def cost(step: Step, table: Table) -> int:
    """What budgets count for a step, in picodollars: an unpriced one at its bound."""
    priced = price(step, table)
    return (priced.picousd or 0) + priced.bound_picousd


def spend(step: Step, table: Table) -> Spend:
    """A step as `evaluate.spent` takes it, for limits in any unit."""
    priced = price(step, table)
    counts = Spend(1, *step.usage)
    return counts._replace(picousd=priced.picousd or 0, bound_picousd=priced.bound_picousd)


# -- what joins the context ------------------------------------------------------------------------


def bytes_of_results(tool_calls: object) -> int:
    """The size of a batch's results as the model sees them, from the hook's `tool_calls`.

    `PostToolBatch` carries them whole: `tool_response` is the text, with line numbers, errors and
    the preview that stands for more than 50 KB, or a list of blocks (2.1.330, 2026-11-23).
    """
    calls = tool_calls if isinstance(tool_calls, list) else []
    return sum(_size(call.get("tool_response")) for call in calls if isinstance(call, dict))


def _size(response: Any) -> int:
    if isinstance(response, str):
        return len(response.encode("utf-8", "replace"))
    if isinstance(response, dict):
        if "source" in response:  # an image, or a document: in base64
            return IMAGE_TOKENS * _BYTES_PER_10_TOKENS // 10
        return _size(response.get("text") or response.get("content"))
    return sum(map(_size, response)) if isinstance(response, list) else 0


def tokens_of(size: int) -> int:
    """Tokens in so many bytes of text, rounded up."""
    return -(-size * 10 // _BYTES_PER_10_TOKENS)


def _added(recent: Sequence[Step], added_bytes: int | None) -> int:
    """Tokens that join the context beside the last output."""
    if added_bytes is not None:
        return tokens_of(added_bytes) + OVERHEAD_TOKENS
    known = [
        after.usage.prompt_tokens - context_tokens(before) for before, after in pairwise(recent)
    ]
    return max(OVERHEAD_TOKENS, *known) if known else OVERHEAD_TOKENS


# -- the cache -------------------------------------------------------------------------------------


def context_tokens(step: Step) -> int:
    """The context after a step: what it read and what it answered."""
    used = step.parts[-1] if step.parts else step.usage
    return used.prompt_tokens + used.output_tokens


def written(usage: Usage) -> int:
    """Tokens written to the cache, for 5 minutes or an hour."""
    return usage.cache_write_5m_tokens + usage.cache_write_1h_tokens


def ttl_ms(recent: Iterable[Step]) -> int:
    """How long the cache lives, by the newest step that wrote to it; 5 minutes if none did."""
    for step in reversed(list(recent)):
        if written(step.usage):
            hour = step.usage.cache_write_1h_tokens >= step.usage.cache_write_5m_tokens
            return TTL_1H_MS if hour else TTL_5M_MS
    return TTL_5M_MS


def expires_at_ms(recent: Sequence[Step]) -> int | None:
    """When the context is cached no more: each step renews it. None when nothing is cached."""
    last = recent[-1]
    if not last.usage.cache_read_tokens and not written(last.usage):
        return None
    return last.at_ms + ttl_ms(recent)


def _writing(tokens: int, used: Usage, recent: Sequence[Step]) -> Usage:
    """A prompt that is written to the cache, but for the few tokens that never are."""
    rest = min(used.input_tokens, tokens)
    if ttl_ms(recent) == TTL_1H_MS:
        return Usage(input_tokens=rest, cache_write_1h_tokens=tokens - rest)
    return Usage(input_tokens=rest, cache_write_5m_tokens=tokens - rest)


def _prompt_side(usage: Usage) -> Usage:
    return usage._replace(output_tokens=0, web_searches=0)


def high_output(steps: Sequence[Step]) -> int:
    """Output tokens to expect after these: the same, or well above the largest.

    The tail is long: a step that writes a file answers with ten times as much as one that runs a
    command. So of few outputs the largest is doubled, and a real context is taken to lead to
    `LONG_OUTPUT_TOKENS`. With these figures `bench/overshoot.py` passes less than 1 limit in 100.
    """
    counts = [step.usage.output_tokens for step in steps]
    largest = max(counts)
    if min(counts) == largest:
        return largest
    least = LONG_OUTPUT_TOKENS if steps[-1].usage.prompt_tokens >= _SMALLEST_PROMPT else 0
    return max(least, largest * 3 // 2 if len(counts) >= 10 else largest * 2)
