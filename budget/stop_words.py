"""What a stop, a warning and what goes on past them say, word for word. Pure.

Each says what happened with its numbers, why, what to do. The client wraps at some 70 columns on a
terminal of 80, so a line holds one thing.
"""

from __future__ import annotations

from budget import messages
from budget.files import printable, printable_lines
from budget.lean import UTC, Any, datetime
from budget.messages import (
    amount,
    compact_command,
    decimals,
    left_of,
    money_up,
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
        f'Budget "{budget.name}" in {budget.source.shown}, resets'
        f" {resets(verdict, policy, now_ms)}.",
        *_choices(verdict, policy),
    ]
    lines += [f"Note: {note}" for note in (budget.message, _sentence(verdict.note)) if note]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _what_stopped(verdict: Verdict) -> str:
    """What is left and what is needed: `$0.0060 of $0.0500 is left in this session, and ...`."""
    budget = verdict.budget
    whole, spent = spent_of(verdict).partition(" of ")[2], messages.spent(verdict)
    if verdict.exceeded and budget.unit == "context_tokens":
        return f"Stopped: the limit of {whole}{over(budget)} is reached (now {spent})."
    if verdict.exceeded:
        return f"Stopped: the {whole}{over(budget)} are used up ({spent} spent)."
    rest, needed = messages.left(verdict), _needed(verdict)
    if rest == needed:  # too near to each other for so few decimals
        rest, needed = money_up(verdict.left, 6), money_up(verdict.expected, 6)
    if verdict.expected > verdict.limit:
        return (
            f"Stopped before the next step: it needs up to {needed}, and the whole budget is"
            f" {whole}{over(budget)} ({rest} is left)."
        )
    held = ""
    if verdict.reserved:
        held = f" beside {messages.reserved(verdict)} held for steps under way"
    return (
        f"Stopped before the next step: {rest} of {whole} is left{over(budget)}{held}, and the step"
        f" needs up to {needed}."
    )


def _needed(verdict: Verdict) -> str:
    """What the next step is expected to take, with the decimals of what is left."""
    if verdict.budget.unit == "usd":
        return money_up(verdict.expected, decimals(verdict))
    return amount(verdict.expected, verdict.budget.unit)


def _choices(verdict: Verdict, policy: Policy) -> list[str]:
    """How a person can go on, and what else there is; each with what it leads to."""
    budget = verdict.budget
    if policy.max_grant != 0 and (budget.unit == "usd" or policy.max_grant is None):
        more = _suggested(verdict, policy)
        told = amount(more, budget.unit)
        allow = (
            f"/budget:allow {told.replace(' %', '')} {budget.name} because <reason>"
            f"  (adds {told}; or `budget allow` in a terminal)"
        )
    else:
        allow = f"raise the limit in {budget.source.shown}  (it holds from the next session)"
    if budget.on_exceed == "ask":
        next_ask = amount(max(1, budget.limit // 10), budget.unit)
        on = f"To go on: send a prompt  (another {next_ask}, then it asks again)"
        return [on, f"Or: {allow}"]
    if budget.unit == "context_tokens":
        return [
            f"To go on: {compact_command(policy)}  (the same conversation, made shorter)",
            "To start over: /clear  (an empty context; this conversation ends)",
            f"Or: {allow}",
        ]
    if budget.per == "session" and budget.unit not in PERCENT_UNITS:
        over_again = "To start over: /clear  (new session, whole budget; this conversation ends)"
        return [f"To go on: {allow}", over_again]
    if budget.filtered:
        other = "/model" if budget.models else "other work"
        only = over(budget).partition(", ")[2]
        return [f"To go on: {allow}", f"Or: {other}  (only what is done {only} counts)"]
    if budget.per == "total":
        return [f"To go on: {allow}", "It stays used up until a person lets it be passed."]
    return [f"To go on: {allow}", "Or: wait for the reset  (/clear does not help)"]


def _suggested(verdict: Verdict, policy: Policy) -> int:
    """An amount that goes a bit further: past what is spent by a fifth of the limit."""
    budget = verdict.budget
    beyond = verdict.spent + verdict.reserved + verdict.expected - verdict.limit
    more = max(0, beyond) + max(1, budget.limit // 5)
    if budget.unit != "usd":
        return more
    if policy.max_grant:
        more = min(more, policy.max_grant)
    # Two significant digits, rounded up.
    step = int(10 ** max(6, len(str(more)) - 2))
    return -(-more // step) * step


def agent_stopped(verdicts: tuple[Verdict, ...]) -> str:
    """An agent was stopped, and the session goes on. For the person."""
    told = "; ".join(f'"{v.budget.name}", {spent_of(v)}{over(v.budget)}' for v in verdicts)
    return f"budget: an agent was stopped before it was done: {told}."


def prompt_blocked(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    return "Not sent: no money was spent.\n" + stop(verdicts, policy, now_ms)


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
