"""The way through: transcript -> steps -> priced entries -> ledger -> spend -> verdicts.

`step` is the main flow; everything else here is one of its stages.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from budget import paths, reconcile, sensor
from budget.errors import InputError, LedgerError
from budget.evaluate import Decision, spent
from budget.ledger import Ledger
from budget.model import Budget, Policy, Spend, Verdict, Window
from budget.policy import Layer
from budget.pricing import Table, corrected, newest_table
from budget.transcript import Batch, Cursor, Place, changed, places, read
from budget.windows import window, zone

# How long a hook waits for the lines of the step it was called for (see `_await_step`).
LATE_LINES_S = 0.25
_POLL_S = 0.02


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


class Reading(NamedTuple):
    """What booking had to leave open."""

    bad_lines: int = 0
    unfinished: bool = False
    """Time ran out before the end of the transcripts."""
    nothing_to_read: bool = False
    """Steps were made, and neither a transcript nor the client's own total tells of any."""
    unreadable: tuple[str, ...] = ()


def layers(env: paths.Env, project: paths.Project) -> list[Layer]:
    """The config files that hold in a project, the highest authority first."""
    user = Layer("user", paths.user_config(env), "~/.claude/budget.toml")
    repo = Layer("repo", paths.repo_config(project), ".claude/budget.toml")
    # In the home folder both are one file: it is the person's own.
    one = os.path.realpath(user.file) == os.path.realpath(repo.file)
    added = paths.added_config(env)
    program = [Layer("program", added, "guard(budgets=...)")] if added else []
    return [user, *program] if one else [user, repo, *program]


def step(
    moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env
) -> tuple[Decision, Reading]:
    """Books what is new, then judges."""
    reading = book(moment, ledger, policy, env)
    return judge(policy, ledger, moment.session_id, moment.now_ms), reading


def price_table(policy: Policy, env: paths.Env) -> Table:
    """The prices that hold in a project."""
    return corrected(newest_table(paths.price_file(env)), policy.prices)


def judge(policy: Policy, ledger: Ledger | None, session_id: str, now_ms: int) -> Decision:
    """How every budget stands now; without a ledger nothing was spent."""
    verdicts = []
    for budget in policy.budgets:
        span = budget_window(budget, session_id, now_ms)
        spend = ledger.spend(span) if ledger else Spend()
        verdicts.append(Verdict(budget, span, spent(budget, spend)))
    return Decision(tuple(verdicts))


def budget_window(budget: Budget, session_id: str, now_ms: int) -> Window:
    """The window a budget counts over at a moment."""
    return window(budget.per, now_ms, session_id, zone(budget.timezone), budget.week_starts)


def book(moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env) -> Reading:
    """Brings the ledger up to what the transcripts and the client's own total say."""
    booking = _Booking(moment, ledger, price_table(policy, env))
    folder = paths.client_totals_folder(env, moment.session_id)
    reports = sensor.client_totals(folder, moment.session_id)
    if moment.transcript:
        booking.read_all()
        only_usd = all(budget.unit == "usd" for budget in policy.budgets)
        if moment.ended or (moment.tool_use_ids and not (reports and only_usd)):
            booking.await_step()
    with ledger.transaction():
        booking.flush_into_open_transaction()
        reconcile.note(ledger, reports)
        reconcile.settle(ledger, moment.session_id, moment.now_ms)
    reading = booking.reading()
    if moment.tool_use_ids and not reports and booking.step_missing():
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

    def read_all(self) -> None:
        for place in self._places():
            self._read(place)

    def _places(self) -> Iterator[Place]:
        return places(self._moment.transcript, self._moment.session_id, self._moment.user)

    def await_step(self) -> None:
        """Waits a bounded moment for the step that was just made.

        A subagent's lines reach its file up to about 100 ms after its hook (2.1.330, 2026-11-23).
        What comes later than the wait is booked by the next event.
        """
        until = min(self._deadline, time.monotonic() + LATE_LINES_S)
        while self.step_missing() and time.monotonic() < until:
            time.sleep(_POLL_S)
            for place in self._places():
                if place.agent_id == self._moment.agent_id:
                    self._read(place)

    def flush_into_open_transaction(self) -> None:
        for place, batch in self._pending:
            self._ledger.book(batch.steps, self._table)
            self._ledger.move_cursor(place.path, place.session_id, batch.cursor)
            reconcile.note(self._ledger, batch.client_totals)
            self._bad_lines += batch.bad_lines
        self._pending.clear()

    def reading(self) -> Reading:
        return Reading(self._bad_lines, self._unfinished, unreadable=tuple(self._unreadable))

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
            self._unreadable.append(f"{place.path} cannot be read: {error.strerror}.")

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


def open_ledger(env: paths.Env, project: paths.Project, wait_s: float = 5.0) -> Ledger:
    """Raises `LedgerError`."""
    return Ledger(paths.ledger_file(env, project), wait_s, project.root)


@contextmanager
def existing_ledger(
    env: paths.Env, project: paths.Project, wait_s: float = 5.0
) -> Iterator[Ledger | None]:
    """The ledger, closed at the end; None where there is none: none is made. `LedgerError`."""
    if not has_ledger(env, project):
        yield None
        return
    ledger = open_ledger(env, project, wait_s)
    try:
        yield ledger
    finally:
        ledger.close()


def has_ledger(env: paths.Env, project: paths.Project) -> bool:
    """Raises `LedgerError` when that cannot be told: an unreadable ledger is not an empty one."""
    path = paths.ledger_file(env, project)
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LedgerError(f"The ledger {path} cannot be used: {error.strerror}.") from error
    return True
