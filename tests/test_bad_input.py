"""Whatever reaches a hook, it ends at once with exit code 0 and one clear answer, or with none."""

import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from budget import keys as budget_keys
from budget.ledger import Ledger
from budget.model import Window

ROOT = Path(__file__).resolve().parent.parent
HOOKS = json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"]
OFF = "budget: this step was not counted and no budget was enforced. "
CLOSED = (
    "budget: stopped, because budgets cannot be enforced and failures are set to block. {}"
    " `budget doctor` looks closer."
)
PROMPT = "the-words-of-the-person-5f1e"
ALLOWED_S = 4.0
"""Longer than any hook here may take, the start of Python on a busy machine included."""

Answer = dict[str, Any]


class Machine:
    """A home, a project, a state folder, and the hooks as the client starts them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.project = root / "project"
        self.state = root / "state"
        self.transcripts = self.home / ".claude" / "projects" / "p"
        for folder in (self.project / ".claude", self.transcripts):
            folder.mkdir(parents=True)
        self.repo_config = self.project / ".claude" / "budget.toml"
        self.user_config = self.home / ".claude" / "budget.toml"

    @property
    def folder(self) -> Path:
        """The project's folder in the state folder."""
        (found,) = (self.state / "projects").iterdir()
        return found

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    def env(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
        return {"PATH": path, "HOME": str(self.home), "BUDGET_HOME": str(self.state), **more}

    def event(self, name: str = "PostToolBatch", **more: object) -> dict[str, object]:
        return {
            "hook_event_name": name,
            "session_id": "s1",
            "cwd": str(self.project),
            "prompt": PROMPT,
            **more,
        }

    def transcript(self, *steps: str, name: str = "s1") -> Path:
        path = self.transcripts / f"{name}.jsonl"
        path.write_text("".join(map(step_line, steps)))
        return path

    def hook(
        self,
        event: Mapping[str, object] | bytes,
        *,
        strict: bool = False,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        allowed_s: float = ALLOWED_S,
        **streams: Any,
    ) -> Answer:
        """The answer of a hook, once it is seen to have ended as every hook has to."""
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        process = subprocess.Popen(
            [*before, *hook_argv(strict)],
            cwd=self.root,
            env=self.env(**(env or {})),
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **streams},
            stderr=subprocess.PIPE,
        )
        try:
            stdout, stderr = process.communicate(data if process.stdin else None, timeout=allowed_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"the hook did not end within {allowed_s} s") from None
        stdout = stdout or b""
        assert b"Traceback" not in stdout + stderr, (stdout + stderr).decode()
        assert (process.returncode, stderr) == (0, b"")
        answer = json.loads(stdout or b"{}")
        assert isinstance(answer, dict)
        for path in self.state.rglob("*") if self.state.is_dir() else ():
            if path.is_file():
                assert PROMPT.encode() not in path.read_bytes(), f"the prompt stands in {path}"
        return answer


def hook_argv(strict: bool = False) -> list[str]:
    """What hooks.json starts; the same for every event, see test_plugin_manifest."""
    (group,) = HOOKS["PostToolBatch"]
    (hook,) = group["hooks"]
    arguments = [word.replace("${CLAUDE_PLUGIN_ROOT}", str(ROOT)) for word in hook["args"]]
    return [hook["command"], *arguments, *(["--strict"] if strict else [])]


def step_line(message_id: str) -> str:
    """A line of a transcript: a step of one input token, with the tool call `call-<message id>`."""
    call = {"type": "tool_use", "id": f"call-{message_id}", "name": "Bash", "input": {}}
    message = {
        "id": message_id,
        "model": "claude-opus-5",
        "content": [call],
        "usage": {"input_tokens": 1, "output_tokens": 0},
    }
    line = {"type": "assistant", "timestamp": "2026-11-22T10:00:00Z", "message": message}
    return json.dumps(line) + "\n"


def call_of(*message_ids: str) -> list[dict[str, str]]:
    return [{"tool_use_id": f"call-{message_id}"} for message_id in message_ids]


def says(text: str) -> Answer:
    return {"systemMessage": text}


def steps_booked(machine: Machine) -> int:
    with sqlite3.connect(machine.ledger) as db:
        (count,) = db.execute("SELECT count(*) FROM entries").fetchone()
    return int(count)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_good_event_without_a_budget_is_answered_with_nothing(machine: Machine) -> None:
    path = machine.transcript("m1", "m2")
    event = machine.event(transcript_path=str(path), tool_calls=call_of("m2"))
    assert machine.hook(event) == {}
    assert steps_booked(machine) == 2


# -- stdin -----------------------------------------------------------------------------------------


