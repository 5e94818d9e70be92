"""What hooks use of the standard library in a leaner form means what it means there."""

import contextlib
import copy
import json
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import lean

ROOT = Path(__file__).resolve().parent.parent

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
TEXTS = st.text(st.sampled_from('{}[]",:\\ \n\t0123456789.eE-truefalsn\ud800ü\x00/uNaIity'))


def outcome(function: Callable[..., Any], *values: Any) -> object:
    """What it answers, or how it fails."""
    try:
        return repr(function(*values))
    except (ValueError, TypeError, RecursionError) as error:
        return type(error)


@given(VALUES)
def test_json_is_written_as_by_the_json_module(value: object) -> None:
    assert lean.dumps(value) == json.dumps(value)


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]))
def test_json_is_read_as_by_the_json_module(value: object, encoding: str) -> None:
    text = f"\n {json.dumps(value, ensure_ascii=False)}\t"
    data = text.encode(encoding, "surrogatepass")
    assert outcome(lean.loads, text) == outcome(json.loads, text)
    assert outcome(lean.loads, data) == outcome(json.loads, data)
    assert outcome(lean.loads, bytearray(data)) == outcome(json.loads, bytearray(data))


@given(TEXTS, st.binary(max_size=20))
def test_what_is_no_json_fails_as_in_the_json_module(text: str, data: bytes) -> None:
    assert outcome(lean.loads, text) == outcome(json.loads, text)
    assert outcome(lean.loads, data) == outcome(json.loads, data)


@pytest.mark.parametrize("value", [{1}, b"bytes", object(), {"a": [1j]}])
def test_what_json_has_no_form_for_cannot_be_written(value: object) -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        lean.dumps(value)


def test_too_deep_json_fails_and_hurts_nothing() -> None:
    assert outcome(json.loads, "[" * 10**6) is RecursionError
    assert outcome(lean.loads, "[" * 10**6) is RecursionError


class Lean(lean.NamedTuple):
    """The one."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.first


class Usual(typing.NamedTuple):
    """The other."""

    first: int
    second: str = "two"
    third: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.first


USES: list[Callable[[Any], Any]] = [
    lambda kind: tuple(kind(1)),
    lambda kind: tuple(kind(1, "b", (3,))),
    lambda kind: tuple(kind(1, third=(3,))),
    lambda kind: tuple(kind(third=(3,), first=1)),
    lambda kind: kind(),
    lambda kind: kind(second="b"),
    lambda kind: kind(1, "b", (), 4),
    lambda kind: kind(1, first=1),
    lambda kind: kind(1, fourth=4),
    lambda kind: kind(1, "b", (), fourth=4),
    lambda kind: tuple(kind(1)._replace(second="b")),
    lambda kind: kind(1)._replace(fourth=4),
    lambda kind: tuple(kind._make(iter((1, "b", ())))),
    lambda kind: kind(1)._asdict(),
    lambda kind: (kind._fields, kind._field_defaults, kind.__match_args__),
    lambda kind: repr(kind(1)).replace(kind.__name__, ""),
    lambda kind: (kind(1).first, kind(1).doubled, kind(1).second),
    lambda kind: kind(1) == (1, "two", ()) and hash(kind(1)) == hash((1, "two", ())),
    lambda kind: pickle.loads(pickle.dumps(kind(1))) == kind(1),
    lambda kind: type(pickle.loads(pickle.dumps(kind(1)))) is kind,
    lambda kind: type(copy.copy(kind(1))) is kind,
    lambda kind: json.dumps(kind(1)),
]


@pytest.mark.parametrize("number", range(len(USES)))
def test_named_tuples_are_used_as_those_of_typing(number: int) -> None:
    use = USES[number]
    told = outcome(use, Lean)
    assert told == outcome(use, Usual)


def test_a_named_tuple_takes_no_other_attribute_and_no_other_value() -> None:
    one: Any = Lean(1)
    with pytest.raises(AttributeError):
        one.fourth = 4
    with pytest.raises(AttributeError):
        one.first = 2


def test_named_tuples_can_be_matched_by_pattern() -> None:
    match Lean(1):
        case Lean(first, second="two"):
            assert first == 1
        case _:
            pytest.fail("no match")


class ToldError(Exception):
    pass


@pytest.mark.parametrize("manager", [lean.contextmanager, contextlib.contextmanager])
def test_a_context_manager_is_its_generator(manager: Callable[..., Any]) -> None:
    told: list[object] = []

    @manager
    def around(kind: type[BaseException] = KeyError) -> Iterator[str]:
        try:
            yield "value"
        except kind as error:
            told.append(error)
        else:
            told.append("well")

    with around() as value:
        assert value == "value"
    assert told == ["well"]
    error = ToldError()
    with around(kind=ToldError):
        raise error
    assert told == ["well", error]
    with pytest.raises(ToldError), around():
        raise ToldError

    @manager
    def changes() -> Iterator[None]:
        try:
            yield
        except ToldError as error:
            raise ValueError from error

    with pytest.raises(ValueError), changes():
        raise ToldError


def test_only_the_named_errors_are_suppressed() -> None:
    with lean.suppress(KeyError, OSError):
        raise FileNotFoundError
    with lean.suppress():
        pass
    with pytest.raises(ToldError), lean.suppress(OSError):
        raise ToldError


@pytest.mark.parametrize("missing", ["_json", "_datetime"])
def test_without_the_parts_in_c_the_public_modules_stand_in(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.path.append(sys.argv[1]);"
        " from budget import lean;"
        " print(lean.loads(lean.dumps([1, {'a': None}])), lean.datetime.fromtimestamp(0, lean.UTC))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(ROOT)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[1, {'a': None}] 1970-01-01 00:00:00+00:00\n", "")
