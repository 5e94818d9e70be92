"""Reads steps from a transcript: from a byte cursor, in bounded memory, whatever the file holds.

Source of the format: Claude Code 2.1.330, measured 2026-11-23. A step is one API response; it is
written as several lines (one per content block) with one `message.id` and one `usage`. Older
clients write a placeholder usage first and raise it later, so a step may be yielded more than
once; `Usage.highest` joins them. Most bytes are lines without usage: they are never parsed.
"""

import os
import re
from binascii import crc32
from collections.abc import Callable, Iterator
from json import loads as json_loads
from typing import Any, BinaryIO, NamedTuple

from budget.errors import InputError
from budget.files import open_regular
from budget.model import MAX_TOKENS, ClientTotal, Compaction, Step
from budget.steps import Writer, clean, milliseconds, stated_picousd, step_of

CHUNK = 4 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
_HEAD = 256
# Every usage has it, and nothing shorter can be searched for as fast.
_MARK = b'"output_tokens"'
# In the last bytes every line is parsed: the tool calls of the last step are told from them.
_TAIL = 256 * 1024
# A usage with objects in it, not deeper: another is never taken for a repetition.
_USAGE = re.compile(rb'"usage":\{(?:[^{}]++|\{[^{}]*+\})*+\}')


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


class Place(NamedTuple):
    """What the steps of a file have in common."""

    path: str
    session_id: str
    agent: str = "main"
    agent_id: str = ""
    user: str = ""


def places(transcript: str, session_id: str, user: str = "") -> Iterator[Place]:
    """The main transcript and every file of its subagents, nested ones included.

    The files of subagents lie below `<transcript without .jsonl>/subagents/`; what kind of agent
    wrote one stands in the `.meta.json` beside it.
    """
    yield Place(transcript, session_id, user=user)
    folder = os.path.join(transcript.removesuffix(".jsonl"), "subagents")
    for place in _agent_places(folder, session_id):
        yield place._replace(user=user)


def _agent_places(folder: str, session_id: str, depth: int = 0) -> Iterator[Place]:
    try:
        if os.path.islink(folder):
            return
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue  # the client makes none, and one may lead anywhere
        if entry.is_dir(follow_symlinks=False):
            if depth < 4:
                yield from _agent_places(entry.path, session_id, depth + 1)
        elif entry.name.startswith("agent-") and entry.name.endswith(".jsonl"):
            agent_id = entry.name[len("agent-") : -len(".jsonl")]
            yield Place(entry.path, session_id, agent="", agent_id=agent_id)


def agent_type(place: Place) -> str:
    """The type of the agent that writes the file; `subagent` where nothing says it."""
    if place.agent:
        return place.agent
    try:
        with open_regular(place.path.removesuffix(".jsonl") + ".meta.json") as file:
            kind = json_loads(file.read(65_536)).get("agentType")
    except (OSError, InputError, ValueError, AttributeError, RecursionError):
        kind = None
    return clean(kind) or "subagent"


def changed(place: Place, cursor: Cursor) -> bool:
    """Whether the file may hold something the cursor has not seen."""
    try:
        status = os.stat(place.path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) != cursor[:4]


Loads = Callable[[bytes], Any]


