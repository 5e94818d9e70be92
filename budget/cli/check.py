"""`budget check`: are the configs valid, and what holds when they are merged."""

import json as json_module

import typer

from budget import pipeline
from budget.cli import options
from budget.errors import ConfigError


def check(project: options.Project = ".", json: options.Json = False) -> None:
    """Validate every config file and show the merged budgets and where each comes from.

    Exits with 3 when a file is not valid.
    """
    from budget import messages, paths
    from budget.policy import load_policy
    from budget.rules import read_config

    env, found = options.environment(), options.find(project)
    layers = pipeline.layers(env, found)
    files, problems = [], []
    for layer in layers:
        state = "none"
        try:
            state = "none" if read_config(layer.file) is None else "valid"
        except ConfigError as error:
            state = "not valid"
            problems += str(error).splitlines()
        files.append(
            {"layer": layer.name, "file": layer.file, "shown": layer.shown, "state": state}
        )
    policy = load_policy(layers, paths.policy_file(env, found))
    if json:
        budgets = [
            {
                "name": budget.name,
                "per": budget.per,
                "unit": budget.unit,
                "limit": messages.usd6(budget.limit) if budget.unit == "usd" else budget.limit,
                "warn_at": list(budget.warn_at),
                "on_exceed": budget.on_exceed,
                "source": budget.source._asdict(),
            }
            for budget in policy.budgets
        ]
        typer.echo(
            json_module.dumps({"files": files, "problems": problems, "budgets": budgets}, indent=2)
        )
    else:
        for file in files:
            typer.echo(f"{file['state']:<10} {file['shown']} ({file['layer']})")
        for problem in problems:
            typer.echo(f"  {problem}")
        if problems and policy.budgets:
            typer.echo("What holds, with the last valid version of what is not valid:")
        for budget in policy.budgets:
            limit = messages.amount(budget.limit, budget.unit)
            unit = "" if budget.unit == "usd" else f" {budget.unit.replace('_', ' ')}"
            warns = ", ".join(f"{mark * 100:g} %" for mark in budget.warn_at) or "never"
            source = f"{budget.source.shown}, {budget.source.key}"
            typer.echo(
                f"{budget.name}: {limit}{unit} per {budget.per}, warns at {warns},"
                f" then {budget.on_exceed}s, from {source} ({budget.source.layer})"
            )
        if not policy.budgets:
            typer.echo("No budgets hold here. `budget init` writes .claude/budget.toml.")
    if problems:
        raise typer.Exit(3)
