"""What holds when several files speak: every layer adds and tightens, none loosens a higher one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import paths, pipeline, rules
from budget.merge import Compiled, Layer, held_to, merged, policy_budget
from budget.model import PICO, Budget, Policy
from budget.pricing import corrected, load_table, price
from tests.samples import a_step

ANA = "ana@example.com"

LAYERS = ("managed", "managed.d", "team", "team repo", "local", "user", "repo")
"""From the highest authority down. `team` is a file of `$BUDGET_POLICY`, `team repo` the one in
the repository."""


class Place:
    """A machine with a place for the file of every layer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.managed = folder / "managed"
        self.files = {
            "managed": self.managed / "budget-policy.toml",
            "managed.d": self.managed / "budget-policy.d" / "ten.toml",
            "team": folder / "team.toml",
            "team repo": folder / "project" / ".claude" / "budget-policy.toml",
            "local": folder / "project" / ".claude" / "budget.local.toml",
            "user": folder / "home" / ".claude" / "budget.toml",
            "repo": folder / "project" / ".claude" / "budget.toml",
        }
        for path in self.files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        self.env = {
            "HOME": str(folder / "home"),
            "BUDGET_HOME": str(folder / "state"),
            "BUDGET_POLICY": str(self.files["team"]),
            "BUDGET_USER": ANA,
        }
        self.project = paths.find_project(str(folder / "project"))

    def write(self, files: Mapping[str, str]) -> None:
        for layer, path in self.files.items():
            if layer in files:
                path.write_text("version = 1\n" + files[layer])
            else:
                path.unlink(missing_ok=True)

    def commit_local(self) -> None:
        """As git's index tells of a file that is kept."""
        index = self.folder / "project" / ".git" / "index"
        index.parent.mkdir(exist_ok=True)
        index.write_bytes(b"DIRC\0\0.claude/budget.local.toml\0\0")
        self.project = paths.find_project(str(self.folder / "project"))

    def policy(self, session_id: str = "", begins: bool = False) -> Policy:
        with mock.patch.object(paths, "managed_folder", lambda: str(self.managed)):
            return pipeline.policy_of(self.env, self.project, session_id=session_id, begins=begins)

    def name(self, budget: Budget) -> str:
        """The layer a budget comes from, as `LAYERS` calls them."""
        return next(n for n, path in self.files.items() if str(path) == budget.source.file)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(budget: Budget, layer: str) -> str:
    """A budget in a line: what it is, what differs from the usual, and where it comes from."""
    usd = budget.unit == "usd"
    limit = f"{budget.limit / PICO:g}" if usd else str(budget.limit)
    what = [budget.name, *([budget.per] if budget.per != budget.name else []), budget.unit, limit]
    if budget.scope != "project":
        what.append(budget.scope)
    if budget.on_exceed != "block":
        what.append(budget.on_exceed)
    if budget.stop != "before":
        what.append(budget.stop)
    what += [*budget.models, *budget.agents, *budget.branches]
    if budget.warn_at != (0.8,):
        what.append("warns" + "".join(f" {mark:g}" for mark in budget.warn_at))
    if budget.timezone:
        what.append(budget.timezone)
    if budget.week_starts != "monday":
        what.append(budget.week_starts)
    if budget.message:
        what.append(f'"{budget.message}"')
    return f"{' '.join(what)} | {layer} {budget.source.key}"


def day(*lines: str, name: str = "day", per: str = "day") -> str:
    return "\n".join((f"[budgets.{name}]", f'per = "{per}"', *lines, ""))


def group(*members: str, budgets: str = "", name: str = "pilot") -> str:
    """A group, its budgets written as `day()` writes them."""
    table = f"[groups.{name}]\nmembers = {json.dumps(members)}\n"
    return table + budgets.replace("[budgets.", f"[groups.{name}.budgets.")


FIVE, THREE, NINE = day("usd = 5"), day("usd = 3"), day("usd = 9")
BERLIN, TOKYO = 'timezone = "Europe/Berlin"\n', 'timezone = "Asia/Tokyo"\n'
SUNDAY = 'week_starts = "sunday"\n'
WEEK = day("usd = 5", name="week", per="week")
OPUS, HAIKU = 'models = ["*opus*"]', 'models = ["*haiku*"]'

Files = dict[str, str]

