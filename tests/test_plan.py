"""Budgets in percent of a subscription plan's own windows, as the client tells of them."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from budget import hook, paths, plan, statusline
from budget.model import PERCENT_UNITS
from budget.plan import STALE_MS, Reading
from tests.plugin import ROOT, said, status
from tests.realclient.client import Home, run_headless
from tests.realclient.stub import Stub, bash_loop
from tests.samples import AT_MS, DAY_MS, HOUR_MS

MINUTE_MS = 60_000
FIVE, SEVEN = PERCENT_UNITS
RESETS_MS = AT_MS + 2 * HOUR_MS


class Machine:
    """A home with budgets in percent, and a client that tells of its plan."""

    def __init__(self, root: Path, rules: str) -> None:
        self.root = root
        self.project = root / "project"
        (self.project / ".claude").mkdir(parents=True)
        config = f'version = 1\ntimezone = "UTC"\n[budgets.plan]\n{rules}\n'
        (self.project / ".claude" / "budget.toml").write_text(config)
        self.env = {
            "HOME": str(root / "home"),
            "BUDGET_HOME": str(root / "state"),
            "CLAUDE_CODE_ENTRYPOINT": "cli",
        }

    def sensor(
        self, at_ms: int = AT_MS, session: str = "s1", name: str = "p1", **kinds: Any
    ) -> None:
        """The file of one client process: `five_hour=(42, RESETS_MS)`."""
        limits = [
            {"kind": kind, "percentUsed": percent, "resetsAt": iso(resets_ms)}
            for kind, (percent, resets_ms) in kinds.items()
        ]
        facts = {"session": session, "since_ms": 0, "base_usd": 0, "usd": 0}
        self.raw(json.dumps({**facts, "rate_limits": limits, "at_ms": at_ms}), session, name)

    def raw(self, text: str, session: str = "s1", name: str = "p1") -> None:
        path = Path(paths.client_totals_folder(self.env, session), f"{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def status_line(self, now_ms: int = AT_MS, session: str = "s1", **limits: Any) -> str:
        told = {
            kind: {"used_percentage": percent, "resets_at": resets_ms / 1000}
            for kind, (percent, resets_ms) in limits.items()
        }
        workspace = {"project_dir": str(self.project)}
        given = {"session_id": session, "workspace": workspace, "rate_limits": told}
        return statusline.line(given, {**self.env, "NO_COLOR": "1"}, now_ms)

    def prompt(self, now_ms: int = AT_MS, session: str = "s1", text: str = "go on") -> str:
        """Why a prompt is not sent; empty when it is."""
        event = {
            "hook_event_name": "UserPromptSubmit",
            "session_id": session,
            "cwd": str(self.project),
            "prompt": text,
        }
        return str(hook.respond(event, self.env, now_ms).get("reason", ""))


def iso(at_ms: int) -> str:
    """As the client writes a time."""
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, f"{FIVE} = 80\n{SEVEN} = 90")


def test_below_the_limit_work_goes_on(machine: Machine) -> None:
    machine.sensor(five_hour=(79, RESETS_MS), seven_day=(89.9, RESETS_MS))
    assert machine.prompt() == ""


@pytest.mark.parametrize("source", ["sensor", "status_line"])
def test_at_the_limit_work_stops_until_the_plans_window_begins_anew(
    machine: Machine, source: str
) -> None:
    getattr(machine, source)(five_hour=(80, RESETS_MS), seven_day=(12, RESETS_MS + 3 * DAY_MS))
    assert machine.prompt() == (
        "Not sent: no money was spent.\n"
        "Stopped: the 80 % of the plan's five hours are used up (80 % spent).\n"
        'Budget "plan" in .claude/budget.toml, resets at 12:00 (in 2 h).\n'
        "To go on: /budget:allow 16 plan because <reason>"
        "  (adds 16 %; or `budget allow` in a terminal)\n"
        "Or: wait for the reset  (/clear does not help)"
    )


def test_the_window_of_seven_days_is_its_own(machine: Machine) -> None:
    machine.sensor(five_hour=(1, RESETS_MS), seven_day=(95, AT_MS + 3 * DAY_MS))
    told = machine.prompt()
    assert "the 90 % of the plan's seven days are used up (95 % spent)" in told
    assert "resets on 2026-11-26 at 10:00 (in 3 days)." in told


def test_what_the_client_does_not_tell_stops_nothing_and_says_so(machine: Machine) -> None:
    assert machine.prompt() == ""
    told = " ".join(machine.prompt(text="/budget:status").split())
    assert told.count("not known: the client tells it with a subscription plan only") == 2


def test_a_stale_reading_stops_nothing_and_says_so(machine: Machine) -> None:
    machine.sensor(five_hour=(99, RESETS_MS), seven_day=(1, RESETS_MS))
    assert "used up" in machine.prompt(AT_MS + STALE_MS)
    assert machine.prompt(AT_MS + STALE_MS + 1) == ""
    told = machine.prompt(AT_MS + STALE_MS + 1, text="/budget:status")
    assert "told 15 min ago: too old to stop anything" in told


def test_a_window_that_has_passed_is_not_known_any_more(machine: Machine) -> None:
    machine.sensor(five_hour=(99, AT_MS + MINUTE_MS), seven_day=(1, RESETS_MS))
    assert "used up" in machine.prompt(AT_MS + MINUTE_MS - 1)
    assert machine.prompt(AT_MS + MINUTE_MS) == ""
    told = " ".join(machine.prompt(AT_MS + MINUTE_MS, text="/budget:status").split())
    assert "not known: the plan's window has begun anew since the client told it" in told


def test_the_newest_reading_of_each_window_holds(machine: Machine) -> None:
    machine.sensor(at_ms=AT_MS - 5, name="old", five_hour=(99, RESETS_MS))
    machine.sensor(at_ms=AT_MS - 3, name="new", five_hour=(10, RESETS_MS))
    machine.status_line(now_ms=AT_MS - 4, five_hour=(98, RESETS_MS), seven_day=(50, RESETS_MS))
    assert plan.latest(machine.env, "s1") == {
        FIVE: Reading(FIVE, 10, RESETS_MS, AT_MS - 3),
        SEVEN: Reading(SEVEN, 50, RESETS_MS, AT_MS - 4),
    }


def test_what_the_status_line_tells_holds_in_every_session(machine: Machine) -> None:
    machine.status_line(five_hour=(85, RESETS_MS))
    assert "used up" in machine.prompt(session="another")


def test_the_status_line_shows_the_plan(machine: Machine) -> None:
    line = machine.status_line(five_hour=(40, RESETS_MS), seven_day=(1, RESETS_MS))
    assert "plan █████░░░░░ 50 % · 40 of 80 % of the plan's five hours left" in line


def test_a_grant_in_percent_lifts_the_stop(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("budget.ancestry.clients_above", lambda pid=0: [1])
    monkeypatch.setattr("budget.ancestry.is_from_client", lambda: True)
    machine.sensor(five_hour=(85, RESETS_MS))
    assert machine.prompt(text="/budget:allow 10 plan 1h").startswith("Granted 10 % on the budget")
    assert machine.prompt() == ""


@pytest.mark.parametrize("percent", [-1, 1001, "80", None, float("nan"), [80]])
def test_what_is_no_percentage_is_no_reading(machine: Machine, percent: object) -> None:
    machine.sensor(five_hour=(percent, RESETS_MS))
    machine.status_line(five_hour=(percent, RESETS_MS))
    assert plan.latest(machine.env, "s1") == {}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "5", '"x"', '{"rate_limits": 5}', '{"rate_limits": [5]}'),
        '{"at_ms": 1, "rate_limits": [{"kind": "five_hour", "percentUsed": 1}]}',
        '{"at_ms": 1, "rate_limits": [{"kind": 5, "percentUsed": 1, "resetsAt": "soon"}]}',
        '{"at_ms": "x", "rate_limits": null}',
        "[" * 100_000,
        "x" * 70_000,
    ],
    ids=lambda text: text[:30],
)
def test_a_torn_or_foreign_report_is_passed_over(machine: Machine, text: str) -> None:
    machine.raw(text)
    Path(paths.plan_usage_file(machine.env)).write_text(text)
    assert plan.latest(machine.env, "s1") == {}
    machine.sensor(name="good", five_hour=(85, RESETS_MS))
    assert "used up" in machine.prompt()


@pytest.mark.parametrize(
    "row",
    [[FIVE, 10, None, None], [FIVE, 10, None, "x"], [FIVE, 10, "x", AT_MS + 1]],
    ids=str,
)
def test_a_stored_reading_of_garbage_is_passed_over(machine: Machine, row: list[Any]) -> None:
    machine.sensor(five_hour=(85, RESETS_MS))
    Path(paths.plan_usage_file(machine.env)).write_text(json.dumps([row]))
    assert "used up" in machine.prompt()


# -- the real client -------------------------------------------------------------------------------


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def test_the_real_client_tells_of_its_plan_and_is_stopped(home: Home) -> None:
    resets_s = int(time.time()) + 3_600
    headers = {
        "anthropic-ratelimit-unified-status": "allowed",
        "anthropic-ratelimit-unified-5h-utilization": "0.42",
        "anthropic-ratelimit-unified-5h-reset": str(resets_s),
        "anthropic-ratelimit-unified-7d-utilization": "0.1",
        "anthropic-ratelimit-unified-7d-reset": str(resets_s + 86_400),
    }
    config = f"version = 1\n[budgets.plan]\n{FIVE} = 40\n{SEVEN} = 90\n"
    home.write(".claude/budget.toml", config)
    with Stub(bash_loop(5), headers=headers) as stub:
        env = home.env(stub, extra={"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-abc"})
        del env["ANTHROPIC_API_KEY"]
        run = run_headless(home, stub, "count", plugin_dir=ROOT, env=env)
        assert len(stub.steps()) == 1
    assert "the 40 % of the plan's five hours are used up (42 % spent)" in said(run.messages)
    five, seven = status(home)["budgets"]
    assert (five["spent"], five["state"], seven["spent"], seven["state"]) == (
        *(42, "exceeded"),
        *(10, "ok"),
    )
    resets = datetime.fromtimestamp(resets_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert five["resets_at"] == resets


def test_a_client_that_pays_per_request_is_not_stopped_by_a_plan(home: Home) -> None:
    home.write(".claude/budget.toml", f"version = 1\n[budgets.plan]\n{FIVE} = 1\n")
    with Stub(bash_loop(1)) as stub:
        run_headless(home, stub, "count", plugin_dir=ROOT)
        assert len(stub.requests) == 2
    (budget,) = status(home)["budgets"]
    assert budget["state"] == "ok"
    assert budget["note"].startswith("not known")
