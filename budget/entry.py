"""An entry as a row of the ledger, and what it adds to a total. Pure."""

from __future__ import annotations

from budget.lean import Any, dumps, loads
from budget.model import Price, Spend, Step, Usage


def row_of(step: Step, cost: Price) -> tuple[Any, ...]:
    """An entry as a row of `ENTRY_COLUMNS`."""
    return (
        *step[:8],
        *step.usage,
        *step[9:12],
        step.responses,
        dumps(step.parts) if step.parts else "",
        step.stated_picousd,
        step.user,
        *cost,
    )


def entry_of(row: tuple[Any, ...]) -> tuple[Step, Price]:
    """The reverse of `row_of`; what follows in the row does not matter."""
    parts = tuple(Usage(*part) for part in loads(row[18])) if row[18] else ()
    step = Step._make((*row[:8], Usage(*row[8:14]), *row[14:18], parts, row[19], "", row[20]))
    return step, Price(*row[21:25])


def spend_of_rows(rows: list[tuple[Any, ...]]) -> Spend:
    """What entries, as rows of `ENTRY_COLUMNS`, add to a total."""
    columns = list(zip(*rows, strict=True))
    costs = [cost for cost in columns[21] if cost is not None]
    sums = [*map(sum, (columns[17], *columns[8:14], costs, *columns[22:24]))]
    return Spend._make([*sums, 0, len(rows) - len(costs)])


def spend_of(step: Step, cost: Price) -> Spend:
    """What one entry adds to a total."""
    return Spend(
        step.responses,
        *step.usage,
        cost.picousd or 0,
        cost.bound_picousd,
        cost.listed_picousd,
        0,
        int(cost.picousd is None),
    )
