"""A day of work in a state folder: what the live view and its pictures show."""

import random
import uuid
from pathlib import Path

from budget import events, paths, pipeline, reservations
from budget.evaluate import Who
from budget.ledger import Ledger
from budget.model import Spend, Step, Usage
from budget.pricing import load_table
from budget.transcript import Cursor

CONFIG = """
version = 1
timezone = "UTC"
[budgets.session]
per = "session"
usd = 12
[budgets.day]
per = "day"
usd = 40
warn_at = [0.5, 0.8]
[budgets.month]
per = "month"
usd = 400
[budgets.opus]
per = "day"
models = ["*opus*"]
usd = 30
on_exceed = "advise"
"""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SESSIONS = (
    "5d0f1c9e-6a53-4f0e-9d5b-0c6f2b7f1a11",
    "c81b44e0-2b1d-4b59-8a35-7a3c9d5e0f22",
    "0a7e9f34-91c2-4c1b-b7de-3f5a6d8c1b33",
    "9e2d6b17-5f08-47aa-8c13-d4b2f7e90a44",
)
_OPUS, _SONNET, _HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


def prepare(folder: Path, env: dict[str, str], config: str = CONFIG) -> paths.Project:
    """A project with budgets, its policy compiled as a hook would."""
    (folder / ".claude").mkdir(parents=True, exist_ok=True)
    (folder / ".claude" / "budget.toml").write_text(config)
    project = paths.find_project(str(folder))
    pipeline.policy_of(env, project)
    return project


def work(ledger: Ledger, day_ms: int, now_ms: int, seed: int = 7) -> None:
    """Books sessions from nine in the morning until now; two of them are at work."""
    random.seed(seed)
    plan = [
        (SESSIONS[3], "fix/login-redirect", _SONNET, day_ms + 9 * HOUR_MS, 60),
        (SESSIONS[2], "main", _OPUS, day_ms + 10 * HOUR_MS + 20 * MINUTE_MS, 65),
        (SESSIONS[1], "feature/export-csv", _OPUS, now_ms - 95 * MINUTE_MS, 50),
        (SESSIONS[0], "feature/invoices", _SONNET, now_ms - 50 * MINUTE_MS, 49),
    ]
    steps = []
    for session, branch, model, start_ms, minutes in plan:
        steps += list(
            _steps(session, branch, model, start_ms, min(minutes * MINUTE_MS, now_ms - start_ms))
        )
    steps += list(
        _agent(SESSIONS[0], "Explore", "agent-explore-1", _HAIKU, now_ms - 9 * MINUTE_MS, 16)
    )
    steps += list(_agent(SESSIONS[0], "Plan", "agent-plan-1", _SONNET, now_ms - 5 * MINUTE_MS, 8))
    steps += list(
        _agent(SESSIONS[0], "Explore", "agent-explore-0", _HAIKU, now_ms - 40 * MINUTE_MS, 12)
    )
    steps = [each for each in steps if each.at_ms <= now_ms]
    steps.sort(key=lambda each: each.at_ms)
    with ledger.transaction():
        ledger.book(steps, load_table())
        for agent_id, agent, model, cost in (
            ("", "main", _SONNET, 90_000_000_000),
            ("agent-plan-1", "Plan", _SONNET, 60_000_000_000),
            ("agent-explore-1", "Explore", _HAIKU, 15_000_000_000),
        ):
            spend = Spend(1, picousd=cost)
            who = Who(agent, model, "feature/invoices")
            until_ms = now_ms + reservations.LAPSES_MS - 20_000
            kept = reservations.Reservation(SESSIONS[0], agent_id, "", who, spend, until_ms)
            reservations.hold(ledger, kept)
        for session in SESSIONS[1:]:  # their last steps called no tool
            ledger.move_cursor(f"/t/{session}.jsonl", session, Cursor())


def _prompt(session: str, number: int) -> str:
    return str(uuid.uuid5(uuid.UUID(session), str(number)))


def _steps(session: str, branch: str, model: str, start_ms: int, length_ms: int) -> list[Step]:
    found = []
    at_ms, context, number, prompt = start_ms, 22_000, 0, 0
    while at_ms < start_ms + length_ms:
        fresh = random.randint(400, 3_500)
        used = Usage(8, random.randint(120, 1_600), context if number else 14_000, fresh)
        if not number:
            used = used._replace(cache_write_5m_tokens=8_000)
        found.append(
            Step(
                message_id=f"msg_{session[:4]}_{number}",
                session_id=session,
                agent="main",
                agent_id="",
                prompt_id=_prompt(session, prompt),
                branch=branch,
                model=model,
                at_ms=at_ms,
                usage=used,
            )
        )
        context += fresh
        number += 1
        at_ms += random.randint(8_000, 45_000)
        if random.random() < 0.05:
            prompt += 1
            at_ms += random.randint(1, 6) * MINUTE_MS
    return found


def _agent(
    session: str, agent: str, agent_id: str, model: str, start_ms: int, steps: int
) -> list[Step]:
    found = []
    context = 12_000
    for number in range(steps):
        used = Usage(4, random.randint(80, 500), context, random.randint(300, 2_500))
        context += used.cache_write_5m_tokens
        at_ms = start_ms + number * 33_000
        found.append(
            Step(
                message_id=f"msg_{agent_id}_{number}",
                session_id=session,
                agent=agent,
                agent_id=agent_id,
                prompt_id=_prompt(session, 1),
                branch="feature/invoices",
                model=model,
                at_ms=at_ms,
                usage=used,
            )
        )
    return found


def stop(ledger: Ledger, budget_facts: dict[str, object], at_ms: int, session: str) -> None:
    """A stop as a hook records it."""
    with ledger.transaction():
        facts = {"event": "PostToolBatch", "person": "", "budgets": [budget_facts]}
        events.record(ledger, events.Event(at_ms, events.STOP, session, "", facts))
