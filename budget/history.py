"""Books transcripts that are already there: of all projects, once, and again without harm."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from json import loads
from typing import NamedTuple

from budget import anchor, paths, pipeline, reconcile
from budget.errors import InputError, LedgerError
from budget.ledger import Ledger
from budget.places import Place, places
from budget.pricing import Table
from budget.steps import clean
from budget.transcript import Batch, Cursor, changed, read
from budget.typed import decoded

# Steps are written in transactions of about this many bytes of transcript: what is lost by a kill.
_TRANSACTION_BYTES = 64 * 1024 * 1024
_HEAD_BYTES = 8 * 1024


class Session(NamedTuple):
    """One main transcript."""

    path: str
    session_id: str
    folder: str
    """Where the session was started: its project."""
    started: str
    """The first time stamp in it."""
    mtime_ns: int
    agent_id: str = ""
    """Of an agent's file that lies beside the sessions', as clients of 2.0 wrote them."""


class Summary(NamedTuple):
    """What an import found."""

    projects: int = 0
    sessions: int = 0
    files: int = 0
    read_files: int = 0
    """Files that held something new."""
    bytes_read: int = 0
    new_steps: int = 0
    raised_steps: int = 0
    bad_lines: int = 0
    unreadable: tuple[str, ...] = ()
    unpriced_models: tuple[str, ...] = ()


def find_sessions(root: str) -> Iterator[Session]:
    """Every main transcript below a `projects` folder, with the folder it was started in."""
    for directory, folders, names in os.walk(os.path.realpath(root)):
        if "subagents" in folders:
            folders.remove("subagents")
            if not os.path.exists(f"{directory}.jsonl"):
                yield from _without_main(directory)
        for name in names:
            if name.endswith(".jsonl"):
                found = _session(os.path.join(directory, name))
                if found:
                    yield found


def _without_main(folder: str) -> Iterator[Session]:
    """A session whose own transcript is gone, told by the files of its agents."""
    path = f"{folder}.jsonl"
    session_id = os.path.basename(folder)
    for place in places(path, session_id):
        told = _session(place.path) if place.agent_id else None
        if told:
            yield told._replace(path=path, session_id=session_id, agent_id="")
            return


def _session(path: str) -> Session | None:
    """What the first lines of a transcript tell; the folder's own name where they tell nothing."""
    folder = started = session_id = ""
    try:
        if not os.path.isfile(path):
            return None
        status = os.stat(path)
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            if b'"cwd"' not in head or b'"timestamp"' not in head:
                head += file.read(32 * _HEAD_BYTES)
    except OSError:
        return None
    for line in head.splitlines():
        if b'"cwd"' not in line and b'"timestamp"' not in line:
            continue
        try:
            told = loads(line)
            folder = folder or str(told.get("cwd") or "")
            started = started or str(told.get("timestamp") or "")
            session_id = session_id or clean(told.get("sessionId"))
        except (ValueError, AttributeError, RecursionError):
            continue
        if folder and started:
            break
    if not os.path.isabs(folder) or "\0" in folder:
        folder = os.path.dirname(path)
    name = os.path.basename(path).removesuffix(".jsonl")
    agent_id = name.removeprefix("agent-") if name.startswith("agent-") and session_id else ""
    return Session(
        path, session_id if agent_id else name, folder, started, status.st_mtime_ns, agent_id
    )


def size_of(sessions: list[Session]) -> int:
    """Bytes of all files of the sessions, subagents included."""
    return sum(
        os.path.getsize(place.path)
        for session in sessions
        for place in places(session.path, session.session_id)
        if os.path.exists(place.path)
    )


def sessions_of(env: paths.Env, project: paths.Project, known: Iterable[str]) -> list[Session]:
    """The sessions of one project, the oldest first: those started in it, and the `known` files."""
    root = os.path.join(paths.claude_folder(env), "projects")
    files = set(known)
    found = [
        each
        for each in find_sessions(root)
        if each.path in files or paths.find_project(each.folder).key == project.key
    ]
    return sorted(found, key=lambda each: (each.started, each.mtime_ns))


