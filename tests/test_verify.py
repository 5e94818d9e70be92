"""Whatever is booked verifies; whatever was changed, removed or inserted by others is named."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from budget import grants, paths, reconcile
from budget.chain import GUARD, SEALED
from budget.ledger import Ledger
from budget.model import PICO, ClientTotal
from budget.tables import GUARDED
from budget.transcript import Cursor
from budget.verify import Finding, check
from tests.samples import (
    AT_MS,
    DAY_MS,
    MODEL,
    ROUND_TABLE,
    SESSION,
    USAGE,
    a_step,
    quick_folder,
    unguarded,
)

FORK = "f0f0f0f0-0000-4000-8000-000000000001"


def fill(ledger: Ledger) -> None:
    """Some of everything that counts: entries that rose, a fork, unpriced steps, grants, ..."""
    with ledger.transaction():
        placeholder = a_step("msg_1", USAGE._replace(output_tokens=1))
        ledger.book([placeholder, a_step("msg_2"), a_step("msg_3", model="unknown")], ROUND_TABLE)
    with ledger.transaction():
        ledger.book([a_step("msg_1"), a_step("msg_4", at_ms=AT_MS + DAY_MS)], ROUND_TABLE)
        ledger.book([a_step("msg_2", session_id=FORK), a_step("msg_5")], ROUND_TABLE)
        ledger.move_cursor("/a", SESSION, Cursor(1, 2, 30, 4, 5, "5:abc", "prompt-1"))
        told = ClientTotal(SESSION, "transcript", 0, 0, 2 * PICO)
        sensed = ClientTotal(SESSION, "sensor:p1.json", AT_MS + 1, PICO, 2 * PICO)
        reconcile.note(ledger, [told, sensed])
        reconcile.settle(ledger, SESSION, AT_MS)
        for number in range(2):
            made = grants.Grant(AT_MS + number, AT_MS + DAY_MS, "", "day", "usd", 5, "ana", "")
            grants.add(ledger, made)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(str(tmp_path / "project" / "ledger.db"))
    fill(opened)
    yield opened
    opened.close()


def found(ledger: Ledger) -> list[Finding]:
    return check(ledger).findings


def kinds(ledger: Ledger) -> list[str]:
    return [each.kind for each in found(ledger)]


def tamper(ledger: Ledger, *statements: str) -> None:
    db = unguarded(ledger.path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_a_ledger_with_some_of_everything_is_as_it_was_booked(ledger: Ledger) -> None:
    assert check(ledger) == (5, [], frozenset())


# -- other programs are kept out -------------------------------------------------------------------


@pytest.mark.parametrize("table", GUARDED)
@pytest.mark.parametrize("change", ["INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "UPDATE {}"])
def test_another_program_changes_no_table(ledger: Ledger, table: str, change: str) -> None:
    if change.startswith("UPDATE"):
        column = ledger.rows(f"SELECT name FROM pragma_table_info('{table}')")[-1][0]
        change += f" SET {column} = 0"
    db = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.OperationalError, match=f"no such function: {GUARD}"):
        db.execute(change.format(table))
    db.close()


def test_another_program_may_look(ledger: Ledger) -> None:
    db = sqlite3.connect(ledger.path)
    assert db.execute("SELECT count(*) FROM entries").fetchone() == (5,)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def test_a_guard_that_was_taken_away_is_found_though_nothing_else_was_changed(
    ledger: Ledger,
) -> None:
    db = sqlite3.connect(ledger.path)
    db.execute("DROP TRIGGER totals_update")
    db.close()
    (finding,) = found(ledger)
    assert finding.kind == "schema"
    assert "a guard was taken away" in finding.text


# -- each kind of tampering is named ---------------------------------------------------------------


def test_a_changed_entry_is_named(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE entries SET output_tokens = 0 WHERE message_id = 'msg_3'")
    first, *others = found(ledger)
    assert first == Finding(
        "changed",
        "Entry 3 (msg_3, unknown, 2026-11-23 10:00 UTC, unpriced) is not as it was booked.",
        "entries",
        3,
        "msg_3",
    )
    assert {each.kind for each in others} == {"total"}
    assert check(ledger).broken == {3}


def test_a_changed_link_is_named_once(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE entries SET link = x'00' WHERE message_id = 'msg_3'")
    assert [(each.kind, each.message_id) for each in found(ledger)] == [("changed", "msg_3")]


def test_removed_entries_are_named(ledger: Ledger) -> None:
    tamper(ledger, "DELETE FROM entries WHERE message_id IN ('msg_2', 'msg_3')")
    first, *others = found(ledger)
    assert (first.kind, first.message_id) == ("removed", "msg_1")
    assert first.text.startswith("Places 2 to 3 of the chain are gone, before entry 4 (msg_1, ")
    assert {each.kind for each in others} == {"total"}
    assert check(ledger).broken == frozenset()


def test_an_inserted_entry_is_named(ledger: Ledger) -> None:
    columns = ", ".join(
        name
        for (name,) in ledger.rows("SELECT name FROM pragma_table_info('entries')")
        if name not in ("seq", "message_id")
    )
    tamper(
        ledger,
        "UPDATE entries SET seq = seq + 10 WHERE seq > 3",
        "DELETE FROM superseded",
        f"INSERT INTO entries (seq, message_id, {columns})"
        f" SELECT 4, 'forged', {columns} FROM entries WHERE seq = 3",
    )
    assert "forged" in str([each.message_id for each in found(ledger)])


def test_an_entry_that_was_added_at_the_end_is_named(ledger: Ledger) -> None:
    columns = ", ".join(
        name
        for (name,) in ledger.rows("SELECT name FROM pragma_table_info('entries')")
        if name not in ("seq", "message_id", "picousd")
    )
    tamper(
        ledger,
        f"INSERT INTO entries (message_id, picousd, {columns})"
        f" SELECT 'forged', -5, {columns} FROM entries WHERE seq = 3",
    )
    first = found(ledger)[0]
    assert (first.kind, first.message_id) == ("changed", "forged")


def test_an_entry_between_others_that_was_not_booked_is_inserted(tmp_path: Path) -> None:
    """Before there was a chain, places were left without a trace: there is room between them."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    fill(ledger)
    tamper(
        ledger,
        "UPDATE facts SET value = '99' WHERE key = 'chained_from'",
        "DELETE FROM superseded WHERE seq = 1",
        "UPDATE entries SET seq = 1 WHERE seq = 2",
    )
    names = {each.message_id for each in found(ledger)}
    assert names & {"msg_2", "msg_3"}
    ledger.close()


