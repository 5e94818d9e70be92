"""Options that several commands share."""

import os
import time
from typing import Annotated

import typer

from budget import paths
from budget.errors import BudgetError

Project = Annotated[
    str,
    typer.Option("--project", metavar="DIR", help="A folder of the project; default: this one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]


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


def day_ms(text: str, timezone: str, option: str = "--since") -> int:
    """When a day such as 2026-11-23 begins."""
    from datetime import date

    from budget.windows import day_start_ms, zone

    try:
        return day_start_ms(date.fromisoformat(text), zone(timezone))
    except ValueError:
        raise typer.BadParameter(
            f"{option} expects a date such as 2026-11-23, got {text!r}."
        ) from None


def environment() -> dict[str, str]:
    return dict(os.environ)


def now_ms() -> int:
    return int(time.time() * 1000)
