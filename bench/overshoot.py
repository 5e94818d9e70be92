"""How often, and by how much, a limit is passed: `stop = "before"` against checking afterwards.

    python -m bench.overshoot [--sessions 10000] [--seed 1] [--ledger FILE]

Sessions are generated, not recorded: steady ones, growing contexts, pauses in which the cache
expires, rare steps that are 20 times dearer, bursts of long outputs, ten agents under one budget,
several models. Each has a limit somewhere between a tenth and nine tenths of what it would cost.
`before` is what the hook does: a step is made when it fits beside what the other running agents
hold. `after` looks at what was spent. `deny` denies tools once the limit is passed, and the
model asks on: twelve more requests (2.1.330, measured: 13 of 13). With `--ledger` the estimator is
measured on a real ledger instead, without the size of tool results, which a ledger does not hold.

Columns: sessions that passed their limit, by how much of it (mean, most), by how many of the steps
under way; what was left unused of the limit by the others (median, 90th percentile). Then the
estimate over the step's cost (median, 90th), its absolute error (median, 90th), the share of steps
that were estimated too low, and the share of the money that was missed by that.
"""

import argparse
import os
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from budget import projection
from budget.ledger import Ledger
from budget.model import Step, Usage, fits
from budget.pricing import load_table

TABLE = load_table()
START_MS = 1_795_428_000_000
DENIED_STEPS = 12
COMPACTED_AT = 90_000
EARLIER = 5
"""First steps of earlier agents that the ledger knows."""


class Shape(NamedTuple):
    """How the sessions of one kind go."""

    name: str
    models: tuple[str, ...] = ("claude-sonnet-5",)
    agents: int = 0
    """Background agents beside the main thread."""
    constant: bool = False
    pause_s: tuple[int, ...] = (20, 60, 120)
    """Between prompts."""
    hour_cache: bool = False
    dear: float = 0.0
    """The share of steps that are 20 times dearer than the last one, by their output."""
    bursts: float = 0.0
    """The share of steps at which a stretch of long outputs begins."""
    compacts: bool = False
    """At 100,000 tokens the context is compacted; the next step is told the new size."""
    results: int = 2_500
    """The median size of a step's tool results in bytes."""


PAUSES = (30, 120, 200, 400, 1_200, 4_000)
SHAPES = (
    Shape("steady", constant=True),
    Shape("growing"),
    Shape("pauses, 5-minute cache", pause_s=PAUSES),
    Shape("pauses, 1-hour cache", pause_s=PAUSES, hour_cache=True),
    Shape("large results", results=12_000, hour_cache=True),
    Shape("steps 20 x dearer", dear=1 / 200),
    Shape("bursts of output", bursts=0.04),
    Shape("10 agents", agents=10),
    Shape("10 steady agents", agents=10, constant=True),
    Shape("compactions", compacts=True),
    Shape("several models", models=("claude-opus-5-5", "claude-haiku-5-5", "claude-fable-5-1")),
)


class Made(NamedTuple):
    """A step as it would be made, and what is known before it."""

    step: Step
    """Its time is that of its request."""
    added_bytes: int
    cost: int
    rewritten_tokens: int | None = None
    """The client's own estimate of a context that was compacted before the step."""


