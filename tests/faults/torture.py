"""The long form of the fault suite: `make torture`. Writes its figures into docs/reliability.md.

`python -m tests.faults.torture [--times N] [--seed N] [--only NAME] [--scale X]`: each part in a
world of its own, two at a time, with a seed that plays a failure again. A part that fails fails
the run, and ends it: only runs that passed in a row are written down.
"""

import argparse
import multiprocessing
import os
import platform
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from budget import __version__
from tests.faults import (
    test_clock,
    test_damage,
    test_kills,
    test_many,
    test_power,
    test_scarce,
    test_stalled,
    test_transcripts,
    test_versions,
)
from tests.faults.law import ROOT, World
from tests.faults.traced import can_trace

Figures = Counter[str]
PAGE = ROOT / "docs" / "reliability.md"
_BEGIN, _END = "<!-- begin: make torture -->", "<!-- end: make torture -->"


class Part(NamedTuple):
    """One kind of fault."""

    name: str
    what: str
    run: Callable[[World, float], Figures]
    needs_strace: bool = False


def _scarce(world: World, scale: float) -> Figures:
    calls, errors = test_scarce.WRITES, test_scarce.ERRORS
    return test_scarce.refuse_at_each_call(world, calls, errors, step=max(1, round(18 / scale)))


def _limits(world: World, scale: float) -> Figures:
    figures: Figures = Counter()
    for number, (what, limits, starts_at) in enumerate(test_scarce.LIMITS):
        part = World(world.root / f"limit-{number}", world.seed)
        step = max(1, round(2 / scale))
        figures += test_scarce.limited(part, what, limits[::step], starts_at)
    return figures


def _full(world: World, scale: float) -> Figures:
    begun = World(world.root / "begun", world.seed)
    count = round(20 * scale)
    return test_scarce.fill_disk(world, count) + test_scarce.fill_disk(begun, count, after=1)


def _kills_at_calls(world: World, scale: float) -> Figures:
    calls = ("pwrite64", "ftruncate", "rename", "fsync", "fdatasync", "openat", "fcntl", "mkdir")
    return test_kills.kill_at_each_call(world, calls, step=max(1, round(7 / scale)))


def _many(world: World, scale: float) -> Figures:
    figures: Figures = Counter()
    for projects in (1, 8, 32):
        part = World(world.root / f"on-{projects}", world.seed)
        figures += test_many.hooks_at_once(part, 64, projects, rounds=round(4 * scale))
    return figures


def _stalled(world: World, scale: float) -> Figures:
    figures = test_stalled.stop_in_transactions(world, step=max(1, round(6 / scale)))
    for whose, how in test_stalled.WAYS:
        part = World(world.root / f"{whose}-{how}", world.seed)
        figures["faults"] += test_stalled.answer_beside(part, whose, how)["hooks"]
    return figures


def _transcripts(world: World, scale: float) -> Figures:
    figures: Figures = Counter()

    def fresh() -> World:
        return World(world.root / f"world-{len(list(world.root.iterdir()))}", world.seed)

    figures += test_transcripts.cut_anywhere(fresh(), round(50 * scale))
    figures += test_transcripts.garble(fresh(), round(300 * scale))
    for ended in (True, False):
        made = test_transcripts.huge_line(fresh(), 200 * test_transcripts.MB, ended)
        figures += Counter(faults=1, hooks=made["hooks"])
    for line in test_transcripts.TINY:
        made = test_transcripts.tiny_lines(fresh(), 1_000_000, line)
        figures += Counter(faults=1, hooks=made["hooks"])
    return figures


def _versions(world: World, scale: float) -> Figures:
    figures: Figures = Counter()
    for number, version in enumerate(test_versions.RELEASED):
        for run in (
            test_versions.migrate,
            lambda world, version: test_versions.both_at_once(world, version, round(6 * scale)),
        ):
            figures["parts"] += 1
            part = World(world.root / f"world-{number}-{figures['parts']}", world.seed)
            figures += run(part, version)
    del figures["parts"]
    return figures


def _killed_migrations(world: World, scale: float) -> Figures:
    calls = ("pwrite64", "fdatasync", "ftruncate")
    step = max(1, round(10 / scale))
    return test_versions.kill_migrations(world, "0.1.0", calls, step)


