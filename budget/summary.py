"""What `budget run --json-summary FILE` writes: facts about one run, for pipelines."""

from typing import Literal

from pydantic import BaseModel, Field

from budget import paths, pipeline, sessions
from budget.messages import usd6
from budget.model import Spend
from budget.status import BudgetFacts, budget_facts

Outcome = Literal[
    "done", "stopped", "client_limit", "blocked", "failed", "interrupted", "client_missing"
]


class ModelFacts(BaseModel):
    """What one model used in the run."""

    model: str
    steps: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    web_searches: int
    usd: str = Field(description="What its priced steps cost; USD, six places")


class RunSummary(BaseModel):
    """The facts of one `budget run`. Money is a decimal string in USD with six places."""

    outcome: Outcome = Field(
        description="done: the client ended by itself; stopped: a budget stopped it or blocked a"
        " prompt; client_limit: it stopped at --max-budget-usd; blocked: nothing was left, it was"
        " not started; failed: it ended with another code than 0; interrupted: by a signal"
    )
    exit_code: int = Field(description="Of `budget run`")
    client_exit_code: int | None = Field(description="None when it was not started")
    message: str | None = Field(description="The line on stderr, without its `budget: `")
    sessions: list[str] = Field(description="Sessions the run was in, the first first")
    cost_usd: str = Field(description="What budgets count of this run, unattributed included")
    unattributed_usd: str = Field(description="Of that, what the client counted beyond the steps")
    limit_usd: str | None = Field(description="What the client was given as --max-budget-usd")
    over_limit: bool = Field(description="Whether the run cost more than that")
    client_total_usd: str | None = Field(
        description="The client's own total of the session, earlier runs included; None when its"
        " output does not tell it (text)"
    )
    models: list[ModelFacts]
    budgets: list[BudgetFacts] = Field(description="How every budget stands after the run")


def model_facts(model: str, spend: Spend) -> ModelFacts:
    return ModelFacts(
        model=model,
        steps=spend.steps,
        input_tokens=spend.input_tokens,
        output_tokens=spend.output_tokens,
        cache_read_tokens=spend.cache_read_tokens,
        cache_write_5m_tokens=spend.cache_write_5m_tokens,
        cache_write_1h_tokens=spend.cache_write_1h_tokens,
        web_searches=spend.web_searches,
        usd=usd6(spend.picousd),
    )


def budget_list(
    env: paths.Env, project: paths.Project, session_id: str, now_ms: int
) -> list[BudgetFacts]:
    """Every budget, judged for a session."""
    policy = pipeline.policy_seen(env, project, session_id)
    with pipeline.existing_ledger(env, project) as ledger:
        decision = sessions.judge(env, project, policy, ledger, session_id, now_ms)
    return [budget_facts(verdict, verdict.stops) for verdict in decision.verdicts]


usd = usd6