def test_a_place_that_is_made_up_to_hide_a_removed_entry_is_found(ledger: Ledger) -> None:
    (removed,) = ledger.rows("SELECT link, x'00' FROM entries WHERE seq = 3")
    db = unguarded(ledger.path)
    db.execute("DELETE FROM entries WHERE seq = 3")
    db.execute("INSERT INTO superseded VALUES (3, ?, ?)", removed)
    db.commit()
    db.close()
    text = [each.text for each in found(ledger) if each.table == "superseded"]
    assert text[-1:] == ["Place 3 of the chain is marked as left, and no entry was there before."]


def test_entries_that_changed_places_are_found(ledger: Ledger) -> None:
    tamper(
        ledger,
        "UPDATE entries SET seq = -1 WHERE seq = 2",
        "UPDATE entries SET seq = 2 WHERE seq = 3",
        "UPDATE entries SET seq = 3 WHERE seq = -1",
    )
    assert {each.message_id for each in found(ledger)} >= {"msg_2", "msg_3"}


def test_a_chain_of_another_ledger_does_not_fit(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE facts SET value = 'another' WHERE key = 'id'")
    assert kinds(ledger) == ["changed"]


def test_a_changed_total_says_what_is_kept_and_what_the_entries_make(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE totals SET output_tokens = 7 WHERE span = 'all' AND model = 'unknown'")
    (finding,) = found(ledger)
    assert finding.text == (
        "The total of all (unknown, main, main): output tokens: kept 7, its entries make 200."
    )


def test_a_total_that_is_gone_or_made_up_is_found(ledger: Ledger) -> None:
    tamper(
        ledger,
        f"DELETE FROM totals WHERE span = 'day' AND start = {AT_MS // DAY_MS * DAY_MS}"
        f" AND model = '{MODEL}'",
        "UPDATE prompt_totals SET picousd = picousd - 1",
    )
    assert [each.table for each in found(ledger)] == ["totals", "prompt_totals"]


def test_many_wrong_totals_are_counted(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.book([a_step(f"m{n}", at_ms=n * DAY_MS) for n in range(60)], ROUND_TABLE)
    tamper(ledger, "UPDATE totals SET picousd = 0 WHERE span = 'hour'")
    texts = [each.text for each in found(ledger)]
    assert len(texts) == 21
    assert texts[-1] == "42 more totals are not the sum of their entries."


@pytest.mark.parametrize("table", ["unattributed", "client_totals", "grants", "cursors"])
def test_a_row_whose_seal_does_not_hold_is_named(ledger: Ledger, table: str) -> None:
    column = {"cursors": "offset", "grants": "amount"}.get(table, "picousd")
    column = "total_picousd" if table == "client_totals" else column
    tamper(ledger, f"UPDATE {table} SET {column} = {column} + 1")
    assert "is not as budget wrote it" in " ".join(
        each.text for each in found(ledger) if each.table == table
    )


def test_a_grant_that_was_removed_is_found(ledger: Ledger) -> None:
    tamper(ledger, "DELETE FROM grants WHERE seq = 1")
    assert [each.table for each in found(ledger)] == ["grants"]


def test_a_damaged_file_is_found(ledger: Ledger) -> None:
    path = Path(ledger.path)
    with ledger.transaction():
        ledger.book([a_step(f"m{n}", branch="x" * 200) for n in range(200)], ROUND_TABLE)
    ledger.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\x55" * 4096
    path.write_bytes(data)
    run = command(path, "verify")
    assert run.returncode == 3
    assert "damaged" in run.stdout


# -- laws ------------------------------------------------------------------------------------------

STEPS = st.builds(
    a_step,
    st.sampled_from([f"msg_{n}" for n in range(6)]),
    st.integers(0, 3).map(lambda n: USAGE._replace(output_tokens=n)),
    session_id=st.sampled_from([SESSION, FORK]),
    branch=st.sampled_from(["main", "", "it's\x1fé\u2028"]),
    at_ms=st.integers(0, 3).map(lambda n: AT_MS + n * DAY_MS // 7),
)


@settings(max_examples=60)
@given(st.lists(st.lists(STEPS, max_size=5), max_size=6))
def test_any_bookings_verify(batches: list[list[Any]]) -> None:
    with quick_folder() as folder:
        ledger = Ledger(os.path.join(folder, "ledger.db"))
        for batch in batches:
            with ledger.transaction():
                ledger.book(batch, ROUND_TABLE)
        assert found(ledger) == []
        ledger.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    ledger = Ledger(str(path))
    fill(ledger)
    ledger.close()
    return path


COUNTING = ("entries", "superseded", "totals", "prompt_totals", *sorted({*SEALED} - {"sources"}))
VALUES = st.one_of(
    st.integers(-3, 3), st.integers(0, 2**60), st.text("ab\x1f0", max_size=3), st.just("None")
)


@settings(max_examples=150)
@given(st.sampled_from(COUNTING), st.integers(0, 199), st.integers(0, 199), VALUES)
def test_any_change_of_any_cell_that_counts_is_found(
    template: Path, table: str, which_column: int, which_row: int, value: object
) -> None:
    with quick_folder() as folder:
        path = os.path.join(folder, "ledger.db")
        shutil.copy(template, path)
        with closing(unguarded(path)) as db:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            column = columns[which_column % len(columns)]
            order = ", ".join(columns)
            read = f"SELECT {column}, {order} FROM {table} ORDER BY {order}"
            rows = db.execute(read).fetchall()
            row = rows[which_row % len(rows)]
            where = " AND ".join(f"{name} IS ?" for name in columns)
            try:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *row[1:]))
            except sqlite3.IntegrityError:
                assume(False)
            db.commit()
            assume(db.execute(read).fetchall() != rows)
        ledger = Ledger(path)
        assert found(ledger) != []
        ledger.close()


# -- the command -----------------------------------------------------------------------------------


def command(ledger: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`budget`, where a ledger is that of the project it is asked of."""
    project = ledger.parent / "work"
    project.mkdir(exist_ok=True)
    env = {"HOME": str(ledger.parent), "BUDGET_HOME": str(ledger.parent / "state")}
    own = Path(paths.ledger_file(env, paths.find_project(str(project))))
    own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own.write_bytes(ledger.read_bytes())
    return subprocess.run(
        [sys.executable, "-m", "budget", *arguments, "--project", str(project)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_ends_with_0_and_says_how_many_entries_there_are(ledger: Ledger) -> None:
    ledger.close()
    run = command(Path(ledger.path), "verify")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith(": 5 entries are as they were booked.\n")


def test_the_command_ends_with_3_and_names_each_finding(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE entries SET output_tokens = 0 WHERE message_id = 'msg_3'")
    ledger.close()
    run = command(Path(ledger.path), "verify")
    assert run.returncode == 3
    assert "  changed    Entry 3 (msg_3, unknown, " in run.stdout
    told = json.loads(command(Path(ledger.path), "verify", "--json").stdout)["ledgers"]
    assert told[0]["entries"] == 5
    assert told[0]["findings"][0]["entry"] == 3
