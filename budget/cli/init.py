"""`budget init`: the first config, with comments."""

import json
import os
import tomllib
from typing import Annotated

import typer

from budget import paths
from budget.cli import options
from budget.cli.place import check_inside
from budget.errors import BudgetError
from budget.installed import installed
from budget.schema import FILE_NAME, schema


def init(
    session: Annotated[
        float | None, typer.Option(help="US dollars for one session.", min=0)
    ] = None,
    day: Annotated[float | None, typer.Option(help="US dollars a day.", min=0)] = None,
    month: Annotated[float | None, typer.Option(help="US dollars a month.", min=0)] = None,
    user: Annotated[
        bool, typer.Option("--user", help="Write your own config, for every project of yours.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that is there.")] = False,
    project: options.Project = ".",
) -> None:
    """Write .claude/budget.toml with comments.

    Without a limit it proposes some from this project's history: what 19 of 20 sessions and days
    stay below. Without a history it takes 5 dollars a session and 20 a day.
    """
    from budget.rules import checked

    env, found = options.environment(), options.find(project)
    path = paths.user_config(env) if user else paths.repo_config(found)
    user = os.path.realpath(path) == os.path.realpath(paths.user_config(env))
    limits = {"session": session, "day": day, "month": month}
    because = ""
    if not any(limit is not None for limit in limits.values()):
        limits, because = _proposed(env, found)
    if os.path.lexists(path) and not force:
        raise BudgetError(f"{path} is there already. Edit it, or replace it with --force.")
    given = {per: usd for per, usd in limits.items() if usd is not None}
    text = config_text(given, user, because)
    _, problems = checked(tomllib.loads(text))
    if problems:
        raise BudgetError(f"{'.'.join(problems[0].path)}: expected {problems[0].expected}.")
    schema_path = os.path.join(os.path.dirname(path), FILE_NAME)
    for each in () if user else (path, schema_path):
        check_inside(each, found)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with open(schema_path, "w", encoding="utf-8") as file:
            file.write(json.dumps(schema(policy=False), indent=2) + "\n")
    except OSError as error:
        raise BudgetError(f"{path} cannot be written: {error.strerror}.") from error
    if not user:
        os.chmod(path, 0o644)  # a file of the repository, not of the state folder
        os.chmod(schema_path, 0o644)
    typer.echo(f"Wrote {path} (and {FILE_NAME}, by which editors check it):")
    for per, usd in limits.items():
        if usd is not None:
            typer.echo(f"  {per}: {_dollars(usd)} USD, a warning at 80 %, then work stops")
    if because:
        typer.echo(f"  {because}")
    if user:
        typer.echo("It is your own: it holds in every project, for each project by itself.")
    if installed(env, found)[0]:
        typer.echo("It holds from the next step on. `budget status` shows how it stands.")
    else:
        typer.echo(
            "No hooks of budget are installed for this project, so nothing is counted or stopped"
            " yet: `budget install`, or the plugin."
        )


def _proposed(env: dict[str, str], project: paths.Project) -> tuple[dict[str, float | None], str]:
    """Limits from the ledger, where it tells enough, and what they are made of."""
    from budget import messages, pipeline
    from budget.proposals import ENOUGH_DAYS, history, limit_usd
    from budget.windows import zone

    usual: dict[str, float | None] = {"session": 5.0, "day": 20.0, "month": None}
    with pipeline.existing_ledger(env, project) as ledger:
        if ledger is None:
            return usual, ""
        spent = [
            (step.at_ms, step.session_id, spend.counted_picousd)
            for step, spend in ledger.steps_between(0, 2**62, None)
        ]
        spent += [
            (at_ms, session, picousd)
            for at_ms, session, _, picousd in ledger.unattributed_between(0, 2**62)
        ]
    found = history(spent, zone(pipeline.policy_of(env, project).timezone))
    if found.days.number < ENOUGH_DAYS:
        return usual, ""
    sessions, days = found
    because = (
        f"Proposed from {sessions.number:,} sessions on {days.number:,} days: half of the sessions"
        f" cost up to {messages.money_up(sessions.median, 2)} and 19 of 20 up to"
        f" {messages.money_up(sessions.high, 2)}; days {messages.money_up(days.median, 2)} and"
        f" {messages.money_up(days.high, 2)}."
    )
    return {
        "session": limit_usd(sessions.high),
        "day": limit_usd(days.high),
        "month": None,
    }, because


def _dollars(usd: float) -> str:
    """Two decimals, more where they are needed."""
    exact = f"{usd:.6f}".rstrip("0")
    return exact if len(exact.partition(".")[2]) > 2 else f"{usd:.2f}"


def config_text(usd_per: dict[str, float], user: bool = False, because: str = "") -> str:
    """A commented config with a budget for each period."""
    where = "all your projects, for each by itself" if user else "this repository"
    head = (
        f"#:schema ./{FILE_NAME}\n"
        f"# Budgets for Claude Code in {where}. Checked by: budget check\n"
        + (f"# {because}\n" if because else "")
        + "version = 1\n"
        '# timezone = "Europe/Berlin"   # for hour, day, week and month; default: the system\'s\n'
        '# on_error = "block"           # stop when budgets cannot be enforced; default: allow\n'
    )
    tables = (
        f"\n[budgets.{per}]\n"
        + _line(f'per = "{per}"', 'session, hour, day, week, month, total, or "rolling 5h"')
        + _line(f"usd = {_dollars(usd)}", "or: tokens, input_tokens, output_tokens, steps, ...")
        + _line("warn_at = [0.8]", "fractions of the limit; each is said once")
        + _line('on_exceed = "block"', 'or "ask", or "advise": say so and let work go on')
        for per, usd in usd_per.items()
    )
    advice = (
        "\n[advice]\n"
        "# context_tokens = 150_000   # advise /compact from this context size on\n"
        '# focus = "code samples and API usage"   # becomes: /compact Focus on ...\n'
    )
    return head + "".join(tables) + advice


def _line(setting: str, comment: str) -> str:
    return f"{setting:<22} # {comment}\n"
