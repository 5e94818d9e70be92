"""Makes a grant: what a person may add to a budget's limit, and how it is asked for.

`budget allow` in a terminal and `/budget:allow` typed as a prompt are the same request. An agent
can make neither: who asks is checked first.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from budget import ancestry, events, grants, messages, paths
from budget.errors import BudgetError
from budget.evaluate import Decision
from budget.ledger import Ledger
from budget.model import PICO, Budget, Policy, Verdict
from budget.people import people_ledger
from budget.steps import clean
from budget.verdicts import counts_people
from budget.windows import window, zone

_LENGTH = re.compile(r"([1-9][0-9]{0,3})(m|h|d)")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS = 366 * 86_400_000
_PERIODS = {"hour": "hour", "today": "day", "day": "day", "week": "week", "month": "month"}
# What the client gives to every command it runs (2.1.330, 2026-11-23).
_OF_THE_CLIENT = ("CLAUDECODE", "CLAUDE_PID", "CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_SESSION_ID")
_AMOUNT = re.compile(r"\$?((?:[0-9]{1,9}|[0-9]{1,3}(?:,[0-9]{3}){1,2})(?:\.[0-9]{1,6})?)")
HOW = "/budget:allow AMOUNT [BUDGET] [today | session | week | month | 2h] because REASON"


class GrantRefusedError(BudgetError):
    """A grant that is not made, and why."""


class Request(NamedTuple):
    """What was asked for, in words; empty where nothing was said."""

    amount: str
    budget: str = ""
    until: str = ""
    """`today`, `session`, `week`, `month`, `2h`."""
    reason: str = ""


def typed(words: list[str]) -> Request:
    """`5 day today because the release is tonight`. Raises `GrantRefusedError`."""
    if not words or not _AMOUNT.fullmatch(words[0]):
        raise GrantRefusedError(f"Nothing was granted: an amount comes first. {HOW}")
    rest, reason = words[1:], ""
    for number, word in enumerate(rest):
        if word.lower().rstrip(":,") in ("because", "reason", "for:"):
            rest, reason = rest[:number], " ".join(rest[number + 1 :])
            break
    until = rest[-1].lower() if rest and _is_until(rest[-1].lower()) else ""
    # `5 day`: a budget may be called like a period; its name comes first.
    if until and len(rest) == 1:
        return Request(words[0], rest[0], "", reason)
    return Request(words[0], " ".join(rest[: -1 if until else None]), until, reason)


def _is_until(word: str) -> bool:
    return word in _PERIODS or word == "session" or _LENGTH.fullmatch(word) is not None


def refuse_agents(env: Mapping[str, str], in_hook: bool, has_terminal: bool) -> None:
    """Raises `GrantRefusedError` unless a person asks."""
    above = ancestry.clients_above()
    if in_hook:
        if env.get("CLAUDE_CODE_ENTRYPOINT") != "cli":
            why = "this session has no screen, so no person typed it"
        elif len(above) > 1:
            why = "this session was started from within another one"
        elif not ancestry.is_from_client():
            why = "it did not come from the client, so no person typed it"
        else:
            return
    elif above or any(name in env for name in _OF_THE_CLIENT):
        why = "it was asked for from within Claude Code, where an agent could do so"
    elif not has_terminal:
        why = "there is no terminal, so no person is there to answer for it"
    else:
        return
    raise GrantRefusedError(
        f"Nothing was granted: {why}. A grant is a person's: type `budget allow` in a terminal of"
        " your own, or /budget:allow as a prompt in an interactive session."
    )


def grant(
    request: Request,
    decision: Decision,
    policy: Policy,
    session_id: str,
    person: str,
    now_ms: int,
) -> tuple[grants.Grant, Verdict]:
    """The grant that a request asks for, and the budget as it stood. Raises `GrantRefusedError`."""
    if not _micro(request.amount):
        raise GrantRefusedError(
            f"Nothing was granted: {request.amount!r} is no amount above 0. {HOW}"
        )
    verdict = _chosen(request.budget, decision)
    budget = verdict.budget
    amount = _amount(request.amount, budget, policy)
    only_session, until_ms = _until(request.until, budget, session_id, now_ms)
    reason = clean(request.reason)
    made = grants.Grant(
        now_ms, until_ms, only_session, budget.name, budget.unit, amount, person, reason
    )
    return made, verdict


def _alike(made: grants.Grant, decision: Decision) -> list[Verdict]:
    """The budgets that a grant raises: all of its name and unit, whatever their scope."""
    what = (made.budget, made.unit)
    return [each for each in decision.verdicts if (each.budget.name, each.budget.unit) == what]


def keep(
    made: grants.Grant,
    verdict: Verdict,
    ledger: Ledger,
    env: paths.Env,
    decision: Decision | None = None,
) -> None:
    """Writes a grant where its budget is counted, and all of its name. Raises `LedgerError`."""
    raised = _alike(made, decision) if decision else [verdict]
    of_people = {counts_people(each.budget) for each in raised}
    with ledger.transaction():
        facts = {**made._asdict(), "spent": verdict.spent, "limit": verdict.limit}
        events.record(ledger, events.Event(made.at_ms, events.GRANT, made.session_id, "", facts))
        if False in of_people:
            grants.add(ledger, made)
    if True in of_people:
        with people_ledger(env, ledger, for_s=0) as (people, _), people.transaction():
            grants.add(people, made)


def note_refusal(ledger: Ledger, text: str, session_id: str, now_ms: int) -> None:
    """A refused grant is something a person should hear of."""
    with ledger.transaction():
        facts = {"text": text}
        events.record(ledger, events.Event(now_ms, events.GRANT_REFUSED, session_id, "", facts))


def _chosen(name: str, decision: Decision) -> Verdict:
    verdicts = [each for each in decision.verdicts if each.budget.name == name]
    known = sorted({each.budget.name for each in decision.verdicts})
    if not name:
        verdicts = list(decision.blocking) or (list(decision.verdicts) if len(known) == 1 else [])
        if len({each.budget.name for each in verdicts}) > 1:
            verdicts = []
    if not verdicts:
        what = f"there is no budget {name!r} here" if name else "say which budget"
        names = ", ".join(known) or "none is set"
        raise GrantRefusedError(f"Nothing was granted: {what}. Budgets: {names}. {HOW}")
    # A budget with several limits: the one that is used up, else the first (US dollars).
    return next((each for each in verdicts if each.exceeded), verdicts[0])


def _amount(text: str, budget: Budget, policy: Policy) -> int:
    micro = _micro(text)
    if not micro:
        raise GrantRefusedError(f"Nothing was granted: {text!r} is no amount above 0. {HOW}")
    cap = policy.max_grant
    if cap == 0:
        raise GrantRefusedError(
            f"Nothing was granted: {policy.max_grant_source} forbids grants. Ask who keeps it."
        )
    if budget.unit != "usd":
        if cap is not None:
            raise GrantRefusedError(
                f"Nothing was granted: {policy.max_grant_source} limits grants in US dollars, and"
                f" the budget {budget.name!r} counts {messages.unit_words(budget.unit)}."
            )
        if micro % 10**6:
            raise GrantRefusedError(
                f"Nothing was granted: the budget {budget.name!r} counts"
                f" {messages.unit_words(budget.unit)}, so the amount is a whole number."
            )
        return micro // 10**6
    amount = micro * (PICO // 10**6)
    if cap is not None and amount > cap:
        raise GrantRefusedError(
            f"Nothing was granted: {messages.money(amount)} is more than the"
            f" {messages.money(cap)} that {policy.max_grant_source} allows at once."
        )
    return amount


def _micro(text: str) -> int:
    """Millionths of `5`, `$0.0150`, `$1,200.00`; 0 for what is no amount."""
    match = _AMOUNT.fullmatch(text)
    return round(float(match[1].replace(",", "")) * 10**6) if match else 0


def _until(text: str, budget: Budget, session_id: str, now_ms: int) -> tuple[str, int]:
    """The session it holds in (empty: all), and until when."""
    text = text or ("session" if budget.per == "session" else "today")
    if text == "session":
        if not session_id:
            raise GrantRefusedError("Nothing was granted: there is no session to grant it for.")
        return session_id, now_ms + _LONGEST_MS
    match = _LENGTH.fullmatch(text)
    if match:
        return "", now_ms + min(int(match[1]) * _UNIT_MS[match[2]], _LONGEST_MS)
    if text not in _PERIODS:
        raise GrantRefusedError(
            f"Nothing was granted: {text!r} is no end. today, session, week, month, or 30m, 2h, 3d."
        )
    at = window(_PERIODS[text], now_ms, "", zone(budget.timezone), budget.week_starts)
    return "", at.end_ms or now_ms + _LONGEST_MS
