"""A ledger of every released format becomes one of this format, once, with all that was in it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from budget.errors import LedgerError
from budget.ledger import Ledger
from budget.model import Window
from budget.verify import check
from tests.samples import ROUND_TABLE, a_step, folded_totals, rows, stored_totals

ROOT = Path(__file__).resolve().parent.parent
FORMAT_1 = (Path(__file__).parent / "ledger_format_1.sql").read_text(encoding="utf-8")
STEP_FACTS = "message_id, session_id, at_ms, output_tokens, picousd, bound_picousd, branch"


def old_ledger(path: Path, more_entries: int = 0) -> sqlite3.Connection:
    """A ledger of format 1, as it was released, with its log still open."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(FORMAT_1)
    db.execute("PRAGMA journal_mode = WAL")
    if more_entries:
        columns = [row[1] for row in db.execute("PRAGMA table_info(entries)")]
        rest = ", ".join(columns[2:])
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" INSERT INTO entries SELECT 100 + i, 'more_' || i, {rest} FROM n, entries"
            " WHERE message_id = 'msg_4'",
            (more_entries,),
        )
        db.execute("DELETE FROM totals")  # of these nothing was added up
    return db


def test_all_that_was_booked_is_there_and_verifies(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    old_ledger(tmp_path / "ledger.db").close()
    before = rows(path, "entries", STEP_FACTS), stored_totals(path)
    tables = ("unattributed", "client_totals", "grants", "cursors", "copies", "compactions")
    kept = {table: [row[:5] for row in rows(path, table)] for table in tables}
    ledger = Ledger(path)
    assert check(ledger).findings == []
    assert not ledger.is_new
    assert ledger.root() == "/home/ana/work"
    assert (rows(path, "entries", STEP_FACTS), stored_totals(path)) == before
    assert {table: [row[:5] for row in rows(path, table)] for table in tables} == kept
    with ledger.transaction():
        ledger.book([a_step("msg_3", model="claude-omega-9"), a_step("msg_9")], ROUND_TABLE)
    assert check(ledger).findings == []
    assert stored_totals(path) == folded_totals(path)
    ledger.close()


def test_a_migrated_ledger_is_the_same_as_a_new_one_to_the_letter(tmp_path: Path) -> None:
    old_ledger(tmp_path / "old.db").close()
    for name in ("old.db", "new.db"):
        Ledger(str(tmp_path / name)).close()
    old, new = (
        rows(str(tmp_path / name), "sqlite_schema", "type, name, sql")
        for name in ("old.db", "new.db")
    )
    assert [row for row in old if not row[1].startswith("sqlite_")] == [
        row for row in new if not row[1].startswith("sqlite_")
    ]


def test_what_lies_in_the_log_still_is_migrated_too(tmp_path: Path) -> None:
    other = old_ledger(tmp_path / "ledger.db")
    other.execute("UPDATE facts SET value = '/elsewhere' WHERE key = 'root'")
    assert (tmp_path / "ledger.db-wal").stat().st_size > 0
    ledger = Ledger(str(tmp_path / "ledger.db"))
    assert check(ledger) == (5, [], frozenset())
    assert ledger.root() == "/elsewhere"
    ledger.close()
    other.close()


def test_a_program_of_the_older_format_books_nothing_more_and_says_so(tmp_path: Path) -> None:
    """One that had the ledger open before: a new one refuses the format at once."""
    old = old_ledger(tmp_path / "ledger.db")
    Ledger(str(tmp_path / "ledger.db")).close()
    with pytest.raises(sqlite3.OperationalError, match="only_budget_writes_its_ledger"):
        old.execute("UPDATE totals SET steps = steps + 1")
    old.close()


OPENER = """
import sys
sys.path.append(sys.argv[1])
from budget.ledger import Ledger
from tests.samples import ROUND_TABLE, a_step
ledger = Ledger(sys.argv[2], wait_s=30)
with ledger.transaction():
    ledger.book([a_step(f"new_{sys.argv[3]}")], ROUND_TABLE)
print("done", flush=True)
"""


def opener(path: str, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", OPENER, str(ROOT), path, str(number)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_many_that_open_it_at_once_migrate_it_once(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    old_ledger(tmp_path / "ledger.db", 2_000).close()
    running = [opener(path, number) for number in range(8)]
    assert [process.communicate()[0] for process in running] == ["done\n"] * 8
    names = {row[0] for row in rows(path, "entries", "message_id")}
    assert len(names) == 2_000 + 5 + 8


def test_a_migration_that_is_killed_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    old_ledger(tmp_path / "ledger.db", 40_000).close()
    killed = 0
    for delay_s in (0.15, 0.25, 0.35):
        process = opener(path, 1)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        killed += process.communicate()[0] != "done\n"
        version = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0]
        count = len(rows(path, "entries", "seq"))
        assert (version, count) in ((1, 40_005), (2, 40_005), (2, 40_006))
    assert killed
    assert opener(path, 2).communicate()[0] == "done\n"
    ledger = Ledger(path)
    assert {each.kind for each in check(ledger).findings} <= {"total"}
    assert ledger.spend(Window(0, None)).steps > 0
    ledger.close()


def test_who_only_looks_reads_an_old_ledger_as_it_is(tmp_path: Path) -> None:
    old_ledger(tmp_path / "ledger.db").close()
    os.chmod(tmp_path / "ledger.db", 0o600)
    before = (tmp_path / "ledger.db").read_bytes()
    ledger = Ledger(str(tmp_path / "ledger.db"), looks=True)
    assert ledger.spend(Window(0, None)).steps == 5
    ledger.close()
    assert (tmp_path / "ledger.db").read_bytes() == before


@pytest.mark.parametrize("version", [-1, 3, 99])
def test_a_format_that_is_none_of_ours_is_left_alone(tmp_path: Path, version: int) -> None:
    old = old_ledger(tmp_path / "ledger.db")
    old.execute(f"PRAGMA user_version = {version}")
    old.close()
    with pytest.raises(LedgerError, match=f"has the format {version}, this version"):
        Ledger(str(tmp_path / "ledger.db"))
