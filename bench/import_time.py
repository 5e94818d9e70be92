"""Processor time of an import and of reports, against ccusage on the same history, same run.

    python -m bench.import_time [--megabytes 300] [--shape client ...] [--ccusage FILE] [--rounds 5]

`--ccusage` names its native binary; without it only ours is timed. For each shape of history (see
`bench.history`) each round times both in turn as whole processes, with a warm cache: ours into a
new state folder, so that everything is booked. The reports are timed over a ledger of 100,000
entries, a year of heavy use.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.history import SHAPES, write_history
from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.paths import find_project, ledger_file
from budget.pricing import load_table
from budget.report import VIEWS

ROOT = Path(__file__).resolve().parent.parent
BUDGET = [sys.executable, "-m", "budget"]
_YEAR_MS = 365 * 86_400_000


def processor_s(command: list[str], env: Mapping[str, str]) -> tuple[float, float]:
    """User and system seconds of one whole process, and its largest memory in MB."""
    process = subprocess.Popen(
        command, env=dict(env), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, code, used = os.wait4(process.pid, 0)
    if code:
        assert process.stderr is not None
        raise SystemExit(f"{command}: {process.stderr.read().decode()}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def year_of_entries(env: Mapping[str, str], count: int) -> None:
    """A ledger with that many entries over a year, in 700 sessions."""
    project = find_project(env["HOME"])
    ledger = Ledger(ledger_file(env, project), root=project.root)
    models = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
    steps = (
        Step(
            f"msg_{number}",
            f"session-{number * 700 // count}",
            "main" if number % 5 else "general-purpose",
            "",
            f"prompt-{number // 8}",
            f"branch-{number % 9}",
            models[number % 3],
            1_763_000_000_000 + number * (_YEAR_MS // count),
            Usage(10, 400, 90_000, 0, 2_000),
        )
        for number in range(count)
    )
    with ledger.transaction():
        ledger.book(steps, load_table())
    ledger.close()


def time_import(options: argparse.Namespace, shape: str, folder: str) -> None:
    config, state = Path(folder, shape), Path(folder, "state")
    steps = write_history(config, options.megabytes, shape)
    env = environment(folder) | {"CLAUDE_CONFIG_DIR": str(config)}
    ours, theirs, memory = [], [], 0.0
    for _ in range(options.rounds):
        shutil.rmtree(state, ignore_errors=True)
        took, peak = processor_s([*BUDGET, "import", "--json"], env)
        ours.append(took)
        memory = max(memory, peak)
        if options.ccusage:
            peer = [options.ccusage, "daily", "--json", "--offline"]
            theirs.append(processor_s(peer, env)[0])
    again = processor_s([*BUDGET, "import", "--json"], env)[0]
    shutil.rmtree(state)
    shutil.rmtree(config)
    print(f"{shape}: {options.megabytes} MB of history, {steps:,} steps")
    print(f"  budget import          {statistics.median(ours):.2f} s, {memory:.0f} MB of memory")
    print(f"  budget import again    {again:.2f} s (nothing new)")
    if theirs:
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"  ccusage daily          {statistics.median(theirs):.2f} s")
        print(f"  ours / theirs          {ratio:.2f}")


def time_reports(options: argparse.Namespace, folder: str) -> None:
    env = environment(folder)
    year_of_entries(env, 100_000)
    print("reports over 100,000 entries: of the project, of all")
    for view in VIEWS:
        report = [*BUDGET, "report", view, "--json", "--project", folder]
        took = [
            statistics.median(processor_s([*report, *more], env)[0] for _ in range(options.rounds))
            for more in ((), ("--all",))
        ]
        print(f"  budget report {view:8} {took[0]:.2f} s {took[1]:.2f} s")


def environment(folder: str) -> dict[str, str]:
    return {"HOME": folder, "PATH": os.environ["PATH"], "BUDGET_HOME": str(Path(folder, "state"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--ccusage", default="")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("processor seconds of whole processes, median")
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shape:
            time_import(options, shape, folder)
        time_reports(options, folder)


if __name__ == "__main__":
    main()
