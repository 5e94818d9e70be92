"""Which files a session writes: its transcript, and one for each of its agents."""

from __future__ import annotations

import os
from collections.abc import Iterator

from budget.errors import InputError
from budget.files import open_regular
from budget.lean import NamedTuple, loads
from budget.steps import clean


class Place(NamedTuple):
    """What the steps of a file have in common."""

    path: str
    session_id: str
    agent: str = "main"
    agent_id: str = ""
    user: str = ""


def places(transcript: str, session_id: str, user: str = "") -> Iterator[Place]:
    """The main transcript and every file of its subagents, nested ones included.

    The files of subagents lie below `<transcript without .jsonl>/subagents/`; what kind of agent
    wrote one stands in the `.meta.json` beside it.
    """
    yield Place(transcript, session_id, user=user)
    if not transcript:
        return  # what lies in the folder the hook runs in is a repository's
    folder = os.path.join(transcript.removesuffix(".jsonl"), "subagents")
    for place in _agent_places(folder, session_id):
        yield place._replace(user=user)


def _agent_places(folder: str, session_id: str, depth: int = 0) -> Iterator[Place]:
    try:
        if os.path.islink(folder):
            return
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue  # the client makes none, and one may lead anywhere
        if entry.is_dir(follow_symlinks=False):
            if depth < 4:
                yield from _agent_places(entry.path, session_id, depth + 1)
        elif entry.name.startswith("agent-") and entry.name.endswith(".jsonl"):
            agent_id = entry.name[len("agent-") : -len(".jsonl")]
            yield Place(entry.path, session_id, agent="", agent_id=agent_id)


def agent_type(place: Place) -> str:
    """The type of the agent that writes the file; `subagent` where nothing says it."""
    if place.agent:
        return place.agent
    try:
        with open_regular(place.path.removesuffix(".jsonl") + ".meta.json") as file:
            kind = loads(file.read(65_536)).get("agentType")
    except (OSError, InputError, ValueError, AttributeError, RecursionError):
        kind = None
    return clean(kind) or "subagent"
