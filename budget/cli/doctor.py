"""`budget doctor`: does it really hold on this machine."""

import json as json_module

import typer

from budget.cli import options


def doctor(project: options.Project = ".", json: options.Json = False) -> None:
    """Try the installed hooks on a used-up budget, and check all they rely on.

    Exits with 3 when something is broken.
    """
    from rich.console import Console
    from rich.markup import escape

    from budget.doctor import examine

    findings = examine(options.environment(), options.find(project))
    if json:
        typer.echo(json_module.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        console = Console(highlight=False)
        marks = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]"}
        for finding in findings:
            mark = marks.get(finding.state, "[bold red]FAIL[/bold red]")
            console.print(f"{mark}  [bold]{finding.what}[/bold]: {escape(finding.detail)}")
            if finding.remedy:
                console.print(f"      [dim]mend it:[/dim] {escape(finding.remedy)}")
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(3)
