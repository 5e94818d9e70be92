"""Runs installed hooks on a session of its own that is over its budget, and hears what they say.

Everything is in a temporary folder: the project, its config, the transcript in the form that the
client writes (2.1.330), the state folder. Nothing of the real ones is read or touched.
"""

import os
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from json import dumps, loads
from typing import Any, NamedTuple

from budget.event import STOPPING
from budget.installed import Installed

LIMIT_S = 20.0
_SESSION = "d0c7012e-0000-4000-8000-000000000000"
_CALL, _AGENT_CALL = "toolu_budget_doctor", "toolu_budget_doctor_agent"
_AGENT = {"subagent_type": "general-purpose", "prompt": "go on"}
_MODEL = "claude-sonnet-5"
_STORE_STUB = (49, 9009)
"""What the `python3` of Windows ends with that only opens the Store."""

CONFIG = """version = 1
[budgets.doctor]
per = "session"
usd = 0.05
stop = "after"
"""
USAGE = {
    "input_tokens": 200,
    "cache_creation_input_tokens": 12_000,
    "cache_read_input_tokens": 18_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 12_000, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 4_000,
    "service_tier": "standard",
}


class Tried(NamedTuple):
    """One event that was sent through a hook."""

    event: str
    program: str
    stopped: bool
    said: str
    """What the person would be told; empty for nothing."""
    problem: str
    """Why there is no answer; empty when there is one."""
    took_ms: int


def try_out(installed: Installed) -> list[Tried]:
    """Every event that stops, in the order of a session: a step, a prompt, an agent's start.

    With `--strict` one more: a step that cannot be booked has to stop the work, too.
    """
    with tempfile.TemporaryDirectory(prefix="budget-doctor-") as folder:
        transcript = _lay_out(folder)
        env = _env(folder, installed)
        tried = [
            _run(installed.commands[event], _payload(event, folder, transcript), env)
            for event in ("PostToolBatch", "UserPromptSubmit", "PreToolUse")
            if event in installed.commands
        ]
        strict = [each for each in tried if "--strict" in installed.commands[each.event]]
        if strict and "PostToolBatch" in installed.commands:
            in_the_way = os.path.join(folder, ".claude", "budget.toml")
            broken = {**env, "BUDGET_HOME": os.path.join(in_the_way, "state")}
            payload = _payload("PostToolBatch", folder, transcript)
            each = _run(installed.commands["PostToolBatch"], payload, broken)
            tried.append(each._replace(event="strict"))
    return tried


def missing(installed: Installed) -> list[str]:
    """The events that stop and for which nothing is installed."""
    return [event for event in STOPPING if event not in installed.commands]


def _lay_out(folder: str) -> str:
    """The project, its config and the transcript of a step that costs more than the limit."""
    own, place = (os.path.join(folder, ".claude"), os.path.join(folder, "client", "projects", "p"))
    os.makedirs(own)
    os.makedirs(place)
    with open(os.path.join(own, "budget.toml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    common = {"timestamp": at, "sessionId": _SESSION, "cwd": folder, "isSidechain": False}
    calls = [
        {"type": "tool_use", "id": _CALL, "name": "Bash", "input": {"command": "true"}},
        {"type": "tool_use", "id": _AGENT_CALL, "name": "Agent", "input": _AGENT},
    ]
    message = {
        "id": "msg_budget_doctor",
        "type": "message",
        "role": "assistant",
        "model": _MODEL,
        "content": calls,
        "usage": USAGE,
    }
    lines = [
        {**common, "type": "user", "message": {"role": "user", "content": "hello"}},
        {**common, "type": "assistant", "requestId": "req_budget_doctor", "message": message},
    ]
    transcript = os.path.join(place, f"{_SESSION}.jsonl")
    with open(transcript, "w", encoding="utf-8") as file:
        file.writelines(dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return transcript


def _env(folder: str, installed: Installed) -> dict[str, str]:
    """What the client would give its hooks, without what leads to the real session and ledger."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BUDGET_", "CLAUDE"))
    }
    plugin = {"CLAUDE_PLUGIN_ROOT": installed.root} if installed.is_plugin else {}
    return {
        **own,
        **plugin,
        "BUDGET_HOME": os.path.join(folder, "state"),
        "CLAUDE_CONFIG_DIR": os.path.join(folder, "client"),
        "CLAUDE_PROJECT_DIR": folder,
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "CLAUDECODE": "1",
    }


def _payload(event: str, folder: str, transcript: str) -> dict[str, Any]:
    """An event as the client sends it (2.1.330)."""
    call = {"tool_name": "Bash", "tool_use_id": _CALL, "tool_response": "done"}
    more: dict[str, dict[str, Any]] = {
        "UserPromptSubmit": {"prompt": "go on"},
        "PreToolUse": {"tool_name": "Agent", "tool_use_id": _AGENT_CALL, "tool_input": _AGENT},
        "PostToolBatch": {"tool_calls": [call]},
    }
    return {
        "hook_event_name": event,
        "session_id": _SESSION,
        "transcript_path": transcript,
        "cwd": folder,
        "permission_mode": "default",
        **more[event],
    }


def _run(command: list[str], payload: dict[str, Any], env: dict[str, str]) -> Tried:
    event, began = payload["hook_event_name"], time.monotonic()

    def told(stopped: bool, said: str = "", problem: str = "") -> Tried:
        return Tried(
            event, command[0], stopped, said, problem, int((time.monotonic() - began) * 1000)
        )

    try:
        run = subprocess.run(
            command,
            check=False,
            input=dumps(payload).encode(),
            env=env,
            cwd=env["CLAUDE_PROJECT_DIR"],
            capture_output=True,
            timeout=LIMIT_S,
        )
    except FileNotFoundError:
        return told(False, problem=f"there is no {command[0]}: nothing is counted or stopped")
    except subprocess.TimeoutExpired:
        return told(False, problem=f"it did not answer within {LIMIT_S:.0f} s")
    except OSError as error:
        return told(False, problem=f"{command[0]} cannot be run: {error.strerror}")
    if run.returncode:
        return told(False, problem=_ended(run.returncode, command[0], run.stderr))
    try:
        answer = loads(run.stdout or b"{}")
        if not isinstance(answer, dict):
            raise ValueError("no object")
    except ValueError:
        return told(False, problem="it printed no JSON object: the client takes no notice of it")
    return told(_stops(event, answer), _said(answer))


def _ended(code: int, program: str, stderr: bytes) -> str:
    last = (stderr.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:200]
    if code in _STORE_STUB:
        return f"{program} only opens the Microsoft Store ({code}): there is no Python behind it"
    told = f": {last}" if last else ""
    if code == 2:
        return f"it ended with 2, which the client takes for a refusal of every event{told}"
    return f"it ended with {code}{told}; the client goes on without it"


def _stops(event: str, answer: dict[str, Any]) -> bool:
    if event == "UserPromptSubmit":
        return bool(answer.get("decision") == "block")
    output = answer.get("hookSpecificOutput")
    denied = isinstance(output, dict) and output.get("permissionDecision") == "deny"
    return answer.get("continue") is False and (denied or event != "PreToolUse")


def _said(answer: dict[str, Any]) -> str:
    for key in ("stopReason", "reason", "systemMessage"):
        if answer.get(key):
            return str(answer[key])
    return ""
