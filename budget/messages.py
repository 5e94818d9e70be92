"""The words of figures: money, shares, times, what a budget counts, grants. Pure.

What is said with them stands in `stop_words`, `standing_words` and `advice_words`.
"""

from __future__ import annotations

from collections.abc import Mapping

from budget.lean import Any, Protocol, datetime, tzinfo
from budget.model import LEVEL_UNITS, PERCENT_UNITS, PICO, Budget, Policy, Verdict
from budget.windows import local_time, zone

_UNIT_WORDS = {
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cache_read_tokens": "cache-read tokens",
    "cache_write_tokens": "cache-write tokens",
    "steps": "steps",
    "context_tokens": "tokens of context",
    "five_hour_percent": "% of the plan's five hours",
    "seven_day_percent": "% of the plan's seven days",
}


class Granted(Protocol):
    """What is told of a grant (`grants.Grant`)."""

    @property
    def until_ms(self) -> int: ...
    @property
    def session_id(self) -> str: ...
    @property
    def budget(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def person(self) -> str: ...
    @property
    def reason(self) -> str: ...


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
    return _dollars(picousd * 10**digits // PICO, digits)


def money_up(picousd: int, digits: int = 0) -> str:
    """As `money`, rounded up: what is left, what a step may need."""
    digits = digits or _digits(picousd)
    return _dollars(-(-picousd * 10**digits // PICO), digits)


def _dollars(units: int, digits: int) -> str:
    whole, part = divmod(units, 10**digits)
    return f"${whole:,}.{part:0{digits}d}"


def _digits(picousd: int) -> int:
    micro = picousd // 10**6
    if micro % 10_000 == 0:
        return 2
    return 4 if micro >= 1_000 or micro % 100 == 0 else 6


def rounded(picousd: int) -> str:
    """Dollars at a glance: cents from ten cents on, else as `money`."""
    return money(picousd, 2 if picousd >= PICO // 10 else 0)


_HALF_MICRO = PICO // 10**6 // 2


def usd6(picousd: int) -> str:
    """Dollars for programs: a decimal string with six places."""
    return "%d.%06d" % divmod((picousd + _HALF_MICRO) // 1_000_000, 1_000_000)  # noqa: UP031 - fast


def usd6_signed(picousd: int) -> str:
    """As `usd6`, for an amount that may be negative."""
    return usd6(picousd) if picousd >= 0 else f"-{usd6(-picousd)}"


def amount(value: int, unit: str) -> str:
    """`$5.00`, `1,200`, `80 %`."""
    if unit == "usd":
        return money(value)
    return f"{value} %" if unit in PERCENT_UNITS else f"{value:,}"


def glance(value: int, unit: str) -> str:
    """As `amount`, with cents only from ten cents on: what is spent or left, at a glance."""
    return rounded(value) if unit == "usd" else amount(value, unit)


def unit_words(unit: str) -> str:
    """`US dollars`, `steps`, `output tokens`."""
    return "US dollars" if unit == "usd" else _UNIT_WORDS[unit]


def decimals(verdict: Verdict) -> int:
    """Of dollars spent and left, the same for both: what is shown adds up to the limit."""
    spent, limit = verdict.spent, verdict.limit
    if limit < PICO:
        return max(map(_digits, (spent, verdict.left, limit)))
    return 2 if spent >= PICO // 10 or not spent else _digits(spent)


def limit_of(verdict: Verdict) -> str:
    """`$10.00`, `1,000`: below a dollar with the decimals of what is spent, to compare them."""
    if verdict.budget.unit == "usd" and verdict.limit < PICO:
        return money(verdict.limit, decimals(verdict))
    return amount(verdict.limit, verdict.budget.unit)


def spent(verdict: Verdict) -> str:
    """`$8.49`, `1,200`: rounded down, so that nothing looks used up that is not."""
    if verdict.budget.unit == "usd":
        return money(verdict.spent, decimals(verdict))
    return amount(verdict.spent, verdict.budget.unit)


def left(verdict: Verdict) -> str:
    """`$1.51`, `12`: rounded up, so that it is 0 only when nothing is left."""
    if verdict.budget.unit == "usd":
        return money_up(verdict.left, decimals(verdict))
    return amount(verdict.left, verdict.budget.unit)


def reserved(verdict: Verdict) -> str:
    """`$0.10`, for steps under way: with what is spent and left it adds up to the limit."""
    if verdict.budget.unit != "usd":
        return amount(verdict.reserved, verdict.budget.unit)
    digits = decimals(verdict)
    least = PICO // 10**digits
    rest = verdict.limit - verdict.spent // least * least + verdict.left // -least * least
    return money(rest, digits) if verdict.left and rest >= least else money(verdict.reserved)


def spent_of(verdict: Verdict) -> str:
    """`$0.0120 of $0.0100` or `1,200 of 1,000 tokens`."""
    unit = verdict.budget.unit
    if unit == "usd":
        return f"{spent(verdict)} of {limit_of(verdict)}"
    return f"{verdict.spent:,} of {verdict.limit:,} {_UNIT_WORDS[unit]}"


def left_of(verdict: Verdict) -> str:
    """`$1.51 of $10.00 left`, `12 of 30 steps left`."""
    unit = verdict.budget.unit
    if unit == "usd":
        return f"{left(verdict)} of {limit_of(verdict)} left"
    return f"{verdict.left:,} of {verdict.limit:,} {_UNIT_WORDS[unit]} left"


def share(part: int, whole: int) -> str:
    """Of a total, rounded half up: `68 %`, `<1 %`; empty where there is no total."""
    if not whole:
        return ""
    return "<1 %" if 0 < part * 100 < whole else f"{(part * 200 + whole) // (2 * whole)} %"


def period(per: str) -> str:
    """`today`, `in this session`, `in the last 5 hours`."""
    return _PERIOD_WORDS.get(per) or f"in the {_last(per)}"


def _last(per: str) -> str:
    """`rolling 7d` in words: `last 7 days`."""
    length = per.removeprefix("rolling ")
    number, unit = length[:-1], {"m": "minute", "h": "hour", "d": "day"}[length[-1]]
    return f"last {unit}" if number == "1" else f"last {number} {unit}s"


def over(budget: Budget) -> str:
    """Over what a budget counts: `today in all your projects, on *opus*`."""
    text = "" if budget.unit in LEVEL_UNITS else f" {period(budget.per)}"
    if budget.per != "session" and budget.unit not in LEVEL_UNITS:
        text += {"user": " over all your projects", "team": " of everybody here"}.get(
            budget.scope, ""
        )
    filters = [*budget.models, *(f"agent {name}" for name in budget.agents)]
    filters += [f"branch {name}" for name in budget.branches]
    return f"{text}, on {' or '.join(filters)}" if filters else text


def budget_label(budget: Budget) -> str:
    """Its name, and what it is that its name does not say: `opus (per day, *opus*)`."""
    per = _last(budget.per) if budget.per.startswith("rolling ") else f"per {budget.per}"
    kind = [] if budget.name == budget.per else [per]
    kind += [] if budget.scope == "project" else [f"scope {budget.scope}"]
    kind += [*budget.models, *budget.agents, *budget.branches]
    return f"{budget.name} ({', '.join(kind)})" if kind else budget.name


def percent(verdict: Verdict) -> str:
    """Rounded down, so that 100 % means used up; `<1 %` where something is spent."""
    limit = verdict.limit
    if 0 < verdict.spent * 100 < limit:
        return "<1 %"
    return f"{verdict.spent * 100 // limit if limit else 100} %"


def resets(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """When the budget is whole again: `at 00:00 (in 5 h 12 min)`."""
    at_ms = verdict.window.resets_at_ms
    if verdict.budget.unit == "context_tokens":
        return "when the context is made smaller"
    if verdict.budget.unit in PERCENT_UNITS and at_ms is None:
        return "with the plan's window"
    if verdict.budget.per == "session" and verdict.budget.unit not in PERCENT_UNITS:
        return "with a new session"
    if at_ms is None:
        rolling = verdict.budget.per.startswith("rolling ")
        return "bit by bit, as spending grows older" if rolling else "never"
    tz = zone(verdict.budget.timezone)
    at, now = local_time(at_ms, tz), local_time(now_ms, tz)
    return f"{_clock(at, now)} (in {duration(at_ms - now_ms)})"


def _clock(at: datetime, now: datetime) -> str:
    days = (at.date() - now.date()).days
    if days <= 1:
        return f"at {at:%H:%M}"
    return f"on {at:%Y-%m-%d} at {at:%H:%M}"


def duration(milliseconds: int) -> str:
    minutes = max(1, -(-milliseconds // 60_000))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def compact_command(policy: Policy) -> str:
    """With the focus of the config."""
    return f"/compact Focus on {policy.focus}" if policy.focus else "/compact"


def granted(made: Granted, verdict: Verdict, now_ms: int) -> str:
    """A person granted more. For the person."""
    after = verdict._replace(granted=verdict.granted + made.amount)
    budget = verdict.budget
    rest = f"{left(after)} is left"
    if after.exceeded:
        rest = "that is still used up"
    return (
        f'Granted {amount_words(made.amount, budget)} on the budget "{budget.name}"'
        f" {_until(made, budget, now_ms)}: {spent_of(after)}{over(budget)}, {rest}."
        " Every grant is kept in the ledger; `budget status` shows it."
    )


def grant_line(made: Granted, budget: Budget, now_ms: int) -> str:
    """One grant that holds, as `status` shows it."""
    reason = f": {made.reason}" if made.reason else ""
    return (
        f"+{amount_words(made.amount, budget)} on {made.budget} {_until(made, budget, now_ms)},"
        f" granted by {made.person or 'somebody'}{reason}"
    )


def grant_made(facts: Mapping[str, Any], tz: tzinfo | None) -> str:
    """One grant that was made, as a report of its time shows it."""
    unit = str(facts["unit"])
    words = "" if unit == "usd" or unit in PERCENT_UNITS else f" {_UNIT_WORDS.get(unit, '')}"
    reason = f": {facts['reason']}" if facts["reason"] else ""
    at = f"{local_time(facts['at_ms'], tz):%Y-%m-%d %H:%M}"
    return (
        f"{at} +{amount(facts['amount'], unit)}{words} on {facts['budget']},"
        f" by {facts['person'] or 'somebody'}{reason}"
    )


def amount_words(value: int, budget: Budget) -> str:
    """`$5.00`, `1,200 steps`, `80 %`."""
    unit = "" if budget.unit == "usd" or budget.unit in PERCENT_UNITS else budget.unit
    return f"{amount(value, budget.unit)} {_UNIT_WORDS.get(unit, '')}".strip()


def _until(made: Granted, budget: Budget, now_ms: int) -> str:
    if made.session_id:
        return "for this session"
    tz = zone(budget.timezone)
    return f"until {local_time(made.until_ms, tz):%Y-%m-%d %H:%M}"


REMADE = (
    "the ledger of this project was gone and was made anew from its transcripts. What its sessions"
    " spent is counted again; grants are lost. `budget import` books sessions that lie elsewhere."
)

PEOPLE_REMADE = (
    "what people spent over all projects was damaged and is added up anew from the ledgers of the"
    " projects; grants on budgets of scope user are lost."
)


def held(key: str) -> str:
    """A config was loosened while a session runs. For the person."""
    if key == "prices":
        return (
            "[prices] was changed while this session runs: what makes steps dearer holds at once,"
            " the rest from the next session on."
        )
    return (
        f"{key} was loosened while this session runs: what held when it began holds in it, the"
        " change from the next session on."
    )
