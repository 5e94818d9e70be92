"""Authority: makes one policy of all layers, and keeps a session from loosening its own. Pure.

Highest first: managed, team, local and user, repo. Every layer may add budgets and tighten those
above it. None may loosen one of a higher authority. `local` is one person's file in one repository:
what it says replaces the user's and the repository's.

Policies are plain JSON values here, as they are compiled: `{"budgets": [...], ...}`.
"""

from __future__ import annotations

from budget.files import printable
from budget.lean import Any, NamedTuple
from budget.model import PICO, UNITS, Budget, Source
from budget.windows import CALENDAR

RANKS = {"managed": 0, "team": 1, "local": 2, "user": 2, "program": 2, "repo": 3}
_DEFAULT_WARN_AT = [0.8]
_MIN_SAVING = PICO // 10
_PAYS_BACK_STEPS = 20
# What makes two limits of one name comparable: with all of these equal, the lower is the stricter.
_FILTERS = ("models", "agents", "branches")
_COMPARABLE = ("name", "per", "unit", "scope", "on_exceed", "stop", *_FILTERS)

Compiled = dict[str, Any]
Row = dict[str, Any]
"""A `Budget` as JSON; `warn_at` is None where the file says nothing of it."""


class Layer(NamedTuple):
    """One config file and the authority it has. The first of a list is the highest."""

    name: str
    file: str
    shown: str
    """The file as people are told of it."""
    trusted: bool = True
    """False for a policy that comes with a clone: like a repo config it makes nothing cheaper."""
    demoted: bool = False
    """A local file that turned out to be a repository's."""
    root: str = ""
    """Of a file in a repository: its main worktree. It may be a link to nowhere else."""


def merged(settings: list[tuple[Layer, dict[str, Any]]], person: str) -> Compiled:
    """One policy of all valid files, the highest authority first."""

    def first(key: str, default: object) -> object:
        return next((each[key] for _, each in settings if key in each), default)

    advice: dict[str, Any] = {}
    for layer, each in settings:
        said = dict(each["advice"])
        if layer.name == "repo" or not layer.trusted:
            # What comes with a clone cannot have a compaction made that is hardly worth it.
            said = {key: _careful(key, value) for key, value in said.items()}
        advice = {**said, **advice}
    grants = [
        (each["rules"]["max_grant_usd"], f"{layer.shown}, rules.max_grant_usd")
        for layer, each in settings
        if "max_grant_usd" in each.get("rules", {})
    ]
    max_grant, max_grant_source = min(grants, default=(None, ""))
    budgets = _strictest(_rows(settings, person))
    return {
        "budgets": budgets,
        "timezone": first("timezone", ""),
        "on_error": _on_error(settings),
        "advise_context_tokens": advice.get("context_tokens", 100_000),
        "advise_min_saving": advice.get("min_saving_usd", _MIN_SAVING),
        "advise_pays_back_steps": advice.get("pays_back_steps", _PAYS_BACK_STEPS),
        "compact": advice.get("compact", "advise"),
        "focus": advice.get("focus", ""),
        # A repository cannot run anything; local is a file in a repository's folder.
        "notify": next(
            (
                each["notify"]["command"]
                for layer, each in settings
                if layer.name in ("managed", "user") and "command" in each["notify"]
            ),
            (),
        ),
        "statusline": next(
            (
                each["statusline"]["format"]
                for layer, each in settings
                if layer.name == "user" and "format" in each.get("statusline", {})
            ),
            "",
        ),
        "prices": [
            _price_layer(
                layer, each["prices"], layer.trusted and not _below_policy(layer, settings)
            )
            for layer, each in reversed(settings)
            if each["prices"] != {"models": {}}
        ],
        "problems": [
            *_missing(settings, {row["name"] for row in budgets}),
            *_passed_over(settings),
        ],
        "max_grant": max_grant,
        "max_grant_source": max_grant_source,
        "held": [],
    }


def _careful(key: str, value: Any) -> Any:
    """A threshold of advice, no lower than the default."""
    if key == "min_saving_usd":
        return max(value, _MIN_SAVING)
    return min(value, _PAYS_BACK_STEPS) if key == "pays_back_steps" else value


