"""The hook program: one event of the client in on stdin, one JSON answer out on stdout.

It always exits 0: any other code is either ignored by the client or, with 2, blocks the person.
Whatever goes wrong, one boundary (`main`) turns it into an answer that says so and lets the action
go on, or stops it where a config says `on_error = "block"`. Standard library only: this runs
after every step of every session.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from json import dumps, loads
from typing import TYPE_CHECKING, Any, NamedTuple

from budget import grants, messages, paths, pipeline
from budget.errors import BudgetError, InputError
from budget.evaluate import Decision, Who, concerns
from budget.ledger import Ledger
from budget.model import AGENT_TOOLS, Policy, Verdict
from budget.policy import NO_POLICY
from budget.projection import bytes_of_results
from budget.verdicts import consent, window_name

if TYPE_CHECKING:
    from budget import counselling

_LARGEST_INPUT = 256 * 1024 * 1024

Answer = dict[str, Any]


class Event(NamedTuple):
    """A hook's input, checked."""

    name: str
    session_id: str
    transcript: str
    agent_id: str
    agent_type: str
    prompt: str
    prompt_id: str
    tool_name: str
    tool_use_ids: tuple[str, ...]
    source: str
    started_agent: str
    """The type of the agent that a tool call would start."""
    tool_use_id: str
    added_bytes: int | None
    """What joins the context before the next step; None where nothing does."""
    project: paths.Project
    person: str


class Setting(NamedTuple):
    """What an event is judged in."""

    event: Event
    policy: Policy
    ledger: Ledger
    env: paths.Env
    now_ms: int


def main(arguments: list[str]) -> None:
    """Answers one event and ends the process. `--strict` makes a failure stop the work."""
    os.umask(0o077)
    env = dict(os.environ)
    context: dict[str, Any] = {"strict": "--strict" in arguments}
    answer = answer_to(_input, env, context)
    if env.get("BUDGET_RUN"):
        _witness(answer, env, context)
    _reply(answer)


def answer_to(read: Callable[[], Any], env: paths.Env, context: dict[str, Any]) -> Answer:
    """The answer to the event that `read` returns, whatever goes wrong: the one boundary.

    `context` holds `strict`, and receives what is known: `event`, `policy`, `ledger`.
    """
    try:
        return respond(read(), env, int(time.time() * 1000), context)
    except BudgetError as error:
        return _failed(str(error), env, context)
    except Exception as error:  # noqa: BLE001 - a bug must not lock anyone out
        return _failed(_logged(error, env, context), env, context)


def _witness(answer: Answer, env: paths.Env, context: Mapping[str, Any]) -> None:
    """Tells the `budget run` that started the client of this event."""
    from budget import witness  # only for a run of its own

    event: Event | None = context.get("event")
    if event:
        stop = witness.stop_of(answer, event.prompt)
        witness.append(
            env[witness.VARIABLE], witness.Seen(event.session_id, event.transcript, stop)
        )


def respond(
    payload: Any, env: paths.Env, now_ms: int, context: dict[str, Any] | None = None
) -> Answer:
    """The answer to one event.

    `context` receives what is known when something fails. Raises `BudgetError` for a failure that
    is expected.
    """
    context = {} if context is None else context
    event = _event(payload, env, context)
    context["event"] = event
    begins = event.name == "SessionStart" and event.source != "compact"
    policy = pipeline.policy_of(env, event.project, event.person, event.session_id, begins)
    context["policy"] = policy
    ledger = pipeline.open_ledger(env, event.project, wait_s=_patience_s(event))
    context["ledger"] = ledger
    setting = Setting(event, policy, ledger, env, now_ms)
    moment = _moment(event, env, now_ms)
    try:
        decision, reading = pipeline.step(moment, ledger, policy, env)
    except BudgetError:
        # What cannot be booked now does not lift a budget that is known to be used up.
        decision = pipeline.judge_now(moment, ledger, policy, env)
        if not decision.blocking or event.name not in _STOPPING:
            raise
        return _ANSWERS[event.name](setting, decision)
    answer = _ANSWERS[event.name](setting, decision)
    _add_notices(answer, setting, reading, decision)
    return answer


# -- input -----------------------------------------------------------------------------------------


