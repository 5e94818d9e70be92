"""What a repository sets for our hooks: told at a session's start, for it may lead them elsewhere.

A repository that the person trusts can set environment variables for hooks in its settings.json.
With `BUDGET_HOME` the books begin anew, with `CLAUDE_CONFIG_DIR` the person's config is not read.
"""

import os

from budget import paths
from budget.files import printable, read_some
from budget.lean import loads

_LARGEST = 1024 * 1024
_ALSO = ("CLAUDE_CONFIG_DIR", "XDG_DATA_HOME", "LOCALAPPDATA")


def told(env: paths.Env, project: paths.Project) -> list[str]:
    """A sentence for each thing a person should know of; usually none."""
    found = [f"{what} If you did not mean that, take it out." for what in _settings(env, project)]
    state = os.path.realpath(paths.state_folder(env))
    if not env.get("CI") and _is_below(state, project.worktree):
        found.append(
            f"The state folder {printable(state)} lies in the project: agents may write there, and"
            " git may keep it. Set BUDGET_HOME to a folder outside."
        )
    return found


def _settings(env: paths.Env, project: paths.Project) -> list[str]:
    path = os.path.join(project.worktree, ".claude", "settings.json")
    if os.path.realpath(path) == os.path.realpath(
        os.path.join(paths.claude_folder(env), "settings.json")
    ):
        return []  # the home folder: it is the person's own
    try:
        settings = loads(read_some(path, _LARGEST))
        given = settings["env"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []
    names = sorted(
        name
        for name, value in given
        # What a higher settings file overrides does not hold.
        if (name.startswith("BUDGET_") or name in _ALSO) and env.get(name) == value
    )
    if not names:
        return []
    return [
        f"{printable(path)} sets {printable(', '.join(names))[:200]} for hooks: this repository"
        " says which budgets hold here, or where they are counted."
    ]


def _is_below(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath((path, folder)) == folder != os.path.dirname(folder)
    except ValueError:
        return False
