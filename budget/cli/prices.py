"""`budget prices`: the price table, what a model id resolves to, and a newer table."""

import json as json_module
from typing import Annotated, Any

import typer

from budget import paths, pipeline, pricing
from budget.cli import options
from budget.errors import BudgetError


def prices(
    model: Annotated[str, typer.Argument(help="A model id; default: the whole table.")] = "",
    update: Annotated[
        str, typer.Option(metavar="FILE", help="Put a newer price table in place and reprice.")
    ] = "",
    project: options.Project = ".",
    json: options.Json = False,
) -> None:
    """Show what models cost, with dates and sources, or what a model id resolves to and why.

    `--update FILE` takes a newer `prices.json` and prices the steps that had no price.
    """
    env, found = options.environment(), options.find(project)
    if update:
        _update(update, env)
        return

    policy = pipeline.policy_of(env, found)
    table = pipeline.price_table(policy, env)
    if model:
        _one(model, table, json)
        return
    rows = [
        {"model": name, **period} for name, periods in table.models.items() for period in periods
    ]
    if json:
        typer.echo(json_module.dumps({"version": table.version, "models": rows}, indent=2))
        return
    _show(rows, f"Prices of {table.version}, US dollars per million tokens.")


def _one(model: str, table: pricing.Table, json: bool) -> None:
    resolved = pricing.resolve(model, table)
    periods = table.models[resolved] if resolved else []
    if json:
        facts = {"model": model, "resolves_to": resolved, "periods": periods}
        typer.echo(json_module.dumps({"version": table.version, **facts}, indent=2))
    elif resolved is None:
        typer.echo(
            f"{model} is in no table of {table.version}: its steps are unpriced. Budgets count"
            f" them {_unknown(table)}. Give it a price in ~/.claude/budget.toml, with"
            f" [prices.models.{json_module.dumps(model)}], or take a newer table with"
            " `budget prices --update FILE`."
        )
    else:
        how = "as it is" if resolved == model else "its name without what platforms and dates add"
        rows = [{"model": resolved, **period} for period in periods]
        _show(rows, f"{model} is {resolved}: {how}.")


def _unknown(table: pricing.Table) -> str:
    if table.unknown == pricing.DEAREST or not pricing.resolve(table.unknown, table):
        return "at the dearest known rates"
    return f"like {table.unknown}"


def _show(rows: list[dict[str, Any]], head: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(escape(head))
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = ("model", "from", *pricing.KINDS, "fast")
    heads = ("model", "from", "input", "output", "read", "5m", "1h", "fast")
    for column in heads:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(escape(str(row.get(column) or "")) for column in columns))
        if "long" in row:
            over = f"  over {row['long']['above']:,} tokens"
            table.add_row(over, "", *(row["long"].get(kind, "") for kind in pricing.KINDS))
    console.print(table)
    sources = ", ".join(sorted({row["source"] for row in rows if "source" in row}))
    console.print(
        "5m, 1h: cache writes. fast: times what. Inference in the US is x 1.1 where the client"
        f" charges it, a web search 0.01. Sources: {escape(sources)}.",
        style="dim",
    )


def _update(path: str, env: dict[str, str]) -> None:
    import os

    from budget import ancestry
    from budget.files import read_some, replace_own
    from budget.ledger import Ledger
    from budget.reconcile import settle_all

    if ancestry.clients_above() or "CLAUDECODE" in env:
        raise BudgetError(
            "Prices are a person's to change: an agent could make its own steps cheap. Run this in"
            " a terminal of your own."
        )
    if not os.path.isfile(path):
        raise BudgetError(f"{path} is not there: name a price table to take over.")
    table = pricing.load_table(path)
    current = pricing.newest_table(paths.price_file(env))
    if table.version <= current.version:
        raise BudgetError(
            f"{path} is of {table.version}; the table in use is of {current.version}, not older."
        )
    paths.check_state(env)
    try:
        replace_own(paths.price_file(env), read_some(path, pricing.LARGEST), at_top=True)
    except OSError as error:
        raise BudgetError(
            f"{paths.price_file(env)} cannot be written: {error.strerror or error}."
        ) from error
    repriced = 0
    for file in paths.all_ledgers(env):
        ledger = Ledger(file)
        own = paths.find_project(ledger.root())
        policy = pipeline.policy_of(env, own)
        with ledger.transaction():
            repriced += ledger.reprice_unpriced(pricing.corrected(table, policy.prices))
            settle_all(ledger, options.now_ms())
        ledger.close()
    typer.echo(
        f"The prices of {table.version} hold from now on."
        f" {repriced} steps that had no price have one now."
    )
