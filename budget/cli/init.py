"""`budget init`: the first config, with comments."""

import os
import tomllib
from typing import Annotated

import typer

from budget.cli import options
from budget.errors import BudgetError


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

    Without a limit it takes 5 dollars a session and 20 a day.
    """
    from budget import paths
    from budget.rules import checked

    env, found = options.environment(), options.find(project)
    path = paths.user_config(env) if user else paths.repo_config(found)
    user = os.path.realpath(path) == os.path.realpath(paths.user_config(env))
    limits = {"session": session, "day": day, "month": month}
    if not any(limit is not None for limit in limits.values()):
        limits = {"session": 5.0, "day": 20.0, "month": None}
    if os.path.lexists(path) and not force:
        raise BudgetError(f"{path} is there already. Edit it, or replace it with --force.")
    text = config_text({per: usd for per, usd in limits.items() if usd is not None}, user)
    _, problems = checked(tomllib.loads(text))
    if problems:
        raise BudgetError(f"{'.'.join(problems[0].path)}: expected {problems[0].expected}.")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BudgetError(f"{path} cannot be written: {error.strerror}.") from error
    if not user:
        os.chmod(path, 0o644)  # a file of the repository, not of the state folder
    typer.echo(f"Wrote {path}:")
    for per, usd in limits.items():
        if usd is not None:
            typer.echo(f"  {per}: {_dollars(usd)} USD, a warning at 80 %, then work stops")
    if user:
        typer.echo("It is your own: it holds in every project, for each project by itself.")
    typer.echo("It holds from the next step on. `budget status` shows how it stands.")


def _dollars(usd: float) -> str:
    """Two decimals, more where they are needed."""
    exact = f"{usd:.6f}".rstrip("0")
    return exact if len(exact.partition(".")[2]) > 2 else f"{usd:.2f}"


def config_text(usd_per: dict[str, float], user: bool = False) -> str:
    """A commented config with a budget for each period."""
    where = "all your projects, for each by itself" if user else "this repository"
    head = (
        f"# Budgets for Claude Code in {where}. Checked by: budget check\n"
        "version = 1\n"
        '# timezone = "Europe/Berlin"   # for hour, day, week and month; default: the system\'s\n'
        '# on_error = "block"           # stop when budgets cannot be enforced; default: allow\n'
    )
    tables = (
        f"\n[budgets.{per}]\n"
        f'per = "{per}"          # session, hour, day, week, month, total, or "rolling 5h"\n'
        f"usd = {_dollars(usd)}             # or: tokens, input_tokens, output_tokens, steps, ...\n"
        "warn_at = [0.8]        # fractions of the limit; each is said once\n"
        'on_exceed = "block"    # or "advise": say so and let work go on\n'
        for per, usd in usd_per.items()
    )
    advice = (
        "\n[advice]\n"
        "# context_tokens = 150_000   # advise /compact from this context size on\n"
        '# focus = "code samples and API usage"   # becomes: /compact Focus on ...\n'
    )
    return head + "".join(tables) + advice
