"""`budget status`: every budget, what is spent and left, and where it is set."""

import json as json_module
import sys
from typing import Annotated

import typer

from budget.cli import options


def status(
    project: options.Project = ".",
    json: options.Json = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit with 1 when a budget is used up."),
    ] = False,
) -> None:
    """Show every budget: spent, limit, left, when it resets, which file sets it."""
    from rich.console import Console

    from budget.render import show_status
    from budget.status import Standing

    standing = Standing(options.environment(), options.find(project), options.now_ms())
    if json:
        typer.echo(json_module.dumps(standing.facts().model_dump(mode="json"), indent=2))
    else:
        # In a pipe nothing is cut: there is no width to keep to.
        show_status(standing, Console() if sys.stdout.isatty() else Console(width=200))
    if check and standing.exceeded:
        raise typer.Exit(1)
    if check and standing.policy.problems:
        raise typer.Exit(3)
