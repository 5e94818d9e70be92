"""What commands print: whatever stands in a ledger, in names and paths, it is text and no more."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import paths
from budget.export import spreadsheet_safe
from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.pricing import load_table
from budget.shown import Shown, shown
from tests.test_bad_input import ROOT, USED_UP, Machine, steps_booked

ODD = "evil\x1b[2J\x1b]0;owned\x07\n\u202eabc\x9b31m"
FORMULA = '=HYPERLINK("http://x";"y")'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def budget(machine: Machine, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "budget", *words],
        cwd=machine.project,
        env={**machine.env(), "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
        capture_output=True,
        check=False,
    )
    assert run.returncode in (0, 3), run.stderr
    assert b"Traceback" not in run.stderr
    return run.stdout.decode()


def with_step(machine: Machine, text: str) -> None:
    """A ledger with a step of today all of whose names are that text, as an agent may write it."""
    project = paths.find_project(str(machine.project))
    step = Step("m1", text, text, text, text, text, text, 1_795_000_000_000, Usage(1, 1), user=text)
    ledger = Ledger(paths.ledger_file(machine.env(), project), root=project.root)
    with ledger.transaction():
        ledger.book([step], load_table())
    ledger.close()


COMMANDS = (
    *(["status"], ["status", "--json"], ["report", "branch"], ["report", "model"]),
    *(["report", "session", "--json"], ["report", "user", "--csv"], ["export"], ["explain"]),
    *(["export", "--format", "csv"], ["export", "--invoice", "month"], ["reconcile"]),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nothing_in_a_ledger_reaches_the_terminal(machine: Machine, words: list[str]) -> None:
    machine.repo_config.write_text(USED_UP)
    with_step(machine, ODD)
    told = budget(machine, *words)
    assert told
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(told)


def test_csv_runs_nothing_in_a_spreadsheet_and_jsonl_is_exact(machine: Machine) -> None:
    with_step(machine, FORMULA)
    (row,) = csv.DictReader(io.StringIO(budget(machine, "export", "--format", "csv")))
    for field in ("session", "prompt", "agent", "agent_id", "branch", "user", "model"):
        assert row[field] == f"'{FORMULA}", field
    assert row["usd"] == "0.000000000000"
    fact = json.loads(budget(machine, "export"))
    assert fact["branch"] == FORMULA
    (row,) = csv.DictReader(io.StringIO(budget(machine, "report", "branch", "--csv")))
    assert row["key"] == f"'{FORMULA}"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_what_a_spreadsheet_takes_for_a_formula_is_marked(text: str) -> None:
    assert spreadsheet_safe({"a": text, "b": -1, "c": "", "d": f"a{text}"}) == {
        "a": f"'{text}",
        "b": -1,
        "c": "",
        "d": f"a{text}",
    }


@given(st.text())
def test_only_lines_and_colours_are_let_through(text: str) -> None:
    out = io.StringIO()
    stream = Shown(out)
    assert stream.write(text) == len(text)
    told = out.getvalue()
    assert told == shown(text) == shown(told)
    assert len(told) == len(text)
    bare = told.replace("\r\n", "\n").replace("\x1b[31m", "")
    if "\x1b" not in text:
        assert all(line.isprintable() for line in bare.split("\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain\nlines\r\n", "plain\nlines\r\n"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2Jgone", "?[2Jgone"),
        ("\x1b]0;title\x07", "?]0;title?"),
        ("a\rb", "a?b"),
        ("\x9b31m", "?31m"),
        ("tab\tbell\a", "tab?bell?"),
        ("\x1b[31;1mx\x1b[Kx", "\x1b[31;1mx?[Kx"),
    ],
)
def test_colours_are_all_that_a_terminal_is_told(text: str, told: str) -> None:
    assert shown(text) == told


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_a_folder_whose_name_is_no_text_has_budgets_too(machine: Machine) -> None:
    machine.project = machine.root / os.fsdecode(b"caf\xe9")
    config = machine.project / ".claude" / "budget.toml"
    config.parent.mkdir(parents=True)
    config.write_text(USED_UP)
    path = machine.transcript("m1")
    event = machine.event(cwd="/", transcript_path=str(path))
    env = {"CLAUDE_PROJECT_DIR": str(machine.project)}
    answer = machine.hook(event, env=env)
    assert answer["continue"] is False
    assert steps_booked(machine) == 1
    assert "caf" in budget(machine, "status")
    assert budget(machine, "export")
