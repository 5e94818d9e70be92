"""Which hooks of budget the client will run here, and from where: settings files and the plugin.

What a cloned repository calls a hook of budget may be anything: it is only reported, never run.
"""

import os
import re
from json import loads
from typing import Any, NamedTuple

from budget import paths, settings
from budget.errors import BudgetError
from budget.files import read_some

PLUGIN = "budget@codebudget"
_MARKET = "codebudget"
SCOPES = ("user", "project", "local")
_LARGEST = 4 * 1024 * 1024


class Installed(NamedTuple):
    """Hooks that the client will run."""

    where: str
    """The settings file, or the plugin and its folder, for people."""
    scope: str
    """`user`, `project`, `local` or `managed` settings; `plugin`."""
    commands: dict[str, list[str]]
    """What runs for each event."""
    agent_tools: str
    """The pattern of the tools before which a hook runs."""
    root: str
    """The folder that the package is loaded from; empty where the command does not tell."""

    @property
    def is_strict(self) -> bool:
        return any("--strict" in command for command in self.commands.values())

    @property
    def is_plugin(self) -> bool:
        return self.scope == "plugin"


class Trouble(NamedTuple):
    """Why hooks are not run, or were not tried."""

    kind: str
    """`unreadable`, `foreign`, `disabled` or `gone`."""
    scope: str
    place: str
    """The file or folder."""
    text: str


def installed(env: paths.Env, project: paths.Project) -> tuple[list[Installed], list[Trouble]]:
    """Every set of hooks of budget that a session in this project has."""
    found: list[Installed] = []
    troubles: list[Trouble] = []
    for scope, path in settings_files(env, project):
        try:
            each = _in_settings(scope, path)
        except BudgetError as error:
            troubles.append(Trouble("unreadable", scope, path, str(error)))
            continue
        if each is None:
            continue
        if scope in ("project", "local") and not _is_ours(each):
            text = f"{path} has hooks of another install of budget; they were not tried"
            troubles.append(Trouble("foreign", scope, path, text))
        else:
            found.append(each)
    for plugin in _plugins(env, project):
        if isinstance(plugin, Trouble):
            troubles.append(plugin)
        else:
            found.append(plugin)
    return found, troubles


def settings_files(env: paths.Env, project: paths.Project) -> list[tuple[str, str]]:
    """(scope, file) of every settings file the client reads for a project, the person's first."""
    files = [(scope, settings.settings_file(env, project, scope)) for scope in SCOPES]
    return [*files, *(("managed", path) for path in managed_settings())]


def managed_settings() -> list[str]:
    """An administrator's settings: the file, then each part of the folder beside it."""
    folder = paths.managed_folder()
    parts = os.path.join(folder, "managed-settings.d")
    try:
        names = sorted(name for name in os.listdir(parts) if name.endswith(".json"))
    except OSError:
        names = []
    whole = os.path.join(folder, "managed-settings.json")
    return [whole, *(os.path.join(parts, name) for name in names)]


def read_json(path: str) -> dict[str, Any]:
    """An object from a file of the client's; empty where there is none."""
    try:
        value = loads(read_some(path, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def version_at(root: str) -> str:
    """The version of the package in a folder, read without running it; empty for none."""
    try:
        text = read_some(os.path.join(root, "budget", "__init__.py"), 65_536).decode()
    except (OSError, ValueError):
        return ""
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    return found[1] if found else ""


def _in_settings(scope: str, path: str) -> Installed | None:
    """Raises `BudgetError` for a file that cannot be read."""
    commands, tools = settings.installed_commands(path)
    if not commands:
        return None
    some = next(iter(commands.values()))
    # `-c CODE ROOT ...`, as `settings` writes it.
    root = some[some.index("-c") + 2] if "-c" in some[:-2] else ""
    return Installed(path, scope, commands, tools, root)


def _is_ours(each: Installed) -> bool:
    return all(
        command in (settings.own_command(event), settings.own_command(event, strict=True))
        for event, command in each.commands.items()
    )


def _plugins(env: paths.Env, project: paths.Project) -> list[Installed | Trouble]:
    """The plugin as the client loads it: enabled, and from where its marketplace says."""
    folder = os.path.join(paths.claude_folder(env), "plugins")
    plugins = read_json(os.path.join(folder, "installed_plugins.json")).get("plugins")
    places = plugins.get(PLUGIN) if isinstance(plugins, dict) else None
    off = _switched_off(env, project) if places else ""
    if off:
        text = f"the plugin is installed, but disabled in {off}"
        return [Trouble("disabled", "plugin", off, text)]
    found: list[Installed | Trouble] = []
    for place in places if isinstance(places, list) else ():
        root = str(place.get("installPath", "")) if isinstance(place, dict) else ""
        found.append(_plugin_at(_checkout(folder) or root))
    return found


def _switched_off(env: paths.Env, project: paths.Project) -> str:
    """The settings file that disables the plugin; empty where none does, or a stronger enables."""
    user, shared, own, *managed = settings_files(env, project)
    for _, path in (*managed, own, shared, user):
        enabled = read_json(path).get("enabledPlugins")
        if isinstance(enabled, dict) and PLUGIN in enabled:
            return path if enabled[PLUGIN] is False else ""
    return ""


def _checkout(folder: str) -> str:
    """A plugin of a marketplace that is a folder runs from there, not from the client's copy."""
    market = read_json(os.path.join(folder, "known_marketplaces.json")).get(_MARKET)
    source = market.get("source") if isinstance(market, dict) else None
    if isinstance(source, dict) and source.get("source") == "directory":
        return str(source.get("path", ""))
    return ""


def _plugin_at(root: str) -> Installed | Trouble:
    hooks = read_json(os.path.join(root, "hooks", "hooks.json")) if os.path.isabs(root) else {}
    commands, tools = settings.commands_in(hooks, "")
    if not commands:
        text = f"the plugin's folder {root} is gone, or is none: nothing is counted or stopped"
        return Trouble("gone", "plugin", root, text)
    filled = {
        event: [word.replace("${CLAUDE_PLUGIN_ROOT}", root) for word in command]
        for event, command in commands.items()
    }
    return Installed(f"plugin {PLUGIN}, {root}", "plugin", filled, tools, root)
