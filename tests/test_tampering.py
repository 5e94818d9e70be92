"""Who edits, cuts off, swaps, rolls back or deletes a ledger is noticed at the next hook.

The fact is kept and said once, the truth comes back, and no budget that was used up is lifted.
Hooks are real processes, edits are what a script or a shell would do.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from budget import anchor, events, paths, restoring
from budget.chain import GUARD
from budget.history import Session, import_into
from budget.ledger import Ledger
from budget.model import Window
from budget.verify import check
from tests.samples import (
    AT_MS,
    ROUND_TABLE,
    a_step,
    folded_totals,
    step_line,
    stored_totals,
    unguarded,
)

ROOT = Path(__file__).resolve().parent.parent
HOOK = ["-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import run"]
LIMIT = 6
ALL = Window(0, None)


class Work:
    """A project, its transcripts, and hooks as the client starts them."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.project = folder / "project"
        (self.project / ".claude").mkdir(parents=True)
        (self.project / ".claude" / "budget.toml").write_text(
            f'version = 1\n[budgets.all]\nper = "total"\nsteps = {limit}\nstop = "after"\n'
        )
        self.home = folder / "home"
        self.transcripts = self.home / ".claude" / "projects" / "p"
        self.transcripts.mkdir(parents=True)
        self.env = {"HOME": str(self.home), "BUDGET_HOME": str(folder / "state")}
        found = paths.find_project(str(self.project))
        self.ledger = Path(paths.ledger_file(self.env, found))
        self.anchor = Path(paths.anchor_file(self.env, found))

    def step(self, number: int, session: str = "s1", hook: bool = True) -> dict[str, Any]:
        """One more step in a session, and what its hook answers."""
        path = self.transcripts / f"{session}.jsonl"
        with path.open("ab") as file:
            file.write(step_line(f"msg_{session}_{number}", tools=[f"toolu_{number}"]))
        return self.hook(session, number) if hook else {}

    def hook(
        self, session: str = "s1", number: int = 0, name: str = "PostToolBatch"
    ) -> dict[str, Any]:
        event = {
            "hook_event_name": name,
            "session_id": session,
            "transcript_path": str(self.transcripts / f"{session}.jsonl"),
            "cwd": str(self.project),
            "prompt": "go on",
            "tool_calls": [{"tool_use_id": f"toolu_{number}"}],
        }
        done = subprocess.run(
            [sys.executable, *HOOK, str(ROOT / "hooks")],
            input=json.dumps(event).encode(),
            env={"PATH": os.environ["PATH"], **self.env},
            capture_output=True,
            check=True,
        )
        assert done.stderr == b""
        return dict(json.loads(done.stdout or b"{}"))

    def incidents(self) -> str:
        ledger = Ledger(str(self.ledger))
        found = events.last(ledger, events.NOTABLE, 10)
        ledger.close()
        return "\n".join(f"{each.kind}: {each.facts.get('text', '')}" for each in found)

    def assert_true(self, steps: int) -> None:
        """The ledger holds these steps once, its totals are theirs, and it verifies."""
        ledger = Ledger(str(self.ledger))
        assert ledger.spend(ALL).steps == steps
        assert check(ledger).findings == []
        ledger.close()
        assert stored_totals(str(self.ledger)) == folded_totals(str(self.ledger))

    def edit(self, *statements: str, guards: bool = True) -> None:
        """What a script does that knows how to get past the guards, or takes them away first."""
        db = sqlite3.connect(self.ledger) if guards else unguarded(str(self.ledger))
        if guards:
            names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for (name,) in names:
                db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Work(tmp_path)
    for number in range(3):
        made.step(number)
    made.step(9, "s2")
    return made


def told(answer: dict[str, Any]) -> str:
    return str(answer.get("systemMessage", ""))


# -- edits -----------------------------------------------------------------------------------------


def test_an_edit_by_a_shell_is_refused_with_an_error_that_says_so(work: Work) -> None:
    db = sqlite3.connect(work.ledger)
    with pytest.raises(sqlite3.OperationalError, match=GUARD):
        db.execute("UPDATE totals SET steps = 0, picousd = 0")
    db.close()
    assert "wrote to" not in told(work.step(3))
    work.assert_true(5)