def _input() -> Any:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("This is a hook: Claude Code runs it and writes the event to its stdin.")
    data = sys.stdin.buffer.read(_LARGEST_INPUT)
    try:
        return loads(data)
    except (ValueError, RecursionError) as error:
        got = "nothing" if not data.strip() else f"{len(data)} bytes that are not JSON"
        raise InputError(f"The hook expected an event as JSON on stdin and got {got}.") from error


def _event(payload: Any, env: paths.Env, context: dict[str, Any]) -> Event:
    if not isinstance(payload, dict):
        raise InputError("The hook expected an event as a JSON object on stdin.")

    def text(key: str) -> str:
        value = payload.get(key)
        if not isinstance(value, str):
            return ""
        try:
            value.encode()
        except UnicodeEncodeError:
            # A lone surrogate is in no file name; a prompt may well hold one.
            if key in ("cwd", "transcript_path"):
                raise InputError(f"The {key} of the event is no text that can be used.") from None
        return value

    name, session_id = text("hook_event_name"), text("session_id")
    context["name"] = name
    if name not in _ANSWERS:
        raise InputError(
            f"The hook was called for the event {name[:60]!r}, which it does not know."
        )
    if not session_id or not session_id.isprintable() or len(session_id) > 200:
        raise InputError(f"The {name} event has no usable session_id.")
    calls = payload.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    ids = [call.get("tool_use_id") for call in calls if isinstance(call, dict)]
    folder = env.get("CLAUDE_PROJECT_DIR") or text("cwd")
    if not os.path.isabs(folder) or "\0" in folder:
        raise InputError(f"The {name} event names no folder (CLAUDE_PROJECT_DIR or cwd).")
    tool_input = payload.get("tool_input")
    started = tool_input.get("subagent_type") if isinstance(tool_input, dict) else None
    project = paths.find_project(folder)
    return Event(
        name=name,
        session_id=session_id,
        transcript=text("transcript_path"),
        agent_id=text("agent_id"),
        agent_type=text("agent_type"),
        prompt=text("prompt"),
        prompt_id=text("prompt_id"),
        tool_name=text("tool_name"),
        tool_use_ids=tuple(each for each in ids if isinstance(each, str)),
        source=text("source"),
        started_agent=started if isinstance(started, str) else "",
        tool_use_id=text("tool_use_id"),
        added_bytes=_added_bytes(name, payload),
        project=project,
        person=paths.person(env, project),
    )


def _added_bytes(name: str, payload: Mapping[str, Any]) -> int | None:
    if name == "PostToolBatch":
        return bytes_of_results(payload.get("tool_calls"))
    prompt = payload.get("prompt")
    return len(prompt.encode("utf-8", "replace")) if isinstance(prompt, str) else None


def _patience_s(event: Event) -> float:
    """How long to wait for others that write to the ledger: longer where money is at stake."""
    if _is_last(event):
        return 0.5
    return 5.0 if event.name in _STOPPING else 2.0


def _is_last(event: Event) -> bool:
    """SessionEnd hooks have 1.5 seconds in all (documented, 2.1.330)."""
    return event.name == "SessionEnd"


def _moment(event: Event, env: paths.Env, now_ms: int) -> pipeline.Moment:
    transcript = paths.check_transcript(event.transcript, env) if event.transcript else ""
    return pipeline.Moment(
        session_id=event.session_id,
        transcript=transcript,
        agent_id=event.agent_id,
        tool_use_ids=_calls(event),
        ended=event.name in ("Stop", "SubagentStop"),
        prompt_id=event.prompt_id,
        now_ms=now_ms,
        read_for_s=0.5 if _is_last(event) else 5.0,
        user=event.person,
        next_is=_next(event),
        agent=event.agent_type or ("" if event.agent_id else "main"),
        starts=event.started_agent or "general-purpose",
        call_id=event.tool_use_id,
        added_bytes=event.added_bytes,
    )


def _calls(event: Event) -> tuple[str, ...]:
    """The tool calls of the step that has to be booked before an event can be judged."""
    if event.name == "PostToolBatch":
        return event.tool_use_ids
    starts = event.name == "PreToolUse" and event.tool_name in AGENT_TOOLS and event.tool_use_id
    return (event.tool_use_id,) if starts else ()


def _next(event: Event) -> str:
    """What comes after an event (see `pipeline.Moment`)."""
    if event.name == "PreToolUse":
        return "agent" if event.tool_name in AGENT_TOOLS else ""
    if event.name == "SessionStart":
        return "" if event.source == "compact" else "session"
    return {"PostToolBatch": "step", "UserPromptSubmit": "prompt", "SessionEnd": "nothing"}.get(
        event.name, ""
    )


