"""The rules of a config file: which keys there are, and which values they may have.

This is the one place that decides whether a config is valid, and it needs the standard library
only: a budget must hold in the first minute of a plugin, without a package installed. `config.py`
describes the same keys to people and editors (all errors at once, a JSON Schema); a test keeps
the two in step. Hooks import this module only when a config changed.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from json import dumps
from typing import Any, NamedTuple

from budget.errors import ConfigError
from budget.model import COUNTED_UNITS, PICO, UNITS
from budget.windows import WEEKDAYS, is_period, zone

LARGEST_CONFIG = 1024 * 1024
_MAX_USD = 10**6
_MAX_COUNT = 10**15


class Problem(NamedTuple):
    """What is wrong with one key: `path` leads to it."""

    path: tuple[str, ...]
    expected: str
    got: str


class _Invalid(Exception):
    def __init__(self, path: tuple[str, ...], expected: str, got: object) -> None:
        super().__init__(path)
        self.problem = Problem(path, expected, _show(got))


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    text = dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


# -- the rules of one file -------------------------------------------------------------------------

Check = Callable[[tuple[str, ...], Any], Any]


def _choice(*allowed: str) -> Check:
    def check(path: tuple[str, ...], value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise _Invalid(path, " or ".join(f'"{word}"' for word in allowed), value)
        return value

    return check


def _text(limit: int) -> Check:
    def check(path: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            raise _Invalid(path, f"text on one line, at most {limit} characters", value)
        return value

    return check


def _usd(path: tuple[str, ...], value: Any) -> int:
    """Picodollars. TOML floats are exact to far below a micro-dollar in the allowed range."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= _MAX_USD:
        raise _Invalid(path, f"US dollars from 0 to {_MAX_USD}", value)
    micro_usd: int = round(value * 10**6)
    return micro_usd * (PICO // 10**6)


def _count(path: tuple[str, ...], value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
        return value
    raise _Invalid(path, "a whole number, 0 or more", value)


def _period(path: tuple[str, ...], value: Any) -> str:
    if not isinstance(value, str) or not is_period(value):
        expected = "session, hour, day, week, month, total or a rolling time such as rolling 5h"
        raise _Invalid(path, f"{expected} (m, h or d)", value)
    return value


def _marks(path: tuple[str, ...], value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 20 or not all(map(_is_mark, value)):
        raise _Invalid(path, "a list of fractions above 0 and below 1, such as [0.5, 0.8]", value)
    return tuple(sorted(float(mark) for mark in value))


def _is_mark(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _version(path: tuple[str, ...], value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise _Invalid(path, "1, the version of the format", value)
    return 1


def _timezone(path: tuple[str, ...], value: Any) -> str:
    try:
        if not isinstance(value, str) or not value:
            raise ValueError("not a name")
        zone(value)
    except ValueError:
        raise _Invalid(path, 'a time zone such as "Europe/Berlin"', value) from None
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
TABLES = ("budgets", "advice")


def check_file(raw: Mapping[str, Any]) -> Problem | None:
    """The first thing that is wrong with a parsed config, or None."""
    try:
        _settings(raw)
    except _Invalid as invalid:
        return invalid.problem
    return None


def _settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A parsed file as plain values: JSON-ready, every one checked."""
    if "version" not in raw:
        raise _Invalid(("version",), "1, the version of the format", "nothing")
    top = {key: value for key, value in raw.items() if key not in TABLES}
    settings = _table((), top, FILE_KEYS, TABLES)
    settings["advice"] = _table(("advice",), raw.get("advice", {}), ADVICE_KEYS)
    budgets = raw.get("budgets", {})
    if not isinstance(budgets, dict):
        raise _Invalid(("budgets",), "a table for each budget, such as [budgets.day]", budgets)
    settings["budgets"] = {name: _budget(name, table) for name, table in budgets.items()}
    return settings


def _table(
    path: tuple[str, ...], table: Any, keys: Mapping[str, Check], also: tuple[str, ...] = ()
) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise _Invalid(path, "a table", table)
    for key in table:
        if key not in keys:
            raise _Invalid((*path, key), "one of " + ", ".join([*keys, *also]), "an unknown key")
    return {key: keys[key]((*path, key), value) for key, value in table.items()}


def _budget(name: str, table: Any) -> dict[str, Any]:
    path = ("budgets", name)
    if not name.isprintable() or not 0 < len(name) <= 60:
        raise _Invalid(path, "a name of at most 60 characters", name)
    budget = _table(path, table, BUDGET_KEYS)
    if "per" not in budget:
        raise _Invalid((*path, "per"), "what it counts over: session, day, month, ...", "nothing")
    if not any(unit in budget for unit in UNITS):
        raise _Invalid(path, "a limit: one of " + ", ".join(UNITS), "none")
    return budget


def read_config(path: str) -> dict[str, Any] | None:
    """The settings of one file; None when there is none. Raises `ConfigError`, with the line."""
    raw = parse(path)
    if raw is None:
        return None
    table, text = raw
    try:
        return _settings(table)
    except _Invalid as invalid:
        raise ConfigError(explain(path, text, invalid.problem)) from None


def parse(path: str) -> tuple[dict[str, Any], str] | None:
    """A file's table and its text; None when there is no file. Raises `ConfigError`."""
    try:
        if not os.path.isfile(path):
            if os.path.lexists(path):
                raise ConfigError(f"{path}: expected a file, got something else.")
            return None
        with open(path, "rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
        if len(data) > LARGEST_CONFIG:
            raise ConfigError(f"{path}: it is larger than {LARGEST_CONFIG} bytes.")
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: it is not UTF-8 text.") from error
    try:
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: it is not valid TOML: {error}.") from error


def explain(path: str, text: str, problem: Problem) -> str:
    """The one sentence about a problem: file, line, key, what was expected, what stands there."""
    line = _line_of(text, problem.path)
    where = f"{path}, line {line}" if line else path
    close = _nearest(problem)
    hint = f" Did you mean {close}?" if close else ""
    key = ".".join(problem.path)
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
            if table == path:
                return number
        elif "=" in bare:
            key = tuple(part.strip("\"' ") for part in bare.partition("=")[0].split("."))
            if table + key == path:
                return number
    return found if len(path) > 1 else 0


def _nearest(problem: Problem) -> str:
    if problem.got != "an unknown key":
        return ""
    from difflib import get_close_matches

    known = problem.expected.removeprefix("one of ").split(", ")
    return next(iter(get_close_matches(problem.path[-1], known, 1, 0.6)), "")
