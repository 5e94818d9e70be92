"""What is set: each config file, the budgets that hold, time zones, prices, notifications."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime

from budget import notify, overrides, paths, pipeline, pricing, system
from budget.doctor.findings import Finding, of_group, quoted, shown
from budget.doctor.hooks import UPDATE_PLUGIN
from budget.errors import ConfigError, PriceError
from budget.files import read_some
from budget.installed import Installed
from budget.merge import Layer
from budget.messages import money
from budget.model import Policy
from budget.policy import load_policy
from budget.rules import read_config
from budget.windows import system_zone_name, zone

finding = of_group("Budgets")

_OLD_DAYS = 60
_HOURS = ("hour", "day", "week", "month")


def policy_here(env: paths.Env, project: paths.Project) -> Policy:
    """What holds, compiled without storing anything."""
    return load_policy(
        pipeline.layers(env, project),
        paths.policy_file(env, project),
        paths.person(env, project),
        price_print=pricing.price_print(paths.price_file(env)),
        looks=True,
        keeps=False,
    )


def examined(env: paths.Env, project: paths.Project, policy: Policy) -> Iterator[Finding]:
    layers = pipeline.layers(env, project)
    yield from _files(layers, policy)
    for problem in policy.problems:
        if not any(problem.startswith(each.file) for each in layers):
            yield finding(
                *("config.problem", "fail", "Config"),
                problem,
                advice="`budget check` shows what holds.",
            )
    for text in overrides.told(env, project):
        yield finding("config.override", "warn", "Overrides", text)
    yield from _budgets(policy)
    yield from _zones(policy)
    yield from _notifications(env, policy)


def _files(layers: list[Layer], policy: Policy) -> Iterator[Finding]:
    """Each file that is there, the highest authority first, with what of it holds."""
    for layer in layers:
        yield from _writable_by_others(layer)
        try:
            settings = read_config(layer.file, layer.name in ("managed", "team"))
        except ConfigError as error:
            told = [each for each in policy.problems if each.startswith(layer.file)]
            kept = told[0].rpartition("\n")[2] if told else ""
            yield finding(
                *("config.file", "fail", "Config"),
                f"{str(error).splitlines()[0]}{_more(error)}",
                advice=f"{kept} `budget check` tells when it is valid.".strip(),
            )
            continue
        if settings is None:
            continue
        held = [each.name for each in policy.budgets if each.source.file == layer.file]
        named = list(settings.get("budgets", {}))
        others = [name for name in named if name not in held]
        detail = f"{shown(layer.file)} ({layer.name}): sets {', '.join(held) or 'no budget'}"
        if others:
            detail += f"; {', '.join(others)} of it {'gives' if len(others) == 1 else 'give'} way"
            detail += " to a stricter one of another file"
        notes = [each for each in policy.problems if each.startswith(layer.file)]
        if notes:
            yield finding("config.file", "warn", "Config", notes[0].replace("\n", " "))
        else:
            yield finding("config.file", "ok", "Config", detail)


def _more(error: ConfigError) -> str:
    more = len(str(error).splitlines()) - 1
    return f" And {more} more." if more else ""


def _writable_by_others(layer: Layer) -> Iterator[Finding]:
    if not system.has_modes():
        return
    try:
        mode = stat.S_IMODE(os.stat(layer.file).st_mode)
    except OSError:
        return
    # Groups share repositories; an administrator's file, or a person's own, is nobody else's.
    loose = 0o002 if layer.name in ("repo", "team", "local") else 0o022
    if mode & loose:
        yield finding(
            *("config.writable", "warn", "Modes"),
            f"others may change {shown(layer.file)} ({mode:o}), and with it your limits",
            [f"chmod go-w {quoted(layer.file)}"],
        )


def _budgets(policy: Policy) -> Iterator[Finding]:
    if not policy.budgets:
        yield finding(
            *("config.budgets", "warn", "Budgets"),
            "none is set: steps are counted only",
            ["budget init"],
        )
        return
    limits = ", ".join(
        f"{each.name} {money(each.limit) if each.unit == 'usd' else f'{each.limit:,} {each.unit}'}"
        for each in policy.budgets
    )
    stops = any(each.on_exceed != "advise" for each in policy.budgets)
    only = "" if stops else "; all of them only advise: nothing is stopped"
    yield finding("config.budgets", "ok" if stops else "warn", "Budgets", limits + only)
    for key in policy.held:
        yield finding(
            *("config.held", "ok", "Waits"), f"{key}: loosened; holds from the next session on"
        )


def _zones(policy: Policy) -> Iterator[Finding]:
    """Where days begin. A zone that is not known would begin them elsewhere, without a word."""
    named = {each.timezone for each in policy.budgets if each.per in _HOURS} - {""}
    for name in sorted(named):
        try:
            zone(name)
        except ValueError as error:
            yield finding(
                *("time.zone", "fail", "Time zone"),
                f"{error}",
                [f"{quoted(sys.executable)} -m pip install tzdata"],
            )
    own = os.environ.get("TZ", "").removeprefix(":")
    if own and "/" in own and not own.startswith("/"):
        try:
            zone(own)
        except ValueError:
            yield finding(
                *("time.zone", "warn", "Time zone"),
                f"TZ is {own!r}, which the system does not know: it takes UTC instead",
                ["set TZ=" if system.is_windows() else "unset TZ"],
            )
            return
    local = datetime.now().astimezone()
    name = system_zone_name()
    told = f"{name}, now {local:%H:%M} (UTC{local:%z})"
    if named:
        told = f"{', '.join(sorted(named))} for budgets; the system's is {told}"
    yield finding("time.zone", "ok", "Time zone", told)


def prices(env: paths.Env, found: list[Installed], now_ms: int) -> Iterator[Finding]:
    own = paths.price_file(env)
    try:
        if os.path.exists(own):
            pricing.load_table(own, of_state=True)
        table = pricing.newest_table(own)
    except PriceError as error:
        yield finding("prices.table", "fail", "Prices", str(error), [f"rm {quoted(own)}"])
        return
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    try:
        age = (today - date.fromisoformat(table.version)).days
    except ValueError:
        age = 0
    detail = f"of {table.version}, {age} days old, {len(table.models)} models"
    if age <= _OLD_DAYS:
        yield finding("prices.table", "ok", "Prices", detail)
        return
    by_plugin = any(each.is_plugin for each in found)
    update = UPDATE_PLUGIN if by_plugin else [_upgrade()]
    yield finding(
        *("prices.table", "warn", "Prices"),
        f"{detail}: newer models, and changed prices, are not in it",
        update,
        "Or take over a newer table: budget prices --update FILE",
    )


def _upgrade() -> str:
    return f"{quoted(sys.executable)} -m pip install --upgrade codebudget"


def _notifications(env: paths.Env, policy: Policy) -> Iterator[Finding]:
    """The person's own command (`[notify]`): is it there, and how did it do last."""
    if policy.notify and not shutil.which(policy.notify[0], path=env.get("PATH")):
        yield finding(
            *("notify.command", "warn", "Notifications"),
            f"there is no {policy.notify[0]}, which [notify] names: warnings reach nobody that way",
            advice="Install it, or mend [notify] command.",
        )
    path = notify.failure_file(env)
    try:
        told = json.loads(read_some(path, 65_536))
        command, error = " ".join(told["command"]), told["error"]
    except (OSError, ValueError, LookupError, TypeError):
        if policy.notify:
            yield finding("notify.last", "ok", "Notifications", " ".join(policy.notify))
        return
    yield finding(
        *("notify.last", "warn", "Notifications"),
        f"{command}: {error}",
        [f"rm {quoted(path)}"],
        "Try it by hand first.",
    )
