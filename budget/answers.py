"""What each event is answered: stops, warnings, advice, notices - as the client takes them."""

from __future__ import annotations

from budget import booking, messages, paths
from budget.errors import LedgerError
from budget.evaluate import Decision, Who, concerns
from budget.event import Event
from budget.files import printable
from budget.lean import TYPE_CHECKING, Any, NamedTuple, suppress
from budget.ledger import Ledger
from budget.model import AGENT_TOOLS, Policy, Verdict
from budget.verdicts import consent, window_name

if TYPE_CHECKING:
    from budget import counselling

Answer = dict[str, Any]

_FINISHED = "<task-notification>"
"""What the prompt begins with that the client sends when an agent has ended (2.1.330)."""


class Setting(NamedTuple):
    """What an event is judged in."""

    event: Event
    policy: Policy
    ledger: Ledger
    env: paths.Env
    now_ms: int
    remade: bool = False
    """Whether the ledger was there before, is gone, and was made anew now."""
    restored: tuple[str, ...] = ()
    """What was done about a ledger that something else had changed."""
    people_remade: bool = False
    """Whether that of people was damaged, and is made anew."""


def _session_start(setting: Setting, decision: Decision) -> Answer:
    from budget import environment, overrides, sweep  # only here: once a session

    sweep.sweep(setting.env, setting.now_ms / 1000)
    sweep.forget(setting.ledger, setting.now_ms)
    answer: Answer = {}
    led = overrides.told(setting.env, setting.event.project)
    for text in (*sweep.closed(setting.env), *led):
        _say(answer, f"budget: {text}")
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
    from budget import standing_words  # only here: once a session

    line = standing_words.session_line(decision.verdicts, setting.policy, setting.now_ms)
    if decision.blocking:
        from budget import stop_words  # only where a budget is used up

        stop = stop_words.stop(decision.blocking, setting.policy, setting.now_ms)
        line = f"{line}\n{stop}"
    return line


def _prompt(setting: Setting, decision: Decision) -> Answer:
    """Blocks while a budget is used up; the client's own commands never come here."""
    prompt = setting.event.prompt.lstrip()
    if prompt.startswith("/budget:"):
        return _typed(setting, decision, prompt)
    blocking = decision.blocking
    if not blocking:
        answer = _warnings(setting, decision, to_model=True)
        if prompt.startswith(_FINISHED):
            _tell_of_agents(setting, decision, answer)
        return answer
    from budget import stop_words  # only where a budget is used up

    asking = [each for each in blocking if each.budget.on_exceed == "ask"]
    if asking and len(asking) == len(blocking) and _is_typed(setting):
        with setting.ledger.transaction():
            again = [consent(setting.ledger, each, setting.now_ms) for each in asking]
        return {"systemMessage": stop_words.goes_on(again)}
    reason = stop_words.prompt_blocked(blocking, setting.policy, setting.now_ms)
    _record_stop(setting, decision)
    return {"decision": "block", "reason": reason, **_shown_headless(reason, setting.env)}


def _typed(setting: Setting, decision: Decision, prompt: str) -> Answer:
    from budget import prompts  # only where a person asks

    event = setting.event
    text = prompts.answer(
        *(prompt, decision, setting.policy, setting.ledger, setting.env),
        *(event.session_id, event.project, event.person, setting.now_ms),
    )
    return {} if text is None else {"decision": "block", "reason": text}


def _is_typed(setting: Setting) -> bool:
    """Whether a person typed the prompt: no message, nothing scheduled, no headless run."""
    from budget import ancestry, untyped  # only where a budget asks

    event = setting.event
    on_screen = setting.env.get("CLAUDE_CODE_ENTRYPOINT") == "cli"
    if not on_screen or untyped.is_message(event.prompt):
        return False
    scheduled = untyped.is_scheduled(event.prompt, setting.ledger, event.session_id, event.project)
    return not scheduled and ancestry.is_from_client()


def _tell_of_agents(setting: Setting, decision: Decision, answer: Answer) -> None:
    """Says that an agent was stopped: the client shows nothing of what its hooks say (2.1.332)."""
    from budget import events, stop_words  # only where an agent has ended

    for stop in events.last(setting.ledger, (events.STOP,), 20):
        if not stop.agent_id or stop.session_id != setting.event.session_id:
            continue
        names = {each["name"] for each in stop.facts["budgets"]}
        verdicts = tuple(each for each in decision.verdicts if each.budget.name in names)
        key = f"agent stopped|{stop.session_id}|{stop.agent_id}|{stop.at_ms}"
        if verdicts and _once(setting, key):
            _say(answer, stop_words.agent_stopped(verdicts))


def _record_stop(setting: Setting, decision: Decision) -> None:
    """Keeps why the work was stopped, for `budget explain`."""
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
    from budget import events

    _record(setting, events.STOP, facts)
    keys = "|".join(
        f"{each.budget.name}|{each.limit}|{window_name(each.budget, each.window, setting.now_ms)}"
        for each in decision.blocking
    )
    if setting.policy.notify and _once(setting, f"notify|{event.session_id}|{keys}"):
        from budget import stop_words

        text = stop_words.stop(decision.blocking, setting.policy, setting.now_ms)
        _notify(setting, "stop", list(decision.blocking), text)


