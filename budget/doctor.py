"""Finds out whether budgets really hold on this machine, by trying it."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from budget import environment, events, notify, overrides, paths, pipeline, settings, system
from budget.errors import BudgetError, LedgerError, PriceError
from budget.files import read_some
from budget.messages import money
from budget.model import Window
from budget.pricing import load_table, newest_table
from budget.status import incident_line

# The event that books each step exists from this version on (measured: absent in 2.1.114).
FIRST_CLIENT = (2, 1, 118)
_RUN_TIMEOUT_S = 20
_PLUGIN = "budget@codebudget"


class Finding(NamedTuple):
    """One fact about the installation, and what mends it."""

    state: Literal["ok", "warn", "fail"]
    what: str
    detail: str
    remedy: str = ""


class Installed(NamedTuple):
    """Hooks that the client will run."""

    where: str
    command: list[str]
    """What it runs for a prompt."""


def examine(env: paths.Env, project: paths.Project) -> list[Finding]:
    """Every finding, in the order in which a person would look."""
    installed, findings = installed_hooks(env, project)
    return [
        _python(),
        _client(env),
        *findings,
        *(_stops(each) for each in installed),
        _state_folder(env),
        *_configs(env, project),
        *(Finding("warn", "Overrides", text) for text in overrides.told(env, project)),
        _prices(env),
        _ledger(env, project),
        *_incidents(env, project),
        *_command(env),
        *_notifications(env),
        *_log(env),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok", "Python", f"{version}, {sys.executable}")


def _client(env: paths.Env) -> Finding:
    claude = shutil.which("claude", path=env.get("PATH"))
    if not claude:
        return Finding("warn", "Claude Code", "no `claude` on the PATH; its version is unknown")
    try:
        run = subprocess.run(
            [claude, "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_RUN_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("warn", "Claude Code", f"{claude} does not answer: {error}")
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", run.stdout)
    version = tuple(map(int, match.groups())) if match else ()
    if version and version < FIRST_CLIENT:
        needed = ".".join(map(str, FIRST_CLIENT))
        detail = f"{run.stdout.strip()}: steps are counted from {needed} on"
        return Finding("fail", "Claude Code", detail, "claude update")
    return Finding("ok", "Claude Code", f"{run.stdout.strip()}, {claude}")


def installed_hooks(
    env: paths.Env, project: paths.Project
) -> tuple[list[Installed], list[Finding]]:
    """The hooks of budget that the client will run, and what was found out on the way."""
    found: list[Installed] = []
    findings: list[Finding] = []
    for scope in ("user", "project", "local"):
        path = settings.settings_file(env, project, scope)
        try:
            command = settings.installed_command(path, "UserPromptSubmit")
        except BudgetError as error:
            findings.append(Finding("fail", "Settings", str(error)))
            continue
        if command and scope != "user" and command != settings.own_command("UserPromptSubmit"):
            # What a cloned repository has in its settings is not run: it may be anything.
            detail = f"{path} has hooks of another install of budget; they were not tried"
            findings.append(Finding("warn", "Installed", detail, f"budget install --scope {scope}"))
        elif command:
            found.append(Installed(path, command))
    for plugin in _plugins(env):
        if isinstance(plugin, Finding):
            findings.append(plugin)
        else:
            found.append(plugin)
    if not found and not findings:
        detail = "no hooks of budget in settings.json, and no plugin"
        findings.append(Finding("fail", "Installed", detail, "budget install"))
    findings += [Finding("ok", "Installed", each.where) for each in found]
    if len(found) > 1:
        detail = f"{len(found)} times: every hook runs as often; nothing is counted twice"
        remedy = "budget uninstall, then budget install --no-hooks for the status line"
        findings.append(Finding("warn", "Installed", detail, remedy))
    return found, findings


def _plugins(env: paths.Env) -> Iterator[Installed | Finding]:
    """The plugin as the client loads it: enabled, and from where its marketplace says."""
    folder = os.path.join(paths.claude_folder(env), "plugins")
    plugins = _json(os.path.join(folder, "installed_plugins.json")).get("plugins")
    enabled = _json(os.path.join(paths.claude_folder(env), "settings.json")).get("enabledPlugins")
    for name, places in (plugins if isinstance(plugins, dict) else {}).items():
        if name != _PLUGIN:
            continue
        if isinstance(enabled, dict) and enabled.get(name) is False:
            remedy = f"claude plugin enable {name}"
            yield Finding("fail", "Installed", "the plugin is installed, but disabled", remedy)
            continue
        for place in places if isinstance(places, list) else ():
            root = str(place.get("installPath", "")) if isinstance(place, dict) else ""
            yield _plugin_at(_checkout(folder) or root, name)


def _checkout(folder: str) -> str:
    """A plugin of a marketplace that is a folder runs from there, not from the client's copy."""
    market = _json(os.path.join(folder, "known_marketplaces.json")).get("codebudget")
    source = market.get("source") if isinstance(market, dict) else None
    if isinstance(source, dict) and source.get("source") == "directory":
        return str(source.get("path", ""))
    return ""


def _plugin_at(root: str, name: str) -> Installed | Finding:
    groups = _json(os.path.join(root, "hooks", "hooks.json")).get("hooks", {})
    for group in groups.get("UserPromptSubmit", []):
        for hook in group.get("hooks", []):
            words = [hook["command"], *hook.get("args", [])]
            command = [word.replace("${CLAUDE_PLUGIN_ROOT}", root) for word in words]
            return Installed(f"plugin {name}, {root}", command)
    detail = f"the plugin's folder {root} is gone, or is none: nothing is counted or stopped"
    return Finding(
        "fail", "Installed", detail, "claude plugin marketplace add FOLDER, then install"
    )


