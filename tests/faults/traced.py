"""Faults at a chosen system call: strace kills, stops or fails the hook there (Linux)."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.faults.law import KILLED, World


@cache
def can_trace() -> bool:
    """Whether strace is here, new enough, and allowed to trace."""
    if not sys.platform.startswith("linux") or not shutil.which("strace"):
        return False
    argv = [*at("write", "signal=KILL", "1"), sys.executable, "-c", "print(1)"]
    return subprocess.run(argv, check=False, capture_output=True).returncode in KILLED


def at(call: str, fault: str, when: str, log: Path | None = None, *only: Path) -> list[str]:
    """Starts a program under a fault: `when` 3 is its third such call, 3+ that and all later.

    Of those that concern the files `only`, where some are named.
    """
    # Faster by far, but strace 6.1 sends no signal with it.
    quick = [] if fault.startswith("signal") else ["--seccomp-bpf"]
    return [
        *("strace", "-f", "-qqq", *quick, "-o", str(log or os.devnull), "-e", f"trace={call}"),
        *("-e", f"inject={call}:{fault}:when={when}"),
        *(word for path in only for word in ("-P", str(path))),
    ]


@contextmanager
def paused(
    world: World, event: dict[str, object], call: str, when: int, *only: Path
) -> Iterator[bool]:
    """A hook that stops after a system call, and goes on when the block ends.

    False where it made fewer such calls. It has to end as every hook has to.
    """
    log = world.root / "paused"
    log.unlink(missing_ok=True)
    under = at(call, "signal=STOP", str(when), log, *only)
    running = world.start(event, under=under)
    while "stopped by SIGSTOP" not in (told := log.read_text() if log.exists() else ""):
        if running.process.poll() is not None:
            break
        time.sleep(0.005)
    stopped = running.process.poll() is None
    try:
        yield stopped
    finally:
        if stopped:
            # The last line is of the process that stopped, and begins with its id.
            os.kill(int(told.splitlines()[-1].split()[0]), signal.SIGCONT)
        running.answer()


needs_strace = pytest.mark.skipif(
    not can_trace(), reason="needs strace with the right to trace: faults at chosen system calls"
)
