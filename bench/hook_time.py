"""How long a warm PostToolBatch hook takes, against the bare interpreter in the same run.

    python -m bench.hook_time [--megabytes 1 100] [--rounds 40]

The yardstick is `python3 -I -c "import json, sqlite3"`: what any hook in Python with a database
has to pay. The hook starts with `-S` too, which leaves out the search for installed packages; so a
second yardstick has it as well. Each round times all three in turn, as whole processes; the hook
finds one new step at the end of a transcript of the given size, books it, judges two budgets and
answers. The ratios of the medians are the figures; times are given for orientation only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The base interpreter: the start of a virtual environment's would be paid by both sides.
PYTHON = os.path.realpath(sys.executable)
YARDSTICK = [PYTHON, "-I", "-c", "import json, sqlite3"]
YARDSTICK_S = [PYTHON, "-I", "-S", "-c", "import json, sqlite3"]
HOOK = [
    PYTHON,
    "-I",
    "-S",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); import run",
    str(ROOT / "hooks"),
]
CONFIG = """version = 1
[budgets.session]
per = "session"
usd = 1000000
[budgets.day]
per = "day"
usd = 1000000
"""


def step_line(number: int) -> str:
    """An assistant line as the client writes it."""
    message = {
        "id": f"msg_{number:012d}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": [
            {"type": "tool_use", "id": f"toolu_{number:012d}", "name": "Bash", "input": {}}
        ],
        "usage": {
            "input_tokens": 200,
            "output_tokens": 200,
            "cache_read_input_tokens": 30_000,
            "cache_creation_input_tokens": 1_000,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 0,
                "ephemeral_1h_input_tokens": 1_000,
            },
        },
    }
    line = {
        "type": "assistant",
        "message": message,
        "timestamp": "2026-11-23T10:00:00.000Z",
        "gitBranch": "main",
        "sessionId": "bench",
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


def filler(size: int) -> str:
    """A line without usage, as most lines of a transcript are."""
    return json.dumps({"type": "attachment", "data": "x" * size}, separators=(",", ":")) + "\n"


def timed(command: list[str], stdin: bytes, env: dict[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, check=True)
    taken = time.perf_counter() - start
    if command is HOOK and done.stdout:
        raise SystemExit(f"the hook had something to say: {done.stdout.decode()}")
    return taken


def payload(number: int, transcript: Path, project: Path) -> bytes:
    """The event after a step, as the client sends it."""
    event = {
        "hook_event_name": "PostToolBatch",
        "session_id": "bench",
        "transcript_path": str(transcript),
        "cwd": str(project),
        "tool_calls": [{"tool_use_id": f"toolu_{number:012d}", "tool_name": "Bash"}],
    }
    return json.dumps(event).encode()


def measure(megabytes: int, rounds: int) -> dict[str, float]:
    """Medians in seconds and their ratio, for one size of transcript."""
    with tempfile.TemporaryDirectory() as folder:
        home, project = Path(folder, "home"), Path(folder, "project")
        (project / ".claude").mkdir(parents=True)
        (project / ".claude" / "budget.toml").write_text(CONFIG)
        transcript = home / ".claude" / "projects" / "bench" / "bench.jsonl"
        transcript.parent.mkdir(parents=True)
        padding = filler(48_000)
        with transcript.open("w") as file:
            steps = max(1, megabytes * 1_000_000 // 50_000)
            for number in range(steps):
                file.write(step_line(number))
                file.write(padding)
        env = {"HOME": str(home), "BUDGET_HOME": str(Path(folder, "state")), "PATH": os.defpath}
        env |= {"CLAUDE_PROJECT_DIR": str(project), "CLAUDE_CODE_ENTRYPOINT": "cli"}

        cold = timed(HOOK, payload(steps - 1, transcript, project), env)
        bare, bare_s, hook = [], [], []
        for number in range(10**9, 10**9 + rounds):
            with transcript.open("a") as file:
                file.write(step_line(number))
            bare.append(timed(YARDSTICK, b"", env))
            bare_s.append(timed(YARDSTICK_S, b"", env))
            hook.append(timed(HOOK, payload(number, transcript, project), env))
    warm = statistics.median(hook)
    return {
        "megabytes": megabytes,
        "cold_ms": cold * 1000,
        "warm_ms": warm * 1000,
        "bare_ms": statistics.median(bare) * 1000,
        "ratio": warm / statistics.median(bare),
        "ratio_s": warm / statistics.median(bare_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(size, options.rounds) for size in options.megabytes]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("transcript  cold hook  warm hook       bare  warm/bare  warm/bare -S")
    for row in rows:
        print(
            f"{row['megabytes']:7.0f} MB {row['cold_ms']:7.0f} ms {row['warm_ms']:7.1f} ms"
            f" {row['bare_ms']:7.1f} ms {row['ratio']:8.2f} x {row['ratio_s']:11.2f} x"
        )


if __name__ == "__main__":
    main()
