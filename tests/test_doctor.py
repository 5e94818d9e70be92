"""`budget doctor`: what it finds, and that the commands it names mend what it found."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from budget import __version__, installed, notify, paths, settings, system
from budget.doctor import Examination, Finding, client, configs, examine, folder, hooks
from budget.doctor.findings import GROUPS, size, span
from tests.test_bad_input import ROOT, Machine, ledger_of_garbage
from tests.test_commands import COMMAND, book, budget, facts

NOW_MS = 1_795_780_000_000


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.repo_config.parent.mkdir(exist_ok=True)
    made.repo_config.write_text('version = 1\n[budgets.day]\nper = "day"\nusd = 20\n')
    return made


def settings_of(machine: Machine) -> Path:
    return machine.home / ".claude" / "settings.json"


def looked_at(machine: Machine, now_ms: int = 0, /, **more: str) -> list[Finding]:
    env = machine.env(**more)
    project = paths.find_project(str(machine.project))
    return examine(env, project, now_ms or int(time.time() * 1000)).findings


def found(machine: Machine, id_: str, **more: str) -> list[Finding]:
    return [each for each in looked_at(machine, **more) if each.id == id_]


def only(machine: Machine, id_: str, **more: str) -> Finding:
    (each,) = found(machine, id_, **more)
    return each


def change(path: Path, how: Callable[[Any], object]) -> None:
    value = json.loads(path.read_text()) if path.exists() else {}
    how(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file but the marks of who reads a ledger just now, which SQLite keeps beside it."""
    files = [
        path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")
    ]
    return {str(path): path.read_bytes() for path in files}


# -- a healthy machine -----------------------------------------------------------------------------


def test_a_healthy_machine_is_told_so_and_nothing_is_left_behind(machine: Machine) -> None:
    budget(machine, "install", "--no-statusline")
    book(machine, "m1")
    before = tree(machine.root)
    code, stdout, stderr = budget(machine, "doctor")
    assert (code, stderr) == (0, "")
    assert tree(machine.root) == before
    told = (
        r"✓ Stops a (step|prompt)  +stopped at \$0.074 of \$0.05 by the installed hook, in \d+ ms\n"
    )
    assert re.findall(told, stdout) == ["step", "prompt"]
    assert "It said: Stopped: the $0.0500 in this session are used up ($0.0740 spent)." in (stdout)
    assert re.search(r"\nBudgets hold here\. \d+ fine\. \d+\.\d s\n$", stdout) is None, "no client"
    assert "! Version         no `claude` on the PATH" in stdout
    assert "ledger.db, 1 step, " in stdout


def test_the_facts_have_the_documented_shape(machine: Machine) -> None:
    budget(machine, "install")
    told = Examination.model_validate(facts(machine, "doctor"), strict=False)
    assert (told.version, told.project) == (__version__, str(machine.project))
    assert told.state_folder == str(machine.state)
    groups = [GROUPS.index(each.group) for each in told.findings]
    assert groups == sorted(groups)
    (step,) = [each for each in told.findings if each.id == "hooks.stops_step"]
    assert step.said[0].startswith("Stopped: the $0.0500 in this session are used up")


def test_every_check_is_in_the_documentation() -> None:
    source = "".join(path.read_text() for path in (ROOT / "budget" / "doctor").glob("*.py"))
    ids = set(re.findall(r'"((?:hooks|client|config|time|prices|notify)\.[a-z_]+)"', source))
    ids |= set(re.findall(r'"((?:ledger|state|python|plugin|environment|log)\.[a-z_]+)"', source))
    kinds = {f"hooks.{kind}" for kind in ("unreadable", "foreign", "disabled", "gone")}
    documented = set(
        re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.M)
    )
    assert documented == ids | kinds