def test_without_any_stdin_it_says_what_it_is(machine: Machine) -> None:
    closed = ("sh", "-c", 'exec "$@" <&-', "sh")
    answer = machine.hook({}, before=closed, stdin=None)
    message = "This is a hook: Claude Code runs it and writes the event to its stdin."
    assert answer == says(OFF + message)


def test_on_a_terminal_it_says_what_it_is_and_does_not_wait(machine: Machine) -> None:
    ours, theirs = pty.openpty()
    try:
        answer = machine.hook({}, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    message = "This is a hook: Claude Code runs it and writes the event to its stdin."
    assert answer == says(OFF + message)


NOT_JSON = "The hook expected an event as JSON on stdin and got {}."
NOT_AN_OBJECT = "The hook expected an event as a JSON object on stdin."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", NOT_JSON.format("nothing"), id="empty"),
        pytest.param(b" \n\n", NOT_JSON.format("nothing"), id="blank"),
        pytest.param(b"hello", NOT_JSON.format("5 bytes that are not JSON"), id="words"),
        pytest.param(b'{"a": 1', NOT_JSON.format("7 bytes that are not JSON"), id="torn"),
        pytest.param(b"\xff\xfe\x00", NOT_JSON.format("3 bytes that are not JSON"), id="binary"),
        pytest.param(b"[]", NOT_AN_OBJECT, id="list"),
        pytest.param(b"null", NOT_AN_OBJECT, id="null"),
        pytest.param(b'"x"', NOT_AN_OBJECT, id="text"),
        pytest.param(
            b"[" * 100_000, NOT_JSON.format("100000 bytes that are not JSON"), id="deep list"
        ),
        pytest.param(
            b'{"a":' * 100_000, NOT_JSON.format("500000 bytes that are not JSON"), id="deep object"
        ),
    ],
)
def test_what_is_no_event_is_named(machine: Machine, data: bytes, message: str) -> None:
    assert machine.hook(data) == says(OFF + message)


def test_dev_null_as_stdin_is_nothing(machine: Machine) -> None:
    answer = machine.hook({}, stdin=subprocess.DEVNULL)
    assert answer == says(OFF + NOT_JSON.format("nothing"))


def test_ten_megabytes_of_garbage_are_named(machine: Machine) -> None:
    garbage = os.urandom(10 * 1024 * 1024)
    message = NOT_JSON.format("10485760 bytes that are not JSON")
    assert machine.hook(garbage) == says(OFF + message)


def test_a_failure_without_a_known_session_is_said_each_time(machine: Machine) -> None:
    assert machine.hook(b"hello") == machine.hook(b"hello") != {}


# -- the event -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "session_id",
    [None, "", 7, ["s1"], "a\nb", "a\x1b[31mb", "a\0b", "\ud800", "x" * 201],
    ids=["none", "empty", "number", "list", "newline", "escape", "NUL", "surrogate", "long"],
)
def test_a_session_id_that_is_none_is_refused(machine: Machine, session_id: object) -> None:
    answer = machine.hook(machine.event(session_id=session_id))
    assert answer == says(OFF + "The PostToolBatch event has no usable session_id.")
    assert not (machine.state / "projects").exists(), "nothing is booked for it"


@pytest.mark.parametrize("session_id", ["../../x", "/etc/x", "..", "a/../../../b", "~root"])
def test_a_session_id_cannot_lead_out_of_the_state_folder(
    machine: Machine, session_id: str
) -> None:
    before = set(machine.root.rglob("*"))
    outside = machine.event(session_id=session_id, transcript_path="/etc/x.jsonl")
    assert "is outside" in machine.hook(outside)["systemMessage"]
    assert machine.hook(machine.event("Stop", session_id=session_id)) == {}
    new = set(machine.root.rglob("*")) - before
    assert new, "the failure was remembered and a ledger was made"
    assert all(path == machine.state or machine.state in path.parents for path in new)


NO_FOLDER = "The PostToolBatch event names no folder (CLAUDE_PROJECT_DIR or cwd)."


@pytest.mark.parametrize(
    "cwd",
    [None, "", "project", 5, "/a\0b"],
    ids=["none", "empty", "relative", "number", "NUL"],
)
def test_an_event_without_a_folder_is_refused(machine: Machine, cwd: object) -> None:
    assert machine.hook(machine.event(cwd=cwd)) == says(OFF + NO_FOLDER)


def test_a_folder_that_is_gone_is_a_project_all_the_same(machine: Machine) -> None:
    assert machine.hook(machine.event(cwd=str(machine.root / "gone"))) == {}
    assert machine.ledger.exists()


