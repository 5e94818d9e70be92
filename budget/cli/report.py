"""`budget report`: what was spent, by time, session, model, agent, branch and so on."""

from typing import Annotated

import typer

from budget import report as reports
from budget.cli import days, options, show_report, wording
from budget.errors import OptionError


def report(
    by: Annotated[
        str, typer.Argument(metavar="VIEW", help=f"What the rows are: {', '.join(reports.VIEWS)}.")
    ] = "daily",
    since: Annotated[
        str, typer.Option(metavar="DATE", help="First day: 2026-11-23, yesterday, today.")
    ] = "",
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
    if by not in reports.VIEWS:
        known = ", ".join(f"'{name}'" for name in reports.VIEWS)
        told = wording.worded(f"{by!r} is not one of {known}", (), ())
        if by in days.AGO:
            told += f" A day is named by `--since {by}`."
        raise typer.BadParameter(told, param_hint="'VIEW'")
    try:
        show_report.run(by, since, until, timezone, every, project, json, as_csv)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from None
