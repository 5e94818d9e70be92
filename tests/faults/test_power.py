"""A loss of power at any moment: what was not synced is lost, torn or out of order.

Hooks do not sync each step. So the last steps may be gone from the ledger, and with them the
cursors that say that they were read: the next hook reads them again. What may never be gone is the
soundness of the file.
"""

import random
from collections import Counter

from tests.faults.disk import Op, leave, recorded, recorder, snapshot
from tests.faults.law import World, assert_law, assert_verified, steps_in
from tests.faults.traced import needs_strace

Figures = Counter[str]
_EVENTS = ("PostToolBatch", "SessionStart", "PostToolBatch", "Stop", "UserPromptSubmit")
_ALMOST_FULL = (250 - 60) * 4120
"""A log is folded back when it has 250 pages (see `Database`), each with a head of 24 bytes."""


def lose_power(world: World, cuts: int) -> Figures:
    """Cuts recordings of hooks: of the first ones there are, and of a log that is folded back."""
    figures: Figures = Counter()
    rng = random.Random(world.seed)
    world.session(20)
    world.session(20, "other")
    figures += _cut(world, _record(world, 5, 2), {}, cuts // 2, rng)
    log = world.ledger().with_name("ledger.db-wal")
    while not log.exists() or log.stat().st_size < _ALMOST_FULL:
        world.sessions[0].grow(20)
        # Not the other project: its hook would look into this ledger, and close it.
        world.catch_up(world.sessions[:1])
    base = snapshot(world.state)
    ops = _record(world, 12, 1)
    folded = {op.path for op in ops if op.kind == "write"}
    assert str(world.ledger()) in folded, "the log was not folded back while it was recorded"
    figures += _cut(world, ops, base, cuts - cuts // 2, rng)
    assert_verified(world)
    figures["steps"] = steps_in(world)
    return figures


def _record(world: World, hooks: int, sessions: int) -> list[Op]:
    log = world.root / "recording"
    log.write_text("")
    for number in range(hooks):
        session = world.sessions[number % sessions]
        session.grow(1 + 20 * (number % 3 == 2))
        world.hook(session.event(_EVENTS[number % len(_EVENTS)]), under=recorder(log))
    return recorded(log, world.state)


def _cut(
    world: World, ops: list[Op], base: dict[str, bytes], cuts: int, rng: random.Random
) -> Figures:
    for _ in range(cuts):
        moment = rng.randrange(len(ops) + 1)
        left = leave(world.state, base, ops[:moment], rng)
        world.catch_up()
        where = f"power lost after {moment} of {len(ops)} changes, {left}"
        assert_law(world, where)
        damaged = list(world.state.rglob("*.damaged-*"))
        assert not damaged, f"{where}: {damaged} (seed {world.seed})"
    return Counter(cuts=cuts)


@needs_strace
def test_a_loss_of_power_costs_nothing_that_is_not_read_again(world: World) -> None:
    assert lose_power(world, 12)["cuts"] == 12
