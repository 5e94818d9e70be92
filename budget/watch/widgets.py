"""Two widgets: fixed lines of text, and rows to choose from. What they show is never markup."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from budget.watch.table import Column, Part, Row, cell, fitted


def text(*parts: Part) -> Content:
    """Words with styles; control characters are left out, brackets are brackets."""
    return Content.assemble(*parts)


class Lines(Static):
    """Text in a place of a fixed size; it is painted only when it changed."""

    shown: Content | None = None

    def show(self, content: Content) -> None:
        if self.shown is None or not _same(content, self.shown):
            self.shown = content
            self.update(content, layout=False)


def _same(one: Content, other: Content) -> bool:
    return one.plain == other.plain and one.spans == other.spans


_CURSOR = "bold $block-cursor-foreground on $block-cursor-background"


class Rows(Widget, can_focus=True):
    """A table of rows, of which one is chosen by arrows or the mouse and opened by Enter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]
    DEFAULT_CSS = "Rows { height: 1fr; }"

    class Opened(Message):
        """A row was opened."""

        def __init__(self, rows: "Rows", key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> "Rows":
            return self.rows

    class Moved(Opened):
        """The cursor went to another row."""

    def __init__(self, columns: Sequence[Column], empty: str, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.empty = empty
        self.rows: list[Row] = []
        self.cursor = 0
        self._first = 0

    def show(self, rows: list[Row], columns: Sequence[Column] = (), empty: str = "") -> None:
        """New rows; the cursor stays on the row it was on."""
        columns = tuple(columns) or self.columns
        empty = empty or self.empty
        if (rows, columns, empty) == (self.rows, self.columns, self.empty):
            return
        key = self.chosen
        self.rows, self.columns, self.empty = rows, columns, empty
        keys = [each.key for each in rows]
        self.cursor = keys.index(key) if key in keys else min(self.cursor, max(0, len(rows) - 1))
        self.refresh()

    @property
    def chosen(self) -> str:
        """The key of the row at the cursor; empty for none."""
        return self.rows[self.cursor].key if self.cursor < len(self.rows) else ""

    def action_move(self, by: int) -> None:
        self._go(max(0, min(len(self.rows) - 1, self.cursor + by)))

    def action_open(self) -> None:
        if self.chosen:
            self.post_message(self.Opened(self, self.chosen))

    def on_click(self, event: events.Click) -> None:
        number = self._first + event.y - 1
        if 0 <= number < len(self.rows):
            again = self.cursor == number and event.chain > 1
            self._go(number)
            if again:
                self.action_open()

    def _go(self, number: int) -> None:
        if number != self.cursor:
            self.cursor = number
            self.refresh()
            self.post_message(self.Moved(self, self.chosen))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_move(-1)

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        columns = fitted(self.columns, width)
        heads: list[Part] = []
        for each in columns:
            heads += [(cell(each.title, each), "dim"), " "]
        lines = [text(*heads)]
        room = max(1, height - 1)
        self._first = max(0, min(self._first, self.cursor, len(self.rows) - room))
        self._first = max(self._first, self.cursor - room + 1)
        for number, row in enumerate(self.rows[self._first : self._first + room], self._first):
            parts: list[Part] = []
            for each in columns:
                told, style = row.cells.get(each.key, ("", ""))
                parts += [(cell(told, each), style), " "]
            line = text(*parts)
            if number == self.cursor:
                line = text((line.plain, _CURSOR if self.has_focus else "underline"))
            lines.append(line)
        if not self.rows:
            lines = [text((each, "dim")) for each in self.empty.splitlines()]
        return Content("\n").join(lines)
