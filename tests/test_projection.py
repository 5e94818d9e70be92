"""The next step, and how fast money goes: every figure as rates times tokens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import burn, projection
from budget.evaluate import spent
from budget.model import PICO, Budget, Source, Step, Usage, fits
from budget.pricing import Table, load_table, price
from budget.projection import Projection, cost, first_step, next_step
from tests.samples import AT_MS, RATE, ROUND_TABLE, a_step

READ, WRITE_5M, WRITE_1H, IN, OUT = RATE // 10, 2 * RATE, 4 * RATE, RATE, 10 * RATE
"""Picodollars per token in `ROUND_TABLE`."""
OVERHEAD = projection.OVERHEAD_TOKENS
SOON = AT_MS + 1_000
MINUTE_MS = 60_000


def after(*used: Usage, added: int | None = 0, now_ms: int = SOON, **more: Any) -> Projection:
    recent = [a_step(f"msg_{number}", each) for number, each in enumerate(used)]
    return next_step(recent, added, now_ms, ROUND_TABLE, **more)


# -- steps of constant cost ------------------------------------------------------------------------

CONSTANT = [
    Usage(200, 200),
    Usage(10, 200, 30_000, 1_000),
    Usage(3, 400, 0, 30_000),
    Usage(3, 400, 30_000, 0, 3_000, 2),
    Usage(30_000, 1),
]


@pytest.mark.parametrize("used", CONSTANT[:4])
@pytest.mark.parametrize("known", [1, 2, 7])
def test_a_step_of_constant_cost_is_expected_exactly(used: Usage, known: int) -> None:
    expected = after(*[used] * known, added=6)
    assert expected.step.usage == used
    assert expected.picousd == cost(a_step(used=used), ROUND_TABLE)
    assert expected.basis == "repeated"


@pytest.mark.parametrize("used", CONSTANT)
def test_steps_of_cost_c_and_a_limit_of_3_5_c_are_3_steps(used: Usage) -> None:
    step = a_step(used=used)
    each = cost(step, ROUND_TABLE)
    assert made_under(step, each * 7 // 2) == 3
    assert made_under(step, each * 3) == 3
    assert made_under(step, each * 3 - 1) == 2


@given(st.sampled_from(CONSTANT), st.integers(0, 10**12))
def test_steps_of_constant_cost_never_pass_a_limit(used: Usage, limit: int) -> None:
    each = cost(a_step(used=used), ROUND_TABLE)
    steps = made_under(a_step(used=used), limit)
    assert steps <= max(1, limit // each)


def made_under(step: Step, limit: int) -> int:
    """How many of these steps are made; the first always is."""
    made, each = 1, cost(step, ROUND_TABLE)
    while made < 100:
        expected = next_step([step] * made, 6, SOON, ROUND_TABLE)
        if not fits(made * each, 0, expected.picousd, limit):
            break
        made += 1
    return made


# -- a context that grows --------------------------------------------------------------------------

FIRST = Usage(4, 500, 0, 29_996)
SECOND = Usage(4, 500, 29_996, 1_004)


def test_the_context_is_read_and_what_was_added_is_written() -> None:
    expected = after(FIRST, SECOND, added=2_700)
    new = 500 + 1_000 + OVERHEAD  # the last output, 2,700 bytes at 2.7 a token, the frame
    assert expected.step.usage == Usage(4, 500, 31_000, new)
    assert expected.picousd == 4 * IN + 500 * OUT + 31_000 * READ + new * WRITE_5M
    assert expected.basis == "grown"


def test_an_hours_cache_is_written_at_its_own_rate() -> None:
    expected = after(Usage(4, 500, 0, 0, 29_996), Usage(4, 500, 29_996, 0, 1_004), added=0)
    assert expected.step.usage == Usage(4, 500, 31_000, 0, 500 + OVERHEAD)
    assert expected.picousd == (4 * IN + 500 * OUT + 31_000 * READ + (500 + OVERHEAD) * WRITE_1H)


def test_without_a_cache_everything_is_input() -> None:
    expected = after(Usage(30_000, 500), Usage(31_000, 500), added=270)
    assert expected.step.usage == Usage(31_000 + 500 + 100 + OVERHEAD, 500)


def test_what_is_added_is_the_most_that_was_when_it_is_not_known() -> None:
    third = Usage(4, 500, 31_000, 500 + 7_000)
    expected = after(FIRST, SECOND, third, SECOND._replace(cache_read_tokens=38_500), added=None)
    # third: its prompt of 38,504 less the second's context of 31,504
    assert expected.step.usage.cache_write_5m_tokens == 500 + 7_000


def test_of_a_single_step_the_dearer_of_repeated_and_grown_is_expected() -> None:
    cold = after(FIRST, added=0)
    assert cold.basis == "repeated"
    assert cold.picousd == 4 * IN + 500 * OUT + 29_996 * WRITE_5M
    warm = after(Usage(4, 500, 29_996, 100), added=27_000)
    assert warm.basis == "grown"
    assert warm.step.usage == Usage(4, 500, 30_096, 500 + 10_000 + OVERHEAD)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((500, 500, 500), 500),
        ((500, 900), 2_000),  # a real context: at least LONG_OUTPUT_TOKENS
        ((500, 1_500), 3_000),  # few steps are known: twice the largest
        ((4_000, *[500] * 9), 6_000),  # 3/2 of the largest
    ],
)
def test_more_output_is_expected_than_there_was(outputs: tuple[int, ...], expected: int) -> None:
    steps = [SECOND._replace(output_tokens=each) for each in outputs]
    assert after(*steps).step.usage.output_tokens == expected


def test_a_small_context_is_not_taken_to_lead_to_long_outputs() -> None:
    assert after(Usage(200, 100), Usage(200, 200)).step.usage.output_tokens == 400


def test_of_a_step_with_iterations_the_last_ones_context_goes_on() -> None:
    parts = (Usage(4, 100, 30_000, 1_000), Usage(4, 400, 31_000, 200))
    whole = Usage(8, 500, 61_000, 1_200)
    recent = [a_step("msg_1", SECOND), a_step("msg_2", whole, parts=parts)]
    expected = next_step(recent, 0, SOON, ROUND_TABLE)
    assert expected.step.usage == Usage(4, 500, 31_200, 400 + OVERHEAD)
    assert expected.step.parts == ()


# -- the cache -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "minutes"),
    [(SECOND, 5), (Usage(4, 500, 29_996, 0, 1_004), 60), (Usage(4, 500, 29_996, 4, 1_000), 60)],
)
def test_an_expired_cache_is_written_anew_whole(used: Usage, minutes: int) -> None:
    recent = [a_step("msg_1", FIRST), a_step("msg_2", used)]
    expires = AT_MS + minutes * MINUTE_MS
    assert projection.expires_at_ms(recent) == expires
    warm = next_step(recent, 0, expires - 1, ROUND_TABLE)
    cold = next_step(recent, 0, expires, ROUND_TABLE)
    assert (warm.basis, cold.basis) == ("grown", "expired")
    context = 31_000 + 4 + 500 + OVERHEAD
    assert cold.step.usage.prompt_tokens == warm.step.usage.prompt_tokens == context
    rate = WRITE_5M if minutes == 5 else WRITE_1H
    assert cold.picousd == 4 * IN + 500 * OUT + (context - 4) * rate


def test_a_compacted_context_is_written_anew() -> None:
    expected = after(FIRST, SECOND, added=270, rewritten_tokens=12_000)
    assert expected.step.usage == Usage(4, 500, 0, 12_000 + 100 + OVERHEAD - 4)
    assert expected.basis == "rewritten"


def test_what_was_never_cached_does_not_expire() -> None:
    assert projection.expires_at_ms([a_step(used=Usage(30_000, 500))]) is None


# -- prices ----------------------------------------------------------------------------------------


def test_a_context_that_grows_past_a_tier_is_priced_by_it() -> None:
    table = load_table()
    used = Usage(4, 500, 99_000, 900)
    recent = [
        a_step("msg_1", used._replace(cache_read_tokens=98_000), model="claude-haiku-5-5"),
        a_step("msg_2", used, model="claude-haiku-5-5"),
    ]
    expected = next_step(recent, 0, SOON, table)
    assert expected.step.usage == Usage(4, 500, 99_900, 500 + OVERHEAD)
    long = 4 * 500_000 + 500 * 2_500_000 + 99_900 * 50_000 + (500 + OVERHEAD) * 625_000
    assert expected.picousd == long


def test_speed_place_and_unknown_models_are_priced_as_in_a_step() -> None:
    table = load_table()
    for more in ({"speed": "fast"}, {"geo": "us"}, {"model": "acme-coder"}):
        known = {"model": "claude-opus-5-5", **more}
        recent = [a_step("msg_1", FIRST, **known), a_step("msg_2", SECOND, **known)]
        expected = next_step(recent, 0, SOON, table)
        priced = price(expected.step, table)
        assert expected.picousd == (priced.picousd or 0) + priced.bound_picousd > 0


def test_limits_in_any_unit_can_be_compared() -> None:
    expected = after(FIRST, SECOND, added=0)
    counts = projection.spend(expected.step, ROUND_TABLE)
    source = Source("repo", "", "", "")
    units = {
        "usd": expected.picousd,
        "steps": 1,
        "output_tokens": 500,
        "cache_read_tokens": 31_000,
        "tokens": 31_000 + 500 + OVERHEAD + 4 + 500,
    }
    for unit, count in units.items():
        assert spent(Budget("b", "day", unit, 1, (), "block", "", source), counts) == count


def test_room_is_needed_for_the_step_and_for_what_others_hold() -> None:
    assert fits(50, 30, 20, 100)
    assert not fits(51, 30, 20, 100)
    assert not fits(100, 0, 0, 100), "a limit that is reached is used up"


# -- first steps -----------------------------------------------------------------------------------


def test_a_first_step_is_expected_as_the_dearest_of_the_earlier_ones() -> None:
    cheap, dear = a_step("a", Usage(3, 500, 0, 20_000)), a_step("b", Usage(3, 500, 0, 22_000))
    expected = first_step([cheap, dear, cheap], ROUND_TABLE, SOON, cheap)
    assert expected.picousd == 3 * IN + 500 * OUT + 22_000 * WRITE_5M
    assert (expected.basis, expected.step.at_ms, expected.step.message_id) == ("first", SOON, "")


def test_a_first_step_is_priced_on_its_own_model() -> None:
    table = load_table()
    seen = a_step(used=Usage(0, 500, 0, 20_000), model="claude-haiku-4-5")
    expected = first_step([seen], table, SOON, seen, "claude-opus-5-5")
    assert expected.picousd == 500 * 20 * RATE + 20_000 * 5 * RATE


@pytest.mark.parametrize(("agent", "tokens"), [("main", 33_000), ("Explore", 19_000)])
def test_without_any_the_clients_own_prompt_is_expected(agent: str, tokens: int) -> None:
    unknown = a_step(used=Usage(), agent=agent)
    expected = first_step([], ROUND_TABLE, SOON, unknown)
    assert expected.basis == "default"
    assert expected.picousd == 500 * OUT + tokens * WRITE_5M


# -- sizes -----------------------------------------------------------------------------------------


def test_the_results_of_a_batch_are_measured_as_the_model_sees_them() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "x" * 240_000}}
    calls = [
        {"tool_name": "Bash", "tool_use_id": "t1", "tool_response": "12345ä"},
        {"tool_name": "Read", "tool_use_id": "t2", "tool_response": [image]},
        {"tool_name": "Agent", "tool_response": [{"type": "text", "text": "123"}]},
    ]
    of_image = projection.IMAGE_TOKENS * 27 // 10
    assert projection.bytes_of_results(calls) == 7 + of_image + 3
    assert projection.tokens_of(of_image) == projection.IMAGE_TOKENS


@pytest.mark.parametrize("odd", [None, "text", [1, {}], [{"tool_response": 3}], [{"x": []}]])
def test_odd_payloads_have_no_size(odd: object) -> None:
    assert projection.bytes_of_results(odd) == 0


def test_tokens_are_rounded_up() -> None:
    assert [projection.tokens_of(size) for size in (0, 1, 27, 28)] == [0, 1, 10, 11]


# -- laws ------------------------------------------------------------------------------------------

COUNT = st.integers(0, 200_000)
USAGES = st.builds(Usage, COUNT, st.integers(1, 60_000), COUNT, COUNT, COUNT, st.integers(0, 3))
MODELS = st.sampled_from(["claude-sonnet-5", "claude-haiku-5-5", "claude-fable-5-1", "acme"])
TABLE: Table = load_table()


@given(st.lists(USAGES, min_size=1, max_size=6), MODELS, st.integers(0, 10**6), st.booleans())
def test_an_estimate_is_never_below_reading_the_last_prompt_again(
    used: list[Usage], model: str, added: int, late: bool
) -> None:
    recent = [a_step(str(number), each, model=model) for number, each in enumerate(used)]
    now_ms = AT_MS + 2 * projection.TTL_1H_MS if late else SOON
    expected = next_step(recent, added, now_ms, TABLE)
    prompt = used[-1].prompt_tokens
    read = a_step(used=Usage(cache_read_tokens=prompt), model=model, at_ms=now_ms)
    assert expected.picousd >= cost(read, TABLE)
    assert expected.step.usage.prompt_tokens >= prompt
    assert expected.step.usage.output_tokens >= used[-1].output_tokens


@given(st.lists(USAGES, min_size=1, max_size=4), MODELS, st.integers(0, 10**6), COUNT, COUNT)
def test_a_larger_context_is_never_expected_to_cost_less(
    used: list[Usage], model: str, added: int, more_read: int, more_added: int
) -> None:
    recent = [a_step(str(number), each, model=model) for number, each in enumerate(used)]
    larger = [
        step._replace(usage=step.usage._replace(cache_read_tokens=read + more_read))
        for step in recent
        for read in [step.usage.cache_read_tokens]
    ]
    small = next_step(recent, added, SOON, TABLE).picousd
    if any(map(projection.written, used)):  # else reading it is what makes it cached at all
        assert next_step(larger, added, SOON, TABLE).picousd >= small
    assert next_step(recent, added + more_added, SOON, TABLE).picousd >= small


# -- how fast money goes ---------------------------------------------------------------------------


def test_a_rate_is_money_per_hour() -> None:
    assert burn.per_hour(2 * PICO, 10 * MINUTE_MS) == 12 * PICO
    assert burn.per_hour(2 * PICO, 0) == 0


def test_a_limit_is_reached_when_its_rest_is_spent_at_the_rate() -> None:
    assert burn.used_up_in_ms(6 * PICO, 12 * PICO) == 30 * MINUTE_MS
    assert burn.used_up_in_ms(PICO, 0) is None


def test_the_end_of_a_window_at_the_rate_of_now_and_at_its_pace_so_far() -> None:
    start, hour = AT_MS, 60 * MINUTE_MS
    now, end = start + 6 * hour, start + 24 * hour
    assert burn.at_this_rate(3 * PICO, 2 * PICO, now, end) == (3 + 2 * 18) * PICO
    assert burn.at_this_pace(3 * PICO, start, now, end) == 3 * 4 * PICO
    assert burn.at_this_rate(3 * PICO, 2 * PICO, end, now) == 3 * PICO
    assert burn.at_this_pace(3 * PICO, now, now, end) == 3 * PICO
