"""Judges: what was spent against each limit, and what follows. Pure."""

from __future__ import annotations

from budget.lean import Any, NamedTuple
from budget.model import Budget, Spend, Verdict

NOT_KNOWN = "?"
"""In `Who`: matched by no filter but `*`."""


class Who(NamedTuple):
    """Whose step it is: what filters of budgets are matched against. Empty: matched by any."""

    agent: str = ""
    model: str = ""
    branch: str = ""


class Decision(NamedTuple):
    """All verdicts, and the budgets that ask for something."""

    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...] = ()
    """What could not be counted."""
    grants: tuple[Any, ...] = ()
    """Every grant that holds now (`grants.Grant`)."""

    @property
    def blocking(self) -> tuple[Verdict, ...]:
        """Budgets that let no further step be made: used up, or the next step does not fit."""
        return tuple(v for v in self.verdicts if v.stops)

    @property
    def advising(self) -> tuple[Verdict, ...]:
        """Budgets that are used up and only say so."""
        return tuple(v for v in self.verdicts if v.exceeded and v.budget.on_exceed == "advise")

    @property
    def warned(self) -> tuple[Verdict, ...]:
        """Budgets that are not used up, past one of their marks."""
        return tuple(v for v in self.verdicts if v.state == "warned")


def concerns(budget: Budget, who: Who) -> bool:
    """Whether a budget counts steps like this one."""
    if not budget.filtered:
        return True
    kinds = zip((budget.models, budget.agents, budget.branches), _told(who), strict=True)
    return all(
        not patterns or not told or any(matches(told, pattern) for pattern in patterns)
        for patterns, told in kinds
    )


def matches(text: str, pattern: str) -> bool:
    """As `fnmatch.fnmatchcase`, which takes a hook longer to load than all else of a filter."""
    if "?" in pattern or "[" in pattern:
        from fnmatch import fnmatchcase

        return fnmatchcase(text, pattern)
    first, *pieces = pattern.split("*")
    if not pieces:
        return text == pattern
    at = len(first)
    for piece in pieces[:-1]:
        found = text.find(piece, at)
        if found == -1:
            return False
        at = found + len(piece)
    return (
        text.startswith(first) and text.endswith(pieces[-1]) and len(text) - at >= len(pieces[-1])
    )


def _told(who: Who) -> tuple[str, str, str]:
    return who.model, who.agent, who.branch


def spent(budget: Budget, spend: Spend) -> int:
    """What a budget counts, in the unit of its limit."""
    if budget.unit == "usd":
        return (
            spend.counted_picousd if not budget.filtered else (spend.picousd + spend.bound_picousd)
        )
    if budget.unit == "cache_write_tokens":
        return spend.cache_write
    return int(getattr(spend, budget.unit))