def thread(
    rng: random.Random, shape: Shape, agent_id: str, start_ms: int, length: int
) -> list[Made]:
    """The steps of one agent."""
    made: list[Made] = []
    model = rng.choice(shape.models)
    bytes_per_token = rng.uniform(2.6, 4.2)
    cached, at_ms, burst = 0, start_ms, 0
    output = int(rng.lognormvariate(5.3, 0.8))
    ttl_ms = projection.TTL_1H_MS if shape.hour_cache else projection.TTL_5M_MS
    base = context = rng.randint(14_000, 22_000) if agent_id else rng.randint(22_000, 40_000)
    size = 0
    for number in range(length):
        rewritten = None
        if number:
            prompted = not agent_id and rng.random() < 1 / 12
            seconds = rng.choice(shape.pause_s) if prompted else rng.expovariate(1 / 15) + 2
            size = int(rng.lognormvariate(5, 1) if prompted else results(rng, shape.results))
            ratio = bytes_per_token * rng.uniform(0.9, 1.1)
            context += output + int(size / ratio) + rng.randint(20, 90)
            if shape.compacts and context > COMPACTED_AT:
                cached, context, output = 0, base + rng.randint(4_000, 25_000), 0
                rewritten = int(context * rng.uniform(0.85, 1.1))
            cached = 0 if seconds * 1000 >= ttl_ms else cached
            at_ms += int(seconds * 1000)
        burst = rng.randint(4, 10) if rng.random() < shape.bursts else max(0, burst - 1)
        output = max(8, int(rng.lognormvariate(8.3, 0.5) if burst else rng.lognormvariate(5.3, 1)))
        used = usage(context, cached, output, shape.hour_cache)
        step = Step("", "s", agent_id or "main", agent_id, "", "", model, at_ms, used)
        if number and rng.random() < shape.dear:
            per_token = projection.cost(step._replace(usage=Usage(output_tokens=1)), TABLE)
            output = min(64_000, 20 * made[-1].cost // per_token)
            step = step._replace(usage=used._replace(output_tokens=output))
        if shape.constant and number:
            step = made[0].step._replace(at_ms=at_ms)
        made.append(Made(step, size, projection.cost(step, TABLE), rewritten))
        cached = context
    return made


def results(rng: random.Random, median: int) -> float:
    """The size of a step's tool results: more than 50 KB become a preview of 2 KB."""
    size = median * rng.lognormvariate(0, 1.3)
    return size if size < 50_000 else 2_200


def usage(context: int, cached: int, output: int, hour: bool) -> Usage:
    new = context - cached - 4
    return Usage(4, output, cached, 0 if hour else new, new if hour else 0)


class Session(NamedTuple):
    threads: list[list[Made]]
    """The main thread, then its agents."""
    firsts: list[Step]
    """First steps of earlier sessions' main threads."""
    agent_firsts: list[Step]

    @property
    def cost(self) -> int:
        return sum(made.cost for each in self.threads for made in each)


def session(rng: random.Random, shape: Shape) -> Session:
    main = thread(rng, shape, "", START_MS, rng.randint(30, 150))
    threads = [main]
    for number in range(shape.agents):
        start = main[rng.randint(2, 20)].step.at_ms
        threads.append(thread(rng, shape, f"a{number}", start, rng.randint(5, 60)))
    if shape.constant:
        return Session(threads, [main[0].step], [each[0].step for each in threads[1:]])
    firsts = [thread(rng, shape, "", START_MS, 1)[0].step for _ in range(EARLIER)]
    agents = [thread(rng, shape, "a", START_MS, 1)[0].step for _ in range(EARLIER)]
    return Session(threads, firsts, agents)


class Outcome(NamedTuple):
    spent: int
    dearest: int
    """Of the steps that were booked when the limit had been passed."""
    estimates: list[tuple[int, int]]
    """(estimated, actual) of every step."""


def play(made: Session, limit: int, how: str) -> Outcome:
    """Plays a session under a limit: `before`, `after` or `deny`.

    An event is a hook: it books the step before it and decides on the one after it.
    """
    events = sorted(
        (steps[min(k, len(steps) - 1)].step.at_ms, k == len(steps), number, k)
        for number, steps in enumerate(made.threads)
        for k in range(len(steps) + 1)
    )
    spent = dearest = 0
    held: dict[int, int] = {}
    estimates: list[tuple[int, int]] = []
    denied: dict[int, int] = defaultdict(int)
    for at_ms, is_last, number, k in events:
        steps = made.threads[number]
        if k:
            if number not in held:
                continue  # stopped, or never started
            held.pop(number)
            spent += steps[k - 1].cost
            if spent > limit:
                dearest = max(dearest, steps[k - 1].cost)
        if is_last:
            continue
        if how == "before":
            expected = expect(made, number, k, at_ms)
            if fits(spent, sum(held.values()), expected, limit):
                held[number] = expected
                estimates.append((expected, steps[k].cost))
        else:
            denied[number] += spent >= limit
            if denied[number] <= (DENIED_STEPS if how == "deny" else 0):
                held[number] = 0
    return Outcome(spent, dearest, estimates)


def expect(made: Session, number: int, k: int, at_ms: int) -> int:
    """What the hook expects step k of a thread to cost."""
    steps = made.threads[number]
    if k:
        recent = [each.step for each in steps[max(0, k - projection.RECENT) : k]]
        size, rewritten = steps[k].added_bytes, steps[k].rewritten_tokens
        return projection.next_step(recent, size, at_ms, TABLE, rewritten).picousd
    firsts, first = made.agent_firsts if number else made.firsts, steps[0].step
    return projection.first_step(firsts, TABLE, at_ms, first, first.model).picousd


# -- figures ---------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """Of many sessions under one way of stopping."""

    sessions: int
    over: list[float]
    """By how much of its limit each session that passed it did."""
    over_steps: list[float]
    """The same, in units of the dearest step that was booked then."""
    unused: list[float]
    """The share of the limit that was left by the others."""
    estimates: list[tuple[int, int]]


def play_all(
    rng: random.Random, shapes: Sequence[Shape], count: int
) -> dict[tuple[str, str], Figures]:
    """Every shape in turn, each session with a limit of its own, in all three ways."""
    found: dict[tuple[str, str], Figures] = {
        (shape.name, how): Figures(0, [], [], [], [])
        for shape in shapes
        for how in ("before", "after", "deny")
    }
    for number in range(count):
        shape = shapes[number % len(shapes)]
        made = session(rng, shape)
        limit = int(made.cost * rng.uniform(0.1, 0.9))
        for how in ("before", "after", "deny"):
            outcome = play(made, limit, how)
            figures = found[shape.name, how]
            found[shape.name, how] = figures._replace(sessions=figures.sessions + 1)
            figures.estimates.extend(outcome.estimates)
            if outcome.spent > limit:
                figures.over.append((outcome.spent - limit) / limit)
                figures.over_steps.append((outcome.spent - limit) / outcome.dearest)
            else:
                figures.unused.append((limit - outcome.spent) / limit)
    return found


def joined(all_figures: Iterable[Figures]) -> Figures:
    """One for several."""
    total = Figures(0, [], [], [], [])
    for each in all_figures:
        total = Figures(
            total.sessions + each.sessions,
            total.over + each.over,
            total.over_steps + each.over_steps,
            total.unused + each.unused,
            total.estimates + each.estimates,
        )
    return total


def overshoot_row(name: str, figures: Figures) -> str:
    share = len(figures.over) / figures.sessions
    return (
        f"{name:<26}{figures.sessions:>7}{share:>9.2%}{mean(figures.over):>9.2%}"
        f"{max(figures.over, default=0):>9.2%}{max(figures.over_steps, default=0):>9.2f}"
        f"{statistics.median(figures.unused or [0]):>9.2%}{quantile(figures.unused, 90):>9.2%}"
    )


def error_row(name: str, estimates: list[tuple[int, int]]) -> str:
    """How the estimate stands to the step: 1.00 is exact, more is cautious."""
    ratios = [expected / actual for expected, actual in estimates if actual]
    errors = [abs(ratio - 1) for ratio in ratios]
    short = sum(max(0, actual - expected) for expected, actual in estimates)
    total = sum(actual for _, actual in estimates)
    return (
        f"{name:<26}{len(ratios):>9}{statistics.median(ratios):>8.2f}{quantile(ratios, 90):>8.2f}"
        f"{statistics.median(errors):>9.1%}{quantile(errors, 90):>9.1%}"
        f"{sum(ratio < 1 for ratio in ratios) / len(ratios):>9.1%}{short / total:>9.2%}"
    )


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def quantile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100] if values else 0.0


