"""Tables for people, with rich."""

import sys
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from budget import advice_words, messages
from budget.model import PICO, Spend, Verdict
from budget.report import PERIOD_NAMES, Report
from budget.status import Standing, incident_line, shown_path

_STYLES = {"ok": "green", "warned": "yellow", "exceeded": "bold red"}
_STATES = {"ok": "", "warned": " warning", "exceeded": " USED UP"}
_BAR_WIDTH = 10
_SHORTEST_KEY = 10
_PIPE_WIDTH = 1_000
"""Wider than any row: in a pipe nothing is cut, and there is no width to keep to."""


def show_status(standing: Standing, console: Console) -> None:
    """Every budget as a row, and below them what the project has spent in all."""
    root = standing.project.root
    console.print(f"[bold]Budgets[/bold] of {escape(shown_path(root))}")
    if standing.verdicts:
        console.print(_budgets(standing))
    elif any("Until this is mended" in each for each in standing.policy.problems):
        console.print("No budget holds: the config below has to be mended first.")
    else:
        console.print(
            "No budgets are set. [bold]budget init[/bold] writes .claude/budget.toml,"
            " for example [bold]budget init --session 5 --day 20[/bold]."
        )
    total = standing.total
    unattributed = total.unattributed_picousd
    console.print(
        f"In all: {messages.money(total.picousd + unattributed)}, {total.steps:,} steps,"
        f" {total.tokens:,} tokens"
        + (f" ({messages.money(unattributed)} unattributed)." if unattributed else "."),
        highlight=False,
    )
    if standing.burn and standing.burn.per_hour:
        console.print(f"Now: {advice_words.burn(standing.burn)}", highlight=False)
    for notice in _notices(standing):
        console.print(f"[yellow]![/yellow] {escape(notice)}", highlight=False)


def _budgets(standing: Standing) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("budget")
    for column in ("spent", "limit", "left"):
        table.add_column(column, justify="right")
    for column in ("", "", "resets", "set in"):
        table.add_column(column)
    for verdict in standing.verdicts:
        table.add_row(*_row(verdict, standing))
    return table


def _row(verdict: Verdict, standing: Standing) -> list[str]:
    budget = verdict.budget
    style = _STYLES[verdict.state]
    filled = min(_BAR_WIDTH, int(verdict.fraction * _BAR_WIDTH))
    name = messages.budget_label(budget)
    spent, limit = messages.spent_of(verdict).split(" of ", 1)
    bar = f"[{style}]{'█' * filled}[/{style}][dim]{'░' * (_BAR_WIDTH - filled)}[/dim]"
    state = _STATES[verdict.state]
    if standing.stopped(verdict) and not verdict.exceeded:
        style, state = "red", " stopped"
    share = f"[{style}]{messages.percent(verdict)}{state}[/{style}]"
    resets = messages.resets(verdict, standing.policy, standing.now_ms)
    for explained in (" (", ", as "):
        resets = resets.partition(explained)[0]
    left = messages.left(verdict)
    return [escape(name), spent, limit, left, bar, share, resets, escape(budget.source.shown)]


def _notices(standing: Standing) -> list[str]:
    notices = [*standing.problems, *map(messages.held, standing.policy.held)]
    notices += [standing.grant_line(grant) for grant in standing.grants]
    notices += [incident_line(event) for event in standing.incidents]
    notices += [f"{each.budget.name}: {each.note}." for each in standing.verdicts if each.note]
    notices += [
        f"{each.budget.name}: {messages.reserved(each)} is held for steps under way."
        for each in standing.verdicts
        if each.reserved
    ]
    if standing.total.unpriced_steps:
        models = ", ".join(standing.unpriced_models)
        notices.append(
            f"{standing.total.unpriced_steps} steps of unknown models have no price: {models}."
            f" Budgets count them at the dearest known rates,"
            f" {messages.money(standing.total.bound_picousd)} at most."
        )
    if standing.bad_lines:
        notices.append(
            f"{standing.bad_lines} damaged lines of transcripts could not be counted:"
            " what is shown may be too low."
        )
    return notices


def show_report(report: Report, by: str, nothing: str) -> None:
    """A row per key: cost, share, steps, tokens by kind, how much of the prompts was cached.

    A terminal too narrow for a long id shows its beginning: the figures come first. In a pipe
    nothing is cut. `nothing` is said where there are no rows.
    """
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    if not report.rows:
        console.print(nothing, highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True)
    total = report.total
    footer = ["total", *_report_row(total, total)]
    names = (
        PERIOD_NAMES.get(by, by),
        "cost",
        "share",
        "steps",
        "in",
        "out",
        "read",
        "written",
        "cached",
    )
    for name, foot in zip(names, footer, strict=True):
        justify: Literal["left", "right"] = "right" if table.columns else "left"
        table.add_column(name, footer=foot, justify=justify, footer_style="bold", no_wrap=True)
    rows = [(key, _report_row(spend, total)) for key, spend in report.rows.items()]
    columns = zip(names[1:], footer[1:], *(figures for _, figures in rows), strict=True)
    taken = sum(2 + max(map(len, column)) for column in columns)
    longest = max(_SHORTEST_KEY, console.width - taken)
    for key, figures in rows:
        shown = key if len(key) <= longest else f"{key[: longest - 1]}…"
        table.add_row(escape(shown), *figures)
    console.print(table, highlight=False)
    if total.unattributed_picousd:
        amount = messages.money(total.unattributed_picousd)
        console.print(f"{amount} of it is unattributed: the client counted it beyond the steps.")
    if total.unpriced_steps:
        models = escape(", ".join(report.unpriced_models))
        steps = f"{total.unpriced_steps:,} steps of unknown models are not in the cost: {models}."
        console.print(f"[yellow]![/yellow] {steps}")
    if report.skipped_lines:
        console.print(f"[yellow]![/yellow] {report.skipped_lines} damaged lines are not counted.")
    for line in report.grants:
        console.print(f"Granted: {escape(line)}")


def _report_row(spend: Spend, total: Spend) -> list[str]:
    cost = spend.picousd + spend.unattributed_picousd
    whole = total.picousd + total.unattributed_picousd
    prompt = spend.input_tokens + spend.cache_read_tokens + spend.cache_write
    return [
        messages.money(cost, 2 if cost >= PICO else 4),
        messages.share(cost, whole),
        f"{spend.steps:,}",
        *(
            _short(count)
            for count in (
                spend.input_tokens,
                spend.output_tokens,
                spend.cache_read_tokens,
                spend.cache_write,
            )
        ),
        messages.share(spend.cache_read_tokens, prompt),
    ]


def _short(count: int) -> str:
    """Three to four digits with a unit: `950`, `27.3 M`. Exact numbers are in --json and --csv."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.{1 if count < 100 * size else 0}f} {unit}"
    return str(count)