# -- answers, one per event ------------------------------------------------------------------------


def _session_start(setting: Setting, decision: Decision) -> Answer:
    from budget import environment, sweep  # only here: once a session

    sweep.sweep(setting.env, setting.now_ms / 1000)
    answer: Answer = {}
    if decision.verdicts and setting.event.source != "compact":
        _say(answer, _standing(setting, decision))
    notice = environment.notice(setting.env, setting.now_ms / 1000)
    if notice:
        _say(answer, notice)
    if setting.event.source in ("resume", "fork", "compact"):
        from budget import counselling

        told = counselling.at_start(_counselled(setting), setting.event.source)
        for text in told:
            _say(answer, text)
    return answer


def _standing(setting: Setting, decision: Decision) -> str:
    line = messages.session_line(decision.verdicts, setting.policy, setting.now_ms)
    if decision.blocking:
        stop = messages.stop(decision.blocking, setting.policy, setting.now_ms)
        line = f"{line}\n{stop}"
    return line


def _prompt(setting: Setting, decision: Decision) -> Answer:
    """Blocks while a budget is used up; the client's own commands never come here."""
    prompt = setting.event.prompt.lstrip()
    if prompt.startswith("/budget:"):
        return _typed(setting, decision, prompt)
    blocking = decision.blocking
    asking = [each for each in blocking if each.budget.on_exceed == "ask"]
    if asking and len(asking) == len(blocking) and _is_typed(setting):
        with setting.ledger.transaction():
            again = [consent(setting.ledger, each, setting.now_ms) for each in asking]
        return {"systemMessage": messages.goes_on(again)}
    if blocking:
        reason = messages.prompt_blocked(blocking, setting.policy, setting.now_ms)
        _record_stop(setting, decision)
        return {"decision": "block", "reason": reason, **_shown_headless(reason, setting.env)}
    return _warnings(setting, decision, to_model=True)


def _typed(setting: Setting, decision: Decision, prompt: str) -> Answer:
    from budget import prompts  # only where a person asks

    event = setting.event
    text = prompts.answer(
        *(prompt, decision, setting.policy, setting.ledger, setting.env),
        *(event.session_id, event.project, event.person, setting.now_ms),
    )
    return {} if text is None else {"decision": "block", "reason": text}


def _is_typed(setting: Setting) -> bool:
    """Whether a person typed the prompt: not an agent's notification, not a headless run."""
    notification = setting.event.prompt.lstrip().startswith("<task-notification>")
    return setting.env.get("CLAUDE_CODE_ENTRYPOINT") == "cli" and not notification


def _record_stop(setting: Setting, decision: Decision) -> None:
    """Keeps why the work was stopped, for `budget explain`."""
    from budget import events

    event = setting.event
    facts = {
        "event": event.name,
        "person": event.person,
        "budgets": [
            {
                **each.budget._asdict(),
                "source": each.budget.source._asdict(),
                "spent": each.spent,
                "granted": each.granted,
                "reserved": each.reserved,
                "expected": each.expected,
                "window": [each.window.start_ms, each.window.end_ms, each.window.session_id],
            }
            for each in decision.blocking
        ],
    }
    _record(setting, events.STOP, facts)
    keys = "|".join(
        f"{each.budget.name}|{each.limit}|{window_name(each.budget, each.window, setting.now_ms)}"
        for each in decision.blocking
    )
    if setting.policy.notify and _once(setting, f"notify|{event.session_id}|{keys}"):
        text = messages.stop(decision.blocking, setting.policy, setting.now_ms)
        _notify(setting, "stop", list(decision.blocking), text)


def _notify(setting: Setting, kind: str, verdicts: list[Verdict], text: str) -> None:
    """Starts the person's own command; nothing waits for it."""
    if not setting.policy.notify:
        return
    from budget import notify  # only where there is a command

    notify.start(
        setting.policy.notify,
        messages.notification(
            kind,
            verdicts,
            text,
            setting.event.session_id,
            setting.event.project.root,
            setting.now_ms,
        ),
        setting.env,
    )


