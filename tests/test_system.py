"""What differs between operating systems, seen from this one: only `system.sys` is another."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from budget import ancestry, paths, plan, settings, system
from budget.passthrough import _signal
from tests.test_paths import HOME

WINDOWS = {"LOCALAPPDATA": r"C:\Users\ana\AppData\Local", "USERPROFILE": r"C:\Users\ana"}


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "win32")


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "darwin")


def on(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Only here is the system another one; `os.path` stays this system's."""
    monkeypatch.setattr(system, "sys", SimpleNamespace(platform=platform))


def test_no_other_module_asks_for_the_platform() -> None:
    root = Path(system.__file__).parent
    asking = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for word in (
            "sys.platform",
            "os.name",
            "import msvcrt",
            "import fcntl",
            "import ctypes",
            "import pwd",
            "os.geteuid",
        )
        if word in path.read_text(encoding="utf-8")
    }
    assert asking == {"system.py"}


# -- paths -----------------------------------------------------------------------------------------


def test_the_state_folder_of_windows(windows: None) -> None:
    assert paths.state_folder(WINDOWS) == os.path.join(WINDOWS["LOCALAPPDATA"], "codebudget")
    assert paths.managed_folder() == r"C:\Program Files\ClaudeCode"


def test_the_state_folder_of_windows_without_the_variable(windows: None) -> None:
    home = {"HOME": r"C:\Users\ana"}
    assert paths.state_folder(home) == os.path.join(
        *home.values(), "AppData", "Local", "codebudget"
    )


def test_the_state_folder_of_macos(macos: None) -> None:
    assert paths.state_folder(HOME) == "/home/ana/Library/Application Support/codebudget"
    assert paths.managed_folder() == "/Library/Application Support/ClaudeCode"


@pytest.mark.parametrize("name", ["CON", "nul", "Aux", "PRN", "com1", "LPT9"])
def test_a_name_that_windows_takes_for_a_device_is_no_file_name(name: str) -> None:
    assert paths.safe_name(name) == f"{name}-"


