"""What runs now, told from a ledger: sessions, agents, caches, what is held and spent."""

import os
from pathlib import Path

from budget import counsel, events, paths, pipeline, reservations, running
from budget.evaluate import Who
from budget.ledger import Ledger
from budget.model import PICO, Spend, Usage, Window
from budget.projection import TTL_1H_MS, TTL_5M_MS
from budget.status import Standing
from tests.plugin import budget_toml
from tests.samples import AT_MS, HOUR_MS, MODEL, RATE, ROUND_TABLE, SESSION, USAGE, a_step

STEP_COST = 10 * RATE + 200 * 10 * RATE + 30_000 * RATE // 10 + 1_000 * 2 * RATE
MINUTE_MS = 60_000


def a_ledger(folder: Path) -> Ledger:
    return Ledger(str(folder / "ledger.db"), root=str(folder))


def book(ledger: Ledger, *steps: object, **more: object) -> None:
    with ledger.transaction():
        ledger.book(steps, ROUND_TABLE)  # type: ignore[arg-type]


def hold(ledger: Ledger, agent_id: str, picousd: int, agent: str = "main") -> None:
    kept = reservations.Reservation(
        *(SESSION, agent_id, "", Who(agent, MODEL, "main"), Spend(1, picousd=picousd)),
        AT_MS + reservations.LAPSES_MS,
    )
    with ledger.transaction():
        reservations.hold(ledger, kept)


