"""What a check finds out: the shape of `budget doctor --json`, and words that checks share."""

import os
from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

State = Literal["ok", "warn", "fail"]
Group = Literal["Hooks", "Claude Code", "Budgets", "Ledger", "State folder", "Surroundings"]

GROUPS: tuple[Group, ...] = (
    *("Hooks", "Claude Code", "Budgets", "Ledger", "State folder", "Surroundings"),
)
"""In the order in which a person would look."""


class Finding(BaseModel):
    """One fact about the installation, and what mends it."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Of the check; stays the same from version to version")
    group: Group
    state: State = Field(description="fail: budgets do not hold, or soon will not")
    what: str = Field(description="What was looked at")
    detail: str = Field(description="What was found, with numbers")
    said: list[str] = Field(default=[], description="What a hook that was tried answered")
    mend: list[str] = Field(default=[], description="Commands that mend it, in their order")
    advice: str = Field(default="", description="What to do where no command can")


class Examination(BaseModel):
    """The answer of `budget doctor --json`."""

    state: State = Field(description="The worst of the findings")
    version: str = Field(description="Of budget")
    python: str
    platform: str
    project: str = Field(description="Its root folder")
    state_folder: str
    as_of: str
    seconds: float = Field(description="How long it took")
    findings: list[Finding]

    @property
    def broken(self) -> list[Finding]:
        return [each for each in self.findings if each.state == "fail"]

    @property
    def doubtful(self) -> list[Finding]:
        return [each for each in self.findings if each.state == "warn"]


class Maker(Protocol):
    """Makes findings of one group."""

    def __call__(
        self,
        id_: str,
        state: str,
        what: str,
        detail: str,
        mend: Sequence[str] = (),
        advice: str = "",
    ) -> Finding: ...


def of_group(group: Group) -> Maker:
    def make(
        id_: str,
        state: str,
        what: str,
        detail: str,
        mend: Sequence[str] = (),
        advice: str = "",
    ) -> Finding:
        facts = {"id": id_, "group": group, "state": state, "what": what, "detail": detail}
        return Finding.model_validate({**facts, "mend": list(mend), "advice": advice})

    return make


def worst(findings: list[Finding]) -> State:
    states = {each.state for each in findings}
    return "fail" if "fail" in states else "warn" if "warn" in states else "ok"


def quoted(word: str) -> str:
    """A word of a command line, as a shell of this system takes it."""
    import shlex
    import subprocess

    from budget import system

    return subprocess.list2cmdline([word]) if system.is_windows() else shlex.quote(word)


def size(count: float) -> str:
    """`1.5 GB` of a number of bytes."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return (
                f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
            )
        count /= 1000
    raise AssertionError


def span(ms: int) -> str:
    """`3 days` of a length of time, in its largest unit."""
    for unit, length in (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000)):
        if ms >= length:
            count = ms // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(ms, 0) // 1000} s"


def shown(path: str) -> str:
    """A path as people read it: from their home."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path
