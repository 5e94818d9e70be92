"""`budget simulate`: what a config would have done to the history in the ledger."""

import json as json_module
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from budget.cli import days, options
from budget.errors import BudgetError

if TYPE_CHECKING:
    from budget.replay import Outcome

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN_STOPS = 5


def simulate(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A config to try.")],
    since: Annotated[str, typer.Option(metavar="DATE", help="First day.")] = "",
    project: options.Project = ".",
    json: options.Json = False,
) -> None:
    """Play the ledger's history under a config: when it would have warned and stopped.

    Each budget by itself, over what really happened; of scope user, over this project only.
    """
    from budget import pipeline
    from budget.merge import Layer, merged, policy_budget
    from budget.replay import followed, history
    from budget.rules import read_config
    from budget.windows import day_start_ms, zone

    env, found = options.environment(), options.find(project)
    settings = read_config(os.path.abspath(config), policy=_is_policy(config))
    if settings is None:
        raise BudgetError(f"{config} is not there: name a config such as .claude/budget.toml.")
    name = "team" if _is_policy(config) else "user"
    layer = Layer(name, os.path.abspath(config), config)
    budgets = [policy_budget(row) for row in merged([(layer, settings)], "")["budgets"]]
    if not budgets:
        raise BudgetError(f"{config} sets no budgets: there is nothing to try.")
    with pipeline.existing_ledger(env, found) as ledger:
        if ledger is None:
            raise BudgetError(
                f"Nothing is booked for {found.root} yet. `budget import` books older sessions."
            )
        tz = zone(budgets[0].timezone)
        first = days.day_of(since, "--since", tz)
        start_ms = day_start_ms(first, tz) if first else 0
        told = list(
            history(
                ledger.steps_between(start_ms, 2**62, None),
                [
                    (at_ms, session_id, picousd)
                    for at_ms, session_id, _, picousd in ledger.unattributed_between(
                        start_ms, 2**62
                    )
                ],
            )
        )
    outcomes = [(budget, followed(budget, told)) for budget in budgets]
    if json:
        facts = [_facts(outcome) for _, outcome in outcomes if outcome]
        typer.echo(json_module.dumps({"config": config, "budgets": facts}, indent=2))
        return
    sessions = len({each.session_id for each in told})
    typer.echo(f"{len(told):,} steps and amounts of {sessions:,} sessions, under {config}:")
    for budget, outcome in outcomes:
        if outcome is None:
            typer.echo(f"\n{budget.name}: {budget.unit} is not in a ledger; it cannot be tried.")
        else:
            _show(outcome)


def _is_policy(config: str) -> bool:
    return "policy" in os.path.basename(config)


def _facts(outcome: "Outcome") -> dict[str, Any]:
    from budget.messages import usd6
    from budget.status import iso

    budget = outcome.budget

    def amount(value: int) -> str | int:
        return usd6(value) if budget.unit == "usd" else value

    return {
        "name": budget.name,
        "per": budget.per,
        "unit": budget.unit,
        "limit": amount(budget.limit),
        "sessions": outcome.sessions,
        "unnoticed_sessions": outcome.unnoticed,
        "spent_past_stops": amount(outcome.past),
        "warnings": [
            {
                "at": iso(mark.at_ms),
                "session": mark.session_id,
                "mark": mark.share,
                "spent": amount(mark.spent),
            }
            for mark in outcome.warnings
        ],
        "stops": [
            {
                "at": iso(stop.mark.at_ms),
                "session": stop.mark.session_id,
                "spent": amount(stop.mark.spent),
                "past": amount(stop.past),
            }
            for stop in outcome.stops
        ],
    }


def _show(outcome: "Outcome") -> None:
    from rich.console import Console
    from rich.markup import escape

    from budget import messages
    from budget.model import LEVEL_UNITS
    from budget.windows import local_time, zone

    console = Console(highlight=False, soft_wrap=True)
    budget = outcome.budget
    tz = zone(budget.timezone)

    def amount(value: int) -> str:
        return messages.rounded(value) if budget.unit == "usd" else f"{value:,}"

    def count(number: int, what: str) -> str:
        return f"{number:,} {what}{'' if number == 1 else 's'}"

    limit = f"{messages.amount(budget.limit, budget.unit)} {messages.unit_words(budget.unit)}"
    limit = limit.removesuffix(" US dollars")
    console.print(f"\n[bold]{escape(budget.name)}[/bold]: {limit} per {budget.per}")
    stops, verb, level = outcome.stops, "stopped", budget.unit in LEVEL_UNITS
    if budget.on_exceed == "advise":
        verb = "advised"
    if not stops:
        console.print(f"  It would never have {verb}; {count(len(outcome.warnings), 'warning')}.")
    else:
        past = "" if level else f" {amount(outcome.past)} was spent past that."
        warnings = count(len(outcome.warnings), "warning")
        console.print(
            f"  It would have {verb} {count(len(stops), 'time')}, after {warnings}.{past}"
        )
    console.print(
        f"  {outcome.unnoticed:,} of {outcome.sessions:,} sessions would never have noticed."
    )
    for line in _chart(outcome):
        console.print(line)
    dearest = sorted(stops, key=lambda stop: stop.past, reverse=True)[:_SHOWN_STOPS]
    for stop in dearest:
        console.print(
            f"  {local_time(stop.mark.at_ms, tz):%Y-%m-%d %H:%M}  at {amount(stop.mark.spent)}"
            + ("" if level else f", {amount(stop.past)} past it")
            + f", session {escape(stop.mark.session_id[:13])}"
        )
    if len(stops) > len(dearest):
        console.print(f"  ... and {len(stops) - len(dearest):,} more (--json has all).")


def _chart(outcome: "Outcome") -> list[str]:
    """The last windows as bars against the limit; red where it was passed."""
    windows = outcome.windows[-60:]
    limit = outcome.budget.limit
    if len(windows) < 2 or not limit:
        return []
    highest = max([limit, *(total for _, total in windows)])
    bars = ""
    for _, total in windows:
        bar = _BARS[max(1, total * (len(_BARS) - 1) // highest)] if total else _BARS[0]
        bars += f"[red]{bar}[/red]" if total >= limit else bar
    share = limit * 100 // highest
    return [f"  {bars}  each {outcome.budget.per}; the limit is at {share} % of the height"]
