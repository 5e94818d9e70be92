"""Where and when a command runs."""

import os
import sys
import time

from budget import paths
from budget.errors import BudgetError
from budget.files import printable_lines

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


def check_inside(path: str, project: paths.Project) -> None:
    """Raises `BudgetError` for a file of a project that a link leads out of it.

    A clone may have one where a command is going to write.
    """
    real = os.path.realpath(path)
    folders = map(os.path.realpath, (project.worktree, project.root))
    if not any(os.path.commonpath((real, folder)) == folder for folder in folders):
        raise BudgetError(
            f"{path} is a link, or lies in one, that leads out of the project: nothing was written."
            " Remove the link."
        )


def left_out(why: str) -> None:
    """Tells of a ledger that cannot be read, beside what is shown of the others."""
    print(f"budget: {printable_lines(why)} Its project is left out here.", file=sys.stderr)


def environment() -> dict[str, str]:
    return dict(os.environ)


def now_ms() -> int:
    return int(time.time() * 1000)
