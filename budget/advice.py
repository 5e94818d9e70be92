"""When to compact or to clear, in dollars. Pure.

Every step pays for reading its whole context. A compaction reads it once more, writes a summary,
and what remains is written to the cache anew; from then on every step reads less.

Source: Claude Code 2.1.330, measured 2026-11-23. A compaction, typed or automatic, is one request
on the session's model with the same system prompt, tools and messages, so a warm cache is read.
What the last step added comes after the last mark for the cache and is plain input, with some 6,500
characters of instruction. The context after it: the system prompt, tools and reminders of a first
step, the summary, the end of the conversation, and up to five files that were read last.
`compact_boundary` names `preTokens` (the last prompt and its output) and `postTokens` (the client's
guess at what is kept, without system prompt and tools).
"""

from __future__ import annotations

from collections.abc import Sequence

from budget.lean import NamedTuple
from budget.model import PICO, Step, Usage
from budget.pricing import Table
from budget.projection import (
    TTL_1H_MS,
    context_tokens,
    cost,
    expires_at_ms,
    tokens_of,
    ttl_ms,
    written,
)

INSTRUCTION_TOKENS = tokens_of(6_500)
SUMMARY_TOKENS = 4_000
"""What a compaction is taken to answer, thinking included; `max_tokens` allows 64,000."""
KEPT_TOKENS = 10_000
"""What stands beside the first step's prompt after a compaction: summary, last messages, files."""
# System prompt and tools have a mark of their own: the compaction has just read or written them.
# They are 77 of the 88 KB of a first step's prompt (2.1.330, 2026-11-23).
_CACHED_EIGHTHS_OF_BASE = 7


class Thresholds(NamedTuple):
    """From when on something is worth saying: the table `[advice]`."""

    context_tokens: int = 100_000
    """Below this size nothing is said; 0: never."""
    min_saving_picousd: int = PICO // 10
    """What following the advice must save; `min_saving_usd`."""
    pays_back_steps: int = 20
    """Over how many further steps."""


DEFAULTS = Thresholds()


