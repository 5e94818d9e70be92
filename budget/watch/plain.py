"""The live view as lines, one for each thing that happens: for pipes, logs and screen readers."""

import threading
from collections.abc import Callable, Iterator
from json import dumps
from typing import Any, NamedTuple

from budget import messages, paths, running
from budget.messages import usd6
from budget.status import iso_ms
from budget.watch import words
from budget.watch.facts import Choice, Facts, View
from budget.watch.loop import Loop
from budget.windows import local_time

_STEPS = 1_000
"""Steps between two refreshes; more are told by their number."""


class Line(NamedTuple):
    """One thing that happened."""

    kind: str
    text: str
    at_ms: int
    facts: dict[str, Any]
    """The same for programs."""

    def shown(self, view: View) -> str:
        return words.line(f"{local_time(self.at_ms, view.tz):%H:%M:%S} {self.kind}: {self.text}")

    def as_json(self) -> str:
        return dumps({"at": iso_ms(self.at_ms), "kind": self.kind, "text": self.text, **self.facts})


def run(
    env: paths.Env,
    here: paths.Project | None,
    choice: Choice,
    write: Callable[[str], None],
    json: bool = False,
) -> None:
    """Writes lines until it is interrupted; what fails in reading is raised here."""
    told = Teller()
    failure: list[BaseException] = []
    ended = threading.Event()

    def show(view: View) -> None:
        for line in told.lines(view):
            write(line.as_json() if json else line.shown(view))

    def failed(error: BaseException) -> None:
        failure.append(error)
        ended.set()

    loop = Loop(env, here, choice, show, failed, _STEPS)
    loop.start()
    try:
        while not ended.wait(3600):
            pass
    finally:
        loop.stop()
    raise failure[0]


class Teller:
    """Remembers what was told, and tells what is new in a view."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._seqs: dict[str, int] = {}
        self._states: dict[tuple[object, ...], str] = {}
        self._grants: set[tuple[object, ...]] = set()
        self._works: dict[str, bool] = {}
        self._stop: running.Stop | None = None
        self._errors: dict[str, str] = {}
        self._problems: set[str] = set()

    def lines(self, view: View) -> list[Line]:
        """What happened since the last view; of the first one how everything stands."""
        first, self._view = self._view is None, view
        found = [*self._places(view, first), *self._failures(view)]
        found += [line for facts in view.projects for line in self._project(facts, view, first)]
        stop = view.stop
        if stop and stop[1] != self._stop:
            self._stop = stop[1]
            text = words.stop(*stop)
            kind = "last stop" if first else "stopped"
            at_ms = stop[1].at_ms
            facts = {"session": stop[1].session_id, "project": stop[0].project.root}
            found.append(Line(kind, text, view.now_ms if first else at_ms, facts))
        return found

    def _places(self, view: View, first: bool) -> Iterator[Line]:
        where = ", ".join(each.name for each in view.projects) or "no project"
        if first:
            yield Line("watching", where, view.now_ms, {"state_folder": view.state_folder})
            text, more, _ = words.headline(view)
            yield Line("left", f"{text}, {more}", view.now_ms, {})
            yield Line("spent", words.went_on(view), view.now_ms, {})
        now = "there" if view.has_state else "missing"
        before = self._states.get(("state folder",))
        self._states["state folder",] = now
        if now != before and (before or now == "missing"):
            told = (
                f"{view.state_folder} is there"
                if view.has_state
                else f"{view.state_folder} is not there: nothing is booked; waiting for it"
            )
            yield Line("state folder", told, view.now_ms, {})

    def _failures(self, view: View) -> Iterator[Line]:
        for facts in view.projects:
            key = facts.project.key
            if facts.error and self._errors.get(key) != facts.error:
                self._errors[key] = facts.error
                yield Line("error", facts.error, view.now_ms, {"project": facts.project.root})
            elif not facts.error and key in self._errors:
                del self._errors[key]
                text = f"the ledger of {facts.name} can be read again"
                yield Line("recovered", text, view.now_ms, {"project": facts.project.root})
            for problem in facts.standing.problems if facts.standing else ():
                if problem not in self._problems:
                    self._problems.add(problem)
                    yield Line("problem", problem, view.now_ms, {"project": facts.project.root})

    def _project(self, facts: Facts, view: View, first: bool) -> Iterator[Line]:
        many = len(view.projects) > 1
        of = {"project": facts.project.root}
        yield from self._steps(facts, view, first)
        for session in facts.sessions:
            does = words.does(session.main, view.now_ms) if not session.agents else "working"
            if self._works.get(session.id) != session.works:
                known = session.id in self._works
                self._works[session.id] = session.works
                if known or session.works:
                    text = f"{words.short_id(session.id)} in {words.project(facts)} is"
                    text += f" {does.partition(' ')[0]}, {_spent(session)}"
                    yield Line("session", text, view.now_ms, {**of, "session": session.id})
        if facts.standing is None:
            return
        for verdict in facts.standing.verdicts:
            window = "" if verdict.budget.per.startswith("rolling ") else verdict.window.key
            key = (facts.project.key, verdict.budget, window)
            state = f"{verdict.state} {verdict.limit} {verdict.passed_mark}"
            if self._states.get(key) != state:
                self._states[key] = state
                text = words.budget_line(facts, verdict, many, view.now_ms)
                numbers = {
                    "budget": verdict.budget.name,
                    "state": verdict.state,
                    "unit": verdict.budget.unit,
                    "spent": _amount(verdict.spent, verdict.budget.unit),
                    "limit": _amount(verdict.limit, verdict.budget.unit),
                    "left": _amount(verdict.left, verdict.budget.unit),
                }
                yield Line("budget", text, view.now_ms, {**of, **numbers})
        for grant in facts.standing.grants:
            if grant not in self._grants:
                self._grants.add(grant)
                yield Line("grant", facts.standing.grant_line(grant), view.now_ms, of)

    def _steps(self, facts: Facts, view: View, first: bool) -> Iterator[Line]:
        """Those booked since; of a ledger that was made anew, all that are recent."""
        newest = facts.steps[0].seq if facts.steps else 0
        key = facts.project.key
        last = self._seqs.get(key)
        self._seqs[key] = newest
        if last is None:
            fresh = () if first else facts.steps
        elif newest < last:
            fresh = facts.steps
        else:
            fresh = tuple(each for each in facts.steps if each.seq > last)
            if newest - last > len(fresh) > 0 and len(fresh) == len(facts.steps):
                text = f"more than {len(fresh)} steps were booked at once: the last follow"
                yield Line("steps", text, view.now_ms, {"project": facts.project.root})
        for booked in reversed(fresh):
            told = booked.step
            numbers = {
                "project": facts.project.root,
                "session": told.session_id,
                "agent": told.agent,
                "model": told.model,
                "branch": told.branch,
                "prompt_id": told.prompt_id,
                "message_id": told.message_id,
                "usd": usd6(booked.picousd) if booked.priced else None,
                "prompt_tokens": told.usage.prompt_tokens,
                "output_tokens": told.usage.output_tokens,
            }
            yield Line("step", words.step(booked, view), told.at_ms, numbers)


def _spent(session: running.Session) -> str:
    return f"{messages.rounded(session.spend.counted_picousd)} spent in it"


def _amount(value: int, unit: str) -> str | int:
    return usd6(value) if unit == "usd" else value
