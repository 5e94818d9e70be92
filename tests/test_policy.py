"""Configs are refused with the line to mend, merged to the strictest, and compiled when changed."""

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import keys, rules
from budget.errors import ConfigError
from budget.evaluate import Decision, matches, spent
from budget.merge import Layer
from budget.model import (
    COUNTED_UNITS,
    LEVEL_UNITS,
    PICO,
    UNITS,
    Budget,
    Policy,
    Source,
    Spend,
    Usage,
    Verdict,
    Window,
)
from budget.policy import NO_POLICY, load_policy
from tests.samples import quick_folder

CENT = PICO // 100


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "budget.toml"


class Configs:
    """A user's and a repository's config, and where they are compiled to."""

    def __init__(self, folder: Path) -> None:
        self.user, self.repo = folder / "user.toml", folder / "repo.toml"
        self.compiled = folder / "state" / "policy.json"

    def load(self) -> Policy:
        layers = [
            Layer("user", str(self.user), "~/.claude/budget.toml"),
            Layer("repo", str(self.repo), ".claude/budget.toml"),
        ]
        return load_policy(layers, str(self.compiled))

    def source(self, path: Path, name: str) -> Source:
        layer, shown = {
            self.user: ("user", "~/.claude/budget.toml"),
            self.repo: ("repo", ".claude/budget.toml"),
        }[path]
        return Source(layer, str(path), f"budgets.{name}", shown)


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    return Configs(tmp_path)


def toml(*lines: str) -> str:
    return "\n".join(["version = 1", *lines, ""])


def day(limit: str = "usd = 5") -> str:
    return toml("[budgets.day]", 'per = "day"', limit)


# -- what a config says ----------------------------------------------------------------------------


def test_every_key_has_its_value(configs: Configs) -> None:
    configs.repo.write_text(
        toml(
            'timezone = "Europe/Berlin"',
            'on_error = "block"',
            'week_starts = "sunday"',
            "[budgets.session]",
            'per = "session"',
            'scope = "project"',
            "usd = 5.25",
            "steps = 100",
            "warn_at = [0.8, 0.5]",
            'on_exceed = "advise"',
            'stop = "after"',
            'message = "Ask in #ai-spend."',
            'models = ["*opus*"]',
            'agents = ["main", "Explore"]',
            'branches = ["main", "release/*"]',
            "[budgets.burst]",
            'per = "rolling 5h"',
            'scope = "user"',
            "cache_write_tokens = 1_000_000",
            "[budgets.level]",
            'on_exceed = "ask"',
            "context_tokens = 120_000",
            "five_hour_percent = 90",
            "seven_day_percent = 100",
            "[advice]",
            "context_tokens = 150_000",
            'focus = "code samples"',
            "[prices]",
            "multiplier = 0.85",
            'unknown = "claude-sonnet-5"',
            '[prices.models."acme-coder-x"]',
            "input = 2",
            "output = 4.5",
            "cache_write = 3",
        )
    )
    of_session = configs.source(configs.repo, "session")
    rest = ((0.5, 0.8), "advise", "Ask in #ai-spend.", of_session)
    where: tuple[Any, ...] = (
        "project",
        "after",
        ("*opus*",),
        ("main", "Explore"),
        ("main", "release/*"),
    )
    of_burst = ((0.8,), "block", "", configs.source(configs.repo, "burst"))
    of_level = ((0.8,), "ask", "", configs.source(configs.repo, "level"))
    clock = ("Europe/Berlin", "sunday")
    rates = {"input": "2.000000", "output": "4.500000", "cache_write_5m": "3.000000"}
    assert configs.load() == Policy(
        budgets=(
            Budget("session", "session", "usd", 525 * CENT, *rest, *clock, *where),
            Budget("session", "session", "steps", 100, *rest, *clock, *where),
            Budget("burst", "rolling 5h", "cache_write_tokens", 10**6, *of_burst, *clock, "user"),
            Budget("level", "session", "context_tokens", 120_000, *of_level, *clock),
            Budget("level", "session", "five_hour_percent", 90, *of_level, *clock),
            Budget("level", "session", "seven_day_percent", 100, *of_level, *clock),
        ),
        timezone="Europe/Berlin",
        on_error="block",
        advise_context_tokens=150_000,
        focus="code samples",
        prices=(
            {
                "models": {"acme-coder-x": rates},
                "multiplier": "0.850000",
                "unknown": "claude-sonnet-5",
                "may_lower": False,
            },
        ),
        problems=(),
    )


