"""Hooks and status line in the client's settings.json: merged, backed up, idempotent.

What budget adds is recognised by its own words in the command, so that installing twice changes
nothing and uninstalling leaves everything else as it was.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from binascii import crc32
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

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


_WITH, _WITH_CODED = "--with", "--with-coded"
"""Before the status line command that was there, in the command that runs ours beside it."""


class Change(NamedTuple):
    """What was done to a settings file."""

    file: str
    changed: bool
    backup: str
    """Empty when there was nothing to keep."""
    statusline: str
    """installed, kept (somebody else's is there), joined (with it), removed, restored or none."""


class Preview(NamedTuple):
    """What the status line is in a settings file, and what it would become."""

    before: Any
    """None: none is set."""
    after: Any


def settings_file(env: paths.Env, project: paths.Project, scope: str) -> str:
    """The settings.json of a scope: user, project or local."""
    if scope == "user":
        return os.path.join(paths.claude_folder(env), "settings.json")
    name = "settings.json" if scope == "project" else "settings.local.json"
    return os.path.join(project.worktree, ".claude", name)


def install(
    path: str, strict: bool, statusline: bool, with_hooks: bool = True, join: bool = False
) -> Change:
    """Puts hooks and status line in. Raises `BudgetError` for settings that cannot be read.

    Somebody else's status line is kept, or with `join` run beside ours. Hooks that are there stay
    without `with_hooks`, when only the status line is asked for by `join`.
    """
    path = os.path.realpath(path)  # a linked settings file stays a link
    with _locked(path):
        before = _read(path)
        after = _copy(before) if join and not with_hooks else _without_budget(before)
        hooks = after.setdefault("hooks", {}) if with_hooks else {}
        for event, timeout in _TIMEOUTS.items() if with_hooks else ():
            hooks.setdefault(event, []).append(_group(event, timeout, strict))
        state = "none"
        if statusline:
            other = _other_statusline(before)
            join = join or _mentions(before.get("statusLine"), _STATUSLINE_MARK)
            state = "installed" if other is None else "joined" if join else "kept"
            if other is None or join:
                after["statusLine"] = _our_statusline(before.get("statusLine"))
        return _write(path, before, after, state)


def preview(path: str) -> Preview:
    """What `install(..., join=True)` would make of the status line. Raises `BudgetError`."""
    before = _read(path)
    return Preview(before.get("statusLine"), _our_statusline(before.get("statusLine")))


def uninstall(path: str) -> Change:
    """Takes out what `install` put in, and nothing else."""
    path = os.path.realpath(path)
    if not os.path.exists(path):
        return Change(path, False, "", "none")
    with _locked(path):
        before = _read(path)
        after = _without_budget(before)
        gone = "none"
        if before.get("statusLine") != after.get("statusLine"):
            gone = "restored" if "statusLine" in after else "removed"
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


def _our_statusline(found: Any) -> dict[str, Any]:
    """Our status line in place of one that is there: with its command and further settings.

    Of our own what the person added stays: `--format`, `padding`.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = (
        "import gc, sys; gc.disable(); sys.path.append(sys.argv[1]);"
        f" {_STATUSLINE_MARK}; main(sys.argv[2:])"
    )
    words = [sys.executable, "-I", "-S", "-c", code, root]
    if system.is_windows():
        # The client hands it to Git's bash, or to PowerShell where there is none: both know double
        # quotes, and only one of them a backslash.
        words = [word.replace("\\", "/") for word in words]
    command = found.get("command") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(command, str) or not command:
        return {"type": "command", "command": _joined(words)}
    if _STATUSLINE_MARK in command:
        added = _words(command)[len(words) :]
        return {**found, "command": _joined([*words, *added])}
    return {**found, "command": _joined([*words, *_beside(command)])}


def _other_statusline(settings: dict[str, Any]) -> Any:
    """The status line that is there, without ours; None when there is no other."""
    found = settings.get("statusLine")
    if not _mentions(found, _STATUSLINE_MARK):
        return found
    if not isinstance(found, dict):
        return None
    for word, value in pairwise(_words(str(found.get("command", "")))):
        if word == _WITH:
            return {**found, "command": value}
        if word == _WITH_CODED:
            return {**found, "command": unquote(value)}
    return None


def _beside(command: str) -> list[str]:
    """The option that runs another status line beside ours."""
    if system.is_windows():
        return [_WITH_CODED, quote(command, safe="")]  # one word without quotes in either shell
    return [_WITH, command]


def _joined(words: list[str]) -> str:
    """A command line for the shell by which the client starts a status line."""
    return subprocess.list2cmdline(words) if system.is_windows() else shlex.join(words)


def _words(line: str) -> list[str]:
    """The words of a command line that `_joined` made; none of one that cannot be read."""
    try:
        return windows_words(line) if system.is_windows() else shlex.split(line)
    except ValueError:
        return []


def windows_words(line: str) -> list[str]:
    """What `subprocess.list2cmdline` joined: backslashes count only before a double quote."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    for run, mark, other in re.findall(r'(\\*)(?:(")|(.)|$)', line, re.DOTALL):
        if mark:
            word = (word or "") + "\\" * (len(run) // 2)
            if len(run) % 2:
                word += '"'
            else:
                quoted = not quoted
            continue
        if run:
            word = (word or "") + run
        if other in (" ", "\t") and not quoted:
            words += [] if word is None else [word]
            word = None
        elif other:
            word = (word or "") + other
    return words if word is None else [*words, word]


def _copy(settings: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(settings))
    return copied


def _without_budget(settings: dict[str, Any]) -> dict[str, Any]:
    """A copy without what budget put in, and without what that leaves empty.

    A status line that ran beside ours is what it was before.
    """
    after = _copy(settings)
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
        other = _other_statusline(after)
        if other is None:
            del after["statusLine"]
        else:
            after["statusLine"] = other
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
            if not os.path.lexists(backup):  # the first copy is the one from before budget
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
