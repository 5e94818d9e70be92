"""What one person spends in several projects is added up once, whatever happens to a ledger."""

import gc
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import hook, paths, people, pipeline, reconcile
from budget.errors import DamagedLedgerError
from budget.ledger import Ledger
from budget.model import PICO, ClientTotal, Filter, Spend, Step, Usage, Window
from budget.people import people_ledger
from tests.plugin import ROOT, budget_toml
from tests.samples import (
    AT_MS,
    DAY_MS,
    HOUR_MS,
    MODEL,
    ROUND_TABLE,
    folded_totals,
    quick_folder,
    step_line,
    stored_totals,
)
from tests.test_bad_input import hook_argv

ALL = Window(0, None)
DAY = Window(AT_MS // DAY_MS * DAY_MS, AT_MS // DAY_MS * DAY_MS + DAY_MS)
OUTPUT = 10**7
"""Picodollars of an output token in `ROUND_TABLE`."""
ANA, BO = "ana@example.com", "bo@example.com"
QUARTER_MS = HOUR_MS // 4
NEW_MODEL = "claude-omega-9"
WITH_NEW_MODEL = ROUND_TABLE._replace(
    models={**ROUND_TABLE.models, NEW_MODEL: ROUND_TABLE.models[MODEL]}
)


class Machine:
    """A state folder with the ledgers of several projects."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {
            "HOME": str(root / "home"),
            "BUDGET_HOME": str(root / "state"),
            "BUDGET_USER": ANA,
        }

    def path(self, project: str) -> Path:
        return self.root / "state" / "projects" / project / "ledger.db"

    @contextmanager
    def ledger(self, project: str) -> Iterator[Ledger]:
        opened = Ledger(str(self.path(project)), 1.0, f"/work/{project}")
        try:
            yield opened
        finally:
            opened.close()

    def book(self, project: str, *steps: Step) -> None:
        with self.ledger(project) as ledger, ledger.transaction():
            ledger.book(steps, ROUND_TABLE)

    def delete(self, project: str) -> None:
        for path in self.path(project).parent.glob("ledger.db*"):
            path.unlink()

    def people(self, user: str = "", window: Window = ALL) -> Spend:
        """What the ledger of people says now; it has nothing to complain of."""
        spend, problems = self.with_problems(user, window)
        assert problems == ()
        return spend

    def with_problems(self, user: str = "", window: Window = ALL) -> tuple[Spend, tuple[str, ...]]:
        with people_ledger(self.env, None, 60.0) as (ledger, problems):
            assert stored_totals(ledger.path) == folded_totals(ledger.path)
            return ledger.spend(window, Filter(user=user)), problems


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def step(name: str, output: int = 100, user: str = ANA, **more: Any) -> Step:
    """A step whose message id and session are named for its project: `a1` is of project a."""
    project = name[0]
    known = {"model": MODEL, "at_ms": AT_MS, **more}
    return Step(
        message_id=name,
        session_id=f"session-{project}",
        agent="main",
        agent_id="",
        prompt_id="",
        branch="main",
        usage=Usage(output_tokens=output),
        user=user,
        **known,
    )


# -- adding up -------------------------------------------------------------------------------------


def test_without_any_project_nothing_was_spent(machine: Machine) -> None:
    assert machine.people() == Spend()


def test_all_projects_are_added_up(machine: Machine) -> None:
    machine.book("a", step("a1"), step("a2"))
    machine.book("b", step("b1", 50))
    machine.book("c", step("c1", 7))
    spend = machine.people(ANA)
    assert (spend.steps, spend.output_tokens) == (4, 257)
    assert spend.picousd == 257 * OUTPUT
    assert machine.people(ANA) == spend, "nothing is taken over twice"


def test_what_comes_later_is_taken_over(machine: Machine) -> None:
    machine.book("a", step("a1"))
    assert machine.people().steps == 1
    machine.book("b", step("b1"))
    machine.book("a", step("a2"), step("a3"))
    assert machine.people().steps == 4


def test_a_ledger_that_settled_is_looked_at_again_when_it_changes(machine: Machine) -> None:
    machine.book("a", step("a1"))
    time.sleep(people._SETTLED_NS / 10**9 + 0.01)
    assert machine.people().steps == 1
    with people_ledger(machine.env, None, 60.0) as (ledger, _):
        ((stamp,),) = ledger.rows("SELECT stamp FROM sources")
    assert stamp
    machine.book("a", step("a2"))
    assert machine.people().steps == 2


def test_a_window_of_people_is_exact(machine: Machine) -> None:
    machine.book("a", step("a1", at_ms=DAY.start_ms - 1), step("a2", at_ms=DAY.start_ms))
    machine.book("b", step("b1", at_ms=(DAY.end_ms or 0) - 1), step("b2", at_ms=DAY.end_ms))
    assert machine.people(ANA, DAY).steps == 2


def test_two_persons_on_one_machine_are_told_apart(machine: Machine) -> None:
    machine.book("a", step("a1", 10), step("a2", 20, BO))
    machine.book("b", step("b1", 40, BO), step("b2", 80, ""))
    assert machine.people(ANA).output_tokens == 10
    assert machine.people(BO).output_tokens == 60
    assert machine.people().output_tokens == 150


def test_a_raised_step_raises_the_sum_by_the_difference(machine: Machine) -> None:
    machine.book("a", step("a1", 1))
    machine.book("b", step("b1", 100))
    assert machine.people(ANA).output_tokens == 101
    machine.book("a", step("a1", 200))
    spend = machine.people(ANA)
    assert (spend.steps, spend.output_tokens, spend.picousd) == (2, 300, 300 * OUTPUT)


def test_a_step_that_gets_a_price_gets_it_for_the_person_too(machine: Machine) -> None:
    machine.book("a", step("a1", model=NEW_MODEL))
    assert machine.people(ANA).unpriced_steps == 1
    with machine.ledger("a") as ledger, ledger.transaction():
        assert ledger.reprice_unpriced(WITH_NEW_MODEL) == 1
    spend = machine.people(ANA)
    assert (spend.unpriced_steps, spend.picousd, spend.steps) == (0, 100 * OUTPUT, 1)


def test_one_message_in_two_projects_counts_once(machine: Machine) -> None:
    """A session that was moved to another folder leaves its steps in both."""
    machine.book("a", step("a1", 100))
    machine.book("b", step("a1", 150), step("b1", 1))
    spend = machine.people(ANA)
    assert (spend.steps, spend.output_tokens) == (2, 151)


def test_unattributed_amounts_are_a_persons_too(machine: Machine) -> None:
    for project, user, picousd in (("a", ANA, 3), ("b", ANA, 5), ("c", BO, 7)):
        with machine.ledger(project) as ledger, ledger.transaction():
            ledger.add_unattributed(f"session-{project}", DAY.start_ms, user, picousd * PICO)
    assert machine.people(ANA, DAY).counted_picousd == 8 * PICO
    with machine.ledger("a") as ledger, ledger.transaction():
        ledger.add_unattributed("session-a", DAY.start_ms, ANA, -2 * PICO)
    with machine.ledger("b") as ledger, ledger.transaction():
        ledger.add_unattributed("session-b", DAY.start_ms + QUARTER_MS, ANA, PICO)
    assert machine.people(ANA, DAY).counted_picousd == 7 * PICO
    assert machine.people(BO).unattributed_picousd == 7 * PICO


class _Held(Ledger):
    """The ledger of people in a hook that is held up once, just before it would write."""

    hold: Callable[[], object] | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        hold, self.hold = self.hold, None
        if hold:
            hold()
        with super().transaction():
            yield


def _bring_up_held(machine: Machine, hold: Callable[[], object]) -> None:
    held = _Held(paths.people_ledger_file(machine.env), 1.0)
    try:
        held.hold = hold
        assert people.bring_up(held, machine.env, None, 60.0) == ()
        assert held.hold is None
    finally:
        held.close()


def test_a_hook_that_was_overtaken_leaves_no_older_amount_behind(machine: Machine) -> None:
    def tell(session_id: str, picousd: int) -> None:
        with machine.ledger("a") as ledger, ledger.transaction():
            ledger.add_unattributed(session_id, DAY.start_ms, ANA, picousd * PICO)

    held, goes_on = Event(), Event()

    def hold() -> None:
        held.set()
        assert goes_on.wait(20)

    tell("session-a", 3)
    assert machine.people(ANA).unattributed_picousd == 3 * PICO
    tell("session-a", 2)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_bring_up_held, machine, hold)
        assert held.wait(20)
        tell("session-a", -4)
        assert machine.people(ANA).unattributed_picousd == PICO
        tell("session-b", 7)

        def let_it_write() -> None:
            goes_on.set()
            slow.result(20)

        _bring_up_held(machine, let_it_write)
    assert machine.people(ANA).unattributed_picousd == 8 * PICO


def test_more_entries_than_one_transaction_takes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_SOME", 3)
    machine.book("a", *(step(f"a{n}", 1) for n in range(10)))
    machine.book("b", *(step(f"b{n}", 1) for n in range(6)))
    with machine.ledger("b") as ledger, ledger.transaction():
        ledger.add_unattributed("session-b", DAY.start_ms, ANA, PICO)
    spend = machine.people(ANA)
    assert (spend.steps, spend.unattributed_picousd) == (16, PICO)


def test_what_there_is_no_time_for_is_told_and_goes_on_later(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_SOME", 3)
    machine.book("a", *(step(f"a{n}", 1) for n in range(10)))
    machine.book("b", step("b1"))
    with people_ledger(machine.env, None, 0.0) as (ledger, problems):
        assert problems == (
            "There is much to add up over all projects: it goes on at the next step, and budgets"
            " of scope user count what was added up so far.",
        )
        assert ledger.spend(ALL).steps == 0
    assert machine.people(ANA).steps == 11


# -- ledgers that are lost, locked, damaged --------------------------------------------------------


def test_a_ledger_that_was_deleted_and_made_anew_counts_nothing_twice(machine: Machine) -> None:
    machine.book("a", step("a1"), step("a2"))
    machine.book("b", step("b1"))
    assert machine.people(ANA).steps == 3
    machine.delete("a")
    assert machine.people(ANA).steps == 3, "what was spent was spent"
    machine.book("a", step("a2"), step("a1"), step("a3"))
    spend = machine.people(ANA)
    assert (spend.steps, spend.output_tokens) == (4, 400)


def test_a_shorter_ledger_in_its_place_is_read_from_its_beginning(machine: Machine) -> None:
    machine.book("a", *(step(f"a{n}", 1) for n in range(9)))
    assert machine.people(ANA).steps == 9
    machine.delete("a")
    machine.book("a", step("a9", 1))
    assert machine.people(ANA).steps == 10


def test_the_ledger_of_people_is_derived_and_made_again(machine: Machine) -> None:
    machine.book("a", step("a1"), step("a2", 50, BO))
    with machine.ledger("b") as ledger, ledger.transaction():
        ledger.add_unattributed("session-b", DAY.start_ms, ANA, PICO)
    before = machine.people(ANA), machine.people(BO)
    for path in (machine.root / "state" / "people").iterdir():
        path.unlink()
    assert (machine.people(ANA), machine.people(BO)) == before


def test_unattributed_amounts_of_a_ledger_made_anew_count_once(machine: Machine) -> None:
    def told(at_ms: int) -> None:
        with machine.ledger("a") as ledger, ledger.transaction():
            ledger.book([step("a1", 0)], ROUND_TABLE)
            reconcile.note(ledger, [ClientTotal("session-a", "sensor:1", 0, 0, PICO)])
            reconcile.settle(ledger, "session-a", at_ms, ANA)

    told(AT_MS)
    assert machine.people(ANA).counted_picousd == PICO
    machine.delete("a")
    told(AT_MS + HOUR_MS)  # the same total, heard of again an hour later
    with machine.ledger("a") as ledger:
        assert ledger.spend(ALL).counted_picousd == PICO
    assert machine.people(ANA).counted_picousd == PICO


def test_a_damaged_ledger_is_told_and_the_others_go_on(machine: Machine) -> None:
    machine.book("a", step("a1"))
    machine.book("b", step("b1"))
    assert machine.people(ANA).steps == 2
    machine.delete("a")
    machine.path("a").write_bytes(b"garbage, not a database " * 200)
    machine.book("b", step("b2"))
    spend, problems = machine.with_problems(ANA)
    assert spend.steps == 3, "what was known of the damaged one stays"
    assert problems == (
        f"Budgets of scope user count what was known of one project: The ledger {machine.path('a')}"
        " cannot be used: file is not a database. It is damaged: `budget rebuild`, or the next"
        " step, makes it anew from the transcripts.",
    )


def test_a_ledger_of_a_newer_format_is_told_and_left_as_it_is(machine: Machine) -> None:
    machine.book("a", step("a1"))
    with sqlite3.connect(machine.path("a")) as db:
        db.execute("PRAGMA user_version = 99")
    spend, (problem,) = machine.with_problems(ANA)
    assert spend == Spend()
    assert "has the format 99" in problem
    with sqlite3.connect(machine.path("a")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_locked_ledger_is_told_soon_and_taken_over_later(machine: Machine) -> None:
    machine.book("a", step("a1"))
    machine.people()
    machine.book("a", step("a2"))
    other = sqlite3.connect(machine.path("a"), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    try:
        began = time.monotonic()
        spend, (problem,) = machine.with_problems(ANA)
        assert time.monotonic() - began < 2
        assert spend.steps == 1
        assert "database is locked" in problem
    finally:
        other.close()
    assert machine.people(ANA).steps == 2


def test_a_writer_in_another_project_makes_nobody_wait(machine: Machine) -> None:
    machine.book("a", step("a1"))
    with machine.ledger("a") as ledger, ledger.transaction():
        ledger.book([step("a2")], ROUND_TABLE)
        assert machine.people(ANA).steps == 1, "what is not committed does not count yet"
    assert machine.people(ANA).steps == 2


def test_to_add_up_changes_no_other_ledger(machine: Machine) -> None:
    """SQLite makes an empty file first: another project's hook may be at that point."""
    project = paths.find_project(str(machine.root))
    path = Path(paths.ledger_file(machine.env, project))
    path.parent.mkdir(parents=True)
    path.touch()
    machine.with_problems()
    ledger = pipeline.open_ledger(machine.env, project)
    assert ledger.is_new
    assert ledger.root() == project.root
    ledger.close()


CRASH = """
import os, sys, json
sys.path.insert(0, sys.argv[1])
from budget import people
from budget.ledger import Ledger
people._SOME = 3
left = [int(sys.argv[3])]
def dies_at(name):
    inner = getattr(Ledger, name)
    def outer(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        return inner(self, *arguments)
    setattr(Ledger, name, outer)
dies_at("absorb")
dies_at("write_many")
dies_at("write")
with people.people_ledger(json.loads(sys.argv[2]), None, 60.0):
    pass
"""


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 14])
def test_a_process_that_is_killed_leaves_nothing_half_done(machine: Machine, moment: int) -> None:
    machine.book("a", *(step(f"a{n}", 1) for n in range(5)))
    machine.book("b", *(step(f"b{n}", 1) for n in range(4)))
    with machine.ledger("b") as ledger, ledger.transaction():
        ledger.add_unattributed("session-b", DAY.start_ms, ANA, PICO)
    run = subprocess.run(
        [sys.executable, "-c", CRASH, str(ROOT), json.dumps(machine.env), str(moment)], check=False
    )
    assert run.returncode in (0, 9)
    spend = machine.people(ANA)
    assert (spend.steps, spend.unattributed_picousd) == (9, PICO)


