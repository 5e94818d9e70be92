"""What is worth doing now in a session, and how fast its money goes: the facts for advice.

Collects what `advice` and `burn` need from the ledger.
"""

from __future__ import annotations

import os
import re

from budget import advice, burn, paths, projection
from budget.evaluate import Decision
from budget.files import read_some
from budget.lean import NamedTuple
from budget.ledger import Ledger
from budget.model import Compaction, Policy, Verdict, Window
from budget.pricing import Table
from budget.steps import clean
from budget.windows import window, zone

LAST_MINUTES = 10
_LEAST_MS = 60_000
_HEADING = re.compile(
    r"^#+[ \t]*(?:summary|compact(?:ion)?) instructions[ \t]*\n+(.+)", re.IGNORECASE | re.MULTILINE
)
_LARGEST = 262_144


class Saved(NamedTuple):
    """What the last compaction of a session has led to so far."""

    at_ms: int
    before_tokens: int
    after_tokens: int
    steps: int
    """Made since."""
    picousd: int
    """Saved so far; negative while its cost has not come in."""
    cost_picousd: int
    """Of the compaction: by the client's total, else as it is estimated."""


class Burn(NamedTuple):
    """How fast money goes in a project. Money in picodollars."""

    per_hour: int
    over_ms: int
    """Over how long that was measured."""
    next_limit: Verdict | None
    """The budget in US dollars that is used up first at this rate."""
    next_limit_in_ms: int | None
    day_end: int
    """What the day comes to if its rest goes like the part that is over."""
    month_end: int
    day_stop: Verdict | None = None
    """The budget that stops the work before the day comes to that."""
    month_stop: Verdict | None = None


def advise(
    ledger: Ledger, table: Table, policy: Policy, session_id: str, now_ms: int
) -> advice.Advice | None:
    """The one thing that is worth doing between two prompts; None before the first step."""
    recent = ledger.recent_steps(session_id, "", projection.RECENT)
    if not recent or ledger.compacted_to(session_id, recent[-1].at_ms) is not None:
        return None  # the context is small by now; how small, the next step tells
    thresholds = advice.Thresholds(
        policy.advise_context_tokens, policy.advise_min_saving, policy.advise_pays_back_steps
    )
    return advice.advise(recent, ledger.base_tokens(session_id), now_ms, table, thresholds)


def saved(
    ledger: Ledger, table: Table, found: Compaction, cost_picousd: int | None
) -> Saved | None:
    """What a compaction saved so far; None before a step since.

    `cost_picousd` is what it cost where the client's total tells; else that is estimated.
    """
    session_id = found.session_id
    before = ledger.recent_steps(session_id, "", projection.RECENT, until_ms=found.at_ms)
    after = ledger.recent_steps(session_id, "", 10_000, since_ms=found.at_ms)
    if not before or not after:
        return None
    base = ledger.base_tokens(session_id)
    made = advice.compaction(before, base, found.at_ms, table, found.after_tokens)
    cost = made.request_picousd if cost_picousd is None else cost_picousd
    total = advice.saved_since(before[-1], after, cost, table)
    return Saved(
        *(found.at_ms, found.before_tokens, after[0].usage.prompt_tokens),
        *(len(after), total, cost),
    )


def burning(ledger: Ledger, policy: Policy, decision: Decision, now_ms: int) -> Burn:
    """The rate of the last minutes, and where it leads."""
    rate, over_ms = last_rate(ledger, now_ms)
    first, first_in = None, None
    for verdict in decision.verdicts:
        in_ms = in_time_ms(verdict, rate, now_ms)
        if in_ms is not None and (first_in is None or in_ms < first_in):
            first, first_in = verdict, in_ms
    tz = zone(policy.timezone)
    spent, ends = [], []
    for per in ("day", "month"):
        at = window(per, now_ms, "", tz)
        spent.append(ledger.spend(at).counted_picousd)
        ends.append(burn.at_this_pace(spent[-1], at.start_ms, now_ms, at.end_ms or now_ms))
    day_stop = _stop_below(decision, "day", ends[0])
    day_end = min(ends[0], day_stop.limit) if day_stop else ends[0]
    # At the start of a month the pace of today tells more than the month's.
    month_end = max(ends[1], spent[1] - spent[0] + day_end)
    month_stop = _stop_below(decision, "month", month_end)
    return Burn(rate, over_ms, first, first_in, ends[0], month_end, day_stop, month_stop)


def in_time_ms(verdict: Verdict, rate: int, now_ms: int) -> int | None:
    """When a budget in US dollars is used up at a rate; None: not before it is whole again."""
    if verdict.budget.unit != "usd" or verdict.exceeded:
        return None
    in_ms = burn.used_up_in_ms(verdict.left, rate)
    resets = verdict.window.resets_at_ms
    in_time = resets is None or (in_ms is not None and now_ms + in_ms < resets)
    return in_ms if in_time else None


def _stop_below(decision: Decision, per: str, end: int) -> Verdict | None:
    """The lowest budget of the project over such a time that stops the work below an amount."""
    found = [
        each
        for each in decision.verdicts
        if (each.budget.per, each.budget.unit, each.budget.scope) == (per, "usd", "project")
        and each.budget.on_exceed == "block"
        and not each.budget.filtered
        and each.limit < end
    ]
    return min(found, key=lambda each: each.limit, default=None)


def last_rate(ledger: Ledger, now_ms: int, session_id: str | None = None) -> tuple[int, int]:
    """Picodollars per hour in the last minutes, and over how long that was measured.

    Of one session, its steps alone: what is unattributed has no session within so short a time.
    """
    since_ms = now_ms - LAST_MINUTES * 60_000
    first_ms = ledger.first_entry_ms(since_ms, session_id)
    over_ms = max(_LEAST_MS, now_ms - (now_ms if first_ms is None else max(first_ms, since_ms)))
    if first_ms is None:  # without a step there is no time over which it was spent
        return 0, over_ms
    if session_id is None:
        recent = ledger.spend(Window(since_ms, None)).counted_picousd
    else:
        recent = ledger.session_spend(session_id, since_ms).counted_picousd
    return burn.per_hour(recent, over_ms), over_ms


def focus(policy: Policy, project: paths.Project) -> str:
    """What a compaction should keep: the config's words, else those of CLAUDE.md.

    The client's own heading for them is "Compact instructions" (documented).
    """
    if policy.focus:
        return policy.focus
    for name in ("CLAUDE.md", os.path.join(".claude", "CLAUDE.md")):
        try:
            text = read_some(os.path.join(project.worktree, name), _LARGEST)
        except OSError:
            continue
        found = _HEADING.search(text.decode("utf-8", "replace").replace("\r\n", "\n"))
        if found:
            return clean(found[1].strip(" -*\t")).removeprefix("Focus on ").rstrip(".")
    return ""
