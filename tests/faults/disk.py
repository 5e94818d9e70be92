"""A disk that loses power: what a recording of writes may leave behind.

The model is a journalling file system at its worst. Of a file, all that was synced is there; of
what was written since, each write may be there, be missing, or be torn at a sector. Names (made,
renamed, removed) come back in their order, up to some point that lies behind the last sync.
"""

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RECORDED = "openat,pwrite64,write,ftruncate,fsync,fdatasync,rename,unlink"
_CALL = re.compile(r"\d+ +(\w+)\((.*)\) = \d+(?:<(.*?)>)?$")
_TEXT = re.compile(r'"((?:\\x..)*)"')
_FILE = re.compile(r"^\d+<((?:\\x..)*)>")
_SECTOR = 512


class Op(NamedTuple):
    """One change of the disk."""

    kind: str
    """`make`, `write`, `cut`, `sync`, `rename` or `unlink`."""
    path: str
    offset: int = 0
    """Of a write; the new size for `cut`."""
    data: bytes = b""
    target: str = ""


def recorder(log: Path) -> list[str]:
    """Starts a program so that `recorded` can tell what it wrote."""
    return [
        *("strace", "-f", "-qqq", "--seccomp-bpf", "-A", "-xx", "-y", "-s", "2000000"),
        *("-e", f"trace={RECORDED}", "-o", str(log)),
    ]


def recorded(log: Path, below: Path) -> list[Op]:
    """What was changed below a folder, in order. The index of a log is not told of: see `leave`."""
    ops: list[Op] = []
    ends: dict[str, int] = {}
    for line in log.read_text().splitlines():
        if found := _CALL.match(line):
            call, given, made = found.groups("")
            ops += _ops(call, given, made, ends)
    ours = (op for op in ops if op.path.startswith(str(below)))
    return [op for op in ours if not op.path.endswith("-shm")]


def _ops(call: str, given: str, made: str, ends: dict[str, int]) -> Iterator[Op]:
    texts = [_bytes(each) for each in _TEXT.findall(given)]
    file = _FILE.match(given)
    path = os.fsdecode(_bytes(file[1])) if file else ""
    if call == "openat" and "O_CREAT" in given:
        path = os.fsdecode(_bytes(made))
        ends[path] = 0
        yield Op("make", path)
        if "O_TRUNC" in given:
            yield Op("cut", path)
    elif call == "pwrite64":
        yield Op("write", path, int(given.rpartition(", ")[2]), texts[0])
    elif call == "write":
        yield Op("write", path, ends.get(path, 0), texts[0])
        ends[path] = ends.get(path, 0) + len(texts[0])
    elif call == "ftruncate":
        yield Op("cut", path, int(given.rpartition(", ")[2]))
    elif call in ("fsync", "fdatasync"):
        yield Op("sync", path)
    elif call == "rename":
        yield Op("rename", os.fsdecode(texts[0]), target=os.fsdecode(texts[1]))
    elif call == "unlink":
        yield Op("unlink", os.fsdecode(texts[0]))


def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.replace("\\x", ""))


class _File:
    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.pending: list[Op] = []

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.durable, op, len(op.data))
        self.pending = []

    def left(self, rng: random.Random, how: str) -> bytes:
        """What is there after the power came back."""
        data = bytearray(self.durable)
        for op in self.pending:
            fate = rng.random()
            if how == "all" or (how == "some" and fate < 0.6):
                _apply(data, op, len(op.data))
            elif how == "some" and fate < 0.75:
                _apply(data, op, rng.randrange(len(op.data) + 1) // _SECTOR * _SECTOR)
        return bytes(data)


def _apply(data: bytearray, op: Op, size: int) -> None:
    if op.kind == "cut":
        del data[op.offset :]
        data.extend(bytes(op.offset - len(data)))
    elif size:
        data.extend(bytes(max(0, op.offset - len(data))))
        data[op.offset : op.offset + size] = op.data[:size]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but the indexes of logs."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.suffix != ".db-shm"}


def leave(folder: Path, base: dict[str, bytes], ops: list[Op], rng: random.Random) -> str:
    """Puts a folder into a state that a loss of power after these changes may leave; which."""
    names = {path: _File(data) for path, data in base.items()}
    durable = dict(names)
    waiting: list[tuple[Op, _File]] = []
    for op in ops:
        if op.kind == "sync":
            if op.path in names:
                names[op.path].sync()
            for each in waiting:
                _name(durable, *each)
            waiting = []
        elif op.kind in ("write", "cut"):
            names[op.path].pending.append(op)
        elif op.kind != "make" or op.path not in names:
            waiting.append((op, _File()))
            _name(names, *waiting[-1])
    for each in waiting[: rng.randrange(len(waiting) + 1)]:
        _name(durable, *each)
    how = rng.choice(("none", "all", "some", "some", "some"))
    shutil.rmtree(folder, ignore_errors=True)
    for path, file in durable.items():
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        Path(path).write_bytes(file.left(rng, how))
        if path.endswith(".db") and rng.random() < 0.5:
            # The index of a log is mapped memory, never synced: anything may be in it.
            Path(f"{path}-shm").write_bytes(rng.choice((b"", bytes(32_768), rng.randbytes(32_768))))
    return f"{how} of what was not synced"


def _name(names: dict[str, _File], op: Op, file: _File) -> None:
    if op.kind == "make":
        names.setdefault(op.path, file)
    elif op.kind == "unlink":
        names.pop(op.path, None)
    elif op.path in names:
        names[op.target] = names.pop(op.path)
