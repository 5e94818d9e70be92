"""What the live view says, as plain words: for the screen and for lines alike. Pure.

Names from outside (branches, models, ids, folders) and texts that hold some pass through `name` or
`line`: printable, on one line. They are never read as markup.
"""

from budget import messages, running
from budget.advice_words import about
from budget.messages import duration, money, percent, spent_of
from budget.model import PICO, Verdict
from budget.status import Standing
from budget.steps import clean
from budget.watch.facts import Facts, View, soonest, tightest
from budget.windows import HOUR_MS, local_time

STATES = {"ok": "", "warned": "warning", "exceeded": "USED UP"}


def name(text: str, limit: int = 60) -> str:
    """Outside text: printable, on one line, cut to a length."""
    shown = clean(text, 300)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def line(text: str) -> str:
    """A text that holds names from outside: printable, on one line."""
    return clean(" ".join(text.split()), 2_000)


def short_id(text: str) -> str:
    """The beginning of a session's or prompt's id: enough to tell it by."""
    return name(text, 300)[:8]


def model(text: str, limit: int = 24) -> str:
    """`opus-5-5`: what all have in common is left out."""
    return name(text.removeprefix("claude-"), limit)


def tokens(count: int) -> str:
    """`950`, `31k`, `1.2M`."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.{1 if size > 1000 and count < 100 * size else 0}f}{unit}"
    return str(count)


def minutes(milliseconds: int) -> str:
    """`57 min`, `<1 min`."""
    return f"{milliseconds // 60_000} min" if milliseconds >= 60_000 else "<1 min"


def cache(thread: running.Thread, now_ms: int) -> tuple[str, str]:
    """How long the context stays cached, and what that is: `warm`, `ends`, `expired`, `none`.

    Where it costs less than ten cents to write it anew, its end is worth no colour.
    """
    if thread.last_ms is None:
        return "", "none"
    if thread.expires_at_ms is None:
        return "none", "none"
    left = thread.expires_at_ms - now_ms
    matters = thread.expired_picousd >= PICO // 10
    if left <= 0:
        return "expired", "expired" if matters else "none"
    return minutes(left), "ends" if left <= 60_000 and matters else "warm"


def ago(milliseconds: int) -> str:
    """`3 s ago`, `4 min ago`."""
    if milliseconds < 60_000:
        return f"{max(0, milliseconds) // 1000} s ago"
    return f"{duration(milliseconds - 59_999)} ago"


def does(thread: running.Thread, now_ms: int) -> str:
    """`working`, `waiting 4 min`."""
    if thread.works:
        return "starting" if thread.last_ms is None else "working"
    if thread.last_ms is None:
        return "waiting"
    return f"waiting {duration(max(1, now_ms - thread.last_ms))}"


def glance(picousd: int) -> str:
    """Dollars in cents, from a cent on; rounded down, so that nothing looks used up that is not."""
    return money(picousd, 2 if picousd >= PICO // 100 or not picousd else 4)


def left(verdict: Verdict, session: str = "") -> str:
    """`left today`, `left in session 5d0f1c9e`: of what."""
    budget = verdict.budget
    if budget.per == "session":
        return f"left in session {short_id(session)}" if session else "left in a session"
    scopes = {"user": " in all your projects", "team": " for everybody here"}
    some = messages.over(budget._replace(scope="project")).partition(", ")[2]
    text = f"left {messages.period(budget.per)}{scopes.get(budget.scope, '')}"
    return f"{text}, {line(some)}" if some else text


def headline(view: View) -> tuple[str, str, str]:
    """What is left, of how much, and the state of that: the answer at a glance.

    `("$12.41 left today", "of $20.00 · 37 % spent · resets at 00:00 (in 9 h 28 min)", "ok")`
    While money goes, first the limit that is reached first:
    `("$1.07 left in session 7c1e5b52: used up in 12 min", "$1.35 left today of $10.00 · ...", ...)`
    """
    found = tightest(view)
    if not found:
        return f"{glance(view.today.counted_picousd)} spent today", no_budget(view), "none"
    facts, standing, verdict = found
    first = _left_where(view, facts, standing, verdict)
    state, head = verdict.state, ""
    soon = soonest(view) if not verdict.exceeded else None
    if soon:
        ends = f": used up in {duration(soon.in_ms)}"
        if soon.verdict.budget == verdict.budget:
            first += ends
        else:
            head, state = f"{first} ", soon.verdict.state
            first = f"{_left_where(view, soon.facts, soon.standing, soon.verdict)}{ends}"
        if state == "ok" and soon.in_ms < HOUR_MS:
            state = "warned"
    share = percent(verdict)
    told = f", {STATES[verdict.state]}" if verdict.state != "ok" else ""
    held = f", {messages.reserved(verdict)} held" if verdict.left and verdict.reserved else ""
    resets = messages.resets(verdict, standing.policy, view.now_ms)
    second = f"{head}of {messages.limit_of(verdict)} · {share} spent{told}{held} · resets {resets}"
    if verdict.budget.name != verdict.budget.per:
        second += f' · budget "{name(verdict.budget.name)}"'
    return first, second, state


def _left_where(view: View, facts: Facts, standing: Standing, verdict: Verdict) -> str:
    """`$1.35 left today`, `Nothing left today in shop`."""
    shared = verdict.budget.scope != "project" and verdict.budget.per != "session"
    where = f" in {project(facts)}" if len(view.projects) > 1 and not shared else ""
    amount = "Nothing" if verdict.exceeded else messages.left(verdict)
    return f"{amount} {left(verdict, standing.session or '')}{where}"


def no_budget(view: View) -> str:
    """Why nothing can be said of what is left, and what to do."""
    if not view.has_state and not view.booked:
        return "nothing is booked yet: start a Claude Code session with the plugin"
    if any(each.standing and each.standing.verdicts for each in view.projects):
        return "no budget in US dollars counts every step"
    return "no budget is set · budget init --day 20 sets one"


def went_on(view: View, count: int = 3) -> str:
    """`$7.59 today on opus-5-5 $5.20 (69 %), sonnet-5 $2.39 (31 %)`: what the money went on."""
    total = view.spend.counted_picousd
    window = view.choice.window
    when = "in this session" if window == "session" else messages.period(window)
    if not total:
        return f"Nothing spent {when}."
    sums = [(part(key, view), spend.counted_picousd) for key, spend in view.parts[:count]]
    parts = [f"{key} {glance(amount)} ({messages.share(amount, total)})" for key, amount in sums]
    more = len(view.parts) - count
    told = ", ".join(parts) + (f" and {more} more" if more > 0 else "")
    return f"{glance(total)} {when} on {told}"


def part(key: str, view: View, limit: int = 28) -> str:
    """What something was spent on, as it is listed."""
    if not key:
        return {"branch": "(no branch)", "prompt": "(no prompt)"}.get(
            view.choice.by, "(unattributed)"
        )
    if view.choice.by == "model":
        return model(key, limit)
    return short_id(key) if view.choice.by in ("session", "prompt") else name(key, limit)


def pace(view: View) -> str:
    """How fast money goes, and which limit that reaches first."""
    if not view.per_hour:
        return "nothing spent in the last 10 minutes"
    text = f"{about(view.per_hour)} an hour now"
    soon = soonest(view)
    if soon:
        text += f': "{name(soon.verdict.budget.name)}" is used up in {duration(soon.in_ms)}'
    return text


def budget_name(facts: Facts, verdict: Verdict, many: bool) -> str:
    """`day`, `opus (per day, *opus*)`; with the project's folder, where there are several."""
    label = name(messages.budget_label(verdict.budget))
    shared = verdict.budget.scope != "project" and verdict.budget.per != "session"
    return f"{project(facts, 16)}: {label}" if many and not shared else label