# -- laws ------------------------------------------------------------------------------------------

USERS = st.sampled_from([ANA, BO, ""])
PROJECTS = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("book"), PROJECTS, st.integers(0, 3), st.integers(0, 500), USERS),
        st.tuples(st.just("unpriced"), PROJECTS, st.integers(4, 5), st.integers(0, 500), USERS),
        st.tuples(st.just("price"), PROJECTS),
        st.tuples(st.just("beyond"), PROJECTS, st.integers(0, 2), st.integers(0, 9), USERS),
        st.tuples(st.just("people")),
        st.tuples(st.just("forget")),
    ),
    max_size=12,
)


@given(OPERATIONS)
def test_what_people_spent_is_the_sum_over_the_projects(operations: list[tuple[Any, ...]]) -> None:
    with quick_folder() as folder:
        machine = Machine(Path(folder))
        for what, *rest in operations:
            if what == "people":
                machine.people()
            elif what == "forget":
                with suppress(FileNotFoundError):
                    for path in (machine.root / "state" / "people").iterdir():
                        path.unlink()
            else:
                change(machine, what, *rest)
        for user in (ANA, BO, ""):
            assert machine.people(user) == over_projects(machine, user)


def change(machine: Machine, what: str, project: str, *rest: Any) -> None:
    with machine.ledger(project) as ledger, ledger.transaction():
        if what == "price":
            ledger.reprice_unpriced(WITH_NEW_MODEL)
            return
        number, size, user = rest
        if what == "beyond":
            ledger.add_unattributed(f"session-{project}", number * QUARTER_MS, user, size)
        else:
            model = MODEL if what == "book" else NEW_MODEL
            ledger.book([step(f"{project}{number}", size, user, model=model)], ROUND_TABLE)


