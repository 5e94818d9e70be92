"""What each part of the screen shows, as text with styles; sizes are given. Pure."""

import re

from budget import messages, running
from budget.advice_words import about
from budget.messages import percent
from budget.watch import words
from budget.watch.facts import Facts, View
from budget.watch.plot import plot
from budget.watch.table import Cell, Column, Part, Row, bar, cell

STATE_STYLES = {
    "ok": "$text-success",
    "warned": "$text-warning",
    "exceeded": "bold $text-error",
    "none": "",
}
_CACHE_STYLES = {
    "warm": "$text-success",
    "ends": "bold $text-warning",
    "expired": "$text-error",
    "none": "dim",
}
MUTED = "dim"
LEGEND = "█ spent  ▒ held for steps under way  ┊ here it warns"
_WINDOWS = {
    "hour": "This hour",
    "day": "Today",
    "week": "This week",
    "month": "This month",
    "session": "Session",
}

SESSION_COLUMNS = (
    Column("who", "session / agent", 16),
    Column("does", "", 14, weight=2),
    Column("spent", "spent", 8, right=True),
    Column("context", "context", 7, right=True),
    Column("cache", "cache", 10, right=True, weight=1),
    Column("project", "project", 12, weight=3),
    Column("branch", "branch", 17, weight=4),
    Column("rate", "$/hour", 7, right=True, weight=5),
    Column("model", "model", 11, weight=6),
    Column("held", "held", 8, right=True, weight=7),
    Column("read", "context/step", 12, right=True, weight=8),
    Column("steps", "steps", 5, right=True, weight=9),
)
SORTS = ("work", "spent", "context", "rate", "last step")


def title(view: View, width: int) -> list[Part]:
    """Where, over what, when."""
    where = "all projects" if not view.choice.project else ""
    where = where or ", ".join(each.name for each in view.projects)
    clock = f"{words.clock(view.now_ms, view)} "
    head = " budget watch "
    where = words.name(where, max(8, width - len(head) - len(clock) - 2))
    gap = max(1, width - len(head) - len(where) - len(clock) - 1)
    return [(head, "bold reverse"), f" {where}", " " * gap, (clock, MUTED)]


def rule(head: str, more: str, width: int) -> list[Part]:
    """The line above a part of the screen."""
    more = words.line(more)
    room = width - len(head) - 4
    shown = f"{more} " if len(more) < room else f"{more[: max(0, room - 2)]}… "
    line = "─" * max(0, width - len(head) - len(shown) - 4)
    return [("── ", MUTED), (f"{head} ", "bold"), (shown if more else "", ""), (line, MUTED)]


def answer(view: View, width: int) -> list[Part]:
    """What is left, and what the money went on: in two lines, or three where it is narrow."""
    first, second, state = words.headline(view)
    style = f"bold {STATE_STYLES[state]}".replace("bold bold", "bold")
    parts: list[Part] = [" ", (first, style)]
    room = width - len(first) - 4
    if len(second) > room:
        second = re.sub(r" \(in [^)]*\)", "", second, count=1)
    if len(second) <= room:
        parts += ["  ", second]
    else:
        parts += ["\n ", words.name(second, width - 2)]
    told = words.went_on(view)
    for count in (3, 2, 1):
        if len(told) <= width - 2:
            break
        told = words.went_on(view, count)
    return [*parts, "\n ", words.name(told, width - 2)]


def answer_height(view: View, width: int) -> int:
    texts = [each if isinstance(each, str) else each[0] for each in answer(view, width)]
    return 1 + sum(each.count("\n") for each in texts)


