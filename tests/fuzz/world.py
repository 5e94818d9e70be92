"""A person's machine in a temporary folder, watched: what is opened, made, removed, run or called.

The interpreter's audit events tell of every file and program that Python code touches (what SQLite
opens is in the state folder by the path it is given, and that is an event, too).
"""

import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Touched(NamedTuple):
    """One thing that was done."""

    what: str
    """`read`, `list`, `write`, `run` or `connect`."""
    path: str


_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink")
_LISTS = ("os.listdir", "os.scandir")
_RUNS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty")
_CALLS = ("socket.connect", "socket.bind", "socket.getaddrinfo")

_seen: list[Touched] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int):
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or any(
            c in "wax+" for c in mode or ""
        )
        _seen.append(Touched("write" if writes else "read", os.fspath(path)))
    elif event == "sqlite3.connect":
        _seen.append(Touched("write", str(arguments[0])))
    elif event in _WRITES:
        for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if not isinstance(path, int):
                _seen.append(Touched("write", os.fspath(path)))
    elif event in _LISTS:
        _seen.append(Touched("list", str(arguments[0])))
    elif event in _RUNS:
        _seen.append(Touched("run", str(arguments[0])))
    elif event in _CALLS:
        _seen.append(Touched("connect", str(arguments[1:])))


_installed = False


@contextmanager
def watched() -> Iterator[list[Touched]]:
    """What is touched within."""
    global _seen, _installed  # noqa: PLW0603 - an audit hook is the process's, for good
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True
    _seen, outer = [], _seen
    try:
        yield _seen
    finally:
        _seen = outer


class World:
    """Folders of a person: home with the client's, a project, the state; and one with a secret."""

    SECRET = "treasure-5f1e"
    SESSION = "11111111-2222-4333-8444-555555555555"

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(os.path.realpath(root or tempfile.mkdtemp(prefix="budget-fuzz-")))
        self.home, self.project = self.root / "home", self.root / "project"
        self.state, self.outside = self.root / "state", self.root / "outside"
        self.transcripts = self.home / ".claude" / "projects" / "p"
        for folder in (self.transcripts, self.project / ".claude", self.outside):
            folder.mkdir(parents=True, exist_ok=True)
        (self.outside / "secret.jsonl").write_text(self.SECRET)
        self.env = {"HOME": str(self.home), "BUDGET_HOME": str(self.state), "USER": "dev"}
        self.transcript = self.transcripts / f"{self.SESSION}.jsonl"

    def allowed(self, touched: Touched) -> bool:
        """Whether a hook may do that: the places are those of `docs/security.md`."""
        path = os.path.realpath(touched.path)
        if touched.what == "write":
            return _below(path, self.state)
        if touched.what == "list" and path in map(os.path.realpath, sys.path):
            return True  # where a module is looked for
        if touched.what in ("read", "list"):
            own = (self.state, self.transcripts.parent, *_PYTHON)
            return any(_below(path, folder) for folder in own) or self._is_config(path)
        return False

    def _is_config(self, path: str) -> bool:
        """Of the project, which is whatever folder the input names."""
        folder, name = os.path.split(path)
        if os.path.basename(folder) == ".claude":
            return name in (*CONFIGS, "settings.json")
        if name == ".git" or os.path.basename(folder) == ".git":
            return name in GIT_FILES
        own = (self.home / ".claude" / "budget.toml", self.home / ".claude" / "settings.json")
        git = (self.home / ".gitconfig", self.home / ".config" / "git" / "config")
        return path in map(str, (*own, *git)) or path.startswith("/etc/claude-code/")


CONFIGS = ("budget.toml", "budget.local.toml", "budget-policy.toml")
GIT_FILES = (".git", "config", "index", "commondir", "gitdir")
_PYTHON = (
    ROOT / "budget",
    Path(sysconfig.get_paths()["stdlib"]),
    Path(sys.prefix),
    Path(sys.base_prefix),
    Path("/usr/share/zoneinfo"),
    Path("/etc/localtime"),
    Path("/proc"),
)


def _below(path: str, folder: Path) -> bool:
    real = os.path.realpath(folder)
    return path == real or path.startswith(real + os.sep)


def check_touched(world: World, touched: list[Touched]) -> None:
    """Law: nothing outside is opened, written, run or called."""
    wrong = [each for each in touched if not world.allowed(each)]
    assert not wrong, wrong[:5]


def check_text(text: str) -> None:
    """Law: every line of what is shown is printable, and none of it is the secret's."""
    assert all(line.isprintable() for line in text.split("\n")), ascii(text)
    assert World.SECRET not in text


def check_answer(answer: Any) -> None:
    """Law: an answer is an object of JSON, of known keys, and its texts are harmless."""
    told = json.loads(json.dumps(answer, allow_nan=False))
    assert isinstance(told, dict)
    known = {"systemMessage", "continue", "stopReason", "decision", "reason", "hookSpecificOutput"}
    assert set(told) <= known, told
    assert told.get("continue", False) is False
    assert told.get("decision", "block") == "block"
    for text in _texts(told):
        check_text(text)
        assert len(text) < 100_000


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
