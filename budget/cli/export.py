"""`budget export`: the ledger's entries as text."""

import csv
import enum
import sys
from typing import Annotated

import typer

from budget.cli import options


class Format(enum.StrEnum):
    jsonl = "jsonl"
    csv = "csv"


def export(
    form: Annotated[Format, typer.Option("--format", help="jsonl or csv.")] = Format.jsonl,
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    project: options.Project = ".",
) -> None:
    """Print every entry of the ledger: one step a line. The fields are in docs/export.md."""
    import json

    from budget import report as reports
    from budget.export import FIELDS, entry_facts

    ledgers = reports.open_ledgers(options.environment(), options.find(project), every)
    writer = csv.DictWriter(sys.stdout, fieldnames=FIELDS)
    if form is Format.csv:
        writer.writeheader()
    for ledger in ledgers:
        root = ledger.root()
        for step, cost in ledger.entries():
            facts = entry_facts(root, step, cost)
            if form is Format.csv:
                writer.writerow(facts)
            else:
                sys.stdout.write(json.dumps(facts) + "\n")
        ledger.close()
