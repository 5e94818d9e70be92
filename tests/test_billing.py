"""Billing by user: exact under many users at once, in one process and in several.

The 50 conversations are played (see recorded.py): the real SDK, our real hooks and ledger, without
50 processes of the client. `test_users_of_the_real_client` uses the real one.
"""

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions

from budget import paths, pipeline, reconcile
from budget.billing import BillingLedger, Line
from budget.conversation import Conversation
from budget.errors import ConfigError
from budget.ledger import Ledger
from budget.model import PICO, ClientTotal, Spend, Usage, Window
from budget.pricing import load_table
from budget.result import session_user
from budget.sdk import BudgetExceeded
from budget.users import user_spend
from tests.plugin import ROOT, budget_toml
from tests.realclient.client import Home
from tests.realclient.stub import STEP_USD as STUB_STEP_USD
from tests.realclient.stub import Stub, bash_loop
from tests.recorded import STEP_PICO, Played
from tests.samples import AT_MS, a_step
from tests.sdk_runs import options


class Place:
    """A project with its config, transcripts and state, in folders of its own."""

    def __init__(self, root: Path) -> None:
        self.project, self.config, self.state = root / "project", root / "config", root / "state"
        (self.project / ".claude").mkdir(parents=True)

    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.project.parent),
            "CLAUDE_CONFIG_DIR": str(self.config),
            "BUDGET_HOME": str(self.state),
        }

    def billing(self, **terms: Any) -> BillingLedger:
        return BillingLedger(self.project, env=self.env(), **terms)

    def ledger(self) -> Ledger:
        return pipeline.open_ledger(self.env(), paths.find_project(str(self.project)))

    def process(
        self, number: int, count: int, steps: int, limit: int, stop: str = "after"
    ) -> subprocess.Popen[str]:
        words = [self.project, self.config, self.state, number, count, steps, limit, stop]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.billing_process", *map(str, words)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def made(self) -> dict[str, int]:
        """Steps that were made, by session: the lines of the transcripts."""
        files = (self.config / "projects" / "played").glob("*.jsonl")
        return {path.stem: path.read_bytes().count(b"\n") for path in files}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def test_fifty_conversations_of_ten_users_in_four_processes(place: Place) -> None:
    """Each user has 60 steps: nobody reaches them. Every step is booked once, to its user."""
    processes = [place.process(number, 13, 4, 60) for number in range(4)]
    told = [json.loads(line) for each in processes for line in each.communicate()[0].splitlines()]
    assert [each.returncode for each in processes] == [0] * 4
    assert len(told) == 52
    assert not any(stopped for *_, stopped in told)
    expected: Counter[str] = Counter()
    for user, _, steps, _ in told:
        expected[user] += steps
    assert sum(expected.values()) == 52 * 4
    billing = place.billing()
    for user, steps in expected.items():
        spend = billing.total(user)
        assert (spend.steps, spend.picousd) == (steps, steps * STEP_PICO)
        assert spend.unattributed_picousd == 0
    lines = billing.lines("day")
    assert {line.user: line.conversations for line in lines} == Counter(each[0] for each in told)
    assert sum(line.spend.picousd for line in lines) == 52 * 4 * STEP_PICO
    assert billing.differences() == []


@pytest.mark.parametrize("stop", ["before", "after"])
def test_users_of_many_processes_are_stopped_at_their_budgets(place: Place, stop: str) -> None:
    """With `before` no user passes a budget. With `after` a step that is being made when it is used
    up is paid: at most one a conversation."""
    limit = 12
    processes = [place.process(number, 13, 8, limit, stop) for number in range(4)]
    told = [json.loads(line) for each in processes for line in each.communicate()[0].splitlines()]
    at_once = Counter(user for user, *_ in told)
    billing = place.billing()
    for user, conversations in at_once.items():
        steps = billing.total(user).steps
        assert steps == sum(made for name, _, made, _ in told if name == user)
        if stop == "before":
            assert 1 <= steps <= limit
        else:
            assert limit <= steps < limit + conversations
        assert billing.total(user).picousd == steps * STEP_PICO
    assert sum(stopped for *_, stopped in told) >= len(at_once)


