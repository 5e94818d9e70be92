"""The client: is it new enough, is there one, does it run hooks, does its module report."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from budget import paths, system
from budget.doctor.findings import Finding, of_group, shown, span
from budget.installed import Installed, read_json, settings_files
from budget.ledger import Ledger

# The event that books each step exists from this version on (measured: absent in 2.1.114).
FIRST_CLIENT = (2, 1, 118)
# From here on the client loads the modules of plugins (documented).
FIRST_MODULES = (2, 1, 287)
finding = of_group("Claude Code")
_LIMIT_S = 20
# Each makes the client start without hooks and plugins (2.1.330).
_BARE = ("CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_SAFE_MODE")
_ON = ("1", "true", "yes", "on")


class Client(NamedTuple):
    """One `claude` of the PATH."""

    path: str
    said: str
    """What `--version` printed, or why nothing."""
    version: tuple[int, ...]
    """Empty when it cannot be told."""


def clients(env: paths.Env) -> list[Client]:
    """Every `claude` on the PATH; the first is the one that runs."""
    found: list[str] = []
    for folder in filter(None, env.get("PATH", "").split(os.pathsep)):
        path = shutil.which("claude", path=folder)
        if path and os.path.realpath(path) not in map(os.path.realpath, found):
            found.append(path)
    return [_asked(path) for path in found]


def _asked(path: str) -> Client:
    try:
        run = subprocess.run(
            [path, "--version"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Client(path, f"does not answer: {error}", ())
    match = re.match(r"\s*(\d+)\.(\d+)\.(\d+)", run.stdout)
    said = " ".join((run.stdout or run.stderr).split())[:80]
    return Client(path, said, tuple(map(int, match.groups())) if match else ())


def versions(found: list[Client]) -> Iterator[Finding]:
    if not found:
        yield finding(
            *("client.version", "warn", "Version"),
            "no `claude` on the PATH: whether it is new enough cannot be told",
            advice="If it runs elsewhere (an editor, a desktop app): 2.1.118 or newer is needed.",
        )
        return
    first = found[0]
    if not first.version:
        yield finding(
            *("client.version", "warn", "Version"),
            f"{shown(first.path)} --version says {first.said!r}: no version in it",
            advice="2.1.118 or newer is needed.",
        )
    elif first.version < FIRST_CLIENT:
        yield finding(
            *("client.version", "fail", "Version"),
            f"{_dotted(first.version)}, {shown(first.path)}: steps are counted, and stopped, from"
            f" {_dotted(FIRST_CLIENT)} on",
            mend=["claude update"],
        )
    elif first.version < FIRST_MODULES:
        yield finding(
            *("client.version", "warn", "Version"),
            f"{_dotted(first.version)}, {shown(first.path)}: the plugin's module, which reports the"
            f" client's own total, needs {_dotted(FIRST_MODULES)}",
            mend=["claude update"],
        )
    else:
        yield finding(
            "client.version", "ok", "Version", f"{_dotted(first.version)}, {shown(first.path)}"
        )
    if len(found) > 1:
        others = ", ".join(
            f"{shown(each.path)} ({_dotted(each.version) or 'unknown'})" for each in found[1:]
        )
        too_old = any(each.version and each.version < FIRST_CLIENT for each in found[1:])
        yield finding(
            *("client.several", "warn" if too_old else "ok", "Others"),
            f"{others}: not the one that `claude` starts",
            advice="One of them is too old to count steps: remove it." if too_old else "",
        )


def hooks_run(env: paths.Env, project: paths.Project, found: list[Installed]) -> Iterator[Finding]:
    """Whether something keeps the client from running hooks (2.1.330, `settings`).

    `disableAllHooks` in any settings; in managed ones `allowManagedHooksOnly`, and
    `strictPluginOnlyCustomization`, which leaves plugins only.
    """
    off = False
    for scope, path in settings_files(env, project):
        told = read_json(path)
        if told.get("disableAllHooks") is True:
            off = True
            yield finding(
                *("client.hooks_off", "fail", "Hooks run"),
                f'"disableAllHooks": true in {shown(path)}: no hook runs',
                advice=f"Remove the key from {shown(path)}.",
            )
        if scope != "managed":
            continue
        if told.get("allowManagedHooksOnly") is True and any(e.scope != "managed" for e in found):
            off = True
            yield finding(
                *("client.hooks_off", "fail", "Hooks run"),
                f'"allowManagedHooksOnly": true in {path}: your own hooks and plugins do not run',
                advice="Your administrator can enable the plugin there (docs/teams.md).",
            )
        only = told.get("strictPluginOnlyCustomization")
        barred = only is True or (isinstance(only, list) and "hooks" in only)
        if barred and found and not any(each.is_plugin for each in found):
            off = True
            yield finding(
                *("client.hooks_off", "fail", "Hooks run"),
                f'"strictPluginOnlyCustomization" in {path}: hooks of settings do not run',
                mend=["claude plugin install budget@codebudget"],
            )
    for name in _BARE:
        if env.get(name, "").lower() in _ON:
            off = True
            yield finding(
                *("client.hooks_off", "fail", "Hooks run"),
                f"{name} is set: a client that is started here has no hooks and no plugins",
                mend=[f"set {name}=" if system.is_windows() else f"unset {name}"],
            )
    if not off:
        yield finding("client.hooks_off", "ok", "Hooks run", "no settings switch them off")


def module_reports(
    env: paths.Env, ledger: Ledger | None, found: list[Installed], client: Client | None
) -> Iterator[Finding]:
    """Whether the plugin's module told the client's own total in the last session."""
    if not any(each.is_plugin for each in found) or ledger is None:
        return
    session = ledger.last_session()
    steps = ledger.recent_steps(session, "", 1) if session else []
    if session is None or not steps:
        return
    folder = paths.client_totals_folder(env, session)
    last = max(_report_times(folder), default=0)
    behind = steps[0].at_ms - last
    if last and behind < 60_000:
        detail = f"reported the client's own total {span(max(0, -behind))} after the last step"
        yield finding("client.module", "ok", "Module", detail)
        return
    told = "reported nothing in the last session"
    if last:
        told = f"made its last report {span(behind)} before the last step"
    old = client is not None and client.version and client.version < FIRST_MODULES
    yield finding(
        *("client.module", "warn", "Module"),
        f"the plugin's module {told}: what leaves no trace in a transcript (compaction, titles) is"
        " not counted",
        mend=["claude update"] if old else [],
        advice="" if old else "`claude --debug-file FILE` tells why it was not loaded.",
    )


def _report_times(folder: str) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    yield entry.stat().st_mtime_ns // 1_000_000
    except OSError:
        return


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
