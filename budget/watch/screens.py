"""What opens over the live view: a session, a grant, the projects, the help."""

from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Footer, Input, Label, Select, Static

from budget import granting, messages, paths
from budget.errors import BudgetError
from budget.watch import session, words
from budget.watch.facts import View, name_of, tightest
from budget.watch.table import Column, Row
from budget.watch.widgets import Lines, Rows, text

HELP = """\
w  W        the window: hour, day, week, month, session (of the chosen row)
p           a project, or all of them
up  down    choose a session; the mouse works too
Enter  o    open it: its prompts, agents and steps
b           what the money went on: by model, branch, agent, session, prompt
s           sort what runs now: at work first, by cost, context, rate, last step
g           grant more on a budget, as budget allow does
t           light or dark
?           this help
Esc         back
q           quit

working     makes steps, or holds one; waiting: for its person
context     the size of the conversation: each step pays for reading it
cache       how long that stays cheap: after it the next prompt pays for all of it anew
held        what running agents keep for their next steps; budgets count it as spent
┊           in a budget's bar: where it warns (warn_at in its config)
█ spent  ▒ held  ░ left  ▲ now
"""


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]
    CSS = """
    HelpScreen { align: center middle; }
    #help { width: 92; max-width: 100%; max-height: 100%; height: auto; overflow: auto;
            border: round $primary; padding: 0 1; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        yield Static(text(HELP + "\nEsc closes this."), id="help")


class ProjectScreen(ModalScreen[str | None]):
    """Answers the key of a project, empty for all, None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Back")]
    CSS = """
    ProjectScreen { align: center middle; }
    #projects { width: 80; max-width: 100%; height: auto; max-height: 80%;
                border: round $primary; padding: 0 1; background: $surface; }
    #choices { height: 12; }
    """

    def __init__(self, found: list[paths.Project], current: str) -> None:
        super().__init__()
        self._found = found
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(id="projects"):
            yield Label(text(("Which project? ", "bold"), "Enter chooses, Esc goes back."))
            yield Rows((Column("where", "", 60),), "", id="choices")

    def on_mount(self) -> None:
        rows = self.query_one(Rows)
        rows.show(
            [Row("*", {"where": ("all projects of this machine", "")})]
            + [Row(each.key, {"where": (name_of(each), "")}) for each in self._found]
        )
        keys = [each.key for each in rows.rows]
        rows.cursor = keys.index(self._current or "*") if (self._current or "*") in keys else 0
        rows.focus()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        event.stop()
        self.dismiss("" if event.key == "*" else event.key)

    def action_close(self) -> None:
        self.dismiss(None)