def test_nothing_is_lost_when_a_process_is_killed(place: Place) -> None:
    processes = [place.process(number, 13, 30, 1000) for number in range(2)]
    killed, other = processes
    until = time.monotonic() + 20
    while sum(place.made().values()) < 150:
        assert time.monotonic() < until
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    told = [json.loads(line) for line in other.communicate()[0].splitlines()]
    assert len(told) == 13
    made = place.made()
    assert 13 < len(made) <= 26, "the killed process had begun, and maybe not with all"
    books = place.ledger()
    finished = {session for _, session, *_ in told}
    unknown = 0
    """Steps of conversations that were killed before their first hook: nothing tells whose."""
    for session, steps in made.items():
        booked = books.spend(Window(0, None, session_id=session)).steps
        unknown += 0 if booked else steps
        # Of the killed, at most the step before its hook is missing until the session goes on.
        assert steps - booked <= (0 if session in finished else 1)
    for session in set(made) - finished:
        env = {**place.env(), "BUDGET_USER": session_user(books, session)}
        Conversation(env, paths.find_project(str(place.project))).begin(session, "")
    assert books.spend(Window(0, None)).steps == sum(made.values())
    billing = place.billing()
    of_users = sum(billing.total(f"user-{number}").steps for number in range(10))
    assert of_users == sum(made.values()) - unknown
    books.close()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("CLAUDE_CONFIG_DIR")
    with Home(git=True) as made:
        yield made


def test_users_of_the_real_client(home: Home) -> None:
    """Six conversations of two users at once, each a client process."""
    home.write(".claude/budget.toml", budget_toml(day='usd = 1\nstop = "after"'))
    budgets = {"day": {"per": "day", "usd": float(5 * STUB_STEP_USD), "stop": "after"}}
    billing = BillingLedger(
        home.project,
        budgets={"day": {"per": "day", "usd": 1, "stop": "after"}},
        users={"bo": budgets},
        env={"BUDGET_HOME": str(home.state)},
    )
    stopped: Counter[str] = Counter()

    async def talk(stub: Stub, user: str) -> None:
        try:
            async for _ in billing.query(user, prompt="count", options=options(home, stub)):
                pass
        except BudgetExceeded as error:
            stopped[user] += 1
            assert error.user == user
            assert "the program's budgets" in str(error)

    async def all_at_once(stub: Stub) -> None:
        await asyncio.gather(*(talk(stub, user) for user in ("ana", "bo") * 3))

    with Stub(bash_loop(3)) as stub:
        asyncio.run(all_at_once(stub))
        made = len(stub.requests)
    ana, bo = billing.total("ana"), billing.total("bo")
    assert (ana.steps, stopped["ana"]) == (12, 0)
    assert 5 <= bo.steps < 5 + 3
    assert stopped["bo"] >= 1
    assert ana.steps + bo.steps == made
    assert billing.differences() == []


# -- budgets ---------------------------------------------------------------------------------------


def test_defaults_hold_for_new_users_and_single_users_have_their_own(place: Place) -> None:
    users: dict[str, Any] = {"ana": {"month": {"per": "month", "usd": 100}}}
    billing = place.billing(budgets={"month": {"per": "month", "usd": 20}}, users=users)
    assert billing.left("new").left_picousd == 20 * PICO
    assert billing.left("ana").left_picousd == 100 * PICO
    users["new"] = {"month": {"per": "month", "usd": 0}}
    assert [v.budget.name for v in billing.left("new").blocking] == ["month"]

    async def talk() -> None:
        client = Played(str(place.config), str(place.project))
        made = ClaudeAgentOptions(cwd=place.project, env=place.env())
        async for _ in billing.query("new", prompt="x", options=made, transport=client):
            pass

    with pytest.raises(BudgetExceeded, match=r"Nothing was sent\. Budget \"month\" is used up"):
        asyncio.run(talk())


