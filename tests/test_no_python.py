"""Where no hook answers, the plugin's module tells the person: the real client shows it.

A session whose hooks answer is never warned, however slow they are.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin import ROOT, budget_toml, entries
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.stub import Stub, bash_loop, spawn_agents
from tests.realclient.terminal import have_tmux, open_client

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a PATH as Linux has it")
needs_tmux = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")

WARNING = "nothing is counted and nothing is stopped in this session"
SHORT = "nothing is counted or stopped: no hook ran. Is python3 3.11 or newer on the PATH?"
PINNED = "counts nothing and stops nothing: its hooks did not run"
NEEDED = ("bash", "cat", "env", "git", "mkdir", "ps", "sh", "sleep", "tmux")


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        made.write(".claude/budget.toml", budget_toml(session="usd = 5"))
        yield made


def path_with(home: Home, python3: str = "") -> str:
    """A PATH of one folder, with `python3` as that shell script; without one where it is empty."""
    folder = home.root / "bin"
    folder.mkdir(exist_ok=True)
    for name in NEEDED:
        link, program = folder / name, shutil.which(name)
        if program and not link.exists():
            link.symlink_to(program)
    python = folder / "python3"
    python.unlink(missing_ok=True)
    if python3:
        python.write_text(f"#!/bin/sh\n{python3}\n")
        python.chmod(0o755)
    return str(folder)


HEALTHY = f'exec {sys.executable} "$@"'


def warnings(run: Result) -> list[str]:
    return [m["text"] for m in run.messages if m.get("subtype") == "ui_log"]


@pytest.mark.parametrize("python3", ["", "exit 49"], ids=["missing", "the Store's"])
def test_a_stream_has_one_warning(home: Home, python3: str) -> None:
    with Stub(bash_loop(2)) as stub:
        env = home.env(stub, path=path_with(home, python3))
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
        assert len(stub.steps()) == 3, "the warning costs no request"
    [warning] = warnings(run)
    assert warning.startswith(WARNING)
    for told in ("no `python3` of 3.11 or newer on its PATH", "Install", "`budget doctor`"):
        assert told in warning
    assert (run.exit_code, run.result["result"]) == (0, "done after 2 steps")


def test_text_output_has_the_warning_on_stderr_and_the_answer_on_stdout(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home))
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env, output="text")
        assert len(stub.steps()) == 2
    assert run.stderr.count(SHORT) == 1
    assert "`budget doctor`" in run.stderr, "it is not cut off"
    assert (run.exit_code, run.stdout) == (0, "done after 1 step\n")


@needs_tmux
def test_the_screen_has_the_warning_once_and_keeps_a_line_of_it(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home))
        with open_client(home, stub, plugin_dir=ROOT, env=env) as screen:
            screen.submit("count")
            screen.wait_for(WARNING)
            screen.wait_for(PINNED)
            screen.wait_for("done after 1 step")
            screen.submit("again")
            text = screen.wait_for(re.compile(r"again.*done after 1 step", re.DOTALL))
            assert (text.count(WARNING), text.count(PINNED)) == (1, 1)
            # Python is there now: a new session is not warned, and the line goes.
            path_with(home, HEALTHY)
            screen.submit("/clear")
            screen.wait_gone(WARNING)
            screen.submit("count")
            screen.wait_for("done after 1 step")
            assert WARNING not in screen.wait_gone(PINNED)


def test_what_answered_before_a_resume_does_not_speak_for_it(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home, HEALTHY))
        first = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
        resume = ["--resume", first.session_id]
        path_with(home)
        broken = run_headless(home, stub, "more", plugin_dir=ROOT, env=env, args=resume)
        path_with(home, HEALTHY)
        again = run_headless(home, stub, "more", plugin_dir=ROOT, env=env, args=resume)
    assert [len(warnings(run)) for run in (first, broken, again)] == [0, 1, 0]


def test_slow_hooks_are_no_reason(home: Home) -> None:
    slow = "\n".join(f'mkdir "{home.root}/slow-{k}" 2>/dev/null && sleep 2' for k in (1, 2))
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home, f"{slow}\n{HEALTHY}"))
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
    assert (home.root / "slow-2").exists()
    assert (warnings(run), run.stderr) == ([], "")


def test_settings_hooks_beside_a_plugin_whose_python_is_missing_count(home: Home) -> None:
    subprocess.run(
        [sys.executable, "-m", "budget", "install", "--scope", "project"],
        cwd=home.project,
        env={"PATH": os.environ["PATH"], "HOME": str(home.home), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home))
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
    assert warnings(run) == []
    assert len(entries(home)) == 2


def test_a_state_folder_that_settings_name_is_where_the_module_looks(home: Home) -> None:
    state = home.root / "elsewhere"
    user = home.home / ".claude" / "settings.json"
    user.parent.mkdir(exist_ok=True)
    user.write_text(json.dumps({"env": {"BUDGET_HOME": str(state)}}))
    with Stub(bash_loop(1)) as stub:
        env = home.env(stub, path=path_with(home, HEALTHY))
        del env["BUDGET_HOME"]
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
    assert list(Path(state, "client").glob("*/answered")) != []
    assert warnings(run) == []


def test_agents_and_prompts_that_their_ends_send_are_no_reason(home: Home) -> None:
    with Stub(spawn_agents(2, 1)) as stub:
        env = home.env(stub, path=path_with(home, HEALTHY))
        run = run_headless(home, stub, "start them", plugin_dir=ROOT, env=env)
    assert (warnings(run), run.stderr) == ([], "")
