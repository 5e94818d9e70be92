"""What a hook does about a ledger that is not what it was: the fact is kept and said, the truth
comes back, and until it is back budgets stand where they were known to stand.

Only where `anchor.compare` found something.
"""

import os
import sys
import time
from collections.abc import Iterator
from json import dumps, loads

from budget import anchor, events, paths, system
from budget.anchor import Anchor, Trouble
from budget.errors import LedgerError
from budget.files import make_own
from budget.lean import NamedTuple, suppress
from budget.ledger import Ledger
from budget.model import PICO
from budget.pricing import Table
from budget.rebuild import bring_back, rebuild

LOST = "lost"
"""The fact that holds [steps, picodollars] a ledger had before something was lost."""
_COPIES = 5
LARGE = 50_000
"""Entries that a hook checks and seals anew itself: it takes about three seconds."""
_AGAIN_MS = 120_000
_DAY_MS = 86_400_000
_RUN = (
    "import sys; sys.path.append(sys.argv[1]); from budget import paths, restoring;"
    " restoring.run(paths.Project(*sys.argv[2:5]))"
)
MENDED = (anchor.GUARDS, anchor.SWAPPED, anchor.CHANGED)
"""Troubles after which the ledger is rebuilt in its place."""
WHY = {
    anchor.GUARDS: "its tables were changed",
    anchor.SWAPPED: "another ledger was put in its place",
    anchor.CHANGED: "what was booked last is another entry now",
    anchor.BEHIND: "its end is missing: it was cut off, an older copy was put in its place, or the"
    " machine lost power",
    anchor.FORGOTTEN: "the file that tells where it stood is gone; the ledger agrees with itself",
}


def restore(
    ledger: Ledger,
    found: Trouble,
    env: paths.Env,
    project: paths.Project,
    now_ms: int,
    apart: bool = True,
) -> Iterator[str]:
    """Brings a ledger back to the truth; yields what the person should hear.

    What takes longer than a hook may is left to a process `apart`. Raises `LedgerError` where that
    cannot be done now: the next hook tries again.
    """
    path = paths.anchor_file(env, project)
    if found.anchor:
        ledger.floors = _floors(found.anchor)
    if apart and found.kind in MENDED and _is_large(ledger):
        if _mend_apart(ledger, env, project, now_ms):
            yield (
                f"something else than budget wrote to this project's ledger: {WHY[found.kind]}. It"
                " is large, so a process of its own mends it; until then budgets count no less"
                " than they did. `budget status` tells when that is done."
            )
        return
    with ledger.transaction():
        # Hooks meet the trouble together: the first one mends it.
        trouble = found if found.kind == anchor.GONE else anchor.compare(ledger, path)
        if trouble is None:
            return
        told = trouble.anchor
        if told:
            _remember(ledger, told)
        elif trouble.kind == anchor.FORGOTTEN and not ledger.say_once(
            f"forgotten|{now_ms // _DAY_MS}", now_ms
        ):
            return  # where it cannot be written, every hook misses it
        if trouble.kind in MENDED:
            yield _mended(ledger, trouble, path, project, now_ms)
            return
        text = _said(trouble)
        kind = events.REMADE if trouble.kind == anchor.GONE else events.CHANGED
        events.record(ledger, events.Event(now_ms, kind, "", "", {"text": text}))
        if trouble.kind != anchor.FORGOTTEN:
            ledger.set_fact("backlog", "all")
        with suppress(OSError):
            anchor.write(path, anchor.state(ledger, told.spent if told else []))
        yield f"{text[0].lower()}{text[1:]}"


def _is_large(ledger: Ledger) -> bool:
    return bool(ledger.row("SELECT count(*) FROM entries")[0] > LARGE)


def _mend_apart(ledger: Ledger, env: paths.Env, project: paths.Project, now_ms: int) -> bool:
    """Starts a process that mends a ledger, once in a while; whether this call did."""
    import subprocess

    with ledger.transaction():
        if not ledger.say_once(f"mending|{now_ms // _AGAIN_MS}", now_ms):
            return False
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _RUN, root, *project],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            **system.apart(),
        )
    except OSError:
        return False
    return True


def run(project: paths.Project) -> None:
    """The process of its own. What fails is seen by the next hook, as it was by the last."""
    env = dict(os.environ)
    ledger = Ledger(paths.ledger_file(env, project), wait_s=60, root=project.root)
    trouble = anchor.compare(ledger, paths.anchor_file(env, project))
    if trouble:
        for _ in restore(ledger, trouble, env, project, int(time.time() * 1000), apart=False):
            pass
    ledger.close()


