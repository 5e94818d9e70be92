"""Many hook processes at once, on one project and on many, with reports and readers beside them."""

import subprocess
from collections import Counter

from tests.faults.law import World, assert_law, assert_verified, steps_in

Figures = Counter[str]
_EVENTS = ("PostToolBatch", "PostToolBatch", "UserPromptSubmit", "SubagentStop", "Stop")


def hooks_at_once(
    world: World, processes: int, projects: int, rounds: int, readers: bool = True
) -> Figures:
    """Starts hooks all at once, again and again; the first ones find no ledger."""
    figures: Figures = Counter()
    count = max(4, processes // 4)
    sessions = [world.session(2, f"project-{number % projects}") for number in range(count)]
    for number in range(rounds):
        running = []
        for index in range(processes):
            session = sessions[index % count]
            session.grow(world.rng.randrange(0, 3), world.rng.choice(("", "", "a1", "a2")))
            if index % 5 == 0:
                session.report(0.5 * (number + 1), process=index % 2)
            running.append(world.start(session.event(_EVENTS[index % len(_EVENTS)])))
        looking = [_reader(world, number), _reader(world, number + 1)] if readers else []
        for each in running:
            each.answer()
        assert [process.wait(60) for process in looking] == [0] * len(looking)
        figures["hooks"] += processes
        figures["readers"] += len(looking)
    world.catch_up()
    assert_law(world, f"{processes} processes, {projects} projects")
    assert_verified(world)
    figures["steps"] = steps_in(world)
    return figures


def _reader(world: World, number: int) -> "subprocess.Popen[bytes]":
    project = str(world.sessions[0].project)
    words = (("status", "--project", project), ("report", "daily", "--all"))[number % 2]
    return world.start_command(*words)


def test_64_hooks_at_once_on_one_project(world: World) -> None:
    assert hooks_at_once(world, 64, projects=1, rounds=1)["steps"] > 32


def test_64_hooks_at_once_on_eight_projects(world: World) -> None:
    assert hooks_at_once(world, 64, projects=8, rounds=1)["steps"] > 32
