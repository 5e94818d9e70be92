"""`budget run`: a headless client under budgets, with exit codes a script can rely on."""

import os
from typing import Annotated

import typer

from budget.cli import options, place
from budget.files import printable_lines


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- claude -p ...", help="The client and its arguments.")
    ],
    json_summary: Annotated[
        str,
        typer.Option("--json-summary", metavar="FILE", help="Write the facts of the run as JSON."),
    ] = "",
    project: options.Project = ".",
) -> None:
    """Run the headless client with what is left, and report a stop.

    What is left under all budgets is passed on as --max-budget-usd, the hooks are loaded where the
    client has none, and input and output pass through untouched. Exits with 1 when a budget
    stopped the run or nothing is left, with 127 when there is no client, else as the client does.
    """
    from budget import headless, outcome, passthrough
    from budget.passthrough import Ear

    env, found = options.environment(), options.find(project)
    folder = os.path.realpath(project)
    try:
        plan = headless.prepare(command, env, found, folder, options.now_ms())
    except headless.UsedUpError as error:
        blocked = outcome.not_started(env, found, str(error), options.now_ms())
        _write(json_summary, blocked.model_dump_json(indent=2))
        raise
    for note in plan.notes:
        typer.echo(f"budget: {printable_lines(note)}", err=True)
    ear = Ear(plan.told.output)
    try:
        ended = passthrough.run(plan.command, folder, plan.env, place.callers_umask, ear.hear)
    except OSError as error:
        summary = outcome.missing(plan, error, options.now_ms())
    else:
        ear.end()
        summary = outcome.finish(plan, ended, ear, options.now_ms())
    _write(json_summary, summary.model_dump_json(indent=2))
    if summary.message:
        typer.echo(f"budget: {printable_lines(summary.message)}", err=True)
    raise typer.Exit(summary.exit_code)


def _write(path: str, text: str) -> None:
    from budget.errors import BudgetError

    if not path:
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise BudgetError(f"--json-summary {path} cannot be written: {error.strerror}.") from error
