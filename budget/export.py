"""An entry of the ledger as text."""

from typing import Any

from budget.model import Price, Step
from budget.status import iso_ms

FIELDS = (
    "project",
    "time",
    "session",
    "prompt",
    "agent",
    "agent_id",
    "branch",
    "user",
    "message_id",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "speed",
    "inference_geo",
    "service_tier",
    "usd",
    "priced",
    "price_version",
)


_FORMULA = "=+-@\t\r"
"""What spreadsheets take a formula by."""


def entry_facts(root: str, step: Step, cost: Price) -> dict[str, Any]:
    """The fields of one entry. `usd` is 0 for an unpriced one, and `priced` false."""
    values = (
        root,
        iso_ms(step.at_ms),
        step.session_id,
        step.prompt_id,
        step.agent,
        step.agent_id,
        step.branch,
        step.user,
        step.message_id,
        step.model,
        *step.usage,
        step.speed,
        step.geo,
        step.tier,
        usd12(cost.picousd or 0),
        cost.picousd is not None,
        cost.version,
    )
    return dict(zip(FIELDS, values, strict=True))


def spreadsheet_safe(row: dict[str, Any]) -> dict[str, Any]:
    """A row for CSV: what a spreadsheet would run as a formula begins with an apostrophe.

    A branch may be called `=HYPERLINK(...)`. JSON lines have every text as it is.
    """
    return {
        key: f"'{value}" if isinstance(value, str) and value and value[0] in _FORMULA else value
        for key, value in row.items()
    }


def usd12(picousd: int) -> str:
    """Dollars, exact: a decimal string with twelve places."""
    return f"{picousd // 10**12}.{picousd % 10**12:012d}"
