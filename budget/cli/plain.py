"""The plain forms of `budget report`, `import` and `statusline`, without the parser.

typer and what it brings take 0.1 s to load, longer than a report takes. Here only whole options
with their values apart are known; for anything else (help, a mistake, `--since=2026-11-23`) the
answer is that the parser is needed. A test holds both to the same options and the same meaning.
"""

from importlib import import_module
from typing import Any, NamedTuple

from budget.report import VIEWS


class Form(NamedTuple):
    """What a command takes, by the name of the parameter."""

    module: str
    """Has a `run` with these parameters."""
    views: tuple[str, ...] = ()
    flags: dict[str, str] = {}  # noqa: RUF012 - never written to
    values: dict[str, str] = {}  # noqa: RUF012


FORMS = {
    "report": Form(
        "show_report",
        VIEWS,
        {"--all": "every", "--json": "json", "--csv": "as_csv"},
        {
            "--since": "since",
            "--until": "until",
            "--timezone": "timezone",
            "--project": "project",
        },
    ),
    "import": Form(
        "run_import",
        flags={"--json": "json"},
        values={"--project": "project", "--path": "path"},
    ),
    "statusline": Form(
        "run_statusline",
        flags={"--plain": "plain"},
        values={"--format": "form", "--with": "other"},
    ),
}


def arguments(words: list[str]) -> dict[str, Any] | None:
    """The parameters that a command line tells of; None for one that needs the parser."""
    form = FORMS.get(words[0]) if words else None
    if form is None:
        return None
    told: dict[str, Any] = {}
    rest = iter(words[1:])
    for word in rest:
        if word in form.flags:
            told[form.flags[word]] = True
        elif word in form.values:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
            told[form.values[word]] = value
        elif word in form.views and "by" not in told:
            told["by"] = word
        else:
            return None
    return told


def run(command: str, told: dict[str, Any]) -> None:
    """Runs a command of `FORMS`. Raises what it raises."""
    import_module(f"budget.cli.{FORMS[command].module}").run(**told)
