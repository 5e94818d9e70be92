"""The live view on a full screen: its parts, their places and the keys."""

import sys
import time
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Footer

from budget import granting, messages, paths
from budget.grant_request import grant_at_terminal
from budget.watch import panels
from budget.watch.facts import KINDS, WINDOWS, Choice, View
from budget.watch.loop import Loop
from budget.watch.screens import GrantScreen, HelpScreen, ProjectScreen, SessionScreen
from budget.watch.table import Part
from budget.watch.widgets import Lines, Rows, text

LIGHT, DARK = "textual-light", "textual-dark"


class Viewed(Message):
    """A view was read."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view


class WatchApp(App[None]):
    """`budget watch`."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    Lines { height: 1; width: 100%; text-wrap: nowrap; text-overflow: ellipsis; }
    #middle, #bottom { height: auto; width: 100%; }
    #parts { margin-left: 2; }
    #running { height: 1fr; min-height: 2; padding: 0 1; }
    #trouble, #stop { height: 0; text-wrap: wrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # In the order of what is missed most: a narrow screen shows the first.
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("w", "window(1)", "Day/week"),
        Binding("W", "window(-1)", "Window back", show=False),
        Binding("o", "open", "Open session"),
        Binding("enter", "open", "Open session", show=False),
        Binding("g", "grant", "Grant more"),
        Binding("b", "by(1)", "By model/agent"),
        Binding("p", "project", "Project"),
        Binding("s", "sort", "Sort"),
        Binding("t", "theme", "Light/dark"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        env: paths.Env,
        here: paths.Project | None,
        choice: Choice,
        light: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._clock = clock
        self.env = env
        self.choice = choice
        self.sort_by = panels.SORTS[0]
        self.view: View | None = None
        self.failure: BaseException | None = None
        self._light = light
        self._had_state = False
        self._places: tuple[object, ...] = ()
        self._here = here
        self.reading = Loop(env, here, choice, self._read, self._broken, clock=clock)

    def compose(self) -> ComposeResult:
        yield Lines(id="title")
        yield Lines(" reading the ledger ...", id="answer")
        yield Lines(id="trouble")
        yield Lines(id="budgets_head")
        yield Lines(id="budgets")
        with Horizontal(id="middle"):
            yield Lines(id="plot")
            yield Lines(id="parts")
        yield Lines(id="running_head")
        yield Rows(panels.SESSION_COLUMNS, "", id="running")
        yield Lines(id="steps")
        yield Lines(id="stop")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.theme = LIGHT if self._light else DARK
        self.title = "budget watch"
        self.query_one("#running").focus()
        self.set_interval(1.0, self._tick)
        self.reading.start()

    def on_unmount(self) -> None:
        self.reading.stop()

    # -- what comes from the reader's thread ------------------------------------------------------

    def _read(self, view: View) -> None:
        self.post_message(Viewed(view))

    def _broken(self, error: BaseException) -> None:
        self.failure = error
        self.call_from_thread(self.exit)

    def on_viewed(self, message: Viewed) -> None:
        self.view = message.view
        self._had_state = self._had_state or self.view.has_state
        self.show()

    def _tick(self) -> None:
        """Once a second what counts down, without reading anything."""
        now_ms = int(self._clock() * 1000)
        if self.view and now_ms - self.view.now_ms > 900:
            self.view = self.view._replace(now_ms=now_ms)
            self.show()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    # -- showing ----------------------------------------------------------------------------------

    def show(self) -> None:
        """Paints what differs from what is on the screen."""
        view = self.view
        if view is None or not self.is_running:
            return
        screen = self.screen
        if isinstance(screen, SessionScreen):
            screen.show(view)
        if screen is self.screen_stack[0]:
            self._show_all(view)

    def _show_all(self, view: View) -> None:
        width, height = self.size.width, self.size.height
        sizes = self._arrange(view, width, height)
        self._lines("title", panels.title(view, width))
        self._lines("answer", panels.answer(view, width))
        self._lines("trouble", panels.trouble(view, self._had_state and not view.has_state))
        more = f"{len(view.verdicts)} · {panels.LEGEND}" if view.verdicts else ""
        self._lines("budgets_head", panels.rule("Budgets", more, width))
        self._lines("budgets", panels.budgets(view, width, sizes["budgets"]))
        self._lines("plot", panels.spending(view, sizes["plot"], sizes["middle"]))
        if sizes["parts"]:
            self._lines("parts", panels.parts_of(view, sizes["parts"], sizes["middle"]))
        self._lines("running_head", panels.running_head(view, self.sort_by, width))
        rows = panels.session_rows(view, self.sort_by)
        several = len(view.projects) > 1
        columns = [each for each in panels.SESSION_COLUMNS if several or each.key != "project"]
        self.query_one("#running", Rows).show(rows, columns, panels.nothing_running(view))
        self._lines("steps", panels.steps(view, width, sizes["steps"]))
        self._lines("stop", panels.stop(view, width))

    def _lines(self, name: str, parts: list[Part]) -> None:
        self.query_one(f"#{name}", Lines).show(text(*parts))

    def _arrange(self, view: View, width: int, height: int) -> dict[str, int]:
        """Places for the parts; laid out anew only when they differ."""
        answer = panels.answer_height(view, width)
        stop = 0 if not view.stop else 1 if width >= 160 else 2
        gone = self._had_state and not view.has_state
        trouble = 0 if not panels.trouble(view, gone) else 1 if width >= 160 else 2
        room = height - 2 - answer - stop - trouble
        head = int(height >= 30)
        budgets = max(1, min(len(view.verdicts), room // 5 if height < 40 else 10))
        room -= budgets + head
        middle = max(4, min(16, room * 2 // 5)) if room >= 11 else 0 if room < 8 else 4
        room -= middle
        wanted = len(panels.session_rows(view, "work")) or 2
        steps = max(room // 3, min(room // 2 if height < 40 else room, room - wanted - 3))
        parts = 0 if width < 72 else max(34, width * 2 // 5)
        sizes = {
            "answer": answer,
            "trouble": trouble,
            "budgets_head": head,
            "budgets": budgets,
            "middle": middle,
            "plot": width - parts - (2 if parts else 0),
            "parts": parts,
            "steps": steps,
            "stop": stop,
        }
        places = (width, height, *sizes.items())
        if places != self._places:
            self._places = places
            for name, size in sizes.items():
                widget = self.query_one(f"#{name}")
                widget.display = bool(size)
                widget.styles.height = middle if name in ("plot", "parts") else size
                if name in ("plot", "parts"):
                    widget.styles.width = size
        return sizes

    # -- keys -------------------------------------------------------------------------------------

    def _choose(self, choice: Choice) -> None:
        self.choice = choice
        self.reading.choose(choice)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Over the main screen only what makes sense there."""
        over = len(self.screen_stack) > 1
        return not (over and action in ("window", "project", "open", "grant", "by", "sort"))

    def action_window(self, by: int) -> None:
        at = (WINDOWS.index(self.choice.window) + by) % len(WINDOWS)
        session = self._chosen_session() if WINDOWS[at] == "session" else self.choice.opened
        self._choose(self.choice._replace(window=WINDOWS[at], session=session))

    def action_by(self, by: int) -> None:
        at = (KINDS.index(self.choice.by) + by) % len(KINDS)
        self._choose(self.choice._replace(by=KINDS[at]))

    def action_sort(self) -> None:
        at = (panels.SORTS.index(self.sort_by) + 1) % len(panels.SORTS)
        self.sort_by = panels.SORTS[at]
        self.show()

    def action_theme(self) -> None:
        self.theme = DARK if self.theme == LIGHT else LIGHT

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    @work(thread=True, exclusive=True)
    def action_project(self) -> None:
        found = self.reading.projects()  # opens ledgers, so not on the screen's thread
        self.call_from_thread(self._ask_for_project, found)

    def _ask_for_project(self, found: list[paths.Project]) -> None:
        def chosen(key: str | None) -> None:
            if key is not None:
                self._choose(Choice(key, self.choice.window, self.choice.by))

        self.push_screen(ProjectScreen(found, self.choice.project), chosen)

    def _chosen_session(self) -> str:
        return self.query_one("#running", Rows).chosen.partition("/")[0]

    def action_open(self) -> None:
        session_id = self._chosen_session()
        if session_id and self.screen is self.screen_stack[0]:
            self._open(session_id)

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Budgets of a session are those of the chosen one."""
        view = self.view
        session_id = event.key.partition("/")[0]
        if event.rows.id != "running" or view is None or session_id == self.choice.session:
            return
        of_session = self.choice.window == "session"
        if of_session or any(each[2].budget.per == "session" for each in view.verdicts):
            self._choose(self.choice._replace(session=session_id))

    def on_rows_opened(self, event: Rows.Opened) -> None:
        if event.rows.id == "running":
            self._open(event.key.partition("/")[0])

    def _open(self, session_id: str) -> None:
        def closed(_: None) -> None:
            self._choose(self.choice._replace(opened="", session=""))

        self._choose(self.choice._replace(opened=session_id, session=session_id))
        self.push_screen(SessionScreen(session_id), closed)

    def action_grant(self) -> None:
        view = self.view
        if view is None or self.screen is not self.screen_stack[0]:
            return
        if not view.verdicts:
            self.notify("There is no budget to grant on.", severity="warning", markup=False)
            return
        self.push_screen(GrantScreen(view, self.grant))

    def grant(self, project: paths.Project, request: granting.Request, session: str) -> str:
        """Makes a grant as `budget allow` does; the words for it. Raises `BudgetError`."""
        now_ms = int(self._clock() * 1000)
        has_terminal = sys.__stdin__ is not None and sys.__stdin__.isatty()
        made, verdict = grant_at_terminal(self.env, project, request, session, now_ms, has_terminal)
        self.reading.again()
        return messages.granted(made, verdict, now_ms)


def run(env: paths.Env, here: paths.Project | None, choice: Choice, light: bool) -> None:
    """Shows the view until the person quits. Raises what failed in reading."""
    app = WatchApp(env, here, choice, light)
    app.run()
    if app.failure is not None:
        raise app.failure
    if app.return_code:  # textual has told the error; it is a bug, and logged as one
        raise getattr(app, "_exception", None) or RuntimeError("the live view failed")
