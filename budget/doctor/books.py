"""The ledger: can it be read and written, does it agree with itself, what should a person know."""

import os
from collections.abc import Iterator

from budget import events, grants, messages, paths, verify
from budget.database import SCHEMA_VERSION
from budget.doctor import locks
from budget.doctor.findings import Finding, of_group, quoted, shown, size
from budget.errors import DamagedLedgerError, LedgerError
from budget.ledger import Ledger
from budget.model import Policy, Window
from budget.status import incident_line

finding = of_group("Ledger")

_LARGE_LOG = 32 * 1024 * 1024
_LARGE_LEDGER = 16 * 1024 * 1024
"""From this size on it is not looked through: that would take seconds."""
_FUTURE_MS = 5 * 60_000


def opened(env: paths.Env, project: paths.Project) -> tuple[Ledger | None, list[Finding]]:
    """The project's ledger, to look at, or why there is none."""
    path = paths.ledger_file(env, project)
    if not os.path.exists(path):
        told = "none yet: it begins with the first step"
        return None, [finding("ledger.file", "ok", "Ledger", told)]
    try:
        return Ledger(path, wait_s=1.0, looks=True), []
    except DamagedLedgerError as error:
        return None, [
            finding(
                *("ledger.file", "fail", "Ledger"),
                str(error),
                [f"mv {quoted(path)} {quoted(path + '.damaged')}"],
                "The next step does it, too, and books the transcripts anew.",
            )
        ]
    except LedgerError as error:
        return None, [finding("ledger.file", "fail", "Ledger", str(error))]


def examined(ledger: Ledger, policy: Policy, now_ms: int) -> Iterator[Finding]:
    try:
        yield from _contents(ledger)
        yield from _free(ledger.path)
        yield from _future(ledger, now_ms)
        yield from _grants(ledger, policy, now_ms)
        for event in events.last(ledger, events.NOTABLE, 5):
            yield finding("ledger.incident", "warn", "Incident", incident_line(event))
    except LedgerError as error:
        yield finding("ledger.file", "fail", "Ledger", str(error))


def _contents(ledger: Ledger) -> Iterator[Finding]:
    bytes_ = os.path.getsize(ledger.path)
    if ledger.row("PRAGMA user_version")[0] < SCHEMA_VERSION:
        told = f", {size(bytes_)}, of an older format: the next step brings it up to this one"
    elif bytes_ > _LARGE_LEDGER:
        told = f", {size(bytes_)}: too large to be looked through here, `budget verify` does"
    else:
        told = f", {size(bytes_)}, as it was booked"
        findings = verify.check(ledger).findings
        if findings:
            others = f" And {len(findings) - 1} more." if len(findings) > 1 else ""
            damaged = any(each.kind == "damaged" for each in findings)
            yield finding(
                *("ledger.verified", "fail", "Ledger"),
                f"{shown(ledger.path)}: {findings[0].text}{others}",
                [f"mv {quoted(ledger.path)} {quoted(ledger.path + '.damaged')}"] if damaged else [],
                "`budget verify` names each."
                + (" The next step books the transcripts anew." if damaged else ""),
            )
            return
    spend, damaged_lines = ledger.spend(Window(0, None)), ledger.bad_lines()
    steps = _steps(spend.steps)
    yield finding("ledger.verified", "ok", "Ledger", f"{shown(ledger.path)}, {steps}{told}")
    if spend.unpriced_steps:
        models = ", ".join(ledger.unpriced_models())
        yield finding(
            *("prices.unknown", "warn", "Unpriced"),
            f"{_steps(spend.unpriced_steps)} of {models} without a price: budgets count them at the"
            " dearest rates",
            advice="Update budget, or price them: "
            + "; ".join(f'[prices.models."{name}"]' for name in ledger.unpriced_models()[:2]),
        )
    if damaged_lines:
        yield finding(
            *("ledger.lines", "warn", "Transcripts"),
            f"{damaged_lines:,} damaged line(s) of transcripts could not be counted",
            ["budget reconcile"],
            "It tells what the client counted beside them.",
        )


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"


def _free(path: str) -> Iterator[Finding]:
    """Nobody keeps the lock, and the log beside the ledger is folded back into it."""
    log = f"{path}-wal"
    if not os.path.exists(log):
        return
    if locks.is_held(path):
        held_by = locks.holders(path, log)
        named = ", ".join(f"{each.pid} ({each.command})" for each in held_by) or "another process"
        mend = [f"kill {'-CONT ' if each.stopped else ''}{each.pid}" for each in held_by]
        stopped = any(each.stopped for each in held_by)
        yield finding(
            *("ledger.lock", "fail", "Lock"),
            f"{named} keeps others from writing it" + (": it is stopped" if stopped else ""),
            mend,
            "" if mend else f"`lsof {path}` names it.",
        )
    elif os.path.exists(log) and os.path.getsize(log) > _LARGE_LOG:
        held_by = locks.holders(path, log)
        named = ", ".join(f"{each.pid} ({each.command})" for each in held_by) or "another process"
        yield finding(
            *("ledger.log", "warn", "Log of SQLite"),
            f"{size(os.path.getsize(log))} wait in {shown(log)}: {named} reads all the time",
            [f"kill {each.pid}" for each in held_by],
        )


def _future(ledger: Ledger, now_ms: int) -> Iterator[Finding]:
    last = ledger.row("SELECT coalesce(max(at_ms), 0) FROM entries")[0]
    if last > now_ms + _FUTURE_MS:
        from budget.status import iso

        yield finding(
            *("ledger.future", "warn", "Clock"),
            f"a step is of {iso(last)}, later than now: the clock was set back, or was wrong then",
            advice="Set the clock by the network: days and weeks begin by it.",
        )


def _grants(ledger: Ledger, policy: Policy, now_ms: int) -> Iterator[Finding]:
    for grant in grants.active(ledger, now_ms):
        budgets = [each for each in policy.budgets if each.name == grant.budget]
        told = f"on {grant.budget}, a budget that is no longer set"
        if budgets:
            told = messages.grant_line(grant, budgets[0], now_ms)
        yield finding("ledger.grant", "ok", "Grant", told)
