"""What hooks read, write, run and call is what `docs/security.md` lists: no more and no less.

Each hook is a real process, told by the interpreter's own audit events.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_bad_input import ROOT, Machine, call_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="paths as Linux has them")

WATCHED = """
import os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def told(what, path):
    if not isinstance(path, int):
        os.write(out, f"{what}\\t{os.path.abspath(os.fspath(path))}\\n".encode())
def audit(event, args):
    if event == "open" and not isinstance(args[0], int):
        told("write" if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else "read", args[0])
    elif event == "sqlite3.connect":
        told("write", args[0])
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.symlink", "os.link"):
        told("write", args[-1] if event in ("os.symlink", "os.link") else args[0])
    elif event == "os.rename":
        told("write", args[1])
    elif event in ("os.listdir", "os.scandir"):
        told("list", args[0])
    elif event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system"):
        os.write(out, f"run\\t{' '.join(map(str, args[1]))}\\n".encode())
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        os.write(out, f"call\\t{args[1:]}\\n".encode())
sys.addaudithook(audit)
sys.path.append(sys.argv[2])
sys.argv = ["-c", sys.argv[2]]
import run
"""
EVENTS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolBatch", "SubagentStop")
ENDS = ("Stop", "PreCompact", "SessionEnd")


class Row(NamedTuple):
    """A line of the table: what is done, to what, and when."""

    what: str
    pattern: str
    when: str


def table() -> list[Row]:
    text = (ROOT / "docs" / "security.md").read_text()
    block = text.partition("<!-- actions -->")[2].partition("<!-- end -->")[0]
    cells = [line.strip("| ").split(" | ") for line in block.strip().splitlines()[2:]]
    return [Row(each[0].strip(), each[1].strip().strip("`"), each[2].strip()) for each in cells]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def whole(machine: Machine) -> None:
    """Everything that a hook could look at is there."""
    subprocess.run(["git", "init", "--quiet", str(machine.project)], check=True)
    folder = machine.project / ".claude"
    (folder / "budget.toml").write_text(
        'version = 1\n[budgets.day]\nper = "total"\nusd = 0.000006\n'
    )
    (folder / "budget.local.toml").write_text("version = 1\n")
    (folder / "budget-policy.toml").write_text("version = 1\n")
    (folder / "settings.json").write_text("{}")
    machine.user_config.write_text(
        'version = 1\n[notify]\ncommand = ["true"]\n[advice]\ncontext_tokens = 1\n'
        '[budgets.mine]\nper = "month"\nscope = "user"\nusd = 5\n'
        "[budgets.plan]\nfive_hour_percent = 90\n"
    )
    (machine.home / ".gitconfig").write_text("[user]\n")
    config = machine.home / ".config" / "git" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[user]\n")
    machine.state.mkdir(mode=0o700)
    shutil.copy(ROOT / "budget" / "prices.json", machine.state / "prices.json")
    (machine.state / "plan-usage.json").write_text("[]")
    report = {"session": "s1", "since_ms": 1, "base_usd": 0, "usd": 0, "at_ms": 1}
    totals = machine.state / "client" / "s1" / "process.json"
    totals.parent.mkdir(parents=True)
    totals.write_text(json.dumps(report))
    agents = machine.transcripts / "s1" / "subagents"
    agents.mkdir(parents=True)
    (agents / "agent-a1.meta.json").write_text('{"agentType": "x"}')


def seen(machine: Machine) -> set[tuple[str, str]]:
    """What all events of a session do, by the words of the table."""
    out = machine.root / "seen"
    path = machine.transcript("m1")
    (machine.transcripts / "s0.jsonl").write_text(path.read_text())
    agent = machine.transcripts / "s1" / "subagents" / "agent-a1.jsonl"
    agent.write_text(path.read_text().replace("m1", "m2"))
    for name in (*EVENTS, *ENDS):
        event = machine.event(
            name,
            transcript_path=str(path),
            tool_calls=call_of("m1"),
            tool_name="Task",
            tool_use_id="call-m1",
            source="startup",
            prompt="/budget:status" if name == "UserPromptSubmit" else "hello",
        )
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", WATCHED, str(out), str(ROOT / "hooks")],
            input=json.dumps(event).encode(),
            env={**machine.env(), "CLAUDE_CODE_ENTRYPOINT": "cli"},
            capture_output=True,
            check=True,
        )
        assert run.stderr == b""
        assert b"bug" not in run.stdout
    with (machine.transcripts / "s1.jsonl").open("a") as file:
        file.write(path.read_text().replace("m1", "m3"))
    lines = (line.split("\t", 1) for line in out.read_text().splitlines())
    return {(what, named(path, machine)) for what, path in lines if not of_python(path)}


def of_python(path: str) -> bool:
    if path in (str(ROOT), os.devnull):
        return True
    places = (sys.prefix, sys.base_prefix, str(ROOT / "budget"), str(ROOT / "hooks"))
    return path.startswith(places) and not path.startswith(f"{sys.executable} ")


def named(path: str, machine: Machine) -> str:
    """A path in the words of the table."""
    for folder, word in (
        (machine.state, "STATE"),
        (machine.transcripts.parent, "TRANSCRIPTS"),
        (machine.project, "PROJECT"),
        (machine.home, "HOME"),
    ):
        path = path.replace(str(folder), word)
    path = re.sub(r"^(STATE/projects)/[^/]+-[0-9a-f]{8}(?=/|$)", r"\1/KEY", path)
    path = re.sub(r"\.[0-9a-f]{16}$", "", path)  # a name to write under, before it is renamed
    path = re.sub(r"/proc/\d+/", "/proc/PID/", path)
    return path.replace(sys.executable, "python")


def test_hooks_do_what_the_table_lists_and_nothing_else(machine: Machine) -> None:
    whole(machine)
    done = seen(machine)
    time.sleep(0.2)  # the notification's own process
    rows = table()
    assert len(rows) > 20
    unlisted = [
        each
        for each in sorted(done)
        if not any(each[0] == row.what and fnmatchcase(each[1], row.pattern) for row in rows)
    ]
    assert unlisted == []
    unseen = [
        row
        for row in rows
        if "(not in the test)" not in row.when
        and not any(what == row.what and fnmatchcase(path, row.pattern) for what, path in done)
    ]
    assert unseen == []


def test_no_hook_calls_anybody(machine: Machine) -> None:
    whole(machine)
    assert [each for each in seen(machine) if each[0] == "call"] == []
    assert [row for row in table() if row.what == "call"] == []


def test_only_the_state_folder_is_written_to(machine: Machine) -> None:
    whole(machine)
    written = {path for what, path in seen(machine) if what == "write"}
    assert all(path.startswith("STATE") for path in written)
    assert all(row.pattern.startswith("STATE") for row in table() if row.what == "write")


def test_the_interpreter_is_asked_about_everything(tmp_path: Path) -> None:
    """The watch sees what it should: else the tests above could not fail."""
    script = tmp_path / "run.py"
    script.write_text(
        "import os, socket, subprocess\n"
        f"open({str(tmp_path / 'x')!r}, 'w').close(); os.mkdir({str(tmp_path / 'y')!r})\n"
        "subprocess.run(['true'])\n"
        "try: socket.create_connection(('127.0.0.1', 1), 1)\n"
        "except OSError: pass\n"
    )
    out = tmp_path / "seen"
    argv = [sys.executable, "-I", "-S", "-c", WATCHED, str(out), str(tmp_path)]
    subprocess.run(argv, check=True)
    told = out.read_text()
    for what in (f"write\t{tmp_path / 'x'}", f"write\t{tmp_path / 'y'}", "run\ttrue", "call\t"):
        assert what in told
    assert os.path.exists(tmp_path / "y")


def test_every_action_of_a_workflow_is_pinned_by_its_hash() -> None:
    """A tag can be moved to other code, which would run with what the workflow may do."""
    used = [
        (path.name, action)
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for action in re.findall(r"uses:\s*(\S+)", path.read_text())
    ]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each[1])] == []
