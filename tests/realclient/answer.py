"""What the stub answers, and how it looks on the wire.

Values only; shapes follow the public reference of the Messages API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple


class Usage(NamedTuple):
    """What one answer states that it used, in tokens, and web searches as a count.

    ``extra`` is merged in last, so it can add (``service_tier``, ``speed``, ``inference_geo``) or
    replace keys; a value of ``None`` takes the key out.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_5m: int = 0
    cache_1h: int = 0
    web_search_requests: int = 0
    extra: Mapping[str, object] = {}

    def body(self) -> dict[str, Any]:
        """The final ``usage`` object, as in ``message_delta`` or a plain message."""
        return self._merged(self.output_tokens)

    def placeholder(self) -> dict[str, Any]:
        """The ``usage`` of ``message_start``: one output token, whatever the answer will be."""
        return self._merged(min(1, self.output_tokens))

    def _merged(self, output_tokens: int) -> dict[str, Any]:
        stated: dict[str, object] = {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": self.cache_5m + self.cache_1h,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_5m,
                "ephemeral_1h_input_tokens": self.cache_1h,
            },
            "output_tokens": output_tokens,
            "server_tool_use": {"web_search_requests": self.web_search_requests},
            "service_tier": "standard",
            **self.extra,
        }
        return {key: value for key, value in stated.items() if value is not None}


NO_USAGE = Usage()
STEP_USAGE = Usage(input_tokens=200, output_tokens=200)
STEP_MODEL = "claude-sonnet-5"
STEP_USD = Decimal("0.0024")
"""The price of STEP_USAGE on STEP_MODEL: 200 x 2 USD/M in + 200 x 10 USD/M out."""


class Call(NamedTuple):
    """One tool call: the tool's name and its input."""

    name: str
    input: Mapping[str, object]


class Answer(NamedTuple):
    """What the stub says to one request.

    With calls the stop reason is ``tool_use``, without them ``end_turn``. ``delay_s`` passes before
    the first byte. An ``http_status`` of 400 or more sends an API error and no message; the client
    retries some of them (529) by itself. ``model`` replaces the one the request named, by which the
    client goes on pricing all the same (2.1.330).
    """

    text: str = "ok"
    calls: tuple[Call, ...] = ()
    usage: Usage = STEP_USAGE
    delay_s: float = 0.0
    http_status: int = 200
    model: str | None = None

    @property
    def stop_reason(self) -> str:
        return "tool_use" if self.calls else "end_turn"


def message_body(
    answer: Answer, model: str, message_id: str, tool_ids: list[str]
) -> dict[str, Any]:
    """The whole answer as a plain Messages API object, usage final."""
    content: list[dict[str, Any]] = []
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for call, tool_id in zip(answer.calls, tool_ids, strict=True):
        content.append(
            {"type": "tool_use", "id": tool_id, "name": call.name, "input": dict(call.input)}
        )
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model or model,
        "content": content,
        "stop_reason": answer.stop_reason,
        "stop_sequence": None,
        "usage": answer.usage.body(),
    }


def stream_body(whole: Mapping[str, Any], placeholder: Mapping[str, Any]) -> bytes:
    """The same answer as server-sent events: placeholder usage first, the final usage last."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in _events(whole, placeholder)
    )


def _events(
    whole: Mapping[str, Any], placeholder: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    start = {**whole, "content": [], "stop_reason": None, "usage": placeholder}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(whole["content"]):
        empty: dict[str, Any]
        if block["type"] == "text":
            empty = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
        "usage": whole["usage"],
    }
    yield {"type": "message_stop"}


_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(status: int, text: str = "") -> dict[str, Any]:
    """An API error object for a status."""
    kind = _ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": text or kind}}
