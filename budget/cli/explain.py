"""`budget explain`: why the last stop happened, or how the budgets stood at a time."""

import json as json_module
from typing import TYPE_CHECKING, Annotated

import typer

from budget.cli import options
from budget.errors import BudgetError

if TYPE_CHECKING:
    from budget.explain import Explained
    from budget.model import Policy


def explain(
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="A time such as 2026-11-23T14:30; default: the last stop."
        ),
    ] = "",
    project: options.Project = ".",
    json: options.Json = False,
) -> None:
    """Say why the work was stopped: which budget and file, and which steps cost it most."""
    from budget import explain as why
    from budget import paths, pipeline

    env, found = options.environment(), options.find(project)
    with pipeline.existing_ledger(env, found) as ledger:
        if ledger is None:
            raise BudgetError(
                f"Nothing is booked for {found.root} yet: there is nothing to explain."
            )
        policy, session_id = why.policy_and_session(env, found, ledger)
        if at:
            at_ms = _time(at, policy)
            policy, session_id = why.policy_and_session(env, found, ledger, at_ms)
            person = paths.person(env, found)
            told = why.standing_at(ledger, env, policy, session_id, at_ms, person)
        else:
            told = why.last_stop(ledger, env)
    if json:
        typer.echo(json_module.dumps([why.facts(each) for each in told], indent=2))
    elif told:
        for each in told:
            _show(each, policy)
    elif at:
        typer.echo("No budgets are set for this project.")
    else:
        typer.echo("No budget has stopped anything here. `budget status` shows how they stand.")


def _time(text: str, policy: "Policy") -> int:
    from datetime import datetime

    from budget.windows import zone

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"--at expects a time such as 2026-11-23T14:30, got {text!r}."
        ) from None
    if moment.tzinfo is None:
        tz = zone(policy.timezone)
        moment = moment.astimezone() if tz is None else moment.replace(tzinfo=tz)
    return int(moment.timestamp() * 1000)


def _show(each: "Explained", policy: "Policy") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from budget import messages
    from budget.model import Verdict
    from budget.windows import local_time, zone

    console = Console(highlight=False, soft_wrap=True)
    budget = each.budget
    tz = zone(budget.timezone)
    verdict = Verdict(budget, each.window, each.spent, each.granted)
    when = f"{local_time(each.at_ms, tz):%Y-%m-%d %H:%M:%S}"
    what = "stopped the work" if each.stopped else "stood like this"
    console.print(f'[bold]Budget "{escape(budget.name)}"[/bold] {what} at {when}.')
    console.print(f"  Spent:   {escape(messages.spent_of(verdict) + messages.over(budget))}")
    if each.expected:
        expected = messages.amount(each.expected, budget.unit)
        held = messages.amount(each.reserved, budget.unit)
        console.print(
            f"  Next:    the step was expected to take up to {expected}"
            + (f", and {held} was held for others" if each.reserved else "")
        )
    if each.granted:
        console.print(f"  Granted: {messages.amount(each.granted, budget.unit)} of that limit")
    console.print(
        f"  Set in:  {escape(budget.source.file)}, {escape(budget.source.key)}.{budget.unit}"
        f" ({budget.source.layer} config)"
    )
    console.print(f"  Session: {escape(each.session_id)}")
    unattributed = each.unattributed_picousd
    if not each.steps and not unattributed:
        console.print("  Nothing was spent that it counts.")
        return
    rest = f", and {messages.rounded(unattributed)} of background requests" if unattributed else ""
    console.print(f"  Led to by {each.steps:,} steps{rest}. The dearest of them:")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("   at", "cost", "tokens", "model", "agent", "prompt"):
        table.add_column(name, justify="right" if name in ("cost", "tokens") else "left")
    for step, spend in each.dearest:
        table.add_row(
            f"   {local_time(step.at_ms, tz):%m-%d %H:%M:%S}",
            messages.rounded(spend.counted_picousd),
            f"{spend.tokens:,}",
            escape(step.model),
            escape(step.agent),
            escape(step.prompt_id or "-"),
        )
    console.print(table)
    if each.stopped:
        console.print(f"  {escape(_let_through(each, policy))}")


def _let_through(each: "Explained", policy: "Policy") -> str:
    from budget import messages

    budget = each.budget
    needed = messages.amount(each.needed, budget.unit)
    ways = [f"a limit of {messages.amount(each.limit + each.needed, budget.unit)}"]
    if policy.max_grant != 0:
        ways.append(f"a grant of {needed} (`budget allow`)")
    if budget.per not in ("session", "total"):
        ways.append("a later time: the next window")
    if budget.per == "session":
        ways.append("a new session (/clear)")
    return "What would have let it through: " + ", ".join(ways) + "."
