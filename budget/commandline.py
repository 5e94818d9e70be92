"""The client's command line: what it asks for, and where options of ours go. Pure.

Source: `claude --help` (2.1.330). Of an option that is given twice the last one holds (measured
2026-11-23), and what follows `--` is a prompt.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from budget.model import PICO

_SHORT = {"-p": "--print", "-c": "--continue", "-r": "--resume"}
_WITH_VALUE = (
    "--output-format",
    "--max-budget-usd",
    "--resume",
    "--session-id",
    "--settings",
    "--setting-sources",
    "--plugin-dir",
)
_SESSION_ID = re.compile(r"[0-9A-Za-z-]{8,64}")


class Told(NamedTuple):
    """What a command line asks for."""

    prints: bool
    output: str = "text"
    max_picousd: int | None = None
    """Of `--max-budget-usd`."""
    resume: str = ""
    """The session to go on with; empty when none is named by its id."""
    continues: bool = False
    """The newest session of the folder goes on."""
    forks: bool = False
    session_id: str = ""
    persists: bool = True
    without_hooks: str = ""
    """The option that keeps the client from running hooks, if there is one."""
    settings: str | None = None
    sources: tuple[str, ...] | None = None
    """The settings files that are read: user, project, local; None for all."""
    plugin_dirs: tuple[str, ...] = ()


def told(arguments: Sequence[str]) -> Told:
    """What the words after the program's name ask for."""
    given: dict[str, list[str]] = {}
    for name, value in _options(arguments):
        given.setdefault(name, []).append(value)

    def last(name: str) -> str | None:
        return given[name][-1] if name in given else None

    sources = last("--setting-sources")
    without = [name for name in ("--bare", "--safe-mode") if name in given]
    return Told(
        prints="--print" in given,
        output=last("--output-format") or "text",
        max_picousd=_picousd(last("--max-budget-usd")),
        resume=_id(last("--resume")),
        continues="--continue" in given,
        forks="--fork-session" in given,
        session_id=_id(last("--session-id")),
        persists="--no-session-persistence" not in given,
        without_hooks=without[0] if without else "",
        settings=last("--settings"),
        sources=None if sources is None else tuple(sources.replace(" ", "").split(",")),
        plugin_dirs=tuple(given.get("--plugin-dir", ())),
    )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value, empty for one that takes none."""
    at = 0
    while at < len(arguments) and arguments[at] != "--":
        word = arguments[at]
        at += 1
        if re.fullmatch(r"-[pc]{2,}r?", word):  # short options in one word
            yield from ((_SHORT[f"-{letter}"], "") for letter in word[1:])
            continue
        name, has_value, value = word.partition("=")
        name = _SHORT.get(name, name)
        if name in _WITH_VALUE and not has_value and at < len(arguments):
            following = arguments[at]
            if name != "--resume" or not following.startswith("-"):
                value = following
                at += 1
        if name.startswith("--"):
            yield name, value


def _id(value: str | None) -> str:
    return value if value and _SESSION_ID.fullmatch(value) else ""


def _picousd(value: str | None) -> int | None:
    try:
        usd = float(value or "")
    except ValueError:
        return None
    return round(usd * PICO) if 0 < usd < 10**6 else None


def with_options(command: Sequence[str], options: Sequence[str]) -> list[str]:
    """The command with further options: at its end, before a `--`. There they are the last."""
    words = list(command)
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *options, *words[end:]]


def limit_text(picousd: int) -> str:
    """Dollars as `--max-budget-usd` takes them, exact: `0.0048`."""
    return f"{picousd // PICO}.{picousd % PICO:012d}".rstrip("0").rstrip(".")
