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
from functools import lru_cache
from io import FileIO
from json import loads as json_loads
from typing import Any, NamedTuple

from budget.errors import InputError
from budget.files import open_regular
from budget.model import MAX_TOKENS, ClientTotal, Compaction, Step
from budget.steps import Found, Writer, clean, milliseconds, stated_picousd, step_of

# Small enough to stay in the processor's cache while it is searched.
CHUNK = 512 * 1024
MAX_LINE = 16 * 1024 * 1024
_HEAD = 256
# Every usage has it, and nothing shorter can be searched for as fast.
_MARK = b'"output_tokens"'
# A usage with objects in it and in these (its iterations), not deeper: another is never taken for a
# repetition.
_OBJECT = rb"\{[^{}]*+\}"
_USAGE = re.compile(rb'"usage":\{(?:[^{}]++|\{(?:[^{}]++|%b)*+\})*+\}' % _OBJECT)
# How the client begins the line of a prompt or of a tool's result (2.1.330): most bytes are theirs.
_USER = re.compile(
    rb'\{"parentUuid":(?:null|"[^"\\]{0,100}"),"isSidechain":(?:true|false),'
    rb'(?:"agentId":"[^"\\]{0,100}",)?"promptId":"([^"\\]{1,99})","type":"user",'
)
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
        # One buffer for the whole file: a new one for each chunk costs more than reading it.
        data, size, done = bytearray(CHUNK), 0, False
        while not done:
            added = _fill(file, data, size)
            size += added
            done = not added
            unended = int(done and finished and _is_whole(data[:size]))
            data[size : size + unended] = b"\n" * unended
            size += unended
            end = data.rfind(b"\n", 0, size) + 1
            bad_lines = 0
            steps: list[Step] = []
            searched = 0
            repeated = _Repeated()
            between = _Between(prompt_id)
            for start, at, stop in _usage_lines(data, end):
                if stop - start > MAX_LINE:
                    bad_lines += 1
                    continue
                if searched < start:
                    between.look(data, searched, start)
                    prompt_id = between.prompt_id
                searched = stop + 1
                if repeated.skips(data, start, at, stop):
                    continue
                line = data[start:stop]
                try:
                    found = decode(line, writer, prompt_id)
                except _DAMAGED:
                    bad_lines += 1
                    continue
                if found is None:
                    between.others += line + b"\n"
                else:
                    same_step = found.steps[0].message_id == message_id
                    tool_use_ids = f"{tool_use_ids} {found.tools}" if same_step else found.tools
                    message_id = found.steps[0].message_id
                    steps += found.steps
                    repeated.remember(message_id, line)
            for start, stop in repeated.skipped:
                try:
                    found = decode(data[start:stop], writer, prompt_id)
                except _DAMAGED:
                    bad_lines += 1
                    continue
                tool_use_ids = f"{tool_use_ids} {found.tools if found else ''}"
            tool_use_ids = tool_use_ids.strip()
            between.look(data, searched, end)
            if between.prompt_id != prompt_id:
                prompt_id, tool_use_ids = between.prompt_id, NOT_ANSWERED
            offset += end - unended
            if end:
                tail = _checksum(data[max(0, end - _HEAD) : end])
            client_totals = _cost_states(between.others, place)
            compactions = _compactions(between.others, place)
            data[: size - end] = data[end:size]
            size -= end
            if size > MAX_LINE:
                prompt_id = _last_prompt(data, 0, size) or prompt_id
                told_usage = data.find(_MARK, 0, size) != -1
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
                compactions,
            )


def _fill(file: FileIO, data: bytearray, size: int) -> int:
    """Reads on behind the first `size` bytes; how many bytes. What holds a long line grows."""
    if len(data) < size + CHUNK // 2 + 1:
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
    # The bytes before the offset: a file that was rewritten may begin alike.
    length = int(cursor.tail.partition(":")[0] or 1)
    file.seek(cursor.offset - length)
    tail = file.read(length)
    return tail.endswith(b"\n") and cursor.tail in ("", _checksum(tail))


def _parsed(line: bytes | bytearray) -> Any:
    try:
        return json_loads(line)
    except UnicodeDecodeError:
        return json_loads(line.decode("utf-8", "replace"))


def _is_whole(line: bytes | bytearray) -> bool:
    try:
        return isinstance(_parsed(line), dict)
    except (ValueError, RecursionError):
        return False


class _Repeated:
    """Knows a line that says nothing new: the same message id, with the same usage to the byte.

    A step is written as several such lines. Decoding them is most of the work of an import. Those
    of the last step are kept: they may tell of further tool calls.
    """

    def __init__(self) -> None:
        self._id = b""
        self._line = bytearray()
        self._usage: bytes | bytearray | None = None
        self._before = 0
        """Bytes of the usage before `_MARK`."""
        self.skipped: list[tuple[int, int]] = []

    def remember(self, message_id: str, line: bytearray) -> None:
        self._id = b'"id":"%s"' % message_id.encode()
        self._line, self._usage = line, None
        self.skipped = []

    def skips(self, data: bytearray, start: int, at: int, stop: int) -> bool:
        """Whether the line `data[start:stop]`, with `_MARK` at `at`, need not be decoded."""
        # The first id of a line is the message's: what it says of others comes later.
        if not self._id or not data.startswith(self._id, data.find(b'"id":"', start, stop)):
            return False
        if self._usage is None:
            found = _USAGE.match(self._line, max(0, self._line.rfind(b'"usage":{')))
            self._usage = found[0] if found else bytearray()
            self._before = found[0].find(_MARK) if found else 0
        if not self._usage or not (
            data.startswith(self._usage, at - self._before)
            or data.find(self._usage, start, stop) != -1
        ):
            return False
        self.skipped.append((start, stop))
        return True


