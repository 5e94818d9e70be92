"""What `budget import` does, without its parser."""

import os
import sys
from json import dumps

from budget import history, paths
from budget.cli import place
from budget.errors import BudgetError


def run(project: str = "", path: str = "", json: bool = False) -> None:
    """Raises `BudgetError` where there is nothing to import."""
    env = place.environment()
    root = path or os.path.join(paths.claude_folder(env), "projects")
    if not os.path.isdir(root):
        raise BudgetError(f"{root} is not a folder: there is nothing to import.")
    sessions = list(history.find_sessions(root))
    if project:
        only = place.find(project).key
        sessions = [each for each in sessions if paths.find_project(each.folder).key == only]
    if json:
        summary = history.import_sessions(sessions, env, place.now_ms())
        print(dumps(summary._asdict(), indent=2))
        return
    summary = _with_progress(sessions, env)
    print(
        f"{summary.sessions:,} sessions of {summary.projects:,} projects,"
        f" {summary.files:,} files ({summary.read_files:,} with something new,"
        f" {summary.bytes_read / 1e6:,.1f} MB read)."
    )
    print(f"{summary.new_steps:,} steps booked.")
    if summary.unpriced_models:
        models = ", ".join(summary.unpriced_models)
        print(f"! Without a price: {models}. `budget report model` shows how many steps.")
    if summary.bad_lines:
        print(f"! {summary.bad_lines:,} damaged lines were skipped.")
    for text in summary.unreadable:
        print(f"! {text}")


def _with_progress(sessions: list[history.Session], env: dict[str, str]) -> history.Summary:
    if not sys.stderr.isatty():
        return history.import_sessions(sessions, env, place.now_ms())
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
            sessions, env, place.now_ms(), lambda done: progress.advance(task, done)
        )