def test_without_a_config_there_is_no_budget(configs: Configs) -> None:
    assert configs.load() == NO_POLICY


def test_a_version_alone_is_a_config(configs: Configs) -> None:
    configs.repo.write_text("version = 1\n")
    assert configs.load() == NO_POLICY


@pytest.mark.parametrize(
    ("limit", "picousd"),
    [
        ("usd = 0", 0),
        ("usd = 0.0", 0),
        ("usd = 0.1", CENT * 10),
        ("usd = 0.000001", PICO // 10**6),
        ("usd = 19.99", 1999 * CENT),
        ("usd = 1_000_000", 10**6 * PICO),
        ("usd = 123456.789012", 123_456_789_012 * (PICO // 10**6)),
    ],
)
def test_dollars_are_exact_to_the_micro_dollar(config: Path, limit: str, picousd: int) -> None:
    config.write_text(day(limit))
    settings = rules.read_config(str(config))
    assert settings is not None
    assert settings["budgets"]["day"]["usd"] == picousd


# -- what is not valid -----------------------------------------------------------------------------

KEYS_OF_A_BUDGET = ", ".join(keys.BUDGET_KEYS)
ONE_LINE = "text on one line, at most 500 characters"
PERIODS = "session, hour, day, week, month, total or a rolling time such as rolling 5h (m, h or d)"
DOLLARS = "US dollars from 0 to 1000000"
FRACTIONS = "a list of fractions above 0 and below 1, such as [0.5, 0.8]"
RATE = "US dollars per million tokens, 0 or more"
WHOLE = "a whole number, 0 or more"
WEEKDAYS = " or ".join(
    f'"{name}"'
    for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)

INVALID = [
    # (the file, what is said after its name)
    ("", ", version: expected 1, the version of the format, got nothing."),
    ("version = 2\n", ", line 1, version: expected 1, the version of the format, got 2."),
    ("version = true\n", ", line 1, version: expected 1, the version of the format, got true."),
    (
        toml('on_eror = "block"'),
        f", line 2, on_eror: expected one of {', '.join(keys.FILE_KEYS)},"
        f" {', '.join(keys.TABLES)}, got an unknown key. Did you mean on_error?",
    ),
    (
        toml('on_error = "stop"'),
        ', line 2, on_error: expected "allow" or "block", got "stop".',
    ),
    (toml('week_starts = "Monday"'), f', line 2, week_starts: expected {WEEKDAYS}, got "Monday".'),
    (
        toml('timezone = "Europe/Atlantis"'),
        ', line 2, timezone: expected a time zone such as "Europe/Berlin", got "Europe/Atlantis".',
    ),
    (
        toml("timezone = 1"),
        ', line 2, timezone: expected a time zone such as "Europe/Berlin", got 1.',
    ),
    (
        toml('timezone = ""'),
        ', line 2, timezone: expected a time zone such as "Europe/Berlin", got "".',
    ),
    (
        toml("budgets = 5"),
        ", line 2, budgets: expected a table for each budget, such as [budgets.day], got 5.",
    ),
    (toml("advice = []"), ", line 2, advice: expected a table, got []."),
    (toml("budgets.day = 5"), ", line 2, budgets.day: expected a table, got 5."),
    (
        toml("[budgets.day]", 'per = "day"'),
        f", line 2, budgets.day: expected a limit: one of {', '.join(UNITS)}, got none.",
    ),
    (
        toml("[budgets.day]", "usd = 5"),
        ", line 2, budgets.day.per: expected what it counts over: session, day, month, ...,"
        " got nothing.",
    ),
    (
        toml("[budgets.day]", 'per = "year"', "usd = 5"),
        f', line 3, budgets.day.per: expected {PERIODS}, got "year".',
    ),
    (
        toml("# a comment", "", "[budgets.day] # [budgets.x]", 'per = "day"', 'usd = "5"'),
        f', line 6, budgets.day.usd: expected {DOLLARS}, got "5".',
    ),
    (day("usd = -1"), f", line 4, budgets.day.usd: expected {DOLLARS}, got -1."),
    (day("usd = 1_000_001"), f", line 4, budgets.day.usd: expected {DOLLARS}, got 1000001."),
    (day("usd = true"), f", line 4, budgets.day.usd: expected {DOLLARS}, got true."),
    (day("usd = nan"), f", line 4, budgets.day.usd: expected {DOLLARS}, got NaN."),
    (day("usd = inf"), f", line 4, budgets.day.usd: expected {DOLLARS}, got Infinity."),
    (day("usd = 2026-11-23"), f', line 4, budgets.day.usd: expected {DOLLARS}, got "2026-11-23".'),
    (day("usd = {a = 1}"), f", line 4, budgets.day.usd: expected {DOLLARS}, got a table."),
    (day("steps = 1.5"), f", line 4, budgets.day.steps: expected {WHOLE}, got 1.5."),
    (day("tokens = -1"), f", line 4, budgets.day.tokens: expected {WHOLE}, got -1."),
    (day("tokens = false"), f", line 4, budgets.day.tokens: expected {WHOLE}, got false."),
    (
        day("usd = 5\nwarn_at = 0.8"),
        f", line 5, budgets.day.warn_at: expected {FRACTIONS}, got 0.8.",
    ),
    (
        day("usd = 5\nwarn_at = [0.5, 80]"),
        f", line 5, budgets.day.warn_at: expected {FRACTIONS}, got [0.5, 80].",
    ),
    (
        day("usd = 5\nwarn_at = [1.0]"),
        f", line 5, budgets.day.warn_at: expected {FRACTIONS}, got [1.0].",
    ),
    (
        day('usd = 5\non_exceed = "stop"'),
        ', line 5, budgets.day.on_exceed: expected "block" or "ask" or "advise", got "stop".',
    ),
    (
        day('usd = 5\nscope = ["project"]'),
        ', line 5, budgets.day.scope: expected "project" or "user" or "team", got ["project"].',
    ),
    (
        day('usd = 5\nmessage = "two\\nlines"'),
        f', line 5, budgets.day.message: expected {ONE_LINE}, got "two\\nlines".',
    ),
    (
        day(f'usd = 5\nmessage = "{"x" * 501}"'),
        f', line 5, budgets.day.message: expected {ONE_LINE}, got "{"x" * 56}....',
    ),
    (
        day("usd = 5\nwarnat = [0.5]"),
        f", line 5, budgets.day.warnat: expected one of {KEYS_OF_A_BUDGET},"
        " got an unknown key. Did you mean warn_at?",
    ),
    (
        day("usd = 5\nquux = 1"),
        f", line 5, budgets.day.quux: expected one of {KEYS_OF_A_BUDGET}, got an unknown key.",
    ),
    (
        toml("[advice]", "context_token = 5"),
        f", line 3, advice.context_token: expected one of {', '.join(keys.ADVICE_KEYS)},"
        " got an unknown key. Did you mean context_tokens?",
    ),
]
INVALID_PRICES = [
    (
        toml("[prices]", "multiplier = 0"),
        ", line 3, prices.multiplier: expected a factor above 0, such as 0.85, got 0.",
    ),
    (
        toml("[prices.models.acme]", "input = 1"),
        ", line 2, prices.models.acme.output: expected US dollars per million tokens, got nothing.",
    ),
    (
        toml("[prices.models.acme]", "input = 1", "output = -1"),
        f", line 4, prices.models.acme.output: expected {RATE}, got -1.",
    ),
    (
        toml("[prices]", "models = 1"),
        ", line 3, prices.models: expected a table for each model,"
        ' such as [prices.models."acme-coder"], got 1.',
    ),
    (toml("prices = 1"), ", line 2, prices: expected a table, got 1."),
]
PATTERNS = 'a list of names or patterns, such as ["*opus*"]'
PERCENT = "whole percent from 1 to 100"
INVALID_FILTERS_AND_LEVELS = [
    (
        day('usd = 5\nmodels = "*opus*"'),
        f', line 5, budgets.day.models: expected {PATTERNS}, got "*opus*".',
    ),
    (day("usd = 5\nagents = []"), f", line 5, budgets.day.agents: expected {PATTERNS}, got []."),
    (
        day('usd = 5\nbranches = ["a", 1]'),
        f', line 5, budgets.day.branches: expected {PATTERNS}, got ["a", 1].',
    ),
    (
        day('context_tokens = 5\nmodels = ["a"]'),
        ", line 5, budgets.day.models: expected no models beside context_tokens, which is not"
        ' counted by steps, got ["a"].',
    ),
    (
        day('seven_day_percent = 5\nscope = "team"'),
        ", line 5, budgets.day.scope: expected no team scope beside seven_day_percent: a plan is a"
        ' person\'s, got "team".',
    ),
    (
        day("five_hour_percent = 0"),
        f", line 4, budgets.day.five_hour_percent: expected {PERCENT}, got 0.",
    ),
    (
        day("five_hour_percent = 99.5"),
        f", line 4, budgets.day.five_hour_percent: expected {PERCENT}, got 99.5.",
    ),
    (
        day("seven_day_percent = 101"),
        f", line 4, budgets.day.seven_day_percent: expected {PERCENT}, got 101.",
    ),
    (
        toml("[rules]", "max_grant_usd = 0"),
        f", line 2, rules: expected one of {', '.join(keys.FILE_KEYS)},"
        f" {', '.join(keys.TABLES)}, got an unknown key.",
    ),
]


@pytest.mark.parametrize(("text", "said"), INVALID + INVALID_PRICES + INVALID_FILTERS_AND_LEVELS)
def test_what_is_not_valid_is_named_by_line_key_and_what_was_expected(
    config: Path, text: str, said: str
) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value) == f"{config}{said}"


def test_every_problem_of_a_file_is_named(config: Path) -> None:
    config.write_text(toml("[budgets.a]", 'per = "day"', "usd = -1", "[budgets.b]", "steps = 1"))
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value).splitlines() == [
        f"{config}, line 4, budgets.a.usd: expected {DOLLARS}, got -1.",
        f"{config}, line 5, budgets.b.per: expected what it counts over: session, day, month, ...,"
        " got nothing.",
    ]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("version = \n", "Invalid value (at line 1, column 11)"),
        ("version = 1\n[budgets\n", "Expected ']' at the end of a table declaration"),
        ("version = 1\nversion = 1\n", "Cannot overwrite a value (at line 2, column 12)"),
        ('version = 1\nx = "a\n', "Illegal character '\\n' (at line 2, column 7)"),
        ("version = 1\n[a]\n[a]\n", "Cannot declare ('a',) twice (at line 3, column 3)"),
        ("version = 1\nx = 2026-02-30\n", "Invalid date or datetime"),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(config: Path, text: str, detail: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value).startswith(f"{config}: it is not valid TOML: {detail}")


def test_what_is_not_utf8_is_named_with_its_line(config: Path) -> None:
    config.write_bytes(b"version = 1\n# caf\xe9\n")
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value) == f"{config}, line 2: it is not UTF-8 text."


