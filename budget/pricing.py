"""What a step costs: the dated table of `prices.json`, and the rules that apply it.

Source of the rules: the client's own `costUSD` (Claude Code 2.1.330, measured 2026-11-23).
A step costs input x in + output x out + cache reads x read + 5-minute writes x write_5m + 1-hour
writes x write_1h + web searches x web_search; a prompt longer than a model's `long.above` is
priced as a whole at the `long` rates; `speed: fast` and `inference_geo: us` multiply the tokens.
"""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from operator import mul

from budget.errors import PriceError
from budget.files import read_own, read_some
from budget.lean import UTC, Any, NamedTuple, datetime, loads
from budget.model import Price, Step, Usage

TABLE = os.path.join(os.path.dirname(__file__), "prices.json")
KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
DEAREST = "dearest"
STATED = "stated by a 1.x client"
DAY_MS = 86_400_000
LARGEST = 4 * 1024 * 1024

_DECIMAL = r"[0-9]{1,6}(\.[0-9]{1,6})?"


class Table(NamedTuple):
    """A parsed price table."""

    version: str
    models: dict[str, list[dict[str, Any]]]
    """Canonical model id to its periods, the newest first; prices are decimal strings."""
    aliases: dict[str, str]
    multiplier: str = "1"
    """Of every price: a discount or a surcharge that a config tells of."""
    unknown: str = DEAREST
    """How a step of an unknown model counts for budgets: `dearest`, or as this model."""
    untrusted: frozenset[str] = frozenset()
    """Models whose only price a repository tells: budgets count them at their bound."""
    listed: Table | None = None
    """The table without what configs say: the list prices, by which the client counts."""


def load_table(path: str = TABLE, of_state: bool = False) -> Table:
    """`of_state`: the one in the state folder. Raises `PriceError` for one that cannot be read."""
    try:
        raw = loads(read_own(path, LARGEST) if of_state else read_some(path, LARGEST))
        table = Table(raw["version"], raw["models"], raw["aliases"])
        if path != TABLE and not _is_table(table):
            raise ValueError("a price or the version is missing, or is of another form")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PriceError(f"The price table {path} cannot be read: {error}.") from error
    return table


def price_print(downloaded: str) -> str:
    """Tells one downloaded table from another; empty when there is none."""
    if not os.path.exists(downloaded):
        return ""
    try:
        return f"{crc32(read_own(downloaded, LARGEST)):08x}"
    except OSError:
        return ""


def newest_table(downloaded: str, expected: str | None = None) -> Table:
    """The table that ships with this version, or a newer one that the person put in place.

    A downloaded table that cannot be read is passed over: `budget doctor` says so. So is one whose
    `price_print` is not the `expected` one: it came while a session ran, and waits for the next.
    """
    shipped = load_table()
    if os.path.exists(downloaded) and expected in (None, price_print(downloaded)):
        try:
            table = load_table(downloaded, of_state=True)
        except PriceError:
            return shipped
        if table.version > shipped.version:
            return table
    return shipped


def corrected(table: Table, prices: Iterable[Mapping[str, Any]]) -> Table:
    """The table with what the configs say.

    `prices` is a list of layers, the lowest authority first, each with `models`, `multiplier`,
    `unknown` and `may_lower`. A layer that may not lower prices (a repository's) can add models
    and make known ones dearer, nothing else.
    """
    for layer in prices:
        models = dict(table.models)
        untrusted = table.untrusted
        for name, rates in layer["models"].items():
            key = resolve(name, table) or name.lower()
            known = (table.listed or table).models if layer["may_lower"] else models
            periods = known.get(key, [_usual_rates(rates["input"])])
            untrusted = untrusted - {key} if layer["may_lower"] else untrusted
            if key not in models:
                untrusted |= {key} if not layer["may_lower"] else frozenset()
            models[key] = [_with_rates(each, rates, layer["may_lower"]) for each in periods]
        multiplier, unknown = table.multiplier, table.unknown
        if layer["multiplier"]:
            multiplier = layer["multiplier"]
            if not layer["may_lower"]:
                multiplier = max(multiplier, table.multiplier, key=_millionths)
        if layer["unknown"] and layer["may_lower"]:
            unknown = layer["unknown"]
        version = f"{table.version.removesuffix('+config')}+config"
        listed = table.listed or table
        table = Table(version, models, table.aliases, multiplier, unknown, untrusted, listed)
    return table


