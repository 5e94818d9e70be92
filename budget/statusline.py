"""The status line: session cost and the nearest budget, from the client's JSON on stdin.

The client runs it after each message, so it is as light as a hook: standard library only.
"""

import os
import sys
import time
from json import loads

from budget import advice_words, counsel, messages, paths, pipeline, plan, reconcile
from budget.errors import BudgetError
from budget.evaluate import Decision
from budget.ledger import Ledger
from budget.model import PICO, ClientTotal, Policy, Verdict
from budget.shown import shown
from budget.steps import clean, stated_picousd
from budget.verdicts import judge

_BAR_WIDTH = 10
_COLOURS = {"ok": "32", "warned": "33", "exceeded": "31"}


def main() -> None:
    """Prints one line. Whatever goes wrong is the line: a status line has no other place."""
    try:
        data = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
        print(shown(line(loads(data or "{}"), dict(os.environ), int(time.time() * 1000))))
    except BudgetError as error:
        print(f"budget: {shown(str(error))}")
    except (ValueError, RecursionError):
        print("budget: the status line expected JSON on stdin.")
    except Exception as error:  # noqa: BLE001 - the client shows whatever is printed
        print(f"budget: a bug ({type(error).__name__}); `budget doctor` looks closer.")


def line(status: object, env: paths.Env, now_ms: int) -> str:
    """The line for one status line input. Raises `BudgetError`."""
    status = status if isinstance(status, dict) else {}
    workspace = status.get("workspace")
    places = workspace if isinstance(workspace, dict) else {}
    folder = places.get("project_dir") or status.get("cwd") or os.getcwd()
    project = paths.find_project(folder if isinstance(folder, str) else os.getcwd())
    session_id = status.get("session_id")
    session_id = clean(session_id)
    policy = pipeline.policy_seen(env, project, session_id)
    plan.store(env, status, now_ms)
    parts = []
    cost = status.get("cost")
    total = stated_picousd(cost.get("total_cost_usd")) if isinstance(cost, dict) else None
    if total is not None:
        parts.append(f"session {messages.money(total, 4 if total < PICO else 2)}")
    with pipeline.existing_ledger(env, project, wait_s=0.5) as ledger:
        if ledger and total is not None:
            _book_total(ledger, ClientTotal(session_id, "status line", 0, 0, total), now_ms)
        person = paths.person(env, project)
        decision = judge(policy, ledger, env, session_id, now_ms, person, for_s=0.2)
        extra = _extra(ledger, policy, env, session_id, decision, now_ms) if ledger else []
    if policy.budgets:
        parts.append(_budget(nearest(decision), policy, now_ms, colour="NO_COLOR" not in env))
    else:
        parts.append("no budget set")
    parts += extra
    if policy.problems:
        parts.append("config error: budget check")
    return " · ".join(parts)


def _extra(
    ledger: Ledger,
    policy: Policy,
    env: paths.Env,
    session_id: str,
    decision: Decision,
    now_ms: int,
) -> list[str]:
    """How fast money goes, and the one thing that is worth doing, where there is one."""
    extra = []
    burning = counsel.burning(ledger, policy, decision, now_ms)
    if burning.per_hour:
        extra.append(f"{advice_words.about(burning.per_hour)}/h")
    threshold = policy.advise_context_tokens
    if threshold and ledger.context_tokens(session_id) >= threshold:
        table = pipeline.price_table(policy, env)
        given = counsel.advise(ledger, table, policy, session_id, now_ms)
        if given and given.kind != "none":
            saved = advice_words.about(given.saved_per_step_picousd)
            extra.append(f"/{given.kind} saves {saved} a step")
    return extra


def _book_total(ledger: Ledger, report: ClientTotal, now_ms: int) -> None:
    """Keeps the client's own total for the session, where it is news."""
    if report.session_id and reconcile.is_news(ledger, report):
        with ledger.transaction():
            reconcile.note(ledger, [report])
            reconcile.settle(ledger, report.session_id, now_ms)


def nearest(decision: Decision) -> Verdict:
    """The budget with the largest part of it spent."""
    return max(decision.verdicts, key=lambda verdict: verdict.fraction)


def _budget(verdict: Verdict, policy: Policy, now_ms: int, colour: bool) -> str:
    filled = min(_BAR_WIDTH, int(verdict.fraction * _BAR_WIDTH))
    bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
    if colour:
        bar = f"\x1b[{_COLOURS[verdict.state]}m{bar}\x1b[0m"
    text = f"{verdict.budget.name} {bar} {messages.percent(verdict)} {messages.spent_of(verdict)}"
    if verdict.exceeded:
        return f"{text} USED UP, resets {messages.resets(verdict, policy, now_ms)}"
    return text
