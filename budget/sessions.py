"""A session from outside its hooks: where its transcript is, booking it, what it has cost."""

import os
import re
from collections.abc import Iterator

from budget import backlog, booking, paths, pipeline, verdicts
from budget.evaluate import Decision
from budget.ledger import Ledger
from budget.model import Policy, Spend

_READ_FOR_S = 60.0
CATCHES_UP_MS = 10_000
"""A service begins many conversations at once: one of them catches up."""


def find_transcript(env: paths.Env, session_id: str, folder: str) -> str:
    """The transcript of a session that runs in a folder; empty when there is none (yet)."""
    name = f"{paths.safe_name(session_id)}.jsonl"
    root = os.path.join(paths.claude_folder(env), "projects")
    for place in (_folder(root, folder), *_folders(root)):
        path = os.path.join(place, name)
        if os.path.isfile(path):
            return path
    return ""


def newest_session(env: paths.Env, folder: str) -> str:
    """The session that `--continue` goes on with: the newest of the folder; empty for none."""
    place = _folder(os.path.join(paths.claude_folder(env), "projects"), folder)
    try:
        with os.scandir(place) as listing:
            files = [(each.stat().st_mtime_ns, each.name) for each in listing if each.is_file()]
    except OSError:
        return ""
    names = [name for _, name in sorted(files) if name.endswith(".jsonl")]
    return names[-1].removesuffix(".jsonl") if names else ""


def _folder(root: str, folder: str) -> str:
    """Where the client keeps the transcripts of a working folder (2.1.330)."""
    return os.path.join(root, re.sub(r"[^A-Za-z0-9]", "-", os.path.realpath(folder)))


def _folders(root: str) -> Iterator[str]:
    try:
        with os.scandir(root) as listing:
            yield from sorted(each.path for each in listing if each.is_dir(follow_symlinks=False))
    except OSError:
        return


def book(
    env: paths.Env,
    project: paths.Project,
    ledger: Ledger,
    policy: Policy,
    session_id: str,
    transcript: str,
    now_ms: int,
) -> booking.Reading:
    """Books what a session's files and the client's module tell by now."""
    path = paths.check_transcript(transcript, env) if transcript else ""
    moment = _moment(env, project, session_id, path, now_ms)
    table = pipeline.price_table(policy, env)
    return pipeline.book(moment, ledger, policy, env, table)


def catch_up(
    env: paths.Env,
    project: paths.Project,
    ledger: Ledger,
    policy: Policy,
    folder: str,
    now_ms: int,
) -> None:
    """Books what sessions that ended without a last hook left, as one that begins in a folder."""
    if backlog.tried_since(ledger, now_ms - CATCHES_UP_MS, now_ms):
        return
    beside = os.path.realpath(_folder(os.path.join(paths.claude_folder(env), "projects"), folder))
    moment = _moment(env, project, "", os.path.join(beside, ""), now_ms)
    table = pipeline.price_table(policy, env)
    backlog.catch_up(booking.Booking(moment, ledger, table), ledger, env)


def _moment(
    env: paths.Env, project: paths.Project, session_id: str, transcript: str, now_ms: int
) -> booking.Moment:
    return booking.Moment(
        session_id=session_id,
        transcript=transcript,
        agent_id="",
        tool_use_ids=(),
        ended=False,
        prompt_id="",
        now_ms=now_ms,
        read_for_s=_READ_FOR_S,
        user=paths.person(env, project),
    )


def by_model(ledger: Ledger, session_id: str) -> dict[str, Spend]:
    """What a session has spent, by model; what is unattributed stands under the empty name."""
    sums = ", ".join(f"coalesce(sum({field}), 0)" for field in Spend._fields)
    rows = ledger.rows(
        f"SELECT model, {sums} FROM totals WHERE span = 'session' AND start = ? GROUP BY model",
        session_id,
    )
    return {row[0]: Spend(*row[1:]) for row in rows}


def judge(
    env: paths.Env,
    project: paths.Project,
    policy: Policy,
    ledger: Ledger | None,
    session_id: str,
    now_ms: int,
) -> Decision:
    """How every budget stands for a session: of the person that the environment tells."""
    return verdicts.judge(policy, ledger, env, session_id, now_ms, paths.person(env, project))
