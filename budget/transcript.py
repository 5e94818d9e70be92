"""Reads steps from a transcript: from a byte cursor, in bounded memory, whatever the file holds.

Source of the format: Claude Code 2.1.330, measured 2026-11-23. A step is one API response; it is
written as several lines (one per content block) with one `message.id` and one `usage`. Older
clients write a placeholder usage first and raise it later, so a step may be yielded more than
once; `Usage.highest` joins them. Most bytes are lines without usage: they are never parsed.
"""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Callable, Iterator
from io import FileIO

from budget.files import open_regular
from budget.lean import Any, NamedTuple, loads
from budget.model import ClientTotal, Compaction, Step
from budget.places import Place, agent_type
from budget.remarks import compactions, cost_states
from budget.scanning import MARK, Lines, Repeated, last_prompt
from budget.steps import Found, Writer, step_of

# Small enough to stay in the processor's cache while it is searched.
CHUNK = 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
_HEAD = 256
# What a damaged line raises where it is decoded.
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


NOT_ANSWERED = "?"


class Cursor(NamedTuple):
    """How far a file was read, and how to know that it is still the same file."""

    device: int = -1
    inode: int = -1
    size: int = -1
    mtime_ns: int = -1
    offset: int = 0
    """Of the first byte after the last whole line that was read."""
    head: str = ""
    """Length and checksum of the first bytes."""
    prompt_id: str = ""
    """The prompt that was being answered there."""
    tool_use_ids: str = ""
    """The tool calls of the last step, separated by spaces; `?` before a prompt's first step."""
    message_id: str = ""
    """The last step."""
    tail: str = ""
    """Checksum of the last bytes before `offset`."""
    bad_lines: int = 0
    """Damaged lines before `offset`."""


class Batch(NamedTuple):
    """What one stretch of a file holds. Booking the steps and the cursor together is atomic."""

    steps: list[Step]
    cursor: Cursor
    bad_lines: int
    """Whole lines that should carry a step and could not be read."""
    client_totals: list[ClientTotal] = []  # noqa: RUF012 - never written to
    """The client's own totals of the session, as it wrote them at the end of each run."""
    compactions: list[Compaction] = []  # noqa: RUF012 - never written to
    """When the session's context was made smaller."""


def changed(place: Place, cursor: Cursor) -> bool:
    """Whether the file may hold something the cursor has not seen."""
    try:
        status = os.stat(place.path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) != cursor[:4]


Decode = Callable[[bytearray, Writer, str], Found | None]


def decoded(line: bytearray, writer: Writer, prompt_id: str) -> Found | None:
    """What a line tells of; None for a line that is no API response.

    Raises `ValueError`, `TypeError`, `KeyError`, `AttributeError` or `RecursionError` for a damaged
    one. Damaged text does not cost the step: its numbers are as they were.
    """
    return step_of(_parsed(line), writer, prompt_id)


