"""Books what other sessions of a project left to book.

A ledger that is new, or lost something, knows nothing of them. And a session that ended without
a last hook (its client was killed, its machine went down) wrote more than its hooks could read: the
next session that begins catches up with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from budget import paths, reconcile, sensor
from budget.booking import Booking
from budget.files import is_remote
from budget.lean import NamedTuple, suppress
from budget.ledger import Ledger
from budget.model import Policy
from budget.places import places
from budget.policy import person_of
from budget.pricing import Table
from budget.remarks import began_at
from budget.result import session_user
from budget.verdicts import budget_window

FACT = "backlog"
"""The fact that says which sessions are to be read: `pending`, those that count in some budget's
window; `ALL`, every one."""
ALL = "all"
FOR_S = 1.0
"""How long one hook reads other sessions."""
_CAUGHT_UP, _TRIED = "caught_up", "catching_up"
"""The facts that hold when a session last caught up with the others, and when one last tried."""
_BEFORE_MS = 86_400_000
"""An agent goes on writing to its own file when its session's had its last line."""
_FIRST_MS = 30 * 86_400_000
"""As long as the client keeps transcripts."""


def read_backlog(
    booking: Booking, ledger: Ledger, table: Table, policy: Policy, env: paths.Env
) -> str:
    """Books the project's other sessions that count today, this month, ...

    A ledger that is new was just installed, or someone deleted it. Answers what came of reading
    everything again, where the ledger had lost something.
    """
    moment = booking.moment
    windows = [budget_window(each, moment.session_id, moment.now_ms) for each in policy.budgets]
    starts = [each.start_ms for each in windows if each.session_id is None]
    since_ms = min(starts, default=None)
    if ledger.fact(FACT) == ALL:  # something was lost: everything counts
        since_ms = 0
        if booking.reading().unfinished or not moment.transcript:
            return ""
    booking.allow(FOR_S)
    if since_ms == 0 and ledger.fact("salvage"):
        from budget import salvage  # only after damage

        if not salvage.go_on(ledger, booking.deadline):
            booking.leave_open()
            return ""
    if since_ms is not None and moment.transcript:
        for changed_ms, path in _others(moment.transcript, ledger.root(), since_ms):
            if _is_ours(path, began_at(path), moment.transcript, ledger.root()):
                left = _Left(changed_ms, path, _session_id(path))
                _book(booking, ledger, left, moment.user, min(changed_ms, moment.now_ms), env)
            if not booking.in_time:
                booking.leave_open()
                return ""
    restored = ""
    with ledger.transaction():
        if ledger.fact(FACT) == ALL:
            from budget import restoring  # only after a loss

            restored = restoring.finish(ledger, table, moment.now_ms).text
        ledger.set_fact(FACT, None)
        ledger.set_fact(_CAUGHT_UP, str(moment.now_ms))
    return restored


def catch_up(booking: Booking, ledger: Ledger, env: paths.Env) -> None:
    """Books what other sessions wrote since a session caught up with them, as far as time allows.

    A session that is running is caught up with, too: its own hooks find it booked. Of many users'
    sessions nothing tells whose one is that no hook heard of: it is left out.
    """
    now_ms = booking.moment.now_ms
    told = int(ledger.fact(_CAUGHT_UP) or 0)
    # What was told before the clock was set back says nothing of now.
    last_ms = min(told, now_ms) if told else now_ms
    since_ms = now_ms - _FIRST_MS if told == 0 else last_ms - _BEFORE_MS
    booking.allow(FOR_S)
    for each in _left(booking, ledger, env, since_ms, last_ms if told <= now_ms else since_ms):
        user = _user_of(ledger, each.session_id) or booking.moment.user
        _book(booking, ledger, each, user, min(each.changed_ms, now_ms), env)
        if not booking.in_time:
            return
    with ledger.transaction():
        ledger.set_fact(_CAUGHT_UP, str(now_ms))


class _Left(NamedTuple):
    """A session that may hold something that is not booked."""

    changed_ms: int
    transcript: str
    session_id: str


