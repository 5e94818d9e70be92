"""Judges: what was spent against each limit, and what follows. Pure."""

from typing import NamedTuple

from budget.model import Budget, Spend, Verdict


class Decision(NamedTuple):
    """All verdicts, and the budgets that ask for something."""

    verdicts: tuple[Verdict, ...]

    @property
    def blocking(self) -> tuple[Verdict, ...]:
        """Budgets that are used up and stop the work."""
        return tuple(v for v in self.verdicts if v.exceeded and v.budget.on_exceed == "block")

    @property
    def advising(self) -> tuple[Verdict, ...]:
        """Budgets that are used up and only say so."""
        return tuple(v for v in self.verdicts if v.exceeded and v.budget.on_exceed != "block")

    @property
    def warned(self) -> tuple[Verdict, ...]:
        """Budgets that are not used up, past one of their marks."""
        return tuple(v for v in self.verdicts if v.state == "warned")


def spent(budget: Budget, spend: Spend) -> int:
    """What a budget counts, in the unit of its limit."""
    if budget.unit == "usd":
        return spend.counted_picousd
    if budget.unit == "cache_write_tokens":
        return spend.cache_write
    return int(getattr(spend, budget.unit))
