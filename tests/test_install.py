"""`budget install` and `uninstall` over whatever is in settings.json, and what they put there."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.realclient.client import Home, run_headless
from tests.realclient.stub import Stub, bash_loop

ROOT = Path(__file__).resolve().parent.parent
EVENTS = tuple(json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"])
ANEW = "Sessions that are running take it up when they start anew.\n"
GONE = "budget: nothing is counted or stopped: the package is gone."
USED_UP = 'version = 1\n[budgets.mine]\nper = "session"\nusd = 0\n'

OTHER = {"type": "command", "command": "echo 'von der Bühne' \"$HOME\"", "timeout": 5}
OTHERS: dict[str, Any] = {
    "permissions": {"allow": ["Bash(echo:*)"]},
    "hooks": {
        "Stop": [{"hooks": [OTHER]}, {"hooks": [OTHER, OTHER]}],
        "PreToolUse": [{"matcher": "Bash", "hooks": [OTHER]}],
        "Notification": [{"hooks": [OTHER]}],
    },
    "env": {"X": "ü"},
}
STATUS_LINE = {"statusLine": {"type": "command", "command": "~/mine.sh", "padding": 0}}


class Person:
    """Someone with a home and a project, both in folders whose names shells do not like."""

    def __init__(self, root: Path) -> None:
        self.root = root / 'Zoë\'s "own" $(touch hacked) `x` disk'
        self.home = self.root / "home & hearth"
        self.project = self.root / "project; exit 7"
        self.state = self.root / "state"
        self.tmp = self.root / "tmp"
        for folder in (self.home, self.project, self.tmp):
            folder.mkdir(parents=True)
        self.settings = self.home / ".claude" / "settings.json"

    def env(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
        own = {"HOME": self.home, "BUDGET_HOME": self.state, "TMPDIR": self.tmp}
        folders = {name: str(folder) for name, folder in own.items()}
        return {"PATH": path, "LANG": "C.UTF-8", "COLUMNS": "200", **folders, **more}

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "budget", *arguments],
            cwd=self.project,
            env=self.env(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `budget ...`."""
        process = self.start(*arguments, **more)
        stdout, stderr = process.communicate()
        assert "Traceback" not in stdout + stderr, stderr
        return process.returncode, stdout, stderr

    def write(self, content: object) -> bytes:
        """Writes settings the way an editor would; returns the bytes."""
        self.settings.parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=4)
        self.settings.write_text(text, encoding="utf-8")
        return self.settings.read_bytes()

    def read(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads(self.settings.read_text(encoding="utf-8"))
        return settings

    def event(self, name: str, **more: object) -> str:
        facts = {"hook_event_name": name, "session_id": "s1", "cwd": str(self.project)}
        return json.dumps({**facts, **more})


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path)
    yield person
    assert not [path for path in tmp_path.rglob("hacked*") if path.is_file()]


