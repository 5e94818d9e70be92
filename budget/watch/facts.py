"""What the live view shows, read from the ledgers of one project or of all: for looking only.

Nothing is decided or counted here: budgets come from `Standing`, what runs from `running`, what was
spent from the ledger's totals and `story`.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import tzinfo
from typing import NamedTuple

from budget import paths, pipeline, running, story
from budget.errors import BudgetError, LedgerError
from budget.ledger import Ledger
from budget.model import PICO, Policy, Spend, Step, Verdict, Window
from budget.pricing import Table
from budget.status import Standing, shown_path
from budget.steps import clean
from budget.windows import HOUR_MS, day_start_ms, local_time, window, zone

WINDOWS = ("hour", "day", "week", "month", "session")
KINDS = ("model", "branch", "agent", "session", "prompt")
"""What the spending of a window is told by."""
STEPS = 80
"""Last steps that are read: as many as a tall screen shows."""
_STORY_STEPS = 500
_RETRY_MS = 2_000
_TRIES = 3
_MINUTE_MS = 60_000
_SESSION_POINTS = 48
_FAR_MS = 2**53


class Choice(NamedTuple):
    """What the person looks at."""

    project: str = ""
    """The key of a project; empty: all."""
    window: str = "day"
    by: str = "model"
    session: str = ""
    """The session that session budgets and the window `session` are about; empty: the last."""
    opened: str = ""
    """The session whose story is told; empty: none."""


class Point(NamedTuple):
    """What was spent in a stretch of time from here to the next point."""

    start_ms: int
    picousd: int


class Story(NamedTuple):
    """One session, opened."""

    told: story.Session
    steps: tuple[tuple[Step, Spend], ...]
    """The last ones, the newest first."""
    running: running.Session


class Facts(NamedTuple):
    """One project at one moment."""

    project: paths.Project
    name: str
    """Its folder, as people read it: printable, on one line."""
    standing: Standing | None = None
    """None: it could not be read."""
    sessions: tuple[running.Session, ...] = ()
    steps: tuple[running.Booked, ...] = ()
    stop: running.Stop | None = None
    today: Spend = Spend()
    spend: Spend = Spend()
    """Of the chosen window."""
    points: tuple[Point, ...] = ()
    """Over the chosen window, in order of time."""
    parts: tuple[tuple[str, Spend], ...] = ()
    """What the window's spending went on, by the chosen kind; the dearest first."""
    story: Story | None = None
    booked: bool = False
    """Whether there is a ledger."""
    error: str = ""
    """Why it cannot be read now; what is shown is from before."""
    next_change_ms: int | None = None


class View(NamedTuple):
    """All that is shown."""

    now_ms: int
    choice: Choice
    projects: tuple[Facts, ...]
    bounds: tuple[int, int]
    """Of the window, as the axis shows it."""
    tz: tzinfo | None
    state_folder: str
    has_state: bool

    @property
    def sessions(self) -> list[tuple[Facts, running.Session]]:
        """Those at work first, then the newest."""
        found = [(facts, each) for facts in self.projects for each in facts.sessions]
        return sorted(found, key=lambda each: (not each[1].works, -each[1].last_ms, each[1].id))

    @property
    def steps(self) -> list[tuple[Facts, running.Booked]]:
        """What was booked last, the newest first: by the time they were made, as it is shown."""
        found = [(facts, each) for facts in self.projects for each in facts.steps]
        return sorted(found, key=lambda each: -each[1].step.at_ms)

    @property
    def stop(self) -> tuple[Facts, running.Stop] | None:
        found = [(facts, facts.stop) for facts in self.projects if facts.stop]
        return max(found, key=lambda each: each[1].at_ms, default=None)

    @property
    def verdicts(self) -> list[tuple[Facts, Standing, Verdict]]:
        """A budget over all projects once, though every project has it."""
        seen = set()
        found = []
        for facts in self.projects:
            for verdict in facts.standing.verdicts if facts.standing else ():
                shared = verdict.budget.scope != "project" and verdict.budget.per != "session"
                key = ("" if shared else facts.project.key, verdict.budget)
                if key not in seen:
                    seen.add(key)
                    assert facts.standing
                    found.append((facts, facts.standing, verdict))
        return found

    @property
    def spend(self) -> Spend:
        return _sum(facts.spend for facts in self.projects)

    @property
    def today(self) -> Spend:
        return _sum(facts.today for facts in self.projects)

    @property
    def points(self) -> list[Point]:
        sums: dict[int, int] = {}
        for facts in self.projects:
            for point in facts.points:
                sums[point.start_ms] = sums.get(point.start_ms, 0) + point.picousd
        return [Point(*each) for each in sorted(sums.items())]

    @property
    def parts(self) -> list[tuple[str, Spend]]:
        sums: dict[str, Spend] = {}
        for facts in self.projects:
            for key, spend in facts.parts:
                sums[key] = sums.get(key, Spend()).plus(spend)
        return _ranked(sums)

    @property
    def per_hour(self) -> int:
        burns = [facts.standing.burn for facts in self.projects if facts.standing]
        return sum(each.per_hour for each in burns if each)

    @property
    def story(self) -> Story | None:
        return next((each.story for each in self.projects if each.story), None)

    @property
    def errors(self) -> list[str]:
        return [facts.error for facts in self.projects if facts.error]

    @property
    def booked(self) -> bool:
        return any(facts.booked for facts in self.projects)

    @property
    def next_change_ms(self) -> int | None:
        times = [each.next_change_ms for each in self.projects]
        ends = self.bounds[1] if self.choice.window != "session" else None
        return min((at for at in (*times, ends) if at and at > self.now_ms), default=None)


