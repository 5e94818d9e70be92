"""Transcripts that are cut, garbled, replaced while they are read, or out of all proportion."""

import json
import os
import resource
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.law import Session, World, assert_law
from tests.faults.traced import needs_strace, paused
from tests.samples import rows

Figures = Counter[str]
MB = 1024 * 1024


def cut_anywhere(world: World, cuts: int) -> Figures:
    """A hook comes while a line is half written: the next one reads it once it is whole."""
    session = world.session()
    world.catch_up()
    for _ in range(cuts):
        before = session.path.stat().st_size
        session.grow(2)
        whole = session.path.read_bytes()
        at = world.rng.randrange(before, len(whole) + 1)
        os.truncate(session.path, at)
        world.hook(session.event("UserPromptSubmit"))
        assert_law(world, f"cut at byte {at}")
        with session.path.open("ab") as file:
            file.write(whole[at:])
    world.catch_up()
    assert_law(world, "whole again")
    return Counter(faults=cuts)


def garble(world: World, faults: int) -> Figures:
    """Lines that are none between those of steps, and steps whose text is broken."""
    session = world.session()
    for number in range(faults):
        session.grow(1)
        data = session.path.read_bytes()
        last = data[data.rfind(b"\n", 0, -1) + 1 :]
        garbage = world.rng.choice(_GARBAGE)(world, last)
        session.path.write_bytes(data + garbage + b"\n")
        if number % 10 == 9 or number == faults - 1:
            world.hook(session.event("UserPromptSubmit"))
            assert_law(world, f"garbage {garbage[:200]!r}")
    return Counter(faults=faults)


def _with_count(count: object) -> Callable[[World, bytes], bytes]:
    def line(_: World, last: bytes) -> bytes:
        told = json.loads(last)
        told["message"]["usage"]["output_tokens"] = count
        return json.dumps(told).encode()

    return line


_GARBAGE: tuple[Callable[[World, bytes], bytes], ...] = (
    lambda world, _: world.rng.randbytes(world.rng.randrange(3000)).replace(b"\n", b""),
    lambda world, last: last[: world.rng.randrange(len(last))],
    lambda world, last: last[world.rng.randrange(len(last)) : -1],
    lambda _, last: last.replace(b'"content":[', b'"text":"\xff\xfe\x80","content":['),
    lambda _, last: bytes(len(last)),
    lambda _, last: last + last + last[:-1],
    lambda _, last: b'{"a":' * 100_000 + last,
    lambda _, last: b'{"message":[' * 2000 + b'"output_tokens"' + b"]}" * 2000,
    *map(_with_count, (10**30, -1, "12", 1.5, None, True, [], {"a": 1})),
)


def spoil_while_read(world: World, step: int = 1) -> Figures:
    """A transcript is cut off, replaced or moved away between two reads of a hook."""
    figures: Figures = Counter()
    for spoil in (_cut_off, _replaced, _rotated, _removed):
        reached, number = True, 1
        while reached:
            session = world.session(3)
            world.catch_up([session])
            world.gone += session.path.read_bytes()
            session.grow(2)
            old = session.path.read_bytes()
            event = session.event("UserPromptSubmit")
            with paused(world, event, "read", number, session.path) as reached:
                spoil(session)
            figures["faults"] += reached
            world.hook(session.event("UserPromptSubmit"))
            newest = f"msg_{len(world.sessions):04x}_000005"
            if (newest,) in rows(str(world.ledger()), "entries", "message_id"):
                world.gone += old  # the hook saw it before it was spoilt
            assert_law(world, f"{spoil.__name__} after read {number}")
            number += step
    return figures


def _cut_off(session: Session) -> None:
    lines = session.path.read_bytes().splitlines(keepends=True)
    session.path.write_bytes(b"".join(lines[: len(lines) // 2]))
    session.grow(2)


def _replaced(session: Session) -> None:
    session.path.rename(session.path.with_suffix(".old"))
    session.grow(4)


def _rotated(session: Session) -> None:
    session.path.rename(session.path.with_suffix(".1"))
    session.path.touch()
    session.grow(1)


def _removed(session: Session) -> None:
    session.path.unlink()
    session.grow(1)


# -- out of proportion -----------------------------------------------------------------------------


def _bounded() -> None:
    limit = 160 * MB  # of address space; the interpreter with its libraries takes 60
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def read_on(world: World, session: Session, where: str) -> int:
    """Hooks read on until all is booked, each in bounded memory and time; how many it took."""
    for number in range(1, 100):
        answer = world.hook(session.event("UserPromptSubmit"), preexec_fn=_bounded)
        told = answer.get("systemMessage", "")
        assert "cannot be" not in told and "memory" not in told, told
        (done,) = rows(str(world.ledger()), "cursors", "size")
        if done[0] == session.path.stat().st_size:
            assert_law(world, where)
            return number
    raise AssertionError(f"{where}: not read in a hundred hooks")


def huge_line(world: World, size: int, ended: bool) -> Figures:
    """One line of that many bytes; one that is unfinished is waited for."""
    session = world.session()
    with session.path.open("ab") as file:
        file.write(b'{"type":"user","message":{"content":"')
        for _ in range(size // MB):
            file.write(b"x" * MB)
        file.write(b'"}}\n' if ended else b"")
    if ended:
        session.grow(2)
    hooks = read_on(world, session, f"a line of {size} bytes")
    if not ended:
        with session.path.open("ab") as file:
            file.write(b'"}}\n')
        session.grow(2)
        hooks += read_on(world, session, "its end")
    return Counter(hooks=hooks, bytes=session.path.stat().st_size)


TINY = (b"\n", b"{}\n", b'{"output_tokens":1}\n')


def tiny_lines(world: World, count: int, line: bytes) -> Figures:
    session = world.session()
    with session.path.open("ab") as file:
        for _ in range(count // 1000):
            file.write(line * 1000)
    session.grow(2)
    hooks = read_on(world, session, f"{count} times {line!r}")
    return Counter(hooks=hooks, lines=count)


# -- the short form --------------------------------------------------------------------------------


def test_a_line_that_is_half_written_is_read_when_it_is_whole(world: World) -> None:
    assert cut_anywhere(world, 12)["faults"] == 12


def test_garbage_costs_no_step_beside_it(world: World) -> None:
    assert garble(world, 60)["faults"] == 60


@needs_strace
def test_a_transcript_that_is_spoilt_while_it_is_read_costs_no_booked_step(world: World) -> None:
    assert spoil_while_read(world, step=3)["faults"] >= 4


@pytest.mark.parametrize("ended", [True, False])
def test_a_huge_line_is_passed_over_in_bounded_memory(world: World, ended: bool) -> None:
    assert huge_line(world, 64 * MB, ended)["hooks"] < 10


@pytest.mark.parametrize("line", TINY)
def test_very_many_tiny_lines_are_read_in_bounded_time(world: World, line: bytes) -> None:
    assert tiny_lines(world, 100_000, line)["hooks"] < 10