def test_a_file_that_is_too_large_is_refused(config: Path) -> None:
    config.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value) == f"{config}: it is larger than 1048576 bytes."


def a_folder(path: Path) -> None:
    path.mkdir()


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere.toml"))


def a_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs here")
    os.mkfifo(path)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("make", [a_folder, a_dangling_link, a_pipe])
def test_what_is_no_file_is_refused(config: Path, make: Any) -> None:
    make(config)
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value) == f"{config}: expected a file, got something else."


def test_a_link_to_a_config_is_read(config: Path) -> None:
    config.with_name("real.toml").write_text(day())
    config.symlink_to("real.toml")
    assert rules.read_config(str(config)) is not None


def test_a_file_that_is_not_there_is_none(config: Path) -> None:
    assert rules.read_config(str(config)) is None
    assert rules.read_config(str(config / "below.toml")) is None


def test_a_value_cannot_write_to_the_screen(config: Path) -> None:
    config.write_text(day('usd = "\\u009b2J\\u202e"'))
    with pytest.raises(ConfigError) as raised:
        rules.read_config(str(config))
    assert str(raised.value).isprintable()


TEXTS = st.text(st.sampled_from("[]{}=\"'\\.,#\n 1230-:TZ_xeinfabversion"), max_size=80)


@given(TEXTS)
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    with quick_folder() as folder:
        path = Path(folder, "budget.toml")
        path.write_text("version = 1\n" + text)
        try:
            settings = rules.read_config(str(path))
        except ConfigError as error:
            assert str(error).startswith(str(path))
        else:
            assert settings is not None


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
KEYS = st.sampled_from([*keys.FILE_KEYS, *keys.TABLES, *keys.BUDGET_KEYS, "day", "models", "x"])
TREES = st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=8)


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_any_values_are_settings_or_problems_that_can_be_explained(raw: dict[str, Any]) -> None:
    settings, found = rules.checked(raw)
    json.dumps(settings)
    for problem in found:
        assert rules.explain("f.toml", "", problem).startswith("f.toml, ")


