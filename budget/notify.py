"""Runs the person's own command at warnings and stops: `[notify] command`, JSON on its stdin.

A hook only starts it, in a process of its own, and never waits. What goes wrong there is kept for
`budget doctor`.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from json import dumps, loads
from typing import Any

from budget import paths, system
from budget.files import replace_own

LIMIT_S = 10.0
_RUN = "import sys; sys.path.append(sys.argv[1]); from budget.notify import run; run(sys.argv[2])"


def failure_file(env: paths.Env) -> str:
    """What went wrong with the last notification; not there when nothing did."""
    return os.path.join(paths.state_folder(env), "logs", "notify.json")


def start(command: tuple[str, ...], facts: dict[str, Any], env: paths.Env) -> None:
    """Starts the command, detached; a command that cannot be started is noted as failed."""
    failures = failure_file(env)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _RUN, root, failures],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            **system.apart(),
        )
        assert process.stdin is not None
        process.stdin.write(dumps({"command": command, "facts": facts}).encode())
        process.stdin.close()
    except OSError as error:
        _note(failures, command, str(error))


def run(failures: str) -> None:
    """The process of its own: runs the command with a time limit, and notes how it went."""
    told = loads(sys.stdin.buffer.read())
    command = told["command"]
    try:
        done = subprocess.run(
            command,
            input=dumps(told["facts"]).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _note(failures, command, f"it was ended after {LIMIT_S:.0f} seconds")
        return
    except OSError as error:
        _note(failures, command, error.strerror or str(error))
        return
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        _note(
            failures, command, f"it ended with {done.returncode}" + "".join(f": {s}" for s in said)
        )
    elif os.path.exists(failures):
        os.unlink(failures)


def _note(path: str, command: tuple[str, ...], error: str) -> None:
    facts = {"at_ms": int(time.time() * 1000), "command": list(command), "error": error[:500]}
    with suppress(OSError):
        replace_own(path, dumps(facts))
