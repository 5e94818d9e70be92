"""What hooks take: cold, warm, under many budgets, over large ledgers, and many at once.

A warm hook finds one new step at the end of the transcript, prices and books it, judges the budgets
and answers. Warm hooks and the bare interpreter are timed in turn in each round, as whole
processes, so that what else the machine does falls on all alike; the ratios of medians are the
figures.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.processes import BARE, BARE_S, ROOT, Taken, peak_mb, run
from bench.scene import HOOK, ONE_BUDGET, TWO_BUDGETS, Scene

Row = dict[str, Any]
Tell = Callable[[str], None]


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int
    transcripts_mb: tuple[int, ...]
    entries: tuple[int, ...]
    at_once: int
    at_once_rounds: int


FULL = Sizes(60, (1, 10, 100, 1000), (0, 10_000, 100_000, 1_000_000), 64, 5)
QUICK = Sizes(12, (1, 10), (0, 10_000), 16, 1)


def measured(folder: Path, sizes: Sizes, tell: Tell) -> dict[str, Any]:
    """`bare`, `cold`, `warm` and `at_once`."""
    rows: list[tuple[Row, Scene]] = []
    cold = []
    for megabytes in sizes.transcripts_mb:
        tell(f"cold hook, transcript of {megabytes} MB")
        scene = Scene(folder / f"transcript-{megabytes}", megabytes)
        cold.append(_cold(scene, megabytes))
        rows.append(({"transcript_mb": megabytes, "entries": scene.entries(), "budgets": 2}, scene))
    for entries in sizes.entries[1:]:
        tell(f"ledger of {entries:,} entries")
        scene = Scene(folder / f"ledger-{entries}")
        scene.book_year(entries)
        scene.catch_up()
        rows.append(({"transcript_mb": 1, "entries": scene.entries(), "budgets": 2}, scene))
    for budgets in (1, 20):
        scene = Scene(folder / f"budgets-{budgets}", config=ONE_BUDGET)
        if budgets > 1:
            scene.add_layers(folder)
        scene.catch_up()
        scene.hook()
        rows.append(({"transcript_mb": 1, "entries": scene.entries(), "budgets": budgets}, scene))
    tell(f"{len(rows)} warm hooks, {sizes.rounds} rounds")
    bare, warm = _warm(rows, sizes.rounds)
    at_once = []
    for same in (True, False):
        tell(f"{sizes.at_once} hooks at once, {'one project' if same else 'a project each'}")
        many = _Many(folder / f"at-once-{same}", sizes.at_once, same)
        at_once.append(many.measured(sizes.at_once_rounds))
    return {"bare": bare, "cold": cold, "warm": warm, "at_once": at_once}


def _cold(scene: Scene, megabytes: int) -> Row:
    """The first hook of a session, which makes the ledger, and those that read the rest."""
    taken = scene.catch_up()
    return {
        "transcript_mb": megabytes,
        "first_ms": _ms(taken[0].wall_s),
        "hooks": len(taken),
        "all_ms": _ms(sum(each.wall_s for each in taken)),
    }


def _warm(rows: list[tuple[Row, Scene]], rounds: int) -> tuple[Row, list[Row]]:
    env = rows[0][1].env
    bare: list[Taken] = []
    bare_s: list[Taken] = []
    hooks: list[list[Taken]] = [[] for _ in rows]
    for number in range(rounds + 1):
        taken = [run(BARE, env), run(BARE_S, env), *(scene.hook() for _, scene in rows)]
        if number:  # the first round warms up
            for times, each in zip((bare, bare_s, *hooks), taken, strict=True):
                times.append(each)
    wall, cpu = _medians(bare)
    wall_s, cpu_s = _medians(bare_s)
    yardstick = {
        "wall_ms": _ms(wall),
        "cpu_ms": _ms(cpu),
        "peak_mb": peak_mb(BARE, env),
        "s_wall_ms": _ms(wall_s),
        "s_cpu_ms": _ms(cpu_s),
        "s_peak_mb": peak_mb(BARE_S, env),
    }
    warm = []
    for (row, scene), times in zip(rows, hooks, strict=True):
        took, used = _medians(times)
        warm.append(
            {
                **row,
                "wall_ms": _ms(took),
                "cpu_ms": _ms(used),
                "ratio": round(took / wall, 2),
                "ratio_s": round(took / wall_s, 2),
                "cpu_ratio": round(used / cpu, 2),
                "cpu_ratio_s": round(used / cpu_s, 2),
                "peak_mb": round(max(scene.peak_mb() for _ in range(3)), 1),
            }
        )
    return yardstick, warm


class _Many:
    """Sessions whose hooks run at once: of one project, or each of its own."""

    def __init__(self, folder: Path, count: int, same: bool) -> None:
        self.same = same
        self.scenes = [
            Scene(
                folder,
                0.05,
                TWO_BUDGETS,
                "project" if same else f"project-{number}",
                f"session-{number}",
                number * 10_000,
            )
            for number in range(count)
        ]
        for scene in self.scenes:
            scene.catch_up()

    def measured(self, rounds: int) -> Row:
        """From the first start to the last end. Raises `SystemExit` where a step is not booked."""
        times = [self._round() for _ in range(rounds)]
        projects = self.scenes[:1] if self.same else self.scenes
        booked = sum(scene.entries() for scene in projects)
        made = len(self.scenes) * (1 + rounds)
        if booked != made:
            raise SystemExit(f"{booked} steps are booked of {made}")
        return {
            "hooks": len(self.scenes),
            "projects": len(projects),
            "all_ms": _ms(median(times)),
            "per_second": round(len(self.scenes) / median(times), 1),
            "booked": booked,
        }

    def _round(self) -> float:
        for scene in self.scenes:
            scene.add_step()
        start = time.perf_counter()
        hooks = []
        for scene in self.scenes:
            hook = subprocess.Popen(
                HOOK,
                env=scene.env,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert hook.stdin
            hook.stdin.write(scene.event())
            hook.stdin.close()
            hooks.append(hook)
        for hook in hooks:
            assert hook.stdout
            with hook:
                said = hook.stdout.read()
            if said or hook.wait():
                sys.exit(f"a hook had something to say: {said.decode()}")
        return time.perf_counter() - start


def _medians(times: list[Taken]) -> tuple[float, float]:
    return median(each.wall_s for each in times), median(each.cpu_s for each in times)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
