"""Twenty hook processes at once on one project: nothing lost, nothing doubled."""

import json
import subprocess
import sys
from pathlib import Path

from budget import paths, pipeline
from budget.model import Window
from tests.plugin import ROOT
from tests.samples import step_line

HOOK = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import run"]


def test_twenty_hooks_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    """Ten on sessions of their own, ten on one session; the ledger does not exist before."""
    project, transcripts = tmp_path / "project", tmp_path / "home" / ".claude" / "projects" / "p"
    project.mkdir()
    transcripts.mkdir(parents=True)
    env = {"HOME": str(tmp_path / "home"), "BUDGET_HOME": str(tmp_path / "state")}
    env["CLAUDE_PROJECT_DIR"] = str(project)
    sessions = [f"own-{number}" for number in range(10)] + ["shared"] * 10
    for session in set(sessions):
        lines = [step_line(f"msg_{session}_{number}") for number in range(30)]
        (transcripts / f"{session}.jsonl").write_bytes(b"".join(lines))
    processes = [
        subprocess.Popen(
            [*HOOK, str(ROOT / "hooks")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in sessions
    ]
    for process, session in zip(processes, sessions, strict=True):
        event = {
            "hook_event_name": "PostToolBatch",
            "session_id": session,
            "transcript_path": str(transcripts / f"{session}.jsonl"),
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(event).encode())
        process.stdin.close()
    for process in processes:
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.wait(30), process.stdout.read(), process.stderr.read()) == (0, b"", b"")
        process.stdout.close()
        process.stderr.close()
    ledger = pipeline.open_ledger(env, paths.find_project(str(project)))
    assert ledger.spend(Window(0, None)).steps == 11 * 30
    assert ledger.spend(Window(0, None, session_id="shared")).steps == 30
    ledger.close()