def test_strict_hooks_are_tried_on_a_state_folder_that_cannot_be(machine: Machine) -> None:
    budget(machine, "install", "--strict", "--scope", "local")
    strict = only(machine, "hooks.fails_closed")
    assert (strict.state, strict.what) == ("ok", "Fails closed")
    assert "nothing can be booked" in strict.detail
    assert ["cannot" in text for text in strict.said] == [True]


def test_the_plugin_is_tried_as_the_client_runs_it(machine: Machine) -> None:
    as_plugin(machine)
    assert only(machine, "hooks.installed").detail == f"plugin budget@codebudget, {ROOT}, 8 events"
    for kind in ("step", "prompt", "agent"):
        assert only(machine, f"hooks.stops_{kind}").state == "ok"


def as_plugin(machine: Machine, root: Path = ROOT) -> None:
    plugins = machine.home / ".claude" / "plugins"
    change(
        plugins / "installed_plugins.json",
        lambda value: value.update(plugins={installed.PLUGIN: [{"installPath": str(root)}]}),
    )


# -- what the named commands mend ------------------------------------------------------------------


def spoil_settings(machine: Machine, how: Callable[[Any], object]) -> None:
    budget(machine, "install")
    change(settings_of(machine), how)


def package_gone(machine: Machine) -> None:
    def spoil(value: Any) -> None:
        for event in ("PostToolBatch", "UserPromptSubmit", "PreToolUse"):
            value["hooks"][event][0]["hooks"][0]["args"][4] = "/where/it/was"

    spoil_settings(machine, spoil)


def python_gone(machine: Machine) -> None:
    def spoil(value: Any) -> None:
        value["hooks"]["PostToolBatch"][0]["hooks"][0]["command"] = "/gone/python3"

    spoil_settings(machine, spoil)


def event_missing(machine: Machine) -> None:
    spoil_settings(machine, lambda value: value["hooks"].pop("PreToolUse"))


def agents_missing(machine: Machine) -> None:
    def spoil(value: Any) -> None:
        value["hooks"]["PreToolUse"][0]["matcher"] = "Task"

    spoil_settings(machine, spoil)


def older_package(machine: Machine) -> None:
    old = machine.root / "old" / "budget"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text('__version__ = "0.0.9"\n')

    def spoil(value: Any) -> None:
        for groups in value["hooks"].values():
            groups[0]["hooks"][0]["args"][4] = str(old.parent)

    spoil_settings(machine, spoil)


def twice(machine: Machine) -> None:
    budget(machine, "install")
    budget(machine, "install", "--scope", "local")


def beside_the_plugin(machine: Machine) -> None:
    as_plugin(machine)
    budget(machine, "install")


def open_to_others(machine: Machine) -> None:
    machine.state.mkdir()
    (machine.state / "projects").mkdir()
    (machine.state / "projects").chmod(0o755)


def config_of_everybody(machine: Machine) -> None:
    machine.repo_config.chmod(0o666)


def no_budget(machine: Machine) -> None:
    machine.repo_config.unlink()


def reports_of_bugs(machine: Machine) -> None:
    path = Path(paths.log_file(machine.env()))
    path.parent.mkdir(parents=True)
    path.write_text("--- a report\n")


def notification_failed(machine: Machine) -> None:
    path = Path(notify.failure_file(machine.env()))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"command": ["tell", "me"], "error": "it ended with 1"}))


def prices_of_garbage(machine: Machine) -> None:
    machine.state.mkdir(mode=0o700)
    Path(paths.price_file(machine.env())).write_text("{}")


def ledger_damaged(machine: Machine) -> None:
    book(machine, "m1")
    for rest in machine.folder.glob("ledger.db-*"):
        rest.unlink()
    ledger_of_garbage(machine.ledger)


def foreign_hooks(machine: Machine) -> None:
    budget(machine, "install", "--scope", "local")
    path = machine.project / ".claude" / "settings.local.json"

    def spoil(value: Any) -> None:
        value["hooks"]["Stop"][0]["hooks"][0]["command"] = "/another/python3"

    change(path, spoil)


