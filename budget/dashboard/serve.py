"""The page on loopback, for the one person who has its address, and kept up to date.

Other programs and other people's pages can reach a loopback port, too: so the address holds a
token, the Host header must be ours (a foreign name that resolves to 127.0.0.1 is not), and what
another origin asks for is refused. It answers GET and HEAD on three exact paths. A client that
never ends its request or never reads the answer holds one of a few threads for some seconds.
"""

import hmac
import json
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from budget import paths, pipeline, system
from budget.dashboard import facts, render
from budget.errors import BudgetError
from budget.watch.follow import Follower

CONNECTIONS = 32
STREAMS = 8
"""How many pages are told of news at a time; each holds a connection."""
REQUEST_S = 10.0
"""For a whole request and its answer."""
HEAD_BYTES = 16_384
FRESH_S = 60.0
"""So often a page is told to look again without news: budgets reset, rolling windows move on."""
_ALIVE_S = 10.0
_LOOK_S = 0.5
_SETTLE_S = 0.15
_PAUSE_S = 1.0
_SHARE = 10
"""Between two news there is so many times the time that reading one took: a large ledger is read
less often, and following it takes a tenth of a core at most."""


class News:
    """Counts what happened; any number of threads wait for the next."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self.number = 0
        self.ended = False
        self.pause_s = _PAUSE_S
        """At least so long between two."""

    def tell(self) -> None:
        with self._told:
            self.number += 1
            self._told.notify_all()

    def end(self) -> None:
        with self._told:
            self.ended = True
            self._told.notify_all()

    def wait(self, seen: int, for_s: float) -> int:
        """The number of the last news, once it is another than `seen` or time is up."""
        with self._told:
            self._told.wait_for(lambda: self.ended or self.number != seen, for_s)
            return self.number


class _Pulse:
    """Tells the news of what is booked, once a second or less often."""

    def __init__(self, scope: facts.Scope, news: News) -> None:
        self._news = news
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._follower = Follower(paths.state_folder(scope.env), lambda _: self._changed.set())
        self._follower.follow_configs(
            layer.file for layer in pipeline.layers(scope.env, scope.project)
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._follower.start()
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._changed.set()
        self._follower.stop()

    def _run(self) -> None:
        while True:
            self._changed.wait(FRESH_S)
            if self._ended.wait(_SETTLE_S):
                return
            self._changed.clear()
            self._news.tell()
            if self._ended.wait(self._news.pause_s):
                return


class _Pages:
    """What is told at one moment; asked for again before any news, it is told again."""

    def __init__(self, scope: facts.Scope, news: News, now_ms: Callable[[], int]) -> None:
        self._scope, self._news, self._now_ms = scope, news, now_ms
        self._lock = threading.Lock()
        self._known: tuple[int, dict[str, Any]] | None = None

    def told(self) -> dict[str, Any]:
        with self._lock:
            number = self._news.number
            if self._known is None or self._known[0] != number:
                began = time.monotonic()
                told = facts.collect(self._scope, self._now_ms())
                self._news.pause_s = max(_PAUSE_S, _SHARE * (time.monotonic() - began))
                self._known = (number, {**told, "number": number, "served": True})
            return self._known[1]


class Server(ThreadingHTTPServer):
    """One page, on 127.0.0.1 only."""

    daemon_threads = True
    block_on_close = False
    # On Windows it would let another program take the port over.
    allow_reuse_address = not system.is_windows()

    def __init__(self, scope: facts.Scope, now_ms: Callable[[], int], port: int = 0) -> None:
        """Raises `BudgetError` for a port that cannot be had."""
        self.token = secrets.token_urlsafe(24)
        self.news = News()
        self.pages = _Pages(scope, self.news, now_ms)
        self.streams = threading.BoundedSemaphore(STREAMS)
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._deadlines: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise BudgetError(
                f"Port {port} cannot be had: {error.strerror}."
                " Without --port any free one is taken."
            ) from error
        self._pulse = _Pulse(scope, self.news)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def address(self) -> str:
        return f"{self.origin}/{self.token}/"

    def start(self) -> None:
        """Answers from now on, on threads of its own."""
        self._pulse.start()
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()
        threading.Thread(target=self._reap, daemon=True).start()

    def end(self) -> None:
        """Ends every answer and gives the port back."""
        self.news.end()
        self.shutdown()
        self.server_close()
        self._pulse.end()
        self._cut(float("inf"))

    # -- connections ---------------------------------------------------------------------------

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._guard:
            self._deadlines[request] = time.monotonic() + REQUEST_S
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._deadlines.pop(request, None)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that fails is the client's affair."""

    def keep(self, request: socket.socket) -> None:
        """A stream of news has no deadline as a whole."""
        with self._guard:
            self._deadlines[request] = float("inf")

    def _reap(self) -> None:
        while not self.news.ended:
            self._cut(time.monotonic())
            time.sleep(0.5)

    def _cut(self, before: float) -> None:
        with self._guard:
            late = [request for request, at in self._deadlines.items() if at <= before]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Head:
    """The first lines of a request, and no more than so many bytes of them."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = HEAD_BYTES

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise LineTooLong("request")
        return line

    def close(self) -> None:
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = REQUEST_S
    server_version = "budget"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = _Head(self.rfile)  # type: ignore[assignment]

    def handle(self) -> None:
        with suppress(OSError, LineTooLong):
            super().handle()

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._plain(*refusal)
            return
        name = self._asked()
        if name is None:
            self._plain(HTTPStatus.NOT_FOUND, "Nothing is here. The address holds a token.")
        elif name == "events":
            self._stream()
        else:
            self._told(name)

    do_HEAD = do_GET  # noqa: N815

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        hosts = self.headers.get_all("Host") or []
        port = self.server.server_port
        if len(hosts) != 1 or hosts[0] not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return HTTPStatus.MISDIRECTED_REQUEST, "This is not the host that was asked for."
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if origin not in (None, f"http://{hosts[0]}") or site not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN, "Another origin gets no answer here."
        return None

    def _asked(self) -> str | None:
        """Which of our pages: `""`, `data` or `events`; None for any other path.

        As it was sent: nothing is decoded, joined or shortened, so nothing but the exact path fits.
        """
        asked = self.requestline.split()[1].encode("latin-1", "replace")
        found = None
        for name in ("", "data", "events"):
            if hmac.compare_digest(asked, f"/{self.server.token}/{name}".encode()):
                found = name
        return found

    def _told(self, name: str) -> None:
        try:
            told = self.server.pages.told()
        except BudgetError as error:
            self._plain(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return
        if name == "data":
            self._send(HTTPStatus.OK, "application/json", json.dumps(told))
        else:
            csp = f"{render.policy(served=True)}; frame-ancestors 'none'"
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", render.page(told, True), csp)

    def _stream(self) -> None:
        """Says the number of the last news, each time there is another.

        A client that reads slowly misses numbers, and none is kept for it.
        """
        if self.command == "HEAD":
            self._head(HTTPStatus.OK, "text/event-stream")
            return
        if not self.server.streams.acquire(blocking=False):
            self._plain(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open.")
            return
        news = self.server.news
        try:
            self._head(HTTPStatus.OK, "text/event-stream")
            self.server.keep(self.connection)
            seen, silent_s = -1, 0.0
            while not news.ended and not self._is_gone():
                number = news.wait(seen, _LOOK_S)
                silent_s += _LOOK_S
                if number != seen:
                    self.wfile.write(f"event: news\ndata: {number}\n\n".encode())
                elif silent_s >= _ALIVE_S:
                    self.wfile.write(b":\n\n")
                else:
                    continue
                seen, silent_s = number, 0.0
        finally:
            self.server.streams.release()

    def _is_gone(self) -> bool:
        """Whether the page was closed: a stream's client has nothing more to say but that."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses: a method that is not ours, a head that is too long."""
        self._plain(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _plain(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text + "\n")

    def _send(self, status: HTTPStatus, kind: str, text: str, csp: str = "") -> None:
        body = text.encode()
        self._head(status, kind, len(body), csp)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(
        self, status: HTTPStatus, kind: str, length: int | None = None, csp: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header(
            "Content-Security-Policy", csp or "default-src 'none'; frame-ancestors 'none'"
        )
        for name, value in (
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Nothing is logged: the address holds the token."""
