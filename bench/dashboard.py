"""Size of the dashboard's page, the time to make it, and when it can be used in a browser.

    python -m bench.dashboard [--entries 1000 100000 ...] [--rounds 5]

For each size of ledger (a year of work, as `bench.scene` makes it, and one in which no two
steps are alike) it prints the page's size, the processor time of `budget dashboard --out` as a
whole process, how long headless Chromium takes from asking for the file until everything is drawn,
and from choosing a filter until everything is drawn again. Medians; it needs chromium and the test
dependencies.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.commands import BUDGET
from bench.processes import run
from bench.scene import year_of_entries
from budget.ledger import Ledger
from budget.model import Step, Usage
from budget.paths import find_project, ledger_file
from budget.pricing import load_table
from tests.browser import browser, chromium, watched

_DAY_MS = 86_400_000
_START_MS = 1_763_000_000_000


def unlike_entries(env: dict[str, str], count: int) -> None:
    """The worst a ledger can be: steps that have nothing in common with each other."""
    project = find_project(env["HOME"])
    chance = random.Random(1)
    models = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")

    def steps() -> Iterator[Step]:
        for number in range(count):
            yield Step(
                f"msg_{number}",
                f"session-{chance.randrange(5_000):032}",
                f"agent-{chance.randrange(300)}",
                f"a{number}",
                f"prompt-{chance.randrange(50_000):032}",
                f"branch-{chance.randrange(2_000)}-with-a-rather-long-name",
                chance.choice(models),
                _START_MS + chance.randrange(365 * _DAY_MS),
                Usage(10, chance.randrange(2_000), chance.randrange(200_000), 0, 2_000),
                user=f"user-{chance.randrange(400)}@example.com",
            )

    ledger = Ledger(ledger_file(env, project), root=project.root)
    with ledger.transaction():
        ledger.book(steps(), load_table())
    ledger.close()


def measure(kind: str, count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HOME": folder, "BUDGET_HOME": f"{folder}/state"}
        if kind == "year":
            year_of_entries(env, Path(folder), count)
        else:
            unlike_entries(env, count)
        page = Path(folder, "page.html")
        words = [*BUDGET, "dashboard", "--project", folder, "--out", str(page)]
        took = [run(words, env).cpu_s for _ in range(rounds)]
        drawn, again = [], []
        with browser() as opened:
            for _ in range(rounds):
                with watched(opened, page.as_uri()) as found:
                    drawn.append(float(found.page.get_attribute("html", "data-drawn") or "nan"))
                    again.append(found.page.evaluate(_FILTER))
        print(
            f"{kind:7}{count:9,} entries {page.stat().st_size / 1e6:6.2f} MB"
            f"   made in {statistics.median(took):5.2f} s   drawn after"
            f" {statistics.median(drawn):5.0f} ms   a filter {statistics.median(again):4.0f} ms"
        )


_FILTER = """() => {
  const began = performance.now();
  const model = document.querySelector("#filter-model");
  model.selectedIndex = 1;
  model.dispatchEvent(new Event("change"));
  return performance.now() - began;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not chromium():
        sys.exit("It needs chromium.")
    for kind in ("year", "unlike"):
        for count in options.entries:
            measure(kind, count, options.rounds)


if __name__ == "__main__":
    main()
