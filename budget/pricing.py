"""What a step costs: the dated table of `prices.json`, and the rules that apply it.

Source of the rules: the client's own `costUSD` (Claude Code 2.1.330, measured 2026-11-23).
A step costs input x in + output x out + cache reads x read + 5-minute writes x write_5m + 1-hour
writes x write_1h + web searches x web_search; a prompt longer than a model's `long.above` is
priced as a whole at the `long` rates; `speed: fast` and `inference_geo: us` multiply the tokens.
"""

import os
import re
from functools import lru_cache
from json import load
from typing import Any, NamedTuple

from budget.errors import PriceError
from budget.model import Price, Step

TABLE = os.path.join(os.path.dirname(__file__), "prices.json")

_KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# What platforms and releases append to a model's name.
_SUFFIX = re.compile(
    r"(-v[0-9]+(:[0-9]+)?|[-@]20[0-9]{6}|[-@]latest|@default|-fast|-preview|-eap)$"
)


class Table(NamedTuple):
    """A parsed price table."""

    version: str
    models: dict[str, list[dict[str, Any]]]
    """Canonical model id to its periods, the newest first; prices are decimal strings."""
    aliases: dict[str, str]


@lru_cache(maxsize=2)
def load_table(path: str = TABLE) -> Table:
    """Raises `PriceError` for a table that cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            raw = load(file)
        return Table(raw["version"], raw["models"], raw["aliases"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PriceError(f"The price table {path} cannot be read: {error!r}.") from error


def resolve(model: str, table: Table) -> str | None:
    """The canonical id that a model id of any platform stands for; None when it is unknown.

    Strips what platforms add: `us.anthropic.` and other path-like prefixes, `-v1:0`, `@date`,
    a date, `-latest`, `[1m]`; a dot stands for a dash (`claude-sonnet-4.5`).
    """
    name = model.lower().partition("[")[0].strip()
    at = name.rfind("claude-")
    if at == -1:
        return None
    spelling = name[at:].replace(".", "-")
    while True:
        canonical = table.aliases.get(spelling, spelling)
        if canonical in table.models:
            return canonical
        shorter = _SUFFIX.sub("", spelling)
        if shorter == spelling:
            return None
        spelling = shorter


def price(step: Step, table: Table) -> Price:
    """The cost of a step, to the picodollar."""
    model = resolve(step.model, table)
    if model is None:
        return Price(None, _dearest(step, table), table.version)
    return Price(_cost(step, _period(step, table.models[model])), 0, table.version)


def _period(step: Step, periods: list[dict[str, Any]]) -> dict[str, Any]:
    for period in periods[:-1]:
        if period["from"] is None or step.at_ms >= _day_ms(period["from"]):
            return period
    return periods[-1]


@lru_cache(maxsize=64)
def _day_ms(date: str) -> int:
    from datetime import UTC, datetime

    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)


def _cost(step: Step, period: dict[str, Any]) -> int:
    usage = step.usage
    rates = period
    long = period.get("long")
    if long and usage.prompt_tokens > long["above"]:
        rates = long
    cost = sum(
        tokens * picousd_per_token(rates[kind])
        for kind, tokens in zip(_KINDS, usage, strict=False)
        if tokens
    )
    if step.speed == "fast":
        cost = _times(cost, period.get("fast", "1"))
    if step.geo == "us":
        cost = _times(cost, period.get("us", "1"))
    searches = usage.web_searches * picousd_per_token(period.get("web_search", "0")) * 10**6
    return cost + searches


def _dearest(step: Step, table: Table) -> int:
    """At the highest cost any model of the table has for this usage: never too low."""
    return max(_cost(step, period) for periods in table.models.values() for period in periods)


@lru_cache(maxsize=256)
def picousd_per_token(usd_per_million: str) -> int:
    """`"0.025"` USD per million tokens is 25,000 picodollars per token: exact to 6 decimals."""
    return _millionths(usd_per_million)


def _times(cost: int, factor: str) -> int:
    return (cost * _millionths(factor) + 500_000) // 10**6


def _millionths(decimal: str) -> int:
    whole, _, fraction = decimal.partition(".")
    return int(whole) * 10**6 + int(fraction.ljust(6, "0")[:6] or 0)
