"""Reads a view whenever there is news, on a thread of its own, and never too often."""

import threading
import time
from collections.abc import Callable

from budget import paths
from budget.watch.facts import STEPS, Choice, Reader, View
from budget.watch.follow import Follower

LEAST_PAUSE_S = 0.25
"""Between two refreshes: at most four a second."""
_REST = 40
"""So many times the processor time of a refresh passes before the next one: whatever is booked, and
however large the ledgers are, refreshing takes 2.5 % of a core."""
_LONGEST_PAUSE_S = 5.0


class Loop:
    """Calls `show` with each new view, from its own thread; `show` returns when it is shown."""

    def __init__(
        self,
        env: paths.Env,
        here: paths.Project | None,
        choice: Choice,
        show: Callable[[View], None],
        failed: Callable[[BaseException], None],
        steps: int = STEPS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reader = Reader(env, here, steps)
        self._choice = choice
        self._clock = clock
        self._show = show
        self._failed = failed
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._configs = threading.Event()
        self._ended = False
        self._follower = Follower(paths.state_folder(env), self._told)
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)

    def start(self) -> None:
        self._follower.start()
        self._thread.start()

    def stop(self) -> None:
        self._ended = True
        self._hurry.set()
        self._news.set()
        self._thread.join(timeout=5)
        self._follower.stop()

    def choose(self, choice: Choice) -> None:
        """The person looks at something else: shown at once."""
        self._choice = choice
        self.again()

    def again(self) -> None:
        """Something was done that has to be shown at once."""
        self._hurry.set()
        self._news.set()

    def projects(self) -> list[paths.Project]:
        """What there is to choose from. From any thread."""
        return self._reader.projects()

    def _told(self, configs: bool) -> None:
        if configs:  # seldom, so it is shown at once
            self._configs.set()
            self._hurry.set()
        self._news.set()

    def _run(self) -> None:
        try:
            while not self._ended:
                self._refresh()
        except BaseException as error:  # noqa: BLE001 - the screen has to hear of a bug here
            if not self._ended:
                self._failed(error)

    def _refresh(self) -> None:
        self._news.clear()
        self._hurry.clear()
        if self._configs.is_set():
            self._configs.clear()
            self._reader.configs_changed()
        began_s = time.process_time()
        choice = self._choice
        view = self._reader.view(choice, int(self._clock() * 1000))
        self._show(view)
        self._follower.follow_configs(self._reader.config_files(choice))
        self._hurry.wait(LEAST_PAUSE_S)
        rest_s = (time.process_time() - began_s) * _REST - LEAST_PAUSE_S
        self._hurry.wait(min(max(0.0, rest_s), _LONGEST_PAUSE_S))
        until = view.next_change_ms
        self._news.wait(None if until is None else max(0.0, until / 1000 - self._clock()))
