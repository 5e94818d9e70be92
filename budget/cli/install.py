"""`budget install` and `budget uninstall`: hooks and status line in settings.json."""

import enum
from typing import Annotated

import typer

from budget.cli import options
from budget.cli.place import check_inside


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
    statusline: Annotated[
        bool | None,
        typer.Option(
            "--statusline/--no-statusline",
            help="The status line alone, beside the one you have; asks first.",
        ),
    ] = None,
    hooks: Annotated[
        bool | None,
        typer.Option("--hooks/--no-hooks", help="Without hooks: for use beside the plugin."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree beforehand.")] = False,
    project: options.Project = ".",
) -> None:
    """Put the hooks and the status line into settings.json.

    What is there stays, a copy is kept, and installing again changes nothing. The plugin brings
    the same hooks: one of the two is enough, both count nothing twice. A status line of your own
    is left alone, unless you ask for ours beside it with --statusline.
    """
    from budget import settings

    env, found = options.environment(), options.find(project)
    path = settings.settings_file(env, found, scope.value)
    if scope is not Scope.user:
        check_inside(path, found)
    with_hooks = hooks if hooks is not None else not statusline
    if statusline and not _agreed(settings.preview(path), path, yes):
        typer.echo("Nothing was changed.")
        return
    change = settings.install(path, strict, statusline is not False, with_hooks, bool(statusline))
    _tell(change, "Installed in", "Already installed in")
    if change.statusline == "kept":
        typer.echo("Your own status line stays as it is. To have both: budget install --statusline")
    typer.echo("Sessions that are running take it up when they start anew.")
    if scope is Scope.project:
        typer.echo(
            "The commands name this machine's Python: others need the plugin, or install it"
            " themselves with --scope local."
        )


def _agreed(preview: "settings.Preview", path: str, yes: bool) -> bool:  # type: ignore[name-defined]  # noqa: F821
    """Shows what changes in the status line and asks. Raises `OptionError` where nobody can."""
    import sys

    from budget.errors import OptionError

    if preview.before == preview.after or yes:
        return True
    typer.echo(f"The status line in {path}")
    typer.echo(f"  now:   {_shown(preview.before)}")
    typer.echo(f"  after: {_shown(preview.after)}")
    if preview.before is not None:
        typer.echo("Yours goes on: its rows come first. `budget uninstall` restores it exactly.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise OptionError(
            "nothing was changed: `budget install --statusline` asks before it changes a status"
            " line, and there is no terminal to ask on. Add --yes to agree beforehand."
        )
    return typer.confirm("Change it?")


def _shown(value: object) -> str:
    import json

    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def uninstall(scope: ScopeOption = Scope.user, project: options.Project = ".") -> None:
    """Take the hooks and the status line out of settings.json. Ledgers and configs stay."""
    from budget import settings

    env, found = options.environment(), options.find(project)
    change = settings.uninstall(settings.settings_file(env, found, scope.value))
    _tell(change, "Removed from", "Nothing of budget is in")
    if change.statusline == "restored":
        typer.echo("Your own status line is what it was.")


def _tell(change: "settings.Change", done: str, nothing: str) -> None:  # type: ignore[name-defined]  # noqa: F821
    typer.echo(f"{done if change.changed else nothing} {change.file}.")
    if change.backup:
        typer.echo(f"The file as it was: {change.backup}")
