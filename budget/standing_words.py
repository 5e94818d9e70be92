"""How budgets stand and what was spent, as plain text for the client's screen. Pure.

A row begins with its figure and can be read without its columns: where letters are not of one width
nothing is lost. Rows fit a terminal of 80 columns, of which the client leaves 70 (2.1.332).
"""

from __future__ import annotations

from collections.abc import Sequence

from budget.lean import NamedTuple
from budget.messages import (
    amount_words,
    left,
    left_of,
    money,
    over,
    percent,
    resets,
    rounded,
    share,
    spent_of,
)
from budget.model import PICO, Budget, Policy, Verdict

WIDTH = 68
_BAR_WIDTH = 10


class Row(NamedTuple):
    """One line of a report."""

    picousd: int
    steps: int
    what: str


def bar(verdict: Verdict, filled: str = "█", empty: str = "░") -> str:
    """How much of a budget is spent."""
    full = min(_BAR_WIDTH, int(verdict.fraction * _BAR_WIDTH))
    return filled * full + empty * (_BAR_WIDTH - full)


def session_line(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """What is left, in one line, at the start of a session."""
    parts = []
    for verdict in verdicts:
        budget = verdict.budget
        rest = amount_words(verdict.left, budget)
        if budget.unit == "usd":
            rest = left(verdict)
        part = f"{budget.name} {rest} left" if verdict.known else f"{budget.name} not known yet"
        if verdict.window.resets_at_ms is not None:
            part += f" (resets {resets(verdict, policy, now_ms).partition(' (')[0]})"
        parts.append(part)
    return "budget: " + " · ".join(parts) + "."


def status_text(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """All budgets: what `/budget:status` answers."""
    if not verdicts:
        return "No budgets are set for this project. `budget init` writes .claude/budget.toml."
    widest = max(len(verdict.budget.name) for verdict in verdicts)
    lines = []
    for verdict in verdicts:
        drawn = f"{bar(verdict)} {percent(verdict):>5}" if verdict.known else " " * 16
        start = f"{verdict.budget.name:<{widest}}  {drawn}  "
        lines += _wrapped(start, _told(verdict, policy, now_ms))
    return "\n".join(lines)


def _told(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """`$0.72 of $10.00 left, resets at 00:00`."""
    budget = verdict.budget
    if not verdict.known:
        return verdict.note
    told = [f"USED UP, {spent_of(verdict)}" if verdict.exceeded else left_of(verdict)]
    if budget.name != budget.per or budget.filtered or budget.scope != "project":
        told += filter(None, [over(budget).strip(" ,")])
    if verdict.window.resets_at_ms is not None or _is_level(budget):
        told.append(f"resets {resets(verdict, policy, now_ms).partition(' (')[0]}")
    told += [verdict.note] * bool(verdict.note)
    return ", ".join(told)


def _is_level(budget: Budget) -> bool:
    return budget.unit == "context_tokens"


def _wrapped(start: str, text: str) -> list[str]:
    """A line that begins so, its rest below itself where it is too long for one."""
    from textwrap import wrap  # only where a person asks

    if len(start) > WIDTH // 2:  # a long name: what is told of it goes below
        return [start.rstrip(), *wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")]
    indent = " " * len(start)
    return wrap(text, WIDTH, initial_indent=start, subsequent_indent=indent)


def report(title: str, whole: int, steps: int, groups: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """What was spent in some time, by kinds of work: what `/budget:report` answers."""
    if not whole and not steps:
        return f"{title}: nothing was spent in this project (no request made)."
    lines = [f"{title}: {rounded(whole)} in {steps:,} steps (no request made)."]
    every = [row for _, rows in groups for row in rows]
    digits = 2 if whole >= PICO else 4
    costs = [_cost(row.picousd, digits) for row in every]
    width = max(map(len, costs), default=0)
    counted = max((len(f"{row.steps:,}") for row in every), default=0)
    for heading, rows in groups:
        if rows:
            lines += ["", heading]
        for row in rows:
            part = share(row.picousd, whole)
            number = f"{row.steps:,}" if row.steps else ""
            unit = ("step " if row.steps == 1 else "steps") if row.steps else "     "
            start = (
                f"{_cost(row.picousd, digits):>{width}}  {part:>5}  {number:>{counted}} {unit}  "
            )
            lines += _wrapped(start, row.what)
    return "\n".join(lines)


def _cost(picousd: int, digits: int) -> str:
    """In these decimals, and in more where they would say nothing."""
    return money(picousd, digits if picousd >= PICO // 100 or not picousd else 0)
