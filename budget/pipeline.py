"""The way through: transcript -> steps -> priced entries -> ledger -> spend -> verdicts.

`step` is the main flow; everything else here is one of its stages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from budget import paths, reconcile, sensor
from budget.errors import DamagedLedgerError, InputError, LedgerError
from budget.evaluate import NOT_KNOWN, Decision, Who
from budget.files import is_remote, printable
from budget.lean import NamedTuple, contextmanager, suppress
from budget.ledger import Ledger
from budget.merge import Layer
from budget.model import Budget, Policy, Spend, Window
from budget.outlook import first_step, next_step
from budget.places import Place, places
from budget.policy import load_policy
from budget.pricing import Table, corrected, newest_table, price_print
from budget.remarks import began_at, began_in, model_was_switched
from budget.reservations import STARTING, drop_session, replaced_by
from budget.transcript import Batch, Cursor, changed, read
from budget.verdicts import Actor, budget_window, counts_people, decide, judge

# How long a hook waits for the lines of the step it was called for (see `_await_step`).
LATE_LINES_S = 0.25
# And where the work ends there: with the SDK no event of the session may come after it.
LAST_LINES_S = 2.0
_POLL_S = 0.02
# How long one hook reads sessions from before the ledger (see `_Booking.read_backlog`).
BACKLOG_S = 1.0
_BACKLOG = "backlog"
ALL = "all"
_SAME_MOMENT_S = 0.2
_SHORTLY_S = 0.2


class Moment(NamedTuple):
    """One event of a session, as far as booking is concerned."""

    session_id: str
    transcript: str
    """Empty when the client named none."""
    agent_id: str
    tool_use_ids: tuple[str, ...]
    """The tool calls of the step that just ended; empty at events that are not about a step."""
    ended: bool
    """The turn of the main thread, or of the agent, has just ended: its last step calls no tool."""
    prompt_id: str
    """The prompt that was being answered; empty when the client does not say."""
    now_ms: int
    read_for_s: float
    """Reading stops after this long; the next event goes on from there."""
    user: str = ""
    next_is: str = ""
    """What comes after the event: another `step` of the agent, the first step of a `prompt`, an
    `agent` that is to be started, a `session` that begins, or `nothing` (it ended). Empty: no
    step."""
    agent: str = ""
    """The type of the agent, as far as the event tells; `main` for the main thread."""
    starts: str = ""
    """The type of the agent that is to be started, by the tool call `call_id`."""
    call_id: str = ""
    added_bytes: int | None = None
    """What joins the context before the next step: tool results, or a prompt."""


class Reading(NamedTuple):
    """What booking had to leave open."""

    bad_lines: int = 0
    unfinished: bool = False
    """Time ran out before the end of the transcripts."""
    nothing_to_read: bool = False
    """Steps were made, and neither a transcript nor the client's own total tells of any."""
    late: bool = False
    """The step that was just made is neither in a transcript nor in the client's own total."""
    unreadable: tuple[str, ...] = ()
    restored: str = ""
    """What came of reading everything again, where the ledger had lost something."""


def layers(env: paths.Env, project: paths.Project) -> list[Layer]:
    """The config files that may hold in a project, the highest authority first."""
    managed = [Layer("managed", file, file) for file in paths.managed_policies()]
    own, *named = paths.team_policies(env, project)
    team = [
        *(Layer("team", file, file) for file in named),
        Layer("team", own, ".claude/budget-policy.toml", trusted=False, root=project.root),
    ]
    local = Layer(
        "local", paths.local_config(project), ".claude/budget.local.toml", root=project.root
    )
    user = Layer("user", paths.user_config(env), "~/.claude/budget.toml")
    repo = Layer("repo", paths.repo_config(project), ".claude/budget.toml", root=project.root)
    # In the home folder both are one file: it is the person's own.
    one = os.path.realpath(user.file) == os.path.realpath(repo.file)
    added = paths.added_config(env)
    program = [Layer("program", added, "the program's budgets")] if added else []
    return [*managed, *team, local, user, *program, *([] if one else [repo])]


def policy_of(
    env: paths.Env,
    project: paths.Project,
    person: str | None = None,
    session_id: str = "",
    begins: bool = False,
    nested: bool = False,
) -> Policy:
    """What holds in a project; with a session id, in that session, which `begins` or goes on."""
    person = paths.person(env, project) if person is None else person
    files = paths.session_policy_files(env, project, session_id) if session_id else ()
    compiled = paths.policy_file(env, project)
    table = price_print(paths.price_file(env))
    return load_policy(
        layers(env, project), compiled, person, files, begins, price_print=table, nested=nested
    )