def import_sessions(
    sessions: list[Session],
    env: paths.Env,
    now_ms: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Books every session into its project's ledger; `progress` is called with bytes done.

    The oldest first: the history that an old client's fork copied belongs to its origin. It can be
    ended and run again at any time: what was booked stays booked, once.
    """
    by_project: dict[paths.Project, list[Session]] = {}
    booked = _booked_files(env)
    known: dict[str, paths.Project] = {}
    for session in sorted(sessions, key=lambda each: (each.started, each.mtime_ns)):
        if session.folder not in known:
            known[session.folder] = paths.find_project(session.folder)
        project = booked.get(session.path, known[session.folder])
        by_project.setdefault(project, []).append(session)
    summary = Summary(projects=len({project.key for project in by_project}))
    collects = gc.isenabled()
    gc.disable()  # hundreds of thousands of small values, none of them in a cycle
    try:
        for project, group in by_project.items():
            try:
                done = import_into(project, group, env, now_ms, progress)
            except LedgerError as error:  # of this project: others have ledgers of their own
                done = Summary(unreadable=(f"{project.root} is left out. {error}",))
            summary = _joined(summary, done)
    finally:
        if collects:
            gc.enable()
    return summary


def import_into(
    project: paths.Project,
    sessions: list[Session],
    env: paths.Env,
    now_ms: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Books sessions into the ledger of one project, wherever they were started."""
    policy = pipeline.policy_of(env, project)
    ledger = pipeline.open_ledger(env, project)
    try:
        trouble = anchor.compare(ledger, paths.anchor_file(env, project)) if ledger.is_new else None
        if trouble:  # it was deleted: the next hook need not find another one in its place
            from budget import restoring

            list(restoring.restore(ledger, trouble, env, project, now_ms))
        table, user = pipeline.price_table(policy, env), paths.person(env, project)
        booking = _Import(ledger, table, user, now_ms, progress)
        for session in sessions:
            booking.add(session)
        booking.flush()
        return booking.summary()
    finally:
        ledger.close()


def _booked_files(env: paths.Env) -> dict[str, paths.Project]:
    """Where files are booked already: a worktree that is gone no longer tells its repository."""
    booked = {}
    for file in paths.all_ledgers(env):
        try:
            ledger = Ledger(file)
        except LedgerError:
            continue  # told when something is to be booked into it
        key, root = os.path.basename(os.path.dirname(file)), ledger.root()
        project = paths.Project(key, root, root)
        booked.update(dict.fromkeys(ledger.files(), project))
        ledger.close()
    return booked


def _joined(one: Summary, other: Summary) -> Summary:
    both = {key: getattr(one, key) + getattr(other, key) for key in Summary._fields}
    both["unpriced_models"] = tuple(sorted(set(both["unpriced_models"])))
    return Summary(**both)


class _Import:
    """Books the sessions of one project, in large transactions."""

    def __init__(
        self,
        ledger: Ledger,
        table: Table,
        user: str,
        now_ms: int,
        progress: Callable[[int], None],
    ) -> None:
        self._user = user
        self._ledger = ledger
        self._table = table
        self._now_ms = now_ms
        self._progress = progress
        self._pending: list[tuple[Place, Batch]] = []
        self._sessions: set[str] = set()
        self._waiting_bytes = 0
        self._numbers = dict.fromkeys(Summary._fields[1:8], 0)
        self._unreadable: list[str] = []

    def summary(self) -> Summary:
        models = tuple(self._ledger.unpriced_models())
        return Summary(unreadable=tuple(self._unreadable), unpriced_models=models, **self._numbers)

    def add(self, session: Session) -> None:
        cursors = self._ledger.cursors(session.session_id)
        self._count(sessions=1)
        own = Place(session.path, session.session_id, "", session.agent_id, self._user)
        files = places(session.path, session.session_id, self._user)
        for place in [own] if session.agent_id else files:
            self._count(files=1)
            cursor = cursors.get(place.path, Cursor())
            size = os.path.getsize(place.path) if os.path.exists(place.path) else 0
            if changed(place, cursor):
                self._count(read_files=1)
                self._read(place, cursor)
            else:
                self._progress(size)

    def flush(self) -> None:
        """Writes what was read; nothing at all when there is nothing new."""
        if not self._pending:
            return
        with self._ledger.transaction():
            steps = [step for _, batch in self._pending for step in batch.steps]
            booked = self._ledger.book(steps, self._table)
            self._count(new_steps=booked.new, raised_steps=booked.raised)
            last = {place: batch.cursor for place, batch in self._pending}
            for place, cursor in last.items():
                self._ledger.move_cursor(place.path, place.session_id, cursor)
            for place, batch in self._pending:
                self._count(bad_lines=batch.bad_lines)
                reconcile.note(self._ledger, batch.client_totals)
                self._sessions.add(place.session_id)
            reconcile.settle_all(self._ledger, self._now_ms, self._sessions)
        self._pending.clear()
        self._sessions.clear()
        self._waiting_bytes = 0

    def _read(self, place: Place, cursor: Cursor) -> None:
        at = cursor.offset
        try:
            for batch in read(place, cursor, decoded, finished=True):
                self._pending.append((place, batch))
                done = batch.cursor.offset - at if batch.cursor.offset >= at else 0
                at = batch.cursor.offset
                self._waiting_bytes += done
                self._count(bytes_read=done)
                self._progress(done)
                if self._waiting_bytes > _TRANSACTION_BYTES:
                    self.flush()
        except InputError as error:
            self._tell(str(error))
        except OSError as error:
            self._tell(f"{place.path} cannot be read: {error.strerror}.")

    def _count(self, **numbers: int) -> None:
        for key, number in numbers.items():
            self._numbers[key] += number

    def _tell(self, text: str) -> None:
        self._unreadable.append(text)
