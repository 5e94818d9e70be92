"""The `budget` command as a person or a program runs it: words, facts, exit codes."""

import array
import fcntl
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import termios
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from budget import __version__, keys
from budget.cli.app import app
from budget.model import UNITS
from tests.test_bad_input import Machine, call_of, ledger_of_garbage, step_line

COMMAND = str(Path(sys.executable).with_name("budget"))
COMMANDS = tuple(str(command.name) for command in app.registered_commands)
NO_FACTS = ("init", "install", "uninstall", "statusline", "export", "run")
"""Commands without `--json`: they print no facts of their own (`run` writes them to a file)."""
SCHEMA = "(and budget.schema.json, by which editors check it)"
HOLDS = (
    "No hooks of budget are installed for this project, so nothing is counted or stopped yet:"
    " `budget install`, or the plugin.\n"
)
STEP_MICRO_USD = 5
"""What `step_line` costs: one input token of Opus 5, at 5 USD per million."""

Ended = tuple[int, str, str]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def budget(machine: Machine, *arguments: str, cwd: Path | None = None, **more: str) -> Ended:
    """Exit code, stdout and stderr of `budget ...`, in the project unless told otherwise."""
    run = subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd or machine.project,
        env=machine.env(**{"COLUMNS": "200", "LANG": "C.UTF-8", **more}),
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "Traceback" not in run.stdout + run.stderr, run.stderr
    return run.returncode, run.stdout, run.stderr


def facts(machine: Machine, *arguments: str, code: int = 0, **more: Any) -> Any:
    ended = budget(machine, *arguments, "--json", **more)
    assert (ended[0], ended[2]) == (code, "")
    return json.loads(ended[1])


def book(machine: Machine, *message_ids: str, cwd: Path | None = None, session: str = "s1") -> None:
    """Steps of a session, booked by the hook."""
    path = machine.transcript(*message_ids, name=session)
    event = machine.event(
        transcript_path=str(path),
        tool_calls=call_of(message_ids[-1]),
        session_id=session,
        cwd=str(cwd or machine.project),
    )
    machine.hook(event)


# -- init ------------------------------------------------------------------------------------------