def policy_seen(
    env: paths.Env, project: paths.Project, session_id: str = "", keeps: bool = True
) -> Policy:
    """What holds, for commands that look on: a session that is not known is not begun.

    Without `keeps` nothing is written: the next hook compiles it for itself.
    """
    files = paths.session_policy_files(env, project, session_id) if session_id else ()
    known = any(map(os.path.exists, files))
    compiled, person = paths.policy_file(env, project), paths.person(env, project)
    return load_policy(
        *(layers(env, project), compiled, person, files if known else ()),
        looks=True,
        price_print=price_print(paths.price_file(env)),
        keeps=keeps,
    )


def step(
    moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env
) -> tuple[Decision, Reading]:
    """Books what is new, then judges, and holds the step that may be made next."""
    table = price_table(policy, env)
    reading = book(moment, ledger, policy, env, table, LATE_LINES_S)
    if not policy.budgets:
        return Decision(()), reading
    if moment.next_is in ("session", "nothing"):
        with ledger.transaction():
            drop_session(ledger, moment.session_id, moment.now_ms)
    decision = _decide(moment, ledger, policy, env, _actor(moment, ledger, table, reading))
    if reading.late and decision.blocking and moment.next_is == "step":
        before, reading = reading, book(moment, ledger, policy, env, table, LAST_LINES_S)
        bad_lines, restored = before.bad_lines + reading.bad_lines, before.restored
        reading = reading._replace(bad_lines=bad_lines, restored=restored or reading.restored)
        decision = _decide(moment, ledger, policy, env, _actor(moment, ledger, table, reading))
    return decision, reading


def _decide(
    moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env, actor: Actor
) -> Decision:
    return decide(
        *(policy, ledger, env, moment.session_id, moment.now_ms, moment.user),
        *(moment.read_for_s, actor),
    )


def judge_now(moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env) -> Decision:
    """How every budget stands at an event, where nothing could be booked or held."""
    actor = _actor(moment, ledger, price_table(policy, env), Reading(late=True))
    # Most of the hook's time went by with waiting.
    for_s = min(moment.read_for_s, _SHORTLY_S)
    who = (ledger, env, moment.session_id, moment.now_ms, moment.user, for_s, actor)
    try:
        return judge(policy, *who)
    except DamagedLedgerError:
        raise
    except LedgerError:
        # What people spent cannot be read: the project's own budgets hold all the same.
        own = tuple(budget for budget in policy.budgets if not counts_people(budget))
        return judge(policy._replace(budgets=own), *who)


def _actor(moment: Moment, ledger: Ledger, table: Table, reading: Reading) -> Actor:
    """Who is at work at an event, and which step comes next."""
    session_id, agent_id, now_ms = moment.session_id, moment.agent_id, moment.now_ms
    if moment.next_is == "agent":
        by = next_step(ledger, table, session_id, agent_id, moment.agent, None, now_ms)
        upcoming = first_step(ledger, table, session_id, agent_id, moment.starts, now_ms)
        key = STARTING + moment.call_id
        return Actor(key, False, by.who, upcoming, key)
    if moment.next_is not in ("step", "prompt"):
        return Actor(agent_id, reading.late, Who(moment.agent), None, None)
    added = moment.added_bytes
    upcoming = next_step(ledger, table, session_id, agent_id, moment.agent, added, now_ms)
    who = upcoming.who
    if moment.next_is == "prompt" and model_was_switched(moment.transcript):
        # Which model comes next is not known before its first step.
        who = who._replace(model=NOT_KNOWN)
        upcoming = upcoming._replace(who=who, spend=Spend(1))
    return Actor(agent_id, reading.late, who, upcoming, agent_id)


def price_table(policy: Policy, env: paths.Env) -> Table:
    """The prices that hold in a project."""
    return corrected(newest_table(paths.price_file(env), policy.price_print), policy.prices)


def book(
    moment: Moment,
    ledger: Ledger,
    policy: Policy,
    env: paths.Env,
    table: Table,
    wait_s: float,
) -> Reading:
    """Brings the ledger up to what the transcripts and the client's own total say.

    For the lines of the step that was just made it waits up to `wait_s`.
    """
    booking = _Booking(moment, ledger, table)
    folder = paths.client_totals_folder(env, moment.session_id)
    reports = sensor.client_totals(folder, moment.session_id)
    if moment.transcript:
        booking.read_all()
        only_usd = all(budget.unit == "usd" for budget in policy.budgets)
        # What the first step of an agent will cost is told from the step that starts it.
        needed = moment.next_is == "agent" or not (reports and only_usd)
        if moment.ended or (moment.tool_use_ids and needed):
            booking.await_step(wait_s)
    with ledger.transaction():
        booking.flush_into_open_transaction()
        reconcile.note(ledger, reports)
        reconcile.settle(ledger, moment.session_id, moment.now_ms, moment.user)
    if ledger.fact(_BACKLOG):
        booking.read_backlog(policy)
    reading = booking.reading()
    if not reports and booking.step_missing():
        reading = reading._replace(late=True)
    if reading.late and moment.tool_use_ids:
        of_session = Window(0, None, session_id=moment.session_id)
        reading = reading._replace(nothing_to_read=not ledger.spend(of_session).steps)
    return reading


