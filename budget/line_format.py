"""The status line's fields, what each tells, and how they are put into a line that fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from budget.lean import NamedTuple


class Field(NamedTuple):
    """One field of a format."""

    means: str
    example: str
    stays: int
    """On a narrow terminal the fields with the highest figure stay."""


FIELDS: dict[str, Field] = {
    "budget": Field("the budget of which the largest part is spent", "day", 9),
    "bar": Field("how much of it is spent", "████████░░ 84 %", 8),
    "left": Field(
        "what is left of it, and for how long at the rate of now;"
        " when it is used up, when it resets",
        "$1.51 left of $10.00, ~16 min",
        10,
    ),
    "advice": Field(
        "the one thing that is worth doing now, if there is one",
        "/compact saves $0.05 a step",
        7,
    ),
    "session": Field("what the session has cost", "session $2.81", 6),
    "today": Field(
        "what today has cost in this project, and the model that most of it went to",
        "today $8.49, 92 % opus-5",
        4,
    ),
    "burn": Field(
        "how fast money goes in all sessions: the last 10 minutes as dollars an hour",
        "$5.64/h in all",
        5,
    ),
    "context": Field("what the context costs in each further step", "context $0.08/step", 3),
    "cache": Field(
        "how long the context is cached still; then the next prompt pays for all of it",
        "cache 47 min left",
        2,
    ),
}
DEFAULT = "{budget} {bar} · {left} · {session} · {burn} · {advice} · {today} · {context} · {cache}"
_FIELD = re.compile(r"\{([^{}]*)\}")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def unknown(form: str) -> str:
    """What is wrong with a format, in a sentence; empty when nothing is."""
    for name in _FIELD.findall(form):
        if name not in FIELDS:
            from difflib import get_close_matches  # only for a mistake

            near = get_close_matches(name, FIELDS, 1, 0.5)
            meant = f"; did you mean {{{near[0]}}}?" if near else "."
            known = " ".join(f"{{{each}}}" for each in FIELDS)
            return f"{{{name}}} is no field of the status line{meant} There are: {known}"
    return ""


def filled(form: str, values: Mapping[str, str], width: int = 0) -> str:
    """The line of a format. A field without a value takes the text before it along.

    With a `width` in columns, as many fields as fit: the most important first, which always stays.
    """
    names = {name for name in _FIELD.findall(form) if values.get(name)}
    shown: set[str] = set()
    for name in sorted(names, key=lambda name: -FIELDS[name].stays):
        with_it = _line(form, values, shown | {name})
        if not shown or not width or shown_width(with_it) <= width:
            shown.add(name)
    return _line(form, values, shown)


def _line(form: str, values: Mapping[str, str], names: set[str]) -> str:
    # Text, field, text, field, ..., text.
    parts = _FIELD.split(form)
    texts, fields = parts[::2], parts[1::2]
    line = ""
    for number, name in enumerate(fields):
        if name in names:
            # What separates it from a field before it, which there must be.
            line += (texts[number] if line or not number else "") + values[name]
    return line + texts[-1] if line or not fields else ""


def shown_width(text: str) -> int:
    """In columns; what is shown is of single width."""
    return len(_COLOUR.sub("", text))
