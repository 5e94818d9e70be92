"""`budget run` around the real client: exit codes, the line on stderr, the facts for pipelines."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from budget import commandline
from budget.commandline import told
from budget.witness import Seen, append, read, stop_of
from tests.plugin import ROOT, booked, budget_toml, command, entries, status
from tests.realclient.client import Home, client_argv
from tests.realclient.stub import STEP_USD, Answer, Request, Stub, bash_loop, spawn_agents


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


class Ran(NamedTuple):
    code: int
    stdout: str
    stderr: str
    facts: dict[str, Any]


SCRIPT = """
set -u
{budget} run --json-summary "$SUMMARY" -- {client} -p {args}
code=$?
echo "exit code $code" >&2
exit $code
"""


def script(args: Sequence[str], client: Sequence[str] | None = None) -> str:
    words = shlex.join(client or client_argv())
    python = f"{shlex.quote(sys.executable)} -m budget"
    return SCRIPT.format(budget=python, client=words, args=shlex.join(args))


def environment(home: Home, stub: Stub) -> dict[str, str]:
    env = home.env(stub, extra={"SUMMARY": str(home.root / "summary.json")})
    return {**env, "PYTHONPATH": str(ROOT), "TZ": "UTC"}


def run(
    home: Home, stub: Stub, *args: str, prompt: str = "count", client: Sequence[str] | None = None
) -> Ran:
    """`budget run` in a shell script, as a pipeline has it."""
    done = subprocess.run(
        ["sh", "-c", script(args, client)],
        cwd=home.project,
        env=environment(home, stub),
        input=prompt,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    path = home.root / "summary.json"
    facts = json.loads(path.read_text()) if path.exists() else {}
    assert f"exit code {done.returncode}\n" in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr.rpartition("exit code")[0], facts)


def test_a_run_within_its_budgets_passes_through_and_ends_with_0(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(bash_loop(2)) as stub:
        ran = run(home, stub)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "done after 2 steps\n", "")
    assert ran.facts["outcome"] == "done"
    assert ran.facts["message"] is None
    assert ran.facts["limit_usd"] == "1.000000"
    assert Decimal(ran.facts["cost_usd"]) == 3 * STEP_USD == booked(home)
    assert [(m["model"], m["steps"], m["output_tokens"]) for m in ran.facts["models"]] == [
        ("claude-sonnet-5", 3, 600)
    ]
    assert [(b["name"], b["spent"]) for b in ran.facts["budgets"]] == [("session", "0.007200")]


def test_a_run_goes_on_when_only_an_agent_of_it_is_stopped(home: Home) -> None:
    agents = 'steps = 2\nagents = ["general-purpose"]'
    home.write(".claude/budget.toml", budget_toml(day=agents))
    with Stub(spawn_agents(1, None, background=False)) as stub:
        ran = run(home, stub)
        assert len(stub.steps("agent-1")) == 2
    assert (ran.code, ran.stdout) == (0, "noted\n")
    assert ran.facts["outcome"] == "done"
    assert ran.stderr.startswith(
        "budget: an agent was stopped, the run went on. Stopped: the 2 steps today,"
        " on agent general-purpose are used up (2 spent)."
    )


@pytest.mark.parametrize("output", ["text", "json", "stream-json"])
def test_a_stop_by_a_hook_is_one_line_and_exit_code_1(home: Home, output: str) -> None:
    # Tokens: a limit that the client does not know, so the hook is what stops it.
    home.write(".claude/budget.toml", budget_toml(day="tokens = 1200"))
    with Stub(bash_loop(None)) as stub:
        ran = run(home, stub, "--output-format", output, "--verbose")
        assert len(stub.requests) == 3
    assert ran.code == 1
    assert ran.stderr.startswith(
        'budget: stopped. Budget "day" is used up: 1,200 of 1,200 tokens today (100 %), set in'
        " .claude/budget.toml (budgets.day.tokens, repo config); it resets at 00:00 (in "
    )
    assert ran.stderr.endswith(
        "To go on: wait for the reset, or raise budgets.day.tokens in .claude/budget.toml."
        " This run cost $0.0072.\n"
    )
    assert ran.stderr.count("\n") == 1
    assert ran.facts["outcome"] == "stopped"
    assert ran.facts["client_exit_code"] == 0
    assert ran.facts["limit_usd"] is None
    if output != "text":
        assert Decimal(ran.facts["client_total_usd"]) == 3 * STEP_USD


@pytest.mark.parametrize("output", ["text", "json", "stream-json"])
def test_the_clients_own_limit_is_told_with_the_budget_it_came_from(
    home: Home, output: str
) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0050"))
    with Stub(bash_loop(None)) as stub:
        # Without hooks the client's limit is all there is.
        ran = run(home, stub, "--bare", "--output-format", output, "--verbose")
        assert len(stub.requests) == 3
    assert ran.code == 1
    lines = ran.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0] == (
        "budget: --bare keeps hooks from running: only the client's own limit stops this run, and"
        " steps are booked when it has ended."
    )
    assert lines[1].startswith(
        "budget: stopped by the client's own limit. This run cost $0.0072; $0.0050 were left."
        ' Budget "session" is used up: $0.0072 of $0.0050 in this session (144 %), set in'
    )
    assert ran.facts["outcome"] == "client_limit"
    assert ran.facts["over_limit"] is True
    assert booked(home) == 3 * STEP_USD


def test_a_lower_limit_of_the_command_line_is_kept(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(bash_loop(None)) as stub:
        ran = run(home, stub, "--max-budget-usd", "0.004")
        assert len(stub.requests) == 2
    assert ran.code == 1
    assert ran.stderr == (
        "budget: stopped by the client's own limit. This run cost $0.0048; $0.0040 the command"
        " line set. Raise --max-budget-usd on the command line to go on.\n"
    )
    assert ran.facts["limit_usd"] == "0.004000"


def test_with_nothing_left_the_client_is_not_started(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="tokens = 800"))
    with Stub(bash_loop(1)) as stub:
        first = run(home, stub)
        assert (first.code, first.facts["outcome"]) == (0, "done"), "with its last token"
        assert first.stderr.startswith('budget: Budget "day" is used up: 800 of 800 tokens today')
        second = run(home, stub)
        assert len(stub.requests) == 2
    assert second.code == 1
    assert second.stdout == ""
    assert second.stderr.startswith(
        'budget: the client was not started. Budget "day" is used up: 800 of 800 tokens today'
    )
    assert second.facts["outcome"] == "blocked"
    assert second.facts["client_exit_code"] is None


def test_a_session_that_goes_on_has_what_is_left_of_it(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 0.0120"))
    with Stub(bash_loop(1)) as stub:
        first = run(home, stub, "--output-format", "json")
        session = json.loads(first.stdout)["session_id"]
        for ways in (["--resume", session], ["--continue"]):
            again = run(home, stub, *ways)
            assert again.facts["sessions"] == [session]
        assert again.facts["limit_usd"] == "0.002400"
        assert again.facts["cost_usd"] == "0.002400", "of this run, not of the session"
        assert (again.code, again.facts["outcome"]) == (1, "stopped")
        assert len(stub.requests) == 5
        blocked = run(home, stub, "--resume", session)
        assert (blocked.code, blocked.facts["outcome"]) == (1, "blocked")
        assert "go on in a new session (without --resume or --continue)" in blocked.stderr
        fresh = run(home, stub)
        assert fresh.facts["limit_usd"] == "0.012000"
    assert booked(home) == 7 * STEP_USD


def test_the_sessions_of_agents_count_too(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(spawn_agents(2, 2)) as stub:
        ran = run(home, stub, "--output-format", "json")
        requests = len(stub.requests)
    assert Decimal(ran.facts["cost_usd"]) == requests * STEP_USD
    assert ran.facts["unattributed_usd"] == "0.000000"
    assert len(entries(home)) == requests


def test_hooks_are_loaded_once(home: Home) -> None:
    """From the checkout, or from the settings where `budget install` put them."""
    with Stub(bash_loop(1)) as stub:
        log = ["--debug-file", str(home.root / "debug.log")]
        run(home, stub, *log)
        assert _hooks_run(home) == {"plugin budget@inline": 1}
        assert command(home, "install").returncode == 0
        run(home, stub, *log)
        assert _hooks_run(home) == {"settings": 1}
        run(home, stub, "--setting-sources", "project", *log)
        assert _hooks_run(home) == {"plugin budget@inline": 1}


def _hooks_run(home: Home) -> dict[str, int]:
    """How often the hooks of a prompt ran, by where they are from."""
    log = home.root / "debug.log"
    lines = [line for line in log.read_text().splitlines() if "Hooks: UserPromptSubmit" in line]
    log.unlink()
    found: dict[str, int] = {}
    for line in lines:
        where = "plugin budget@inline" if "plugin budget@inline" in line else "settings"
        found[where] = found.get(where, 0) + 1
    return found


def test_a_wheel_install_brings_its_hooks_as_settings(home: Home, tmp_path: Path) -> None:
    """There is no plugin folder beside the package; what --settings says is kept."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "budget", site / "budget", ignore=shutil.ignore_patterns("__pycache__"))
    home.write(".claude/budget.toml", budget_toml(day="tokens = 1200"))
    mine = json.dumps({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}})
    with Stub(bash_loop(None)) as stub:
        done = subprocess.run(
            [sys.executable, "-m", "budget", "run", "--", *client_argv(), "-p", "--settings", mine],
            cwd=home.project,
            env={**environment(home, stub), "PYTHONPATH": str(site)},
            input="count",
            check=False,
            capture_output=True,
            text=True,
        )
        assert len(stub.requests) == 3
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith('budget: stopped. Budget "day" is used up')