def project(facts: Facts, limit: int = 24) -> str:
    """The last part of its folder."""
    return name(facts.name.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or "/", limit)


def clock(at_ms: int, view: View) -> str:
    """`14:02:11` of today, else with the date."""
    at, now = local_time(at_ms, view.tz), local_time(view.now_ms, view.tz)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"


def who(agent: str) -> str:
    return "main" if agent == "main" else name(agent, 24)


def step(booked: running.Booked, view: View) -> str:
    """`$0.0061 main sonnet-5 31k in 200 out, session 5d0f1c9e on feature/x`."""
    told = booked.step
    price = cost(booked.picousd) if booked.priced else f"unpriced, at most {cost(booked.picousd)}"
    return (
        f"{price} {who(told.agent)} {model(told.model)} {tokens(told.usage.prompt_tokens)} in"
        f" {tokens(told.usage.output_tokens)} out, session {short_id(told.session_id)}"
        + (f" on {name(told.branch, 40)}" if told.branch else "")
    )


def cost(picousd: int) -> str:
    """Of a step: four decimals below a dollar."""
    return money(picousd, 2 if picousd >= PICO else 4)


def stop(facts: Facts, found: running.Stop) -> str:
    """Why the work was stopped, in one line."""
    told = []
    for each in found.verdicts:
        numbers = f"{spent_of(each)}{messages.over(each.budget)}"
        why = f"was used up: {numbers}"
        if not each.exceeded:
            why = f"had no room for the next step: {numbers} spent"
        told.append(f'budget "{each.budget.name}" {why} (set in {each.budget.source.shown})')
    where = f"Session {short_id(found.session_id)} in {project(facts)}."
    return line("; ".join(told) + f". {where}")


def stands(facts: Facts, found: running.Stop) -> bool:
    """Whether a budget of the stop still keeps the work from going on."""
    standing = facts.standing
    return standing is not None and any(
        standing.stopped(each) or each.stops
        for each in standing.verdicts
        if any(each.budget.name == of.budget.name for of in found.verdicts)
    )


def budget_line(facts: Facts, verdict: Verdict, many: bool, now_ms: int) -> str:
    """A budget in one line of words: for lines, and for who cannot see a bar."""
    assert facts.standing
    state = f", {STATES[verdict.state]}" if verdict.state != "ok" else ""
    held = ""
    if verdict.reserved:
        held = f", {messages.reserved(verdict)} held for steps under way"
    note = f" ({verdict.note})" if verdict.note else ""
    return line(
        f"{budget_name(facts, verdict, many)}: {spent_of(verdict)} spent, {percent(verdict)}"
        f"{state}, {messages.left(verdict)} left{held},"
        f" resets {messages.resets(verdict, facts.standing.policy, now_ms)}{note}"
    )
