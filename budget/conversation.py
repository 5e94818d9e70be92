"""One conversation of a program with the client: allowed, booked, stopped and accounted for.

The Agent SDK is not needed here: `sdk.py` hands over what its hooks and messages tell. All methods
block (they read files and write the ledger) and belong on a thread; several may run at once.
"""

import os
import threading
import time
from binascii import crc32
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tomli_w

from budget import answers, hook, paths, pipeline, rules, sessions, stream
from budget.allowance import Allowance, allowance, in_a_line
from budget.errors import BudgetError, ConfigError
from budget.evaluate import Decision
from budget.files import replace_own
from budget.ledger import Ledger
from budget.messages import money, usd6
from budget.model import Policy, Step
from budget.result import CLIENT_LIMIT, Result, counted, note
from budget.status import BudgetFacts, Standing, budget_facts
from budget.witness import stop_of

Budgets = Mapping[str, Mapping[str, Any]]
"""In the shape of a config's `budgets` table: `{"day": {"per": "day", "usd": 5}}`."""


class BudgetExceeded(BudgetError):  # noqa: N818 - the word of the public interface
    """A budget stopped the run, or nothing is left to start one. The text says all of it."""

    exit_code = 1

    def __init__(
        self,
        text: str,
        budgets: list[BudgetFacts],
        user: str,
        session_id: str = "",
        cost_picousd: int = 0,
        started: bool = True,
    ) -> None:
        super().__init__(text)
        self.budgets = budgets
        """Each budget that is used up or that the next step did not fit into: limit, spent, when it
        resets, where it is set. Empty when a limit of the caller's own stopped the run."""
        self.user = user
        self.session_id = session_id
        self.cost_usd = usd6(cost_picousd)
        """What this conversation has cost; USD, six places."""
        self.started = started
        """False: nothing was left, and the client was not started or the prompt not sent."""


