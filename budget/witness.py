"""What the hooks of one run leave for the program that started it: sessions, transcripts, stops.

`budget run` names a file in `$BUDGET_RUN`; each hook appends a line. Without it a stop could not be
told from a run that was done: with `claude -p` both exit 0, and text output says nothing (2.1.330).
Standard library only: hooks import it.
"""

from __future__ import annotations

import os

from budget.files import appending, read_own
from budget.lean import Any, NamedTuple, dumps, loads, suppress

VARIABLE = "BUDGET_RUN"
PREFIX = "budget-run-"
"""What the name of such a file begins with."""
_LARGEST = 16 * 1024 * 1024


class Seen(NamedTuple):
    """One event of a hook."""

    session_id: str
    transcript: str
    stop: str
    """What the person was told when the hook stopped the work or blocked a prompt; else empty."""
    agent_id: str = ""
    """Whose work: empty for the main thread. The run goes on when one of its agents is stopped."""


def append(path: str, seen: Seen) -> None:
    """Adds a line to a file that is there. A hook goes on when it cannot be written."""
    if not os.path.basename(path).startswith(PREFIX):
        return  # the variable names something else: it is not written to
    with suppress(OSError), appending(path, make=False) as file:
        file.write(dumps(seen).encode() + b"\n")


def read(path: str) -> list[Seen]:
    """Every event so far, in order. A line that is none is passed over."""
    try:
        lines = read_own(path, _LARGEST).splitlines()
    except OSError:
        return []
    return [seen for line in lines if (seen := _seen(line))]


def _seen(line: bytes) -> Seen | None:
    try:
        fields: Any = loads(line)
    except (ValueError, RecursionError):
        return None
    good = isinstance(fields, list) and len(fields) in (3, 4)
    return Seen(*fields) if good and all(isinstance(each, str) for each in fields) else None


def stop_of(answer: dict[str, Any], prompt: str) -> str:
    """What a hook's answer stops the work with; empty when it stops nothing.

    A `/budget:...` prompt is answered by being blocked: that is no stop.
    """
    if answer.get("continue") is False:
        return str(answer.get("stopReason", ""))
    if answer.get("decision") == "block" and not prompt.startswith("/budget:"):
        return str(answer.get("reason", ""))
    return ""
