"""Finds the lines of steps in a stretch of a transcript, as bytes: most lines are never decoded.

Where a line has its first keys, and which bytes repeat: Claude Code 2.1.330, measured 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from budget.steps import clean

# Every usage has it, and nothing shorter can be searched for as fast.
MARK = b'"output_tokens"'
_PROMPT = b'"promptId":"'
_USER = b'"type":"user"'
_USAGE = b'"usage":{'
# What the client asked the API: of these lines the longest, and nothing is told in them.
_REQUEST = b'{"type":"api-request'
# What it added to a prompt itself. These are as many as the answers, and tell nothing either.
_ATTACHMENT = b'"attachment":{'
# The first keys of a line are short: whose line it is, which it follows, and its prompt.
_FIRST_KEYS = 400
# Those of a prompt or a result that was seen before end here, as a rule.
_KNOWN_KEYS = 240
_LONGEST_PROMPT_ID = 100


class Repeated:
    """Knows a line that says nothing new: the same message id, with the same usage to the byte.

    A step is written as several such lines. Decoding them is most of the work of an import. Those
    of the last step are kept: they may tell of further tool calls.
    """

    def __init__(self) -> None:
        self._id = b""
        self._line = bytearray()
        self._usage: bytes | bytearray | None = None
        self._before = 0
        """Bytes of the usage before `MARK`."""
        self.skipped: list[tuple[int, int]] = []

    def remember(self, message_id: str, line: bytearray) -> None:
        self._id = b'"id":"%s"' % message_id.encode()
        self._line, self._usage = line, None
        self.skipped = []

    def skips(self, data: bytearray, start: int, at: int, stop: int) -> bool:
        """Whether the line `data[start:stop]`, with `MARK` at `at`, need not be decoded."""
        # The first id of a line is the message's: what it says of others comes later.
        if not self._id or not data.startswith(self._id, data.find(b'"id":"', start, stop)):
            return False
        if self._usage is None:
            self._usage = _usage(self._line)
            self._before = self._usage.find(MARK)
        if not self._usage or not (
            data.startswith(self._usage, at - self._before)
            or data.find(self._usage, start, stop) != -1
        ):
            return False
        self.skipped.append((start, stop))
        return True


def _usage(line: bytearray) -> bytearray:
    """The bytes of a line's usage; none where it cannot be told where it ends."""
    start = done = max(0, line.rfind(_USAGE))
    depth = 0
    while end := line.find(b"}", done) + 1:
        depth += line.count(b"{", done, end) - 1
        done = end
        if not depth:
            usage = line[start:end]
            # A brace within a text leaves that text open, or follows a backslash.
            is_whole = usage.count(b'"') % 2 == 0 and b"\\" not in usage and MARK in usage
            return usage if is_whole else bytearray()
    return bytearray()


class Lines:
    """Goes through lines for those that may tell of a step, and takes in what the others tell: the
    prompt, and what the client says itself.

    The first keys of most tell that they are no step's; what follows them need not be searched.
    """

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.others = bytearray()
        """The lines that are no prompt and no tool's result, as far as their first keys tell."""
        self._last = prompt_id
        self._keys = _keys(prompt_id)
        """What the first keys of its prompt and of its results end with."""

    def with_usage(self, data: bytearray, end: int) -> Iterator[tuple[int, int, int]]:
        """Where whole lines of `data[:end]` that name a usage start, name it first, and end.

        When one is yielded, those before it are taken in.
        """
        start, find = 0, data.find
        while start < end:
            stop = find(b"\n", start, end)
            if not data.startswith(_REQUEST, start):
                at = find(self._keys, start, start + _KNOWN_KEYS)
                if -1 < at < stop and find(b"{", start + 1, at) == -1:
                    self.prompt_id = self._last
                elif (at := find(MARK, start, stop)) != -1:
                    yield start, at, stop
                else:
                    at = find(_ATTACHMENT, start, start + _FIRST_KEYS)
                    if not -1 < at < stop or find(b"{", start + 1, at) != -1:
                        self._look_closely(data, start, stop + 1)
            start = stop + 1

    def _look_closely(self, data: bytearray, start: int, stop: int) -> None:
        """Takes in a line of another prompt, or of another kind."""
        prompt_id = _answered(data, start, min(stop, start + _FIRST_KEYS))
        if prompt_id:
            self._last, self._keys = prompt_id, _keys(prompt_id)
        else:
            prompt_id = last_prompt(data, start, stop)
            self.others += data[start:stop]
        self.prompt_id = prompt_id or self.prompt_id


def _keys(prompt_id: str) -> bytes:
    # Two newlines are in no line.
    return b'%s%s",%s' % (_PROMPT, prompt_id.encode(), _USER) if prompt_id else b"\n\n"


def _answered(data: bytearray, start: int, end: int) -> str:
    """The prompt of a line whose first keys, up to `end`, say that it is a prompt or a result."""
    stop = data.find(_USER, start, end)
    # Of the line itself: no further object begins before. Within a text quotes have backslashes.
    if stop == -1 or data.find(b"{", start + 1, stop) != -1:
        return ""
    at = data.find(_PROMPT, start, stop)
    return "" if at == -1 else _prompt_at(data, at, stop)


def last_prompt(data: bytearray, start: int, end: int) -> str:
    """The prompt that the last line that names one answers; empty where none does."""
    # Searching backward is slow, and most of the lines that are not known name no prompt.
    if data.find(_PROMPT, start, end) == -1:
        return ""
    return _prompt_at(data, data.rfind(_PROMPT, start, end), end)


def _prompt_at(data: bytearray, at: int, end: int) -> str:
    at += len(_PROMPT)
    stop = data.find(b'"', at, min(at + _LONGEST_PROMPT_ID, end))
    return "" if stop == -1 else _prompt(bytes(data[at:stop]))


@lru_cache(maxsize=16)
def _prompt(told: bytes) -> str:
    return clean(told.decode("utf-8", "replace"))
