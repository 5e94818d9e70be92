"""The decoder by types says of every line what the general one says."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from budget import transcript, typed
from budget.model import MAX_SEARCHES, MAX_TOKENS
from budget.steps import Found, Writer
from tests.samples import assistant, prompt_line, result_line, step_line, usage

WRITER = Writer("session-1", "Explore", "agent-1", "dev@example.com")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, MAX_TOKENS, MAX_TOKENS + 1, MAX_SEARCHES + 1, 2**70, 1.0, 1e400])
    | st.floats()
    | st.sampled_from(["assistant", "progress", "claude-opus-5", "<synthetic>", "2026-11-23"])
    | st.text(max_size=8)
    | st.text(min_size=195, max_size=205),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PLACES = [
    *((key,) for key in ("type", "message", "uuid", "requestId", "requestedModel", "timestamp")),
    *((key,) for key in ("requestSessionId", "gitBranch", "costUSD", "data")),
    *(("message", key) for key in ("id", "model", "content", "usage", "role")),
    *(("message", "usage", key) for key in usage()),
    *(("message", "usage", key) for key in ("server_tool_use", "speed", "inference_geo")),
    ("message", "usage", "iterations"),
    ("message", "usage", "cache_creation", "ephemeral_5m_input_tokens"),
    ("message", "usage", "cache_creation", "ephemeral_1h_input_tokens"),
    ("message", "usage", "server_tool_use", "web_search_requests"),
    ("message", "content", "type"),
    ("message", "content", "id"),
]


def outcome(decode: transcript.Decode, line: bytes) -> Found | str | None:
    try:
        return decode(bytearray(line), WRITER, "prompt-1")
    except transcript._DAMAGED:
        return "a damaged line"


def assert_same(line: bytes) -> None:
    assert outcome(typed.decoded, line) == outcome(transcript.decoded, line)


def entry() -> dict[str, Any]:
    used = usage(server_tool_use={"web_search_requests": 1}, speed="fast", iterations=[])
    told = assistant("msg_1", used, tools=["toolu_1", "toolu_2"])
    return told | {"requestedModel": "claude-opus-5-5", "requestSessionId": "session-2"}


def put(into: Any, place: tuple[str, ...], value: Any) -> None:
    for key in place:
        into = into[0] if isinstance(into, list) and into else into
        if not isinstance(into, dict):
            return
        if key == place[-1]:
            into[key] = value
        into = into.get(key)


def test_the_usual_line_is_decoded_by_its_types(monkeypatch: Any) -> None:
    expected = outcome(transcript.decoded, json.dumps(entry()).encode())
    monkeypatch.setattr(transcript, "decoded", None)
    assert outcome(typed.decoded, json.dumps(entry()).encode()) == expected
    assert isinstance(expected, Found)
    assert expected.tools == "toolu_1 toolu_2"


KINDS = st.sampled_from(["message", "advisor_message", "other"])
ITERATION = st.tuples(KINDS, st.integers(0, 9), st.booleans()).map(
    lambda told: (
        {**usage(told[1]), "type": told[0]}
        | ({"model": "claude-opus-5", "cache_creation": None} if told[2] else {})
    )
)


@given(st.lists(ITERATION, max_size=3), st.integers(1, 3), JSON)
def test_iterations_mean_the_same(iterations: list[dict[str, Any]], times: int, value: Any) -> None:
    """Also where they add up to the usage, and where one holds anything."""
    used = usage(200 * times, input_tokens=10 * times, cache_read_input_tokens=30_000 * times)
    used |= {"cache_creation_input_tokens": 1_000 * times, "cache_creation": None}
    same = [{**usage(), "type": "message"}] * times
    for told in (iterations, same, [*iterations, *same], [*same, value], value):
        assert_same(json.dumps(assistant("msg_1", used | {"iterations": told})).encode())


@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), max_size=3), st.booleans())
@example([(("timestamp",), "2026-11-23 10:00:00.000Z")], True)
@example([(("timestamp",), "2026-11-23T10:00:0٣.000Z")], False)
@example([(("message", "usage", "iterations"), [{"type": "message"}])], True)
@example([(("type",), "progress"), (("data",), {"message": entry(), "agentId": "a"})], True)
@example([(("message", "id"), "\ud800")], True)
def test_any_values_in_any_places_mean_the_same(
    changes: list[tuple[tuple[str, ...], Any]], escaped: bool
) -> None:
    told = entry()
    for place, value in changes:
        put(told, place, value)
    text = json.dumps(told, ensure_ascii=escaped)
    assert_same(text.encode("utf-8", "surrogatepass"))


@given(st.sampled_from(PLACES))
def test_a_line_without_a_field_means_the_same(place: tuple[str, ...]) -> None:
    told: Any = entry()
    inner = told
    for key in place[:-1]:
        inner = inner[0] if isinstance(inner, list) else inner[key]
    if isinstance(inner, dict):
        inner.pop(place[-1], None)
    assert_same(json.dumps(told).encode())


@given(st.sampled_from(PLACES), JSON, st.booleans())
def test_a_key_that_is_there_twice_means_the_same(
    place: tuple[str, ...], value: Any, first: bool
) -> None:
    key = json.dumps(place[-1]).encode()
    line = json.dumps(entry()).encode()
    double = key + b": " + json.dumps(value).encode()
    at = line.find(key)
    line = line[:at] + double + b", " + line[at:] if first else line[:-1] + b", " + double + b"}"
    assert_same(line)


@given(st.integers(0, 900), st.integers(0, 60), st.binary(max_size=6))
@example(1, 0, b"\xef\xbb\xbf")
def test_damaged_bytes_mean_the_same(at: int, length: int, junk: bytes) -> None:
    line = json.dumps(entry()).encode()
    assert_same(line[:at] + junk + line[at + length :])


def test_other_lines_mean_the_same() -> None:
    quoted = step_line("msg_2").decode()
    for line in (prompt_line("p", quoted), result_line(quoted), b"", b"{}", b"[]", b"null", b"1"):
        assert_same(line)