def test_a_project_folder_may_have_a_newline(machine: Machine) -> None:
    """A NUL cannot be in a variable: no process can be started with one."""
    place = machine.root / "a\nb \x1b[31m"
    (place / ".claude").mkdir(parents=True)
    (place / ".claude" / "budget.toml").write_text(
        'version = 1\n[budgets.s]\nper = "session"\nusd = 0\n'
    )
    answer = machine.hook(machine.event(), env={"CLAUDE_PROJECT_DIR": str(place)})
    assert answer["continue"] is False
    assert machine.folder.name.isprintable()
    assert answer["stopReason"].splitlines()[0] == (
        "Stopped: the $0.00 in this session are used up ($0.00 spent)."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("NotificationX", "'NotificationX'"),
        ("", "''"),
        (None, "''"),
        (["Stop"], "''"),
        ("stop\n\x1b[31m" + "x" * 100, "'stop\\n\\x1b[31m" + "x" * 50 + "'"),
    ],
    ids=["unknown", "empty", "none", "list", "escape"],
)
def test_an_unknown_event_is_named(machine: Machine, name: object, shown: str) -> None:
    answer = machine.hook(machine.event(hook_event_name=name))
    message = f"The hook was called for the event {shown}, which it does not know."
    assert answer == says(OFF + message)


@pytest.mark.parametrize(
    "tool_calls",
    [
        None,
        "text",
        {"a": 1},
        [5, None, [], {}, {"tool_use_id": 7}],
        5,
        True,
    ],
    ids=["none", "text", "object", "odd items", "number", "true"],
)
def test_tool_calls_of_the_wrong_type_are_passed_over(machine: Machine, tool_calls: object) -> None:
    path = machine.transcript("m1")
    event = machine.event(transcript_path=str(path), tool_calls=tool_calls)
    assert machine.hook(event) == {}
    assert steps_booked(machine) == 1


@pytest.mark.parametrize("key", ["cwd", "transcript_path"])
def test_a_path_that_no_file_system_takes_is_no_bug(machine: Machine, key: str) -> None:
    answer = machine.hook(machine.event(**{key: "/tmp/\ud800.jsonl"}))
    assert "bug" not in answer["systemMessage"]
    assert not (machine.state / "logs").exists()


def test_deep_json_inside_an_event_is_named(machine: Machine) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    data = json.dumps(machine.event()).encode()[:-1] + b', "tool_input": ' + deep + b"}"
    message = NOT_JSON.format(f"{len(data)} bytes that are not JSON")
    assert machine.hook(data) == says(OFF + message)


# -- the transcript --------------------------------------------------------------------------------


def test_a_transcript_that_is_missing_is_said_once_after_a_step(machine: Machine) -> None:
    path = machine.transcripts / "s1.jsonl"
    event = machine.event(transcript_path=str(path), tool_calls=call_of("m1"))
    assert machine.hook(machine.event("SessionStart", transcript_path=str(path))) == {}
    message = (
        f"budget: No step of this session is in its transcript {path}, so none can be counted."
        " Is the client newer than this budget, or told to keep no transcripts? `budget doctor`"
        " looks closer."
    )
    assert machine.hook(event) == says(message)
    assert machine.hook(event) == {}


def outside(machine: Machine, path: object) -> str:
    return (
        f"{OFF}The transcript {path} is outside {machine.home}/.claude/projects, where Claude Code"
        " keeps transcripts: it was not read. If that is where yours are, set CLAUDE_CONFIG_DIR."
    )


def place_beside(machine: Machine) -> Path:
    return machine.root / "s1.jsonl"


def place_with_the_same_prefix(machine: Machine) -> Path:
    return machine.home / ".claude" / "projects-of-mine" / "s1.jsonl"


def place_up_the_tree(machine: Machine) -> Path:
    return machine.transcripts / ".." / ".." / "s1.jsonl"


@pytest.mark.parametrize(
    "place", [place_beside, place_with_the_same_prefix, place_up_the_tree], ids=lambda f: f.__name__
)
def test_a_transcript_outside_the_clients_folder_is_not_read(machine: Machine, place: Any) -> None:
    path = place(machine)
    path.parent.mkdir(exist_ok=True)
    path.write_text(step_line("m1"))
    event = machine.event(transcript_path=str(path), tool_calls=call_of("m1"))
    assert machine.hook(event) == says(outside(machine, path))
    assert machine.hook(event) == {}, "said once per session"
    assert machine.hook({**event, "session_id": "s2"}) == says(outside(machine, path))
    assert steps_booked(machine) == 0


def test_a_linked_transcript_that_leads_outside_is_not_read(machine: Machine) -> None:
    target = machine.root / "elsewhere.jsonl"
    target.write_text(step_line("m1"))
    path = machine.transcripts / "s1.jsonl"
    path.symlink_to(target)
    event = machine.event(transcript_path=str(path), tool_calls=call_of("m1"))
    assert machine.hook(event) == says(outside(machine, path))
    assert steps_booked(machine) == 0


