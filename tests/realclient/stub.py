"""A loopback stand-in for the Messages API: a script decides, every request is remembered."""

from __future__ import annotations

import itertools
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .answer import (
    NO_USAGE,
    STEP_MODEL,
    STEP_USAGE,
    STEP_USD,
    Answer,
    Call,
    Usage,
    error_body,
    message_body,
    stream_body,
)
from .request import NOTIFICATION, Request, Script
from .scripts import agent_marker, bash_loop, done, spawn_agents, summary, title

__all__ = [
    "NOTIFICATION",
    "NO_USAGE",
    "STEP_MODEL",
    "STEP_USAGE",
    "STEP_USD",
    "Answer",
    "Call",
    "Request",
    "Script",
    "Stub",
    "Usage",
    "agent_marker",
    "bash_loop",
    "done",
    "spawn_agents",
    "summary",
    "title",
]


class Stub:
    """Serves while its ``with`` block runs, on a free port of 127.0.0.1.

    ``script`` answers conversation steps; ``compaction`` and ``background`` answer the other two
    kinds, by default with no usage, so that totals are the steps' alone. An exception in a script
    becomes an HTTP 400, which the client does not retry, and is raised at the end of the block.
    ``headers`` are added to every answer to a request for a message.
    """

    def __init__(
        self,
        script: Script,
        *,
        compaction: Script | None = None,
        background: Script | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.headers = dict(headers or {})
        self._scripts: dict[str, Script] = {
            "step": script,
            "compaction": compaction or summary(),
            "background": background or title(),
        }
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._errors: list[BaseException] = []
        self._closing = threading.Event()
        self._ids = (f"{secrets.token_hex(4)}{n:06d}" for n in itertools.count(1))
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if error is None and self._errors:
            raise self._errors[0]

    @property
    def url(self) -> str:
        """What to put into ``ANTHROPIC_BASE_URL``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """Every request for a message so far, in order of arrival, with its answer."""
        with self._changed:
            return list(self._requests)

    def steps(self, marker: str | None = None) -> list[Request]:
        """The conversation steps answered with a message: all, or those of one marker."""
        return [
            request
            for request in self.requests
            if request.kind == "step"
            and request.message_id is not None
            and (marker is None or request.marker == marker)
        ]

    def wait_until(self, enough: Callable[[list[Request]], bool], timeout: float = 20.0) -> None:
        """Returns once ``enough`` holds for the requests; else TimeoutError, naming them."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not enough(list(self._requests)):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    seen = ", ".join(f"{r.kind} {r.marker or 'main'}" for r in self._requests)
                    raise TimeoutError(f"not within {timeout} s; requests: {seen or 'none'}")

    def answer(self, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, str, bytes]:
        """Decides, records and encodes one answer: (status, content type, bytes)."""
        request = self._record(headers, body)
        try:
            answer = self._scripts[request.kind](request)
        except Exception as error:  # noqa: BLE001 - told to the test by `fail`
            self.fail(error)
            answer = Answer(http_status=400, text=f"the stub's script failed: {error!r}")
        failed = answer.http_status >= 400
        with self._changed:
            message_id = None if failed else f"msg_{next(self._ids)}"
            tool_ids = [f"toolu_{next(self._ids)}" for _ in answer.calls]
            answered = replace(request, answer=answer, message_id=message_id)
            self._requests[request.index - 1] = answered
            self._changed.notify_all()
        # An event, not a sleep: a stub that closes does not wait for slow answers.
        self._closing.wait(answer.delay_s)
        if message_id is None:
            refusal = error_body(answer.http_status, answer.text)
            return answer.http_status, "application/json", json.dumps(refusal).encode()
        whole = message_body(answer, request.model, message_id, tool_ids)
        if body.get("stream"):
            events = stream_body(whole, answer.usage.placeholder())
            return 200, "text/event-stream", events
        return 200, "application/json", json.dumps(whole).encode()

    def _record(self, headers: dict[str, str], body: dict[str, Any]) -> Request:
        with self._changed:
            request = Request(len(self._requests) + 1, headers, body)
            before = [r for r in self._requests if _thread(r) == _thread(request)]
            step = 1 + sum(r.message_id is not None for r in before)
            attempt = 1 + sum(r.step == step for r in before)
            request = replace(request, step=step, attempt=attempt)
            self._requests.append(request)
            self._changed.notify_all()
            return request

    def fail(self, error: BaseException) -> None:
        """Keeps an error of the stub's own, to be raised at the end of the block."""
        with self._changed:
            self._errors.append(error)


def _thread(request: Request) -> tuple[str | None, ...]:
    """What tells the requests of one thread of conversation from another's."""
    return (request.session_id, request.agent_id, request.marker, request.kind)


class _Server(ThreadingHTTPServer):
    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is its right; anything else is a bug of the stub."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.stub.fail(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self._send(200, "text/plain", b"")

    def do_GET(self) -> None:
        self._send(404, "application/json", json.dumps(error_body(404)).encode())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = urlsplit(self.path).path
        if path == "/v1/messages":
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = self.server.stub.answer(headers, json.loads(raw))
            self._send(*answer, self.server.stub.headers)
        elif path == "/v1/messages/count_tokens":
            self._send(
                200, "application/json", json.dumps({"input_tokens": len(raw) // 4}).encode()
            )
        else:
            self.do_GET()

    def _send(
        self, status: int, kind: str, payload: bytes, more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(payload)))
        # The client writes it into the transcript as ``requestId``.
        self.send_header("request-id", f"req_{secrets.token_hex(8)}")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent: what was asked is in ``Stub.requests``."""
