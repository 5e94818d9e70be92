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
