"""`budget statusline`: the line the client shows below its prompt."""

from typing import Annotated

import typer


def statusline(
    form: Annotated[
        str,
        typer.Option("--format", metavar="TEXT", help="Your own, such as '{budget} {left}'."),
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="ASCII only, and no colours.")] = False,
    other: Annotated[
        str,
        typer.Option("--with", metavar="COMMAND", help="Another status line, shown above it."),
    ] = "",
) -> None:
    """Print the status line for the JSON that Claude Code writes to stdin.

    `budget install --statusline` sets it up in settings.json, beside the one you have.
    """
    from budget.cli.run_statusline import run

    run(form, plain, other)
