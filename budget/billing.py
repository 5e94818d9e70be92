"""Billing by user: what each customer of a product has used, and budgets for each of them.

A `BillingLedger` is the ledger of one project, as hooks and commands know it; entries carry the
user. It may be used by many tasks, threads and processes at once: every booking is one transaction
of SQLite, and a step is booked once, whoever books it.
"""

import os
import time
from collections.abc import Iterable, Mapping
from datetime import date, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from budget import paths, pipeline, result, rules, sessions
from budget.allowance import Allowance, allowance
from budget.conversation import program_config
from budget.errors import ConfigError
from budget.export import usd12
from budget.ledger import Ledger
from budget.model import Spend, Window
from budget.report import period_of
from budget.users import parts, user_spend
from budget.windows import day_start_ms, local_time, zone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from claude_agent_sdk import Message

UNATTRIBUTED = "(unattributed)"
Budgets = Mapping[str, Mapping[str, Any]]
"""In the shape of a config's `budgets` table: `{"month": {"per": "month", "usd": 20}}`."""


class Line(NamedTuple):
    """A line of an invoice: one user, one period, one model."""

    user: str
    period: str
    """`2026-11-23`, `2026-W47` or `2026-11`."""
    model: str
    """`(unattributed)` for what the client counted beyond its steps."""
    conversations: int
    spend: Spend

    def facts(self) -> dict[str, Any]:
        """As programs read it; `usd` is exact, a decimal string with twelve places."""
        spend = self.spend
        return {
            "user": self.user,
            "period": self.period,
            "model": self.model,
            "conversations": self.conversations,
            "steps": spend.steps,
            "input_tokens": spend.input_tokens,
            "output_tokens": spend.output_tokens,
            "cache_read_tokens": spend.cache_read_tokens,
            "cache_write_5m_tokens": spend.cache_write_5m_tokens,
            "cache_write_1h_tokens": spend.cache_write_1h_tokens,
            "web_searches": spend.web_searches,
            "usd": usd12(spend.picousd + spend.unattributed_picousd),
            "unpriced_steps": spend.unpriced_steps,
        }


LINE_FIELDS = tuple(Line("", "", "", 0, Spend()).facts())


class BillingLedger:
    """The ledger of a product, by user.

    `project` is the folder it belongs to, `budgets` hold for every user, `users` has those of
    single users: a budget there replaces the one of the same name. Both may change at any time; a
    mapping of your own may look them up. `timezone` is where the days of invoices begin. Raises
    `ConfigError` for budgets that are not valid.
    """

    def __init__(
        self,
        project: str | os.PathLike[str] = ".",
        *,
        budgets: Budgets | None = None,
        users: Mapping[str, Budgets] | None = None,
        timezone: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._env = {**os.environ, **(env or {})}
        self._folder = os.path.realpath(project)
        self._project = paths.find_project(self._folder)
        self._budgets = budgets if budgets is not None else {}
        self._users = users if users is not None else {}
        self._tz: tzinfo | None = zone(timezone)
        self.budgets_of("")

    # -- budgets -------------------------------------------------------------------------------

    def budgets_of(self, user: str) -> dict[str, dict[str, Any]]:
        """The budgets that hold for a user, each counting what is that user's."""
        tables = {**self._budgets, **self._users.get(user, {})}
        made = {name: {"scope": "user", **table} for name, table in tables.items()}
        _, problems = rules.checked({"version": 1, "budgets": made})
        if problems:
            told = " ".join(
                f"{'.'.join(each.path)}: expected {each.expected}, got {each.got}."
                for each in problems
            )
            raise ConfigError(f"The budgets of {user or 'every user'} are not valid. {told}")
        return made

    def left(self, user: str) -> Allowance:
        """What a user may still spend in a new conversation, under all budgets that hold."""
        env = {**self._env, "BUDGET_USER": user, paths.MANY_USERS: "1"}
        added = program_config(env, self.budgets_of(user))
        env["BUDGET_SDK_CONFIG"] = added
        policy = pipeline.policy_of(env, self._project)
        now_ms = int(time.time() * 1000)
        with pipeline.existing_ledger(env, self._project) as ledger:
            return allowance(sessions.judge(env, self._project, policy, ledger, "", now_ms))

    def query(self, user: str, **arguments: Any) -> "AsyncGenerator[Message, None]":
        """`sdk.query` for a user, under their budgets. Raises `BudgetExceeded`."""
        from budget import sdk  # only here: reports need no Agent SDK

        budgets = self.budgets_of(user)
        return sdk.query(user=user, project=self._folder, budgets=budgets, **arguments)

    # -- sums ----------------------------------------------------------------------------------

    def total(self, user: str, since: date | None = None, until: date | None = None) -> Spend:
        """What a user has spent from one day to another, both included; default: ever."""
        with pipeline.existing_ledger(self._env, self._project) as ledger:
            if ledger is None:
                return Spend()
            start, end = self._span(since, until)
            return user_spend(ledger, user, Window(start, end))

    def lines(
        self, period: str = "month", since: date | None = None, until: date | None = None
    ) -> list[Line]:
        """The lines of all invoices: by user, period (day, week, month) and model, in that order.

        They add up to the ledger, to the picodollar.
        """
        with pipeline.existing_ledger(self._env, self._project) as ledger:
            return invoice_lines(
                [ledger] if ledger else [], period, *self._span(since, until), self._tz
            )

    def differences(self) -> list[result.Difference]:
        """Where the steps and the client's own count do not agree, by session, user and model."""
        with pipeline.existing_ledger(self._env, self._project) as ledger:
            return result.differences(ledger) if ledger else []

    def _span(self, since: date | None, until: date | None) -> tuple[int, int]:
        start = day_start_ms(since, self._tz) if since else 0
        end = day_start_ms(until + timedelta(days=1), self._tz) if until else 2**62
        return start, end


def invoice_lines(
    ledgers: Iterable[Ledger], period: str, start_ms: int, end_ms: int, tz: tzinfo | None
) -> list[Line]:
    """See `BillingLedger.lines`, over any number of ledgers."""
    sums: dict[tuple[str, str, str], Spend] = {}
    sessions: dict[tuple[str, str, str], set[str]] = {}
    for ledger in ledgers:
        for part in parts(ledger, start_ms, end_ms):
            when = period_of(period, local_time(part.quarter_ms, tz))
            key = (part.user, when, part.model or UNATTRIBUTED)
            sums[key] = sums.get(key, Spend()).plus(part.spend)
            sessions.setdefault(key, set()).add(part.session_id)
    return [Line(*key, len(sessions[key]), sums[key]) for key in sorted(sums)]
