"""No prompt, no content of a file, no thought and no key is stored or shown: markers say so."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from budget import bug_report
from budget.errors import InputError
from tests.plugin import ROOT, budget_toml, command
from tests.realclient.client import API_KEY, Home, run_headless
from tests.realclient.request import Script
from tests.realclient.stub import Answer, Call, Request, Stub
from tests.security.test_state_folder import open_to_others
from tests.test_bad_input import USED_UP, Machine, call_of

PROMPT = "marker-of-the-prompt-7c1d"
CALL = "marker-of-a-tools-input-7c1d"
FILE = "marker-of-a-file-7c1d"
THOUGHT = "marker-of-a-thought-7c1d"
ANSWER = "marker-of-an-answer-7c1d"
VARIABLE = "marker-of-a-variable-7c1d"
SYSTEM = "marker-of-claude-md-7c1d"
MARKERS = (PROMPT, CALL, FILE, THOUGHT, ANSWER, VARIABLE, SYSTEM)


def found_in(folder: Path) -> list[str]:
    """Where a marker or a key stands in any byte below a folder, or in a name."""
    keys = (*MARKERS, API_KEY)
    found = []
    for path in folder.rglob("*"):
        found += [f"name of {path}" for key in keys if key in path.name]
        if path.is_file():
            data = path.read_bytes()
            found += [f"{key} in {path}" for key in keys if key.encode() in data]
    return found


def found_in_text(text: str) -> list[str]:
    return [key for key in (*MARKERS, API_KEY) if key in text]


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def reading(file: Path) -> Script:
    """Reads a file, says something, starts an agent, and goes on until it is stopped."""

    def script(request: Request) -> Answer:
        if request.turn_step == 1:
            return Answer(THOUGHT, (Call("Read", {"file_path": str(file)}),))
        if request.turn_step == 2 and request.marker is None:
            prompt = f"[[agent-1]] {PROMPT} for an agent"
            agent = {"description": CALL, "prompt": prompt, "subagent_type": "general-purpose"}
            return Answer(ANSWER, (Call("Agent", agent),))
        bash = {"command": f"echo {CALL}", "description": f"Say {CALL}"}
        return Answer(ANSWER, (Call("Bash", bash),))

    return script


def test_a_real_session_leaves_nothing_of_what_was_said_in_it(home: Home) -> None:
    file = home.write("secret.txt", f"{FILE}\n" * 20)
    home.write("CLAUDE.md", SYSTEM)
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.02\nwarn_at = [0.2, 0.5]"))
    told = home.root / "told"
    own = home.home / ".claude" / "budget.toml"
    own.parent.mkdir(exist_ok=True)
    notify = json.dumps(["sh", "-c", f"cat >> {told}"])
    own.write_text(f"version = 1\n[notify]\ncommand = {notify}\n")
    with Stub(reading(file)) as stub:
        env = home.env(stub, extra={"MY_TOKEN": VARIABLE, "BUDGET_X": VARIABLE})
        first = run_headless(home, stub, PROMPT, plugin_dir=ROOT, env=env)
        run_headless(home, stub, f"/budget:status {PROMPT}", plugin_dir=ROOT, env=env)
        again = ("--resume", first.session_id)
        run_headless(home, stub, f"again {PROMPT}", plugin_dir=ROOT, env=env, args=again)
        assert PROMPT in str(stub.requests[0].messages), "the markers were in the session"
    transcripts = b"".join(path.read_bytes() for path in home.transcripts())
    for marker in (PROMPT, CALL, FILE, THOUGHT, ANSWER):
        assert marker.encode() in transcripts, f"{marker} was not planted"
    assert {"ledger.db", "client"} <= {path.name for path in home.state.rglob("*")}
    assert found_in(home.state) == []
    if os.name == "posix":
        assert open_to_others(home.state) == [], "what the client's module wrote is closed, too"
    assert "Stopped: " in told.read_text() or "Stopped before" in told.read_text()
    assert found_in_text(told.read_text()) == []
    for words in (
        *(["status"], ["report", "prompt"], ["export"], ["explain", "--json"], ["check"]),
        *(["doctor"], ["reconcile"]),
    ):
        run = command(home, *words)
        assert run.returncode in (0, 3), run.stderr
        assert run.stdout
        assert found_in_text(run.stdout + run.stderr) == [], words


# -- what fails ------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


RAISE = """
import sys
sys.path.append(sys.argv[1])
from budget import hook, pipeline, event
def breaks(*_, **__):
    told = sys.argv[2]
    try:
        int(told)
    except ValueError as error:
        raise {}(told) from error
