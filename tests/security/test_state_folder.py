"""The state folder: closed to others, nobody else's, and no link in it leads anywhere."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from budget import files
from budget.errors import StateError
from budget.witness import Seen, append, read
from tests.test_bad_input import OFF, ROOT, USED_UP, Machine, call_of, says, steps_booked

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can give a file to another user"
)
SOMEBODY = 54321
"""A user id that nobody has here."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def open_to_others(folder: Path) -> list[str]:
    """What below a folder, itself included, group or others may read or enter."""
    return [
        f"{path} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in [folder, *folder.rglob("*")]
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


def work(machine: Machine, **env: str) -> dict[str, Any]:
    """A session from its start to its end, with a step, a warning and a failure."""
    path = machine.transcript("m1")
    machine.hook(machine.event("SessionStart", transcript_path=str(path)), env=env)
    machine.hook(machine.event("Stop", transcript_path="/nowhere.jsonl"), env=env)
    step = machine.event(transcript_path=str(path), tool_calls=call_of("m1"))
    answer = machine.hook(step, env=env)
    machine.hook(machine.event("SessionEnd", transcript_path=str(path)), env=env)
    return answer


@posix
def test_all_that_hooks_leave_is_closed_to_others_whatever_the_umask(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    before = os.umask(0o000)
    try:
        work(machine)
    finally:
        os.umask(before)
    names = {path.name for path in machine.state.rglob("*")}
    assert {"ledger.db", "ledger.db-wal", "said", "client", "sessions", "s1"} <= names
    assert open_to_others(machine.state) == []


MADE_BY_A_PROGRAM = """
import sys
from budget.database import Database
from budget import bug_report, conversation, notify, plan
env = {"BUDGET_HOME": sys.argv[1]}
Database(sys.argv[1] + "/projects/p/ledger.db").close()
conversation.program_config(env, {"mine": {"per": "day", "usd": 1}})
bug_report.log_bug(ValueError("x"), env, "here")
plan.store(env, {"rate_limits": {"five_hour": {"used_percentage": 4, "resets_at": 1}}}, 1)
notify._note(notify.failure_file(env), ("x",), "y")
database = Database(sys.argv[1] + "/projects/q/ledger.db")
with database.transaction():
    database.write("INSERT INTO said VALUES ('x', 1)")
import os; os._exit(0)
"""


@posix
def test_a_program_with_an_open_umask_leaves_nothing_open(tmp_path: Path) -> None:
    """The SDK's adapter runs in programs that set no umask for us."""
    state = tmp_path / "state"
    code = "import os; os.umask(0)\n" + MADE_BY_A_PROGRAM
    subprocess.run([sys.executable, "-c", code, str(state)], cwd=ROOT, check=True)
    names = {path.name for path in state.rglob("*")}
    assert {"ledger.db-wal", "hook.log", "notify.json", "plan-usage.json", "sdk"} <= names
    assert open_to_others(state) == []


@posix
def test_a_folder_that_others_could_enter_is_closed_with_all_below_it(machine: Machine) -> None:
    work(machine)
    for path in [machine.state, *machine.state.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert machine.hook(machine.event()) == {}
    assert open_to_others(machine.state) == []


@posix
def test_a_file_that_others_could_read_is_closed_when_it_is_used(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    work(machine)
    (policy,) = machine.folder.glob("policy-*.json")
    totals = machine.state / "client" / "s1" / "x.json"
    totals.write_text(json.dumps({"session": "s1", "since_ms": 1, "base_usd": 0, "usd": 1.5}))
    for path in (policy, totals, machine.ledger):
        path.chmod(0o644)
    machine.folder.chmod(0o755)
    machine.hook(machine.event())
    assert open_to_others(machine.state) == []


@posix
def test_what_the_clients_module_left_open_is_closed_when_a_session_starts(
    machine: Machine,
) -> None:
    """The client writes with its own umask, and before our first hook."""
    folder = machine.state / "client" / "s1"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{}")
    machine.hook(machine.event("SessionStart"))
    assert open_to_others(machine.state) == []
    (machine.state / "client").chmod(0o755)
    machine.hook(machine.event("SessionStart", session_id="s2"))
    assert open_to_others(machine.state) == []


@root
def test_another_users_state_folder_is_not_used_and_said_once_a_turn(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    machine.state.mkdir()
    machine.state.chmod(0o777)
    os.chown(machine.state, SOMEBODY, -1)
    message = (
        f"{OFF}{machine.state} belongs to the user {SOMEBODY}, not to you: nothing is read or"
        " written there. Set BUDGET_HOME to a folder of your own."
    )
    assert machine.hook(machine.event("SessionStart")) == says(message)
    assert machine.hook(machine.event()) == {}, "not after every step"
    assert machine.hook(machine.event("UserPromptSubmit")) == says(message)
    typed = machine.event("UserPromptSubmit", prompt="/budget:status")
    assert "decision" not in machine.hook(typed, strict=True), "it is never blocked"
    stopped = machine.hook(machine.event(), strict=True)
    assert stopped["continue"] is False, "where failures block, this one does"
    assert list(machine.state.iterdir()) == []


@root
@pytest.mark.parametrize("name", ["projects", "projects/p", "ledger.db"])
def test_what_is_another_users_inside_is_not_used_either(machine: Machine, name: str) -> None:
    work(machine)
    path = {"projects": machine.state / "projects", "projects/p": machine.folder}.get(
        name, machine.ledger
    )
    os.chown(path, SOMEBODY, -1)
    text = machine.hook(machine.event("Stop", session_id="s2"))["systemMessage"]
    assert text.startswith(f"{OFF}{path} belongs to the user {SOMEBODY}, not to you")


@root
def test_a_log_that_another_user_laid_beside_the_ledger_is_moved_aside(machine: Machine) -> None:
    """Into a folder that was open: SQLite would take it for what was not yet folded back."""
    work(machine)
    machine.state.chmod(0o777)
    log = Path(f"{machine.ledger}-wal")
    os.chown(log, SOMEBODY, -1)
    machine.hook(machine.event(transcript_path=str(machine.transcript("m1", "m2"))))
    assert log.stat().st_uid == os.geteuid()
    assert list(machine.folder.glob("ledger.db-wal.not-ours-*"))
    assert steps_booked(machine) == 2, "what it held is read from the transcript again"


@posix
def test_the_state_folder_itself_may_be_a_link_of_the_persons(machine: Machine) -> None:
    real = machine.root / "elsewhere"
    real.mkdir(mode=0o755)
    machine.state.symlink_to(real)
    machine.repo_config.write_text(USED_UP)
    assert work(machine)["continue"] is False
    assert machine.hook(machine.event("SessionStart", session_id="s2"))
    assert steps_booked(machine) == 1
    assert open_to_others(real) == []


# -- links -----------------------------------------------------------------------------------------

SECRET = "treasure-5f1e"


def elsewhere(machine: Machine) -> Path:
    """A folder of the person's, with things in it that are not ours."""
    folder = machine.root / "precious"
    folder.mkdir()
    (folder / "file").write_text(SECRET)
    (folder / "old").write_text(SECRET)
    os.utime(folder / "old", (0, 0))
    return folder


def whole(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*")}


@posix
@pytest.mark.parametrize("name", ["client", "projects", "project", "ledger.db"])
def test_a_link_on_the_way_to_the_ledger_is_named_and_not_followed(
    machine: Machine, name: str
) -> None:
    work(machine)
    folder, ledger = machine.folder, machine.ledger
    path = {"project": folder, "ledger.db": ledger}.get(name, machine.state / name)
    target = elsewhere(machine)
    path.rename(machine.root / "was")
    path.symlink_to(target if name != "ledger.db" else target / "file")
    text = machine.hook(machine.event("Stop", session_id="s2"))["systemMessage"]
    assert text == (
        f"{OFF}{path} is a link, and links in the state folder are not followed. Remove it; to"
        " keep the state elsewhere, set BUDGET_HOME."
    )
    assert machine.hook(machine.event("Stop", session_id="s2")) == {}, "said once per session"
    assert whole(target) == {"file": SECRET, "old": SECRET}


@posix
def test_links_in_place_of_its_files_are_replaced_or_passed_over(machine: Machine) -> None:
    machine.repo_config.write_text(USED_UP)
    work(machine)
    target = elsewhere(machine)
    files_of_ours = [
        path
        for path in machine.state.rglob("*")
        if path.is_file() and not path.name.startswith("ledger.db")
    ]
    assert len(files_of_ours) >= 4
    for path in files_of_ours:
        path.unlink()
        path.symlink_to(target / "file")
    for name in ("prices.json", "plan-usage.json", "logs/hook.log", "client/s1/total.json"):
        path = machine.state / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target / "file")
    for name in ("SessionStart", "PostToolBatch", "Stop", "SessionEnd"):
        answer = machine.hook(machine.event(name))
        assert SECRET not in json.dumps(answer)
    assert whole(target) == {"file": SECRET, "old": SECRET}


@posix
@pytest.mark.parametrize("name", ["said", "logs", "client/s1", "people", "env", "sdk"])
def test_nothing_is_written_or_removed_through_a_linked_folder(machine: Machine, name: str) -> None:
    machine.user_config.write_text(
        'version = 1\n[budgets.all]\nper = "day"\nscope = "user"\nusd = 1'
    )
    work(machine)
    target = elsewhere(machine)
    path = machine.state / name
    if path.exists():
        path.rename(machine.root / "was")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    work(machine)
    told = machine.hook(machine.event("SessionStart", session_id="s2"))
    if "/" not in name:
        assert f"{path} is a link, and links in the state folder are not followed" in str(told)
    assert whole(target) == {"file": SECRET, "old": SECRET}


@posix
@pytest.mark.parametrize("make", [os.mkfifo, None], ids=["fifo", "device"])
@pytest.mark.parametrize(
    "name", ["client/s1/project", "logs/hook.log", "plan-usage.json", "ledger"]
)
def test_a_file_of_its_own_that_would_never_end_is_not_waited_for(
    machine: Machine, name: str, make: Callable[[Path], None] | None
) -> None:
    work(machine)
    path = machine.ledger if name == "ledger" else machine.state / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if make:
        make(path)
    else:
        try:
            os.mknod(path, 0o020600, os.makedev(1, 5))  # what /dev/zero is
        except PermissionError:
            pytest.skip("only root can make a device")
    machine.user_config.write_text("version = 1\n[budgets.plan]\nfive_hour_percent = 50\n")
    answer = machine.hook(machine.event("UserPromptSubmit", session_id="s1"), allowed_s=2.5)
    if name == "ledger":
        assert "is not a regular file: it is not used" in answer["systemMessage"]


# -- what is written -------------------------------------------------------------------------------


@posix
def test_a_temporary_name_cannot_be_laid_in_wait(tmp_path: Path) -> None:
    """The former names were the process id's: a link could be there first."""
    folder = tmp_path / "state"
    names: list[str] = []
    real = os.open

    def noting(path: str, flags: int, mode: int = 0o777) -> int:
        names.append(os.path.basename(path))
        assert flags & os.O_EXCL and flags & os.O_NOFOLLOW
        return real(path, flags, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", noting)
        for _ in range(2):
            files.replace_own(str(folder / "f"), "x")
    assert len(set(names)) == 2
    assert all(len(name) == len("f.") + 16 and str(os.getpid()) not in name for name in names)
    assert [path.name for path in folder.iterdir()] == ["f"]


@posix
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    (folder / "f").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        files.replace_own(str(folder / "f"), "x")
    assert [path.name for path in folder.iterdir()] == ["f"]


@posix
def test_a_link_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "target").write_text(SECRET)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for use in (
        lambda p: files.read_own(p, 10),
        files.check_file,
        lambda p: files.append_own(p, ""),
    ):
        with pytest.raises(StateError, match="is a link"):
            use(str(tmp_path / "link"))


def test_the_record_of_a_run_is_written_to_its_own_kind_of_file_only(tmp_path: Path) -> None:
    """`$BUDGET_RUN` may be set by others: a repository's settings, for one."""
    seen = Seen("s1", "/t.jsonl", "")
    record, other = tmp_path / "budget-run-x", tmp_path / "notes.txt"
    for path in (record, other):
        path.write_text("")
        append(str(path), seen)
    assert read(str(record)) == [seen]
    assert other.read_text() == ""
    append(str(tmp_path / "budget-run-y"), seen)
    assert not (tmp_path / "budget-run-y").exists(), "one that is gone is not made anew"


@posix
def test_a_fifo_as_the_record_of_a_run_holds_nothing_up(machine: Machine) -> None:
    path = machine.root / "budget-run-x"
    os.mkfifo(path)
    assert machine.hook(machine.event(), env={"BUDGET_RUN": str(path)}, allowed_s=2) == {}