class _Booking:
    """Reads a session's files and writes what they hold, one transaction where that is enough."""

    def __init__(self, moment: Moment, ledger: Ledger, table: Table) -> None:
        self._moment = moment
        self._ledger = ledger
        self._table = table
        self._cursors = ledger.cursors(moment.session_id)
        self._pending: list[tuple[Place, Batch]] = []
        self._deadline = time.monotonic() + moment.read_for_s
        self._bad_lines = 0
        self._unfinished = False
        self._unreadable: list[str] = []
        self._restored = ""

    def read_all(self) -> None:
        for place in self._places():
            self._read(place)

    def _places(self) -> Iterator[Place]:
        return places(self._moment.transcript, self._moment.session_id, self._moment.user)

    def await_step(self, wait_s: float) -> None:
        """Waits a bounded moment for the step that was just made.

        A subagent's lines reach its file up to about 100 ms after its hook (2.1.330, 2026-11-23).
        What comes later than the wait is booked by the next event.
        """
        until = min(self._deadline, time.monotonic() + wait_s)
        while self.step_missing() and time.monotonic() < until:
            time.sleep(_POLL_S)
            for place in self._places():
                if place.agent_id == self._moment.agent_id:
                    self._read(place)

    def read_backlog(self, policy: Policy) -> None:
        """Books the project's other sessions that count today, this month, ...

        A ledger that is new knows nothing of them: it was just installed, or someone deleted it.
        """
        starts = [self._window_start_ms(budget) for budget in policy.budgets]
        since_ms = min((start for start in starts if start is not None), default=None)
        if self._ledger.fact(_BACKLOG) == ALL:  # something was lost: everything counts
            since_ms = 0
            if self._unfinished or not self._moment.transcript:
                return
        self._deadline = time.monotonic() + BACKLOG_S
        if since_ms == 0 and self._ledger.fact("salvage"):
            from budget import salvage  # only after damage

            if not salvage.go_on(self._ledger, self._deadline):
                self._unfinished = True
                return
        if since_ms is not None and self._moment.transcript:
            for path in self._other_transcripts(since_ms):
                session_id = os.path.basename(path).removesuffix(".jsonl")
                self._cursors = self._ledger.cursors(session_id)
                for place in places(path, session_id, self._moment.user):
                    self._read(place)
                with self._ledger.transaction():
                    self.flush_into_open_transaction()
                    reconcile.settle(self._ledger, session_id, self._moment.now_ms)
                if self._unfinished or time.monotonic() > self._deadline:
                    self._unfinished = True
                    return
        with self._ledger.transaction():
            if self._ledger.fact(_BACKLOG) == ALL:
                from budget import restoring  # only after a loss

                done = restoring.finish(self._ledger, self._table, self._moment.now_ms)
                self._restored = done.text
            self._ledger.set_fact(_BACKLOG, None)

    def _window_start_ms(self, budget: Budget) -> int | None:
        window = budget_window(budget, self._moment.session_id, self._moment.now_ms)
        return None if window.session_id is not None else window.start_ms

    def _other_transcripts(self, since_ms: int) -> list[str]:
        """The newest first: what was just spent matters most."""
        folder, root = os.path.dirname(self._moment.transcript), self._ledger.root()
        found = []
        # Sessions that began in a folder below lie in folders of their own.
        folders: list[str] = []
        with suppress(OSError), os.scandir(os.path.dirname(folder)) as beside:
            name = paths.transcripts_name(root)
            folders = [each.path for each in beside if each.name.startswith(name)]
        for place in {folder, *folders}:
            with suppress(OSError), os.scandir(place) as entries:
                found += [
                    (entry.stat().st_mtime_ns // 10**6, entry.path)
                    for entry in entries
                    if entry.name.endswith(".jsonl")
                    and entry.path != self._moment.transcript
                    and entry.is_file()
                ]
        return [
            path
            for changed_ms, path in sorted(found, reverse=True)
            if changed_ms >= since_ms
            and (
                began_in(path, root)
                or (os.path.dirname(path) == folder and not _is_of_another(path, root))
            )
        ]

    def flush_into_open_transaction(self) -> None:
        for place, batch in self._pending:
            replaced_by(self._ledger, batch.steps)
            self._ledger.book(batch.steps, self._table)
            self._ledger.move_cursor(place.path, place.session_id, batch.cursor)
            reconcile.note(self._ledger, batch.client_totals)
            self._ledger.note_compactions(batch.compactions)
            self._bad_lines += batch.bad_lines
        self._pending.clear()

    def reading(self) -> Reading:
        return Reading(
            *(self._bad_lines, self._unfinished),
            unreadable=tuple(self._unreadable),
            restored=self._restored,
        )

    def _read(self, place: Place) -> None:
        cursor = self._cursors.get(place.path, Cursor())
        if self._unfinished or not changed(place, cursor):
            return
        try:
            for batch in read(place, cursor):
                self._cursors[place.path] = batch.cursor
                self._pending.append((place, batch))
                if batch.cursor.size == -1:  # more to come: keep what there is
                    with self._ledger.transaction():
                        self.flush_into_open_transaction()
                    if time.monotonic() > self._deadline:
                        self._unfinished = True
                        return
        except InputError as error:
            self._unreadable.append(str(error))
        except OSError as error:
            self._unreadable.append(f"{printable(place.path)} cannot be read: {error.strerror}.")

    def step_missing(self) -> bool:
        """Whether the step of this moment is in no transcript yet."""
        wanted = set(self._moment.tool_use_ids)
        for place in self._places():
            if place.agent_id == self._moment.agent_id:
                cursor = self._cursors.get(place.path, Cursor())
                if wanted:
                    return not wanted.intersection(cursor.tool_use_ids.split())
                return self._moment.ended and not self._has_last_step(place, cursor)
        return bool(wanted)

    def _has_last_step(self, place: Place, cursor: Cursor) -> bool:
        """Whether the step that ended the turn is in the file: it calls no tool."""
        prompt_id = "" if place.agent_id else self._moment.prompt_id
        return not cursor.tool_use_ids and prompt_id in ("", cursor.prompt_id)


def _is_of_another(path: str, root: str) -> bool:
    """Whether a session began in another project, as far as its transcript tells.

    The client names `my_app` and `my-app` alike: their transcripts lie in one folder. A folder that
    is no more may have been this one's, or a worktree's.
    """
    began = began_at(path)
    if is_remote(began) or not os.path.isdir(began):
        return False
    # As `open_ledger` writes it.
    return os.fsencode(paths.find_project(began).root).decode("utf-8", "replace") != root


def open_ledger(env: paths.Env, project: paths.Project, wait_s: float = 5.0) -> Ledger:
    """The ledger, made where there is none. Raises `LedgerError`."""
    paths.check_state(env)
    # A folder's name may be bytes that are no text, which a ledger does not hold.
    root = os.fsencode(project.root).decode("utf-8", "replace")
    ledger = Ledger(paths.ledger_file(env, project), wait_s, root)
    if ledger.is_new and not env.get(paths.MANY_USERS):
        with ledger.transaction():
            ledger.set_fact(_BACKLOG, "pending")
    return ledger


@contextmanager
def existing_ledger(
    env: paths.Env, project: paths.Project, wait_s: float = 5.0, looks: bool = False
) -> Iterator[Ledger | None]:
    """The ledger, closed at the end; None where there is none: none is made. `LedgerError`.

    Who only `looks` changes nothing and keeps nobody waiting.
    """
    if not has_ledger(env, project):
        yield None
        return
    if looks:
        ledger = Ledger(paths.ledger_file(env, project), wait_s, looks=True)
    else:
        ledger = open_ledger(env, project, wait_s)
    try:
        yield ledger
    finally:
        ledger.close()


def lost_ledger(env: paths.Env, project: paths.Project, session_id: str) -> bool:
    """Whether a project without a ledger had one before: it was deleted.

    The files of its sessions lie beside it, and a copy elsewhere (see `policy.py`).
    """
    if os.path.exists(paths.ledger_file(env, project)):
        return False
    own, copy = paths.session_policy_files(env, project, session_id)
    files = [copy]
    with suppress(OSError), os.scandir(os.path.dirname(own)) as entries:
        files += [each.path for each in entries]
    now_s = time.time()
    for path in files:
        with suppress(OSError):
            if now_s - os.stat(path).st_mtime > _SAME_MOMENT_S:
                return True
    return False


def has_ledger(env: paths.Env, project: paths.Project) -> bool:
    """Raises `LedgerError` when that cannot be told: an unreadable ledger is not an empty one."""
    paths.check_state(env)
    path = paths.ledger_file(env, project)
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LedgerError(f"The ledger {path} cannot be used: {error.strerror}.") from error
    return True