def _usual_rates(usd_per_million: str) -> dict[str, Any]:
    """For a model of no table: cache rates by the usual multiples of its input rate."""
    base = float(usd_per_million)
    usual = {"cache_read": 0.1, "cache_write_5m": 1.25, "cache_write_1h": 2}
    rates = {kind: f"{base * factor:.6f}" for kind, factor in usual.items()}
    return {"from": None, "input": usd_per_million, "output": "0", **rates}


def _with_rates(period: dict[str, Any], told: dict[str, str], may_lower: bool) -> dict[str, Any]:
    """One period with other rates."""
    if may_lower:
        # What the person says holds for prompts of every length.
        return {key: value for key, value in period.items() if key != "long"} | told
    raised = {
        kind: max(rate, period.get(kind, "0"), key=_millionths) for kind, rate in told.items()
    }
    return {**period, **raised}


def resolve(model: str, table: Table) -> str | None:
    """The canonical id that a model id of any platform stands for; None when it is unknown.

    What platforms put around a name does not matter: `us.anthropic.` before it, `-v1:0`, `@date`,
    a date, `-latest`, `[1m]` after it; a dot stands for a dash (`claude-sonnet-4.5`). The longest
    known name counts, unless what follows makes it another version. So does the client (2.1.330).
    """
    name = model.lower().strip()
    for private in (name, name.partition("[")[0]):
        if private in table.models:
            return private
    at = name.rfind("claude-")
    if at == -1:
        return None
    spelling = name[at:].replace(".", "-")
    for end in range(len(spelling), len("claude-"), -1):
        known = table.aliases.get(spelling[:end], spelling[:end])
        if known in table.models and not _goes_on(spelling[:end], spelling[end:]):
            return known
    return None