def test_a_client_folder_that_is_a_link_itself_is_fine(machine: Machine) -> None:
    (machine.home / ".claude").rename(machine.root / "dotfiles")
    (machine.home / ".claude").symlink_to(machine.root / "dotfiles")
    path = machine.transcript("m1")
    assert machine.hook(machine.event("Stop", transcript_path=str(path))) == {}
    assert steps_booked(machine) == 1


@pytest.mark.parametrize("linked", ["subagents", "subagents/agent-a.jsonl"])
def test_a_linked_agent_file_that_leads_outside_is_not_read(machine: Machine, linked: str) -> None:
    path = machine.transcript("m1")
    link = path.with_suffix("") / linked
    link.parent.mkdir(parents=True)
    target = machine.root / "elsewhere"
    target.mkdir()
    (target / "agent-a.jsonl").write_text(step_line("m2"))
    link.symlink_to(target if linked == "subagents" else target / "agent-a.jsonl")
    machine.hook(machine.event("Stop", transcript_path=str(path)))
    assert steps_booked(machine) == 1


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    try:
        os.mknod(path, 0o020600, os.makedev(1, 5))  # what /dev/zero is
    except PermissionError:
        pytest.skip("only root can make a device")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [a_fifo, a_device, a_folder], ids=lambda f: f.__name__)
def test_what_is_no_regular_file_is_not_read(machine: Machine, make: Any) -> None:
    path = machine.transcripts / "s1.jsonl"
    make(path)
    event = machine.event("Stop", transcript_path=str(path))
    assert machine.hook(event) == says(f"budget: {path} is not a regular file: it was not read.")
    assert machine.hook(event) == {}, "said once per session"


def test_a_link_to_a_device_is_not_read(machine: Machine) -> None:
    path = machine.transcripts / "s1.jsonl"
    path.symlink_to("/dev/zero")
    answer = machine.hook(machine.event("Stop", transcript_path=str(path)))
    assert answer == says(outside(machine, path))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("s1.jsonl", "'s1.jsonl'"),
        ("/etc/passwd", "'/etc/passwd'"),
        ("/a\0b.jsonl", "'/a?b.jsonl'"),
        ("/a\n\x1b[31m", "'/a??[31m'"),
    ],
    ids=["relative", "another kind", "NUL", "escape"],
)
def test_a_path_that_is_no_transcripts_is_refused(machine: Machine, path: str, shown: str) -> None:
    answer = machine.hook(machine.event("Stop", transcript_path=path))
    assert answer == says(f"{OFF}The transcript path {shown} is not one: it was not read.")


def test_a_transcript_of_garbage_is_counted_as_damaged(machine: Machine) -> None:
    path = machine.transcripts / "s1.jsonl"
    path.write_bytes(os.urandom(1_000_000) + b'\n{"output_tokens": 5\n' + step_line("m1").encode())
    message = (
        "budget: 1 damaged line(s) in the transcript could not be counted; `budget status` shows"
        " how many there are in all."
    )
    assert machine.hook(machine.event("Stop", transcript_path=str(path))) == says(message)
    assert steps_booked(machine) == 1


# -- configs ---------------------------------------------------------------------------------------

HOLDS_NOT = "\nUntil this is mended, nothing of it holds."
KNOWN_KEYS = "one of " + ", ".join([*budget_keys.FILE_KEYS, *budget_keys.TABLES])
USED_UP = 'version = 1\n[budgets.mine]\nper = "session"\nusd = 0\n'
BUDGET = 'version = 1\n[budgets.day]\nper = "day"\n'


def config_is_a_folder(path: Path) -> str:
    path.mkdir()
    return f"{path}: expected a file, got something else."


def config_is_a_fifo(path: Path) -> str:
    os.mkfifo(path)
    return f"{path}: expected a file, got something else."


def config_is_not_text(path: Path) -> str:
    path.write_bytes(b"version = 1\n# \xe4\n")
    return f"{path}, line 2: it is not UTF-8 text."


def config_is_not_toml(path: Path) -> str:
    path.write_text("version = 1\n[budgets\n")
    detail = "Expected ']' at the end of a table declaration (at line 2, column 9)"
    return f"{path}: it is not valid TOML: {detail}."


def config_is_deep(path: Path) -> str:
    path.write_text("version = 1\nx = " + "[" * 100_000)
    return f"{path}: it is not valid TOML: maximum recursion depth exceeded"


def config_has_an_unknown_key(path: Path) -> str:
    path.write_text(BUDGET + "usd = 1\nwarnat = [0.5]\n")
    keys = "one of " + ", ".join(budget_keys.BUDGET_KEYS)
    problem = f"expected {keys}, got an unknown key. Did you mean warn_at?"
    return f"{path}, line 5, budgets.day.warnat: {problem}"


