"""A week of somebody's work on a shop, booked: what pictures and views are shown with.

It is between 15:00 and 16:00 there, whenever it is made: the time zone is chosen so. What was spent
in each window is then the same on every day, whatever the date and the hour.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from budget import paths, pipeline
from budget.model import Step, Usage
from budget.windows import local_time, zone
from tests.samples import DAY_MS, HOUR_MS

MINUTE_MS = 60_000
SESSION = "7c1e5b52-9a0d-4f4e-8a52-3f1f0f6d2c11"
"""The session that is under way."""
CONFIG = """version = 1
timezone = "{timezone}"

[budgets.session]
per = "session"
usd = 4.00

[budgets.day]
per = "day"
usd = 10.00

[budgets.week]
per = "rolling 7d"
usd = 60.00

[advice]
focus = "code samples"
"""
BRANCH = "feature/checkout"
_OPUS, _SONNET, _HAIKU = "claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5"


class Work(NamedTuple):
    """The folders of it; `env` is a whole environment for `budget` and the client."""

    home: Path
    project: Path
    env: dict[str, str]
    now_ms: int

    def status_line_input(self, **more: Any) -> str:
        """What the client tells a status line in the session that is under way."""
        told = {
            "session_id": SESSION,
            "cwd": str(self.project),
            "workspace": {"current_dir": str(self.project), "project_dir": str(self.project)},
            "cost": {"total_cost_usd": 3.6},
            "prompt_cache": {"warm": True, "ttl": "1h", "expires_at": self.now_ms // 1000 + 2820},
            **more,
        }
        return json.dumps(told)


@contextmanager
def work() -> Iterator[Work]:
    """A home with a project `shop` in it; removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="realclient-")).resolve()
    try:
        yield made(root, int(time.time() * 1000))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def made(root: Path, now_ms: int, project: Path | None = None) -> Work:
    """The work in a folder that is there: that of a `Home`, with its project, or another."""
    home = root / "home"
    project = project or home / "shop"
    (project / ".claude").mkdir(parents=True)
    (project / ".git").mkdir(exist_ok=True)
    timezone = _where_it_is_three(now_ms)
    (project / ".claude" / "budget.toml").write_text(CONFIG.format(timezone=timezone))
    env = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "HOME": str(home),
        "BUDGET_HOME": str(root / "state"),
        "BUDGET_USER": "ana@example.com",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    _book(env, project, timezone, now_ms)
    return Work(home, project, env, now_ms)


def _where_it_is_three(now_ms: int) -> str:
    """A time zone in which it is between 15:00 and 16:00."""
    ahead = 15 - now_ms // HOUR_MS % 24
    ahead = ahead if ahead <= 12 else ahead - 24
    return f"Etc/GMT{-ahead:+d}"  # POSIX counts westward


def _book(env: Mapping[str, str], project: Path, timezone: str, now_ms: int) -> None:
    at = local_time(now_ms, zone(timezone))
    midnight_ms = now_ms - (at.hour * HOUR_MS + at.minute * MINUTE_MS + at.second * 1000)
    found = paths.find_project(str(project))
    ledger = pipeline.open_ledger(env, found)
    table = pipeline.price_table(pipeline.policy_of(env, found), env)
    with ledger.transaction():
        ledger.book(_steps(midnight_ms, now_ms), table)
    ledger.close()


def _steps(midnight_ms: int, now_ms: int) -> Iterator[Step]:
    for days_ago, turns in ((6, 12), (5, 18), (4, 9), (3, 15), (2, 24), (1, 17)):
        start_ms = midnight_ms - days_ago * DAY_MS + 9 * HOUR_MS
        session = f"00000000-0000-4000-8000-{days_ago:012d}"
        yield from _turns(session, start_ms, turns, 60_000, "feature/basket")
    morning = "00000000-0000-4000-8000-000000000000"
    yield from _turns(morning, midnight_ms + 9 * HOUR_MS, 22, 60_000, BRANCH)
    yield from _turns(SESSION, midnight_ms + 14 * HOUR_MS, 9, 70_000, BRANCH)
    # The last minutes: one prompt with a large context, and an agent that explores beside it.
    for number in range(6):
        at_ms = now_ms - (8 - number) * MINUTE_MS
        used = Usage(40, 900, 148_000 + 2_500 * number, 0, 2_500)
        yield _step(SESSION, f"now-{number}", at_ms, _OPUS, used, "refactor", BRANCH)
    for number in range(4):
        at_ms = now_ms - (7 - number) * MINUTE_MS
        used = Usage(30, 700, 22_000 + 1_500 * number, 1_500)
        step = _step(
            SESSION, f"agent-{number}", at_ms, _HAIKU, used, "refactor", "feature/checkout"
        )
        yield step._replace(agent="Explore", agent_id="a1")


def _turns(session: str, start_ms: int, count: int, context: int, branch: str) -> Iterator[Step]:
    """Prompts of a morning, four steps each, every second one on the cheaper model."""
    for turn in range(count):
        model = _SONNET if turn % 2 else _OPUS
        for number in range(4):
            at_ms = start_ms + (turn * 4 + number) * MINUTE_MS
            used = Usage(40, 600, context + 1_500 * (4 * turn + number), 0, 1_500)
            name = f"{session[-4:]}-{turn}-{number}"
            yield _step(session, name, at_ms, model, used, f"prompt-{turn}", branch)


def _step(
    session: str, name: str, at_ms: int, model: str, used: Usage, prompt: str, branch: str
) -> Step:
    return Step(
        message_id=f"msg_{session[:4]}{name}",
        session_id=session,
        agent="main",
        agent_id="",
        prompt_id=f"{session[:8]}{session[-2:]}-{prompt}",
        branch=branch,
        model=model,
        at_ms=at_ms,
        usage=used,
        user="ana@example.com",
    )
