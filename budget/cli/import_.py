"""`budget import`: books the sessions that are already there."""

import json as json_module
from typing import Annotated

import typer

from budget.cli import options


def import_(
    project: Annotated[
        str, typer.Option("--project", metavar="DIR", help="Only the sessions of this project.")
    ] = "",
    path: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="A folder like ~/.claude/projects."),
    ] = "",
    json: options.Json = False,
) -> None:
    """Book existing transcripts, of all projects or of one. Running it again books nothing twice.

    What is booked stays in the ledger when the client deletes transcripts after 30 days.
    """
    import os

    from budget import history, paths
    from budget.errors import BudgetError

    env = options.environment()
    root = path or os.path.join(paths.claude_folder(env), "projects")
    if not os.path.isdir(root):
        raise BudgetError(f"{root} is not a folder: there is nothing to import.")
    sessions = list(history.find_sessions(root))
    if project:
        only = options.find(project).key
        sessions = [each for each in sessions if paths.find_project(each.folder).key == only]
    if json:
        summary = history.import_sessions(sessions, env, options.now_ms())
        typer.echo(json_module.dumps(summary._asdict(), indent=2))
        return
    summary = _with_progress(sessions, env)
    typer.echo(
        f"{summary.sessions:,} sessions of {summary.projects:,} projects,"
        f" {summary.files:,} files ({summary.read_files:,} with something new,"
        f" {summary.bytes_read / 1e6:,.1f} MB read)."
    )
    typer.echo(f"{summary.new_steps:,} steps booked.")
    if summary.unpriced_models:
        models = ", ".join(summary.unpriced_models)
        typer.echo(f"! Without a price: {models}. `budget report model` shows how many steps.")
    if summary.bad_lines:
        typer.echo(f"! {summary.bad_lines:,} damaged lines were skipped.")
    for text in summary.unreadable:
        typer.echo(f"! {text}")


def _with_progress(sessions: "list[history.Session]", env: dict[str, str]) -> "history.Summary":  # type: ignore[name-defined]  # noqa: F821
    import sys

    from budget import history

    if not sys.stderr.isatty():
        return history.import_sessions(sessions, env, options.now_ms())
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{len(sessions)} sessions", total=history.size_of(sessions))
        return history.import_sessions(
            sessions, env, options.now_ms(), lambda done: progress.advance(task, done)
        )