# -- several layers --------------------------------------------------------------------------------


def test_a_layer_adds_budgets_and_tightens_those_above(configs: Configs) -> None:
    configs.user.write_text(day("usd = 5\nsteps = 10"))
    configs.repo.write_text(
        day("usd = 2\nsteps = 99") + '[budgets.session]\nper = "session"\nusd = 1\n'
    )
    found = [(b.name, b.unit, b.limit, b.source) for b in configs.load().budgets]
    assert found == [
        ("day", "usd", 2 * PICO, configs.source(configs.repo, "day")),
        ("day", "steps", 10, configs.source(configs.user, "day")),
        ("session", "usd", PICO, configs.source(configs.repo, "session")),
    ]


def test_of_equal_limits_the_higher_authoritys_holds(configs: Configs) -> None:
    configs.user.write_text(day('usd = 5\nmessage = "mine"'))
    configs.repo.write_text(day('usd = 5\nmessage = "theirs"'))
    assert [budget.message for budget in configs.load().budgets] == ["mine"]


def test_a_lower_limit_that_only_advises_does_not_replace_one_that_blocks(
    configs: Configs,
) -> None:
    configs.user.write_text(day("usd = 5"))
    configs.repo.write_text(day('usd = 2\non_exceed = "advise"'))
    found = [(budget.limit, budget.on_exceed) for budget in configs.load().budgets]
    assert found == [(5 * PICO, "block"), (2 * PICO, "advise")]


