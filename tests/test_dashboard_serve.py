"""Who has the address on this machine gets the page, and nobody else gets anything."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from budget.dashboard import serve
from budget.pricing import load_table
from tests.dashboards import NOW_MS, Place, fill, work
from tests.test_dashboard import scope


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(Path(tmp_path_factory.mktemp("served")))
    fill(made, days=2)
    return made


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[serve.Server]:
    made = serve.Server(scope(place), lambda: NOW_MS)
    made.start()
    yield made
    made.end()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, place: Place) -> Iterator[serve.Server]:
    """A server with little patience."""
    monkeypatch.setattr(serve, "REQUEST_S", 1.0)
    monkeypatch.setattr(serve._Handler, "timeout", 1.0)
    made = serve.Server(scope(place), lambda: NOW_MS)
    made.start()
    yield made
    made.end()


def dial(server: serve.Server, **options: int) -> socket.socket:
    connection = socket.socket()
    for name, value in options.items():
        connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.server_port))
    return connection


def request(server: serve.Server, path: str, method: str = "GET", *lines: str) -> bytes:
    heads = lines or (f"Host: 127.0.0.1:{server.server_port}",)
    return "\r\n".join([f"{method} {path} HTTP/1.1", *heads, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionError):
        while some := connection.recv(65_536):
            found += some
    return found


def ask(server: serve.Server, path: str, method: str = "GET", *lines: str) -> Answer:
    with closing(dial(server)) as connection:
        connection.sendall(request(server, path, method, *lines))
        return parsed(read_all(connection))


def parsed(answer: bytes) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


def test_the_address_answers_with_the_page_and_its_data(server: serve.Server) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{32}/", server.address)
    page = ask(server, f"/{server.token}/")
    assert page.status == 200
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    data = ask(server, f"/{server.token}/data")
    told = json.loads(data.body)
    assert (data.status, told["served"], told["number"]) == (200, True, 0)
    local = ask(server, f"/{server.token}/", "GET", f"Host: localhost:{server.server_port}")
    assert local.status == 200
    head = ask(server, f"/{server.token}/", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == page.headers["Content-Length"]


@pytest.mark.parametrize("name", ["", "data", "events", "nothing"])
def test_no_answer_is_kept_framed_or_passed_on(server: serve.Server, name: str) -> None:
    headers = ask(server, f"/{server.token}/{name}", "HEAD").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not any(server.token in value for value in headers.values())
    assert "Access-Control-Allow-Origin" not in headers
    assert "Set-Cookie" not in headers


PATHS = (
    "/",
    "/{token}",
    "/{almost}/",
    "/{almost}/data",
    "/{longer}/",
    "/{lower}/",
    "//{token}/",
    "/{token}//",
    "/{token}/./data",
    "/{token}/../{token}/",
    "/x/../{token}/",
    "/{token}/data/",
    "/{token}/data?x",
    "/{token}/?x",
    "/{token}/#x",
    "/{token}/%64ata",
    "/%2f{token}/",
    "/{token}/data%00",
    "/{token}/../../etc/passwd",
    "/{token}/..%2f..%2fetc/passwd",
    "/{token}/page/page.js",
    "/{token}/ledger.db",
    "\\{token}\\",
    "{token}/",
    "http://127.0.0.1/{token}/",
    "/token/{token}/",
    "/\xff/",
)


@pytest.mark.parametrize("path", PATHS)
def test_any_other_path_finds_nothing(server: serve.Server, path: str) -> None:
    token = server.token
    almost = token[:-1] + ("a" if token[-1] != "a" else "b")
    lower = token.lower() if token.lower() != token else token.upper()
    asked = path.format(token=token, almost=almost, longer=token + "a", lower=lower)
    answer = ask(server, asked)
    assert answer.status == 404
    assert answer.body == b"Nothing is here. The address holds a token.\n"


HOSTS = (
    ("Host: evil.example",),
    ("Host: evil.example:{port}",),
    ("Host: 127.0.0.1",),
    ("Host: 127.0.0.1:1",),
    ("Host: 127.0.0.1.:{port}",),
    ("Host: 127.0.0.1.nip.io:{port}",),
    ("Host: [::1]:{port}",),
    ("Host: 0.0.0.0:{port}",),
    ("Host:",),
    ("X-Forwarded-Host: 127.0.0.1:{port}",),
    ("Host: 127.0.0.1:{port}", "Host: evil.example"),
)


@pytest.mark.parametrize("name", ["", "data", "events"])
@pytest.mark.parametrize("lines", HOSTS)
def test_a_foreign_host_gets_no_answer(
    server: serve.Server, lines: tuple[str, ...], name: str
) -> None:
    heads = [line.format(port=server.server_port) for line in lines]
    assert ask(server, f"/{server.token}/{name}", "GET", *heads).status == 421


FOREIGN = (
    "Origin: https://evil.example",
    "Origin: null",
    "Origin: http://127.0.0.1:1",
    "Origin: https://127.0.0.1:{port}",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
)


@pytest.mark.parametrize("name", ["", "data", "events"])
@pytest.mark.parametrize("line", FOREIGN)
def test_another_origin_gets_no_answer(server: serve.Server, line: str, name: str) -> None:
    port = server.server_port
    heads = (f"Host: 127.0.0.1:{port}", line.format(port=port))
    assert ask(server, f"/{server.token}/{name}", "GET", *heads).status == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_its_own_origin_is_none_of_them(server: serve.Server, site: str) -> None:
    host = f"127.0.0.1:{server.server_port}"
    heads = (f"Host: {host}", f"Origin: http://{host}", f"Sec-Fetch-Site: {site}")
    assert ask(server, f"/{server.token}/data", "GET", *heads).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_other_methods_are_refused(server: serve.Server, method: str) -> None:
    answer = ask(server, f"/{server.token}/", method)
    assert answer.status == 501
    assert len(answer.body) < 200


def test_a_head_without_end_is_refused(server: serve.Server) -> None:
    host = f"Host: 127.0.0.1:{server.server_port}"
    assert ask(server, f"/{server.token}/", "GET", host, "X: " + "y" * 20_000).status == 431
    many = [f"X-{number}: y" for number in range(90)]
    assert ask(server, f"/{server.token}/", "GET", host, *many).status == 200
    assert ask(server, f"/{server.token}/", "GET", host, *many, *many).status == 431
    with closing(dial(server)) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /" + b"x" * 100_000)
        assert read_all(connection) == b""


def test_it_listens_on_loopback_only(server: serve.Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(OSError, match="refused"), socket.socket() as other:
        other.connect(("127.0.0.2", server.server_port))


# -- clients that mean harm, or are slow -----------------------------------------------------------


def test_a_client_that_never_ends_its_request_is_cut_off(hasty: serve.Server) -> None:
    with closing(dial(hasty)) as connection:
        answered = b""
        connection.sendall(b"GET / HTTP/1.1\r\n")
        connection.settimeout(0.2)
        until = time.monotonic() + 20
        ended = False
        while not ended and time.monotonic() < until:
            try:
                connection.sendall(b"X: y\r\n")  # a byte now and then: never silent for long
                ended = not connection.recv(1)
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
        assert ended
        assert answered == b""


def test_clients_that_never_read_hold_it_for_a_moment_only(hasty: serve.Server) -> None:
    asked = request(hasty, f"/{hasty.token}/")
    idle = [dial(hasty, SO_RCVBUF=4_096) for _ in range(serve.CONNECTIONS)]
    for connection in idle:
        connection.sendall(asked)
    until = time.monotonic() + 20
    answer = b""
    while not answer and time.monotonic() < until:
        with closing(dial(hasty)) as connection, suppress(ConnectionError):
            connection.sendall(asked)
            answer = read_all(connection)
        time.sleep(0.1)
    assert parsed(answer).status == 200
    for connection in idle:
        connection.close()


def test_more_connections_than_it_has_places_for_are_closed_at_once(server: serve.Server) -> None:
    idle = [dial(server) for _ in range(serve.CONNECTIONS)]
    for connection in idle:
        connection.sendall(b"GET")
    time.sleep(0.2)
    with closing(dial(server)) as connection, suppress(ConnectionError):
        connection.sendall(request(server, f"/{server.token}/data"))
        assert connection.recv(10) == b""
    for connection in idle:
        connection.close()
    until = time.monotonic() + 20
    status = 0
    while status != 200 and time.monotonic() < until:
        with suppress(OSError, IndexError):
            status = ask(server, f"/{server.token}/data").status
    assert status == 200


# -- news ------------------------------------------------------------------------------------------


class Stream:
    """An open stream of news."""

    def __init__(self, server: serve.Server) -> None:
        self._connection = dial(server)
        self._connection.sendall(request(server, f"/{server.token}/events"))
        self._waiting = b""
        self.status = int((self._line() or b"").split()[1])
        while self._line():
            pass

    def _line(self) -> bytes | None:
        """None at the end."""
        while b"\n" not in self._waiting:
            some = self._connection.recv(65_536)
            if not some:
                return None
            self._waiting += some
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line.strip()

    def next(self, within_s: float = 20.0) -> int | None:
        """The number of the next news; None when there is none in time."""
        self._connection.settimeout(within_s)
        with suppress(TimeoutError):
            while (line := self._line()) is not None:
                if line.startswith(b"data: "):
                    return int(line[6:])
        return None

    def close(self) -> None:
        self._connection.close()


def test_what_is_booked_is_news_and_reading_it_is_none(place: Place, server: serve.Server) -> None:
    stream = Stream(server)
    assert stream.next() is not None
    before = json.loads(ask(server, f"/{server.token}/data").body)
    ledger = place.ledger()
    with ledger.transaction():
        ledger.book(work(NOW_MS, 1, seed=9), load_table())
    number = stream.next()
    assert number is not None
    # The steps may have been on their way still when the first news was told.
    while (told := json.loads(ask(server, f"/{server.token}/data").body)) and (
        told["total"]["steps"] == before["total"]["steps"]
    ):
        assert stream.next() is not None
    assert told["total"]["steps"] == before["total"]["steps"] + 49
    ledger.close()
    stream.close()
    quiet = Stream(server)
    while quiet.next(1.6) is not None:
        pass
    for _ in range(3):
        server.pages._known = None
        assert ask(server, f"/{server.token}/data").status == 200
    assert quiet.next(1.6) is None, "what the page reads must not call for reading it again"
    quiet.close()


def settled(server: serve.Server) -> None:
    """The streams of clients that are gone are given up."""
    until = time.monotonic() + 20
    while server.streams._value < serve.STREAMS:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_only_so_many_streams_are_open(server: serve.Server) -> None:
    settled(server)
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(Stream(server))) for _ in range(serve.STREAMS)]
        assert [stream.status for stream in streams] == [200] * serve.STREAMS
        assert stack.enter_context(closing(Stream(server))).status == 503
        assert ask(server, f"/{server.token}/data").status == 200


def test_a_page_that_is_closed_makes_room_for_another(server: serve.Server) -> None:
    for _ in range(3):
        settled(server)
        opened = [Stream(server) for _ in range(serve.STREAMS // 2)]
        assert {stream.status for stream in opened} == {200}
        for stream in opened:
            stream.close()


def test_a_stream_that_is_not_read_keeps_no_news_from_others(server: serve.Server) -> None:
    settled(server)
    with closing(Stream(server)), closing(Stream(server)) as awake:
        last = server.news.number + 2_000
        for _ in range(2_000):
            server.news.tell()
        number = 0
        while number < last:
            found = awake.next()
            assert found is not None
            number = found


# -- the command -----------------------------------------------------------------------------------


def test_ctrl_c_ends_it_and_gives_the_port_back(place: Place) -> None:
    words = (sys.executable, "-m", "budget", "dashboard", "--serve")
    process = subprocess.Popen(
        words, env=place.env, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    address = process.stdout.readline().split()[-1].decode()
    assert process.stdout.readline().endswith(b"Ctrl-C ends it.\n")
    port = int(address.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.sendall(b"GET ")
        taken = place.run("dashboard", "--serve", "--port", str(port))
        assert taken.returncode == 3
        assert f"Port {port} cannot be had" in taken.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert process.stderr.read() == b""
    process.stdout.close()
    process.stderr.close()
    with pytest.raises(OSError, match="refused"), socket.socket() as other:
        other.connect(("127.0.0.1", port))
