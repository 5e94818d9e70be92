"""`budget reconcile`: the ledger against the client's own totals."""

import json as json_module
from typing import Annotated, Any

import typer

from budget.cli import options, place


def reconcile(
    project: options.Project = ".",
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    json: options.Json = False,
) -> None:
    """Compare, session by session, what is booked with what the client itself counted.

    The difference is what leaves no step in a transcript: compaction, titles, other background
    requests. Sessions no client total is known for are counted, not compared. Where a result
    message told what each model used (`budget run`, the Agent SDK), models are compared too.
    """
    from rich.console import Console
    from rich.table import Table

    from budget import report as reports
    from budget.messages import usd6, usd6_signed
    from budget.reconcile import compare
    from budget.result import Difference, differences

    ledgers = reports.open_ledgers(
        options.environment(), options.find(project), every, place.left_out
    )
    rows, unknown = [], 0
    models: list[Difference] = []
    for ledger in ledgers:
        sessions, without = compare(ledger)
        rows += sessions
        unknown += without
        models += differences(ledger)
        ledger.close()
    facts = [
        {
            "session": row.session_id,
            "source": row.source,
            "client_usd": usd6(row.client_picousd),
            "booked_usd": usd6(row.booked_picousd),
            "unattributed_usd": usd6(row.unattributed_picousd),
            "difference_usd": usd6_signed(row.difference_picousd),
        }
        for row in rows
    ]
    total = {
        "client_usd": usd6(sum(row.client_picousd for row in rows)),
        "booked_usd": usd6(sum(row.booked_picousd for row in rows)),
        "unattributed_usd": usd6(sum(row.unattributed_picousd for row in rows)),
        "difference_usd": usd6_signed(sum(row.difference_picousd for row in rows)),
    }
    if json:
        found = {
            "sessions": facts,
            "total": total,
            "sessions_without_client_total": unknown,
            "models": [_model_facts(each) for each in models],
        }
        typer.echo(json_module.dumps(found, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True)
    names = {
        "session": ("session", "total"),
        "source": ("client's total from", ""),
        "client_usd": ("client", total["client_usd"]),
        "booked_usd": ("booked", total["booked_usd"]),
        "unattributed_usd": ("unattributed", total["unattributed_usd"]),
        "difference_usd": ("difference", total["difference_usd"]),
    }
    for name, foot in names.values():
        table.add_column(name, footer=foot, justify="right" if "." in foot else "left")
    for fact in facts:
        table.add_row(*(fact[key] for key in names))
    console = Console(highlight=False)
    console.print(table if rows else "No session with a total of the client's own yet.")
    for each in map(_model_facts, models):
        console.print(
            f"{each['session']}, {each['model']}: {each['what']} of the steps {each['steps']},"
            f" the client counted {each['client']}"
        )
    if unknown:
        console.print(f"{unknown} sessions have no total of the client's own to compare with.")


def _model_facts(each: Any) -> dict[str, Any]:
    from budget.messages import usd6

    def amount(value: int) -> str | int:
        return usd6(value) if each.what == "usd" else value

    return {
        "session": each.session_id,
        "user": each.user,
        "model": each.model,
        "what": each.what,
        "steps": amount(each.steps),
        "client": amount(each.client),
    }
