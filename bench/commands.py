"""What commands take: an import against ccusage on the same history, reports, the status line."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.history import SHAPES, write_history
from bench.processes import BARE, BARE_S, PYTHON, ROOT, Taken, peak_mb, run
from bench.scene import Scene
from budget.report import VIEWS

Row = dict[str, Any]
BUDGET = (sys.executable, "-m", "budget")
STATUS_LINE = (
    *(PYTHON, "-I", "-S", "-c"),
    "import sys; sys.path.append(sys.argv[1]); from budget.statusline import main; main()",
    str(ROOT),
)
"""As `budget install` sets it up."""


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int
    megabytes: int
    shapes: tuple[str, ...]
    entries: int


FULL = Sizes(5, 300, tuple(SHAPES), 100_000)
QUICK = Sizes(1, 30, ("client",), 10_000)


def ccusage(named: str) -> str:
    """Its native binary: the one that was named, or one on the path; empty where there is none."""
    found = named or shutil.which("ccusage") or ""
    if found and not named and Path(found).read_bytes()[:2] == b"#!":
        return ""  # the starter of npm, which takes longer than the binary it starts
    return found


def imports(folder: Path, sizes: Sizes, peer: str, tell: Callable[[str], None]) -> list[Row]:
    """Processor seconds: of a new import, of one with nothing new, and of ccusage."""
    rows = []
    for shape in sizes.shapes:
        tell(f"import, {sizes.megabytes} MB of history like {shape!r}")
        config, state = folder / shape, folder / "state"
        steps = write_history(config, sizes.megabytes, shape)
        env = _env(folder) | {"CLAUDE_CONFIG_DIR": str(config)}
        command = (*BUDGET, "import", "--json")
        theirs = (peer, "daily", "--json", "--offline")
        ours, others = [], []
        for _ in range(sizes.rounds):
            shutil.rmtree(state, ignore_errors=True)
            taken = run(command, env)
            if json.loads(taken.said)["new_steps"] != steps:
                raise SystemExit(f"{steps} steps were written, and booked: {taken.said.decode()}")
            ours.append(taken.cpu_s)
            others += [run(theirs, env).cpu_s] if peer else []
        again = median(run(command, env).cpu_s for _ in range(sizes.rounds))
        shutil.rmtree(state)
        row: Row = {
            "shape": shape,
            "megabytes": sizes.megabytes,
            "steps": steps,
            "cpu_s": round(median(ours), 3),
            "again_cpu_s": round(again, 3),
            "peak_mb": round(peak_mb(command, env), 1),
        }
        if peer:
            version = run((peer, "--version"), env).said.decode().split()[-1]
            row |= {
                "ccusage": version,
                "ccusage_cpu_s": round(median(others), 3),
                "ccusage_peak_mb": round(peak_mb(theirs, env), 1),
                "ratio": round(median(ours) / median(others), 2),
            }
        rows.append(row)
        shutil.rmtree(state)
        shutil.rmtree(config)
    return rows


def reports(folder: Path, sizes: Sizes, tell: Callable[[str], None]) -> list[Row]:
    """Every view over a year of entries, of the project and of all."""
    tell(f"reports over {sizes.entries:,} entries")
    scene = Scene(folder / "year")
    scene.book_year(sizes.entries)
    rows = []
    for view in VIEWS:
        command = (*BUDGET, "report", view, "--json", "--project", str(scene.project))
        (own, rows_told), (every, _) = (
            _report((*command, *more), scene.env, sizes.rounds) for more in ((), ("--all",))
        )
        rows.append(
            {
                "view": view,
                "entries": sizes.entries,
                "rows": rows_told,
                "cpu_s": round(own, 3),
                "all_cpu_s": round(every, 3),
                "peak_mb": round(peak_mb(command, scene.env), 1),
            }
        )
    return rows


def _report(command: Sequence[str], env: Mapping[str, str], rounds: int) -> tuple[float, int]:
    taken = [run(command, env) for _ in range(rounds)]
    return median(each.cpu_s for each in taken), len(json.loads(taken[0].said)["rows"])


def status_line(folder: Path, rounds: int, entries: int, tell: Callable[[str], None]) -> Row:
    """As the client calls it, over a ledger of so many entries, against the bare interpreter.

    The ledger is that of the hooks (see `hooks.measured`), where it is made.
    """
    tell(f"status line, {rounds} rounds")
    scene = Scene(folder / f"ledger-{entries}")
    if scene.entries() < entries:
        scene.book_year(entries)
    scene.catch_up()
    env = scene.env
    given = {
        "session_id": scene.session,
        "transcript_path": str(scene.transcript),
        "model": {"id": "claude-sonnet-5", "display_name": "Sonnet 5"},
        "workspace": {"current_dir": str(scene.project), "project_dir": str(scene.project)},
        "version": "2.1.330",
        "cost": {"total_cost_usd": 0.5, "total_duration_ms": 60_000},
    }
    stdin = json.dumps(given).encode()
    lines: list[Taken] = []
    bare: list[Taken] = []
    bare_s: list[Taken] = []
    for _ in range(rounds):
        bare.append(run(BARE, env))
        bare_s.append(run(BARE_S, env))
        lines.append(run(STATUS_LINE, env, stdin))
    if b"$" not in lines[-1].said:
        raise SystemExit(f"the status line says: {lines[-1].said.decode()}")
    wall = median(each.wall_s for each in lines)
    return {
        "entries": entries,
        "wall_ms": round(wall * 1000, 1),
        "ratio": round(wall / median(each.wall_s for each in bare), 2),
        "ratio_s": round(wall / median(each.wall_s for each in bare_s), 2),
        "peak_mb": round(peak_mb(STATUS_LINE, env, stdin), 1),
    }


def _env(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": os.environ["PATH"], "BUDGET_HOME": str(folder / "state")}