PARTS = (
    Part(
        "hooks killed at random",
        "`kill -9` of hooks at any moment, six at work at once",
        lambda world, scale: test_kills.kill_hooks(world, round(1000 * scale)),
    ),
    Part(
        "hooks killed at system calls",
        "`kill -9` before a chosen system call, with a ledger and while it is made",
        _kills_at_calls,
        needs_strace=True,
    ),
    Part(
        "imports killed",
        "`kill -9` of `budget import`, again and again",
        lambda world, scale: test_kills.kill_imports(world, round(15 * scale)),
    ),
    Part(
        "migrations killed",
        "`kill -9` of the hook that brings a ledger of 0.1.0 up",
        _killed_migrations,
        needs_strace=True,
    ),
    Part("64 hooks at once", "on one project, 8 and 32, with reports and readers", _many),
    Part(
        "power lost",
        "recorded writes cut anywhere; what was not synced is lost, torn or out of order",
        lambda world, scale: test_power.lose_power(world, round(100 * scale)),
        needs_strace=True,
    ),
    Part(
        "writes refused",
        "no space, no quota, a broken disk: at the N-th write, sync, open or rename, or from it on",
        _scarce,
        needs_strace=True,
    ),
    Part("a full disk", "a disk with room for 0 to 39 pages more", _full),
    Part("limits of the process", "size of files, open files, memory", _limits),
    Part(
        "state folder lost",
        "removed, moved, replaced, closed between two system calls of a hook",
        lambda world, scale: test_scarce.lose_state(world, step=max(1, round(8 / scale))),
        needs_strace=True,
    ),
    Part(
        "processes stopped",
        "a hook that stops after one of its writes; a program that stops in a transaction",
        _stalled,
        needs_strace=True,
    ),
    Part(
        "clocks",
        "set back and forward by an hour, a day, 400 days, of the hook and of the client",
        lambda world, scale: test_clock.jump(world, round(150 * scale)),
    ),
    Part(
        "damaged pages",
        "bits flipped, pages zeroed or swapped, files cut off",
        lambda world, scale: test_damage.damage_pages(world, round(60 * scale)),
    ),
    Part(
        "damage met together",
        "twelve hooks at once on a damaged ledger",
        lambda world, scale: test_damage.hooks_meet_damage(world, round(10 * scale)),
    ),
    Part(
        "transcripts",
        "cut anywhere, garbage, a line of 200 MB, a million tiny lines",
        _transcripts,
    ),
    Part(
        "transcripts spoilt while read",
        "cut off, replaced, rotated, removed between two reads",
        lambda world, scale: test_transcripts.spoil_while_read(world),
        needs_strace=True,
    ),
    Part(
        "two versions", "an older hook beside a newer one, and every format brought up", _versions
    ),
)


class Outcome(NamedTuple):
    name: str
    figures: Figures
    hooks: int
    """Hook processes that were started."""
    took_s: float
    skipped: str = ""
    problem: str = ""


def _run(job: tuple[str, int, float]) -> Outcome:
    name, seed, scale = job
    (part,) = [each for each in PARTS if each.name == name]
    if part.needs_strace and not can_trace():
        return Outcome(name, Counter(), 0, 0.0, skipped="needs strace with the right to trace")
    started = time.monotonic()
    outcome = Outcome(name, Counter(), 0, 0.0)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        try:
            figures = part.run(World(Path(folder) / "world", seed), scale)
            outcome = outcome._replace(figures=figures)
        except pytest.skip.Exception as reason:
            outcome = outcome._replace(skipped=str(reason))
        except Exception:  # noqa: BLE001 - told with its seed
            outcome = outcome._replace(problem=traceback.format_exc())
    return outcome._replace(hooks=World.started, took_s=time.monotonic() - started)