TABLE: dict[str, tuple[Files, list[str]]] = {
    # -- one layer: its budgets hold, with it as their origin
    "nothing": ({}, []),
    "managed alone": ({"managed": FIVE}, ["day usd 5 | managed budgets.day"]),
    "a part of the managed folder": ({"managed.d": FIVE}, ["day usd 5 | managed.d budgets.day"]),
    "a team's file": ({"team": FIVE}, ["day usd 5 | team budgets.day"]),
    "a team's file in the repository": (
        {"team repo": FIVE},
        ["day usd 5 | team repo budgets.day"],
    ),
    "local alone": ({"local": FIVE}, ["day usd 5 | local budgets.day"]),
    "user alone": ({"user": FIVE}, ["day usd 5 | user budgets.day"]),
    "repo alone": ({"repo": FIVE}, ["day usd 5 | repo budgets.day"]),
    "files that say nothing": (dict.fromkeys(LAYERS, ""), []),
    # -- the same limit: the highest authority's
    "all of them the same": (
        dict.fromkeys(LAYERS, FIVE),
        ["day usd 5 | managed budgets.day"],
    ),
    "the same without managed": (
        dict.fromkeys(LAYERS[2:], FIVE),
        ["day usd 5 | team budgets.day"],
    ),
    "local before user": (
        dict.fromkeys(LAYERS[4:], FIVE),
        ["day usd 5 | local budgets.day"],
    ),
    "user before repo": (dict.fromkeys(LAYERS[5:], FIVE), ["day usd 5 | user budgets.day"]),
    # -- a lower layer is looser: nothing changes
    "managed.d above managed": (
        {"managed": FIVE, "managed.d": NINE},
        ["day usd 5 | managed budgets.day"],
    ),
    "team above managed": ({"managed": FIVE, "team": NINE}, ["day usd 5 | managed budgets.day"]),
    "team repo above team": ({"team": FIVE, "team repo": NINE}, ["day usd 5 | team budgets.day"]),
    "local above managed": ({"managed": FIVE, "local": NINE}, ["day usd 5 | managed budgets.day"]),
    "local above team": ({"team": FIVE, "local": NINE}, ["day usd 5 | team budgets.day"]),
    "local above the team's in the repository": (
        {"team repo": FIVE, "local": NINE},
        ["day usd 5 | team repo budgets.day"],
    ),
    "user above managed": ({"managed": FIVE, "user": NINE}, ["day usd 5 | managed budgets.day"]),
    "user above team": ({"team": FIVE, "user": NINE}, ["day usd 5 | team budgets.day"]),
    "repo above managed": ({"managed": FIVE, "repo": NINE}, ["day usd 5 | managed budgets.day"]),
    "repo above user": ({"user": FIVE, "repo": NINE}, ["day usd 5 | user budgets.day"]),
    "repo above all": (
        {**dict.fromkeys(LAYERS[:6], FIVE), "repo": NINE},
        ["day usd 5 | managed budgets.day"],
    ),
    # -- a lower layer is stricter: its limit
    "managed.d below managed": (
        {"managed": FIVE, "managed.d": THREE},
        ["day usd 3 | managed.d budgets.day"],
    ),
    "team below managed": ({"managed": FIVE, "team": THREE}, ["day usd 3 | team budgets.day"]),
    "team repo below team": (
        {"team": FIVE, "team repo": THREE},
        ["day usd 3 | team repo budgets.day"],
    ),
    "local below managed": ({"managed": FIVE, "local": THREE}, ["day usd 3 | local budgets.day"]),
    "user below managed": ({"managed": FIVE, "user": THREE}, ["day usd 3 | user budgets.day"]),
    "repo below managed": ({"managed": FIVE, "repo": THREE}, ["day usd 3 | repo budgets.day"]),
    "repo below user": ({"user": FIVE, "repo": THREE}, ["day usd 3 | repo budgets.day"]),
    "zero is the strictest": (
        {"managed": FIVE, "repo": day("usd = 0")},
        ["day usd 0 | repo budgets.day"],
    ),
    "each a dollar stricter": (
        {layer: day(f"usd = {9 - number}") for number, layer in enumerate(LAYERS) if number != 4},
        ["day usd 3 | repo budgets.day"],
    ),
    # -- local replaces what the user and the repository say, not what policies say
    "local looser than user": ({"local": NINE, "user": FIVE}, ["day usd 9 | local budgets.day"]),
    "local looser than repo": ({"local": NINE, "repo": FIVE}, ["day usd 9 | local budgets.day"]),
    "local stricter than both": (
        {"local": THREE, "user": FIVE, "repo": NINE},
        ["day usd 3 | local budgets.day"],
    ),
    "local in another unit": (
        {"local": day("steps = 9"), "user": FIVE, "repo": THREE},
        ["day steps 9 | local budgets.day"],
    ),
    "local over another time": (
        {"local": day("usd = 9", per="week"), "repo": THREE},
        ["day week usd 9 | local budgets.day"],
    ),
    "local replaces by name only": (
        {"local": NINE, "repo": FIVE + WEEK},
        ["day usd 9 | local budgets.day", "week usd 5 | repo budgets.week"],
    ),
    "local does not replace a policy's other unit": (
        {"managed": day("steps = 4"), "local": NINE, "user": FIVE},
        ["day steps 4 | managed budgets.day", "day usd 9 | local budgets.day"],
    ),
    "local only advises": (
        {"local": day("usd = 5", 'on_exceed = "advise"'), "repo": FIVE, "team": NINE},
        ["day usd 9 | team budgets.day", "day usd 5 advise | local budgets.day"],
    ),
    # -- limits that are not comparable are all kept
    "other names": (
        {"managed": FIVE, "repo": day("usd = 9", name="today")},
        ["day usd 5 | managed budgets.day", "today day usd 9 | repo budgets.today"],
    ),
    "another period": (
        {"managed": FIVE, "repo": day("usd = 3", per="week")},
        ["day usd 5 | managed budgets.day", "day week usd 3 | repo budgets.day"],
    ),
    "rolling times of other lengths": (
        {"user": day("usd = 5", per="rolling 24h"), "repo": day("usd = 3", per="rolling 1d")},
        ["day rolling 24h usd 5 | user budgets.day", "day rolling 1d usd 3 | repo budgets.day"],
    ),
    "another unit": (
        {"managed": FIVE, "repo": day("steps = 1")},
        ["day usd 5 | managed budgets.day", "day steps 1 | repo budgets.day"],
    ),
    "units are compared each by itself": (
        {"user": day("usd = 5", "steps = 10"), "repo": day("usd = 9", "steps = 4")},
        ["day usd 5 | user budgets.day", "day steps 4 | repo budgets.day"],
    ),
    "another scope": (
        {"managed": day("usd = 5", 'scope = "user"'), "repo": THREE},
        ["day usd 5 user | managed budgets.day", "day usd 3 | repo budgets.day"],
    ),
    "three scopes": (
        {
            "managed": day("usd = 5", 'scope = "team"'),
            "user": day("usd = 5", 'scope = "user"'),
            "repo": day("usd = 5", 'scope = "project"'),
        },
        [
            "day usd 5 team | managed budgets.day",
            "day usd 5 user | user budgets.day",
            "day usd 5 | repo budgets.day",
        ],
    ),
    "a lower limit that only advises": (
        {"managed": FIVE, "repo": day("usd = 3", 'on_exceed = "advise"')},
        ["day usd 5 | managed budgets.day", "day usd 3 advise | repo budgets.day"],
    ),
    "a lower limit that only asks": (
        {"managed": FIVE, "user": day("usd = 3", 'on_exceed = "ask"')},
        ["day usd 5 | managed budgets.day", "day usd 3 ask | user budgets.day"],
    ),
    "a lower limit that stops after the step": (
        {"managed": FIVE, "user": day("usd = 3", 'stop = "after"')},
        ["day usd 5 | managed budgets.day", "day usd 3 after | user budgets.day"],
    ),
    "two that ask": (
        {
            "managed": day("usd = 5", 'on_exceed = "ask"'),
            "user": day("usd = 3", 'on_exceed = "ask"'),
        },
        ["day usd 3 ask | user budgets.day"],
    ),
    "a filter counts less": (
        {"managed": FIVE, "repo": day("usd = 3", OPUS)},
        ["day usd 5 | managed budgets.day", "day usd 3 *opus* | repo budgets.day"],
    ),
    "other models": (
        {"managed": day("usd = 5", OPUS), "repo": day("usd = 3", HAIKU)},
        ["day usd 5 *opus* | managed budgets.day", "day usd 3 *haiku* | repo budgets.day"],
    ),
    "the same models": (
        {"managed": day("usd = 5", OPUS), "repo": day("usd = 3", OPUS)},
        ["day usd 3 *opus* | repo budgets.day"],
    ),
    "the same filters, looser": (
        {
            "managed": day("usd = 5", OPUS, 'agents = ["main"]', 'branches = ["main"]'),
            "repo": day("usd = 9", OPUS, 'agents = ["main"]', 'branches = ["main"]'),
        },
        ["day usd 5 *opus* main main | managed budgets.day"],
    ),
    "an agent more in the filter": (
        {
            "managed": day("usd = 5", 'agents = ["main"]'),
            "repo": day("usd = 3", 'agents = ["main", "Explore"]'),
        },
        ["day usd 5 main | managed budgets.day", "day usd 3 main Explore | repo budgets.day"],
    ),
    "levels": (
        {
            "managed": "[budgets.c]\ncontext_tokens = 200_000\nfive_hour_percent = 80\n",
            "repo": "[budgets.c]\ncontext_tokens = 100_000\nfive_hour_percent = 90\n",
        },
        [
            "c session context_tokens 100000 | repo budgets.c",
            "c session five_hour_percent 80 | managed budgets.c",
        ],
    ),
    # -- clocks: a layer's own, or a higher one's; never a lower one's
    "a repository's zone is not a person's": (
        {"user": FIVE, "repo": TOKYO},
        ["day usd 5 | user budgets.day"],
    ),
    "a person's zone holds in the repository": (
        {"user": BERLIN, "repo": TOKYO + FIVE},
        ["day usd 5 Europe/Berlin | repo budgets.day"],
    ),
    "days that begin at other times": (
        {"user": FIVE, "repo": TOKYO + THREE},
        ["day usd 5 | user budgets.day", "day usd 3 Asia/Tokyo | repo budgets.day"],
    ),
    "a policy's zone holds for all": (
        {"managed": BERLIN + NINE, "user": TOKYO + FIVE, "repo": THREE},
        ["day usd 3 Europe/Berlin | repo budgets.day"],
    ),
    "a session has no zone": (
        {
            "user": day("usd = 5", per="session"),
            "repo": TOKYO + day("usd = 3", per="session"),
        },
        ["day session usd 3 Asia/Tokyo | repo budgets.day"],
    ),
    "a rolling time has no zone": (
        {
            "user": day("usd = 5", per="rolling 5h"),
            "repo": TOKYO + day("usd = 9", per="rolling 5h"),
        },
        ["day rolling 5h usd 5 | user budgets.day"],
    ),
    "weeks that begin on other days": (
        {"user": WEEK, "repo": SUNDAY + WEEK.replace("5", "3")},
        ["week usd 5 | user budgets.week", "week usd 3 sunday | repo budgets.week"],
    ),
    "a policy's first day of the week": (
        {"team": SUNDAY, "user": 'week_starts = "monday"\n' + WEEK},
        ["week usd 5 sunday | user budgets.week"],
    ),
    # -- groups
    "a member's group": (
        {"managed": group(ANA, budgets=FIVE)},
        ["day usd 5 | managed groups.pilot.budgets.day"],
    ),
    "members by a pattern, in any case": (
        {"team": group("*@EXAMPLE.com", budgets=FIVE)},
        ["day usd 5 | team groups.pilot.budgets.day"],
    ),
    "somebody else's group": ({"managed": group("bo@*", budgets=FIVE)}, []),
    "one pattern of several": (
        {"managed": group("bo@*", "an?@example.com", budgets=FIVE)},
        ["day usd 5 | managed groups.pilot.budgets.day"],
    ),
    "a group is no looser than everybody": (
        {"managed": THREE + group(ANA, budgets=FIVE)},
        ["day usd 3 | managed budgets.day"],
    ),
    "a group may be stricter": (
        {"managed": FIVE + group(ANA, budgets=THREE)},
        ["day usd 3 | managed groups.pilot.budgets.day"],
    ),
    "of two groups the stricter": (
        {
            "managed": group("ana@*", budgets=FIVE)
            + group("*@example.com", budgets=THREE, name="all")
        },
        ["day usd 3 | managed groups.all.budgets.day"],
    ),
    "a repository's team has groups too": (
        {"team repo": group("*", budgets=day("usd = 5", 'scope = "user"'))},
        ["day usd 5 user | team repo groups.pilot.budgets.day"],
    ),
    "local does not replace a group's": (
        {"team": group("*", budgets=FIVE), "local": NINE},
        ["day usd 5 | team groups.pilot.budgets.day"],
    ),
    # -- warnings and messages
    "warnings of all": (
        {"managed": FIVE + "warn_at = [0.5]\n", "repo": NINE + "warn_at = [0.9]\n"},
        ["day usd 5 warns 0.5 0.9 | managed budgets.day"],
    ),
    "warnings beside a stricter limit": (
        {"managed": FIVE + "warn_at = [0.5]\n", "repo": THREE},
        ["day usd 3 warns 0.5 | repo budgets.day"],
    ),
    "no layer says when to warn": (
        {"managed": FIVE, "repo": THREE},
        ["day usd 3 | repo budgets.day"],
    ),
    "one layer, no warning": (
        {"repo": FIVE + "warn_at = []\n"},
        ["day usd 5 warns | repo budgets.day"],
    ),
    "a policy's warnings are not taken away": (
        {"managed": FIVE + "warn_at = [0.5, 0.7]\n", "repo": THREE + "warn_at = []\n"},
        ["day usd 3 warns 0.5 0.7 | repo budgets.day"],
    ),
    "the message of the limit that holds": (
        {"managed": FIVE + 'message = "boss"\n', "repo": THREE + 'message = "repo"\n'},
        ['day usd 3 "repo" | repo budgets.day'],
    ),
    "a message stays when the limit tightens": (
        {"managed": FIVE + 'message = "boss"\n', "repo": THREE},
        ['day usd 3 "boss" | repo budgets.day'],
    ),
    "a message of a looser limit": (
        {"managed": FIVE, "repo": NINE + 'message = "repo"\n'},
        ['day usd 5 "repo" | managed budgets.day'],
    ),
}


