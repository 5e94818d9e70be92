"""The way through: transcript -> steps -> priced entries -> ledger -> spend -> verdicts.

`step` is the main flow; everything else here is one of its stages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from budget import paths, reconcile, sensor
from budget.booking import Booking, Moment, Reading
from budget.errors import DamagedLedgerError, LedgerError
from budget.evaluate import NOT_KNOWN, Decision, Who
from budget.lean import contextmanager, suppress
from budget.ledger import Ledger
from budget.merge import Layer
from budget.model import Policy, Spend, Window
from budget.outlook import first_step, next_step
from budget.policy import load_policy
from budget.pricing import Table, corrected, newest_table, price_print
from budget.remarks import model_was_switched
from budget.reservations import STARTING, drop_session
from budget.verdicts import Actor, counts_people, decide, judge

_SAME_MOMENT_S = 0.2
_SHORTLY_S = 0.2


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
    reading = book(moment, ledger, policy, env, table)
    if not policy.budgets:
        return Decision(()), reading
    if moment.next_is in ("session", "nothing"):
        with ledger.transaction():
            drop_session(ledger, moment.session_id, moment.now_ms)
    actor = _actor(moment, ledger, table, reading)
    decision = decide(
        *(policy, ledger, env, moment.session_id, moment.now_ms, moment.user),
        *(moment.read_for_s, actor),
    )
    return decision, reading


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


def book(moment: Moment, ledger: Ledger, policy: Policy, env: paths.Env, table: Table) -> Reading:
    """Brings the ledger up to what the transcripts and the client's own total say."""
    booking = Booking(moment, ledger, table)
    folder = paths.client_totals_folder(env, moment.session_id)
    reports = sensor.client_totals(folder, moment.session_id)
    if moment.transcript:
        booking.read_all()
        only_usd = all(budget.unit == "usd" for budget in policy.budgets)
        # What the first step of an agent will cost is told from the step that starts it.
        needed = moment.next_is == "agent" or not (reports and only_usd)
        if moment.ended or (moment.tool_use_ids and needed):
            booking.await_step()
    with ledger.transaction():
        booking.flush_into_open_transaction()
        reconcile.note(ledger, reports)
        reconcile.settle(ledger, moment.session_id, moment.now_ms, moment.user)
    restored = ""
    if ledger.fact("backlog"):
        from budget import backlog  # only of a ledger that is new, or lost something

        restored = backlog.read_backlog(booking, ledger, table, policy, env)
    elif moment.next_is == "session" and moment.transcript:
        from budget import backlog  # only at the start of a session

        # Apart: what other sessions' files are like is no news of this one's.
        backlog.catch_up(Booking(moment, ledger, table), ledger, env)
    reading = booking.reading()._replace(restored=restored)
    if not reports and booking.step_missing():
        reading = reading._replace(late=True)
    if reading.late and moment.tool_use_ids:
        of_session = Window(0, None, session_id=moment.session_id)
        reading = reading._replace(nothing_to_read=not ledger.spend(of_session).steps)
    return reading


def open_ledger(env: paths.Env, project: paths.Project, wait_s: float = 5.0) -> Ledger:
    """The ledger, made where there is none. Raises `LedgerError`."""
    paths.check_state(env)
    # A folder's name may be bytes that are no text, which a ledger does not hold.
    root = os.fsencode(project.root).decode("utf-8", "replace")
    ledger = Ledger(paths.ledger_file(env, project), wait_s, root)
    if ledger.is_new and not env.get(paths.MANY_USERS):
        with ledger.transaction():
            ledger.set_fact("backlog", "pending")
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
