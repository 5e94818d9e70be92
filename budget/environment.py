"""The private environment of a plugin install: the `budget` command with the packages it needs.

A plugin brings no Python packages. Hooks need none; the commands do. So the first SessionStart
starts `build` in the background: once, under a lock, in the state folder. Until it is done, and
when it cannot be done, the session goes on and budgets hold. Standard library only.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps, loads
from typing import Any

from budget import __version__, paths, system
from budget.files import appending, make_folder, make_own, read_own, replace_own

RETRY_AFTER_S = 3600
_BUILD_TIMEOUT_S = 900
_DISTRIBUTION = "codebudget"


def notice(env: paths.Env, now_s: float) -> str:
    """Starts the build when it is due. One line for the person, or nothing when all is well."""
    root = env.get("CLAUDE_PLUGIN_ROOT", "")
    if not root:
        return ""
    state = read_state(env)
    if state.get("version") == __version__:
        age = now_s - state.get("at", 0)
        if state.get("status") == "ready" and os.path.exists(state.get("command", "")):
            return _ready_notice(env, state["command"])
        if state.get("status") == "failed" and age < RETRY_AFTER_S:
            return (
                f"budget: the `budget` command could not be prepared ({state.get('error', '')})."
                " Budgets hold all the same; it is tried again in an hour, or install codebudget"
                " with pip."
            )
        if state.get("status") == "building" and age < _BUILD_TIMEOUT_S:
            return _BEING_PREPARED
    if not _start(env, root):
        return ""
    return _BEING_PREPARED


_BEING_PREPARED = (
    "budget: the `budget` command is being prepared in the background; budgets hold already."
)


def _ready_notice(env: paths.Env, command: str) -> str:
    """Said once: where the command is, for a person who installed nothing but the plugin."""
    try:
        name = os.path.join(folder(env), f"told-{__version__}")
        make_own(name)
    except OSError:
        return ""
    if system.is_windows():
        advice = f'Add its folder to your PATH: "{os.path.dirname(command)}"'
    else:
        advice = f"For your shell: ln -s {shlex.quote(command)} ~/.local/bin/budget"
    return f"budget: the `budget` command is ready. {advice}"


def folder(env: paths.Env) -> str:
    return os.path.join(paths.state_folder(env), "env")


def read_state(env: paths.Env) -> dict[str, Any]:
    """What the last build left: version, status (building, ready, failed), at, command, error."""
    try:
        state = loads(read_own(os.path.join(folder(env), "state.json"), 65_536))
    except (OSError, ValueError, RecursionError):
        return {}
    good = isinstance(state, dict) and isinstance(state.get("at", 0), int | float)
    texts = (
        [state.get(key, "") for key in ("version", "status", "command", "error")] if good else [0]
    )
    return state if all(isinstance(text, str) for text in texts) else {}


def _start(env: paths.Env, root: str) -> bool:
    code = (
        "import sys; sys.path.append(sys.argv[1]); from budget import environment;"
        " environment.build(sys.argv[1], sys.argv[2])"
    )
    try:
        make_folder(folder(env))
        subprocess.Popen(
            [sys.executable, "-I", "-c", code, root, folder(env)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **system.apart(),
        )
    except OSError:
        return False
    return True


def build(root: str, target: str) -> None:
    """Makes the environment, unless another process is at it. Leaves its state in `state.json`."""
    os.umask(0o077)
    with _lock(os.path.join(target, "lock")) as mine:
        if not mine:
            return
        command = _installed_command()
        if command:
            _write_state(target, status="ready", command=command)
            return
        _write_state(target, status="building")
        try:
            command = _make(root, os.path.join(target, __version__))
        except (OSError, subprocess.SubprocessError) as error:
            _write_state(target, status="failed", error=_reason(error))
        else:
            _write_state(target, status="ready", command=command)


def _installed_command() -> str:
    """The command of this version, where this Python has the package installed; else empty."""
    from importlib import metadata

    try:
        files = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
    command = os.path.join(os.path.dirname(sys.executable), _script_name())
    return command if files.version == __version__ and os.path.exists(command) else ""


def _script_name() -> str:
    return "budget.exe" if system.is_windows() else "budget"


def _make(root: str, place: str) -> str:
    bin_folder = os.path.join(place, "Scripts" if system.is_windows() else "bin")
    python = os.path.join(bin_folder, "python.exe" if system.is_windows() else "python")
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--retries", "1", "install"]
    for command in (
        [sys.executable, "-I", "-m", "venv", "--clear", place],
        [*pip, "--quiet", "--timeout", "15", root],
    ):
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S
        )
    return os.path.join(bin_folder, _script_name())


def _reason(error: Exception) -> str:
    output = f"{getattr(error, 'stdout', '') or ''}\n{getattr(error, 'stderr', '') or ''}"
    if "ensurepip" in output and "venv" in output:
        return "this Python has no venv; on Debian and Ubuntu: apt install python3-venv"
    output = re.sub(r"://[^/@\s]+@", "://", output)  # an index may be named with a password
    lines = [line.strip() for line in (output.strip() or str(error)).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines
    return told[-1][:200] if told else type(error).__name__


def _write_state(target: str, **state: str) -> None:
    path = os.path.join(target, "state.json")
    replace_own(path, dumps({"version": __version__, "at": time.time(), **state}))


@contextmanager
def _lock(path: str) -> Iterator[bool]:
    """Whether this process holds the lock. The operating system frees it with the process."""
    with appending(path) as file:
        yield system.try_lock(file.fileno())
