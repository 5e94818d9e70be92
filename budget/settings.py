"""Hooks and status line in the client's settings.json: merged, backed up, idempotent.

What budget adds is recognised by its own words in the command, so that installing twice changes
nothing and uninstalling leaves everything else as it was.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from binascii import crc32
from typing import Any, NamedTuple

from filelock import FileLock

from budget import paths, system
from budget.errors import BudgetError
from budget.files import make_folder, read_some
from budget.model import AGENT_TOOLS

_MARK = "from budget.hook import main"
_STATUSLINE_MARK = "from budget.statusline import main"
_LARGEST = 16 * 1024 * 1024
# Seconds a hook may take before the client goes on without it.
_TIMEOUTS = {
    "SessionStart": 30,
    "UserPromptSubmit": 15,
    "PreToolUse": 15,
    "PostToolBatch": 15,
    "SubagentStop": 15,
    "Stop": 15,
    "PreCompact": 15,
    "SessionEnd": 2,
}


class Change(NamedTuple):
    """What was done to a settings file."""

    file: str
    changed: bool
    backup: str
    """Empty when there was nothing to keep."""
    statusline: str
    """installed, kept (somebody else's is there), removed or none."""


def settings_file(env: paths.Env, project: paths.Project, scope: str) -> str:
    """The settings.json of a scope: user, project or local."""
    if scope == "user":
        return os.path.join(paths.claude_folder(env), "settings.json")
    name = "settings.json" if scope == "project" else "settings.local.json"
    return os.path.join(project.worktree, ".claude", name)


def install(path: str, strict: bool, statusline: bool, with_hooks: bool = True) -> Change:
    """Puts hooks and status line in. Raises `BudgetError` for settings that cannot be read."""
    path = os.path.realpath(path)  # a linked settings file stays a link
    with _locked(path):
        before = _read(path)
        after = _without_budget(before)
        hooks = after.setdefault("hooks", {}) if with_hooks else {}
        for event, timeout in _TIMEOUTS.items() if with_hooks else ():
            hooks.setdefault(event, []).append(_group(event, timeout, strict))
        state = "none"
        if statusline:
            state = "kept" if "statusLine" in after else "installed"
            after.setdefault("statusLine", {"type": "command", "command": _statusline_command()})
        return _write(path, before, after, state)


def uninstall(path: str) -> Change:
    """Takes out what `install` put in, and nothing else."""
    path = os.path.realpath(path)
    if not os.path.exists(path):
        return Change(path, False, "", "none")
    with _locked(path):
        before = _read(path)
        after = _without_budget(before)
        gone = "removed" if "statusLine" in before and "statusLine" not in after else "none"
        return _write(path, before, after, gone)


def installed_commands(path: str) -> tuple[dict[str, list[str]], str]:
    """What the hooks of budget in a settings file run (see `commands_in`).

    Raises `BudgetError` for a file that cannot be read.
    """
    return commands_in(_read(path), _MARK)


def commands_in(raw: dict[str, Any], mark: str) -> tuple[dict[str, list[str]], str]:
    """({event: command and arguments}, the tools before which one runs) of hooks with a mark."""
    found: dict[str, list[str]] = {}
    tools = ""
    events = raw.get("hooks")
    for event, groups in events.items() if isinstance(events, dict) else ():
        for group in groups if isinstance(groups, list) else ():
            hooks = group.get("hooks") if isinstance(group, dict) else None
            for hook in hooks if isinstance(hooks, list) else ():
                if event in found or not isinstance(hook, dict) or not _mentions(hook, mark):
                    continue
                args = hook.get("args")
                words = [hook.get("command", ""), *(args if isinstance(args, list) else [])]
                found[event] = [str(word) for word in words]
                tools = str(group.get("matcher", "")) if event == "PreToolUse" else tools
    return found, tools


def own_command(event: str, strict: bool = False) -> list[str]:
    """What this install writes for an event; empty for one that it has no hook for."""
    if event not in _TIMEOUTS:
        return []
    hook = _group(event, _TIMEOUTS[event], strict)["hooks"][0]
    return [hook["command"], *hook["args"]]


def hook_settings() -> dict[str, Any]:
    """The hooks as settings of their own, for a client that has none (`claude --settings`)."""
    return {"hooks": {event: [_group(event, s, strict=False)] for event, s in _TIMEOUTS.items()}}


def has_hooks(settings: object) -> bool:
    """Whether settings name the hooks of budget."""
    return _mentions(settings, _MARK)


def _group(event: str, timeout: int, strict: bool) -> dict[str, Any]:
    """One entry: this interpreter, isolated, calling the package where it is now."""
    failed: dict[str, Any] = {
        "systemMessage": "budget: nothing is counted or stopped: the package is gone."
    }
    if strict:
        failed |= {"continue": False, "stopReason": failed["systemMessage"]}
    code = (
        "import json, sys\n"
        "sys.path.append(sys.argv[1])\n"
        "try:\n"
        f"    {_MARK}\n"
        "except ImportError:\n"
        f"    print(json.dumps({failed!r}))\n"
        "else:\n"
        "    main(sys.argv[2:])\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    arguments = ["-I", "-S", "-c", code, root, *(["--strict"] if strict else [])]
    hook = {"type": "command", "command": sys.executable, "args": arguments, "timeout": timeout}
    matcher = {"matcher": "|".join(AGENT_TOOLS)} if event == "PreToolUse" else {}
    return {**matcher, "hooks": [hook]}


def _statusline_command() -> str:
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = f"import sys; sys.path.append(sys.argv[1]); {_STATUSLINE_MARK}; main()"
    words = [sys.executable, "-I", "-S", "-c", code, root]
    if system.is_windows():
        # The client hands it to Git's bash, or to PowerShell where there is none: both know double
        # quotes, and only one of them a backslash.
        return subprocess.list2cmdline([word.replace("\\", "/") for word in words])
    return shlex.join(words)


def _without_budget(settings: dict[str, Any]) -> dict[str, Any]:
    """A copy without what budget put in, and without what that leaves empty."""
    after: dict[str, Any] = json.loads(json.dumps(settings))
    hooks = after.get("hooks", {})
    emptied: list[Any] = []
    for event, groups in list(hooks.items()):
        for group in groups:
            if _mentions(group, _MARK):
                group["hooks"] = [h for h in group["hooks"] if not _mentions(h, _MARK)]
                if not group["hooks"]:
                    emptied.append(group)
        left = [group for group in groups if not any(group is each for each in emptied)]
        hooks[event] = left
        if groups and not left:
            del hooks[event]
    if emptied and not hooks:
        del after["hooks"]
    if _mentions(after.get("statusLine"), _STATUSLINE_MARK):
        del after["statusLine"]
    return after


def _mentions(value: object, mark: str) -> bool:
    return mark in json.dumps(value)


def _locked(path: str) -> FileLock:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise BudgetError(f"{os.path.dirname(path)} cannot be made: {error.strerror}.") from error
    # In the state folder: a name in the common one for temporary files could be taken by others.
    locks = os.path.join(paths.state_folder(os.environ), "locks")
    try:
        paths.check_state(os.environ)
        make_folder(locks)
    except OSError as error:
        raise BudgetError(f"{locks} cannot be made: {error.strerror or error}.") from error
    lock = os.path.join(locks, f"settings-{crc32(os.fsencode(path)):08x}.lock")
    return FileLock(lock, timeout=10)


def _read(path: str) -> dict[str, Any]:
    try:
        text = read_some(path, _LARGEST).decode("utf-8")
        settings = json.loads(text or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error).removesuffix(".")) from error
    if not isinstance(settings, dict) or not isinstance(settings.get("hooks", {}), dict):
        raise _unreadable(path, "it is not an object with hooks by event")
    for groups in settings.get("hooks", {}).values():
        if not isinstance(groups, list) or not all(isinstance(g, dict) for g in groups):
            raise _unreadable(path, "its hooks are not lists of objects")
    return settings


def _unreadable(path: str, why: str) -> BudgetError:
    return BudgetError(f"{path} cannot be read as settings: {why}. Mend it; nothing was changed.")


def _write(path: str, before: dict[str, Any], after: dict[str, Any], statusline: str) -> Change:
    if before == after:
        return Change(path, False, "", statusline)
    backup = ""
    try:
        if os.path.exists(path):
            backup = f"{path}.before-budget"
            if not os.path.exists(backup):  # the first copy is the one from before budget
                shutil.copy2(path, backup)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=os.path.dirname(path), delete=False
        ) as file:
            file.write(json.dumps(after, indent=2, ensure_ascii=False) + "\n")
        if backup:
            shutil.copymode(path, file.name)
        system.replace(file.name, path)
    except OSError as error:
        raise BudgetError(f"{path} cannot be written: {error.strerror}.") from error
    return Change(path, True, backup, statusline)
