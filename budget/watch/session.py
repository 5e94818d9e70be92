"""One session, opened: its facts, its prompts, agents and last steps, as text with styles. Pure."""

from budget import messages
from budget.advice_words import about
from budget.messages import duration
from budget.watch import words
from budget.watch.facts import Story, View
from budget.watch.panels import MUTED, STATE_STYLES
from budget.watch.table import Column, Part, Row

PARTS = ("prompts", "agents", "steps")
COLUMNS = {
    "prompts": (
        Column("at", "began", 11),
        Column("prompt", "prompt", 8, weight=4),
        Column("spent", "spent", 9, right=True),
        Column("share", "", 5, right=True, weight=2),
        Column("steps", "steps", 5, right=True),
        Column("agents", "agents", 6, right=True, weight=1),
        Column("context", "context", 13, right=True, weight=3),
        Column("took", "took", 10, right=True, weight=5),
        Column("models", "models", 26, weight=6),
    ),
    "agents": (
        Column("agent", "agent", 16),
        Column("spent", "spent", 9, right=True),
        Column("share", "", 5, right=True, weight=2),
        Column("steps", "steps", 5, right=True),
        Column("at", "began", 11, weight=3),
        Column("took", "took", 10, right=True, weight=4),
        Column("models", "models", 26, weight=5),
        Column("id", "id", 18, weight=6),
    ),
    "steps": (
        Column("at", "at", 11),
        Column("spent", "cost", 9, right=True),
        Column("agent", "agent", 14),
        Column("model", "model", 14, weight=1),
        Column("in", "read", 8, right=True, weight=2),
        Column("cached", "cached", 7, right=True, weight=3),
        Column("out", "written", 8, right=True, weight=4),
        Column("prompt", "prompt", 8, weight=5),
        Column("branch", "branch", 24, weight=6),
    ),
}
NONE = {
    "prompts": "No prompt is known of this session.",
    "agents": "This session started no agents.",
    "steps": "No step of this session is booked.",
}


def title(session_id: str, view: View, width: int) -> list[Part]:
    shown = words.name(session_id, max(8, width - 28))
    return [(" session ", "bold reverse"), f" {shown}  ", ("Esc goes back", MUTED)]


def facts(told: Story, view: View, width: int) -> list[Part]:
    """Five lines: the cost and what of it, how it goes on, what its context costs, its budgets."""
    session, now = told.told, told.running
    spend = session.spend
    steps = f"{spend.steps:,} steps in {duration(max(1, session.last_ms - session.first_ms))}"
    models = ", ".join(words.model(each) for each in session.models)
    branches = ", ".join(words.name(each, 40) for each in session.branches if each)
    parts: list[Part] = [
        " ",
        (f"{words.glance(spend.counted_picousd)} spent", "bold"),
        f"  {steps}",
    ]
    if spend.unattributed_picousd:
        parts += [f", {words.glance(spend.unattributed_picousd)} of it unattributed"]
    if spend.unpriced_steps:
        parts += [(f", {spend.unpriced_steps} steps without a price", STATE_STYLES["warned"])]
    state = "working" if now.works else words.does(now.main, view.now_ms)
    rate = f", {words.glance(now.per_hour)} an hour" if now.per_hour else ""
    last = words.ago(view.now_ms - session.last_ms)
    parts += ["\n ", f"{state}{rate}, last step {last}"]
    main = now.main
    left, _ = words.cache(main, view.now_ms)
    parts += ["\n ", f"context {words.tokens(main.context_tokens)}"]
    if main.context_tokens:
        read, anew = about(main.context_picousd), about(main.expired_picousd)
        costs = f"{read} a step while cached ({left} more), {anew} once it is not"
        if left == "expired":
            costs = f"its cache has expired: the next prompt pays {anew}, each step then {read}"
        elif main.expires_at_ms is None:
            costs = f"{read} a step, nothing is cached"
        parts += [f": {costs}"]
    if session.compactions:
        parts += [f"; compacted {len(session.compactions)} times"]
    parts += ["\n ", words.name(f"{models}{f' on {branches}' if branches else ''}", width - 2)]
    own = [each for each in view.verdicts if each[2].budget.per == "session"]
    told_of = "; ".join(
        f"{words.name(v.budget.name)}: {messages.spent_of(v)}, {messages.percent(v)}"
        for _, standing, v in own
        if standing.session == session.session_id
    )
    parts += [
        "\n ",
        (words.name(f"Budget {told_of}" if told_of else "No session budget.", width), MUTED),
    ]
    return parts


