"""Bills answers as the API would: what the client marks is written to a cache and read from it.

Tokens are bytes of compact JSON by 2.7. A request's prompt is its tools, its system prompt and its
messages, in this order, block by block. The longest beginning that an earlier request has written
is read; from there up to the request's last mark it is written; what follows is plain input.
Documented rules of the API; two of them are left out, because they change nothing here: a cached
beginning is searched for at most 20 blocks before a mark, and one below 1,024 tokens is not cached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from .answer import Answer, Usage
from .request import Request, Script, blocks

TTL_S = {"5m": 300.0, "1h": 3600.0}
# A line about the client that differs in every request; the API takes it out.
_HEADER = "x-anthropic-billing-header"


def tokens(size: int) -> int:
    """Tokens in so many bytes, rounded up."""
    return -(-size * 10 // 27)


class Block(NamedTuple):
    """One piece of a prompt."""

    size: int
    key: str
    """Names this block and all before it."""
    ttl: str
    """`5m` or `1h` where it is marked; empty where it is not."""


class Meter:
    """The cache of one account, and the usage of each request by it.

    `age` makes time pass: what was written or read before lies so much further back.
    """

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, str]] = {}
        self._passed_s = 0.0

    def age(self, seconds: float) -> None:
        self._passed_s += seconds

    def billing(self, script: Script) -> Script:
        """The same script; each of its answers states what it used."""

        def billed(request: Request) -> Answer:
            answer = script(request)
            return answer._replace(usage=self.usage(request.body, answer))

        return billed

    def usage(self, body: Mapping[str, Any], answer: Answer) -> Usage:
        """What a request uses; what it marks is cached from now on."""
        now = time.monotonic() + self._passed_s
        prompt = list(blocks_of(body))
        marks = [number for number, block in enumerate(prompt) if block.ttl]
        last = marks[-1] if marks else -1
        warm = [n for n in range(last + 1) if self._is_warm(prompt[n].key, now)]
        cached = warm[-1] if warm else -1
        for number in {*marks, *([cached] if warm else [])}:
            ttl = prompt[number].ttl or self._used[prompt[number].key][1]
            self._used[prompt[number].key] = (now, ttl)
        read = _size(prompt[: cached + 1])
        written = _size(prompt[: last + 1]) - read
        hour = bool(marks) and prompt[last].ttl == "1h"
        said = len(answer.text.encode()) + sum(len(_json(call.input)) for call in answer.calls)
        return Usage(
            input_tokens=_size(prompt) - read - written,
            output_tokens=tokens(said),
            cache_read=read,
            cache_5m=0 if hour else written,
            cache_1h=written if hour else 0,
        )

    def _is_warm(self, key: str, now: float) -> bool:
        at, ttl = self._used.get(key, (float("-inf"), "5m"))
        return now - at < TTL_S[ttl]


def blocks_of(body: Mapping[str, Any]) -> Iterator[Block]:
    """The prompt of a request, in the order in which the API caches it."""
    system = [each for each in blocks({"content": body.get("system", ())}) if not _is_header(each)]
    pieces = [
        *(("", tool) for tool in body.get("tools", ())),
        *(("system", block) for block in system),
        *((message["role"], block) for message in body["messages"] for block in blocks(message)),
    ]
    key = sha256()
    for role, piece in pieces:
        mark = piece.get("cache_control")
        text = _json({name: value for name, value in piece.items() if name != "cache_control"})
        key.update(f"{role}\0".encode() + text)
        yield Block(len(text), key.hexdigest(), mark.get("ttl", "5m") if mark else "")


def _is_header(block: Mapping[str, Any]) -> bool:
    return str(block.get("text", "")).startswith(_HEADER)


def _size(prompt: list[Block]) -> int:
    return tokens(sum(block.size for block in prompt))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
