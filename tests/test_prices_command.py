"""`budget prices --update`, and a status line that knows the client's total."""

import json
from decimal import Decimal
from pathlib import Path

from budget import paths, pipeline, statusline
from budget.ledger import Ledger
from budget.model import PICO, Step, Usage, Window
from budget.policy import NO_POLICY
from budget.pricing import TABLE
from tests.plugin import command
from tests.realclient.client import Home

AT_MS = 1_795_000_000_000


def book(home: Home, model: str) -> Ledger:
    env = {"BUDGET_HOME": str(home.state), "HOME": str(home.home)}
    ledger = pipeline.open_ledger(env, paths.find_project(str(home.project)))
    step = Step("m1", "s1", "main", "", "", "main", model, AT_MS, Usage(1000, 500))
    with ledger.transaction():
        ledger.book([step], pipeline.price_table(NO_POLICY, env))
    return ledger


def newer_table(folder: Path, model: str) -> Path:
    table = json.loads(Path(TABLE).read_text())
    table["version"] = "2099-01-01"
    table["models"][model] = [{"from": None, "source": "test", "input": "3", "output": "30"}]
    path = folder / "newer.json"
    path.write_text(json.dumps(table))
    return path


def test_a_newer_table_prices_what_had_no_price(tmp_path: Path) -> None:
    with Home() as home:
        ledger = book(home, "claude-omega-9")
        before = ledger.spend(Window(0, None))
        assert (before.picousd, before.unpriced_steps) == (0, 1)
        assert before.bound_picousd > 0
        run = command(home, "prices", "--update", str(newer_table(tmp_path, "claude-omega-9")))
        assert run.stdout == (
            "The prices of 2099-01-01 hold from now on. 1 steps that had no price have one now.\n"
        )
        after = ledger.spend(Window(0, None))
        assert after.picousd == (1000 * 3 + 500 * 30) * 10**6
        assert (after.bound_picousd, after.unpriced_steps) == (0, 0)
        ledger.close()
        again = command(home, "prices", "--update", str(tmp_path / "newer.json"))
        assert (again.returncode, again.stdout) == (3, "")
        assert "is of 2099-01-01" in again.stderr


def test_a_table_that_is_none_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"version": "2099-01-01"}')
    with Home() as home:
        run = command(home, "prices", "--update", str(tmp_path / "bad.json"))
        assert run.returncode == 3
        assert run.stderr.startswith("budget: The price table ")
        assert not (home.state / "prices.json").exists()


def test_the_status_line_books_the_clients_total() -> None:
    with Home() as home:
        ledger = book(home, "claude-sonnet-5")
        cost = 1000 * 2 + 500 * 10  # micro-dollars
        status = {
            "session_id": "s1",
            "workspace": {"project_dir": str(home.project)},
            "cost": {"total_cost_usd": 0.05},
        }
        env = {"BUDGET_HOME": str(home.state), "HOME": str(home.home)}
        line = statusline.line(status, env, AT_MS)
        assert line == (
            "no budget set · session $0.05 · $3.00/h in all · today $0.05 · context $0.0020/step"
        ), "over the last minute"
        spend = ledger.spend(Window(0, None))
        assert Decimal(spend.unattributed_picousd) == PICO // 20 - cost * 10**6
        statusline.line({**status, "cost": {"total_cost_usd": 0.04}}, env, AT_MS)
        assert ledger.spend(Window(0, None)) == spend, "a total never falls"
        ledger.close()
