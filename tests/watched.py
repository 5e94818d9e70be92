"""The live view driven in a test: a place with a day of work, and what the screen shows."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from budget import paths, pipeline
from budget.ledger import Ledger
from budget.watch.app import WatchApp
from budget.watch.facts import Choice
from tests import workday

DAY_MS = 24 * workday.HOUR_MS
NOW_MS = 1_795_788_600_000
"""2026-11-27, 14:10 UTC: when it is there, whenever a test runs."""
WAIT_S = 15.0
Do = Callable[[WatchApp, "Pilot[None]"], Awaitable[None]]


class Place:
    """A project with budgets and a day of work up to now, in the state folder of the test."""

    def __init__(self, folder: Path, config: str = workday.CONFIG, works: bool = True) -> None:
        self.env = {**os.environ, "BUDGET_USER": "ana"}
        self.folder = folder / "shop"
        self.project = workday.prepare(self.folder, self.env, config)
        self._began = time.monotonic()
        if works:
            ledger = self.open()
            workday.work(ledger, NOW_MS - NOW_MS % DAY_MS, NOW_MS)
            ledger.close()

    @property
    def now_ms(self) -> int:
        """The clock goes on from there."""
        return NOW_MS + int((time.monotonic() - self._began) * 1000)

    @property
    def state(self) -> Path:
        return Path(self.env["BUDGET_HOME"])

    @property
    def ledger_file(self) -> Path:
        return Path(paths.ledger_file(self.env, self.project))

    def open(self) -> Ledger:
        return pipeline.open_ledger(self.env, self.project)

    def app(self, choice: Choice | None = None, light: bool = False) -> WatchApp:
        chosen = choice or Choice(self.project.key)
        return WatchApp(self.env, self.project, chosen, light, lambda: self.now_ms / 1000)

    def watch(
        self,
        do: Do,
        size: tuple[int, int] = (80, 24),
        choice: Choice | None = None,
        light: bool = False,
    ) -> None:
        """Runs the view until `do` is done with it."""
        app = self.app(choice, light)

        async def run() -> None:
            async with app.run_test(size=size) as pilot:
                await until(pilot, lambda: app.view is not None)
                await pilot.pause(0.1)
                await do(app, pilot)

        asyncio.run(run())
        if app.failure:
            raise app.failure


def screen(app: WatchApp) -> str:
    """The characters on the screen."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def until(pilot: "Pilot[None]", enough: Callable[[], bool], for_s: float = WAIT_S) -> None:
    """Waits until something holds; with the screen in the error when it does not."""
    deadline = time.monotonic() + for_s
    while not enough():
        if time.monotonic() > deadline:
            app = pilot.app
            assert isinstance(app, WatchApp)
            raise TimeoutError(screen(app))
        await pilot.pause(0.05)


async def until_shown(pilot: "Pilot[None]", text: str) -> str:
    """The screen once it shows a text."""
    app = pilot.app
    assert isinstance(app, WatchApp)
    await until(pilot, lambda: text in screen(app))
    return screen(app)
