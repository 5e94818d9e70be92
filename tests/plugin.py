"""The plugin as tests install it, and what they read back."""

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from budget import paths
from budget.ledger import Ledger
from tests.realclient.client import Home

ROOT = Path(__file__).resolve().parent.parent


def without_sensor(target: Path) -> Path:
    """A copy of the plugin without its JavaScript module, as an older client would run it."""
    for name in ("budget", "hooks", ".claude-plugin"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "plugin.json", target)
    path = target / "hooks" / "hooks.json"
    hooks = json.loads(path.read_text())
    del hooks["modules"]
    path.write_text(json.dumps(hooks))
    (target / "hooks" / "sensor.js").unlink()
    return target


def budget_toml(**budgets: str) -> str:
    """A config with a budget for each keyword: `session='usd = 0.01'`."""
    tables = (f'[budgets.{per}]\nper = "{per}"\n{rules}\n' for per, rules in budgets.items())
    return "version = 1\n" + "\n".join(tables)


def command(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`budget ...` in the project of a home."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home.home), "BUDGET_HOME": str(home.state)}
    return subprocess.run(
        [sys.executable, "-m", "budget", *arguments],
        cwd=home.project,
        # The package beside the tests, wherever else one is installed.
        env={**env, "LANG": "C.UTF-8", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )


def status(home: Home) -> dict[str, Any]:
    run = command(home, "status", "--json")
    assert run.returncode == 0, run.stderr
    facts: dict[str, Any] = json.loads(run.stdout)
    return facts


def booked(home: Home) -> Decimal:
    """What the ledger attributes to steps, to six places."""
    return Decimal(status(home)["totals"]["usd"])


def ledger(home: Home) -> Ledger:
    project = paths.find_project(str(home.project))
    return Ledger(paths.ledger_file({"BUDGET_HOME": str(home.state)}, project))


def entries(home: Home, columns: str = "message_id") -> list[tuple[Any, ...]]:
    """Columns of every entry, in the order of booking."""
    import sqlite3

    with sqlite3.connect(ledger(home).path) as db:
        return db.execute(f"SELECT {columns} FROM entries ORDER BY seq").fetchall()


def said(messages: list[dict[str, Any]]) -> str:
    """What hooks said to the person in a stream-json run."""
    lines = (m["content"] for m in messages if m.get("subtype") == "informational")
    return "\n".join(lines)
