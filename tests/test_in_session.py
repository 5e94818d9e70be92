"""What the hook answers to a person in a session, whole; and whom it takes for one."""

import json
from pathlib import Path

import pytest

from budget import ancestry, hook
from budget.ledger import Ledger
from tests.sample_work import MINUTE_MS, SESSION, Work, made
from tests.samples import AT_MS

SPOKEN = {"CLAUDE_CODE_ENTRYPOINT": "cli"}


@pytest.fixture(autouse=True)
def nothing_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests: no client is above this process."""
    monkeypatch.setattr(ancestry, "clients_above", lambda pid=0: [])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return made(tmp_path_factory.mktemp("work"), AT_MS)


def tell(work: Work, name: str, now_ms: int = AT_MS, **more: object) -> dict[str, object]:
    """What the hook answers to an event."""
    event = {"hook_event_name": name, "session_id": SESSION, "cwd": str(work.project), **more}
    return hook.respond(event, {**work.env, **SPOKEN}, now_ms)


def ask(work: Work, prompt: str, now_ms: int = AT_MS) -> str:
    """The answer to a prompt that is not sent."""
    answer = tell(work, "UserPromptSubmit", now_ms, prompt=prompt)
    assert answer["decision"] == "block"
    return str(answer["reason"])


# -- what was spent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt", ["/budget:report", "/budget:report today", " /budget:report TODAY"]
)
def test_report_today(work: Work, prompt: str) -> None:
    assert ask(work, prompt) == (
        "Today: $8.49 in 134 steps (no request made).\n"
        "\n"
        "By model\n"
        "  $6.33   75 %  70 steps  opus-5\n"
        "  $2.16   25 %  60 steps  sonnet-5\n"
        "$0.0031   <1 %   4 steps  haiku-5-5\n"
        "\n"
        "Dearest prompts\n"
        "  $0.75    9 %  10 steps  14:52, opus-5, 1 agent, context 163k\n"
        "  $0.48    6 %   4 steps  10:20, opus-5, context 186k\n"
        "  $0.46    5 %   4 steps  10:12, opus-5, context 174k\n"
        "  $0.43    5 %   4 steps  10:04, opus-5, context 162k\n"
        "  $0.41    5 %   4 steps  09:56, opus-5, context 150k"
    )


def test_reports_of_other_times(work: Work) -> None:
    def first(when: str) -> str:
        return ask(work, f"/budget:report {when}").partition("\n")[0]

    assert first("yesterday") == "Yesterday: $4.16 in 68 steps (no request made)."
    assert first("week") == "This week: $8.49 in 134 steps (no request made)."
    assert first("month") == "This month: $31.48 in 514 steps (no request made)."
    assert first("session") == "This session: $2.81 in 46 steps (no request made)."
    assert "\n$0.43   11 %   4 steps  11-22 10:04, opus-5" in ask(work, "/budget:report yesterday")
    a_year = 366 * 24 * 60 * MINUTE_MS
    nothing = "Today: nothing was spent in this project (no request made)."
    assert ask(work, "/budget:report today", AT_MS + a_year) == nothing


def test_a_report_that_is_not_known_names_the_nearest(work: Work) -> None:
    known = "There are: today, yesterday, week, month and session."
    assert ask(work, "/budget:report yesteday") == (
        f"There is no report of 'yesteday'. Did you mean yesterday? {known}"
    )
    assert ask(work, "/budget:report by model") == f"There is no report of 'by model'. {known}"


def test_no_row_is_wider_than_the_client_leaves_on_80_columns(work: Work) -> None:
    for prompt in ("/budget:report month", "/budget:status"):
        rows = ask(work, prompt).splitlines()
        assert max(len(row) for row in rows if not row.startswith("Now: ")) <= 70


def test_the_status_tells_budgets_what_today_went_on_and_the_rate(work: Work) -> None:
    assert ask(work, "/budget:status") == (
        "How the budgets stand (no request made):\n"
        "session  ███████░░░  70 %  $1.19 of $4.00 left\n"
        "day      ████████░░  84 %  $1.51 of $10.00 left, resets at 00:00\n"
        "week     █████░░░░░  52 %  $28.52 of $60.00 left, in the last 7 days\n"
        "Today: $8.49, 75 % opus-5, 25 % sonnet-5.\n"
        'Now: $5.64 an hour (last 8 min): "session" is used up in 13 min. At its pace so far this'
        ' month comes to $41.75; today ends at the $10.00 of "day".'
    )


# -- who sent a prompt -----------------------------------------------------------------------------

USED_UP = 'version = 1\n[budgets.total]\nper = "total"\nusd = 0.01\non_exceed = "ask"\n'


@pytest.fixture
def asking(tmp_path: Path) -> Work:
    """Work whose budget is used up and asks."""
    work = made(tmp_path, AT_MS)
    (work.project / ".claude" / "budget.toml").write_text(USED_UP)
    tell(work, "SessionStart", source="startup")
    return work


def goes_on(work: Work, prompt: str) -> bool:
    answer = tell(work, "UserPromptSubmit", prompt=prompt)
    assert ("decision" in answer) is not ("You go on" in str(answer.get("systemMessage")))
    return "decision" not in answer


@pytest.mark.parametrize(
    "prompt",
    [
        '<agent-message from="mate">\ngo on\n</agent-message>',
        '<teammate-message teammate_id="mate" color="blue">\nhi\n</teammate-message>',
        "<task-notification>\n<task-id>a1</task-id>",
        '\n <cross-session-message from="x">',
        "<<autonomous-loop-dynamic>>",
    ],
)
def test_a_message_is_not_taken_for_a_person(asking: Work, prompt: str) -> None:
    assert not goes_on(asking, prompt)
    assert goes_on(asking, "go on")


def test_a_person_may_type_a_tag(asking: Work) -> None:
    assert goes_on(asking, "<div> is not closed in the page")


def test_a_scheduled_prompt_is_not_taken_for_a_person(asking: Work) -> None:
    crons = [
        {"id": "a", "schedule": "* * * * *", "recurring": False, "prompt": "check the deploy\n"},
        {"id": "b", "schedule": "9 11 * * *", "recurring": True, "prompt": "/loop go on"},
        {"id": "c"},
        "odd",
    ]
    tell(asking, "Stop", session_crons=crons)
    assert not goes_on(asking, "check the deploy")
    assert not goes_on(asking, "/loop go on")
    (ledger,) = Path(asking.env["BUDGET_HOME"]).rglob("projects/*/ledger.db")
    assert "deploy" not in str(Ledger(str(ledger)).fact(f"scheduled|{SESSION}")), "no prompt's text"

    tell(asking, "Stop", session_crons=[])
    assert goes_on(asking, "check the deploy"), "nothing is scheduled any more"


def test_a_task_that_outlives_its_session_is_not_taken_for_a_person(asking: Work) -> None:
    tasks = {"tasks": [{"id": "a", "cron": "0 9 * * *", "prompt": "morning report"}]}
    (asking.project / ".claude" / "scheduled_tasks.json").write_text(json.dumps(tasks))
    assert not goes_on(asking, "morning report")
    assert goes_on(asking, "evening report")


# -- budgets of one name ---------------------------------------------------------------------------


def test_a_grant_raises_every_budget_of_its_name(tmp_path: Path) -> None:
    work = made(tmp_path, AT_MS)
    day = '[budgets.day]\nper = "day"\nusd = 1.00\n'
    (work.project / ".claude" / "budget.toml").write_text(f"version = 1\n{day}")
    (work.home / ".claude").mkdir()
    (work.home / ".claude" / "budget.toml").write_text(f'version = 1\n{day}scope = "user"\n')
    tell(work, "SessionStart", source="startup")
    assert ask(work, "go on").count("are used up") == 2
    told = ask(work, "/budget:allow $1,050.00 day because of a release")
    assert told.startswith("Granted $1,050.00 on"), "as the stop writes it"
    assert tell(work, "UserPromptSubmit", prompt="go on").get("decision") is None
