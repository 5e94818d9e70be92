"""`budget rebuild`: makes a ledger whole again."""

import json as json_module
from typing import TYPE_CHECKING, Annotated

import typer

from budget.cli import options

if TYPE_CHECKING:
    from budget import paths


def rebuild(
    project: options.Project = ".",
    from_transcripts: Annotated[
        bool,
        typer.Option(
            "--from-transcripts",
            help="Read every transcript again from its start: what is not booked is booked.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Add up anew what is derived, and read again what is not as it was booked.

    What `budget verify` finds is mended, and kept among the incidents of `budget status`. Entries
    whose transcripts are gone stay. Hooks may run meanwhile, and a failure changes nothing.
    """
    from budget import anchor, paths, salvage
    from budget import rebuild as rebuilding
    from budget.errors import BudgetError
    from budget.lean import suppress
    from budget.pipeline import existing_ledger

    env, found, now_ms = options.environment(), options.find(project), options.now_ms()
    file = paths.anchor_file(env, found)
    aside = _set_aside(env, found)
    with existing_ledger(env, found) as ledger:
        if ledger is None:
            raise BudgetError(f"Nothing is booked in {found.root} yet: there is no ledger.")
        if ledger.is_new:
            salvage.begin(ledger)
            while not salvage.go_on(ledger, float("inf")):
                pass
        own, known = ledger, ledger.files()

        def keep_anchor() -> None:
            told = anchor.read(file)
            with suppress(OSError):
                anchor.write(file, anchor.state(own, told.spent if told else []))

        with ledger.transaction():
            done = rebuilding.rebuild(ledger, now_ms, before_commit=keep_anchor)
            if from_transcripts:
                rebuilding.forget_what_was_read(ledger)
    wrong = [each.text for each in done.checked.findings]
    again = bool(from_transcripts or wrong or aside)
    new_steps, brought_back = _read_again(env, found, now_ms, known) if again else (0, 0)
    if json:
        facts = {
            "entries": done.checked.entries,
            "findings": wrong,
            "damaged": aside,
            "read_again": again,
            "new_steps": new_steps,
            "kept_as_found": brought_back,
        }
        typer.echo(json_module.dumps(facts, indent=2))
        return
    if aside:
        typer.echo(f"  {aside} A copy lies beside it; it is made anew.")
    for text in wrong:
        typer.echo(f"  {text}")
    typer.echo(
        f"{found.root}: {done.checked.entries:,} entries, {len(wrong):,} findings mended; all that"
        " is derived was added up anew."
    )
    if again:
        typer.echo(f"The transcripts were read again: {new_steps:,} steps were not booked.")
    if brought_back:
        typer.echo(
            f"{brought_back:,} entries without a transcript stay as they were found, priced anew."
        )


def _set_aside(env: dict[str, str], project: "paths.Project") -> str:
    """Empties a ledger whose file is damaged, after a copy; what was said of it, else nothing."""
    from budget import mending
    from budget.errors import DamagedLedgerError
    from budget.pipeline import existing_ledger

    try:
        with existing_ledger(env, project) as ledger:
            if ledger:
                ledger.check_pages()
    except DamagedLedgerError as error:
        mending.set_aside(error.path)
        return str(error).partition(" It is damaged")[0]
    return ""


def _read_again(
    env: dict[str, str], project: "paths.Project", now_ms: int, known: list[str]
) -> tuple[int, int]:
    """Books what transcripts tell; how many steps, and how many came back without a transcript."""
    from budget import pipeline, restoring
    from budget.history import import_into, sessions_of

    summary = import_into(project, sessions_of(env, project, known), env, now_ms)
    policy = pipeline.policy_of(env, project)
    with pipeline.existing_ledger(env, project) as ledger:
        if ledger is None:
            return summary.new_steps, 0
        with ledger.transaction():
            kept = restoring.finish(ledger, pipeline.price_table(policy, env), now_ms).kept
            ledger.set_fact("backlog", None)
    return summary.new_steps, kept
