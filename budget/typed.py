"""What a person types as a prompt and the hook answers itself: no model request, no money."""

from budget import granting, messages, paths
from budget.errors import BudgetError
from budget.evaluate import Decision
from budget.ledger import Ledger
from budget.model import Policy


def answer(
    prompt: str,
    decision: Decision,
    policy: Policy,
    ledger: Ledger,
    env: paths.Env,
    session_id: str,
    person: str,
    now_ms: int,
) -> str | None:
    """The answer to `/budget:status`, `/budget:allow ...`; None for any other prompt."""
    command, *words = prompt.split() or [""]
    if command == "/budget:status":
        text = messages.status_text(decision.verdicts, policy, now_ms)
        return f"How the budgets stand (no request made):\n{text}"
    if command == "/budget:allow":
        try:
            granting.refuse_agents(env, in_hook=True, has_terminal=True)
        except granting.GrantRefusedError as refused:
            granting.note_refusal(ledger, str(refused), session_id, now_ms)
            return str(refused)
        try:
            request = granting.typed(words)
            made, verdict = granting.grant(request, decision, policy, session_id, person, now_ms)
            granting.keep(made, verdict, ledger, env)
        except BudgetError as error:
            return str(error)
        return messages.granted(made, verdict, now_ms)
    return None
