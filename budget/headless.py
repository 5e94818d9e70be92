"""`budget run`, before the client starts: what may be spent, and the command line that says so.

How the client is run stands in passthrough.py, how the run ended in outcome.py.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from json import dumps, loads
from typing import Any, NamedTuple

from budget import commandline, paths, pipeline, sessions, settings, witness
from budget import installed as hooks_of
from budget.allowance import Allowance, allowance, in_a_line, lowest
from budget.commandline import Told
from budget.errors import BudgetError, ConfigError
from budget.model import Policy, Spend

_PLUGIN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Plan(NamedTuple):
    """A run that may start."""

    command: list[str]
    folder: str
    env: dict[str, str]
    project: paths.Project
    policy: Policy
    told: Told
    session_id: str
    """Empty when only the client knows it."""
    limit_picousd: int | None
    """What the client was given as `--max-budget-usd`."""
    allowance: Allowance
    before: dict[str, dict[str, Spend]]
    """What sessions had spent by model before the run, as far as they were known."""
    notes: list[str]
    """What the person should know, a line each."""


class UsedUpError(BudgetError):
    """Nothing is left: the client was not started."""

    exit_code = 1


class NotHeadlessError(BudgetError):
    """A command line that is none of a headless client."""

    exit_code = 2


def prepare(
    command: Sequence[str], env: paths.Env, project: paths.Project, folder: str, now_ms: int
) -> Plan:
    """What to run. Raises `UsedUpError`, `NotHeadlessError`, `ConfigError` and `LedgerError`."""
    told = commandline.told(command[1:])
    if not told.prints:
        raise NotHeadlessError(
            "`budget run` is for the headless client, and -p (--print) is not among"
            f" {' '.join(command)!r}. Write: budget run -- claude -p ... In a session with a"
            " screen the plugin stops the work by itself."
        )
    policy = pipeline.policy_of(env, project)
    if policy.problems:
        # Nobody watches: a config that is not read must not lift its budgets in silence.
        raise ConfigError("\n".join(("the client was not started.", *policy.problems)))
    session_id = told.session_id or told.resume
    if told.continues and not session_id:
        session_id = sessions.newest_session(env, folder)
    judged = "" if told.forks else session_id
    before: dict[str, dict[str, Spend]] = {}
    if policy.budgets or session_id:
        ledger = pipeline.open_ledger(env, project)
        transcript = sessions.find_transcript(env, session_id, folder) if session_id else ""
        if transcript:
            sessions.book(env, project, ledger, policy, session_id, transcript, now_ms)
            before[session_id] = sessions.by_model(ledger, session_id)
        left = allowance(sessions.judge(env, project, policy, ledger, judged, now_ms))
        ledger.close()
    else:
        left = Allowance((), None)
    if left.blocking:
        text = in_a_line(left.blocking, policy, now_ms)
        raise UsedUpError(f"the client was not started. {text}")
    limit = lowest(left.left_picousd, told.max_picousd)
    options: list[str] = []
    if limit is not None and limit != told.max_picousd:
        options += ["--max-budget-usd", commandline.limit_text(limit)]
    if not session_id:
        # Named by us, so that its transcript can be found when the output does not tell it.
        session_id = str(uuid.uuid4())
        options += ["--session-id", session_id]
    elif told.forks and not told.session_id:
        session_id = ""
    hooks, notes = _hooks(told, env, project, folder)
    words = commandline.with_options(command, [*options, *hooks])
    words[0] = shutil.which(words[0], path=env.get("PATH")) or words[0]
    descriptor, record = tempfile.mkstemp(prefix=witness.PREFIX)
    os.close(descriptor)
    client_env = {**env, witness.VARIABLE: record}
    return Plan(
        words, folder, client_env, project, policy, told, session_id, limit, left, before, notes
    )


def _hooks(
    told: Told, env: paths.Env, project: paths.Project, folder: str
) -> tuple[list[str], list[str]]:
    """(options that load the hooks where the client would have none, what to say about it)."""
    if told.without_hooks:
        note = (
            f"{told.without_hooks} keeps hooks from running: only the client's own limit stops"
            " this run, and steps are booked when it has ended."
        )
        return [], [note]
    given = _settings_given(told.settings, folder)
    if settings.has_hooks(given) or any(map(_is_plugin, told.plugin_dirs)):
        return [], []
    found, _ = hooks_of.installed(env, project)
    for each in found:
        scope = "user" if each.is_plugin else each.scope
        if told.sources is None or scope in ("managed", *told.sources):
            return [], []
    if _is_plugin(_PLUGIN):
        return ["--plugin-dir", _PLUGIN], []
    merged = {**given, "hooks": {**given.get("hooks", {})}}
    for event, groups in settings.hook_settings()["hooks"].items():
        merged["hooks"][event] = [*merged["hooks"].get(event, []), *groups]
    return ["--settings", dumps(merged)], []


def _settings_given(text: str | None, folder: str) -> dict[str, Any]:
    """What `--settings` says, as JSON or as a file; the client reads the last one only."""
    if text is None:
        return {}
    try:
        if not text.lstrip().startswith("{"):
            with open(os.path.join(folder, text), encoding="utf-8") as file:
                text = file.read()
        told = loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise BudgetError(f"--settings {text[:80]!r} cannot be read: {error}.") from error
    if not isinstance(told, dict) or not isinstance(told.get("hooks", {}), dict):
        raise BudgetError(f"--settings {text[:80]!r} is not an object with hooks by event.")
    return told


def _is_plugin(folder: str) -> bool:
    try:
        with open(os.path.join(folder, ".claude-plugin", "plugin.json"), encoding="utf-8") as file:
            name = loads(file.read()).get("name")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(name == "budget")
