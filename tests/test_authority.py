"""The real client's agent tries to get more than its budget; filters, levels and `ask` for real."""

import re
import shlex
import time
from collections.abc import Iterator

import pytest

from tests.plugin import ROOT, command, said, status
from tests.realclient.answer import Answer, Call
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.request import Request, Script
from tests.realclient.stub import STEP_MODEL, Stub, Usage, bash_loop, summary
from tests.realclient.terminal import have_tmux, open_client

LIMIT = 6
"""Steps that the policy gives."""
IN_A_TERMINAL = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")


def rules(name: str = "total", more: str = "", steps: int = LIMIT, per: str = "total") -> str:
    return (
        f'version = 1\n[budgets.{name}]\nper = "{per}"\nsteps = {steps}\nstop = "after"\n{more}\n'
    )


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def agent(*commands: str) -> Script:
    """An agent that runs those commands, one in each step, and then goes on, longer than it may."""

    def script(request: Request) -> Answer:
        k = request.turn_step
        if k > 2 * LIMIT:
            return Answer("done")
        text = commands[k - 1] if k <= len(commands) else f"echo step-{k}"
        return Answer(f"step {k}", (Call("Bash", {"command": text, "description": "Work"}),))

    return script


def attack(home: Home, *commands: str) -> tuple[int, Result]:
    """How many steps an agent makes that runs those commands."""
    with Stub(agent(*commands)) as stub:
        args = ["--allowedTools", "Bash"]
        run = run_headless(home, stub, "work", plugin_dir=ROOT, args=args)
        results = str([request.messages for request in stub.requests])
        assert "requested permission" not in results, "the commands really ran"
        return len(stub.requests), run


def edit(path: str, steps: int = 20) -> str:
    """Raises the limit: enough to show it, and not for ever."""
    return python(f"p.write_text(re.sub('steps = [0-9]+', 'steps = {steps}', p.read_text()))", path)


def python(statement: str, path: str) -> str:
    """A change of a file `p`. What a shell does to `.claude` the client asks the person about."""
    code = f"import pathlib, re; p = pathlib.Path('{path}').expanduser(); {statement}"
    return f"python -c {shlex.quote(code)}"


REPO = ".claude/budget.toml"
USER = "~/.claude/budget.toml"
LOCAL = ".claude/budget.local.toml"
LEDGER = '"$BUDGET_HOME"/projects/*/ledger.db*'
PROJECT = '"$BUDGET_HOME"/projects/*'
SESSIONS = '"$BUDGET_HOME"/projects/*/sessions'
ALLOW = "budget allow 20 --budget total"
HOOKS = shlex.quote(str(ROOT / "hooks"))
HOOK = f"python -I -S -c 'import sys; sys.path.append(sys.argv[1]); import run' {HOOKS}"


def forged(name: str, **more: str) -> str:
    """An event that the agent makes up and pipes into the hook's own program."""
    fields = {"hook_event_name": name, "cwd": "'$PWD'"}
    fields["session_id"] = "'$CLAUDE_CODE_SESSION_ID'"
    text = ", ".join(f'"{key}": "{value}"' for key, value in {**fields, **more}.items())
    return f"echo '{{{text}}}' | CLAUDE_CODE_ENTRYPOINT=cli {HOOK}"


