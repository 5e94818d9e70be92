"""What `budget report` does, without its parser."""

import sys
from typing import Any

from budget import report as reports
from budget.cli import days, place
from budget.errors import OptionError


def run(
    by: str = "daily",
    since: str = "",
    until: str = "",
    timezone: str = "",
    every: bool = False,
    project: str = ".",
    json: bool = False,
    as_csv: bool = False,
) -> None:
    """Raises `OptionError` for a date or a time zone that is none."""
    env, found = place.environment(), place.find(project)
    name, tz = zone_of(timezone, env, found)
    query = reports.Query(by, *days.period(since, until, tz), tz)
    ledgers = reports.open_ledgers(env, found, every, place.left_out)
    try:
        made = reports.make(query, ledgers)
    finally:
        for ledger in ledgers:
            ledger.close()
    if json:
        _print_json(made, query, name)
    elif as_csv:
        _print_csv(made)
    else:
        from budget.render import show_report

        show_report(made, query.by, _nothing(query, every))


def _nothing(query: reports.Query, every: bool) -> str:
    """What is said where there is nothing to show."""
    where = "anywhere" if every else "in this project"
    if query.since or query.until:
        first = f" from {query.since}" if query.since else ""
        last = f" to {query.until}" if query.until else " on"
        return f"Nothing is booked {where}{first}{last}."
    others = "" if every else "; [bold]--all[/bold] shows those of all projects"
    return (
        f"Nothing is booked {where} yet. [bold]budget import[/bold] books older sessions{others}."
    )


def zone_of(timezone: str, env: dict[str, str], project: Any) -> tuple[str, Any]:
    from budget import pipeline
    from budget.windows import system_zone_name, zone

    if not timezone:
        timezone = pipeline.policy_of(env, project).timezone
    try:
        return timezone or system_zone_name(), zone(timezone)
    except ValueError as error:
        raise OptionError(f"--timezone: {error}.") from None


def _print_json(made: reports.Report, query: reports.Query, timezone: str) -> None:
    import json

    facts = {
        "by": query.by,
        "since": query.since.isoformat() if query.since else None,
        "until": query.until.isoformat() if query.until else None,
        "timezone": timezone,
        "rows": [reports.row_facts(key, spend) for key, spend in made.rows.items()],
        "total": reports.row_facts("total", made.total),
        "unpriced_models": made.unpriced_models,
        "skipped_lines": made.skipped_lines,
        "grants": list(made.grants),
    }
    # A field a line, without indentation: that comes from an encoder ten times as slow.
    print(json.dumps(facts, separators=(",\n", ": ")))


def _print_csv(made: reports.Report) -> None:
    import csv

    from budget.export import spreadsheet_safe

    rows = [reports.row_facts(key, spend) for key, spend in made.rows.items()]
    writer = csv.DictWriter(sys.stdout, fieldnames=reports.FACTS)
    writer.writeheader()
    writer.writerows(map(spreadsheet_safe, rows))
