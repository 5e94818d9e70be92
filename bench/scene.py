"""Homes, projects, transcripts and ledgers to run hooks in.

python -m bench.scene FOLDER COUNT    books so many entries of a year into a folder's project
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from bench.processes import PYTHON, ROOT, Taken, peak_mb, run
from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.paths import find_project, ledger_file
from budget.pricing import load_table

HOOK = (
    *(PYTHON, "-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import run"),
    str(ROOT / "hooks"),
)
"""As in hooks.json."""
_YEAR_MS = 365 * 86_400_000
_YEAR_STARTS_MS = 1_763_000_000_000
_BYTES_PER_STEP = 50_000
_MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")

TWO_BUDGETS = """version = 1
[budgets.session]
per = "session"
usd = 1000000
[budgets.day]
per = "day"
usd = 1000000
"""
ONE_BUDGET = TWO_BUDGETS.partition("[budgets.day]")[0]
_PERIODS = ("session", "hour", "day", "week", "month", "total", "rolling 5h", "rolling 90m")
_UNITS = ("usd", "tokens", "output_tokens", "steps")


def four_budgets(layer: int) -> str:
    """All different from those of the other layers; some over all projects, some with a filter."""
    text = "version = 1\n"
    for number in range(4 * layer, 4 * layer + 4):
        scope = '\nscope = "user"' if number % 10 == 5 else ""
        models = '\nmodels = ["*sonnet*"]' if number % 7 == 3 else ""
        text += f'[budgets.b{number}]\nper = "{_PERIODS[number % len(_PERIODS)]}"\n'
        unit = _UNITS[number % len(_UNITS)]
        text += f"{unit} = {10**6 if unit == 'usd' else 10**12}{scope}{models}\n"
    return text


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


class Scene:
    """One session of one project: its home, its config, and its transcript of so many bytes."""

    def __init__(
        self,
        folder: Path,
        megabytes: float = 1,
        config: str = TWO_BUDGETS,
        project: str = "project",
        session: str = "bench",
        first: int = 0,
    ) -> None:
        """`first` numbers the steps: no two sessions of one ledger have the same."""
        self.home, self.project, self.state = folder / "home", folder / project, folder / "state"
        self.session = session
        (self.project / ".claude").mkdir(parents=True, exist_ok=True)
        (self.project / ".claude" / "budget.toml").write_text(config)
        self.transcript = self.home / ".claude" / "projects" / project / f"{session}.jsonl"
        self.transcript.parent.mkdir(parents=True, exist_ok=True)
        self.env = {
            "HOME": str(self.home),
            "USER": "bench",
            "BUDGET_HOME": str(self.state),
            "PATH": os.defpath,
            "CLAUDE_PROJECT_DIR": str(self.project),
            "CLAUDE_CODE_ENTRYPOINT": "cli",
        }
        self._next = first + max(1, round(megabytes * 1_000_000 / _BYTES_PER_STEP))
        padding = filler(_BYTES_PER_STEP - 2_000)
        with self.transcript.open("w") as file:
            for number in range(first, self._next):
                file.write(step_line(number) + padding)

    def add_layers(self, folder: Path) -> None:
        """Twenty budgets in five layers, instead of the config."""
        self.env["BUDGET_POLICY"] = str(folder / "team.toml")
        claude = self.project / ".claude"
        files = (
            folder / "team.toml",
            claude / "budget-policy.toml",
            claude / "budget.local.toml",
            self.home / ".claude" / "budget.toml",
            claude / "budget.toml",
        )
        for layer, file in enumerate(files):
            file.write_text(four_budgets(layer))

    def event(self) -> bytes:
        """The event after the last step, as the client sends it."""
        call = {"tool_use_id": f"toolu_{self._next - 1:012d}", "tool_name": "Bash"}
        event = {
            "hook_event_name": "PostToolBatch",
            "session_id": self.session,
            "transcript_path": str(self.transcript),
            "cwd": str(self.project),
            "tool_calls": [call],
        }
        return json.dumps(event).encode()

    def add_step(self) -> None:
        with self.transcript.open("a") as file:
            file.write(step_line(self._next))
        self._next += 1

    def hook(self) -> Taken:
        """The hook of a step that was just made. Raises `SystemExit` when it has to complain."""
        self.add_step()
        taken = run(HOOK, self.env, self.event())
        if taken.said:
            raise SystemExit(f"the hook had something to say: {taken.said.decode()}")
        return taken

    def peak_mb(self) -> float:
        self.add_step()
        return peak_mb(HOOK, self.env, self.event())

    def catch_up(self) -> list[Taken]:
        """Hooks without a new step until all is read: one, unless the transcript is very long."""
        taken = [run(HOOK, self.env, self.event())]
        while not self._is_read():
            taken.append(run(HOOK, self.env, self.event()))
        return taken

    def _is_read(self) -> bool:
        ledger = self._ledger()
        cursors = ledger.cursors(self.session)
        ledger.close()
        return cursors[str(self.transcript)].offset == self.transcript.stat().st_size

    def entries(self) -> int:
        """How many steps are booked in the project."""
        ledger = self._ledger()
        count = int(ledger.row("SELECT count(*) FROM entries")[0])
        ledger.close()
        return count

    def book_year(self, count: int) -> None:
        """So many entries over a year. In a process of its own, which takes the memory with it."""
        if count:
            script = (sys.executable, "-m", "bench.scene", str(self.project), str(count))
            run(script, {**os.environ, "BUDGET_HOME": str(self.state)})

    def _ledger(self) -> Ledger:
        return ledger_of(self.env, self.project)


def ledger_of(env: Mapping[str, str], folder: Path) -> Ledger:
    project = find_project(str(folder))
    return Ledger(ledger_file(env, project), root=project.root)


def year_of_steps(count: int) -> Iterator[Step]:
    """In 700 sessions."""
    for number in range(count):
        yield Step(
            f"msg_of_the_year_{number}",
            f"session-{number * 700 // count}",
            "main" if number % 5 else "general-purpose",
            "",
            f"prompt-{number // 8}",
            f"branch-{number % 9}",
            _MODELS[number % 3],
            _YEAR_STARTS_MS + number * _YEAR_MS // count,
            Usage(10, 400, 90_000, 0, 2_000),
        )


def year_of_entries(env: Mapping[str, str], folder: Path, count: int) -> None:
    """Books so many entries of a year into a folder's project, as the ledger itself does."""
    ledger, table = ledger_of(env, folder), load_table()
    steps = year_of_steps(count)
    while some := list(islice(steps, 50_000)):
        with ledger.transaction():
            ledger.book(some, table)
    ledger.close()


def main() -> None:
    folder, count = sys.argv[1:]
    year_of_entries(os.environ, Path(folder), int(count))


if __name__ == "__main__":
    main()