def defined(path: Path) -> dict[str, Any]:
    """The budgets a config has, once it is seen that it says nothing else."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    budgets: dict[str, Any] = table.pop("budgets")
    assert table == {"version": 1, "advice": {}}
    return budgets


def written(**usd: float) -> dict[str, Any]:
    return {
        per: {"per": per, "usd": limit, "warn_at": [0.8], "on_exceed": "block"}
        for per, limit in usd.items()
    }


def test_init_takes_five_dollars_a_session_and_twenty_a_day(machine: Machine) -> None:
    told = (
        f"Wrote {machine.repo_config} {SCHEMA}:\n"
        "  session: 5.00 USD, a warning at 80 %, then work stops\n"
        "  day: 20.00 USD, a warning at 80 %, then work stops\n"
    )
    assert budget(machine, "init") == (0, told + HOLDS, "")
    assert defined(machine.repo_config) == written(session=5, day=20)
    assert stat.S_IMODE(machine.repo_config.stat().st_mode) == 0o644, "others read the repository"
    comments = [line for line in machine.repo_config.read_text().splitlines() if "#" in line]
    assert len(comments) > 8, "each key is explained"


def test_what_init_writes_is_valid(machine: Machine) -> None:
    budget(machine, "init", "--session", "2.5", "--day", "20", "--month", "200")
    told = (
        "none       ~/.claude/budget.toml (user)\n"
        "valid      .claude/budget.toml (repo)\n"
        f"{NOT_THERE}"
        "session: $2.50 per session, warns at 80 %, then blocks,"
        " from .claude/budget.toml, budgets.session (repo)\n"
        "day: $20.00 per day, warns at 80 %, then blocks,"
        " from .claude/budget.toml, budgets.day (repo)\n"
        "month: $200.00 per month, warns at 80 %, then blocks,"
        " from .claude/budget.toml, budgets.month (repo)\n"
    )
    assert budget(machine, "check") == (0, told, "")


@pytest.mark.parametrize(
    "usd",
    [{"session": 1}, {"day": 0.5}, {"month": 99.99}, {"session": 0, "month": 1_000_000}],
    ids=str,
)
def test_init_writes_the_limits_it_was_given_and_no_others(
    machine: Machine, usd: dict[str, float]
) -> None:
    options = [word for per, limit in usd.items() for word in (f"--{per}", str(limit))]
    assert budget(machine, "init", *options)[0] == 0
    assert defined(machine.repo_config) == written(**usd)


def test_init_keeps_a_limit_below_a_cent(machine: Machine) -> None:
    code, stdout, _ = budget(machine, "init", "--session", "0.0025")
    assert (code, defined(machine.repo_config)) == (0, written(session=0.0025))
    assert "  session: 0.0025 USD," in stdout


@pytest.mark.parametrize("usd", ["1000001", "inf"])
def test_init_refuses_a_limit_that_no_config_may_have(machine: Machine, usd: str) -> None:
    code, stdout, stderr = budget(machine, "init", "--session", usd)
    assert code in (2, 3)
    assert stdout == ""
    assert "1000000" in stderr
    assert not machine.repo_config.exists()


@pytest.mark.parametrize("usd", ["-1", "nan", "five", ""])
def test_init_refuses_what_is_no_amount(machine: Machine, usd: str) -> None:
    code, stdout, stderr = budget(machine, "init", "--day", usd)
    assert (code, stdout) == (2, "")
    assert "Invalid value for '--day'" in stderr
    assert not machine.repo_config.exists()


def test_init_leaves_a_config_that_is_there_unless_forced(machine: Machine) -> None:
    machine.repo_config.write_text("# mine\n")
    told = f"budget: {machine.repo_config} is there already. Edit it, or replace it with --force.\n"
    assert budget(machine, "init") == (3, "", told)
    assert machine.repo_config.read_text() == "# mine\n"
    assert budget(machine, "init", "--force", "--day", "3")[0] == 0
    assert defined(machine.repo_config) == written(day=3)


def test_init_leaves_a_link_that_leads_nowhere(machine: Machine) -> None:
    machine.repo_config.symlink_to(machine.root / "nowhere.toml")
    assert budget(machine, "init")[0] == 3
    assert not (machine.root / "nowhere.toml").exists()


def test_init_for_a_person_writes_their_own_config(machine: Machine) -> None:
    told = budget(machine, "init", "--user")[1]
    assert told.startswith(f"Wrote {machine.user_config} {SCHEMA}:\n")
    assert defined(machine.user_config) == written(session=5, day=20)
    assert not machine.repo_config.exists()


def test_the_config_of_a_person_does_not_speak_of_a_repository(machine: Machine) -> None:
    budget(machine, "init", "--user")
    assert "repository" not in machine.user_config.read_text()


def test_init_in_a_folder_below_writes_at_the_root_of_the_repository(machine: Machine) -> None:
    git(machine, "init")
    below = machine.project / "a" / "b"
    below.mkdir(parents=True)
    wrote = f"Wrote {machine.repo_config} {SCHEMA}:\n"
    assert budget(machine, "init", cwd=below)[1].startswith(wrote)
    elsewhere = budget(machine, "init", "--force", "--project", str(below), cwd=machine.root)
    assert elsewhere[1].startswith(wrote)


def test_init_names_what_it_cannot_write(machine: Machine) -> None:
    machine.repo_config.mkdir()
    told = f"budget: {machine.repo_config} cannot be written: Is a directory.\n"
    assert budget(machine, "init", "--force") == (3, "", told)


# -- status ----------------------------------------------------------------------------------------

LIMITS = (
    'version = 1\n[budgets.session]\nper = "session"\nusd = 0.00002\n'
    '[budgets.all]\nper = "total"\nsteps = 100\n'
)


def standing(machine: Machine, **change: Any) -> dict[str, Any]:
    """What `status --json` says of `LIMITS` after three steps, one of them in an older session."""
    source = {"layer": "repo", "file": str(machine.repo_config)}
    whole = {
        "project": {"key": machine.folder.name, "root": str(machine.project)},
        "session": "s1",
        "totals": {
            "usd": "0.000015",
            "tokens": 3,
            "steps": 3,
            "unattributed_usd": "0.000000",
            "unpriced_steps": 0,
        },
        "budgets": [
            {
                "name": "session",
                "per": "session",
                "scope": "project",
                "unit": "usd",
                "limit": "0.000020",
                "spent": "0.000010",
                "reserved": "0.000005",  # the next step of s1
                "left": "0.000005",
                "fraction": 0.5,
                "state": "ok",
                "resets_at": None,
                "granted": "0.000000",
                "note": "",
                "stopped": False,
                "source": {**source, "key": "budgets.session"},
            },
            {
                "name": "all",
                "per": "total",
                "scope": "project",
                "unit": "steps",
                "limit": 100,
                "spent": 3,
                "reserved": 2,  # and of s0
                "left": 95,
                "fraction": 0.03,
                "state": "ok",
                "resets_at": None,
                "granted": 0,
                "note": "",
                "stopped": False,
                "source": {**source, "key": "budgets.all"},
            },
        ],
        "unpriced_models": [],
        "damaged_lines": 0,
        "problems": [],
        "held": [],
        "grants": [],
        "incidents": [],
    }
    return {**whole, **change}


BURN = {"usd_per_hour", "over_minutes", "next_limit", "next_limit_at", "day_usd", "month_usd"}


@pytest.fixture
def spent(machine: Machine) -> Machine:
    """A machine with `LIMITS` and three steps, the last two in session s1."""
    machine.repo_config.write_text(LIMITS)
    book(machine, "m0", session="s0")
    book(machine, "m1", "m2")
    return machine


def test_status_json_is_what_the_contract_says(spent: Machine) -> None:
    status = facts(spent, "status")
    as_of = status.pop("as_of")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", as_of)
    assert set(status.pop("burn")) == BURN
    assert status == standing(spent)
    assert 3 * STEP_MICRO_USD == 15


def test_status_is_of_the_session_that_runs_it(spent: Machine) -> None:
    status = facts(spent, "status", CLAUDE_CODE_SESSION_ID="s0")
    assert status["session"] == "s0"
    assert status["budgets"][0]["spent"] == "0.000005"


def test_status_before_the_first_step_has_every_budget_whole(machine: Machine) -> None:
    machine.repo_config.write_text(LIMITS)
    status = facts(machine, "status")
    assert status["session"] is None
    assert status["totals"] == {
        "usd": "0.000000",
        "tokens": 0,
        "steps": 0,
        "unattributed_usd": "0.000000",
        "unpriced_steps": 0,
    }
    assert [(b["spent"], b["left"]) for b in status["budgets"]] == [
        ("0.000000", "0.000020"),
        (0, 100),
    ]
    assert not list(machine.state.rglob("ledger.db")), "to look makes no ledger"


def test_a_day_resets_at_the_next_midnight_of_its_time_zone(machine: Machine) -> None:
    machine.repo_config.write_text(
        'version = 1\ntimezone = "Asia/Kolkata"\n[budgets.day]\nper = "day"\nusd = 1\n'
    )
    (day,) = facts(machine, "status")["budgets"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT18:30:00Z", day["resets_at"])


def test_status_for_people_has_a_row_for_each_budget(spent: Machine) -> None:
    code, stdout, stderr = budget(spent, "status", "--project", str(spent.project), cwd=spent.root)
    assert (code, stderr) == (0, "")
    first, _, session, every, total, *held = stdout.splitlines()
    assert first == f"Budgets of {spent.project}"
    for row, parts in (
        (session, ("session", "$0.000010", "$0.000020", "$0.000005", "50 %", "with a new session")),
        (every, ("all (per total)", "3", "100 steps", "95", "3 %", "never")),
    ):
        at = 0
        for part in (*parts, ".claude/budget.toml"):
            at = row.index(part, at) + len(part)
    assert total == "In all: $0.000015, 3 steps, 3 tokens."
    assert held == [
        "! session: $0.000005 is held for steps under way.",
        "! all: 2 is held for steps under way.",
    ]
    assert "\x1b" not in stdout, "no colours into a pipe"


def test_status_without_budgets_says_how_to_set_one(machine: Machine) -> None:
    told = (
        f"Budgets of {machine.project}\n"
        "No budgets are set. budget init writes .claude/budget.toml, for example budget init"
        " --session 5 --day 20.\n"
        "In all: $0.00, 0 steps, 0 tokens.\n"
    )
    assert budget(machine, "status") == (0, told, "")


def test_status_in_a_pipe_is_whole(spent: Machine) -> None:
    spent.repo_config.write_text('version = 1\n[budgets.today]\nper = "day"\nusd = 20\n')
    _, stdout, _ = budget(spent, "status", COLUMNS="")
    assert "…" not in stdout
    assert ".claude/budget.toml" in stdout


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
def test_status_check_exits_with_one_when_a_budget_is_used_up(
    spent: Machine, form: tuple[str, ...]
) -> None:
    assert budget(spent, "status", "--check", *form)[0] == 0
    book(spent, "m1", "m2", "m3", "m4")
    assert budget(spent, "status", *form)[0] == 0, "only with --check"
    code, stdout, stderr = budget(spent, "status", "--check", *form)
    assert (code, stderr) == (1, "")
    if form:
        assert [b["state"] for b in json.loads(stdout)["budgets"]] == ["exceeded", "ok"]
    else:
        assert "USED UP" in stdout


def test_status_shows_what_is_wrong_with_a_config(spent: Machine) -> None:
    spent.repo_config.write_text("version = 2\n")
    problem = (
        f"{spent.repo_config}, line 1, version: expected 1, the version of the format, got 2.\n"
        "Until this is mended, its last valid version stays in force."
    )
    assert facts(spent, "status")["problems"] == [problem]
    assert f"! {problem}\n" in budget(spent, "status")[1]


def test_status_counts_damaged_lines(spent: Machine) -> None:
    path = spent.transcripts / "s1.jsonl"
    path.write_text(path.read_text() + '{"output_tokens": \n')
    spent.hook(spent.event("Stop", transcript_path=str(path)))
    assert facts(spent, "status")["damaged_lines"] == 1
    assert budget(spent, "status")[1].endswith(
        "! 1 damaged lines of transcripts could not be counted: what is shown may be too low.\n"
    )


def test_a_ledger_that_cannot_be_read_is_an_error_and_not_zero(spent: Machine) -> None:
    for rest in spent.folder.glob("ledger.db-*"):
        rest.unlink()
    why = ledger_of_garbage(spent.ledger)
    told = f"budget: The ledger {spent.ledger} cannot be used: {why}\n"
    assert budget(spent, "status") == (3, "", told)
    assert budget(spent, "status", "--json", "--check") == (3, "", told)


def test_a_state_folder_that_cannot_be_read_is_an_error_and_not_zero(spent: Machine) -> None:
    occupied = spent.root / "occupied"
    occupied.write_text("")
    code, stdout, stderr = budget(spent, "status", BUDGET_HOME=str(occupied))
    assert (code, stdout) == (3, "")
    assert str(occupied) in stderr


def test_two_worktrees_of_a_repository_share_a_ledger_and_not_a_config(machine: Machine) -> None:
    git(machine, "init")
    git(machine, "commit", "--allow-empty", "--message=start")
    other = machine.root / "other worktree"
    git(machine, "worktree", "add", "-b", "other", str(other))
    below = other / "a" / "b"
    below.mkdir(parents=True)
    machine.repo_config.write_text(LIMITS)
    book(machine, "m1", session="here")
    book(machine, "m2", "m3", session="there", cwd=below)
    here = facts(machine, "status")
    there = facts(machine, "status", cwd=below)
    assert here["project"] == there["project"]
    assert here["project"]["root"] == str(machine.project)
    assert here["totals"] == there["totals"] != {}
    assert here["totals"]["steps"] == 3
    assert [b["name"] for b in here["budgets"]] == ["session", "all"]
    assert there["budgets"] == []
    assert len(list(machine.state.rglob("ledger.db"))) == 1


def git(machine: Machine, *arguments: str) -> None:
    who = ("-c", "user.name=Dev", "-c", "user.email=dev@example.com")
    subprocess.run(
        ["git", *who, *arguments],
        cwd=machine.project,
        env=machine.env(),
        check=True,
        capture_output=True,
    )


# -- check -----------------------------------------------------------------------------------------


NOT_THERE = (
    "not there  /etc/claude-code/budget-policy.toml, .claude/budget-policy.toml,"
    " .claude/budget.local.toml\n"
)


def test_check_names_every_problem_of_every_file(machine: Machine) -> None:
    user, repo = machine.user_config, machine.repo_config
    user.write_text('[budgets.x]\nper = "fortnight"\n')
    repo.write_text('version = 1\ntimezone = "Mars/Base"\n\n[budgets.day]\nper = "day"\nusb = 5\n')
    units, known = ", ".join(UNITS), ", ".join(keys.BUDGET_KEYS)
    problems = [
        f"{user}, version: expected 1, the version of the format, got nothing.",
        f"{user}, line 2, budgets.x.per: expected session, hour, day, week, month, total or a"
        ' rolling time such as rolling 5h (m, h or d), got "fortnight".',
        f"{user}, line 1, budgets.x: expected a limit: one of {units}, got none.",
        f'{repo}, line 2, timezone: expected a time zone such as "Europe/Berlin", got "Mars/Base".',
        f"{repo}, line 6, budgets.day.usb: expected one of {known}, got an unknown key."
        " Did you mean usd?",
        f"{repo}, line 4, budgets.day: expected a limit: one of {units}, got none.",
    ]
    told = "not valid  ~/.claude/budget.toml (user)\nnot valid  .claude/budget.toml (repo)\n"
    told += NOT_THERE
    told += "".join(f"  {problem}\n" for problem in problems)
    none = "No budgets hold here: what is said above has to be mended first.\n"
    assert budget(machine, "check") == (3, told + none, "")
    project = machine.project
    names = {
        "/etc/claude-code/budget-policy.toml": ("managed", "/etc/claude-code/budget-policy.toml"),
        ".claude/budget-policy.toml": ("team", str(project / ".claude" / "budget-policy.toml")),
        ".claude/budget.local.toml": ("local", str(project / ".claude" / "budget.local.toml")),
        "~/.claude/budget.toml": ("user", str(user)),
        ".claude/budget.toml": ("repo", str(repo)),
    }
    assert facts(machine, "check", code=3) == {
        "files": [
            {
                "layer": layer,
                "file": file,
                "shown": shown,
                "state": "not valid" if layer in ("user", "repo") else "none",
            }
            for shown, (layer, file) in names.items()
        ],
        "problems": problems,
        "person": "",
        "on_error": "allow",
        "max_grant_usd": None,
        "budgets": [],
    }


def test_check_shows_what_holds_when_files_are_merged(machine: Machine) -> None:
    machine.user_config.write_text(
        'version = 1\n[budgets.day]\nper = "day"\nusd = 5\nwarn_at = [0.5, 0.9]\n'
        '[budgets.mine]\nper = "rolling 5h"\nsteps = 1000\non_exceed = "advise"\nwarn_at = []\n'
    )
    machine.repo_config.write_text('version = 1\n[budgets.day]\nper = "day"\nusd = 8\n')
    told = (
        "valid      ~/.claude/budget.toml (user)\n"
        "valid      .claude/budget.toml (repo)\n"
        f"{NOT_THERE}"
        "day: $5.00 per day, warns at 50 %, 90 %, then blocks,"
        " from ~/.claude/budget.toml, budgets.day (user)\n"
        "mine: 1,000 steps per rolling 5h, warns at never, then advises,"
        " from ~/.claude/budget.toml, budgets.mine (user)\n"
    )
    assert budget(machine, "check") == (0, told, "")
    day, mine = facts(machine, "check")["budgets"]
    assert day == {
        "name": "day",
        "per": "day",
        "unit": "usd",
        "limit": "5.000000",
        "warn_at": [0.5, 0.9],
        "on_exceed": "block",
        "scope": "project",
        "stop": "before",
        "models": [],
        "agents": [],
        "branches": [],
        "timezone": "",
        "source": {
            "layer": "user",
            "file": str(machine.user_config),
            "key": "budgets.day",
            "shown": "~/.claude/budget.toml",
        },
    }
    assert (mine["limit"], mine["warn_at"]) == (1000, [])


def test_check_without_files_says_how_to_begin(machine: Machine) -> None:
    told = (
        "none       ~/.claude/budget.toml (user)\n"
        "none       .claude/budget.toml (repo)\n"
        f"{NOT_THERE}"
        "No budgets hold here: `budget init` writes .claude/budget.toml.\n"
    )
    assert budget(machine, "check") == (0, told, "")


# -- every command ---------------------------------------------------------------------------------


def test_the_version_is_told(machine: Machine) -> None:
    assert budget(machine, "--version") == (0, f"budget {__version__}\n", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command_with_what_it_does(machine: Machine, flag: str) -> None:
    code, stdout, stderr = budget(machine, flag)
    assert (code, stderr) == (0, "")
    assert "Usage: budget [OPTIONS] COMMAND [ARGS]..." in stdout
    assert "Start with: budget init --session 5 --day 20" in stdout
    listed = re.findall(r"^│ ([a-z]+) +([A-Z].+\.) +│$", stdout, re.MULTILINE)
    assert tuple(name for name, _ in listed) == COMMANDS
    assert {"init", "install", "uninstall", "status", "check", "doctor"} < set(COMMANDS)
    assert "\x1b" not in stdout, "no colours into a pipe"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_explains_every_option(machine: Machine, name: str) -> None:
    code, stdout, stderr = budget(machine, name, "--help")
    assert (code, stderr) == (0, "")
    assert f"Usage: budget {name} [OPTIONS]" in stdout
    options = [line for line in stdout.splitlines() if line.startswith("│ --")]
    assert options
    for line in options:
        assert re.search(r"  [A-Za-z][^<>]{10,}[.\]] +│$", line), line
    shown = {word for line in options for word in re.findall(r"--[a-z-]+", line)}
    assert "--json" in shown or name in NO_FACTS
    assert "--project" in shown or name == "statusline"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nope",), "No such command 'nope'."),
        (("statu",), "No such command 'statu'. Did you mean 'status', 'statusline'?"),
        (("status", "--nope"), "No such option: --nope"),
        (("status", "extra"), "unexpected extra argument"),
        (("status", "--project"), "Option '--project' requires an argument."),
        (("install", "--scope", "usr"), "expected one of user, project, local, got 'usr'."),
        (("report", "wekly"), "project, user, got 'wekly'. Did you mean weekly?"),
        (("init", "--session", "abc"), "'--session': expected a number, got 'abc'."),
        (("init", "--session=abc"), "'--session': expected a number, got 'abc'."),
    ],
    ids=[
        *("command", "near command", "option", "argument", "value", "choice", "near choice"),
        *("number", "number behind a sign"),
    ],
)
def test_wrong_usage_exits_with_two(
    machine: Machine, arguments: tuple[str, ...], told: str
) -> None:
    code, stdout, stderr = budget(machine, *arguments)
    assert (code, stdout) == (2, "")
    assert told in stderr


@pytest.mark.parametrize("name", ["init", "install", "status", "import"])
def test_a_project_folder_that_is_missing_exits_with_three(machine: Machine, name: str) -> None:
    scope = ("--scope", "local") if name.endswith("install") else ()
    (machine.home / ".claude" / "projects").mkdir(exist_ok=True)
    told = "budget: /nope/x is not a folder.\n"
    assert budget(machine, name, *scope, "--project", "/nope/x") == (3, "", told)


@pytest.mark.parametrize("name", ["status", "check", "doctor", "init"])
def test_a_current_folder_that_was_deleted_is_no_bug(machine: Machine, name: str) -> None:
    gone = machine.root / "gone"
    gone.mkdir()
    run = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$0" "$@"', COMMAND, name],
        cwd=gone,
        env=machine.env(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (3, "")
    assert "bug" not in run.stderr


def test_completion_knows_the_commands(machine: Machine) -> None:
    code, stdout, _ = budget(machine, _BUDGET_COMPLETE="source_bash")
    assert code == 0
    assert "complete -o default -F _budget_completion budget" in stdout
    _, stdout, _ = budget(
        machine, _BUDGET_COMPLETE="complete_bash", COMP_WORDS="budget sta", COMP_CWORD="1"
    )
    assert stdout.split() == ["status", "statusline"]
    help_text = budget(machine, "--help")[1]
    assert "--install-completion" in help_text and "--show-completion" in help_text


def test_a_reader_that_went_away_is_no_used_up_budget(spent: Machine) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = subprocess.run(
            [COMMAND, "status", "--json"],
            cwd=spent.project,
            env=spent.env(),
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert run.returncode in (0, -signal.SIGPIPE)
    assert run.stderr == b""


def test_an_interrupt_exits_with_130(machine: Machine) -> None:
    reader, writer = os.pipe()
    # What a shell starts in the background ignores interrupts, and so would this child.
    default = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{default}; os.execv(sys.argv[1], sys.argv[1:])",
            COMMAND,
            "statusline",
        ],
        env=machine.env(),
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(writer, b"{")
    unread = array.array("i", [1])
    until = time.monotonic() + 10
    while unread[0] and time.monotonic() < until:  # until it has read that, and waits for more
        time.sleep(0.02)
        fcntl.ioctl(reader, termios.FIONREAD, unread)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    os.close(reader)
    os.close(writer)
    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr


def test_the_ledger_and_the_state_folder_are_for_the_person_alone(spent: Machine) -> None:
    budget(spent, "status")
    for path in (spent.state, *spent.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_step_is_booked_for_its_session(spent: Machine) -> None:
    with sqlite3.connect(spent.ledger) as db:
        rows = db.execute("SELECT message_id, session_id FROM entries ORDER BY seq").fetchall()
    assert rows == [("m0", "s0"), ("m1", "s1"), ("m2", "s1")]
    assert json.loads(step_line("m0"))["message"]["id"] == "m0"