def test_settings_are_the_higher_authoritys_and_blocking_is_anyones(configs: Configs) -> None:
    configs.user.write_text(
        toml('timezone = "Europe/Berlin"', 'on_error = "allow"', "[advice]", "context_tokens = 5")
    )
    configs.repo.write_text(
        toml(
            'timezone = "Asia/Tokyo"',
            'week_starts = "sunday"',
            'on_error = "block"',
            "[advice]",
            "context_tokens = 9",
            'focus = "tests"',
        )
    )
    policy = configs.load()
    assert policy.timezone == "Europe/Berlin"
    assert (policy.advise_context_tokens, policy.focus) == (5, "tests")
    assert policy.on_error == "block"


def test_prices_of_a_person_may_be_lower_and_come_last(configs: Configs) -> None:
    configs.user.write_text(toml("[prices]", "multiplier = 0.5"))
    configs.repo.write_text(toml("[prices]", "multiplier = 2"))
    told = [(each["multiplier"], each["may_lower"]) for each in configs.load().prices]
    assert told == [("2.000000", False), ("0.500000", True)]


BUDGETS = st.dictionaries(
    st.sampled_from(["day", "team", "x"]),
    st.fixed_dictionaries(
        {"per": st.sampled_from(["day", "session", "rolling 5h"])},
        optional={
            "usd": st.sampled_from([0, 1, 2.5, 7]),
            "steps": st.integers(0, 20),
            "tokens": st.integers(0, 20),
            "on_exceed": st.sampled_from(["block", "advise"]),
            "warn_at": st.lists(st.sampled_from([0.5, 0.8]), max_size=2),
        },
    ).filter(lambda budget: any(unit in budget for unit in UNITS)),
    max_size=3,
)