def _record(setting: Setting, kind: str, facts: dict[str, Any]) -> None:
    from budget import events  # only where something happened

    event = setting.event
    with setting.ledger.transaction():
        happened = events.Event(setting.now_ms, kind, event.session_id, event.agent_id, facts)
        events.record(setting.ledger, happened)


def _agent_tool(setting: Setting, decision: Decision) -> Answer:
    """Deny alone would let the model ask again; continue alone would let the agent start."""
    if not decision.blocking or setting.event.tool_name not in AGENT_TOOLS:
        return {}
    stop = messages.stop(decision.blocking, setting.policy, setting.now_ms)
    _record_stop(setting, decision)
    # Where only that kind of agent is out of money, the work of this one goes on without it.
    by = Who(setting.event.agent_type or "main")
    own = any(concerns(each.budget, by) for each in decision.blocking)
    halt = _halt(stop, setting.env) if own else {}
    return {
        **halt,
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": stop,
        },
    }


def _after_step(setting: Setting, decision: Decision) -> Answer:
    if decision.blocking:
        stop = messages.stop(decision.blocking, setting.policy, setting.now_ms)
        _record_stop(setting, decision)
        return _halt(stop, setting.env)
    return _warnings(setting, decision, to_model=True)


def _after_turn(setting: Setting, decision: Decision) -> Answer:
    """Says what the turn led to and what is worth doing now; never blocks."""
    answer = _warnings(setting, decision, to_model=False)
    threshold, session_id = setting.policy.advise_context_tokens, setting.event.session_id
    large = threshold and setting.ledger.context_tokens(session_id) >= threshold
    if large or setting.ledger.last_compaction(session_id):
        from budget import counselling  # only where the context is worth a thought

        counselling.after_turn(_counselled(setting), lambda text: _say(answer, text))
    return answer


def _counselled(setting: Setting) -> "counselling.Session":
    from budget import counselling

    event = setting.event
    return counselling.Session(
        *(event.session_id, event.project, setting.policy, setting.ledger, setting.env),
        setting.now_ms,
    )


def _only_book(setting: Setting, decision: Decision) -> Answer:
    return {}


_ANSWERS = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _agent_tool,
    "PostToolBatch": _after_step,
    "SubagentStop": _only_book,
    "Stop": _after_turn,
    "PreCompact": _only_book,
    "SessionEnd": _only_book,
}


# Events whose answer can stop the work.
_STOPPING = ("UserPromptSubmit", "PreToolUse", "PostToolBatch")


def _halt(text: str, env: paths.Env) -> Answer:
    return {"continue": False, "stopReason": text, **_shown_headless(text, env)}


def _shown_headless(text: str, env: paths.Env) -> Answer:
    """Without a screen only a `systemMessage` reaches the output; with one it would be a double."""
    return {} if env.get("CLAUDE_CODE_ENTRYPOINT") == "cli" else {"systemMessage": text}


def _warnings(setting: Setting, decision: Decision, to_model: bool) -> Answer:
    """What is said once per budget, window and mark: to the person, and to the model as a fact."""
    texts, facts, told = [], [], []
    for verdict in (*decision.warned, *decision.advising):
        mark = "limit" if verdict.exceeded else verdict.passed_mark
        budget = verdict.budget
        window = window_name(budget, verdict.window, setting.now_ms)
        rule = f"{budget.name}|{budget.per}|{budget.unit}|{verdict.limit}|{budget.on_exceed}"
        rule += f"|{budget.scope}" + "".join(budget.models + budget.agents + budget.branches)
        if _once(setting, f"mark|{rule}|{window}|{mark}"):
            text = messages.used_up_advice if verdict.exceeded else messages.warning
            texts.append(text(verdict, setting.policy, setting.now_ms))
            facts.append(messages.fact(verdict))
            told.append(verdict)
    if not texts:
        return {}
    answer: Answer = {"systemMessage": "\n".join(texts)}
    _notify(setting, "warning", told, "\n".join(texts))
    if to_model:
        answer["hookSpecificOutput"] = {
            "hookEventName": setting.event.name,
            "additionalContext": "\n".join(facts),
        }
    return answer


def _once(setting: Setting, key: str) -> bool:
    with setting.ledger.transaction():
        return setting.ledger.say_once(key, setting.now_ms)


def _say(answer: Answer, text: str) -> None:
    answer["systemMessage"] = "\n".join(filter(None, (answer.get("systemMessage"), text)))


