"""How long the status line takes as installed, against the bare interpreter in the same run.

    python -m bench.statusline_time [--rounds 40]

The yardstick is `python3 -I -c "import json, sqlite3"`, as in `bench.processes`; a second one has
`-S`, with which the installed command starts, too. Each round times all of them in turn, as whole
processes: the line for a week of booked work with three budgets and every field, the same with
another status line beside it (`cat`), and the yardsticks. The ratios of the medians are the
figures; times are given for orientation only.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.processes import BARE, BARE_S, PYTHON
from budget import settings
from tests.sample_work import made


def timed(command: list[str], stdin: str, env: dict[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, check=True, text=True)
    taken = time.perf_counter() - start
    if "budget.statusline" in " ".join(command) and " left" not in done.stdout:
        raise SystemExit(f"the status line said something else: {done.stdout}")
    return taken


def installed(folder: str, other: str) -> list[str]:
    """The command that an install puts into settings.json, run by the base interpreter."""
    path = os.path.join(folder, f"settings-{bool(other)}.json")
    before = {"statusLine": {"type": "command", "command": other}} if other else {}
    Path(path).write_text(json.dumps(before))
    settings.install(path, False, True, with_hooks=False, join=True)
    words = shlex.split(json.loads(Path(path).read_text())["statusLine"]["command"])
    return [PYTHON, *words[1:]]


def measure(rounds: int = 40) -> dict[str, float]:
    """Medians in seconds and their ratios to the yardsticks."""
    with tempfile.TemporaryDirectory() as folder:
        work = made(Path(folder).resolve(), int(time.time() * 1000))
        env = {key: value for key, value in work.env.items() if key != "PYTHONPATH"}
        told = work.status_line_input()
        line, beside = installed(folder, ""), installed(folder, "cat")
        times: dict[str, list[float]] = {"bare": [], "bare_s": [], "line": [], "beside": []}
        commands = {"bare": [*BARE], "bare_s": [*BARE_S], "line": line, "beside": beside}
        for command in commands.values():
            timed(command, told, env)  # the first one compiles
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(timed(command, told, env))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        "statusline_ms": medians["line"] * 1000,
        "beside_ms": medians["beside"] * 1000,
        "bare_ms": medians["bare"] * 1000,
        "ratio": medians["line"] / medians["bare"],
        "ratio_s": medians["line"] / medians["bare_s"],
        "beside_ratio": medians["beside"] / medians["bare"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    row = measure(options.rounds)
    if options.json:
        print(json.dumps(row, indent=2))
        return
    print("status line  with another       bare  line/bare  line/bare -S  with another/bare")
    print(
        f"{row['statusline_ms']:8.1f} ms {row['beside_ms']:10.1f} ms {row['bare_ms']:7.1f} ms"
        f" {row['ratio']:8.2f} x {row['ratio_s']:11.2f} x {row['beside_ratio']:16.2f} x"
    )


if __name__ == "__main__":
    main()
