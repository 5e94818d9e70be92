"""kill -9 at any moment: of hooks, of an import, of a new ledger's first hook."""

import random
import time
from collections import Counter
from pathlib import Path

from tests.faults.law import Running, Session, World, assert_law, assert_verified, steps_in
from tests.faults.traced import at, needs_strace

Figures = Counter[str]
_EVENTS = ("PostToolBatch", "PostToolBatch", "Stop", "UserPromptSubmit", "SubagentStop")


def kill_hooks(world: World, kills: int, at_once: int = 6) -> Figures:
    """Kills hooks at random moments, several at work at once, until `kills` died unanswered."""
    figures: Figures = Counter()
    rng = random.Random(world.seed)
    sessions = [world.session(project=f"project-{number % 2}") for number in range(4)]
    longest_s = _longest(world, sessions[0])
    rounds = 0
    while figures["kills"] < kills:
        rounds += 1
        running: list[tuple[float, Running]] = []
        for session in rng.choices(sessions, k=at_once):
            session.grow(rng.randrange(0, 4), rng.choice(("", "", "a1")))
            event = session.event(rng.choice(_EVENTS))
            dies_at = time.monotonic() + rng.uniform(0, longest_s)
            running.append((dies_at, world.start(event)))
        for dies_at, each in sorted(running, key=lambda pair: pair[0]):
            time.sleep(max(0.0, dies_at - time.monotonic()))
            each.process.kill()
            figures["kills"] += each.killed()
        figures["hooks"] += len(running)
        if rounds % 5 == 0 or figures["kills"] >= kills:
            world.catch_up(sessions)
            assert_law(world, f"after {figures['kills']} kills")
    assert_verified(world)
    figures["steps"] = steps_in(world)
    return figures


def _longest(world: World, session: Session) -> float:
    """About how long a hook takes when several are at work."""
    started = time.monotonic()
    for each in [world.start(session.event()) for _ in range(6)]:
        each.answer()
    return time.monotonic() - started


def kill_at_each_call(world: World, calls: tuple[str, ...], step: int = 1) -> Figures:
    """Kills a hook before each of its system calls: with a ledger, and while it is made."""
    figures: Figures = Counter()
    session = world.session()
    for known in (False, True):
        if known:
            world.catch_up()
            session.grow(2)
        for call in calls:
            killed, number = True, 1
            while killed:
                with world.kept():
                    under = at(call, "signal=KILL", str(number))
                    killed = world.start(session.event("PostToolBatch"), under=under).killed()
                    figures["kills"] += killed
                    world.catch_up()
                    assert_law(world, f"killed at {call} {number}, with a ledger: {known}")
                number += step
    return figures


def kill_imports(world: World, kills: int) -> Figures:
    """Kills an import again and again; the last one ends, and books everything once."""
    figures: Figures = Counter()
    for number in range(12):
        world.session(200, project=f"project-{number % 3}")
    rng = random.Random(world.seed)
    started = time.monotonic()
    assert world.command("import").returncode == 0
    took_s = time.monotonic() - started
    assert_law(world, "after an import", people=False)
    while figures["kills"] < kills:
        _forget(world)
        for _ in range(3):
            running = world.start_command("import")
            time.sleep(rng.uniform(0.3, 1.0) * took_s)
            running.kill()
            figures["kills"] += running.wait() == -9
        assert world.command("import").returncode == 0
        assert_law(world, f"after {figures['kills']} killed imports", people=False)
    return figures


def _forget(world: World) -> None:
    for path in (world.state / "projects").glob("*/ledger.db*"):
        path.unlink()


def test_hooks_killed_at_random_lose_and_double_nothing(world: World) -> None:
    assert kill_hooks(world, 20)["kills"] >= 20


@needs_strace
def test_a_hook_killed_at_a_write_loses_and_doubles_nothing(world: World) -> None:
    calls = ("pwrite64", "ftruncate", "rename", "fsync", "fdatasync")
    assert kill_at_each_call(world, calls, step=10)["kills"] > 5


def test_a_killed_import_is_taken_up_by_the_next(world: World) -> None:
    assert kill_imports(world, 3)["kills"] >= 3


def test_a_folder_of_nothing_but_a_temporary_file_is_no_ledger(
    world: World, tmp_path: Path
) -> None:
    """What a killed hook leaves behind is in nobody's way."""
    session = world.session()
    folder = world.ledger().parent
    folder.mkdir(parents=True)
    (folder / "policy-00000000.json.123-456").write_text("{")
    assert session.path.exists()
    world.catch_up()
    assert_law(world)