EDITS = {
    "a total": "UPDATE totals SET steps = 0, picousd = 0",
    "an entry": "UPDATE entries SET picousd = 0, responses = 0 WHERE message_id = 'msg_s1_1'",
    "another session's entry": "UPDATE entries SET output_tokens = 0 WHERE session_id = 's2'",
    "its message id": "UPDATE entries SET message_id = 'x' WHERE message_id = 'msg_s1_1'",
    "a removed entry": "DELETE FROM entries WHERE message_id = 'msg_s1_1'",
    "the last entry": "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
    "all entries": "DELETE FROM entries",
    "a cursor": "UPDATE cursors SET offset = 10000000, size = 10000000",
    "a grant of its own": "INSERT INTO grants VALUES (1, 0, 9999999999999, '', 'all', 'steps', 99,"
    " 'me', '', x'00')",
    "nothing": "SELECT 1",
}


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS)
def test_an_edit_without_the_guards_is_undone_at_the_next_hook(work: Work, statement: str) -> None:
    work.edit(statement)
    answer = work.step(3)
    assert "something else than budget wrote to this project's ledger" in told(answer)
    work.assert_true(5)
    assert "ledger changed: Something else than budget wrote" in work.incidents()
    assert len(list(work.ledger.parent.glob("ledger.db.changed-*"))) == 1
    assert "wrote to this project's ledger" not in told(work.step(4)), "it is said once"
    work.assert_true(6)


def test_no_edit_lifts_a_budget(work: Work) -> None:
    work.step(3)
    assert work.step(4)["continue"] is False
    work.edit("DELETE FROM entries", "DELETE FROM totals")
    assert work.hook(name="UserPromptSubmit")["decision"] == "block"
    work.assert_true(6)


def test_a_trigger_of_someone_elses_making_is_taken_away(work: Work) -> None:
    work.edit("CREATE TRIGGER mine AFTER INSERT ON entries BEGIN UPDATE totals SET steps = 0; END")
    work.step(3)
    work.assert_true(5)
    work.step(4)
    work.assert_true(6)


def test_history_without_a_transcript_outlives_an_edit(work: Work) -> None:
    """The client deletes transcripts after 30 days."""
    (work.transcripts / "s2.jsonl").unlink()
    work.edit("UPDATE totals SET steps = 1", "DELETE FROM entries WHERE message_id = 'msg_s1_0'")
    work.step(3)
    work.assert_true(5)


def test_an_edited_entry_without_a_transcript_comes_back_as_it_was_found(work: Work) -> None:
    (work.transcripts / "s2.jsonl").unlink()
    work.edit("UPDATE entries SET output_tokens = 7, picousd = 1 WHERE session_id = 's2'")
    answer = work.step(3)
    assert "1 of them only as they were found, priced anew" in told(answer)
    work.assert_true(5)
    ledger = Ledger(str(work.ledger))
    (entry,) = ledger.rows("SELECT output_tokens, picousd > 1 FROM entries WHERE session_id = 's2'")
    assert entry == (7, 1)
    ledger.close()


# -- other files in its place ----------------------------------------------------------------------


def files_of(work: Work) -> list[Path]:
    return sorted(work.ledger.parent.glob("ledger.db*"))


def copied_to(work: Work, folder: Path) -> None:
    folder.mkdir()
    for file in files_of(work):
        shutil.copy(file, folder / file.name)


def put_back(work: Work, folder: Path) -> None:
    for file in files_of(work):
        file.unlink()
    for file in folder.iterdir():
        shutil.copy(file, work.ledger.parent / file.name)


def test_an_older_copy_is_noticed_and_what_is_missing_is_read_again(
    work: Work, tmp_path: Path
) -> None:
    copied_to(work, tmp_path / "copy")
    work.step(3)
    work.step(4, "s2")
    put_back(work, tmp_path / "copy")
    answer = work.hook("s1")
    assert "its end is missing" in told(answer)
    assert "6 steps ($" in told(answer)
    assert "all are in the ledger again" in told(answer)
    work.assert_true(6)
    assert work.hook(name="UserPromptSubmit")["decision"] == "block"


