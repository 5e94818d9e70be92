"""Are hooks of budget installed, once, whole and of one version, and do they stop the work."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from budget import __version__, environment, paths
from budget.doctor.findings import Finding, Group, quoted, shown
from budget.doctor.trial import Tried, missing
from budget.installed import PLUGIN, Installed, Trouble, version_at
from budget.model import AGENT_TOOLS

_GROUP: Group = "Hooks"
_WHAT = {
    "PostToolBatch": "Stops a step",
    "UserPromptSubmit": "Stops a prompt",
    "PreToolUse": "Stops an agent",
    "strict": "Fails closed",
}
_IDS = {
    "PostToolBatch": "hooks.stops_step",
    "UserPromptSubmit": "hooks.stops_prompt",
    "PreToolUse": "hooks.stops_agent",
    "strict": "hooks.fails_closed",
}
UPDATE_PLUGIN = [f"claude plugin marketplace update {PLUGIN.partition('@')[2]}"]
UPDATE_PLUGIN += [f"claude plugin update {PLUGIN}"]
OLDEST_PYTHON = (3, 11)


def installation(found: list[Installed], troubles: list[Trouble]) -> Iterator[Finding]:
    for trouble in troubles:
        yield _trouble(trouble)
    if not found and not troubles:
        yield Finding(
            id="hooks.installed",
            group=_GROUP,
            state="fail",
            what="Installed",
            detail="no hooks of budget in settings.json, and no plugin: nothing is counted",
            mend=["budget install"],
            advice=(
                "Or as a plugin: claude plugin marketplace add FOLDER, claude plugin install"
                f" {PLUGIN}"
            ),
        )
    for each in found:
        strict = ", --strict: work stops when budgets cannot be enforced" if each.is_strict else ""
        yield Finding(
            id="hooks.installed",
            group=_GROUP,
            state="ok",
            what="Installed",
            detail=f"{label(each)}, {len(each.commands)} events{strict}",
        )
        yield from _whole(each)
    if len(found) > 1:
        yield _twice(found)


def label(each: Installed) -> str:
    if each.is_plugin:
        return f"plugin {PLUGIN}, {shown(each.root)}"
    return f"{each.scope} settings, {shown(each.where)}"


def _trouble(trouble: Trouble) -> Finding:
    mend, advice, state = {
        "unreadable": ([], f"Mend {trouble.place}; the client ignores it, too.", "fail"),
        "foreign": ([f"budget install --scope {trouble.scope}"], "", "warn"),
        "disabled": ([f"claude plugin enable {PLUGIN}"], "", "fail"),
        "gone": (
            [f"claude plugin uninstall {PLUGIN}"],
            f"Then: claude plugin marketplace add FOLDER, claude plugin install {PLUGIN}",
            "fail",
        ),
    }[trouble.kind]
    return Finding(
        id=f"hooks.{trouble.kind}",
        group=_GROUP,
        state="warn" if state == "warn" else "fail",
        what="Settings" if trouble.kind == "unreadable" else "Installed",
        detail=trouble.text,
        mend=mend,
        advice=advice,
    )


def _install_command(each: Installed) -> str:
    strict = " --strict" if each.is_strict else ""
    return f"budget install --scope {each.scope}{strict}"


def _remedy(each: Installed) -> tuple[list[str], str]:
    """(commands, advice) that make an installation whole again."""
    if each.is_plugin:
        return UPDATE_PLUGIN, "A plugin that is a checkout: update the checkout."
    if each.scope == "managed":
        return [], f"Tell your administrator: {each.where}"
    return [_install_command(each)], ""


def _whole(each: Installed) -> Iterator[Finding]:
    lacking = missing(each)
    tools = [tool for tool in AGENT_TOOLS if not _matches(each.agent_tools, tool)]
    if lacking or ("PreToolUse" not in lacking and tools):
        what = lacking or [f"PreToolUse of {', '.join(tools)}"]
        mend, advice = _remedy(each)
        yield Finding(
            id="hooks.whole",
            group=_GROUP,
            state="fail" if "PostToolBatch" in lacking else "warn",
            what="Events",
            detail=f"{label(each)} has no hook for {', '.join(what)}: an older version wrote it",
            mend=mend,
            advice=advice,
        )
    version = version_at(each.root) if each.root else ""
    if version and version != __version__:
        mend, advice = _remedy(each)
        yield Finding(
            id="hooks.version",
            group=_GROUP,
            state="warn",
            what="Versions",
            detail=f"{label(each)} runs budget {version}, this command is {__version__}:"
            " they share one ledger",
            mend=mend,
            advice=advice,
        )


def _matches(pattern: str, tool: str) -> bool:
    try:
        return pattern in ("", "*") or bool(re.fullmatch(pattern, tool))
    except re.error:
        return False


def _twice(found: list[Installed]) -> Finding:
    plugin = any(each.is_plugin for each in found)
    settings = [each for each in found if not each.is_plugin and each.scope != "managed"]
    kept = settings if plugin else settings[1:]
    mend = [f"budget uninstall --scope {each.scope}" for each in kept]
    if plugin and any(each.scope == "user" for each in kept):
        mend.append("budget install --no-hooks")
    return Finding(
        id="hooks.once",
        group=_GROUP,
        state="warn",
        what="Installed",
        detail=f"{len(found)} times: every hook runs as often; nothing is counted twice",
        mend=mend,
        advice="`budget install --no-hooks` keeps the status line." if plugin else "",
    )


# -- the trial -------------------------------------------------------------------------------------


def trials(each: Installed, tried: list[Tried], many: bool) -> Iterator[Finding]:
    """What came of each event; `many`: it has to be said of which installation."""
    of = f" ({label(each)})" if many else ""
    for one in tried:
        detail, state = _outcome(one, each)
        mend, advice = _remedy(each) if state == "fail" else ([], "")
        if one.problem and each.is_plugin:
            # Its command is the same everywhere; the settings name the interpreter by its path.
            mend, advice = ["budget install"], f"Or make `{one.program}` Python 3.11 or newer."
        yield Finding(
            id=_IDS[one.event],
            group=_GROUP,
            state="fail" if state == "fail" else "ok",
            what=_WHAT[one.event],
            detail=detail + of,
            said=[one.said] if one.said else [],
            mend=mend,
            advice=advice,
        )


def _outcome(one: Tried, each: Installed) -> tuple[str, str]:
    if one.problem:
        return f"the hook does not run: {one.problem}", "fail"
    if one.event == "strict":
        if one.stopped:
            return f"the work stops where nothing can be booked ({one.took_ms} ms)", "ok"
        return "--strict is set, and the work goes on where nothing can be booked", "fail"
    if one.stopped:
        return f"stopped at $0.074 of $0.05 by the installed hook, in {one.took_ms} ms", "ok"
    return "it is over its budget, and the installed hook let it pass", "fail"


# -- interpreters ----------------------------------------------------------------------------------

_ASK = (
    "import sys\n"
    "try:\n import sqlite3; s = sqlite3.sqlite_version\n"
    "except ImportError: s = ''\n"
    "print('%d.%d.%d' % sys.version_info[:3], s, sys.executable)"
)


def interpreters(found: list[Installed], env: paths.Env) -> Iterator[Finding]:
    """The Python of each installation, beside the one of this command."""
    own = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        id="python.command",
        group="Surroundings",
        state="ok",
        what="Python",
        detail=f"{own}, {shown(sys.executable)}: of this command",
    )
    users: dict[str, list[Installed]] = {}
    for each in found:
        for program in dict.fromkeys(command[0] for command in each.commands.values()):
            users.setdefault(program, []).append(each)
    for program, those in users.items():
        yield _interpreter(program, those, env)


def _interpreter(program: str, users: list[Installed], env: paths.Env) -> Finding:
    path = shutil.which(program, path=env.get("PATH"))
    told, problem = "", ""
    if path is None:
        problem = f"{program} is not there"
    else:
        try:
            run = subprocess.run(
                [path, "-I", "-S", "-c", _ASK],
                check=False,
                capture_output=True,
                text=True,
                timeout=10,
            )
            told = run.stdout.strip()
            problem = "" if told else f"{program} ends with {run.returncode} and says no version"
        except (OSError, subprocess.SubprocessError) as error:
            problem = f"{program} cannot be run: {error}"
    version, sqlite, place = [*told.split(" ", 2), "", "", ""][:3]
    if not problem and not re.fullmatch(r"\d+\.\d+\.\d+", version):
        problem = f"{program} says {told[:60]!r}: it is no Python"
    if not problem and tuple(map(int, version.split("."))) < OLDEST_PYTHON:
        problem = f"{program} is Python {version}; hooks need 3.11 or newer"
    if not problem and not sqlite:
        problem = f"{program} ({place}) has no sqlite3, which the ledger needs"
    plugin = any(each.is_plugin for each in users)
    return Finding(
        id="python.hooks",
        group="Surroundings",
        state="fail" if problem else "ok",
        what="Python of hooks",
        detail=problem or f"{version}, {shown(place)}, with SQLite {sqlite}",
        mend=["budget install" if plugin else _install_command(users[0])] if problem else [],
        advice="" if not problem else f"Or install Python 3.11 or newer as `{program}`.",
    )


def private_environment(env: paths.Env) -> Iterator[Finding]:
    """The command that a plugin prepares for itself."""
    state = environment.read_state(env)
    folder = environment.folder(env)
    if state.get("status") == "failed":
        yield Finding(
            id="plugin.command",
            group="Surroundings",
            state="warn",
            what="Command",
            detail=f"the plugin could not prepare `budget`: {state.get('error', '')}",
            mend=[f"rm {quoted(os.path.join(folder, 'state.json'))}"],
            advice="Then the next session tries again; budgets hold without it.",
        )
    elif state.get("status") == "ready":
        command = state.get("command", "")
        there = os.path.exists(command)
        old = state.get("version") != __version__
        yield Finding(
            id="plugin.command",
            group="Surroundings",
            state="ok" if there and not old else "warn",
            what="Command",
            detail=f"prepared by the plugin, {shown(command)}, version {state.get('version')}"
            if there
            else f"{shown(command)} is gone; the next session prepares it anew",
        )
