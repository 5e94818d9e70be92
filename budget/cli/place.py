"""Where and when a command runs."""

import os
import time

from budget import paths
from budget.errors import BudgetError

# What a program that we start for the person gets; our own files are nobody else's (see main).
callers_umask = 0o022


def find(folder: str) -> paths.Project:
    """The project of a folder. Raises `BudgetError` when there is no such folder."""
    try:
        if os.path.isdir(folder):
            return paths.find_project(folder)
    except OSError as error:
        raise BudgetError(f"{folder} cannot be entered: {error.strerror}.") from error
    raise BudgetError(f"{folder} is not a folder.")


def environment() -> dict[str, str]:
    return dict(os.environ)


def now_ms() -> int:
    return int(time.time() * 1000)
