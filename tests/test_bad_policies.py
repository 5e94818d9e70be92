"""A file of any layer that cannot be used is named once, and its last valid version holds on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from budget import paths
from budget.model import PICO
from tests.test_merge import FIVE, LAYERS, NINE, Place, day, group

Spoil = Callable[[Path], object]


def writes(text: str | bytes) -> Spoil:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda path: path.write_bytes(data)


def large(path: Path) -> None:
    """50 MB that take no room."""
    path.touch()
    os.truncate(path, 50 * 1024 * 1024)


def limit(text: str) -> Spoil:
    return writes("version = 1\n" + day(f"usd = {text}"))


DOLLARS = "line 4, budgets.day.usd: expected US dollars from 0 to 1000000, got "
SPOILS: dict[str, tuple[Spoil, str]] = {
    "not UTF-8": (writes(b"version = 1\n# caf\xe9\n"), "line 2: it is not UTF-8 text."),
    "UTF-16": (writes("version = 1\n".encode("utf-16")), "line 1: it is not UTF-8 text."),
    "NUL": (writes(b"version = 1\n\0"), "it is not valid TOML: "),
    "50 MB": (large, "it is larger than 1048576 bytes."),
    "deep nesting": (writes("x = " + "[" * 100_000), "it is not valid TOML: "),
    "deep tables": (writes("version = 1\n[" + "a." * 50_000 + "a]\n"), ""),
    "torn": (writes("version = 1\n[budgets.day"), "it is not valid TOML: "),
    "empty": (writes(""), "version: expected 1, the version of the format, got nothing."),
    "a directory": (Path.mkdir, "expected a file, got something else."),
    "a dangling link": (
        lambda path: path.symlink_to("nowhere"),
        "expected a file, got something else.",
    ),
    "a link to itself": (
        lambda path: path.symlink_to(path),
        "expected a file, got something else.",
    ),
    "below zero": (limit("-1"), f"{DOLLARS}-1."),
    "no number": (limit("nan"), f"{DOLLARS}NaN."),
    "infinity": (limit("inf"), f"{DOLLARS}Infinity."),
    "1e300": (limit("1e300"), f"{DOLLARS}1e+300."),
    "5000 digits": (limit("9" * 5_000), "it is not valid TOML: "),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("spoil", "said"), SPOILS.values(), ids=SPOILS)
def test_the_last_valid_version_of_any_layer_holds_on(
    place: Place, layer: str, spoil: Spoil, said: str
) -> None:
    place.write({layer: FIVE})
    valid = place.policy("s1", begins=True)
    path = place.files[layer]
    remove(path)
    spoil(path)
    for policy in (place.policy("s1"), place.policy("s2", begins=True), place.policy()):
        assert policy.budgets == valid.budgets
        (problem,) = policy.problems
        assert problem.startswith(f"{path}") and said in problem
        assert problem.endswith("\nUntil this is mended, its last valid version stays in force.")
        assert len(problem) < len(str(path)) + 2_000
        assert problem.replace("\n", "").isprintable()
    remove(path)
    path.write_text("version = 1\n" + NINE)
    mended = place.policy("s3", begins=True)
    assert ([budget.limit for budget in mended.budgets], mended.problems) == ([9 * PICO], ())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("spoil", ["below zero", "a directory", "deep nesting"])
def test_what_was_never_valid_holds_in_no_part_and_the_others_do(
    place: Place, layer: str, spoil: str
) -> None:
    others = [each for each in LAYERS if each != layer]
    place.write({each: day("usd = 5", name=f"b{LAYERS.index(each)}") for each in others})
    SPOILS[spoil][0](place.files[layer])
    policy = place.policy()
    assert [place.name(budget) for budget in policy.budgets] == others
    (problem,) = policy.problems
    assert problem.startswith(str(place.files[layer]))
    assert problem.endswith("\nUntil this is mended, nothing of it holds.")


def test_all_layers_spoilt_are_all_named(place: Place) -> None:
    place.write(dict.fromkeys(LAYERS, FIVE))
    valid = place.policy()
    for path in place.files.values():
        path.write_text("version = 3\n")
    policy = place.policy()
    assert policy.budgets == valid.budgets
    assert [problem.partition(",")[0] for problem in policy.problems] == [
        str(path) for path in place.files.values()
    ]


POLICY_PROBLEMS = [
    (
        "[rules]\nmax_grant_usd = -1\n",
        "line 3, rules.max_grant_usd: expected US dollars from 0 to 1000000, got -1.",
    ),
    (
        "[rules]\nmax_grant = 5\n",
        "line 3, rules.max_grant: expected one of max_grant_usd, require, got an unknown key."
        " Did you mean max_grant_usd?",
    ),
    (
        '[rules]\nrequire = "day"\n',
        'line 3, rules.require: expected a list of names of budgets, such as ["day"], got "day".',
    ),
    ("rules = 5\n", "line 2, rules: expected a table, got 5."),
    (
        "groups = 5\n",
        "line 2, groups: expected a table for each group, such as [groups.pilot], got 5.",
    ),
    ("[groups]\npilot = 5\n", "line 3, groups.pilot: expected a table, got 5."),
    (
        "[groups.pilot]\n",
        "line 2, groups.pilot.members: expected a list of people, got nothing.",
    ),
    (
        '[groups.pilot]\nmembers = "ana"\n',
        "line 3, groups.pilot.members: expected a list of people, such as"
        ' ["ana@example.com", "*@pilot.example.com"], got "ana".',
    ),
    (
        group("*", budgets=day("usd = -1")),
        "line 6, groups.pilot.budgets.day.usd: expected US dollars from 0 to 1000000, got -1.",
    ),
    pytest.param(
        group("*") + "[groups.pilot.budgets.day]\nusd = 1\n",
        "line 4, groups.pilot.budgets.day.per: expected what it counts over: session, day,"
        " month, ..., got nothing.",
        id="a missing key of an inner table",
    ),
    (
        group("*").replace("pilot", '"x; rm"'),
        "line 2, groups.x; rm: expected a name of at most 40 letters, digits, spaces, dots, dashes"
        ' or underscores, got "x; rm".',
    ),
    ("team = 5\n", "line 2, team: expected text on one line, at most 100 characters, got 5."),
]


@pytest.mark.parametrize("layer", ["managed", "managed.d", "team", "team repo"])
@pytest.mark.parametrize(("text", "said"), POLICY_PROBLEMS)
def test_what_is_not_valid_in_a_policy_is_named_by_line_and_key(
    place: Place, layer: str, text: str, said: str
) -> None:
    place.write({layer: text})
    (problem,) = place.policy().problems
    told = f"{place.files[layer]}, {said}\nUntil this is mended, nothing of it holds."
    assert problem == told


def test_a_path_of_the_environment_that_leads_nowhere_is_no_policy(place: Place) -> None:
    place.env["BUDGET_POLICY"] = os.pathsep.join(("", "/nowhere/policy.toml", str(place.folder)))
    (problem,) = place.policy().problems
    assert problem.startswith(f"{place.folder}: expected a file, got something else.")


def test_every_file_that_the_environment_names_holds(place: Place) -> None:
    other = place.folder / "other.toml"
    other.write_text("version = 1\n" + day("usd = 1", name="other"))
    place.env["BUDGET_POLICY"] = os.pathsep.join((str(place.files["team"]), str(other)))
    place.write({"team": FIVE})
    assert [budget.source.file for budget in place.policy().budgets] == [
        str(place.files["team"]),
        str(other),
    ]
    assert paths.team_policies(place.env, place.project)[1:] == [
        str(place.files["team"]),
        str(other),
    ]