def _left(
    booking: Booking, ledger: Ledger, env: paths.Env, since_ms: int, last_ms: int
) -> list[_Left]:
    """The newest first. Of sessions that were read since `since_ms` every file is looked at; others
    have to have begun since `last_ms`: what is older is from before the ledger."""
    own = booking.moment.transcript
    read = ledger.files_since(since_ms)
    sessions = {_main(path): session_id for path, session_id, *_ in read if _main(path) != own}
    seen = {path: (size, mtime_ns) for path, _, size, mtime_ns in read}
    found = []
    for transcript, session_id in sessions.items():
        changed = [_reported_ms(env, session_id, last_ms)]
        for place in places(transcript, session_id):
            with suppress(OSError):
                status = os.stat(place.path)
                if seen.get(place.path) != (status.st_size, status.st_mtime_ns):
                    changed.append(status.st_mtime_ns // 10**6)
        if max(changed):
            found.append(_Left(max(changed), transcript, session_id))
    many = env.get(paths.MANY_USERS)
    for changed_ms, path in _others(own, ledger.root(), last_ms + 1):
        session_id = _session_id(path)
        began = "" if path in sessions else began_at(path)
        if (
            began  # else it names no folder yet: it may be of another project
            and _is_ours(path, began, own, ledger.root())
            and not (many and _user_of(ledger, session_id) is None)
        ):
            found.append(_Left(changed_ms, path, session_id))
    return sorted(found, reverse=True)


def _main(path: str) -> str:
    """The transcript of the session that a file belongs to."""
    main, below, _ = path.partition(f"{os.sep}subagents{os.sep}")
    return f"{main}.jsonl" if below else path


def _reported_ms(env: paths.Env, session_id: str, last_ms: int) -> int:
    """When a client last reported its total, if that was after `last_ms`; else 0."""
    newest = 0
    with suppress(OSError), os.scandir(paths.client_totals_folder(env, session_id)) as entries:
        for each in entries:
            if each.name.endswith(".json"):
                newest = max(newest, each.stat().st_mtime_ns // 10**6)
    return newest if newest > last_ms else 0


def _user_of(ledger: Ledger, session_id: str) -> str | None:
    """Whose session it is: of its first step, or as it was kept when it began."""
    folder = os.path.join(os.path.dirname(ledger.path), "sessions")
    return session_user(ledger, session_id) or person_of(folder, paths.safe_name(session_id))


def tried_since(ledger: Ledger, at_ms: int, now_ms: int) -> bool:
    """Whether a session caught up, or tried to, since then; else this one is about to."""
    if at_ms <= int(ledger.fact(_TRIED) or 0) <= now_ms:
        return True
    with ledger.transaction():
        ledger.set_fact(_TRIED, str(now_ms))
    return False


def _book(
    booking: Booking, ledger: Ledger, left: _Left, user: str, at_ms: int, env: paths.Env
) -> None:
    """Books another session as its own last hook would have, as far as time allows."""
    booking.read_session(left.transcript, left.session_id, user)
    folder = paths.client_totals_folder(env, left.session_id)
    reports = sensor.client_totals(folder, left.session_id)
    if booking.has_news or any(reconcile.is_news(ledger, each) for each in reports):
        with ledger.transaction():
            booking.flush_into_open_transaction()
            reconcile.note(ledger, reports)
            reconcile.settle(ledger, left.session_id, at_ms)


def _session_id(path: str) -> str:
    return os.path.basename(path).removesuffix(".jsonl")


def _others(transcript: str, root: str, since_ms: int) -> Iterator[tuple[int, str]]:
    """When each other session changed, and its transcript, if that was not before `since_ms`.

    The newest first: what was just spent matters most.
    """
    folder = os.path.dirname(transcript)
    found = []
    # Sessions that began in a folder below lie in folders of their own.
    folders: list[str] = []
    with suppress(OSError), os.scandir(os.path.dirname(folder)) as beside:
        name = paths.transcripts_name(root)
        folders = [each.path for each in beside if each.name.startswith(name)]
    for place in {folder, *folders}:
        with suppress(OSError), os.scandir(place) as entries:
            for each in entries:
                if each.name.endswith(".jsonl") and each.path != transcript and each.is_file():
                    with suppress(OSError):  # the client removes old ones when it starts
                        found.append((each.stat().st_mtime_ns // 10**6, each.path))
    for changed_ms, path in sorted(found, reverse=True):
        if changed_ms < since_ms:
            return
        yield changed_ms, path


def _is_ours(path: str, began: str, transcript: str, root: str) -> bool:
    """Whether a session that `began` in a folder is the project's, as far as its transcript tells.

    The client names `my_app` and `my-app` alike: their transcripts lie in one folder. A project
    within this one is another. A folder that is no more may have been this one's, or a worktree's.
    """
    if began and not is_remote(began) and os.path.isdir(began):
        # As `open_ledger` writes it.
        return os.fsencode(paths.find_project(began).root).decode("utf-8", "replace") == root
    beside = os.path.dirname(path) == os.path.dirname(transcript)
    return beside or began == root or began.startswith(root.rstrip(os.sep) + os.sep)
