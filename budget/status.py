"""How the budgets of a project stand, as the facts that programs read and tables show."""

import os
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from budget import counsel, events, grants, messages, paths, pipeline
from budget.files import printable
from budget.ledger import Ledger
from budget.messages import usd6
from budget.model import Policy, Spend, Verdict, Window
from budget.verdicts import judge

_TOLD_MS = 30 * 86_400_000
"""Older incidents stay in the ledger; the dashboard of their time shows them."""
_STOPS = 20
"""How many of the last stops are looked at for budgets that stopped the work."""


class ProjectFacts(BaseModel):
    key: str
    root: str


class Totals(BaseModel):
    """The whole ledger of the project."""

    usd: str = Field(description="Attributed to priced steps; USD, six places")
    tokens: int
    steps: int
    unattributed_usd: str = Field(description="What the client counted beyond the steps")
    unpriced_steps: int = Field(description="Steps of unknown models; they are not in usd")


class SourceFacts(BaseModel):
    layer: str
    file: str
    key: str


class BudgetFacts(BaseModel):
    """One limit. `limit`, `spent`, `reserved` and `left` are USD strings or counts."""

    name: str
    per: str
    scope: str
    unit: str
    limit: str | int
    spent: str | int
    reserved: str | int
    left: str | int
    fraction: float
    state: str
    resets_at: str | None
    granted: str | int = Field(description="What grants add to the limit; limit includes it")
    note: str = Field(description="What to know of the figure, or empty")
    stopped: bool = Field(description="It stopped the work in this window")
    source: SourceFacts


class BurnFacts(BaseModel):
    """How fast money goes, and where that leads."""

    usd_per_hour: str
    over_minutes: int = Field(description="Over how long that was measured, 10 at most")
    next_limit: str | None = Field(description="The budget that is used up first at this rate")
    next_limit_at: str | None
    day_usd: str = Field(description="What the day comes to at the pace of its part so far")
    month_usd: str = Field(description="The same of the month")


class Status(BaseModel):
    """The answer of `budget status --json`."""

    project: ProjectFacts
    session: str | None
    as_of: str
    totals: Totals
    budgets: list[BudgetFacts]
    unpriced_models: list[str] = Field(description="Models no price is known for")
    damaged_lines: int = Field(description="Transcript lines that could not be counted")
    problems: list[str] = Field(description="What is wrong with the configs")
    burn: BurnFacts | None = Field(description="None before the first step")
    held: list[str] = Field(description="Loosened in a config; waits for the next session")
    grants: list[str] = Field(description="Grants that hold now")
    incidents: list[str] = Field(
        description="What should not have happened, of the last 30 days, the newest first"
    )


