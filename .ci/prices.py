"""Makes `budget/prices.json`: what a token of each Claude model cost, and since when.

    python .ci/prices.py           writes the table
    python .ci/prices.py --check   exits 1 when the committed table is another one

The history and the models that the client no longer knows come from genai-prices. What the client
prices, it prices as in `CLIENT`, because a ledger has to equal the client's own total; a rate on
which the two differ stops the script until `CHANGES` says since when and why. No network.

How the client applies the rates (measured, see `CLIENT`): `us` and `fast` multiply the tokens and
never the web searches; `long` prices the whole request, output too, once input, cache reads and
cache writes together exceed `above`; a cache write without a known lifetime is a 5-minute one.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from genai_prices.data import providers

TABLE = Path(__file__).parent.parent / "budget" / "prices.json"

VERSION = "2026-11-23"
"""The day the content was last looked over. Ledger entries name it: raise it with any change."""

UNIT = "USD per million tokens; web_search in USD per request"

GENAI = f"genai-prices {version('genai-prices')}"
CLIENT_SOURCE = "client 2.1.330"
CLAUDIT = "claudit 1.9.2"
SOURCES = {
    GENAI: "https://github.com/pydantic/genai-prices",
    CLIENT_SOURCE: f"measured: the client's own costUSD, {VERSION}",
    CLAUDIT: "https://github.com/kurofune/claudit/releases/tag/v1.9.2",
}

Period = dict[str, Any]
"""One element of a model's list in the table."""


class Rates(NamedTuple):
    """USD per million tokens, in the table's order and under its names."""

    input: str
    output: str
    cache_read: str
    cache_write_5m: str
    cache_write_1h: str


class Long(NamedTuple):
    above: int
    """Prompt tokens: the last count that is still priced at the ordinary rates."""
    rates: Rates


class Measured(NamedTuple):
    """What the client charges for a model today."""

    rates: Rates
    fast: str | None = None
    long: Long | None = None


class Change(NamedTuple):
    """Where the client's rates are known to be newer than what genai-prices says, or said."""

    since: str
    """The first day, UTC, of the client's rates."""
    before: Measured | None
    """What held until then; None: what genai-prices has."""
    source: str


def rates(text: str) -> Rates:
    return Rates(*text.split())


# Measured on 2026-11-23 with Claude Code 2.1.330 against a loopback stub with stated usage: the
# differences of `modelUsage[*].costUSD`, for each kind of token by itself. The ids are those it
# reports as `canonicalModel`. It marks what it does not know with `costBasis: "unknown"` and
# charges it like the default model; such models are not in here.
# `fast`: only these; any other model costs the same with `speed: "fast"`. Opus 4.6 and 4.7 had
# fast mode until 2026-07-24, https://code.claude.com/docs/en/fast-mode.
CLIENT = {
    "claude-3-5-haiku": Measured(rates("0.8 4 0.08 1 1.6")),
    "claude-3-5-sonnet": Measured(rates("3 15 0.3 3.75 6")),
    "claude-3-7-sonnet": Measured(rates("3 15 0.3 3.75 6")),
    "claude-fable-5": Measured(rates("10 50 1 12.5 20")),
    "claude-fable-5-1": Measured(rates("10 50 0.25 12.5 20")),
    "claude-fable-5-2": Measured(rates("8 40 0.2 10 16"), fast="2"),
    "claude-haiku-4-5": Measured(rates("1 5 0.1 1.25 2")),
    "claude-haiku-5-5": Measured(
        rates("0.1 0.5 0.01 0.125 0.2"),
        long=Long(100_000, rates("0.5 2.5 0.05 0.625 1")),
    ),
    "claude-mythos-5": Measured(rates("10 50 1 12.5 20")),
    "claude-mythos-5-1": Measured(rates("10 50 0.25 12.5 20")),
    "claude-mythos-5-2": Measured(rates("8 40 0.2 10 16"), fast="2"),
    "claude-opus-4-0": Measured(rates("15 75 1.5 18.75 30")),
    "claude-opus-4-1": Measured(rates("15 75 1.5 18.75 30")),
    "claude-opus-4-5": Measured(rates("5 25 0.5 6.25 10")),
    "claude-opus-4-6": Measured(rates("5 25 0.5 6.25 10"), fast="6"),
    "claude-opus-4-7": Measured(rates("5 25 0.5 6.25 10"), fast="6"),
    "claude-opus-4-8": Measured(rates("5 25 0.5 6.25 10"), fast="2"),
    "claude-opus-5": Measured(rates("5 25 0.5 6.25 10"), fast="2"),
    "claude-opus-5-5": Measured(rates("4 20 0.2 5 8"), fast="2"),
    "claude-sonnet-4-0": Measured(rates("3 15 0.3 3.75 6")),
    "claude-sonnet-4-5": Measured(rates("3 15 0.3 3.75 6")),
    "claude-sonnet-4-6": Measured(rates("3 15 0.3 3.75 6")),
    "claude-sonnet-5": Measured(rates("2 10 0.2 2.5 4")),
    "claude-sonnet-5-5": Measured(rates("2 10 0.1 2.5 4")),
}

US = "1.1"
"""`inference_geo: "us"`: the client multiplies every model it knows. Measured as above."""

WEB_SEARCH = "0.01"
"""One price on every model. Measured as above; also where genai-prices leaves it out."""

CHANGES = {
    # genai-prices keeps the tier above 200,000 tokens without an end and says in its comment that
    # the 1M context it belonged to was retired on this day. The client has no such tier.
    "claude-sonnet-4-5": Change("2026-04-30", None, GENAI),
    # Cache reads fell from 0.1 to 0.05 times the input price. genai-prices has the new rate only.
    # Also https://github.com/TheKrush/PromptFuel/releases/tag/v1.0.23. Read on 2026-11-23.
    "claude-sonnet-5-5": Change("2026-10-07", Measured(rates("2 10 0.2 2.5 4")), CLAUDIT),
}