MENDED: dict[str, tuple[Callable[[Machine], None], str]] = {
    "nothing installed": (lambda machine: None, "hooks.installed"),
    "package gone": (package_gone, "hooks.stops_step"),
    "python gone": (python_gone, "hooks.stops_step"),
    "event missing": (event_missing, "hooks.whole"),
    "some agents missing": (agents_missing, "hooks.whole"),
    "older package": (older_package, "hooks.version"),
    "twice": (twice, "hooks.once"),
    "beside the plugin": (beside_the_plugin, "hooks.once"),
    "foreign hooks": (foreign_hooks, "hooks.foreign"),
    "open to others": (open_to_others, "state.closed"),
    "config of everybody": (config_of_everybody, "config.writable"),
    "no budget": (no_budget, "config.budgets"),
    "reports of bugs": (reports_of_bugs, "log.bugs"),
    "notification failed": (notification_failed, "notify.last"),
    "prices of garbage": (prices_of_garbage, "prices.table"),
    "ledger damaged": (ledger_damaged, "ledger.file"),
}


@pytest.mark.parametrize("name", MENDED)
def test_the_commands_of_a_finding_mend_it(machine: Machine, name: str) -> None:
    spoil, id_ = MENDED[name]
    spoil(machine)
    bad = [each for each in found(machine, id_) if each.state != "ok"]
    assert len(bad) == 1, bad
    assert bad[0].mend, bad[0]
    for command in bad[0].mend:
        run_as_told(machine, command)
    left = [each for each in looked_at(machine) if each.id == id_ and each.state != "ok"]
    assert left == []


def run_as_told(machine: Machine, command: str) -> None:
    env = machine.env()
    env["PATH"] = os.pathsep.join((str(Path(COMMAND).parent), env["PATH"]))
    subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=machine.project,
        env=env,
        check=True,
        capture_output=True,
        timeout=60,
    )


HOLD = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
if sys.argv[2] == "stops":
    os.kill(os.getpid(), signal.SIGSTOP)
else:
    signal.pause()
"""


@contextmanager
def holding(ledger: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(ledger), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="who has a file open is told by /proc")
@pytest.mark.parametrize("how", ["waits", "stops"])
def test_a_process_that_keeps_the_ledger_is_named_and_its_command_frees_it(
    machine: Machine, how: str
) -> None:
    book(machine, "m1")
    with holding(machine.ledger, how) as process:
        if how == "stops":
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        lock = only(machine, "ledger.lock")
        assert lock.state == "fail"
        assert lock.detail.startswith(f"{process.pid} (")
        assert ("it is stopped" in lock.detail) is (how == "stops")
        assert lock.mend == [f"kill {'-CONT ' if how == 'stops' else ''}{process.pid}"]
        run_as_told(machine, lock.mend[0])
        process.wait(10)
        assert found(machine, "ledger.lock") == []


# -- hooks that do not answer ----------------------------------------------------------------------


def with_program(machine: Machine, script: str) -> None:
    """The hook after a step runs a program that is none of budget's."""
    program = machine.root / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)

    def spoil(value: Any) -> None:
        value["hooks"]["PostToolBatch"][0]["hooks"][0]["command"] = str(program)

    spoil_settings(machine, spoil)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 49", "only opens the Microsoft Store (49): there is no Python behind it"),
        (
            "echo no file >&2; exit 2",
            "it ended with 2, which the client takes for a refusal of every",
        ),
        ("echo Boom >&2; exit 1", "it ended with 1: Boom; the client goes on without it"),
        ("echo hello", "it printed no JSON object: the client takes no notice of it"),
        ("echo '[1]'", "it printed no JSON object: the client takes no notice of it"),
    ],
)
def test_a_hook_that_does_not_run_is_told_with_its_reason(
    machine: Machine, script: str, told: str
) -> None:
    with_program(machine, script)
    step = only(machine, "hooks.stops_step")
    assert (step.state, step.mend) == ("fail", ["budget install --scope user"])
    assert step.detail.startswith("the hook does not run: ")
    assert told in step.detail


