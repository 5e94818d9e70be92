"""Two versions of the package on one ledger, and the way from every format there was to this one.

Older versions come out of the repository's own history: a shallow clone skips.
"""

import random
import shutil
import subprocess
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.law import ROOT, World, assert_law, assert_verified, steps_in
from tests.faults.traced import at, needs_strace

Figures = Counter[str]
RELEASED = {
    "0.1.0": "7e6a02f25200d169f4edfa92bddaa409409514ef",
    "the last with format 1": "11873c6364053e95779cf5b4fa6891fec4ada7b1",
}


def older(version: str, folder: Path) -> Path:
    """The package as it was, below `folder`."""
    argv = ["git", "-C", str(ROOT), "archive", RELEASED[version], "budget", "hooks"]
    tar = folder / "older.tar"
    with tar.open("wb") as file:
        got = subprocess.run(argv, stdout=file, stderr=subprocess.DEVNULL, check=False)
    if got.returncode:
        pytest.skip(f"the history of this clone does not have {version}")
    with tarfile.open(tar) as packed:
        packed.extractall(folder / version, filter="data")
    return folder / version


def migrate(world: World, version: str) -> Figures:
    """A ledger of an older version is brought up, with all it holds, by hooks at once."""
    package = older(version, world.root)
    for number in range(3):
        session = world.session(30, f"project-{number % 2}")
        session.report(1000.5)
        world.hook(session.event("PostToolBatch"), package=package)
    for session in world.sessions:
        session.grow(1)
    running = [world.start(each.event("PostToolBatch")) for each in world.sessions * 3]
    for each in running:
        each.answer()
    world.catch_up()
    assert_law(world, f"from {version}")
    assert_verified(world)
    return Counter(migrations=2, hooks=len(running), steps=steps_in(world))


def kill_migrations(world: World, version: str, calls: tuple[str, ...], step: int = 1) -> Figures:
    """The hook that brings a ledger up is killed before each of its system calls."""
    figures: Figures = Counter()
    package = older(version, world.root)
    session = world.session(30)
    world.hook(session.event("PostToolBatch"), package=package)
    session.grow(1)
    for call in calls:
        killed, number = True, 1
        while killed:
            with world.kept():
                under = at(call, "signal=KILL", str(number))
                killed = world.start(session.event("PostToolBatch"), under=under).killed()
                figures["kills"] += killed
                world.catch_up()
                assert_law(world, f"a migration from {version} killed at {call} {number}")
            number += step
    return figures


def both_at_once(world: World, version: str, rounds: int) -> Figures:
    """Hooks of both versions on one project, while its ledger changes its format beneath them.

    The older ones do not know the new format: they say so, change nothing, and let the work go on.
    """
    figures: Figures = Counter()
    package = older(version, world.root)
    sessions = [world.session(5) for _ in range(4)]
    rng = random.Random(world.seed)
    for number in range(rounds):
        if number % 3 == 0:
            shutil.rmtree(world.state, ignore_errors=True)
        running = []
        for session in sessions:
            session.grow(1)
            old = world.start(session.event("PostToolBatch"), package=package)
            time.sleep(rng.uniform(0, 0.05))
            running += [old, world.start(session.event("PostToolBatch"))]
        for each in running:
            answer = each.answer()
            assert answer.get("continue") is not False
        figures["hooks"] += len(running)
        world.catch_up()
        assert_law(world, f"beside {version}")
    return figures


def test_an_older_hook_with_a_newer_ledger_says_so_and_changes_nothing(world: World) -> None:
    package = older("0.1.0", world.root)
    session = world.session()
    world.catch_up()
    session.grow(1)
    answer = world.hook(session.event("PostToolBatch"), package=package)
    assert "A newer budget wrote it: update this one." in answer["systemMessage"]
    world.catch_up()
    assert_law(world)


@pytest.mark.parametrize("version", RELEASED)
def test_a_ledger_of_every_released_format_is_brought_up(world: World, version: str) -> None:
    assert migrate(world, version)["migrations"] == 2


@needs_strace
def test_a_migration_that_is_killed_is_taken_up_by_the_next_hook(world: World) -> None:
    figures = kill_migrations(world, "the last with format 1", ("pwrite64",), step=12)
    assert figures["kills"] > 2


def test_two_versions_at_once_lose_and_double_nothing(world: World) -> None:
    assert both_at_once(world, "the last with format 1", 3)["hooks"] == 24
