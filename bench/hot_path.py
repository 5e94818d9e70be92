"""Every import and every kind of system call of a warm hook, each with its reason.

    python -m bench.hot_path            writes the lists into docs/performance.md (needs strace)
    python -m bench.hot_path --check    exits 1 where a hook does something that is not listed, or
                                        no longer does what is
    python -m bench.hot_path --counts   prints how many of each, of a hook and of an interpreter

A hook on a new step is run under `strace -f` and with `-X importtime`. What an interpreter does
without any import is its own affair. The reasons are here; of the project's own modules, the first
line of each says what it is for.
"""

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.page import PAGE, table
from bench.processes import PYTHON, ROOT
from bench.scene import HOOK, Scene

IMPORTS = {
    "__future__": "annotations are not evaluated",
    "_blake2": "the chain of the ledger's entries",
    "_collections": "with functools; the fields of named tuples",
    "_collections_abc": "with os",
    "_datetime": "days and months begin in a time zone",
    "_functools": "with functools",
    "_json": "reads the event and the transcript, writes the answer",
    "_operator": "with operator",
    "_sqlite3": "the ledger",
    "_stat": "with stat",
    "binascii": "checksums that tell whether a transcript is the same file",
    "collections": "with functools",
    "collections.abc": "the same as _collections_abc, by another name",
    "errno": "errors of the file system, by name",
    "functools": "loaded by _sqlite3; models and prices are looked up once",
    "gc": "put off while modules are loaded",
    "genericpath": "with posixpath",
    "itertools": "pairs of steps; with functools",
    "keyword": "with collections",
    "operator": "with collections; prices times tokens",
    "os": "files and the environment",
    "posixpath": "with os",
    "reprlib": "with collections",
    "stat": "only regular files are read; with os",
    "types": "with functools",
}
"""Of the standard library, beyond what the interpreter starts with."""

CALLS = {
    "brk": "memory",
    "close": "each file that was read",
    "execve": "the start",
    "exit_group": "the end, without taking the interpreter down",
    "fcntl": "locks of the ledger, which let one write at a time and end with a killed process",
    "ftruncate": "SQLite makes the index of its log anew",
    "getdents64": "folders of modules, of agents' transcripts, of the sensor's reports",
    "geteuid": "whose the files of the state folder are",
    "ioctl": "the interpreter asks of each file whether it is a terminal",
    "lseek": "modules; the transcript, read on from where the last hook stopped",
    "mmap": "libraries, memory, and the index of the ledger's log",
    "newfstatat": "modules, configs (by size and time), transcripts, modes of the state folder",
    "openat": "modules, the compiled policy, git's config (who works), the transcript, the ledger",
    "pread64": "pages of the ledger and of its log",
    "pwrite64": "the booked step, into the ledger's log",
    "read": "modules, the event, the compiled policy, the transcript",
    "rt_sigaction": "the interpreter's handling of signals",
    "umask": "what is made is the person's alone",
}
SOMETIMES = {
    "access": "the system's loader of libraries",
    "arch_prctl": "the system's loader of programs",
    "clock_nanosleep": "a second thread waits, to answer where the first hangs in a call",
    "clone": "see clone3",
    "clone3": "starts that thread",
    "fchown": "SQLite, as root: its log belongs to the ledger's owner",
    "fstat": "whether it is a regular file, of what size and whose",
    "futex": "the interpreter's lock",
    "getcwd": "the interpreter's search path",
    "getegid": "the interpreter's start",
    "getgid": "the interpreter's start",
    "getpid": "SQLite tells a forked process by it",
    "getrandom": "the seed of hashes; SQLite's salts",
    "gettid": "the interpreter's start",
    "getuid": "the interpreter's start",
    "lstat": "where links lead: the transcript must lie in the client's folder",
    "mkdir": "folders of the state folder",
    "mprotect": "the system's loader of libraries",
    "mremap": "a buffer is cut down to what was read",
    "munmap": "a buffer is given back",
    "open": "see openat",
    "prlimit64": "the system's start of threads",
    "readlink": "the interpreter finds its own file",
    "rseq": "the system's start of programs",
    "rt_sigprocmask": "the start of the second thread",
    "set_robust_list": "the system's start of programs",
    "set_tid_address": "the system's start of programs",
    "stat": "see newfstatat",
    "sysinfo": "the interpreter's memory",
    "uname": "the system's loader of programs",
    "write": "where the ledger stands now (its anchor); the answer, where there is one",
}
"""Whether they happen depends on the system, on who runs it, or on chance."""

