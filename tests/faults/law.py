"""The law that every fault is held to: the ledger equals the truth, and hooks end as hooks have to.

The truth is what the transcripts hold, worked out here without the package: the highest value of
each field per message id, priced by arithmetic. A `World` is a machine of its own - a home,
projects, transcripts that grow, the sensor's reports - with hooks as real processes.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from budget import paths
from tests.samples import folded_totals, stored_totals

ROOT = Path(__file__).resolve().parent.parent.parent
HOOK = ("-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import run")
_HOOKS = json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"]
TIMEOUT_S = {name: groups[0]["hooks"][0]["timeout"] for name, groups in _HOOKS.items()}
"""After this long the client goes on without a hook's answer."""

# Picodollars per token: input, output, cache read, cache write of 5 minutes, of 1 hour.
RATES = {
    "claude-sonnet-5": (2_000_000, 10_000_000, 200_000, 2_500_000, 4_000_000),
    "claude-opus-5": (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000),
    "claude-haiku-4-5": (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000),
}
SEARCH_PICOUSD = 10_000_000_000
_BEGAN = datetime(2026, 11, 23, 10, tzinfo=UTC)
# Limits that nothing here reaches. One is over all projects: the ledger of people is in it, too.
CONFIG = """version = 1
timezone = "UTC"
[budgets.session]
per = "session"
usd = 100000
[budgets.month]
per = "total"
scope = "user"
usd = 100000
"""

KILLED = (-9, 128 + 9)
"""How a process ends that was killed, or strace when what it traces was."""

Answer = dict[str, Any]
Counts = tuple[int, int, int, int, int, int]
"""Input, output, cache read, cache write of 5 minutes and of 1 hour, web searches."""


class Fact(NamedTuple):
    """A step as the transcripts tell of it."""

    model: str
    counts: Counts

    @property
    def picousd(self) -> int:
        rates = (*RATES[self.model], SEARCH_PICOUSD)
        return sum(rate * count for rate, count in zip(rates, self.counts, strict=True))


class Session:
    """A transcript that grows as the client's does, with those of its agents."""

    def __init__(self, world: "World", number: int, project: Path) -> None:
        self.id = f"{number:08x}-0000-4000-8000-000000000000"
        self.project = project
        # As the client names it: a folder for each folder that sessions begin in.
        folder = world.transcripts / re.sub("[^A-Za-z0-9]", "-", str(project))
        folder.mkdir(exist_ok=True)
        self.path = folder / f"{self.id}.jsonl"
        self.last_call = ""
        self.steps = 0
        self.reports: dict[int, float] = {}
        """The sensor's last report of each process; a sweep may have removed the file since."""
        self.clock = timedelta()
        """By how much the client's clock is wrong."""
        self._world = world
        self._number = number

    def grow(self, steps: int, agent: str = "") -> None:
        """Appends whole steps, to the session's own file or to that of one of its agents."""
        lines = [line for _ in range(steps) for line in self._step(agent)]
        path = self.path
        if agent:
            path = self.path.with_suffix("") / "subagents" / f"agent-{agent}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(lines))

    def _step(self, agent: str) -> Iterator[bytes]:
        """The lines of one step: the first may carry a placeholder, then one for each block."""
        rng = self._world.rng
        self.steps += 1
        message_id = f"msg_{self._number:04x}_{self.steps:06d}"
        model = rng.choice(sorted(RATES))
        hour, minutes = rng.randrange(0, 3000), rng.randrange(0, 3000)
        usage: dict[str, object] = {
            "input_tokens": rng.randrange(1, 5000),
            "cache_creation_input_tokens": hour + minutes,
            "cache_read_input_tokens": rng.randrange(0, 200_000),
            "cache_creation": {
                "ephemeral_5m_input_tokens": minutes,
                "ephemeral_1h_input_tokens": hour,
            },
            "output_tokens": rng.randrange(2, 4000),
            "server_tool_use": {"web_search_requests": rng.choice((0, 0, 0, 1))},
        }
        at = _BEGAN + self.clock + timedelta(seconds=37 * self.steps + self._number)
        call_id = f"toolu_{message_id}"
        self.last_call = self.last_call if agent else call_id
        yield _line({"type": "attachment", "text": "x" * rng.randrange(0, 400)})
        for number in range(rng.randrange(1, 4)):
            placeholder: dict[str, object] = (
                {"output_tokens": 1} if number == 0 and rng.random() < 0.3 else {}
            )
            call = {"type": "tool_use", "id": call_id, "name": "Bash", "input": {}}
            told: dict[str, object] = {"model": model, "id": message_id, "content": [call]}
            yield _line(
                {
                    "type": "assistant",
                    "uuid": f"{message_id}-{number}",
                    "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "sessionId": self.id,
                    "cwd": str(self.project),
                    "isSidechain": bool(agent),
                    "message": {**told, "usage": {**usage, **placeholder}},
                }
            )
        if placeholder:  # its final line
            told = {"model": model, "id": message_id, "content": [], "usage": usage}
            yield _line({"type": "assistant", "timestamp": at.isoformat(), "message": told})

    def report(self, usd: float, process: int = 0) -> None:
        """What the sensor of one client process writes: the client's own total, in US dollars."""
        folder = self._world.state / "client" / self.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = {"session": self.id, "since_ms": 0, "base_usd": 0.0, "usd": usd}
        (folder / f"process-{process}.json").write_text(json.dumps(told))
        self.reports[process] = usd

    def event(self, name: str = "Stop", **more: object) -> dict[str, object]:
        calls = {"tool_calls": [{"tool_use_id": self.last_call, "tool_name": "Bash"}]}
        return {
            "hook_event_name": name,
            "session_id": self.id,
            "transcript_path": str(self.path),
            "cwd": str(self.project),
            **(calls if name == "PostToolBatch" else {}),
            **more,
        }