def read(
    place: Place, cursor: Cursor, decode: Decode = decoded, finished: bool = False
) -> Iterator[Batch]:
    """Yields what was appended since `cursor`, a batch per chunk of the file.

    `decode` does what `decoded` does, maybe faster (`typed.decoded`).

    A last line without its newline waits for the next call; when the file is taken as `finished`
    it is read if it is whole. A file that shrank, was replaced or was rewritten is read from its
    start: its steps keep their message ids, so booking them again changes nothing. Raises
    `InputError` for what is not a regular file, `OSError` otherwise.
    """
    with open_regular(place.path) as file:
        status = os.fstat(file.fileno())
        if not _continues(file, status, cursor):
            cursor = Cursor()
        head = _head(file, _HEAD)
        writer = Writer(place.session_id, agent_type(place), place.agent_id, place.user)
        file.seek(cursor.offset)
        offset, prompt_id, tool_use_ids = cursor.offset, cursor.prompt_id, cursor.tool_use_ids
        message_id, tail, all_bad = cursor.message_id, cursor.tail, cursor.bad_lines
        # One buffer for the whole file: a new one for each chunk costs more than reading it. A step
        # or two need a small one.
        data = bytearray(max(1, min(CHUNK, status.st_size - cursor.offset + 1)))
        size, done = 0, False
        while not done:
            added = _fill(file, data, size)
            if added and not _ends_with(file, offset, tail):
                # It was rewritten between two reads: what was read is of no place in it.
                yield Batch([], Cursor(), 0)
                return
            size += added
            done = not added
            unended = int(done and finished and _is_whole(data[:size]))
            data[size : size + unended] = b"\n" * unended
            size += unended
            end = data.rfind(b"\n", 0, size) + 1
            bad_lines = 0
            steps: list[Step] = []
            repeated = Repeated()
            lines = Lines(prompt_id)
            for start, at, stop in lines.with_usage(data, end):
                if stop - start > MAX_LINE:
                    bad_lines += 1
                    continue
                prompt_id = lines.prompt_id
                if repeated.skips(data, start, at, stop):
                    continue
                line = data[start:stop]
                try:
                    found = decode(line, writer, prompt_id)
                except _DAMAGED:
                    bad_lines += 1
                    continue
                if found is None:
                    lines.others += line + b"\n"
                else:
                    if found.steps[0].message_id == message_id:
                        calls, damaged = _calls(repeated.skipped, data, decode, writer)
                        tool_use_ids += f"{calls} {found.tools}"
                        bad_lines += damaged
                    else:
                        tool_use_ids = found.tools
                    message_id = found.steps[0].message_id
                    steps += found.steps
                    repeated.remember(message_id, line)
            calls, damaged = _calls(repeated.skipped, data, decode, writer)
            tool_use_ids = f"{tool_use_ids}{calls}".strip()
            bad_lines += damaged
            if lines.prompt_id != prompt_id:
                prompt_id, tool_use_ids = lines.prompt_id, NOT_ANSWERED
            offset += end - unended
            if end:
                tail = _checksum(data[max(0, end - _HEAD) : end])
            client_totals = cost_states(lines.others, place)
            made_smaller = compactions(lines.others, place)
            data[: size - end] = data[end:size]
            size -= end
            if size > MAX_LINE:
                prompt_id = last_prompt(data, 0, size) or prompt_id
                told_usage = data.find(MARK, 0, size) != -1
                length, told_usage = _skip_line(
                    file, size, bytes(data[size - 16 : size]), told_usage
                )
                bad_lines += told_usage
                tail = "" if length else tail
                offset += length
                size = 0
                done = not length  # still being written: its end comes with a later call
            all_bad += bad_lines
            seen = (status.st_size, status.st_mtime_ns) if done else (-1, -1)
            yield Batch(
                steps,
                Cursor(
                    status.st_dev,
                    status.st_ino,
                    *seen,
                    offset,
                    head,
                    prompt_id,
                    tool_use_ids,
                    message_id,
                    tail,
                    all_bad,
                ),
                bad_lines,
                client_totals,
                made_smaller,
            )


def _calls(
    lines: list[tuple[int, int]], data: bytearray, decode: Decode, writer: Writer
) -> tuple[str, int]:
    """The tool calls of lines that were passed over, each after a space; how many are damaged."""
    calls, damaged = "", 0
    for start, stop in lines:
        try:
            found = decode(data[start:stop], writer, "")
        except _DAMAGED:
            damaged += 1
        else:
            calls += f" {found.tools}" if found else ""
    return calls, damaged


def _fill(file: FileIO, data: bytearray, size: int) -> int:
    """Reads on behind the first `size` bytes; how many bytes. What holds a long line grows."""
    if size == len(data):
        data.extend(bytes(max(CHUNK, size // 4)))
    with memoryview(data) as whole, whole[size:] as free:
        return file.readinto(free) or 0


def _head(file: FileIO, length: int) -> str:
    file.seek(0)
    head = file.read(length)
    return _checksum(head)


def _checksum(data: bytes | bytearray) -> str:
    return f"{len(data)}:{crc32(data):08x}"


def _continues(file: FileIO, status: os.stat_result, cursor: Cursor) -> bool:
    if (status.st_dev, status.st_ino) != cursor[:2] or status.st_size < cursor.offset:
        return False
    length = int(cursor.head.partition(":")[0] or 0)
    if _head(file, length) != cursor.head:
        return False
    if cursor.offset == 0:
        return True
    # A file that was rewritten may begin alike.
    return _ends_with(file, cursor.offset, cursor.tail)


def _ends_with(file: FileIO, offset: int, tail: str) -> bool:
    """Whether the bytes before an offset are those that were read there."""
    if offset == 0:
        return True
    at = file.tell()
    length = int(tail.partition(":")[0] or 1)
    file.seek(offset - length)
    found = file.read(length)
    file.seek(at)
    return found.endswith(b"\n") and tail in ("", _checksum(found))


def _parsed(line: bytes | bytearray) -> Any:
    try:
        return loads(line)
    except UnicodeDecodeError:
        return loads(line.decode("utf-8", "replace"))


def _is_whole(line: bytes | bytearray) -> bool:
    try:
        return isinstance(_parsed(line), dict)
    except (ValueError, RecursionError):
        return False


def _skip_line(file: FileIO, length: int, edge: bytes, told: bool) -> tuple[int, bool]:
    """Passes over a line too long to hold: its length, and whether it told of a usage.

    Of what was read of it: the length, the last bytes, and whether they told of one. The length
    is 0 while the line is unfinished.
    """
    while block := file.read(CHUNK):
        newline = block.find(b"\n")
        piece = block if newline == -1 else block[: newline + 1]
        told = told or MARK in edge + piece
        edge = piece[-16:]
        length += len(piece)
        if newline != -1:
            file.seek(newline + 1 - len(block), os.SEEK_CUR)
            return length, told
    return 0, False