def _sum(spends: Iterable[Spend]) -> Spend:
    total = Spend()
    for each in spends:
        total = total.plus(each)
    return total


def _ranked(sums: dict[str, Spend]) -> list[tuple[str, Spend]]:
    return sorted(sums.items(), key=lambda each: (-each[1].counted_picousd, each[0]))


class Reader:
    """Reads views; what did not change since is not read again. For one thread."""

    def __init__(self, env: paths.Env, here: paths.Project | None, steps: int = STEPS) -> None:
        self._steps = steps
        self._env = env
        self._here = here
        self._known: dict[tuple[str, Choice], tuple[tuple[object, ...], Facts]] = {}
        self._projects: dict[str, paths.Project] = {}
        self._good: dict[str, Facts] = {}
        """What was last read of each project without an error."""
        self._tables: dict[tuple[object, ...], Table] = {}

    def configs_changed(self) -> None:
        """What budgets there are may differ though nothing was booked."""
        self._known.clear()

    def projects(self) -> list[paths.Project]:
        """Every project with a ledger, and the one at hand; by their folders."""
        found = {self._here.key: self._here} if self._here else {}
        for path in paths.all_ledgers(self._env):
            key = os.path.basename(os.path.dirname(path))
            if key in found:
                continue
            if key not in self._projects:
                with suppress(LedgerError):
                    self._projects[key] = _project(path, key)
            if key in self._projects:
                found[key] = self._projects[key]
        return sorted(found.values(), key=lambda each: each.root)

    def config_files(self, choice: Choice) -> list[str]:
        """Where the budgets of what is looked at may be written."""
        found: dict[str, None] = {}
        for project in self._chosen(choice):
            for layer in pipeline.layers(self._env, project):
                found[layer.file] = None
        return list(found)

    def _chosen(self, choice: Choice) -> list[paths.Project]:
        if self._here and choice.project == self._here.key:
            return [self._here]
        return [each for each in self.projects() if choice.project in ("", each.key)]

    def view(self, choice: Choice, now_ms: int) -> View:
        """Everything, as it is now. What cannot be read is an error in its project's facts."""
        found = []
        tz: tzinfo | None = None
        bounds = (now_ms, now_ms)
        for number, project in enumerate(self._chosen(choice)):
            facts = self._facts(project, choice, now_ms)
            found.append(facts)
            if not number and facts.standing:
                tz = zone(facts.standing.policy.timezone)
        if choice.window != "session":
            at = window(choice.window, now_ms, "", tz)
            bounds = (at.start_ms, at.end_ms or now_ms)
        elif any(facts.points for facts in found):
            points = [point.start_ms for facts in found for point in facts.points]
            bounds = (min(points), max(points))
        folder = paths.state_folder(self._env)
        return View(now_ms, choice, tuple(found), bounds, tz, folder, os.path.isdir(folder))

    def _facts(self, project: paths.Project, choice: Choice, now_ms: int) -> Facts:
        path = paths.ledger_file(self._env, project)
        stamp = _stamp(path, paths.people_ledger_file(self._env))
        key = (project.key, choice)
        known = self._known.get(key)
        if known and known[0] == stamp:
            until = known[1].next_change_ms
            if until is None or now_ms < until:
                return known[1]
        try:
            facts = self._good[project.key] = self._read(project, choice, now_ms)
        except (BudgetError, ValueError) as error:
            facts = self._good.get(project.key) or _empty(project)
            told = clean(str(error), 600)
            facts = facts._replace(error=told, next_change_ms=now_ms + _RETRY_MS, booked=True)
        for old in [each for each in self._known if each[0] == project.key]:
            del self._known[old]
        self._known[key] = (stamp, facts)
        return facts

    def _read(self, project: paths.Project, choice: Choice, now_ms: int) -> Facts:
        for _ in range(_TRIES):
            with pipeline.existing_ledger(self._env, project, 0.5, looks=True) as ledger:
                if ledger is None:
                    standing = Standing.seen(self._env, project, now_ms, None)
                    return _empty(project)._replace(standing=standing)
                with ledger.snapshot():
                    facts = self._of_ledger(project, ledger, choice, now_ms)
                if not ledger.overtaken:
                    return facts
        raise LedgerError(f"The ledger of {project.root} is being replaced: it is read again.")

    def _of_ledger(
        self, project: paths.Project, ledger: Ledger, choice: Choice, now_ms: int
    ) -> Facts:
        wanted = choice.session or choice.opened
        own = wanted if wanted and ledger.first_entry_ms(0, wanted) is not None else ""
        standing = Standing.seen(self._env, project, now_ms, ledger, own)
        table = self._table(standing.policy)
        tz = zone(standing.policy.timezone)
        sessions = running.sessions(ledger, table, now_ms)
        session_id = standing.session or ""
        start_ms, end_ms = _bounds(choice.window, now_ms, tz)
        at = Window(start_ms, end_ms, session_id if choice.window == "session" else None)
        change = running.next_change_ms(sessions, standing.verdicts, now_ms)
        return Facts(
            project=project,
            name=name_of(project),
            standing=standing,
            sessions=tuple(sessions),
            steps=tuple(running.last_steps(ledger, self._steps)),
            stop=running.last_stop(ledger),
            today=ledger.spend(window("day", now_ms, "", tz)),
            spend=ledger.spend(at),
            points=tuple(_points(ledger, choice.window, at, tz)),
            parts=tuple(_parts(ledger, choice.by, at)),
            story=_story(ledger, table, choice.opened, now_ms) if choice.opened else None,
            booked=True,
            next_change_ms=change,
        )

    def _table(self, policy: Policy) -> Table:
        price_file = paths.price_file(self._env)
        key = (policy.price_print, str(policy.prices), *_stamp(price_file))
        if key not in self._tables:
            self._tables = {key: pipeline.price_table(policy, self._env)}
        return self._tables[key]


