"""Where things are: the state folder, the project, the configs. Standard library only."""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Mapping

from budget import system
from budget.errors import InputError
from budget.files import check_folder, is_remote, read_own, read_some, replace_own
from budget.lean import NamedTuple, dumps, loads, suppress
from budget.steps import clean

Env = Mapping[str, str]

MANY_USERS = "BUDGET_MANY_USERS"
"""Set where a program works for many users in one folder: no transcript tells whose it is."""


class Project(NamedTuple):
    """A repository, or a folder that is in none. Worktrees of one repository are one project."""

    key: str
    """The name of its folder in the state folder."""
    root: str
    """The main worktree of the repository."""
    worktree: str
    """The worktree at hand: its `.claude/budget.toml` is the repo config."""


def state_folder(env: Env) -> str:
    """`$BUDGET_HOME`, else the platform's user data folder for `codebudget`.

    `hooks/sensor.js` follows the same rule.
    """
    if env.get("BUDGET_HOME"):
        return os.path.abspath(env["BUDGET_HOME"])
    if system.is_windows():
        base = env.get("LOCALAPPDATA") or os.path.join(_home(env), "AppData", "Local")
    elif system.is_macos():
        base = os.path.join(_home(env), "Library", "Application Support")
    else:
        base = env.get("XDG_DATA_HOME") or os.path.join(_home(env), ".local", "share")
    return os.path.join(base, "codebudget")


_checked: set[str] = set()


def check_state(env: Env) -> None:
    """Sees to it once that the state folder is the person's own and closed to others.

    Raises `StateError` for another user's.
    """
    folder = state_folder(env)
    if folder not in _checked and check_folder(folder, may_be_link=True):
        check_folder(os.path.join(folder, "projects"))
        check_folder(os.path.join(folder, "client"))
        _checked.add(folder)


def _home(env: Env) -> str:
    return env.get("HOME") or os.path.expanduser("~")


def claude_folder(env: Env) -> str:
    """The client's own folder: settings, transcripts, the user's config."""
    return env.get("CLAUDE_CONFIG_DIR") or os.path.join(_home(env), ".claude")


def user_config(env: Env) -> str:
    return os.path.join(claude_folder(env), "budget.toml")


def added_config(env: Env) -> str:
    """The config that a program on the Agent SDK adds to the others (see sdk.py); else empty."""
    return env.get("BUDGET_SDK_CONFIG", "")


def repo_config(project: Project) -> str:
    return os.path.join(project.worktree, ".claude", "budget.toml")


def local_config(project: Project) -> str:
    """One person's config in one repository, not kept in git."""
    return os.path.join(project.worktree, ".claude", "budget.local.toml")


def team_policies(env: Env, project: Project) -> list[str]:
    """The policy in the repository, then every file that `$BUDGET_POLICY` names."""
    named = env.get("BUDGET_POLICY", "").split(os.pathsep)
    own = os.path.join(project.worktree, ".claude", "budget-policy.toml")
    return [own, *(os.path.abspath(os.path.expanduser(path)) for path in named if path)]


def managed_folder() -> str:
    """Where the client's own managed settings are, too: an administrator's."""
    if system.is_windows():
        return r"C:\Program Files\ClaudeCode"
    if system.is_macos():
        return "/Library/Application Support/ClaudeCode"
    return "/etc/claude-code"


def managed_policies() -> list[str]:
    """`budget-policy.toml`, then each file of `budget-policy.d`, by name."""
    folder = managed_folder()
    parts = os.path.join(folder, "budget-policy.d")
    try:
        names = sorted(name for name in os.listdir(parts) if name.endswith(".toml"))
    except OSError:
        names = []
    return [
        os.path.join(folder, "budget-policy.toml"),
        *(os.path.join(parts, name) for name in names),
    ]


def project_folder(env: Env, project: Project) -> str:
    return os.path.join(state_folder(env), "projects", project.key)


def ledger_file(env: Env, project: Project) -> str:
    return os.path.join(project_folder(env, project), "ledger.db")


def policy_file(env: Env, project: Project) -> str:
    """The compiled policy. Worktrees may hold different configs, so each has its own.

    So has each set of budgets that a program adds, and each user it works for.
    """
    added = added_config(env)
    of_program = (added, env.get("BUDGET_USER", "")) if added else ()
    return os.path.join(
        project_folder(env, project), f"policy-{_checksum(project, *of_program)}.json"
    )


def _checksum(project: Project, *more: str) -> str:
    return f"{crc32(os.fsencode(chr(0).join((project.worktree, *more)))):08x}"


def session_policy_files(env: Env, project: Project, session_id: str) -> tuple[str, str]:
    """What holds in one session of a worktree (see `policy.py`), twice.

    The copy lies apart: who deletes the project's folder does not delete what was promised.
    """
    name = f"{safe_name(session_id)}-{_checksum(project)}.policy"
    copy = os.path.join(client_totals_folder(env, session_id), f"{_checksum(project)}.policy")
    return os.path.join(project_folder(env, project), "sessions", name), copy


def anchor_file(env: Env, project: Project) -> str:
    """What the project's ledger stood at, apart from it (see `anchor.py`)."""
    return os.path.join(state_folder(env), "anchors", project.key)


def people_ledger_file(env: Env) -> str:
    """What people spent over all projects of this machine (see `people.py`)."""
    return os.path.join(state_folder(env), "people", "ledger.db")


def plan_usage_file(env: Env) -> str:
    """The last known usage of the person's subscription plan (see `plan.py`)."""
    return os.path.join(state_folder(env), "plan-usage.json")