def budgets(view: View, width: int, height: int) -> list[Part]:
    """A bar for each budget, with its marks and when it is whole again."""
    many = len(view.projects) > 1
    found = view.verdicts
    if not found:
        return [" ", (words.no_budget(view), MUTED)]
    # Where not all fit, the fullest matter.
    shown = found if len(found) <= height else sorted(found, key=lambda each: -each[2].fraction)
    cut = len(found) - height
    shown = shown[: height - 1] if cut > 0 else shown
    labels = [
        words.budget_name(facts, verdict, many)
        + (f" {words.short_id(standing.session or '')}" if verdict.budget.per == "session" else "")
        for facts, standing, verdict in shown
    ]
    label = Column("", "", min(max(map(len, labels), default=4), max(8, width // 5)))
    amounts = [messages.spent_of(verdict) for _, _, verdict in shown]
    amount = Column("", "", max(map(len, amounts), default=4))
    wide = width >= 100
    length = max(8, min(40, width - label.width - amount.width - (68 if wide else 38)))
    parts: list[Part] = []
    for (_, standing, verdict), text, numbers in zip(shown, labels, amounts, strict=True):
        budget = verdict.budget
        style = STATE_STYLES[verdict.state]
        held = verdict.reserved / verdict.limit if verdict.limit else 0.0
        filled, taken, rest = bar(verdict.fraction, held, budget.warn_at, length)
        state = words.STATES[verdict.state]
        if standing.stopped(verdict) and not verdict.exceeded:
            state, style = "stopped", STATE_STYLES["exceeded"]
        resets = messages.resets(verdict, standing.policy, view.now_ms).partition(", as ")[0]
        if not wide:
            resets = resets.partition(" (in ")[0]
            if resets.startswith("on "):  # in days: the hour matters less
                resets = resets.partition(" at ")[0]
        left = f"{messages.left(verdict)} left"
        parts += [" ", cell(text, label), " ", (filled, style), (taken, style), (rest, MUTED)]
        parts += [(f" {percent(verdict):>6} ", style), cell(numbers, amount)]
        if wide:
            parts += [f"  {left:<14}"]
        parts += [
            f" {state:<8}" if state else " " * 9 if wide else " ",
            (f"resets {resets}", MUTED),
        ]
        if verdict.note:
            parts += [(f" ({words.line(verdict.note)})", MUTED)]
        parts.append("\n")
    if cut > 0:
        parts.append((f" and {cut + 1} budgets more, further from their limits", MUTED))
    return parts


def spending(view: View, width: int, height: int) -> list[Part]:
    """Money over the window as a plot, under its line."""
    window = view.choice.window
    drawn = plot(view.points, window, view.bounds, view.now_ms, width, height - 1, view.tz)
    head = _WINDOWS[window]
    total = words.glance(view.spend.counted_picousd)
    parts = rule(head, f"{total}, a bar is {_a(drawn.bar)}", width)
    for row in drawn.rows:
        style = MUTED if row is drawn.rows[-1] else "$text-primary"
        parts += ["\n", (row[:8], MUTED), (row[8:], style)]
    return parts


def _a(bar: str) -> str:
    return bar if bar[0].isdigit() else f"{'an' if bar[0] in 'aeiouh' else 'a'} {bar}"


def parts_of(view: View, width: int, height: int) -> list[Part]:
    """What the window's money went on: a bar for each model, branch, agent, session or prompt."""
    total = view.spend.counted_picousd
    by = view.choice.by
    parts = rule("It went on", f"by {by}", width)
    found = view.parts
    room = height - 1
    shown = found if len(found) <= room else found[: room - 1]
    names = [words.part(key, view, max(12, width - 24)) for key, _ in shown]
    label = Column("", "", max(map(len, names), default=12))
    for name, (_, spend) in zip(names, shown, strict=True):
        amount = spend.counted_picousd
        part = amount / total if total else 0.0
        length = max(0, width - label.width - 19)
        filled = _eighths(max(1 if amount else 0, int(part * length * 8)))
        parts += ["\n ", cell(name, label)]
        parts += [
            f"{words.glance(amount):>9} {messages.share(amount, total):>5} ",
            (filled, "$text-primary"),
        ]
    if len(found) > len(shown):
        rest = sum(spend.counted_picousd for _, spend in found[len(shown) :])
        parts += [("\n ", ""), (f"{len(found) - len(shown)} more: {words.glance(rest)}", MUTED)]
    if not found:
        parts += ["\n ", ("nothing yet", MUTED)]
    return parts


def _eighths(count: int) -> str:
    """A bar that is so long in eighths of a column: what is hardly anything looks like it."""
    return "█" * (count // 8) + " ▏▎▍▌▋▊▉"[count % 8].strip()


def running_head(view: View, sort: str, width: int) -> list[Part]:
    sessions = view.sessions
    working = sum(each.works for _, each in sessions)
    agents = sum(len(each.agents) for _, each in sessions)
    counts = f"{working} working" if working else "nobody at work"
    counts += f", {len(sessions) - working} waiting" if len(sessions) > working else ""
    counts += f", {agents} agent{'s' if agents != 1 else ''}" if agents else ""
    order = "" if sort == "work" else f" · by {sort}"
    pace = words.pace(view)
    if len(counts) + len(pace) + len(order) > width - 24:
        pace = pace.partition(":")[0]
    return rule("Running now", f"{counts} · {pace}{order}", width)


def session_rows(view: View, sort: str) -> list[Row]:
    """A row for each session, and below it one for each of its agents at work."""
    found = view.sessions
    keys = {
        "spent": lambda each: -each.spend.counted_picousd,
        "context": lambda each: -each.main.context_tokens,
        "rate": lambda each: -each.per_hour,
        "last step": lambda each: -each.last_ms,
    }
    if sort in keys:
        found = sorted(found, key=lambda each: keys[sort](each[1]))
    rows = []
    for facts, session in found:
        rows.append(_session_row(facts, session, view))
        for number, agent in enumerate(session.agents):
            last = number == len(session.agents) - 1 and not session.ended_agents
            rows.append(_agent_row(agent, session, view, "└" if last else "├"))
        if session.ended_agents and session.works:
            count = session.ended_agents
            told = f"└ {count} agent{'s' if count > 1 else ''} done"
            cells: dict[str, Cell] = {
                "who": (told, MUTED),
                "spent": (words.glance(session.ended_picousd), MUTED),
            }
            rows.append(Row(f"{session.id}/ended", cells))
    return rows


def _session_row(facts: Facts, session: running.Session, view: View) -> Row:
    main = session.main
    own = _thread_cells(main, view)
    state = (
        ("working", STATE_STYLES["ok"]) if session.works else (words.does(main, view.now_ms), MUTED)
    )
    cells = {
        **own,
        "who": (words.short_id(session.id), "bold" if session.works else ""),
        "does": state,
        # Of the whole session: agents and what the client counted beyond the steps included.
        "spent": (words.glance(session.spend.counted_picousd), "bold"),
        "rate": (about(session.per_hour) if session.per_hour else "", ""),
        "held": (words.glance(session.reserved_picousd) if session.reserved_picousd else "", ""),
        "steps": (f"{session.spend.steps:,}", ""),
        "project": (words.project(facts, 40), ""),
    }
    return Row(session.id, cells)


def _agent_row(agent: running.Thread, session: running.Session, view: View, branch: str) -> Row:
    cells = _thread_cells(agent, view)
    cells["who"] = (f"{branch} {words.who(agent.agent)}", "")
    cells["does"] = (words.does(agent, view.now_ms), STATE_STYLES["ok"])
    return Row(f"{session.id}/{agent.agent_id}", cells)


def _thread_cells(thread: running.Thread, view: View) -> dict[str, Cell]:
    left, state = words.cache(thread, view.now_ms)
    return {
        "spent": (words.glance(thread.picousd), ""),
        "context": (words.tokens(thread.context_tokens) if thread.context_tokens else "", ""),
        "cache": (left, _CACHE_STYLES[state]),
        "model": (words.model(thread.model), ""),
        "branch": (words.name(thread.branch), ""),
        "read": (about(thread.context_picousd) if thread.context_picousd else "", ""),
        "held": (words.glance(thread.reserved_picousd) if thread.reserved_picousd else "", ""),
        "steps": (f"{thread.steps:,}", ""),
    }


def nothing_running(view: View) -> str:
    """What to do where no session is listed."""
    if not view.booked:
        return (
            " No step is booked yet. Start claude in your project with the plugin installed;\n"
            " budget doctor checks the installation, budget import books earlier sessions."
        )
    return (
        " No session made a step in the last hour. Start claude in your project:\n"
        " its steps appear here as they are booked."
    )


def steps(view: View, width: int, height: int) -> list[Part]:
    """The last steps, the newest first."""
    parts = rule("Last steps", "", width)
    many = len(view.projects) > 1
    columns = [
        Column("at", "", 8),
        Column("cost", "", 9, right=True),
        Column("who", "", 14),
        Column("model", "", 12, weight=1),
        Column("in", "", 9, right=True, weight=2),
        Column("out", "", 9, right=True, weight=3),
        Column("session", "", 8, weight=4),
        Column("branch", "", 22, weight=6),
        *([Column("project", "", 14, weight=5)] if many else []),
    ]
    while sum(each.width + 1 for each in columns) > width - 1:
        least = max(columns, key=lambda each: each.weight)
        if not least.weight:
            break
        columns.remove(least)
    for facts, booked in view.steps[: height - 1]:
        told = booked.step
        cells: dict[str, Cell] = {
            "at": (words.clock(told.at_ms, view), MUTED),
            "cost": (words.cost(booked.picousd) if booked.priced else "unpriced", "bold"),
            "who": (words.who(told.agent), ""),
            "model": (words.model(told.model), ""),
            "in": (f"{words.tokens(told.usage.prompt_tokens)} in", MUTED),
            "out": (f"{words.tokens(told.usage.output_tokens)} out", MUTED),
            "session": (words.short_id(told.session_id), MUTED),
            "branch": (words.name(told.branch), MUTED),
            "project": (words.project(facts), MUTED),
        }
        parts.append("\n ")
        for column in columns:
            text, style = cells[column.key]
            parts += [(cell(text, column), style), " "]
    if not view.steps:
        parts += ["\n ", ("none yet", MUTED)]
    return parts


def stop(view: View, width: int) -> list[Part]:
    """The last stop, and whether it still holds."""
    if not view.stop:
        return []
    facts, found = view.stop
    holds = words.stands(facts, found)
    when = words.clock(found.at_ms, view)
    head = f"Stopped at {when}:" if holds else f"Last stop {when}, holds no longer:"
    style = STATE_STYLES["exceeded"] if holds else MUTED
    return [" ", (head, style), (f" {words.stop(facts, found)}", "" if holds else MUTED)]


def trouble(view: View, gone: bool) -> list[Part]:
    """What cannot be read or is not right, in place."""
    if view.errors:
        return [
            " ",
            (words.line(view.errors[0]), STATE_STYLES["exceeded"]),
            (" What is shown is from before; it is tried again.", MUTED),
        ]
    if gone:
        told = f"{view.state_folder} is gone: nothing can be read until it is there again."
        return [" ", (words.line(told), STATE_STYLES["exceeded"])]
    problems = [
        each for facts in view.projects if facts.standing for each in facts.standing.problems
    ]
    if problems:
        more = f" (and {len(problems) - 1} more: budget check)" if len(problems) > 1 else ""
        return [" ", (f"! {words.line(problems[0])}{more}", STATE_STYLES["warned"])]
    return []
