"""With the real client: killed while a tool runs, its last step is counted when the next begins."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.plugin import ROOT, booked, budget_toml, entries, status
from tests.realclient.answer import Answer, Call
from tests.realclient.client import Home, client_argv, run_headless
from tests.realclient.request import Request
from tests.realclient.stub import STEP_USD, Stub, bash_loop


def killed_at_work(home: Home) -> None:
    """A session of two steps: the client is killed while the tool of the second one runs."""

    def script(request: Request) -> Answer:
        command = "echo one" if request.turn_step == 1 else "sleep 8"
        return Answer("step", (Call("Bash", {"command": command, "description": "Work"}),))

    with Stub(script) as stub:
        client = subprocess.Popen(
            [*client_argv(plugin_dir=ROOT), "--print", "--verbose", "count"],
            cwd=home.project,
            env=home.env(stub),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + 60
            while written(home).count(b'"sleep 8"') == 0:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert len(stub.requests) == 2
        finally:
            os.killpg(client.pid, signal.SIGKILL)
            client.wait()


def written(home: Home) -> bytes:
    return b"".join(path.read_bytes() for path in home.transcripts())


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def test_the_next_session_counts_what_no_hook_could(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="usd = 0.0072"))
    killed_at_work(home)
    # No hook came after the second step; on a busy disk the first was written after its own, too.
    assert len(entries(home)) <= 1
    with Stub(bash_loop(None)) as stub:
        run_headless(home, stub, "go on", plugin_dir=ROOT)
        assert len(stub.requests) == 1, "of three steps a day two were made by then"
    assert booked(home) == 3 * STEP_USD == Decimal("0.0072")
    assert status(home)["budgets"][0]["spent"] == "0.007200"
