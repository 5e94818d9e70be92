"""Ledger plus unattributed equals the client's own total: with the real client, all its ways."""

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from budget import reconcile
from budget.ledger import Ledger
from budget.model import ClientTotal, Step, Usage, Window
from budget.pricing import load_table
from tests.plugin import ROOT, command, entries, status, without_sensor
from tests.realclient.client import Home, run_headless
from tests.realclient.stub import (
    STEP_USAGE,
    STEP_USD,
    Answer,
    Call,
    Request,
    Stub,
    bash_loop,
    done,
    spawn_agents,
    summary,
    title,
)
from tests.realclient.terminal import have_tmux, open_client

NOW_MS = 1_795_000_000_000
STEP_PICO = 200 * 2_000_000 + 200 * 10_000_000  # claude-sonnet-5: 2 and 10 USD per million tokens
needs_tmux = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def totals(home: Home) -> tuple[Decimal, Decimal]:
    """(attributed, unattributed) of the whole ledger."""
    facts = status(home)["totals"]
    return Decimal(facts["usd"]), Decimal(facts["unattributed_usd"])


def wait_for_entries(home: Home, count: int) -> None:
    until = time.monotonic() + 20
    while len(entries(home)) < count:
        assert time.monotonic() < until, entries(home)
        time.sleep(0.05)


def reconciled(home: Home) -> dict[str, Decimal]:
    run = command(home, "reconcile", "--json")
    assert run.returncode == 0, run.stderr
    return {key: Decimal(value) for key, value in json.loads(run.stdout)["total"].items()}


def parallel_tools(request: Request) -> Answer:
    if request.turn_step > 2:
        return Answer("done", usage=STEP_USAGE)
    calls = tuple(
        Call("Bash", {"command": f"echo {k}", "description": f"Say {k}"}) for k in range(3)
    )
    return Answer("three at once", calls, STEP_USAGE)


def test_parallel_tools_are_one_step(home: Home) -> None:
    with Stub(parallel_tools) as stub:
        run = run_headless(home, stub, "go", plugin_dir=ROOT)
        assert len(stub.requests) == 3
    assert totals(home) == (3 * STEP_USD, Decimal(0))
    assert run.total_cost_usd == 3 * STEP_USD


def test_agents_fork_and_resume_agree(home: Home) -> None:
    with Stub(spawn_agents(2, 2)) as stub:
        first = run_headless(home, stub, "start them", plugin_dir=ROOT)
        resumed = run_headless(
            home, stub, "more", plugin_dir=ROOT, args=["--resume", first.session_id]
        )
        fork = ["--resume", first.session_id, "--fork-session"]
        forked = run_headless(home, stub, "elsewhere", plugin_dir=ROOT, args=fork)
        requests = len(stub.requests)
    assert forked.session_id != first.session_id == resumed.session_id
    assert forked.total_cost_usd == requests * STEP_USD, "a fork starts with its origin's total"
    assert totals(home) == (requests * STEP_USD, Decimal(0))
    assert reconciled(home) == {
        "client_usd": requests * STEP_USD,
        "booked_usd": requests * STEP_USD,
        "unattributed_usd": 0,
        "difference_usd": 0,
    }


@needs_tmux
def test_compaction_and_title_are_unattributed_to_the_cent(home: Home) -> None:
    """A paid title and a paid compaction leave no step: the sensor knows both."""
    stub = Stub(bash_loop(1), compaction=summary(STEP_USAGE), background=title(STEP_USAGE))
    with stub:
        env = home.env(stub)
        del env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]  # it keeps titles from being asked
        with open_client(home, stub, plugin_dir=ROOT, env=env) as screen:
            screen.submit("count")
            screen.wait_for(done(1))
            screen.submit("/compact")
            screen.wait_for("Compacted")
            screen.submit("again")
            screen.wait_for(re.compile(f"❯ again.*{done(1)}", re.DOTALL))
            # A client that is hung up may lose the lines it has not written yet.
            wait_for_entries(home, 4)
    steps = [request for request in stub.requests if request.kind == "step"]
    others = [request for request in stub.requests if request.kind != "step"]
    assert {request.kind for request in others} >= {"compaction"}
    session = entries(home, "session_id")[0][0]
    # What the last requests of a session cost is reported when the next session starts.
    with Stub(bash_loop(0)) as last:
        run_headless(home, last, "hello", plugin_dir=ROOT, args=["--resume", session])
    assert home.final_total(session) == (len(stub.requests) + 1) * STEP_USD
    assert totals(home) == ((len(steps) + 1) * STEP_USD, len(others) * STEP_USD)
    assert reconciled(home)["difference_usd"] == 0


