"""What budget says, word for word."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import messages, standing_words, stop_words
from budget.model import PICO, Budget, Policy, Source, Verdict, Window
from budget.policy import NO_POLICY
from budget.windows import window, zone
from tests.samples import AT_MS, DAY_MS, HOUR_MS

CENT = PICO // 100
BERLIN: Policy = NO_POLICY._replace(timezone="Europe/Berlin", focus="code samples")
# `AT` is 11:00 in Berlin, on a Monday.
NOW_MS = AT_MS
USER = ("user", "/home/ana/.claude/budget.toml", "~/.claude/budget.toml")
REPO = ("repo", "/srv/shop/.claude/budget.toml", ".claude/budget.toml")


def verdict(
    spent: int,
    limit: int,
    *,
    name: str = "",
    per: str = "day",
    unit: str = "usd",
    on_exceed: str = "block",
    message: str = "",
    layer: tuple[str, str, str] = REPO,
    policy: Policy = BERLIN,
) -> Verdict:
    name = name or per.partition(" ")[0]
    source = Source(layer[0], layer[1], f"budgets.{name}", layer[2])
    limits = (name, per, unit, limit, (0.8,), on_exceed, message, source)
    budget = Budget(*limits, policy.timezone)
    span = window(per, NOW_MS, "s1", zone(policy.timezone))
    return Verdict(budget, span, spent)


# -- a stop ----------------------------------------------------------------------------------------


def test_a_session_budget_that_is_used_up_says_how_to_go_on() -> None:
    used_up = verdict(6 * CENT // 5, CENT, per="session")
    assert stop_words.stop((used_up,), BERLIN, NOW_MS) == (
        "Stopped: the $0.0100 in this session are used up ($0.0120 spent).\n"
        'Budget "session" in .claude/budget.toml, resets with a new session.\n'
        "To go on: /budget:allow $0.0040 session because <reason>"
        "  (adds $0.0040; or `budget allow` in a terminal)\n"
        "To start over: /clear  (new session, whole budget; this conversation ends)"
    )


def test_a_day_budget_that_is_used_up_says_when_it_resets() -> None:
    used_up = verdict(20 * PICO, 20 * PICO, layer=USER, message="Ask in #ai-spend.")
    assert stop_words.stop((used_up,), BERLIN, NOW_MS) == (
        "Stopped: the $20.00 today are used up ($20.00 spent).\n"
        'Budget "day" in ~/.claude/budget.toml, resets at 00:00 (in 13 h).\n'
        "To go on: /budget:allow $4.00 day because <reason>"
        "  (adds $4.00; or `budget allow` in a terminal)\n"
        "Or: wait for the reset  (/clear does not help)\n"
        "Note: Ask in #ai-spend."
    )


def test_several_budgets_that_are_used_up_are_all_named() -> None:
    first = verdict(2 * PICO, PICO, name="a", per="rolling 5h")
    second = verdict(1200, 1000, name="b", per="week", unit="output_tokens")
    assert stop_words.stop((first, second), BERLIN, NOW_MS) == (
        "Stopped: the $1.00 in the last 5 hours are used up ($2.00 spent).\n"
        'Budget "a" in .claude/budget.toml, resets bit by bit, as spending grows older.\n'
        "To go on: /budget:allow $1.20 a because <reason>"
        "  (adds $1.20; or `budget allow` in a terminal)\n"
        "Or: wait for the reset  (/clear does not help)\n"
        "\n"
        "Stopped: the 1,000 output tokens this week are used up (1,200 spent).\n"
        'Budget "b" in .claude/budget.toml, resets on 2026-11-30 at 00:00 (in 6 days).\n'
        "To go on: /budget:allow 400 b because <reason>"
        "  (adds 400; or `budget allow` in a terminal)\n"
        "Or: wait for the reset  (/clear does not help)"
    )


def test_a_blocked_prompt_cost_nothing() -> None:
    used_up = verdict(PICO, PICO, per="session")
    text = stop_words.prompt_blocked((used_up,), BERLIN, NOW_MS)
    first, rest = text.split("\n", 1)
    assert first == "Not sent: no money was spent."
    assert rest == stop_words.stop((used_up,), BERLIN, NOW_MS)


def test_an_agent_that_was_stopped_is_told_of() -> None:
    spent = verdict(3, 3, unit="steps")
    some = spent._replace(budget=spent.budget._replace(agents=("Explore",)))
    assert stop_words.agent_stopped((some,)) == (
        'budget: an agent was stopped before it was done: "day", 3 of 3 steps today,'
        " on agent Explore."
    )


def test_a_budget_that_never_resets_does_not_advise_to_wait() -> None:
    text = stop_words.stop((verdict(PICO, PICO, per="total"),), BERLIN, NOW_MS)
    assert text == (
        "Stopped: the $1.00 in all are used up ($1.00 spent).\n"
        'Budget "total" in .claude/budget.toml, resets never.\n'
        "To go on: /budget:allow $0.20 total because <reason>"
        "  (adds $0.20; or `budget allow` in a terminal)\n"
        "It stays used up until a person lets it be passed."
    )


def test_a_budget_that_asks_says_that_a_prompt_goes_on() -> None:
    asks = verdict(5 * PICO, 5 * PICO, on_exceed="ask")
    assert stop_words.stop((asks,), BERLIN, NOW_MS) == (
        "Stopped: the $5.00 today are used up ($5.00 spent).\n"
        'Budget "day" in .claude/budget.toml, resets at 00:00 (in 13 h).\n'
        "To go on: send a prompt  (another $0.50, then it asks again)\n"
        "Or: /budget:allow $1.00 day because <reason>"
        "  (adds $1.00; or `budget allow` in a terminal)"
    )


def test_where_grants_are_forbidden_a_stop_does_not_name_them() -> None:
    strict = BERLIN._replace(max_grant=0)
    text = stop_words.stop((verdict(PICO, PICO),), strict, NOW_MS)
    assert text.splitlines()[2:] == [
        "To go on: raise the limit in .claude/budget.toml  (it holds from the next session)",
        "Or: wait for the reset  (/clear does not help)",
    ]


def test_a_step_that_does_not_fit_is_told_with_what_others_hold() -> None:
    close = verdict(95 * CENT, PICO)._replace(expected=4 * CENT, reserved=2 * CENT)
    assert stop_words.stop((close,), BERLIN, NOW_MS).partition("\n")[0] == (
        "Stopped before the next step: $0.03 of $1.00 is left today beside $0.02 held for steps"
        " under way, and the step needs up to $0.04."
    )
    large = verdict(0, CENT)._replace(expected=4 * CENT)
    assert stop_words.stop((large,), BERLIN, NOW_MS).partition("\n")[0] == (
        "Stopped before the next step: it needs up to $0.04, and the whole budget is $0.01 today"
        " ($0.01 is left)."
    )
    session = verdict(44 * PICO // 1000, PICO // 20, per="session")
    session = session._replace(expected=11 * PICO // 1000)
    assert stop_words.stop((session,), BERLIN, NOW_MS).splitlines()[:3] == [
        "Stopped before the next step: $0.0060 of $0.0500 is left in this session, and the step"
        " needs up to $0.0110.",
        'Budget "session" in .claude/budget.toml, resets with a new session.',
        "To go on: /budget:allow $0.0150 session because <reason>"
        "  (adds $0.0150; or `budget allow` in a terminal)",
    ]


def test_a_step_that_is_short_of_a_little_is_told_with_more_decimals() -> None:
    close = verdict(9_994_100 * 10**6, 10 * PICO)._replace(expected=5_950 * 10**6)
    assert stop_words.stop((close,), BERLIN, NOW_MS).partition("\n")[0] == (
        "Stopped before the next step: $0.005900 of $10.00 is left today, and the step needs up to"
        " $0.005950."
    )


def test_what_is_spent_and_what_is_left_add_up() -> None:
    for spent in (8_494_600, 4_999_960, 55_000, 31, 0, 5 * 10**6):
        shown = verdict(spent * 10**6, 10 * PICO)
        parts = [messages.spent(shown), messages.left(shown)]
        assert sum(Decimal(each[1:]) for each in parts) == 10, parts
        held = shown._replace(reserved=164_600 * 10**6)
        parts = [messages.spent(held), messages.reserved(held), messages.left(held)]
        assert sum(Decimal(each[1:]) for each in parts) == 10, parts
    assert messages.left(verdict(10 * PICO - 1, 10 * PICO)) == "$0.01"
    assert messages.left(verdict(10 * PICO, 10 * PICO)) == "$0.00"


def test_shares_of_a_total_are_rounded_and_those_of_a_limit_are_not() -> None:
    assert [messages.share(each, 1000) for each in (0, 1, 9, 10, 14, 15, 746, 1000)] == (
        ["0 %", "<1 %", "<1 %", "1 %", "1 %", "2 %", "75 %", "100 %"]
    )
    assert messages.share(0, 0) == ""
    shown = [messages.percent(verdict(each, 1000)) for each in (0, 1, 999, 1000)]
    assert shown == ["0 %", "<1 %", "99 %", "100 %"]


def test_a_budget_of_some_models_names_what_still_works() -> None:
    spent = verdict(PICO, PICO)
    opus = spent._replace(budget=spent.budget._replace(models=("*opus*",)))
    assert stop_words.stop((opus,), BERLIN, NOW_MS).splitlines()[3] == (
        "Or: /model  (only what is done on *opus* counts)"
    )


def test_a_level_of_context_is_made_smaller() -> None:
    level = verdict(30_000, 20_000, per="session", unit="context_tokens", name="context")
    assert stop_words.stop((level,), BERLIN, NOW_MS).splitlines() == [
        "Stopped: the limit of 20,000 tokens of context is reached (now 30,000).",
        'Budget "context" in .claude/budget.toml, resets when the context is made smaller.',
        "To go on: /compact Focus on code samples  (the same conversation, made shorter)",
        "To start over: /clear  (an empty context; this conversation ends)",
        "Or: /budget:allow 14,000 context because <reason>"
        "  (adds 14,000; or `budget allow` in a terminal)",
    ]


# -- warnings and advice ---------------------------------------------------------------------------


def test_a_warning_says_what_is_left_and_how_to_spend_less() -> None:
    warned = verdict(16 * PICO, 20 * PICO)
    assert stop_words.warning(warned, BERLIN, NOW_MS) == (
        'Budget "day": 80 % is spent, $4.00 of $20.00 left today. Resets at 00:00 (in 13 h).'
        " Less per step: /compact Focus on code samples."
    )


def test_a_warning_ends_with_the_message_of_its_budget() -> None:
    warned = verdict(90, 100, per="session", unit="steps", message="Ask Ana.")
    policy = NO_POLICY
    assert stop_words.warning(warned, policy, NOW_MS) == (
        'Budget "session": 90 % is spent, 10 of 100 steps left in this session.'
        " Resets with a new session. Less per step: /compact. Ask Ana."
    )


def test_a_budget_that_only_advises_says_so() -> None:
    used_up = verdict(3 * PICO, 2 * PICO, on_exceed="advise")
    assert stop_words.used_up_advice(used_up, BERLIN, NOW_MS) == (
        'Budget "day" is used up: $3.00 of $2.00 today (150 %). Work goes on: it only'
        " advises (on_exceed in .claude/budget.toml)."
        " Worth considering: a pause until the reset, or /compact Focus on code samples."
        " Resets at 00:00 (in 13 h)."
    )


def test_a_session_budget_that_only_advises_names_clear() -> None:
    used_up = verdict(3 * PICO, 2 * PICO, per="session", on_exceed="advise")
    assert stop_words.used_up_advice(used_up, NO_POLICY, NOW_MS) == (
        'Budget "session" is used up: $3.00 of $2.00 in this session (150 %). Work goes on: it only'
        " advises (on_exceed in .claude/budget.toml)."
        " Worth considering: /clear for new work, or /compact."
        " Resets with a new session."
    )


def test_the_model_is_told_a_fact_and_no_order() -> None:
    assert stop_words.fact(verdict(16 * PICO, 20 * PICO)) == (
        '80 % of the budget "day" of .claude/budget.toml is spent: $16.00 of $20.00 today.'
    )


# -- standings -------------------------------------------------------------------------------------


def test_a_session_starts_with_what_is_left() -> None:
    standing = (
        verdict(PICO, 5 * PICO, per="session", policy=BERLIN),
        verdict(25 * PICO, 20 * PICO),
        verdict(1_000, 10_000, per="rolling 5h", unit="tokens", name="burst"),
    )
    assert standing_words.session_line(standing, BERLIN, NOW_MS) == (
        "budget: session $4.00 left · day $0.00 left (resets at 00:00) · burst 9,000 tokens left."
    )


def test_the_status_is_a_table_of_text() -> None:
    standing = (
        verdict(PICO, 5 * PICO, per="session"),
        verdict(16 * PICO, 20 * PICO),
        verdict(31, 30, per="total", unit="steps"),
    )
    lines = [
        "session  ██░░░░░░░░  20 %  $4.00 of $5.00 left",
        "day      ████████░░  80 %  $4.00 of $20.00 left, resets at 00:00",
        "total    ██████████ 103 %  USED UP, 31 of 30 steps",
    ]
    assert standing_words.status_text(standing, BERLIN, NOW_MS) == "\n".join(lines)


def test_rows_of_the_status_that_are_long_go_on_below_themselves() -> None:
    spent = verdict(80 * PICO, 200 * PICO, name="month-of-all-projects", per="month")
    long = spent._replace(
        budget=spent.budget._replace(scope="user", models=("*opus*", "*fable*")),
        note="added up an hour ago",
    )
    text = standing_words.status_text((long, verdict(0, PICO)), BERLIN, NOW_MS)
    assert text == (
        "month-of-all-projects  ████░░░░░░  40 %\n"
        "  $120.00 of $200.00 left, this month over all your projects, on\n"
        "  *opus* or *fable*, resets on 2026-12-01 at 00:00, added up an hour\n"
        "  ago\n"
        "day                    ░░░░░░░░░░   0 %\n"
        "  $1.00 of $1.00 left, resets at 00:00"
    )


def test_without_budgets_the_status_says_how_to_set_one() -> None:
    assert standing_words.status_text((), NO_POLICY, NOW_MS) == (
        "No budgets are set for this project. `budget init` writes .claude/budget.toml."
    )


@pytest.mark.parametrize(
    ("per", "words"),
    [
        ("session", "in this session"),
        ("hour", "in this hour"),
        ("day", "today"),
        ("week", "this week"),
        ("month", "this month"),
        ("total", "in all"),
        ("rolling 90m", "in the last 90 minutes"),
    ],
)
def test_each_period_has_its_words(per: str, words: str) -> None:
    assert messages.period(per) == words


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("tokens", "12,345 of 67,890 tokens"),
        ("input_tokens", "12,345 of 67,890 input tokens"),
        ("output_tokens", "12,345 of 67,890 output tokens"),
        ("cache_read_tokens", "12,345 of 67,890 cache-read tokens"),
        ("cache_write_tokens", "12,345 of 67,890 cache-write tokens"),
        ("steps", "12,345 of 67,890 steps"),
    ],
)
def test_each_unit_has_its_words(unit: str, words: str) -> None:
    assert messages.spent_of(verdict(12_345, 67_890, unit=unit)) == words


# -- times -----------------------------------------------------------------------------------------


def resets(per: str, at: str, policy: Policy = BERLIN) -> str:
    now_ms = int(datetime.fromisoformat(at).timestamp() * 1000)
    span = window(per, now_ms, "s1", zone(policy.timezone))
    return messages.resets(
        verdict(1, 2, per=per, policy=policy)._replace(window=span), policy, now_ms
    )


@pytest.mark.parametrize(
    ("per", "at", "words"),
    [
        ("hour", "2026-11-23T11:00:00+01:00", "at 12:00 (in 1 h)"),
        ("hour", "2026-11-23T11:48:00+01:00", "at 12:00 (in 12 min)"),
        ("hour", "2026-11-23T11:59:59.999+01:00", "at 12:00 (in 1 min)"),
        ("hour", "2026-11-23T23:30:00+01:00", "at 00:00 (in 30 min)"),
        ("day", "2026-11-23T18:48:00+01:00", "at 00:00 (in 5 h 12 min)"),
        ("day", "2026-11-23T18:47:59.500+01:00", "at 00:00 (in 5 h 13 min)"),
        ("day", "2026-10-25T00:00:00+02:00", "at 00:00 (in 25 h)"),
        ("week", "2026-11-29T23:00:00+01:00", "at 00:00 (in 1 h)"),
        ("week", "2026-11-28T23:00:00+01:00", "on 2026-11-30 at 00:00 (in 25 h)"),
        ("week", "2026-11-28T00:00:00+01:00", "on 2026-11-30 at 00:00 (in 2 days)"),
        ("month", "2026-12-01T00:00:00+01:00", "on 2027-01-01 at 00:00 (in 31 days)"),
        ("session", "2026-11-23T11:00:00+01:00", "with a new session"),
        ("total", "2026-11-23T11:00:00+01:00", "never"),
        ("rolling 5h", "2026-11-23T11:00:00+01:00", "bit by bit, as spending grows older"),
    ],
)
def test_a_reset_is_told_as_a_time_and_a_wait(per: str, at: str, words: str) -> None:
    assert resets(per, at) == words


def test_a_reset_is_told_in_the_budgets_time_zone() -> None:
    tokyo = NO_POLICY._replace(timezone="Asia/Tokyo")
    assert resets("hour", "2026-11-23T10:30:00+00:00", tokyo) == "at 20:00 (in 30 min)"


def test_a_window_that_ends_in_days_is_told_by_its_date() -> None:
    span = Window(0, NOW_MS + 3 * DAY_MS + HOUR_MS, None, NOW_MS + 3 * DAY_MS + HOUR_MS)
    far = verdict(1, 2)._replace(window=span)
    assert messages.resets(far, BERLIN, NOW_MS) == "on 2026-11-26 at 12:00 (in 3 days)"


# -- money and shares ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picousd", "text"),
    [
        (0, "$0.00"),
        (CENT, "$0.01"),
        (5 * PICO, "$5.00"),
        (1234 * PICO + 50 * CENT, "$1,234.50"),
        (CENT // 10, "$0.0010"),
        (123 * CENT // 100, "$0.0123"),
        (PICO + CENT // 100, "$1.0001"),
        (PICO // 10**4, "$0.0001"),
        (PICO // 10**6, "$0.000001"),
        (789 * (PICO // 10**6), "$0.000789"),
    ],
)
def test_money_has_as_many_decimals_as_it_takes(picousd: int, text: str) -> None:
    assert messages.money(picousd) == text


@pytest.mark.parametrize(
    ("spent", "limit", "text"),
    [
        (12 * CENT // 10, CENT, "$0.0120 of $0.0100"),
        (CENT, 12 * CENT // 10, "$0.0100 of $0.0120"),
        (50 * CENT, 99 * CENT, "$0.50 of $0.99"),
        (12345 * CENT // 100, 5 * PICO, "$1.23 of $5.00"),
        (1234 * CENT // 100, 5 * PICO, "$0.12 of $5.00"),
        (123 * CENT // 100, 5 * PICO, "$0.0123 of $5.00"),
        (0, 0, "$0.00 of $0.00"),
    ],
)
def test_money_below_a_dollar_has_the_decimals_of_its_limit(
    spent: int, limit: int, text: str
) -> None:
    assert messages.spent_of(verdict(spent, limit)) == text


def test_what_is_spent_does_not_look_like_the_limit_before_it_is() -> None:
    shy = verdict(5 * PICO - 40 * (PICO // 10**6), 5 * PICO)
    assert messages.percent(shy) == "99 %"
    assert messages.spent_of(shy) == "$4.99 of $5.00"


@given(st.integers(0, 10**18))
def test_dollars_for_programs_have_six_places(picousd: int) -> None:
    text = messages.usd6(picousd)
    whole, places = text.split(".")
    assert len(places) == 6
    assert abs((int(whole) * 10**6 + int(places)) * 10**6 - picousd) <= 500_000


def test_amounts_are_dollars_or_counts() -> None:
    assert messages.amount(5 * PICO, "usd") == "$5.00"
    assert messages.amount(1_234_567, "tokens") == "1,234,567"


@pytest.mark.parametrize(
    ("spent", "limit", "text"),
    [(0, 7, "0 %"), (999, 1000, "99 %"), (1000, 1000, "100 %"), (1, 3, "33 %"), (0, 0, "100 %")],
)
def test_shares_are_rounded_down(spent: int, limit: int, text: str) -> None:
    assert messages.percent(verdict(spent, limit, unit="steps")) == text


def test_shares_are_exact() -> None:
    for spent in range(101):
        assert messages.percent(verdict(spent, 100, unit="steps")) == f"{spent} %"