def client_totals_folder(env: Env, session_id: str) -> str:
    """Where the sensor puts the client's own totals of one session, a file per process."""
    return os.path.join(state_folder(env), "client", safe_name(session_id))


def price_file(env: Env) -> str:
    """A newer price table than the one that ships, where the person put one in place."""
    return os.path.join(state_folder(env), "prices.json")


def log_file(env: Env) -> str:
    return os.path.join(state_folder(env), "logs", "hook.log")


def safe_name(name: str) -> str:
    """A file name made of outside text: it cannot leave its folder."""
    safe = "".join(each if _is_plain(each) or each in "_-" else "-" for each in name[:100]) or "-"
    return f"{safe}-" if system.is_reserved(safe) else safe


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def person(env: Env, project: Project) -> str:
    """Whose work it is: `$BUDGET_USER`, else git's `user.email`, else the system's user.

    Read from git's files without running git: the repository's own, then the person's.
    """
    if env.get("BUDGET_USER"):
        return clean(env["BUDGET_USER"])
    config = env.get("XDG_CONFIG_HOME") or os.path.join(_home(env), ".config")
    for path in (
        os.path.join(project.root, ".git", "config"),
        os.path.join(_home(env), ".gitconfig"),
        os.path.join(config, "git", "config"),
    ):
        email = _git_email(path)
        if email:
            return email
    return clean(env.get("USER") or env.get("USERNAME") or env.get("LOGNAME") or "")


def _git_email(path: str) -> str:
    try:
        text = read_some(path, 65_536).decode("utf-8", "replace")
    except OSError:
        return ""
    section = ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("["):
            section = bare.lower()
        elif section == "[user]":
            key, _, value = bare.partition("=")
            if key.strip().lower() == "email":
                return clean(value.strip().strip('"'))
    return ""


def all_ledgers(env: Env) -> list[str]:
    """The ledger of every project of this machine."""
    folder = os.path.join(state_folder(env), "projects")
    try:
        with os.scandir(folder) as listing:  # a link is not followed
            names = sorted(each.name for each in listing if each.is_dir(follow_symlinks=False))
    except OSError:
        return []
    files = (os.path.join(folder, name, "ledger.db") for name in names)
    return [path for path in files if os.path.exists(path)]


def session_project(env: Env, session_id: str, folder: str) -> Project:
    """The project a session belongs to: the one it was first seen in.

    A `.git` that is made or moved while it runs does not make its books another project's.
    """
    file = os.path.join(client_totals_folder(env, session_id), "project")
    try:
        told = loads(read_own(file, 65_536))
        project = Project(str(told[0]), str(told[1]), str(told[2]))
        if project.key == _key(project.root):
            return project
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    project = find_project(folder)
    with suppress(OSError, ValueError):
        replace_own(file, dumps(project))
    return project


def transcripts_name(folder: str) -> str:
    """How the client names what holds the transcripts of a folder's sessions (2.1.330)."""
    return "".join(each if _is_plain(each) else "-" for each in folder)


def _key(root: str) -> str:
    words = "".join(each if _is_plain(each) else " " for each in root).split()
    slug = "-".join(words)[-60:]
    return f"{slug}-{crc32(os.fsencode(root)):08x}"


def find_project(folder: str) -> Project:
    """The project a folder belongs to, found without running git."""
    here = system.true_path(folder)
    worktree = at = here
    root = here
    while True:
        dot_git = os.path.join(at, ".git")
        if os.path.isdir(dot_git):
            worktree = root = at
            break
        if os.path.isfile(dot_git):
            worktree, root = at, _main_worktree(dot_git) or at
            break
        parent = os.path.dirname(at)
        if parent == at:
            break
        at = parent
    return Project(_key(root), root, worktree)


def _main_worktree(dot_git: str) -> str | None:
    """The main worktree that the `.git` file of a linked one leads to; None for a submodule."""
    try:
        pointer = read_some(dot_git, 4096).decode().strip()
        if not pointer.startswith("gitdir:"):
            return None
        git_dir = os.path.join(os.path.dirname(dot_git), pointer.removeprefix("gitdir:").strip())
        if is_remote(git_dir):
            return None
        told = read_some(os.path.join(git_dir, "commondir"), 4096).decode().strip()
        back = read_some(os.path.join(git_dir, "gitdir"), 4096).decode().strip()
        common = os.path.realpath(os.path.join(git_dir, told))
        # Git keeps the way back, too. Without it, any folder could say that it is a worktree of
        # another repository: its steps would be booked there, and its links could lead there.
        if not os.path.samefile(os.path.join(git_dir, back), dot_git):
            return None
        if os.path.dirname(os.path.realpath(git_dir)) != os.path.join(common, "worktrees"):
            return None
    except (OSError, ValueError):
        return None
    return os.path.dirname(common) if os.path.basename(common) == ".git" else common


def check_transcript(path: str, env: Env) -> str:
    """The transcript's real path. Raises `InputError` for one the client would not have written."""
    if not os.path.isabs(path) or "\0" in path or not path.endswith(".jsonl") or is_remote(path):
        raise InputError(f"The transcript path {clean(path, 300)!r} is not one: it was not read.")
    folder = os.path.realpath(os.path.join(claude_folder(env), "projects"))
    real = os.path.realpath(path)
    if not system.is_below(real, folder):
        raise InputError(
            f"The transcript {clean(path, 300)} is outside {folder}, where Claude Code keeps "
            "transcripts: it was not read. If that is where yours are, set CLAUDE_CONFIG_DIR."
        )
    return real
