"""`budget import`: books the sessions that are already there."""

from typing import Annotated

import typer

from budget.cli import options, run_import


def import_(
    project: Annotated[
        str, typer.Option("--project", metavar="DIR", help="Only the sessions of this project.")
    ] = "",
    path: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="A folder like ~/.claude/projects."),
    ] = "",
    json: options.Json = False,
) -> None:
    """Book existing transcripts, of all projects or of one. Running it again books nothing twice.

    What is booked stays in the ledger when the client deletes transcripts after 30 days.
    """
    run_import.run(project, path, json)