@pytest.mark.parametrize(("files", "expected"), TABLE.values(), ids=TABLE)
def test_what_holds_and_from_where(place: Place, files: Files, expected: list[str]) -> None:
    place.write(files)
    policy = place.policy()
    assert policy.problems == ()
    assert [told(budget, place.name(budget)) for budget in policy.budgets] == expected


def test_the_table_is_of_all_layers() -> None:
    assert len(TABLE) >= 60
    assert {layer for files, _ in TABLE.values() for layer in files} == set(LAYERS)


def test_the_layer_of_a_budget_is_told_by_its_authority(place: Place) -> None:
    place.write({layer: day("usd = 1", name=f"b{n}") for n, layer in enumerate(LAYERS)})
    assert [(b.source.layer, b.source.shown) for b in place.policy().budgets] == [
        ("managed", str(place.files["managed"])),
        ("managed", str(place.files["managed.d"])),
        ("team", str(place.files["team"])),
        ("team", ".claude/budget-policy.toml"),
        ("local", ".claude/budget.local.toml"),
        ("user", "~/.claude/budget.toml"),
        ("repo", ".claude/budget.toml"),
    ]


def test_a_warning_by_default_is_not_taken_away_by_a_lower_layer(place: Place) -> None:
    place.write({"managed": FIVE, "repo": NINE + "warn_at = []\n"})
    assert [budget.warn_at for budget in place.policy().budgets] == [(0.8,)]


