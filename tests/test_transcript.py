"""Steps are read from byte cursors: once, in bounded memory, whatever a file holds."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from budget import scanning, transcript
from budget.chain import ENTRY_COLUMNS
from budget.errors import InputError
from budget.ledger import Ledger
from budget.model import MAX_TOKENS, Step, Usage
from budget.places import Place, agent_type, places
from budget.steps import Writer, clean
from budget.transcript import CHUNK, Cursor, changed, decoded, read
from tests.samples import (
    AT,
    AT_MS,
    MODEL,
    ROUND_TABLE,
    SESSION,
    Found,
    assistant,
    joined,
    line,
    prompt_line,
    quick_folder,
    read_on,
    result_line,
    rows,
    step_line,
    stored_totals,
    usage,
)

MEGABYTE = 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / f"{SESSION}.jsonl"


# -- what a step is --------------------------------------------------------------------------------


def test_a_line_tells_all_there_is_to_know_about_a_step(file: Path) -> None:
    used = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 70,
        "cache_read_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50},
        "output_tokens": 44,
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 9},
        "service_tier": "standard",
        "inference_geo": "us",
        "speed": "fast",
    }
    at = "2026-11-23T11:00:00.500+01:00"
    file.write_bytes(prompt_line("prompt-1") + step_line("msg_1", used, at=at))
    assert read_on(file).steps == [
        Step(
            message_id="msg_1",
            session_id=SESSION,
            agent="main",
            agent_id="",
            prompt_id="prompt-1",
            branch="main",
            model=MODEL,
            at_ms=AT_MS + 500,
            usage=Usage(3, 44, 500, 20, 50, 2),
            speed="fast",
            geo="us",
            tier="standard",
        )
    ]


def test_a_step_is_of_the_model_that_was_asked_for(file: Path) -> None:
    """The client prices the model it requested, whatever the answer names."""
    gateway = assistant("msg_1", model="gateway-7") | {"requestedModel": "claude-opus-5-5"}
    alias = assistant("msg_2", model="claude-haiku-4-5") | {"requestedModel": "my-profile"}
    nameless = assistant("msg_3", model=None) | {"requestedModel": "my-profile"}
    file.write_bytes(b"".join(map(line, (gateway, alias, nameless))))
    models = [step.model for step in read_on(file).steps]
    assert models == ["claude-opus-5-5", "claude-haiku-4-5", "my-profile"]


def test_every_line_of_a_step_is_told_with_its_own_usage(file: Path) -> None:
    """A placeholder comes first; the ledger takes the field-wise maximum."""
    file.write_bytes(
        step_line("msg_1", usage(1)) + step_line("msg_1", usage(9)) + step_line("msg_1", usage(200))
    )
    told = [(step.message_id, step.usage.output_tokens) for step in read_on(file).steps]
    assert told == [("msg_1", 1), ("msg_1", 9), ("msg_1", 200)]


def test_a_step_needs_no_request_id(file: Path) -> None:
    entry = assistant("msg_1")
    del entry["requestId"]
    file.write_bytes(line(entry))
    assert read_on(file).ids == ["msg_1"]


def test_a_step_without_message_id_goes_by_its_request_then_by_its_line(file: Path) -> None:
    by_request, by_line = assistant("msg_1"), assistant("msg_2")
    del by_request["message"]["id"], by_line["message"]["id"], by_line["requestId"]
    file.write_bytes(line(by_request) + line(by_line))
    assert read_on(file).ids == ["req_msg_1", "uuid-of-msg_2"]


def test_cache_writes_without_a_split_are_five_minute_writes(file: Path) -> None:
    unsplit: dict[str, Any] = {"output_tokens": 5, "cache_creation_input_tokens": 700}
    half_split = {**unsplit, "cache_creation": {"ephemeral_1h_input_tokens": 200}}
    file.write_bytes(step_line("msg_1", unsplit) + step_line("msg_2", half_split))
    assert [step.usage for step in read_on(file).steps] == [
        Usage(output_tokens=5, cache_write_5m_tokens=700),
        Usage(output_tokens=5, cache_write_5m_tokens=500, cache_write_1h_tokens=200),
    ]


def test_of_a_split_that_exceeds_its_total_the_total_counts(file: Path) -> None:
    """As the client prices it; without a total the split stands alone."""
    split = {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 500}
    alone = {"output_tokens": 0, "cache_creation": split}
    more = {**alone, "cache_creation_input_tokens": 600}
    less = {**alone, "cache_creation_input_tokens": 400}
    used = {"msg_1": more, "msg_2": alone, "msg_3": less}
    file.write_bytes(b"".join(step_line(name, each) for name, each in used.items()))
    assert [step.usage for step in read_on(file).steps] == [
        Usage(cache_write_5m_tokens=100, cache_write_1h_tokens=500),
        Usage(cache_write_5m_tokens=300, cache_write_1h_tokens=500),
        Usage(cache_write_5m_tokens=0, cache_write_1h_tokens=400),
    ]


def test_a_count_that_is_missing_or_null_is_zero(file: Path) -> None:
    file.write_bytes(step_line("msg_1", {"input_tokens": None, "output_tokens": 7}))
    assert read_on(file).steps[0].usage == Usage(output_tokens=7)


def test_the_clients_own_words_and_other_lines_are_no_steps(file: Path) -> None:
    synthetic = assistant("msg_1", model="<synthetic>")
    without_usage = assistant("msg_2")
    without_usage["message"]["usage"] = None
    agent_result = {"type": "user", "toolUseResult": {"agentId": "a1", "usage": usage(900)}}
    other = {"type": "system", "message": {"id": "msg_3", "model": MODEL, "usage": usage()}}
    file.write_bytes(b"".join(map(line, (synthetic, without_usage, agent_result, other))))
    assert read_on(file)[::2] == ([], 0)


def test_a_tool_result_that_quotes_a_step_is_no_step(file: Path) -> None:
    quoted = step_line("msg_quoted").decode()
    file.write_bytes(result_line(quoted) + result_line(f"\n{quoted}\n") + step_line("msg_1"))
    found = read_on(file)
    assert found.ids == ["msg_1"]
    assert found.bad_lines == 0


def test_a_tool_result_that_names_usage_is_not_even_parsed(file: Path) -> None:
    parsed: list[bytes] = []

    def decode(data: bytearray, writer: Writer, prompt_id: str) -> Any:
        parsed.append(bytes(data))
        return decoded(data, writer, prompt_id)

    step = step_line("msg_1")
    quoted = '{"usage":{"output_tokens":9}}'
    file.write_bytes(result_line(quoted) + prompt_line("p", quoted) + step)
    assert joined(read(Place(str(file), SESSION), Cursor(), decode)).ids == ["msg_1"]
    assert parsed == [step.rstrip()]


def test_line_ends_of_windows_are_read(file: Path) -> None:
    file.write_bytes((step_line("msg_1") + step_line("msg_2")).replace(b"\n", b"\r\n"))
    assert read_on(file).ids == ["msg_1", "msg_2"]


@given(st.integers(AT_MS - 10**11, AT_MS + 3 * 10**11))
def test_times_are_exact_to_the_millisecond(at_ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    with quick_folder() as folder:
        path = Path(folder, "t.jsonl")
        path.write_bytes(step_line("msg_1", at=moment.isoformat(timespec="milliseconds")))
        assert read_on(path).steps[0].at_ms == at_ms


def test_a_time_without_an_offset_is_utc(file: Path) -> None:
    file.write_bytes(step_line("msg_1", at="2026-11-23T10:00:00"))
    assert read_on(file).steps[0].at_ms == AT_MS


def test_control_characters_do_not_get_into_the_ledger(file: Path) -> None:
    entry = assistant("msg_1", model="claude-\x1b[31m\u202e" + "x" * 300)
    entry["gitBranch"] = "feat\nure\ud800"
    file.write_bytes(line(entry | {"gitBranch": "feat\nure"}))
    step = read_on(file).steps[0]
    assert step.model == "claude-?[31m?" + "x" * (200 - 13)
    assert step.branch == "feat?ure"
    assert clean("a\ud800b") == "a?b"
    assert clean(7) == clean(None) == ""


# -- prompts and tool calls ------------------------------------------------------------------------


def test_a_step_belongs_to_the_prompt_before_it(file: Path) -> None:
    file.write_bytes(
        step_line("msg_0")
        + prompt_line("prompt-1")
        + step_line("msg_1")
        + result_line("fine")
        + step_line("msg_2")
        + prompt_line("prompt-2")
        + step_line("msg_3")
    )
    told = [(step.message_id, step.prompt_id) for step in read_on(file).steps]
    assert told == [
        ("msg_0", ""),
        ("msg_1", "prompt-1"),
        ("msg_2", "prompt-1"),
        ("msg_3", "prompt-2"),
    ]


def test_the_prompt_is_remembered_from_one_reading_to_the_next(file: Path) -> None:
    file.write_bytes(prompt_line("prompt-1"))
    first = read_on(file)
    assert first.cursor.prompt_id == "prompt-1"
    append(file, step_line("msg_1"))
    assert read_on(file, first.cursor).steps[0].prompt_id == "prompt-1"


def test_a_prompt_that_quotes_a_prompt_id_keeps_its_own(file: Path) -> None:
    file.write_bytes(prompt_line("prompt-1", prompt_line("prompt-2").decode()) + step_line("msg_1"))
    assert read_on(file).steps[0].prompt_id == "prompt-1"


def test_a_prompt_id_that_is_too_long_takes_nothing_else_with_it(file: Path) -> None:
    file.write_bytes(prompt_line("x" * 101, "a secret") + step_line("msg_1"))
    assert "secret" not in read_on(file).steps[0].prompt_id


def test_a_very_long_prompt_is_remembered_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, chunk=64, max_line=500)
    file.write_bytes(
        prompt_line("prompt-1") + prompt_line("prompt-2", "x" * 5000) + step_line("msg_1")
    )
    monkeypatch.setattr(transcript, "MAX_LINE", 1500)
    assert read_on(file).steps[0].prompt_id == "prompt-2"


def test_the_cursor_knows_the_tool_calls_of_the_last_step(file: Path) -> None:
    file.write_bytes(
        step_line("msg_1", tools=["toolu_1"])
        + step_line("msg_2", tools=["toolu_2"])
        + step_line("msg_2", tools=["toolu_3", "toolu_4"])
    )
    assert read_on(file).cursor.tool_use_ids == "toolu_2 toolu_3 toolu_4"


def test_the_tool_calls_of_a_step_are_kept_over_two_readings(file: Path) -> None:
    file.write_bytes(step_line("msg_1", tools=["toolu_1"]))
    first = read_on(file)
    append(file, step_line("msg_1"))
    assert read_on(file, first.cursor).cursor.tool_use_ids == "toolu_1"


# -- damaged lines ---------------------------------------------------------------------------------


def damaged(**fields: object) -> bytes:
    """A step with fields of its usage replaced."""
    return step_line("msg_bad", usage(**fields))  # type: ignore[arg-type]


def without(key: str) -> bytes:
    entry = assistant("msg_bad")
    del entry[key]
    return line(entry)


USED = b'"output_tokens"'
"""What makes a line worth parsing."""

DAMAGED = {
    "broken JSON": step_line("msg_bad")[:-20] + b"\n",
    "two lines in one": step_line("msg_bad").rstrip() + step_line("msg_bad"),
    "null bytes": b"\0" * 4096 + step_line("msg_bad"),
    "a null byte within": step_line("msg_bad").replace(b"done", b"do\0ne"),
    "UTF-16": step_line("msg_bad").rstrip().decode().encode("utf-16-le") + USED + b"\n",
    "a list": b"[" + USED + b"]\n",
    "a word": USED + b"\n",
    "a negative count": damaged(output_tokens=-1),
    "a count with a fraction": damaged(output_tokens=1.5),
    "a whole count as a float": damaged(output_tokens=200.0),
    "a boolean count": damaged(input_tokens=True),
    "a count as text": damaged(output_tokens="200"),
    "a huge count": damaged(output_tokens=MAX_TOKENS + 1),
    "a count of 5,000 digits": damaged(output_tokens=0).replace(
        b'"output_tokens":0', b'"output_tokens":' + b"9" * 5000
    ),
    "infinity": damaged(output_tokens=float("inf")),
    "not a number": damaged(output_tokens=float("nan")),
    "a negative cache write": damaged(cache_creation={"ephemeral_1h_input_tokens": -5}),
    "a negative web search": damaged(server_tool_use={"web_search_requests": -1}),
    "a usage that is a list": step_line("msg_bad", ["output_tokens"]),
    "a usage that is text": step_line("msg_bad", "?").replace(b'"?"', USED),
    "a missing timestamp": without("timestamp"),
    "a timestamp that is none": step_line("msg_bad", at="yesterday"),
    "a timestamp that is a number": line(assistant("msg_bad") | {"timestamp": AT_MS}),
    "a missing message": b'{"type":"assistant","usage":{"output_tokens":5}}\n',
    "a message that is text": b'{"type":"assistant","message":"output_tokens"}\n',
    "no id at all": line(
        {**assistant(""), "requestId": "", "uuid": "", "message": assistant("")["message"]}
    ),
    "deep nesting": b"{" + USED + b":" + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "deep objects": (b"{" + USED + b":") * 20_000 + b"1" + b"}" * 20_000 + b"\n",
}


def test_text_that_is_not_utf8_does_not_cost_the_step(file: Path) -> None:
    file.write_bytes(step_line("msg_1").replace(b"done", b"d\xff\xfene") + step_line("msg_2"))
    found = read_on(file)
    assert (found.ids, found.bad_lines) == (["msg_1", "msg_2"], 0)


@pytest.mark.parametrize("bad", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_counted_and_the_later_ones_are_read(file: Path, bad: bytes) -> None:
    file.write_bytes(step_line("msg_1") + bad + step_line("msg_2"))
    found = read_on(file)
    assert found.ids == ["msg_1", "msg_2"]
    assert found.bad_lines == 1
    assert found.cursor.offset == file.stat().st_size


def test_damage_in_a_line_without_usage_is_no_loss(file: Path) -> None:
    file.write_bytes(b"{broken\n\n\xff\xfe\n" + b"\0" * 100 + b"\n" + step_line("msg_1"))
    assert read_on(file)[::2] == (read_on(file).steps, 0)
    assert read_on(file).ids == ["msg_1"]


@given(
    st.binary(max_size=200), st.sampled_from([USED, b"{" + USED + b":", b'{"type":"assistant",'])
)
def test_no_bytes_at_all_are_fatal(junk: bytes, start: bytes) -> None:
    with quick_folder() as folder:
        path = Path(folder, "t.jsonl")
        path.write_bytes(start + junk + b"\n" + step_line("msg_1"))
        assert read_on(path).ids == ["msg_1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PLACES = [
    ("type",),
    ("message",),
    ("message", "id"),
    ("message", "model"),
    ("message", "content"),
    ("message", "usage"),
    ("message", "usage", "cache_creation"),
    ("message", "usage", "server_tool_use"),
    ("message", "usage", "input_tokens"),
    ("message", "usage", "speed"),
    ("requestId",),
    ("gitBranch",),
    ("timestamp",),
]


@given(st.sampled_from(PLACES), JSON)
@example(("timestamp",), "0001-01-01T00:00:00+23:59")
@example(("timestamp",), "9999-12-31T23:59:59.999-23:59")
def test_any_value_in_any_place_is_a_step_or_a_bad_line(place: tuple[str, ...], value: Any) -> None:
    entry: Any = assistant("msg_1", tools=["toolu_1"])
    inner = entry
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with quick_folder() as folder:
        path = Path(folder, "t.jsonl")
        # Escaped: hypothesis makes lone surrogates, too, which UTF-8 cannot hold.
        path.write_bytes(json.dumps(entry).encode() + b"\n" + step_line("msg_2"))
        found = read_on(path)
    assert found.ids[-1] == "msg_2"
    assert len(found.steps) - 1 + found.bad_lines <= 1


# -- reading on ------------------------------------------------------------------------------------


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_a_last_line_without_its_newline_waits(file: Path) -> None:
    unfinished = step_line("msg_2")
    file.write_bytes(step_line("msg_1") + unfinished[:-1])
    first = read_on(file)
    assert first.ids == ["msg_1"]
    assert first.bad_lines == 0
    append(file, b"\n" + step_line("msg_3"))
    assert read_on(file, first.cursor).ids == ["msg_2", "msg_3"]


def test_what_was_read_is_not_read_again(file: Path) -> None:
    place = Place(str(file), SESSION)
    file.write_bytes(step_line("msg_1"))
    assert changed(place, Cursor())
    first = read_on(file)
    assert not changed(place, first.cursor)
    append(file, step_line("msg_2"))
    assert changed(place, first.cursor)
    second = read_on(file, first.cursor)
    assert second.ids == ["msg_2"]
    assert not changed(place, second.cursor)
    assert read_on(file, second.cursor).ids == []


def test_a_file_that_does_not_exist_has_nothing_new(file: Path) -> None:
    assert not changed(Place(str(file), SESSION), Cursor())
    with pytest.raises(FileNotFoundError):
        read_on(file)


def test_an_empty_file_is_read_on_when_it_fills(file: Path) -> None:
    file.write_bytes(b"")
    first = read_on(file)
    assert first.steps == []
    file.write_bytes(step_line("msg_1"))
    assert read_on(file, first.cursor).ids == ["msg_1"]


def test_a_reading_that_stopped_after_a_batch_is_not_taken_for_a_whole_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, chunk=1000)
    file.write_bytes(b"".join(step_line(f"msg_{n}") for n in range(5)))
    batches = read(Place(str(file), SESSION), Cursor())
    first = next(batches)
    assert first.cursor.size == -1
    assert changed(Place(str(file), SESSION), first.cursor)
    rest = read_on(file, first.cursor)
    assert [step.message_id for step in first.steps] + rest.ids == [f"msg_{n}" for n in range(5)]


# -- rewritten files -------------------------------------------------------------------------------

# 40 lines of the same length, so that a file written anew has its newlines where the old one had.
OLD = [step_line(f"msg_{n:02}") for n in range(20)]
NEW = [step_line(f"msg_{n:02}") for n in range(20, 40)]


def ids(lines: list[bytes]) -> list[str]:
    return [f"msg_{(OLD + NEW).index(each):02}" for each in lines]


def assert_all_is_found_once(file: Path, rewrite: Callable[[], None], now: list[bytes]) -> None:
    """After `rewrite` every step of `now` is in the ledger, none twice, none lost."""
    file.write_bytes(b"".join(OLD[:10]))
    ledger = Ledger(str(file.parent / "state" / "ledger.db"))
    first = read_on(file)
    with ledger.transaction():
        assert ledger.book(first.steps, ROUND_TABLE).new == 10
    before = file.stat()
    rewrite()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert changed(Place(str(file), SESSION), first.cursor)
    second = read_on(file, first.cursor)
    assert second.cursor.offset == file.stat().st_size
    with ledger.transaction():
        booked = ledger.book(second.steps, ROUND_TABLE)
    ledger.close()
    known = set(ids(OLD[:10]))
    assert booked == (len(set(ids(now)) - known), 0)
    messages = {row[0] for row in rows(ledger.path, "entries", "message_id")}
    assert messages == known | set(ids(now))


def test_a_truncated_file_is_read_from_its_start(file: Path) -> None:
    now = OLD[:2] + NEW[:1]
    assert_all_is_found_once(file, lambda: write_in_place(file, now), now)


def test_a_file_cut_in_a_line_is_read_from_its_start(file: Path) -> None:
    file.write_bytes(b"".join(OLD[:10]))
    first = read_on(file)
    os.truncate(file, len(OLD[0]) + 10)
    append(file, b"\n" + NEW[0])
    second = read_on(file, first.cursor)
    assert second.ids == ids([OLD[0], NEW[0]])
    assert second.bad_lines == 0


def test_a_replaced_file_is_read_from_its_start(file: Path) -> None:
    now = NEW[:12]

    def rewrite() -> None:
        other = file.with_suffix(".new")
        other.write_bytes(b"".join(now))
        os.replace(other, file)

    assert_all_is_found_once(file, rewrite, now)


def test_a_replaced_file_that_begins_alike_is_read_from_its_start(file: Path) -> None:
    now = OLD[:3] + NEW[:9]

    def rewrite() -> None:
        other = file.with_suffix(".new")
        other.write_bytes(b"".join(now))
        os.replace(other, file)

    assert_all_is_found_once(file, rewrite, now)


def test_a_longer_file_in_place_of_the_old_one_is_read_from_its_start(file: Path) -> None:
    now = NEW[:15]
    assert_all_is_found_once(file, lambda: write_in_place(file, now), now)


def test_a_file_rewritten_to_the_same_size_is_read_from_its_start(file: Path) -> None:
    now = NEW[:10]
    assert_all_is_found_once(file, lambda: write_in_place(file, now), now)


def test_a_file_whose_lines_end_elsewhere_is_read_from_its_start(file: Path) -> None:
    """The cursor is within a line now, though the file begins alike."""

    def rewrite() -> None:
        write_in_place(file, [OLD[0], b" " * (len(b"".join(OLD[1:10])) - 50), b"\n", NEW[0]])

    assert_all_is_found_once(file, rewrite, [OLD[0], NEW[0]])


def test_a_longer_file_that_begins_alike_is_read_from_its_start(file: Path) -> None:
    now = OLD[:3] + NEW[:12]
    assert_all_is_found_once(file, lambda: write_in_place(file, now), now)


def test_a_file_of_the_same_size_that_begins_alike_is_read_from_its_start(file: Path) -> None:
    now = OLD[:3] + NEW[:7]
    assert_all_is_found_once(file, lambda: write_in_place(file, now), now)


def write_in_place(path: Path, lines: list[bytes]) -> None:
    """Replaces the content; the file keeps its inode."""
    inode = path.stat().st_ino
    path.write_bytes(b"".join(lines))
    assert path.stat().st_ino == inode


# -- any split into reads --------------------------------------------------------------------------


def small(monkeypatch: pytest.MonkeyPatch, *, chunk: int, max_line: int = 10**9) -> None:
    monkeypatch.setattr(transcript, "CHUNK", chunk)
    monkeypatch.setattr(transcript, "MAX_LINE", max_line)


SHORT_LINES = [
    prompt_line("prompt-1", "a"),
    prompt_line("prompt-2", '"output_tokens" é'),
    result_line(step_line("msg_quoted").decode()),
    step_line("msg_1", usage(1)),
    step_line("msg_1", usage(200)),
    step_line("msg_2", usage(7), tools=["toolu_1"]),
    step_line("msg_2", usage(90), at="2026-11-23T10:00:01.000Z"),
    step_line("msg_3", {"output_tokens": 5}, model="claude-opus-9"),
    step_line("msg_4", {"output_tokens": -5}),
    b'{"usage": broken\n',
    b"\n",
]
LINES = st.lists(st.sampled_from(SHORT_LINES), min_size=1, max_size=12)


def everything(ledger: Ledger) -> tuple[Any, ...]:
    """All a ledger says about what was read; the tool calls have a test of their own."""
    cursors = rows(ledger.path, "cursors", "path, session_id, offset, head, prompt_id, bad_lines")
    entries = rows(ledger.path, "entries", ENTRY_COLUMNS)  # their place in the chain may differ
    return entries, stored_totals(ledger.path), cursors


def book(ledger: Ledger, found: Found, path: Path) -> None:
    with ledger.transaction():
        ledger.book(found.steps, ROUND_TABLE)
        ledger.move_cursor(str(path), SESSION, found.cursor)


@given(LINES, st.data())
def test_any_split_of_the_bytes_into_reads_gives_the_same_ledger(
    lines: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8), label="cuts"))
    chunk = data.draw(st.integers(1, 3000), label="chunk")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        quick_folder() as folder,
    ):
        path = Path(folder, "t.jsonl")
        path.touch()
        in_pieces = Ledger(str(Path(folder, "pieces", "ledger.db")))
        monkeypatch.setattr(transcript, "CHUNK", chunk)
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            append(path, whole[start:end])
            known = in_pieces.cursors(SESSION).get(str(path), Cursor())
            book(in_pieces, read_on(path, known), path)

        at_once = Ledger(str(Path(folder, "once", "ledger.db")))
        monkeypatch.undo()
        book(at_once, read_on(path), path)
        expected, got = everything(at_once), everything(in_pieces)
        at_once.close()
        in_pieces.close()
    # A file shorter than what its head is made of has a shorter head than it has later.
    heads = [cursor[3] for cursor in (*expected[2], *got[2])]
    assert all(heads)
    assert strip_heads(got) == strip_heads(expected)


def test_a_line_with_another_usage_is_parsed(file: Path) -> None:
    used = [usage(1), usage(1), usage(200), usage(200)]
    file.write_bytes(b"".join(step_line("msg_1", each) for each in used) + step_line("msg_2"))
    told = [(step.message_id, step.usage.output_tokens) for step in read_on(file).steps]
    assert told == [("msg_1", 1), ("msg_1", 200), ("msg_2", 200)]


@given(LINES)
def test_the_lines_that_need_not_be_parsed_say_nothing_new(lines: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch, quick_folder() as folder:
        path = Path(folder, "t.jsonl")
        path.write_bytes(b"".join(lines))
        ledgers = [Ledger(str(Path(folder, name, "ledger.db"))) for name in ("some", "all")]
        some = read_on(path)
        book(ledgers[0], some, path)
        patch.setattr(scanning.Repeated, "skips", lambda *_: False)
        every = read_on(path)
        book(ledgers[1], every, path)
        facts = [everything(ledger) for ledger in ledgers]
        for ledger in ledgers:
            ledger.close()
    assert facts[0] == facts[1]
    assert some.cursor == every.cursor


def test_tool_calls_of_a_line_that_need_not_be_parsed_are_kept_when_the_usage_rises(
    file: Path,
) -> None:
    early, late = usage(1), usage(200)
    file.write_bytes(
        step_line("msg_1", early, tools=["toolu_1"])
        + step_line("msg_1", early, tools=["toolu_2"])
        + step_line("msg_1", late, tools=["toolu_3"])
    )
    assert read_on(file).cursor.tool_use_ids == "toolu_1 toolu_2 toolu_3"


def test_the_lines_that_need_not_be_parsed_tell_of_tool_calls(file: Path) -> None:
    calls = [step_line("msg_2", tools=[tool]) for tool in ("toolu_2", "toolu_3", "toolu_4")]
    file.write_bytes(step_line("msg_1", tools=["toolu_1"]) * 2 + b"".join(calls))
    found = read_on(file)
    assert found.ids == ["msg_1", "msg_2"]
    assert found.cursor.tool_use_ids == "toolu_2 toolu_3 toolu_4"


def test_a_step_of_several_iterations_is_parsed_once(file: Path) -> None:
    iterations = [usage() | {"type": "message"}] * 2
    line = step_line("msg_1", usage(400, iterations=iterations))
    file.write_bytes(line * 3 + step_line("msg_2"))
    assert read_on(file).ids == ["msg_1", "msg_2"]
    assert len(read_on(file).steps) == 2


def test_a_step_that_names_the_one_before_is_not_taken_for_it(file: Path) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Lookup", "input": {"id": "msg_1"}}
    file.write_bytes(step_line("msg_1") + step_line("msg_2", content=[call]) + step_line("msg_3"))
    assert read_on(file).ids == ["msg_1", "msg_2", "msg_3"]


def strip_heads(facts: tuple[Any, ...]) -> tuple[Any, ...]:
    entries, totals, cursors = facts
    return entries, totals, [cursor[:3] + cursor[4:] for cursor in cursors]


@given(LINES, st.integers(1, 2000))
def test_a_reading_that_stops_after_any_batch_loses_nothing(lines: list[bytes], chunk: int) -> None:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        quick_folder() as folder,
    ):
        path = Path(folder, "t.jsonl")
        path.write_bytes(b"".join(lines))
        expected = read_on(path)
        monkeypatch.setattr(transcript, "CHUNK", chunk)
        got = in_short_readings(path)
    # What is repeated within a batch is told once, over two batches twice.
    assert {step.message_id: step for step in reversed(got.steps)} == {
        step.message_id: step for step in reversed(expected.steps)
    }
    assert {step[::8] for step in got.steps} == {step[::8] for step in expected.steps}
    assert got.bad_lines == expected.bad_lines
    assert got.cursor.offset == expected.cursor.offset


def in_short_readings(path: Path) -> Found:
    """Stops after each batch that came further, as a hook whose time is up does."""
    steps: list[Step] = []
    bad_lines, cursor = 0, Cursor()
    place = Place(str(path), SESSION)
    while changed(place, cursor):
        begin = cursor.offset
        for batch in read(place, cursor):
            steps += batch.steps
            bad_lines += batch.bad_lines
            cursor = batch.cursor
            if cursor.offset > begin:
                break
    return Found(steps, cursor, bad_lines)


# -- very long lines -------------------------------------------------------------------------------


def test_a_line_of_20_megabytes_without_usage_is_passed_over(file: Path) -> None:
    file.write_bytes(
        step_line("msg_1")
        + result_line("x" * 20 * MEGABYTE)
        + prompt_line("p")
        + step_line("msg_2")
    )
    found = read_on(file)
    assert found.ids == ["msg_1", "msg_2"]
    assert found.steps[1].prompt_id == "p"
    assert found.bad_lines == 0
    assert found.cursor.offset == file.stat().st_size


def test_a_line_of_25_megabytes_with_usage_is_counted_as_bad(file: Path) -> None:
    long = step_line("msg_long", content=[{"type": "text", "text": "x" * 25 * MEGABYTE}])
    file.write_bytes(step_line("msg_1") + long + step_line("msg_2"))
    found = read_on(file)
    assert found.ids == ["msg_1", "msg_2"]
    assert found.bad_lines == 1


def test_a_long_line_that_is_still_being_written_waits(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, chunk=100, max_line=2000)
    long = step_line("msg_long", content=[{"type": "text", "text": "x" * 9000}])
    file.write_bytes(step_line("msg_1") + long[:5000])
    first = read_on(file)
    assert (first.ids, first.bad_lines) == (["msg_1"], 0)
    assert first.cursor.offset == len(step_line("msg_1"))
    assert not changed(Place(str(file), SESSION), first.cursor)
    append(file, long[5000:] + step_line("msg_2"))
    second = read_on(file, first.cursor)
    assert (second.ids, second.bad_lines) == (["msg_2"], 1)


@pytest.mark.parametrize("chunk", [16, 17, 64, 250, 999, 5000])
def test_a_long_line_is_passed_over_wherever_the_chunks_begin(
    file: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    long = step_line("msg_long", content=[{"type": "text", "text": "x" * 20_000}])
    lines = [step_line("msg_1"), long, result_line("y" * 15_000), step_line("msg_2")]
    file.write_bytes(b"".join(lines))
    small(monkeypatch, chunk=chunk, max_line=2000)
    found = read_on(file)
    assert (found.ids, found.bad_lines) == (["msg_1", "msg_2"], 1)
    assert found.cursor.offset == file.stat().st_size


def test_a_reading_that_stops_behind_a_long_line_has_counted_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, chunk=500, max_line=2000)
    long = step_line("msg_long", content=[{"type": "text", "text": "x" * 9000}])
    file.write_bytes(step_line("msg_1") + long + step_line("msg_2"))
    found = in_short_readings(file)
    assert (found.ids, found.bad_lines) == (["msg_1", "msg_2"], 1)


def test_whether_a_line_is_too_long_does_not_depend_on_the_chunks(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = step_line("msg_long", content=[{"type": "text", "text": "x" * 2100}])
    file.write_bytes(long)
    found = []
    for chunk in (100, 1000):
        small(monkeypatch, chunk=chunk, max_line=2000)
        found.append(read_on(file)[::2])
    assert found[0] == found[1]


def test_a_line_of_150_megabytes_is_read_in_bounded_memory(file: Path) -> None:
    with open(file, "wb") as out:
        out.write(step_line("msg_1") + b'{"type":"user","text":"')
        out.truncate(out.tell() + 150 * MEGABYTE)  # a hole in the file: it reads as null bytes
        out.seek(0, os.SEEK_END)
        out.write(b'"}\n' + step_line("msg_2"))
    tracemalloc.start()
    found = read_on(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ids == ["msg_1", "msg_2"]
    assert peak < 64 * MEGABYTE


def test_a_long_text_after_the_usage_is_read_in_bounded_memory(file: Path) -> None:
    entry = assistant("msg_1") | {"other": {"usage": {"text": "x" * 4 * MEGABYTE}}}
    file.write_bytes(line(entry) + step_line("msg_2"))
    tracemalloc.start()
    found = read_on(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ids == ["msg_1", "msg_2"]
    assert peak < 64 * MEGABYTE


def test_a_file_of_many_megabytes_is_read_in_bounded_memory(file: Path) -> None:
    """What is held is a chunk, not the file: 60 MB under a limit of 160 MB for the process."""
    if sys.platform != "linux":
        pytest.skip("the address space of a process cannot be limited here")
    block = result_line("x" * 50_000) * 19
    with open(file, "wb") as out:
        for number in range(64):
            out.write(block + step_line(f"msg_{number}"))
    code = (
        "import resource, sys; sys.path.append(sys.argv[1]); limit = 160 * 2**20;"
        " resource.setrlimit(resource.RLIMIT_AS, (limit, limit));"
        " from budget.transcript import *;"
        " ids = [s.message_id for b in read(Place(sys.argv[2], 's'), Cursor()) for s in b.steps];"
        " print(len(set(ids)))"
    )
    root = str(Path(transcript.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", code, root, str(file)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("64\n", "")


# -- what is not a transcript ----------------------------------------------------------------------


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        read_on(tmp_path)
    assert str(raised.value) == f"{tmp_path} is not a regular file: it was not read."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(5)
def test_a_pipe_without_a_writer_is_refused_at_once(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(InputError) as raised:
        read_on(file)
    assert str(raised.value) == f"{file} is not a regular file: it was not read."


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices here")
def test_a_device_is_refused() -> None:
    with pytest.raises(InputError):
        read_on(Path("/dev/zero"))


# -- subagents -------------------------------------------------------------------------------------


def make(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_the_files_of_all_subagents_are_found_however_deep(file: Path) -> None:
    below = file.with_suffix("") / "subagents"
    agent = make(below / "agent-a1.jsonl")
    nested = make(below / "agent-a1" / "subagents" / "agent-b2.jsonl")
    workflow = make(below / "workflows" / "wf_7" / "agent-c3.jsonl")
    for other in ("agent-a1.meta.json", "agent-d4.json", "other.jsonl", "workflows/wf_7/log.txt"):
        make(below / other)
    make(file.with_suffix("") / "tool-results" / "agent-e5.jsonl")
    assert list(places(str(file), SESSION)) == [
        Place(str(file), SESSION, "main", ""),
        Place(str(nested), SESSION, "", "b2"),
        Place(str(agent), SESSION, "", "a1"),
        Place(str(workflow), SESSION, "", "c3"),
    ]


def test_a_session_without_subagents_has_one_file(file: Path) -> None:
    assert list(places(str(file), SESSION)) == [Place(str(file), SESSION)]


def test_a_link_to_a_folder_is_not_followed(file: Path, tmp_path: Path) -> None:
    below = file.with_suffix("") / "subagents"
    below.mkdir(parents=True)
    (below / "loop").symlink_to(below, target_is_directory=True)
    make(tmp_path / "elsewhere" / "agent-x.jsonl")
    (below / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert list(places(str(file), SESSION)) == [Place(str(file), SESSION)]


def test_the_steps_of_a_subagent_carry_its_type_and_id(file: Path) -> None:
    agent = make(file.with_suffix("") / "subagents" / "agent-a1.jsonl", step_line("msg_1"))
    make(agent.with_suffix(".meta.json"), b'{"agentType":"code-reviewer","description":"d"}')
    place = list(places(str(file.with_name(file.name)), SESSION))[1]
    step = joined(read(place, Cursor())).steps[0]
    assert (step.agent, step.agent_id, step.session_id) == ("code-reviewer", "a1", SESSION)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"agentType":5}',
        b'{"agentType":""}',
        b"\xff",
        b"[" * 60_000,
    ],
    ids=lambda meta: repr(meta)[:20],
)
def test_an_agent_whose_type_is_not_told_is_a_subagent(tmp_path: Path, meta: bytes | None) -> None:
    agent = make(tmp_path / "agent-a1.jsonl")
    if meta is not None:
        make(tmp_path / "agent-a1.meta.json", meta)
    assert agent_type(Place(str(agent), SESSION, "", "a1")) == "subagent"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(5)
def test_a_pipe_in_place_of_the_meta_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "agent-a1.meta.json")
    assert agent_type(Place(str(tmp_path / "agent-a1.jsonl"), SESSION, "", "a1")) == "subagent"


# -- the first keys of a line ----------------------------------------------------------------------


def user_line(prompt_id: str, text: str, agent_id: str = "") -> bytes:
    """A prompt or a result, with the first keys that the client gives it (2.1.330)."""
    return line(
        {
            "parentUuid": "8b7e0b7e-0001",
            "isSidechain": bool(agent_id),
            **({"agentId": agent_id} if agent_id else {}),
            "promptId": prompt_id,
            "type": "user",
            "message": {"role": "user", "content": text},
            "toolUseResult": {"kind": "cost-state", "subtype": "compact_boundary"},
            "timestamp": AT,
        }
    )


def told_total(usd: float) -> bytes:
    return line({"type": "cost-state", "sessionId": SESSION, "totalCostUSD": usd})


def compacted(before: int) -> bytes:
    told: dict[str, Any] = {"type": "system", "subtype": "compact_boundary", "timestamp": AT}
    return line({**told, "compactMetadata": {"preTokens": before, "trigger": "auto"}})


BETWEEN = st.lists(
    st.sampled_from(
        [
            user_line("prompt-1", "hello"),
            user_line("prompt-2", 'a "quote" of "output_tokens"', "a1"),
            user_line("x" * 100, "an id that is too long"),
            user_line('prompt "3"', told_total(9).decode()),
            prompt_line("prompt-4"),
            result_line(compacted(1).decode()),
            line({"type": "attachment", "text": '"type":"user"'}),
            line({"type": "attachment", "promptId": "prompt-5", "nested": {"type": "user"}}),
            told_total(1.5),
            compacted(100_000),
            b"\n",
            b"damage\n",
            step_line("msg_1"),
            step_line("msg_2", usage(300), tools=["toolu_1"]),
        ]
    ),
    max_size=12,
)


@given(BETWEEN, st.integers(100, 3000))
def test_the_first_keys_of_a_line_tell_what_the_whole_line_does(
    lines: list[bytes], chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, quick_folder() as folder:
        path = Path(folder, "t.jsonl")
        path.write_bytes(b"".join(lines))
        monkeypatch.setattr(transcript, "CHUNK", chunk)
        place = Place(str(path), SESSION)
        quick = list(read(place, Cursor()))
        monkeypatch.setattr(scanning, "_answered", lambda *_: "")
        monkeypatch.setattr(scanning, "_keys", lambda _: b"\n\n")
        slow = list(read(place, Cursor()))
    assert [batch.cursor for batch in quick] == [batch.cursor for batch in slow]
    assert [batch.steps for batch in quick] == [batch.steps for batch in slow]
    assert [batch.compactions for batch in quick] == [batch.compactions for batch in slow]
    # Its words in a result hide none of the client's totals from who knows the line as a result.
    hidden = [batch.client_totals for batch in slow]
    assert all(
        one.client_totals == other or not other for one, other in zip(quick, hidden, strict=True)
    )


def test_the_clients_words_are_found_among_prompts_and_steps(file: Path) -> None:
    file.write_bytes(
        user_line("prompt-1", "hello")
        + step_line("msg_1")
        + compacted(100_000)
        + told_total(1.5)
        + user_line("prompt-2", "more")
    )
    (told,) = [batch for batch in read(Place(str(file), SESSION), Cursor()) if batch.steps]
    assert [step.prompt_id for step in told.steps] == ["prompt-1"]
    assert told.cursor.prompt_id == "prompt-2"
    assert [total.total_picousd for total in told.client_totals] == [15 * 10**11]
    assert [compaction.before_tokens for compaction in told.compactions] == [100_000]


TOTAL = b'{"type":"cost-state","sessionId":"s","totalCostUSD":5}\n'


@pytest.mark.parametrize(
    "after",
    [
        b"\n",
        b' {"parentUuid":null,"promptId":"p1","type":"user","message":{}}\n',
        b'"x":1,"attachment":{"a":1}}\n',
    ],
)
@pytest.mark.parametrize("prompt", [b"", prompt_line("p1")])
def test_what_follows_a_short_line_is_not_taken_for_its_own(
    tmp_path: Path, prompt: bytes, after: bytes
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(prompt + TOTAL + after)
    totals = [
        each for batch in read(Place(str(path), "s"), Cursor()) for each in batch.client_totals
    ]
    assert [each.total_picousd for each in totals] == [5 * 10**12]


def test_what_the_buffer_held_before_is_not_taken_for_a_line(tmp_path: Path) -> None:
    """Behind the last line of a long file lie bytes of the stretch before."""
    user = prompt_line("p1", "x" * 200)
    path = tmp_path / "s.jsonl"
    for pad in range(0, len(user), 7):
        filler = b'{"type":"x","text":"%s"}\n' % (b"y" * pad)
        path.write_bytes(user * (CHUNK // len(user) + 3) + filler + TOTAL)
        batches = list(read(Place(str(path), "s"), Cursor()))
        assert [each.total_picousd for batch in batches for each in batch.client_totals] == [
            5 * 10**12
        ], pad
