"""`budget report`: what was spent, by time, session, model, agent, branch and so on."""

import csv
import enum
import sys
from datetime import date
from typing import Annotated, Any

import typer

from budget import report as reports
from budget.cli import options

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
    env, found = options.environment(), options.find(project)
    name, tz = zone_of(timezone, env, found)
    if since and until and since > until:
        raise typer.BadParameter("--until is before --since.")
    query = reports.Query(str(by), day_of(since, "--since"), day_of(until, "--until"), tz)
    ledgers = reports.open_ledgers(env, found, every)
    try:
        made = reports.make(query, ledgers)
    finally:
        for ledger in ledgers:
            ledger.close()
    if json:
        _print_json(made, query, name)
    elif as_csv:
        _print_csv(made)
    else:
        from budget.render import show_report

        show_report(made, query.by)


def zone_of(timezone: str, env: dict[str, str], project: Any) -> tuple[str, Any]:
    """The name and the zone that an option, or else the configs, ask for."""
    from budget import pipeline
    from budget.windows import system_zone_name, zone

    if not timezone:
        timezone = pipeline.policy_of(env, project).timezone
    try:
        return timezone or system_zone_name(), zone(timezone)
    except ValueError as error:
        raise typer.BadParameter(f"--timezone: {error}.") from None


def day_of(text: str, option: str) -> date | None:
    """The day that an option names. Raises `BadParameter`."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} expects a date such as 2026-11-23, got {text!r}."
        ) from None


def _print_json(made: reports.Report, query: reports.Query, timezone: str) -> None:
    import json

    facts = {
        "by": query.by,
        "since": query.since.isoformat() if query.since else None,
        "until": query.until.isoformat() if query.until else None,
        "timezone": timezone,
        "rows": [reports.row_facts(key, spend) for key, spend in made.rows.items()],
        "total": reports.row_facts("total", made.total),
        "unpriced_models": made.unpriced_models,
        "skipped_lines": made.skipped_lines,
    }
    typer.echo(json.dumps(facts, indent=2))


def _print_csv(made: reports.Report) -> None:
    rows = [reports.row_facts(key, spend) for key, spend in made.rows.items()]
    writer = csv.DictWriter(sys.stdout, fieldnames=list(reports.row_facts("", made.total)))
    writer.writeheader()
    writer.writerows(rows)
