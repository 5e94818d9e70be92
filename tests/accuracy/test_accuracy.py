"""Every awkward case is booked as what it truly is: steps, tokens, US dollars to the last digit."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from budget import history, paths, report
from budget.windows import zone
from tests.accuracy.cases import CASES, Case, Files
from tests.plugin import ROOT

NOW_MS = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1000)

OPEN: dict[str, str] = {}
"""Cases that are not right yet, and why."""

MICRO = Decimal("0.000001")


def params() -> list[Any]:
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.xfail(reason=OPEN[case.name], strict=True)]
            if case.name in OPEN
            else [],
        )
        for case in CASES
    ]


def environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "USERPROFILE": str(folder),
        "BUDGET_HOME": str(folder / "state"),
        "CLAUDE_CONFIG_DIR": str(folder / "config"),
    }


def booked(case: Case, env: dict[str, str], by: str = "daily") -> report.Report:
    """What a report over all projects says."""
    query = report.Query(by, None, None, zone(case.timezone))
    ledgers = report.open_ledgers(env, paths.find_project(env["HOME"]), True, print)
    try:
        return report.make(query, ledgers)
    finally:
        for ledger in ledgers:
            ledger.close()


def usd(picousd: int) -> Decimal:
    return Decimal(picousd).scaleb(-12)


@pytest.mark.parametrize("case", params())
def test_a_case_is_booked_as_it_truly_is(case: Case, tmp_path: Path) -> None:
    env = environment(tmp_path)
    config = tmp_path / "config"
    case.build(config)
    for new_steps_expected in (True, False):  # the second import finds nothing new
        sessions = list(history.find_sessions(str(config / "projects")))
        summary = history.import_sessions(sessions, env, NOW_MS)
        assert bool(summary.new_steps) is new_steps_expected
    made, truth = booked(case, env), case.truth
    total = made.total
    assert total.steps == truth.steps
    assert total[1:6] == truth.tokens
    assert total.web_searches == truth.searches
    assert usd(total.picousd) == truth.usd
    assert usd(total.unattributed_picousd) == truth.unattributed_usd
    assert total.unpriced_steps == truth.unpriced_steps
    assert tuple(made.unpriced_models) == truth.unpriced_models
    assert made.skipped_lines == truth.skipped_lines
    for view in truth.views:
        rows = booked(case, env, view).rows
        assert {key: usd(spend.picousd) for key, spend in rows.items()} == case.view(view)


RIGHT = [case for case in CASES if case.name not in OPEN]


def test_files_that_grow_are_booked_as_if_read_at_once(tmp_path: Path) -> None:
    """Sessions a third at a time, cut anywhere; their agents' files come last."""
    env = environment(tmp_path)
    whole, projects = tmp_path / "whole", tmp_path / "config" / "projects"
    for case in RIGHT:
        case.build(whole)
    for third in (1, 2, 3):
        for path in filter(Path.is_file, (whole / "projects").rglob("*")):
            if third == 3 or "subagents" not in path.parts:
                grown = projects / path.relative_to(whole / "projects")
                grown.parent.mkdir(parents=True, exist_ok=True)
                held = grown.stat().st_size if grown.exists() else 0
                with grown.open("ab") as file:
                    file.write(path.read_bytes()[held : path.stat().st_size * third // 3])
        history.import_sessions(list(history.find_sessions(str(projects))), env, NOW_MS)
    total = booked(RIGHT[0], env).total
    assert total.steps == sum(case.truth.steps for case in RIGHT)
    assert usd(total.picousd) == sum(case.truth.usd for case in RIGHT)
    assert usd(total.unattributed_picousd) == sum(case.truth.unattributed_usd for case in RIGHT)


def test_a_removed_worktree_is_not_booked_again(tmp_path: Path) -> None:
    """While it exists, its sessions are the repository's; afterwards its path leads nowhere."""
    env = environment(tmp_path)
    repository, worktree = tmp_path / "repository", tmp_path / "worktree"
    admin = repository / ".git" / "worktrees" / "worktree"
    admin.mkdir(parents=True)
    (admin / "commondir").write_text("../..\n")
    worktree.mkdir()
    (worktree / ".git").write_text(f"gitdir: {admin}\n")
    files = Files(tmp_path / "config", "worktree")
    files.cwd = str(worktree)
    files.put([files.prompt(), files.step(1), files.step(2)])
    for _ in range(2):
        sessions = list(history.find_sessions(str(tmp_path / "config" / "projects")))
        history.import_sessions(sessions, env, NOW_MS)
        shutil.rmtree(worktree, ignore_errors=True)
    assert booked(CASES[0], env).total.steps == 2


def test_all_cases_together_through_the_commands(tmp_path: Path) -> None:
    """One config folder with everything in it: no case spills into another."""
    env = {**os.environ, **environment(tmp_path)}
    for case in RIGHT:
        case.build(tmp_path / "config")

    def run(*command: str) -> Any:
        argv = [sys.executable, "-m", "budget", *command]
        done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, check=True, text=True)
        return json.loads(done.stdout)

    truths = [case.truth for case in RIGHT]
    imported = run("import", "--json")
    assert imported["unreadable"] == []
    assert run("import", "--json")["new_steps"] == 0
    made = run("report", "daily", "--all", "--json", "--timezone", "Europe/Berlin")
    total = made["total"]
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    tokens = [total[f"{kind}_tokens"] for kind in kinds]
    assert tokens == [sum(each) for each in zip(*(truth.tokens for truth in truths), strict=True)]
    assert total["steps"] == sum(truth.steps for truth in truths)
    assert total["web_searches"] == sum(truth.searches for truth in truths)
    assert total["unpriced_steps"] == sum(truth.unpriced_steps for truth in truths)
    for key in ("usd", "unattributed_usd"):
        whole: Decimal = sum((getattr(truth, key) for truth in truths), Decimal())
        assert abs(Decimal(total[key]) - whole) < MICRO
    models = {model for truth in truths for model in truth.unpriced_models}
    assert made["unpriced_models"] == sorted(models)
    assert made["skipped_lines"] == sum(truth.skipped_lines for truth in truths)


def test_cases_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30
    assert set(OPEN) <= {case.name for case in CASES}
