"""A step costs rate * tokens, by the rules of the client's own costUSD."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.errors import PriceError
from budget.model import PICO, Price, Step, Usage
from budget.pricing import Prices, Table, corrected, load_table, newest_table, price, resolve
from tests.samples import AT_MS, DAY_MS, RATE, a_step

CENT = PICO // 100
MAY_2026_MS = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp() * 1000)

TABLE = Table(
    version="2026-11-01",
    models={
        "claude-alpha-1": [
            {
                "from": None,
                "input": "2",
                "output": "10",
                "cache_read": "0.25",
                "cache_write_5m": "2.5",
                "cache_write_1h": "4",
                "web_search": "0.01",
                "fast": "6",
                "us": "1.1",
            }
        ],
        "claude-beta-2": [
            {  # cheaper from May on
                "from": "2026-05-01",
                "input": "3",
                "output": "15",
                "cache_read": "0.3",
                "cache_write_5m": "3.75",
                "cache_write_1h": "6",
                "web_search": "0.01",
                "long": {
                    "above": 200_000,
                    "input": "6",
                    "output": "22.5",
                    "cache_read": "0.6",
                    "cache_write_5m": "7.5",
                    "cache_write_1h": "12",
                },
            },
            {
                "from": None,
                "input": "5",
                "output": "25",
                "cache_read": "0.5",
                "cache_write_5m": "6.25",
                "cache_write_1h": "10",
                "web_search": "0.02",
            },
        ],
        "claude-gamma-3-5": [
            {
                "from": None,
                "input": "0.000001",
                "output": "0.1",
                "cache_read": "0",
                "cache_write_5m": "0.125",
                "cache_write_1h": "0.2",
            }
        ],
    },
    aliases={"claude-alpha": "claude-alpha-1", "claude-gamma-3-5-20250101": "claude-gamma-3-5"},
)


def cost(used: Usage, model: str = "claude-alpha-1", **more: Any) -> int:
    """What a step of a known model costs."""
    found = price(a_step(used=used, model=model, **more), TABLE)
    assert found.picousd is not None
    assert found == Price(found.picousd, 0, found.picousd, "2026-11-01")
    return found.picousd


# -- rates -----------------------------------------------------------------------------------------


def test_input_and_output_have_their_rates() -> None:
    assert cost(Usage(input_tokens=1_000, output_tokens=200)) == 2 * RATE * 1_000 + 10 * RATE * 200


def test_a_million_output_tokens_at_ten_dollars_a_million_cost_ten_dollars() -> None:
    assert cost(Usage(output_tokens=10**6)) == 10 * PICO


def test_a_cache_read_is_cheaper_than_input() -> None:
    assert cost(Usage(cache_read_tokens=30_000)) == RATE // 4 * 30_000


def test_an_hours_cache_write_is_dearer_than_five_minutes() -> None:
    assert cost(Usage(cache_write_5m_tokens=1_000)) == 5 * RATE // 2 * 1_000
    assert cost(Usage(cache_write_1h_tokens=1_000)) == 4 * RATE * 1_000


def test_all_kinds_of_tokens_add_up() -> None:
    used = Usage(3, 44, 500, 20, 50, 0)
    rates = (2 * RATE * 3, 10 * RATE * 44, RATE // 4 * 500, 5 * RATE // 2 * 20, 4 * RATE * 50)
    assert cost(used) == sum(rates)


def test_a_web_search_costs_a_cent() -> None:
    assert cost(Usage(web_searches=3)) == 3 * CENT


def test_a_table_without_a_web_search_price_has_it_free() -> None:
    assert cost(Usage(web_searches=3), "claude-gamma-3-5") == 0


def test_a_millionth_of_a_dollar_per_million_is_one_picodollar_a_token() -> None:
    assert cost(Usage(input_tokens=7), "claude-gamma-3-5") == 7


def test_nothing_used_costs_nothing() -> None:
    assert cost(Usage()) == 0


# -- factors ---------------------------------------------------------------------------------------


def test_fast_multiplies_the_tokens_and_not_the_searches() -> None:
    used = Usage(input_tokens=100, output_tokens=10, web_searches=2)
    tokens = 2 * RATE * 100 + 10 * RATE * 10
    assert cost(used, speed="fast") == 6 * tokens + 2 * CENT
    assert cost(used, speed="standard") == tokens + 2 * CENT


def test_inference_in_the_us_multiplies_the_tokens_and_not_the_searches() -> None:
    used = Usage(input_tokens=100, output_tokens=10, web_searches=2)
    tokens = 2 * RATE * 100 + 10 * RATE * 10
    assert cost(used, geo="us") == 11 * tokens // 10 + 2 * CENT
    assert cost(used, geo="eu") == cost(used, geo="not_available") == tokens + 2 * CENT


def test_fast_in_the_us_multiplies_by_both() -> None:
    used = Usage(output_tokens=100)
    assert cost(used, speed="fast", geo="us") == 10 * RATE * 100 * 6 * 11 // 10


def test_a_model_without_factors_costs_the_same_fast_and_in_the_us() -> None:
    used = Usage(output_tokens=100)
    assert cost(used, "claude-beta-2", speed="fast", geo="us") == 15 * RATE * 100


# -- long prompts ----------------------------------------------------------------------------------


def test_a_long_prompt_is_priced_as_a_whole_at_the_long_rates() -> None:
    above = Usage(input_tokens=1, output_tokens=10, cache_read_tokens=200_000)
    assert cost(above, "claude-beta-2") == (
        6 * RATE * 1 + 45 * RATE // 2 * 10 + 6 * RATE // 10 * 200_000
    )


def test_a_prompt_at_the_limit_is_not_long() -> None:
    at = Usage(input_tokens=0, output_tokens=10, cache_read_tokens=200_000)
    assert cost(at, "claude-beta-2") == 15 * RATE * 10 + 3 * RATE // 10 * 200_000


@pytest.mark.parametrize(
    "used",
    [
        Usage(input_tokens=200_001),
        Usage(cache_write_5m_tokens=200_001),
        Usage(cache_write_1h_tokens=200_001),
        Usage(100_000, 0, 50_000, 25_001, 25_000),
    ],
)
def test_every_kind_of_prompt_token_makes_a_prompt_long(used: Usage) -> None:
    rates = (6 * RATE, 0, 6 * RATE // 10, 15 * RATE // 2, 12 * RATE)
    assert cost(used, "claude-beta-2") == sum(
        rate * tokens for rate, tokens in zip(rates, used, strict=False)
    )


def test_a_long_output_does_not_make_a_prompt_long() -> None:
    assert cost(Usage(output_tokens=300_000), "claude-beta-2") == 15 * RATE * 300_000


def test_each_iteration_is_long_or_not_by_itself() -> None:
    parts = (Usage(150_000, 10), Usage(250_000, 20))
    used = Usage(400_000, 30)
    assert cost(used, "claude-beta-2", parts=parts) == (
        3 * RATE * 150_000 + 15 * RATE * 10 + 6 * RATE * 250_000 + 45 * RATE // 2 * 20
    )
    assert cost(used, "claude-beta-2") == 6 * RATE * 400_000 + 45 * RATE // 2 * 30


# -- dates -----------------------------------------------------------------------------------------


def test_a_step_costs_what_held_at_its_time() -> None:
    used = Usage(output_tokens=100)
    assert cost(used, "claude-beta-2", at_ms=MAY_2026_MS - 1) == 25 * RATE * 100
    assert cost(used, "claude-beta-2", at_ms=MAY_2026_MS) == 15 * RATE * 100
    assert cost(used, "claude-beta-2", at_ms=0) == 25 * RATE * 100


# -- model ids -------------------------------------------------------------------------------------

ALPHA = [
    "claude-alpha-1",
    "claude-alpha-1[1m]",
    "claude-alpha-1-20260101",
    "claude-alpha-1-20260101[1m]",
    "claude-alpha-1-latest",
    "claude-alpha-latest",
    "claude-alpha",
    "Claude-Alpha-1",
    "claude-alpha.1",
    "anthropic/claude-alpha-1",
    "openrouter/anthropic/claude-alpha-1",
    "anthropic.claude-alpha-1-20260101-v1:0",
    "us.anthropic.claude-alpha-1-20260101-v1:0",
    "global.anthropic.claude-alpha-1-20260101-v1",
    "eu.anthropic.claude-alpha-1-v2:0[1m]",
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-alpha-1-20260101-v1:0",
    "claude-alpha-1@20260101",
    "claude-alpha-1@latest",
    "claude-alpha-1@default",
    "projects/p/locations/l/publishers/anthropic/models/claude-alpha-1@20260101",
    "claude-alpha-1-fast",
    "claude-alpha-1-preview",
    " claude-alpha-1 ",
]


@pytest.mark.parametrize("model", ALPHA)
def test_these_are_the_same_model(model: str) -> None:
    assert resolve(model, TABLE) == "claude-alpha-1"


def test_a_dated_id_may_have_an_entry_of_its_own() -> None:
    assert resolve("claude-gamma-3-5-20250101", TABLE) == "claude-gamma-3-5"
    assert resolve("us.anthropic.claude-gamma-3-5-20250101-v1:0", TABLE) == "claude-gamma-3-5"


UNKNOWN = (
    "|claude-|claude-alpha-10|claude-alpha-1-1|claude-alpha-2|alpha-1|gpt-7|claude-beta"
    "|claude-beta-2-5|claude-beta-20|[1m]|<synthetic>"
)


@pytest.mark.parametrize("model", UNKNOWN.split("|"))
def test_these_are_unknown(model: str) -> None:
    assert resolve(model, TABLE) is None


# -- unknown models --------------------------------------------------------------------------------


def test_an_unknown_model_is_unpriced_and_bounded_by_the_dearest() -> None:
    step = a_step(used=Usage(input_tokens=100, output_tokens=10), model="claude-omega-9")
    dearest = 5 * RATE * 100 + 25 * RATE * 10  # claude-beta-2 before May
    assert price(step, TABLE) == Price(None, dearest, dearest, "2026-11-01")


COUNTS = st.integers(0, 400_000)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 50))
SPEEDS = st.sampled_from(["", "standard", "fast"])
GEOS = st.sampled_from(["", "us", "eu"])
REAL = load_table()


@given(USAGES, SPEEDS, GEOS, st.sampled_from(["test", "real"]))
def test_the_bound_is_no_less_than_the_price_of_any_known_model(
    used: Usage, speed: str, geo: str, which: str
) -> None:
    table = TABLE if which == "test" else REAL
    step = a_step(used=used, model="claude-omega-9", speed=speed, geo=geo)
    bound = price(step, table).bound_picousd
    for model in table.models:
        for at_ms in (0, MAY_2026_MS, AT_MS, AT_MS + 3650 * DAY_MS):
            known = price(step._replace(model=model, at_ms=at_ms), table).picousd
            assert known is not None
            assert known <= bound


def test_the_list_price_of_an_unknown_model_knows_no_config() -> None:
    step = a_step(used=Usage(output_tokens=100), model="claude-omega-9")
    dear = {"input": "900", "output": "900"}
    told = layer(True, models={"acme-coder-x": dear}, multiplier="2", unknown="dearest")
    found = price(step, corrected(TABLE, [told]))
    assert found.bound_picousd == 2 * 900 * RATE * 100
    assert found.listed_picousd == price(step, TABLE).listed_picousd


@given(USAGES, USAGES, SPEEDS, GEOS, st.sampled_from(sorted(TABLE.models)))
def test_more_usage_never_costs_less(
    used: Usage, other: Usage, speed: str, geo: str, model: str
) -> None:
    more = used.highest(other)
    assert cost(more, model, speed=speed, geo=geo) >= cost(used, model, speed=speed, geo=geo)


def test_what_an_old_client_stated_is_the_price_of_an_unknown_model_only() -> None:
    known = a_step(used=Usage(output_tokens=10), model="claude-alpha-1", stated_picousd=5 * CENT)
    assert price(known, TABLE).picousd == 10 * RATE * 10
    unknown = known._replace(model="claude-omega-9")
    assert price(unknown, TABLE) == Price(5 * CENT, 0, 5 * CENT, "stated by a 1.x client")


# -- what configs say ------------------------------------------------------------------------------


def layer(may_lower: bool, **told: Any) -> dict[str, Any]:
    return {"models": {}, "multiplier": "", "unknown": "", "may_lower": may_lower, **told}


def output_price(table: Table, model: str = "claude-alpha-1") -> Price:
    return price(a_step(used=Usage(output_tokens=100), model=model), table)


def test_a_persons_prices_replace_those_of_the_table() -> None:
    rates = {"input": "1", "output": "4"}
    table = corrected(TABLE, [layer(True, models={"Claude-Alpha-1[1m]": rates})])
    listed = 10 * RATE * 100
    assert output_price(table) == Price(4 * RATE * 100, 0, listed, "2026-11-01+config")
    assert output_price(TABLE).picousd == 10 * RATE * 100


def test_a_private_model_is_priced() -> None:
    rates = {"input": "1", "output": "4"}
    table = corrected(TABLE, [layer(True, models={"Acme-Coder-X": rates})])
    assert output_price(table, "acme-coder-x").picousd == 4 * RATE * 100
    assert output_price(table, "acme-coder-y").picousd is None


def test_a_multiplier_holds_for_every_price_and_bound() -> None:
    table = corrected(TABLE, [layer(True, multiplier="0.850000")])
    assert output_price(table).picousd == 10 * RATE * 100 * 85 // 100
    assert output_price(table, "claude-omega-9").bound_picousd == 25 * RATE * 100 * 85 // 100


def test_a_repository_makes_things_dearer_only() -> None:
    cheap = {"input": "0", "output": "0.000001"}
    dear = {"input": "2", "output": "99"}
    models = {"claude-alpha-1": cheap, "claude-beta-2": dear}
    told = layer(False, models=models, multiplier="0.1", unknown="claude-gamma-3-5")
    table = corrected(TABLE, [told])
    assert output_price(table).picousd == 10 * RATE * 100
    assert output_price(table, "claude-beta-2").picousd == 99 * RATE * 100
    assert output_price(table, "claude-omega-9").bound_picousd == 99 * RATE * 100


@given(
    USAGES,
    st.sampled_from([*TABLE.models, "claude-omega-9"]),
    st.dictionaries(
        st.sampled_from([*TABLE.models, "claude-omega-8"]),
        st.fixed_dictionaries(
            {
                kind: st.sampled_from(["0", "0.1", "3", "7.5", "50"])
                for kind in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
            }
        ),
    ),
    st.sampled_from(["", "0.5", "1", "2"]),
    st.sampled_from(["", "claude-gamma-3-5", "dearest"]),
)
def test_no_config_of_a_repository_makes_a_step_cheaper(
    used: Usage, model: str, models: dict[str, Any], multiplier: str, unknown: str
) -> None:
    told = layer(False, models=models, multiplier=multiplier, unknown=unknown)
    step = a_step(used=used, model=model)
    before, after = price(step, TABLE), price(step, corrected(TABLE, [told]))
    assert (after.picousd is None) == (before.picousd is None)
    assert (after.picousd or 0) + after.bound_picousd >= (
        before.picousd or 0
    ) + before.bound_picousd


def test_a_repository_cannot_make_a_new_claude_model_cheap() -> None:
    told = layer(False, models={"claude-omega-9": {"input": "0", "output": "0"}})
    after = output_price(corrected(TABLE, [told]), "claude-omega-9")
    before = output_price(TABLE, "claude-omega-9")
    assert (after.picousd or 0) + after.bound_picousd >= before.bound_picousd


def test_a_repository_cannot_undo_a_persons_multiplier() -> None:
    table = corrected(TABLE, [layer(False, multiplier="5"), layer(True, multiplier="2")])
    assert output_price(table).picousd == 2 * 10 * RATE * 100
    table = corrected(TABLE, [layer(True, multiplier="2"), layer(False, multiplier="1.5")])
    assert output_price(table).picousd == 2 * 10 * RATE * 100


def test_unknown_models_can_count_as_a_known_one() -> None:
    table = corrected(TABLE, [layer(True, unknown="claude-alpha-1")])
    assert output_price(table, "claude-omega-9").bound_picousd == 10 * RATE * 100
    table = corrected(TABLE, [layer(True, unknown="claude-nobody-0")])
    assert output_price(table, "claude-omega-9").bound_picousd == 25 * RATE * 100


# -- the table that ships --------------------------------------------------------------------------


def test_a_step_of_sonnet_5_costs_what_the_client_says() -> None:
    step = a_step(used=Usage(10, 200, 30_000, 1_000, 400, 1), model="claude-sonnet-5")
    assert price(step, REAL).picousd == (
        2 * RATE * 10
        + 10 * RATE * 200
        + RATE // 5 * 30_000
        + 5 * RATE // 2 * 1_000
        + 4 * RATE * 400
        + CENT
    )


def test_opus_5_5_has_its_own_cache_price_and_twice_the_price_when_fast() -> None:
    step = a_step(used=Usage(10, 200, 30_000, 1_000, 400), model="claude-opus-5-5")
    tokens = (
        4 * RATE * 10 + 20 * RATE * 200 + RATE // 5 * 30_000 + 5 * RATE * 1_000 + 8 * RATE * 400
    )
    assert price(step, REAL).picousd == tokens
    assert price(step._replace(speed="fast"), REAL).picousd == 2 * tokens
    assert price(step._replace(geo="us"), REAL).picousd == 11 * tokens // 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"version": "1", "models": {}}',
        '{"version": "1", "models": [], "aliases": {}}',
        '{"version": "1", "models": {"m": [{"from": null, "input": "1"}]}, "aliases": {}}',
        '{"version": "1", "models": {"m": [{"from": null, "input": 1, "output": "1"}]},'
        ' "aliases": {}}',
        '{"version": "1", "models": {"m": [{"from": null, "input": "1e3", "output": "1"}]},'
        ' "aliases": {}}',
        '{"version": "1", "models": {"m": [{"input": "1", "output": "1"}]}, "aliases": {}}',
    ],
)
def test_a_table_that_is_none_is_a_price_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(PriceError, match="cannot be read"):
        load_table(str(path))


def test_a_newer_table_that_the_person_put_in_place_holds(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    raw = {"models": TABLE.models, "aliases": TABLE.aliases}
    for version, holds in (("9999-01-01", True), ("2020-01-01", False)):
        path.write_text(json.dumps({"version": version, **raw}))
        assert (newest_table(str(path)).version == version) is holds
    path.write_text("{")
    assert newest_table(str(path)) == newest_table(str(tmp_path / "none.json")) == REAL


def test_a_step_of_the_shipped_table_names_its_version() -> None:
    step: Step = a_step(model="claude-sonnet-5")
    assert price(step, REAL).version == REAL.version


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        REAL,
        TABLE._replace(multiplier="0.85"),
        TABLE._replace(untrusted=frozenset({"claude-alpha-1"})),
        TABLE._replace(listed=REAL),
    ],
)
@given(
    at_ms=st.sampled_from([MAY_2026_MS - 1, MAY_2026_MS, AT_MS]) | st.integers(0, 2 * AT_MS),
    used=st.builds(Usage, *[st.integers(0, 250_000)] * 5, st.integers(0, 3)),
    model=st.sampled_from(["claude-alpha-1", "claude-beta-2", "claude-haiku-5-5", "mine"]),
    speed=st.sampled_from(["", "standard", "fast"]),
    geo=st.sampled_from(["", "us"]),
    parts=st.booleans(),
)
def test_many_steps_are_priced_as_one_is(
    table: Table, at_ms: int, used: Usage, model: str, speed: str, geo: str, parts: bool
) -> None:
    several = (used._replace(input_tokens=0), Usage(used.input_tokens)) if parts else ()
    step: Step = a_step(model=model)
    step = step._replace(at_ms=at_ms, usage=used, speed=speed, geo=geo, parts=several)
    prices = Prices(table)
    assert prices.of(step) == prices.of(step) == price(step, table)
    # On another day of the same model, another period may hold.
    later = step._replace(at_ms=at_ms + 180 * DAY_MS)
    assert prices.of(later) == price(later, table)


def test_a_period_that_begins_within_a_day_holds_from_then_on() -> None:
    first, second = TABLE.models["claude-beta-2"]
    begins = {**first, "from": "2026-05-01T12:00"}
    table = TABLE._replace(models={"claude-beta-2": [begins, second]})
    prices = Prices(table)
    for hours in (11, 12):
        step: Step = a_step(model="claude-beta-2")
        step = step._replace(at_ms=MAY_2026_MS + hours * DAY_MS // 24)
        assert prices.of(step) == price(step, table)