ERROR_HEAD = (
    f"{'':<26}{'steps':>9}{'median':>8}{'90th':>8}{'|error|':>9}{'90th':>9}"
    f"{'under':>9}{'missed':>9}"
)
OVER_HEAD = (
    f"{'':<24}{'sessions':>9}{'passed':>9}{'mean':>9}{'most':>9}{'steps':>9}"
    f"{'unused':>9}{'90th':>9}"
)


def generated(count: int, seed: int) -> None:
    found = play_all(random.Random(seed), SHAPES, count)
    for how in ("before", "after", "deny"):
        print(f"\n{how}\n{OVER_HEAD}")
        for shape in SHAPES:
            print(overshoot_row(shape.name, found[shape.name, how]))
        print(overshoot_row("all", joined(found[shape.name, how] for shape in SHAPES)))
    print(f"\nestimate / step\n{ERROR_HEAD}")
    for shape in SHAPES:
        print(error_row(shape.name, found[shape.name, "before"].estimates))
    print(error_row("all", joined(found[s.name, "before"] for s in SHAPES).estimates))


def replayed(path: str) -> None:
    """The estimator on a real ledger: each agent's steps in their order."""
    threads: dict[tuple[str, str], list[Step]] = defaultdict(list)
    if not os.path.isfile(path):
        raise SystemExit(f"There is no ledger {path}.")
    ledger = Ledger(path)
    for step, _ in ledger.entries():
        if step.responses:
            threads[step.session_id, step.agent_id].append(step)
    ledger.close()
    by_model: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for steps in threads.values():
        steps.sort(key=lambda step: step.at_ms)
        for k in range(1, len(steps)):
            recent = steps[max(0, k - projection.RECENT) : k]
            expected = projection.next_step(recent, None, steps[k].at_ms, TABLE)
            pair = (expected.picousd, projection.cost(steps[k], TABLE))
            by_model[steps[k].model].append(pair)
    print(f"estimate / step, of {len(threads)} threads\n{ERROR_HEAD}")
    for model, pairs in sorted(by_model.items()):
        print(error_row(model, pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", help="measure the estimator on this ledger instead")
    options = parser.parse_args()
    if options.ledger:
        replayed(options.ledger)
    else:
        generated(options.sessions, options.seed)


if __name__ == "__main__":
    main()