def name_of(project: paths.Project) -> str:
    return clean(shown_path(project.root), 200)


def _empty(project: paths.Project) -> Facts:
    return Facts(project, name_of(project))


def _project(path: str, key: str) -> paths.Project:
    """The project of a ledger; its folder may be gone."""
    ledger = Ledger(path, 0.2, looks=True)
    try:
        root = ledger.root()
    finally:
        ledger.close()
    found = paths.find_project(root)
    return found if found.key == key else paths.Project(key, root, root)


def _stamp(*files: str) -> tuple[object, ...]:
    """Differs when one of the files, or the log of one, was written to."""
    found: list[object] = []
    for file in files:
        for each in (file, f"{file}-wal"):
            try:
                status = os.stat(each)
            except OSError:
                found.append(None)
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


# -- the window ------------------------------------------------------------------------------------


def _bounds(name: str, now_ms: int, tz: tzinfo | None) -> tuple[int, int | None]:
    if name == "session":
        return 0, None
    at = window(name, now_ms, "", tz)
    return at.start_ms, at.end_ms


def _points(ledger: Ledger, name: str, at: Window, tz: tzinfo | None) -> list[Point]:
    """What was spent over the window, by the minute, quarter of an hour, hour or day."""
    if name == "session":
        return _session_points(ledger, at.session_id or "")
    start_ms, end_ms = at.start_ms, at.end_ms or _FAR_MS
    if name == "hour":
        rows = ledger.entry_sums_by(f"at_ms / {_MINUTE_MS} * {_MINUTE_MS}", start_ms, end_ms)
        for quarter, _, _, picousd in ledger.unattributed_between(start_ms, end_ms):
            rows.append((str(max(quarter, start_ms)), Spend(unattributed_picousd=picousd)))
    else:
        # Where days begin at half an hour, hours do as well: quarters fit every zone.
        fits = start_ms % HOUR_MS == 0
        span = "quarter" if name == "day" or not fits else "hour"
        rows = ledger.buckets_by("start", span, start_ms, end_ms)
    if name == "month":
        rows = [(str(_day_ms(int(start), tz)), spend) for start, spend in rows]
    sums: dict[int, int] = {}
    for start, spend in rows:
        sums[int(start)] = sums.get(int(start), 0) + spend.counted_picousd
    return [Point(*each) for each in sorted(sums.items())]


