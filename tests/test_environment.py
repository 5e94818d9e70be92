"""A plugin install: a Python without packages, one that is too old, and the command it gets.

The Python of these tests is a virtual environment without any package, whose start-up file writes
down how each process of it was started. Hooks run with `-S` and leave no line there.
"""

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from budget import __version__
from tests.test_bad_input import ROOT, USED_UP, Machine, call_of, hook_argv, says

PREPARED = "budget: the `budget` command is being prepared in the background; budgets hold already."


def ready(command: object) -> dict[str, str]:
    return says(
        "budget: the `budget` command is ready."
        f" For your shell: ln -s {command} ~/.local/bin/budget"
    )


NO_INDEX = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9",
    "PIP_RETRIES": "0",
}
WRITE_DOWN = """
import atexit, json, os, sys
def write_down(what):
    with open(os.environ["STARTED"], "a") as file:
        file.write(json.dumps([what, *sys.orig_argv]) + "\\n")
if "STARTED" in os.environ:
    write_down("started")
    atexit.register(write_down, "ended")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without any package."""
    python = tmp_path_factory.mktemp("python")
    base = Path(sys.base_prefix) / "bin" / "python3"
    subprocess.run([base, "-I", "-m", "venv", "--without-pip", python], check=True)
    (packages,) = python.glob("lib/python3*/site-packages")
    (packages / "sitecustomize.py").write_text(WRITE_DOWN)
    return python


