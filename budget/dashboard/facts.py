"""What the page tells, as plain values that become JSON.

Money comes in words where it is only shown, and in whole micro-dollars where the page reckons.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, tzinfo
from typing import Any, NamedTuple

from budget import __version__, events, messages, paths, pipeline, report, story
from budget.dashboard import cube
from budget.dashboard.headline import headline
from budget.errors import LedgerError
from budget.ledger import Ledger
from budget.model import Budget, Verdict
from budget.people import people_ledger, people_seen
from budget.status import Standing, incident_line, iso, shown_path
from budget.verdicts import counts_people
from budget.windows import local_time, zone

STORIES = 100
"""Sessions that are told in full: those that cost most."""
_PARTS = 12
"""Of what a session is told by, prompts, agents and compactions each, the dearest or first."""
_WINDOWS = 14
_PROJECTS = 30
_ROWS = 200
_TRIES = 3


class Scope(NamedTuple):
    """What a page is about."""

    env: paths.Env
    project: paths.Project
    every: bool
    """All projects of this machine."""
    since: date | None
    until: date | None
    timezone: str
    """As people read it."""
    tz: tzinfo | None

    @property
    def query(self) -> report.Query:
        return report.Query("model", self.since, self.until, self.tz)


def collect(scope: Scope, now_ms: int) -> dict[str, Any]:
    """Everything the page tells, at one moment; no file is made or changed. Raises `LedgerError`.

    Budgets over all projects stand as they were last added up (see `add_up`).
    """
    for _ in range(_TRIES):
        files, left_out = _readable(scope.env)
        with ExitStack() as stack:
            own = files if scope.every else _own(scope)
            ledgers = [stack.enter_context(_seen(path)) for path in own]
            told = _collected(scope, ledgers, files, left_out, now_ms)
            if not any(ledger.overtaken for ledger in ledgers):
                break
    return told


def add_up(scope: Scope) -> None:
    """Brings what budgets over all projects count up to now, where there are any."""
    policy = pipeline.policy_seen(scope.env, scope.project, keeps=False)
    if any(map(counts_people, policy.budgets)):
        with people_ledger(scope.env, None, for_s=30.0):
            pass


def _own(scope: Scope) -> list[str]:
    path = paths.ledger_file(scope.env, scope.project)
    return [path] if os.path.exists(path) else []


def _readable(env: paths.Env) -> tuple[list[str], list[str]]:
    """The ledgers of all projects; and of those that cannot be read, why."""
    files, left_out = [], []
    for path in paths.all_ledgers(env):
        try:
            Ledger(path, looks=True).close()
        except LedgerError as error:
            left_out.append(f"{error} Its project is left out here.")
        else:
            files.append(path)
    return files, left_out


@contextmanager
def _seen(path: str) -> Iterator[Ledger]:
    """A ledger at one moment: what is read of it agrees."""
    ledger = Ledger(path, looks=True)
    try:
        with ledger.snapshot():
            yield ledger
    finally:
        ledger.close()


def _collected(
    scope: Scope, ledgers: list[Ledger], files: list[str], left_out: list[str], now_ms: int
) -> dict[str, Any]:
    query = scope.query
    made = report.make(query, ledgers)
    cells = cube.build(ledgers, query, now_ms)
    standings, unknown = _standings(scope, ledgers, now_ms)
    clock = _Clock(scope.tz)
    return {
        "version": __version__,
        "as_of": iso(now_ms),
        "now": clock.at(now_ms),
        "timezone": scope.timezone,
        "since": scope.since.isoformat() if scope.since else None,
        "until": scope.until.isoformat() if scope.until else None,
        "title": "All projects" if scope.every else shown_path(scope.project.root),
        "every": scope.every,
        "headline": headline(standings, files, scope.tz, now_ms),
        "budgets": _budgets(standings, scope.env, ledgers, now_ms),
        "stops": _stops(ledgers, query, clock),
        "warnings": _warnings(ledgers, query, clock),
        "advice": _advice(ledgers, query, now_ms, clock),
        "grants": list(made.grants),
        "notices": [*left_out, *unknown, *_notices(standings, ledgers, query)],
        "cells": cells.facts(),
        "stories": _stories(ledgers, query, clock),
        "prompts": _prompt_facts(ledgers, query, set(cells.names["prompt"]), clock),
        "total": report.row_facts("total", made.total),
        "unpriced_models": made.unpriced_models,
        "unpriced_at_most": messages.money(made.total.bound_picousd),
        "skipped_lines": made.skipped_lines,
    }


class _Clock:
    """Times on the wall, as the page shows and compares them: `2026-11-27 09:05`."""

    def __init__(self, tz: tzinfo | None) -> None:
        self._tz = tz

    def at(self, at_ms: int) -> str:
        return f"{local_time(at_ms, self._tz):%Y-%m-%d %H:%M}"


# -- budgets ---------------------------------------------------------------------------------------


def _standings(
    scope: Scope, ledgers: list[Ledger], now_ms: int
) -> tuple[list[Standing], list[str]]:
    """How the projects stand, this one first, and what could not be told of others."""
    by_root = {ledger.root(): ledger for ledger in ledgers}
    own = Standing.seen(scope.env, scope.project, now_ms, by_root.get(scope.project.root))
    if not scope.every:
        return [own], []
    standings: list[Standing] = []
    unknown: list[str] = []
    recent = sorted(ledgers, key=lambda ledger: -ledger.extent()[1])
    for ledger in recent[:_PROJECTS]:
        root = ledger.root()
        if not os.path.isdir(root):
            continue
        project = paths.find_project(root)
        if project.key == scope.project.key:
            standings.insert(0, own)
            continue
        try:
            standings.append(Standing.seen(scope.env, project, now_ms, ledger))
        except LedgerError as error:
            unknown.append(str(error))
    return standings or [own], unknown


def _budgets(
    standings: list[Standing], env: paths.Env, ledgers: list[Ledger], now_ms: int
) -> list[dict[str, Any]]:
    """Each budget once: one over all projects stands the same in each of them."""
    seen, found = set(), []
    by_root = {ledger.root(): ledger for ledger in ledgers}
    for standing in standings:
        for verdict in standing.verdicts:
            budget = verdict.budget
            people = counts_people(budget)
            key = (budget, "" if people else standing.project.root)
            if key in seen:
                continue
            seen.add(key)
            own = by_root.get(standing.project.root)
            facts = _budget(verdict, standing, people)
            found.append({**facts, "history": _history(standing, budget, env, own, now_ms)})
    return found


def _budget(verdict: Verdict, standing: Standing, people: bool) -> dict[str, Any]:
    budget = verdict.budget
    unit = budget.unit
    return {
        "project": "" if people else shown_path(standing.project.root),
        "name": budget.name,
        "what": f"{messages.unit_words(unit)}{messages.over(budget)}".strip(),
        "unit": unit,
        "state": "unknown" if not verdict.known else verdict.state,
        "stopped": standing.stopped(verdict),
        "advises": budget.on_exceed == "advise",
        "spent_of": messages.spent_of(verdict),
        "left": messages.left(verdict),
        "percent": messages.percent(verdict),
        "fraction": round(verdict.fraction, 4),
        "held": verdict.reserved / verdict.limit if verdict.limit else 0,
        "held_words": messages.reserved(verdict) if verdict.reserved else "",
        "granted": _words(verdict.granted, unit) if verdict.granted else "",
        "marks": [mark for mark in budget.warn_at if mark < 1],
        "resets": messages.resets(verdict, standing.policy, standing.now_ms),
        "source": budget.source.shown,
        "key": f"{budget.source.key}.{unit}",
        "note": verdict.note,
        "per": budget.per,
    }


def _words(value: int, unit: str) -> str:
    return messages.rounded(value) if unit == "usd" else messages.amount(value, unit)


def _history(
    standing: Standing, budget: Budget, env: paths.Env, own: Ledger | None, now_ms: int
) -> list[dict[str, Any]]:
    """The last windows against the limit of today."""
    if not counts_people(budget):
        found = story.windows(own, budget, "", now_ms, _WINDOWS) if own else []
    else:
        with people_seen(env) as (people, _):
            person = standing.person
            found = story.windows(people, budget, person, now_ms, _WINDOWS) if people else []
    clock = _Clock(zone(budget.timezone))
    return [
        {
            "from": clock.at(at.start_ms)[: 16 if budget.per == "hour" else 10],
            "spent": _words(amount, budget.unit),
            "fraction": round(amount / budget.limit, 4) if budget.limit else 1,
        }
        for at, amount in found
    ]


# -- what happened ---------------------------------------------------------------------------------


def _stops(ledgers: list[Ledger], query: report.Query, clock: _Clock) -> list[dict[str, Any]]:
    found = [
        (stop, ledger.root())
        for ledger in ledgers
        for stop in story.stops(ledger, query.start_ms, query.end_ms)
    ]
    found.sort(key=lambda each: -each[0].last_ms)
    return [
        {
            "at": clock.at(stop.last_ms),
            "first": clock.at(stop.first_ms),
            "times": stop.times,
            "sessions": list(stop.sessions[:_PARTS]),
            "project": shown_path(root),
            "budget": stop.verdict.budget.name,
            "spent_of": messages.spent_of(stop.verdict),
            "over": messages.over(stop.verdict.budget).strip(),
            "why": _why(stop.verdict),
            "source": stop.verdict.budget.source.shown,
        }
        for stop, root in found[:_ROWS]
    ]


def _why(verdict: Verdict) -> str:
    unit = verdict.budget.unit
    if verdict.exceeded or not verdict.expected:
        return "used up"
    held = f", {_words(verdict.reserved, unit)} was held for others" if verdict.reserved else ""
    return f"the next step did not fit: about {_words(verdict.expected, unit)}{held}"


def _warnings(ledgers: list[Ledger], query: report.Query, clock: _Clock) -> list[dict[str, Any]]:
    found = [
        warned
        for ledger in ledgers
        for warned in story.warnings(ledger, query.start_ms, query.end_ms)
    ]
    found.sort(key=lambda each: -each.at_ms)
    return [
        {
            "at": clock.at(each.at_ms),
            "budget": each.budget,
            "limit": _words(each.limit, each.unit),
            "mark": "all of it" if each.mark == "limit" else f"{float(each.mark) * 100:.0f} %",
        }
        for each in found[:_ROWS]
    ]


def _advice(
    ledgers: list[Ledger], query: report.Query, now_ms: int, clock: _Clock
) -> list[dict[str, Any]]:
    found = [
        given
        for ledger in ledgers
        for given in story.advice(ledger, now_ms, query.start_ms, query.end_ms)
    ]
    found.sort(key=lambda each: -each.at_ms)
    return [
        {
            "at": clock.at(each.at_ms),
            "session": each.session_id,
            "kind": each.kind,
            "taken": None if each.taken_ms is None else clock.at(each.taken_ms),
            "open": each.open,
            "before": each.before_tokens,
            "after": each.after_tokens,
        }
        for each in found[:_ROWS]
    ]


def _notices(
    standings: list[Standing], ledgers: list[Ledger], query: report.Query
) -> Iterable[str]:
    """What a person should know before believing a figure."""
    told: dict[str, None] = {}
    for standing in standings:
        held = map(messages.held, standing.policy.held)
        granted = map(standing.grant_line, standing.grants)
        told.update(dict.fromkeys((*standing.problems, *held, *granted)))
    happened: list[events.Event] = []
    for ledger in ledgers:
        happened += story.incidents(ledger, query.start_ms, query.end_ms)
    happened.sort(key=lambda each: -each.at_ms)
    return [*told, *map(incident_line, happened[:10])]


# -- sessions and prompts --------------------------------------------------------------------------


def _dearest(
    ledgers: list[Ledger], what: str, query: report.Query, count: int
) -> list[tuple[Ledger, str]]:
    found = []
    for ledger in ledgers:
        some, _ = story.dearest(ledger, what, query.start_ms, query.end_ms, count)
        found += [(spend.counted_picousd, key, ledger) for key, spend in some.items()]
    found.sort(key=lambda each: (-each[0], each[1]))
    return [(ledger, key) for _, key, ledger in found[:count]]


def _stories(
    ledgers: list[Ledger], query: report.Query, clock: _Clock
) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for ledger, session_id in _dearest(ledgers, "session", query, STORIES):
        found = story.session(ledger, session_id, query.start_ms, query.end_ms)
        if found and session_id not in told:
            told[session_id] = _story(found, clock)
    return told


def _story(found: story.Session, clock: _Clock) -> dict[str, Any]:
    prompts = sorted(found.prompts, key=lambda each: -each.spend.counted_picousd)
    return {
        "first": clock.at(found.first_ms),
        "last": clock.at(found.last_ms),
        "minutes": (found.last_ms - found.first_ms) // 60_000,
        "prompts": len(found.prompts),
        "context": [
            [(each.at_ms - found.first_ms) // 1_000, each.tokens] for each in found.context
        ],
        "compactions": [
            {
                "at": clock.at(each.at_ms),
                "after_s": (each.at_ms - found.first_ms) // 1_000,
                "before": each.before_tokens,
                "after": each.after_tokens,
                "automatic": each.automatic,
            }
            for each in found.compactions[:_PARTS]
        ],
        "compacted": len(found.compactions),
        "agents": [
            {
                "agent": run.agent,
                "id": run.agent_id,
                "first": clock.at(run.first_ms),
                "models": list(run.models),
                "steps": run.spend.steps,
                "micro": _micro(run.spend.picousd),
                "unpriced": run.spend.unpriced_steps,
            }
            for run in found.agents[:_PARTS]
        ],
        "more_agents": _more([run.spend.picousd for run in found.agents]),
        "dearest_prompts": [_prompt(each, clock) for each in prompts[:_PARTS]],
        "more_prompts": _more([each.spend.picousd for each in prompts]),
    }


def _more(amounts: list[int]) -> dict[str, int] | None:
    """How many are not told, and what they cost."""
    rest = amounts[_PARTS:]
    return {"count": len(rest), "micro": _micro(sum(rest))} if rest else None


def _prompt(each: story.Prompt, clock: _Clock) -> dict[str, Any]:
    return {
        "prompt": each.prompt_id,
        "first": clock.at(each.first_ms),
        "minutes": (each.last_ms - each.first_ms) // 60_000,
        "models": list(each.models),
        "agents": each.agents,
        "steps": each.spend.steps,
        "context_from": each.context_from,
        "context_to": each.context_to,
        "micro": _micro(each.spend.picousd),
        "unpriced": each.spend.unpriced_steps,
    }


def _prompt_facts(
    ledgers: list[Ledger], query: report.Query, wanted: set[str], clock: _Clock
) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for ledger in ledgers:
        for found in story.prompts(ledger, wanted, query.start_ms, query.end_ms):
            facts = {**_prompt(found, clock), "session": found.session_id}
            told.setdefault(found.prompt_id, facts)
    return told


def _micro(picousd: int) -> int:
    return picousd // 10**6
