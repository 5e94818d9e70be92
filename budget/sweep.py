"""Removes what the state folder no longer needs of sessions that ended long ago.

Reports of the sensor, marks of failures, and what held in a session.

What they told is in the ledger, or was said. Ledgers, policies and logs are never touched.
"""

import os
import shutil

from budget import paths

KEPT_S = 30 * 86_400


def sweep(env: paths.Env, now_s: float) -> None:
    """Once a session; what cannot be removed stays."""
    state = paths.state_folder(env)
    sessions = [os.path.join(os.path.dirname(file), "sessions") for file in paths.all_ledgers(env)]
    for folder in (os.path.join(state, "client"), os.path.join(state, "said"), *sessions):
        try:
            with os.scandir(folder) as entries:
                old = [each for each in entries if _age(each, now_s) > KEPT_S]
        except OSError:
            continue
        for entry in old:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                _remove(entry.path)


def _age(entry: "os.DirEntry[str]", now_s: float) -> float:
    return now_s - entry.stat(follow_symlinks=False).st_mtime


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
