"""What a transcript tells beside its steps: totals, compactions, a change of model, its folder.

Source of the forms: Claude Code 2.1.330, measured 2026-11-23.
"""

from __future__ import annotations

import os

from budget.errors import InputError
from budget.files import open_regular
from budget.lean import loads
from budget.model import MAX_TOKENS, ClientTotal, Compaction
from budget.places import Place
from budget.scanning import MARK
from budget.steps import milliseconds, stated_picousd

_HEAD, _FIRST = 8 * 1024, 256 * 1024
_CWD = rb'"cwd":("(?:[^"\\]|\\.)*")'
_LATEST = 256 * 1024
"""The last bytes of a transcript: what happened since the last step is in them."""


def cost_states(lines: bytearray, place: Place) -> list[ClientTotal]:
    """The client's own total at the end of a stretch: it writes one when a session ends (2.1.330).

    It is cumulative over resumes, so the last one is the highest.
    """
    if lines.find(b'"cost-state"') == -1:  # searching backward is slow
        return []
    at = lines.rfind(b'"cost-state"')
    line = lines[lines.rfind(b"\n", 0, at) + 1 : lines.find(b"\n", at)]
    try:
        state = loads(line)
        total = stated_picousd(state["totalCostUSD"])
        if state["type"] != "cost-state" or state["sessionId"] != place.session_id:
            return []
    except (ValueError, TypeError, KeyError, RecursionError):
        return []  # a text that happens to hold the words
    return [] if total is None else [ClientTotal(place.session_id, "transcript", 0, 0, total)]


def compactions(lines: bytearray, place: Place) -> list[Compaction]:
    """The compactions a stretch tells of (`compact_boundary` lines, 2.1.330, 2026-11-23)."""
    found = []
    at = lines.find(b'"compact_boundary"')
    while at != -1:
        stop = lines.find(b"\n", at)
        try:
            line = loads(lines[lines.rfind(b"\n", 0, at) + 1 : stop])
            sizes = line["compactMetadata"]
            before, after = sizes["preTokens"], sizes.get("postTokens", 0)
            told = (line["type"], line["subtype"], place.agent_id)
            if told == ("system", "compact_boundary", "") and _are_tokens(before, after):
                at_ms, automatic = milliseconds(line["timestamp"]), sizes.get("trigger") == "auto"
                found.append(Compaction(place.session_id, at_ms, before, after, automatic))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # a text that happens to hold the word
        at = lines.find(b'"compact_boundary"', stop)
    return found


def _are_tokens(*counts: object) -> bool:
    return all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts)


def began_at(path: str) -> str:
    """The folder a session began in, by the first lines of its transcript; empty if none tells."""
    import re  # only for sessions from before the ledger

    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
            told = re.search(_CWD, head) or re.search(_CWD, head + file.read(_FIRST))
        return str(loads(told[1])) if told else ""
    except (OSError, InputError, ValueError):
        return ""


def model_was_switched(path: str) -> bool:
    """Whether the person chose a model since the last step (`/model`, 2.1.330, 2026-11-23)."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LATEST))
            data = file.read(_LATEST)
    except (OSError, InputError):
        return False
    return data.rfind(b"<command-name>/model<") > data.rfind(MARK)
