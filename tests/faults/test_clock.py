"""Clocks that jump back and forward, by hours or by a year: the hook's, and the client's."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from budget import paths
from budget.status import Standing
from tests.faults.law import Session, World, assert_law, steps_in, truth
from tests.samples import rows

Figures = Counter[str]
HOUR, DAY = 3600, 86_400
JUMPS = (0, 0, HOUR, -HOUR, DAY, -DAY, 400 * DAY, -400 * DAY)
CONFIG = 'version = 1\ntimezone = "UTC"\n[budgets.day]\nper = "day"\nusd = 100000\n'


def at_clock(offset_s: int) -> Sequence[str]:
    """The hook program with a clock that is wrong by that much."""
    code = (
        "import sys, time; now, ns = time.time, time.time_ns\n"
        f"time.time = lambda: now() + {offset_s}\n"
        f"time.time_ns = lambda: ns() + {offset_s} * 10**9\n"
        "sys.path.append(sys.argv[1]); import run"
    )
    return ("-I", "-S", "-c", code)


def jump(world: World, jumps: int) -> Figures:
    """Hooks under clocks that jump; each step counts on the day its line says, and once."""
    sessions = [world.session(2) for _ in range(3)]
    for session in sessions:
        (session.project / ".claude").mkdir(exist_ok=True)
        (session.project / ".claude" / "budget.toml").write_text(CONFIG)
    for number in range(jumps):
        session = world.rng.choice(sessions)
        if number % 4 == 0:
            session.clock = timedelta(seconds=world.rng.choice(JUMPS))
        session.grow(1)
        if number % 3 == 0:
            session.report(500.0 + number)
        event = session.event(world.rng.choice(("PostToolBatch", "SessionStart", "Stop")))
        world.hook(event, program=at_clock(world.rng.choice(JUMPS)))
    world.catch_up()
    assert_law(world, f"after {jumps} jumps of the clock")
    _days_are_right(world)
    return Counter(jumps=jumps, steps=steps_in(world))


def _days_are_right(world: World) -> None:
    """The day's budget on each day, against the steps that its lines date to it."""
    by_day: Counter[str] = Counter()
    for session in world.sessions:
        for message_id, at in _dates(session).items():
            by_day[at[:10]] += truth(world)[message_id].picousd
    project = paths.find_project(str(world.sessions[0].project))
    for day, wanted in by_day.items():
        noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC)
        standing = Standing(world.env, project, int(noon.timestamp() * 1000))
        facts = standing.facts().model_dump()
        (budget,) = [each for each in facts["budgets"] if each["name"] == "day"]
        unattributed = _unattributed(world, day)
        micro = (wanted + unattributed + 500_000) // 10**6  # half of one is rounded up
        assert budget["spent"] == f"{micro // 10**6}.{micro % 10**6:06}", day
        assert budget["reserved"] == "0.000000", "an agent of another time holds nothing"


def _dates(session: Session) -> dict[str, str]:
    dates = {}
    for line in session.path.read_text().splitlines():
        told = json.loads(line)
        if told["type"] == "assistant":
            dates[told["message"]["id"]] = told["timestamp"]
    return dates


def _unattributed(world: World, day: str) -> int:
    found = rows(str(world.ledger()), "unattributed", "quarter, picousd")
    start = int(datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=UTC).timestamp() * 1000)
    return sum(picousd for quarter, picousd in found if start <= quarter < start + DAY * 1000)


def test_jumps_of_the_clock_move_and_double_nothing(world: World) -> None:
    assert jump(world, 25)["jumps"] == 25


def test_what_was_held_in_a_future_that_was_none_is_let_go(world: World) -> None:
    """An agent holds its next step for ten minutes, also when the clock was set back meanwhile."""
    session = world.session()
    (session.project / ".claude").mkdir()
    (session.project / ".claude" / "budget.toml").write_text(CONFIG)
    world.hook(session.event("PostToolBatch"), program=at_clock(400 * DAY))
    project = paths.find_project(str(session.project))
    standing = Standing(world.env, project, int(time.time() * 1000))
    budgets = {each["name"]: each for each in standing.facts().model_dump()["budgets"]}
    assert budgets["day"]["reserved"] == "0.000000"