def test_budgets_that_are_not_valid_are_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"every user are not valid\. budgets\.m\.per: expected"):
        place.billing(budgets={"m": {"per": "moon", "usd": 1}})


# -- sums and invoices -----------------------------------------------------------------------------


def booked(place: Place) -> Ledger:
    """Ana on two models over two days, in two sessions; bo once; something unattributed of ana."""
    books = place.ledger()
    day = 86_400_000
    steps = [
        a_step("m1", user="ana", session_id="s1"),
        a_step("m2", user="ana", session_id="s2", at_ms=AT_MS + day),
        a_step("m3", user="ana", session_id="s2", at_ms=AT_MS + day, model="claude-opus-5"),
        a_step("m4", Usage(1, 1), user="bo", session_id="s3"),
    ]
    with books.transaction():
        books.book(steps, load_table())
        total = books.spend(Window(0, None, session_id="s1")).listed_picousd + 5_000_007
        reconcile.note(books, [ClientTotal("s1", "transcript", 0, 0, total)])
        reconcile.settle(books, "s1", AT_MS)
    return books


def test_the_lines_of_invoices_add_up_to_the_ledger(place: Place) -> None:
    books = booked(place)
    billing = place.billing(timezone="UTC")
    lines = billing.lines("day")
    assert [(line.user, line.period, line.model, line.conversations) for line in lines] == [
        ("ana", "2026-11-23", "(unattributed)", 1),
        ("ana", "2026-11-23", "claude-sonnet-5", 1),
        ("ana", "2026-11-24", "claude-opus-5", 1),
        ("ana", "2026-11-24", "claude-sonnet-5", 1),
        ("bo", "2026-11-23", "claude-sonnet-5", 1),
    ]
    total = Spend()
    for line in lines:
        total = total.plus(line.spend)
    everything = sum(row.picousd for _, row in books.entry_sums_by("user", 0, 2**62))
    assert (total.picousd, total.unattributed_picousd) == (everything, 5_000_007)
    month = [(line.user, line.model, line.conversations) for line in billing.lines("month")]
    assert ("ana", "claude-sonnet-5", 2) in month
    first = date(2026, 11, 23)
    assert {line.period for line in billing.lines("day", first, first)} == {"2026-11-23"}
    assert billing.total("ana", first, first).unattributed_picousd == 5_000_007
    assert billing.total("ana", first + timedelta(days=1)).steps == 2
    assert billing.total("nobody") == Spend()
    books.close()


def test_a_users_sum_of_one_session(place: Place) -> None:
    books = booked(place)
    assert user_spend(books, "ana", Window(0, None, session_id="s1")).steps == 1
    assert user_spend(books, "ana", Window(0, None, session_id="s3")) == Spend()
    assert user_spend(books, "ana", Window(0, None)).counted_picousd == (
        billing_total(place, "ana").counted_picousd
    )
    books.close()


def billing_total(place: Place, user: str) -> Spend:
    return place.billing().total(user)


def test_the_export_for_invoices(place: Place) -> None:
    booked(place).close()
    env = {**os.environ, **place.env(), "PYTHONPATH": str(ROOT)}

    def export(*words: str) -> str:
        line = [sys.executable, "-m", "budget", "export", "--invoice", "month", *words]
        run = subprocess.run(
            line, cwd=place.project, env=env, check=False, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    rows = list(csv.DictReader(io.StringIO(export("--format", "csv", "--timezone", "UTC"))))
    lines = place.billing(timezone="UTC").lines("month")
    assert [row["usd"] for row in rows] == [line.facts()["usd"] for line in lines]
    assert rows[0]["usd"] == "0.000005000007"
    facts = [json.loads(line) for line in export("--timezone", "UTC").splitlines()]
    assert facts == [line.facts() for line in lines]
    assert set(facts[0]) == set(Line("", "", "", 0, Spend()).facts())
    assert export("--since", "2027-01-01") == ""