def test_stream_json_input_passes_through(home: Home) -> None:
    prompt = "".join(
        json.dumps({"type": "user", "message": {"role": "user", "content": text}}) + "\n"
        for text in ("count", "again")
    )
    with Stub(bash_loop(1)) as stub:
        args = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        ran = run(home, stub, *args, prompt=prompt)
        made = len(stub.requests)  # the client may answer both prompts in one turn
    results = [json.loads(line) for line in ran.stdout.splitlines() if '"result"' in line]
    assert ran.code == 0
    assert sum(each["type"] == "result" for each in results) >= 1
    assert Decimal(ran.facts["cost_usd"]) == made * STEP_USD


def test_another_failure_has_the_clients_own_code(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))

    def script(request: Request) -> Answer:
        return Answer(http_status=400) if request.turn_step == 2 else bash_loop(3)(request)

    with Stub(script) as stub:
        ran = run(home, stub)
    assert (ran.code, ran.facts["outcome"]) == (1, "failed")
    assert ran.stderr == (
        "budget: failed with the client's exit code 1: no budget stopped it."
        " This run cost $0.0024.\n"
    )


def test_a_crash_keeps_what_was_spent(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(bash_loop(None, delay_s=0.3)) as stub:
        kill = ["sh", "-c", shlex.join(client_argv()) + ' "$@" & sleep 4; kill -9 $!; wait $!', "-"]
        ran = run(home, stub, "--output-format", "text", "count", client=kill)
        made = len(stub.requests)
    assert (ran.code, ran.facts["outcome"]) == (137, "failed")
    # The client writes its transcript in batches: what it had not written when it died is lost.
    assert made - 2 <= len(entries(home)) <= made
    assert booked(home) > 0


def test_a_missing_client_is_127(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        ran = run(home, stub, client=["claude-of-nowhere"])
    assert ran.code == 127
    assert ran.stderr == (
        "budget: claude-of-nowhere cannot be started: No such file or directory. Install Claude"
        " Code (npm install -g @anthropic-ai/claude-code), or name its path.\n"
    )
    assert ran.facts["outcome"] == "client_missing"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_passed_on(home: Home, number: int, code: int) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 1"))
    with Stub(bash_loop(None, delay_s=0.5)) as stub:
        summary = str(home.root / "summary.json")
        words = [sys.executable, "-m", "budget", "run", "--json-summary", summary, "--"]
        process = subprocess.Popen(
            [*words, *client_argv(), "-p", "count"],
            cwd=home.project,
            env=environment(home, stub),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stub.wait_until(lambda requests: len(requests) >= 3)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    facts = json.loads(Path(summary).read_text())
    assert (process.returncode, facts["outcome"]) == (code, "interrupted")
    assert f"budget: interrupted with signal {int(number)}: no budget stopped it." in stderr
    assert Decimal(facts["cost_usd"]) >= 2 * STEP_USD


def test_wrong_usage_and_a_broken_config_start_nothing(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        env = environment(home, stub)

        def code(*words: str) -> tuple[int, str]:
            line = [sys.executable, "-m", "budget", "run", *words]
            done = subprocess.run(
                line, cwd=home.project, env=env, check=False, capture_output=True, text=True
            )
            return done.returncode, done.stderr

        usage = code("--", "claude", "hello")
        assert usage[0] == 2
        assert "-p (--print) is not among 'claude hello'" in usage[1]
        home.write(".claude/budget.toml", "version = 1\n[budgets.day]\nper = 'dya'\nusd = 1\n")
        config = code("--", "claude", "-p", "hello")
        assert config[0] == 3
        assert "the client was not started." in config[1]
        assert "budgets.day.per: expected" in config[1]
        assert stub.requests == []


def test_without_session_persistence_the_total_counts(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="usd = 1"))
    with Stub(bash_loop(2)) as stub:
        ran = run(home, stub, "--no-session-persistence", "--output-format", "json")
    assert Decimal(ran.facts["cost_usd"]) == 3 * STEP_USD
    (model,) = ran.facts["models"]
    assert (model["output_tokens"], model["usd"]) == (600, "0.007200")
    facts = status(home)["totals"]
    assert Decimal(facts["usd"]) + Decimal(facts["unattributed_usd"]) == 3 * STEP_USD


def test_a_cost_that_nothing_tells_of_does_not_pass_in_silence(home: Home) -> None:
    with Stub(bash_loop(1)) as stub:
        ran = run(home, stub, "--bare", "--no-session-persistence")
    assert ran.code == 0
    assert "budget: what this run cost is not known, and no budget counts it" in ran.stderr


# -- the command line ------------------------------------------------------------------------------


def test_what_a_command_line_asks_for() -> None:
    asked = told(["-pc", "--output-format=json", "--max-budget-usd", "0.5", "--", "--resume"])
    assert (asked.prints, asked.continues, asked.output) == (True, True, "json")
    assert asked.max_picousd == 5 * 10**11
    assert asked.resume == ""
    assert told(["-p", "-r", "-c"]).continues
    assert told(["-r", "5d0f1c9e-6a53"]).resume == "5d0f1c9e-6a53"
    assert told(["--resume", "../../etc"]).resume == ""
    assert told(["--settings", "a", "--settings", "b"]).settings == "b", "as the client has it"


def test_options_go_before_a_prompt_that_is_set_apart() -> None:
    words = commandline.with_options(["claude", "-p", "--", "--help"], ["--max-budget-usd", "1"])
    assert words == ["claude", "-p", "--max-budget-usd", "1", "--", "--help"]


@pytest.mark.parametrize(
    ("picousd", "text"), [(4_800_000_000, "0.0048"), (5 * 10**12, "5"), (1, "0.000000000001")]
)
def test_a_limit_is_passed_on_exactly(picousd: int, text: str) -> None:
    assert commandline.limit_text(picousd) == text


def test_what_hooks_witness_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "budget-run-x"
    path.write_bytes(b"{}\n[1,2,3]\nnot json\n")
    append(str(path), Seen("s", "/t.jsonl", "used up", "a1"))
    assert read(str(path)) == [Seen("s", "/t.jsonl", "used up", "a1")]
    append(str(tmp_path / "budget-run-gone"), Seen("s", "", ""))
    assert "budget-run-gone" not in os.listdir(tmp_path), (
        "a hook makes no file that nobody asked for"
    )
    assert stop_of({"decision": "block", "reason": "x"}, "/budget:status") == ""


# -- the example of docs/ci.md ---------------------------------------------------------------------


def ci_script(home: Home, stub: Stub) -> subprocess.CompletedProcess[str]:
    page = (ROOT / "docs" / "ci.md").read_text()
    text = page.rpartition("```sh\n")[2].partition("```")[0]
    tools = home.root / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "budget").write_text(f'#!/bin/sh\nexec {sys.executable} -m budget "$@"\n')
    (tools / "claude").write_text(f'#!/bin/sh\nexec {shlex.join(client_argv())} "$@"\n')
    for name in ("budget", "claude"):
        (tools / name).chmod(0o755)
    env = environment(home, stub)
    return subprocess.run(
        ["sh", "-eu", "-c", text],
        cwd=home.project,
        env={**env, "PATH": f"{tools}{os.pathsep}{env['PATH']}"},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_ci_example_tells_done_from_used_up_from_failed(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(day="tokens = 1200"))
    with Stub(bash_loop(1)) as stub:
        first = ci_script(home, stub)
        assert (first.returncode, first.stdout) == (0, "outcome: done, cost: 0.004800 USD\n")
        assert (home.project / "review.md").read_text() == "done after 1 step\n"
        second = ci_script(home, stub)
        assert second.returncode == 0
        assert second.stdout.startswith("outcome: stopped, cost: 0.002400 USD\n::warning::")
        third = ci_script(home, stub)
        assert third.stdout.startswith("outcome: blocked, cost: 0.000000 USD\n::warning::")
    home.write(".claude/budget.toml", budget_toml(day="usd = 1"))
    with Stub(lambda _: Answer(http_status=400)) as stub:
        failed = ci_script(home, stub)
    assert (failed.returncode, failed.stdout) == (1, "outcome: failed, cost: 0.000000 USD\n")
