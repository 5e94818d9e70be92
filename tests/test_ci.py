"""The CI workflow has the form it should have, and its walk through the commands succeeds here."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("workflow", ROOT / ".ci" / "workflow.py")
assert _spec and _spec.loader
workflow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(workflow)


def test_the_workflow_has_the_form_it_should_have() -> None:
    assert workflow.problems(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "actions/checkout@v4 is not pinned"),
        ("contents: read\n\n", "contents: write\n\n", "the rights of the token"),
        ("timeout-minutes: 60\n", "", "may run without end"),
        ("persist-credentials: false", "fetch-depth: 0", "leaves its token"),
        (".ci/end_to_end.py", ".ci/run", "sends nothing through"),
        (".ci\\end_to_end.py", ".ci\\run", "the job windows sends nothing through"),
    ],
)
def test_a_workflow_of_another_form_is_told(old: str, new: str, told: str) -> None:
    assert old in TEXT
    assert any(told in problem for problem in workflow.problems(TEXT.replace(old, new)))


@pytest.mark.parametrize("name", workflow.EVERYWHERE)
def test_the_tests_for_every_system_start_nothing_and_lock_nothing(name: str) -> None:
    tree = ast.parse((ROOT / "tests" / f"test_{name}.py").read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported.isdisjoint({"subprocess", "fcntl", "signal", "pty", "termios", "resource"})


def test_from_init_to_uninstall_through_the_installed_hooks() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / ".ci" / "end_to_end.py"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("All is as it should be.\n")
