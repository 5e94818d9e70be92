"""Laws that hold for any input, on what hypothesis makes up (`make fuzz` looks further)."""

import json
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budget import event
from budget.keys import ADVICE_KEYS, BUDGET_KEYS, FILE_KEYS, NOTIFY_KEYS, PRICES_KEYS, RULES_KEYS
from tests.fuzz import targets
from tests.fuzz.__main__ import _seeds
from tests.fuzz.targets import ODD, TARGETS
from tests.fuzz.world import World, check_answer, check_touched, watched

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", ODD, "/", "..", "x" * 100_000, "\0", "\ud800", "NaN", "=1+1", "\u202eabc"]
    ),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, True, 2**63, 10**400, float("nan"), float("inf"), -0.0]),
)
values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts.map(lambda t: t[:50]), inner, max_size=4)
    ),
    max_leaves=8,
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- hook input ------------------------------------------------------------------------------------

FIELDS = (
    *("session_id", "transcript_path", "cwd", "prompt", "prompt_id", "source", "tool_name"),
    *("tool_use_id", "agent_id", "agent_type", "tool_input", "tool_calls", "hook_event_name"),
)
KINDS: list[Any] = [
    *(None, True, False, 0, -1, 2**63, 10**400, 1.5, float("nan"), float("inf")),
    *("", "x", ODD, "x" * 1_000_000, [], [[]], [None], {}, {"": {}}, [{"tool_use_id": {}}]),
    *([{"tool_use_id": ODD, "tool_response": [1]}] * 3, "[" * 5_000, {"subagent_type": 3}),
]


def good(name: str) -> dict[str, Any]:
    here = targets.world()
    return {
        "hook_event_name": name,
        "session_id": here.SESSION,
        "transcript_path": str(here.transcript),
        "cwd": str(here.project),
        "prompt": "hello",
        "tool_name": "Task",
        "tool_use_id": "t1",
        "tool_input": {"subagent_type": "x"},
        "tool_calls": [{"tool_use_id": "t1"}],
    }


@pytest.mark.parametrize("name", event.NAMES)
def test_every_field_of_every_event_may_have_every_type(name: str) -> None:
    for field in FIELDS:
        for kind in KINDS:
            targets.hook_input(as_json({**good(name), field: kind}))
        missing = good(name)
        missing.pop(field, None)
        targets.hook_input(as_json(missing))


def test_without_a_transcript_no_folder_of_the_project_is_looked_through() -> None:
    """The files of its agents would be looked for in the folder the hook runs in."""
    told = {**good("SubagentStop"), "agent_id": "x"}
    del told["transcript_path"]
    targets.hook_input(as_json(told))