@pytest.mark.parametrize("name", ["CONSOLE", "com", "com10", "nul-1", "4f1d"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert paths.safe_name(name) == name


def test_windows_compares_paths_without_their_case(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ntpath

    monkeypatch.setattr(system, "os", SimpleNamespace(path=ntpath, sep="\\"))
    assert system.is_below(r"c:\users\Ana\x.jsonl", r"C:\Users\ana")
    assert system.is_below("C:/Users/ana/x.jsonl", r"C:\Users\ana")
    assert not system.is_below(r"C:\Users\anabel\x.jsonl", r"C:\Users\ana")
    assert not system.is_below(r"D:\Users\ana\x.jsonl", r"C:\Users\ana")


def test_a_folder_of_macos_has_one_name(
    macos: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    folder = tmp_path / "Shop"
    folder.mkdir()

    def told(fd: int, request: int, _: bytes) -> bytes:
        assert (request, os.path.samestat(os.fstat(fd), folder.stat())) == (50, True)
        return os.fsencode(tmp_path / "SHOP") + bytes(900)

    monkeypatch.setattr(fcntl, "F_GETPATH", 50, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", told)
    assert system.true_path(str(folder)) == str(tmp_path / "SHOP")
    assert system.true_path(str(tmp_path / "gone")) == str(tmp_path / "gone")


# -- files -----------------------------------------------------------------------------------------


def held(monkeypatch: pytest.MonkeyPatch, for_s: float) -> list[str]:
    """As on Windows, a file cannot be replaced for a while; the list has each try."""
    tries: list[str] = []
    really, until = os.replace, time.monotonic() + for_s

    def replace(source: str, target: str) -> None:
        tries.append(target)
        if time.monotonic() < until:
            raise PermissionError(13, "Access is denied", target)
        really(source, target)

    monkeypatch.setattr("os.replace", replace)
    return tries


def test_on_windows_a_file_that_is_open_just_now_is_replaced_in_a_moment(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = held(monkeypatch, 0.1)
    limits = {"five_hour": {"used_percentage": 5, "resets_at": 4_000_000_000}}
    env = {"BUDGET_HOME": str(tmp_path / "state")}
    plan.store(env, {"rate_limits": limits}, 1)
    assert len(tries) > 1
    assert os.listdir(tmp_path / "state") == ["plan-usage.json"]


def test_a_file_that_stays_open_is_an_error_on_windows(
    windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "REPLACE_FOR_S", 0.05)
    held(monkeypatch, 60)
    with pytest.raises(PermissionError):
        system.replace(str(tmp_path / "a"), str(tmp_path / "b"))


def test_elsewhere_a_refusal_is_one_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = held(monkeypatch, 60)
    with pytest.raises(PermissionError):
        system.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    assert len(tries) == 1


def test_a_lock_of_windows_is_one_byte_without_waiting(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int]] = []

    def locking(fd: int, mode: int, size: int) -> None:
        asked.append((fd, mode, size))
        if len(asked) > 1:
            raise OSError(36, "Resource deadlock avoided")

    module = ModuleType("msvcrt")
    module.__dict__.update(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", module)
    assert system.try_lock(7)
    assert not system.try_lock(7)
    assert asked == [(7, 2, 1)] * 2


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as one, open(tmp_path / "lock", "w") as other:
        assert system.try_lock(one.fileno())
        assert not system.try_lock(other.fileno())
    with open(tmp_path / "lock", "w") as third:
        assert system.try_lock(third.fileno())


# -- processes -------------------------------------------------------------------------------------


def test_a_process_of_its_own_has_no_window_on_windows(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert system.apart() == {"creationflags": 0x08000200}


def test_a_process_of_its_own_has_a_session_of_its_own() -> None:
    assert system.apart() == {"start_new_session": True}


def test_on_windows_a_program_is_ended_where_a_signal_is_none(windows: None) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        threading.Timer(0.1, _signal, (process, 2)).start()
        assert process.wait(10) == -15


TREE = [(1, 0, "wininit.exe"), (40, 1, "WindowsTerminal.exe"), (50, 40, "Claude.exe")]
TREE += [(60, 50, "bash.exe"), (70, 60, "budget.exe")]


class Kernel:
    """`kernel32` with the processes of `TREE`."""

    def __init__(self) -> None:
        self.at = 0
        self.closed: list[Any] = []
        self.CreateToolhelp32Snapshot = self._answers(lambda flags, pid: 99)
        self.Process32FirstW = self._answers(lambda handle, entry: self._next(entry))
        self.Process32NextW = self._answers(lambda handle, entry: self._next(entry))
        self.CloseHandle = self._answers(lambda handle: self.closed.append(handle.value))

    def _answers(self, answer: Any) -> Any:
        def function(*arguments: Any) -> Any:
            return answer(*arguments)

        return function

    def _next(self, pointer: Any) -> int:
        entry = pointer._obj
        assert entry.dwSize == ctypes.sizeof(entry) > 0
        if self.at == len(TREE):
            return 0
        entry.th32ProcessID, entry.th32ParentProcessID, entry.szExeFile = TREE[self.at]
        self.at += 1
        return 1


@pytest.fixture
def kernel(windows: None, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: made, raising=False)
    return made


def test_the_clients_above_are_told_on_windows(kernel: Kernel) -> None:
    assert ancestry.clients_above(60) == [50]
    assert kernel.closed == [99]


def test_a_person_on_windows_has_no_client_above(kernel: Kernel) -> None:
    assert ancestry.clients_above(40) == []


@pytest.mark.parametrize(
    ("command", "is_client"),
    [
        (r"C:\Users\ana\.local\bin\claude.exe", True),
        ("Claude.EXE", True),
        ("node.exe\0C:\\npm\\node_modules\\@anthropic-ai\\claude-code\\cli.js", True),
        ("node.exe\0C:\\work\\server.js", False),
        (r"C:\claude\vim.exe", False),
    ],
)
def test_a_client_is_known_by_its_windows_name(command: str, is_client: bool) -> None:
    assert ancestry._is_client(command) is is_client


def test_on_macos_the_clients_above_are_told_by_ps(
    macos: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"60": "  50 /bin/zsh -c budget", "50": "    1 claude --resume"}

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[:-1] == ["/bin/ps", "-o", "ppid=,command=", "-p"]
        return SimpleNamespace(stdout=rows[command[-1]])

    monkeypatch.setattr("budget.ancestry.subprocess.run", run)
    assert ancestry.clients_above(60) == [50]


# -- what is written for the client ----------------------------------------------------------------


def test_a_status_line_of_windows_means_the_same_in_bash_and_in_powershell(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", r"C:\Python 3\python.exe")
    monkeypatch.setattr(settings, "__file__", r"C:\Users\ana\budget\settings.py")
    theirs = {"type": "command", "command": "C:\\x\\mine.ps1 \"a $HOME\" `b` 'c'"}
    installed = settings._our_statusline(theirs)
    assert settings._other_statusline({"statusLine": installed}) == theirs
    command = installed["command"]
    assert command.startswith('"C:/Python 3/python.exe" -I -S -c "import gc, sys; ')
    assert "\\" not in command
    assert not set("$`'!") & set(command)
