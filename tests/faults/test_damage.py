"""Ledgers that are damaged: flipped bits, zeroed pages, cut off files, other things in their place.

The transcripts still hold every fact, so the next hooks have to bring back the truth by themselves,
and say that they did. What SQLite cannot see in a page, `budget verify` has to.
"""

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from budget import paths
from tests.faults.law import World, assert_law, breaches

Figures = Counter[str]


def settled(world: World, sessions: int = 3, steps: int = 60) -> None:
    """A ledger of several dozen pages, folded into its file."""
    for _ in range(sessions):
        world.session(steps)
    world.catch_up()
    for path in _ledgers(world):
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()


def _ledgers(world: World) -> list[Path]:
    return [world.ledger(), Path(paths.people_ledger_file(world.env))]


def _pages(path: Path) -> dict[int, str]:
    """What each page of a ledger holds: a table or an index, by page number."""
    names = {1: "header"}
    with sqlite3.connect(path) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        tables = db.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage").fetchall()
        names |= {page: name for name, page in tables}
    db.close()
    return {page: names.get(page, "") for page in range(1, path.stat().st_size // size + 1)}


def flip(path: Path, rng: random.Random, page: int) -> str:
    """A few bits of one page."""
    data = bytearray(path.read_bytes())
    start = (page - 1) * 4096
    where = rng.choice((range(100), range(12), range(64), range(4096), range(4096)))
    told = []
    for _ in range(rng.choice((1, 1, 1, 8))):
        at = start + rng.choice(where)
        data[at] ^= 1 << rng.randrange(8)
        told.append(str(at))
    path.write_bytes(data)
    return f"bits flipped at {', '.join(told)}"


def zero(path: Path, rng: random.Random, page: int) -> str:
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    path.write_bytes(data)
    return f"page {page} zeroed"


def swap(path: Path, rng: random.Random, page: int) -> str:
    """A page that was written in another's place."""
    data = bytearray(path.read_bytes())
    other = rng.randrange(1, len(data) // 4096 + 1)
    data[(page - 1) * 4096 : page * 4096] = data[(other - 1) * 4096 : other * 4096]
    path.write_bytes(data)
    return f"page {other} in the place of page {page}"


def cut(path: Path, rng: random.Random, page: int) -> str:
    size = rng.choice((rng.randrange(path.stat().st_size), (page - 1) * 4096, 100, 1, 0))
    os.truncate(path, size)
    return f"cut off at {size}"


def damage_pages(world: World, faults: int) -> Figures:
    """One fault at a time in the project's ledger or in that of people."""
    figures: Figures = Counter()
    settled(world)
    rng = random.Random(world.seed)
    session = world.sessions[0]
    for number in range(faults):
        with world.kept():
            path = _ledgers(world)[number % 4 == 3]
            pages = _pages(path)
            spoil = rng.choice((flip, flip, flip, zero, swap, cut))
            page = rng.choice(sorted(pages))
            told = f"{path.parent.name}: {spoil(path, rng, page)} ({pages[page]})"
            session.grow(1)
            for event in ("PostToolBatch", "UserPromptSubmit", "SessionStart"):
                world.hook(session.event(event))
            world.catch_up()
            figures[_outcome(world, told)] += 1
            figures["faults"] += 1
        world.catch_up()
    return figures


def _outcome(world: World, told: str) -> str:
    found = breaches(world)
    if not found:
        return "brought back by the next hooks"
    verified = world.command("verify", "--all")
    assert verified.returncode == 3, f"{told} (seed {world.seed}): {'; '.join(found)}"
    return "found by budget verify"


# -- whole files -----------------------------------------------------------------------------------


def _gone(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def empty(path: Path) -> None:
    _gone(path)
    path.touch()


def text(path: Path) -> None:
    _gone(path)
    path.write_text("buy milk\n" * 3000)


def garbage_over_all(path: Path) -> None:
    """The log and its index are left as they were."""
    path.write_bytes(os.urandom(path.stat().st_size))


def garbage_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(os.urandom(50_000))


def cut_log(path: Path) -> None:
    log = path.with_name(f"{path.name}-wal")
    if log.exists():  # whoever closes the ledger of people last leaves none
        os.truncate(log, log.stat().st_size // 2 + 7)


def no_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)


def garbage_index(path: Path) -> None:
    path.with_name(f"{path.name}-shm").write_bytes(os.urandom(32_768))


def empty_index(path: Path) -> None:
    path.with_name(f"{path.name}-shm").write_bytes(b"")


def old_copy(path: Path) -> None:
    """A backup of the file alone, put back beside the log of now."""
    shutil.copy(path.with_name("backup"), path)


WHOLE = (
    *(empty, text, garbage_over_all, garbage_log, cut_log, no_log),
    *(garbage_index, empty_index, old_copy),
)


@pytest.mark.parametrize("whose", ["project", "people"])
@pytest.mark.parametrize("spoil", WHOLE, ids=lambda each: each.__name__)
def test_what_lies_in_place_of_a_ledger_is_made_good(
    world: World, spoil: Callable[[Path], None], whose: str
) -> None:
    session = world.session(30)
    world.catch_up()
    path = _ledgers(world)[whose == "people"]
    shutil.copy(path, path.with_name("backup"))
    session.grow(30)
    world.catch_up()
    spoil(path)
    session.grow(1)
    for event in ("PostToolBatch", "SessionStart", "UserPromptSubmit"):
        world.hook(session.event(event))
    assert not breaches(world)


def hooks_meet_damage(world: World, rounds: int, processes: int = 12) -> Figures:
    """Hooks at work meet a damaged ledger together: one sets it aside, all go on."""
    figures: Figures = Counter()
    settled(world, sessions=4)
    rng = random.Random(world.seed)
    for number in range(rounds):
        path = _ledgers(world)[number % 2]
        page = rng.choice(sorted(_pages(path)))
        zero(path, rng, page)
        for session in world.sessions:
            session.grow(1)
        events = ("SessionStart", "PostToolBatch", "UserPromptSubmit")
        running = [
            world.start(world.sessions[each % 4].event(events[each % 3]))
            for each in range(processes)
        ]
        for each in running:
            each.answer()
        world.hook(world.sessions[0].event("SessionStart"))
        world.catch_up()
        assert_law(world, f"page {page} of {path.parent.name}")
        figures["faults"] += 1
        figures["hooks"] += processes
    return figures


def test_hooks_that_meet_damage_together_make_one_ledger(world: World) -> None:
    assert hooks_meet_damage(world, 2)["faults"] == 2


def test_damaged_pages_are_brought_back(world: World) -> None:
    assert damage_pages(world, 6)["brought back by the next hooks"] > 3


def test_damage_is_told(world: World) -> None:
    """What is made anew is said, with what is lost; the damaged file is kept."""
    settled(world)
    for path, words in zip(
        _ledgers(world),
        ("the ledger of this project was gone", "what people spent over all projects was damaged"),
        strict=True,
    ):
        zero(path, world.rng, 1)
        told = world.hook(world.sessions[0].event("SessionStart"))["systemMessage"]
        assert f"budget: {words}" in told
        assert "grants" in told
        assert len(list(path.parent.glob("ledger.db.damaged-*"))) == 1