class World:
    """A machine of its own below `root`, made of a seed."""

    started = 0
    """Hooks that this process started, in all worlds."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.seed = root, seed
        self.rng = random.Random(seed)
        self.home, self.state = root / "home", root / "state"
        self.transcripts = self.home / ".claude" / "projects"
        self.transcripts.mkdir(parents=True)
        (self.home / ".claude" / "budget.toml").write_text(CONFIG)
        self.sessions: list[Session] = []
        self.gone = b""
        """What transcripts told before they were replaced: it is booked, and stays so."""
        self.env = {"PATH": os.defpath, "HOME": str(self.home), "USER": "ana"}
        self.env |= {"BUDGET_HOME": str(self.state), "TZ": "UTC"}

    def session(self, steps: int = 3, project: str = "project") -> Session:
        """A new session with some steps, in a project of that name."""
        folder = self.root / project
        folder.mkdir(exist_ok=True)
        made = Session(self, len(self.sessions) + 1, folder)
        self.sessions.append(made)
        made.grow(steps)
        return made

    def ledger(self, project: str = "project") -> Path:
        found = paths.find_project(str(self.root / project))
        return Path(paths.ledger_file(self.env, found))

    # -- hooks -----------------------------------------------------------------------------------

    def start(
        self,
        event: dict[str, object],
        *,
        under: Sequence[str] = (),
        package: Path = ROOT,
        program: Sequence[str] = HOOK,
        **how: Any,
    ) -> "Running":
        """Starts the hook program, `under` another that starts it."""
        argv = [*under, sys.executable, *program, str(package / "hooks")]
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(event).encode())
            stdin.seek(0)
            out = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `Running`
            process = subprocess.Popen(
                argv, stdin=stdin, stdout=out, stderr=subprocess.STDOUT, env=self.env, **how
            )
        World.started += 1
        return Running(process, out, str(event["hook_event_name"]))

    def hook(self, event: dict[str, object], **how: Any) -> Answer:
        """The answer of a hook, once it has ended as every hook has to."""
        return self.start(event, **how).answer()

    def catch_up(self, sessions: Iterable[Session] | None = None) -> list[Answer]:
        """The next prompt of each session brings its ledger up to the truth."""
        chosen = self.sessions if sessions is None else sessions
        return [self.hook(session.event("UserPromptSubmit")) for session in chosen]

    def command(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Runs the command `budget`."""
        argv = [sys.executable, "-m", "budget", *words]
        env = {**self.env, "PYTHONPATH": str(ROOT)}
        kept = {"capture_output": True, "text": True, "timeout": 120, **how}
        done: subprocess.CompletedProcess[str]
        done = subprocess.run(argv, check=False, env=env, **kept)
        return done

    def start_command(self, *words: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "budget", *words]
        env = {**self.env, "PYTHONPATH": str(ROOT)}
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(argv, env=env, stdout=nowhere, stderr=nowhere)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Puts the state folder back as it was: the next fault begins from the same."""
        before = self.root / "state-before"
        shutil.rmtree(before, ignore_errors=True)
        if self.state.exists():
            shutil.copytree(self.state, before, symlinks=True)
        try:
            yield
        finally:
            shutil.rmtree(self.state, ignore_errors=True)
            if before.exists():
                before.rename(self.state)


class Running(NamedTuple):
    """A hook process at work."""

    process: subprocess.Popen[bytes]
    out: Any
    name: str

    def end(self) -> tuple[int, bytes]:
        """Its exit code and all it printed, once it ended within what the client allows."""
        try:
            code = self.process.wait(TIMEOUT_S[self.name])
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"{self.name} did not end within {TIMEOUT_S[self.name]} s"
            ) from None
        self.out.seek(0)
        printed: bytes = self.out.read()
        self.out.close()
        return code, printed

    def answer(self) -> Answer:
        code, printed = self.end()
        assert code == 0, f"{self.name} ended with {code}: {printed.decode(errors='replace')}"
        try:
            answer = json.loads(printed or b"{}")
        except ValueError:
            answer = None
        assert isinstance(answer, dict), f"no answer: {printed!r}"
        return answer

    def killed(self) -> bool:
        """Whether it was killed before it could answer; if not, it ended as every hook has to."""
        if self.process.wait() in KILLED:
            self.out.close()
            return True
        self.answer()
        return False


# -- the truth -------------------------------------------------------------------------------------


def truth(world: World, project: str = "") -> dict[str, Fact]:
    """Every step that the transcripts tell of, by message id; of one project."""
    facts: dict[str, Fact] = {}
    _read(world.gone, facts)
    for session in world.sessions:
        if project and session.project.name != project:
            continue
        agents = session.path.with_suffix("").rglob("agent-*.jsonl")
        for path in (session.path, *sorted(agents)):
            if path.exists():
                _read(path.read_bytes(), facts)
    return facts


def _read(data: bytes, facts: dict[str, Fact]) -> None:
    # A last line without its end is still being written.
    for raw in data.split(b"\n")[:-1]:
        try:
            line = json.loads(raw.decode("utf-8", "replace"))
            message = line["message"]
            used = message["usage"]
            counts = _counts(used)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        known = facts.get(message["id"], Fact(message["model"], counts))
        highest: Any = tuple(map(max, known.counts, counts))
        facts[message["id"]] = Fact(message["model"], highest)


def _counts(used: dict[str, Any]) -> Counts:
    hour = used.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
    searches = used.get("server_tool_use", {}).get("web_search_requests", 0)
    written = used.get("cache_creation_input_tokens", 0) - hour
    read = used.get("cache_read_input_tokens", 0)
    counts = (used["input_tokens"], used["output_tokens"], read, written, hour, searches)
    if not all(type(each) is int and 0 <= each < 2**31 for each in counts):
        raise ValueError("no counts")
    return counts


def unattributed_truth(world: World, project: str = "") -> dict[str, int]:
    """What the sensor's reports say that no step tells of, by session, in picodollars."""
    beyond = {}
    for session in world.sessions:
        if project and session.project.name != project:
            continue
        booked = sum(fact.picousd for fact in _of_session(session).values())
        gap = sum(round(usd * 10**12) for usd in session.reports.values()) - booked
        if gap > 1000:  # below is the noise of the client's floats
            beyond[session.id] = gap
    return beyond


