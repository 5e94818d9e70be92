"""`budget report`: what was spent, by time, session, model, agent, branch and so on."""

import enum
from typing import Annotated

import typer

from budget import report as reports
from budget.cli import options, show_report
from budget.errors import OptionError

View = enum.StrEnum("View", {name: name for name in reports.VIEWS})  # type: ignore[misc]


def report(
    by: Annotated[View, typer.Argument(metavar="VIEW", help="What the rows are.")] = View.daily,  # type: ignore[attr-defined]
    since: Annotated[str, typer.Option(metavar="DATE", help="First day, as 2026-11-23.")] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="Last day.")] = "",
    timezone: Annotated[
        str, typer.Option(help="Where days begin; default: the config's, else the system's.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    project: options.Project = ".",
    json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
) -> None:
    """Show what was spent and on what, from the ledger. `budget import` books older sessions."""
    try:
        show_report.run(str(by), since, until, timezone, every, project, json, as_csv)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from None