def as_toml(budgets: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, table in budgets.items():
        lines += [f"[budgets.{name}]", *(f"{key} = {json.dumps(v)}" for key, v in table.items())]
    return toml(*lines)


def strictest(policy: Policy) -> dict[tuple[str, str, str, str], int]:
    """The limit in force by (name, per, unit, what it does)."""
    found: dict[tuple[str, str, str, str], int] = {}
    for budget in policy.budgets:
        for on_exceed in {budget.on_exceed, "any"}:
            key = (budget.name, budget.per, budget.unit, on_exceed)
            found[key] = min(budget.limit, found.get(key, budget.limit))
    return found


@given(st.lists(BUDGETS, min_size=1, max_size=4), st.data())
def test_another_layer_never_loosens_a_limit(
    layers: list[dict[str, dict[str, Any]]], data: st.DataObject
) -> None:
    """Wherever it stands in authority."""
    with quick_folder() as folder:
        files = []
        for number, budgets in enumerate(layers):
            path = Path(folder, f"{number}.toml")
            path.write_text(as_toml(budgets))
            files.append(Layer(f"layer {number}", str(path), path.name))
        added = data.draw(st.integers(0, len(files) - 1))
        without = load_policy([*files[:added], *files[added + 1 :]], f"{folder}/without.json")
        policy = load_policy(files, f"{folder}/all.json")
    assert without.problems == policy.problems == ()
    before, after = strictest(without), strictest(policy)
    assert before.keys() <= after.keys()
    assert all(after[key] <= limit for key, limit in before.items())


@pytest.mark.parametrize("setting", ['timezone = "Pacific/Kiritimati"', 'week_starts = "friday"'])
def test_a_repository_does_not_move_the_windows_of_a_persons_budget(
    configs: Configs, setting: str
) -> None:
    """A window that begins later today has forgotten what was spent this morning."""
    configs.user.write_text(day())
    alone = configs.load()
    configs.repo.write_text(toml(setting))
    policy = configs.load()
    assert policy.budgets == alone.budgets


# -- compiled --------------------------------------------------------------------------------------


def test_it_is_compiled_again_only_when_a_file_changed(configs: Configs) -> None:
    configs.repo.write_text(day())
    first = configs.load()

    def written() -> int:
        return configs.compiled.stat().st_ino

    compiled = written()
    assert configs.load() == first
    assert written() == compiled

    configs.user.write_text(day("usd = 1"))  # another layer appears
    assert [budget.limit for budget in configs.load().budgets] == [PICO]
    compiled, before = written(), compiled
    assert compiled != before

    status = configs.user.stat()  # the same size and content, another time
    os.utime(configs.user, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    configs.load()
    compiled, before = written(), compiled
    assert compiled != before

    configs.user.unlink()  # a layer goes
    assert configs.load() == first
    assert written() != compiled


def test_a_config_of_the_same_size_and_time_in_another_file_is_seen(configs: Configs) -> None:
    configs.repo.write_text(day("usd = 5"))
    configs.load()
    status = configs.repo.stat()
    other = configs.repo.with_suffix(".new")
    other.write_text(day("usd = 7"))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, configs.repo)
    assert [budget.limit for budget in configs.load().budgets] == [7 * PICO]


def test_the_last_valid_version_of_a_config_stays_in_force(configs: Configs) -> None:
    configs.user.write_text(day("usd = 5"))
    configs.repo.write_text(day("usd = 3"))
    valid = configs.load()
    configs.repo.write_text(day("usd = -3"))
    spoilt = configs.load()
    assert spoilt.budgets == valid.budgets
    assert spoilt.problems == (
        f"{configs.repo}, line 4, budgets.day.usd: expected {DOLLARS}, got -3.\n"
        "Until this is mended, its last valid version stays in force.",
    )
    assert configs.load() == spoilt  # from the compiled file
    configs.user.write_text(day("usd = 2"))  # the other layer goes on
    assert [budget.limit for budget in configs.load().budgets] == [2 * PICO]
    configs.user.write_text(day("usd = 9"))
    assert [budget.limit for budget in configs.load().budgets] == [3 * PICO]
    configs.repo.write_text(day("usd = 4"))
    mended = configs.load()
    assert ([budget.limit for budget in mended.budgets], mended.problems) == ([4 * PICO], ())


@pytest.mark.parametrize("make", [a_folder, a_dangling_link, a_pipe])
def test_what_takes_the_place_of_a_config_does_not_lift_its_budgets(
    configs: Configs, make: Any
) -> None:
    configs.repo.write_text(day("usd = 3"))
    valid = configs.load()
    configs.repo.unlink()
    make(configs.repo)
    policy = configs.load()
    assert policy.budgets == valid.budgets
    assert policy.problems == (
        f"{configs.repo}: expected a file, got something else.\n"
        "Until this is mended, its last valid version stays in force.",
    )


def test_a_config_that_was_never_valid_holds_in_no_part(configs: Configs) -> None:
    configs.repo.write_text(day("usd = 3") + "[budgets.x]\n")
    policy = configs.load()
    assert policy.budgets == ()
    assert policy.problems[0].endswith("\nUntil this is mended, nothing of it holds.")


def test_a_config_that_was_deleted_holds_no_longer(configs: Configs) -> None:
    configs.repo.write_text(day())
    assert configs.load().budgets
    configs.repo.unlink()
    assert configs.load() == NO_POLICY


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "null", "{}", '{"budgets": 5}', '{"budgets": [[]]}', "\0"]
)
def test_a_compiled_file_of_garbage_is_made_anew(configs: Configs, garbage: str) -> None:
    configs.repo.write_text(day())
    valid = configs.load()
    configs.compiled.write_text(garbage)
    assert configs.load() == valid
    assert json.loads(configs.compiled.read_text())