@some
@given(st.sampled_from(event.NAMES), st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
def test_any_event_is_answered_or_refused(name: str, fields: dict[str, Any]) -> None:
    targets.hook_input(as_json({**good(name), **fields}))


# -- configs ---------------------------------------------------------------------------------------

keys = st.one_of(
    st.sampled_from(
        [*FILE_KEYS, *BUDGET_KEYS, *ADVICE_KEYS, *NOTIFY_KEYS, *PRICES_KEYS, *RULES_KEYS, "models"]
    ),
    st.text(string.printable, max_size=10),
    st.just(ODD.replace("\ud800", "")),
)
toml_values: Any = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(
            ["day", "session", "rolling 5h", "block", "Europe/Berlin", "../x", "x" * 999]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
budgets = st.dictionaries(keys, st.dictionaries(keys, toml_values, max_size=5), max_size=3)
files = st.fixed_dictionaries(
    {"version": st.sampled_from([1, 1, 1, 2])},
    optional={
        "budgets": budgets,
        "advice": st.dictionaries(keys, toml_values, max_size=3),
        "notify": st.dictionaries(keys, toml_values, max_size=2),
        "prices": st.dictionaries(keys, toml_values, max_size=3),
        "groups": st.dictionaries(keys, toml_values | budgets, max_size=2),
        "rules": st.dictionaries(keys, toml_values, max_size=2),
        "timezone": toml_values,
    },
)


@some
@given(files)
def test_any_config_is_a_policy_or_is_refused_in_plain_lines(table: dict[str, Any]) -> None:
    import tomli_w

    targets.configs(tomli_w.dumps(table).encode("utf-8", "replace"))


# -- transcripts and small files -------------------------------------------------------------------

counts = st.one_of(st.integers(0, 10**6), values)
usages = st.dictionaries(
    st.sampled_from(
        [
            *("input_tokens", "output_tokens", "cache_read_input_tokens", "speed", "iterations"),
            *("cache_creation_input_tokens", "cache_creation", "server_tool_use", "service_tier"),
        ]
    ),
    counts,
    max_size=6,
)


@st.composite
def steps(draw: Any) -> bytes:
    """A line of a transcript, sound or with a part of another type."""
    usage = {"input_tokens": 1, "output_tokens": 2, **draw(st.just({}) | usages)}
    message = {"id": draw(st.sampled_from(["m1", "m2"]) | texts), "model": "claude-opus-5"}
    message |= {"usage": usage, "content": draw(st.just([]) | values)}
    line = {"type": "assistant", "timestamp": "2026-11-22T10:00:00.000Z", "message": message}
    line |= draw(
        st.dictionaries(st.sampled_from([*line, "gitBranch", "costUSD"]), values, max_size=1)
    )
    return as_json(line)


@some
@given(st.lists(st.one_of(steps(), st.binary(max_size=60)), max_size=6), st.booleans())
def test_any_transcript_is_read_the_same_by_all_ways(lines: list[bytes], ended: bool) -> None:
    targets.transcripts(b"\n".join(lines) + b"\n" * ended)


@some
@given(steps())
def test_any_line_means_the_same_to_both_decoders(line: bytes) -> None:
    targets.lines(line)


@pytest.mark.parametrize("name", ["prices", "totals", "git_files", "compiled_files", "configs"])
def test_any_bytes_in_a_small_file_are_used_or_passed_over(name: str) -> None:
    target, seeds = TARGETS[name], [seed for seed in _seeds(name) if len(seed) < 4_000]

    @some
    @given(st.sampled_from(seeds), st.integers(0, 400), st.binary(max_size=8), st.booleans())
    def check(seed: bytes, at: int, other: bytes, whole: bool) -> None:
        target(other if whole else seed[:at] + other + seed[at + len(other) :])

    check()


@some
@given(values)
def test_any_value_in_a_small_file_is_used_or_passed_over(value: Any) -> None:
    data = as_json(value)
    for name in ("prices", "totals", "compiled_files"):
        TARGETS[name](data)


@some
@given(values, st.sampled_from(["session_id", "cost", "workspace", "rate_limits", "cwd", "model"]))
def test_any_status_is_one_harmless_line(value: Any, field: str) -> None:
    here = targets.world()
    status = {"session_id": here.SESSION, "cost": {"total_cost_usd": 1.5}, "cwd": str(here.project)}
    targets.status_lines(as_json({**status, field: value}))
    targets.status_lines(as_json(value))


# -- the laws can be broken ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["\x1b[31m", "a\tb", "\u202e", "\x9b", World.SECRET, "\u2028"])
def test_a_text_that_writes_to_the_screen_or_tells_a_secret_breaks_a_law(text: str) -> None:
    with pytest.raises(AssertionError):
        check_answer({"systemMessage": f"budget: {text}"})


def test_what_is_touched_outside_breaks_a_law() -> None:
    here = targets.world()
    with watched() as touched:
        (here.outside / "secret.jsonl").read_text()
    with pytest.raises(AssertionError, match="secret"):
        check_touched(here, touched)
    with watched() as touched:
        (here.state / "x").write_text("")
        (here.home / "y").write_text("")
    with pytest.raises(AssertionError, match="'write'"):
        check_touched(here, touched)