def config_is_huge(path: Path) -> str:
    with path.open("wb") as file:
        file.write(b"version = 1\n")
        for _ in range(50):
            file.write(b"#" * 1024 * 1024)
    return f"{path}: it is larger than 1048576 bytes."


@pytest.mark.parametrize(
    "spoil",
    [
        config_is_a_folder,
        config_is_a_fifo,
        config_is_not_text,
        config_is_not_toml,
        config_is_deep,
        config_has_an_unknown_key,
        config_is_huge,
    ],
    ids=lambda f: f.__name__,
)
def test_a_config_that_is_not_valid_is_named_once_and_the_others_hold(
    machine: Machine, spoil: Any
) -> None:
    problem = spoil(machine.repo_config)
    path = machine.transcript("m1")
    event = machine.event(transcript_path=str(path), tool_calls=call_of("m1"))
    text = machine.hook(event)["systemMessage"]
    assert text.startswith(f"budget: {problem}")
    assert text.endswith(HOLDS_NOT)
    assert len(text.splitlines()) == 2
    assert machine.hook(event) == {}, "said once per session"
    assert machine.hook({**event, "session_id": "s2"})["systemMessage"] == text
    assert steps_booked(machine) == 1, "the step is counted all the same"
    machine.user_config.write_text(USED_UP)
    assert machine.hook(event)["continue"] is False, "the other config still stops"


def test_a_config_that_was_valid_holds_on_when_it_is_spoilt(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    assert machine.hook(machine.event())["continue"] is False
    machine.repo_config.write_text("version = ")
    answer = machine.hook(machine.event())
    assert answer["continue"] is False
    assert answer["systemMessage"].endswith(
        f"budget: {machine.repo_config}: it is not valid TOML: Invalid value (at end of document)."
        "\nUntil this is mended, its last valid version stays in force."
    )


def test_each_problem_of_a_config_is_a_sentence_with_its_line(machine: Machine) -> None:
    machine.repo_config.write_text(BUDGET + 'usd = "5"\n\n[advise]\n')
    path = machine.repo_config
    assert machine.hook(machine.event()) == says(
        f"budget: {path}, line 6, advise: expected {KNOWN_KEYS}, got an unknown key."
        " Did you mean advice?\n"
        f'{path}, line 4, budgets.day.usd: expected US dollars from 0 to 1000000, got "5".'
        + HOLDS_NOT
    )


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "9" * 5000], ids=["decimal", "hex"])
def test_a_number_of_5000_digits_is_a_problem_of_the_config(machine: Machine, number: str) -> None:
    machine.repo_config.write_text(BUDGET + f"steps = {number}\n")
    text = machine.hook(machine.event())["systemMessage"]
    assert text.startswith(f"budget: {machine.repo_config}")
    assert text.endswith(HOLDS_NOT)


def test_a_config_with_very_many_problems_takes_no_longer(machine: Machine) -> None:
    keys = "".join(f"k{number} = 1\n" for number in range(6_000))
    machine.repo_config.write_text("version = 1\n" + keys)
    machine.user_config.write_text(USED_UP)
    answer = machine.hook(machine.event(), allowed_s=2)
    assert answer["continue"] is False, "the other config still stops"
    assert len(answer["systemMessage"]) < 10_000, "a few problems and how many more there are"


def test_a_key_cannot_write_to_the_screen(machine: Machine) -> None:
    machine.repo_config.write_text('version = 1\n"\\u001b[2J\\nbudget: all is well" = 1\n')
    text = machine.hook(machine.event())["systemMessage"]
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) == 2


# -- the state folder ------------------------------------------------------------------------------


def state_is_a_file(machine: Machine) -> tuple[str, str]:
    path = machine.root / "occupied"
    path.write_text("")
    return str(path), f"[Errno 20] Not a directory: '{path}/projects'. `budget doctor` looks closer"


def state_is_in_proc(_: Machine) -> tuple[str, str]:
    why = "[Errno 2] No such file or directory: '/proc/x'. `budget doctor` looks closer"
    return "/proc/x", why


@pytest.mark.parametrize("spoil", [state_is_a_file, state_is_in_proc], ids=lambda f: f.__name__)
def test_without_a_state_folder_it_is_said_at_each_prompt(machine: Machine, spoil: Any) -> None:
    """Nothing can be remembered there, so it is said once a turn, not after every step."""
    machine.repo_config.write_text(USED_UP)
    folder, why = spoil(machine)
    env = {"BUDGET_HOME": folder}
    assert machine.hook(machine.event(), env=env) == {}
    for name in ("SessionStart", "UserPromptSubmit", "UserPromptSubmit"):
        text = machine.hook(machine.event(name), env=env)["systemMessage"]
        assert text.startswith(f"{OFF}The ledger {folder}/projects/")
        assert text.endswith(f"/ledger.db cannot be used: {why}.")


