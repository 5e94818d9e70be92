"""What a hook answers when it has no answer: enforcement is off, and says so, or stops the work."""

from __future__ import annotations

import os
from collections.abc import Mapping

from budget import paths
from budget.event import Event
from budget.files import check_folder, make_own
from budget.lean import Any
from budget.model import Policy
from budget.policy import NO_POLICY

Answer = dict[str, Any]


def failed(text: str, env: paths.Env, context: Mapping[str, Any]) -> Answer:
    """The answer when there was none: says that enforcement is off, once per session."""
    policy: Policy = context.get("policy", NO_POLICY)
    if context["strict"] or policy.on_error == "block":
        return _failed_closed(text, context.get("name", ""), context.get("prompt", ""))
    message = f"budget: this step was not counted and no budget was enforced. {text}"
    return {"systemMessage": message} if _first_failure(text, env, context) else {}


def _failed_closed(text: str, name: str, prompt: str) -> Answer:
    message = (
        f"budget: stopped, because budgets cannot be enforced and failures are set to block. {text}"
    )
    if "`budget doctor`" not in text:
        message += " `budget doctor` looks closer."
    if name == "UserPromptSubmit" and not prompt.startswith("/budget:"):
        return {"decision": "block", "reason": message}
    if name == "PreToolUse":
        output = {"hookEventName": name, "permissionDecision": "deny"}
        return {"continue": False, "stopReason": message, "hookSpecificOutput": output}
    if name == "PostToolBatch":
        return {"continue": False, "stopReason": message}
    return {"systemMessage": message}


def _first_failure(text: str, env: paths.Env, context: Mapping[str, Any]) -> bool:
    """Once per session and message. The ledger may be what failed, so a file remembers it."""
    from binascii import crc32

    known: str = context.get("session_id", "")
    session = paths.safe_name(known) if known else "unknown"
    folder = os.path.join(paths.state_folder(env), "said")
    try:
        check_folder(paths.state_folder(env), may_be_link=True)
        make_own(os.path.join(folder, f"{session}-{crc32(text.encode('utf-8', 'replace')):08x}"))
    except FileExistsError:
        return not known
    except OSError:
        # Nothing can be remembered: speak where it is heard once a turn, not after every step.
        return context.get("name", "") in ("", "SessionStart", "UserPromptSubmit")
    return True


def logged(error: Exception, env: paths.Env, context: Mapping[str, Any]) -> str:
    """Keeps the report of a bug, and says where."""
    from budget.bug_report import log_bug  # only when there is one

    event: Event | None = context.get("event")
    return log_bug(error, env, event.name if event else "hook input")
