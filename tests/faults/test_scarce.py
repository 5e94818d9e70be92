"""What runs out: the disk, a quota, file descriptors, memory; and the state folder itself.

Whatever is refused, and at whichever write: the hook answers, and what it could not book the next
hook books, once there is room again.
"""

import os
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from budget import paths
from tests.faults.law import Session, World, assert_law
from tests.faults.traced import at, needs_strace, paused

Figures = Counter[str]
ERRORS = ("ENOSPC", "EDQUOT", "EIO")
WRITES = ("pwrite64", "write", "ftruncate", "fsync", "fdatasync", "openat", "mkdir", "rename")
_MANY = 200


def _begun(world: World, session: Session, known: bool) -> None:
    """With a ledger, or before there is one."""
    if known:
        world.catch_up()
    session.grow(2)


def refuse_at_each_call(
    world: World, calls: tuple[str, ...], errors: tuple[str, ...], step: int = 1
) -> Figures:
    """Refuses a call of a hook: only the N-th, and the N-th with all later ones."""
    figures: Figures = Counter()
    session = world.session()
    for known in (False, True):
        _begun(world, session, known)
        for call in calls:
            for error in errors:
                for later in ("", "+"):
                    for number in range(1 + world.rng.randrange(step), _MANY, step):
                        where = f"{error} at {call} {number}{later}, with a ledger: {known}"
                        with world.kept():
                            if not _refused(world, session, call, error, f"{number}{later}"):
                                break
                            figures["faults"] += 1
                            world.catch_up()
                            assert_law(world, where)
    return figures


def _refused(world: World, session: Session, call: str, error: str, when: str) -> bool:
    """Whether a hook made that call, and was refused; it answered all the same."""
    log = world.root / "calls"
    log.unlink(missing_ok=True)
    only = _files(world) if call == "openat" else ()  # else Python finds no module of its own
    under = at(call, f"error={error}", when, log, *only)
    world.hook(session.event("PostToolBatch"), under=under)
    return "INJECTED" in log.read_text()


def _files(world: World) -> Iterator[Path]:
    for ledger in (world.ledger(), Path(paths.people_ledger_file(world.env))):
        for ending in ("", "-wal", "-shm", "-journal"):
            yield ledger.with_name(ledger.name + ending)


# -- a disk that is full ---------------------------------------------------------------------------


def can_mount() -> bool:
    return os.geteuid() == 0 and bool(shutil.which("mount")) and os.path.exists("/proc/mounts")


@contextmanager
def small_disk(world: World, size: str) -> Iterator[None]:
    """The state folder on a disk of its own."""
    world.state.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(world.state)]
    if not can_mount() or subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("needs root and the right to mount: a disk that is really full")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(world.state)], check=True)


def fill_disk(world: World, faults: int, after: int = 0) -> Figures:
    """A disk with room for a few pages more, or none: hooks at work until it is full, and later."""
    figures: Figures = Counter()
    with small_disk(world, "8m"):
        session = world.session()
        if after:
            world.catch_up()
        filler = world.state / "filler"
        for number in range(faults):
            room = number * 7 % 40 * 4096
            free = os.statvfs(world.state).f_bavail * 4096
            with filler.open("wb") as file:
                file.write(bytes(max(0, free - room)))
            for event in ("PostToolBatch", "SessionStart", "UserPromptSubmit"):
                session.grow(world.rng.randrange(1, 12))
                world.hook(session.event(event))
            filler.unlink()
            world.catch_up()
            assert_law(world, f"a disk with room for {room} bytes")
            figures["faults"] += 1
            if number % 5 == 4 and not after:
                shutil.rmtree(world.state / "projects", ignore_errors=True)
                shutil.rmtree(world.state / "people", ignore_errors=True)
    return figures


# -- limits of a process ---------------------------------------------------------------------------


def limited(world: World, what: int, limits: range, starts_at: int) -> Figures:
    """Hooks under a limit of the process. Below `starts_at` Python itself may not start.

    Even then they never end with 2, which would lock the person out.
    """
    figures: Figures = Counter()
    session = world.session()
    for known in (False, True):
        _begun(world, session, known)
        for limit in limits:
            with world.kept():
                running = world.start(
                    session.event("PostToolBatch"),
                    preexec_fn=lambda: resource.setrlimit(what, (limit, limit)),  # noqa: B023
                )
                if limit >= starts_at:
                    running.answer()
                else:
                    assert running.end()[0] != 2
                if what == resource.RLIMIT_NOFILE:
                    # Python could not open a module that it wanted to load: that is logged.
                    (world.state / "logs" / "hook.log").unlink(missing_ok=True)
                world.catch_up()
                assert_law(world, f"limit {limit}, with a ledger: {known}")
                figures["faults"] += 1
    return figures


# -- the state folder ------------------------------------------------------------------------------


def vanished(state: Path) -> None:
    shutil.rmtree(state)


def moved_away(state: Path) -> None:
    state.rename(state.with_name("elsewhere"))


def a_file_instead(state: Path) -> None:
    shutil.rmtree(state)
    state.write_text("")


def closed(state: Path) -> None:
    """Nobody may write there, root excepted."""
    for folder in (state, *state.rglob("*")):
        folder.chmod(0o500 if folder.is_dir() else 0o400)


GONE = (vanished, moved_away, a_file_instead, closed)


def lose_state(world: World, step: int = 1) -> Figures:
    """The state folder is lost while a hook is between two system calls, and comes back or not."""
    figures: Figures = Counter()
    session = world.session()
    world.catch_up()
    for lose in GONE:
        for call in ("openat", "pwrite64"):
            only = tuple(_files(world)) if call == "openat" else ()
            reached, number = True, 1
            while reached:
                with world.kept():
                    session.grow(1)
                    event = session.event("PostToolBatch")
                    with paused(world, event, call, number, *only) as reached:
                        lose(world.state)
                    if world.state.is_file():
                        world.hook(session.event("Stop"))
                        world.state.unlink()
                    world.catch_up()
                    assert_law(world, f"{lose.__name__} after {call} {number}")
                    figures["faults"] += reached
                shutil.rmtree(world.root / "elsewhere", ignore_errors=True)
                number += step
    return figures


@needs_strace
def test_a_state_folder_that_is_lost_in_the_middle_is_made_anew(world: World) -> None:
    assert lose_state(world, step=40)["faults"] >= 8


@needs_strace
def test_a_refused_write_costs_nothing(world: World) -> None:
    figures = refuse_at_each_call(world, ("pwrite64", "openat"), ("ENOSPC",), step=25)
    assert figures["faults"] > 4


def test_a_full_disk_costs_nothing(world: World) -> None:
    assert fill_disk(world, 6)["faults"] == 6


KB, MB = 1024, 1024 * 1024
LIMITS = (
    (resource.RLIMIT_FSIZE, range(0, 200 * KB, 4 * KB - 1), 0),
    (resource.RLIMIT_NOFILE, range(3, 20), 4),
    (resource.RLIMIT_AS, range(16 * MB, 64 * MB, 2 * MB), 24 * MB),
)


@pytest.mark.parametrize(("what", "limits", "starts_at"), LIMITS)
def test_a_limit_of_the_process_costs_nothing(
    world: World, what: int, limits: range, starts_at: int
) -> None:
    assert limited(world, what, limits[:: len(limits) // 4], starts_at)["faults"] >= 8
