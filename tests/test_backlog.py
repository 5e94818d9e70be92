"""A ledger books the other sessions of its project that it knows nothing of, and nobody else's."""

import os
import shutil
import sqlite3
import subprocess
import time
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


# -- sessions that ended without a last hook -------------------------------------------------------


def begins(world: World, project: str = "project") -> None:
    """A session begins: nothing of it is written yet."""
    session = world.session(0, project)
    world.hook(session.event("SessionStart", source="startup"))


def test_what_a_killed_session_wrote_after_its_last_hook_is_booked_when_the_next_begins(
    world: World,
) -> None:
    killed = world.session(3)
    world.catch_up()
    killed.grow(2)
    killed.grow(2, agent="a1")
    killed.report(12_345)
    begins(world)
    assert len(truth(world)) == 3 + 2 + 2
    assert_law(world)


def test_an_agent_that_goes_on_alone_is_caught_up_with(world: World) -> None:
    """Its session's own file had its last line before another session caught up."""
    killed = world.session(3)
    killed.grow(1, agent="a1")
    world.catch_up()
    begins(world)
    hours_ago = time.time() - 5 * 3600
    os.utime(killed.path, (hours_ago, hours_ago))
    killed.grow(2, agent="a1")
    begins(world)
    assert_law(world)


def test_a_session_that_was_killed_before_its_first_hook_is_booked(world: World) -> None:
    world.session(1)
    world.catch_up()
    world.session(2)
    begins(world)
    assert len(truth(world)) == 1 + 2
    assert_law(world)


def test_a_session_that_is_running_is_booked_once(world: World) -> None:
    running = world.session(2)
    world.catch_up()
    for _ in range(3):
        running.grow(1)
        begins(world)
        world.hook(running.event("PostToolBatch"))
    assert len(truth(world)) == 2 + 3
    assert_law(world)


def test_what_is_from_before_the_ledger_is_left_to_an_import(world: World) -> None:
    now = world.session(1)
    world.catch_up()
    before = world.session(4)
    begun = now.path.stat().st_mtime - 3600
    os.utime(before.path, (begun, begun))
    begins(world)
    with sqlite3.connect(world.ledger()) as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    world.command("import")
    world.catch_up([now])
    assert_law(world)


def test_another_project_is_not_caught_up_with(world: World) -> None:
    one, other = world.session(1, "my_app"), world.session(1, "my-app")
    world.catch_up()
    one.grow(2)
    begins(world, "my-app")
    assert one.path.parent == other.path.parent
    with sqlite3.connect(world.ledger("my-app")) as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    begins(world, "my_app")
    assert_law(world)