@pytest.mark.parametrize("answer", ["{}", '{"systemMessage": "all is well"}'])
def test_a_hook_that_lets_it_pass_is_told_with_what_it_said(machine: Machine, answer: str) -> None:
    with_program(machine, f"echo '{answer}'")
    step = only(machine, "hooks.stops_step")
    assert (step.state, step.detail) == (
        "fail",
        "it is over its budget, and the installed hook let it pass",
    )
    assert step.said == (["all is well"] if "well" in answer else [])


def test_an_old_python_of_hooks_is_told(machine: Machine) -> None:
    with_program(machine, "echo 3.9.2 3.34.1 /usr/bin/python3.9")
    told = [each for each in found(machine, "python.hooks") if each.state == "fail"]
    assert [each.detail for each in told] == [
        f"{machine.root}/program is Python 3.9.2; hooks need 3.11 or newer"
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", {"hooks": {"UserPromptSubmit": [{"hooks": 5}]}}),
        ("plugins/installed_plugins.json", {"plugins": {"budget@codebudget": ["/somewhere"]}}),
        ("plugins/installed_plugins.json", {"plugins": {"budget@codebudget": 7}}),
    ],
    ids=["settings", "plugins", "no list"],
)
def test_files_of_another_shape_are_borne(machine: Machine, name: str, content: object) -> None:
    path = machine.home / ".claude" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    bad = [each for each in looked_at(machine) if each.id in ("hooks.installed", "hooks.gone")]
    assert [each.state for each in bad] == ["fail"]


def test_settings_that_cannot_be_read_are_named(machine: Machine) -> None:
    settings_of(machine).write_text("{")
    told = only(machine, "hooks.unreadable")
    assert told.detail.startswith(f"{settings_of(machine)} cannot be read")


def test_a_plugin_that_is_switched_off_is_told_by_the_strongest_settings(machine: Machine) -> None:
    as_plugin(machine)
    off, on = ({"enabledPlugins": {installed.PLUGIN: state}} for state in (False, True))
    change(settings_of(machine), lambda value: value.update(off))
    assert found(machine, "hooks.disabled")[0].detail == (
        f"the plugin is installed, but disabled in {settings_of(machine)}"
    )
    change(machine.project / ".claude" / "settings.json", lambda value: value.update(on))
    assert found(machine, "hooks.disabled") == []


# -- the client ------------------------------------------------------------------------------------


def with_clients(machine: Machine, *versions: str) -> dict[str, str]:
    folders = []
    for number, version in enumerate(versions):
        place = machine.root / f"bin{number}"
        place.mkdir(exist_ok=True)
        (place / "claude").write_text(f"#!/bin/sh\necho '{version}'\n")
        (place / "claude").chmod(0o755)
        folders.append(str(place))
    return {"PATH": os.pathsep.join(folders)}


@pytest.mark.parametrize(
    ("version", "state", "mend"),
    [
        ("2.1.117 (Claude Code)", "fail", ["claude update"]),
        ("2.1.118 (Claude Code)", "warn", ["claude update"]),
        ("2.1.287 (Claude Code)", "ok", []),
        ("10.0.0", "ok", []),
        ("claude, some version", "warn", []),
        ("", "warn", []),
    ],
)
def test_the_client_has_to_be_new_enough(
    machine: Machine, version: str, state: str, mend: list[str]
) -> None:
    (told,) = client.versions(client.clients(with_clients(machine, version)))
    assert (told.state, told.mend) == (state, mend), told


def test_of_several_clients_an_old_one_is_named(machine: Machine) -> None:
    told = list(client.versions(client.clients(with_clients(machine, "2.1.330", "2.1.100"))))
    assert [(each.id, each.state) for each in told] == [
        ("client.version", "ok"),
        ("client.several", "warn"),
    ]
    assert f"{machine.root}/bin1/claude (2.1.100)" in told[1].detail