def over_projects(machine: Machine, user: str) -> Spend:
    total = Spend()
    for path in (machine.root / "state" / "projects").glob("*/ledger.db"):
        with machine.ledger(path.parent.name) as ledger:
            total = total.plus(ledger.spend(ALL, Filter(user=user)))
    return total


@given(st.lists(st.tuples(PROJECTS, st.integers(0, 9)), max_size=20), st.data())
def test_ledgers_that_are_deleted_and_booked_again_change_no_sum(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    with quick_folder() as folder:
        machine = Machine(Path(folder))
        for project, number in steps:
            machine.book(project, step(f"{project}{number}"))
            if data.draw(st.booleans()):
                machine.people()
        before = machine.people(ANA)
        for project in data.draw(st.sets(st.sampled_from([p for p, _ in steps] or ["a"]))):
            machine.delete(project)
            machine.book(project, *(step(f"{p}{n}") for p, n in reversed(steps) if p == project))
            machine.people()
        assert machine.people(ANA) == before
        assert before.steps == len(set(steps))


# -- budgets of scope user, in hooks ---------------------------------------------------------------


class Work:
    """Several projects of one home, whose hooks run as the client starts them."""

    def __init__(self, root: Path, rules: str) -> None:
        self.root = root
        self.env = {
            "HOME": str(root / "home"),
            "BUDGET_HOME": str(root / "state"),
            "BUDGET_USER": ANA,
        }
        self.transcripts = root / "home" / ".claude" / "projects"
        self.transcripts.mkdir(parents=True)
        config = root / "home" / ".claude" / "budget.toml"
        config.write_text('version = 1\ntimezone = "UTC"\n' + rules)

    def event(self, project: str, *message_ids: str, name: str = "PostToolBatch") -> Any:
        folder = self.root / "work" / project
        folder.mkdir(parents=True, exist_ok=True)
        path = self.transcripts / project / f"session-{project}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            for message_id in message_ids:
                file.write(step_line(message_id, tools=[f"call-{message_id}"]))
        return {
            "hook_event_name": name,
            "session_id": f"session-{project}",
            "cwd": str(folder),
            "transcript_path": str(path),
            "prompt": "go on",
            "tool_calls": [{"tool_use_id": f"call-{each}"} for each in message_ids[-1:]],
        }

    def respond(self, project: str, *message_ids: str, **more: Any) -> dict[str, Any]:
        user = more.pop("user", ANA)
        event = self.event(project, *message_ids, **more)
        return hook.respond(event, {**self.env, "BUDGET_USER": user}, AT_MS + 1_000)


DAY_RULES = 'per = "day"\nscope = "user"\nstop = "after"\nsteps = {}\n'


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path, "[budgets.day]\n" + DAY_RULES.format(3))


