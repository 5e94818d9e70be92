"""`budget verify`: whether ledgers are as they were booked."""

import json as json_module
import os
import sys
from typing import Annotated, Any

import typer

from budget.cli import options


def verify(
    project: options.Project = ".",
    every: Annotated[bool, typer.Option("--all", help="All projects of this machine.")] = False,
    transcripts: Annotated[
        bool, typer.Option("--transcripts", help="Compare with the transcripts that are there.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Check that nothing in the ledger was changed, removed or inserted since it was booked.

    Every entry against the chain it is part of, every total against its entries, and the file
    itself. Exit code 0: all is as it was booked; 3: it is not, and each finding is named.
    """
    from budget import paths

    env = options.environment()
    own = paths.ledger_file(env, options.find(project))
    people = paths.people_ledger_file(env)
    files = [*paths.all_ledgers(env), people] if every else [own]
    facts = [_facts(path, transcripts) for path in files if os.path.exists(path)]
    if json:
        typer.echo(json_module.dumps({"ledgers": facts}, indent=2))
    elif not facts:
        typer.echo("Nothing is booked here yet: there is no ledger to check.")
    for fact in [] if json else facts:
        _show(fact)
    if any(fact["findings"] for fact in facts):
        raise typer.Exit(3)


def _facts(path: str, transcripts: bool) -> dict[str, Any]:
    """What was found in one ledger. One that cannot be read at all is a finding, too."""
    from budget.errors import LedgerError
    from budget.verify import Finding

    root, entries = "", 0
    try:
        root, entries, findings = _checked(path, transcripts)
    except LedgerError as error:
        findings = [Finding("damaged", str(error))]
    return {
        "ledger": path,
        "root": root,
        "entries": entries,
        "findings": [
            {"kind": each.kind, "text": each.text, "table": each.table, "entry": each.seq}
            | {"message_id": each.message_id}
            for each in findings
        ],
    }


def _checked(path: str, transcripts: bool) -> tuple[str, int, list[Any]]:
    from budget import verify as verifying
    from budget.ledger import Ledger

    ledger = Ledger(path, make=False)
    try:
        if not sys.stderr.isatty():
            checked = verifying.check(ledger)
        else:
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("entries")
                checked = verifying.check(
                    ledger, lambda done, of: progress.update(task, completed=done, total=of)
                )
        findings = [*checked.findings, *_of_anchor(ledger)]
        if transcripts:
            findings += _of_transcripts(ledger)
        return ledger.root(), checked.entries, findings
    finally:
        ledger.close()


def _of_anchor(ledger: Any) -> list[Any]:
    """What the file that is kept apart from a project's ledger says of it."""
    from budget import anchor, paths, restoring
    from budget.verify import Finding

    key = os.path.basename(os.path.dirname(ledger.path))
    file = paths.anchor_file(options.environment(), paths.Project(key, "", ""))
    trouble = anchor.compare(ledger, file)
    # What was done to the tables is a finding already.
    if trouble is None or trouble.kind == anchor.GUARDS:
        return []
    return [Finding("anchor", f"The ledger is not what it was: {restoring.WHY[trouble.kind]}.")]


def _of_transcripts(ledger: Any) -> list[Any]:
    from budget import against, paths
    from budget.history import sessions_of

    project = paths.find_project(ledger.root() or os.sep)
    sessions = sessions_of(options.environment(), project, ledger.files())
    return against.compare(ledger, sessions)[0]


def _show(fact: dict[str, Any]) -> None:
    name = fact["root"] or fact["ledger"]
    count = len(fact["findings"])
    if not count:
        typer.echo(f"{name}: {fact['entries']:,} entries are as they were booked.")
        return
    what = "1 finding" if count == 1 else f"{count} findings"
    typer.echo(f"{name}: {fact['entries']:,} entries, {what}:")
    for each in fact["findings"]:
        typer.echo(f"  {each['kind']:11}{each['text']}")
