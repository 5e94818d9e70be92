"""A ledger books the other sessions of its project that it knows nothing of, and nobody else's."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from budget import backlog, paths, pipeline, sessions
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


def booked(world: World, project: str = "project") -> int:
    """Entries in the ledger of a project."""
    with sqlite3.connect(world.ledger(project)) as db:
        (count,) = db.execute("SELECT count(*) FROM entries").fetchone()
    return int(count)


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
    assert booked(world) == 1
    world.command("import")
    world.catch_up([now])
    assert_law(world)


def test_another_project_is_not_caught_up_with(world: World) -> None:
    one, other = world.session(1, "my_app"), world.session(1, "my-app")
    world.catch_up()
    one.grow(2)
    begins(world, "my-app")
    assert one.path.parent == other.path.parent
    assert booked(world, "my-app") == 1
    begins(world, "my_app")
    assert_law(world)


@pytest.mark.parametrize("git", [False, True])
def test_a_project_within_another_keeps_its_own_sessions(world: World, git: bool) -> None:
    inner = world.root / "project" / "inner"
    inner.mkdir(parents=True)
    if git:
        for folder in (inner.parent, inner):
            subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    world.session(1)
    world.catch_up()
    begins(world)
    other = world.session(3, "project/inner")
    world.catch_up([other])
    begins(world)
    assert booked(world) == 1
    assert booked(world, "project/inner") == 3


def test_a_session_that_names_no_folder_yet_is_not_taken_for_ones_own(world: World) -> None:
    one = world.session(1, "my_app")
    world.session(1, "my-app")
    world.catch_up()
    other = world.session(2, "my-app")
    assert one.path.parent == other.path.parent
    lines = other.path.read_bytes()
    other.path.write_bytes(b'{"type":"mode","mode":"default"}\n')
    begins(world, "my_app")
    other.path.write_bytes(b'{"type":"mode","mode":"default"}\n' + lines)
    begins(world, "my_app")
    assert booked(world, "my_app") == 1


def test_a_session_keeps_the_user_who_began_it(world: World) -> None:
    world.session(1)
    world.catch_up()
    begins(world)
    theirs = world.session(0)
    world.env["BUDGET_USER"] = "bo"
    world.hook(theirs.event("SessionStart", source="startup"))
    theirs.grow(1)
    world.env["BUDGET_USER"] = "cora"
    begins(world)
    with sqlite3.connect(world.ledger()) as db:
        users = db.execute("SELECT user FROM entries WHERE session_id = ?", (theirs.id,)).fetchall()
    assert users == [("bo",)]


def test_a_transcript_that_goes_meanwhile_hides_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client removes old ones when it starts, which is when a session catches up."""
    world.session(1)
    world.catch_up()
    begins(world)
    killed, gone = world.session(3), world.session(1)
    stat = os.DirEntry.stat

    class Listed:
        """An entry of a listing, whose file may be gone when it is looked at."""

        def __init__(self, entry: "os.DirEntry[str]") -> None:
            self.name, self.path, self._entry = entry.name, entry.path, entry

        def is_file(self) -> bool:
            return self._entry.is_file()

        def stat(self) -> os.stat_result:
            if self.path == str(gone.path):
                raise FileNotFoundError(self.path)
            return stat(self._entry)

    @contextmanager
    def listing(folder: str) -> Iterator[list[Listed]]:
        with scandir(folder) as entries:
            yield [Listed(each) for each in entries]

    scandir = os.scandir
    monkeypatch.setattr("budget.backlog.os.scandir", listing)
    found = [path for _, path in backlog._others(str(gone.path.parent / "-"), "", 0)]
    assert str(killed.path) in found
    assert str(gone.path) not in found


@pytest.mark.parametrize("ahead_s", [0, 86_400])
def test_what_is_unattributed_is_of_a_time_that_was(world: World, ahead_s: int) -> None:
    """Whatever the disk's clock says: not of a day to come, which no budget counts today."""
    world.session(1)
    world.catch_up()
    begins(world)
    killed = world.session(2)
    killed.report(12.0)
    at = time.time() + ahead_s
    os.utime(killed.path, (at, at))
    begins(world)
    with sqlite3.connect(world.ledger()) as db:
        ((quarter,),) = db.execute("SELECT quarter FROM unattributed").fetchall()
    assert time.time() * 1000 - 2 * 900_000 < quarter <= time.time() * 1000


def test_damage_in_another_session_is_not_blamed_on_the_one_that_begins(world: World) -> None:
    world.session(1)
    world.catch_up()
    begins(world)
    other = world.session(1)
    with other.path.open("ab") as file:
        file.write(b'{"type":"assistant","message":{"usage":{"output_tokens":"x"}}}\n')
    session = world.session(0)
    told = world.hook(session.event("SessionStart", source="startup"))
    assert "damaged" not in str(told)
    assert "1 damaged lines" in world.command("status", "--project", str(session.project)).stdout


def test_it_goes_on_where_time_ran_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = world.session(1)
    world.catch_up()
    begins(world)
    killed = [world.session(1) for _ in range(5)]
    monkeypatch.setattr(backlog, "FOR_S", 0.0)
    project = paths.find_project(str(now.project))
    ledger = pipeline.open_ledger(world.env, project)
    policy = pipeline.policy_of(world.env, project)
    for starts in range(1, 2 * len(killed) + 1):  # a stretch of a file each
        at_ms = int(time.time() * 1000) + starts * (sessions.CATCHES_UP_MS + 1)
        sessions.catch_up(world.env, project, ledger, policy, str(now.project), at_ms)
    assert ledger.row("SELECT count(*) FROM entries") == (1 + len(killed),)
    ledger.close()


def test_with_the_sdk_a_config_folder_that_is_a_link_is_read_once(world: World) -> None:
    real = world.home / "elsewhere"
    (world.home / ".claude").rename(real)
    (world.home / ".claude").symlink_to(real)
    session = world.session(2)
    world.catch_up()
    session.grow(1)
    project = paths.find_project(str(session.project))
    ledger = pipeline.open_ledger(world.env, project)
    policy = pipeline.policy_of(world.env, project)
    now_ms = int(time.time() * 1000) + 1
    sessions.catch_up(world.env, project, ledger, policy, str(session.project), now_ms)
    assert ledger.row("SELECT count(*) FROM cursors") == (1,)
    assert ledger.row("SELECT count(*) FROM entries") == (3,)
    ledger.close()
