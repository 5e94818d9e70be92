"""Options that several commands share."""

from typing import Annotated

import typer

from budget.cli.place import environment, find, now_ms

__all__ = ["Json", "Project", "environment", "find", "now_ms"]

Project = Annotated[
    str,
    typer.Option("--project", metavar="DIR", help="A folder of the project; default: this one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]


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
