"""The plain forms of `report` and `import` mean what the parser takes them for."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from budget.cli import plain
from budget.cli.app import app
from budget.report import VIEWS
from tests.plugin import ROOT

GROUP: Any = typer.main.get_command(app)


@pytest.mark.parametrize("name", plain.FORMS)
def test_the_parser_and_the_plain_form_have_the_same_options(name: str) -> None:
    form = plain.FORMS[name]
    options: dict[str, tuple[str, bool]] = {}
    positional = []
    for parameter in GROUP.commands[name].params:
        if parameter.param_type_name == "argument":
            positional.append(parameter.name)
        else:
            options |= dict.fromkeys(parameter.opts, (parameter.name, parameter.is_flag))
    flags = {word: (to, True) for word, to in form.flags.items()}
    assert flags | {word: (to, False) for word, to in form.values.items()} == options
    assert positional == (["by"] if form.views else [])


OPTIONS = ("--json", "--csv", "--all", "--since", "--until", "--project", "--path")
OTHERS = ("2026-11-23", "x", "", "--since=2026-11-23", "-h", "--", "--jso", "/tmp")
WORDS = st.sampled_from([*VIEWS[:3], *OPTIONS, *OTHERS])


@given(st.sampled_from(sorted(plain.FORMS)), st.lists(WORDS, max_size=6))
def test_what_the_plain_form_understands_the_parser_understands_so(
    name: str, words: list[str]
) -> None:
    told = plain.arguments([name, *words])
    if told is None:
        return
    context = GROUP.commands[name].make_context(name, list(words))
    defaults = GROUP.commands[name].make_context(name, []).params
    assert {key: str(value) for key, value in context.params.items()} == {
        key: str(told.get(key, default)) for key, default in defaults.items()
    }


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["status"],
        ["report", "--help"],
        ["report", "--since"],
        ["report", "day"],
        ["import", "x"],
    ],
)
def test_everything_else_is_the_parsers(words: list[str]) -> None:
    assert plain.arguments(words) is None


@pytest.mark.parametrize("command", [["report", "model", "--json"], ["import", "--json"]])
def test_the_plain_forms_do_without_the_parser(command: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv[0] = 'budget'\n"
        "from budget.cli import main\n"
        "main()\n"
        "slow = {'typer', 'pydantic', 'rich', 'click'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    (tmp_path / "claude" / "projects").mkdir(parents=True)
    env = {"HOME": str(tmp_path), "BUDGET_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    env |= {"CLAUDE_CONFIG_DIR": str(tmp_path / "claude")}
    run = subprocess.run(
        [sys.executable, "-c", code, *command],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_wrong_value_is_told_with_the_usage(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "budget", "report", "--since", "friday"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"HOME": str(tmp_path), "BUDGET_HOME": str(tmp_path / "state")},
    )
    assert run.returncode == 2
    assert "Usage:" in run.stderr
    told = "--since expects a date such as 2026-11-23, today or yesterday, got 'friday'."
    assert told in " ".join(run.stderr.replace("│", " ").split())
