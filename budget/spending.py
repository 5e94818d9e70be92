"""What was spent today, this week, in this session, and on what: told to who asks in a session."""

from __future__ import annotations

from datetime import timedelta

from budget import standing_words, story
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.messages import rounded, share
from budget.model import Policy, Spend
from budget.standing_words import Row
from budget.steps import clean
from budget.windows import day_start_ms, local_time, window, zone

TIMES = ("today", "yesterday", "week", "month", "session")
_PROMPTS = 5
_FAR_MS = 2**53


class Span(NamedTuple):
    """What a report is about: [start, end), of one session or of all."""

    title: str
    start_ms: int
    end_ms: int
    session_id: str = ""


def told(words: list[str], ledger: Ledger, policy: Policy, session_id: str, now_ms: int) -> str:
    """The answer to `/budget:report [today|yesterday|week|month|session]`."""
    asked = words[0].lower() if words else "today"
    if asked not in TIMES or len(words) > 1:
        from difflib import get_close_matches  # only for a mistake

        near = get_close_matches(asked, TIMES, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        known = ", ".join(TIMES[:-1]) + f" and {TIMES[-1]}"
        return f"There is no report of {clean(' '.join(words))!r}.{meant} There are: {known}."
    span = _span(asked, policy, session_id, now_ms)
    models = by_model(ledger, span)
    whole = sum(spend.counted_picousd for spend in models.values())
    steps = sum(spend.steps for spend in models.values())
    rows = [
        Row(spend.counted_picousd, spend.steps, _model(model, spend))
        for model, spend in models.items()
    ]
    groups = [("By model", rows), ("Dearest prompts", _prompts(ledger, span, policy, now_ms))]
    return standing_words.report(span.title, whole, steps, groups)


def today(ledger: Ledger, policy: Policy, now_ms: int) -> str:
    """`Today: $9.27, 68 % opus-5, 30 % sonnet-5.`; empty when nothing was spent."""
    models = by_model(ledger, _span("today", policy, "", now_ms))
    whole = sum(spend.counted_picousd for spend in models.values())
    if not whole:
        return ""
    shares = [
        f"{share(spend.counted_picousd, whole)} {_model(model, spend)}"
        for model, spend in list(models.items())[:3]
        if spend.counted_picousd * 100 >= whole
    ]
    return f"Today: {', '.join([rounded(whole), *shares])}."


def _span(asked: str, policy: Policy, session_id: str, now_ms: int) -> Span:
    tz = zone(policy.timezone)
    if asked == "session":
        return Span("This session", 0, _FAR_MS, session_id)
    if asked == "yesterday":
        day = local_time(now_ms, tz).date()
        return Span("Yesterday", day_start_ms(day - timedelta(days=1), tz), day_start_ms(day, tz))
    per = "day" if asked == "today" else asked
    at = window(per, now_ms, "", tz)
    title = "Today" if asked == "today" else f"This {asked}"
    return Span(title, at.start_ms, at.end_ms or _FAR_MS)


def by_model(ledger: Ledger, span: Span) -> dict[str, Spend]:
    """What each model cost, the dearest first; what has no model under an empty name."""
    sums: dict[str, Spend] = {}
    if span.session_id:
        for step, spend in ledger.steps_between(span.start_ms, span.end_ms, span.session_id):
            sums[step.model] = sums.get(step.model, Spend()).plus(spend)
        for session, spend in ledger.unattributed_by_session(span.start_ms, span.end_ms):
            if session == span.session_id:
                sums[""] = sums.get("", Spend()).plus(spend)
    else:
        sums = dict(ledger.sums_by("model", span.start_ms, span.end_ms))
    rows = [(model, spend) for model, spend in sums.items() if any(spend)]
    return dict(sorted(rows, key=lambda row: -row[1].counted_picousd))


def _model(model: str, spend: Spend) -> str:
    if not model:
        return "beyond the steps (titles, compactions)"
    unpriced = " (no price known: at the dearest rates)" if spend.unpriced_steps else ""
    return clean(model).removeprefix("claude-") + unpriced


def _prompts(ledger: Ledger, span: Span, policy: Policy, now_ms: int) -> list[Row]:
    if span.session_id:
        session = story.session(ledger, span.session_id)
        found = list(session.prompts) if session else []
        found = [each for each in found if each.prompt_id]
    else:
        dearest, _ = story.dearest(ledger, "prompt", span.start_ms, span.end_ms, _PROMPTS)
        found = story.prompts(ledger, dearest, span.start_ms, span.end_ms)
    found.sort(key=lambda each: -each.spend.counted_picousd)
    tz = zone(policy.timezone)
    of_today = local_time(now_ms, tz).date()
    rows = []
    for each in found[:_PROMPTS]:
        at = local_time(each.first_ms, tz)
        when = f"{at:%H:%M}" if at.date() == of_today else f"{at:%m-%d %H:%M}"
        model = next(filter(None, each.models), "")
        what = [when, *([_model(model, Spend())] if model else [])]
        if each.agents:
            what.append(f"{each.agents} agent{'s' * (each.agents > 1)}")
        if each.context_to:
            what.append(f"context {each.context_to // 1000}k")
        rows.append(Row(each.spend.counted_picousd, each.spend.steps, ", ".join(what)))
    return rows
