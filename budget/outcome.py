"""How a headless run ended: booked, compared with the client's own count, told in a line."""

import os

from budget import paths, pipeline, result, sessions, stream, witness
from budget.allowance import in_a_line, on_one_line
from budget.headless import Plan
from budget.messages import money
from budget.model import Spend
from budget.passthrough import Ear, Ended
from budget.summary import ModelFacts, Outcome, RunSummary, budget_list, model_facts, usd

CLIENT_MISSING = 127
_TEXT_LIMIT = b"Error: Exceeded USD budget ("
"""What the client prints at its own limit in text mode (2.1.330)."""
_UNKNOWN_COST = (
    "what this run cost is not known, and no budget counts it: it left no transcript, ran no hooks"
    " and its output tells no total. Give it --output-format json, or let it keep its transcript."
)


def not_started(
    env: paths.Env,
    project: paths.Project,
    text: str,
    now_ms: int,
    outcome: Outcome = "blocked",
    code: int = 1,
) -> RunSummary:
    """The summary of a client that was not started."""
    return RunSummary(
        outcome=outcome,
        exit_code=code,
        client_exit_code=None,
        message=text,
        sessions=[],
        cost_usd=usd(0),
        unattributed_usd=usd(0),
        limit_usd=None,
        over_limit=False,
        client_total_usd=None,
        models=[],
        budgets=budget_list(env, project, "", now_ms),
    )


def missing(plan: Plan, error: OSError, now_ms: int) -> RunSummary:
    """The summary of a client that could not be started."""
    os.unlink(plan.env[witness.VARIABLE])
    text = (
        f"{plan.command[0]} cannot be started: {error.strerror}. Install Claude Code"
        " (npm install -g @anthropic-ai/claude-code), or name its path."
    )
    return not_started(plan.env, plan.project, text, now_ms, "client_missing", CLIENT_MISSING)


def finish(plan: Plan, ended: Ended, ear: Ear, now_ms: int) -> RunSummary:
    """Books what the run left, compares it with the client's own count, says how it ended."""
    record = plan.env[witness.VARIABLE]
    seen = witness.read(record)
    os.unlink(record)
    places = {plan.session_id: ""} if plan.session_id else {}
    places |= {each.session_id: "" for each in ear.results}
    places |= {each.session_id: each.transcript for each in seen}
    ledger = pipeline.open_ledger(plan.env, plan.project)
    table = pipeline.price_table(plan.policy, plan.env)
    user = paths.person(plan.env, plan.project)
    spent: dict[str, Spend] = {}
    is_known = bool(ear.results or seen)
    for session_id, transcript in places.items():
        path = transcript if os.path.isfile(transcript) else ""
        path = path or sessions.find_transcript(plan.env, session_id, plan.folder)
        is_known = is_known or bool(path)
        sessions.book(plan.env, plan.project, ledger, plan.policy, session_id, path, now_ms)
        with ledger.transaction():
            for each in ear.results:
                if each.session_id == session_id:
                    if not plan.told.persists:
                        # There is no transcript: what each model used is all that is known.
                        stream.book_rest(ledger, table, each, user, now_ms)
                    result.note(ledger, each, now_ms)
        for model, spend in sessions.by_model(ledger, session_id).items():
            known = plan.before.get(session_id, {}).get(model, Spend())
            spent[model] = spent.get(model, Spend()).plus(spend.minus(known))
    last = ear.results[-1] if ear.results else None
    session_id = last.session_id if last else next(reversed(places), "")
    now = sessions.judge(plan.env, plan.project, plan.policy, ledger, session_id, now_ms)
    used_up = in_a_line(now.blocking, plan.policy, now_ms)
    ledger.close()
    cost = sum(spend.counted_picousd for spend in spent.values())
    over = plan.limit_picousd is not None and cost > plan.limit_picousd
    stops = [each.stop for each in seen if each.stop and not each.agent_id]
    of_agents = [each.stop for each in seen if each.stop and each.agent_id]
    if last and last.terminal_reason == "hook_stopped" and not stops and used_up:
        stops = [used_up]  # the hooks' own file was taken away
    hit_limit = bool(last and last.subtype == result.CLIENT_LIMIT) or (
        ended.exit_code == 1 and plan.told.output == "text" and _TEXT_LIMIT in ear.tail
    )
    outcome, code = _outcome(ended, bool(stops), hit_limit)
    text = _message(plan, outcome, ended, stops, cost, over, used_up)
    if outcome == "done" and not is_known:
        text = _UNKNOWN_COST
    if outcome == "done" and of_agents and not over:
        told = on_one_line(of_agents[0])
        text = f"an agent was stopped, the run went on. {told} This run cost {money(cost)}."
    client_total = last.total_picousd if last else None
    return RunSummary(
        outcome=outcome,
        exit_code=code,
        client_exit_code=ended.exit_code,
        message=text,
        sessions=list(places),
        cost_usd=usd(cost),
        unattributed_usd=usd(sum(spend.unattributed_picousd for spend in spent.values())),
        limit_usd=None if plan.limit_picousd is None else usd(plan.limit_picousd),
        over_limit=over,
        client_total_usd=None if client_total is None else usd(client_total),
        models=_models(spent),
        budgets=budget_list(plan.env, plan.project, session_id, now_ms),
    )


def _models(spent: dict[str, Spend]) -> list[ModelFacts]:
    return [model_facts(model, spend) for model, spend in sorted(spent.items()) if model]


def _outcome(ended: Ended, stopped: bool, hit_limit: bool) -> tuple[Outcome, int]:
    if ended.signal:
        # The client itself exits 0 after a SIGINT (2.1.330).
        return "interrupted", 128 + ended.signal
    if stopped or hit_limit:
        return "stopped" if stopped else "client_limit", 1
    return "done" if ended.exit_code == 0 else "failed", ended.exit_code


def _message(
    plan: Plan,
    outcome: Outcome,
    ended: Ended,
    stops: list[str],
    cost: int,
    over: bool,
    used_up: str,
) -> str | None:
    """The line for the person; None when the run was done within its budgets."""
    costs = f"This run cost {money(cost)}"
    if outcome == "stopped":
        return f"stopped. {used_up or on_one_line(stops[0])} {costs}."
    if outcome == "client_limit":
        given = plan.told.max_picousd
        ours = given is None or plan.limit_picousd != given
        left = plan.allowance.tightest
        what = "the command line set" if not ours else "were left"
        why = used_up if ours else "Raise --max-budget-usd on the command line to go on."
        if ours and left and not used_up:
            why = f'That is what was left under "{left.budget.name}" of {left.budget.source.shown}.'
        limit = money(plan.limit_picousd or 0)
        return f"stopped by the client's own limit. {costs}; {limit} {what}. {why}"
    parts = []
    if outcome in ("failed", "interrupted"):
        how = (
            f"signal {ended.signal}"
            if ended.signal
            else f"the client's exit code {ended.exit_code}"
        )
        parts.append(f"{outcome} with {how}: no budget stopped it. {costs}.")
    if over:
        parts.append(f"{costs}, and {money(plan.limit_picousd or 0)} were left when it began.")
    if over or (used_up and outcome == "done"):
        parts.append(used_up)
    return " ".join(filter(None, parts)) or None