@needs_tmux
def test_without_the_sensor_the_transcript_tells_the_total_at_the_next_start(
    home: Home, tmp_path: Path
) -> None:
    plugin = without_sensor(tmp_path / "plugin")
    with (
        Stub(bash_loop(1), compaction=summary(STEP_USAGE)) as stub,
        open_client(home, stub, plugin_dir=plugin) as screen,
    ):
        screen.submit("count")
        screen.wait_for(done(1))
        screen.submit("/compact")
        screen.wait_for("Compacted")
    session = entries(home, "session_id")[0][0]
    assert totals(home)[0] == 2 * STEP_USD
    with Stub(bash_loop(0)) as stub:
        run_headless(home, stub, "hello", plugin_dir=plugin, args=["--resume", session])
    assert totals(home) == (3 * STEP_USD, STEP_USD)


def test_a_killed_client_is_caught_up_and_its_total_starts_anew(home: Home) -> None:
    """The client forgets its total when it is killed; the entries know what it spent."""
    with Stub(bash_loop(2)) as stub:
        first = run_headless(home, stub, "count", plugin_dir=ROOT)
        transcript = home.transcript(first.session_id)
        kept = [line for line in transcript.read_text().splitlines() if '"cost-state"' not in line]
        transcript.write_text("\n".join(kept) + "\n")
        second = run_headless(
            home, stub, "more", plugin_dir=ROOT, args=["--resume", first.session_id]
        )
        assert second.total_cost_usd == 3 * STEP_USD
        assert len(stub.requests) == 6
    assert totals(home) == (6 * STEP_USD, Decimal(0))


# -- the same without a client: every order of events ----------------------------------------------


def ledger_of(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "ledger.db"))


def a_step(number: int, session: str = "s", at_ms: int = NOW_MS, copied_into: str = "") -> Step:
    usage = Usage(input_tokens=200, output_tokens=200)
    step = Step(
        f"m{number}", session, "main", "", "", "main", "claude-sonnet-5", at_ms + number, usage
    )
    return step._replace(copied_into=copied_into)


def book(ledger: Ledger, *steps: Step) -> None:
    with ledger.transaction():
        ledger.book(steps, load_table())
        for session in {step.session_id for step in steps}:
            reconcile.settle(ledger, session, NOW_MS)


def report(ledger: Ledger, total: ClientTotal, now_ms: int = NOW_MS) -> None:
    with ledger.transaction():
        reconcile.note(ledger, [total])
        reconcile.settle(ledger, total.session_id, now_ms)


def unattributed(ledger: Ledger, session: str = "s") -> int:
    return ledger.spend(Window(0, None, session_id=session)).unattributed_picousd


def sensor(total_steps: float, base_steps: float = 0, process: str = "a") -> ClientTotal:
    base, total = int(base_steps * STEP_PICO), int(total_steps * STEP_PICO)
    return ClientTotal("s", f"sensor:{process}", NOW_MS, base, total)


def test_a_step_that_is_late_takes_back_what_stood_for_it(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    report(ledger, sensor(2))
    assert unattributed(ledger) == 2 * STEP_PICO
    book(ledger, a_step(1), a_step(2))
    assert unattributed(ledger) == 0
    assert ledger.spend(Window(0, None)).counted_picousd == 2 * STEP_PICO


def test_two_terminals_on_one_session_add_up(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    book(ledger, a_step(1))
    report(ledger, sensor(2, process="a"))
    report(ledger, sensor(3.5, base_steps=1, process="b"))
    assert unattributed(ledger) == int((2 + 2.5 - 1) * STEP_PICO)


def test_every_source_may_tell_the_same_and_it_counts_once(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    book(ledger, a_step(1))
    report(ledger, sensor(2))
    for source in ("transcript", "status line", "result"):
        report(ledger, ClientTotal("s", source, 0, 0, 2 * STEP_PICO))
    assert unattributed(ledger) == STEP_PICO


def test_a_total_below_the_entries_is_no_negative_amount(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    book(ledger, a_step(1), a_step(2))
    report(ledger, ClientTotal("s", "status line", 0, 0, STEP_PICO))
    assert unattributed(ledger) == 0


def test_a_fork_is_not_charged_for_the_history_it_copied(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    book(ledger, a_step(1), a_step(2))
    book(ledger, a_step(1, copied_into="fork"), a_step(2, copied_into="fork"))
    book(ledger, a_step(3, session="fork"))
    report(ledger, ClientTotal("fork", "transcript", 0, 0, 4 * STEP_PICO))
    assert unattributed(ledger, "fork") == STEP_PICO
    assert ledger.spend(Window(0, None)).counted_picousd == 4 * STEP_PICO


def test_the_rise_is_dated_when_it_was_seen_and_the_newest_falls_first(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    day_ms = 86_400_000
    report(ledger, sensor(1))
    report(ledger, sensor(3), now_ms=NOW_MS + day_ms)
    book(ledger, a_step(1))
    first_day = NOW_MS // day_ms * day_ms
    days = [
        ledger.spend(Window(first_day + k * day_ms, first_day + (k + 1) * day_ms)) for k in (0, 1)
    ]
    assert [day.unattributed_picousd for day in days] == [STEP_PICO, STEP_PICO]