def test_a_log_that_is_deleted_is_noticed(work: Work) -> None:
    Path(f"{work.ledger}-wal").unlink()
    Path(f"{work.ledger}-shm").unlink(missing_ok=True)
    work.step(3)
    work.assert_true(5)


def test_another_projects_ledger_in_its_place_counts_nothing_here(
    work: Work, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Work(tmp_path / "other")
    for number in range(5):
        other.step(number, "elsewhere")
    copied_to(other, tmp_path / "copy")
    put_back(work, tmp_path / "copy")
    answer = work.step(3)
    assert "another ledger was put in its place" in told(answer)
    work.assert_true(5)


def test_a_dump_that_was_edited_and_loaded_again_is_noticed(work: Work) -> None:
    db = sqlite3.connect(work.ledger)
    dump = "\n".join(line for line in db.iterdump() if "TRIGGER" not in line)
    db.close()
    for file in files_of(work):
        file.unlink()
    new = sqlite3.connect(work.ledger)
    new.executescript(dump)
    new.execute("UPDATE totals SET steps = 0")
    new.execute("PRAGMA user_version = 2")
    new.commit()
    new.close()
    assert "its tables were changed" in told(work.step(3))
    work.assert_true(5)


def test_a_deleted_ledger_says_what_was_in_it_and_that_it_is_back(work: Work) -> None:
    for file in files_of(work):
        file.unlink()
    answer = work.step(3)
    assert "4 steps ($" in told(answer)
    assert "all are in the ledger again" in told(answer)
    work.assert_true(5)


def test_what_no_transcript_tells_any_more_is_named_and_lifts_no_budget(work: Work) -> None:
    work.step(3)
    assert work.step(4)["continue"] is False
    (work.transcripts / "s2.jsonl").unlink()
    for file in files_of(work):
        file.unlink()
    answer = work.hook(name="UserPromptSubmit")
    assert answer["decision"] == "block", "it stands where it was known to stand"
    assert "Of 6 steps ($" in work.incidents()
    assert " 1 ($" in work.incidents()
    assert "in no transcript any more" in work.incidents()
    work.assert_true(5)


def test_a_project_folder_that_is_deleted_with_all_that_is_beside_it(work: Work) -> None:
    shutil.rmtree(work.ledger.parent)
    shutil.rmtree(work.ledger.parent.parent.parent / "client", ignore_errors=True)
    assert "4 steps ($" in told(work.step(3))
    work.assert_true(5)


def test_after_a_deletion_an_import_tells_it_and_the_next_hook_finds_nothing_swapped(
    work: Work,
) -> None:
    shutil.rmtree(work.ledger.parent)
    sessions = [
        Session(str(path), path.stem, str(work.project), "", 0)
        for path in sorted(work.transcripts.glob("*.jsonl"))
    ]
    import_into(paths.find_project(str(work.project)), sessions, work.env, AT_MS)
    assert work.incidents().startswith(events.REMADE)
    ledger = Ledger(str(work.ledger))
    assert anchor.compare(ledger, str(work.anchor)) is None
    ledger.close()
    assert "another ledger" not in told(work.step(3))
    work.assert_true(5)


# -- the anchor ------------------------------------------------------------------------------------


def test_an_anchor_that_is_gone_is_an_incident_and_no_lock_out(work: Work) -> None:
    work.anchor.unlink()
    answer = work.step(3)
    assert "is gone; the ledger agrees with itself" in told(answer)
    assert "decision" not in answer
    assert work.anchor.exists()
    work.assert_true(5)
    assert told(work.hook()) == ""


@pytest.mark.parametrize("content", [b"", b"x" * 600, b"00000000 [1, 2]", b'"', bytes(512)])
def test_an_anchor_that_cannot_be_read_locks_nobody_out(work: Work, content: bytes) -> None:
    work.anchor.write_bytes(content)
    answer = work.step(3)
    assert "decision" not in answer
    work.assert_true(5)


def test_an_anchor_that_cannot_be_written_is_told_once(work: Work) -> None:
    shutil.rmtree(work.anchor.parent)
    work.anchor.parent.write_text("a file")
    assert "is gone; the ledger agrees with itself" in told(work.step(3))
    assert "is gone" not in told(work.step(4))
    assert work.incidents().count("ledger changed") == 1
    work.assert_true(6)


def test_an_anchor_that_was_edited_costs_no_entry(work: Work) -> None:
    known = anchor.read(str(work.anchor))
    assert known is not None
    for forged in (
        known._replace(ledger_id="another"),
        known._replace(link="00" * 16),
        known._replace(seq=99),
    ):
        (work.transcripts / "s2.jsonl").unlink(missing_ok=True)
        anchor.write(str(work.anchor), forged)
        work.hook()
        work.assert_true(4)


# -- many at once ----------------------------------------------------------------------------------


def test_hooks_that_meet_it_together_mend_it_once(work: Work) -> None:
    work.edit("DELETE FROM entries WHERE message_id = 'msg_s1_1'", "UPDATE totals SET steps = 1")
    event = json.dumps(
        {
            "hook_event_name": "PostToolBatch",
            "session_id": "s1",
            "transcript_path": str(work.transcripts / "s1.jsonl"),
            "cwd": str(work.project),
            "tool_calls": [{"tool_use_id": "toolu_2"}],
        }
    ).encode()
    running = [
        subprocess.Popen(
            [sys.executable, *HOOK, str(ROOT / "hooks")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **work.env},
        )
        for _ in range(6)
    ]
    outs = [process.communicate(event)[0] for process in running]
    assert all(json.loads(out or b"{}").get("decision") is None for out in outs)
    work.assert_true(4)
    assert work.incidents().count("ledger changed") == 1


# -- large ledgers ---------------------------------------------------------------------------------


# Nobody waits for that process, as no hook does.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_large_ledger_is_mended_by_a_process_of_its_own(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.edit("DELETE FROM entries WHERE message_id = 'msg_s1_1'")
    project = paths.find_project(str(work.project))
    ledger = Ledger(str(work.ledger))
    trouble = anchor.compare(ledger, str(work.anchor))
    assert trouble is not None

    def meet() -> list[str]:
        now_ms = 1_795_000_000_000
        return list(restoring.restore(ledger, trouble, work.env, project, now_ms))

    work.edit("DELETE FROM totals", guards=False)
    monkeypatch.setattr(restoring, "LARGE", 2)
    (text,) = meet()
    assert "a process of its own mends it" in text
    assert meet() == [], "one is enough"
    assert ledger.floors, "until then no budget counts less"
    until = time.monotonic() + 20
    while anchor.compare(ledger, str(work.anchor)) and time.monotonic() < until:
        time.sleep(0.05)
    ledger.close()
    work.step(3)
    work.assert_true(5)


# -- damaged files ---------------------------------------------------------------------------------


def test_of_a_damaged_file_what_is_intact_is_taken_over_without_transcripts(
    tmp_path: Path,
) -> None:
    """Two hundred steps of long ago, without a transcript; then pages of the file are destroyed."""
    work = Work(tmp_path, limit=1_000)
    work.step(0)
    ledger = Ledger(str(work.ledger))
    for first in range(0, 400, 50):
        with ledger.transaction():
            old = [a_step(f"old_{n}", session_id="gone") for n in range(first, first + 50)]
            ledger.book(old, ROUND_TABLE)
    ledger.close()
    work.step(1)
    db = sqlite3.connect(work.ledger)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try:
        pages = db.execute(
            "SELECT pageno FROM dbstat WHERE name = 'entries' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    except sqlite3.OperationalError:
        pytest.skip("this SQLite does not tell which pages are whose (dbstat)")
    finally:
        db.close()
    data = bytearray(work.ledger.read_bytes())
    page = pages[len(pages) // 2][0]
    data[(page - 1) * 4096 : page * 4096] = bytes(4096)
    work.ledger.write_bytes(data)
    work.hook(name="SessionStart")
    for _ in range(3):
        work.hook()
    ledger = Ledger(str(work.ledger))
    steps = ledger.spend(ALL).steps
    assert 402 - 60 < steps < 402, "all but those of one page and the one behind it"
    assert check(ledger).findings == []
    ledger.close()
    assert f"{402 - steps} ($" in work.incidents()
    assert "in no transcript any more" in work.incidents()
