"""`budget doctor`: does it really hold on this machine."""

import textwrap
from typing import TYPE_CHECKING

import typer

from budget.cli import options
from budget.files import printable

if TYPE_CHECKING:
    from rich.console import Console

    from budget.doctor import Examination, Finding

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}
_INDENT = 18


def doctor(project: options.Project = ".", json: options.Json = False) -> None:
    """Try the installed hooks on a used-up budget, and check all they rely on.

    Says what is broken and which command mends it. It leaves nothing behind and changes no count.
    Exits with 3 when something is broken.
    """
    from rich.console import Console

    from budget.doctor import examine

    env, found, now_ms = options.environment(), options.find(project), options.now_ms()
    if json:
        examination = examine(env, found, now_ms)
        typer.echo(examination.model_dump_json(indent=2))
    else:
        waiting = Console(stderr=True)
        with waiting.status("looking at the installation ...") as status:
            examination = examine(env, found, now_ms, lambda text: status.update(f"{text} ..."))
        _show(Console(highlight=False), examination)
    if examination.state == "fail":
        raise typer.Exit(3)


def _show(console: "Console", examination: "Examination") -> None:
    group = ""
    for each in examination.findings:
        if each.group != group:
            group = each.group
            console.print(f"\n[bold]{group}[/bold]")
        _show_finding(console, each)
    broken, doubtful = len(examination.broken), len(examination.doubtful)
    fine = len(examination.findings) - broken - doubtful
    counts = [f"[green]{fine} fine[/green]"]
    if doubtful:
        counts.insert(0, f"[yellow]{doubtful} to look at[/yellow]")
    if broken:
        counts.insert(0, f"[bold red]{broken} broken[/bold red]")
    verdict = "Budgets hold here."
    if broken:
        verdict = "Budgets may not hold here."
    elif any(each.id == "config.budgets" for each in examination.doubtful):
        verdict = "Steps are counted here, and no budget stops anything."
    console.print(f"\n{verdict} {', '.join(counts)}. [dim]{examination.seconds:.1f} s[/dim]")


def _show_finding(console: "Console", each: "Finding") -> None:
    from rich.text import Text

    def lines(text: str, style: str) -> None:
        width = max(console.width - _INDENT, 30)
        for line in text.splitlines():
            wrapped = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
            parts.extend((part, style) for part in wrapped)

    parts: list[tuple[str, str]] = []
    lines(each.detail, "")
    for said in each.said:
        # What it said is long: the first line tells that it spoke, all of it is in --json.
        first = said.splitlines()[0]
        lines(f"It said: {first}" if each.state == "ok" else f"It said: {said}", "dim")
    lines(each.advice, "dim")
    mark, style = _MARKS[each.state]
    loud = "" if each.state == "ok" else "bold"
    for number, (part, dim) in enumerate(parts):
        head = [(mark, style), (f" {each.what:<{_INDENT - 3}} ", loud)]
        line = Text.assemble(*(head if number == 0 else [" " * _INDENT]), (printable(part), dim))
        console.print(line, soft_wrap=True)
    for command in each.mend:  # whole, so that it can be copied
        line = Text.assemble(" " * _INDENT, ("$ ", "dim"), (printable(command), "cyan"))
        console.print(line, soft_wrap=True)