# -- what is not a budget --------------------------------------------------------------------------

BLOCK, ALLOW = 'on_error = "block"\n', 'on_error = "allow"\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "allow"),
        *(({layer: BLOCK}, "block") for layer in LAYERS),
        ({"managed": ALLOW, "repo": BLOCK}, "block"),
        ({"managed": BLOCK, "team": ALLOW, "local": ALLOW, "user": ALLOW, "repo": ALLOW}, "block"),
        ({"team repo": BLOCK, "local": ALLOW}, "block"),
        ({"local": ALLOW, "user": BLOCK, "repo": BLOCK}, "allow"),
        ({"user": ALLOW, "repo": BLOCK}, "block"),
    ],
    ids=str,
)
def test_any_layer_may_stop_on_errors_and_local_takes_back_its_own(
    place: Place, files: Files, expected: str
) -> None:
    place.write(files)
    assert place.policy().on_error == expected


def grants(usd: float) -> str:
    return f"[rules]\nmax_grant_usd = {usd}\n"


@pytest.mark.parametrize(
    ("files", "cap", "source"),
    [
        ({}, None, ""),
        ({"managed": grants(10)}, 10, "managed"),
        ({"managed": grants(10), "team": grants(20)}, 10, "managed"),
        ({"managed": grants(10), "team": grants(4)}, 4, "team"),
        ({"team": grants(4), "team repo": grants(0)}, 0, "team repo"),
        ({"managed.d": grants(0), "team": grants(4)}, 0, "managed.d"),
    ],
    ids=str,
)
def test_the_smallest_cap_on_grants_holds(
    place: Place, files: Files, cap: int | None, source: str
) -> None:
    place.write(files)
    policy = place.policy()
    assert policy.max_grant == (None if cap is None else cap * PICO)
    shown = {"team repo": ".claude/budget-policy.toml"}.get(source, "")
    shown = shown or (str(place.files[source]) if source else "")
    assert policy.max_grant_source == (f"{shown}, rules.max_grant_usd" if source else "")


