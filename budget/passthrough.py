"""Runs a program whose input and output pass through untouched, and listens to what it prints."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from json import loads
from types import FrameType
from typing import Any, NamedTuple

from budget import system
from budget.result import Result, result_of

_BLOCK = 65_536
_TAIL = 4_096
_LARGEST_JSON = 64 * 1024 * 1024
# How long a client in our process group has to end by the same Ctrl-C before it is told again.
_CTRL_C_S = 1.0


class Ended(NamedTuple):
    """How a program ended."""

    exit_code: int
    """128 + the signal for one that was ended by a signal, as shells have it."""
    signal: int
    """The signal that we were sent meanwhile; 0 for none."""


class Ear:
    """Picks the result messages out of what the client prints, and keeps its last words."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._rest = b""
        self._broken = False
        self.tail = b""
        self.results: list[Result] = []

    def hear(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-_TAIL:]
        if self._output == "stream-json":
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line)
        elif self._output == "json" and not self._broken:
            self._rest += data
            self._broken = len(self._rest) > _LARGEST_JSON

    def end(self) -> None:
        if self._output != "text" and not self._broken:
            self._take(self._rest)

    def _take(self, text: bytes) -> None:
        if b'"result"' not in text:
            return
        try:
            told: Any = loads(text)
        except (ValueError, RecursionError):
            return
        # `--output-format json --verbose` prints all messages as one list (2.1.330).
        for message in told if isinstance(told, list) else [told]:
            result = result_of(message) if isinstance(message, dict) else None
            if result:
                self.results.append(result)


def run(
    command: Sequence[str],
    folder: str,
    env: dict[str, str],
    umask: int,
    hear: Callable[[bytes], None],
) -> Ended:
    """Runs the program to its end. Raises `OSError` when it cannot be started."""
    sys.stdout.flush()
    own_group = not system.is_windows() and not (sys.stdin and sys.stdin.isatty())
    more: dict[str, Any] = {"umask": umask} if not system.is_windows() else {}
    if own_group:
        more["process_group"] = 0  # signals of the terminal come through us, and once
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, **more)
    assert process.stdout is not None
    with process, _passed_on(process, 0.0 if own_group else _CTRL_C_S) as received:
        target: int | None = sys.stdout.fileno()
        while block := os.read(process.stdout.fileno(), _BLOCK):
            hear(block)
            target = _written(block, target)
            if target is None:
                process.stdout.close()  # as without us: the client learns that nobody listens
                break
        code = process.wait()
    return Ended(128 - code if code < 0 else code, received[-1] if received else 0)


def _written(block: bytes, target: int | None) -> int | None:
    """Writes all of a block; None when nobody reads any more."""
    while block and target is not None:
        try:
            block = block[os.write(target, block) :]
        except BrokenPipeError:
            return None
    return target


@contextmanager
def _passed_on(process: subprocess.Popen[bytes], delay_s: float) -> Iterator[list[int]]:
    """Signals that would end us go to the program; what was received is in the list."""
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGINT and delay_s:
            threading.Timer(delay_s, _signal, (process, number)).start()
        else:
            _signal(process, number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    if hasattr(signal, "SIGPIPE"):
        before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is not None:
        return
    if system.is_windows():
        # Windows sends a Ctrl-C to every program of the console itself, and knows no other signal.
        process.terminate()
    else:
        process.send_signal(number)