pipeline.step = breaks
hook.main([])
"""


KINDS = ("ValueError", "KeyError", "RuntimeError", "OSError", "type('E', (Exception,), {})")


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_of_a_bug_quotes_nothing_of_what_was_worked_on(
    machine: Machine, kind: str
) -> None:
    path = machine.transcript("m1")
    event = machine.event(
        transcript_path=str(path), prompt=PROMPT, tool_calls=[{"tool_response": FILE}]
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RAISE.replace("{}", kind, 1), str(ROOT), PROMPT],
        input=json.dumps(event),
        env={**machine.env(), "MY_TOKEN": VARIABLE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "This is a bug in budget" in run.stdout
    report = (machine.state / "logs" / "hook.log").read_text()
    assert found_in(machine.state) == []
    assert found_in_text(run.stdout + run.stderr) == []
    assert "budget/hook.py" in report and "in _respond" in report, "where it was stands there"
    assert "ValueError: " in report, "and what came before"
    assert len(report) < 10_000


def test_what_python_itself_says_of_an_error_is_kept() -> None:
    try:
        None.get("x")  # type: ignore[attr-defined]
    except AttributeError as error:
        told = bug_report.traced(error)
    assert "AttributeError: NoneType object ... attribute get (" in told
    try:
        _ = {"": 1}[FILE]
    except KeyError as error:
        told = bug_report.traced(error)
    assert FILE not in told
    assert f"({len(FILE) + 2} characters)" in told


@pytest.mark.parametrize(
    "change",
    [
        {"transcript_path": f"/{PROMPT}\n"},
        {"hook_event_name": PROMPT * 10},
        {"cwd": f"relative/{PROMPT}"},
        {"tool_calls": PROMPT},
        {"session_id": f"{PROMPT}\0"},
    ],
    ids=["path", "event", "folder", "calls", "session"],
)
def test_input_that_is_refused_is_not_kept(machine: Machine, change: Mapping[str, Any]) -> None:
    """What was wrong is told to the person; of it nothing is stored but that it was said."""
    machine.hook({**machine.event(), **change})
    for path in machine.state.rglob("*") if machine.state.exists() else ():
        if path.is_file():
            assert PROMPT.encode() not in path.read_bytes(), path


def test_tool_output_counts_by_its_length_only(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    path = machine.transcript("m1")
    calls = [{**call_of("m1")[0], "tool_response": FILE * 1_000, "tool_input": {"command": CALL}}]
    for name in ("SessionStart", "PreToolUse", "PostToolBatch", "SubagentStop", "Stop"):
        event = machine.event(
            name,
            transcript_path=str(path),
            tool_calls=calls,
            tool_name="Task",
            tool_input={"prompt": PROMPT, "subagent_type": "x"},
            last_assistant_message=ANSWER,
        )
        assert found_in_text(json.dumps(machine.hook(event))) == []
    assert found_in(machine.state) == []
    with sqlite3.connect(machine.ledger) as db:
        assert db.execute("SELECT count(*) FROM events WHERE kind = 'stop'").fetchone()[0] >= 1


def test_an_error_of_a_library_is_no_place_for_a_key() -> None:
    from budget.environment import _reason

    error = InputError("x")
    error.stderr = "ERROR: no index at https://user:pa55word@host/simple"  # type: ignore[attr-defined]
    assert "pa55word" not in _reason(error)
    assert "host/simple" in _reason(error)