def test_a_session_with_its_agents_adds_up_to_the_sessions_total(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(
        ledger,
        a_step("m1"),
        a_step("a1", agent="Explore", agent_id="x", at_ms=AT_MS + 1),
        a_step("a2", agent="Explore", agent_id="x", at_ms=AT_MS + 2),
        a_step("b1", agent="Plan", agent_id="y", at_ms=AT_MS - 30 * MINUTE_MS),
    )
    hold(ledger, "x", 7)
    found = running.sessions(ledger, ROUND_TABLE, AT_MS + 1_000)
    assert len(found) == 1
    session = found[0]
    assert (session.main.picousd, session.main.steps) == (STEP_COST, 1)
    assert [(each.agent, each.steps, each.picousd) for each in session.agents] == [
        ("Explore", 2, 2 * STEP_COST)
    ]
    assert (session.ended_agents, session.ended_picousd) == (1, STEP_COST)
    assert session.spend == ledger.spend(Window(0, None, session_id=SESSION))
    parts = session.main.picousd + session.agents[0].picousd + session.ended_picousd
    assert parts == session.spend.counted_picousd
    assert session.reserved_picousd == 7


def test_an_agent_that_starts_is_listed_by_what_it_holds(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("m1"))
    hold(ledger, reservations.STARTING + "toolu_1", 9, "Explore")
    agent = running.sessions(ledger, ROUND_TABLE, AT_MS)[0].agents[0]
    assert (agent.agent, agent.steps, agent.last_ms, agent.reserved_picousd) == (
        *("Explore", 0, None, 9),
    )
    assert agent.works


def test_the_cache_expires_by_the_lifetime_the_last_write_asked_for(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("m1"))
    main = running.sessions(ledger, ROUND_TABLE, AT_MS)[0].main
    assert main.expires_at_ms == AT_MS + TTL_5M_MS
    assert main.context_tokens == USAGE.prompt_tokens
    assert main.context_picousd == USAGE.prompt_tokens * RATE // 10, "all of it read from the cache"
    assert main.expired_picousd == USAGE.prompt_tokens * 2 * RATE
    book(ledger, a_step("m2", Usage(1, 1, 0, 0, 50_000), at_ms=AT_MS + 1))
    main = running.sessions(ledger, ROUND_TABLE, AT_MS)[0].main
    assert main.expires_at_ms == AT_MS + 1 + TTL_1H_MS
    book(ledger, a_step("m3", Usage(50_000, 1), at_ms=AT_MS + 2))
    assert running.sessions(ledger, ROUND_TABLE, AT_MS)[0].main.expires_at_ms is None


def test_after_an_hour_a_session_that_holds_nothing_is_not_listed(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("m1"), a_step("n1", session_id="other", at_ms=AT_MS - HOUR_MS + 1))
    ids = [each.id for each in running.sessions(ledger, ROUND_TABLE, AT_MS)]
    assert ids == [SESSION, "other"]
    ids = [each.id for each in running.sessions(ledger, ROUND_TABLE, AT_MS + 2)]
    assert ids == [SESSION]
    assert running.session(ledger, ROUND_TABLE, "other", AT_MS).main.picousd == STEP_COST


def test_who_waits_for_a_person_does_not_work(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("m1"))
    assert running.sessions(ledger, ROUND_TABLE, AT_MS + MINUTE_MS)[0].works
    assert not running.sessions(ledger, ROUND_TABLE, AT_MS + 2 * MINUTE_MS)[0].works
    hold(ledger, "", 5)
    assert running.sessions(ledger, ROUND_TABLE, AT_MS + 2 * MINUTE_MS)[0].works


def test_a_thread_that_a_budget_stopped_does_not_work(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("m1"))
    with ledger.transaction():
        events.record(ledger, events.Event(AT_MS, events.STOP, SESSION, "", {"budgets": []}))
    assert not running.sessions(ledger, ROUND_TABLE, AT_MS + 1)[0].works
    book(ledger, a_step("m2", at_ms=AT_MS + 5))
    assert running.sessions(ledger, ROUND_TABLE, AT_MS + 6)[0].works, "a grant let it go on"


def test_the_rates_of_sessions_add_up_to_that_of_the_project(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    now_ms = AT_MS + 10 * MINUTE_MS
    book(ledger, a_step("m1", at_ms=AT_MS), a_step("n1", session_id="other", at_ms=AT_MS))
    found = running.sessions(ledger, ROUND_TABLE, now_ms)
    assert [each.per_hour for each in found] == [6 * STEP_COST, 6 * STEP_COST]
    assert counsel.last_rate(ledger, now_ms) == (12 * STEP_COST, 10 * MINUTE_MS)
    assert counsel.last_rate(ledger, now_ms + 1) == (0, MINUTE_MS), "10 minutes later it is over"


def test_the_last_steps_are_told_in_the_order_of_booking(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    book(ledger, a_step("new"), a_step("old", at_ms=AT_MS - HOUR_MS))
    book(ledger, a_step("new", Usage(10, 400, 30_000, 1_000)))
    first, second = running.last_steps(ledger, 5)
    assert (first.step.message_id, second.step.message_id) == ("new", "old")
    assert first.seq > second.seq
    assert first.picousd == STEP_COST + 200 * 10 * RATE
    assert len(running.last_steps(ledger, 1)) == 1


def test_the_last_stop_tells_the_budgets_as_they_stood(tmp_path: Path) -> None:
    env = {**os.environ, "BUDGET_USER": "ana"}
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "budget.toml").write_text(budget_toml(day="usd = 0.01"))
    project = paths.find_project(str(tmp_path))
    policy = pipeline.policy_of(env, project)
    ledger = pipeline.open_ledger(env, project)
    assert running.last_stop(ledger) is None
    from budget.answers import Setting, _record_stop
    from budget.event import event_of

    payload = {"hook_event_name": "Stop", "session_id": SESSION, "cwd": str(tmp_path)}
    event = event_of(payload, env, {})
    book(ledger, a_step("m1", Usage(output_tokens=2_000)))
    standing = Standing(env, project, AT_MS)
    _record_stop(Setting(event, policy, ledger, env, AT_MS), standing.decision)
    stop = running.last_stop(ledger)
    assert stop is not None
    verdict = standing.verdicts[0]
    assert (stop.at_ms, stop.session_id) == (AT_MS, SESSION)
    assert [each.budget for each in stop.verdicts] == [verdict.budget]
    assert stop.verdicts[0].spent == verdict.spent == PICO // 50
    assert stop.verdicts[0].window == verdict.window
    assert stop.verdicts[0].exceeded


def test_when_the_facts_change_by_time_alone(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    assert running.next_change_ms([], (), AT_MS) is None
    book(ledger, a_step("m1", at_ms=AT_MS - 11 * MINUTE_MS))
    found = running.sessions(ledger, ROUND_TABLE, AT_MS)
    assert running.next_change_ms(found, (), AT_MS) == AT_MS - 11 * MINUTE_MS + HOUR_MS
    book(ledger, a_step("m2", at_ms=AT_MS - 4 * MINUTE_MS))
    found = running.sessions(ledger, ROUND_TABLE, AT_MS)
    assert running.next_change_ms(found, (), AT_MS) == AT_MS + 30_000, "its rate falls"


# -- who only looks --------------------------------------------------------------------------------


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below with its size and time."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def look(env: dict[str, str], project: paths.Project) -> int:
    with pipeline.existing_ledger(env, project, looks=True) as ledger:
        assert ledger is not None
        with ledger.snapshot():
            standing = Standing.seen(env, project, AT_MS, ledger)
            found = running.sessions(ledger, ROUND_TABLE, AT_MS)
    assert standing.verdicts[0].spent == standing.total.picousd
    return found[0].spend.picousd


def test_who_looks_makes_and_changes_no_file(tmp_path: Path) -> None:
    env = dict(os.environ)
    folder = tmp_path / "project"
    (folder / ".claude").mkdir(parents=True)
    (folder / ".claude" / "budget.toml").write_text(
        budget_toml(day="usd = 1") + '[budgets.all]\nper = "day"\nscope = "user"\nusd = 5\n'
    )
    project = paths.find_project(str(folder))
    state = Path(env["BUDGET_HOME"])
    with pipeline.existing_ledger(env, project, looks=True) as none:
        assert none is None
        standing = Standing.seen(env, project, AT_MS, none)
        assert [each.spent for each in standing.verdicts] == [0, 0]
    assert not state.exists()

    ledger = pipeline.open_ledger(env, project)
    book(ledger, a_step("m1"))
    before = listing(tmp_path)
    assert look(env, project) == STEP_COST, "while a writer has it open"
    assert listing(tmp_path) == before
    ledger.close()
    before = listing(tmp_path)
    assert not list(state.rglob("*-wal"))
    assert look(env, project) == STEP_COST, "when it was closed"
    assert listing(tmp_path) == before


def test_who_looks_keeps_no_writer_waiting_and_sees_one_moment(tmp_path: Path) -> None:
    writer = a_ledger(tmp_path)
    book(writer, a_step("m1"))
    looker = Ledger(writer.path, looks=True)
    impatient = Ledger(writer.path, wait_s=0.0)
    with looker.snapshot():
        assert looker.spend(Window(0, None)).steps == 1
        book(impatient, a_step("m2"))
        assert looker.spend(Window(0, None)).steps == 1
    assert looker.spend(Window(0, None)).steps == 2
    with impatient.transaction():
        assert looker.spend(Window(0, None)).steps == 2, "and waits for none"


def test_who_looks_at_a_closed_ledger_is_told_when_someone_writes(tmp_path: Path) -> None:
    a_ledger(tmp_path).close()
    looker = Ledger(str(tmp_path / "ledger.db"), looks=True)
    assert not looker.overtaken
    book(a_ledger(tmp_path), a_step("m1"))
    assert looker.overtaken


def test_what_other_projects_spent_since_is_told_as_left_out(tmp_path: Path) -> None:
    env = {**os.environ, "BUDGET_USER": "ana"}
    config = Path(env["CLAUDE_CONFIG_DIR"])
    config.mkdir(parents=True)
    (config / "budget.toml").write_text(
        'version = 1\n[budgets.all]\nper = "day"\nscope = "user"\nusd = 5\n'
    )
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (paths.find_project(str(folder)) for folder in folders)
    with pipeline.open_ledger(env, one).transaction():
        pass
    other = pipeline.open_ledger(env, two)
    book(other, a_step("m1", user="ana"))
    seen = Standing.seen(env, one, AT_MS, Ledger(paths.ledger_file(env, one), looks=True))
    assert seen.problems == (
        "Budgets of scope user leave out the news of one project: the next step adds them up,"
        " and so does `budget status`.",
    )
    assert Standing(env, one, AT_MS).verdicts[0].spent == STEP_COST, "status adds them up"
    seen = Standing.seen(env, one, AT_MS, Ledger(paths.ledger_file(env, one), looks=True))
    assert (seen.verdicts[0].spent, seen.problems) == (STEP_COST, ())
