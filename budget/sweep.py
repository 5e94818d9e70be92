"""Keeps the state folder tidy, once a session: closes what is open to others, removes what is old.

Old are, of sessions that ended long ago: reports of the sensor, marks of failures, what held.

What they told is in the ledger, or was said. Policies and logs are never touched; ledgers forget
what was said and what was stopped more than a year ago, never what was spent.
"""

import os
import shutil

from budget import events, paths
from budget.errors import LedgerError, StateError
from budget.files import check_file, check_folder
from budget.lean import suppress
from budget.ledger import Ledger

KEPT_S = 30 * 86_400
SAID_MS = 400 * 86_400_000
"""Longer than any window but `total`: there a warning may be said once more after a year."""
EVENTS_MS = 400 * 86_400_000


def closed(env: paths.Env) -> list[str]:
    """Closes what lies at the top of the state folder; what is not used there, a sentence each."""
    found: list[str] = []
    try:
        with os.scandir(paths.state_folder(env)) as listing:
            entries = sorted(listing, key=lambda each: each.name)
    except OSError:
        return found
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                check_folder(entry.path)
            else:
                check_file(entry.path)
        except StateError as error:
            found.append(str(error))
        except OSError:
            continue
    return found


def sweep(env: paths.Env, now_s: float) -> None:
    """Once a session; what cannot be removed stays."""
    state = paths.state_folder(env)
    sessions = [os.path.join(os.path.dirname(file), "sessions") for file in paths.all_ledgers(env)]
    for folder in (os.path.join(state, "client"), os.path.join(state, "said"), *sessions):
        try:
            if os.path.islink(folder):
                continue  # what it leads to is not ours to remove
            with os.scandir(folder) as entries:
                old = [each for each in entries if _age(each, now_s) > KEPT_S]
        except OSError:
            continue
        for entry in old:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                _remove(entry.path)


def forget(ledger: Ledger, now_ms: int) -> None:
    """Takes out of a ledger what told of long ago: what was said once, warnings, stops.

    Grants are in reports, and incidents are for whoever looks into one: both stay.
    """
    with suppress(LedgerError), ledger.transaction():
        ledger.write("DELETE FROM said WHERE at_ms < ?", (now_ms - SAID_MS,))
        ledger.write(
            "DELETE FROM events WHERE at_ms < ? AND kind IN (?, ?, ?)",
            (now_ms - EVENTS_MS, events.STOP, events.WARNING, events.COMPACTION),
        )


def _age(entry: "os.DirEntry[str]", now_s: float) -> float:
    return now_s - entry.stat(follow_symlinks=False).st_mtime


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
