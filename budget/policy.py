"""The policy of a project: all config layers merged by authority, compiled to one JSON file.

A hook loads the compiled file. It is compiled anew when a config differs in size, time or identity
from what was compiled, or was created or removed. A config that is not valid is refused whole,
and the last valid version of that layer stays in force.

A session is held to what it began with: what loosens a rule waits for the next one.
"""

from __future__ import annotations

import os
from binascii import crc32

from budget import __version__
from budget.errors import ConfigError
from budget.files import check_folder, is_remote, printable, read_own, read_some, replace_own
from budget.lean import Any, NamedTuple, dumps, loads, suppress
from budget.merge import Compiled, Layer, held_to, merged, policy_budget
from budget.model import Policy

NO_POLICY = Policy()
_LARGEST = 64 * 1024 * 1024
_POLICY_LAYERS = ("managed", "team")


def load_policy(
    layers: list[Layer],
    compiled_file: str,
    person: str = "",
    session_files: tuple[str, ...] = (),
    begins: bool = False,
    looks: bool = False,
    price_print: str = "",
    nested: bool = False,
    keeps: bool = True,
) -> Policy:
    """The policy in force: compiled before, or compiled now because a config changed.

    With `session_files`, copies of one, the policy that holds in that session, which `begins` now
    or goes on. Who only `looks` leaves them as they are. A `nested` session, one that was started
    from within another, begins with what holds there. `price_print` tells one downloaded price
    table from another. Without `keeps` what was compiled is not stored.
    """
    prints = [_fingerprint(layer) for layer in layers]
    known = _load_compiled(compiled_file)
    stamp = [__version__, person, price_print, [list(layer) for layer in layers], prints]
    if known is None or known.stamp != stamp:
        compiled = _compile(layers, known.valid if known else {}, person, price_print)
        raw = {"stamp": stamp, **compiled}
        if keeps:
            _store(compiled_file, dumps(raw))
        known = _Compiled(stamp, compiled["valid"], compiled["policy"], compiled["id"])
    if not session_files:
        return _policy(known.policy)
    return _policy(_in_session(known, session_files, begins, looks, nested))


def _fingerprint(layer: Layer) -> list[Any] | None:
    try:
        status = os.stat(layer.file)
    except OSError:
        return None
    print_ = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
    # A local file that is committed is the repository's: git's index tells.
    return [*print_, _fingerprint(Layer("", _index(layer), ""))] if _is_local(layer) else print_


def _is_local(layer: Layer) -> bool:
    return layer.name == "local"


def _index(layer: Layer) -> str:
    """Git's index of the worktree that a local file is in."""
    dot_git = os.path.join(os.path.dirname(os.path.dirname(layer.file)), ".git")
    try:  # of a linked worktree or a submodule it is a file that names the folder
        pointer = read_some(dot_git, 4096).decode().strip().removeprefix("gitdir:").strip()
        named = os.path.join(os.path.dirname(dot_git), pointer)
        dot_git = dot_git if is_remote(named) or "\0" in named else named
    except (OSError, ValueError):
        pass
    return os.path.join(dot_git, "index")


class _Compiled(NamedTuple):
    """What a compiled file holds."""

    stamp: list[Any]
    """Of what it was compiled."""
    valid: dict[str, Any]
    """The last valid settings of each config, by file."""
    policy: Compiled
    id: str
    """Differs when the policy does."""


def _load_compiled(path: str) -> _Compiled | None:
    try:
        raw = loads(read_own(path, _LARGEST))
        compiled = _Compiled(raw["stamp"], raw["valid"], raw["policy"], raw["id"])
        _policy(compiled.policy)
        return compiled if isinstance(compiled.valid, dict) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _compile(
    layers: list[Layer], last_valid: dict[str, Any], person: str, price_print: str
) -> dict[str, Any]:
    valid: dict[str, Any] = {}
    problems: list[str] = []
    settings = []
    for layer in layers:
        try:
            read = read_layer(layer)
        except ConfigError as error:
            read = last_valid.get(layer.file)
            kept = "its last valid version stays in force" if read else "nothing of it holds"
            problems.append(f"{error}\nUntil this is mended, {kept}.")
        if read is not None:
            valid[layer.file] = read
            settings.append((_checked_local(layer, problems), read))
    # A local file that is none comes after the person's own.
    settings.sort(key=lambda each: each[0].demoted)
    # As JSON has it: what was compiled now is what the next hook loads.
    policy = loads(dumps(merged(settings, person)))
    policy["problems"] = [*problems, *policy["problems"]]
    policy |= {"person": person, "price_print": price_print}
    return {"id": f"{crc32(dumps(policy).encode()):08x}", "valid": valid, "policy": policy}


