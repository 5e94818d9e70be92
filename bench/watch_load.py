"""What a live view costs while much is booked: its processor time as a share of one core.

    python -m bench.watch_load [--seconds 60] [--per-minute 1000] [--entries 100000] [--plain]

A project gets a ledger of so many entries over the last months, then another process books steps
at the rate, one transaction each as hooks do, of eight sessions with agents under four budgets.
`budget watch` runs meanwhile in a terminal of 120x40 (tmux) or, with --plain, into a file.
Processor time is that of the view's process with all its threads (/proc), while steps are booked
and while nothing is; beside it how long it took from the start to the first full screen.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from budget import pipeline, reservations
from budget.evaluate import Who
from budget.model import Spend, Step, Usage
from budget.pricing import load_table
from tests import workday
from tests.realclient.terminal import Terminal, have_tmux

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--per-minute", type=int, default=1_000)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--book", nargs=2, metavar=("PROJECT", "STATE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.book:
        book(Path(options.book[0]), options.book[1], options.seconds, options.per_minute)
        return
    if not options.plain and not have_tmux():
        raise SystemExit("tmux is missing: a screen cannot be measured; --plain can.")
    found = measure(options.seconds, options.per_minute, options.entries, options.plain)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    booked = f"{found['booked']:,} steps booked in {found['seconds']:.0f} s"
    print(f"{found['entries']:,} entries, {booked} ({found['per_minute']:.0f} a minute)")
    print(f"processor time of the view  {found['cpu_percent']:.2f} % of one core")
    print(f"idle, nothing booked        {found['idle_percent']:.2f} % of one core")
    print(f"first full screen           {found['first_screen_s']:.2f} s after the start")
    print(f"memory                      {found['memory_mb']:.0f} MB")


def measure(seconds: int, per_minute: int, entries: int, plain: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        env = environment(root)
        project = workday.prepare(root / "project", env)
        fill(env, root / "project", entries)
        command = [sys.executable, "-m", "budget", "watch", "--project", project.root]
        began = time.monotonic()
        if plain:
            with (root / "lines").open("w") as lines:
                view = subprocess.Popen([*command, "--plain"], env=env, cwd=ROOT, stdout=lines)
            wait(lambda: "spent:" in (root / "lines").read_text())
            first = time.monotonic() - began
            try:
                return {
                    "first_screen_s": first,
                    **load(view.pid, root, env, seconds, per_minute, entries),
                }
            finally:
                view.terminate()
                view.wait()
        with Terminal(command, cwd=ROOT, env=env) as screen:
            screen.wait_for(re.compile(r"left (today|this)"), timeout=30)
            first = time.monotonic() - began
            return {
                "first_screen_s": first,
                **load(screen._pid, root, env, seconds, per_minute, entries),
            }


def load(
    pid: int, root: Path, env: dict[str, str], seconds: int, per_minute: int, entries: int
) -> dict[str, float]:
    time.sleep(3)
    idle = usage(pid, lambda: time.sleep(10))
    booker = [sys.executable, "-m", "bench.watch_load", "--seconds", str(seconds)]
    booker += ["--per-minute", str(per_minute)]
    booker += ["--book", str(root / "project"), env["BUDGET_HOME"]]
    told: list[str] = []

    def run() -> None:
        done = subprocess.run(booker, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
        told.append(done.stdout)

    began = time.monotonic()
    used = usage(pid, run)
    took = time.monotonic() - began
    booked = int(told[0])
    return {
        "entries": entries,
        "booked": booked,
        "seconds": took,
        "per_minute": booked / took * 60,
        "cpu_percent": used,
        "idle_percent": idle,
        "memory_mb": memory_mb(pid),
    }


def usage(pid: int, do: object) -> float:
    """Processor time of a process while something is done, in percent of one core."""
    assert callable(do)
    began, before = time.monotonic(), cpu_s(pid)
    do()
    return (cpu_s(pid) - before) / (time.monotonic() - began) * 100


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def wait(done: object, for_s: float = 30.0) -> None:
    assert callable(done)
    until = time.monotonic() + for_s
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"nothing was shown within {for_s} s")
        time.sleep(0.02)


def environment(root: Path) -> dict[str, str]:
    home = root / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "BUDGET_HOME": str(root / "state"),
        "BUDGET_USER": "ana",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
    }


def fill(env: dict[str, str], folder: Path, entries: int) -> None:
    """A ledger of the last three months."""
    from budget import paths

    now_ms = int(time.time() * 1000)
    ledger = pipeline.open_ledger(env, paths.find_project(str(folder)))
    table = load_table()
    random.seed(1)
    span_ms = 90 * 24 * 3_600_000
    for first in range(0, entries, 5_000):
        steps = [
            step(number, number // 150, now_ms - span_ms + number * span_ms // entries)
            for number in range(first, min(entries, first + 5_000))
        ]
        with ledger.transaction():
            ledger.book(steps, table)
    ledger.close()


def step(number: int, session: int, at_ms: int) -> Step:
    agent = number % 5 == 0
    return Step(
        message_id=f"msg_{session}_{number}",
        session_id=f"session-{session:06d}",
        agent="Explore" if agent else "main",
        agent_id=f"agent-{session}-{number // 400}" if agent else "",
        prompt_id=f"prompt-{number // 12}",
        branch=f"feature/{session % 12}",
        model=MODELS[session % 3],
        at_ms=at_ms,
        usage=Usage(8, random.randint(50, 900), 20_000 + number % 150 * 800, 900),
        user="ana",
    )


def book(folder: Path, state: str, seconds: int, per_minute: int) -> None:
    """Books steps at the rate, each in a transaction with what is held for the next one."""
    from budget import paths

    env = {**os.environ, "BUDGET_HOME": state}
    ledger = pipeline.open_ledger(env, paths.find_project(str(folder)))
    table = load_table()
    began = time.monotonic()
    number = 0
    while (due := began + number * 60 / per_minute) < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        now_ms = int(time.time() * 1000)
        made = step(number + 10**7, 10**5 + number % 8, now_ms)
        kept = reservations.Reservation(
            *(made.session_id, made.agent_id, "ana", Who(made.agent, made.model, made.branch)),
            *(Spend(1, picousd=10**10), now_ms + reservations.LAPSES_MS),
        )
        with ledger.transaction():
            ledger.book([made], table)
            reservations.replaced_by(ledger, [made])
            reservations.hold(ledger, kept)
        number += 1
    print(number)


if __name__ == "__main__":
    main()