def ours(settings: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The hooks of budget by event: those that this Python runs."""
    return {
        event: found
        for event, groups in settings.get("hooks", {}).items()
        if (
            found := [
                hook
                for group in groups
                for hook in group["hooks"]
                if hook["command"] == sys.executable
            ]
        )
    }


def ask(hook: dict[str, Any], person: Person, event: str, **more: str) -> dict[str, Any]:
    """What a hook of settings.json answers, started as the client starts it."""
    run = subprocess.run(
        [hook["command"], *hook["args"]],
        input=event,
        env=person.env(**more),
        cwd=person.project,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(run.stdout or "{}")
    return answer


# -- install ---------------------------------------------------------------------------------------


def test_without_settings_a_file_with_every_event_is_made(person: Person) -> None:
    assert person.run("install") == (0, f"Installed in {person.settings}.\n{ANEW}", "")
    installed = ours(person.read())
    assert tuple(installed) == EVENTS
    assert all(len(hooks) == 1 for hooks in installed.values())
    assert person.read()["statusLine"]["type"] == "command"
    assert os.listdir(person.settings.parent) == ["settings.json"], "nothing else is left there"


def test_every_hook_that_was_installed_answers(person: Person) -> None:
    (person.project / ".claude").mkdir()
    (person.project / ".claude" / "budget.toml").write_text(USED_UP)
    person.run("install")
    installed = ours(person.read())
    answers = {
        event: ask(hook, person, person.event(event, tool_name="Agent"))
        for event, (hook,) in installed.items()
    }
    assert answers["UserPromptSubmit"]["decision"] == "block"
    assert answers["PreToolUse"]["continue"] is answers["PostToolBatch"]["continue"] is False
    assert answers["SessionStart"]["systemMessage"].startswith("budget: mine $0.00 left.")
    silent = {event for event, answer in answers.items() if answer == {}}
    assert silent == {"SubagentStop", "Stop", "PreCompact", "SessionEnd"}


over_what_is_there = pytest.mark.parametrize(
    "content",
    ["", {"hooks": {}}, OTHERS, {**OTHERS, **STATUS_LINE}],
    ids=["empty", "no hooks", "others", "others and a status line"],
)


@over_what_is_there
def test_what_is_there_stays_and_a_copy_is_kept(person: Person, content: object) -> None:
    before = person.write(content)
    kept = "Your own status line stays as it is. To have both: budget install --statusline\n"
    kept = kept if "statusLine" in str(content) else ""
    backup = person.settings.with_name("settings.json.before-budget")
    told = f"Installed in {person.settings}.\nThe file as it was: {backup}\n{kept}{ANEW}"
    assert person.run("install") == (0, told, "")
    assert backup.read_bytes() == before
    after = person.read()
    assert sorted(ours(after)) == sorted(EVENTS)
    was = json.loads(before or b"{}")
    for key in set(was) - {"hooks"}:
        assert after[key] == was[key]
    for event, groups in was.get("hooks", {}).items():
        assert after["hooks"][event][: len(groups)] == groups, "others come first, as before"


@over_what_is_there
def test_installing_twice_changes_no_byte(person: Person, content: object) -> None:
    person.write(content)
    person.run("install")
    once, written = person.settings.read_bytes(), person.settings.stat().st_mtime_ns
    code, stdout, _ = person.run("install")
    assert (code, stdout.splitlines()[0]) == (0, f"Already installed in {person.settings}.")
    assert person.settings.read_bytes() == once
    assert person.settings.stat().st_mtime_ns == written


@over_what_is_there
def test_what_was_there_is_all_that_is_left_after_uninstall(
    person: Person, content: object
) -> None:
    before = json.loads(person.write(content) or b"{}")
    person.run("install")
    code, stdout, _ = person.run("uninstall")
    assert (code, stdout.splitlines()[0]) == (0, f"Removed from {person.settings}.")
    if before == {"hooks": {}}:
        before = {}  # an empty table says nothing
    assert person.read() == before
    assert list(person.read()) == list(before), "in the same order"


def test_other_scripts_are_written_as_they_were(person: Person) -> None:
    person.write(json.dumps(OTHERS, ensure_ascii=False))
    person.run("install")
    assert "von der Bühne" in person.settings.read_text(encoding="utf-8")


def test_a_hook_that_was_put_beside_ours_stays_when_ours_go(person: Person) -> None:
    person.run("install")
    settings = person.read()
    settings["hooks"]["Stop"][0]["hooks"].append(OTHER)
    person.write(settings)
    assert person.run("uninstall")[0] == 0
    assert person.read() == {"hooks": {"Stop": [{"hooks": [OTHER]}]}}


@pytest.mark.parametrize(
    "hooks",
    [{"Stop": [{"matcher": "", "hooks": []}]}],
    ids=["a group without hooks"],
)
def test_what_others_left_empty_stays(person: Person, hooks: object) -> None:
    person.write({"hooks": hooks})
    person.run("install")
    person.run("uninstall")
    assert person.read() == {"hooks": hooks}


def test_installing_again_renews_what_an_older_one_put_there(person: Person) -> None:
    person.write(OTHERS)
    person.run("install")
    settings = person.read()
    for hooks in ours(settings).values():
        hooks[0]["timeout"] = 1
        hooks[0]["args"][4] = "/where/it/was/before"
    settings["statusLine"]["command"] = settings["statusLine"]["command"].replace(str(ROOT), "/was")
    person.write(settings)
    person.run("install")
    renewed = person.settings.read_bytes()
    person.write(OTHERS)
    person.run("install")
    assert person.settings.read_bytes() == renewed


def test_strict_hooks_are_told_so_and_replace_the_others(person: Person) -> None:
    person.run("install")
    assert person.run("install", "--strict")[1].startswith(f"Installed in {person.settings}.")
    strict = ours(person.read())
    assert all(hooks[0]["args"][-1] == "--strict" for hooks in strict.values())
    assert all(len(hooks) == 1 for hooks in strict.values())
    (hook,) = strict["PostToolBatch"]
    occupied = person.root / "occupied"
    occupied.write_text("")
    answer = ask(hook, person, person.event("PostToolBatch"), BUDGET_HOME=str(occupied))
    assert answer["continue"] is False
    person.run("install")
    lenient = ours(person.read())
    assert all("--strict" not in hooks[0]["args"] for hooks in lenient.values())


def test_the_status_line_can_be_left_out(person: Person) -> None:
    assert person.run("install", "--no-statusline")[0] == 0
    assert list(person.read()) == ["hooks"]


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("user", "home & hearth/.claude/settings.json"),
        ("project", "project; exit 7/.claude/settings.json"),
        ("local", "project; exit 7/.claude/settings.local.json"),
    ],
)
def test_each_scope_has_its_file(person: Person, scope: str, name: str) -> None:
    path = person.root / name
    code, stdout, _ = person.run("install", "--scope", scope)
    assert (code, stdout.splitlines()[0]) == (0, f"Installed in {path}.")
    others = (
        "The commands name this machine's Python: others need the plugin, or install it themselves"
        " with --scope local.\n"
    )
    assert stdout == f"Installed in {path}.\n{ANEW}" + (others if scope == "project" else "")
    assert list(person.root.rglob("settings*.json")) == [path]
    assert person.run("uninstall", "--scope", scope)[1].startswith(f"Removed from {path}.")
    assert json.loads(path.read_text()) == {}


def test_the_scopes_of_a_project_follow_it_from_below_and_from_outside(person: Person) -> None:
    subprocess.run(["git", "init", "--quiet", person.project], check=True, env=person.env())
    below = person.project / "a" / "b"
    below.mkdir(parents=True)
    assert person.run("install", "--scope", "local", "--project", str(below))[0] == 0
    assert (person.project / ".claude" / "settings.local.json").exists()


def test_the_clients_own_folder_can_be_elsewhere(person: Person) -> None:
    elsewhere = person.root / "config dir"
    assert person.run("install", CLAUDE_CONFIG_DIR=str(elsewhere))[0] == 0
    assert (elsewhere / "settings.json").exists()
    assert not person.settings.exists()


@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_linked_settings_file_stays_a_link(person: Person, target: str) -> None:
    real = person.root / "dotfiles" / "claude.json"
    real.parent.mkdir()
    if target == "there":
        real.write_text(json.dumps(OTHERS))
    person.settings.parent.mkdir()
    person.settings.symlink_to(os.path.relpath(real, person.settings.parent))
    assert person.run("install")[1].startswith(f"Installed in {real}.")
    assert person.settings.is_symlink()
    assert tuple(sorted(ours(json.loads(real.read_text())))) == tuple(sorted(EVENTS))
    assert person.run("uninstall")[0] == 0
    assert person.settings.is_symlink()
    assert json.loads(real.read_text()) == (OTHERS if target == "there" else {})


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_the_file_keeps_its_mode(person: Person, mode: int) -> None:
    person.write({})
    person.settings.chmod(mode)
    person.run("install")
    assert stat.S_IMODE(person.settings.stat().st_mode) == mode


HOOKS_BY_EVENT = "it is not an object with hooks by event"
LISTS = "its hooks are not lists of objects"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
        (b"// mine\n{}", "Expecting value: line 1 column 1 (char 0)"),
        (b"\xff{}", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[]", HOOKS_BY_EVENT),
        (b"null", HOOKS_BY_EVENT),
        (b'{"hooks": []}', HOOKS_BY_EVENT),
        (b'{"hooks": null}', HOOKS_BY_EVENT),
        (b'{"hooks": {"Stop": {}}}', LISTS),
        (b'{"hooks": {"Stop": "x"}}', LISTS),
        (b'{"hooks": {"Stop": [5]}}', LISTS),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else "",
)
def test_settings_that_cannot_be_read_are_refused_and_stay(
    person: Person, content: bytes, why: str
) -> None:
    person.write("")
    person.settings.write_bytes(content)
    code, stdout, stderr = person.run("install" if content.startswith(b"[") else "uninstall")
    mend = "Mend it; nothing was changed.\n"
    assert stderr == f"budget: {person.settings} cannot be read as settings: {why}. {mend}"
    assert (code, stdout) == (3, "")
    assert person.settings.read_bytes() == content
    assert os.listdir(person.settings.parent) == ["settings.json"]


def test_settings_that_are_too_deep_are_refused(person: Person) -> None:
    person.write('{"a": ' * 100_000)
    code, _, stderr = person.run("install")
    assert code == 3
    assert stderr.startswith(f"budget: {person.settings} cannot be read as settings: ")


def test_a_settings_file_that_is_a_folder_is_refused(person: Person) -> None:
    person.settings.mkdir(parents=True)
    assert person.run("install") == (
        3,
        "",
        f"budget: {person.settings} cannot be read as settings: {person.settings} is not a regular"
        " file: it was not read. Mend it; nothing was changed.\n",
    )


def test_a_settings_folder_that_cannot_be_made_is_named(person: Person) -> None:
    (person.home / ".claude").write_text("")
    code, stdout, stderr = person.run("install")
    assert (code, stdout) == (3, "")
    assert stderr == f"budget: {person.home / '.claude'} cannot be made: File exists.\n"


def test_there_are_three_scopes_and_no_fourth(person: Person) -> None:
    code, stdout, stderr = person.run("install", "--scope", "everyone")
    assert (code, stdout) == (2, "")
    assert "expected one of user, project, local, got 'everyone'." in stderr


# -- uninstall -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [{}, OTHERS, STATUS_LINE], ids=["empty", "others", "line"])
def test_uninstalling_what_is_not_there_changes_nothing(person: Person, content: object) -> None:
    before = person.write(content)
    assert person.run("uninstall") == (0, f"Nothing of budget is in {person.settings}.\n", "")
    assert person.settings.read_bytes() == before
    assert os.listdir(person.settings.parent) == ["settings.json"]


def test_uninstalling_where_nothing_is_makes_no_folder(person: Person) -> None:
    told = f"Nothing of budget is in {person.project}/.claude/settings.json.\n"
    assert person.run("uninstall", "--scope", "project") == (0, told, "")
    assert os.listdir(person.project) == []


def test_uninstalling_leaves_configs_and_ledgers(person: Person) -> None:
    person.run("init")
    person.run("install")
    (hook,) = ours(person.read())["Stop"]
    ask(hook, person, person.event("Stop"))
    kept = {path for path in person.state.rglob("*") if path.is_file()}
    assert kept
    person.run("uninstall")
    assert {path for path in person.state.rglob("*") if path.is_file()} == kept
    assert (person.project / ".claude" / "budget.toml").exists()


# -- several at once -------------------------------------------------------------------------------


def test_installs_at_once_leave_one_valid_file(person: Person) -> None:
    before = person.write(OTHERS)
    processes = [person.start("install") for _ in range(3)]
    ends = [(process.communicate(), process.returncode) for process in processes]
    assert [code for _, code in ends] == [0] * 3
    first_lines = sorted(stdout.splitlines()[0] for (stdout, _), _ in ends)
    assert first_lines == [f"Already installed in {person.settings}."] * 2 + [
        f"Installed in {person.settings}."
    ]
    installed = ours(person.read())
    assert sorted(installed) == sorted(EVENTS)
    assert all(len(hooks) == 1 for hooks in installed.values())
    backup = person.settings.with_name("settings.json.before-budget")
    assert backup.read_bytes() == before
    assert sorted(os.listdir(person.settings.parent)) == [person.settings.name, backup.name]


INSTALL_AT = """
import json, sys, time
from budget import settings
start, *paths = sys.argv[1:]
changed = []
for number, path in enumerate(paths):
    while time.time() < float(start) + number / 50:
        pass
    changed.append(settings.install(path, False, True).changed)
print(json.dumps(changed))
"""


def test_of_installs_at_the_same_moment_one_changes_the_file(person: Person) -> None:
    rounds, racers = 25, 3
    paths = [str(person.root / f"settings-{number}.json") for number in range(rounds)]
    start = str(time.time() + 1)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", INSTALL_AT, start, *paths],
            cwd=ROOT,
            env=person.env(),
            stdout=subprocess.PIPE,
        )
        for _ in range(racers)
    ]
    changed = [json.loads(process.communicate()[0]) for process in processes]
    assert [sum(each) for each in zip(*changed, strict=True)] == [1] * rounds


# -- when the package is gone ----------------------------------------------------------------------

FROM_COPY = "import sys; sys.path.insert(0, sys.argv.pop(1)); from budget.cli import main; main()"


def install_copy(site: Path, env: dict[str, str], *arguments: str) -> None:
    """`budget install` of a copy of the package at `site`, with this Python's other packages."""
    shutil.copytree(ROOT / "budget", site / "budget", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-I", "-c", FROM_COPY, str(site), "install", *arguments],
        check=True,
        env=env,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_hook_whose_package_is_gone_says_so(person: Person, strict: bool) -> None:
    site = person.root / "site"
    install_copy(site, person.env(), *(["--strict"] if strict else []))
    shutil.rmtree(site)
    stop = {"continue": False, "stopReason": GONE} if strict else {}
    for event, (hook,) in ours(person.read()).items():
        assert hook["args"][4] == str(site)
        assert ask(hook, person, person.event(event)) == {"systemMessage": GONE, **stop}, event


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_the_client_goes_on_without_the_package_unless_strict(tmp_path: Path, strict: bool) -> None:
    with Home(tmp_path / "client") as home, Stub(bash_loop(1)) as stub:
        site = tmp_path / "site"
        install_copy(site, home.env(stub), *(["--strict"] if strict else []))
        shutil.rmtree(site)
        run = run_headless(home, stub, "count")
        assert GONE in run.stdout
        assert len(stub.requests) == (0 if strict else 2)


# -- the status line -------------------------------------------------------------------------------

BAR = "░" * 10


def status_line(person: Person, data: str | None, **more: str) -> tuple[int, str, str]:
    """What the command in settings.json prints, run by a shell as the client runs it."""
    command = person.read()["statusLine"]["command"]
    run = subprocess.run(
        ["sh", "-c", command],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        env=person.env(**more),
        cwd=person.project,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return run.returncode, run.stdout, run.stderr


def status_input(person: Person, usd: float = 0.1234) -> str:
    return json.dumps(
        {
            "session_id": "s1",
            "transcript_path": "/x.jsonl",
            "model": {"id": "claude-opus-5", "display_name": "Opus"},
            "workspace": {"current_dir": "/tmp", "project_dir": str(person.project)},
            "version": "2.1.330",
            "cost": {"total_cost_usd": usd, "total_duration_ms": 5},
            "context_window": {"used_percentage": 3},
        }
    )


@pytest.fixture
def installed(person: Person) -> Person:
    """A person with the status line, a budget of five dollars, and a ledger."""
    (person.project / ".claude").mkdir()
    five = USED_UP.replace("usd = 0", "usd = 5").replace("mine", "session")
    (person.project / ".claude" / "budget.toml").write_text(five)
    person.run("install")
    (hook,) = ours(person.read())["Stop"]
    ask(hook, person, person.event("Stop"))
    return person


def test_the_status_line_tells_the_session_and_the_nearest_budget(installed: Person) -> None:
    line = f"session {BAR} 2 % · $4.88 left of $5.00 · today $0.12\n"
    assert status_line(installed, status_input(installed), NO_COLOR="1") == (0, line, "")


def test_the_status_line_has_colours(installed: Person) -> None:
    yellow = "\x1b[33m████████░░\x1b[0m"
    line = f"session {yellow} 85 % · $0.75 left of $5.00 · today $4.25\n"
    assert status_line(installed, status_input(installed, 4.25)) == (0, line, "")


def test_a_status_line_without_budgets_says_so(person: Person) -> None:
    person.run("install")
    told = "no budget set · session $0.12\n"
    assert status_line(person, status_input(person)) == (0, told, "")


def test_a_status_line_with_a_spoilt_config_says_so(installed: Person) -> None:
    (installed.project / ".claude" / "budget.toml").write_text("version = 2\n")
    code, stdout, stderr = status_line(installed, status_input(installed), NO_COLOR="1")
    assert (code, stderr) == (0, "")
    assert stdout.endswith(" · config error: budget check\n")
    assert stdout.startswith(f"session {BAR} 2 % · ")


def test_a_status_line_of_garbage_says_what_it_expected(installed: Person) -> None:
    told = "budget: the status line expected JSON on stdin.\n"
    for data in ("hello", '{"a"', "[" * 100_000, "\x00"):
        assert status_line(installed, data) == (0, told, ""), data[:10]


def test_a_status_line_without_facts_tells_the_budget(installed: Person) -> None:
    line = f"session {BAR} 0 % · $5.00 left of $5.00\n"
    odd_types = '{"cost": 5, "workspace": [], "session_id": {}, "cwd": 7}'
    for data in (None, "", "{}", "[]", "5", odd_types):
        assert status_line(installed, data, NO_COLOR="1") == (0, line, ""), data


def test_a_status_line_with_a_spoilt_ledger_names_it(installed: Person) -> None:
    (ledger,) = installed.state.rglob("ledger.db")
    for path in ledger.parent.glob("ledger.db*"):
        path.unlink()
    ledger.write_bytes(os.urandom(10_000))
    told = (
        f"budget: The ledger {ledger} cannot be used: file is not a database. It is damaged:"
        " `budget rebuild`, or the next step, makes it anew from the transcripts.\n"
    )
    assert status_line(installed, status_input(installed)) == (0, told, "")


def test_a_status_line_before_the_first_step_is_not_blank(person: Person) -> None:
    person.run("init", "--session", "5")
    person.run("install")
    line = f"session {BAR} 0 % · $5.00 left of $5.00\n"
    assert status_line(person, "{}", NO_COLOR="1") == (0, line, "")


def test_the_status_line_runs_from_a_folder_with_any_name(person: Person) -> None:
    install_copy(person.root / "site", person.env())
    told = "no budget set · session $0.12\n"
    assert status_line(person, status_input(person)) == (0, told, "")