def _add_notices(
    answer: Answer, setting: Setting, reading: pipeline.Reading, decision: Decision
) -> None:
    """What could not be counted, or was changed, is said once per session and kind."""
    event = setting.event
    notices = {f"problem|{problem}": problem for problem in setting.policy.problems}
    notices |= {f"uncounted|{problem}": problem for problem in decision.problems}
    for key in setting.policy.held:
        notices[f"held|{key}"] = messages.held(key)
    for grant in grants.active(setting.ledger, setting.now_ms):
        budgets = [each for each in setting.policy.budgets if each.name == grant.budget]
        if budgets and grant.session_id in ("", event.session_id):
            line = messages.grant_line(grant, budgets[0], setting.now_ms)
            notices[f"grant|{grant.at_ms}|{grant.budget}"] = line
    if setting.ledger.is_new and pipeline.had_ledger(setting.env, event.project):
        from budget import events

        notices["remade"] = messages.REMADE
        _record(setting, events.REMADE, {})
    notices |= {f"unreadable|{text}": text for text in reading.unreadable}
    if reading.bad_lines:
        notices["bad"] = (
            f"{reading.bad_lines} damaged line(s) in the transcript could not be counted;"
            " `budget status` shows how many there are in all."
        )
    if reading.unfinished:
        notices["unfinished"] = (
            "The transcript is long: it is read on at the next step, and budgets count what was"
            " read so far."
        )
    if reading.nothing_to_read:
        notices["nothing"] = (
            "No step of this session is in its transcript"
            f" {event.transcript or '(none was named)'}, so none can be counted. Is the client"
            " newer than this budget, or told to keep no transcripts? `budget doctor` looks closer."
        )
    for key, text in notices.items():
        if _once(setting, f"notice|{event.session_id}|{key}"):
            _say(answer, f"budget: {text}")
            if key.startswith("held|"):
                from budget import events

                _record(setting, events.HELD, {"text": text})


# -- failure ---------------------------------------------------------------------------------------


def _failed(text: str, env: paths.Env, context: Mapping[str, Any]) -> Answer:
    """The answer when there was none: says that enforcement is off, once per session."""
    event: Event | None = context.get("event")
    policy: Policy = context.get("policy", NO_POLICY)
    if context["strict"] or policy.on_error == "block":
        return _failed_closed(text, context.get("name", ""), event)
    message = f"budget: this step was not counted and no budget was enforced. {text}"
    return {"systemMessage": message} if _first_failure(text, env, event) else {}


def _failed_closed(text: str, name: str, event: Event | None) -> Answer:
    message = (
        f"budget: stopped, because budgets cannot be enforced and failures are set to block. {text}"
    )
    if "`budget doctor`" not in text:
        message += " `budget doctor` looks closer."
    if name == "UserPromptSubmit" and not (event and event.prompt.startswith("/budget:")):
        return {"decision": "block", "reason": message}
    if name == "PreToolUse":
        output = {"hookEventName": name, "permissionDecision": "deny"}
        return {"continue": False, "stopReason": message, "hookSpecificOutput": output}
    if name == "PostToolBatch":
        return {"continue": False, "stopReason": message}
    return {"systemMessage": message}


def _first_failure(text: str, env: paths.Env, event: Event | None) -> bool:
    """Once per session and message. The ledger may be what failed, so a file remembers it."""
    from binascii import crc32

    session = paths.safe_name(event.session_id) if event else "unknown"
    folder = os.path.join(paths.state_folder(env), "said")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = f"{session}-{crc32(text.encode('utf-8', 'replace')):08x}"
        os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return event is None
    except OSError:
        # Nothing can be remembered: speak where it is heard once a turn, not after every step.
        return event is None or event.name in ("SessionStart", "UserPromptSubmit")
    return True


def _logged(error: Exception, env: paths.Env, context: Mapping[str, Any]) -> str:
    from budget.bug_report import log_bug  # only when there is one

    event: Event | None = context.get("event")
    return log_bug(error, env, event.name if event else "hook input")


def _reply(answer: Answer) -> None:
    try:
        if sys.stdout is None:
            os._exit(0)
        # An empty answer is no output: the client shows what a hook of PreCompact prints.
        sys.stdout.write(dumps(answer) if answer else "")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    # Ends at once: the interpreter's tear-down costs time, and an orderly close of the ledger
    # would fold its log back with two fsyncs. The next connection takes the log up as it is.
    os._exit(0)
