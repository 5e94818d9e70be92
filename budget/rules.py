"""Reads a config file, whole or not at all: every problem is told with its file, line and key.

Standard library only: a budget must hold in the first minute of a plugin, without a package
installed. Hooks import this module only when a config changed.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from errno import ELOOP
from typing import Any

from budget.errors import ConfigError, InputError
from budget.files import open_regular, printable
from budget.keys import (
    ADVICE_KEYS,
    BUDGET_KEYS,
    FILE_KEYS,
    GROUP_KEYS,
    MODEL_KEYS,
    NAME,
    NOTIFY_KEYS,
    POLICY_KEYS,
    POLICY_TABLES,
    PRICES_KEYS,
    REQUIRED,
    RULES_KEYS,
    STATUSLINE_KEYS,
    TABLES,
    UNKNOWN_KEY,
    InvalidError,
    Key,
    Problem,
    show,
)
from budget.model import LEVEL_UNITS, PERCENT_UNITS, UNITS

LARGEST_CONFIG = 1024 * 1024
MOST_BUDGETS, MOST_OF_GROUPS, MOST_PATTERNS = 100, 2_000, 200
FILTERS = ("models", "agents", "branches")
_DEEPEST = 40
_PART = r"(?:\"[^\"\n]*+\"|'[^'\n]*+'|(?<![\w-])[\w-]++)[ \t]*+"
_DEEP = re.compile(f"{_PART}(?:\\.[ \\t]*+{_PART}){{{_DEEPEST}}}")
# How many problems of one file are told at once.
_TOLD = 20
_LONGEST = 600
"""Of what was expected, in characters: it may name a key of the file."""


def checked(raw: Mapping[str, Any], policy: bool = False) -> tuple[dict[str, Any], list[Problem]]:
    """A parsed file as plain values, JSON-ready, and everything that is wrong with it.

    `policy`: whether it is a team's or a managed policy, which may say more than a config.
    """
    found: list[Problem] = []
    keys = {**FILE_KEYS, **POLICY_KEYS} if policy else FILE_KEYS
    tables = (*TABLES, *POLICY_TABLES) if policy else TABLES
    top = {key: value for key, value in raw.items() if key not in tables}
    _require((), raw, FILE_KEYS, found)
    settings = _table((), top, keys, found, tables)
    settings["advice"] = _table(("advice",), raw.get("advice", {}), ADVICE_KEYS, found)
    settings["notify"] = _table(("notify",), raw.get("notify", {}), NOTIFY_KEYS, found)
    line = raw.get("statusline", {})
    settings["statusline"] = _table(("statusline",), line, STATUSLINE_KEYS, found)
    settings["prices"] = _prices(raw.get("prices", {}), found)
    settings["budgets"] = _budgets(("budgets",), raw.get("budgets", {}), found)
    _not_too_many(raw, found)
    if policy:
        settings["rules"] = _table(("rules",), raw.get("rules", {}), RULES_KEYS, found)
        settings["groups"] = _groups(raw.get("groups", {}), found)
    return settings, found


def _not_too_many(raw: Mapping[str, Any], found: list[Problem]) -> None:
    """Each budget and each pattern costs a hook time after every step: a clone may not take it."""
    groups = raw.get("groups")
    owners = [raw, *(groups.values() if isinstance(groups, dict) else ())]
    tables = [each.get("budgets") for each in owners if _is_table(each)]
    budgets = [each for table in tables if _is_table(table) for each in table.values()]
    of_one = max((len(table) for table in tables if _is_table(table)), default=0)
    if of_one > MOST_BUDGETS or len(budgets) > MOST_OF_GROUPS:
        expected = f"at most {MOST_BUDGETS} budgets, and {MOST_OF_GROUPS} in all groups"
        found.append(Problem(("budgets",), expected, f"{len(budgets)}"))
    lists = (each.get(kind) for each in budgets if _is_table(each) for kind in FILTERS)
    patterns = sum(len(each) for each in lists if isinstance(each, list))
    if patterns > MOST_PATTERNS:
        expected = f"at most {MOST_PATTERNS} patterns of models, agents and branches"
        found.append(Problem(("budgets",), expected, f"{patterns}"))


def _prices(raw: Any, found: list[Problem]) -> dict[str, Any]:
    own = {key: value for key, value in raw.items() if key != "models"} if _is_table(raw) else raw
    prices = _table(("prices",), own, PRICES_KEYS, found, ("models",))
    models = raw.get("models", {}) if _is_table(raw) else {}
    if not _is_table(models):
        expected = 'a table for each model, such as [prices.models."acme-coder"]'
        found.append(Problem(("prices", "models"), expected, show(models)))
        models = {}
    prices["models"] = {}
    for name, table in models.items():
        path = ("prices", "models", name)
        rates = _table(path, table, MODEL_KEYS, found)
        if _is_table(table):
            _require(path, table, MODEL_KEYS, found, "US dollars per million tokens")
        if "cache_write" in rates:
            rates["cache_write_5m"] = rates.pop("cache_write")
        prices["models"][name] = rates
    return prices


def _groups(raw: Any, found: list[Problem]) -> dict[str, Any]:
    if not _is_table(raw):
        expected = "a table for each group, such as [groups.pilot]"
        found.append(Problem(("groups",), expected, show(raw)))
        return {}
    groups = {}
    for name, table in raw.items():
        path = ("groups", name)
        if not NAME.fullmatch(name):
            found.append(Problem(path, _A_NAME, show(name)))
        whole = _is_table(table)
        own = {key: table[key] for key in table if key != "budgets"} if whole else table
        groups[name] = _table(path, own, GROUP_KEYS, found, ("budgets",))
        if whole:
            _require(path, table, GROUP_KEYS, found, "a list of people")
        budgets = table.get("budgets", {}) if whole else {}
        groups[name]["budgets"] = _budgets((*path, "budgets"), budgets, found)
    return groups


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _require(
    path: tuple[str, ...],
    table: Mapping[str, Any],
    keys: Mapping[str, Key],
    found: list[Problem],
    expected: str = "1, the version of the format",
) -> None:
    for name, key in keys.items():
        if key.default == REQUIRED and name not in table:
            found.append(Problem((*path, name), expected, "nothing"))


def _table(
    path: tuple[str, ...],
    table: Any,
    keys: Mapping[str, Key],
    found: list[Problem],
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(table, dict):
        found.append(Problem(path, "a table", show(table)))
        return {}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            known = "one of " + ", ".join([*keys, *also])
            found.append(Problem((*path, key), known, UNKNOWN_KEY))
            continue
        try:
            values[key] = keys[key].check((*path, key), value)
        except InvalidError as invalid:
            found.append(invalid.problem)
    return values


_A_NAME = "a name of at most 40 letters, digits, spaces, dots, dashes or underscores"


def _budgets(path: tuple[str, ...], raw: Any, found: list[Problem]) -> dict[str, Any]:
    if not _is_table(raw):
        expected = f"a table for each budget, such as [{'.'.join(path)}.day]"
        found.append(Problem(path, expected, show(raw)))
        return {}
    return {name: _budget((*path, name), table, found) for name, table in raw.items()}


def _budget(path: tuple[str, ...], table: Any, found: list[Problem]) -> dict[str, Any]:
    if not NAME.fullmatch(path[-1]):
        found.append(Problem(path, _A_NAME, show(path[-1])))
    budget = _table(path, table, BUDGET_KEYS, found)
    if not isinstance(table, dict):
        return budget
    units = [unit for unit in UNITS if unit in table]
    if not units:
        found.append(Problem(path, "a limit: one of " + ", ".join(UNITS), "none"))
    if "per" not in table and not (units and set(units) <= set(LEVEL_UNITS)):
        expected = "what it counts over: session, day, month, ..."
        found.append(Problem((*path, "per"), expected, "nothing"))
    level = next((unit for unit in units if unit in LEVEL_UNITS), "")
    for kind in FILTERS:
        if level and kind in table:
            expected = f"no {kind} beside {level}, which is not counted by steps"
            found.append(Problem((*path, kind), expected, show(table[kind])))
    if set(units) & set(PERCENT_UNITS) and table.get("scope") == "team":
        expected = f"no team scope beside {level}: a plan is a person's"
        found.append(Problem((*path, "scope"), expected, show("team")))
    budget.setdefault("per", "session")
    return budget


def read_config(path: str, policy: bool = False) -> dict[str, Any] | None:
    """The settings of one file; None when there is none.

    Raises `ConfigError` with every problem of the file, a sentence each.
    """
    parsed = parse(path)
    if parsed is None:
        return None
    table, text = parsed
    settings, found = checked(table, policy)
    if found:
        told = [explain(path, text, problem) for problem in found[:_TOLD]]
        if len(found) > _TOLD:
            told.append(f"{printable(path)}: {len(found) - _TOLD} more like these.")
        raise ConfigError("\n".join(told))
    return settings


def parse(path: str) -> tuple[dict[str, Any], str] | None:
    """A file's table and its text; None when there is no file. Raises `ConfigError`."""
    shown = printable(path)
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_CONFIG + 1)
        if len(data) > LARGEST_CONFIG:
            raise ConfigError(f"{shown}: it is larger than {LARGEST_CONFIG} bytes.")
        text = data.decode("utf-8")
    except InputError as error:
        raise ConfigError(f"{shown}: expected a file, got something else.") from error
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise ConfigError(f"{shown}: expected a file, got something else.") from None
        return None
    except OSError as error:
        if error.errno == ELOOP:
            raise ConfigError(f"{shown}: expected a file, got something else.") from None
        raise ConfigError(f"{shown}: it cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{shown}, line {line}: it is not UTF-8 text.") from error
    deep = _DEEP.search(text)
    if deep:  # the parser takes a time that grows with the square of their number
        line = text.count("\n", 0, deep.start()) + 1
        raise ConfigError(f"{shown}, line {line}: a key of more than {_DEEPEST} parts.")
    try:
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers without end
        raise ConfigError(f"{shown}: it is not valid TOML: {_told(error)}.") from error