class Plain(Machine):
    """A machine whose `python3` has no packages."""

    def __init__(self, root: Path, python: Path) -> None:
        super().__init__(root)
        self.python = python
        self.log = root / "started.jsonl"

    def env(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join((str(self.python / "bin"), os.defpath))
        own = {"PATH": path, "CLAUDE_PLUGIN_ROOT": str(ROOT), "STARTED": str(self.log)}
        return super().env(**{**own, **more})

    @property
    def target(self) -> Path:
        return self.state / "env"

    def remembered(self) -> dict[str, Any]:
        """What the last build left; empty before one."""
        path = self.target / "state.json"
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return state

    def remember(self, **state: object) -> None:
        self.target.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": __version__, "at": time.time(), **state})
        (self.target / "state.json").write_text(text)

    def start(self, session_id: str = "s1", **env: str) -> dict[str, Any]:
        return self.hook(self.event("SessionStart", session_id=session_id), env=env)

    def builds(self, what: str = "started") -> list[list[str]]:
        """How each process was started that is to make the environment."""
        return [argv for argv in self.started(what) if "environment.build" in " ".join(argv)]

    def started(self, what: str = "started") -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [argv for happened, *argv in map(json.loads, lines) if happened == what]


def wait_for(true: Callable[[], object], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, f"not within {within_s} s"
        time.sleep(0.02)


@contextmanager
def another_build(plain: Plain) -> Iterator[None]:
    """Holds the lock of a build: one that is started meanwhile ends at once."""
    plain.target.mkdir(parents=True, exist_ok=True)
    with (plain.target / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        time.sleep(0.2)
        wait_for(lambda: len(plain.builds("ended")) == len(plain.builds()), 10)


@pytest.fixture
def plain(tmp_path: Path, python: Path) -> Plain:
    return Plain(tmp_path, python)


# -- when a build is started -----------------------------------------------------------------------


def test_the_first_session_starts_a_build_and_says_so_at_once(plain: Plain) -> None:
    plain.repo_config.write_text(USED_UP.replace("usd = 0", "usd = 5"))
    with another_build(plain):
        started = time.monotonic()
        answer = plain.start()
        assert time.monotonic() - started < 2
        assert answer == says(f"budget: mine $5.00 left.\n{PREPARED}")
        wait_for(plain.builds, 5)
    (argv,) = plain.builds()
    assert argv[0] == str(plain.python / "bin" / "python3")
    assert argv[-2:] == [str(ROOT), str(plain.target)]


def test_a_build_that_finds_another_at_work_leaves_it_alone(plain: Plain) -> None:
    with another_build(plain):
        assert plain.start() == says(PREPARED)
        wait_for(plain.builds, 5)
    assert os.listdir(plain.target) == ["lock"]
    assert plain.started() == plain.builds(), "no virtual environment was begun"


@pytest.mark.parametrize(
    "name", ["UserPromptSubmit", "PreToolUse", "PostToolBatch", "Stop", "SessionEnd"]
)
def test_no_other_event_starts_a_build(plain: Plain, name: str) -> None:
    assert plain.hook(plain.event(name)) == {}
    assert not plain.target.exists()
    assert plain.started() == []


def test_hooks_that_are_not_a_plugins_start_no_build(plain: Plain) -> None:
    assert plain.start(CLAUDE_PLUGIN_ROOT="") == {}
    assert not plain.target.exists()


@pytest.mark.parametrize(
    ("state", "starts"),
    [
        ({"status": "building"}, False),
        ({"status": "building", "at": 1}, True),
        ({"status": "building", "version": "0.0.1"}, True),
        ({"status": "ready", "command": sys.executable, "version": "0.0.1"}, True),
        ({"status": "ready", "command": "/gone/budget"}, True),
        ({"status": "ready"}, True),
        ({"status": "failed", "error": "x", "at": 1}, True),
        ({"status": "failed", "error": "x", "version": "0.0.1"}, True),
        ({}, True),
    ],
    ids=[
        "being built",
        "built for too long",
        "built for another version",
        "ready for another version",
        "command gone",
        "no command",
        "failed long ago",
        "failed for another version",
        "no status",
    ],
)
def test_a_build_starts_when_it_is_due(plain: Plain, state: dict[str, Any], starts: bool) -> None:
    plain.remember(**state)
    with another_build(plain):
        assert plain.start() == says(PREPARED)
        if starts:
            wait_for(plain.builds, 5)
    assert bool(plain.builds()) == starts


def test_a_command_that_is_ready_is_named_once(plain: Plain) -> None:
    plain.remember(status="ready", command=sys.executable)
    assert plain.start() == ready(sys.executable)
    assert plain.start() == plain.start("s2") == {}
    assert plain.started() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "\x00"])
def test_a_memory_of_garbage_is_no_memory(plain: Plain, text: str) -> None:
    plain.remember()
    (plain.target / "state.json").write_text(text)
    with another_build(plain):
        assert plain.start() == says(PREPARED)
        wait_for(plain.builds, 5)


@pytest.mark.parametrize(
    "state",
    [{"status": "failed", "at": "yesterday"}, {"status": "ready", "command": ["budget"]}],
    ids=["time", "command"],
)
def test_a_memory_of_other_types_is_no_memory(plain: Plain, state: dict[str, Any]) -> None:
    plain.remember(**state)
    with another_build(plain):
        assert plain.start() == says(PREPARED)
        wait_for(plain.builds, 5)


def test_without_a_place_for_it_budgets_hold_and_nothing_is_promised(plain: Plain) -> None:
    plain.repo_config.write_text(USED_UP)
    plain.state.mkdir()
    plain.target.write_text("")
    assert PREPARED not in plain.start()["systemMessage"]
    assert plain.hook(plain.event())["continue"] is False


def test_a_python_that_has_the_package_needs_no_other(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    event = machine.event("SessionStart")
    assert machine.hook(event, env={"CLAUDE_PLUGIN_ROOT": str(ROOT)}) == says(PREPARED)
    path = machine.state / "env" / "state.json"
    wait_for(lambda: path.exists() and json.loads(path.read_text())["status"] == "ready", 10)
    command = Path(sys.executable).with_name("budget")
    assert Path(json.loads(path.read_text())["command"]) == command
    assert machine.hook(event, env={"CLAUDE_PLUGIN_ROOT": str(ROOT)}) == ready(command)


# -- builds ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_index(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Plain:
    """A machine on which four sessions began at once and no package could be had."""
    plain = Plain(tmp_path_factory.mktemp("without-index"), python)
    plain.repo_config.write_text(USED_UP)
    sessions = [
        subprocess.Popen(
            hook_argv(),
            env=plain.env(**NO_INDEX),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for number, session in enumerate(sessions):
        event = json.dumps(plain.event("SessionStart", session_id=f"s{number}"))
        stdout, _ = session.communicate(event, timeout=10)
        assert json.loads(stdout)["systemMessage"].endswith(PREPARED)
    assert plain.hook(plain.event())["continue"] is False, "budgets hold meanwhile"
    wait_for(lambda: plain.remembered().get("status") == "failed", 60)
    return plain


def test_sessions_that_begin_at_once_build_once(without_index: Plain) -> None:
    assert sum("venv" in argv for argv in without_index.started()) == 1


def test_a_build_that_failed_is_told_and_budgets_hold(without_index: Plain) -> None:
    error = without_index.remembered()["error"]
    line = (
        f"budget: the `budget` command could not be prepared ({error}). Budgets hold all the same;"
        " it is tried again in an hour, or install codebudget with pip."
    )
    before = without_index.started()
    told = without_index.start()["systemMessage"]
    assert told.splitlines()[-1] == line
    assert without_index.hook(without_index.event())["continue"] is False
    time.sleep(0.3)
    assert without_index.started() == before, "it is not tried again at once"


def test_the_reason_of_a_build_that_failed_is_the_error(without_index: Plain) -> None:
    assert "hatchling" in without_index.remembered()["error"]


def registry_is_reachable(folder: Path) -> bool:
    """Whether pip, as it is set up here, finds what the package is built with."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    asked = [*pip, "--retries=0", "--timeout=10", f"--dest={folder}", "hatchling"]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


@pytest.mark.timeout(300)
def test_with_a_package_index_the_command_gets_ready_and_works(plain: Plain) -> None:
    if not registry_is_reachable(plain.root / "download"):
        pytest.skip("no package registry can be reached from here: pip download hatchling failed")
    settings = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
    plain.repo_config.write_text('version = 1\n[budgets.mine]\nper = "session"\nusd = 5\n')
    assert plain.start(**settings)["systemMessage"].endswith(PREPARED)
    path = plain.transcript("m1")
    step = plain.event(transcript_path=str(path), tool_calls=call_of("m1"))
    assert plain.hook(step) == {}, "steps are counted from the start"
    wait_for(lambda: plain.remembered().get("status") in ("ready", "failed"), 240)
    command = plain.target / __version__ / "bin" / "budget"
    state = plain.remembered()
    assert (state["status"], state.get("command")) == ("ready", str(command)), state
    left = "budget: mine $5.00 left."
    assert plain.start("s2") == says(f"{left}\n{ready(command)['systemMessage']}")
    assert plain.start("s2") == says(left)
    run = subprocess.run(
        [command, "status", "--json"],
        cwd=plain.project,
        env=plain.env(),
        check=True,
        capture_output=True,
        text=True,
    )
    facts = json.loads(run.stdout)
    assert facts["totals"]["steps"] == 1
    assert facts["budgets"][0]["name"] == "mine"
    private = [plain.target, plain.target / __version__, plain.target / "state.json"]
    assert not any(stat.S_IMODE(found.stat().st_mode) & 0o077 for found in private)


# -- a Python that is too old, hooks that are not whole --------------------------------------------


def old_pythons() -> list[str]:
    """Every Python 3 of this machine that is older than 3.11, the newest of each minor version."""
    versions = Path.home() / ".pyenv" / "versions"
    found: dict[str, str] = {}
    for minor in range(6, 11):
        places = [*sorted(versions.glob(f"3.{minor}.*/bin/python3")), *which(f"python3.{minor}")]
        for place in places:
            tell = [str(place), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            run = subprocess.run(tell, check=False, capture_output=True, text=True)
            if run.stdout.strip() == f"3.{minor}":
                found[f"3.{minor}"] = str(place)
    return list(found.values())


def which(name: str) -> list[Path]:
    path = shutil.which(name)
    return [Path(path)] if path else []


OLD_PYTHONS = old_pythons()


@pytest.fixture(params=OLD_PYTHONS or ["none"], ids=lambda path: Path(path).parts[-3])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine whose `python3` is too old; both words of the version are in its name."""
    if not OLD_PYTHONS:
        pytest.skip("no Python older than 3.11 on this machine")
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(request.param)
    yield machine
    assert not machine.state.exists(), "it touches nothing"


def old_hook(machine: Machine, data: str) -> dict[str, Any]:
    path = os.pathsep.join((str(machine.root / "bin"), os.defpath))
    return machine.hook(data.encode(), env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"})


def test_an_old_python_says_what_it_needs_when_a_session_starts(old: Machine) -> None:
    python = old.root / "bin" / "python3"
    tell = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([python, "-c", tell], text=True).strip()
    line = (
        "budget: nothing is counted or stopped. It needs Python 3.11 or newer, and `python3` is"
        f" {version}. Install a newer one, or install codebudget with it and run"
        " `budget install`."
    )
    assert old_hook(old, json.dumps(old.event("SessionStart"))) == says(line)


@pytest.mark.parametrize("name", ["UserPromptSubmit", "PreToolUse", "PostToolBatch", "Stop"])
def test_an_old_python_is_silent_at_other_events(old: Machine, name: str) -> None:
    old.repo_config.write_text(USED_UP)
    assert old_hook(old, json.dumps(old.event(name))) == {}


@pytest.mark.parametrize("data", ["", "hello", "[]", "[" * 100_000])
def test_an_old_python_bears_garbage(old: Machine, data: str) -> None:
    assert old_hook(old, data) == {}


@pytest.mark.parametrize("missing", ["hooks/run.py", "hooks", "budget/hook.py", "budget"])
def test_a_plugin_that_is_not_whole_never_blocks(tmp_path: Path, missing: str) -> None:
    """The client blocks on exit code 2, which Python gives for a script that is not there."""
    plugin = tmp_path / "plugin"
    for name in ("hooks", "budget"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, plugin / name, ignore=ignore)
    gone = plugin / missing
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    machine = Machine(tmp_path)
    run = subprocess.run(
        [word.replace(str(ROOT / "hooks"), str(plugin / "hooks")) for word in hook_argv()],
        input=json.dumps(machine.event()),
        env=machine.env(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (1, "")