@pytest.mark.parametrize("name", ["user", "project", "local", "managed"])
def test_hooks_that_are_switched_off_are_told(
    machine: Machine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget(machine, "install")
    managed = machine.root / "managed"
    monkeypatch.setattr(paths, "managed_folder", lambda: str(managed))
    assert only(machine, "client.hooks_off").state == "ok"
    project = paths.find_project(str(machine.project))
    files = dict(installed.settings_files(machine.env(), project))
    change(Path(files[name]), lambda value: value.update(disableAllHooks=True))
    off = only(machine, "client.hooks_off")
    assert (off.state, files[name] in off.advice) == ("fail", True)


@pytest.mark.parametrize(
    ("value", "by_settings", "by_plugin"),
    [
        ({"allowManagedHooksOnly": True}, "fail", "fail"),
        ({"strictPluginOnlyCustomization": True}, "fail", "ok"),
        ({"strictPluginOnlyCustomization": ["hooks"]}, "fail", "ok"),
        ({"strictPluginOnlyCustomization": ["skills"]}, "ok", "ok"),
        ({"allowManagedHooksOnly": False}, "ok", "ok"),
    ],
    ids=str,
)
def test_what_an_administrator_allows_is_told(
    machine: Machine,
    value: dict[str, object],
    by_settings: str,
    by_plugin: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = machine.root / "managed" / "managed-settings.d" / "10.json"
    monkeypatch.setattr(paths, "managed_folder", lambda: str(machine.root / "managed"))
    change(part, lambda settings: settings.update(value))
    env, project = machine.env(), paths.find_project(str(machine.project))
    for scope, state in (("user", by_settings), ("plugin", by_plugin)):
        each = installed.Installed("here", scope, {}, "", "")
        (told,) = client.hooks_run(env, project, [each])
        assert told.state == state, told


@pytest.mark.parametrize("name", ["CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_SAFE_MODE"])
def test_a_variable_that_keeps_hooks_out_is_told(machine: Machine, name: str) -> None:
    off = only(machine, "client.hooks_off", **{name: "1"})
    assert (off.state, off.mend) == ("fail", [f"unset {name}"])
    assert only(machine, "client.hooks_off", **{name: "0"}).state == "ok"


def test_a_module_that_reports_nothing_is_told(machine: Machine) -> None:
    as_plugin(machine)
    book(machine, "m1")
    silent = only(machine, "client.module")
    assert (silent.state, "reported nothing in the last session" in silent.detail) == ("warn", True)
    report = Path(paths.client_totals_folder(machine.env(), "s1")) / "a.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("{}")
    assert only(machine, "client.module").state == "ok"
    os.utime(report, (1, 1))
    late = only(machine, "client.module")
    assert "made its last report" in late.detail


# -- the state folder and its disk -----------------------------------------------------------------


def test_a_state_folder_that_is_a_file_is_told(machine: Machine) -> None:
    occupied = machine.root / "occupied"
    occupied.write_text("")
    state = only(machine, "state.folder", BUDGET_HOME=str(occupied))
    assert (state.state, state.detail.partition(":")[0]) == (
        "fail",
        f"{occupied} cannot be written",
    )


def test_a_state_folder_that_is_not_there_is_not_made(machine: Machine) -> None:
    assert only(machine, "state.folder").state == "ok"
    assert not machine.state.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_person_is_told(machine: Machine) -> None:
    machine.state.mkdir(mode=0o700)
    (machine.state / "client").mkdir()
    os.chown(machine.state / "client", 12345, 12345)
    told = [each for each in folder.examined(machine.env()) if each.id == "state.owner"]
    assert told[0].detail == f"{machine.state}/client belongs to 12345, not to you"


@pytest.mark.parametrize(("free", "state"), [(10**6, "fail"), (10**8, "warn"), (10**10, "ok")])
def test_a_disk_that_is_nearly_full_is_told(
    machine: Machine, free: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    (room,) = [each for each in folder.examined(machine.env()) if each.id == "state.room"]
    assert (room.state, size(free) in room.detail) == (state, True)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_disk_over_the_network_is_told(
    machine: Machine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "file_system", lambda path: kind)
    (told,) = [each for each in folder.examined(machine.env()) if each.id == "state.network"]
    assert (told.state, f"({kind})" in told.detail) == ("warn", True)


def test_the_deepest_mount_tells_the_file_system() -> None:
    points = [("/", "ext4"), ("/home", "nfs4"), ("/home/ana/x", "tmpfs"), ("/home", "xfs")]
    assert folder._deepest(points, "/home/ana") == "xfs"
    assert folder._deepest(points, "/home/ana/x/y") == "tmpfs"
    assert folder._deepest(points, "/homes") == "ext4"


MOUNTS = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//ana@server/share on /Volumes/my share (smbfs, nodev, nosuid, mounted by ana)
"""


def test_macos_tells_the_file_system_by_mount() -> None:
    assert folder._of_mount(MOUNTS, "/Volumes/my share/state") == "smbfs"
    assert folder._of_mount(MOUNTS, "/Users/ana") == "apfs"


def test_windows_tells_a_share_by_its_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    monkeypatch.setattr(system, "sys", SimpleNamespace(platform="win32"))
    kernel = SimpleNamespace(GetDriveTypeW=lambda drive: 4)
    monkeypatch.setattr(ctypes, "WinDLL", lambda name: kernel, raising=False)
    assert "smb" in folder.file_system("/state")
    kernel.GetDriveTypeW = lambda drive: 3
    assert folder.file_system("/state") == ""


# -- budgets, prices, time zones, variables --------------------------------------------------------


def test_each_config_is_told_with_what_of_it_holds(machine: Machine) -> None:
    machine.user_config.parent.mkdir(exist_ok=True)
    machine.user_config.write_text('version = 1\n[budgets.day]\nper = "day"\nusd = 5\n')
    files = [each for each in looked_at(machine) if each.id == "config.file"]
    assert [each.detail for each in files] == [
        f"{machine.user_config} (user): sets day",
        f"{machine.repo_config} (repo): sets no budget; day of it gives way to a stricter one of"
        " another file",
    ]


def test_a_config_that_is_not_valid_is_told_with_its_line(machine: Machine) -> None:
    machine.user_config.parent.mkdir(exist_ok=True)
    machine.user_config.write_text("version = 2\n")
    bad = [each for each in found(machine, "config.file") if each.state == "fail"]
    problem = (
        f"{machine.user_config}, line 1, version: expected 1, the version of the format, got 2."
    )
    assert [each.detail for each in bad] == [problem]
    assert bad[0].advice == (
        "Until this is mended, nothing of it holds. `budget check` tells when it is valid."
    )


def test_a_command_for_notifications_that_is_not_there_is_told(machine: Machine) -> None:
    machine.user_config.parent.mkdir(exist_ok=True)
    machine.user_config.write_text('version = 1\n[notify]\ncommand = ["no-such-command", "x"]\n')
    assert "there is no no-such-command" in only(machine, "notify.command").detail


def test_prices_that_are_old_are_told_with_how_to_get_newer_ones(machine: Machine) -> None:
    year = NOW_MS + 400 * 86_400_000
    (old,) = configs.prices(machine.env(), [], year)
    assert (old.state, " days old, " in old.detail) == ("warn", True)
    assert old.mend == [f"{sys.executable} -m pip install --upgrade codebudget"]
    plugin = installed.Installed("", "plugin", {}, "", "")
    (old,) = configs.prices(machine.env(), [plugin], year)
    assert old.mend == hooks.UPDATE_PLUGIN
    (new,) = configs.prices(machine.env(), [], NOW_MS)
    assert new.state == "ok"


def test_a_zone_that_the_system_does_not_know_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Nowhere")
    assert "takes UTC instead" in only(machine, "time.zone").detail
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert only(machine, "time.zone").detail.startswith("Europe/Berlin, now ")


def test_a_step_of_later_than_now_is_told(machine: Machine) -> None:
    book(machine, "m1")
    assert found(machine, "ledger.future") == []
    early = [each.id for each in looked_at(machine, 10**12)]
    assert "ledger.future" in early


def test_a_variable_in_settings_that_sends_hooks_elsewhere_is_told(machine: Machine) -> None:
    elsewhere = {"env": {"BUDGET_HOME": "/srv/budget", "OTHER": "x"}}
    change(machine.project / ".claude" / "settings.json", lambda value: value.update(elsewhere))
    told = only(machine, "environment.variable")
    assert (told.state, told.what) == ("warn", "BUDGET_HOME")
    assert told.mend == ["export BUDGET_HOME=/srv/budget"]
    assert f"'/srv/budget' from {machine.project}/.claude/settings.json" in told.detail


def test_a_variable_that_budget_does_not_know_is_told(machine: Machine) -> None:
    told = {
        each.what: each.state for each in found(machine, "environment.variable", BUDGET_HOM="x")
    }
    assert told == {"BUDGET_HOM": "warn", "BUDGET_HOME": "ok"}


def test_a_ledger_that_is_not_as_it_was_booked_is_told(machine: Machine) -> None:
    import sqlite3

    from budget.chain import GUARD

    book(machine, "m1", "m2")
    assert only(machine, "ledger.verified").state == "ok"
    with sqlite3.connect(machine.ledger) as db:
        db.create_function(GUARD, -1, lambda *_: 1)
        db.execute("UPDATE totals SET steps = steps + 1")
    db.close()
    bad = only(machine, "ledger.verified")
    assert (bad.state, bad.advice) == ("fail", "`budget verify` names each.")


def test_a_ledger_of_an_older_format_is_left_as_it_is(machine: Machine) -> None:
    from tests.test_migration import old_ledger

    project = paths.find_project(str(machine.project))
    ledger = Path(paths.ledger_file(machine.env(), project))
    ledger.parent.mkdir(mode=0o700, parents=True)
    old_ledger(ledger).close()
    before = tree(machine.folder)
    told = only(machine, "ledger.verified")
    assert (told.state, "the next step brings it up" in told.detail) == ("ok", True)
    assert tree(machine.folder) == before


def test_the_answer_is_quick(machine: Machine) -> None:
    """Not a time: how many programs are started, and none of them twice."""
    budget(machine, "install")
    started: list[str] = []
    really = subprocess.run

    def run(command: list[str], **more: Any) -> Any:
        started.append(os.path.basename(command[0]))
        return really(command, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        looked_at(machine)
    python = os.path.basename(settings.sys.executable)  # type: ignore[attr-defined]
    assert sorted(started) == [python] * 4, "three events and a version"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 KB"),
        (98_304, "98 KB"),
        (2 * 10**12, "2000 GB"),
    ],
)
def test_sizes_are_told_in_their_unit(count: int, told: str) -> None:
    assert size(count) == told


def test_lengths_of_time_are_told_in_their_unit() -> None:
    assert [span(ms) for ms in (5_000, 60_000, 7_200_000, 3 * 86_400_000)] == [
        *("5 s", "1 minute", "2 hours", "3 days"),
    ]


def test_ctrl_c_ends_it_without_a_word(machine: Machine) -> None:
    slow = machine.root / "slow"
    slow.mkdir()
    (slow / "claude").write_text("#!/bin/sh\nexec sleep 30\n")
    (slow / "claude").chmod(0o755)
    env = machine.env(LANG="C.UTF-8")
    env["PATH"] = os.pathsep.join((str(slow), env["PATH"]))
    with subprocess.Popen(
        [COMMAND, "doctor"],
        cwd=machine.project,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGINT), stderr
    assert "Traceback" not in stderr