class Run(NamedTuple):
    """All parts once."""

    seed: int
    outcomes: list[Outcome]
    took_s: float

    @property
    def hooks(self) -> int:
        return sum(each.hooks for each in self.outcomes)

    @property
    def total(self) -> Figures:
        return sum((each.figures for each in self.outcomes), Counter())

    @property
    def faults(self) -> int:
        return sum(self.total[name] for name in ("kills", "faults", "cuts", "jumps"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--times", type=int, default=1, help="runs, each with the next seed")
    parser.add_argument("--only", help="parts whose names hold this", default="")
    parser.add_argument("--scale", type=float, default=1.0, help="how many faults, of the full run")
    chosen = parser.parse_args()
    parts = [part for part in PARTS if chosen.only in part.name]
    passed: list[Run] = []
    for seed in range(chosen.seed, chosen.seed + chosen.times):
        run = _once(parts, seed, chosen.scale)
        if any(each.problem for each in run.outcomes):
            return 1
        passed.append(run)
        if len(parts) == len(PARTS) and chosen.scale >= 1:
            _write(passed)
            print(f"The figures are in {PAGE.relative_to(ROOT)}.", flush=True)
    return 0


def _once(parts: list[Part], seed: int, scale: float) -> Run:
    print(f"seed {seed}: `--seed {seed}` plays this run again", flush=True)
    started = time.monotonic()
    jobs = [(part.name, seed, scale) for part in parts]
    outcomes = []
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        for outcome in pool.imap_unordered(_run, jobs, chunksize=1):
            outcomes.append(outcome)
            print(_line(outcome), flush=True)
            if outcome.problem:
                again = f"--seed {seed} --only {outcome.name!r}"
                print(f"\n{outcome.name}, with {again}:\n{outcome.problem}", flush=True)
    run = Run(seed, outcomes, time.monotonic() - started)
    failed = sum(bool(each.problem) for each in outcomes)
    ended = f"{failed} parts failed" if failed else "nothing lost, nothing doubled"
    print(f"\n{ended}: {run.hooks:,} hooks in {run.took_s:.0f} s", flush=True)
    return run


def _line(outcome: Outcome) -> str:
    result = outcome.skipped and f"skipped: {outcome.skipped}"
    result = result or ("FAILED" if outcome.problem else _told(outcome.figures))
    return f"{outcome.name:30} {outcome.took_s:6.1f} s  {outcome.hooks:6,} hooks  {result}"


_SHOWN = ("kills", "faults", "cuts", "jumps", "migrations", "steps")


def _told(figures: Figures) -> str:
    other = [name for name in figures if " " in name]
    shown = [f"{figures[name]:,} {name}" for name in (*_SHOWN, *other) if figures[name]]
    return ", ".join(shown)


def _write(runs: list[Run]) -> None:
    """Puts the figures of these runs into the page, in the place of those before."""
    faults, kills = sum(run.faults for run in runs), sum(run.total["kills"] for run in runs)
    in_a_row = "One run passed" if len(runs) == 1 else f"{len(runs)} runs in a row passed"
    lines = [
        _BEGIN,
        f"{datetime.now(UTC):%Y-%m-%d}, budget {__version__} ({_commit()}),"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" {platform.system()} {platform.release()} on {platform.machine()},"
        f" {os.cpu_count()} processors.",
        f"**{in_a_row}: {faults:,} faults, {kills:,} of them kills,"
        f" {sum(run.hooks for run in runs):,} hook processes;"
        " nothing lost, nothing doubled, nobody locked out.**",
        "",
        "| seed | faults | kills | hooks | minutes |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {run.seed} | {run.faults:,} | {run.total['kills']:,} | {run.hooks:,}"
            f" | {run.took_s / 60:.1f} |"
            for run in runs
        ),
        "",
        "Together, by part:",
        "",
        "| fault | how | hooks | tried |",
        "|---|---|---:|---|",
        *(_row(part, runs) for part in PARTS),
        _END,
    ]
    page = PAGE.read_text(encoding="utf-8")
    anew = re.sub(f"{_BEGIN}.*{_END}", lambda _: "\n".join(lines), page, flags=re.DOTALL)
    PAGE.write_text(anew, encoding="utf-8")


def _row(part: Part, runs: list[Run]) -> str:
    done = [each for run in runs for each in run.outcomes if each.name == part.name]
    skipped = [each.skipped for each in done if each.skipped]
    figures: Figures = sum((each.figures for each in done), Counter())
    tried = f"skipped: {skipped[0]}" if skipped else _told(figures)
    return f"| {part.name} | {part.what} | {sum(each.hooks for each in done):,} | {tried} |"


def _commit() -> str:
    argv = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    told = subprocess.run(argv, check=False, capture_output=True, text=True)
    return told.stdout.strip() or "no commit"


if __name__ == "__main__":
    sys.exit(main())