class Compaction(NamedTuple):
    """What a compaction now would cost and save. Money in picodollars."""

    request_picousd: int
    """The request itself."""
    after_tokens: int
    """The context after it."""
    anew_picousd: int
    """What that costs in the first step after it: mostly written to the cache."""
    extra_picousd: int
    """Request and first step after it, beyond what that step costs without: what must come in."""
    saved_per_step_picousd: int
    """In each later step, from the second on."""

    @property
    def pays_back_steps(self) -> int | None:
        """With which step after it it has come in; None: never."""
        if self.saved_per_step_picousd <= 0:
            return None
        return 1 + max(0, -(-self.extra_picousd // self.saved_per_step_picousd))

    def saving(self, steps: int) -> int:
        """What it has saved after so many steps; negative while it has not come in."""
        return self.saved_per_step_picousd * (steps - 1) - self.extra_picousd


class Advice(NamedTuple):
    """One action with its reason, in numbers. Money in picodollars."""

    kind: str
    """`compact`, `clear` or `none`."""
    reason: str
    """`pays back`, `expired`; of `none`: `small` or `does not pay`."""
    context_tokens: int
    after_tokens: int
    """The context after the action."""
    read_picousd: int
    """What the context costs in each step, and in the next prompt while the cache is warm."""
    write_picousd: int
    """What it costs in the next prompt once the cache has expired."""
    expires_at_ms: int | None
    """When that is; None when nothing is cached."""
    costs_picousd: int
    """Of a compaction: the request, and what remains in the first step after it."""
    saved_at_once_picousd: int
    """Of a `/clear`: in the next prompt."""
    saved_per_step_picousd: int
    pays_back_steps: int | None
    saving_picousd: int
    """Over the `pays_back_steps` of the thresholds."""


def advise(
    recent: Sequence[Step],
    base_tokens: int,
    now_ms: int,
    table: Table,
    thresholds: Thresholds = DEFAULTS,
) -> Advice:
    """What is worth doing between two prompts; `none` when nothing is.

    `recent` are the last steps of the main thread, one at least; `base_tokens` is the prompt of its
    first step: what a new session begins with. While the cache is warm a compaction is advised when
    it pays back. When it has expired a compaction would write the whole context as the next
    prompt does, so the way out is `/clear`, for work that does not need it.
    """
    last, tokens = recent[-1], context_tokens(recent[-1])
    expires = expires_at_ms(recent)
    known = Advice(
        kind="none",
        reason="small",
        context_tokens=tokens,
        after_tokens=tokens,
        read_picousd=reading(last, tokens, table),
        write_picousd=writing(recent, tokens, table),
        expires_at_ms=expires,
        costs_picousd=0,
        saved_at_once_picousd=0,
        saved_per_step_picousd=0,
        pays_back_steps=None,
        saving_picousd=0,
    )
    if not thresholds.context_tokens or tokens < thresholds.context_tokens:
        return known
    if expires is not None and now_ms >= expires:
        found = _clear(known, recent, base_tokens, table, thresholds)
    else:
        found = _compact(known, recent, base_tokens, now_ms, table, thresholds)
    enough = found.saving_picousd >= max(1, thresholds.min_saving_picousd)
    return found if enough else known._replace(reason="does not pay")


def _compact(
    known: Advice,
    recent: Sequence[Step],
    base_tokens: int,
    now_ms: int,
    table: Table,
    thresholds: Thresholds,
) -> Advice:
    made = compaction(recent, base_tokens, now_ms, table)
    return known._replace(
        kind="compact",
        reason="pays back",
        after_tokens=made.after_tokens,
        costs_picousd=made.request_picousd + made.anew_picousd,
        saved_per_step_picousd=made.saved_per_step_picousd,
        pays_back_steps=made.pays_back_steps,
        saving_picousd=made.saving(thresholds.pays_back_steps),
    )


def _clear(
    known: Advice, recent: Sequence[Step], base_tokens: int, table: Table, thresholds: Thresholds
) -> Advice:
    after = min(base_tokens, known.context_tokens)
    at_once = known.write_picousd - writing(recent, after, table)
    per_step = known.read_picousd - reading(recent[-1], after, table)
    return known._replace(
        kind="clear",
        reason="expired",
        after_tokens=after,
        saved_at_once_picousd=at_once,
        saved_per_step_picousd=per_step,
        pays_back_steps=1,
        saving_picousd=at_once + per_step * (thresholds.pays_back_steps - 1),
    )


def compaction(
    recent: Sequence[Step],
    base_tokens: int,
    now_ms: int,
    table: Table,
    kept_tokens: int = KEPT_TOKENS,
) -> Compaction:
    """What a compaction at this moment would cost and save (see above for how it is billed)."""
    last = recent[-1]
    used = last.parts[-1] if last.parts else last.usage
    tokens = context_tokens(last)
    after = min(tokens, base_tokens + kept_tokens)
    # A step that wrote most of its prompt renewed the cache: what it added cannot be told.
    added = written(used) if written(used) * 2 < used.prompt_tokens else 0
    plain = Usage(input_tokens=INSTRUCTION_TOKENS + added, output_tokens=SUMMARY_TOKENS)
    expires = expires_at_ms(recent)
    prefix = used.prompt_tokens - added
    if expires is None:
        request = plain._replace(input_tokens=INSTRUCTION_TOKENS + used.prompt_tokens)
    elif now_ms < expires:
        request = plain._replace(cache_read_tokens=prefix)
    else:
        request = _writing(recent, prefix, plain)
    request_picousd = cost(_alike(last, request), table)
    cold = expires is not None and now_ms >= expires
    first = writing(recent, tokens, table) if cold else reading(last, tokens, table)
    cached = min(after, base_tokens * _CACHED_EIGHTHS_OF_BASE // 8)
    anew = reading(last, cached, table) + writing(recent, after - cached, table)
    return Compaction(
        request_picousd,
        after,
        anew,
        request_picousd + anew - first,
        reading(last, tokens, table) - reading(last, after, table),
    )


def saved_since(before: Step, after: Sequence[Step], compaction_picousd: int, table: Table) -> int:
    """What a compaction has saved so far, in picodollars; negative while it has not come in.

    `before` is the last step before it, `after` are those since. Without it each of them would have
    read what it dropped as well, and the first would have written only what it added.
    """
    if not after:
        return -compaction_picousd
    dropped = context_tokens(before) - after[0].usage.prompt_tokens
    saved = -compaction_picousd
    for number, step in enumerate(after):
        used = step.usage
        if number:
            instead = used._replace(cache_read_tokens=max(0, used.cache_read_tokens + dropped))
        else:
            instead = _alike(before, Usage(0, used.output_tokens)).usage
            instead = instead._replace(cache_read_tokens=context_tokens(before))
        saved += cost(step._replace(usage=instead, parts=()), table) - cost(step, table)
    return saved


def reading(last: Step, tokens: int, table: Table) -> int:
    """What reading so many tokens of context costs in a step like `last`, in picodollars."""
    if last.usage.cache_read_tokens or written(last.usage):
        return cost(_alike(last, Usage(cache_read_tokens=tokens)), table)
    return cost(_alike(last, Usage(input_tokens=tokens)), table)


def writing(recent: Sequence[Step], tokens: int, table: Table) -> int:
    """What writing so many tokens to the cache costs, by the lifetime that is in use."""
    last = recent[-1]
    if not last.usage.cache_read_tokens and not written(last.usage):
        return reading(last, tokens, table)
    return cost(_alike(last, _writing(recent, tokens, Usage())), table)


def _writing(recent: Sequence[Step], tokens: int, rest: Usage) -> Usage:
    if ttl_ms(recent) == TTL_1H_MS:
        return rest._replace(cache_write_1h_tokens=tokens)
    return rest._replace(cache_write_5m_tokens=tokens)


def _alike(last: Step, usage: Usage) -> Step:
    """A step on the same terms (model, speed, place) with another usage."""
    return last._replace(usage=usage, parts=(), stated_picousd=None)