def _told(error: Exception) -> str:
    """What the parser says, bounded: it names keys, and a key may be as long as the file."""
    text = printable(str(error))
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-60:]}"


def explain(path: str, text: str, problem: Problem) -> str:
    """The one sentence about a problem: file, line, key, what was expected, what stands there."""
    line = _line_of(text, problem.path)
    where = f"{printable(path)}, line {line}" if line else printable(path)
    close = _nearest(problem)
    hint = f" Did you mean {close}?" if close else ""
    key, expected = printable(".".join(problem.path))[:200], printable(problem.expected)
    if len(expected) > _LONGEST:
        expected = expected[:_LONGEST] + "..."
    return f"{where}, {key}: expected {expected}, got {problem.got}.{hint}"


def _line_of(text: str, path: tuple[str, ...]) -> int:
    """The line of a key, or of the table it belongs in; 0 where neither is written plainly."""
    found, depth, table = 0, 0, ()  # type: tuple[int, int, tuple[str, ...]]
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            table = tuple(part.strip("\"' ") for part in bare.strip("[] ").split("."))
            if table == path[: len(table)] and len(table) > depth:
                found, depth = number, len(table)
            if table[: len(path)] == path:
                return number
        elif "=" in bare:
            key = tuple(part.strip("\"' ") for part in bare.partition("=")[0].split("."))
            if table + key == path:
                return number
    return found if len(path) > 1 else 0


def _nearest(problem: Problem) -> str:
    if problem.got != UNKNOWN_KEY or len(problem.path[-1]) > 60:
        return ""
    from difflib import get_close_matches

    known = problem.expected.removeprefix("one of ").split(", ")
    return next(iter(get_close_matches(problem.path[-1], known, 1, 0.6)), "")
