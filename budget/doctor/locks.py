"""Who has a file open, and who keeps others from writing it: as far as the system tells."""

import os
import sqlite3
import time
from typing import NamedTuple

from budget import system
from budget.files import printable

_TRIED_S = 0.5


class Holder(NamedTuple):
    """A process that has a file open."""

    pid: int
    command: str
    stopped: bool
    """It was stopped (Ctrl-Z), and goes on when it is told to."""


def holders(*files: str) -> list[Holder]:
    """The other processes that have one of some files open. Linux only; else empty."""
    if not system.is_linux():
        return []
    wanted = set(map(os.path.realpath, files))
    others = (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return sorted(
        Holder(int(name), _command(name), _is_stopped(name))
        for name in others
        if _has_open(name, wanted)
    )


def is_held(ledger: str) -> bool:
    """Whether somebody keeps the ledger's lock for longer than a hook would. Changes nothing."""
    until = time.monotonic() + _TRIED_S
    connection = sqlite3.connect(f"file:{_uri(ledger)}?mode=rw", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout = 50")
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return False
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                if time.monotonic() > until:
                    return True
    finally:
        connection.close()


def _uri(path: str) -> str:
    from urllib.parse import quote

    path = os.path.abspath(path).replace(os.sep, "/")
    return ("/" if path[:1] != "/" else "") + quote(os.fsencode(path))


def _has_open(pid: str, wanted: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            try:
                if os.readlink(os.path.join(folder, name)) in wanted:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(400).decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return printable(" ".join(words).strip())[:80]


def _is_stopped(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
