"""The state folder does not grow for ever."""

import os
from pathlib import Path

from budget.sweep import KEPT_S, sweep

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
