"""The rules of a config file: which keys there are, and which values they may have.

This is the one place that decides whether a config is valid, and it needs the standard library
only: a budget must hold in the first minute of a plugin, without a package installed. Hooks
import this module only when a config changed.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from json import dumps
from typing import Any, NamedTuple

from budget.errors import ConfigError
from budget.files import printable
from budget.model import COUNTED_UNITS, PICO, UNITS
from budget.windows import WEEKDAYS, is_period, zone

LARGEST_CONFIG = 1024 * 1024
# How many problems of one file are told at once.
_TOLD = 20
# A name is told to the model, too: it must not be able to say anything.
_NAME = re.compile(r"[\w .-]{1,40}")
_MAX_USD = 10**6
_MAX_COUNT = 10**15


class Problem(NamedTuple):
    """What is wrong with one key: `path` leads to it."""

    path: tuple[str, ...]
    expected: str
    got: str


class _InvalidError(Exception):
    def __init__(self, path: tuple[str, ...], expected: str, got: object) -> None:
        super().__init__(path)
        self.problem = Problem(path, expected, _show(got))


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    try:
        text = printable(dumps(value, default=str, ensure_ascii=False))
    except ValueError:
        return "a number of too many digits"
    return text if len(text) <= 60 else text[:57] + "..."


# -- the rules of one file -------------------------------------------------------------------------

Check = Callable[[tuple[str, ...], Any], Any]


def _choice(*allowed: str) -> Check:
    def check(path: tuple[str, ...], value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise _InvalidError(path, " or ".join(f'"{word}"' for word in allowed), value)
        return value

    return check


def _text(limit: int) -> Check:
    def check(path: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            raise _InvalidError(path, f"text on one line, at most {limit} characters", value)
        return value

    return check


def _usd(path: tuple[str, ...], value: Any) -> int:
    """Picodollars. TOML floats are exact to far below a micro-dollar in the allowed range."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= _MAX_USD:
        raise _InvalidError(path, f"US dollars from 0 to {_MAX_USD}", value)
    micro_usd: int = round(value * 10**6)
    return micro_usd * (PICO // 10**6)


def _count(path: tuple[str, ...], value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
        return value
    raise _InvalidError(path, "a whole number, 0 or more", value)


def _rate(path: tuple[str, ...], value: Any) -> str:
    """A decimal string, as the price table has them."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= 100_000:
        raise _InvalidError(path, "US dollars per million tokens, 0 or more", value)
    return f"{value:.6f}"


def _factor(path: tuple[str, ...], value: Any) -> str:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 < value <= 1000:
        raise _InvalidError(path, "a factor above 0, such as 0.85", value)
    return f"{value:.6f}"


def _period(path: tuple[str, ...], value: Any) -> str:
    if not isinstance(value, str) or not is_period(value):
        expected = "session, hour, day, week, month, total or a rolling time such as rolling 5h"
        raise _InvalidError(path, f"{expected} (m, h or d)", value)
    return value


def _marks(path: tuple[str, ...], value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 20 or not all(map(_is_mark, value)):
        raise _InvalidError(
            path, "a list of fractions above 0 and below 1, such as [0.5, 0.8]", value
        )
    return tuple(sorted(float(mark) for mark in value))


def _is_mark(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _version(path: tuple[str, ...], value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise _InvalidError(path, "1, the version of the format", value)
    return 1


def _timezone(path: tuple[str, ...], value: Any) -> str:
    try:
        if not isinstance(value, str) or not value:
            raise ValueError("not a name")
        zone(value)
    except ValueError:
        raise _InvalidError(path, 'a time zone such as "Europe/Berlin"', value) from None
    return value


FILE_KEYS: dict[str, Check] = {
    "version": _version,
    "timezone": _timezone,
    "on_error": _choice("allow", "block"),
    "week_starts": _choice(*WEEKDAYS),
}
BUDGET_KEYS: dict[str, Check] = {
    "per": _period,
    "scope": _choice("project"),
    "usd": _usd,
    **dict.fromkeys(COUNTED_UNITS, _count),
    "warn_at": _marks,
    "on_exceed": _choice("block", "advise"),
    "stop": _choice("after"),
    "message": _text(500),
}
ADVICE_KEYS: dict[str, Check] = {"context_tokens": _count, "focus": _text(500)}
PRICES_KEYS: dict[str, Check] = {"multiplier": _factor, "unknown": _text(200)}
MODEL_KEYS: dict[str, Check] = {
    "input": _rate,
    "output": _rate,
    "cache_read": _rate,
    "cache_write": _rate,
    "cache_write_1h": _rate,
    "web_search": _rate,
}
TABLES = ("budgets", "advice", "prices")
UNKNOWN_KEY = "an unknown key"


def checked(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """A parsed file as plain values, JSON-ready, and everything that is wrong with it."""
    found: list[Problem] = []
    if "version" not in raw:
        found.append(Problem(("version",), "1, the version of the format", "nothing"))
    top = {key: value for key, value in raw.items() if key not in TABLES}
    settings = _table((), top, FILE_KEYS, found, TABLES)
    settings["advice"] = _table(("advice",), raw.get("advice", {}), ADVICE_KEYS, found)
    settings["prices"] = _prices(raw.get("prices", {}), found)
    budgets = raw.get("budgets", {})
    if not isinstance(budgets, dict):
        expected = "a table for each budget, such as [budgets.day]"
        found.append(Problem(("budgets",), expected, _show(budgets)))
        budgets = {}
    settings["budgets"] = {name: _budget(name, table, found) for name, table in budgets.items()}
    return settings, found


def _prices(raw: Any, found: list[Problem]) -> dict[str, Any]:
    own = {key: value for key, value in raw.items() if key != "models"} if _is_table(raw) else raw
    prices = _table(("prices",), own, PRICES_KEYS, found, ("models",))
    models = raw.get("models", {}) if _is_table(raw) else {}
    if not _is_table(models):
        expected = 'a table for each model, such as [prices.models."acme-coder"]'
        found.append(Problem(("prices", "models"), expected, _show(models)))
        models = {}
    prices["models"] = {}
    for name, table in models.items():
        path = ("prices", "models", name)
        rates = _table(path, table, MODEL_KEYS, found)
        for needed in ("input", "output"):
            if _is_table(table) and needed not in table:
                expected = "US dollars per million tokens"
                found.append(Problem((*path, needed), expected, "nothing"))
        if "cache_write" in rates:
            rates["cache_write_5m"] = rates.pop("cache_write")
        prices["models"][name] = rates
    return prices


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _table(
    path: tuple[str, ...],
    table: Any,
    keys: Mapping[str, Check],
    found: list[Problem],
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(table, dict):
        found.append(Problem(path, "a table", _show(table)))
        return {}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            known = "one of " + ", ".join([*keys, *also])
            found.append(Problem((*path, key), known, UNKNOWN_KEY))
            continue
        try:
            values[key] = keys[key]((*path, key), value)
        except _InvalidError as invalid:
            found.append(invalid.problem)
    return values


def _budget(name: str, table: Any, found: list[Problem]) -> dict[str, Any]:
    path = ("budgets", name)
    if not _NAME.fullmatch(name):
        expected = "a name of at most 40 letters, digits, spaces, dots, dashes or underscores"
        found.append(Problem(path, expected, _show(name)))
    budget = _table(path, table, BUDGET_KEYS, found)
    if isinstance(table, dict) and "per" not in table:
        expected = "what it counts over: session, day, month, ..."
        found.append(Problem((*path, "per"), expected, "nothing"))
    if isinstance(table, dict) and not any(unit in table for unit in UNITS):
        found.append(Problem(path, "a limit: one of " + ", ".join(UNITS), "none"))
    return budget


def read_config(path: str) -> dict[str, Any] | None:
    """The settings of one file; None when there is none.

    Raises `ConfigError` with every problem of the file, a sentence each.
    """
    parsed = parse(path)
    if parsed is None:
        return None
    table, text = parsed
    settings, found = checked(table)
    if found:
        told = [explain(path, text, problem) for problem in found[:_TOLD]]
        if len(found) > _TOLD:
            told.append(f"{path}: {len(found) - _TOLD} more like these.")
        raise ConfigError("\n".join(told))
    return settings


def parse(path: str) -> tuple[dict[str, Any], str] | None:
    """A file's table and its text; None when there is no file. Raises `ConfigError`."""
    try:
        if not os.path.lexists(path):
            os.stat(path)  # says whether there is none, or it may not be looked at
        if not os.path.isfile(path):
            raise ConfigError(f"{path}: expected a file, got something else.")
        with open(path, "rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
        if len(data) > LARGEST_CONFIG:
            raise ConfigError(f"{path}: it is larger than {LARGEST_CONFIG} bytes.")
        text = data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: it is not UTF-8 text.") from error
    try:
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers without end
        raise ConfigError(f"{path}: it is not valid TOML: {error}.") from error


def explain(path: str, text: str, problem: Problem) -> str:
    """The one sentence about a problem: file, line, key, what was expected, what stands there."""
    line = _line_of(text, problem.path)
    where = f"{path}, line {line}" if line else path
    close = _nearest(problem)
    hint = f" Did you mean {close}?" if close else ""
    key = printable(".".join(problem.path))[:200]
    return f"{where}, {key}: expected {problem.expected}, got {problem.got}.{hint}"


def _line_of(text: str, path: tuple[str, ...]) -> int:
    """The line of a key, or of the table it belongs in; 0 where neither is written plainly."""
    found, table = 0, ()  # type: tuple[int, tuple[str, ...]]
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            table = tuple(part.strip("\"' ") for part in bare.strip("[] ").split("."))
            if table == path[: len(table)] and not found:
                found = number
            if table[: len(path)] == path:
                return number
        elif "=" in bare:
            key = tuple(part.strip("\"' ") for part in bare.partition("=")[0].split("."))
            if table + key == path:
                return number
    return found if len(path) > 1 else 0


def _nearest(problem: Problem) -> str:
    if problem.got != UNKNOWN_KEY:
        return ""
    from difflib import get_close_matches

    known = problem.expected.removeprefix("one of ").split(", ")
    return next(iter(get_close_matches(problem.path[-1], known, 1, 0.6)), "")