NAMES = ("imports of a hook", "system calls of a hook")
_CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?([a-z][a-z0-9_]*)\(", re.MULTILINE)
_IMPORT = re.compile(r"^import time: +\d+ \| +\d+ \| *(\S+)$", re.MULTILINE)


def ours(command: tuple[str, ...], scene: Scene, *before: str) -> str:
    """What is told on stderr of one hook on a new step, or of another command."""
    scene.add_step()
    done = subprocess.run(
        [*before, *command],
        env=scene.env,
        cwd=ROOT,
        input=scene.event(),
        capture_output=True,
        check=True,
    )
    return done.stderr.decode()


def imports(scene: Scene) -> list[str]:
    """The modules that a hook loads beyond those an interpreter starts with, by name."""
    traced = (PYTHON, "-X", "importtime", *HOOK[1:])
    bare = (PYTHON, "-X", "importtime", "-I", "-S", "-c", "pass")
    loaded = _IMPORT.findall(ours(traced, scene))
    known = set(_IMPORT.findall(ours(bare, scene)))
    return sorted(name for name in set(loaded) - known if name != "run")


def calls(command: tuple[str, ...], scene: Scene) -> Counter[str]:
    return Counter(_CALL.findall(ours(command, scene, "strace", "-f")))


def first_line(module: str) -> str:
    """What a module of the project is for, in its own words."""
    path = ROOT / (module.replace(".", "/") + ".py")
    if not path.exists():
        path = ROOT / module.replace(".", "/") / "__init__.py"
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return told.partition("\n\n")[0].replace("\n", " ").rstrip(".")


def lists(modules: list[str], seen: Counter[str], bare: Counter[str]) -> dict[str, str]:
    """The two tables. Raises `SystemExit` for what has no reason."""
    reasons = {name: first_line(name) for name in modules if name.partition(".")[0] == "budget"}
    reasons |= IMPORTS
    unknown = [name for name in modules if name not in reasons]
    unknown += [name for name in seen if name not in CALLS | SOMETIMES]
    gone = [name for name in CALLS if name not in seen]
    if unknown or gone:
        raise SystemExit(
            f"bench/hot_path.py has no reason for {unknown}, and one for {gone}, of which a hook"
            " makes no use: write one, or take it out."
        )
    told = [(f"`{name}`", reasons[name]) for name in modules]
    because = CALLS | SOMETIMES
    kinds = [(f"`{name}`", "yes" if name in bare else "", because[name]) for name in sorted(seen)]
    return {
        NAMES[0]: _left(table("module | for", told)),
        NAMES[1]: _left(table("system call | of the bare interpreter too | for", kinds)),
    }


def _left(text: str) -> str:
    return text.replace("---:", "---")


def written(text: str, made: dict[str, str]) -> str:
    """The page with the lists made anew."""
    for name, told in made.items():
        start, end = f"<!-- {name}: written by bench/hot_path.py -->\n", "<!-- end -->"
        if text.count(start) != 1:
            raise SystemExit(f"{PAGE}: expected {name!r} once: {start}")
        before, rest = text.split(start)
        text = f"{before}{start}\n{told}\n\n{end}{rest.partition(end)[2]}"
    return text


def missed(text: str, made: dict[str, str]) -> list[str]:
    """Lines that the page has not, or has and should not; of system calls, only the former.

    Which of those that happen sometimes happened where the page was written does not matter.
    """
    listed = set(text.splitlines())
    lacks = [row for told in made.values() for row in told.splitlines() if row not in listed]
    modules = set(made[NAMES[0]].splitlines())
    page = text.partition(f"<!-- {NAMES[0]}")[2].partition("<!-- end -->")[0].splitlines()
    stale = [row for row in page if row.startswith("| `") and row not in modules]
    return lacks + stale


def main() -> None:
    if not shutil.which("strace"):
        raise SystemExit("strace is not here: `apt-get install strace`.")
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        scene.catch_up()
        scene.hook()
        modules, seen = imports(scene), calls(HOOK, scene)
        bare = calls((PYTHON, "-I", "-S", "-c", "pass"), scene)
    if "--counts" in sys.argv[1:]:
        for name, count in seen.most_common():
            print(f"{count:6} {bare[name]:6}  {name}")
        return
    made = lists(modules, seen, bare)
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        stale = missed(text, made)
        if stale:
            told = "docs/performance.md is not what a hook does; run: python -m bench.hot_path"
            raise SystemExit("\n".join([told, *stale]))
        return
    PAGE.write_text(written(text, made), encoding="utf-8")


if __name__ == "__main__":
    main()
