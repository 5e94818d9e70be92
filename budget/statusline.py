"""The status line: what is left, what the session costs, what each further step will.

From the client's JSON on stdin and the ledger. The client runs it after each message, so it is as
light as a hook: standard library only, and only what the format names is looked up.
"""

from __future__ import annotations

import os
import sys
import time

from budget import (
    advice,
    advice_words,
    counsel,
    line_format,
    messages,
    paths,
    pipeline,
    plan,
    projection,
    reconcile,
)
from budget.errors import BudgetError
from budget.evaluate import Decision
from budget.lean import Any, NamedTuple, loads
from budget.ledger import Ledger
from budget.model import ClientTotal, Policy, Step, Verdict
from budget.shown import shown
from budget.standing_words import bar
from budget.steps import clean, stated_picousd
from budget.verdicts import judge
from budget.windows import window, zone

_COLOURS = {"ok": "32", "warned": "33", "exceeded": "31"}
_MARGIN = 4
"""Columns that the client keeps free beside the line (2.1.332)."""
_OF_LEDGER = ("today", "burn", "context", "cache", "advice")


class Options(NamedTuple):
    """How a line is made."""

    form: str = ""
    """The format; empty: the person's config, else the usual one."""
    plain: bool = False
    """ASCII only, no colours."""
    other: str = ""
    """Another status line command, whose rows come first."""


def main(arguments: list[str] | None = None) -> None:
    """Prints the line and ends the process. Whatever goes wrong is the line: where else?"""
    try:
        options = _options(arguments or [])
    except BudgetError as error:
        _print(f"budget: {shown(str(error))}")
    show(options)


def show(options: Options) -> None:
    """As `main`."""
    data = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    other = None
    if options.other:
        from budget import other_line  # only where there is one

        other = other_line.start(options.other)
    try:
        told, now_ms = loads(data or "{}"), int(time.time() * 1000)
        text = shown(line(told, dict(os.environ), now_ms, options, closes=False))
    except BudgetError as error:
        text = f"budget: {shown(str(error))}"
    except (ValueError, RecursionError):
        text = "budget: the status line expected JSON on stdin."
    except Exception as error:  # noqa: BLE001 - the client shows whatever is printed
        text = f"budget: a bug ({type(error).__name__}); `budget doctor` looks closer."
    if other is not None:
        text = "\n".join([*other_line.finish(other, data), text])
    _print(text)