# Root may write anywhere, unless it gives up the right to.
AS_ANYONE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")


@pytest.fixture
def as_anyone() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    probe = [*AS_ANYONE, "true"]
    if not shutil.which("setpriv") or subprocess.run(probe, check=False).returncode:
        pytest.skip("root, and setpriv cannot take its rights away")
    return AS_ANYONE


def test_a_read_only_state_folder_is_named_with_the_way_out(
    machine: Machine, as_anyone: Sequence[str]
) -> None:
    machine.state.mkdir(mode=0o500)
    answer = machine.hook(machine.event("UserPromptSubmit"), before=as_anyone)
    text = answer["systemMessage"]
    assert text.startswith(f"{OFF}The ledger {machine.state}/projects/")
    assert text.endswith(
        f"/ledger.db cannot be used: [Errno 13] Permission denied: '{machine.state}/projects'."
        " Make the folder writable for you, or set BUDGET_HOME to one that is."
    )


def test_a_read_only_ledger_is_named_with_the_way_out(
    machine: Machine, as_anyone: Sequence[str]
) -> None:
    assert machine.hook(machine.event()) == {}
    for path in machine.folder.glob("ledger.db*"):
        path.chmod(0o400)
    path = machine.transcript("m1")
    event = machine.event("Stop", transcript_path=str(path))
    assert machine.hook(event, before=as_anyone) == says(
        f"{OFF}The ledger {machine.ledger} cannot be used: attempt to write a readonly database."
        " Make the folder writable for you, or set BUDGET_HOME to one that is."
    )
    assert machine.hook(event, before=as_anyone) == {}, "said once per session"


def ledger_of_garbage(path: Path) -> str:
    path.write_bytes(os.urandom(100_000))
    return (
        "file is not a database. It is damaged: `budget rebuild`, or the next step, makes it anew"
        " from the transcripts."
    )


def ledger_is_a_folder(path: Path) -> str:
    path.unlink()
    path.mkdir()
    return (
        "unable to open database file. Make the folder writable for you, or set BUDGET_HOME to one"
        " that is."
    )


def ledger_of_another_program(path: Path) -> str:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE entries (x)")
    return "table entries already exists. `budget doctor` looks closer."


@pytest.mark.parametrize(
    "spoil",
    [ledger_is_a_folder, ledger_of_another_program],
    ids=lambda f: f.__name__,
)
def test_a_ledger_that_cannot_be_used_is_named_once_and_never_zero(
    machine: Machine, spoil: Any
) -> None:
    machine.hook(machine.event())
    for rest in machine.folder.glob("ledger.db-*"):
        rest.unlink()
    path = machine.ledger
    why = spoil(path)
    assert machine.hook(machine.event()) == says(f"{OFF}The ledger {path} cannot be used: {why}")
    assert machine.hook(machine.event()) == {}, "said once per session"
    again = machine.hook(machine.event("Stop", session_id="s2"))
    assert again == says(f"{OFF}The ledger {path} cannot be used: {why}")


def test_a_damaged_ledger_is_set_aside_and_made_anew(machine: Machine) -> None:
    event = machine.event("Stop", transcript_path=str(machine.transcript("m1", "m2")))
    machine.hook(event)
    for rest in machine.folder.glob("ledger.db-*"):
        rest.unlink()
    ledger_of_garbage(machine.ledger)
    text = machine.hook(event)["systemMessage"]
    assert text.startswith("budget: the ledger of this project was gone and was made anew")
    assert len(list(machine.folder.glob("ledger.db.damaged-*"))) == 1, "nothing is thrown away"
    ledger = Ledger(str(machine.ledger))
    assert ledger.spend(Window(0, None)).steps == 2
    ledger.close()


def test_a_ledger_of_a_newer_budget_is_left_alone(machine: Machine) -> None:
    machine.hook(machine.event())
    path = machine.ledger
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    text = machine.hook(machine.event())["systemMessage"]
    assert text.startswith(
        f"{OFF}The ledger {path} has the format 99, this version of budget knows"
    )
    assert text.endswith("A newer budget wrote it: update this one. Nothing was changed.")
    assert path.read_bytes() == before


