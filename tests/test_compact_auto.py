"""The real client on a real terminal: advice in dollars, and `compact = "auto"` acting on it."""

import re
from collections.abc import Iterator

import pytest

from tests.plugin import ROOT, budget_toml, status
from tests.realclient.client import Home
from tests.realclient.stub import Answer, Request, Stub, Usage, bash_loop, summary
from tests.realclient.terminal import have_tmux, open_client

pytestmark = pytest.mark.skipif(not have_tmux(), reason="tmux is missing")

FIRST = Usage(input_tokens=3, output_tokens=200, cache_5m=30_000)
LARGE = Usage(input_tokens=3, output_tokens=200, cache_read=300_000, cache_5m=1_000)
SUMMARY = Usage(input_tokens=2_000, output_tokens=3_000, cache_read=300_000)
ADVICE = '[advice]\ncontext_tokens = 150_000\nfocus = "code samples"\n'


def wrapped(text: str) -> re.Pattern[str]:
    """A text that the screen may have broken between any two words."""
    return re.compile(r"\s+".join(map(re.escape, text.split())))


def growing(request: Request) -> Answer:
    """The first step reads a new session's context, later ones a large one."""
    return bash_loop(2, FIRST if request.index == 1 else LARGE)(request)


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(git=True) as made:
        yield made


def test_auto_compacts_once_between_turns_with_the_focus_and_says_so(home: Home) -> None:
    config = budget_toml(session="usd = 20") + ADVICE + 'compact = "auto"\n'
    home.write(".claude/budget.toml", config)
    with (
        Stub(growing, compaction=summary(SUMMARY)) as stub,
        open_client(home, stub, plugin_dir=ROOT) as screen,
    ):
        screen.submit("count")
        screen.wait_for(
            wrapped('compacted the context of 301,203 tokens (compact = "auto"). It was expected')
        )
        compactions = [each for each in stub.requests if each.kind == "compaction"]
        assert len(compactions) == 1
        assert "Focus on code samples" in str(compactions[0].body)
        screen.submit("count again")
        screen.wait_for(wrapped("The compaction from 301,203 to"))
    assert [each.kind for each in stub.requests].count("compaction") <= 2
    assert status(home)["totals"]["unattributed_usd"] != "0.000000", "the ledger shows its cost"


def test_advise_says_what_compact_is_worth_and_never_compacts(home: Home) -> None:
    home.write(".claude/budget.toml", budget_toml(session="usd = 20") + ADVICE)
    with (
        Stub(growing, compaction=summary(SUMMARY)) as stub,
        open_client(home, stub, plugin_dir=ROOT) as screen,
    ):
        screen.submit("count")
        screen.wait_for(wrapped("/compact Focus on code samples saves"))
        screen.wait_for(wrapped("of 301,203 tokens"))
        screen.submit("/budget:advice")
        screen.wait_for("an hour (last")
        screen.keys("C-u")
        assert [each.kind for each in stub.requests] == ["step"] * 3
