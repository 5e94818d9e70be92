"""Prompts that nobody typed: messages of agents, and what an agent had scheduled.

A budget that asks (`on_exceed = "ask"`) goes on when a person sends a prompt. The client gives
hooks no sign of who sent one (2.1.332, measured 2026-11-27): a message of an agent or a teammate
begins with a tag (`<agent-message from="...">`, `<task-notification>`), while a prompt of
CronCreate or ScheduleWakeup arrives word for word as it was scheduled. Those are listed at the end
of each turn (`session_crons`), before any of them can fire; kept is a digest, not the text.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256

from budget import paths
from budget.files import read_some
from budget.lean import Any, dumps, loads
from budget.ledger import Ledger

_TAG = re.compile(r"<[a-z]+(-[a-z]+)+[\s>]")
_SENTINEL = "<<autonomous-loop"
"""What /loop sends without a prompt of its own."""
_LARGEST = 1024 * 1024


def is_message(prompt: str) -> bool:
    """Whether the client made the prompt of an agent's message or notification."""
    prompt = prompt.lstrip()
    return bool(_TAG.match(prompt)) or prompt.startswith(_SENTINEL)


def remember(prompts: tuple[str, ...], ledger: Ledger, session_id: str) -> None:
    """Keeps what is scheduled in a session, at the end of a turn."""
    key = _key(session_id)
    told = dumps(sorted(map(_digest, prompts))) if prompts else None
    if ledger.fact(key) != told:
        with ledger.transaction():
            ledger.set_fact(key, told)


def is_scheduled(prompt: str, ledger: Ledger, session_id: str, project: paths.Project) -> bool:
    """Whether the prompt was scheduled: in this session, or in a file of the project before it."""
    told = ledger.fact(_key(session_id))
    if told and _digest(prompt) in loads(told):
        return True
    try:
        path = os.path.join(project.worktree, ".claude", "scheduled_tasks.json")
        return prompt.strip() in _prompts(loads(read_some(path, _LARGEST)))
    except (OSError, ValueError, RecursionError):
        return False


def _key(session_id: str) -> str:
    return f"scheduled|{session_id}"


def _digest(prompt: str) -> str:
    return sha256(prompt.strip().encode("utf-8", "replace")).hexdigest()[:32]


def _prompts(value: Any) -> set[str]:
    """Every `prompt` in the client's file of tasks that outlive a session, wherever it stands."""
    if isinstance(value, list):
        return set().union(*map(_prompts, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    own = {value["prompt"].strip()} if isinstance(value.get("prompt"), str) else set()
    return own.union(*map(_prompts, value.values()))
