"""The parser of the `budget` command: what its subcommands are called and the order of the help."""

import typer

from budget import __version__
from budget.cli import (
    allow,
    check,
    dashboard,
    doctor,
    explain,
    export,
    import_,
    init,
    install,
    prices,
    rebuild,
    reconcile,
    report,
    run,
    simulate,
    statusline,
    verify,
    watch,
    wording,
)
from budget.cli import status as status_command

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
app.command("dashboard")(dashboard.dashboard)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.command("reconcile")(reconcile.reconcile)
app.command("verify")(verify.verify)
app.command("rebuild")(rebuild.rebuild)
app.command("prices")(prices.prices)
app.command("allow")(allow.allow)
app.command("check")(check.check)
app.command("explain")(explain.explain)
app.command("simulate")(simulate.simulate)
app.command("doctor")(doctor.doctor)
app.command("watch")(watch.watch)
app.command("statusline")(statusline.statusline)
for each in app.registered_commands:
    each.cls = wording.Command


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
