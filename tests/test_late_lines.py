"""The lines of a step that reach the transcript after the hook that is called for it."""

import threading
from pathlib import Path

import pytest

from tests.test_bad_input import Machine, call_of, step_line, steps_booked

TWO_STEPS = 'version = 1\n[budgets.session]\nper = "session"\nsteps = 2\n'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.user_config.write_text(TWO_STEPS)
    return made


@pytest.mark.parametrize("late_s", [0.1, 0.8])
def test_the_step_that_uses_a_budget_up_is_booked_where_no_event_follows(
    machine: Machine, late_s: float
) -> None:
    path = str(machine.transcript("msg_1"))

    def answer(message_id: str) -> object:
        calls = call_of(message_id)
        event = machine.event("PostToolBatch", transcript_path=path, tool_calls=calls)
        return machine.hook(event).get("continue", True)

    def append() -> None:
        with Path(path).open("a") as file:
            file.write(step_line("msg_2"))

    assert answer("msg_1") is True
    client = threading.Timer(late_s, append)
    client.start()
    assert answer("msg_2") is False
    client.join()
    assert steps_booked(machine) == 2
