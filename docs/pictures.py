"""Makes the pictures of the README and the docs from the real thing (needs tmux and
chromium).

    python docs/pictures.py                makes all of them anew
    python docs/pictures.py stop.svg ...   makes some
    python docs/pictures.py --check        exits 1 where a picture shows what is printed no longer

To add one, write a function that returns a `Picture` and decorate it with its file's name:

    @picture("watch.svg")
    def watch() -> Picture:
        with work() as shop:
            ...
            return of_svg(app.export_screenshot(title="budget watch"))

`tests/capture.py` makes pictures of a program on a terminal (`of_screen(printed(argv, ...))`), of
what textual exports (`of_svg`) and of a page (`of_page(png, text)`). `tests/sample_work.py` is a
week of booked work to show, in which every figure is the same each time. A test makes each picture
anew and compares the text that it shows (`settled`: without times, dates and ids).
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import browser, watched  # noqa: E402
from tests.capture import (  # noqa: E402
    Picture,
    of_page,
    of_screen,
    of_svg,
    printed,
    settled,
    text_of,
)
from tests.demo import CONFIG, USAGE  # noqa: E402
from tests.realclient.client import Home  # noqa: E402
from tests.realclient.stub import Stub, Usage, bash_loop  # noqa: E402
from tests.realclient.terminal import open_client  # noqa: E402
from tests.sample_work import SESSION, Work, made, work  # noqa: E402

WATCHED_MS = 1_795_793_400_000
"""2026-11-27, half past an hour."""

# 500 x 2 + 900 x 10 + 140,000 x 0.2 + 3,000 x 4 USD per million tokens = 0.05 USD a step
_LARGE = Usage(input_tokens=500, output_tokens=900, cache_read=140_000, cache_1h=3_000)


Maker = Callable[[], Picture]
PICTURES: dict[str, Maker] = {}
"""By the name of the file in docs/."""


def picture(name: str) -> Callable[[Maker], Maker]:
    """Registers the function that makes a picture."""

    def register(make: Maker) -> Maker:
        PICTURES[name] = make
        return make

    return register


@picture("stop.svg")
def stop() -> Picture:
    """The client's screen after the stop and a blocked prompt."""
    with Home(git=True) as home, Stub(bash_loop(None, USAGE)) as stub:
        home.write(".claude/budget.toml", CONFIG)
        with open_client(home, stub, plugin_dir=ROOT) as screen:
            screen.submit("count the code samples")
            screen.wait_for("hook stopped Claude", timeout=30)
            screen.submit("go on")
            screen.wait_for("Not sent: no money was spent")
            return of_screen(screen.screen_ansi(), "claude")


@picture("statusline.svg")
def statusline() -> Picture:
    """The client's input box and the status line below it."""
    screen = with_status_line(160, shown=r"left.*cache 1 h.* left").splitlines()
    box = max(number for number, line in enumerate(screen) if "❯" in line)
    return of_screen("\n".join(screen[box - 1 : box + 3]), "claude", 160)


@picture("in-session.svg")
def in_session() -> Picture:
    """What the hook answers to commands that are typed in a session."""
    screen = with_status_line(100, "/budget:status", "/budget:report today")
    rows = screen.splitlines()
    first = next(number for number, row in enumerate(rows) if "operation blocked" in row)
    last = max(number for number, row in enumerate(rows) if "Original prompt" in row)
    return of_screen("\n".join(rows[first : last + 1]), "claude", 100)


def with_status_line(
    columns: int, *typed: str, shown: str = r"\$1\.36 left.*session \$0\.15"
) -> str:
    """The client's screen after three steps, in the project of a week's work, and what is typed.

    `shown`: what the status line says when it has heard of the last step.
    """
    with Home(git=True) as home, Stub(bash_loop(2, _LARGE)) as stub:
        shop = made(home.root, int(time.time() * 1000), home.project)
        command = [sys.executable, "-m", "budget", "install", "--statusline", "--yes"]
        subprocess.run(command, env=shop.env, check=True, capture_output=True)
        env = home.env(stub, extra={"BUDGET_USER": "ana@example.com"})
        with open_client(home, stub, plugin_dir=ROOT, env=env, columns=columns, lines=50) as screen:
            screen.submit("count the code samples")
            screen.wait_for("done after 2")
            screen.wait_for(re.compile(shown))
            screen.wait_gone("esc to interrupt")
            for line in typed:
                screen.submit(line)
                screen.wait_for(f"Original prompt: {line}")
                screen.keys("C-u")
            return screen.screen_ansi()