def tabs(told: Story, part: str, width: int) -> list[Part]:
    counts = {
        "prompts": len(told.told.prompts),
        "agents": len(told.told.agents),
        "steps": told.told.spend.steps,
    }
    parts: list[Part] = [" "]
    for number, each in enumerate(PARTS, 1):
        style = "bold reverse" if each == part else MUTED
        parts += [(f" {number} {each} {counts[each]:,} ", style), " "]
    return parts


def rows(told: Story, part: str, view: View) -> list[Row]:
    if part == "prompts":
        return _prompts(told, view)
    return _agents(told, view) if part == "agents" else _steps(told, view)


def _prompts(told: Story, view: View) -> list[Row]:
    total = told.told.spend.counted_picousd
    found = []
    for each in reversed(told.told.prompts):
        amount = each.spend.counted_picousd
        grew = f"{words.tokens(each.context_from)} → {words.tokens(each.context_to)}"
        found.append(
            Row(
                each.prompt_id,
                {
                    "at": (words.clock(each.first_ms, view), MUTED),
                    "prompt": (words.short_id(each.prompt_id) or "(none)", ""),
                    "spent": (words.glance(amount), "bold"),
                    "share": (messages.share(amount, total), ""),
                    "steps": (f"{each.spend.steps:,}", ""),
                    "agents": (str(each.agents) if each.agents else "", ""),
                    "context": (grew if each.context_to else "", ""),
                    "took": (duration(max(1, each.last_ms - each.first_ms)), MUTED),
                    "models": (", ".join(words.model(model) for model in each.models), MUTED),
                },
            )
        )
    return found


def _agents(told: Story, view: View) -> list[Row]:
    total = told.told.spend.counted_picousd
    return [
        Row(
            each.agent_id,
            {
                "agent": (words.who(each.agent), ""),
                "spent": (words.glance(each.spend.counted_picousd), "bold"),
                "share": (messages.share(each.spend.counted_picousd, total), ""),
                "steps": (f"{each.spend.steps:,}", ""),
                "at": (words.clock(each.first_ms, view), MUTED),
                "took": (duration(max(1, each.last_ms - each.first_ms)), MUTED),
                "models": (", ".join(words.model(model) for model in each.models), MUTED),
                "id": (words.name(each.agent_id), MUTED),
            },
        )
        for each in told.told.agents
    ]


def _steps(told: Story, view: View) -> list[Row]:
    found = []
    for step, spend in told.steps:
        cost = words.cost(spend.counted_picousd) if not spend.unpriced_steps else "unpriced"
        found.append(
            Row(
                step.message_id,
                {
                    "at": (words.clock(step.at_ms, view), MUTED),
                    "spent": (cost, "bold"),
                    "agent": (words.who(step.agent), ""),
                    "model": (words.model(step.model), ""),
                    "in": (words.tokens(step.usage.prompt_tokens), ""),
                    "cached": (
                        messages.share(step.usage.cache_read_tokens, step.usage.prompt_tokens),
                        MUTED,
                    ),
                    "out": (words.tokens(step.usage.output_tokens), ""),
                    "prompt": (words.short_id(step.prompt_id), MUTED),
                    "branch": (words.name(step.branch), MUTED),
                },
            )
        )
    return found