def _of_session(session: Session) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for path in (session.path, *session.path.with_suffix("").rglob("agent-*.jsonl")):
        _read(path.read_bytes(), facts)
    return facts


# -- the law ---------------------------------------------------------------------------------------


def breaches(world: World, people: bool = True) -> list[str]:
    """Where the ledgers differ from the truth: nothing is lost, doubled or added up wrongly."""
    found = []
    for project in sorted({session.project.name for session in world.sessions}):
        name = f"the ledger of {project}"
        wanted = truth(world, project), unattributed_truth(world, project)
        found += [f"{name}: {each}" for each in _breaches_of(world.ledger(project), *wanted)]
    if people:
        path = Path(paths.people_ledger_file(world.env))
        wanted = truth(world), unattributed_truth(world)
        found += [f"the ledger of people: {each}" for each in _breaches_of(path, *wanted)]
    log = world.state / "logs" / "hook.log"
    if log.exists():
        found.append(f"a bug was logged: {log.read_text()[-2000:]}")
    return found


def _breaches_of(path: Path, facts: dict[str, Fact], beyond: dict[str, int]) -> Iterator[str]:
    if not path.is_file():
        yield "there is none"
        return
    try:
        with _reading(path) as db:
            yield from _differences(db, facts, beyond)
        if stored_totals(str(path)) != folded_totals(str(path)):
            yield "totals are not the sum of the entries"
    except sqlite3.Error as error:
        yield f"cannot be read: {error}"