@picture("status.svg")
def status() -> Picture:
    return _command("budget status", 110)


@picture("report.svg")
def report() -> Picture:
    return _command("budget report", 90)


@picture("watch.svg")
def watch() -> Picture:
    """The live view in the middle of that week, at half past three."""
    with _at_half_past_three() as shop:
        return of_svg(asyncio.run(_watched(shop)))


@picture("dashboard.png")
def dashboard() -> Picture:
    """The page of that week, as far as it is seen at once."""
    from budget import paths, pipeline
    from budget.dashboard import facts, render
    from budget.windows import zone

    with _at_half_past_three() as shop:
        project = paths.find_project(str(shop.project))
        timezone = pipeline.policy_of(shop.env, project).timezone
        scope = facts.Scope(shop.env, project, False, None, None, timezone, zone(timezone))
        page = shop.home / "budget.html"
        page.write_text(render.page(facts.collect(scope, shop.now_ms)), encoding="utf-8")
        size = {"width": 1120, "height": 1000}
        with browser() as opened, watched(opened, page.as_uri(), viewport=size) as seen:
            parts = ("#headline", "#figures", "#time .legend", "#budgets")
            return of_page(seen.page.screenshot(), "\n".join(map(seen.text, parts)))


@contextmanager
def _at_half_past_three() -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        shop = made(Path(folder).resolve(), WATCHED_MS)
        known = os.environ.get("HOME")
        os.environ["HOME"] = str(shop.home)  # folders are shown from there
        try:
            yield shop
        finally:
            os.environ.pop("HOME")
            if known is not None:
                os.environ["HOME"] = known


async def _watched(shop: Work) -> str:
    from budget import paths, pipeline, reservations
    from budget.evaluate import Who
    from budget.model import Spend
    from budget.watch.app import WatchApp
    from budget.watch.facts import Choice

    project = paths.find_project(str(shop.project))
    ledger = pipeline.open_ledger(shop.env, project)
    for agent_id, agent, picousd in (("", "main", 10**11), ("a1", "Explore", 10**9)):
        spend, until_ms = Spend(1, picousd=picousd), shop.now_ms + 7 * 60_000
        kept = reservations.Reservation(SESSION, agent_id, "", Who(agent), spend, until_ms)
        with ledger.transaction():
            reservations.hold(ledger, kept)
    ledger.close()
    choice = Choice(project.key)
    app = WatchApp(shop.env, project, choice, clock=lambda: shop.now_ms / 1000)
    async with app.run_test(size=(120, 36)) as pilot:
        while app.view is None:
            await pilot.pause(0.05)
        await pilot.pause(0.3)
        return app.export_screenshot(title="budget watch")


def _command(line: str, columns: int) -> Picture:
    """A command and what it prints in the project of a week's work."""
    with work() as shop:
        argv = [sys.executable, "-m", *line.split()]
        screen = printed(argv, shop.project, shop.env, columns)
        return of_screen(f"\x1b[1m$ {line}\x1b[0m\n{screen}", line, columns)


def is_current(name: str) -> bool:
    """Whether a picture shows what is printed now."""
    file = ROOT / "docs" / name
    if not file.exists():
        return False
    return settled(text_of(file.read_bytes())) == settled(PICTURES[name]().text)


def main(words: list[str]) -> int:
    check = "--check" in words
    names = [word for word in words if word != "--check"] or list(PICTURES)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        print(f"No picture is called {', '.join(unknown)}; there are: {', '.join(PICTURES)}.")
        return 2
    stale = []
    for name in names:
        if not check:
            (ROOT / "docs" / name).write_bytes(PICTURES[name]().data)
        elif not is_current(name):
            stale.append(name)
    if stale:
        print(f"Not what is printed now: {', '.join(stale)}. Run: python docs/pictures.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