def test_edits_a_deleted_ledger_and_a_grant_of_its_own_lift_no_budget(home: Home) -> None:
    home.write(REPO, rules())
    own = home.home / ".claude" / "budget.toml"
    own.parent.mkdir(exist_ok=True)
    own.write_text(rules("mine", steps=LIMIT + 1))
    copied = python(f"p.write_text({rules(steps=50)!r})", LOCAL)
    made, run = attack(
        home,
        f"sleep 1.1; rm {LEDGER}",
        edit(REPO),
        f"{edit(USER)}; {copied}",
        ALLOW,
    )
    assert made == LIMIT
    assert "Stopped: the 6 steps in all are used up (6 spent)" in said(run.messages)
    facts = status(home)
    limits = {(b["name"], b["limit"]) for b in facts["budgets"]}
    assert {("total", LIMIT), ("mine", LIMIT + 1)} <= limits
    assert facts["held"] == [
        "budgets.mine.steps of ~/.claude/budget.toml",
        "budgets.total.steps of .claude/budget.toml",
    ]
    told = "\n".join(facts["incidents"])
    assert "ledger made anew" in told
    assert "grant refused: Nothing was granted: it was asked for from within Claude Code" in told
    assert "held: budgets.total.steps of .claude/budget.toml was loosened" in told
    assert facts["grants"] == []
    doctor = command(home, "doctor").stdout
    assert "made anew" in doctor


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([python("p.unlink()", REPO)], id="the config is deleted"),
        pytest.param([python("p.write_text('x')", REPO)], id="the config is spoilt"),
        pytest.param([f"rm -r {PROJECT}"], id="the project's folder is deleted"),
        pytest.param([f"env -u CLAUDECODE {ALLOW}"], id="without the variable"),
        pytest.param(
            [f"env -u CLAUDECODE script -qc '{ALLOW}' /dev/null"], id="in a terminal of its own"
        ),
        pytest.param(
            [edit(REPO), f"rm -r {SESSIONS}"],
            id="edited, and what the session began with is deleted",
        ),
        pytest.param(
            [edit(REPO), f"rm -r {PROJECT}"],
            id="edited, and the project's folder is deleted",
        ),
        pytest.param(
            [edit(REPO), forged("SessionStart", source="startup")],
            id="edited, and the session's start is made up",
        ),
        pytest.param(
            [forged("UserPromptSubmit", prompt="/budget:allow 20 total")],
            id="a typed grant is made up",
        ),
        pytest.param(
            [f"env -u CLAUDECODE setsid -f script -qc '{ALLOW}' /dev/null; sleep 1"],
            id="a process that is detached from the client",
        ),
    ],
)
def test_no_trick_gives_one_more_step(home: Home, commands: list[str]) -> None:
    home.write(REPO, rules())
    made, _ = attack(home, *commands)
    assert made == LIMIT


def test_a_deleted_project_folder_is_seen(home: Home) -> None:
    home.write(REPO, rules())
    made, _ = attack(home, f"rm -r {PROJECT}")
    assert made == LIMIT
    assert "ledger made anew" in "\n".join(status(home)["incidents"])


def test_a_raised_limit_holds_from_the_next_session(home: Home) -> None:
    home.write(REPO, rules(steps=2))
    args = ["--allowedTools", "Bash"]
    with Stub(agent(edit(REPO, 4))) as stub:
        run_headless(home, stub, "work", plugin_dir=ROOT, args=args)
        assert len(stub.requests) == 2
        run_headless(home, stub, "work", plugin_dir=ROOT, args=args)
        assert len(stub.requests) == 4


# -- filters, levels, ask --------------------------------------------------------------------------


@pytest.mark.xfail(strict=True, reason="a model that a resume names is not known to the prompt")
def test_a_budget_of_one_model_leaves_the_others_free(home: Home) -> None:
    home.write(REPO, rules("sonnet", 'models = ["*sonnet*"]', 3))
    with Stub(bash_loop(3)) as stub:
        run = run_headless(home, stub, "count", plugin_dir=ROOT)
        assert len(stub.requests) == 3
        other = "claude-haiku-4-5"
        args = ["--resume", run.session_id]
        run_headless(home, stub, "count", plugin_dir=ROOT, args=args, model=other)
        assert len(stub.requests) == 3 + 4
        assert {request.model for request in stub.requests[3:]} == {other}
        blocked = run_headless(home, stub, "count", plugin_dir=ROOT, args=args, model=STEP_MODEL)
    assert "Stopped: the 3 steps in all, on *sonnet* are used up" in said(run.messages)
    after = said(blocked.messages)
    assert 'Budget "sonnet" in .claude/budget.toml' in after
    (budget,) = status(home)["budgets"]
    assert (budget["spent"], budget["state"]) == (3, "exceeded")


@IN_A_TERMINAL
def test_after_another_model_is_chosen_the_prompt_goes(home: Home) -> None:
    home.write(REPO, rules("sonnet", 'models = ["*sonnet*"]', 2))
    with Stub(bash_loop(1)) as stub, open_client(home, stub, plugin_dir=ROOT) as screen:
        screen.submit("count")
        screen.wait_for(re.compile(r"done \d+:\d+"))
        screen.submit("more")
        screen.wait_for("Not sent: no money was spent")
        screen.wait_for("Or: /model  (only what is done on *sonnet* counts)")
        screen.keys("C-u")
        screen.submit("/model haiku")
        screen.wait_for("Switch model?")
        screen.keys("Enter")
        screen.wait_for("Set model to")
        screen.submit("again")
        stub.wait_until(lambda requests: len([r for r in requests if r.kind == "step"]) >= 4)
        assert all("haiku" in step.model for step in stub.steps()[2:])