def _goes_on(name: str, rest: str) -> bool:
    """Whether the rest makes another version of a name: `claude-opus-5` and `-7`, or `5`."""
    if rest[:1].isdigit():
        return True
    digits = len(rest[1:]) - len(rest[1:].lstrip("0123456789"))
    if not rest.startswith("-") or digits not in (1, 2):  # a date has more
        return False
    # Two numbers make a version, and a date ends a name: after `claude-opus-5-5` nothing does.
    parts = name.split("-")
    is_dated = len(parts[-1]) == 8 and _is_number(parts[-1])
    return not is_dated and not any(
        _is_number(major) and _is_number(minor) and len(minor) <= 2
        for major, minor in pairwise(parts[1:])
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def price(step: Step, table: Table) -> Price:
    """The cost of a step, to the picodollar."""
    model = resolve(step.model, table)
    if model is not None:
        cost = _cost(step, period_of(step.at_ms, table.models[model]))
        listed = cost if table.listed is None else price(step, table.listed).listed_picousd
        cost = _times(cost, table.multiplier)
        # A repository that makes a model of its own look cheap gains nothing by it.
        floor = _times(_bound(step, table), table.multiplier) if model in table.untrusted else 0
        return Price(cost, max(0, floor - cost), listed, table.version)
    if step.stated_picousd is not None:
        return Price(step.stated_picousd, 0, step.stated_picousd, STATED)
    bound = _bound(step, table)
    listed = bound if table.listed is None else price(step, table.listed).listed_picousd
    return Price(None, _times(bound, table.multiplier), listed, table.version)


class _Rates(NamedTuple):
    """What each count of a usage costs, searches included: of a short prompt and of a long one."""

    short: tuple[int, ...]
    above: int | None
    long: tuple[int, ...]


class Prices:
    """Prices many steps as `price` does: what a model's tokens cost is looked up once a day."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rates: dict[tuple[str, int], _Rates | None] = {}

    def of(self, step: Step) -> Price:
        day = (step.model, step.at_ms // DAY_MS)
        if day not in self._rates:
            self._rates[day] = _rates_of(*day, self._table)
        rates = self._rates[day]
        if rates is None or step.speed == "fast" or step.geo == "us" or step.parts:
            return price(step, self._table)
        is_long = rates.above is not None and step.usage.prompt_tokens > rates.above
        cost = sum(map(mul, step.usage, rates.long if is_long else rates.short))
        return Price._make((cost, 0, cost, self._table.version))


def _rates_of(model: str, day: int, table: Table) -> _Rates | None:
    """None where more than the rates of one period decides."""
    known = resolve(model, table)
    if known is None or known in table.untrusted or table.listed or table.multiplier != "1":
        return None
    period = period_of(day * DAY_MS, table.models[known])
    if period is not period_of((day + 1) * DAY_MS - 1, table.models[known]):
        return None
    search = picousd_per_token(period.get("web_search", "0")) * 10**6
    long = period.get("long")
    short_rates, long_rates = (
        (*_picousd(*[rates.get(kind, "0") for kind in KINDS]), search)
        for rates in (period, long or period)
    )
    return _Rates(short_rates, long["above"] if long else None, long_rates)


def period_of(at_ms: int, periods: list[dict[str, Any]]) -> dict[str, Any]:
    """The prices that held at a time."""
    for period in periods[:-1]:
        if period["from"] is None or at_ms >= _day_ms(period["from"]):
            return period
    return periods[-1]


@lru_cache(maxsize=64)
def _day_ms(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)


def _cost(step: Step, period: dict[str, Any]) -> int:
    if step.parts:
        cost = sum(_token_cost(usage, period) for usage in step.parts)
    else:
        cost = _token_cost(step.usage, period)
    if step.speed == "fast":
        cost = _times(cost, period.get("fast", "1"))
    if step.geo == "us":
        cost = _times(cost, period.get("us", "1"))
    if step.usage.web_searches:
        each = picousd_per_token(period.get("web_search", "0")) * 10**6
        cost += step.usage.web_searches * each
    return cost


def _token_cost(usage: Usage, period: dict[str, Any]) -> int:
    """What one request's tokens cost; a long prompt is priced as a whole at the long rates."""
    long = period.get("long")
    rates = long if long and usage.prompt_tokens > long["above"] else period
    # A usage begins with the tokens of these kinds, in their order.
    return sum(map(mul, usage, _picousd(*[rates.get(kind, "0") for kind in KINDS])))


@lru_cache(maxsize=256)
def _picousd(*usd_per_million: str) -> tuple[int, ...]:
    return tuple(map(picousd_per_token, usd_per_million))


def _bound(step: Step, table: Table) -> int:
    """What a step of an unknown model counts as: by default the highest cost any model has."""
    as_model = resolve(table.unknown, table)
    if table.unknown != DEAREST and as_model:
        return _cost(step, period_of(step.at_ms, table.models[as_model]))
    return max(_cost(step, period) for periods in table.models.values() for period in periods)


def _is_table(table: Table) -> bool:
    return (
        isinstance(table.version, str)
        and bool(table.models)
        and all(periods for periods in table.models.values())
        and all(_is_period(period) for periods in table.models.values() for period in periods)
        and all(isinstance(name, str) for name in table.aliases.values())
    )


def _is_period(period: dict[str, Any]) -> bool:
    import re  # only where a person put a table in place

    decimals = [period[kind] for kind in ("input", "output")]
    decimals += [period.get(key, "1") for key in (*KINDS, "web_search", "fast", "us")]
    if "long" in period:
        decimals += [period["long"].get(kind, "1") for kind in KINDS]
    return all(re.fullmatch(_DECIMAL, each) for each in decimals) and "from" in period


@lru_cache(maxsize=256)
def picousd_per_token(usd_per_million: str) -> int:
    """`"0.025"` USD per million tokens is 25,000 picodollars per token: exact to 6 decimals."""
    return _millionths(usd_per_million)


def _times(cost: int, factor: str) -> int:
    return cost if factor == "1" else (cost * _millionths(factor) + 500_000) // 10**6


def _millionths(decimal: str) -> int:
    whole, _, fraction = decimal.partition(".")
    return int(whole) * 10**6 + int(fraction.ljust(6, "0")[:6] or 0)