@pytest.mark.parametrize("layer", ["local", "user", "repo"])
@pytest.mark.parametrize("text", [grants(5), group("*", budgets=FIVE), 'team = "x"\n'])
def test_a_config_may_not_say_what_only_policies_may(place: Place, layer: str, text: str) -> None:
    place.write({layer: text})
    policy = place.policy()
    assert (policy.budgets, policy.max_grant) == ((), None)
    (problem,) = policy.problems
    assert "got an unknown key" in problem


@pytest.mark.parametrize("giver", LAYERS)
def test_a_required_budget_may_come_from_any_layer(place: Place, giver: str) -> None:
    files = dict.fromkeys(LAYERS, "")
    files["managed"] = '[rules]\nrequire = ["day"]\n'
    place.write(files)
    assert place.policy().problems == (
        f'{place.files["managed"]}, rules.require: a budget "day" must exist, and no layer sets'
        " one. Add [budgets.day] to .claude/budget.toml, or ask who keeps the policy.",
    )
    files[giver] += FIVE
    place.write(files)
    assert place.policy().problems == ()


def test_a_required_budget_of_a_group_of_others_is_missing(place: Place) -> None:
    place.write({"managed": '[rules]\nrequire = ["day"]\n' + group("bo@*", budgets=FIVE)})
    assert len(place.policy().problems) == 1


@pytest.mark.parametrize(
    ("files", "tokens", "focus"),
    [
        ({"repo": "[advice]\ncontext_tokens = 9\n"}, 9, ""),
        (
            {
                "managed": "[advice]\ncontext_tokens = 7\n",
                "repo": '[advice]\ncontext_tokens = 9\nfocus = "a"\n',
            },
            7,
            "a",
        ),
        (
            {
                "local": '[advice]\nfocus = "mine"\n',
                "user": '[advice]\nfocus = "user"\ncontext_tokens = 3\n',
                "repo": "[advice]\ncontext_tokens = 9\n",
            },
            3,
            "mine",
        ),
    ],
    ids=str,
)
def test_each_setting_of_advice_is_the_highest_authoritys(
    place: Place, files: Files, tokens: int, focus: str
) -> None:
    place.write(files)
    policy = place.policy()
    assert (policy.advise_context_tokens, policy.focus) == (tokens, focus)