def read(
    place: Place, cursor: Cursor, loads: Loads = json_loads, finished: bool = False
) -> Iterator[Batch]:
    """Yields what was appended since `cursor`, a batch per chunk of the file.

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
        rest, done = b"", False
        while not done:
            block = file.read(CHUNK)
            rest += block
            done = not block
            unended = int(done and finished and _is_whole(rest, loads))
            rest += b"\n" * unended
            end = rest.rfind(b"\n") + 1
            bad_lines = 0
            steps: list[Step] = []
            parsed = 0
            repeated = _Repeated()
            for start, stop in _usage_lines(rest, end):
                if stop - start > MAX_LINE:
                    bad_lines += 1
                    continue
                line = rest[start:stop]
                if stop < end - _TAIL and repeated.same_step(line):
                    continue
                prompt_id = _last_prompt(rest, parsed, start) or prompt_id
                parsed = stop
                try:
                    found = step_of(_parsed(line, loads), writer, prompt_id)
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    bad_lines += 1
                    continue
                if found is not None:
                    same_step = found.steps[0].message_id == message_id
                    tool_use_ids = f"{tool_use_ids} {found.tools}" if same_step else found.tools
                    tool_use_ids = tool_use_ids.strip()
                    message_id = found.steps[0].message_id
                    steps += found.steps
                    repeated.remember(message_id, line)
            newer_prompt = _last_prompt(rest, parsed, end)
            if newer_prompt and newer_prompt != prompt_id:
                prompt_id, tool_use_ids = newer_prompt, NOT_ANSWERED
            offset += end - unended
            rest_before, rest = rest, rest[end:]
            if end:
                tail = _checksum(rest_before[max(0, end - _HEAD) : end])
            if len(rest) > MAX_LINE:
                prompt_id = _last_prompt(rest, 0, len(rest)) or prompt_id
                length, told_usage = _skip_line(file, rest)
                bad_lines += told_usage
                tail = "" if length else tail
                offset += length
                rest = b""
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
                _cost_states(rest_before, end, place),
                _compactions(rest_before, end, place),
            )


def _head(file: BinaryIO, length: int) -> str:
    file.seek(0)
    head = file.read(length)
    return _checksum(head)


def _checksum(data: bytes) -> str:
    return f"{len(data)}:{crc32(data):08x}"


def _continues(file: BinaryIO, status: os.stat_result, cursor: Cursor) -> bool:
    if (status.st_dev, status.st_ino) != cursor[:2] or status.st_size < cursor.offset:
        return False
    length = int(cursor.head.partition(":")[0] or 0)
    if _head(file, length) != cursor.head:
        return False
    if cursor.offset == 0:
        return True
    # The bytes before the offset: a file that was rewritten may begin alike.
    length = int(cursor.tail.partition(":")[0] or 1)
    file.seek(cursor.offset - length)
    tail = file.read(length)
    return tail.endswith(b"\n") and cursor.tail in ("", _checksum(tail))


def _parsed(line: bytes, loads: Loads) -> Any:
    """The JSON of a line. Damaged text does not cost the step: its numbers are as they were."""
    try:
        return loads(line)
    except UnicodeDecodeError:
        return json_loads(line.decode("utf-8", "replace"))


def _is_whole(line: bytes, loads: Loads) -> bool:
    try:
        return isinstance(_parsed(line, loads), dict)
    except (ValueError, RecursionError):
        return False


class _Repeated:
    """Knows a line that says nothing new: the same message id, with the same usage to the byte.

    A step is written as several such lines. Parsing them is most of the work of an import.
    """

    def __init__(self) -> None:
        self._id = self._usage = b""

    def remember(self, message_id: str, line: bytes) -> None:
        at = line.rfind(b'"usage":{')
        usage = _USAGE.match(line, at) if at != -1 else None
        self._usage = usage[0] if usage else b""
        self._id = b'"id":"%s"' % message_id.encode()

    def same_step(self, line: bytes) -> bool:
        # The first id of a line is the message's: what it says of others comes later.
        at = line.find(b'"id":"')
        return bool(self._usage) and line.startswith(self._id, at) and self._usage in line


def _usage_lines(data: bytes, end: int) -> Iterator[tuple[int, int]]:
    """Where the lines of `data[:end]` that name a usage start and end."""
    done = 0
    while (at := data.find(_MARK, done, end)) != -1:
        start = data.rfind(b"\n", done, at) + 1 or done
        stop = data.find(b"\n", at)
        yield start, stop
        done = stop + 1


def _last_prompt(data: bytes, start: int, end: int) -> str:
    mark = b'"promptId":"'
    at = data.rfind(mark, start, end)
    if at == -1:
        return ""
    at += len(mark)
    end = data.find(b'"', at, at + 100)
    return "" if end == -1 else clean(data[at:end].decode("utf-8", "replace"))


def _skip_line(file: BinaryIO, seen: bytes) -> tuple[int, int]:
    """Passes over a line too long to hold: its length and 1 if it told of a usage, else 0.

    The length is 0 while the line is unfinished.
    """
    length, told = len(seen), _MARK in seen
    edge = seen[-16:]
    while block := file.read(CHUNK):
        newline = block.find(b"\n")
        piece = block if newline == -1 else block[: newline + 1]
        told = told or _MARK in edge + piece
        edge = piece[-16:]
        length += len(piece)
        if newline != -1:
            file.seek(newline + 1 - len(block), os.SEEK_CUR)
            return length, int(told)
    return 0, 0


def _cost_states(data: bytes, end: int, place: Place) -> list[ClientTotal]:
    """The client's own total at the end of a stretch: it writes one when a session ends (2.1.330).

    It is cumulative over resumes, so the last one is the highest.
    """
    at = data.rfind(b'"cost-state"', 0, end)
    if at == -1:
        return []
    line = data[data.rfind(b"\n", 0, at) + 1 : data.find(b"\n", at)]
    try:
        state = json_loads(line)
        total = stated_picousd(state["totalCostUSD"])
        if state["type"] != "cost-state" or state["sessionId"] != place.session_id:
            return []
    except (ValueError, TypeError, KeyError, RecursionError):
        return []  # a text that happens to hold the words
    return [] if total is None else [ClientTotal(place.session_id, "transcript", 0, 0, total)]


def _compactions(data: bytes, end: int, place: Place) -> list[Compaction]:
    """The compactions a stretch tells of (`compact_boundary` lines, 2.1.330, 2026-11-23)."""
    found = []
    at = data.find(b'"compact_boundary"', 0, end)
    while at != -1:
        stop = data.find(b"\n", at)
        try:
            line = json_loads(data[data.rfind(b"\n", 0, at) + 1 : stop])
            sizes = line["compactMetadata"]
            before, after = sizes["preTokens"], sizes.get("postTokens", 0)
            told = (line["type"], line["subtype"], place.agent_id)
            if told == ("system", "compact_boundary", "") and _are_tokens(before, after):
                at_ms, automatic = milliseconds(line["timestamp"]), sizes.get("trigger") == "auto"
                found.append(Compaction(place.session_id, at_ms, before, after, automatic))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # a text that happens to hold the word
        at = data.find(b'"compact_boundary"', stop, end)
    return found


def _are_tokens(*counts: object) -> bool:
    return all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts)


def model_was_switched(path: str) -> bool:
    """Whether the person chose a model since the last step (`/model`, 2.1.330, 2026-11-23)."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            data = file.read(_TAIL)
    except (OSError, InputError):
        return False
    return data.rfind(b"<command-name>/model<") > data.rfind(_MARK)