# The ids that do not become canonical when a date is taken off the end. Each is resolved so by the
# client (`canonicalModel`, measured as above); only those of Claude 2 are read off genai-prices.
ALIASES = {
    "claude-2-0": "claude-2",
    "claude-2-1": "claude-2",
    "claude-2.0": "claude-2",
    "claude-2.1": "claude-2",
    "claude-3-5-haiku-latest": "claude-3-5-haiku",
    "claude-3-5-sonnet-latest": "claude-3-5-sonnet",
    "claude-3-7-sonnet-latest": "claude-3-7-sonnet",
    "claude-3-opus-latest": "claude-3-opus",
    "claude-opus-4": "claude-opus-4-0",
    "claude-opus-4-20250514": "claude-opus-4-0",
    "claude-sonnet-4": "claude-sonnet-4-0",
    "claude-sonnet-4-20250514": "claude-sonnet-4-0",
}

# For Claude 1 and 2 alone, which had no prompt cache: the table has every key, and a count of
# tokens that cannot occur is priced by the rule of the later models.
CACHE_RATES = {
    "cache_read_mtok": Decimal("0.1"),
    "cache_write_mtok": Decimal("1.25"),
    "cache_write_1h_mtok": Decimal(2),
}


class Dated(NamedTuple):
    """A period as genai-prices tells it."""

    since: str | None
    rates: Rates
    long: Long | None


def decimal(value: Decimal) -> str:
    return format(value.normalize(), "f")


def genai_periods(prices: Any) -> list[Dated]:
    """The periods of one model of genai-prices, the newest first."""
    parts = prices if isinstance(prices, list) else [prices]
    dated = [genai_period(part) for part in parts]
    return sorted(dated, key=lambda period: period.since or "", reverse=True)


def genai_period(part: Any) -> Dated:
    constraint = getattr(part, "constraint", None)
    fields = vars(getattr(part, "prices", part))
    given = [
        fields.get(name) or CACHE_RATES[name] * fields["input_mtok"]
        for name in ("input_mtok", "output_mtok", *CACHE_RATES)
    ]
    base = Rates(*(decimal(getattr(rate, "base", rate)) for rate in given))
    tiers = [tier for rate in given for tier in getattr(rate, "tiers", ())]
    long = None
    if tiers:
        starts = {tier.start for tier in tiers}
        if len(starts) != 1 or len(tiers) != len(given):
            raise SystemExit(f"genai-prices has tiers this table has no room for: {tiers}")
        long = Long(starts.pop(), Rates(*(decimal(tier.price) for tier in tiers)))
    return Dated(constraint.start_date.isoformat() if constraint else None, base, long)


def period(
    since: str | None, source: str, price: Rates, long: Long | None, measured: Measured | None
) -> Period:
    made: Period = {"from": since, "source": source, **price._asdict(), "web_search": WEB_SEARCH}
    if measured:
        if measured.fast:
            made["fast"] = measured.fast
        made["us"] = US
    if long:
        made["long"] = {"above": long.above, **long.rates._asdict()}
    return made


def model_periods(model: str, known: list[Dated]) -> Iterator[Period]:
    """The periods of one model, the newest first: the client's, then what held before."""
    measured = CLIENT.get(model)
    change = CHANGES.get(model)
    since = known[0].since if known else None
    if measured and change:
        yield period(change.since, CLIENT_SOURCE, measured.rates, measured.long, measured)
        if change.before:
            yield period(since, change.source, change.before.rates, change.before.long, measured)
            known = known[1:]
    elif measured:
        if known and (known[0].rates, known[0].long) != (measured.rates, measured.long):
            raise SystemExit(
                f"{model}: the client was measured at {measured}, genai-prices has {known[0]}. "
                "Measure the client anew, or say in CHANGES since when its rates hold."
            )
        yield period(since, CLIENT_SOURCE, measured.rates, measured.long, measured)
        known = known[1:]
    for dated in known:
        yield period(dated.since, GENAI, dated.rates, dated.long, measured)


def table() -> dict[str, Any]:
    (anthropic,) = (provider for provider in providers if provider.id == "anthropic")
    known = {
        model.id.removesuffix("-latest"): genai_periods(model.prices) for model in anthropic.models
    }
    return {
        "version": VERSION,
        "unit": UNIT,
        "sources": SOURCES,
        "models": {
            model: list(model_periods(model, known.get(model, [])))
            for model in sorted({*known, *CLIENT})
        },
        "aliases": ALIASES,
    }


def text(made: dict[str, Any]) -> str:
    """The table as JSON with a line for each period, so that a change reads as one."""
    lines = [f'"{key}": {json.dumps(made[key])},' for key in ("version", "unit", "sources")]
    models = [
        f'"{model}": [\n' + ",\n".join(json.dumps(period) for period in periods) + "\n]"
        for model, periods in made["models"].items()
    ]
    lines.append('"models": {\n' + ",\n".join(models) + "\n},")
    lines.append('"aliases": ' + json.dumps(made["aliases"], indent=0))
    return "{\n" + "\n".join(lines) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make budget/prices.json.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on a change")
    check = parser.parse_args().check
    new = text(table())
    old = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    if not check:
        TABLE.write_text(new, encoding="utf-8")
    elif new != old:
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), "committed", "made anew", lineterm="", n=0
        )
        print(*lines, "Run: python .ci/prices.py", sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