def _rows(settings: list[tuple[Layer, dict[str, Any]]], person: str) -> list[Row]:
    # A layer's windows begin where it says, or where a higher one says; never where a lower one
    # says: a day that begins later has forgotten what was spent this morning.
    clock = {"timezone": "", "week_starts": "monday"}
    set_above: set[str] = set()
    local = {name for layer, each in settings if layer.name == "local" for name in each["budgets"]}
    rows = []
    for layer, each in settings:
        for key in clock:
            if key in each and key not in set_above:
                clock[key] = each[key]
                set_above.add(key)
        for where, name, table in _tables(each, person):
            if name in local and layer.name in ("user", "repo"):
                continue
            source = Source(layer.name, layer.file, f"{where}.{name}", layer.shown)
            rows += [
                {
                    "name": name,
                    "per": table["per"],
                    "unit": unit,
                    "limit": table[unit],
                    "warn_at": table.get("warn_at"),
                    "on_exceed": table.get("on_exceed", "block"),
                    "message": table.get("message", ""),
                    "source": source,
                    **clock,
                    "scope": table.get("scope", "project"),
                    "stop": table.get("stop", "before"),
                    **{kind: table.get(kind, ()) for kind in _FILTERS},
                }
                for unit in UNITS
                if unit in table
            ]
    return rows


