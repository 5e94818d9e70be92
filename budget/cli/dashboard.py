"""`budget dashboard`: what was spent and what budgets did, as a page with charts."""

import os
import sys
import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from budget.cli import options
from budget.errors import BudgetError, OptionError

if TYPE_CHECKING:
    from budget.dashboard.facts import Scope


def dashboard(
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Write the page to FILE; - prints it.")
    ] = "",
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine, live, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="With --serve: the port; default: any free one.", min=0, max=65535)
    ] = 0,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    since: Annotated[
        str, typer.Option(metavar="DATE", help="First day: 2026-11-23, yesterday.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="Last day.")] = "",
    timezone: Annotated[
        str, typer.Option(help="Where days begin; default: the config's, else the system's.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    project: options.Project = ".",
    json: options.Json = False,
) -> None:
    """Show what was spent, on what, and what budgets did, as a page with charts.

    The file of --out needs nothing else: it can be kept, mailed and opened without a network.
    --serve shows the same on this machine only, and follows what is booked.
    """
    if serve and (out or json):
        raise typer.BadParameter("--serve goes without --out and --json.")
    if not (serve or out or json):
        raise typer.BadParameter("Say where the page goes: --out budget.html, or --serve.")
    if port and not serve:
        raise typer.BadParameter("--port belongs to --serve.")
    if open_it and not serve and out in ("", "-"):
        raise typer.BadParameter("--open needs --serve or --out FILE.")
    from budget.dashboard import facts, render

    scope = _scope(project, every, since, until, timezone)
    facts.add_up(scope)
    if serve:
        _serve(scope, port, open_it)
        return
    told = facts.collect(scope, options.now_ms())
    if json:
        typer.echo(render.as_json(told))
    if out == "-":
        typer.echo(render.page(told))
    elif out:
        _write(out, render.page(told))
        typer.echo(f"Written to {out}: open it in a browser.", err=json)
        if open_it:
            _open(f"file://{os.path.abspath(out)}")


def _scope(project: str, every: bool, since: str, until: str, timezone: str) -> "Scope":
    from budget.cli import days
    from budget.cli.show_report import zone_of
    from budget.dashboard.facts import Scope

    env, found = options.environment(), options.find(project)
    try:
        name, tz = zone_of(timezone, env, found)
        first, last = days.period(since, until, tz)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from None
    return Scope(env, found, every, first, last, name, tz)


def _serve(scope: "Scope", port: int, open_it: bool) -> None:
    """Until Ctrl-C, which ends it as any other command: with 130."""
    import signal
    import threading

    from budget.dashboard.serve import Server

    if hasattr(signal, "SIGPIPE"):
        # Of a command whose reader goes away it is the end; a browser that does is none of ours.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    server = Server(scope, options.now_ms, port)
    server.start()
    try:
        typer.echo(f"The page is at {server.address}")
        typer.echo("It is for this machine and whoever has the address. Ctrl-C ends it.")
        sys.stdout.flush()
        if open_it:
            _open(server.address)
        never = threading.Event()
        while not never.wait(0.5):
            pass  # a wait without an end keeps Ctrl-C waiting on Windows
    finally:
        server.end()


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        typer.echo("No browser was found: open it by hand.", err=True)


def _write(path: str, text: str) -> None:
    """Whole or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        # By a name that nobody can guess: the folder may be one that others write to, too.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        raise BudgetError(f"{path} cannot be written: {error.strerror}.") from error
