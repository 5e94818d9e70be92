"""A process that stops while it holds a ledger: hooks answer in time, say so, and catch up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from budget import paths
from tests.faults.law import TIMEOUT_S, World, assert_law
from tests.faults.traced import needs_strace, paused

Figures = Counter[str]

# Stops inside a transaction, or with every lock that SQLite knows.
_HOLDER = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "alone":
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN IMMEDIATE")
db.execute("CREATE TABLE stopped (x)")
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
db.execute("ROLLBACK")
"""


@contextmanager
def held(path: Path, how: str) -> Iterator[None]:
    """A ledger that a stopped process holds; it goes on when the block ends."""
    argv = [sys.executable, "-c", _HOLDER, str(path), how]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            os.kill(holder.pid, signal.SIGCONT)
    assert holder.returncode == 0


def _ledger(world: World, whose: str) -> Path:
    if whose == "project":
        return world.ledger()
    return Path(paths.people_ledger_file(world.env))


WAYS = [(whose, how) for whose in ("project", "people") for how in ("writing", "alone")]


@pytest.mark.parametrize(("whose", "how"), [WAYS[0], WAYS[3]])
def test_hooks_do_not_wait_for_a_stopped_process(world: World, whose: str, how: str) -> None:
    assert answer_beside(world, whose, how)["hooks"] == 4


def answer_beside(world: World, whose: str, how: str) -> Figures:
    """Hooks beside a stopped process: they answer in time, say so, and stop nobody."""
    session = world.session()
    world.catch_up()
    with held(_ledger(world, whose), how):
        session.grow(2)
        told = [world.hook(session.event("SessionEnd"))]
        events = ("PostToolBatch", "Stop", "SubagentStop")
        started = time.monotonic()
        running = [world.start(session.event(each)) for each in events]
        told += [each.answer() for each in running]
        assert time.monotonic() - started < TIMEOUT_S["Stop"] / 2
        assert any("held" in json.dumps(each) or "locked" in json.dumps(each) for each in told)
        assert all(each.get("continue") is not False for each in told), "nobody is stopped by it"
    world.catch_up()
    assert_law(world, f"{whose}, {how}")
    return Counter(hooks=len(told))


@pytest.mark.parametrize(("whose", "how"), [WAYS[0], WAYS[3]])
def test_a_used_up_budget_holds_while_a_process_is_stopped(
    world: World, whose: str, how: str
) -> None:
    """Where the project's ledger can be read: what is known to be used up is enforced, in time."""
    session = world.session(30)
    config = session.project / ".claude" / "budget.toml"
    config.parent.mkdir()
    config.write_text('version = 1\n[budgets.small]\nper = "session"\nusd = 0.01\n')
    notify = world.home / ".claude" / "budget.toml"
    notify.write_text(notify.read_text() + '[notify]\ncommand = ["true"]\n')
    assert world.hook(session.event("PostToolBatch"))["continue"] is False
    with held(_ledger(world, whose), how):
        session.grow(1)
        started = time.monotonic()
        events = ("PostToolBatch", "UserPromptSubmit")
        step, prompt = [world.start(session.event(each, prompt="go on")) for each in events]
        assert step.answer()["continue"] is False
        assert prompt.answer()["decision"] == "block"
        assert time.monotonic() - started < TIMEOUT_S["PostToolBatch"] / 2


@needs_strace
def test_a_hook_that_stops_in_its_own_transaction_holds_nobody_up(world: World) -> None:
    assert stop_in_transactions(world, step=12)["faults"] > 0


def stop_in_transactions(world: World, step: int = 1) -> Figures:
    """A hook stops after each of its writes, and another one comes; then the first goes on."""
    figures: Figures = Counter()
    session = world.session()
    world.catch_up()
    reached, number = True, 1
    while reached:
        session.grow(2)
        with paused(world, session.event("PostToolBatch"), "pwrite64", number) as reached:
            world.hook(session.event("SessionEnd"))
            figures["faults"] += reached
        world.catch_up()
        assert_law(world, f"stopped after write {number}")
        number += step
    return figures
