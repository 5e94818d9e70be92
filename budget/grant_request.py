"""A grant that a person at a terminal asks for: `budget allow`, and the same from the live view."""

from budget import granting, grants, paths, pipeline
from budget.model import Verdict
from budget.status import Standing


def grant_at_terminal(
    env: paths.Env,
    project: paths.Project,
    request: granting.Request,
    session: str,
    now_ms: int,
    has_terminal: bool,
) -> tuple[grants.Grant, Verdict]:
    """The grant that was made, and the budget as it stood.

    Raises `GrantRefusedError`; a request that comes from no person is kept as an incident.
    """
    ledger = pipeline.open_ledger(env, project)
    try:
        session = session or ledger.last_session() or ""
        try:
            granting.refuse_agents(env, in_hook=False, has_terminal=has_terminal)
        except granting.GrantRefusedError as refused:
            granting.note_refusal(
                ledger, str(refused), env.get("CLAUDE_CODE_SESSION_ID", ""), now_ms
            )
            raise
        standing = Standing(env, project, now_ms, session)
        made, verdict = granting.grant(
            *(request, standing.decision, standing.policy, session),
            *(paths.person(env, project), now_ms),
        )
        granting.keep(made, verdict, ledger, env, standing.decision)
        return made, verdict
    finally:
        ledger.close()
