"""Files read in any order, any number of times, in any mixture, make the ledger they always make.

The law: the sums of each model, and of everything, never depend on the order. Where lines say
whose they are (`requestSessionId`, as 2.1.330 writes into a fork), nor does any entry, any total
or any copy. An old client's fork does not say it: its copied steps belong to the file that is read
first, which is why an import reads the oldest session first.
"""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from budget.ledger import Ledger
from budget.places import Place
from budget.transcript import Cursor, read
from budget.typed import decoded
from tests.samples import (
    ROUND_TABLE,
    assistant,
    line,
    prompt_line,
    quick_folder,
    rows,
    step_line,
    stored_totals,
    usage,
)

COUNTS = st.integers(1, 500)


@st.composite
def histories(draw: st.DrawFn, *, marked: bool) -> dict[str, bytes]:
    """A session, a fork of it, a fork of the fork, and an agent's file of the first two."""
    files: dict[str, bytes] = {}
    told: list[tuple[str, str, str]] = []
    """Prompts and steps so far: whose, the prompt, the message id or nothing for a prompt."""
    for session in ("origin", "fork", "fork-of-fork"):
        lines = []
        for owner, prompt, message_id in told:
            copy = assistant(message_id, usage(draw(COUNTS)))
            copy |= {"requestSessionId": owner} if marked else {}
            lines.append(line(copy) if message_id else prompt_line(prompt))
        prompt = f"prompt-of-{session}"
        told.append((session, prompt, ""))
        lines.append(prompt_line(prompt))
        for number in range(draw(st.integers(1, 3))):
            message_id = f"msg_{session}_{number}"
            told.append((session, prompt, message_id))
            used = draw(st.lists(COUNTS, min_size=1, max_size=3))
            lines += [step_line(message_id, usage(count)) for count in used]
        files[f"{session}.jsonl"] = b"".join(lines)
    for session in ("origin", "fork"):
        used = draw(st.lists(COUNTS, max_size=2))
        agent = b"".join(step_line(f"msg_agent_{session}", usage(count)) for count in used)
        files[f"{session}/subagents/agent-1.jsonl"] = agent
    return files


def place_of(folder: str, name: str) -> Place:
    session, _, agent = name.removesuffix(".jsonl").partition("/")
    kind = ("Explore", "1") if agent else ("main", "")
    return Place(str(Path(folder, name)), session, *kind)


def booked(folder: str, order: list[tuple[str, bool]], name: str) -> Ledger:
    """A ledger of files in an order, each read on or anew from its start."""
    ledger = Ledger(str(Path(folder, name, "ledger.db")))
    for file, anew in order:
        place = place_of(folder, file)
        known = ledger.cursors(place.session_id).get(place.path, Cursor())
        with ledger.transaction():
            for batch in read(place, Cursor() if anew else known, decoded, finished=True):
                ledger.book(batch.steps, ROUND_TABLE)
                ledger.move_cursor(place.path, place.session_id, batch.cursor)
    return ledger


def written(folder: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def orders(files: dict[str, bytes]) -> st.SearchStrategy[list[tuple[str, bool]]]:
    """Every file at least once, some again."""
    names = list(files)
    again = st.lists(st.sampled_from(names), max_size=4)
    shuffled = again.flatmap(lambda more: st.permutations(names + more))
    return shuffled.flatmap(
        lambda order: st.tuples(*(st.tuples(st.just(name), st.booleans()) for name in order)).map(
            list
        )
    )


def entries(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Every entry without its place in the chain, which is the order of booking."""
    return sorted(row[1:26] for row in rows(ledger.path, "entries"))


@settings(max_examples=40)
@given(st.data())
def test_where_lines_say_whose_they_are_no_order_changes_an_entry(data: st.DataObject) -> None:
    files = data.draw(histories(marked=True), label="files")
    order = data.draw(orders(files), label="order")
    with quick_folder() as folder:
        written(folder, files)
        chronological = booked(folder, [(name, False) for name in files], "a")
        other = booked(folder, order, "b")
        facts = [
            (entries(each), stored_totals(each.path), sorted(rows(each.path, "copies")))
            for each in (chronological, other)
        ]
        chronological.close()
        other.close()
    assert facts[0] == facts[1]


@settings(max_examples=40)
@given(st.data())
def test_of_an_old_clients_forks_the_sums_of_each_model_stay(data: st.DataObject) -> None:
    files = data.draw(histories(marked=False), label="files")
    order = data.draw(orders(files), label="order")
    with quick_folder() as folder:
        written(folder, files)
        ledgers = [booked(folder, [(name, False) for name in files], "a")]
        ledgers.append(booked(folder, order, "b"))
        sums = [sorted(each.sums_by("model", 0, 2**62)) for each in ledgers]
        ids = [sorted(row[1] for row in rows(each.path, "entries")) for each in ledgers]
        oldest_first = {row[1]: row[2] for row in rows(ledgers[0].path, "entries")}
        for ledger in ledgers:
            ledger.close()
    assert sums[0] == sums[1]
    assert ids[0] == ids[1]
    # In the order of an import each step belongs to the session that made it.
    made = {message_id: message_id.split("_")[1] for message_id in oldest_first}
    assert all(made[each] in ("agent", session) for each, session in oldest_first.items())
