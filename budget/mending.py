"""What is done about a damaged ledger: it is found, set aside, and made anew by the next opening.

Only where there is damage to look for: at the start of a session, and where SQLite met some.
"""

import os
import time
from collections.abc import Iterator

from budget import paths
from budget.database import Database
from budget.errors import DamagedLedgerError, LedgerError
from budget.files import make_own
from budget.lean import contextmanager, suppress
from budget.ledger import Ledger
from budget.system import replace, try_lock_bytes

CHECK_S = 0.3
"""How long the start of a session looks for damage: about 200,000 entries."""
_WAIT_S = 1.5
# The bytes that every connection of SQLite has a shared lock on (its file format, "Locking").
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


def check(ledger: Ledger, env: paths.Env) -> None:
    """Looks for damage in the project's ledger and in that of people.

    A step reads a few pages only, so damage elsewhere would wait there for weeks. Raises
    `DamagedLedgerError`.
    """
    until = time.monotonic() + CHECK_S
    ledger.check_pages(until)
    people = paths.people_ledger_file(env)
    if not os.path.exists(people):
        return
    try:
        other = Database(people, wait_s=0.2, make=False)
    except DamagedLedgerError:
        raise
    except LedgerError:
        return  # it is told where a budget needs it
    try:
        other.check_pages(until)
    finally:
        other.close()


def set_aside(path: str) -> None:
    """Puts a copy of a damaged ledger beside it and empties it.

    Its connections in this process have to be closed. Hooks at work meet the damage together, and
    it must not be the new ledger that the second of them empties. So the file stays where it is:
    SQLite names the log by it, and a connection that was open to a file that was moved would take
    the new one's log for its own. Raises `LedgerError` where another process has it open, or the
    copy cannot be written.
    """
    seen = _damaged_file(path)
    if seen is None:
        return
    aside = f"{path}.damaged-{int(time.time())}"
    try:
        with open(path, "r+b") as file, _alone(file.fileno(), path):
            if (os.fstat(file.fileno()).st_ino, os.stat(path).st_ino) != (seen, seen):
                return
            make_own(aside)
            with open(aside, "wb") as copy:
                while piece := file.read(1024 * 1024):
                    copy.write(piece)
            with suppress(FileNotFoundError):
                replace(f"{path}-wal", f"{aside}-wal")
            with suppress(FileNotFoundError):
                os.unlink(f"{path}-shm")
            file.truncate(0)
    except FileExistsError:
        return  # another hook did it in the same second
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} is damaged and cannot be set aside: {error.strerror}."
        ) from error


def _damaged_file(path: str) -> int | None:
    """The inode of what lies there, when it is damaged; else another process was faster."""
    try:
        ledger = Database(path, wait_s=_WAIT_S, make=False)
    except DamagedLedgerError:
        return os.stat(path).st_ino
    except LedgerError:
        return None
    try:
        ledger.check_pages()
    except DamagedLedgerError:
        return os.stat(path).st_ino
    finally:
        ledger.close()
    return None


@contextmanager
def _alone(file: int, path: str) -> Iterator[None]:
    """While no other process has the ledger open."""
    until = time.monotonic() + _WAIT_S
    while not try_lock_bytes(file, _SHARED_FIRST, _SHARED_SIZE):
        if time.monotonic() > until:
            raise LedgerError(
                f"The ledger {path} is damaged, and another process has it open: it is made anew"
                " when that has ended."
            )
        time.sleep(0.01)
    yield