class Conversation:
    """A run of the client, from before it starts until it has ended."""

    def __init__(
        self,
        env: paths.Env,
        project: paths.Project,
        persists: bool = True,
    ) -> None:
        self.env = {**env, "CLAUDE_PROJECT_DIR": project.worktree}
        self.project = project
        self.user = paths.person(self.env, project)
        self._persists = persists
        self._lock = threading.Lock()
        self._transcripts: dict[str, str] = {}
        self._before: dict[str, int] = {}
        self._steps: dict[str, Step] = {}
        self._results: list[Result] = []
        self._stop = ""
        self._limit_hit = False

    def policy(self) -> Policy:
        return pipeline.policy_of(self.env, self.project)

    # -- before --------------------------------------------------------------------------------

    def begin(self, session_id: str, folder: str, forks: bool = False) -> Allowance:
        """What may be spent. `session_id` is the one that goes on, empty for a new one.

        Raises `BudgetExceeded` when nothing is left.
        """
        with _open(self.env, self.project) as ledger:
            sessions.catch_up(
                self.env,
                self.project,
                ledger,
                self.policy(),
                folder or self.project.root,
                _now_ms(),
            )
        if session_id and not forks:
            path = sessions.find_transcript(self.env, session_id, folder)
            with self._lock:
                self._transcripts[session_id] = path
            # Callbacks of the SDK hear of no SessionStart, from which a session has new rules.
            pipeline.policy_of(self.env, self.project, self.user, session_id, begins=True)
            self._book(session_id, path, [], [])
            with _open(self.env, self.project) as ledger:
                self._before[session_id] = counted(ledger, session_id)
        return self.check("" if forks else session_id)

    def check(self, session_id: str = "") -> Allowance:
        """The same for a further prompt of the session that is running."""
        now_ms = _now_ms()
        left = allowance(self._decision(session_id or next(reversed(self._transcripts), "")))
        if left.blocking:
            text = in_a_line(left.blocking, self.policy(), now_ms)
            facts = [budget_facts(verdict, stopped=True) for verdict in left.blocking]
            cost = self.cost_picousd()
            raise BudgetExceeded(
                f"Nothing was sent. {text}", facts, self.user, session_id, cost, started=False
            )
        return left

    def _decision(self, session_id: str) -> Decision:
        now_ms = _now_ms()
        with _open(self.env, self.project) as ledger:
            policy = self.policy()
            return sessions.judge(self.env, self.project, policy, ledger, session_id, now_ms)

    # -- meanwhile -----------------------------------------------------------------------------

    def answer(self, payload: Mapping[str, Any]) -> answers.Answer:
        """The answer to an event: that of the hook program, by the same code."""
        event = dict(payload)
        session_id = str(event.get("session_id", ""))
        transcript = str(event.get("transcript_path") or "")
        with self._lock:
            self._transcripts[session_id] = transcript or self._transcripts.get(session_id, "")

        def read() -> dict[str, Any]:
            if not self._persists:
                event.pop("transcript_path", None)  # there is none, and nothing to wait for
                self._book_stream(session_id)
            return event

        context: dict[str, Any] = {"strict": False}
        answer = hook.answer_to(read, self.env, context)
        if "ledger" in context:
            context["ledger"].close()
        stop = stop_of(answer, str(event.get("prompt") or ""))
        if stop:
            with self._lock:
                self._stop = stop
        return answer

    def hear_step(self, message: Mapping[str, Any], session_id: str, parent: str) -> None:
        """A message of the API, as the stream repeats it: `id`, `model`, `usage`. Never blocks."""
        for step in stream.steps_of(message, session_id, parent, self.user, _now_ms()):
            with self._lock:
                self._transcripts.setdefault(session_id, "")
                known = self._steps.get(step.message_id)
                self._steps[step.message_id] = known.joined(step) if known else step

    def hear_result(self, result: Result) -> None:
        """The closing message of a turn. Never blocks."""
        with self._lock:
            self._transcripts.setdefault(result.session_id, "")
            self._results.append(result)
            self._limit_hit = self._limit_hit or result.subtype == CLIENT_LIMIT

    def settle(self) -> None:
        """Books what is known by now, and compares it with what the client counted."""
        with self._lock:
            places, results = dict(self._transcripts), self._results
            self._results = []
        for session_id, transcript in places.items():
            mine = [each for each in results if each.session_id == session_id]
            path = transcript if os.path.isfile(transcript) else ""
            steps = [] if self._persists and path else self._steps_of(session_id)
            self._book(session_id, path, steps, mine)

    def _steps_of(self, session_id: str) -> list[Step]:
        with self._lock:
            return [step for step in self._steps.values() if step.session_id == session_id]

    def _book_stream(self, session_id: str) -> None:
        steps = self._steps_of(session_id)
        with _open(self.env, self.project) as ledger, ledger.transaction():
            # No step stands in a transcript, and the person knows why.
            ledger.say_once(f"notice|{session_id}|nothing", _now_ms())
            ledger.book(steps, pipeline.price_table(self.policy(), self.env))

    def _book(self, session_id: str, path: str, steps: list[Step], results: list[Result]) -> None:
        now_ms = _now_ms()
        policy = self.policy()
        table = pipeline.price_table(policy, self.env)
        with _open(self.env, self.project) as ledger:
            if path:
                sessions.book(self.env, self.project, ledger, policy, session_id, path, now_ms)
            with ledger.transaction():
                ledger.book(steps, table)
                for result in results:
                    if not (self._persists and path):
                        stream.book_rest(ledger, table, result, self.user, now_ms)
                    note(ledger, result, now_ms)

    # -- after ---------------------------------------------------------------------------------

    def cost_picousd(self) -> int:
        """What budgets count of this conversation so far, unattributed included."""
        with self._lock:
            places = list(self._transcripts)
        with _open(self.env, self.project) as ledger:
            return sum(counted(ledger, each) - self._before.get(each, 0) for each in places)

    def exceeded(self) -> BudgetExceeded | None:
        """Why the last turn was stopped, if a budget stopped it. Told once."""
        with self._lock:
            stop, limit_hit = self._stop, self._limit_hit
            self._stop, self._limit_hit = "", False
            session_id = next(reversed(self._transcripts), "")
        if not stop and not limit_hit:
            return None
        standing = Standing(self.env, self.project, _now_ms(), session_id)
        used_up = tuple(each for each in standing.verdicts if each.stops)
        facts = [
            budget_facts(each, stopped=True)
            for each in standing.verdicts
            if each.stops or standing.stopped(each)
        ]
        cost = self.cost_picousd()
        text = in_a_line(used_up, standing.policy, standing.now_ms) or " ".join(stop.split())
        if not text:
            text = "The client stopped at max_budget_usd of the options."
        text = f"{text} This conversation cost {money(cost)}."
        return BudgetExceeded(text, facts, self.user, session_id, cost)


def program_config(env: paths.Env, budgets: Budgets) -> str:
    """The budgets as a config of their own, for our hooks and for those of other processes.

    Raises `ConfigError` for budgets that are not valid.
    """
    table = {"version": 1, "budgets": {name: dict(budget) for name, budget in budgets.items()}}
    _, problems = rules.checked(table)
    if problems:
        told = (
            f"{'.'.join(each.path)}: expected {each.expected}, got {each.got}." for each in problems
        )
        raise ConfigError("budgets= of guard: " + " ".join(told))
    text = tomli_w.dumps(table).encode()
    folder = os.path.join(paths.state_folder(env), "sdk")
    path = os.path.join(folder, f"budgets-{crc32(text):08x}.toml")
    if not os.path.exists(path):
        paths.check_state(env)
        replace_own(path, text)
    return path


@contextmanager
def _open(env: paths.Env, project: paths.Project) -> Iterator[Ledger]:
    """A ledger of the calling thread, closed at the end: SQLite connections are not shared."""
    ledger = pipeline.open_ledger(env, project)
    try:
        yield ledger
    finally:
        ledger.close()


def _now_ms() -> int:
    return int(time.time() * 1000)