def test_a_ledger_that_was_deleted_is_made_anew_from_the_transcript(machine: Machine) -> None:
    path = machine.transcript("m1", "m2")
    event = machine.event("Stop", transcript_path=str(path))
    machine.hook(event)
    shutil.rmtree(machine.state)
    assert machine.hook(event) == {}
    assert steps_booked(machine) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"5",
        b"{}",
        b"[]",
        b"\xff",
        os.urandom(1000),
        b"[" * 100_000,
    ],
    ids=["empty", "number", "object", "list", "binary", "random", "deep"],
)
def test_a_compiled_policy_of_garbage_is_compiled_anew(machine: Machine, garbage: bytes) -> None:
    machine.repo_config.write_text(USED_UP)
    first = machine.hook(machine.event())
    (policy,) = machine.folder.glob("policy-*.json")
    good = policy.read_bytes()
    policy.write_bytes(garbage)
    assert machine.hook(machine.event()) == first
    assert policy.read_bytes() == good


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"version": "9999", "models": {"claude-opus-5": [{}]}, "aliases": {}}',
        b'{"version": "9999", "models": [], "aliases": {}}',
        b"[" * 100_000,
        b'{"version": 9999, "models": {}, "aliases": {}}',
        b'{"version": "9999", "models": {}, "aliases": {}}',
    ],
    ids=["empty", "list", "binary", "no price", "models", "deep", "version", "no models"],
)
def test_a_newer_price_table_of_garbage_is_passed_over(machine: Machine, garbage: bytes) -> None:
    machine.state.mkdir()
    (machine.state / "prices.json").write_bytes(garbage)
    path = machine.transcript("m1")
    assert machine.hook(machine.event("Stop", transcript_path=str(path))) == {}
    with sqlite3.connect(machine.ledger) as db:
        assert db.execute("SELECT picousd FROM entries").fetchall() == [(5 * 10**6,)]


def test_reports_of_the_clients_total_that_are_garbage_are_passed_over(machine: Machine) -> None:
    folder = machine.state / "client" / "s1"
    folder.mkdir(parents=True)
    good: dict[str, object] = {"session": "s1", "since_ms": 1, "base_usd": 0, "usd": 1.5}
    changes: tuple[dict[str, object], ...] = (
        {"usd": -1},
        {"usd": "1"},
        {"usd": 1e9},
        {"usd": {}},
        {"session": "s2"},
        {"since_ms": 1e999},
    )
    for number, change in enumerate(changes):
        (folder / f"{number}.json").write_text(json.dumps({**good, **change}))
    for number, text in enumerate(("", "[]", "[" * 100_000, '{"usd": NaN', "\x00" * 100)):
        (folder / f"text-{number}.json").write_text(text)
    (folder / "folder.json").mkdir()
    assert machine.hook(machine.event("Stop")) == {}
    with sqlite3.connect(machine.ledger) as db:
        assert db.execute("SELECT count(*) FROM client_totals").fetchone() == (0,)
    (folder / "good.json").write_text(json.dumps(good))
    assert machine.hook(machine.event("Stop")) == {}
    with sqlite3.connect(machine.ledger) as db:
        assert db.execute("SELECT total_picousd FROM client_totals").fetchone() == (15 * 10**11,)


def a_fifo_for_the_total(machine: Machine) -> Path:
    return machine.state / "client" / "s1" / "x.json"


def a_fifo_for_the_policy(machine: Machine) -> Path:
    machine.hook(machine.event())
    (policy,) = machine.folder.glob("policy-*.json")
    policy.unlink()
    return policy


def a_fifo_for_the_worktree(machine: Machine) -> Path:
    """An agent that works there can write the `.git` file."""
    (machine.project / ".git").write_text("gitdir: elsewhere\n")
    return machine.project / "elsewhere" / "commondir"


def a_fifo_for_the_prices(machine: Machine) -> Path:
    return machine.state / "prices.json"


def a_fifo_for_the_git_config(machine: Machine) -> Path:
    return machine.project / ".git" / "config"


@pytest.mark.parametrize(
    "place",
    [
        a_fifo_for_the_total,
        a_fifo_for_the_policy,
        a_fifo_for_the_prices,
        a_fifo_for_the_worktree,
        a_fifo_for_the_git_config,
    ],
    ids=lambda f: f.__name__,
)
def test_a_fifo_among_its_own_files_does_not_hold_it_up(machine: Machine, place: Any) -> None:
    machine.repo_config.write_text(USED_UP)
    path = place(machine)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    assert machine.hook(machine.event(), allowed_s=1.5)["continue"] is False


