"""A terminal of fixed size that a test can type into and read: tmux on a socket of its own."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .client import Home, client_argv
from .stub import STEP_MODEL, Stub

COLUMNS = 120
LINES = 40
PROMPT = "❯"
"""What the client's input box begins with."""


def have_tmux() -> bool:
    return shutil.which("tmux") is not None


class Terminal:
    """Runs ``argv`` in a detached terminal, 120x40 by default, until the ``with`` block ends.

    The program sees ``env`` and nothing else, apart from what tmux adds (TERM, TMUX). Its last
    screen stays readable after it has ended. RuntimeError, with tmux's words, when tmux refuses.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        columns: int = COLUMNS,
        lines: int = LINES,
    ) -> None:
        self._socket = f"realclient-{secrets.token_hex(6)}"
        self._env = dict(env)
        # Options come before the session: a program that ends at once keeps its screen too.
        self._tmux(
            *("start-server", ";", "set", "-g", "remain-on-exit", "on", ";"),
            # No note of tmux's own, which would push the top line out (unknown before tmux 3.3).
            *("set", "-gq", "remain-on-exit-format", "", ";"),
            *("set", "-g", "status", "off", ";", "set", "-s", "escape-time", "0", ";"),
            *("set", "-g", "focus-events", "on", ";"),  # else the client advises it on the screen
            *("set", "-g", "default-terminal", "tmux-256color", ";"),
            *("new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", str(cwd)),
            # One word, so that a semicolon in an argument is not one of tmux's own.
            f"exec {shlex.join(argv)}",
        )
        self._pid = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        self._socket_file = Path(self._tmux("display-message", "-p", "#{socket_path}").strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def type(self, text: str) -> None:
        """Types text literally, without Enter."""
        self._tmux("send-keys", "-l", "--", text)

    def keys(self, *names: str) -> None:
        """Presses keys by tmux's names: ``Enter``, ``Escape``, ``C-c``, ``Up``."""
        self._tmux("send-keys", *names)

    def submit(self, line: str, timeout: float = 20.0) -> None:
        """Types a line, waits until the input box shows it, and presses Enter.

        Without the wait the client may take the Enter for a part of pasted text.
        """
        self.type(line)
        typed = _squeezed(line)
        self._wait(
            lambda screen: typed in _squeezed(screen.rpartition(PROMPT)[2]),
            timeout,
            f"typed {line!r}",
        )
        self.keys("Enter")

    @property
    def ended(self) -> bool:
        """Whether the program has ended by itself or was ended."""
        return self._tmux("display-message", "-p", "#{pane_dead}").strip() == "1"

    def screen(self) -> str:
        """The visible lines, without trailing spaces."""
        return self._tmux("capture-pane", "-p").rstrip()

    def screen_ansi(self) -> str:
        """The visible lines with their colours as escape sequences, for making pictures."""
        return self._tmux("capture-pane", "-p", "-e")

    def wait_for(self, wanted: str | re.Pattern[str], timeout: float = 20.0) -> str:
        """The screen, once it shows the text or the pattern; else TimeoutError with the screen."""
        found = _finder(wanted)
        return self._wait(found, timeout, f"shown {wanted!r}")

    def wait_gone(self, unwanted: str | re.Pattern[str], timeout: float = 20.0) -> str:
        """The screen, once it no longer shows the text; else TimeoutError with the screen."""
        found = _finder(unwanted)
        return self._wait(lambda screen: not found(screen), timeout, f"gone {unwanted!r}")

    def wait_ended(self, timeout: float = 20.0) -> str:
        """The last screen, once the program has ended; else TimeoutError with the screen."""
        self._wait(lambda _: self.ended, timeout, "ended")
        return self.screen()

    def _wait(self, enough: Callable[[str], bool], timeout: float, wish: str) -> str:
        deadline = time.monotonic() + timeout
        while not enough(screen := self.screen()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {wish} after {timeout} s, but:\n{screen}")
            time.sleep(0.03)
        return screen

    def close(self) -> None:
        """Hangs up, waits until the program is gone, ends the terminal. Harmless when repeated."""
        with contextlib.suppress(RuntimeError):
            self._hang_up()
            self._tmux("kill-server")
        self._socket_file.unlink(missing_ok=True)  # tmux leaves it behind

    def _hang_up(self) -> None:
        signals = [signal.SIGKILL, signal.SIGHUP]
        deadline = 0.0
        # tmux reaps the program, so it is asked: to others a dead process may still be listed.
        while not self.ended:
            if time.monotonic() > deadline and signals:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._pid, signals.pop())
                deadline = time.monotonic() + 5.0
            time.sleep(0.02)

    def _command(self, *args: str) -> list[str]:
        # No configuration file, and UTF-8 whatever the locale.
        return ["tmux", "-L", self._socket, "-f", os.devnull, "-u", *args]

    def _tmux(self, *args: str) -> str:
        done = subprocess.run(
            self._command(*args), check=False, env=self._env, capture_output=True, encoding="utf-8"
        )
        if done.returncode:
            raise RuntimeError(f"tmux {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout


def _finder(text: str | re.Pattern[str]) -> Callable[[str], bool]:
    pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
    return lambda screen: pattern.search(screen) is not None


def _squeezed(text: str) -> str:
    """Without white space, which the terminal changes where it wraps."""
    return "".join(text.split())


def open_client(
    home: Home,
    stub: Stub,
    *,
    plugin_dir: Path | None = None,
    settings: Mapping[str, object] | Path | None = None,
    model: str | None = STEP_MODEL,
    args: Sequence[str] = (),
    permission_mode: str | None = "default",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    columns: int = COLUMNS,
    lines: int = LINES,
) -> Terminal:
    """The interactive client in the home's project, ready for input.

    Parameters as in ``run_headless``. The mode is stated because the client's own choice is
    ``auto``: there a check on Anthropic's servers has to pass every Agent call, and a stub has no
    such check (2.1.330 asks the person what to do).
    """
    mode = () if permission_mode is None else ("--permission-mode", permission_mode)
    terminal = Terminal(
        client_argv(plugin_dir=plugin_dir, settings=settings, model=model, args=(*mode, *args)),
        cwd=cwd or home.project,
        env=home.env(stub) if env is None else env,
        columns=columns,
        lines=lines,
    )
    try:
        terminal.wait_for(PROMPT)
    except BaseException:
        terminal.close()
        raise
    return terminal
