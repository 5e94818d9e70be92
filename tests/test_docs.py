"""What the documents show is true: examples run, tables are complete, links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from budget import keys, line_format, rules
from budget.billing import LINE_FIELDS
from budget.cli.app import app
from budget.export import FIELDS
from tests.plugin import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def examples(language: str) -> list[str]:
    pattern = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    return [text for path in DOCUMENTS for text in pattern.findall(path.read_text())]


def commands() -> set[str]:
    return {command.name or "" for command in app.registered_commands}


def test_there_are_examples_to_test() -> None:
    assert len(examples("toml")) >= 1
    assert len(examples("sh")) >= 2


@pytest.mark.parametrize("text", examples("toml"))
def test_every_config_example_is_valid(text: str) -> None:
    raw = tomllib.loads(text)
    _, problems = rules.checked(raw, policy=bool({"team", *keys.POLICY_TABLES} & set(raw)))
    assert problems == []


def test_the_one_line_of_the_readme_sets_a_valid_budget(tmp_path: Path) -> None:
    line = next(text for text in examples("sh") if "printf" in text)
    subprocess.run(["sh", "-ec", line], cwd=tmp_path, check=True)
    settings = rules.read_config(str(tmp_path / ".claude" / "budget.toml"))
    assert settings is not None
    assert settings["budgets"]["day"]["usd"] == 20 * 10**12


def test_the_readme_lists_every_command_and_no_other() -> None:
    table = re.findall(r"^\| `budget (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(table) == commands()


def test_no_document_names_a_command_that_is_not_built() -> None:
    named = {
        name for path in DOCUMENTS for name in re.findall(r"`budget ([a-z]+)", path.read_text())
    }
    assert named <= commands()


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("## Keys of the file", keys.FILE_KEYS),
        ("## Keys of a budget", keys.BUDGET_KEYS),
        ("## Keys of `[advice]`", keys.ADVICE_KEYS),
        ("## Keys of `[statusline]`", keys.STATUSLINE_KEYS),
        ("## Keys of `[prices]`", {**keys.PRICES_KEYS, **keys.MODEL_KEYS}),
    ],
)
def test_the_configuration_page_lists_every_key(heading: str, keys: dict[str, object]) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.split(heading)[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(keys)


def test_the_tables_of_keys_and_the_schemas_are_made_of_the_table_of_keys() -> None:
    check = [sys.executable, "docs/tables.py", "--check"]
    run = subprocess.run(check, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), "run: python docs/tables.py"


def test_the_export_page_lists_every_field() -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    entries, _, invoices = page.partition("## Invoices")
    assert tuple(re.findall(r"^\| `(\w+)` \|", entries, re.MULTILINE)) == FIELDS
    assert tuple(re.findall(r"^\| `(\w+)` \|", invoices, re.MULTILINE)) == LINE_FIELDS


def test_the_status_line_page_lists_every_field() -> None:
    page = (ROOT / "docs" / "statusline.md").read_text()
    table = re.findall(r"^\| `\{(\w+)\}` \| (.*) \| `(.*)` \|$", page, re.MULTILINE)
    fields = line_format.FIELDS.items()
    assert table == [(name, field.means, field.example) for name, field in fields]
    assert f"```\n{line_format.DEFAULT}\n```" in page


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
