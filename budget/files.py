"""Opens files that others may have put there: only regular ones, without ever waiting."""

import os
import stat
from io import FileIO

from budget.errors import InputError


def open_regular(path: str) -> FileIO:
    """A regular file, unbuffered. Raises `InputError` for anything else, `OSError` otherwise."""
    # Without O_NONBLOCK, opening a FIFO would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags | getattr(os, "O_BINARY", 0))
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


def printable(text: str) -> str:
    """Outside text on one line, with nothing that a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
