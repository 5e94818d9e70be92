"""The JSON Schema of configs and policies, made of the table of keys: what editors check by."""

from collections.abc import Mapping
from typing import Any

from budget.keys import (
    ADVICE_KEYS,
    BUDGET_KEYS,
    FILE_KEYS,
    GROUP_KEYS,
    MODEL_KEYS,
    NAME,
    NOTIFY_KEYS,
    POLICY_KEYS,
    PRICES_KEYS,
    REQUIRED,
    RULES_KEYS,
    STATUSLINE_KEYS,
    Key,
)
from budget.model import LEVEL_UNITS, UNITS

FILE_NAME = "budget.schema.json"
POLICY_FILE_NAME = "budget-policy.schema.json"
_NAMES = {"pattern": "^[\\w .-]{1,40}$"}
assert NAME.pattern == "[\\w .-]{1,40}"


def schema(policy: bool) -> dict[str, Any]:
    """Of a team's or a managed policy, or of a config. JSON Schema, draft 7."""
    file = _table({**FILE_KEYS, **(POLICY_KEYS if policy else {})})
    file["properties"] |= {
        "budgets": {"$ref": "#/definitions/budgets"},
        "advice": _table(ADVICE_KEYS),
        "notify": _table(NOTIFY_KEYS),
        "statusline": _table(STATUSLINE_KEYS),
        "prices": _prices(),
    }
    if policy:
        group = _table(GROUP_KEYS)
        group["properties"]["budgets"] = {"$ref": "#/definitions/budgets"}
        file["properties"] |= {"rules": _table(RULES_KEYS), "groups": _named(group)}
    kind = "policy" if policy else "config"
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"codebudget {kind}",
        **file,
        "definitions": {"budgets": _named(_budget())},
    }


def _budget() -> dict[str, Any]:
    """A budget has a limit, and a period unless all its limits are levels."""
    added_up = [unit for unit in UNITS if unit not in LEVEL_UNITS]
    return {
        **_table(BUDGET_KEYS),
        "anyOf": [
            {"required": ["per"], "anyOf": [{"required": [unit]} for unit in UNITS]},
            {
                "not": {"anyOf": [{"required": [unit]} for unit in added_up]},
                "anyOf": [{"required": [unit]} for unit in LEVEL_UNITS],
            },
        ],
    }


def _prices() -> dict[str, Any]:
    prices = _table(PRICES_KEYS)
    prices["properties"]["models"] = {
        "type": "object",
        "additionalProperties": _table(MODEL_KEYS),
    }
    return prices


def _named(table: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": _NAMES, "additionalProperties": table}


def _table(keys: Mapping[str, Key]) -> dict[str, Any]:
    required = [name for name, key in keys.items() if key.default == REQUIRED]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(key) for name, key in keys.items()},
        **({"required": required} if required else {}),
    }


def _property(key: Key) -> dict[str, Any]:
    default = f" Default: {key.default}." if key.default not in ("", REQUIRED) else ""
    return {**key.schema, "description": f"{key.values}.{default}"}