def _usage_lines(data: bytearray, end: int) -> Iterator[tuple[int, int, int]]:
    """Where the lines of `data[:end]` that name a usage start, name it first, and end."""
    done = 0
    while (at := data.find(_MARK, done, end)) != -1:
        start = data.rfind(b"\n", done, at) + 1 or done
        stop = data.find(b"\n", at)
        yield start, at, stop
        done = stop + 1


class _Between:
    """What the lines between those of steps tell: the prompt, and what the client says itself.

    The first keys of most tell what they are; what follows them need not be searched.
    """

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.others = bytearray()
        """The lines that are no prompt and no tool's result, as far as their first keys tell."""

    def look(self, data: bytearray, start: int, end: int) -> None:
        """Takes in the whole lines of `data[start:end]`."""
        while start < end:
            user = _USER.match(data, start, end)
            if user:
                self.prompt_id = _prompt(user[1])
                start = data.find(b"\n", start, end) + 1
                continue
            # Up to the next line that may be of that kind; this line too when it says so later on.
            at = data.find(b'"type":"user"', start, end)
            stop = end if at == -1 else data.rfind(b"\n", start, at) + 1 or data.find(b"\n", at) + 1
            self.prompt_id = _last_prompt(data, start, stop) or self.prompt_id
            self.others += data[start:stop]
            start = stop


@lru_cache(maxsize=16)
def _prompt(told: bytes) -> str:
    return clean(told.decode("utf-8", "replace"))


def _last_prompt(data: bytearray, start: int, end: int) -> str:
    mark = b'"promptId":"'
    at = data.rfind(mark, start, end)
    if at == -1:
        return ""
    at += len(mark)
    end = data.find(b'"', at, min(at + 100, end))
    return "" if end == -1 else _prompt(bytes(data[at:end]))


def _skip_line(file: FileIO, length: int, edge: bytes, told: bool) -> tuple[int, bool]:
    """Passes over a line too long to hold: its length, and whether it told of a usage.

    Of what was read of it: the length, the last bytes, and whether they told of one. The length
    is 0 while the line is unfinished.
    """
    while block := file.read(CHUNK):
        newline = block.find(b"\n")
        piece = block if newline == -1 else block[: newline + 1]
        told = told or _MARK in edge + piece
        edge = piece[-16:]
        length += len(piece)
        if newline != -1:
            file.seek(newline + 1 - len(block), os.SEEK_CUR)
            return length, told
    return 0, False


def _cost_states(lines: bytearray, place: Place) -> list[ClientTotal]:
    """The client's own total at the end of a stretch: it writes one when a session ends (2.1.330).

    It is cumulative over resumes, so the last one is the highest.
    """
    at = lines.rfind(b'"cost-state"')
    if at == -1:
        return []
    line = lines[lines.rfind(b"\n", 0, at) + 1 : lines.find(b"\n", at)]
    try:
        state = json_loads(line)
        total = stated_picousd(state["totalCostUSD"])
        if state["type"] != "cost-state" or state["sessionId"] != place.session_id:
            return []
    except (ValueError, TypeError, KeyError, RecursionError):
        return []  # a text that happens to hold the words
    return [] if total is None else [ClientTotal(place.session_id, "transcript", 0, 0, total)]


def _compactions(lines: bytearray, place: Place) -> list[Compaction]:
    """The compactions a stretch tells of (`compact_boundary` lines, 2.1.330, 2026-11-23)."""
    found = []
    at = lines.find(b'"compact_boundary"')
    while at != -1:
        stop = lines.find(b"\n", at)
        try:
            line = json_loads(lines[lines.rfind(b"\n", 0, at) + 1 : stop])
            sizes = line["compactMetadata"]
            before, after = sizes["preTokens"], sizes.get("postTokens", 0)
            told = (line["type"], line["subtype"], place.agent_id)
            if told == ("system", "compact_boundary", "") and _are_tokens(before, after):
                at_ms, automatic = milliseconds(line["timestamp"]), sizes.get("trigger") == "auto"
                found.append(Compaction(place.session_id, at_ms, before, after, automatic))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # a text that happens to hold the word
        at = lines.find(b'"compact_boundary"', stop)
    return found


def _are_tokens(*counts: object) -> bool:
    return all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts)


def began_in(path: str, root: str) -> bool:
    """Whether a session began in a folder or below it, by the first lines of its transcript."""
    try:
        with open_regular(path) as file:
            told = _CWD.search(file.read(_FIRST))
        folder = str(json_loads(told[1])) if told else ""
    except (OSError, InputError, ValueError):
        return False
    return folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)


_CWD = re.compile(rb'"cwd":("(?:[^"\\]|\\.)*")')
_FIRST = 256 * 1024
_LATEST = 256 * 1024
"""The last bytes of a transcript: what happened since the last step is in them."""


def model_was_switched(path: str) -> bool:
    """Whether the person chose a model since the last step (`/model`, 2.1.330, 2026-11-23)."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LATEST))
            data = file.read(_LATEST)
    except (OSError, InputError):
        return False
    return data.rfind(b"<command-name>/model<") > data.rfind(_MARK)
