"""What is said of a value that an option cannot take: as everywhere, what was expected and got."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

_CHOICE = re.compile(r"(?:Value error, )?('.*') is not one of (.+?)\.?")
_KINDS = (
    ("valid number", "a number"),
    ("valid integer", "a whole number"),
    ("not a valid float", "a number"),
    ("not a valid integer", "a whole number"),
)


class Command(TyperCommand):
    """A command whose mistakes are told in our words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            options = tuple(getattr(error.param, "opts", ()))
            error.message = worded(error.message, given, options)
            raise


def worded(message: str, given: Sequence[str], options: Sequence[str]) -> str:
    """The sentence about a value; one that is not known stays as it is."""
    choice = _CHOICE.fullmatch(message)
    if choice:
        got = choice[1].strip("'")
        names = re.findall(r"'([^']*)'", choice[2])
        near = next(iter(get_close_matches(got, names, 1)), "")
        hint = f" Did you mean {near}?" if near else ""
        return f"expected one of {', '.join(names)}, got {got!r}.{hint}"
    for told, kind in _KINDS:
        if told in message:
            value = _value(given, options)
            return f"expected {kind}, got {value!r}." if value else f"expected {kind}."
    return message.removeprefix("Value error, ")


def _value(given: Sequence[str], options: Sequence[str]) -> str:
    """What stands behind an option on the command line; empty where it is none."""
    for at, word in enumerate(given):
        name, equals, value = word.partition("=")
        if name in options:
            return value if equals else "".join(given[at + 1 : at + 2])
    return ""
