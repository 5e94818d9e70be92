"""The hook program: one event of the client in on stdin, one JSON answer out on stdout.

It always exits 0: any other code is either ignored by the client or, with 2, blocks the person.
Whatever goes wrong, one boundary (`main`) turns it into an answer that says so and lets the action
go on, or stops it where a config says `on_error = "block"`. Standard library only: this runs
after every step of every session.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Mapping

from budget import anchor, paths, pipeline, sensor
from budget.answers import ANSWERS, Answer, Setting, add_notices
from budget.database import Database
from budget.errors import BudgetError, DamagedLedgerError, InputError, LedgerError
from budget.event import STOPPING, Event, event_of, moment_of, patience_s
from budget.failure import failed, logged
from budget.files import printable_lines
from budget.lean import Any, dumps, loads, suppress
from budget.ledger import Ledger
from budget.verdicts import standing

_LARGEST_INPUT = 256 * 1024 * 1024
# The client waits for 15 seconds, at the end of a session for 1.5 (see `hooks.json`).
_WITHIN_S = 12.0
_LAST_WITHIN_S = 1.4


def main(arguments: list[str]) -> None:
    """Answers one event and ends the process. `--strict` makes a failure stop the work."""
    os.umask(0o077)
    Database.ends_at_once = True
    env = dict(os.environ)
    context: dict[str, Any] = {"strict": "--strict" in arguments, "stdin": True}
    turn = allocate_lock()
    with suppress(RuntimeError):  # no further thread is allowed: then it has to do without
        start_new_thread(_answer_in_time, (turn, env, context))
    try:
        answer = answer_to(_input, env, context)
        if env.get("BUDGET_RUN"):
            _witness(answer, env, context)
    except Exception:  # noqa: BLE001 - no memory or file is left to say even that
        answer = {}
    turn.acquire()
    _reply(answer)


def _answer_in_time(turn: LockType, env: paths.Env, context: dict[str, Any]) -> None:
    """Answers where the program hangs in a call that nothing bounds: on a dead disk, or a lock.

    SQLite waits ten seconds, whatever it was told, for a process that stopped while it made the
    index of the log, and does so each time.
    """
    time.sleep(_LAST_WITHIN_S)
    if context.get("name") != "SessionEnd":
        time.sleep(_WITHIN_S - _LAST_WITHIN_S)
    if turn.acquire(False):
        text = (
            "The ledger or its disk does not answer: another process may hold it. It is tried again"
            " at the next step."
        )
        try:
            answer = _harmless(failed(text, env, context))
        except Exception:  # noqa: BLE001 - as in `main`
            answer = {}
        _reply(answer)


def answer_to(read: Callable[[], Any], env: paths.Env, context: dict[str, Any]) -> Answer:
    """The answer to the event that `read` returns, whatever goes wrong: the one boundary.

    `context` holds `strict` and whether it came by `stdin`, and receives what is known: `event`,
    `policy`, `ledger`.
    """
    try:
        answer = respond(read(), env, int(time.time() * 1000), context)
    except BudgetError as error:
        answer = failed(str(error), env, context)
    except MemoryError:
        answer = failed("The hook was given too little memory: it needs 60 MB.", env, context)
    except Exception as error:  # noqa: BLE001 - a bug must not lock anyone out
        answer = failed(logged(error, env, context), env, context)
    return _harmless(answer)


def _harmless(answer: Answer) -> Answer:
    """An answer whose texts do nothing to a screen, whatever names and paths are in them."""
    return {
        key: printable_lines(value)
        if isinstance(value, str)
        else _harmless(value)
        if isinstance(value, dict)
        else value
        for key, value in answer.items()
    }


def _witness(answer: Answer, env: paths.Env, context: Mapping[str, Any]) -> None:
    """Tells the `budget run` that started the client of this event."""
    from budget import witness  # only for a run of its own

    event: Event | None = context.get("event")
    if event:
        stop = witness.stop_of(answer, event.prompt)
        witness.append(
            env[witness.VARIABLE],
            witness.Seen(event.session_id, event.transcript, stop, event.agent_id),
        )


def respond(
    payload: Any, env: paths.Env, now_ms: int, context: dict[str, Any] | None = None
) -> Answer:
    """The answer to one event; a ledger that is damaged is made anew, and that of people is, too.

    `context` receives what is known when something fails. Raises `BudgetError` for a failure that
    is expected.
    """
    context = {} if context is None else context
    for _ in range(2):
        try:
            return _respond(payload, env, now_ms, context)
        except DamagedLedgerError as error:
            from budget import mending  # only where there is damage

            if "ledger" in context:
                context.pop("ledger").close()
            mending.set_aside(error.path)
            context.setdefault("remade", []).append(error.path)
    return _respond(payload, env, now_ms, context)


def _respond(payload: Any, env: paths.Env, now_ms: int, context: dict[str, Any]) -> Answer:
    event = event_of(payload, env, context)
    context["event"] = event
    if event.name in ("SessionStart", "UserPromptSubmit"):
        sensor.tell_answered(paths.client_totals_folder(env, event.session_id), now_ms)
    lost = context.get("remade") or pipeline.lost_ledger(env, event.project, event.session_id)
    begins = event.name == "SessionStart" and event.source != "compact" and _is_genuine(context)
    policy = pipeline.policy_of(
        *(env, event.project, event.person, event.session_id, begins),
        nested=begins and _is_nested(context),
    )
    event = event._replace(person=policy.person)
    context["event"] = event
    context["policy"] = policy
    ledger = pipeline.open_ledger(env, event.project, wait_s=patience_s(event))
    context["ledger"] = ledger
    if ledger.is_new:
        from budget import salvage  # once for each ledger

        salvage.begin(ledger)
    anchor_file = paths.anchor_file(env, event.project)
    trouble = anchor.compare(ledger, anchor_file)
    restored = _restored(trouble, ledger, event, env, now_ms) if trouble else ()
    if event.name == "SessionStart":
        from budget import mending  # only at the start of a session

        mending.check(ledger, env)
    setting = Setting(
        *(event, policy, ledger, env, now_ms, bool(lost or trouble) and ledger.is_new),
        restored=restored,
        people_remade=paths.people_ledger_file(env) in context.get("remade", ()),
    )
    moment = moment_of(event, env, now_ms)
    try:
        decision, reading = pipeline.step(moment, ledger, policy, env)
    except DamagedLedgerError:
        raise
    except BudgetError:
        if event.name not in STOPPING:
            raise
        # What cannot be booked now does not lift a budget that is known to be used up.
        decision = pipeline.judge_now(moment, ledger, policy, env)
        if not decision.blocking:
            raise
        return ANSWERS[event.name](setting, decision)
    answer = ANSWERS[event.name](setting, decision)
    add_notices(answer, setting, reading, decision)
    # What could not be mended yet is still to be seen by the next hook.
    if not trouble or not anchor.compare(ledger, anchor_file):
        anchor.keep(ledger, anchor_file, standing(decision, now_ms))
    return answer


def _restored(
    trouble: anchor.Trouble, ledger: Ledger, event: Event, env: paths.Env, now_ms: int
) -> tuple[str, ...]:
    """What was done about a ledger that is not what it was, for the person.

    What cannot be done now does not lift a budget that is known to be used up.
    """
    from budget import restoring  # only where there is trouble

    if event.name == "SessionEnd":  # there is no time: the next hook does it
        return ()
    try:
        return tuple(restoring.restore(ledger, trouble, env, event.project, now_ms))
    except DamagedLedgerError:
        raise
    except LedgerError as error:
        return (f"something else than budget changed this project's ledger. {error}",)


def _is_nested(context: Mapping[str, Any]) -> bool:
    """Whether a session was started from within another one, by its agent's commands."""
    from budget import ancestry  # only at the start of a session

    return bool(context.get("stdin")) and len(ancestry.clients_above()) > 1


def _is_genuine(context: Mapping[str, Any]) -> bool:
    """Whether the client sent the event. An agent could make one up, to begin its session anew."""
    from budget import ancestry  # only at the start of a session

    return not context.get("stdin") or ancestry.is_from_client()


def _input() -> Any:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("This is a hook: Claude Code runs it and writes the event to its stdin.")
    pieces, size = [], 0
    # Piece by piece: memory for the largest would be asked for at once.
    while size < _LARGEST_INPUT and (piece := sys.stdin.buffer.read(1024 * 1024)):
        pieces.append(piece)
        size += len(piece)
    data = b"".join(pieces)
    try:
        return loads(data)
    except (ValueError, RecursionError) as error:
        got = "nothing" if not data.strip() else f"{len(data)} bytes that are not JSON"
        raise InputError(f"The hook expected an event as JSON on stdin and got {got}.") from error


def _reply(answer: Answer) -> None:
    try:
        if sys.stdout is None:
            os._exit(0)
        # An empty answer is no output: the client shows what a hook of PreCompact prints.
        sys.stdout.write(dumps(answer) if answer else "")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    # The interpreter's tear-down costs time, and an orderly close of the ledger does.
    os._exit(0)
