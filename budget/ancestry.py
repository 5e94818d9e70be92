"""Whether a person or an agent is at work: which programs this process was started by.

An agent must not lift its own budget. Its commands run below the client, with `CLAUDECODE` set.
A hook runs below the client too, so for a hook the number of clients counts.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

from budget import system
from budget.files import read_some

_DEEPEST = 64


def clients_above(pid: int = 0) -> list[int]:
    """The Claude Code clients among the ancestors of this process, the nearest first.

    On Windows a program is known by its name only: a client that is a script of Node is not seen,
    and `CLAUDECODE` speaks alone.
    """
    return [each for each, command in _above(pid or os.getppid()) if _is_client(command)]


def is_from_client() -> bool:
    """Whether the client that this process runs below wrote what is on stdin.

    The client gives a hook one end of a pair of sockets (2.1.330, measured 2026-11-23), and the
    system knows who made it. What an agent's command pipes into a hook comes from elsewhere.
    """
    clients = clients_above()
    peer = _peer_of_stdin()
    return not clients or peer is None or peer == clients[0]


def _peer_of_stdin() -> int | None:
    """The process that made the other end of stdin; 0: it is no socket; None: not to be told."""
    import socket
    import stat

    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return 0
        with socket.socket(fileno=os.dup(0)) as stdin:
            told = stdin.getsockopt(socket.SOL_SOCKET, option, 12)
        return int.from_bytes(told[:4], sys.byteorder)
    except OSError:
        return 0


def _is_client(command: str) -> bool:
    """By the program's own name, or the script that an interpreter runs (the npm package)."""
    words = command.split("\0")
    program, *rest = (word.replace("\\", "/") for word in words)
    names = [_program(program)]
    script = rest[0] if rest and names[0] in ("node", "bun", "deno") else ""
    names.append(_program(script))
    return "claude" in names or "claude-code" in script.split("/")


def _program(path: str) -> str:
    """`claude` of `C:/Users/ana/.local/bin/Claude.EXE`: only Windows names end so."""
    name = path.rpartition("/")[2]
    return name[:-4].lower() if name.lower().endswith(".exe") else name


def _above(pid: int) -> Iterator[tuple[int, str]]:
    """Each ancestor and its command line, words separated by NUL, the nearest first."""
    running = system.parents()
    for _ in range(_DEEPEST):
        if pid <= 1:
            return
        if system.is_linux():
            found = _linux(pid)
        elif system.is_windows():
            found = _windows(pid, running)
        else:
            found = _by_ps(pid)
        if found is None:
            return
        command, parent = found
        yield pid, command
        pid = parent


def _linux(pid: int) -> tuple[str, int] | None:
    try:
        status = read_some(f"/proc/{pid}/stat", 4096).decode("utf-8", "replace")
        command = read_some(f"/proc/{pid}/cmdline", 65_536).decode("utf-8", "replace")
        # The name is in brackets and may hold anything; the state and the parent follow it.
        return command, int(status.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _windows(pid: int, running: dict[int, tuple[int, str]]) -> tuple[str, int] | None:
    parent, program = running.get(pid, (0, ""))
    return (program, parent) if program else None


def _by_ps(pid: int) -> tuple[str, int] | None:
    try:
        told = subprocess.run(
            ["/bin/ps", "-o", "ppid=,command=", "-p", str(pid)],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=2,
        ).stdout.split(None, 1)
        return "\0".join(told[1].split()), int(told[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