def _tables(each: dict[str, Any], person: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(where, name, table) of every budget of one file that holds for a person."""
    from fnmatch import fnmatchcase  # only when a config changed

    tables = [("budgets", name, table) for name, table in each["budgets"].items()]
    for group, settings in each.get("groups", {}).items():
        if any(fnmatchcase(person.lower(), member.lower()) for member in settings["members"]):
            where = f"groups.{group}.budgets"
            tables += [(where, name, table) for name, table in settings["budgets"].items()]
    return tables


def _key(row: Row) -> tuple[Any, ...]:
    clock = (row["timezone"], row["week_starts"]) if row["per"] in CALENDAR else ()
    return (*(_hashable(row[field]) for field in _COMPARABLE), *clock)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _strictest(rows: list[Row]) -> list[Row]:
    """Of comparable limits the lowest, with the warnings of all of them; the first of equals.

    Limits that differ in what they do or over what they count are all kept: none is the stricter.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = _key(row)
        known = found.get(key)
        if known is None:
            found[key] = row
            continue
        lower = row if row["limit"] < known["limit"] else known
        # The higher one's marks stay, said or by default; a lower one adds what it says.
        marks = {*_marks(known), *(row["warn_at"] or ())}
        message = lower["message"] or known["message"] or row["message"]
        found[key] = {**lower, "warn_at": sorted(marks), "message": message}
    return list(found.values())


def _marks(row: Row) -> list[float]:
    return _DEFAULT_WARN_AT if row["warn_at"] is None else list(row["warn_at"])


def _on_error(settings: list[tuple[Layer, dict[str, Any]]]) -> str:
    """`block` when any layer says so; local may take back what the user and the repository say."""
    said = [(layer.name, each["on_error"]) for layer, each in settings if "on_error" in each]
    if ("local", "allow") in said:
        said = [(name, what) for name, what in said if RANKS[name] < RANKS["local"]]
    return "block" if any(what == "block" for _, what in said) else "allow"


def _below_policy(layer: Layer, settings: list[tuple[Layer, dict[str, Any]]]) -> bool:
    """Whether a policy above sets a budget in dollars: cheaper prices below would loosen it."""
    return any(
        RANKS[above.name] < min(RANKS[layer.name], RANKS["user"])
        and any("usd" in table for table in _all_tables(each))
        for above, each in settings
    )


def _all_tables(each: dict[str, Any]) -> list[dict[str, Any]]:
    groups = each.get("groups", {}).values()
    return [*each["budgets"].values(), *(t for group in groups for t in group["budgets"].values())]


def _price_layer(layer: Layer, prices: dict[str, Any], may_lower: bool) -> dict[str, Any]:
    return {
        "models": prices["models"],
        "multiplier": prices.get("multiplier", ""),
        "unknown": prices.get("unknown", ""),
        # A cloned repository must not make a model look cheap.
        "may_lower": may_lower and layer.name != "repo",
    }


def _missing(settings: list[tuple[Layer, dict[str, Any]]], names: set[str]) -> list[str]:
    return [
        f'{printable(layer.file)}, rules.require: a budget "{name}" must exist,'
        f" and no layer sets one. Add [budgets.{name}] to .claude/budget.toml, or ask who keeps"
        " the policy."
        for layer, each in settings
        for name in each.get("rules", {}).get("require", ())
        if name not in names
    ]


def _passed_over(settings: list[tuple[Layer, dict[str, Any]]]) -> list[str]:
    """What a layer says and may not say."""
    problems = [
        f"{printable(layer.file)}, notify.command: it is passed over: only ~/.claude/budget.toml"
        " and managed policies can name a command. Move it there."
        for layer, each in settings
        if layer.name not in ("managed", "user") and "command" in each["notify"]
    ]
    problems += [
        f"{printable(layer.file)}, statusline.format: it is passed over: the status line is a"
        " person's own. Move it to ~/.claude/budget.toml."
        for layer, each in settings
        if layer.name != "user" and "format" in each.get("statusline", {})
    ]
    return problems


# -- within a session ------------------------------------------------------------------------------


def held_to(began_with: Compiled, now: Compiled) -> Compiled:
    """What holds in a session that began with one policy, when the files now say another.

    What tightens holds at once; what loosens waits for the next session: an agent that edits a
    config gains nothing by it.
    """
    began = [{**row, "warn_at": _marks(row)} for row in began_with["budgets"]]
    budgets = _strictest([*now["budgets"], *began])
    caps = [
        (each["max_grant"], each["max_grant_source"])
        for each in (now, began_with)
        if each["max_grant"] is not None
    ]
    max_grant, max_grant_source = min(caps, default=(None, ""))
    blocks = "block" in (began_with["on_error"], now["on_error"])
    prices = list(began_with["prices"])
    for each in now["prices"]:
        dearer = {**each, "may_lower": False}
        if each not in prices and dearer not in prices:
            prices.append(dearer)
    # A discount that is gone is gone at once.
    factor = max((each["multiplier"] for each in now["prices"] if each["multiplier"]), default="1")
    if prices and prices != now["prices"]:
        last: dict[str, Any] = {
            "models": {},
            "multiplier": factor,
            "unknown": "",
            "may_lower": False,
        }
        prices += [] if last in prices else [last]
    return {
        **now,
        "budgets": budgets,
        "on_error": "block" if blocks else "allow",
        "prices": prices,
        "max_grant": max_grant,
        "max_grant_source": max_grant_source,
        # An agent that edits a config runs nothing by it in its session.
        "notify": began_with["notify"],
        # Nor by becoming another person, or by another price table.
        "person": began_with.get("person", ""),
        "price_print": began_with.get("price_print", ""),
        "held": [
            *_held_budgets(budgets, now["budgets"]),
            *(["prices"] if prices != now["prices"] else []),
            *(["on_error"] if blocks and now["on_error"] != "block" else []),
            *(["rules.max_grant_usd"] if max_grant != now["max_grant"] else []),
        ],
    }


def _held_budgets(rows: list[Row], now: list[Row]) -> list[str]:
    """What the files no longer say, and still holds: a key of a file each."""
    current = {(_key(row), row["limit"]) for row in now}
    return sorted(
        f"{row['source'][2]}.{row['unit']} of {row['source'][3]}"
        for row in rows
        if (_key(row), row["limit"]) not in current
    )


def policy_budget(row: Row) -> Budget:
    """A compiled row as the value that everything else uses."""
    filters = {kind: tuple(row[kind]) for kind in _FILTERS}
    values: dict[str, Any] = {**row, **filters, "warn_at": tuple(_marks(row))}
    return Budget(**{**values, "source": Source(*row["source"])})