def test_a_persons_day_is_used_up_by_all_projects_together(work: Work) -> None:
    assert "continue" not in work.respond("a", "a1")
    assert "continue" not in work.respond("b", "b1")
    stop = work.respond("c", "c1")
    assert stop["continue"] is False
    first = "Stopped: the 3 steps today over all your projects are used up (3 spent)."
    assert stop["stopReason"].split("\n")[0] == first
    for project in ("a", "b", "c", "new"):
        assert work.respond(project, name="UserPromptSubmit")["decision"] == "block"


def test_another_person_on_the_machine_goes_on(work: Work) -> None:
    work.respond("a", "a1", "a2", "a3")
    assert work.respond("a", name="UserPromptSubmit")["decision"] == "block"
    assert work.respond("b", "b1", user=BO).get("continue") is None
    assert "decision" not in work.respond("b", name="UserPromptSubmit", user=BO)


def test_a_budget_of_the_project_counts_the_project_only(tmp_path: Path) -> None:
    work = Work(tmp_path, "[budgets.day]\n" + DAY_RULES.format(3).replace('"user"', '"project"'))
    work.respond("a", "a1", "a2", "a3")
    assert "continue" not in work.respond("b", "b1")


def test_a_session_budget_of_scope_user_is_of_the_session(tmp_path: Path) -> None:
    work = Work(tmp_path, "[budgets.session]\n" + DAY_RULES.format(3).replace('"day"', '"session"'))
    work.respond("a", "a1", "a2")
    assert "continue" not in work.respond("b", "b1", "b2")
    assert work.respond("b", "b3")["continue"] is False


