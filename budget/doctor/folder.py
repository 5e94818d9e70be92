"""The state folder: may it be written, is it ours alone, is there room, is the disk a safe one."""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator

from budget import paths, system
from budget.doctor.findings import Finding, of_group, quoted, shown, size, span

finding = of_group("State folder")

_ROOM_BAD, _ROOM_LOW = 10**7, 2 * 10**8
_TRIED_BYTES = 1024 * 1024
_LOOKED_AT = 3000
"""How many files are looked at for their modes."""
_CLOCK_MS = 60_000
# SQLite's log needs memory that all who use the file share: not there over a network.
_NETWORK = (
    *("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gluster", "sshfs", "webdav", "davfs"),
    *("vboxsf", "drvfs", "prl_fs", "beegfs", "ncp"),
)


def examined(env: paths.Env) -> Iterator[Finding]:
    folder = paths.state_folder(env)
    if not os.path.lexists(folder):
        yield _absent(folder)
    else:
        yield from _writable(folder)
        yield from _closed(folder)
    yield from _disk(folder)


def _absent(folder: str) -> Finding:
    """Nothing is made here: the first session does."""
    above = _existing(folder)
    if os.access(above, os.W_OK):
        return finding(
            "state.folder", "ok", "Folder", f"{shown(folder)}: made by the first session"
        )
    return finding(
        *("state.folder", "fail", "Folder"),
        f"{folder} cannot be made: {above} is not writable for you",
        [_elsewhere()],
    )


def _existing(path: str) -> str:
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _elsewhere() -> str:
    """A command that puts the state where it can be written."""
    if system.is_windows():
        return r"setx BUDGET_HOME %USERPROFILE%\codebudget"
    return 'export BUDGET_HOME="$HOME/.codebudget"'


def _writable(folder: str) -> Iterator[Finding]:
    """Writes a file without a name: room, quota and a read-only disk show at once."""
    try:
        if not os.path.isdir(folder):
            raise NotADirectoryError(20, "it is a file, not a folder")
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIED_BYTES))
            file.flush()
            made_ms = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
    except OSError as error:
        yield finding(
            *("state.folder", "fail", "Folder"),
            f"{folder} cannot be written: {error.strerror}: nothing is booked",
            [_elsewhere()],
            f"Or make {shown(folder)} writable for you.",
        )
        return
    yield finding("state.folder", "ok", "Folder", shown(folder))
    apart = abs(made_ms - int(time.time() * 1000))
    if apart > _CLOCK_MS:
        yield finding(
            *("state.clock", "warn", "Clock"),
            f"the disk of {shown(folder)} is {span(apart)} off this machine's clock",
            advice="Set both clocks by the network: days and weeks begin by this one's.",
        )


def _closed(folder: str) -> Iterator[Finding]:
    """Who else may read or change what is there. Hooks close it when they open it."""
    if not system.has_modes():
        return
    me = system.user_id()
    opened, foreign, looked = [], [], 0
    waiting = [folder]
    while waiting and looked < _LOOKED_AT:
        at = waiting.pop()
        looked += 1
        try:
            status = os.stat(at) if at == folder else os.lstat(at)
            if status.st_uid != me:
                foreign.append((at, status.st_uid))
            elif status.st_mode & 0o077 and not stat.S_ISLNK(status.st_mode):
                opened.append((at, stat.S_IMODE(status.st_mode)))
            if stat.S_ISDIR(status.st_mode) and at != os.path.join(folder, "env"):
                with os.scandir(at) as entries:
                    waiting += [entry.path for entry in entries]
        except OSError:
            continue
    if opened:
        (first, mode), more = opened[0], len(opened) - 1
        others = f" and {more} more" if more else ""
        yield finding(
            *("state.closed", "warn", "Modes"),
            f"{shown(first)} is open to others ({mode:o}){others}",
            [f"chmod -R go= {quoted(folder)}"],
        )
    if foreign:
        first, uid = foreign[0]
        yield finding(
            *("state.owner", "fail", "Owner"),
            f"{shown(first)} belongs to {system.user_name(uid)}, not to you"
            + (f", and {len(foreign) - 1} more" if len(foreign) > 1 else ""),
            [f"sudo chown -R {me} {quoted(folder)}"],
        )
    if not opened and not foreign:
        yield finding("state.closed", "ok", "Modes", f"{looked} files and folders, yours alone")


def _disk(folder: str) -> Iterator[Finding]:
    at = _existing(folder)
    try:
        free = shutil.disk_usage(at).free
    except OSError:
        return
    kind = file_system(at)
    of = f" ({kind})" if kind else ""
    if free < _ROOM_LOW:
        yield finding(
            *("state.room", "fail" if free < _ROOM_BAD else "warn", "Room"),
            f"{size(free)} are free on the disk{of} of {shown(folder)}: when it is full, nothing is"
            " booked",
            advice=f"Free some space, or set BUDGET_HOME to another disk: {_elsewhere()}",
        )
    else:
        yield finding("state.room", "ok", "Room", f"{size(free)} free{of}")
    if any(part in kind for part in _NETWORK):
        yield finding(
            *("state.network", "warn", "Disk"),
            f"{shown(folder)} is on a network ({kind}): a ledger breaks when two machines write",
            [_elsewhere()],
        )


def file_system(path: str) -> str:
    """The type of the file system a path is on, in small letters; empty when it cannot be told."""
    if system.is_linux():
        return _mounted(os.path.realpath(path))
    if system.is_windows():
        return "network share, smb" if system.is_network_drive(path) else ""
    try:
        run = subprocess.run(
            ["/sbin/mount"], check=False, capture_output=True, text=True, timeout=2
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return _of_mount(run.stdout, os.path.realpath(path))


def _mounted(path: str) -> str:
    """From /proc/self/mountinfo: ` 36 35 98:0 /root /mount/point options - type source`."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return ""
    points = [(row[4], row[row.index("-") + 1]) for row in rows if "-" in row[6:-1]]
    return _deepest([(point.replace("\\040", " "), kind) for point, kind in points], path)


def _of_mount(told: str, path: str) -> str:
    """From macOS's `mount`: `/dev/disk1s1 on /System/Volumes/Data (apfs, local, journaled)`."""
    points = []
    for line in told.splitlines():
        point, _, more = line.partition(" on ")[2].rpartition(" (")
        points.append((point, more.partition(",")[0].rstrip(")")))
    return _deepest(points, path)


def _deepest(points: list[tuple[str, str]], path: str) -> str:
    """The type of the mount a path is on: the one with the longest folder, of two the later."""
    best = ("", "")
    for point, kind in points:
        below = path == point or path.startswith(point.rstrip("/") + "/")
        if below and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1].lower()
