"""What of the environment decides where budget looks, and the report of a bug that may be there."""

import os
from collections.abc import Iterator

from budget import paths
from budget.doctor.findings import Finding, of_group, quoted, shown, size
from budget.installed import read_json, settings_files

finding = of_group("Surroundings")

_MEANING = {
    "BUDGET_HOME": "the state folder",
    "BUDGET_POLICY": "more policies",
    "BUDGET_USER": "whose work it is",
    "BUDGET_SDK_CONFIG": "budgets of a program",
    "BUDGET_MANY_USERS": "a program works for many users",
    "BUDGET_RUN": "started by `budget run`",
    "CLAUDE_CONFIG_DIR": "the client's folder",
}
_ELSEWHERE = ("BUDGET_HOME", "CLAUDE_CONFIG_DIR", "BUDGET_USER", "BUDGET_POLICY")
"""Where hooks and commands have to agree."""


def variables(env: paths.Env, project: paths.Project) -> Iterator[Finding]:
    """Each variable that is set, and by whom: the shell, or `env` of the client's settings."""
    in_settings: dict[str, tuple[str, str]] = {}
    for _, path in settings_files(env, project):
        told = read_json(path).get("env")
        for name, value in told.items() if isinstance(told, dict) else ():
            if name.startswith("BUDGET_") or name in _MEANING:
                in_settings[name] = (str(value), path)
    for name in sorted({*in_settings, *(n for n in env if n.startswith("BUDGET_"))} | _shared(env)):
        value, path = in_settings.get(name, ("", ""))
        here = env.get(name, "")
        meaning = f" ({_MEANING[name]})" if name in _MEANING else " (budget knows no such variable)"
        if path and name in _ELSEWHERE and here != value:
            yield finding(
                *("environment.variable", "warn", name),
                f"hooks have {value!r} from {shown(path)}, this shell has"
                f" {repr(here) if here else 'none'}: they do not look at the same place{meaning}",
                [f"export {name}={quoted(value)}"],
            )
        elif path:
            yield finding(
                *("environment.variable", "ok", name), f"{value!r} from {shown(path)}{meaning}"
            )
        else:
            state = "ok" if name in _MEANING else "warn"
            yield finding(
                *("environment.variable", state, name), f"{here!r} from the shell{meaning}"
            )


def _shared(env: paths.Env) -> set[str]:
    return {name for name in ("CLAUDE_CONFIG_DIR",) if env.get(name)}


def log(env: paths.Env) -> Iterator[Finding]:
    path = paths.log_file(env)
    if os.path.exists(path):
        yield finding(
            *("log.bugs", "warn", "Log"),
            f"{shown(path)} has reports of bugs ({size(os.path.getsize(path))})",
            [f"rm {quoted(path)}"],
            "Read it first: it is made to be attached to an issue.",
        )
