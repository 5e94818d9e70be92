"""`budget check`: are the configs valid, and what holds when they are merged."""

import json as json_module
from typing import TYPE_CHECKING, Any

import typer

from budget import pipeline
from budget.cli import options
from budget.errors import ConfigError

if TYPE_CHECKING:
    from budget.model import Budget, Policy


def check(project: options.Project = ".", json: options.Json = False) -> None:
    """Validate every config and policy, and show what holds and where each rule comes from.

    Exits with 3 when a file is not valid, or a budget that a policy requires is missing.
    """
    from budget import paths
    from budget.policy import read_layer

    env, found = options.environment(), options.find(project)
    files, problems = [], []
    for layer in pipeline.layers(env, found):
        state = "none"
        try:
            state = "none" if read_layer(layer) is None else "valid"
        except ConfigError as error:
            state = "not valid"
            problems += str(error).splitlines()
        files.append(
            {"layer": layer.name, "file": layer.file, "shown": layer.shown, "state": state}
        )
    policy = pipeline.policy_of(env, found)
    told = "\n".join(problems)
    problems += [each for each in policy.problems if each.partition("\n")[0] not in told]
    person = paths.person(env, found)
    if json:
        facts = {
            "files": files,
            "problems": problems,
            "person": person,
            "on_error": policy.on_error,
            "max_grant_usd": _max_grant(policy),
            "budgets": [_facts(budget) for budget in policy.budgets],
        }
        typer.echo(json_module.dumps(facts, indent=2))
    else:
        _show(files, problems, policy, person)
    if problems:
        raise typer.Exit(3)


def _max_grant(policy: "Policy") -> str | None:
    from budget.messages import usd6

    return None if policy.max_grant is None else usd6(policy.max_grant)


def _facts(budget: "Budget") -> dict[str, Any]:
    from budget import messages

    return {
        "name": budget.name,
        "per": budget.per,
        "scope": budget.scope,
        "unit": budget.unit,
        "limit": messages.usd6(budget.limit) if budget.unit == "usd" else budget.limit,
        "warn_at": list(budget.warn_at),
        "on_exceed": budget.on_exceed,
        "stop": budget.stop,
        "models": list(budget.models),
        "agents": list(budget.agents),
        "branches": list(budget.branches),
        "timezone": budget.timezone,
        "source": budget.source._asdict(),
    }


def _show(files: list[dict[str, str]], problems: list[str], policy: "Policy", person: str) -> None:
    from budget import messages

    for file in files:
        # What is not there is named where a person would look for it, not each of many.
        if file["state"] != "none" or file["layer"] in ("user", "repo"):
            typer.echo(f"{file['state']:<10} {file['shown']} ({file['layer']})")
    absent = [file["shown"] for file in files if file["state"] == "none"]
    others = [each for each in absent if each not in ("~/.claude/budget.toml", _REPO)]
    if others:
        typer.echo(f"not there  {', '.join(others)}")
    for problem in problems:
        for line in problem.splitlines():
            typer.echo(f"  {line}")
    if problems and policy.budgets:
        typer.echo("What holds, with the last valid version of what is not valid:")
    for budget in policy.budgets:
        typer.echo(_line(budget))
    if not policy.budgets:
        what = "what is said above has to be mended first" if problems else _BEGIN
        typer.echo(f"No budgets hold here: {what}.")
    if policy.on_error == "block":
        typer.echo("Work stops when budgets cannot be enforced (on_error).")
    if policy.max_grant is not None:
        most = messages.money(policy.max_grant)
        what = "Grants are forbidden" if not policy.max_grant else f"Grants: at most {most} each"
        typer.echo(f"{what}, from {policy.max_grant_source}.")
    if any("groups." in budget.source.key for budget in policy.budgets):
        typer.echo(f"Groups are those of {person}.")


_REPO = ".claude/budget.toml"
_BEGIN = "`budget init` writes .claude/budget.toml"


def _line(budget: "Budget") -> str:
    from budget import messages

    limit = messages.amount(budget.limit, budget.unit)
    unit = "" if budget.unit == "usd" else f" {budget.unit.replace('_', ' ')}"
    warns = ", ".join(f"{mark * 100:g} %" for mark in budget.warn_at) or "never"
    scope = "" if budget.scope == "project" else f" and {budget.scope}"
    only = [*budget.models, *budget.agents, *budget.branches]
    filters = f" on {', '.join(only)}" if only else ""
    source = f"{budget.source.shown}, {budget.source.key}"
    return (
        f"{budget.name}: {limit}{unit} per {budget.per}{scope}{filters}, warns at {warns},"
        f" then {budget.on_exceed}s, from {source} ({budget.source.layer})"
    )
