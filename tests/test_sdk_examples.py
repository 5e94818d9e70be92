"""The examples of docs/sdk.md run as they stand.

The web service runs under 50 users at once against the played client (see recorded.py), the others
with the real one.
"""

import asyncio
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin import ROOT
from tests.realclient.client import Home
from tests.realclient.stub import STEP_USD, Stub, bash_loop
from tests.recorded import STEP_PICO, Played

PAGE = (ROOT / "docs" / "sdk.md").read_text()
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE, re.M | re.S))


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("CLAUDE_CONFIG_DIR")
    with Home(git=True) as made:
        monkeypatch.chdir(made.project)
        monkeypatch.setenv("TZ", "UTC")
        yield made


def run(name: str, home: Home, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs an example in this process, in the project of the home."""
    for key, value in home.env(stub).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("ANTHROPIC_MODEL", "claude-sonnet-5")
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(EXAMPLES[name], f"docs/sdk.md, {name}", "exec"), names)
    return names


def test_every_example_is_tried() -> None:
    assert list(EXAMPLES) == [
        "Track one conversation",
        "Stop at a budget",
        "A web service with budgets for each user",
        "A nightly job",
    ]


def test_track_one_conversation(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Stub(bash_loop(2)) as stub:
        run("Track one conversation", home, stub, monkeypatch)
    assert capsys.readouterr().out == "done after 2 steps\n3 steps, 1200 tokens, 0.0072 USD\n"


def test_stop_at_a_budget(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Stub(bash_loop(None)) as stub:
        run("Stop at a budget", home, stub, monkeypatch)
        assert len(stub.requests) == 2
    assert capsys.readouterr().out == (
        "stopped after 0.004800 USD\ncall: 0.004800 of 0.005000, resets: None\n"
    )


def test_a_nightly_job(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Stub(bash_loop(1)) as stub:
        run("A nightly job", home, stub, monkeypatch)
        assert len(stub.requests) == 4
    assert capsys.readouterr().out == ""
    (row,) = csv.DictReader(Path("invoices.csv").read_text().splitlines())
    assert (row["user"], row["conversations"], row["steps"]) == ("nightly", "2", "4")
    assert row["usd"] == f"{4 * STEP_USD:.12f}"


async def request(
    app: Any, method: str, path: str, user: str, body: bytes = b""
) -> tuple[int, Any]:
    """One request to the application, without a server: (status, the JSON of the answer)."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"x-user", user.encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    await app({**scope, "query_string": b"", "root_path": ""}, receive, send)
    told = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(told)


def test_a_web_service_with_fifty_users_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each user asks twice. One has a plan of three steps: the second answer is a 402."""

    def played(prompt: Any, options: Any) -> Played:
        return Played(str(home.home / ".claude"), str(home.project), steps=3, delay_s=0.01)

    monkeypatch.setattr("claude_agent_sdk._internal.client.SubprocessCLITransport", played)

    async def fifty(app: Any) -> list[tuple[int, Any]]:
        users = [f"user-{number}" for number in range(49)] + ["small"]
        answers = []
        for _ in range(2):
            asked = (request(app, "POST", "/ask", user, b"count") for user in users)
            answers += await asyncio.gather(*asked)
        for user in users:
            status, (line,) = await request(app, "GET", "/usage", user)
            steps = 3 if user == "small" else 6
            assert (status, line["user"], line["steps"]) == (200, user, steps)
            assert line["usd"] == f"{steps * STEP_PICO / 10**12:.12f}"
            assert line["conversations"] == steps // 3
        return answers

    with Stub(bash_loop(1)) as stub:
        names = run("A web service with budgets for each user", home, stub, monkeypatch)
        names["PLANS"]["small"] = {"month": {"per": "month", "steps": 3}}
        answers = asyncio.run(fifty(names["app"]))
        assert stub.requests == []
    assert [status for status, _ in answers] == [200] * 99 + [402]
    assert answers[0][1] == {"answer": "done"}
    assert answers[-1][1]["error"].startswith('Nothing was sent. Budget "month" is used up: 3 of 3')
