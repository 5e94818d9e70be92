"""What agents hold for their next steps, and which step takes whose place."""

from pathlib import Path

import pytest

from budget.evaluate import Who
from budget.ledger import Ledger
from budget.model import Spend
from budget.reservations import LAPSES_MS, STARTING, Reservation, held, hold, replaced_by
from tests.samples import AT_MS, ROUND_TABLE, SESSION, a_step

UNTIL_MS = AT_MS + LAPSES_MS


@pytest.mark.parametrize("name", ["Explore", "*", "Expl?re", "[A-Z]xplore", 'a "quoted" one', "é"])
def test_an_agent_that_starts_takes_the_place_held_for_its_type_and_no_other(
    tmp_path: Path, name: str
) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"))

    def starting(call: str, agent: str, until_ms: int) -> Reservation:
        return Reservation(SESSION, STARTING + call, "", Who(agent), Spend(1), until_ms)

    with ledger.transaction():
        hold(ledger, starting("call_1", "Explorer", AT_MS + LAPSES_MS))
        hold(ledger, starting("call_2", name, AT_MS + LAPSES_MS + 1))
        step = a_step("msg_1", agent=name, agent_id="a1", at_ms=AT_MS)
        replaced_by(ledger, [step])
    assert [each.agent_id for each in held(ledger, AT_MS)] == [STARTING + "call_1"]


@pytest.mark.parametrize("hooks", [1, 2, 3])
def test_hooks_that_read_a_first_step_together_take_one_place(tmp_path: Path, hooks: int) -> None:
    """Three agents were let start; of one the first step is read, by several hooks at once."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    with ledger.transaction():
        for call in range(3):
            who = Who("Explore")
            hold(ledger, Reservation(SESSION, f"{STARTING}{call}", "", who, Spend(1), UNTIL_MS))
    step = a_step("msg_1", agent="Explore", agent_id="a1", at_ms=AT_MS)
    for _ in range(hooks):
        with ledger.transaction():
            replaced_by(ledger, [step])
            ledger.book([step], ROUND_TABLE)
    assert len(held(ledger, AT_MS)) == 3 - 1