def _notify(setting: Setting, kind: str, verdicts: list[Verdict], text: str) -> None:
    """Starts the person's own command; nothing waits for it."""
    if not setting.policy.notify:
        return
    from budget import notify, stop_words  # only where there is a command

    notify.start(
        setting.policy.notify,
        stop_words.notification(
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
    event = setting.event
    from budget import events  # only where something happened

    happened = events.Event(setting.now_ms, kind, event.session_id, event.agent_id, facts)
    # A ledger that cannot be written must not turn a stop into none.
    with suppress(LedgerError), setting.ledger.transaction():
        events.record(setting.ledger, happened)


def _agent_tool(setting: Setting, decision: Decision) -> Answer:
    """Deny alone would let the model ask again; continue alone would let the agent start."""
    if not decision.blocking or setting.event.tool_name not in AGENT_TOOLS:
        return {}
    from budget import stop_words  # only where a budget is used up

    stop = stop_words.stop(decision.blocking, setting.policy, setting.now_ms)
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
        from budget import stop_words  # only where a budget is used up

        stop = stop_words.stop(decision.blocking, setting.policy, setting.now_ms)
        _record_stop(setting, decision)
        return _halt(stop, setting.env)
    return _warnings(setting, decision, to_model=True)


def _after_turn(setting: Setting, decision: Decision) -> Answer:
    """Says what the turn led to and what is worth doing now; never blocks."""
    answer = _warnings(setting, decision, to_model=False)
    if any(budget.on_exceed == "ask" for budget in setting.policy.budgets):
        from budget import untyped  # only where a budget asks

        untyped.remember(setting.event.scheduled, setting.ledger, setting.event.session_id)
    threshold, session_id = setting.policy.advise_context_tokens, setting.event.session_id
    large = threshold and setting.ledger.context_tokens(session_id) >= threshold
    if large or setting.ledger.last_compaction(session_id):
        from budget import counselling  # only where the context is worth a thought

        counselling.after_turn(_counselled(setting), lambda text: _say(answer, text))
    return answer


def _counselled(setting: Setting) -> counselling.Session:
    from budget import counselling

    event = setting.event
    return counselling.Session(
        *(event.session_id, event.project, setting.policy, setting.ledger, setting.env),
        setting.now_ms,
    )


def _only_book(setting: Setting, decision: Decision) -> Answer:
    return {}


ANSWERS = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _agent_tool,
    "PostToolBatch": _after_step,
    "SubagentStop": _only_book,
    "Stop": _after_turn,
    "PreCompact": _only_book,
    "SessionEnd": _only_book,
}


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
            from budget import stop_words  # only where a mark was passed

            text = stop_words.used_up_advice if verdict.exceeded else stop_words.warning
            texts.append(text(verdict, setting.policy, setting.now_ms))
            facts.append(stop_words.fact(verdict))
            told.append(verdict)
    if not texts:
        return {}
    threshold = setting.policy.advise_context_tokens
    if threshold and setting.ledger.context_tokens(setting.event.session_id) >= threshold:
        from budget import counselling  # only where the context is worth a thought

        texts += filter(None, [counselling.beside_a_warning(_counselled(setting))])
    answer: Answer = {"systemMessage": "\n".join(texts)}
    _notify(setting, "warning", told, "\n".join(texts))
    if to_model:
        answer["hookSpecificOutput"] = {
            "hookEventName": setting.event.name,
            "additionalContext": "\n".join(facts),
        }
    return answer


def _once(setting: Setting, key: str) -> bool:
    """Whether it was not said yet; nothing is, while that cannot be remembered."""
    with suppress(LedgerError), setting.ledger.transaction():
        return setting.ledger.say_once(key, setting.now_ms)
    return False


def _say(answer: Answer, text: str) -> None:
    answer["systemMessage"] = "\n".join(filter(None, (answer.get("systemMessage"), text)))


def add_notices(
    answer: Answer, setting: Setting, reading: booking.Reading, decision: Decision
) -> None:
    """What could not be counted, or was changed, is said once per session and kind."""
    event = setting.event
    notices = {f"problem|{problem}": problem for problem in setting.policy.problems}
    notices |= {f"uncounted|{problem}": problem for problem in decision.problems}
    for key in setting.policy.held:
        notices[f"held|{key}"] = messages.held(key)
    for grant in decision.grants:
        budgets = [each for each in setting.policy.budgets if each.name == grant.budget]
        if budgets and grant.session_id in ("", event.session_id):
            line = messages.grant_line(grant, budgets[0], setting.now_ms)
            notices[f"grant|{grant.at_ms}|{grant.budget}"] = line
    if setting.remade:
        notices["remade"] = messages.REMADE
        from budget import events

        _record(setting, events.REMADE, {})
    if setting.people_remade:
        notices["people remade"] = messages.PEOPLE_REMADE
    for text in (*setting.restored, *filter(None, [reading.restored])):
        notices[f"restored|{text}"] = text
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
            f" {printable(event.transcript) or '(none was named)'}, so none can be counted. Is the"
            " client newer than this budget, or told to keep no transcripts? `budget doctor` looks"
            " closer."
        )
    for key, text in notices.items():
        if _once(setting, f"notice|{event.session_id}|{key}"):
            _say(answer, f"budget: {text}")
            if key.startswith("held|"):
                from budget import events

                _record(setting, events.HELD, {"text": text})