def _print(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    # As in a hook: an orderly end would fold the ledger's log back with two fsyncs.
    os._exit(0)


def _options(words: list[str]) -> Options:
    """What stands in settings.json behind the command. Raises `BudgetError`."""
    options = Options()
    rest = iter(words)
    for word in rest:
        if word == "--plain":
            options = options._replace(plain=True)
        elif word == "--format":
            options = options._replace(form=next(rest, ""))
        elif word == "--with":
            options = options._replace(other=next(rest, ""))
        elif word == "--with-coded":  # as Windows needs it, where two shells may read the words
            from urllib.parse import unquote

            options = options._replace(other=unquote(next(rest, "")))
        else:
            raise BudgetError(f"the status line knows --format, --plain and --with, not {word!r}.")
    return options


def line(
    status: object,
    env: paths.Env,
    now_ms: int,
    options: Options = Options(),  # noqa: B008 - a value
    closes: bool = True,
) -> str:
    """The line for one status line input. Raises `BudgetError`."""
    told = status if isinstance(status, dict) else {}
    places = _table(told, "workspace")
    folder = places.get("project_dir") or told.get("cwd") or os.getcwd()
    project = paths.find_project(folder if isinstance(folder, str) else os.getcwd())
    session_id = clean(told.get("session_id"))
    policy = pipeline.policy_seen(env, project, session_id)
    form = options.form or policy.statusline or line_format.DEFAULT
    mistake = line_format.unknown(form)
    if mistake:
        raise BudgetError(mistake)
    plan.store(env, told, now_ms)
    total = stated_picousd(_table(told, "cost").get("total_cost_usd"))
    ledger = None
    if pipeline.has_ledger(env, project):
        ledger = pipeline.open_ledger(env, project, wait_s=0.5)
    try:
        if ledger and total is not None:
            _book_total(ledger, ClientTotal(session_id, "status line", 0, 0, total), now_ms)
        person = paths.person(env, project)
        decision = judge(policy, ledger, env, session_id, now_ms, person, for_s=0.2)
        per_hour = 0
        if ledger and ("{left}" in form or "{burn}" in form):
            per_hour, _ = counsel.last_rate(ledger, now_ms)
        colours = "NO_COLOR" not in env
        values = _of_budgets(decision, policy, now_ms, options.plain, colours, per_hour)
        if total is not None:
            values["session"] = f"session {messages.rounded(total)}"
        if ledger and any(f"{{{name}}}" in form for name in _OF_LEDGER):
            look = _Look(ledger, policy, env, session_id, now_ms, per_hour)
            values |= look.values(form, _table(told, "prompt_cache"))
        if form == line_format.DEFAULT:
            _say_once(values, decision)
    finally:
        if ledger and closes:
            ledger.close()
    between = "|" if options.plain else "·"
    if form == line_format.DEFAULT:
        form = form.replace("·", between)
    text = line_format.filled(form, values, _width(env))
    if policy.problems:
        text += f" {between} config error: budget check"
    return text


def _table(told: dict[str, Any], key: str) -> dict[str, Any]:
    found = told.get(key)
    return found if isinstance(found, dict) else {}


def _width(env: paths.Env) -> int:
    """In columns; 0: not known. The client tells how wide the terminal is."""
    columns = env.get("COLUMNS", "")
    return max(1, int(columns) - _MARGIN) if columns.isdecimal() and int(columns) else 0


def _book_total(ledger: Ledger, report: ClientTotal, now_ms: int) -> None:
    """Keeps the client's own total for the session, where it is news."""
    if report.session_id and reconcile.is_news(ledger, report):
        with ledger.transaction():
            reconcile.note(ledger, [report])
            reconcile.settle(ledger, report.session_id, now_ms)


# -- budgets ---------------------------------------------------------------------------------------


def nearest(decision: Decision) -> Verdict:
    """The budget with the largest part of it spent."""
    return max(decision.verdicts, key=lambda verdict: verdict.fraction)


def _say_once(values: dict[str, str], decision: Decision) -> None:
    """Leaves out of the usual line what the nearest budget says already."""
    if not decision.verdicts:
        return
    verdict = nearest(decision)
    budget = verdict.budget
    if budget.unit == "usd" and not budget.filtered and budget.scope == "project":
        if budget.per == "session":
            values["session"] = ""
        if budget.per == "day":  # what went on is told, how much it was is known
            share = values.get("today", "").partition(", ")[2]
            values["today"] = f"today {share}" if share else ""


def _of_budgets(
    decision: Decision, policy: Policy, now_ms: int, plain: bool, colours: bool, per_hour: int
) -> dict[str, str]:
    if not decision.verdicts:
        return {"budget": "no budget set"}
    verdict = nearest(decision)
    colour = _COLOURS[verdict.state] if colours and not plain else ""
    drawn = f"[{bar(verdict, '#', '-')}]" if plain else bar(verdict)
    left = _left(verdict, policy, now_ms, per_hour)
    return {
        "budget": verdict.budget.name,
        "bar": f"{_painted(drawn, colour)} {messages.percent(verdict)}" if verdict.known else "",
        "left": _painted(left, colour if verdict.exceeded else ""),
    }


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _left(verdict: Verdict, policy: Policy, now_ms: int, per_hour: int) -> str:
    if not verdict.known:
        return "not known yet"
    if verdict.exceeded:
        resets = messages.resets(verdict, policy, now_ms).partition(" (")[0]
        return f"USED UP {messages.spent_of(verdict)}, resets {resets}"
    if verdict.budget.unit != "usd":
        return messages.left_of(verdict)
    text = f"{messages.left(verdict)} left of {messages.limit_of(verdict)}"
    in_ms = counsel.in_time_ms(verdict, per_hour, now_ms)
    return text if in_ms is None else f"{text}, ~{messages.duration(in_ms)}"


# -- what the ledger knows -------------------------------------------------------------------------


class _Look:
    """What the ledger tells of a session and of today."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        env: paths.Env,
        session_id: str,
        now_ms: int,
        per_hour: int,
    ) -> None:
        self._ledger, self._policy, self._env = ledger, policy, env
        self._session_id, self._now_ms, self._per_hour = session_id, now_ms, per_hour
        self._table = pipeline.price_table(policy, env)
        self._recent: list[Step] = ledger.recent_steps(session_id, "", projection.RECENT)
        self._tokens = ledger.context_tokens(session_id) if self._recent else 0

    def values(self, form: str, cache: dict[str, Any]) -> dict[str, str]:
        """Of the fields that the format names, those that have something to tell."""
        makers = {
            "today": self._today,
            "burn": self._burn,
            "context": self._context,
            "cache": lambda: self._cache(cache),
            "advice": self._advice,
        }
        return {name: make() for name, make in makers.items() if f"{{{name}}}" in form}

    def _today(self) -> str:
        day = window("day", self._now_ms, "", zone(self._policy.timezone))
        rows = self._ledger.sums_by("model", day.start_ms, day.end_ms or self._now_ms)
        whole = sum(spend.counted_picousd for _, spend in rows)
        if not whole:
            return ""
        model, most = max(rows, key=lambda row: row[1].counted_picousd)
        text = f"today {messages.rounded(whole)}"
        if not model:
            return text  # mostly what the client counted beyond the steps
        share = messages.share(most.counted_picousd, whole)
        return f"{text}, {share} {clean(model).removeprefix('claude-')}"

    def _burn(self) -> str:
        return f"{advice_words.about(self._per_hour)}/h in all" if self._per_hour else ""

    def _context(self) -> str:
        if not self._tokens:
            return ""
        cost = advice.reading(self._recent[-1], self._tokens, self._table)
        return f"context {advice_words.about(cost)}/step"

    def _cache(self, told: dict[str, Any]) -> str:
        """From what the client tells, else from the last step."""
        if not self._recent:
            return ""
        expires_ms = projection.expires_at_ms(self._recent)
        seconds = told.get("expires_at")
        if isinstance(seconds, int | float) and 0 < seconds < 2**40:
            expires_ms = int(seconds * 1000)
        if expires_ms is None:
            return ""
        if expires_ms > self._now_ms:
            return f"cache {messages.duration(expires_ms - self._now_ms)} left"
        cost = advice.writing(self._recent, self._tokens, self._table)
        return f"cache expired: next prompt {advice_words.about(cost)}"

    def _advice(self) -> str:
        threshold = self._policy.advise_context_tokens
        if not threshold or self._tokens < threshold:
            return ""
        given = counsel.advise(
            self._ledger, self._table, self._policy, self._session_id, self._now_ms
        )
        if given is None or given.kind == "none":
            return ""
        return f"/{given.kind} saves {advice_words.about(given.saved_per_step_picousd)} a step"