def test_a_ledger_that_is_deleted_lifts_no_budget_of_a_person(work: Work) -> None:
    work.respond("a", "a1")
    work.respond("b", "b1", "b2")
    for path in (work.root / "state" / "projects").glob("*/ledger.db*"):
        path.unlink()
    assert work.respond("c", name="UserPromptSubmit")["decision"] == "block"
    assert work.respond("a", name="UserPromptSubmit")["decision"] == "block"


def test_a_damaged_ledger_of_another_project_is_said_once_and_stops_nothing(work: Work) -> None:
    work.respond("a", "a1")
    gc.collect()  # a connection is closed only then, and would go on with the file as it was
    (path,) = (work.root / "state" / "projects").glob("*/ledger.db")
    for rest in path.parent.glob("ledger.db-*"):
        rest.unlink()
    path.write_bytes(b"x" * 8192)
    first = work.respond("b", "b1")["systemMessage"]
    assert "Budgets of scope user count what was known of one project" in first
    assert "known of one project" not in str(work.respond("b", "b2"))
    assert work.respond("b", "b3")["continue"] is False


def test_many_processes_in_three_projects_count_every_step_once(tmp_path: Path) -> None:
    work = Work(tmp_path, "[budgets.day]\n" + DAY_RULES.format(1000))
    running = []
    for turn in range(3):
        for project in ("a", "b", "c"):
            event = work.event(project, f"{project}{turn}")
            process = subprocess.Popen(
                hook_argv(),
                env={"PATH": os.environ["PATH"], **work.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert process.stdin
            process.stdin.write(json.dumps(event).encode())
            process.stdin.close()
            process.stdin = None
            running.append(process)
    for process in running:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        assert b"not counted" not in stdout
    with people_ledger(work.env, None, 60.0) as (ledger, problems):
        assert problems == ()
        assert ledger.spend(ALL, Filter(user=ANA)).steps == 9
        assert stored_totals(ledger.path) == folded_totals(ledger.path)


def test_every_budget_of_every_scope_is_judged_at_once(tmp_path: Path) -> None:
    rules = budget_toml(day='steps = 2\nstop = "after"').partition("\n")[2]
    work = Work(tmp_path, rules + "[budgets.mine]\n" + DAY_RULES.format(2))
    work.respond("a", "a1")
    stop = work.respond("b", "b1")["stopReason"]
    assert "are used up (2 spent)" in stop
    assert 'Budget "mine" in ~/.claude/budget.toml' in stop
    assert 'Budget "day"' not in stop


def test_a_page_of_another_table_is_damage_and_no_bug(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"))
    row = (1, "s1", 0, "ana", "claude-opus-5", b"")
    with ledger.transaction():
        ledger.write("INSERT INTO unattributed VALUES (?, ?, ?, ?, ?, ?)", row)
    with pytest.raises(DamagedLedgerError, match="rows of `unattributed` are none"):
        ledger.unattributed_since(0)
    ledger.close()
