"""What a stop, a warning and what goes on past them say, word for word. Pure.

Each says what happened with its numbers, why, what to do. The client wraps at some 70 columns on a
terminal of 80, so a line holds one thing.
"""

from __future__ import annotations

from budget.files import printable, printable_lines
from budget.lean import UTC, Any, datetime
from budget.messages import (
    amount,
    amount_words,
    compact_command,
    left_of,
    money,
    over,
    percent,
    resets,
    spent_of,
    usd6,
)
from budget.model import PERCENT_UNITS, Policy, Verdict


def stop(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """Why the work was stopped, and what to do now. For the person."""
    return "\n\n".join(_stop(verdict, policy, now_ms) for verdict in verdicts)


def _stop(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    budget = verdict.budget
    lines = [
        _what_stopped(verdict),
        f"Resets {resets(verdict, policy, now_ms)}. Set in {budget.source.shown}.",
        f"Now:  {_way_out(verdict, policy)}",
    ]
    lines += [f"More: {way}" for way in _ways_on(verdict, policy)]
    lines += [f"Note: {note}" for note in (budget.message, _sentence(verdict.note)) if note]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _what_stopped(verdict: Verdict) -> str:
    budget = verdict.budget
    numbers = f"{spent_of(verdict)}{over(budget)} ({percent(verdict)})"
    if verdict.exceeded:
        return f'Budget "{budget.name}" is used up: {numbers}.'
    expected = amount_words(verdict.expected, budget)
    if verdict.expected > verdict.limit:
        return (
            f'Budget "{budget.name}" is smaller than one step: {numbers} is spent, and the next'
            f" step is expected to take up to {expected}."
        )
    text = (
        f'Budget "{budget.name}" would be passed by the next step: {numbers} is spent, and the'
        f" step is expected to take up to {expected}"
    )
    if verdict.reserved:
        text += f", beside {amount_words(verdict.reserved, budget)} held for steps under way"
    return f"{text}."


def _way_out(verdict: Verdict, policy: Policy) -> str:
    """What helps without another limit."""
    budget = verdict.budget
    if budget.on_exceed == "ask":
        more = amount(max(1, budget.limit // 10), budget.unit)
        return f"send a prompt to go on for another {more}; then it asks again."
    if budget.unit == "context_tokens":
        return f"{compact_command(policy)}, or /clear for work that does not need it."
    if budget.per == "session" and budget.unit not in PERCENT_UNITS:
        return "/clear starts a new session with a whole budget."
    if budget.filtered:
        other = "another model (/model)" if budget.models else "other work"
        wait = "go on" if budget.per == "total" else "wait, or go on"
        return f"{wait} with {other}: it counts only {over(budget).partition(', ')[2]}."
    if budget.per == "total":
        return "it stays used up until a person lets it be passed."
    return "wait for the reset; /clear does not help."


def _ways_on(verdict: Verdict, policy: Policy) -> list[str]:
    """How a person can go on all the same."""
    budget = verdict.budget
    ways = []
    if policy.max_grant != 0 and (budget.unit == "usd" or policy.max_grant is None):
        ways.append(
            f"/budget:allow {_suggested(verdict, policy)} {budget.name} because ..."
            " (or `budget allow`)."
        )
    else:
        ways.append("raise the limit there; it holds from the next session.")
    return ways


def _suggested(verdict: Verdict, policy: Policy) -> str:
    """An amount that goes a bit further: past what is spent by a fifth of the limit."""
    budget = verdict.budget
    beyond = verdict.spent + verdict.reserved + verdict.expected - verdict.limit
    more = max(0, beyond) + max(1, budget.limit // 5)
    if budget.unit != "usd":
        return str(more)
    if policy.max_grant:
        more = min(more, policy.max_grant)
    # Two significant digits, rounded up.
    step = 10 ** max(6, len(str(more)) - 2)
    more = -(-more // step) * step
    return money(more)[1:]


def agent_stopped(verdicts: tuple[Verdict, ...]) -> str:
    """An agent was stopped, and the session goes on. For the person."""
    told = "; ".join(f'"{v.budget.name}", {spent_of(v)}{over(v.budget)}' for v in verdicts)
    return f"budget: an agent was stopped before it was done: {told}."


def prompt_blocked(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    return "This prompt was not sent: no money was spent on it.\n" + stop(verdicts, policy, now_ms)


def warning(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """A mark was passed. For the person."""
    budget = verdict.budget
    text = (
        f'Budget "{budget.name}": {percent(verdict)} is spent, {left_of(verdict)}{over(budget)}.'
        f" Resets {resets(verdict, policy, now_ms)}."
        f" Less per step: {compact_command(policy)}."
    )
    return f"{text} {budget.message}" if budget.message else text


def used_up_advice(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    """A budget that only advises is used up. For the person."""
    ways = "/clear for new work" if verdict.budget.per == "session" else "a pause until the reset"
    return (
        f'Budget "{verdict.budget.name}" is used up: {spent_of(verdict)}'
        f"{over(verdict.budget)} ({percent(verdict)}). Work goes on: it only advises"
        f" (on_exceed in {verdict.budget.source.shown})."
        f" Worth considering: {ways}, or {compact_command(policy)}."
        f" Resets {resets(verdict, policy, now_ms)}."
    )


def fact(verdict: Verdict) -> str:
    """For the model: a fact, not an order. Patterns of a repository's config are no facts."""
    budget = verdict.budget
    some = ", on some steps" if budget.filtered else ""
    over_all = over(budget._replace(models=(), agents=(), branches=()))
    return (
        f'{percent(verdict)} of the budget "{budget.name}" of {printable(budget.source.shown)}'
        f" is spent: {spent_of(verdict)}{over_all}{some}."
    )


def goes_on(verdicts: list[Verdict]) -> str:
    """The person went on past budgets that ask. For the person."""
    return "\n".join(
        f'Budget "{each.budget.name}": {spent_of(each._replace(granted=0))}{over(each.budget)}.'
        f" You go on; it asks again at {amount(each.limit, each.budget.unit)}."
        for each in verdicts
    )


def notification(
    kind: str, verdicts: list[Verdict], text: str, session_id: str, project: str, now_ms: int
) -> dict[str, Any]:
    """What the person's own command is told (`[notify]`), as JSON."""

    def value(number: int, unit: str) -> str | int:
        return usd6(number) if unit == "usd" else number

    return {
        "event": kind,
        "at": f"{datetime.fromtimestamp(now_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "project": project,
        "session": session_id,
        "text": printable_lines(text),
        "budgets": [
            {
                "name": each.budget.name,
                "per": each.budget.per,
                "scope": each.budget.scope,
                "unit": each.budget.unit,
                "limit": value(each.limit, each.budget.unit),
                "spent": value(each.spent, each.budget.unit),
                "source": f"{each.budget.source.file}, {each.budget.source.key}",
            }
            for each in verdicts
        ],
    }