def read_layer(layer: Layer) -> dict[str, Any] | None:
    """The settings of a layer; None when there is no file. Raises `ConfigError`.

    A file of a repository is not read through a link that leads out of it: what is wrong with a
    config is told, and that would tell of what the link leads to.
    """
    from budget.rules import read_config  # only when a file changed

    if layer.root and os.path.lexists(layer.file) and not _is_inside(layer):
        raise ConfigError(
            f"{printable(layer.file)}: it is a link, or lies in one, that leads out of the"
            " project: it was not read."
        )
    return read_config(layer.file, layer.name in _POLICY_LAYERS)


def _is_inside(layer: Layer) -> bool:
    real = os.path.realpath(layer.file)
    worktree = os.path.dirname(os.path.dirname(layer.file))
    folders = (os.path.realpath(folder) for folder in (worktree, layer.root))
    return any(os.path.commonpath((real, folder)) == folder for folder in folders)


def _checked_local(layer: Layer, problems: list[str]) -> Layer:
    """A local file that git keeps came with a clone: it has a repository's authority."""
    if not _is_local(layer):
        return layer
    if not _may_be_committed(layer):
        return layer
    problems.append(
        f"{printable(layer.file)} is kept in git, so it is not one person's: it can tighten and"
        " not loosen. `git rm --cached .claude/budget.local.toml` and .gitignore make it yours."
    )
    return layer._replace(name="repo", demoted=True)


def _may_be_committed(layer: Layer) -> bool:
    """Whether git keeps a file, or a link on the way to it could lead to one that it keeps."""
    links = os.path.islink(layer.file) or os.path.islink(os.path.dirname(layer.file))
    if links and os.path.isfile(layer.file):
        return True
    try:
        index = read_some(_index(layer), _LARGEST).lower()
    except OSError:
        return False
    # The fourth format leaves out what a name has in common with the one before it.
    short = index[4:8] == b"\0\0\0\x04"
    return (b"budget.local.toml\0" if short else b".claude/budget.local.toml\0") in index


def _policy(compiled: Compiled) -> Policy:
    lists = {key: tuple(compiled[key]) for key in ("prices", "problems", "held", "notify")}
    budgets = tuple(policy_budget(row) for row in compiled["budgets"])
    return Policy(**{**compiled, **lists, "budgets": budgets})


def _in_session(
    known: _Compiled, files: tuple[str, ...], begins: bool, looks: bool, nested: bool
) -> Compiled:
    """What holds in a session; its files remember it, under the id of what the configs said.

    The first line says whether that is what they say now: then a step parses no more of it.
    """
    began_with: Compiled | None = None
    if nested and begins:
        began_with = _newest(os.path.dirname(files[0]))
    for path in () if begins else files:
        try:
            told, _, rest = read_own(path, _LARGEST).partition(b"\n")
            if told.decode() == f"{known.id} as written":
                return known.policy
            began_with = loads(rest)
            _policy(began_with)
            if told.decode() == f"{known.id} held":
                return began_with
            break
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            began_with = None
    policy = known.policy if began_with is None else held_to(began_with, known.policy)
    state = "as written" if policy == known.policy else "held"
    for path in () if looks else files:
        _store(path, f"{known.id} {state}\n{dumps(policy)}")
    return policy


def _newest(folder: str) -> Compiled | None:
    """What holds in the session of a project that began last."""
    try:
        with os.scandir(folder) as entries:
            paths = sorted((each.stat().st_mtime_ns, each.path) for each in entries)
        compiled: Compiled = loads(read_own(paths[-1][1], _LARGEST).partition(b"\n")[2])
        _policy(compiled)
        return compiled
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def person_of(folder: str, name: str) -> str | None:
    """Whose a session is, as a project's folder of sessions kept it when it began; `name` is its
    file's, as far as it is the session's."""
    try:
        with os.scandir(folder) as entries:
            kept = [each.path for each in entries if each.name.startswith(f"{name}-")]
        return str(loads(read_own(kept[0], _LARGEST).partition(b"\n")[2])["person"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _store(path: str, text: str) -> None:
    """Replaces the file at once. Where it cannot be written, the next hook compiles again."""
    with suppress(OSError):
        # `replace_own` looks at the folder itself; this one may be a link as well.
        check_folder(os.path.dirname(os.path.dirname(path)))
        replace_own(path, text)