def _json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _stops(installed: Installed) -> Finding:
    """Runs the hook as installed, on a project of its own whose budget is used up."""
    what = "Stops a prompt"
    with tempfile.TemporaryDirectory(prefix="budget-doctor-") as folder:
        os.makedirs(os.path.join(folder, ".claude"))
        with open(os.path.join(folder, ".claude", "budget.toml"), "w", encoding="utf-8") as file:
            file.write('version = 1\n[budgets.doctor]\nper = "session"\nusd = 0\n')
        payload = {
            "hook_event_name": "UserPromptSubmit",
            "session_id": "doctor",
            "cwd": folder,
            "prompt": "hello",
        }
        env = {**os.environ, "BUDGET_HOME": os.path.join(folder, "state")}
        env |= {"CLAUDE_PROJECT_DIR": folder, "CLAUDE_CONFIG_DIR": folder}
        try:
            run = subprocess.run(
                installed.command,
                check=False,
                input=json.dumps(payload),
                env=env,
                capture_output=True,
                text=True,
                timeout=_RUN_TIMEOUT_S,
            )
            answer = json.loads(run.stdout or "{}")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            detail = f"the hook does not run: {error}"
            return Finding("fail", what, detail, "budget install, or reinstall the plugin")
    if answer.get("decision") == "block":
        return Finding("ok", what, "the installed hook blocked a prompt over its budget")
    said = answer.get("systemMessage") or run.stderr.strip()[-300:] or "nothing"
    return Finding("fail", what, f"it let the prompt through and said: {said}", "budget install")


def _state_folder(env: paths.Env) -> Finding:
    folder = paths.state_folder(env)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        mode = stat.S_IMODE(os.stat(folder).st_mode)
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror}"
        return Finding("fail", "State folder", detail, "set BUDGET_HOME to a folder of yours")
    if system.has_modes() and mode & 0o077:
        detail = f"{folder} is open to others ({mode:o})"
        return Finding("warn", "State folder", detail, f"chmod 700 {folder}")
    return Finding("ok", "State folder", folder)


def _configs(env: paths.Env, project: paths.Project) -> Iterator[Finding]:
    policy = pipeline.policy_of(env, project)
    for problem in policy.problems:
        yield Finding("fail", "Config", problem, "budget check")
    if policy.budgets:
        limits = ", ".join(
            f"{each.name} {money(each.limit) if each.unit == 'usd' else f'{each.limit:,}'}"
            for each in policy.budgets
        )
        yield Finding("ok", "Budgets", limits)
    else:
        yield Finding("warn", "Budgets", "none is set: steps are counted only", "budget init")


def _prices(env: paths.Env) -> Finding:
    own = paths.price_file(env)
    try:
        if os.path.exists(own):
            load_table(own, of_state=True)
        table = newest_table(own)
    except PriceError as error:
        return Finding("fail", "Prices", str(error), f"rm {own}, or install budget again")
    return Finding("ok", "Prices", f"of {table.version}, {len(table.models)} models")


def _ledger(env: paths.Env, project: paths.Project) -> Finding:
    try:
        with pipeline.existing_ledger(env, project) as ledger:
            if ledger is None:
                return Finding("ok", "Ledger", "none yet: it begins with the first step")
            with ledger.transaction():  # takes the lock that a hook needs
                spend, damaged = ledger.spend(Window(0, None)), ledger.bad_lines()
    except LedgerError as error:
        return Finding("fail", "Ledger", str(error))
    detail = f"{spend.steps:,} steps, {ledger.path}"
    if spend.unpriced_steps:
        models = f"{spend.unpriced_steps} steps of unknown models are counted at the dearest rates"
        return Finding("warn", "Ledger", f"{detail}; {models}", "update budget")
    if damaged:
        return Finding("warn", "Ledger", f"{detail}; {damaged} damaged transcript lines")
    return Finding("ok", "Ledger", detail)


def _incidents(env: paths.Env, project: paths.Project) -> Iterator[Finding]:
    """What should not have happened in this project, the newest first."""
    try:
        with pipeline.existing_ledger(env, project) as ledger:
            found = events.last(ledger, events.NOTABLE, 5) if ledger else []
    except LedgerError:
        return  # told above
    for event in found:
        yield Finding("warn", "Incident", incident_line(event))


def _command(env: paths.Env) -> Iterator[Finding]:
    state = environment.read_state(env)
    if state.get("status") == "failed":
        yield Finding("warn", "Private environment", state.get("error", ""), "a network, then wait")
    elif state.get("status") == "ready":
        yield Finding("ok", "Command for the plugin", state.get("command", ""))


def _notifications(env: paths.Env) -> Iterator[Finding]:
    """How the person's own command did last (`[notify]`)."""
    path = notify.failure_file(env)
    try:
        told = json.loads(read_some(path, 65_536))
        command, error = " ".join(told["command"]), told["error"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    yield Finding("warn", "Notifications", f"{command}: {error}", f"try it by hand; rm {path}")


def _log(env: paths.Env) -> Iterator[Finding]:
    path = paths.log_file(env)
    if os.path.exists(path):
        yield Finding("warn", "Log", f"{path} has reports of bugs", f"read it, then: rm {path}")