def test_where_nothing_can_be_compiled_the_policy_holds_all_the_same(configs: Configs) -> None:
    configs.compiled.parent.touch()  # a file in place of the folder
    configs.repo.write_text(day())
    assert [budget.limit for budget in configs.load().budgets] == [5 * PICO]


# -- verdicts --------------------------------------------------------------------------------------

SOURCE = Source("user", "/home/.claude/budget.toml", "budgets.day", "~/.claude/budget.toml")


def verdict(amount: int, limit: int, *marks: float, on_exceed: str = "block") -> Verdict:
    budget = Budget("day", "day", "steps", limit, marks, on_exceed, "", SOURCE)
    return Verdict(budget, Window(0, None), amount)


@pytest.mark.parametrize(
    ("amount", "state", "mark", "left"),
    [
        (0, "ok", None, 100),
        (49, "ok", None, 51),
        (50, "warned", 0.5, 50),
        (79, "warned", 0.5, 21),
        (80, "warned", 0.8, 20),
        (99, "warned", 0.8, 1),
        (100, "exceeded", 0.8, 0),
        (250, "exceeded", 0.8, 0),
    ],
)
def test_a_budget_is_used_up_at_its_limit_and_warned_of_at_its_marks(
    amount: int, state: str, mark: float | None, left: int
) -> None:
    found = verdict(amount, 100, 0.5, 0.8)
    assert (found.state, found.passed_mark, found.left) == (state, mark, left)


def test_a_limit_of_zero_is_used_up_before_the_first_step() -> None:
    assert verdict(0, 0).exceeded
    assert verdict(0, 0).fraction == 1.0


def test_a_decision_blocks_advises_and_warns() -> None:
    blocks, advises = verdict(5, 5), verdict(5, 5, on_exceed="advise")
    warns, fine = verdict(4, 5, 0.8), verdict(1, 5, 0.8)
    decision = Decision((blocks, advises, warns, fine))
    assert decision.blocking == (blocks,)
    assert decision.advising == (advises,)
    assert decision.warned == (warns,)


def test_each_unit_counts_its_own() -> None:
    tokens = Usage(2, 30, 400, 5_000, 60_000, 7)
    spend = Spend(1, *tokens, 8 * PICO, 9 * PICO, 17 * PICO, 10 * PICO, 1)
    added_up = ("usd", *COUNTED_UNITS)
    assert set(UNITS) == {*added_up, *LEVEL_UNITS}
    counted = {
        unit: spent(Budget("b", "day", unit, 1, (), "block", "", SOURCE), spend)
        for unit in added_up
    }
    assert counted == {
        "usd": (8 + 9 + 10) * PICO,
        "tokens": 2 + 30 + 400 + 5_000 + 60_000,
        "input_tokens": 2,
        "output_tokens": 30,
        "cache_read_tokens": 400,
        "cache_write_tokens": 65_000,
        "steps": 1,
    }


def test_a_filtered_budget_leaves_out_what_no_step_tells_of() -> None:
    spend = Spend(picousd=8, bound_picousd=9, unattributed_picousd=17)
    budget = Budget("b", "day", "usd", 1, (), "block", "", SOURCE)
    assert spent(budget, spend) == 8 + 9 + 17
    one = ("*",)
    for filtered in (
        budget._replace(models=one),
        budget._replace(agents=one),
        budget._replace(branches=one),
    ):
        assert spent(filtered, spend) == 8 + 9


@given(st.text("ab-", max_size=8), st.text("ab-**?[]!", max_size=6))
def test_patterns_of_filters_match_as_those_of_a_shell(text: str, pattern: str) -> None:
    assert matches(text, pattern) == fnmatchcase(text, pattern)
