"""`budget install` and `budget uninstall`: hooks and status line in settings.json."""

import enum
from typing import Annotated

import typer

from budget.cli import options


class Scope(enum.StrEnum):
    user = "user"
    project = "project"
    local = "local"


ScopeOption = Annotated[
    Scope,
    typer.Option(
        metavar="SCOPE",
        help="user: all your projects; project: this repository, committed; local: only you, here.",
    ),
]


def install(
    scope: ScopeOption = Scope.user,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop work when budgets cannot be enforced.")
    ] = False,
    statusline: Annotated[bool, typer.Option(help="Set the status line too.")] = True,
    hooks: Annotated[
        bool, typer.Option(help="Without them it is the status line only, beside the plugin.")
    ] = True,
    project: options.Project = ".",
) -> None:
    """Put the hooks and the status line into settings.json.

    What is there stays, a copy is kept, and installing again changes nothing. The plugin brings
    the same hooks: one of the two is enough, both count nothing twice.
    """
    from budget import settings

    env, found = options.environment(), options.find(project)
    path = settings.settings_file(env, found, scope.value)
    change = settings.install(path, strict, statusline, hooks)
    _tell(change, "Installed in", "Already installed in")
    if change.statusline == "kept":
        typer.echo("Your own status line stays as it is.")
    typer.echo("Sessions that are running take it up when they start anew.")
    if scope is Scope.project:
        typer.echo(
            "The commands name this machine's Python: others need the plugin, or install it"
            " themselves with --scope local."
        )


def uninstall(scope: ScopeOption = Scope.user, project: options.Project = ".") -> None:
    """Take the hooks and the status line out of settings.json. Ledgers and configs stay."""
    from budget import settings

    env, found = options.environment(), options.find(project)
    change = settings.uninstall(settings.settings_file(env, found, scope.value))
    _tell(change, "Removed from", "Nothing of budget is in")


def _tell(change: "settings.Change", done: str, nothing: str) -> None:  # type: ignore[name-defined]  # noqa: F821
    typer.echo(f"{done if change.changed else nothing} {change.file}.")
    if change.backup:
        typer.echo(f"The file as it was: {change.backup}")