def _day_ms(at_ms: int, tz: tzinfo | None) -> int:
    return day_start_ms(local_time(at_ms, tz).date(), tz)


def _session_points(ledger: Ledger, session_id: str) -> list[Point]:
    first, last = ledger.row(
        "SELECT min(at_ms), max(at_ms) FROM entries WHERE session_id = ?", session_id
    )
    if first is None:
        return []
    length = max(_MINUTE_MS, -(-(last + 1 - first) // _SESSION_POINTS))
    rows = ledger.rows(
        "SELECT (at_ms - ?) / ?, sum(coalesce(picousd, 0) + bound_picousd) FROM entries"
        " WHERE session_id = ? GROUP BY 1 ORDER BY 1",
        *(first, length, session_id),
    )
    sums = {int(number): int(picousd) for number, picousd in rows}
    count = (last - first) // length + 1
    return [Point(first + number * length, sums.get(number, 0)) for number in range(count)]


def _parts(ledger: Ledger, by: str, at: Window) -> list[tuple[str, Spend]]:
    """What the window's spending went on; the dearest first. An empty key: it is not known."""
    column = {"session": "session_id", "prompt": "prompt_id"}.get(by, by)
    if at.session_id is not None:
        if by in ("session", "prompt"):
            rows = ledger.rows(
                f"SELECT {column}, sum(responses), sum(coalesce(picousd, 0)), sum(bound_picousd)"
                f" FROM entries WHERE session_id = ? GROUP BY {column}",
                at.session_id,
            )
            sums = {
                str(key): Spend(steps, picousd=picousd, bound_picousd=bound)
                for key, steps, picousd, bound in rows
            }
            whole = ledger.spend(at)
            rest = whole.unattributed_picousd
            key = at.session_id if by == "session" else ""
            sums[key] = sums.get(key, Spend()).plus(Spend(unattributed_picousd=rest))
            return [each for each in _ranked(sums) if any(each[1])]
        found = ledger.buckets_by(column, "session", at.session_id, f"{at.session_id}\0")
        return [each for each in _ranked(dict(found)) if any(each[1])]
    end_ms = at.end_ms or _FAR_MS
    if by in ("session", "prompt"):
        sums = dict(ledger.entry_sums_by(column, at.start_ms, end_ms))
        for session_id, spend in ledger.unattributed_by_session(at.start_ms, end_ms):
            key = session_id if by == "session" else ""
            sums[key] = sums.get(key, Spend()).plus(spend)
        return _ranked(sums)
    return [
        each for each in _ranked(dict(ledger.sums_by(column, at.start_ms, end_ms))) if any(each[1])
    ]


def _story(ledger: Ledger, table: Table, session_id: str, now_ms: int) -> Story | None:
    told = story.session(ledger, session_id)
    if told is None:
        return None
    steps = ledger.steps_between(0, _FAR_MS, session_id)[-_STORY_STEPS:]
    return Story(told, tuple(reversed(steps)), running.session(ledger, table, session_id, now_ms))


# -- what is left ----------------------------------------------------------------------------------


def tightest(view: View) -> tuple[Facts, Standing, Verdict] | None:
    """The budget in US dollars that leaves least of what every step counts for.

    Of a session only where no other is set: a new session has a whole one.
    """
    usd = [
        each
        for each in view.verdicts
        if each[2].budget.unit == "usd" and not each[2].budget.filtered
    ]
    lasting = [each for each in usd if each[2].budget.per != "session"]
    stopping = [each for each in lasting or usd if each[2].budget.on_exceed != "advise"]
    return min(stopping or lasting or usd, key=lambda each: each[2].left, default=None)


class Soonest(NamedTuple):
    """The limit that is reached first at the rate of now."""

    facts: Facts
    standing: Standing
    verdict: Verdict
    in_ms: int


def soonest(view: View) -> Soonest | None:
    """None: no money goes, or no limit is reached before it is whole again."""
    found = [
        Soonest(facts, facts.standing, burn.next_limit, burn.next_limit_in_ms)
        for facts in view.projects
        if facts.standing and (burn := facts.standing.burn) and burn.per_hour
        if burn.next_limit is not None and burn.next_limit_in_ms is not None
    ]
    return min(found, key=lambda each: each.in_ms, default=None)


def dollars(picousd: int) -> float:
    """For plots: where a rounding does not matter."""
    return picousd / PICO
