"""How much is left and what it went on: what the page says first, in plain words."""

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any

from budget import advice_words, messages, story
from budget.ledger import Ledger
from budget.model import PICO, Spend, Verdict, Window
from budget.status import Standing, shown_path
from budget.verdicts import counts_people
from budget.windows import QUARTER_MS, window

_TOP = 6
_PERIODS = ("day", "hour", "week", "month", "session", "total")
"""Of which period a budget is told first; a rolling one comes last."""


def headline(
    standings: list[Standing],
    files: list[str],
    tz: tzinfo | None,
    now_ms: int,
) -> dict[str, Any]:
    """The budget that says most of today, and what was spent in its window.

    That is one in US dollars over a day, else over the next period, and of two the one with less
    left; of several projects one over all of them comes first, then this project's. Without any,
    what was spent today. `files` are the ledgers of all projects.
    """
    chosen = _chosen(standings)
    today = window("day", now_ms, "", tz)
    roots = [standing.project.root for standing in standings]
    told: dict[str, Any] = {"today": _spent(files, roots, today, now_ms, "")}
    if chosen is None:
        return {**told, "kind": "none", "went_on": told["today"]}
    standing, verdict = chosen
    budget, burn = verdict.budget, standing.burn
    people = counts_people(budget)
    person = standing.person if budget.scope == "user" and people else ""
    whose = None if people else [standing.project.root]
    went_on = _spent(files, whose, verdict.window, now_ms, person)
    return {
        **told,
        "kind": "day" if budget.per == "day" else "other",
        "budget": budget.name,
        "period": messages.period(budget.per),
        "whose": _whose(verdict, standing, len(standings)),
        "left": messages.left(verdict),
        "limit": messages.limit_of(verdict),
        "spent": messages.spent(verdict),
        "held": messages.reserved(verdict) if verdict.reserved else "",
        "limit_micro": verdict.limit // 10**6,
        "spent_micro": verdict.spent // 10**6,
        "held_micro": verdict.reserved // 10**6,
        "state": verdict.state,
        "mark": f"{verdict.passed_mark * 100:g} %" if verdict.passed_mark else "",
        "pace": f"Now: {advice_words.rate(burn)}." if burn and burn.per_hour else "",
        "stopped": standing.stopped(verdict),
        "advises": budget.on_exceed == "advise",
        "resets": messages.resets(verdict, standing.policy, now_ms),
        "source": budget.source.shown,
        "went_on": went_on,
    }


def _chosen(standings: list[Standing]) -> tuple[Standing, Verdict] | None:
    several = len(standings) > 1
    candidates = [
        ((several and not counts_people(verdict.budget)) * (1 + place), *_rank(verdict), place)
        for place, standing in enumerate(standings)
        for verdict in standing.verdicts
        if verdict.budget.unit == "usd" and verdict.known and not verdict.budget.filtered
    ]
    if not candidates:
        return None
    *_, verdict, place = min(candidates, key=lambda each: each[:4])
    return standings[place], verdict


def _rank(verdict: Verdict) -> tuple[int, bool, int, Verdict]:
    per = verdict.budget.per
    place = _PERIODS.index(per) if per in _PERIODS else len(_PERIODS)
    return place, verdict.budget.on_exceed == "advise", verdict.left, verdict


def _whose(verdict: Verdict, standing: Standing, projects: int) -> str:
    if counts_people(verdict.budget):
        scope = verdict.budget.scope
        return "in all your projects" if scope == "user" else "of everybody here"
    return f"in {shown_path(standing.project.root)}" if projects > 1 else ""


def _money(picousd: int) -> str:
    """Cents, as far as there are any."""
    return messages.money(picousd, 2 if picousd >= PICO // 100 or not picousd else 0)


def _spent(
    files: list[str], roots: list[str] | None, at: Window, now_ms: int, person: str
) -> dict[str, Any]:
    """What it went on, as budgets count it: unpriced steps at their bound.

    In the projects of `roots`; None: in all.
    """
    total = Spend()
    sums: dict[str, dict[str, int]] = {"model": {}, "branch": {}, "session": {}, "agent": {}}
    beyond = 0
    start_ms = -(-at.start_ms // QUARTER_MS) * QUARTER_MS
    for cell in _cells(files, roots, start_ms, now_ms + 1):
        if person not in ("", cell.user) or at.session_id not in (None, cell.session_id):
            continue
        total = total.plus(cell.spend)
        beyond += cell.spend.unattributed_picousd
        own = cell.spend.picousd + cell.spend.bound_picousd
        keys = {"model": cell.model, "branch": cell.branch, "agent": cell.agent}
        keys["session"] = cell.session_id
        if not cell.unattributed:
            for name, key in keys.items():
                sums[name][key] = sums[name].get(key, 0) + own
    return {
        "micro": total.counted_picousd // 10**6,
        "words": _money(total.counted_picousd),
        "steps": total.steps,
        "unattributed": _part("", beyond) if beyond else None,
        "unpriced_steps": total.unpriced_steps,
        **{name: _parts(found) for name, found in sums.items()},
    }


def _cells(
    files: list[str], roots: list[str] | None, start_ms: int, end_ms: int
) -> Iterator[story.Cell]:
    for path in files:
        ledger = Ledger(path, looks=True)
        try:
            if roots is None or ledger.root() in roots:
                yield from story.cells(ledger, start_ms, end_ms, ())
        finally:
            ledger.close()


def _part(name: str, picousd: int) -> dict[str, Any]:
    return {"name": name, "micro": picousd // 10**6, "words": _money(picousd)}


def _parts(found: dict[str, int]) -> list[dict[str, Any]]:
    """The dearest, and the rest in one; the name of the rest is None."""
    order = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    parts = [_part(name or "(none)", amount) for name, amount in order[:_TOP]]
    if order[_TOP:]:
        rest = _part("", sum(amount for _, amount in order[_TOP:]))
        parts.append({**rest, "name": None, "count": len(order) - _TOP})
    return parts
