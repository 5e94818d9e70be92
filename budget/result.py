"""The client's closing message of a run: its own total, and what each model used.

Source: `claude -p --output-format json | stream-json` and the Agent SDK's `ResultMessage` (2.1.330,
measured 2026-11-23). Total and models are cumulative over a session: a resumed run and a second
prompt of the same process go on from what was there; a fork begins with its origin's total.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from budget import reconcile
from budget.ledger import Ledger
from budget.model import MAX_SEARCHES, ClientTotal, Usage, Window
from budget.steps import clean, stated_picousd

SOURCE = "result"
CLIENT_LIMIT = "error_max_budget_usd"
_LARGEST = 10**12
# The client adds floats: a difference below this (a thousandth of a micro-dollar) is none.
_NOISE_PICOUSD = 1_000
_COUNTS = "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, web_searches"
_KEYS = (
    "inputTokens",
    "outputTokens",
    "cacheReadInputTokens",
    "cacheCreationInputTokens",
    "webSearchRequests",
)


class ModelTotal(NamedTuple):
    """What one model used in a session, as the client counts it."""

    usage: Usage
    picousd: int


class Result(NamedTuple):
    """A closing message, checked."""

    session_id: str
    subtype: str
    """`success`, `error_max_budget_usd`, `error_during_execution`, ..."""
    terminal_reason: str
    """`completed`, `hook_stopped`, `budget_exhausted`, ...; empty when not told."""
    is_error: bool
    total_picousd: int | None
    models: dict[str, ModelTotal]


def result_of(message: Mapping[str, Any]) -> Result | None:
    """The result that a message of the client is; None for another message."""
    if message.get("type") != "result" or not clean(message.get("session_id")):
        return None
    told = message.get("modelUsage")
    models = {
        clean(name): total
        for name, each in (told.items() if isinstance(told, dict) else ())
        if (total := _model_total(each)) is not None
    }
    return Result(
        session_id=clean(message["session_id"]),
        subtype=clean(message.get("subtype")),
        terminal_reason=clean(message.get("terminal_reason")),
        is_error=message.get("is_error") is True,
        total_picousd=stated_picousd(message.get("total_cost_usd")),
        models=models,
    )


def _model_total(told: Any) -> ModelTotal | None:
    if not isinstance(told, dict):
        return None
    counts = [_count(told.get(key)) for key in _KEYS]
    cost = stated_picousd(told.get("costUSD"))
    if cost is None or None in counts:
        return None
    tokens_in, tokens_out, cache_read, written, searches = (count or 0 for count in counts)
    # Older clients do not split cache writes: what is not told to be of 1 hour is of 5 minutes.
    hour = min(_count(told.get("cacheCreationEphemeral1hInputTokens")) or 0, written)
    searches = min(searches, MAX_SEARCHES)
    return ModelTotal(
        Usage(tokens_in, tokens_out, cache_read, written - hour, hour, searches), cost
    )


def _count(value: Any) -> int | None:
    if value is None:
        return 0
    return value if type(value) is int and 0 <= value < _LARGEST else None


def note(ledger: Ledger, result: Result, now_ms: int) -> None:
    """Keeps what the client says it counted, and settles the session. Inside a transaction."""
    for model, (usage, picousd) in result.models.items():
        ledger.write(
            "INSERT INTO model_totals VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (session_id, model) DO UPDATE SET"
            f" ({_COUNTS}, picousd) = ({_greatest()})",
            (
                *(result.session_id, model),
                *usage[:3],
                usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
                usage.web_searches,
                picousd,
            ),
        )
    if result.total_picousd is not None:
        total = ClientTotal(result.session_id, SOURCE, 0, 0, result.total_picousd)
        reconcile.note(ledger, [total])
        reconcile.settle(ledger, result.session_id, now_ms)


def _greatest() -> str:
    columns = f"{_COUNTS}, picousd".split(", ")
    return ", ".join(f"max({column}, excluded.{column})" for column in columns)


class Difference(NamedTuple):
    """A model of a session for which the steps and the client's own count do not agree."""

    session_id: str
    user: str
    model: str
    what: str
    """`usd` (picodollars at list prices), or a kind of tokens."""
    steps: int
    """The sum over the steps that are booked."""
    client: int
    """What the client says."""


def differences(ledger: Ledger) -> list[Difference]:
    """Where step sums and the client's count per model differ, by session, model and kind.

    What leaves no step (titles, compaction) is one of them, and is counted as unattributed. Forks
    are left out: their count begins with what their origin used. Sessions no result was seen of
    cannot be compared.
    """
    rows = ledger.rows(
        f"SELECT session_id, model, {_COUNTS}, picousd FROM model_totals"
        " WHERE session_id NOT IN (SELECT session_id FROM copies) ORDER BY session_id, model"
    )
    found = []
    for session_id, model, *client in rows:
        booked = ledger.row(
            "SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
            " coalesce(sum(cache_read_tokens), 0),"
            " coalesce(sum(cache_write_5m_tokens + cache_write_1h_tokens), 0),"
            " coalesce(sum(web_searches), 0), coalesce(sum(listed_picousd), 0)"
            " FROM entries WHERE session_id = ? AND model = ?",
            session_id,
            model,
        )
        kinds = (*_COUNTS.split(", "), "usd")
        for what, ours, theirs in zip(kinds, booked, client, strict=True):
            if abs(ours - theirs) > (_NOISE_PICOUSD if what == "usd" else 0):
                user = session_user(ledger, session_id)
                found.append(Difference(session_id, user, model, what, ours, theirs))
    return found


def session_user(ledger: Ledger, session_id: str) -> str:
    """Whose session it is: of its first step; empty when there is none."""
    rows = ledger.rows(
        "SELECT user FROM entries WHERE session_id = ? ORDER BY seq LIMIT 1", session_id
    )
    return str(rows[0][0]) if rows else ""


def counted(ledger: Ledger | None, session_id: str) -> int:
    """What budgets count of a session so far, in picodollars."""
    window = Window(0, None, session_id=session_id)
    return ledger.spend(window).counted_picousd if ledger else 0
