"""With the real client: the person's own command at a warning and at a stop, and nobody else's."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin import ROOT, budget_toml, command, said
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.stub import Stub, bash_loop

FIVE = 'usd = 0.0120\nstop = "after"'
"""Five steps of 0.0024; the default warning is at the fourth."""
BROKEN = ["sh", "-c", "echo 'no such bell' >&2; exit 3"]


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        made.write(".claude/budget.toml", budget_toml(session=FIVE))
        yield made


def notify_by(home: Home, program: list[str]) -> None:
    """Names the command in the person's own config."""
    path = home.home / ".claude" / "budget.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"version = 1\n[notify]\ncommand = {json.dumps(program)}\n")


def script(home: Home, then: str = "") -> list[str]:
    """A program that puts each stdin into a file of its own beside itself, and goes on."""
    path = home.root / "bell"
    path.mkdir()
    return ["sh", "-c", f"cd '{path}'; cat > $$; mv $$ $$.json; {then}"]


def told(home: Home) -> list[dict[str, Any]]:
    """What the program was told so far, the warning first."""
    facts = [json.loads(path.read_text()) for path in (home.root / "bell").glob("*.json")]
    return sorted(facts, key=lambda each: str(each["event"]), reverse=True)


def wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 9
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def run(home: Home, stub: Stub, *args: str) -> Result:
    return run_headless(home, stub, "count", plugin_dir=ROOT, args=args)


def at_start(run: Result) -> str:
    """What the hook of a new session said."""
    hooks = (each for each in run.messages if each.get("subtype") == "hook_response")
    return "\n".join(each["output"] for each in hooks if "SessionStart" in each["hook_name"])


def doctor(home: Home) -> str:
    return command(home, "doctor").stdout


def test_a_warning_and_a_stop_are_told_once_each_as_json(home: Home) -> None:
    notify_by(home, script(home))
    with Stub(bash_loop(None)) as stub:
        first = run(home, stub)
        run(home, stub, "--resume", first.session_id)
        run(home, stub, "--resume", first.session_id)
        assert len(stub.requests) == 5
    wait_for(lambda: len(told(home)) >= 2)
    time.sleep(0.3)  # for a third, that should not come
    warning, stop = told(home)
    shown = said(first.messages).replace("PostToolBatch says: ", "")
    assert (warning["event"], stop["event"]) == ("warning", "stop")
    for facts, spent in ((warning, "0.009600"), (stop, "0.012000")):
        assert facts["project"] == str(home.project)
        assert facts["session"] == first.session_id
        assert facts["text"] in shown, "as the person sees it"
        (budget,) = facts["budgets"]
        assert (budget["name"], budget["limit"], budget["spent"]) == ("session", "0.012000", spent)
        assert budget["source"] == f"{home.project}/.claude/budget.toml, budgets.session"
    assert "! Notifications" not in doctor(home)


def test_a_command_that_does_not_end_keeps_no_hook_waiting(home: Home) -> None:
    wait = "for i in $(seq 80); do sleep 0.1; test -e go && break; done; touch $$.ended"
    notify_by(home, script(home, wait))
    bell = home.root / "bell"
    with Stub(bash_loop(None)) as stub:
        run(home, stub)
        assert len(stub.requests) == 5, "the work was stopped meanwhile"
    wait_for(lambda: len(told(home)) == 2)
    assert not list(bell.glob("*.ended")), "the client is gone, and the command still runs"
    (bell / "go").touch()
    wait_for(lambda: len(list(bell.glob("*.ended"))) == 2)


@pytest.mark.parametrize(
    ("program", "error"),
    [(BROKEN, "it ended with 3: no such bell"), (["no-such-bell"], "No such file or directory")],
)
def test_a_command_that_fails_is_shown_by_the_doctor_until_it_works(
    home: Home, program: list[str], error: str
) -> None:
    notify_by(home, program)
    failure = home.state / "logs" / "notify.json"
    with Stub(bash_loop(None)) as stub:
        first = run(home, stub)
        assert len(stub.requests) == 5, "and stops nothing, nor lets anything on"
        assert "Stopped: the $0.0120 in this session are used up" in said(first.messages)
        wait_for(failure.exists)
        shown = doctor(home)
        assert "! Notifications" in shown
        assert f"{' '.join(program)}: {error}" in shown
        notify_by(home, script(home))
        run(home, stub)
        wait_for(lambda: len(told(home)) == 2 and not failure.exists())
    assert "! Notifications" not in doctor(home)


@pytest.mark.parametrize("name", ["budget.toml", "budget.local.toml"])
def test_a_repository_names_no_command(home: Home, name: str) -> None:
    table = f"[notify]\ncommand = {json.dumps(script(home))}\n"
    budgets = budget_toml(session=FIVE) if name == "budget.toml" else "version = 1\n"
    path: Path = home.write(f".claude/{name}", budgets + table)
    with Stub(bash_loop(None)) as stub:
        first = run(home, stub)
        assert len(stub.requests) == 5, "its budgets hold all the same"
    assert f"{path}, notify.command: it is passed over" in at_start(first)
    assert "only ~/.claude/budget.toml and managed policies can name a command" in at_start(first)
    time.sleep(0.3)
    assert told(home) == []
