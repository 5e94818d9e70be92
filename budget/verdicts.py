"""How every budget stands: each reads what it counts from where that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from budget import grants, paths
from budget.evaluate import Decision, Who, concerns, spent
from budget.lean import TYPE_CHECKING, NamedTuple, contextmanager
from budget.ledger import Ledger
from budget.model import (
    LEVEL_UNITS,
    PERCENT_UNITS,
    Budget,
    Filter,
    Policy,
    Spend,
    Verdict,
    Window,
)
from budget.outlook import Upcoming
from budget.reservations import LAPSES_MS, Reservation, drop, held, hold
from budget.windows import rolling_ms, window, zone

if TYPE_CHECKING:
    from budget import plan

TEAM_NOTE = (
    "scope team needs a ledger that machines share, which there is none of here: it counts"
    " everybody on this machine"
)


def judge(
    policy: Policy,
    ledger: Ledger | None,
    env: paths.Env,
    session_id: str,
    now_ms: int,
    person: str,
    for_s: float = 60.0,
    actor: Actor | None = None,
    looks: bool = False,
) -> Decision:
    """How every budget stands now; without a ledger nothing was spent in the project.

    `for_s` limits the time to add up what was spent in other projects. With an `actor`, whether
    its next step fits, too. Who only `looks` leaves that as hooks last added it up. Raises
    `LedgerError`.
    """
    with _people(policy, env, ledger, for_s, looks) as (people, problems):
        books = _Books(ledger, people, env, session_id, now_ms, person, actor)
        return Decision(tuple(map(books.verdict, policy.budgets)), problems, books.grants)


class Actor(NamedTuple):
    """The agent at work: whose step was just booked, or comes next."""

    agent_id: str
    """What it holds is not what others hold."""
    unbooked: bool
    """Its last step is not booked yet: what was held for that is as good as spent."""
    who: Who
    upcoming: Upcoming | None
    """The step it is about to make; None: none."""
    keeps: str | None
    """The agent id under which that step is held while it is made; None: it is not held."""


def decide(
    policy: Policy,
    ledger: Ledger,
    env: paths.Env,
    session_id: str,
    now_ms: int,
    person: str,
    for_s: float,
    actor: Actor,
) -> Decision:
    """Judges for the agent at work, and holds its next step where that may be made.

    One at a time: what another agent reads, it reads with this reservation. Raises `LedgerError`.
    """
    with _people(policy, env, ledger, for_s) as (people, problems), _locked(ledger, people):
        if people:
            from budget.people import take_over

            take_over(people, ledger)  # what others booked in this project meanwhile
        books = _Books(ledger, people, env, session_id, now_ms, person, actor)
        decision = Decision(tuple(map(books.verdict, policy.budgets)), problems, books.grants)
        step = actor.upcoming
        if not actor.unbooked:
            _on_both(ledger, people, lambda each: drop(each, session_id, actor.agent_id))
        if step and actor.keeps is not None and not decision.blocking:
            until_ms = now_ms + LAPSES_MS
            spend = step.spend.plus(books.unbooked())
            kept = Reservation(session_id, actor.keeps, person, step.who, spend, until_ms)
            _on_both(ledger, people, lambda each: hold(each, kept))
        return decision


def _on_both(ledger: Ledger, people: Ledger | None, do: Callable[[Ledger], None]) -> None:
    do(ledger)
    if people:
        do(people)


@contextmanager
def _locked(ledger: Ledger, people: Ledger | None) -> Iterator[None]:
    # Always in this order, so that no two wait for each other.
    with ledger.transaction():
        if people is None:
            yield
        else:
            with people.transaction():
                yield


def budget_window(budget: Budget, session_id: str, now_ms: int) -> Window:
    """The window a budget counts over at a moment."""
    return window(budget.per, now_ms, session_id, zone(budget.timezone), budget.week_starts)


def window_name(budget: Budget, at: Window, now_ms: int) -> str:
    """Names a budget's window for what is said once in it; a rolling one is cut into lengths."""
    length = rolling_ms(budget.per)
    return str(now_ms // length) if length else at.key


def counts_people(budget: Budget) -> bool:
    """Whether it counts over all projects. A session is in one project."""
    return budget.scope != "project" and budget.per != "session" and budget.unit not in LEVEL_UNITS


@contextmanager
def _people(
    policy: Policy, env: paths.Env, own: Ledger | None, for_s: float, looks: bool = False
) -> Iterator[tuple[Ledger | None, tuple[str, ...]]]:
    if any(map(counts_people, policy.budgets)):
        from budget.people import people_ledger, people_seen  # only for budgets over all projects

        with people_seen(env) if looks else people_ledger(env, own, for_s) as (ledger, problems):
            yield ledger, problems
    else:
        yield None, ()


class _Books:
    """What is known at one moment; equal questions are asked once."""

    def __init__(
        self,
        own: Ledger | None,
        people: Ledger | None,
        env: paths.Env,
        session_id: str,
        now_ms: int,
        person: str,
        actor: Actor | None = None,
    ) -> None:
        self._own, self._people = own, people
        self._actor = actor
        self._held = {each: held(each, now_ms) for each in (own, people) if each}
        self._env, self._session_id = env, session_id
        self._now_ms, self._person = now_ms, person
        self._spends: dict[tuple[object, ...], Spend] = {}
        self._grants = {each: grants.active(each, now_ms) for each in (own, people) if each}
        self._readings: dict[str, plan.Reading] | None = None

    @property
    def grants(self) -> tuple[grants.Grant, ...]:
        """All that hold now, of the project and of the person."""
        return tuple(each for found in self._grants.values() for each in found)

    def verdict(self, budget: Budget) -> Verdict:
        """How a budget stands, with what is held and what the agent at work is about to use."""
        verdict = self._standing(budget)
        verdict = verdict._replace(reserved=self._reserved(budget))
        if self._actor is None:
            return verdict
        upcoming = self._actor.upcoming
        concerned = concerns(budget, self._actor.who)
        expected = 0
        if upcoming and concerns(budget, upcoming.who):
            concerned = True
            if budget.stop == "before":
                expected = _used(budget, upcoming.spend)
        return verdict._replace(concerned=concerned, expected=expected)

    def _reserved(self, budget: Budget) -> int:
        ledger = self._people if counts_people(budget) else self._own
        if ledger is None or budget.unit in LEVEL_UNITS:
            return 0
        return sum(
            _used(budget, each.spend)
            for each in self._held[ledger]
            if not self._is_own(each)
            and concerns(budget, each.who)
            and (budget.per != "session" or each.session_id == self._session_id)
            and (budget.scope != "user" or each.user == self._person)
        )

    def _is_own(self, each: Reservation) -> bool:
        """Whether it was for the step that is booked now."""
        actor = self._actor
        own = actor is not None and each[:2] == (self._session_id, actor.agent_id)
        return own and actor is not None and not actor.unbooked

    def unbooked(self) -> Spend:
        """What the agent at work holds for a step that is not booked yet."""
        if self._actor is None or self._own is None or not self._actor.unbooked:
            return Spend()
        own = (self._session_id, self._actor.agent_id)
        spends = [each.spend for each in self._held[self._own] if each[:2] == own]
        return spends[0] if spends else Spend()

    def _standing(self, budget: Budget) -> Verdict:
        at = budget_window(budget, self._session_id, self._now_ms)
        if budget.unit in PERCENT_UNITS:
            return self._of_plan(budget, at)
        if budget.unit == "context_tokens":
            level = self._own.context_tokens(self._session_id) if self._own else 0
            return Verdict(budget, at, level, self._granted(budget, at, self._own))
        ledger = self._people if counts_people(budget) else self._own
        only = Filter(
            budget.models,
            budget.agents,
            budget.branches,
            self._person if budget.scope == "user" and ledger is self._people else "",
        )
        amount = max(spent(budget, self._spend(ledger, at, only)), self._floor(budget, at))
        note = TEAM_NOTE if budget.scope == "team" else ""
        return Verdict(budget, at, amount, self._granted(budget, at, ledger), note)

    def _floor(self, budget: Budget, at: Window) -> int:
        """What it was known to stand at in this window before the ledger was lost or changed."""
        if self._own is None or not self._own.floors:
            return 0
        key = (budget.name, budget.unit, window_name(budget, at, self._now_ms))
        return max((each[3] for each in self._own.floors if each[:3] == key), default=0)

    def _spend(self, ledger: Ledger | None, at: Window, only: Filter) -> Spend:
        if ledger is None:
            return Spend()
        key = (ledger is self._own, at[:3], only)
        if key not in self._spends:
            self._spends[key] = ledger.spend(at, only)
        return self._spends[key]

    def _granted(self, budget: Budget, at: Window, ledger: Ledger | None) -> int:
        if ledger is None:
            return 0
        granted = grants.total(self._grants[ledger], budget.name, budget.unit, self._session_id)
        if budget.on_exceed == "ask" and self._own:
            granted += consented(self._own, budget, window_name(budget, at, self._now_ms))
        return granted

    def _of_plan(self, budget: Budget, at: Window) -> Verdict:
        from budget import plan  # only for budgets of a plan's windows

        if self._readings is None:
            self._readings = plan.latest(self._env, self._session_id)
        reading = self._readings.get(budget.unit)
        granted = self._granted(budget, at, self._own)
        if reading is None:
            note = "not known: the client tells it with a subscription plan only"
            return Verdict(budget, at, 0, granted, note, known=False)
        at = at._replace(resets_at_ms=reading.resets_at_ms)
        if reading.resets_at_ms is not None and reading.resets_at_ms <= self._now_ms:
            note = "not known: the plan's window has begun anew since the client told it"
            at = at._replace(resets_at_ms=None)
            return Verdict(budget, at, 0, granted, note, known=False)
        minutes = (self._now_ms - reading.at_ms) // 60_000
        stale = self._now_ms - reading.at_ms > plan.STALE_MS
        note = f"told {minutes} min ago: too old to stop anything" if stale else ""
        return Verdict(budget, at, reading.percent, granted, note, known=not stale)


def _used(budget: Budget, spend: Spend) -> int:
    """What a step would use of a budget; nothing of a level that no step adds to."""
    if budget.unit == "context_tokens":
        return 0
    return 0 if budget.unit in PERCENT_UNITS else spent(budget, spend)


# -- on_exceed = "ask" -----------------------------------------------------------------------------


def _consent_key(budget: Budget, window_name: str) -> str:
    return f"consent|{budget.name}|{budget.per}|{budget.unit}|{budget.limit}|{window_name}"


def consented(ledger: Ledger, budget: Budget, window_name: str) -> int:
    """By how much a person went on past a budget that asks, in its window."""
    return int(ledger.fact(_consent_key(budget, window_name)) or 0)


def consent(ledger: Ledger, verdict: Verdict, now_ms: int) -> Verdict:
    """The person goes on: the budget asks again after another tenth of its limit.

    Inside a transaction.
    """
    budget = verdict.budget
    name = window_name(budget, verdict.window, now_ms)
    before = consented(ledger, budget, name)
    needed = verdict.spent + verdict.reserved + verdict.expected - verdict.limit
    beyond = max(0, needed) + max(1, budget.limit // 10)
    ledger.set_fact(_consent_key(budget, name), str(before + beyond))
    return verdict._replace(granted=verdict.granted + beyond)


def standing(decision: Decision, now_ms: int) -> list[list[object]]:
    """[budget, unit, window, amount] of what every budget is known to have been spent of."""
    return [
        [
            *(verdict.budget.name, verdict.budget.unit),
            window_name(verdict.budget, verdict.window, now_ms),
            verdict.spent,
        ]
        for verdict in decision.verdicts
        if verdict.spent and verdict.budget.unit not in LEVEL_UNITS
    ]