def test_only_files_that_do_not_come_with_a_clone_may_lower_prices(place: Place) -> None:
    place.write({layer: f"[prices]\nmultiplier = 0.{n + 1}\n" for n, layer in enumerate(LAYERS)})
    found = [(float(each["multiplier"]), each["may_lower"]) for each in place.policy().prices]
    assert found == [
        *((0.7, False), (0.6, True), (0.5, True)),  # repo, user, local
        *((0.4, False), (0.3, True), (0.2, True), (0.1, True)),
    ]


def cost(policy: Policy, model: str = "claude-sonnet-5") -> int:
    """What a step counts for budgets, in picodollars."""
    found = price(a_step(model=model), corrected(load_table(), policy.prices))
    return (found.picousd or 0) + found.bound_picousd


CHEAP = (
    '[prices.models."claude-sonnet-5"]\ninput = 0\noutput = 0\ncache_read = 0\ncache_write = 0\n'
)


@pytest.mark.parametrize("layer", ["team repo", "repo"])
@pytest.mark.parametrize("text", [CHEAP, "[prices]\nmultiplier = 0.01\n"])
def test_what_comes_with_a_clone_makes_nothing_cheaper(place: Place, layer: str, text: str) -> None:
    place.write({"user": FIVE})
    before = cost(place.policy())
    place.write({"user": FIVE, layer: text})
    assert cost(place.policy()) == before > 0


@pytest.mark.parametrize("layer", ["local", "user"])
@pytest.mark.parametrize("text", [CHEAP, "[prices]\nmultiplier = 0.01\n"])
def test_a_persons_prices_do_not_loosen_a_policy(place: Place, layer: str, text: str) -> None:
    place.write({"managed": FIVE})
    before = cost(place.policy())
    place.write({"managed": FIVE, layer: text})
    assert cost(place.policy()) == before


# -- a local file that git keeps -------------------------------------------------------------------

KEPT = (
    "is kept in git, so it is not one person's: it can tighten and not loosen."
    " `git rm --cached .claude/budget.local.toml` and .gitignore make it yours."
)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"local": NINE, "user": FIVE}, ["day usd 5 | user budgets.day"]),
        ({"local": NINE, "repo": FIVE}, ["day usd 5 | repo budgets.day"]),
        ({"local": THREE, "user": FIVE}, ["day usd 3 | local budgets.day"]),
        (
            {"local": day("steps = 1"), "user": FIVE},
            ["day usd 5 | user budgets.day", "day steps 1 | local budgets.day"],
        ),
    ],
    ids=str,
)
def test_a_local_file_that_git_keeps_only_tightens(
    place: Place, files: Files, expected: list[str]
) -> None:
    place.commit_local()
    place.write(files)
    policy = place.policy()
    assert [told(budget, place.name(budget)) for budget in policy.budgets] == expected
    assert policy.problems == (f"{place.files['local']} {KEPT}",)
    assert {b.source.layer for b in policy.budgets if place.name(b) == "local"} <= {"repo"}


def test_a_local_file_that_git_keeps_lifts_no_price_and_takes_no_block_back(place: Place) -> None:
    place.commit_local()
    place.write({"user": FIVE + CHEAP.replace("0\n", "1\n"), "local": ALLOW, "repo": BLOCK})
    before = cost(place.policy())
    place.write({"user": FIVE + CHEAP.replace("0\n", "1\n"), "local": ALLOW + CHEAP, "repo": BLOCK})
    assert (cost(place.policy()), place.policy().on_error) == (before, "block")


@pytest.mark.parametrize("setting", [TOKYO, SUNDAY])
def test_a_local_file_that_git_keeps_does_not_move_a_persons_windows(
    place: Place, setting: str
) -> None:
    place.commit_local()
    place.write({"user": WEEK})
    alone = place.policy().budgets
    place.write({"user": WEEK, "local": setting})
    assert place.policy().budgets == alone


def test_local_is_looked_at_again_when_git_begins_to_keep_it(place: Place) -> None:
    (place.folder / "project" / ".git").mkdir()
    place.project = paths.find_project(str(place.folder / "project"))
    place.write({"local": NINE, "user": FIVE})
    assert [budget.limit for budget in place.policy().budgets] == [9 * PICO]
    place.commit_local()
    assert [budget.limit for budget in place.policy().budgets] == [5 * PICO]


def test_in_the_home_folder_the_persons_file_is_not_a_repositorys_too(tmp_path: Path) -> None:
    config = tmp_path / ".claude" / "budget.toml"
    config.parent.mkdir()
    config.write_text("version = 1\n" + FIVE)
    env = {"HOME": str(tmp_path), "BUDGET_HOME": str(tmp_path / "state")}
    policy = pipeline.policy_of(env, paths.find_project(str(tmp_path)))
    assert [budget.source.layer for budget in policy.budgets] == ["user"]


# -- laws ------------------------------------------------------------------------------------------

