"""`budget export`: the ledger's entries as text, or the lines of invoices by user."""

import csv
import enum
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Any

import typer

from budget.cli import options, place


class Format(enum.StrEnum):
    jsonl = "jsonl"
    csv = "csv"


class Period(enum.StrEnum):
    day = "day"
    week = "week"
    month = "month"


def export(
    form: Annotated[Format, typer.Option("--format", help="jsonl or csv.")] = Format.jsonl,
    invoice: Annotated[
        Period | None,
        typer.Option(metavar="PERIOD", help="A line per user, day, week or month, and model."),
    ] = None,
    since: Annotated[str, typer.Option(metavar="DATE", help="First day of the invoices.")] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="Last day of the invoices.")] = "",
    timezone: Annotated[
        str, typer.Option(help="Where days begin; default: the config's, else the system's.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    project: options.Project = ".",
) -> None:
    """Print every entry of the ledger: one step a line. The fields are in docs/export.md.

    With --invoice it prints what each user used, a line per user, period and model, to the last
    picodollar.
    """
    import json

    from budget import report as reports
    from budget.billing import LINE_FIELDS
    from budget.export import FIELDS, spreadsheet_safe

    if (since or until or timezone) and not invoice:
        raise typer.BadParameter("--since, --until and --timezone belong to --invoice.")
    ledgers = reports.open_ledgers(
        options.environment(), options.find(project), every, place.left_out
    )
    rows = _entries(ledgers)
    if invoice:
        rows = _invoice(ledgers, invoice.value, since, until, timezone, project)
    if form is Format.csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=LINE_FIELDS if invoice else FIELDS)
        writer.writeheader()
        writer.writerows(map(spreadsheet_safe, rows))
    else:
        for facts in rows:
            sys.stdout.write(json.dumps(facts) + "\n")
    for ledger in ledgers:
        ledger.close()


def _entries(ledgers: list[Any]) -> Iterator[dict[str, Any]]:
    from budget.export import entry_facts

    for ledger in ledgers:
        root = ledger.root()
        yield from (entry_facts(root, step, cost) for step, cost in ledger.entries())


def _invoice(
    ledgers: list[Any], period: str, since: str, until: str, timezone: str, project: str
) -> Iterator[dict[str, Any]]:
    from budget.billing import invoice_lines
    from budget.cli import days
    from budget.cli.show_report import zone_of
    from budget.windows import day_start_ms

    _, tz = zone_of(timezone, options.environment(), options.find(project))
    first, last = days.period(since, until, tz)
    last = last or date.max
    start_ms = day_start_ms(first, tz) if first else 0
    end_ms = 2**62 if last == date.max else day_start_ms(last + timedelta(days=1), tz)
    yield from (line.facts() for line in invoice_lines(ledgers, period, start_ms, end_ms, tz))
