"""The `budget` command: one module per subcommand, and the one place where errors end."""

import os
import signal
import sys

import typer

from budget import __version__
from budget.cli import (
    allow,
    check,
    doctor,
    explain,
    export,
    import_,
    init,
    install,
    options,
    prices,
    reconcile,
    report,
    run,
    simulate,
    statusline,
)
from budget.cli import status as status_command
from budget.errors import BudgetError

app = typer.Typer(
    name="budget",
    help="Budgets for Claude Code: every step counted once, work stopped when the money is used up."
    "\n\nStart with: budget init --session 5 --day 20",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("install")(install.install)
app.command("uninstall")(install.uninstall)
app.command("status")(status_command.status)
app.command("report")(report.report)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.command("reconcile")(reconcile.reconcile)
app.command("prices")(prices.prices)
app.command("allow")(allow.allow)
app.command("check")(check.check)
app.command("explain")(explain.explain)
app.command("simulate")(simulate.simulate)
app.command("doctor")(doctor.doctor)
app.command("statusline")(statusline.statusline)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"budget {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Exit codes: 0 fine, 1 a budget is exceeded, 2 wrong usage, 3 an expected error, 4 a bug."""
    options.callers_umask = os.umask(0o077)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that goes away ends it quietly
    try:
        app()
    except BudgetError as error:
        typer.echo(f"budget: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the boundary: a bug is reported, not thrown at people
        from budget.bug_report import log_bug

        typer.echo(f"budget: {log_bug(error, dict(os.environ), ' '.join(sys.argv[1:2]))}", err=True)
        sys.exit(4)