HOLD_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_ledger_that_stays_locked_is_left_for_the_next_step(machine: Machine) -> None:
    path = machine.transcript("m1")
    machine.hook(machine.event())
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(machine.ledger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    message = (
        f"{OFF}The ledger {machine.ledger} cannot be used: database is locked. Another process"
        " holds it; it is tried again at the next step."
    )
    end = machine.event("SessionEnd", transcript_path=str(path))
    # The client gives SessionEnd 1.5 s in all, every other hook at least 15: it waits 0.8, or 5.
    assert machine.hook(end, allowed_s=2.5) == says(message)
    step = machine.event("PostToolBatch", transcript_path=str(path), session_id="s2")
    started = time.monotonic()
    assert machine.hook(step, allowed_s=7) == says(message)
    assert time.monotonic() - started > 1.5, "it waits before it gives up"
    holder.stdin.close()
    holder.stdout.close()
    assert holder.wait() == 0
    assert machine.hook(step) == {}
    assert steps_booked(machine) == 1


# -- stdout ----------------------------------------------------------------------------------------


def test_without_a_stdout_it_ends_all_the_same(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    closed = ("sh", "-c", 'exec "$@" >&-', "sh")
    assert machine.hook(machine.event(), before=closed, stdout=None) == {}


def test_a_full_stdout_ends_it_all_the_same(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    with open("/dev/full", "wb") as full:
        assert machine.hook(machine.event(), stdout=full) == {}


def test_a_reader_that_went_away_ends_it_all_the_same(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert machine.hook(machine.event(), stdout=writer) == {}
    finally:
        os.close(writer)


# -- failures that are set to block ----------------------------------------------------------------

NEWER = 'version = 1\non_error = "block"\n'


@pytest.fixture(params=["--strict", "on_error"])
def strict(request: pytest.FixtureRequest, machine: Machine) -> bool:
    """Whether hooks are started with `--strict`; without it, a config says the same."""
    if request.param == "on_error":
        machine.repo_config.write_text(NEWER)
    return bool(request.param == "--strict")


def spoilt(machine: Machine) -> str:
    """A ledger of garbage, and the sentence about it."""
    machine.hook(machine.event("SessionEnd", session_id="before"))
    for rest in machine.folder.glob("ledger.db-*"):
        rest.unlink()
    return f"The ledger {machine.ledger} cannot be used: {ledger_is_a_folder(machine.ledger)}"


def test_a_failure_that_is_set_to_block_stops_every_time(machine: Machine, strict: bool) -> None:
    message = CLOSED.format(spoilt(machine))
    stop = {"continue": False, "stopReason": message}
    deny = {"hookEventName": "PreToolUse", "permissionDecision": "deny"}
    expected = {
        "PostToolBatch": stop,
        "UserPromptSubmit": {"decision": "block", "reason": message},
        "PreToolUse": {**stop, "hookSpecificOutput": deny},
    }
    for event, answer in expected.items():
        for _ in range(2):
            assert machine.hook(machine.event(event), strict=strict) == answer


@pytest.mark.parametrize("event", ["SessionStart", "SubagentStop", "Stop", "PreCompact"])
def test_a_failure_that_is_set_to_block_never_blocks_an_end(
    machine: Machine, strict: bool, event: str
) -> None:
    message = CLOSED.format(spoilt(machine))
    assert machine.hook(machine.event(event), strict=strict) == says(message)


@pytest.mark.parametrize("prompt", ["/budget:status", "/budget:allow 5", "/budget:"])
def test_a_prompt_to_budget_is_never_blocked(machine: Machine, strict: bool, prompt: str) -> None:
    message = CLOSED.format(spoilt(machine))
    event = machine.event("UserPromptSubmit", prompt=prompt)
    assert machine.hook(event, strict=strict) == says(message)


@pytest.mark.parametrize(
    "event", ["PostToolBatch", "UserPromptSubmit", "PreToolUse", "Stop", "SessionStart"]
)
def test_a_failure_lets_work_go_on_by_default(machine: Machine, event: str) -> None:
    message = OFF + spoilt(machine)
    assert machine.hook(machine.event(event)) == says(message)
    assert machine.hook(machine.event(event)) == {}, "said once per session"


def test_a_transcript_outside_stops_when_failures_do(machine: Machine, strict: bool) -> None:
    path = machine.root / "s1.jsonl"
    answer = machine.hook(machine.event(transcript_path=str(path)), strict=strict)
    text = outside(machine, path).removeprefix(OFF)
    assert answer == {"continue": False, "stopReason": CLOSED.format(text)}


@pytest.mark.parametrize(
    "change",
    [{"session_id": None}, {"cwd": None}],
    ids=["no session", "no folder"],
)
def test_an_unusable_event_stops_a_strict_install(machine: Machine, change: dict[str, Any]) -> None:
    answer = machine.hook(machine.event(**change), strict=True)
    assert answer["continue"] is False


def test_a_stop_names_the_doctor_once(machine: Machine) -> None:
    folder, _ = state_is_a_file(machine)
    answer = machine.hook(machine.event(), strict=True, env={"BUDGET_HOME": folder})
    assert answer["stopReason"].count("`budget doctor` looks closer.") == 1