def _differences(
    db: sqlite3.Connection, facts: dict[str, Fact], beyond: dict[str, int]
) -> Iterator[str]:
    sound = [row[0] for row in db.execute("PRAGMA integrity_check")]
    if sound != ["ok"]:
        yield f"is not sound: {sound[:3]}"
    columns = (
        "message_id, model, input_tokens, output_tokens, cache_read_tokens,"
        " cache_write_5m_tokens, cache_write_1h_tokens, web_searches, picousd"
    )
    rows = db.execute(f"SELECT {columns} FROM entries").fetchall()
    doubled = [each for each, times in Counter(row[0] for row in rows).items() if times > 1]
    if doubled:
        yield f"{len(doubled)} doubled: {doubled[:3]}"
    booked = {row[0]: (row[1], tuple(row[2:8]), row[8]) for row in rows}
    wanted = {each: (fact.model, fact.counts, fact.picousd) for each, fact in facts.items()}
    if lost := sorted(wanted.keys() - booked.keys()):
        yield f"{len(lost)} of {len(wanted)} lost: {lost[:3]}"
    if made_up := sorted(booked.keys() - wanted.keys()):
        yield f"{len(made_up)} made up: {made_up[:3]}"
    for each in sorted(wanted.keys() & booked.keys()):
        if wanted[each] != booked[each]:
            yield f"{each} is {booked[each]}, not {wanted[each]}"
    amounts: dict[str, int] = defaultdict(int)
    for session_id, picousd in db.execute("SELECT session_id, picousd FROM unattributed"):
        amounts[session_id] += picousd
    counted = {session_id: amount for session_id, amount in amounts.items() if amount}
    if counted != beyond:
        yield f"unattributed is {counted}, not {beyond}"


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path)
    try:
        yield db
    finally:
        db.close()


def assert_law(world: World, where: str = "", people: bool = True) -> None:
    found = breaches(world, people)
    assert not found, f"{where} (seed {world.seed}): " + "; ".join(found)


def assert_verified(world: World) -> None:
    """`budget verify` finds nothing wrong in any ledger."""
    done = world.command("verify", "--all")
    assert done.returncode == 0, done.stdout + done.stderr


def steps_in(world: World) -> int:
    return len(truth(world))


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
