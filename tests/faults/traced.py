"""Faults at a chosen system call: strace kills, stops or fails the hook there (Linux)."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from tests.faults.law import KILLED

# What changes files, or waits for others: between any two of these is a moment to die in.
CHANGES = (
    "openat",
    "pwrite64",
    "write",
    "ftruncate",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "mkdir",
    "fcntl",
    "mmap",
)


@cache
def can_trace() -> bool:
    """Whether strace is here, new enough, and allowed to trace."""
    if not sys.platform.startswith("linux") or not shutil.which("strace"):
        return False
    argv = [*at("write", "signal=KILL", "1"), sys.executable, "-c", "print(1)"]
    return subprocess.run(argv, check=False, capture_output=True).returncode in KILLED


def at(call: str, fault: str, when: str) -> list[str]:
    """Starts a program under a fault: `when` 3 is its third such call, 3+ that and all later."""
    # Faster by far, but strace 6.1 sends no signal with it.
    quick = [] if fault.startswith("signal") else ["--seccomp-bpf"]
    return [
        *("strace", "-f", "-qqq", *quick, "-o", os.devnull, "-e", f"trace={call}"),
        *("-e", f"inject={call}:{fault}:when={when}"),
    ]


needs_strace = pytest.mark.skipif(
    not can_trace(), reason="needs strace with the right to trace: faults at chosen system calls"
)
