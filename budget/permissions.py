"""Closes what others may enter: folders 0700, files 0600. Seldom needed, so apart from `files.py`.

A folder that another tool made, a copy from a backup or the client's own module leave modes open.
Links are never followed. What another user put into an open folder is moved aside.
"""

import os
import stat

from budget import system

NOT_OURS = ".not-ours"


def user_name(uid: int) -> str:
    """The name of a user, as a person knows it."""
    return f"the user {system.user_name(uid)}"


def close_folder(folder: str) -> list[str]:
    """Closes a folder and all below it that is ours; what was changed.

    What cannot be changed stays as it is. On Windows, where modes say nothing, it does nothing.
    """
    if not system.has_modes():
        return []
    changed: list[str] = []
    me = system.user_id()
    waiting = [folder]
    while waiting:
        at = waiting.pop()
        try:
            status = os.lstat(at)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != me:
                continue
            if status.st_mode & 0o077:
                os.chmod(at, 0o700)
                changed.append(at)
            # The environment of the plugin's command is pip's: it is closed at its top.
            if at == os.path.join(folder, "env"):
                continue
            with os.scandir(at) as listing:
                entries = list(listing)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                changed += _close_file(entry, me)
    return changed


def _close_file(entry: "os.DirEntry[str]", me: int) -> list[str]:
    try:
        status = entry.stat(follow_symlinks=False)
        if status.st_uid != me:
            os.replace(entry.path, f"{entry.path}{NOT_OURS}-{os.urandom(4).hex()}")
        elif stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
            os.chmod(entry.path, 0o600)
        else:
            return []
    except OSError:
        return []
    return [entry.path]
