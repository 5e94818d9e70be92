"""By how much a limit is passed, with the real client and `stop = "before"`.

The stub bills like the API (`meter`): contexts grow, and a cache expires.
"""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.aging import EXPIRED_S, let_pass
from tests.plugin import ROOT, booked, budget_toml, said
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.meter import Meter
from tests.realclient.request import Request
from tests.realclient.stub import STEP_USAGE, STEP_USD, Answer, Call, Stub, Usage, bash_loop

READ, WRITE, OUT = (Decimal(rate) / 10**6 for rate in ("0.2", "2.5", "10"))
"""Dollars per token of Sonnet 5."""
ROOM = 2_000
"""Tokens of output that a step in a real context is given room for."""
BASH = {"permissions": {"allow": ["Bash(*)"]}}


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def run(home: Home, stub: Stub, prompt: str, *args: str) -> Result:
    return run_headless(home, stub, prompt, plugin_dir=ROOT, settings=BASH, args=args)


def limit(home: Home, usd: Decimal) -> None:
    home.write(".claude/budget.toml", budget_toml(session=f"usd = {usd:.6f}"))


def paid(used: Usage) -> Decimal:
    """Of a step that the meter billed: nothing of it is plain input."""
    assert used.input_tokens == used.cache_1h == 0
    return used.cache_read * READ + used.cache_5m * WRITE + used.output_tokens * OUT


def growing(request: Request) -> Answer:
    """Steps without an end whose results are of 3 to 24 KB, in turn."""
    size = 3_000 * (1 + request.turn_step * 5 % 8)
    call = Call("Bash", {"command": f"yes 'some words' | head -c {size}", "description": "Say it"})
    return Answer("on", (call,))


@pytest.mark.parametrize("usd", ["0.200000", "0.300000", "0.600000"])
def test_a_growing_context_never_passes_a_limit(home: Home, usd: str) -> None:
    limit(home, Decimal(usd))
    with Stub(Meter().billing(growing)) as stub:
        end = run(home, stub, "read")
        steps = [each.usage for each in stub.steps()]
    costs = [paid(each) for each in steps]
    assert sum(costs) == end.total_cost_usd
    assert abs(booked(home) - sum(costs)) < Decimal("0.000001")
    assert end.total_cost_usd <= Decimal(usd), "no overshoot"
    assert "Stopped before the next step" in said(end.messages)
    # What is left is less than the dearest that the next one could have been: the context read,
    # the largest of the results written, and the room for output.
    context = steps[-1].cache_read + steps[-1].cache_5m
    largest = max(each.cache_5m for each in steps[1:])
    assert Decimal(usd) - end.total_cost_usd < context * READ + (largest + 100) * WRITE + ROOM * OUT
    assert len(steps) > 2


@pytest.mark.parametrize("expired", [True, False])
def test_a_cold_prompt_is_sent_only_where_it_fits(home: Home, expired: bool) -> None:
    """The same session under the same limit: a warm next prompt fits, a cold one does not."""
    meter = Meter()
    limit(home, Decimal(20))
    with Stub(meter.billing(three_results)) as stub:
        first = run(home, stub, "read")
        made = len(stub.requests)
        context = stub.requests[-1].usage.cache_read + stub.requests[-1].usage.cache_5m
        if expired:
            let_pass(home, meter, EXPIRED_S)
        warm, cold = context * READ + ROOM * OUT, context * WRITE
        room = (warm + cold) / 2
        limit(home, first.total_cost_usd + room)
        again = run(home, stub, "thanks", "--resume", first.session_id)
        if expired:
            assert len(stub.requests) == made, "no overshoot: it is not sent"
            assert "Not sent: no money was spent" in said(again.messages)
            return
        assert len(stub.requests) == made + 1
        assert paid(stub.requests[-1].usage) < warm
        assert again.total_cost_usd <= first.total_cost_usd + room, "no overshoot"


def test_a_cold_prompt_that_fits_does_not_pass_the_limit(home: Home) -> None:
    meter = Meter()
    limit(home, Decimal(20))
    with Stub(meter.billing(three_results)) as stub:
        first = run(home, stub, "read")
        let_pass(home, meter, EXPIRED_S)
        context = stub.requests[-1].usage.cache_read + stub.requests[-1].usage.cache_5m
        most = first.total_cost_usd + (context + 200) * WRITE + ROOM * OUT
        limit(home, most)
        again = run(home, stub, "thanks", "--resume", first.session_id)
        cold = stub.requests[-1].usage
    assert cold.cache_read == 0 < context < cold.cache_5m
    assert again.total_cost_usd == first.total_cost_usd + paid(cold) <= most, "no overshoot"


def three_results(request: Request) -> Answer:
    if request.turn_step > 3 or request.prompt == "thanks":
        return Answer("done")
    return growing(request)


@pytest.mark.parametrize("dear", [2, 3, 4])
def test_a_step_twenty_times_as_dear_passes_a_limit_by_less_than_itself(
    home: Home, dear: int
) -> None:
    """Nobody can foresee it; it is the last one."""
    twenty = STEP_USAGE._replace(
        input_tokens=20 * STEP_USAGE.input_tokens, output_tokens=20 * STEP_USAGE.output_tokens
    )
    usd = (dear + Decimal("0.5")) * STEP_USD
    limit(home, usd)

    def script(request: Request) -> Answer:
        return bash_loop(None, twenty if request.turn_step == dear else STEP_USAGE)(request)

    with Stub(script) as stub:
        end = run(home, stub, "count")
        assert len(stub.requests) == dear
        overshoot = end.total_cost_usd - usd
        assert end.total_cost_usd == (dear - 1 + 20) * STEP_USD == booked(home)
        assert overshoot == Decimal("18.5") * STEP_USD < 20 * STEP_USD, "less than the one step"
        again = run(home, stub, "go on", "--resume", end.session_id)
        assert len(stub.requests) == dear, "and no other follows"
    assert "Not sent: no money was spent" in said(again.messages)
