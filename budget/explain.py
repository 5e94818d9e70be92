"""Why the work was stopped: the budget, the numbers, and the steps that led to it."""

from typing import Any, NamedTuple

from budget import events, paths, pipeline
from budget.evaluate import Who, concerns, spent
from budget.ledger import Ledger
from budget.messages import usd6
from budget.model import PERCENT_UNITS, PICO, Budget, Policy, Spend, Step, Verdict, Window
from budget.people import people_ledger
from budget.status import iso
from budget.verdicts import budget_window, counts_people

_TOP = 5
_FAR_MS = 2**53


class Explained(NamedTuple):
    """One budget at one moment."""

    budget: Budget
    at_ms: int
    session_id: str
    agent_id: str
    stopped: bool
    """Whether it stopped the work then, or this is how it stood."""
    spent: int
    granted: int
    reserved: int
    expected: int
    """What the step that was not made was expected to use; 0 when the budget was used up."""
    window: Window
    steps: int
    """How many steps led to it."""
    dearest: list[tuple[Step, Spend]]
    """The steps that cost most of it, the dearest first."""
    unattributed_picousd: int

    @property
    def limit(self) -> int:
        return self.budget.limit + self.granted

    @property
    def needed(self) -> int:
        """How much more would have let it through."""
        beyond = self.spent + self.reserved + self.expected - self.limit
        if self.expected:
            return max(0, beyond)
        # Used up at its limit: more than what is spent already.
        return max(0, beyond) + (PICO // 100 if self.budget.unit == "usd" else 1)


def last_stop(ledger: Ledger, env: paths.Env, until_ms: int = _FAR_MS) -> list[Explained]:
    """The budgets of the last stop up to a time; empty when there was none."""
    found = events.last(ledger, (events.STOP,), 1, until_ms)
    if not found:
        return []
    stop = found[0]
    return [_of_stop(each, stop, ledger, env) for each in events.stopped(stop)]


def standing_at(
    ledger: Ledger, env: paths.Env, policy: Policy, session_id: str, at_ms: int, person: str
) -> list[Explained]:
    """How today's budgets stood at a time."""
    explained = []
    for budget in policy.budgets:
        if budget.unit not in PERCENT_UNITS:
            at = budget_window(budget, session_id, at_ms)
            found = _history(budget, at, at_ms, ledger, env, person)
            explained.append(_explained(budget, at, at_ms, session_id, "", False, found))
    return explained


def _of_stop(verdict: Verdict, stop: events.Event, ledger: Ledger, env: paths.Env) -> Explained:
    budget, at = verdict.budget, verdict.window
    found = _history(budget, at, stop.at_ms, ledger, env, stop.facts.get("person", ""))
    told = _explained(budget, at, stop.at_ms, stop.session_id, stop.agent_id, True, found)
    return told._replace(
        spent=verdict.spent,
        granted=verdict.granted,
        reserved=verdict.reserved,
        expected=verdict.expected,
    )


def _explained(
    budget: Budget,
    at: Window,
    at_ms: int,
    session_id: str,
    agent_id: str,
    stopped: bool,
    found: tuple[list[tuple[Step, Spend]], int],
) -> Explained:
    steps, unattributed = found
    total = Spend(unattributed_picousd=unattributed)
    for _, spend in steps:
        total = total.plus(spend)
    level = budget.unit == "context_tokens"
    context = max((step.usage.prompt_tokens for step, _ in steps[-1:]), default=0)
    amount = context if level else spent(budget, total)
    weight = budget.unit if budget.unit != "context_tokens" else "tokens"
    steps = sorted(steps, key=lambda each: _weight(each[1], weight), reverse=True)
    return Explained(
        *(budget, at_ms, session_id, agent_id, stopped, amount, 0, 0, 0, at),
        *(len(steps), steps[:_TOP], unattributed),
    )


def _weight(spend: Spend, unit: str) -> tuple[int, int]:
    counted = spend.counted_picousd
    if unit == "usd":
        return counted, 0
    return (spend.cache_write if unit == "cache_write_tokens" else getattr(spend, unit)), counted


def _history(
    budget: Budget, at: Window, until_ms: int, own: Ledger, env: paths.Env, person: str
) -> tuple[list[tuple[Step, Spend]], int]:
    """The steps a budget counted up to a time, and what was unattributed, where it counts that."""
    if not counts_people(budget):
        return _of_ledger(budget, at, until_ms, own, "")
    with people_ledger(env, own, for_s=60.0) as (people, _):
        return _of_ledger(budget, at, until_ms, people, person if budget.scope == "user" else "")


def _of_ledger(
    budget: Budget, at: Window, until_ms: int, ledger: Ledger, person: str
) -> tuple[list[tuple[Step, Spend]], int]:
    session = at.session_id if budget.unit != "context_tokens" else at.session_id or ""
    steps = [
        (step, spend)
        for step, spend in ledger.steps_between(at.start_ms, until_ms + 1, session)
        if concerns(budget, Who(step.agent, step.model, step.branch)) and person in ("", step.user)
    ]
    amounts = [] if budget.filtered else ledger.unattributed_between(at.start_ms, until_ms + 1)
    unattributed = sum(
        picousd
        for _, session_id, user, picousd in amounts
        if session in (None, session_id) and person in ("", user)
    )
    return steps, unattributed


def facts(each: Explained) -> dict[str, Any]:
    """What `budget explain --json` says of one budget."""
    budget = each.budget

    def amount(value: int) -> str | int:
        return usd6(value) if budget.unit == "usd" else value

    return {
        "at": iso(each.at_ms),
        "stopped": each.stopped,
        "session": each.session_id,
        "agent_id": each.agent_id,
        "budget": budget.name,
        "per": budget.per,
        "scope": budget.scope,
        "unit": budget.unit,
        "limit": amount(each.limit),
        "granted": amount(each.granted),
        "spent": amount(each.spent),
        "source": {
            "layer": budget.source.layer,
            "file": budget.source.file,
            "key": f"{budget.source.key}.{budget.unit}",
        },
        "window": {
            "start": iso(each.window.start_ms),
            "end": None if each.window.end_ms is None else iso(each.window.end_ms),
            "session": each.window.session_id,
        },
        "steps": each.steps,
        "unattributed_usd": usd6(each.unattributed_picousd),
        "dearest_steps": [
            {
                "at": iso(step.at_ms),
                "usd": usd6(spend.counted_picousd),
                "tokens": spend.tokens,
                "model": step.model,
                "agent": step.agent,
                "agent_id": step.agent_id,
                "session": step.session_id,
                "prompt_id": step.prompt_id,
                "message_id": step.message_id,
            }
            for step, spend in each.dearest
        ],
        "reserved": amount(each.reserved),
        "expected": amount(each.expected),
        "needed": amount(each.needed),
    }


def policy_and_session(
    env: paths.Env, project: paths.Project, ledger: Ledger, at_ms: int = _FAR_MS
) -> tuple[Policy, str]:
    """What holds in the session that took the project's last step up to a time."""
    session_id = ledger.last_session(at_ms) or ""
    return pipeline.policy_seen(env, project, session_id), session_id
