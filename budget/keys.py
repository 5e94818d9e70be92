"""Every key of a config: the values it may have, what it means, and what holds without it.

This table is the one place that decides whether a value is valid. It also makes the JSON Schema
(`schema.py`) and the tables of `docs/configuration.md`. Standard library only: a hook imports it,
when a config changed.
"""

import re
from collections.abc import Callable, Mapping
from json import dumps
from typing import Any, NamedTuple

from budget.files import printable
from budget.line_format import unknown
from budget.model import COUNTED_UNITS, LEVEL_UNITS, PERCENT_UNITS, PICO, UNITS
from budget.windows import WEEKDAYS, is_period, zone

# A name is told to the model, too: it must not be able to say anything.
NAME = re.compile(r"[\w .-]{1,40}")
_MAX_USD = 10**6
_MAX_COUNT = 10**15
_MAX_RATE = 100_000


class Problem(NamedTuple):
    """What is wrong with one key: `path` leads to it."""

    path: tuple[str, ...]
    expected: str
    got: str


class InvalidError(Exception):
    """One value that is not valid."""

    def __init__(self, path: tuple[str, ...], expected: str, got: object) -> None:
        super().__init__(path)
        self.problem = Problem(path, expected, show(got))


def show(value: object) -> str:
    """A value as messages show it: short, on one line."""
    if isinstance(value, dict):
        return "a table"
    try:
        text = printable(dumps(value, default=str, ensure_ascii=False))
    except ValueError:
        return "a number of too many digits"
    except RecursionError:
        return "something very deep"
    return text if len(text) <= 60 else text[:57] + "..."


Check = Callable[[tuple[str, ...], Any], Any]
"""Returns the value as it is stored, or raises `InvalidError`."""


class Key(NamedTuple):
    """One key of one table."""

    check: Check
    schema: Mapping[str, Any]
    """Its JSON Schema."""
    values: str
    """What it may be and means, in Markdown."""
    default: str = ""
    """What holds without it, in Markdown; `required` where it must be given."""


# -- values ----------------------------------------------------------------------------------------


def _choice(*allowed: str) -> tuple[Check, dict[str, Any]]:
    def check(path: tuple[str, ...], value: Any) -> str:
        if value not in allowed or not isinstance(value, str):
            raise InvalidError(path, " or ".join(f'"{word}"' for word in allowed), value)
        return value

    return check, {"enum": list(allowed)}


