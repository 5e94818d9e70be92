"""`budget watch`: what runs now and what it costs, live."""

import sys
from typing import Annotated

import typer

from budget.cli import options


def watch(
    project: options.Project = ".",
    everything: Annotated[
        bool, typer.Option("--all", help="All projects of this machine.")
    ] = False,
    window: Annotated[
        str, typer.Option(metavar="WINDOW", help="hour, day, week, month or session.")
    ] = "day",
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Lines instead of a screen: for pipes, logs and screen readers."
        ),
    ] = False,
    theme: Annotated[
        str, typer.Option(metavar="THEME", help="light, dark, or auto: what the terminal tells.")
    ] = "auto",
    json: options.Json = False,
) -> None:
    """Watch live what runs and what it costs: sessions, agents, budgets, steps as they are booked.

    It only looks: nothing is written, and no hook waits for it. Keys are shown on the screen;
    ? explains them. Into a pipe, or with --plain, it prints a line for each thing that happens.
    """
    from budget import system
    from budget.watch.facts import WINDOWS, Choice

    if window not in WINDOWS:
        raise typer.BadParameter(f"--window is one of {', '.join(WINDOWS)}, not {window!r}.")
    if theme not in ("auto", "light", "dark"):
        raise typer.BadParameter(f"--theme is light, dark or auto, not {theme!r}.")
    env, here = options.environment(), options.find(project)
    choice = Choice("" if everything else here.key, window)
    dumb = env.get("TERM", "") in ("dumb", "unknown") and not system.is_windows()
    if not (plain or json) and dumb and sys.stdout.isatty():
        typer.echo(
            f"budget watch: this terminal (TERM={env['TERM']}) shows no full screen, so it prints"
            " lines. Ctrl+C ends it.",
            err=True,
        )
    if plain or json or dumb or not (sys.stdout.isatty() and sys.stdin.isatty()):
        from budget.watch.plain import run as run_plain

        run_plain(env, here, choice, _write, json)
    else:
        from budget.watch.app import run

        run(env, here, choice, theme == "light" or (theme == "auto" and _is_light(env)))


def _write(line: str) -> None:
    print(line, flush=True)


def _is_light(env: dict[str, str]) -> bool:
    """What terminals that tell their colours say: `COLORFGBG=0;15` is black on white."""
    return env.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
