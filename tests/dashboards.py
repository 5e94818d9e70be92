"""Ledgers that a dashboard is made of: a few days of work, hostile names, and a page of them."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from budget import events
from budget.ledger import Ledger
from budget.model import PICO, Budget, Compaction, Source, Step, Usage
from budget.paths import find_project, ledger_file
from budget.pricing import load_table
from tests.plugin import ROOT

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_795_788_000_000
"""2026-11-27T14:00:00Z."""

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"'><svg onload=alert(3)>",
    "javascript:alert(4)//{{data}}",
    "fix\u202egnp.exe\u2066",
    "line\u2028break\u2029\x00\x1b[31m",
    "<!--",
    "${alert(5)}`&amp;",
)
"""Names as only somebody who means harm would give them."""

CONFIG = """version = 1
timezone = "Europe/Berlin"
[budgets.day]
per = "day"
usd = 20
warn_at = [0.5, 0.8]
[budgets.month]
per = "month"
usd = 300
[budgets.opus]
per = "day"
models = ["*opus*"]
usd = 15
"""


class Place:
    """A home with one project in it."""

    def __init__(self, root: Path, name: str = "shop", config: str = CONFIG) -> None:
        self.home = root
        self.folder = root / "work" / name
        (self.folder / ".git").mkdir(parents=True)
        if config:
            (self.folder / ".claude").mkdir()
            (self.folder / ".claude" / "budget.toml").write_text(config)
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(root),
            "BUDGET_HOME": str(root / "state"),
            "CLAUDE_CONFIG_DIR": str(root / ".claude"),
            "BUDGET_USER": "ana@example.com",
            "TZ": "Europe/Berlin",
            "PYTHONPATH": str(ROOT),
        }
        self.project = find_project(str(self.folder))

    def ledger(self) -> Ledger:
        return Ledger(ledger_file(self.env, self.project), root=self.project.root)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "budget", *words]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def report(self, *words: str) -> Any:
        run = self.run("report", *words, "--json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)


def work(now_ms: int, days: int, seed: int = 3) -> Iterator[Step]:
    """Two sessions a day, one with an agent, on three models and branches; one step unpriced."""
    chance = random.Random(seed)
    number = 0
    for day in range(days):
        for part in range(2):
            session = f"{day:04d}{part:04x}-5e55-4000-8000-000000000000"
            at_ms = now_ms - day * DAY_MS - (3 - part) * HOUR_MS
            branch = ("main", "fix-login", "")[(day + part) % 3]
            model = ("claude-opus-5-5", "claude-sonnet-5-5")[part]
            context = 20_000
            for step in range(24):
                number += 1
                at_ms += chance.randrange(20_000, 120_000)
                written = chance.randrange(1_000, 6_000)
                prompt = f"p-{session}-{step // 6}"
                agent = ("Explore", f"agent-{session}") if step in (10, 11) else ("main", "")
                yield Step(
                    f"m{seed}-{number}",
                    session,
                    *agent,
                    prompt,
                    branch,
                    "claude-haiku-5-5" if agent[1] else model,
                    at_ms,
                    Usage(7, chance.randrange(100, 900), context, 0, written),
                    user=("ana@example.com", "ben@example.com")[day % 2],
                )
                context += written
    yield Step(
        f"m{seed}-unpriced",
        f"00000000-5e55-4000-8000-{seed:012d}",
        "main",
        "",
        "p-unpriced",
        "main",
        "claude-omega-9",
        now_ms - HOUR_MS,
        Usage(10, 400, 30_000),
        user="ana@example.com",
    )


def fill(place: Place, now_ms: int = NOW_MS, days: int = 9) -> None:
    """Work, and all that can happen beside it."""
    steps = list(work(now_ms, days))
    session = steps[0].session_id
    ledger = place.ledger()
    with ledger.transaction():
        ledger.book(steps, load_table())
        hour = now_ms - 2 * HOUR_MS
        ledger.add_unattributed(session, hour // 900_000 * 900_000, "ana@example.com", PICO // 7)
        ledger.note_compactions([Compaction(session, hour, 160_000, 9_000, False)])
        ledger.say_once(f"advice|{session}|compact|1", hour - 60_000)
        ledger.say_once(f"mark|day|day|usd|{20 * PICO}|block|project|1|0.8", hour)
        events.record(ledger, stop(place, session, hour))
        granted = {"at_ms": hour, "unit": "usd", "amount": PICO, "budget": "day"}
        granted |= {"person": "ana@example.com", "reason": "<b>release</b>"}
        events.record(ledger, events.Event(hour, events.GRANT, "", "", granted))
    ledger.close()


def stop(place: Place, session: str, at_ms: int) -> events.Event:
    file = str(place.folder / ".claude" / "budget.toml")
    source = Source("repo", file, "budgets.day", ".claude/budget.toml")
    budget = Budget("day", "day", "usd", 20 * PICO, (0.5, 0.8), "block", "", source)
    numbers = {"spent": 20 * PICO, "granted": 0, "reserved": 0, "expected": 0}
    window = [at_ms // DAY_MS * DAY_MS, None, None]
    told = {**budget._asdict(), "source": source._asdict(), **numbers, "window": window}
    return events.Event(at_ms, events.STOP, session, "", {"person": "", "budgets": [told]})


def hostile(place: Place, now_ms: int = NOW_MS) -> None:
    """Every name that comes from outside is hostile."""
    steps = [
        Step(
            f"h{number}",
            f"session {name}",
            f"agent {name}",
            f"id {name}",
            f"prompt {name}",
            name,
            name,
            now_ms - HOUR_MS - number,
            Usage(10, 100, 1_000 * number),
            user=f"user {name}",
        )
        for number, name in enumerate(HOSTILE)
    ]
    mains = [
        step._replace(message_id=f"{step.message_id}-main", agent="main", agent_id="")
        for step in steps
    ]
    ledger = place.ledger()
    with ledger.transaction():
        ledger.book([*steps, *mains], load_table())
        for step in steps:
            ledger.say_once(f"advice|{step.session_id}|{step.model}|1", now_ms - HOUR_MS)
    ledger.close()
