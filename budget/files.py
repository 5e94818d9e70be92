"""Opens, makes and replaces files where others may have put something in the way.

Files from outside: only regular ones, without ever waiting. Files of the state folder: besides, no
links, nobody else's, and closed to everybody else.
"""

import os
import stat
from errno import ELOOP, ENOTDIR
from io import FileIO

from budget import system
from budget.errors import InputError, StateError

_OTHERS = 0o077
"""What a mode must not give to group and others."""
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # without it, opening a FIFO would wait for a writer
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | _NO_LINK | getattr(os, "O_BINARY", 0)
_NEW |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


# -- from outside ----------------------------------------------------------------------------------


def open_regular(path: str) -> FileIO:
    """A regular file, unbuffered. Raises `InputError` for anything else, `OSError` otherwise."""
    fd = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputError(f"{printable(path)} is not a regular file: it was not read.")
    return FileIO(fd)


def read_some(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a regular file. Raises `OSError`, for anything else, too."""
    try:
        with open_regular(path) as file:
            return file.read(limit)
    except InputError as error:
        raise OSError(str(error)) from error


def is_remote(path: str) -> bool:
    """Whether looking at a path would make Windows log in to another machine."""
    return system.is_windows() and path[:2] in ("\\\\", "//", "\\/", "/\\")


# -- of the state folder ---------------------------------------------------------------------------


def read_own(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a file of ours; what was open to others is closed.

    Raises `StateError` (an `OSError`) for a link, what is no regular file, or another's.
    """
    with FileIO(_open_own(path, _READ | _NO_LINK)) as file:
        return file.read(limit)


def replace_own(path: str, text: str | bytes, at_top: bool = False) -> None:
    """Replaces a file at once, its folder made where there is none.

    It is written under a name that cannot be guessed, so nobody can lay a link there. `at_top`: in
    the state folder itself, which may be a link of the person's. Raises `OSError`.
    """
    make_folder(os.path.dirname(path), at_top)
    temporary = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(temporary, _NEW | os.O_EXCL, 0o600)
    try:
        with FileIO(fd, "w") as file:
            data = memoryview(text.encode() if isinstance(text, str) else text)
            while data:
                data = data[file.write(data) :]
        system.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def overwrite_own(path: str, data: bytes) -> None:
    """Writes over the beginning of a file, made where there is none; what is longer stays.

    A reader may find half of it: it has to tell by the content. It takes 6 microseconds where
    `replace_own` takes 1,000. Raises as `read_own`, or `OSError`.
    """
    try:
        fd = _open_own(path, _NEW)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        fd = _open_own(path, _NEW)
    try:
        os.write(fd, data.ljust(os.fstat(fd).st_size))
    finally:
        os.close(fd)


def append_own(path: str, text: str) -> None:
    """Adds to a file, made where there is none. Raises `OSError`."""
    make_folder(os.path.dirname(path))
    with appending(path) as file:
        file.write(text.encode("utf-8", "replace"))


def appending(path: str, make: bool = True) -> FileIO:
    """A file of ours to add to, made where there is none. Raises as `read_own`, or `OSError`."""
    flags = _NEW | os.O_APPEND
    return FileIO(_open_own(path, flags if make else flags & ~os.O_CREAT), "a")


def _open_own(path: str, flags: int) -> int:
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise _linked(path) if error.errno == ELOOP else error from error
    try:
        _check_file(path, os.fstat(fd), fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def make_own(path: str) -> None:
    """A new, empty file. Raises `FileExistsError` for one that is there, `OSError` otherwise."""
    make_folder(os.path.dirname(path))
    os.close(os.open(path, _NEW | os.O_EXCL, 0o600))


def make_folder(path: str, may_be_link: bool = False) -> None:
    """A folder of ours, with those above it. Raises as `check_folder`, or `OSError`."""
    if check_folder(path, may_be_link):
        return
    parent = os.path.dirname(path)
    if parent != path and not os.path.lexists(parent):
        make_folder(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path) from None


def check_folder(path: str, may_be_link: bool = False) -> bool:
    """Whether a folder is there; closes one of ours that is open to others.

    Raises `StateError` for another's, and for a link unless it may be one.
    """
    try:
        status = os.stat(path) if may_be_link else os.lstat(path)
    except OSError:
        return False
    if stat.S_ISLNK(status.st_mode):
        raise _linked(path)
    if not stat.S_ISDIR(status.st_mode):
        return False
    if system.has_modes():
        if status.st_uid != system.user_id():
            raise _others(path, status.st_uid)
        if status.st_mode & _OTHERS:
            from budget.permissions import close_folder  # seldom

            close_folder(os.path.realpath(path))
    return True


def check_file(path: str) -> bool:
    """Whether a file of ours is there; what was open to others is closed. As `read_own`.

    A folder is left to whoever opens it.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        _check_file(path, status, path)
    return True


def _check_file(path: str, status: os.stat_result, at: int | str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise _linked(path)
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{printable(path)} is not a regular file: it is not used. Remove it.")
    if system.has_modes():
        if status.st_uid != system.user_id():
            raise _others(path, status.st_uid)
        if status.st_mode & _OTHERS:
            os.chmod(at, 0o600)


def _linked(path: str) -> StateError:
    return StateError(
        f"{printable(path)} is a link, and links in the state folder are not followed. Remove it;"
        " to keep the state elsewhere, set BUDGET_HOME."
    )


def _others(path: str, uid: int) -> StateError:
    from budget.permissions import user_name  # seldom

    return StateError(
        f"{printable(path)} belongs to {user_name(uid)}, not to you: nothing is read or written"
        " there. Set BUDGET_HOME to a folder of your own."
    )


# -- text ------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Outside text on one line, with nothing that a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))
