"""`budget allow`: a person lets a budget be passed, by how much, until when, and why."""

import sys
from typing import Annotated

import typer

from budget.cli import options

_HOW = "budget allow AMOUNT [--budget NAME] [--for TIME] [--reason TEXT]"


def allow(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="US dollars, or a count.")],
    budget: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which budget; default: the one that is used up."),
    ] = "",
    until: Annotated[
        str,
        typer.Option("--for", metavar="TIME", help="today, session, week, month, or 30m, 2h, 3d."),
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept.")] = "",
    session: Annotated[
        str, typer.Option(metavar="ID", help="For a session budget; default: the last session.")
    ] = "",
    project: options.Project = ".",
    json: options.Json = False,
) -> None:
    """Grant more on a budget: `budget allow 5 --budget day --for today --reason "release"`.

    Only a person can: from a terminal, or as the prompt /budget:allow in a session. A policy may
    cap or forbid grants.
    """
    import json as json_module

    from budget import granting, messages
    from budget.grant_request import grant_at_terminal
    from budget.status import iso

    env, found, now_ms = options.environment(), options.find(project), options.now_ms()
    request = granting.Request(amount, budget, until, reason)
    try:
        made, verdict = grant_at_terminal(env, found, request, session, now_ms, sys.stdin.isatty())
    except granting.GrantRefusedError as error:
        raise type(error)(str(error).replace(granting.HOW, _HOW)) from None
    if json:
        in_units = messages.usd6(made.amount) if made.unit == "usd" else made.amount
        facts = {**made._asdict(), "amount": in_units, "until": iso(made.until_ms)}
        del facts["at_ms"], facts["until_ms"]
        typer.echo(json_module.dumps(facts, indent=2))
    else:
        typer.echo(messages.granted(made, verdict, now_ms))
