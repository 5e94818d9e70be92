"""Books what the files of a session hold: all of them, each line once.

What was read and how far it was read are written in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from budget import reconcile
from budget.errors import InputError
from budget.files import printable
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.places import Place, places
from budget.pricing import Table
from budget.reservations import replaced_by
from budget.transcript import Batch, Cursor, changed, read

# How long a hook waits for the lines of the step it was called for (see `await_step`).
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


class Booking:
    """Reads a session's files and writes what they hold, one transaction where that is enough."""

    def __init__(self, moment: Moment, ledger: Ledger, table: Table) -> None:
        self.moment = moment
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
        return places(self.moment.transcript, self.moment.session_id, self.moment.user)

    def await_step(self) -> None:
        """Waits a bounded moment for the step that was just made.

        A subagent's lines reach its file up to about 100 ms after its hook (2.1.330, 2026-11-23).
        What comes later than the wait is booked by the next event.
        """
        until = min(self._deadline, time.monotonic() + LATE_LINES_S)
        while self.step_missing() and time.monotonic() < until:
            time.sleep(_POLL_S)
            for place in self._places():
                if place.agent_id == self.moment.agent_id:
                    self._read(place)

    def read_session(self, transcript: str, session_id: str, user: str) -> None:
        """Reads another session, too."""
        self._cursors |= self._ledger.cursors(session_id)
        for place in places(transcript, session_id, user):
            self._read(place)

    def allow(self, for_s: float) -> None:
        """Reading goes on for so long from now."""
        self._deadline = time.monotonic() + for_s

    @property
    def in_time(self) -> bool:
        """Whether everything was read so far, and there is time for more."""
        return not self._unfinished and time.monotonic() <= self._deadline

    @property
    def deadline(self) -> float:
        """By the monotonic clock."""
        return self._deadline

    @property
    def has_news(self) -> bool:
        """Whether something was read that is not written yet."""
        return bool(self._pending)

    def leave_open(self) -> None:
        """What remains is read at the next event."""
        self._unfinished = True

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
        return Reading(*(self._bad_lines, self._unfinished), unreadable=tuple(self._unreadable))

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
        wanted = set(self.moment.tool_use_ids)
        for place in self._places():
            if place.agent_id == self.moment.agent_id:
                cursor = self._cursors.get(place.path, Cursor())
                if wanted:
                    return not wanted.intersection(cursor.tool_use_ids.split())
                return self.moment.ended and not self._has_last_step(place, cursor)
        return bool(wanted)

    def _has_last_step(self, place: Place, cursor: Cursor) -> bool:
        """Whether the step that ended the turn is in the file: it calls no tool."""
        prompt_id = "" if place.agent_id else self.moment.prompt_id
        return not cursor.tool_use_ids and prompt_id in ("", cursor.prompt_id)
