"""What people spent over all projects of this machine: a ledger of its own, made of the others.

It is derived, and brought up to date where a budget of scope `user` is judged: from every ledger
that changed since, from where it was left. So no hook reads every ledger, none waits for another's
writing, and a file that is lost is made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from budget import paths
from budget.chain import seal
from budget.errors import LedgerError
from budget.lean import contextmanager, suppress
from budget.ledger import Ledger
from budget.reservations import replaced_by

_SOME = 2_000
"""Entries that are taken over in one transaction."""
_NEWS_S = 1.0
_LOOK_S = 0.2
_SETTLED_NS = 50_000_000
"""A file that changed less than this before it was looked at may change again unseen: the clock
of a file system ticks every few milliseconds."""


@contextmanager
def people_ledger(
    env: paths.Env, own: Ledger | None, for_s: float, wait_s: float = 2.0
) -> Iterator[tuple[Ledger, tuple[str, ...]]]:
    """The ledger of people, brought up to date, and what could not be taken into it.

    `own` is the project's ledger where it is open already. Raises `LedgerError`.
    """
    ledger = Ledger(paths.people_ledger_file(env), min(wait_s, max(0.2, for_s)))
    try:
        yield ledger, bring_up(ledger, env, own, for_s)
    finally:
        ledger.close()


@contextmanager
def people_seen(env: paths.Env) -> Iterator[tuple[Ledger | None, tuple[str, ...]]]:
    """The ledger of people as it was last brought up, for who only looks; None where there is none.

    What was booked since is told by the number of its projects. Raises `LedgerError`.
    """
    path = paths.people_ledger_file(env)
    if not os.path.exists(path):
        yield None, _behind({}, env)
        return
    ledger = Ledger(path, _LOOK_S, looks=True)
    try:
        rows = ledger.rows("SELECT path, seq, unattributed_seq FROM sources")
        yield ledger, _behind({each: (seq, amounts) for each, seq, amounts in rows}, env)
    finally:
        ledger.close()


def _behind(known: dict[str, tuple[int, int]], env: paths.Env) -> tuple[str, ...]:
    behind = 0
    for path in paths.all_ledgers(env):
        with suppress(LedgerError):
            other = Ledger(path, _LOOK_S, looks=True)
            try:
                behind += other.newest_seq() != known.get(path, (0, 0))
            finally:
                other.close()
    if not behind:
        return ()
    projects = "one project" if behind == 1 else f"{behind} projects"
    return (
        f"Budgets of scope user leave out the news of {projects}: the next step adds them up,"
        " and so does `budget status`.",
    )


def take_over(people: Ledger, own: Ledger) -> None:
    """The news of one ledger, inside a transaction of both."""
    _take_over(people, own, "", time.monotonic() + _NEWS_S)


def bring_up(people: Ledger, env: paths.Env, own: Ledger | None, for_s: float) -> tuple[str, ...]:
    """Takes over what changed since; says what could not be."""
    return tuple(_bring_up(people, env, own, time.monotonic() + for_s))


def _bring_up(people: Ledger, env: paths.Env, own: Ledger | None, until: float) -> Iterator[str]:
    rows = people.rows("SELECT path, stamp FROM sources")
    stamps: dict[str, str] = dict(rows)
    for path in paths.all_ledgers(env):
        stamp = _stamp(path)
        if stamp and stamps.get(path) == stamp:
            continue
        if time.monotonic() > until:
            yield (
                "There is much to add up over all projects: it goes on at the next step, and"
                " budgets of scope user count what was added up so far."
            )
            return
        try:
            if own is not None and own.path == path:
                _take_over(people, own, stamp, until)
            else:
                other = Ledger(path, wait_s=0.2, make=False)
                try:
                    _take_over(people, other, stamp, until)
                finally:
                    other.close()
        except LedgerError as error:
            yield f"Budgets of scope user count what was known of one project: {error}"


def _take_over(people: Ledger, other: Ledger, stamp: str, until: float) -> None:
    while True:
        with people.transaction():
            done = _take_some(people, other, stamp)
        if done or time.monotonic() > until:
            return


def _take_some(people: Ledger, other: Ledger, stamp: str) -> bool:
    """Takes the next news over, inside a transaction; whether that was all.

    What is known already and what is news is read in it: of two hooks at once the one that read
    first would else put older amounts in the place of the other's.
    """
    known = people.rows(
        "SELECT ledger_id, seq, unattributed_seq FROM sources WHERE path = ?", other.path
    )
    ledger_id, seq, unattributed_seq = known[0] if known else (other.id, 0, 0)
    if ledger_id != other.id:  # it was made anew: what was taken over before stays, once
        seq = unattributed_seq = 0
        _take_back_unattributed(people, other)
    entries, last = other.changed_since(seq, _SOME)
    done = len(entries) < _SOME
    replaced_by(people, [step for step, _ in entries])
    people.absorb(entries)
    amounts = other.unattributed_since(unattributed_seq) if done else []
    for number, session_id, quarter, user, picousd in amounts:
        _set_unattributed(people, session_id, quarter, user, picousd)
        unattributed_seq = number
    row = (other.path, other.id, stamp if done else "", last, unattributed_seq)
    people.write(
        "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)", (*row, seal("sources", row))
    )
    return done


def _take_back_unattributed(people: Ledger, other: Ledger) -> None:
    """Of sessions whose amounts come anew: the same total may be dated in another quarter now."""
    sessions = {each[1] for each in other.unattributed_since(0)}
    for _, session_id, quarter, user, picousd in people.unattributed_since(0):
        if session_id in sessions and picousd:
            people.add_unattributed(session_id, quarter, user, -picousd)


def _set_unattributed(
    people: Ledger, session_id: str, quarter: int, user: str, picousd: int
) -> None:
    known = people.rows(
        "SELECT picousd FROM unattributed WHERE session_id = ? AND quarter = ? AND user = ?",
        session_id,
        quarter,
        user,
    )
    change = picousd - (known[0][0] if known else 0)
    if change:
        people.add_unattributed(session_id, quarter, user, change)


def _stamp(path: str) -> str:
    """Differs when a ledger was written to; empty while that cannot be told."""
    parts = []
    for file in (path, f"{path}-wal"):
        try:
            status = os.stat(file)
        except OSError:
            continue
        if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
            return ""
        parts.append(f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(parts)
