"""`budget watch` as a program: on a real terminal by keys, and into a pipe, while hooks book."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from budget import grants, paths, pipeline
from tests.plugin import ROOT, budget_toml
from tests.realclient.terminal import Terminal, have_tmux
from tests.samples import SESSION, step_line, usage

HOOK = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import run"]
WATCH = [sys.executable, "-m", "budget", "watch"]
on_a_terminal = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")


class Work:
    """A project that a client works in: its hooks are real processes."""

    def __init__(self, root: Path) -> None:
        self.project = root / "shop"
        (self.project / ".claude").mkdir(parents=True)
        self.config(budget_toml(day="usd = 0.10"))
        self.state = root / "state"
        self.transcript = root / "home" / ".claude" / "projects" / "p" / f"{SESSION}.jsonl"
        self.transcript.parent.mkdir(parents=True)
        self.env = {
            "HOME": str(root / "home"),
            "BUDGET_HOME": str(self.state),
            "BUDGET_USER": "ana",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        self.steps = 0

    def config(self, text: str) -> None:
        (self.project / ".claude" / "budget.toml").write_text(text)

    def hook(self, name: str, **more: object) -> dict[str, object]:
        event = {
            "hook_event_name": name,
            "session_id": SESSION,
            "transcript_path": str(self.transcript),
            "cwd": str(self.project),
            **more,
        }
        env = {**self.env, "CLAUDE_PROJECT_DIR": str(self.project)}
        run = subprocess.run(
            [*HOOK, str(ROOT / "hooks")],
            input=json.dumps(event).encode(),
            env=env,
            check=True,
            capture_output=True,
        )
        answer: dict[str, object] = json.loads(run.stdout or b"{}")
        return answer

    def step(self, **more: object) -> dict[str, object]:
        """The client makes a step of 0.0285 dollars, and its hook books it."""
        self.steps += 1
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        tool = f"toolu_{self.steps}"
        with self.transcript.open("ab") as file:
            used = usage(output_tokens=1_000)
            made = step_line(f"msg_{self.steps}", used, at=now, tools=[tool], **more)
            file.write(made)
        return self.hook("PostToolBatch", tool_calls=[{"tool_use_id": tool}])


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@on_a_terminal
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_steps_a_stop_and_a_grant_by_keys_while_hooks_book(
    work: Work, columns: int, lines: int
) -> None:
    work.hook("SessionStart", source="startup")
    size = {"columns": columns, "lines": lines}
    with Terminal(WATCH, cwd=work.project, env=work.env, **size) as screen:
        screen.wait_for("$0.10 left today")
        screen.wait_for("No session made a step in the last hour")
        work.step()
        shown = screen.wait_for(SESSION[:8])
        shown = screen.wait_for("working")
        spent = screen.wait_for("today on sonnet-5")
        assert "1k out" in shown or "1k out" in spent

        for _ in range(12):
            if work.step().get("continue") is False:
                break
        else:
            pytest.fail("no budget stopped the work")
        screen.wait_for("Stopped at")
        screen.wait_for('budget "day"')
        assert "working" not in screen.wait_gone("working")

        screen.keys("g")
        screen.wait_for("Grant more on a budget.")
        screen.type("5")
        screen.wait_for("Amount   5")
        screen.keys("Enter")
        time.sleep(0.5)  # a person's pause: keys of one burst all go to the field they came to
        screen.type("the release")
        screen.wait_for("the release")
        screen.keys("Enter")
        screen.wait_for("of $5.10")
        screen.wait_for("holds no longer:")
        project = paths.find_project(str(work.project))
        ledger = pipeline.open_ledger(work.env, project)
        made = grants.active(ledger, int(time.time() * 1000))
        assert [(each.amount, each.reason) for each in made] == [(5 * 10**12, "the release")]
        ledger.close()
        assert "continue" not in work.step()

        screen.keys("Enter")
        screen.wait_for("1 prompts")
        screen.keys("3")
        screen.wait_for("written")
        screen.keys("Escape")
        screen.wait_for("Running now")
        screen.keys("q")
        screen.wait_ended()


@on_a_terminal
def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(work: Work) -> None:
    shell = ["sh", "-c", f"{sys.executable} -m budget watch; echo ended $?; read x"]
    with Terminal(shell, cwd=work.project, env=work.env) as screen:
        screen.wait_for("$0.10 left today")
        screen.keys("C-c")
        screen.wait_for("ended 0")
        assert "Budgets" not in screen.screen()
        screen.type("still typed")
        screen.wait_for("still typed")


@on_a_terminal
def test_a_dumb_terminal_gets_lines(work: Work) -> None:
    command = ["env", "TERM=dumb", *WATCH]
    with Terminal(command, cwd=work.project, env=work.env) as screen:
        screen.wait_for("this terminal (TERM=dumb) shows no full screen, so it prints")
        screen.wait_for("left: $0.10 left today, of $0.10")
        assert "\x1b[" not in screen.screen_ansi()


# -- lines -----------------------------------------------------------------------------------------


class Lines:
    """`budget watch` into a pipe."""

    def __init__(self, work: Work, *options: str) -> None:
        self._file = work.project.parent / "lines"
        with self._file.open("wb") as out:
            self.process = subprocess.Popen(
                [*WATCH, *options], cwd=work.project, env=work.env, stdout=out, stderr=out
            )

    def wait_for(self, text: str, for_s: float = 20.0) -> list[str]:
        until = time.monotonic() + for_s
        while text not in (told := self._file.read_text()):
            assert self.process.poll() is None, told
            assert time.monotonic() < until, told
            time.sleep(0.03)
        return told.splitlines()


@pytest.fixture
def lines(work: Work) -> Iterator[Lines]:
    made = Lines(work)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def test_into_a_pipe_each_thing_that_happens_is_a_line(work: Work, lines: Lines) -> None:
    lines.wait_for("is not there: nothing is booked; waiting for it")
    assert not work.state.exists(), "it makes nothing"
    work.hook("SessionStart", source="startup")
    lines.wait_for("is there")
    work.step(content=None)
    told = lines.wait_for(" step: $0.0")
    step = next(line for line in told if " step: " in line)
    assert f"main sonnet-5 31k in 1k out, session {SESSION[:8]} on main" in step
    lines.wait_for(f"session: {SESSION[:8]} in shop is working")
    for _ in range(12):
        if work.step().get("continue") is False:
            break
    told = lines.wait_for(" stopped: ")
    assert any(" budget: day: " in line and "warning" in line for line in told)
    steps = [line for line in lines.wait_for(" stopped: ") if line[8:].startswith(" step: ")]
    assert len(steps) == work.steps, "every step is told, once"
    assert all(line.isprintable() for line in told)


def test_a_damaged_ledger_is_told_and_so_is_its_recovery(work: Work) -> None:
    work.hook("SessionStart", source="startup")
    work.step()
    file = next(work.state.glob("projects/*/ledger.db"))
    kept = {path: path.read_bytes() for path in (file, file.with_name("ledger.db-wal"))}
    reading = Lines(work)
    try:
        reading.wait_for(" spent: ")
        # Other files take their places: SQLite has those that were there mapped into memory.
        for path in file.parent.glob("ledger.db*"):
            path.unlink()
        file.write_bytes(b"no ledger" * 2_000)
        reading.wait_for(" error: The ledger ")
        file.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
        reading.wait_for(" recovered: the ledger of ")
    finally:
        reading.process.kill()
        reading.process.wait()


def test_json_lines_are_objects_with_figures(work: Work) -> None:
    work.hook("SessionStart", source="startup")
    reading = Lines(work, "--json")
    try:
        reading.wait_for('"budget"')
        work.step()
        told = [json.loads(line) for line in reading.wait_for('"kind": "step"')]
    finally:
        reading.process.kill()
        reading.process.wait()
    budget = next(each for each in told if each["kind"] == "budget")
    assert (budget["budget"], budget["state"], budget["limit"]) == ("day", "ok", "0.100000")
    step = next(each for each in told if each["kind"] == "step")
    assert (step["session"], step["agent"], step["prompt_tokens"]) == (SESSION, "main", 31_010)
    assert all({"at", "kind", "text"} <= set(each) for each in told)


def test_wrong_options_are_told() -> None:
    for options, told in (
        (["--window", "year"], "--window is one of hour, day, week, month, session"),
        (["--theme", "blue"], "--theme is light, dark or auto"),
    ):
        run = subprocess.run(
            [*WATCH, *options], check=False, capture_output=True, text=True, cwd=ROOT
        )
        assert run.returncode == 2
        assert told in " ".join(run.stderr.split())