BUDGET = st.fixed_dictionaries(
    {"per": st.sampled_from(["day", "session", "rolling 5h"])},
    optional={
        "usd": st.sampled_from([0, 1, 2.5, 7]),
        "steps": st.integers(0, 20),
        "scope": st.sampled_from(["project", "user"]),
        "on_exceed": st.sampled_from(["block", "ask", "advise"]),
        "stop": st.sampled_from(["before", "after"]),
        "models": st.sampled_from([["*opus*"], ["*haiku*"]]),
        "warn_at": st.lists(st.sampled_from([0.5, 0.8]), max_size=2),
        "message": st.sampled_from(["", "ask"]),
    },
).filter(lambda budget: "usd" in budget or "steps" in budget)
BUDGETS = st.dictionaries(st.sampled_from(["day", "x"]), BUDGET, max_size=2)
PRICES = st.fixed_dictionaries({}, optional={"multiplier": st.sampled_from([0.5, 1.0, 2.0])})
CONFIG = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "budgets": BUDGETS,
        "timezone": st.sampled_from(["Europe/Berlin", "Asia/Tokyo"]),
        "week_starts": st.sampled_from(["monday", "sunday"]),
        "on_error": st.sampled_from(["allow", "block"]),
        "prices": PRICES,
    },
)
GROUP = st.fixed_dictionaries(
    {"members": st.sampled_from([["ana@*"], ["bo@*"], ["*"]])}, optional={"budgets": BUDGETS}
)
RULES = st.fixed_dictionaries({}, optional={"max_grant_usd": st.sampled_from([0, 1, 5])})
POLICY = st.tuples(
    CONFIG, st.fixed_dictionaries({}, optional={"groups": st.just({}), "rules": RULES}), GROUP
).map(lambda each: {**each[0], **each[1], "groups": {"g": each[2]}})
MACHINE = st.fixed_dictionaries(
    {},
    optional={
        layer: POLICY if layer.startswith(("managed", "team")) else CONFIG for layer in LAYERS
    },
)
RANKS = {layer: min(number, 5) for number, layer in enumerate((*LAYERS[:6], "-"))} | {"repo": 6}
"""`local` is of the person, too; so nothing is asked of the two of them."""


def compiled(files: Mapping[str, Any]) -> Compiled:
    settings = []
    for layer in LAYERS:
        if layer in files:
            policy = layer.startswith(("managed", "team"))
            checked, problems = rules.checked(files[layer], policy)
            assert problems == []
            name = layer.partition(".")[0].partition(" ")[0]
            settings.append((Layer(name, layer, layer, layer != "team repo"), checked))
    whole: Compiled = json.loads(json.dumps(merged(settings, ANA)))
    return whole


def limits(policy: Compiled) -> dict[tuple[Any, ...], int]:
    """The lowest limit by all that makes two of them comparable."""
    found: dict[tuple[Any, ...], int] = {}
    for budget in map(policy_budget, policy["budgets"]):
        clock = (budget.timezone, budget.week_starts) if budget.per == "day" else ()
        filters = (budget.models, budget.agents, budget.branches)
        what = (budget.name, budget.per, budget.unit, budget.scope, budget.stop, budget.on_exceed)
        key = (*what, *filters, *clock)
        found[key] = min(budget.limit, found.get(key, budget.limit))
    return found


def no_looser(policy: Compiled, than: Compiled) -> None:
    before, after = limits(than), limits(policy)
    assert before.keys() <= after.keys()
    assert all(after[key] <= limit for key, limit in before.items())
    assert policy["on_error"] == "block" or than["on_error"] == "allow"
    if than["max_grant"] is not None:
        assert policy["max_grant"] is not None
        assert policy["max_grant"] <= than["max_grant"]


@given(MACHINE, st.sampled_from(LAYERS))
def test_a_layer_of_lower_authority_loosens_nothing(files: dict[str, Any], added: str) -> None:
    higher = {layer: text for layer, text in files.items() if RANKS[layer] < RANKS[added]}
    both = {**higher, added: files[added]} if added in files else higher
    no_looser(compiled(both), compiled(higher))


@given(MACHINE)
def test_whatever_the_rest_says_a_policy_holds(files: dict[str, Any]) -> None:
    policies = {layer: text for layer, text in files.items() if RANKS[layer] < RANKS["local"]}
    no_looser(compiled(files), compiled(policies))


@given(st.lists(MACHINE, min_size=2, max_size=5))
def test_nothing_that_holds_in_a_session_is_looser_than_what_it_began_with(
    edits: list[dict[str, Any]],
) -> None:
    began_with = compiled(edits[0])
    holds = began_with
    for edit in edits[1:]:
        before, now = holds, compiled(edit)
        holds = json.loads(json.dumps(held_to(before, now)))
        no_looser(holds, began_with)
        no_looser(holds, before)
        no_looser(holds, now)  # what tightens holds at once
        policies = [Policy(prices=tuple(each["prices"])) for each in (holds, began_with)]
        assert cost(policies[0]) >= cost(policies[1])