class SessionScreen(Screen[None]):
    """One session: how it came to cost what it cost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Back"),
        Binding("v", "next", "Prompts/agents/steps"),
        Binding("1", "part('prompts')", "Prompts", show=False),
        Binding("2", "part('agents')", "Agents", show=False),
        Binding("3", "part('steps')", "Steps", show=False),
    ]
    CSS = """
    SessionScreen { layout: vertical; overflow: hidden; }
    SessionScreen Lines { height: 1; }
    SessionScreen #facts { height: 5; }
    SessionScreen Rows { height: 1fr; padding: 0 1; }
    """

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self.part = session.PARTS[0]

    def compose(self) -> ComposeResult:
        yield Lines(id="title")
        yield Lines(" reading the session ...", id="facts")
        yield Lines(id="tabs")
        yield Rows(session.COLUMNS[self.part], "", id="rows")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.query_one(Rows).focus()

    def show(self, view: View) -> None:
        told = view.story
        width = self.app.size.width
        self.query_one("#title", Lines).show(text(*session.title(self.session_id, view, width)))
        if told is None or told.told.session_id != self.session_id:
            return
        self.query_one("#facts", Lines).show(text(*session.facts(told, view, width)))
        self.query_one("#tabs", Lines).show(text(*session.tabs(told, self.part, width)))
        rows = session.rows(told, self.part, view)
        self.query_one(Rows).show(rows, session.COLUMNS[self.part], session.NONE[self.part])

    def action_next(self) -> None:
        self.action_part(session.PARTS[(session.PARTS.index(self.part) + 1) % len(session.PARTS)])

    def action_part(self, part: str) -> None:
        self.part = part
        rows = self.query_one(Rows)
        rows.cursor = 0
        view: View | None = getattr(self.app, "view", None)
        if view:
            self.show(view)

    def action_close(self) -> None:
        self.dismiss(None)


Granter = Callable[[paths.Project, granting.Request, str], str]


class GrantScreen(ModalScreen[None]):
    """Asks for what `budget allow` takes, and says what it says."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Back")]
    CSS = """
    GrantScreen { align: center middle; }
    #grant { width: 76; max-width: 100%; height: auto; max-height: 100%; overflow: auto;
             border: round $primary; padding: 0 1; background: $surface; }
    #grant Input, #grant Select { width: 1fr; }
    #grant Label { width: 9; }
    #grant Horizontal { height: auto; }
    #grant #head, #grant #told { width: 100%; height: auto; }
    """
    ENDS = ("today", "session", "week", "month", "30m", "2h")

    def __init__(self, view: View, granter: Granter) -> None:
        super().__init__()
        self._granter = granter
        many = len(view.projects) > 1
        # Of a budget with several limits the one that is used up is raised: it is named once.
        names: dict[tuple[str, str], Content] = {}
        self._projects = {facts.project.key: facts.project for facts in view.projects}
        self._sessions = {
            facts.project.key: standing.session or "" for facts, standing, _ in view.verdicts
        }
        for facts, _, verdict in view.verdicts:
            key = (facts.project.key, verdict.budget.name)
            label = words.budget_name(facts, verdict, many)
            left = f"{messages.left(verdict)} left"
            names.setdefault(key, text(f"{label}: {left}"))
        self._options = [(label, key) for key, label in names.items()]
        nearest = next((each for each in view.verdicts if each[2].exceeded), tightest(view))
        nearest = nearest or view.verdicts[0]
        self._first = (nearest[0].project.key, nearest[2].budget.name)

    def compose(self) -> ComposeResult:
        with Vertical(id="grant"):
            yield Static(
                text(("Grant more on a budget. ", "bold"), "It holds until it ends, and is kept."),
                id="head",
            )
            with Horizontal():
                yield Label("Budget")
                yield Select[tuple[str, str]](
                    self._options, value=self._first, allow_blank=False, compact=True, id="budget"
                )
            with Horizontal():
                yield Label("Amount")
                yield Input(placeholder="5", compact=True, id="amount")
            with Horizontal():
                yield Label("Until")
                yield Select[str](
                    [
                        (f"the end of {each}" if each in _PERIODS else each, each)
                        for each in self.ENDS
                    ],
                    value="today",
                    allow_blank=False,
                    compact=True,
                    id="until",
                )
            with Horizontal():
                yield Label("Reason")
                yield Input(placeholder="why; it is kept", compact=True, id="reason")
            yield Static("", id="told")
            with Horizontal():
                yield Button("Grant", variant="primary", compact=True, id="make")
                yield Label(" ")
                yield Button("Cancel", compact=True, id="cancel")

    def on_mount(self) -> None:
        self.query_one("#amount").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes on to the reason, and then makes the grant."""
        if event.input.id == "amount":
            self.set_focus(self.query_one("#reason"))
        else:
            self._make()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "cancel":
            self.action_close()
        else:
            self._make()

    def _make(self) -> None:
        chosen = self.query_one("#budget", Select).value
        assert isinstance(chosen, tuple)  # blank is not allowed
        key, budget = chosen
        until = str(self.query_one("#until", Select).value)
        amount = self.query_one("#amount", Input).value.strip()
        reason = self.query_one("#reason", Input).value.strip()
        if not amount:
            self._tell("An amount comes first: dollars, or a count.", failed=True)
            return
        if not reason:
            self._tell("Say why: the reason is kept with the grant.", failed=True)
            return
        self._grant(self._projects[key], granting.Request(amount, budget, until, reason), key)

    @work(thread=True, exclusive=True)
    def _grant(self, project: paths.Project, request: granting.Request, key: str) -> None:
        try:
            told = self._granter(project, request, self._sessions.get(key, ""))
        except BudgetError as error:
            self.app.call_from_thread(self._tell, str(error), True)
            return
        self.app.call_from_thread(self._done, told)

    def _tell(self, told: str, failed: bool) -> None:
        style = "$text-error" if failed else ""
        self.query_one("#told", Static).update(text((words.line(told), style)))

    def _done(self, told: str) -> None:
        self.app.notify(words.line(told), markup=False, timeout=10)
        self.dismiss(None)

    def action_close(self) -> None:
        self.dismiss(None)


_PERIODS = ("today", "session", "week", "month")
