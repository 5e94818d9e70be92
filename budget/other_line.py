"""Runs the status line command that was there before, so that its rows stay beside ours.

What it does or fails to do never breaks our own line: it has a bounded time, and is passed over.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import NamedTuple

from budget import system

LONGEST_S = 2.0
_MOST_ROWS = 10


class Running(NamedTuple):
    """The other command, at work while ours is made."""

    process: "subprocess.Popen[str]"
    until_s: float


def start(command: str) -> Running | None:
    """Starts a command as the client does, by the shell; None when that fails."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # it need not read its input
    shell = not system.is_windows()
    words = command if shell else _by_bash(command)
    try:
        process = subprocess.Popen(
            words,
            shell=shell or isinstance(words, str),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    return Running(process, time.monotonic() + LONGEST_S)


def _by_bash(command: str) -> str | list[str]:
    """On Windows the client uses Git Bash where it finds it (documented)."""
    bash = os.environ.get("CLAUDE_CODE_GIT_BASH_PATH", "")
    return [bash, "-c", command] if bash else command


def finish(running: Running, data: str) -> list[str]:
    """The rows it prints for the client's input; none when it fails or takes too long."""
    process = running.process
    try:
        out, _ = process.communicate(data, timeout=max(0.0, running.until_s - time.monotonic()))
    except (subprocess.TimeoutExpired, OSError, ValueError):
        with suppress(OSError, ValueError):
            system.kill_session(process.pid)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError, ValueError):
                if pipe:
                    pipe.close()
        process.wait()
        return []
    # The client shows nothing of a status line that fails.
    return out.rstrip().splitlines()[:_MOST_ROWS] if process.returncode == 0 else []