@given(st.lists(MACHINE, min_size=1, max_size=4))
def test_a_session_whose_files_do_not_change_is_held_to_nothing(
    edits: list[dict[str, Any]],
) -> None:
    for edit in edits:
        policy = compiled(edit)
        held = held_to(policy, policy)
        assert held["held"] == []
        assert limits(held) == limits(policy)


def test_prices_that_rise_hold_at_once(place: Place) -> None:
    place.write({"user": FIVE + "[prices]\nmultiplier = 0.5\n"})
    cheap = cost(place.policy("s1", begins=True))
    place.write({"user": FIVE})
    assert cost(place.policy("s1")) == 2 * cheap


def test_prices_that_rise_are_not_told_as_loosened(place: Place) -> None:
    place.write({"user": FIVE})
    place.policy("s1", begins=True)
    place.write({"user": FIVE + "[prices]\nmultiplier = 2\n"})
    assert place.policy("s1").held == ("prices",), "told as changed, not as loosened"


# -- in a session, with files ----------------------------------------------------------------------


def usd_limits(policy: Policy) -> list[int]:
    return [budget.limit // PICO for budget in policy.budgets]


def test_a_raised_limit_waits_for_the_next_session(place: Place) -> None:
    place.write({"repo": FIVE})
    assert usd_limits(place.policy("s1", begins=True)) == [5]
    place.write({"repo": NINE})
    held = place.policy("s1")
    assert usd_limits(held) == [5]
    assert held.held == ("budgets.day.usd of .claude/budget.toml",)
    assert usd_limits(place.policy("s2", begins=True)) == [9]
    assert usd_limits(place.policy("s1")) == [5]
    again = place.policy("s1", begins=True)
    assert (usd_limits(again), again.held) == ([9], ())


def test_a_lowered_limit_holds_at_once_and_stays(place: Place) -> None:
    place.write({"repo": FIVE})
    place.policy("s1", begins=True)
    place.write({"repo": THREE})
    lowered = place.policy("s1")
    assert (usd_limits(lowered), lowered.held) == ([3], ())
    place.write({"repo": FIVE})
    assert usd_limits(place.policy("s1")) == [3], "raising it again waits, too"


@pytest.mark.parametrize(
    "edit",
    [
        "",
        day("usd = 5", 'on_exceed = "advise"'),
        day("usd = 5", 'on_exceed = "ask"'),
        day("usd = 5", 'stop = "after"'),
        day("usd = 5", OPUS),
        day("usd = 5", per="session"),
        day("usd = 5", name="other"),
        day("steps = 1"),
        TOKYO + FIVE,
    ],
)
def test_a_budget_that_is_taken_away_or_changed_goes_on_in_the_session(
    place: Place, edit: str
) -> None:
    place.write({"repo": FIVE})
    place.policy("s1", begins=True)
    place.write({"repo": edit})
    held = place.policy("s1")
    assert "day usd 5 | repo budgets.day" in [told(b, "repo") for b in held.budgets]
    assert held.held == ("budgets.day.usd of .claude/budget.toml",)


def test_a_local_file_that_appears_waits(place: Place) -> None:
    place.write({"user": FIVE, "repo": THREE})
    place.policy("s1", begins=True)
    place.write({"user": FIVE, "repo": THREE, "local": NINE})
    assert usd_limits(place.policy("s1")) == [3]
    assert usd_limits(place.policy("s2", begins=True)) == [9]


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        ({"managed": grants(5)}, {"managed": grants(9)}, "rules.max_grant_usd"),
        ({"managed": grants(0)}, {}, "rules.max_grant_usd"),
        ({"repo": BLOCK}, {"repo": ALLOW}, "on_error"),
        ({"user": FIVE}, {"user": FIVE + "[prices]\nmultiplier = 0.5\n"}, "prices"),
    ],
    ids=str,
)
def test_rules_that_are_loosened_wait_and_are_named(
    place: Place, before: Files, after: Files, held: str
) -> None:
    place.write(before)
    began = place.policy("s1", begins=True)
    place.write(after)
    now = place.policy("s1")
    assert now.held == (held,)
    assert (now.max_grant, now.on_error) == (began.max_grant, began.on_error)
    assert cost(now) == cost(began)


def test_a_session_file_of_garbage_is_made_anew(place: Place) -> None:
    place.write({"repo": FIVE})
    place.policy("s1", begins=True)
    path = Path(paths.session_policy_files(place.env, place.project, "s1")[0])
    for garbage in (b"", b"\xff\xfe", b"{}\n[]", b"x held\n{", os.urandom(64)):
        path.write_bytes(garbage)
        assert usd_limits(place.policy("s1")) == [5]


def test_many_sessions_are_each_held_to_their_own(place: Place) -> None:
    for number in range(1, 6):
        place.write({"repo": day(f"usd = {number}")})
        place.policy(f"s{number}", begins=True)
    assert [usd_limits(place.policy(f"s{n}"))[0] for n in range(1, 6)] == [1, 2, 3, 4, 5]
