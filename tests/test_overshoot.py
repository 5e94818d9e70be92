"""The simulation keeps its word: what it prints of `stop = "before"` is what the hook would do."""

import random
from pathlib import Path

import pytest

from bench import overshoot
from budget.ledger import Ledger
from budget.pricing import load_table

STEADY = tuple(shape for shape in overshoot.SHAPES if shape.constant)


def test_steady_sessions_never_pass_a_limit() -> None:
    found = overshoot.play_all(random.Random(4), STEADY, 60)
    for shape in STEADY:
        figures = found[shape.name, "before"]
        assert figures.sessions == 30
        assert figures.over == []
        # Exact; but of ten agents' first steps the dearest is expected.
        wrong = [actual for expected, actual in figures.estimates if expected != actual]
        assert len(wrong) <= (30 * shape.agents)
        assert all(expected >= actual for expected, actual in figures.estimates)
        assert len(found[shape.name, "after"].over) > 0


def test_fewer_sessions_pass_a_limit_before_than_after_than_denied() -> None:
    found = overshoot.play_all(random.Random(4), overshoot.SHAPES, 220)
    over = {
        how: overshoot.joined(found[shape.name, how] for shape in overshoot.SHAPES)
        for how in ("before", "after", "deny")
    }
    assert len(over["before"].over) <= 5
    assert len(over["after"].over) == len(over["deny"].over) == 220
    assert overshoot.mean(over["after"].over) < overshoot.mean(over["deny"].over)
    assert max(over["before"].over_steps, default=0) < 1


def test_a_ledger_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = overshoot.session(random.Random(4), overshoot.SHAPES[0]).threads[0]
    path = str(tmp_path / "ledger.db")
    ledger = Ledger(path)
    with ledger.transaction():
        steps = [each.step._replace(message_id=f"msg_{k}") for k, each in enumerate(made)]
        ledger.book(steps, load_table())
    ledger.close()
    overshoot.replayed(path)
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[:4] == ["claude-sonnet-5", str(len(made) - 1), "1.00", "1.00"]
