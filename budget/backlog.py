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
from budget.lean import suppress
from budget.ledger import Ledger
from budget.model import Policy
from budget.pricing import Table
from budget.remarks import began_at, began_in
from budget.result import session_user
from budget.verdicts import budget_window

FACT = "backlog"
"""The fact that says which sessions are to be read: `pending`, those that count in some budget's
window; `ALL`, every one."""
ALL = "all"
FOR_S = 1.0
"""How long one hook reads other sessions."""
_CAUGHT_UP = "caught_up"
"""The fact that holds when a session last caught up with the others."""
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
            if _is_ours(path, moment.transcript, ledger.root()):
                _book(booking, ledger, path, moment.user, changed_ms, env)
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
    sessions nothing tells whose one is that no hook booked anything of: it is left out.
    """
    moment, many = booking.moment, bool(env.get(paths.MANY_USERS))
    told = ledger.fact(_CAUGHT_UP)
    last_ms = int(told or moment.now_ms)
    since_ms = last_ms - (_BEFORE_MS if told else _FIRST_MS)
    booking.allow(FOR_S)
    for changed_ms, path in _others(moment.transcript, ledger.root(), since_ms):
        session_id = _session_id(path)
        user = session_user(ledger, session_id)
        if many and not user:
            continue
        known = path in ledger.cursors(session_id)
        # What nobody read by then is from before the ledger: `budget import` books that.
        if known or (changed_ms > last_ms and _is_ours(path, moment.transcript, ledger.root())):
            _book(booking, ledger, path, user or moment.user, changed_ms, env)
        if not booking.in_time:
            return
    with ledger.transaction():
        ledger.set_fact(_CAUGHT_UP, str(moment.now_ms))


def caught_up_since(ledger: Ledger, at_ms: int) -> bool:
    """Whether a session caught up with the others since then."""
    return int(ledger.fact(_CAUGHT_UP) or 0) >= at_ms


def _book(
    booking: Booking, ledger: Ledger, path: str, user: str, changed_ms: int, env: paths.Env
) -> None:
    """Books another session as its own last hook would have, as far as time allows."""
    session_id = _session_id(path)
    booking.read_session(path, session_id, user)
    folder = paths.client_totals_folder(env, session_id)
    reports = sensor.client_totals(folder, session_id)
    if booking.has_news or any(reconcile.is_news(ledger, each) for each in reports):
        with ledger.transaction():
            booking.flush_into_open_transaction()
            reconcile.note(ledger, reports)
            reconcile.settle(ledger, session_id, changed_ms)


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
            found += [
                (entry.stat().st_mtime_ns // 10**6, entry.path)
                for entry in entries
                if entry.name.endswith(".jsonl") and entry.path != transcript and entry.is_file()
            ]
    for changed_ms, path in sorted(found, reverse=True):
        if changed_ms < since_ms:
            return
        yield changed_ms, path


def _is_ours(path: str, transcript: str, root: str) -> bool:
    """Whether a session began in the project, as far as its transcript tells.

    The client names `my_app` and `my-app` alike: their transcripts lie in one folder. A folder that
    is no more may have been this one's, or a worktree's.
    """
    if began_in(path, root):
        return True
    if os.path.dirname(path) != os.path.dirname(transcript):
        return False
    began = began_at(path)
    if is_remote(began) or not os.path.isdir(began):
        return True
    # As `open_ledger` writes it.
    return os.fsencode(paths.find_project(began).root).decode("utf-8", "replace") == root
