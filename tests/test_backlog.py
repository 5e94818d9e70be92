"""A ledger that is new books the project's other sessions, and nobody else's."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.law import World, assert_law, breaches, truth


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world", 1)


def test_two_projects_whose_names_the_client_writes_alike_stay_apart(world: World) -> None:
    one, other = world.session(3, "my_app"), world.session(4, "my-app")
    assert one.path.parent == other.path.parent
    world.catch_up()
    assert_law(world)


def test_sessions_of_a_worktree_are_booked_with_its_repository(world: World) -> None:
    main = world.root / "main"
    main.mkdir()
    as_us = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for words in (
        ("init", "--quiet"),
        (*as_us, "commit", "--quiet", "--allow-empty", "-m", "1"),
        ("worktree", "add", "--quiet", str(world.root / "linked")),
    ):
        subprocess.run(["git", *words], cwd=main, check=True)
    before, now = world.session(3, "linked"), world.session(2, "linked")
    world.catch_up([now])
    assert before.path.parent == now.path.parent
    assert world.ledger("linked") == world.ledger("main")
    assert breaches(world) == []


def test_sessions_of_a_project_that_was_renamed_stay_with_it(world: World) -> None:
    world.session(3, "my_app")
    now = world.session(2, "my-app")
    shutil.rmtree(world.root / "my_app")
    world.catch_up([now])
    world.sessions[0].project = now.project
    assert len(truth(world, "my-app")) == 5
    assert_law(world)
