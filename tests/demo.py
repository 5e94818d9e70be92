"""`make demo`: the real Claude Code client under a budget of five cents, against a loopback stub.

No key, no network: the stub answers every request with a stated usage, so each step costs 1.1 cents
and it can be seen that the budget counts what the client counts.
"""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

from budget import paths
from budget.messages import money
from tests.plugin import ROOT, budget_toml, said
from tests.realclient.client import Home, Result, run_headless
from tests.realclient.stub import Stub, Usage, bash_loop

CONFIG = (
    budget_toml(session="usd = 0.05", day="usd = 1.00")
    + '[advice]\nfocus = "code samples and API usage"\n'
)
# 200 x 2 + 400 x 10 + 18,000 x 0.2 + 1,200 x 2.5 USD per million tokens = 0.0110 USD a step
USAGE = Usage(input_tokens=200, output_tokens=400, cache_read=18_000, cache_5m=1_200)
_BOLD, _DIM, _END = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def main() -> None:
    with Home(git=True) as home, Stub(bash_loop(None, USAGE)) as stub:
        home.write(".claude/budget.toml", CONFIG)
        _title("The config: .claude/budget.toml")
        print(CONFIG.replace('per = "', '  per = "').replace("usd", "  usd").strip())

        _title("A session: the real client works step by step, the plugin books each step")
        run = _watched(home, stub, "Count with Bash, as far as you can.")
        _title("What the person is told")
        told = said(run.messages).replace("PostToolBatch says: ", "")
        print(told.replace("\nBudget", "\n\nBudget"))
        print(
            f"\n{_DIM}{len(stub.requests)} requests were made. The client's own total is"
            f" ${run.total_cost_usd}, the ledger's {money(int(_booked(home)))}.{_END}"
        )

        _title("The next prompt in this session")
        again = run_headless(
            home, stub, "Go on.", plugin_dir=ROOT, args=["--resume", run.session_id]
        )
        print(said(again.messages).partition("blocked by hook:\n")[2].partition("\n\n")[0])
        print(f"{_DIM}Still {len(stub.requests)} requests: the prompt cost nothing.{_END}")

        _title("budget status")
        env = {**os.environ, "HOME": str(home.home), "BUDGET_HOME": str(home.state)}
        env |= {"COLUMNS": "120"} if not sys.stdout.isatty() else {}
        sys.stdout.flush()
        status = [sys.executable, "-m", "budget", "status"]
        subprocess.run(status, cwd=home.project, env=env, check=True)


def _title(text: str) -> None:
    print(f"\n{_BOLD}== {text}{_END}", flush=True)


def _watched(home: Home, stub: Stub, prompt: str) -> Result:
    """Runs the client and prints each entry as it appears in the ledger."""
    done = threading.Event()
    watcher = threading.Thread(target=_print_entries, args=(home, done))
    watcher.start()
    try:
        return run_headless(home, stub, prompt, plugin_dir=ROOT)
    finally:
        done.set()
        watcher.join()


def _print_entries(home: Home, done: threading.Event) -> None:
    shown, total = 0, 0
    last_look = False
    while not last_look:
        last_look = done.is_set()
        for seq, model, read, output, picousd in _entries(home, shown):
            shown, total = seq, total + picousd
            print(
                f"  step {seq}  {model}  {read:>7,} tokens read  {output:>4} written"
                f"  {money(picousd, 4)}   session {money(total, 4)}",
                flush=True,
            )
        time.sleep(0.05)


def _entries(home: Home, after: int) -> list[tuple[int, str, int, int, int]]:
    path = _ledger_file(home)
    if not path.exists():
        return []
    try:
        with sqlite3.connect(path) as db:
            return db.execute(
                "SELECT seq, model, input_tokens + cache_read_tokens + cache_write_5m_tokens,"
                " output_tokens, picousd FROM entries WHERE seq > ? ORDER BY seq",
                (after,),
            ).fetchall()
    except sqlite3.Error:
        return []  # being made just now


def _booked(home: Home) -> Decimal:
    with sqlite3.connect(_ledger_file(home)) as db:
        return Decimal(db.execute("SELECT sum(picousd) FROM entries").fetchone()[0])


def _ledger_file(home: Home) -> Path:
    project = paths.find_project(str(home.project))
    return Path(paths.ledger_file({"BUDGET_HOME": str(home.state)}, project))


if __name__ == "__main__":
    main()
