"""Runs commands as whole processes and tells what each took."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# The base interpreter: the start of a virtual environment's would be paid by all sides.
PYTHON = os.path.realpath(sys.executable)
BARE = (PYTHON, "-I", "-c", "import json, sqlite3")
"""What a program in Python with a database has to pay: the yardstick."""
BARE_S = (PYTHON, "-I", "-S", "-c", "import json, sqlite3")
"""Without the search for installed packages, as hooks start."""

# A process's peak is never told below that of the process that started it, so a small one does.
_PEAK = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Taken(NamedTuple):
    """What one process took, in seconds."""

    wall_s: float
    cpu_s: float
    """User and system."""
    said: bytes


def run(command: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> Taken:
    """Raises `SystemExit` with what a command says that fails."""
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        env=env,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(stdin)
        process.stdin.close()
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {process.returncode}\n{said.decode()}")
    return Taken(taken, used.ru_utime + used.ru_stime, said)


def peak_mb(command: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> float:
    """The most memory (resident set) that a command held; at least that of the interpreter."""
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _PEAK, *command],
        env=env,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        check=True,
    )
    return int(done.stderr.split()[-1]) / 1000
