"""The state folder does not grow for ever."""

import os
from pathlib import Path

from budget import events
from budget.ledger import Ledger
from budget.model import Window
from budget.sweep import KEPT_S, forget, sweep
from tests.samples import ROUND_TABLE, a_step

NOW_S = 1_795_000_000


def test_only_old_reports_and_marks_are_removed(tmp_path: Path) -> None:
    env = {"BUDGET_HOME": str(tmp_path)}
    ages = {"old": KEPT_S + 60, "new": KEPT_S - 60}
    for name, age in ages.items():
        (tmp_path / "client" / name).mkdir(parents=True)
        (tmp_path / "client" / name / "p.json").write_text("{}")
        (tmp_path / "said").mkdir(exist_ok=True)
        (tmp_path / "said" / name).write_text("")
        (tmp_path / "projects" / name).mkdir(parents=True)
        for folder in ("client", "said", "projects"):
            os.utime(tmp_path / folder / name, (NOW_S - age, NOW_S - age))
    sweep(env, NOW_S)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert left == {"client/new", "said/new", "projects/old", "projects/new"}


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    (tmp_path / "state" / "client").mkdir(parents=True)
    link = tmp_path / "state" / "client" / "link"
    link.symlink_to(elsewhere)
    os.utime(link, (1, 1), follow_symlinks=False)
    sweep({"BUDGET_HOME": str(tmp_path / "state")}, NOW_S)
    assert not link.is_symlink()
    assert (elsewhere / "kept").exists()


def test_without_a_state_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    sweep({"BUDGET_HOME": str(tmp_path / "none")}, NOW_S)
    assert not (tmp_path / "none").exists()


def test_a_ledger_forgets_what_was_said_and_stopped_long_ago_and_no_step(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"))
    now_ms = int(NOW_S * 1000)
    old_ms, late_ms = now_ms - 401 * 86_400_000, now_ms - 399 * 86_400_000
    with ledger.transaction():
        ledger.book([a_step(at_ms=old_ms)], ROUND_TABLE)
        for at_ms in (old_ms, late_ms):
            ledger.say_once(f"said at {at_ms}", at_ms)
            for kind in (events.STOP, events.GRANT, events.REMADE):
                events.record(ledger, events.Event(at_ms, kind, "s", "", {}))
    forget(ledger, now_ms)
    assert ledger.rows("SELECT at_ms FROM said") == [(late_ms,)]
    kept = ledger.rows("SELECT kind, at_ms FROM events ORDER BY seq")
    assert kept == [
        *((events.GRANT, old_ms), (events.REMADE, old_ms)),
        *((kind, late_ms) for kind in (events.STOP, events.GRANT, events.REMADE)),
    ]
    assert ledger.spend(Window(0, None)).steps == 1
    ledger.close()
