"""A hook's input: one event of the client, checked. Whatever it holds is outside text."""

from __future__ import annotations

import os
from collections.abc import Mapping

from budget import booking, paths
from budget.errors import InputError
from budget.lean import Any, NamedTuple
from budget.model import AGENT_TOOLS
from budget.projection import bytes_of_results
from budget.steps import clean

STOPPING = ("UserPromptSubmit", "PreToolUse", "PostToolBatch")
"""Events whose answer can stop the work."""
NAMES = (*STOPPING, "SessionStart", "SubagentStop", "Stop", "PreCompact", "SessionEnd")


class Event(NamedTuple):
    """A hook's input, checked."""

    name: str
    session_id: str
    transcript: str
    agent_id: str
    agent_type: str
    prompt: str
    prompt_id: str
    tool_name: str
    tool_use_ids: tuple[str, ...]
    source: str
    started_agent: str
    """The type of the agent that a tool call would start."""
    tool_use_id: str
    added_bytes: int | None
    """What joins the context before the next step; None where nothing does."""
    scheduled: tuple[str, ...]
    """Prompts that the client will send by itself, as it tells at the end of a turn."""
    project: paths.Project
    person: str


def event_of(payload: Any, env: paths.Env, context: dict[str, Any]) -> Event:
    """The event a hook was called for. `context` receives what is known early. `InputError`."""
    if not isinstance(payload, dict):
        raise InputError("The hook expected an event as a JSON object on stdin.")

    def text(key: str) -> str:
        value = payload.get(key)
        if not isinstance(value, str):
            return ""
        try:
            value.encode()
        except UnicodeEncodeError:
            # A lone surrogate is in no file name; a prompt may well hold one.
            if key in ("cwd", "transcript_path"):
                raise InputError(f"The {key} of the event is no text that can be used.") from None
        return value

    name, session_id = text("hook_event_name"), text("session_id")
    context["name"] = name
    if name not in NAMES:
        raise InputError(
            f"The hook was called for the event {name[:60]!r}, which it does not know."
        )
    if not session_id or not session_id.isprintable() or len(session_id) > 200:
        raise InputError(f"The {name} event has no usable session_id.")
    context |= {"session_id": session_id, "prompt": text("prompt")}
    calls = payload.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    ids = [call.get("tool_use_id") for call in calls if isinstance(call, dict)]
    folder = env.get("CLAUDE_PROJECT_DIR") or text("cwd")
    if not os.path.isabs(folder) or "\0" in folder:
        raise InputError(f"The {name} event names no folder (CLAUDE_PROJECT_DIR or cwd).")
    tool_input = payload.get("tool_input")
    started = tool_input.get("subagent_type") if isinstance(tool_input, dict) else None
    paths.check_state(env)
    project = paths.session_project(env, session_id, folder)
    return Event(
        name=name,
        session_id=session_id,
        transcript=text("transcript_path"),
        agent_id=clean(text("agent_id")),
        agent_type=clean(text("agent_type")),
        prompt=text("prompt"),
        prompt_id=clean(text("prompt_id")),
        tool_name=text("tool_name"),
        tool_use_ids=tuple(clean(each) for each in ids if isinstance(each, str)),
        source=text("source"),
        started_agent=clean(started),
        tool_use_id=clean(text("tool_use_id")),
        added_bytes=_added_bytes(name, payload),
        scheduled=_scheduled(payload) if name == "Stop" else (),
        project=project,
        person=paths.person(env, project),
    )


def _added_bytes(name: str, payload: Mapping[str, Any]) -> int | None:
    if name == "PostToolBatch":
        return bytes_of_results(payload.get("tool_calls"))
    prompt = payload.get("prompt")
    return len(prompt.encode("utf-8", "replace")) if isinstance(prompt, str) else None


def _scheduled(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """`"session_crons": [{"id": ..., "schedule": "* * * * *", "prompt": ...}]` (2.1.332)."""
    crons = payload.get("session_crons")
    crons = crons if isinstance(crons, list) else []
    prompts = [each.get("prompt") for each in crons if isinstance(each, dict)]
    return tuple(each for each in prompts[:1000] if isinstance(each, str))


def patience_s(event: Event) -> float:
    """How long to wait for others that write to the ledger: longer where money is at stake."""
    if _is_last(event):
        return 0.5
    return 3.0 if event.name in STOPPING else 2.0


def _is_last(event: Event) -> bool:
    """SessionEnd hooks have 1.5 seconds in all (documented, 2.1.330)."""
    return event.name == "SessionEnd"


def moment_of(event: Event, env: paths.Env, now_ms: int) -> booking.Moment:
    """An event as far as booking and judging are concerned. Raises `InputError`."""
    transcript = paths.check_transcript(event.transcript, env) if event.transcript else ""
    return booking.Moment(
        session_id=event.session_id,
        transcript=transcript,
        agent_id=event.agent_id,
        tool_use_ids=_calls(event),
        ended=event.name in ("Stop", "SubagentStop"),
        prompt_id=event.prompt_id,
        now_ms=now_ms,
        read_for_s=0.5 if _is_last(event) else 3.0,
        user=event.person,
        next_is=_next(event),
        agent=event.agent_type or ("" if event.agent_id else "main"),
        starts=event.started_agent or "general-purpose",
        call_id=event.tool_use_id,
        added_bytes=event.added_bytes,
    )


def _calls(event: Event) -> tuple[str, ...]:
    """The tool calls of the step that has to be booked before an event can be judged."""
    if event.name == "PostToolBatch":
        return event.tool_use_ids
    starts = event.name == "PreToolUse" and event.tool_name in AGENT_TOOLS and event.tool_use_id
    return (event.tool_use_id,) if starts else ()


def _next(event: Event) -> str:
    """What comes after an event (see `booking.Moment`)."""
    if event.name == "PreToolUse":
        return "agent" if event.tool_name in AGENT_TOOLS else ""
    if event.name == "SessionStart":
        return "" if event.source == "compact" else "session"
    return {"PostToolBatch": "step", "UserPromptSubmit": "prompt", "SessionEnd": "nothing"}.get(
        event.name, ""
    )