class Standing:
    """A project's ledger and policy at one moment. Raises `LedgerError`."""

    def __init__(
        self, env: paths.Env, project: paths.Project, now_ms: int, session: str = ""
    ) -> None:
        with pipeline.existing_ledger(env, project) as ledger:
            self._read(env, project, now_ms, session, ledger, looks=False)

    @classmethod
    def seen(
        cls,
        env: paths.Env,
        project: paths.Project,
        now_ms: int,
        ledger: Ledger | None,
        session: str = "",
    ) -> "Standing":
        """The same for who only looks, at a ledger that is open: no file is made or changed."""
        standing = cls.__new__(cls)
        standing._read(env, project, now_ms, session, ledger, looks=True)
        return standing

    def _read(
        self,
        env: paths.Env,
        project: paths.Project,
        now_ms: int,
        session: str,
        ledger: Ledger | None,
        looks: bool,
    ) -> None:
        self.project = project
        self.now_ms = now_ms
        self.person = paths.person(env, project)
        self.session: str | None = session or env.get("CLAUDE_CODE_SESSION_ID") or None
        self.incidents: list[events.Event] = []
        self.stops: list[events.Event] = []
        self.total = Spend()
        self.unpriced_models: list[str] = []
        self.bad_lines = 0
        if ledger:
            self.session = self.session or ledger.last_session()
            self.total = ledger.spend(Window(0, None))
            self.unpriced_models = ledger.unpriced_models()
            self.bad_lines = ledger.bad_lines()
            last = events.last(ledger, events.NOTABLE, 5)
            self.incidents = [each for each in last if each.at_ms > now_ms - _TOLD_MS]
            self.stops = events.last(ledger, (events.STOP,), _STOPS)
        self.policy: Policy = pipeline.policy_seen(
            env, project, self.session or "", keeps=not looks
        )
        self.decision = judge(
            *(self.policy, ledger, env, self.session or "", now_ms, self.person), looks=looks
        )
        self.burn = counsel.burning(ledger, self.policy, self.decision, now_ms) if ledger else None
        self.verdicts: tuple[Verdict, ...] = self.decision.verdicts
        self.grants: tuple[grants.Grant, ...] = self.decision.grants
        self.problems = (*self.policy.problems, *self.decision.problems)

    @property
    def exceeded(self) -> bool:
        """Whether a budget is used up, or its next step did not fit when it last stopped one."""
        return any(verdict.exceeded or self.stopped(verdict) for verdict in self.verdicts)

    def stopped(self, verdict: Verdict) -> bool:
        """Whether a budget has stopped the work in its window, and nothing was granted since."""
        return any(
            (each["name"], each["unit"], each["limit"], each["granted"], each["window"][:1])
            == (
                *(verdict.budget.name, verdict.budget.unit, verdict.budget.limit),
                *(verdict.granted, [verdict.window.start_ms]),
            )
            and each["window"][2] == verdict.window.session_id
            and each["spent"] <= verdict.spent
            for stop in self.stops
            for each in stop.facts["budgets"]
        )

    def grant_line(self, grant: grants.Grant) -> str:
        budgets = [each for each in self.policy.budgets if each.name == grant.budget]
        if not budgets:
            return f"on {grant.budget}, a budget that is no longer set"
        return messages.grant_line(grant, budgets[0], self.now_ms)

    def facts(self) -> Status:
        total = self.total
        return Status(
            project=ProjectFacts(key=self.project.key, root=self.project.root),
            session=self.session,
            as_of=iso(self.now_ms),
            totals=Totals(
                usd=usd6(total.picousd),
                tokens=total.tokens,
                steps=total.steps,
                unattributed_usd=usd6(total.unattributed_picousd),
                unpriced_steps=total.unpriced_steps,
            ),
            budgets=[budget_facts(verdict, self.stopped(verdict)) for verdict in self.verdicts],
            unpriced_models=self.unpriced_models,
            damaged_lines=self.bad_lines,
            problems=list(self.problems),
            burn=burn_facts(self.burn, self.now_ms) if self.burn else None,
            held=list(self.policy.held),
            grants=[self.grant_line(grant) for grant in self.grants],
            incidents=[incident_line(event) for event in self.incidents],
        )


def burn_facts(burn: counsel.Burn, now_ms: int) -> BurnFacts:
    first, first_in = burn.next_limit, burn.next_limit_in_ms
    return BurnFacts(
        usd_per_hour=usd6(burn.per_hour),
        over_minutes=max(1, burn.over_ms // 60_000),
        next_limit=first.budget.name if first else None,
        next_limit_at=None if first_in is None else iso(now_ms + first_in),
        day_usd=usd6(burn.day_end),
        month_usd=usd6(burn.month_end),
    )


def incident_line(event: events.Event) -> str:
    """`2026-11-23T10:00:00Z ledger made anew`, with what was said of it."""
    told = event.facts.get("text", "")
    return f"{iso(event.at_ms)} {event.kind}" + (f": {told}" if told else "")


def budget_facts(verdict: Verdict, stopped: bool) -> BudgetFacts:
    budget = verdict.budget

    def amount(value: int) -> str | int:
        return usd6(value) if budget.unit == "usd" else value

    resets_at_ms = verdict.window.resets_at_ms
    return BudgetFacts(
        name=budget.name,
        per=budget.per,
        scope=budget.scope,
        unit=budget.unit,
        limit=amount(verdict.limit),
        spent=amount(verdict.spent),
        reserved=amount(verdict.reserved),
        left=amount(verdict.left),
        fraction=round(verdict.fraction, 4),
        state=verdict.state,
        resets_at=None if resets_at_ms is None else iso(resets_at_ms),
        granted=amount(verdict.granted),
        note=verdict.note,
        stopped=stopped,
        source=SourceFacts(
            layer=budget.source.layer, file=budget.source.file, key=budget.source.key
        ),
    )


def iso(at_ms: int) -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_path(path: str) -> str:
    """A path as people read it: from their home."""
    home = os.path.expanduser("~")
    return printable("~" + path[len(home) :] if path.startswith(home + os.sep) else path)


def iso_ms(at_ms: int) -> str:
    """UTC, ISO 8601, to the millisecond."""
    return f"{iso(at_ms)[:-1]}.{at_ms % 1000:03d}Z"
