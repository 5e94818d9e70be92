"""What may still be spent: the smallest that is left under all budgets that stop the work."""

from typing import NamedTuple

from budget import messages
from budget.evaluate import Decision
from budget.model import Policy, Verdict


class Allowance(NamedTuple):
    """What is left at one moment."""

    blocking: tuple[Verdict, ...]
    """Budgets of any unit that are used up: nothing may be spent."""
    tightest: Verdict | None
    """The USD budget with the least left; None where no USD budget stops the work."""

    @property
    def left_picousd(self) -> int | None:
        """None: not limited in dollars."""
        return None if self.tightest is None else self.tightest.left


def allowance(decision: Decision) -> Allowance:
    """Budgets that only advise limit nothing, nor do those that count some steps only: hooks
    judge them step by step.
    """
    every = [each for each in decision.verdicts if not each.budget.filtered]
    usd = [
        verdict
        for verdict in every
        if verdict.budget.unit == "usd" and verdict.budget.on_exceed != "advise"
    ]
    blocking = tuple(each for each in decision.blocking if not each.budget.filtered)
    return Allowance(blocking, min(usd, key=lambda each: each.left, default=None))


def lowest(left_picousd: int | None, theirs_picousd: int | None) -> int | None:
    """The lower of two limits, where None is no limit."""
    limits = [limit for limit in (left_picousd, theirs_picousd) if limit is not None]
    return min(limits, default=None)


def in_a_line(verdicts: tuple[Verdict, ...], policy: Policy, now_ms: int) -> str:
    """Why nothing may be spent, for a log: numbers, budget, file, reset, what to do."""
    return " ".join(_in_a_line(verdict, policy, now_ms) for verdict in verdicts)


def _in_a_line(verdict: Verdict, policy: Policy, now_ms: int) -> str:
    budget = verdict.budget
    key = f"{budget.source.key}.{budget.unit}"
    advice = f"raise {key} in {budget.source.shown}"
    if budget.per == "session":
        advice = f"go on in a new session (without --resume or --continue), or {advice}"
    elif budget.per != "total":
        advice = f"wait for the reset, or {advice}"
    note = f" {budget.message}" if budget.message else ""
    return (
        f'Budget "{budget.name}" is used up: {messages.spent_of(verdict)}'
        f" {messages.period(budget.per)} ({messages.percent(verdict)}), set in"
        f" {budget.source.shown} ({key}, {budget.source.layer} config);"
        f" it resets {messages.resets(verdict, policy, now_ms)}. To go on: {advice}.{note}"
    )


def on_one_line(text: str) -> str:
    """What a hook told a person, for a log."""
    return " ".join(text.split())
