"""What budget says, word for word: what happened with its numbers, from where, what to do. Pure."""

from datetime import datetime

from budget.model import PICO, Policy, Verdict
from budget.windows import local_time, zone

_UNIT_WORDS = {
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cache_read_tokens": "cache-read tokens",
    "cache_write_tokens": "cache-write tokens",
    "steps": "steps",
}
_PERIOD_WORDS = {
    "session": "in this session",
    "hour": "in this hour",
    "day": "today",
    "week": "this week",
    "month": "this month",
    "total": "in all",
}


def money(picousd: int, digits: int = 0) -> str:
    """Dollars for people: as many decimals as it takes, from two to six."""
    digits = digits or _digits(picousd)
    # Rounded down, so that what is spent never looks like a limit it has not reached.
    whole, part = divmod(picousd * 10**digits // PICO, 10**digits)
    return f"${whole}.{part:0{digits}d}"


def _digits(picousd: int) -> int:
    micro = picousd // 10**6
    if micro % 10_000 == 0:
        return 2
    return 4 if micro >= 1_000 or micro % 100 == 0 else 6


def usd6(picousd: int) -> str:
    """Dollars for programs: a decimal string with six places."""
    micro = (picousd + PICO // 10**6 // 2) // 10**6
    return f"{micro // 10**6}.{micro % 10**6:06d}"


def usd6_signed(picousd: int) -> str:
    """As `usd6`, for an amount that may be negative."""
    return usd6(picousd) if picousd >= 0 else f"-{usd6(-picousd)}"


def amount(value: int, unit: str) -> str:
    return money(value) if unit == "usd" else f"{value:,}"


def spent_of(verdict: Verdict) -> str:
    """`$0.0120 of $0.0100` or `1,200 of 1,000 tokens`."""
    unit, limit = verdict.budget.unit, verdict.budget.limit
    if unit == "usd":
        # Below a dollar both have the same decimals, so that they can be compared at a glance.
        digits = max(_digits(verdict.spent), _digits(limit)) if limit < PICO else 0
        return f"{money(verdict.spent, digits)} of {money(limit, digits)}"
    return f"{verdict.spent:,} of {limit:,} {_UNIT_WORDS[unit]}"


def period(per: str) -> str:
    """`today`, `in this session`, `in the last 5h`."""
    return _PERIOD_WORDS.get(per) or f"in the last {per.removeprefix('rolling ')}"


def percent(verdict: Verdict) -> str:
    """Rounded down, so that 100 % means used up."""
    limit = verdict.budget.limit
    return f"{verdict.spent * 100 // limit if limit else 100} %"


def resets(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """When the budget is whole again: `at 00:00 (in 5 h 12 min)`."""
    at_ms = verdict.window.resets_at_ms
    if verdict.budget.per == "session":
        return "with a new session"
    if at_ms is None:
        rolling = verdict.budget.per.startswith("rolling ")
        return "bit by bit, as spending grows older" if rolling else "never"
    tz = zone(verdict.budget.timezone)
    at, now = local_time(at_ms, tz), local_time(now_ms, tz)
    return f"{_clock(at, now)} (in {_duration(at_ms - now_ms)})"


def _clock(at: datetime, now: datetime) -> str:
    days = (at.date() - now.date()).days
    if days <= 1:
        return f"at {at:%H:%M}"
    return f"on {at:%Y-%m-%d} at {at:%H:%M}"


def _duration(milliseconds: int) -> str:
    minutes = max(1, -(-milliseconds // 60_000))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def compact_command(policy: Policy) -> str:
    return f"/compact Focus on {policy.focus}" if policy.focus else "/compact"


def stop(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """Why the work was stopped, and what to do now. For the person."""
    return "\n\n".join(_stop(verdict, policy, now_ms) for verdict in verdicts)


def _stop(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    budget = verdict.budget
    source = budget.source
    key = f"{source.key}.{budget.unit}"
    raise_it = f"raise {key} in {source.shown}"
    if budget.per == "session":
        now = f"/clear starts a new session with a whole budget. To go on in this one, {raise_it}."
    elif budget.per == "total":
        now = f"It never resets: to go on, {raise_it}."
    else:
        now = (
            f"Wait for the reset, or {raise_it}. /clear does not help: it is not a session budget."
        )
    numbers = f"{spent_of(verdict)} {period(budget.per)} ({percent(verdict)})"
    lines = [
        f'Budget "{budget.name}" is used up: {numbers}.',
        f"Set in: {source.shown}, {key} ({source.layer} config).",
        f"Resets: {resets(verdict, policy, now_ms)}.",
        f"Now:    {now}",
    ]
    if budget.message:
        lines.append(f"Note:   {budget.message}")
    return "\n".join(lines)


def prompt_blocked(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    return "This prompt was not sent: no money was spent on it.\n" + stop(verdicts, policy, now_ms)


def warning(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """A mark was passed. For the person."""
    budget = verdict.budget
    text = (
        f'Budget "{budget.name}": {percent(verdict)} is spent, {spent_of(verdict)}'
        f" {period(budget.per)}; {amount(verdict.left, budget.unit)} is left."
        f" It resets {resets(verdict, policy, now_ms)}."
        f" To spend less per step and keep the session: {compact_command(policy)}."
    )
    return f"{text} {budget.message}" if budget.message else text


def used_up_advice(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """A budget that only advises is used up. For the person."""
    ways = "/clear for new work" if verdict.budget.per == "session" else "a pause until the reset"
    return (
        f'Budget "{verdict.budget.name}" is used up: {spent_of(verdict)}'
        f" {period(verdict.budget.per)} ({percent(verdict)}). It only advises"
        f' (on_exceed = "advise" in {verdict.budget.source.shown}): work goes on.'
        f" Worth considering: {ways}, or {compact_command(policy)}."
        f" It resets {resets(verdict, policy, now_ms)}."
    )


def fact(verdict: Verdict) -> str:
    """For the model: a fact, not an order."""
    return (
        f'{percent(verdict)} of the budget "{verdict.budget.name}" of {verdict.budget.source.shown}'
        f" is spent:"
        f" {spent_of(verdict)} {period(verdict.budget.per)}."
    )


def big_context(tokens: int, policy: Policy) -> str:
    return (
        f"The context holds {tokens:,} tokens, past the {policy.advise_context_tokens:,} of"
        f" [advice] context_tokens: every step pays for all of it. {compact_command(policy)} makes"
        " it smaller and keeps the session; /clear starts anew when the next work does not need it."
    )


def session_line(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """What is left, in one line, at the start of a session."""
    parts = []
    for verdict in verdicts:
        unit = "" if verdict.budget.unit == "usd" else f" {_UNIT_WORDS[verdict.budget.unit]}"
        part = f"{verdict.budget.name} {amount(verdict.left, verdict.budget.unit)}{unit} left"
        if verdict.window.resets_at_ms is not None:
            part += f" (resets {resets(verdict, policy, now_ms).partition(' (')[0]})"
        parts.append(part)
    return "budget: " + " · ".join(parts) + "."


def status_text(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """All budgets as plain text: what `/budget:status` answers."""
    if not verdicts:
        return "No budgets are set for this project. `budget init` writes .claude/budget.toml."
    rows = [
        (
            verdict.budget.name,
            spent_of(verdict) + " " + period(verdict.budget.per),
            percent(verdict),
            {"ok": "", "warned": "warning", "exceeded": "USED UP"}[verdict.state],
            f"resets {resets(verdict, policy, now_ms)}",
        )
        for verdict in verdicts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
