"""A paste-ready report of a bug: versions and the traceback, no prompt text, no settings.

The text of an error may quote what was worked on: a line of a transcript, a prompt, a value of a
config. Of it only the words are kept that the program's own lines hold, too.
"""

import builtins
import os
import re
import time

from budget import __version__, paths, system
from budget.files import append_own, printable

_LARGEST_LOG = 1024 * 1024
_WORD = re.compile(r"[A-Za-z_]+")
# What Python itself says most.
_USUAL = frozenset(dir(builtins)) | {
    *("NoneType", "argument", "attribute", "can", "cannot", "expected", "index", "integer", "must"),
    *("not", "object", "out", "of", "range", "required", "unexpected", "unsupported", "value"),
}


def log_bug(error: BaseException, env: paths.Env, where: str) -> str:
    """Appends the report to the log of the state folder; returns the sentence that names it."""
    import platform

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = (
        f"--- {at} budget {__version__}, Python {platform.python_version()},"
        f" {platform.platform()}, at: {printable(where)[:60]}\n"
        f"{traced(error)}\n"
    )
    path = paths.log_file(env)
    try:
        paths.check_state(env)
        if os.path.exists(path) and os.path.getsize(path) > _LARGEST_LOG:
            system.replace(path, path + ".old")
        append_own(path, report)
    except OSError:
        return f"This is a bug in budget ({type(error).__name__}), and its log cannot be written."
    return f"This is a bug in budget ({type(error).__name__}); {path} has what to report."


def traced(error: BaseException) -> str:
    """The traceback, the cause first, without what the errors' texts quote."""
    import traceback

    parts: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = traceback.extract_tb(each.__traceback__)
        known = {word for frame in frames for word in _WORD.findall(frame.line or "")}
        stack = "".join(traceback.format_list(frames))
        parts.append(f"{stack}{type(each).__qualname__}: {_told(each, known | _USUAL)}\n")
        each = each.__cause__ or each.__context__
    return "while that was handled:\n".join(reversed(parts))


def _told(error: BaseException, known: set[str] | frozenset[str]) -> str:
    """`cannot ... int (42 characters)`: the known words of an error's text, and how long it is."""
    text = str(error)
    words = [word if word in known else "..." for word in _WORD.findall(text[:300])]
    shown = " ".join(
        word for at, word in enumerate(words) if word != "..." or words[at - 1 : at] != ["..."]
    )
    number = f", error {error.errno}" if isinstance(error, OSError) and error.errno else ""
    return f"{shown} ({len(text)} characters{number})"
