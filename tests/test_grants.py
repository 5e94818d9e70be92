"""A grant is a person's: how much, on what, until when, and who is refused."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from budget import ancestry, events, granting, grants, hook, messages, paths, pipeline
from budget.evaluate import Decision
from budget.granting import HOW, GrantRefusedError, Request, typed
from budget.ledger import Ledger
from budget.model import PICO, Budget, Policy, Source, Verdict
from budget.status import Standing
from budget.verdicts import budget_window
from tests.plugin import ROOT
from tests.samples import AT_MS, DAY_MS, HOUR_MS, step_line

DAY_END_MS = AT_MS // DAY_MS * DAY_MS + DAY_MS
SOURCE = Source("repo", "/p/.claude/budget.toml", "budgets.day", ".claude/budget.toml")
NO_PERSON = (
    "Nothing was granted: {}. A grant is a person's: type `budget allow` in a terminal of your own,"
    " or /budget:allow as a prompt in an interactive session."
)


@pytest.fixture(autouse=True)
def nothing_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests: no client is above this process, unless a test says so."""
    monkeypatch.setattr(ancestry, "clients_above", lambda pid=0: [])


# -- who may ---------------------------------------------------------------------------------------


def refusal(env: dict[str, str], in_hook: bool, has_terminal: bool = True) -> str:
    try:
        granting.refuse_agents(env, in_hook, has_terminal)
    except GrantRefusedError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("above", "env", "in_hook", "has_terminal", "why"),
    [
        (0, {}, False, True, ""),
        (0, {"CLAUDECODE": "1"}, False, True, "within"),
        (0, {"CLAUDECODE": "0"}, False, True, "within"),
        (1, {}, False, True, "within"),
        (2, {}, False, True, "within"),
        (0, {}, False, False, "terminal"),
        (0, {"CLAUDECODE": "1"}, False, False, "within"),
        (1, {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli"}, True, True, ""),
        (1, {"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"}, True, True, "screen"),
        (1, {"CLAUDE_CODE_ENTRYPOINT": "sdk-py"}, True, True, "screen"),
        (1, {"CLAUDE_CODE_ENTRYPOINT": ""}, True, True, "screen"),
        (2, {"CLAUDE_CODE_ENTRYPOINT": "cli"}, True, True, "nested"),
        (3, {"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"}, True, True, "screen"),
    ],
)
def test_who_is_refused_and_why(
    monkeypatch: pytest.MonkeyPatch,
    above: int,
    env: dict[str, str],
    in_hook: bool,
    has_terminal: bool,
    why: str,
) -> None:
    monkeypatch.setattr(ancestry, "clients_above", lambda pid=0: [1] * above)
    monkeypatch.setattr(ancestry, "is_from_client", lambda: True)
    told = {
        "": "",
        "within": "it was asked for from within Claude Code, where an agent could do so",
        "terminal": "there is no terminal, so no person is there to answer for it",
        "screen": "this session has no screen, so no person typed it",
        "nested": "this session was started from within another one",
    }[why]
    assert refusal(env, in_hook, has_terminal) == (NO_PERSON.format(told) if told else "")


@pytest.mark.parametrize(
    ("command", "is_client"),
    [
        ("claude", True),
        ("/usr/local/bin/claude\0-p\0hi", True),
        ("C:/x/claude.exe", True),
        ("node\0/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js", True),
        ("/usr/bin/node\0/home/me/.npm/bin/claude", True),
        ("bun\0/x/claude-code/cli.js", True),
        ("python\0claude", False),
        ("bash\0-c\0claude", False),
        ("vim\0/home/me/claude", False),
        ("node\0/home/me/claude-code-notes/server.js", False),
        ("claudette", False),
        ("", False),
    ],
)
def test_a_client_is_known_by_its_program_or_the_script_it_runs(
    command: str, is_client: bool
) -> None:
    assert ancestry._is_client(command) is is_client


CLIENTS_ABOVE = (
    f"{sys.executable} -c 'import sys; sys.path.insert(0, sys.argv[1]);"
    f" from budget.ancestry import clients_above; print(len(clients_above()))' {ROOT}; true"
)


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")
def test_the_clients_above_a_real_process_are_counted(tmp_path: Path) -> None:
    """A shell by the name of the client stands for it."""
    claude = tmp_path / "claude"
    claude.symlink_to("/bin/sh")

    def count(script: str) -> int:
        run = subprocess.run(
            ["/bin/sh", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path
        )
        return int(run.stdout)

    (tmp_path / "count").write_text(CLIENTS_ABOVE)
    (tmp_path / "once").write_text("./claude count; true")
    base = count(". ./count")
    assert count("./claude count; true") == base + 1
    assert count("sh -c './claude count; true'; true") == base + 1
    assert count("./claude once; true") == base + 2


def terminal(argv: list[str], env: dict[str, str], cwd: Path) -> tuple[int, str]:
    """Runs a command in a terminal of its own; its exit code and what it shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the terminal is gone with its last process
            break
        if not part:
            break
        shown += part
    os.close(master)
    return process.wait(30), shown.decode().replace("\r\n", "\n")


# -- what is typed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("5", Request("5")),
        ("$1,200.50 day", Request("$1,200.50", "day")),
        ("$5", Request("$5")),
        ("0.25 day", Request("0.25", "day")),
        ("5 day today", Request("5", "day", "today")),
        ("5 day 2h", Request("5", "day", "2h")),
        ("5 week", Request("5", "week")),
        ("5 week week", Request("5", "week", "week")),
        ("5 session session", Request("5", "session", "session")),
        ("5 my budget month", Request("5", "my budget", "month")),
        ("5 because it is late", Request("5", "", "", "it is late")),
        (
            "5 day today because the release is tonight",
            Request("5", "day", "today", "the release is tonight"),
        ),
        ("5 day Today Because: x", Request("5", "day", "today", "x")),
        ("5 day reason: x y", Request("5", "day", "", "x y")),
        ("100 day because", Request("100", "day")),
    ],
)
def test_a_typed_request_is_taken_apart(text: str, request_: Request) -> None:
    assert typed(text.split()) == request_


@pytest.mark.parametrize("text", ["", "day 5", "-5 day", "five", "5,50", "1e3", "$", "5.", "nan"])
def test_an_amount_comes_first(text: str) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        typed(text.split())
    assert str(refused.value) == f"Nothing was granted: an amount comes first. {HOW}"


def verdict(unit: str = "usd", limit: int = 5 * PICO, spent: int = 0, **more: Any) -> Verdict:
    known = {"name": "day", "per": "day", "timezone": "UTC", **more}
    budget = Budget(
        **{
            "unit": unit,
            "limit": limit,
            "warn_at": (),
            "on_exceed": "block",
            "message": "",
            "source": SOURCE,
            **known,
        }
    )
    return Verdict(budget, budget_window(budget, "s1", AT_MS), spent)


def grant(
    request: Request, *verdicts: Verdict, policy: Policy | None = None, session: str = "s1"
) -> grants.Grant:
    made, _ = granting.grant(
        request,
        Decision(verdicts or (verdict(),)),
        policy or Policy(),
        session,
        "ana@example.com",
        AT_MS,
    )
    return made


def refused(request: Request, *verdicts: Verdict, **more: Any) -> str:
    with pytest.raises(GrantRefusedError) as error:
        grant(request, *verdicts, **more)
    return str(error.value)


@pytest.mark.parametrize(
    ("amount", "unit", "granted"),
    [
        ("5", "usd", 5 * PICO),
        ("$5.25", "usd", 525 * PICO // 100),
        ("0.000001", "usd", PICO // 10**6),
        ("19.99", "usd", 1999 * PICO // 100),
        ("999999999", "usd", 999_999_999 * PICO),
        ("100", "steps", 100),
        ("100.000", "output_tokens", 100),
        ("5", "five_hour_percent", 5),
    ],
)
def test_an_amount_is_exact(amount: str, unit: str, granted: int) -> None:
    assert grant(Request(amount), verdict(unit)).amount == granted


def test_an_amount_that_is_none_or_not_whole_is_refused() -> None:
    for text in ("0", "0.0", "$0.000000", "x", ""):
        told = f"Nothing was granted: {text!r} is no amount above 0. {HOW}"
        assert refused(Request(text)) == told
    told = "Nothing was granted: the budget 'day' counts steps, so the amount is a whole number."
    assert refused(Request("1.5"), verdict("steps")) == told


@pytest.mark.parametrize(
    ("until", "per", "session_id", "until_ms"),
    [
        ("", "day", "", DAY_END_MS),
        ("", "month", "", DAY_END_MS),
        ("", "session", "s1", AT_MS + 366 * DAY_MS),
        ("today", "day", "", DAY_END_MS),
        ("day", "week", "", DAY_END_MS),
        ("hour", "day", "", AT_MS // HOUR_MS * HOUR_MS + HOUR_MS),
        ("week", "day", "", AT_MS // DAY_MS * DAY_MS + 7 * DAY_MS),  # a Monday
        ("month", "day", "", AT_MS // DAY_MS * DAY_MS + 8 * DAY_MS),  # the 23rd of November
        ("session", "day", "s1", AT_MS + 366 * DAY_MS),
        ("30m", "day", "", AT_MS + HOUR_MS // 2),
        ("2h", "day", "", AT_MS + 2 * HOUR_MS),
        ("3d", "day", "", AT_MS + 3 * DAY_MS),
        ("9999d", "day", "", AT_MS + 366 * DAY_MS),
    ],
)
def test_a_grant_holds_until_the_end_that_was_named(
    until: str, per: str, session_id: str, until_ms: int
) -> None:
    made = grant(Request("5", "", until), verdict(per=per))
    assert (made.session_id, made.until_ms) == (session_id, until_ms)


def test_a_day_ends_where_the_budget_says() -> None:
    made = grant(Request("5", "", "today"), verdict(timezone="Asia/Kolkata"))
    assert made.until_ms == AT_MS // DAY_MS * DAY_MS + 18 * HOUR_MS + HOUR_MS // 2


@pytest.mark.parametrize("until", ["tomorrow", "0h", "-1h", "2 h", "2w", "99999h", "forever"])
def test_an_end_that_is_none_is_refused(until: str) -> None:
    assert refused(Request("5", "", until)) == (
        f"Nothing was granted: {until!r} is no end. today, session, week, month, or 30m, 2h, 3d."
    )


def test_a_session_grant_needs_a_session() -> None:
    told = "Nothing was granted: there is no session to grant it for."
    assert refused(Request("5"), verdict(per="session"), session="") == told


def test_which_budget_is_the_one_that_is_used_up_or_the_only_one() -> None:
    whole, used_up = verdict(name="whole"), verdict(name="gone", spent=5 * PICO)
    assert grant(Request("5")).budget == "day"
    assert grant(Request("5"), whole, used_up).budget == "gone"
    assert grant(Request("5", "whole"), whole, used_up).budget == "whole"
    other = verdict(name="other")
    assert refused(Request("5"), whole, other) == (
        f"Nothing was granted: say which budget. Budgets: other, whole. {HOW}"
    )
    assert refused(Request("5"), used_up, verdict(name="late", spent=5 * PICO)) == (
        f"Nothing was granted: say which budget. Budgets: gone, late. {HOW}"
    )
    assert refused(Request("5", "dya"), whole) == (
        f"Nothing was granted: there is no budget 'dya' here. Budgets: whole. {HOW}"
    )
    nothing = Decision(())
    with pytest.raises(GrantRefusedError, match="Budgets: none is set"):
        granting.grant(Request("5"), nothing, Policy(), "s1", "", AT_MS)


def test_of_several_units_the_one_that_is_used_up_is_raised() -> None:
    usd, steps = verdict(), verdict("steps", 3, 3)
    assert grant(Request("5"), usd, steps).unit == "steps"
    assert grant(Request("5"), usd, verdict("steps", 3, 2)).unit == "usd"


CAP = "/etc/policy.toml, rules.max_grant_usd"


@pytest.mark.parametrize(
    ("amount", "cap", "why"),
    [
        ("10", 10, ""),
        ("10.01", 10, f"$10.01 is more than the $10.00 that {CAP} allows at once."),
        ("11", 10, f"$11.00 is more than the $10.00 that {CAP} allows at once."),
        ("0.000001", 0, f"{CAP} forbids grants. Ask who keeps it."),
        ("1", 0, f"{CAP} forbids grants. Ask who keeps it."),
    ],
)
def test_a_policy_caps_or_forbids_grants(amount: str, cap: int, why: str) -> None:
    policy = Policy(max_grant=cap * PICO, max_grant_source=CAP)
    if not why:
        assert grant(Request(amount), policy=policy).amount == 10 * PICO
        return
    assert refused(Request(amount), policy=policy) == f"Nothing was granted: {why}"


@pytest.mark.parametrize("unit", ["steps", "tokens", "context_tokens", "five_hour_percent"])
def test_a_cap_in_dollars_leaves_other_units_ungranted(unit: str) -> None:
    policy = Policy(max_grant=10 * PICO, max_grant_source=CAP)
    assert refused(Request("1"), verdict(unit), policy=policy) == (
        f"Nothing was granted: {CAP} limits grants in US dollars, and the budget 'day' counts"
        f" {messages.unit_words(unit)}."
    )
    forbidden = policy._replace(max_grant=0)
    assert "forbids grants" in refused(Request("1"), verdict(unit), policy=forbidden)


def test_a_reason_is_kept_on_one_line() -> None:
    made = grant(Request("5", reason="late\n\x1b[31m\u202enight"))
    assert made.reason.isprintable()
    assert "late" in made.reason


# -- what a grant does -----------------------------------------------------------------------------


class Work:
    """Projects of one home; events as hooks get them."""

    def __init__(self, root: Path, config: str = "", policy: str = "") -> None:
        self.root = root
        self.env = {
            "HOME": str(root / "home"),
            "BUDGET_HOME": str(root / "state"),
            "BUDGET_USER": "ana@example.com",
            "CLAUDE_CODE_ENTRYPOINT": "cli",
            "BUDGET_POLICY": str(root / "policy.toml"),
        }
        (root / "home" / ".claude").mkdir(parents=True)
        clock = 'version = 1\ntimezone = "UTC"\n'
        (root / "home" / ".claude" / "budget.toml").write_text(clock + config)
        if policy:
            (root / "policy.toml").write_text("version = 1\n" + policy)

    def folder(self, project: str = "a") -> Path:
        folder = self.root / "work" / project
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def respond(
        self,
        name: str,
        *message_ids: str,
        prompt: str = "go on",
        project: str = "a",
        session: str = "s1",
        now_ms: int = AT_MS + 1_000,
        **env: str,
    ) -> dict[str, Any]:
        path = self.root / "home" / ".claude" / "projects" / project / f"{session}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            for message_id in message_ids:
                file.write(step_line(message_id, tools=[f"call-{message_id}"]))
        event = {
            "hook_event_name": name,
            "session_id": session,
            "cwd": str(self.folder(project)),
            "transcript_path": str(path),
            "prompt": prompt,
            "tool_calls": [{"tool_use_id": f"call-{each}"} for each in message_ids[-1:]],
        }
        return hook.respond(event, {**self.env, **env}, now_ms)

    def step(self, *message_ids: str, **more: Any) -> bool:
        """Whether the work goes on after those steps."""
        return self.respond("PostToolBatch", *message_ids, **more).get("continue", True) is True

    def prompt(self, text: str = "go on", **more: Any) -> str:
        """Why a prompt is not sent; empty when it is."""
        answer = self.respond("UserPromptSubmit", prompt=text, **more)
        return str(answer.get("reason", ""))

    def ledger(self, project: str = "a") -> Ledger:
        return pipeline.open_ledger(self.env, paths.find_project(str(self.folder(project))))

    def status(self, project: str = "a") -> dict[str, Any]:
        run = subprocess.run(
            [sys.executable, "-m", "budget", "status", "--json"],
            cwd=self.folder(project),
            env={**self.env, "PATH": os.environ["PATH"]},
            check=True,
            capture_output=True,
            text=True,
        )
        facts: dict[str, Any] = json.loads(run.stdout)
        return facts


def steps_of(per: str, limit: int = 2, scope: str = "project") -> str:
    rules = f'per = "{per}"\nsteps = {limit}\nscope = "{scope}"\nstop = "after"\n'
    return f"[budgets.{per}]\n{rules}"


def test_a_grant_lifts_a_stop(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    assert work.step("m1")
    assert not work.step("m2")
    assert "used up" in work.prompt()
    assert work.prompt("/budget:allow 2 day today because of the release") == (
        'Granted 2 steps on the budget "day" until 2026-11-24 00:00: 2 of 4 steps today,'
        " 2 is left. Every grant is kept in the ledger; `budget status` shows it."
    )
    assert work.prompt() == ""
    assert work.step("m3")
    assert not work.step("m4"), "the grant is used up, too"
    assert "Stopped: the 4 steps today are used up (4 spent)." in work.prompt()
    assert work.prompt("/budget:allow 1 day").startswith("Granted 1 steps")
    assert work.prompt() == ""


def test_a_grant_that_is_too_small_says_so(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("m1", "m2", "m3", "m4")
    assert "4 of 3 steps today, that is still used up" in work.prompt("/budget:allow 1")
    assert "used up" in work.prompt()


def test_a_grant_ends_at_its_millisecond(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("total"))
    work.step("m1", "m2")
    assert work.prompt("/budget:allow 5 total 30m").startswith("Granted")
    end_ms = AT_MS + 1_000 + HOUR_MS // 2
    assert work.prompt(now_ms=end_ms - 1) == ""
    assert "used up" in work.prompt(now_ms=end_ms)


def test_a_grant_of_the_future_does_not_hold_yet(tmp_path: Path) -> None:
    """The clock was set back."""
    work = Work(tmp_path, steps_of("total"))
    work.step("m1", "m2")
    work.prompt("/budget:allow 5 total 3d")
    assert "used up" in work.prompt(now_ms=AT_MS + 999)
    assert work.prompt(now_ms=AT_MS + 1_000) == ""


def test_grants_add_up(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("total"))
    work.step("m1", "m2", "m3", "m4")
    work.prompt("/budget:allow 1 total 2h")
    work.prompt("/budget:allow 2 total 1h")
    assert work.prompt() == ""
    assert "used up" in work.prompt(now_ms=AT_MS + 1_000 + HOUR_MS)


def test_a_session_grant_is_of_that_session(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("session"))
    for session in ("s1", "s2"):
        assert not work.step(f"{session}-1", f"{session}-2", session=session)
    assert work.prompt("/budget:allow 3 session").startswith(
        'Granted 3 steps on the budget "session" for this session: 2 of 5 steps in this session'
    )
    assert work.prompt() == ""
    assert "used up" in work.prompt(session="s2")
    assert work.prompt(now_ms=AT_MS + 300 * DAY_MS) == ""


def test_a_grant_on_a_persons_budget_holds_in_every_project(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day", scope="user"))
    work.step("a1")
    assert not work.step("b1", project="b", session="s2")
    assert "used up" in work.prompt()
    assert work.prompt("/budget:allow 3 day", project="b", session="s2").startswith("Granted")
    assert work.prompt() == ""
    assert work.step("a2")
    assert work.prompt(project="c", session="s3") == ""


def test_a_grant_on_a_projects_budget_holds_there_only(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("a1", "a2")
    work.step("b1", "b2", project="b", session="s2")
    work.prompt("/budget:allow 3 day")
    assert work.prompt() == ""
    assert "used up" in work.prompt(project="b", session="s2")


def test_a_persons_grant_survives_the_deletion_of_a_projects_ledger(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day", scope="user"))
    work.step("a1", "a2")
    work.prompt("/budget:allow 3 day")
    for path in (tmp_path / "state" / "projects").glob("*/ledger.db*"):
        path.unlink()
    assert work.prompt() == ""


LINE = "+3 steps on day until 2026-11-24 00:00, granted by ana@example.com: the release"


def tell_once(work: Work, project: str) -> None:
    said = work.respond("PostToolBatch", "t1", project=project, session="s9")["systemMessage"]
    assert f"budget: {LINE}" in said
    assert LINE not in str(work.respond("PostToolBatch", "t2", project=project, session="s9"))


def test_another_session_is_told_of_a_grant_once(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day", 9))
    work.step("m1")
    work.prompt("/budget:allow 3 day today because the release")
    tell_once(work, "a")


def test_another_project_is_told_of_a_persons_grant_once(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day", 9, "user"))
    work.step("m1")
    work.prompt("/budget:allow 3 day today because the release")
    tell_once(work, "b")


def test_status_shows_the_grants_that_hold(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("total"))
    now_ms = int(time.time() * 1000)
    work.step("m1", now_ms=now_ms)
    work.prompt("/budget:allow 3 total 2h because the release", now_ms=now_ms)
    work.prompt("/budget:allow 7 total 1h", now_ms=now_ms - 2 * HOUR_MS)
    facts = work.status()
    (line,) = facts["grants"]
    assert line.startswith("+3 steps on total until ")
    assert line.endswith(", granted by ana@example.com: the release")
    (budget,) = facts["budgets"]
    assert (budget["limit"], budget["granted"], budget["left"]) == (5, 3, 4)


@pytest.mark.parametrize("project", ["a", "b"])
def test_status_shows_a_persons_grants(tmp_path: Path, project: str) -> None:
    work = Work(tmp_path, steps_of("total", 9, "user"))
    now_ms = int(time.time() * 1000)
    work.step("m1", now_ms=now_ms)
    work.prompt("/budget:allow 3 total 2h because the release", now_ms=now_ms)
    facts = work.status(project)
    assert [budget["granted"] for budget in facts["budgets"]] == [3]
    assert len(facts["grants"]) == 1


def test_a_grant_is_an_event_that_says_everything(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("m1", "m2")
    work.prompt("/budget:allow 2 day today because the release")
    ledger = work.ledger()
    (event,) = events.last(ledger, (events.GRANT,))
    ledger.close()
    wanted = {
        "at_ms": AT_MS + 1_000,
        "until_ms": DAY_END_MS,
        "session_id": "",
        "budget": "day",
        "unit": "steps",
        "amount": 2,
        "person": "ana@example.com",
        "reason": "the release",
        "spent": 2,
        "limit": 2,
    }
    assert {key: event.facts[key] for key in wanted} == wanted


def test_a_policy_that_forbids_grants_forbids_them_to_the_typed_prompt(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"), policy="[rules]\nmax_grant_usd = 0\n")
    work.step("m1", "m2")
    stop = work.prompt()
    assert "/budget:allow" not in stop, "what is forbidden is not advised"
    assert work.prompt("/budget:allow 2 day") == (
        f"Nothing was granted: {tmp_path}/policy.toml, rules.max_grant_usd forbids grants."
        " Ask who keeps it."
    )
    assert "used up" in work.prompt()


@pytest.mark.parametrize("entrypoint", ["sdk-cli", "sdk-py", "sdk-ts", "claude-vscode"])
def test_a_prompt_of_a_program_grants_nothing_and_is_an_incident(
    tmp_path: Path, entrypoint: str
) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("m1", "m2")
    told = work.prompt("/budget:allow 2 day", CLAUDE_CODE_ENTRYPOINT=entrypoint)
    assert told == NO_PERSON.format("this session has no screen, so no person typed it")
    assert "used up" in work.prompt()
    (incident,) = work.status()["incidents"]
    assert incident.endswith(f"grant refused: {told}")


def test_a_mistyped_request_is_answered_and_is_no_incident(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("m1", "m2")
    for text in ("", "day", "5 dya", "0 day", "5 day forever and ever"):
        assert work.prompt(f"/budget:allow {text}").startswith("Nothing was granted: ")
    assert "used up" in work.prompt()
    assert work.status()["incidents"] == []


def test_what_only_looks_like_the_command_is_a_prompt(tmp_path: Path) -> None:
    work = Work(tmp_path, steps_of("day"))
    work.step("m1", "m2")
    for text in ("please /budget:allow 5", "budget:allow 5", "<p>/budget:allow 5</p>"):
        assert "Not sent: no money was spent" in work.prompt(text)


# -- budget allow, in a terminal -------------------------------------------------------------------


def allow(work: Work, *arguments: str, has_terminal: bool = True, **env: str) -> tuple[int, str]:
    """`budget allow ...` as a person's terminal starts it."""
    argv = [sys.executable, "-m", "budget", "allow", *arguments]
    whole = {**work.env, "PATH": os.environ["PATH"], "COLUMNS": "300", "LANG": "C.UTF-8", **env}
    del whole["CLAUDE_CODE_ENTRYPOINT"]
    if has_terminal:
        return terminal(argv, whole, work.folder())
    run = subprocess.run(
        argv,
        cwd=work.folder(),
        env=whole,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.fixture
def alone() -> None:
    """Skips where the tests themselves run within the client."""
    run = subprocess.run(
        ["/bin/sh", "-c", CLIENTS_ABOVE], check=True, capture_output=True, text=True
    )
    if int(run.stdout):
        pytest.skip("a client is above these tests")


def total(limit: int = 2) -> str:
    return steps_of("total", limit)


@pytest.mark.usefixtures("alone")
def test_a_person_grants_from_a_terminal(tmp_path: Path) -> None:
    work = Work(tmp_path, total())
    now_ms = int(time.time() * 1000)
    work.step("m1", "m2", now_ms=now_ms)
    arguments = ("5", "--budget", "total", "--for", "2h", "--reason", "the release")
    code, shown = allow(work, *arguments)
    assert code == 0, shown
    assert shown.startswith('Granted 5 steps on the budget "total" until ')
    assert work.prompt(now_ms=int(time.time() * 1000)) == ""
    code, shown = allow(work, "1", "--json")
    assert code == 0, shown
    assert json.loads(shown)["amount"] == 1


@pytest.mark.usefixtures("alone")
def test_without_a_terminal_nothing_is_granted(tmp_path: Path) -> None:
    work = Work(tmp_path, total())
    work.step("m1", "m2")
    code, told = allow(work, "5", "--budget", "total", has_terminal=False)
    why = "there is no terminal, so no person is there to answer for it"
    assert (code, told) == (3, f"budget: {NO_PERSON.format(why)}\n")
    assert "used up" in work.prompt()
    assert len(work.status()["incidents"]) == 1


def test_in_a_terminal_it_is_answered_in_the_terminals_words(tmp_path: Path) -> None:
    work = Work(tmp_path, total())
    work.step("m1", "m2")
    code, told = allow(work, "abc", "--budget", "total")
    assert code == 3
    assert "'abc' is no amount above 0. budget allow AMOUNT [--budget NAME]" in told
    assert "/budget:allow" not in told


@pytest.mark.parametrize(("days", "told"), [(29, 1), (31, 0)])
def test_an_incident_is_told_for_a_month(tmp_path: Path, days: int, told: int) -> None:
    work = Work(tmp_path, total())
    work.step("m1")
    project = paths.find_project(str(work.folder()))
    ledger = pipeline.open_ledger(work.env, project)
    with ledger.transaction():
        events.record(ledger, events.Event(AT_MS, events.GRANT_REFUSED, "s1", "", {"text": "No."}))
    standing = Standing(work.env, project, AT_MS + days * DAY_MS)
    assert len(standing.incidents) == told
    ledger.close()


@pytest.mark.parametrize("how", ["variable", "ancestor"])
def test_from_within_the_client_nothing_is_granted(tmp_path: Path, how: str) -> None:
    work = Work(tmp_path, total())
    work.step("m1", "m2")
    arguments = ["5", "--budget", "total"]
    if how == "variable":
        code, told = allow(work, *arguments, CLAUDECODE="1")
    else:
        claude = tmp_path / "claude"
        claude.symlink_to("/bin/sh")
        command = f"{sys.executable} -m budget allow 5 --budget total; exit $?"
        env = {**work.env, "PATH": os.environ["PATH"], "COLUMNS": "300"}
        code, told = terminal([str(claude), "-c", command], env, work.folder())
    why = "it was asked for from within Claude Code, where an agent could do so"
    assert (code, told) == (3, f"budget: {NO_PERSON.format(why)}\n")
    assert "used up" in work.prompt()
    (incident,) = work.status()["incidents"]
    assert "grant refused" in incident


def test_a_hook_below_two_clients_grants_nothing(tmp_path: Path) -> None:
    """An agent that starts a client of its own and types into it."""
    work = Work(tmp_path, total())
    work.step("m1", "m2")
    claude = tmp_path / "claude"
    claude.symlink_to("/bin/sh")
    (tmp_path / "hook").write_text(
        f"{sys.executable} -I -S -c 'import sys; sys.path.append(sys.argv[1]); import run'"
        f" {ROOT / 'hooks'}; true\n"
    )
    (tmp_path / "inner").write_text(f"{claude} {tmp_path / 'hook'}; true\n")
    event = {
        "hook_event_name": "UserPromptSubmit",
        "session_id": "s1",
        "cwd": str(work.folder()),
        "prompt": "/budget:allow 5 total",
    }
    run = subprocess.run(
        [str(claude), str(tmp_path / "inner")],
        env={**work.env, "PATH": os.environ["PATH"]},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
    )
    why = "this session was started from within another one"
    assert json.loads(run.stdout)["reason"] == NO_PERSON.format(why)
    assert "used up" in work.prompt()
