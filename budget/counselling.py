"""Speaks about the context: at the end of a turn, when a session goes on, when it is asked.

Each thing is said once per growth of the context. Where the config says `compact = "auto"`, it
orders the compaction that pays; the module of the plugin carries it out.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from budget import advice, advice_words, counsel, events, paths, pipeline, sensor
from budget.evaluate import Decision
from budget.files import replace_own
from budget.lean import NamedTuple, dumps
from budget.ledger import Ledger
from budget.model import Policy, Window


class Session(NamedTuple):
    """What is spoken about."""

    id: str
    project: paths.Project
    policy: Policy
    """Its focus may be empty: CLAUDE.md is asked then."""
    ledger: Ledger
    env: paths.Env
    now_ms: int

    @property
    def focused(self) -> Policy:
        return self.policy._replace(focus=counsel.focus(self.policy, self.project))


def after_turn(session: Session, say: Callable[[str], None]) -> None:
    """Advises, or orders a compaction, when the turn leaves a context that is worth it."""
    told = _saved(session)
    if told and _once(session, f"saved|{session.id}|{told.at_ms}|{told.picousd > 0}"):
        say(f"budget: {_saved_words(told)}")
    given = _given(session)
    if given is None or given.kind == "none":
        return
    growth = given.context_tokens // max(1, session.policy.advise_context_tokens)
    if given.kind == "compact" and _can_compact(session):
        if _once(session, f"compact|{session.id}|{growth}|{_compactions(session)}"):
            _order(session, given)
    elif _once(session, f"advice|{session.id}|{given.kind}|{growth}"):
        say(f"budget: {advice_words.advice(given, session.focused)}")


def at_start(session: Session, source: str) -> list[str]:
    """What is worth knowing when a session is resumed, forked, or was just compacted."""
    if source == "compact":
        return _compacted(session)
    given = _given(session)
    text = advice_words.advice(given, session.focused) if given else ""
    return [f"budget: {text}"] if text else []


def beside_a_warning(session: Session) -> str:
    """What is worth doing, where a mark of a budget was just passed; empty when nothing is."""
    given = _given(session)
    if given is None or given.kind != "compact":
        return ""
    return advice_words.advice(given, session.focused)


def asked(session: Session, decision: Decision) -> str:
    """The answer to `/budget:advice`: the one action, and the figures it is told from."""
    table = pipeline.price_table(session.policy, session.env)
    given = counsel.advise(session.ledger, table, session.policy, session.id, session.now_ms)
    lines = []
    if given is None:
        lines.append("Nothing to advise: the context is small or not known yet.")
    else:
        text = advice_words.advice(given, session.focused)
        lines.append(text or advice_words.nothing(given, session.policy))
    found = _saved(session)
    if found:
        lines.append(_saved_words(found))
    burning = counsel.burning(session.ledger, session.policy, decision, session.now_ms)
    lines.append(advice_words.burn(burning))
    return "\n".join(lines)


def _saved(session: Session) -> counsel.Saved | None:
    last = session.ledger.last_compaction(session.id)
    if last is None:
        return None
    table = pipeline.price_table(session.policy, session.env)
    return counsel.saved(session.ledger, table, last, _told_cost(session, last.at_ms))


def _saved_words(saved: counsel.Saved) -> str:
    return advice_words.compacted(
        saved.before_tokens, saved.after_tokens, saved.cost_picousd, saved.picousd
    )


def _given(session: Session) -> advice.Advice | None:
    table = pipeline.price_table(session.policy, session.env)
    return counsel.advise(session.ledger, table, session.policy, session.id, session.now_ms)


def _once(session: Session, key: str) -> bool:
    with session.ledger.transaction():
        return session.ledger.say_once(key, session.now_ms)


# -- compact = "auto" ------------------------------------------------------------------------------


def _can_compact(session: Session) -> bool:
    """Whether the plugin's module can: in an interactive session, and it has reported on it."""
    if session.policy.compact != "auto" or session.env.get("CLAUDE_CODE_ENTRYPOINT") != "cli":
        return False
    folder = paths.client_totals_folder(session.env, session.id)
    return bool(sensor.client_totals(folder, session.id))


def _compactions(session: Session) -> int:
    last = session.ledger.last_compaction(session.id)
    return last.at_ms if last else 0


def _order(session: Session, given: advice.Advice) -> None:
    """Leaves an order where `hooks/sensor.js` looks for one when the turn is over."""
    focus = session.focused.focus
    order = {
        "session": session.id,
        "id": str(session.now_ms),
        "at_ms": session.now_ms,
        "instructions": f"Focus on {focus}" if focus else "",
    }
    path = os.path.join(paths.client_totals_folder(session.env, session.id), "compact.order")
    replace_own(path, dumps(order))
    facts = {
        "context_tokens": given.context_tokens,
        "expected_picousd": given.costs_picousd,
        "unattributed_picousd": _unattributed(session),
        "pays_back_steps": given.pays_back_steps,
        "instructions": order["instructions"],
    }
    with session.ledger.transaction():
        ordered = events.Event(session.now_ms, events.COMPACTION, session.id, "", facts)
        events.record(session.ledger, ordered)


def _unattributed(session: Session) -> int:
    return session.ledger.spend(Window(0, None, session_id=session.id)).unattributed_picousd


def _compacted(session: Session) -> list[str]:
    """What was just compacted by order, and what it cost."""
    found = events.last(session.ledger, (events.COMPACTION,), 1)
    if not found or found[0].session_id != session.id:
        return []
    order = found[0]
    if not _once(session, f"compacted|{session.id}|{order.at_ms}"):
        return []
    about = advice_words.about(order.facts["expected_picousd"])
    return [
        f"budget: compacted the context of {order.facts['context_tokens']:,} tokens"
        f' (compact = "auto"). It was expected to cost about {about}, and to pay for itself after'
        f" {order.facts['pays_back_steps']} steps; what it came to is told after the next turn."
    ]


def _told_cost(session: Session, at_ms: int) -> int | None:
    """What the compaction at a time cost by the client's total, where it was ordered here."""
    found = events.last(session.ledger, (events.COMPACTION,), 1, at_ms)
    if not found or found[0].session_id != session.id:
        return None
    cost = _unattributed(session) - int(found[0].facts["unattributed_picousd"])
    return cost if cost > 0 else None