def _floors(told: Anchor) -> tuple[tuple[str, str, str, int], ...]:
    return tuple((str(name), str(unit), str(at), int(n)) for name, unit, at, n in told.spent)


def _remember(ledger: Ledger, told: Anchor) -> None:
    """What budgets stood at, and what was booked in all: the highest, if it happens again."""
    kept = [tuple(each) for each in loads(ledger.fact("floors") or "[]")]
    ledger.floors = tuple({*kept, *_floors(told)})
    ledger.set_fact("floors", dumps(ledger.floors))
    steps, picousd = loads(ledger.fact(LOST) or "[0, 0]")
    ledger.set_fact(LOST, dumps([max(steps, told.steps), max(picousd, told.picousd)]))


def _mended(
    ledger: Ledger, trouble: Trouble, path: str, project: paths.Project, now_ms: int
) -> str:
    spent = trouble.anchor.spent if trouble.anchor else []
    copy = _copied(ledger, now_ms)
    keep = ledger.root() in ("", project.root)

    def keep_anchor() -> None:
        with suppress(OSError):
            anchor.write(path, anchor.state(ledger, spent))

    last, _ = ledger.last_link()
    cut_off = trouble.anchor is not None and trouble.anchor.seq > last
    done = rebuild(ledger, now_ms, keep, cut_off, keep_anchor)
    if not keep:
        ledger.set_fact("root", project.root)
        ledger.set_fact("backlog", "all")
    whole = done.checked.entries - len(done.checked.broken) if keep else 0
    findings = done.checked.findings
    text = f"Something else than budget wrote to this project's ledger: {WHY[trouble.kind]}."
    if findings:
        more = f" ({len(findings):,} findings in all)" if len(findings) > 1 else ""
        text += f" {findings[0].text}{more}"
    text += f" {whole:,} entries are as they were booked and stay"
    again = findings or cut_off or not keep
    text += "; the rest is read again from the transcripts." if again else "."
    if copy:
        text += f" A copy of what was found: {copy}."
    events.record(ledger, events.Event(now_ms, events.CHANGED, "", "", {"text": text}))
    return f"{text[0].lower()}{text[1:]}"


def _copied(ledger: Ledger, now_ms: int) -> str:
    """A copy as evidence; empty where none can be made. Of many, the last few stay."""
    folder, name = os.path.split(ledger.path)
    copy = f"{ledger.path}.changed-{now_ms // 1000}"
    try:
        old = sorted(each for each in os.listdir(folder) if each.startswith(f"{name}.changed-"))
        for each in old[: -_COPIES + 1]:
            os.unlink(os.path.join(folder, each))
        make_own(copy)
        ledger.copy_to(copy)
    except (OSError, LedgerError):
        return ""
    return copy


def _said(trouble: Trouble) -> str:
    if trouble.kind == anchor.FORGOTTEN or trouble.anchor is None:
        return f"This project's ledger: {WHY[anchor.FORGOTTEN]}."
    told = trouble.anchor
    had = f"{told.steps:,} steps (${told.picousd / PICO:,.2f}) had been booked"
    rest = "What transcripts tell is read again, and no budget counts less than it did"
    if trouble.kind == anchor.GONE:
        return f"This project's ledger was gone and is made anew: {had}. {rest}; grants are lost."
    return f"This project's ledger is not as it was left: {WHY[trouble.kind]}. {had}. {rest}."


class Finished(NamedTuple):
    text: str
    """For the person; empty where nothing had been lost."""
    kept: int
    """Entries without a transcript that stay as they were found."""


def finish(ledger: Ledger, table: Table, now_ms: int) -> Finished:
    """All transcripts were read again: what came of it, and what is missing. In a transaction."""
    kept = bring_back(ledger, table)
    steps, picousd = loads(ledger.fact(LOST) or "[0, 0]")
    ledger.set_fact(LOST, None)
    now = anchor.state(ledger, [])
    missing, gone = max(0, steps - now.steps), max(0, picousd - now.picousd)
    if not steps:
        return Finished("", kept)
    text = f"Of {steps:,} steps (${picousd / PICO:,.2f}) that had been booked,"
    if missing or gone >= PICO // 10_000:
        text += f" {missing:,} (${gone / PICO:,.4f}) are in no transcript any more: they are lost."
    else:
        text += " all are in the ledger again."
    if kept:
        text += f" {kept:,} of them only as they were found, priced anew."
    events.record(ledger, events.Event(now_ms, events.RESTORED, "", "", {"text": text}))
    return Finished(f"{text[0].lower()}{text[1:]}", kept)
