"""`budget rebuild` mends what `budget verify` finds, beside hooks, and loses no entry."""

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budget import events, rebuild
from budget.errors import DamagedLedgerError
from budget.ledger import Ledger
from budget.verify import check
from tests.samples import (
    AT_MS,
    ROUND_TABLE,
    a_step,
    folded_totals,
    quick_folder,
    rows,
    step_line,
    stored_totals,
    unguarded,
)
from tests.test_tampering import Work
from tests.test_verify import fill

FACTS = "message_id, session_id, at_ms, output_tokens, picousd, price_version"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger(str(tmp_path / "project" / "ledger.db"))
    fill(opened)
    return opened


def run(work: Work, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "budget", *arguments, "--project", str(work.project)],
        env={"PATH": "/usr/bin:/bin", **work.env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_of_a_whole_ledger_nothing_is_changed(ledger: Ledger) -> None:
    before = rows(ledger.path, "entries"), stored_totals(ledger.path)
    done = rebuild.rebuild(ledger, AT_MS)
    assert (done.checked.findings, done.taken_out) == ([], 0)
    assert (rows(ledger.path, "entries"), stored_totals(ledger.path)) == before
    assert events.last(ledger, events.NOTABLE) == []
    ledger.close()


TAMPERING = st.lists(
    st.sampled_from(
        [
            "UPDATE totals SET picousd = picousd + 1",
            "DELETE FROM totals",
            "DELETE FROM prompt_totals",
            "UPDATE client_totals SET before_picousd = 5",
            "UPDATE client_totals SET total_picousd = 0",
            "UPDATE unattributed SET picousd = 1",
            "DELETE FROM unattributed",
            "UPDATE grants SET amount = 10 WHERE seq = 1",
            "DELETE FROM grants WHERE seq = 1",
            "UPDATE cursors SET offset = 0",
            "UPDATE entries SET output_tokens = 1 WHERE seq = 3",
            "UPDATE entries SET link = x'00' WHERE seq = 5",
            "DELETE FROM entries WHERE seq = 4",
            "DELETE FROM superseded",
            "UPDATE superseded SET link = 'x'",
            "INSERT INTO superseded VALUES (77, x'00', x'00')",
            "DROP TRIGGER totals_update",
            "UPDATE facts SET value = 'x' WHERE key = 'id'",
        ]
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=60)
@given(TAMPERING)
def test_whatever_was_done_to_it_it_verifies_again(statements: list[str]) -> None:
    with quick_folder() as folder:
        ledger = Ledger(str(Path(folder, "ledger.db")))
        fill(ledger)
        db = unguarded(ledger.path)
        for statement in statements:
            try:
                db.execute(statement)
            except sqlite3.OperationalError as error:
                assert "no such trigger" in str(error)  # it was dropped before
        db.commit()
        db.close()
        found = check(ledger).findings
        done = rebuild.rebuild(ledger, AT_MS)
        assert done.checked.findings == found
        assert check(ledger).findings == []
        assert stored_totals(ledger.path) == folded_totals(ledger.path)
        if found:
            (event,) = events.last(ledger, events.NOTABLE)
            assert event.facts["findings"] == [each.text for each in found[:20]]
        with ledger.transaction():
            ledger.book([a_step("msg_2"), a_step("msg_77")], ROUND_TABLE)
        assert check(ledger).findings == []
        ledger.close()


def test_a_rebuild_that_fails_leaves_all_as_it_was(ledger: Ledger) -> None:
    db = unguarded(ledger.path)
    db.execute("UPDATE totals SET picousd = 1")
    db.commit()
    db.close()
    before = rows(ledger.path, "totals"), rows(ledger.path, "events")

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rebuild.rebuild(ledger, AT_MS, before_commit=fail)
    assert (rows(ledger.path, "totals"), rows(ledger.path, "events")) == before
    ledger.close()


def test_a_damaged_file_is_not_rebuilt_in_place(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"))
    with ledger.transaction():
        ledger.book([a_step(f"m{n}", branch="x" * 200) for n in range(300)], ROUND_TABLE)
    ledger.close()
    path = Path(ledger.path)
    data = bytearray(path.read_bytes())
    data[-9 * 4096 : -8 * 4096] = b"\x55" * 4096
    path.write_bytes(data)
    ledger = Ledger(ledger.path)
    with pytest.raises(DamagedLedgerError):
        rebuild.rebuild(ledger, AT_MS)
    ledger.close()
    assert path.read_bytes() == bytes(data)


def test_others_book_while_it_runs(ledger: Ledger) -> None:
    running = True

    def book() -> None:
        other, number = Ledger(ledger.path, wait_s=30), 0
        while running:
            with other.transaction():
                other.book([a_step(f"other_{number}")], ROUND_TABLE)
            number += 1
        other.close()

    thread = threading.Thread(target=book)
    thread.start()
    try:
        for _ in range(10):
            rebuild.rebuild(ledger, AT_MS)
    finally:
        running = False
        thread.join()
    assert check(ledger).findings == []
    ledger.close()


# -- the commands ----------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Work(tmp_path)
    for number in range(3):
        made.step(number)
    made.step(9, "s2")
    return made


def test_the_command_says_what_it_mended_and_reads_again(work: Work) -> None:
    (work.transcripts / "s2.jsonl").unlink()
    work.edit(
        "UPDATE entries SET output_tokens = 0, picousd = 0 WHERE message_id IN"
        " ('msg_s1_1', 'msg_s2_9')",
        guards=False,
    )
    assert run(work, "verify").returncode == 3
    done = run(work, "rebuild", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert (facts["entries"], facts["new_steps"], facts["kept_as_found"]) == (4, 1, 1)
    assert "Entry 2 (msg_s1_1, " in facts["findings"][0]
    assert run(work, "verify").returncode == 0
    work.assert_true(4)
    assert work.step(5).get("decision") is None
    assert "wrote to" not in work.incidents()
    assert "ledger rebuilt: " in work.incidents()


def test_a_sound_ledger_stays_and_the_command_says_so(work: Work) -> None:
    done = run(work, "rebuild")
    assert "4 entries, 0 findings mended" in done.stdout
    assert "read again" not in done.stdout
    work.assert_true(4)


def test_from_transcripts_books_what_no_hook_saw(work: Work) -> None:
    with (work.transcripts / "s1.jsonl").open("ab") as file:
        file.write(step_line("msg_late"))
    done = run(work, "rebuild", "--from-transcripts")
    assert done.returncode == 0, done.stderr
    work.assert_true(5)


def test_without_a_ledger_it_is_an_error(work: Work, tmp_path: Path) -> None:
    done = run(work, "rebuild", "--json")
    assert done.returncode == 0
    (tmp_path / "else").mkdir()
    other = subprocess.run(
        [sys.executable, "-m", "budget", "rebuild", "--project", str(tmp_path / "else")],
        env={"PATH": "/usr/bin:/bin", **work.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 3
    assert "there is no ledger" in other.stderr


def test_verify_compares_with_the_transcripts(work: Work) -> None:
    assert run(work, "verify", "--transcripts").returncode == 0
    ledger = Ledger(str(work.ledger))
    ledger.close()
    work.edit("DELETE FROM entries WHERE message_id = 'msg_s1_1'", guards=False)
    done = run(work, "verify", "--transcripts")
    assert done.returncode == 3
    assert "Step msg_s1_1 of session s1 is not booked." in done.stdout


def test_verify_notices_an_end_that_was_cut_off(work: Work) -> None:
    work.edit(
        "DELETE FROM entries WHERE message_id = 'msg_s2_9'",
        "DELETE FROM totals",
        "DELETE FROM prompt_totals",
        guards=False,
    )
    done = run(work, "verify")
    assert done.returncode == 3
    assert "its end is missing" in done.stdout
