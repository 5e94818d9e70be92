"""From `budget init` to `budget uninstall` in an empty home, through the hooks as installed.

    python .ci/end_to_end.py

The same on every system, with nothing but the package: a step that costs more than its budget is
written into a transcript, and the command in settings.json, run as the client would, has to
stop the work. Prints what it does; exits 1 where something is not as it should be.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SESSION = "e2e00000-0000-4000-8000-000000000000"
USAGE = {"input_tokens": 1_000, "output_tokens": 10_000}  # claude-sonnet-5: $0.102
CONFIG = 'version = 1\n[budgets.session]\nper = "session"\nusd = 0.05\nstop = "after"\n'


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="budget-e2e-", ignore_cleanup_errors=True) as folder:
        _walk(Path(folder).resolve())
    print("All is as it should be.")
    return 0


def _walk(root: Path) -> None:
    home, project = root / "home", root / "project"
    for place in (home / ".claude", project / ".claude"):
        place.mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE")}
    env |= dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), str(home))
    env |= {"BUDGET_HOME": str(root / "state"), "PYTHONUTF8": "1"}

    def budget(*words: str, code: int = 0) -> str:
        print("$ budget", *words, flush=True)
        run = subprocess.run(
            [sys.executable, "-m", "budget", *words],
            cwd=project,
            env=env,
            check=False,
            capture_output=True,
            encoding="utf-8",
        )
        _expect(run.returncode == code, f"exit code {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout

    budget("init", "--session", "5")
    _expect((project / ".claude" / "budget.toml").is_file(), "init wrote no config")
    (project / ".claude" / "budget.toml").write_text(CONFIG, encoding="utf-8")
    budget("install", "--scope", "user")
    hooks = json.loads((home / ".claude" / "settings.json").read_text(encoding="utf-8"))["hooks"]

    def hook(event: str, **more: object) -> dict[str, Any]:
        (installed,) = hooks[event][0]["hooks"]
        payload = {
            "hook_event_name": event,
            "session_id": SESSION,
            "cwd": str(project),
            "transcript_path": str(_transcript(home)),
            **more,
        }
        run = subprocess.run(
            [installed["command"], *installed["args"]],
            cwd=project,
            env={**env, "CLAUDE_PROJECT_DIR": str(project), "CLAUDE_CODE_ENTRYPOINT": "cli"},
            input=json.dumps(payload).encode(),
            check=False,
            capture_output=True,
        )
        _expect(run.returncode == 0, f"the hook ended with {run.returncode}: {run.stderr!r}")
        answer: dict[str, Any] = json.loads(run.stdout)
        print(event, "->", json.dumps(answer)[:160], flush=True)
        return answer

    step = hook("PostToolBatch", tool_calls=[{"tool_use_id": "toolu_1", "tool_response": "done"}])
    _expect(step.get("continue") is False, "the work went on after the step")
    _expect("($0.1020 spent)" in step["stopReason"], f"it said {step['stopReason']}")
    prompt = hook("UserPromptSubmit", prompt="go on")
    _expect(prompt.get("decision") == "block", "the prompt was let through")
    facts = json.loads(budget("status", "--json"))
    _expect(facts["totals"]["usd"] == "0.102000", f"booked: {facts['totals']}")
    budget("status", "--check", code=1)
    # A runner may have no client: the hooks are what counts here.
    findings = json.loads(budget("doctor", "--json"))["findings"]
    tried = {each["id"]: each["state"] for each in findings if each["group"] == "Hooks"}
    _expect(set(tried.values()) == {"ok"} and "hooks.stops_agent" in tried, f"doctor: {tried}")
    budget("report", "model")
    budget("uninstall", "--scope", "user")
    left = json.loads((home / ".claude" / "settings.json").read_text(encoding="utf-8"))
    _expect(left == {}, f"left in settings.json: {left}")


def _transcript(home: Path) -> Path:
    path = home / ".claude" / "projects" / "p" / f"{SESSION}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True)
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}],
            "usage": USAGE,
        }
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"type": "assistant", "timestamp": at, "sessionId": SESSION, "message": message}
        path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    return path


def _expect(held: bool, told: str) -> None:
    if not held:
        sys.exit(f"NOT as it should be: {told}")


if __name__ == "__main__":
    sys.exit(main())
