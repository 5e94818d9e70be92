"""A report shows the grants of its time; the status line what is worth doing."""

import time
from pathlib import Path

from budget import granting, grants, paths, pipeline, report, statusline
from budget.advice_words import about
from budget.model import PICO, Usage
from budget.pricing import load_table
from budget.verdicts import judge
from tests.plugin import budget_toml
from tests.samples import a_step

MINUTE_MS = 60_000


def place(root: Path) -> tuple[paths.Env, paths.Project]:
    project = root / "project"
    (project / ".claude").mkdir(parents=True)
    (project / ".claude" / "budget.toml").write_text(budget_toml(day="usd = 5"))
    env = {"HOME": str(root / "home"), "BUDGET_HOME": str(root / "state"), "BUDGET_USER": "ana"}
    return env, paths.find_project(str(project))


def test_a_report_shows_the_grants_of_its_time(tmp_path: Path) -> None:
    env, project = place(tmp_path)
    now_ms = int(time.time() * 1000)
    ledger = pipeline.open_ledger(env, project)
    policy = pipeline.policy_of(env, project)
    decision = judge(policy, ledger, env, "s1", now_ms, "ana")
    request = granting.Request("2.50", "day", "today", "the release")
    made, verdict = granting.grant(request, decision, policy, "s1", "ana", now_ms)
    granting.keep(made, verdict, ledger, env)
    assert grants.active(ledger, now_ms) == [made]
    told = report.make(report.Query("daily", None, None, None), [ledger])
    ledger.close()
    assert len(told.grants) == 1
    assert told.grants[0].endswith("+$2.50 on day, by ana: the release")


def test_the_status_line_shows_how_fast_money_goes_and_what_is_worth_doing(tmp_path: Path) -> None:
    env, project = place(tmp_path)
    now_ms = int(time.time() * 1000)
    ledger = pipeline.open_ledger(env, project)
    first = a_step("m1", Usage(3, 100, 0, 30_000), model="claude-sonnet-5")
    later = a_step("m2", Usage(3, 100, 300_000, 1_000), model="claude-sonnet-5")
    with ledger.transaction():
        ledger.book(
            [
                first._replace(session_id="s1", at_ms=now_ms - 2 * MINUTE_MS),
                later._replace(session_id="s1", at_ms=now_ms - MINUTE_MS),
            ],
            load_table(),
        )
    spent = sum(spend.picousd for _, spend in ledger.steps_between(0, 2**62, None))
    ledger.close()
    status = {"session_id": "s1", "workspace": {"project_dir": project.root}}
    line = statusline.line(status, {**env, "NO_COLOR": "1"}, now_ms)
    assert f"{about(spent * 30)}/h" in line, "what two minutes cost, thirty times"
    assert "/compact saves $0.0" in line
    assert spent < PICO
