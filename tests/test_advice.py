"""Advice in dollars: every figure as rates times tokens, the words whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import advice_words
from budget.advice import (
    DEFAULTS,
    INSTRUCTION_TOKENS,
    KEPT_TOKENS,
    SUMMARY_TOKENS,
    Advice,
    Thresholds,
    advise,
    compaction,
    saved_since,
)
from budget.model import PICO, Step, Usage
from budget.policy import NO_POLICY
from tests.samples import AT_MS, RATE, ROUND_TABLE, a_step

READ, WRITE_5M, WRITE_1H, IN, OUT = RATE // 10, 2 * RATE, 4 * RATE, RATE, 10 * RATE
"""Picodollars per token in `ROUND_TABLE`."""
SOON, LATER = AT_MS + 60_000, AT_MS + 3_600_000
BASE = 30_000
POLICY = NO_POLICY._replace(timezone="Europe/Berlin", focus="code samples")
"""`AT_MS` is 11:00 in Berlin."""

LAST = a_step(used=Usage(4, 1_000, 196_996, 2_000))
CONTEXT = 4 + 196_996 + 2_000 + 1_000
AFTER = BASE + KEPT_TOKENS
CACHED = 26_250
"""Of these, system prompt and tools: seven eighths of `BASE`."""
ANEW = CACHED * READ + (AFTER - CACHED) * WRITE_5M


def on_the_hour(step: Step) -> Step:
    used = step.usage
    hour = used._replace(cache_write_5m_tokens=0, cache_write_1h_tokens=used.cache_write_5m_tokens)
    return step._replace(usage=hour)


def advised(step: Step = LAST, now_ms: int = SOON, limits: Thresholds = DEFAULTS) -> Advice:
    return advise([step], BASE, now_ms, ROUND_TABLE, limits)


# -- what a compaction costs -----------------------------------------------------------------------


def test_a_compaction_reads_the_context_once_and_writes_what_remains() -> None:
    made = compaction([LAST], BASE, SOON, ROUND_TABLE)
    # What the last step added (its 2,000 written tokens) stands after the mark for the cache.
    request = (196_996 + 4) * READ + (2_000 + INSTRUCTION_TOKENS) * IN + SUMMARY_TOKENS * OUT
    assert made.request_picousd == request
    assert made.after_tokens == AFTER
    assert made.extra_picousd == request + ANEW - CONTEXT * READ
    assert made.saved_per_step_picousd == (CONTEXT - AFTER) * READ


def test_a_compaction_pays_back_with_the_step_that_makes_up_for_it() -> None:
    made = compaction([LAST], BASE, SOON, ROUND_TABLE)
    steps = made.pays_back_steps
    assert steps is not None
    assert made.saving(steps - 1) < 0 <= made.saving(steps)
    # 64.1 + 30.1 - 20 thousandths of a dollar to come in, at 16 a step from the second on
    assert steps == 1 + 5


def test_after_the_cache_has_expired_the_compaction_writes_the_context() -> None:
    made = compaction([LAST], BASE, LATER, ROUND_TABLE)
    request = 197_000 * WRITE_5M + (2_000 + INSTRUCTION_TOKENS) * IN + SUMMARY_TOKENS * OUT
    assert made.request_picousd == request
    assert made.extra_picousd == request + ANEW - CONTEXT * WRITE_5M


def test_without_a_cache_the_compaction_is_input() -> None:
    last = a_step(used=Usage(199_000, 1_000))
    made = compaction([last], BASE, SOON, ROUND_TABLE)
    assert made.request_picousd == (199_000 + INSTRUCTION_TOKENS) * IN + SUMMARY_TOKENS * OUT
    assert made.saved_per_step_picousd == (200_000 - AFTER) * IN
    assert made.extra_picousd == made.request_picousd + AFTER * IN - 200_000 * IN


def test_what_is_small_already_is_never_paid_back() -> None:
    made = compaction([a_step(used=Usage(4, 500, 30_000, 500))], BASE, SOON, ROUND_TABLE)
    assert made.saved_per_step_picousd == 0
    assert made.pays_back_steps is None


# -- one action ------------------------------------------------------------------------------------


def test_a_large_warm_context_is_compacted_when_it_pays_back() -> None:
    told = advised()
    made = compaction([LAST], BASE, SOON, ROUND_TABLE)
    assert (told.kind, told.reason) == ("compact", "pays back")
    assert told.context_tokens == CONTEXT
    assert told.read_picousd == CONTEXT * READ
    assert told.write_picousd == CONTEXT * WRITE_5M
    assert told.expires_at_ms == AT_MS + 300_000
    assert told.costs_picousd == made.request_picousd + ANEW
    assert told.saving_picousd == 19 * made.saved_per_step_picousd - made.extra_picousd
    assert told.pays_back_steps == made.pays_back_steps


def test_an_expired_context_is_cleared() -> None:
    told = advised(now_ms=LATER)
    assert (told.kind, told.reason) == ("clear", "expired")
    assert told.after_tokens == BASE
    assert told.saved_at_once_picousd == (CONTEXT - BASE) * WRITE_5M
    assert told.saved_per_step_picousd == (CONTEXT - BASE) * READ
    assert told.saving_picousd == (CONTEXT - BASE) * (WRITE_5M + 19 * READ)


def test_an_hours_cache_expires_after_an_hour_and_costs_twice_as_much() -> None:
    last = on_the_hour(LAST)
    limits = Thresholds(min_saving_picousd=PICO // 20)
    assert advised(last, LATER - 1, limits).kind == "compact"
    told = advised(last, LATER, limits)
    assert told.kind == "clear"
    assert told.write_picousd == CONTEXT * WRITE_1H


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Thresholds(context_tokens=0), "small"),
        (Thresholds(context_tokens=CONTEXT + 1), "small"),
        (Thresholds(pays_back_steps=2), "does not pay"),
        (Thresholds(min_saving_picousd=PICO), "does not pay"),
        (Thresholds(min_saving_picousd=0, pays_back_steps=1), "does not pay"),
    ],
)
def test_below_the_thresholds_nothing_is_said(limits: Thresholds, reason: str) -> None:
    told = advised(limits=limits)
    assert (told.kind, told.reason) == ("none", reason)
    assert advice_words.advice(told, POLICY) == ""


COUNT = st.integers(0, 400_000)


@given(
    st.builds(Usage, COUNT, st.integers(1, 60_000), COUNT, COUNT, COUNT),
    COUNT,
    st.integers(0, 2 * 3_600_000),
)
def test_what_is_advised_saves_what_it_should(used: Usage, base: int, wait_ms: int) -> None:
    told = advise([a_step(used=used)], base, AT_MS + wait_ms, ROUND_TABLE)
    if told.kind != "none":
        assert told.context_tokens >= DEFAULTS.context_tokens
        assert told.saving_picousd >= DEFAULTS.min_saving_picousd
        assert told.pays_back_steps is not None
        assert told.pays_back_steps <= DEFAULTS.pays_back_steps
        assert told.saved_per_step_picousd > 0
        assert told.after_tokens < told.context_tokens


# -- afterwards ------------------------------------------------------------------------------------


def test_what_a_compaction_has_saved_is_what_the_steps_since_did_not_read() -> None:
    request = 30 * 10**9
    first = a_step("after_1", Usage(4, 300, 0, 39_996))
    second = a_step("after_2", Usage(4, 300, 40_000, 1_000))
    assert saved_since(LAST, [], request, ROUND_TABLE) == -request
    # Instead the first would have read the old context.
    at_first = CONTEXT * READ - (4 * IN + 39_996 * WRITE_5M)
    assert saved_since(LAST, [first], request, ROUND_TABLE) == at_first - request
    dropped = CONTEXT - 40_000
    assert saved_since(LAST, [first, second], request, ROUND_TABLE) == (
        at_first - request + dropped * READ
    )


# -- words -----------------------------------------------------------------------------------------


def test_the_advice_to_compact_in_words() -> None:
    # 19.7 m$ + 4.4 m$ + 40 m$; 26,250 tokens at 0.1 m$ and 13,750 at 2 m$ per thousand
    assert advice_words.advice(advised(), POLICY) == (
        "/compact Focus on code samples saves $0.0160 per step: of 200,000 tokens, $0.0200 in every"
        " step, it leaves about 40,000. It costs about $0.0942 once and pays for itself after 6"
        " steps. The cache holds until 11:05; after that the next prompt pays $0.40."
    )


def test_the_advice_to_clear_in_words() -> None:
    assert advice_words.advice(advised(now_ms=LATER), POLICY) == (
        "/clear saves $0.34 at once and $0.0170 per step, if the new work does not need this"
        " session's 200,000 tokens: their cache expired at 11:05, so the next prompt pays $0.40 for"
        " them instead of $0.0200."
    )


def test_what_a_compaction_led_to_in_words() -> None:
    assert advice_words.compacted(200_000, 40_000, PICO // 5, 41 * PICO // 100) == (
        "The compaction from 200,000 to 40,000 tokens cost about $0.20 and has saved $0.41 more"
        " than that so far."
    )
    assert advice_words.compacted(200_000, 40_000, PICO // 5, -PICO // 50) == (
        "The compaction from 200,000 to 40,000 tokens cost about $0.20; $0.0200 of that is not"
        " saved yet."
    )


@pytest.mark.parametrize(
    ("picousd", "text"),
    [
        (0, "$0.0000"),
        (PICO // 20_000, "$0.0001"),
        (PICO // 10 - 1, "$0.1000"),
        (PICO // 10, "$0.10"),
        (1_234 * PICO // 1_000, "$1.23"),
        (1_235 * PICO // 1_000, "$1.24"),
    ],
)
def test_estimates_are_rounded(picousd: int, text: str) -> None:
    assert advice_words.about(picousd) == text