def written(home: Home, what: bytes) -> None:
    """Waits until it stands in a transcript: the client writes it later than it shows it."""
    until = time.monotonic() + 20
    while not any(what in path.read_bytes() for path in home.transcripts()):
        assert time.monotonic() < until
        time.sleep(0.05)


@IN_A_TERMINAL
def test_a_big_context_blocks_until_it_is_compacted(home: Home) -> None:
    home.write(REPO, 'version = 1\n[budgets.level]\ncontext_tokens = 20_000\nstop = "after"\n')
    big = Usage(input_tokens=30_000, output_tokens=100)
    loop, small = bash_loop(1, big), bash_loop(0)

    def script(request: Request) -> Answer:
        return (small if "after-compaction" in request.prompt else loop)(request)

    with (
        Stub(script, compaction=summary()) as stub,
        open_client(home, stub, plugin_dir=ROOT) as screen,
    ):
        screen.submit("count")
        screen.wait_for("Stopped: the limit of 20,000 tokens of context is reached (now 30,000).")
        screen.wait_for("To go on: /compact  (the same conversation, made shorter)")
        assert len(stub.steps()) == 1
        screen.submit("more")
        screen.wait_for("Not sent: no money was spent")
        screen.keys("C-u")
        screen.submit("/compact")
        stub.wait_until(lambda requests: any(r.kind == "compaction" for r in requests))
        screen.wait_for("Compacted")
        written(home, b'"compact_boundary"')
        screen.submit("after-compaction")
        screen.wait_for("done after 0 steps")
        assert len(stub.steps()) == 2


@IN_A_TERMINAL
def test_a_budget_that_asks_goes_on_for_a_tenth_when_a_prompt_is_typed(home: Home) -> None:
    home.write(REPO, rules("session", 'on_exceed = "ask"', 2, "session"))
    with Stub(bash_loop(None)) as stub, open_client(home, stub, plugin_dir=ROOT) as screen:
        screen.submit("count")
        screen.wait_for("Stopped: the 2 steps in this session are used up (2 spent).")
        screen.wait_for("To go on: send a prompt  (another 1, then it asks again)")
        assert len(stub.steps()) == 2
        screen.submit("go on")
        screen.wait_for("You go on; it asks again at 3.")
        screen.wait_for("Stopped: the 3 steps in this session are used up (3 spent).")
        assert len(stub.steps()) == 3
    (budget,) = status(home)["budgets"]
    assert (budget["limit"], budget["granted"], budget["spent"]) == (3, 1, 3)


def test_without_a_screen_a_budget_that_asks_blocks(home: Home) -> None:
    home.write(REPO, rules("total", 'on_exceed = "ask"', 2))
    with Stub(bash_loop(None)) as stub:
        for _ in range(2):
            run = run_headless(home, stub, "count", plugin_dir=ROOT)
            assert len(stub.requests) == 2
    assert "Not sent: no money was spent" in said(run.messages)


def edited(*statements: str) -> str:
    """A script that an agent writes to change the ledger."""
    code = (
        "import sqlite3, glob, os; db = sqlite3.connect(glob.glob(os.environ['BUDGET_HOME']"
        f" + '/projects/*/ledger.db')[0]); [db.execute(each) for each in {statements!r}];"
        " db.commit()"
    )
    return f"python -c {shlex.quote(code)} 2>&1 | tail -1"


def test_an_agent_that_edits_the_ledger_is_noticed_and_gains_no_step(home: Home) -> None:
    home.write(REPO, rules())
    made, run = attack(
        home,
        "echo first",
        edited("UPDATE totals SET steps = 0"),
        edited(
            "DROP TRIGGER totals_update",
            "DROP TRIGGER entries_delete",
            "UPDATE totals SET steps = 0",
            "DELETE FROM entries",
        ),
    )
    assert made == LIMIT
    assert "something else than budget wrote to this project's ledger" in said(run.messages)
    told = "\n".join(status(home)["incidents"])
    assert "ledger changed: Something else than budget wrote" in told
    assert "its tables were changed" in told
    assert command(home, "verify").returncode == 0
