"""The policy of a project: all config layers merged by authority, compiled to one JSON file.

A hook loads the compiled file. It is compiled anew when a config differs in size, time or identity
from what was compiled, or was created or removed. A config that is not valid is refused whole,
and the last valid version of that layer stays in force.
"""

import os
from json import dumps, loads
from typing import Any, NamedTuple

from budget import __version__
from budget.errors import ConfigError
from budget.files import read_some
from budget.model import UNITS, Budget, Policy, Source

NO_POLICY = Policy((), "", "allow", 0, "", (), ())
_DEFAULT_WARN_AT = (0.8,)
_LARGEST = 64 * 1024 * 1024


class Layer(NamedTuple):
    """One config file and the authority it has. The first of a list is the highest."""

    name: str
    file: str
    shown: str
    """The file as people are told of it."""


def load_policy(layers: list[Layer], compiled_file: str) -> Policy:
    """The policy in force: compiled before, or compiled now because a config changed."""
    prints = [_fingerprint(layer.file) for layer in layers]
    known = _load_compiled(compiled_file)
    stamp = [__version__, [list(layer) for layer in layers], prints]
    if known is not None and known.stamp == stamp:
        return known.policy
    compiled = _compile(layers, known.valid if known else {})
    compiled["stamp"] = stamp
    _store(compiled_file, compiled)
    return _policy(compiled)


def _fingerprint(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


class _Compiled(NamedTuple):
    """What a compiled file holds."""

    policy: Policy
    stamp: list[Any]
    """Of what it was compiled."""
    valid: dict[str, Any]
    """The last valid settings of each config, by file."""


def _load_compiled(path: str) -> _Compiled | None:
    try:
        raw = loads(read_some(path, _LARGEST))
        compiled = _Compiled(_policy(raw), raw["stamp"], raw["valid"])
        return compiled if isinstance(compiled.valid, dict) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _compile(layers: list[Layer], last_valid: dict[str, Any]) -> dict[str, Any]:
    from budget.rules import read_config  # only when a file changed

    valid: dict[str, Any] = {}
    problems: list[str] = []
    for layer in layers:
        try:
            settings = read_config(layer.file)
        except ConfigError as error:
            settings = last_valid.get(layer.file)
            kept = "its last valid version stays in force" if settings else "nothing of it holds"
            problems.append(f"{error}\nUntil this is mended, {kept}.")
        if settings is not None:
            valid[layer.file] = settings
    return {"valid": valid, "problems": problems, **_merged(layers, valid)}


def _merged(layers: list[Layer], valid: dict[str, Any]) -> dict[str, Any]:
    """One policy of all layers: the higher authority's settings, the strictest of the limits."""
    settings = [(layer, valid[layer.file]) for layer in layers if layer.file in valid]

    def first(key: str, default: object) -> object:
        return next((each[key] for _, each in settings if key in each), default)

    advice: dict[str, Any] = {}
    rows: dict[tuple[str, ...], list[Any]] = {}
    # A layer's windows begin where it says, or where a higher one says; never where a lower one
    # says: a day that begins later has forgotten what was spent this morning.
    clock = {"timezone": "", "week_starts": "monday"}
    set_above: set[str] = set()
    for layer, each in settings:
        advice = {**each["advice"], **advice}
        for key in clock:
            if key in each and key not in set_above:
                clock[key] = each[key]
                set_above.add(key)
        for name, table in each["budgets"].items():
            for unit in (unit for unit in UNITS if unit in table):
                row = [*_row(layer, name, table, unit), clock["timezone"], clock["week_starts"]]
                # Limits that differ in what they do, or over what they count, are both kept:
                # neither is the stricter one.
                same = (name, table["per"], unit, table.get("on_exceed", "block"), *clock.values())
                if same not in rows or table[unit] < rows[same][3]:
                    rows[same] = row
    blocks = any(each.get("on_error") == "block" for _, each in settings)
    return {
        "timezone": first("timezone", ""),
        "on_error": "block" if blocks else "allow",
        "advise_context_tokens": advice.get("context_tokens", 0),
        "focus": advice.get("focus", ""),
        "prices": [
            _price_layer(layer, each["prices"])
            for layer, each in reversed(settings)
            if each["prices"] != {"models": {}}
        ],
        "budgets": list(rows.values()),
    }


def _price_layer(layer: Layer, prices: dict[str, Any]) -> dict[str, Any]:
    return {
        "models": prices["models"],
        "multiplier": prices.get("multiplier", ""),
        "unknown": prices.get("unknown", ""),
        # A cloned repository must not make a model look cheap.
        "may_lower": layer.name != "repo",
    }


def _row(layer: Layer, name: str, table: dict[str, Any], unit: str) -> list[Any]:
    return [
        name,
        table["per"],
        unit,
        table[unit],
        list(table.get("warn_at", _DEFAULT_WARN_AT)),
        table.get("on_exceed", "block"),
        table.get("message", ""),
        [layer.name, layer.file, f"budgets.{name}", layer.shown],
    ]


def _policy(compiled: dict[str, Any]) -> Policy:
    return Policy(
        budgets=tuple(
            Budget._make((*row[:4], tuple(row[4]), *row[5:7], Source(*row[7]), *row[8:]))
            for row in compiled["budgets"]
        ),
        timezone=compiled["timezone"],
        on_error=compiled["on_error"],
        advise_context_tokens=compiled["advise_context_tokens"],
        focus=compiled["focus"],
        prices=tuple(compiled["prices"]),
        problems=tuple(compiled["problems"]),
    )


def _store(path: str, compiled: dict[str, Any]) -> None:
    """Replaces the file at once. Where it cannot be written, the next hook compiles again."""
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(dumps(compiled))
        os.replace(temporary, path)
    except OSError:
        return
