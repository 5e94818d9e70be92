"""What differs between operating systems, in one place; everything else asks here.

Hooks import it: standard library only, and what only one system has is imported where it is used.
Tests replace `sys` in this module to see what the others do.
"""

from __future__ import annotations

import os
import sys
import time

from budget.lean import Any

REPLACE_FOR_S = 0.5
"""How long Windows may keep a file that another process has open just now."""


def is_windows() -> bool:
    return sys.platform == "win32"


def is_macos() -> bool:
    return sys.platform == "darwin"


def is_linux() -> bool:
    return sys.platform.startswith("linux")


def has_modes() -> bool:
    """Whether a file's mode says who may open it. On Windows its folder's list does."""
    return not is_windows()


def user_id() -> int:
    """Whose process it is, as files say whose they are; 0 on Windows, where they say so too."""
    if sys.platform == "win32":
        return 0
    return os.geteuid()


def user_name(uid: int) -> str:
    """The name of a user; the number where there is none."""
    if sys.platform != "win32":
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            pass
    return str(uid)


def is_reserved(name: str) -> bool:
    """Whether Windows takes a name for a device, in any folder: no file can be called so."""
    name = name.upper()
    port = len(name) == 4 and name[:3] in ("COM", "LPT") and name[3] in "123456789"
    return port or name in ("CON", "PRN", "AUX", "NUL")


def replace(source: str, target: str) -> None:
    """`os.replace`, which Windows refuses while another process has the target open.

    Python opens files so that they cannot be replaced there; a reader is done in a moment.
    """
    until = time.monotonic() + REPLACE_FOR_S
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if not is_windows() or time.monotonic() > until:
                raise
            time.sleep(0.01)


def true_path(path: str) -> str:
    """The real path of a folder. One folder has one, however its name was typed.

    On Windows `realpath` already tells the letters as they are on the disk; on macOS, where names
    are found whatever their case, only the open file does. A path that is none stays as it is.
    """
    real = os.path.realpath(path)
    if sys.platform == "darwin":
        import fcntl

        try:
            fd = os.open(real, os.O_RDONLY)
        except OSError:
            return real
        try:
            # 1024 is the PATH_MAX of macOS; the answer ends with a NUL.
            told = fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024))
            return os.fsdecode(told.partition(b"\0")[0]) or real
        except OSError:
            return real
        finally:
            os.close(fd)
    return real


def is_below(path: str, folder: str) -> bool:
    """Whether a path is in a folder, by name: as the system compares names."""
    return os.path.normcase(path).startswith(os.path.normcase(folder) + os.sep)


def kill_session(process_id: int) -> None:
    """Kills a process that began a session of its own, with what it started; Windows: it alone."""
    import signal

    if sys.platform == "win32":
        os.kill(process_id, signal.SIGTERM)
    else:
        os.killpg(process_id, signal.SIGKILL)


def apart() -> dict[str, Any]:
    """Arguments of `Popen` for a process that outlives this one and has no window or terminal."""
    if sys.platform == "win32":
        import subprocess

        # A detached process would open a console for each program that it starts.
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}


def try_lock(fd: int) -> bool:
    """Locks a file for this process, without waiting. The system frees it with the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def try_lock_bytes(fd: int, first: int, size: int) -> bool:
    """Locks some bytes of a file that is open for writing, against shared locks, too."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, first, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, size)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, size, first)
    except OSError:
        return False
    return True


def is_network_drive(path: str) -> bool:
    """On Windows: whether a path is on a share of another machine; else False."""
    if sys.platform != "win32":
        return False
    import ctypes

    drive = os.path.splitdrive(os.path.realpath(path))[0]
    remote = ctypes.WinDLL("kernel32").GetDriveTypeW(f"{drive}\\") == 4  # DRIVE_REMOTE
    return drive.startswith("\\\\") or remote


def parents() -> dict[int, tuple[int, str]]:
    """On Windows: each process with its parent and the name of its program; else empty.

    Windows tells the id of the parent that once was: where it has ended, and the id was given
    anew, a stranger stands in its place.
    """
    if sys.platform != "win32":
        return {}
    import ctypes
    from ctypes import wintypes

    class Entry(ctypes.Structure):
        _fields_ = (
            ("dwSize", wintypes.DWORD),
            ("cntUsage", wintypes.DWORD),
            ("th32ProcessID", wintypes.DWORD),
            ("th32DefaultHeapID", ctypes.c_size_t),
            ("th32ModuleID", wintypes.DWORD),
            ("cntThreads", wintypes.DWORD),
            ("th32ParentProcessID", wintypes.DWORD),
            ("pcPriClassBase", wintypes.LONG),
            ("dwFlags", wintypes.DWORD),
            ("szExeFile", wintypes.WCHAR * 260),
        )

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
    for name in ("Process32FirstW", "Process32NextW"):
        getattr(kernel, name).argtypes = (wintypes.HANDLE, ctypes.POINTER(Entry))
    snapshot = kernel.CreateToolhelp32Snapshot(2, 0)  # TH32CS_SNAPPROCESS
    if snapshot in (None, wintypes.HANDLE(-1).value):
        return {}
    found = {}
    entry = Entry(dwSize=ctypes.sizeof(Entry))
    try:
        more = kernel.Process32FirstW(snapshot, ctypes.byref(entry))
        while more:
            found[entry.th32ProcessID] = (entry.th32ParentProcessID, entry.szExeFile)
            more = kernel.Process32NextW(snapshot, ctypes.byref(entry))
    finally:
        kernel.CloseHandle(wintypes.HANDLE(snapshot))
    return found
