"""What a person types as a prompt and the hook answers itself: no model request, no money."""

from budget import (
    advice_words,
    counsel,
    counselling,
    granting,
    messages,
    paths,
    spending,
    standing_words,
)
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
    project: paths.Project,
    person: str,
    now_ms: int,
) -> str | None:
    """The answer to `/budget:status`, `:report`, `:advice`, `:allow`; None for any other prompt."""
    command, *words = prompt.split() or [""]
    if command == "/budget:status":
        return _standing(decision, policy, ledger, now_ms)
    if command == "/budget:report":
        return spending.told(words, ledger, policy, session_id, now_ms)
    if command == "/budget:allow":
        try:
            granting.refuse_agents(env, in_hook=True, has_terminal=True)
        except granting.GrantRefusedError as refused:
            granting.note_refusal(ledger, str(refused), session_id, now_ms)
            return str(refused)
        try:
            request = granting.typed(words)
            made, verdict = granting.grant(request, decision, policy, session_id, person, now_ms)
            granting.keep(made, verdict, ledger, env, decision)
        except BudgetError as error:
            return str(error)
        return messages.granted(made, verdict, now_ms)
    if command == "/budget:advice":
        session = counselling.Session(session_id, project, policy, ledger, env, now_ms)
        return counselling.asked(session, decision)
    return None


def _standing(decision: Decision, policy: Policy, ledger: Ledger, now_ms: int) -> str:
    """How the budgets stand, what today went on, how fast money goes."""
    lines = [
        "How the budgets stand (no request made):",
        standing_words.status_text(decision.verdicts, policy, now_ms),
        spending.today(ledger, policy, now_ms),
    ]
    burning = counsel.burning(ledger, policy, decision, now_ms)
    if burning.per_hour:
        lines.append(f"Now: {advice_words.burn(burning)}")
    if policy.problems:
        lines.append("A config is not valid: `budget check` says where.")
    return "\n".join(filter(None, lines))