def _text(limit: int) -> tuple[Check, dict[str, Any]]:
    def check(path: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            raise InvalidError(path, f"text on one line, at most {limit} characters", value)
        return value

    return check, {"type": "string", "maxLength": limit}


def _texts(expected: str) -> tuple[Check, dict[str, Any]]:
    def check(path: tuple[str, ...], value: Any) -> tuple[str, ...]:
        good = isinstance(value, list) and 0 < len(value) <= 100
        if not good or not all(_is_word(each) for each in value):
            raise InvalidError(path, expected, value)
        return tuple(value)

    items = {"type": "string", "minLength": 1, "maxLength": 200}
    return check, {"type": "array", "minItems": 1, "maxItems": 100, "items": items}


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _usd(path: tuple[str, ...], value: Any) -> int:
    """Picodollars. TOML floats are exact to far below a micro-dollar in the allowed range."""
    if not _is_number(value) or not 0 <= value <= _MAX_USD:
        raise InvalidError(path, f"US dollars from 0 to {_MAX_USD}", value)
    micro_usd: int = round(value * 10**6)
    return micro_usd * (PICO // 10**6)


def _count(path: tuple[str, ...], value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
        return value
    raise InvalidError(path, "a whole number, 0 or more", value)


def _percent(path: tuple[str, ...], value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100:
        return value
    raise InvalidError(path, "whole percent from 1 to 100", value)


def _steps(path: tuple[str, ...], value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 10_000:
        return value
    raise InvalidError(path, "a whole number from 2 to 10000", value)


def _rate(path: tuple[str, ...], value: Any) -> str:
    """A decimal string, as the price table has them."""
    if not _is_number(value) or not 0 <= value <= _MAX_RATE:
        raise InvalidError(path, "US dollars per million tokens, 0 or more", value)
    return f"{value:.6f}"


def _factor(path: tuple[str, ...], value: Any) -> str:
    if not _is_number(value) or not 0 < value <= 1000:
        raise InvalidError(path, "a factor above 0, such as 0.85", value)
    return f"{value:.6f}"


def _period(path: tuple[str, ...], value: Any) -> str:
    if not isinstance(value, str) or not is_period(value):
        expected = "session, hour, day, week, month, total or a rolling time such as rolling 5h"
        raise InvalidError(path, f"{expected} (m, h or d)", value)
    return value


def _marks(path: tuple[str, ...], value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 20 or not all(map(_is_mark, value)):
        expected = "a list of fractions above 0 and below 1, such as [0.5, 0.8]"
        raise InvalidError(path, expected, value)
    return tuple(sorted(float(mark) for mark in value))


def _is_mark(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _version(path: tuple[str, ...], value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise InvalidError(path, "1, the version of the format", value)
    return 1


def _timezone(path: tuple[str, ...], value: Any) -> str:
    try:
        if not isinstance(value, str) or not value:
            raise ValueError("not a name")
        zone(value)
    except ValueError:
        raise InvalidError(path, 'a time zone such as "Europe/Berlin"', value) from None
    return value


def _format(path: tuple[str, ...], value: Any) -> str:
    text, _ = _text(500)
    form = str(text(path, value))
    mistake = unknown(form)
    if mistake:
        raise InvalidError(path, f"fields of the status line: {mistake}", value)
    return form


_COUNT = {"type": "integer", "minimum": 0, "maximum": _MAX_COUNT}
_DOLLARS = {"type": "number", "minimum": 0, "maximum": _MAX_USD}
_RATE = {"type": "number", "minimum": 0, "maximum": _MAX_RATE}
_STEPS = {"type": "integer", "minimum": 2, "maximum": 10_000}
_PERCENT = {"type": "integer", "minimum": 1, "maximum": 100}
_PER = {
    "type": "string",
    "pattern": "^(session|hour|day|week|month|total|rolling [1-9][0-9]{0,4}[mhd])$",
}
_WARN_AT = {
    "type": "array",
    "maxItems": 20,
    "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
}
_PATTERNS = 'a list of names or patterns, such as ["*opus*"]'

# -- the tables ------------------------------------------------------------------------------------

REQUIRED = "required"

FILE_KEYS: dict[str, Key] = {
    "version": Key(_version, {"const": 1}, "`1`, the version of the format", REQUIRED),
    "timezone": Key(
        _timezone,
        {"type": "string", "minLength": 1},
        'an IANA name such as `"Europe/Berlin"`: where hours, days, weeks and months begin',
        "the system's",
    ),
    "on_error": Key(
        *_choice("allow", "block"),
        '`"allow"`, `"block"`: what happens when budgets cannot be enforced (a full disk, a bug)',
        '`"allow"`',
    ),
    "week_starts": Key(*_choice(*WEEKDAYS), '`"monday"` ... `"sunday"`', '`"monday"`'),
}

_UNIT_TEXTS = {
    "tokens": "tokens of every kind",
    "input_tokens": "tokens read without a cache",
    "output_tokens": "tokens written",
    "cache_read_tokens": "tokens read from a cache",
    "cache_write_tokens": "tokens written to a cache, for 5 minutes and for 1 hour",
    "steps": "steps: responses of the API",
}

BUDGET_KEYS: dict[str, Key] = {
    "per": Key(
        _period,
        _PER,
        '`"session"`, `"hour"`, `"day"`, `"week"`, `"month"`, `"total"`, or `"rolling 5h"`'
        " (`m`, `h`, `d`)",
        "required, except beside a level",
    ),
    "scope": Key(
        *_choice("project", "user", "team"),
        '`"project"`: all sessions of this repository, its worktrees included; `"user"`: all'
        ' projects of the person on this machine; `"team"`: everybody (see below)',
        '`"project"`',
    ),
    "usd": Key(_usd, _DOLLARS, "US dollars"),
    **{unit: Key(_count, _COUNT, _UNIT_TEXTS[unit]) for unit in COUNTED_UNITS},
    "context_tokens": Key(_count, _COUNT, "a level: the size of the session's context now"),
    "five_hour_percent": Key(
        _percent,
        _PERCENT,
        "a level: how much of a subscription plan's five-hour window is used, as the client tells",
    ),
    "seven_day_percent": Key(_percent, _PERCENT, "the same of its seven-day window"),
    "warn_at": Key(
        _marks,
        _WARN_AT,
        "fractions of the limit, above 0 and below 1; each is said once per window",
        "`[0.8]`",
    ),
    "on_exceed": Key(
        *_choice("block", "ask", "advise"),
        '`"block"`: stop the work and further prompts; `"ask"`: stop the work, the next prompt goes'
        ' on for another tenth of the limit; `"advise"`: say so once and let it go on',
        '`"block"`',
    ),
    "stop": Key(
        *_choice("before", "after"),
        '`"before"`: before the step that would pass the limit, as it is expected; `"after"`: after'
        " the step that did",
        '`"before"`',
    ),
    "models": Key(*_texts(_PATTERNS), "count only steps of these models, patterns as in a shell"),
    "agents": Key(
        *_texts(_PATTERNS), 'count only steps of these agents: `"main"`, or the type of a subagent'
    ),
    "branches": Key(*_texts(_PATTERNS), "count only steps on these git branches"),
    "message": Key(*_text(500), "text that is added to what the person sees"),
}

ADVICE_KEYS: dict[str, Key] = {
    "context_tokens": Key(
        _count,
        _COUNT,
        "advise `/compact` or `/clear` from this size of the context on, when it pays; said once"
        " per multiple of it; `0`: never",
        "`100_000`",
    ),
    "min_saving_usd": Key(
        _usd, _DOLLARS, "what following the advice must save, in US dollars", "`0.10`"
    ),
    "pays_back_steps": Key(_steps, _STEPS, "within how many further steps", "`20`"),
    "compact": Key(
        *_choice("advise", "auto"),
        '`"advise"`: say so; `"auto"`: compact an interactive session between two turns when that'
        " pays (with the plugin)",
        '`"advise"`',
    ),
    "focus": Key(
        *_text(500),
        "what a compaction should keep: the advice becomes `/compact Focus on ...`",
        'what CLAUDE.md says under "Compact instructions"',
    ),
}

NOTIFY_KEYS: dict[str, Key] = {
    "command": Key(
        *_texts('a program and its arguments, such as ["notify-send", "budget"]'),
        "a program and its arguments: run at each warning and stop, with JSON on its stdin",
        "none",
    ),
}

STATUSLINE_KEYS: dict[str, Key] = {
    "format": Key(
        _format,
        {"type": "string", "maxLength": 500},
        "the status line in your own order: `{budget} {bar} {left}` and others"
        " ([statusline.md](statusline.md)); in your own config only",
        "see there",
    ),
}

PRICES_KEYS: dict[str, Key] = {
    "multiplier": Key(
        _factor,
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
        "a factor on every price: a discount, a surcharge",
        "`1`",
    ),
    "unknown": Key(
        *_text(200),
        'how steps of unknown models count for budgets: `"dearest"`, or like a model of the table;'
        " not in a repository's file",
        '`"dearest"`',
    ),
}

MODEL_KEYS: dict[str, Key] = {
    "input": Key(_rate, _RATE, "tokens read without a cache", REQUIRED),
    "output": Key(_rate, _RATE, "tokens written", REQUIRED),
    "cache_read": Key(
        _rate, _RATE, "tokens read from a cache", "the table's, for a new model 0.1 x `input`"
    ),
    "cache_write": Key(
        _rate,
        _RATE,
        "tokens written to a cache for 5 minutes",
        "the table's, for a new model 1.25 x `input`",
    ),
    "cache_write_1h": Key(
        _rate,
        _RATE,
        "tokens written to a cache for 1 hour",
        "the table's, for a new model 2 x `input`",
    ),
    "web_search": Key(_rate, _RATE, "one web search, in US dollars", "the table's, else 0"),
}

POLICY_KEYS: dict[str, Key] = {
    "team": Key(*_text(100), "the team's name, shown beside its rules"),
}
"""What only a policy may say, at its top."""

RULES_KEYS: dict[str, Key] = {
    "max_grant_usd": Key(
        _usd, _DOLLARS, "the largest single grant (`budget allow`); `0` forbids grants", "no rule"
    ),
    "require": Key(
        *_texts('a list of names of budgets, such as ["day"]'),
        "budgets that must exist at some layer; a missing one is told at every session's start,"
        " and `budget check` fails",
        "none",
    ),
}

GROUP_KEYS: dict[str, Key] = {
    "members": Key(
        *_texts('a list of people, such as ["ana@example.com", "*@pilot.example.com"]'),
        "people, patterns as in a shell, upper and lower case alike",
        REQUIRED,
    ),
}

TABLES = ("budgets", "advice", "notify", "statusline", "prices")
POLICY_TABLES = ("rules", "groups")
UNKNOWN_KEY = "an unknown key"

assert set(UNITS) <= set(BUDGET_KEYS)
assert set(PERCENT_UNITS) <= set(LEVEL_UNITS)
