"""A ledger that cannot be read costs other projects nothing, is named, and comes back whole."""

import json
from pathlib import Path

import pytest

from tests.faults.law import World, assert_law


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two projects with three steps each; the ledger of `b` is garbage."""
    made = World(tmp_path / "world", 1)
    made.session(3, "a")
    made.session(3, "b")
    made.catch_up()
    made.ledger("b").write_bytes(b"garbage " * 1000)
    for beside in ("-wal", "-shm"):
        Path(f"{made.ledger('b')}{beside}").unlink(missing_ok=True)
    return made


@pytest.mark.parametrize("words", [("report", "model"), ("export",), ("reconcile",)])
def test_what_is_shown_of_all_leaves_it_out_and_says_so(
    world: World, words: tuple[str, ...]
) -> None:
    run = world.command(*words, "--all", "--project", str(world.root / "a"))
    assert run.returncode == 0
    assert run.stdout
    assert str(world.ledger("b")) in run.stderr
    assert "Its project is left out here." in run.stderr
    alone = world.command(*words, "--project", str(world.root / "b"))
    assert alone.returncode == 3, "what it is all about is no detail"


def test_a_page_of_another_project_does_not_need_it(world: World) -> None:
    run = world.command("dashboard", "--json", "--project", str(world.root / "a"))
    told = json.loads(run.stdout)
    assert told["total"]["steps"] == 3
    assert any("left out here" in notice for notice in told["notices"])


def test_an_import_goes_on_with_the_other_projects(world: World) -> None:
    world.session(2, "c")
    run = world.command("import")
    assert run.returncode == 0
    assert "2 steps booked." in run.stdout
    assert f"! {world.root / 'b'} is left out. The ledger {world.ledger('b')}" in run.stdout


def test_a_rebuild_makes_it_anew(world: World) -> None:
    run = world.command("rebuild", "--project", str(world.root / "b"))
    assert run.returncode == 0, run.stderr
    assert "file is not a database. A copy lies beside it; it is made anew." in run.stdout
    assert "3 steps were not booked." in run.stdout
    world.catch_up()
    assert_law(world)


def test_an_empty_time_is_not_an_empty_ledger(world: World) -> None:
    words = ("report", "--project", str(world.root / "a"), "--since")
    assert world.command(*words, "2030-01-01").stdout == (
        "Nothing is booked in this project from 2030-01-01 on.\n"
    )
    assert world.command(*words, "2030-01-01", "--until", "2030-02-01").stdout == (
        "Nothing is booked in this project from 2030-01-01 to 2030-02-01.\n"
    )


def test_a_full_disk_is_no_bug(world: World) -> None:
    for words in (("status",), ("report", "--all")):
        with Path("/dev/full").open("wb") as full:
            run = world.command(
                *(*words, "--project", str(world.root / "a")), capture_output=False, stdout=full,
                stderr=-1,
            )  # fmt: skip
        assert run.returncode == 3
        assert run.stderr.splitlines()[-1].endswith("No space left on device.")
