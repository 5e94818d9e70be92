"""What this and other tools make of the awkward transcripts of `tests/accuracy/cases.py`.

    python -m bench.accuracy --peers FOLDER [--case NAME ...]

Runs every tool on the files of every case, as a command of its own, in a home of its own and
without a network, and writes the tables of `docs/accuracy.md`. With `--case` it prints the answers
to these cases and writes nothing. The other tools are expected in FOLDER:

    npm install ccusage@20.0.24 codeburn@0.9.15 node@24
    python3 -m venv py && py/bin/pip install cctrack==0.11.0
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.accuracy.cases import CASES, Case, session_id

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
START, END = "<!-- results, written by bench/accuracy.py -->", "<!-- end of the results -->"
# Half a micro-dollar: tools add floats, and some round.
TOLERANCE = Decimal("0.0000005")
NO_NETWORK = ("unshare", "--map-root-user", "--net")
TOLD = " (no price: told)"
LABELS = ("main", "fork", "early fork")


@dataclass(frozen=True)
class Answer:
    """What a tool says of a config folder."""

    usd: Decimal = Decimal()
    views: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """By `daily` and `session`; a view that the tool does not have is missing."""
    unpriced: frozenset[str] = frozenset()
    """Models of which the tool says that it has no price for them."""
    failure: str = ""


class Runner:
    """Runs commands in the home of one case."""

    def __init__(self, home: Path, peers: Path) -> None:
        self.peers = peers
        self._env = {
            "PATH": os.pathsep.join((str(peers / "node_modules/node/bin"), os.defpath)),
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / ".claude"),
            "BUDGET_HOME": str(home / "state"),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
        }

    def json(self, *command: object) -> Any:
        argv = [*NO_NETWORK, *map(str, command)]
        done = subprocess.run(
            argv, env=self._env, cwd=ROOT, capture_output=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode}")
        return json.loads(done.stdout, parse_float=Decimal)


@dataclass(frozen=True)
class Tool:
    """A tool and how to ask it."""

    name: str
    version: str
    ask: Callable[[Runner, Case], Answer]


def sums(pairs: Iterable[tuple[str, Any]]) -> dict[str, Decimal]:
    added: dict[str, Decimal] = {}
    for key, amount in pairs:
        added[key] = added.get(key, Decimal()) + Decimal(amount)
    return added


def ask_budget(run: Runner, case: Case) -> Answer:
    budget = (sys.executable, "-m", "budget")
    run.json(*budget, "import", "--json")
    zone = ("--all", "--json", "--timezone", case.timezone)
    days = run.json(*budget, "report", "daily", *zone)
    sessions = run.json(*budget, "report", "session", *zone)

    def spent(row: dict[str, str]) -> Decimal:
        return Decimal(row["usd"]) + Decimal(row["unattributed_usd"])

    return Answer(
        spent(days["total"]),
        {
            "daily": sums((row["key"], spent(row)) for row in days["rows"]),
            "session": sums((row["key"], spent(row)) for row in sessions["rows"]),
        },
        frozenset(days["unpriced_models"]),
    )


def ask_ccusage(run: Runner, case: Case) -> Answer:
    ccusage = run.peers / "node_modules/.bin/ccusage"
    options = ("--json", "--offline", "--timezone", case.timezone)
    days = run.json(ccusage, "claude", "daily", *options)
    sessions = run.json(ccusage, "claude", "session", *options)
    if not days:
        return Answer(views={"daily": {}, "session": {}})
    return Answer(
        Decimal(days["totals"]["totalCost"]),
        {
            "daily": sums((row["date"], row["totalCost"]) for row in days["daily"]),
            "session": sums((row["sessionId"], row["totalCost"]) for row in sessions["sessions"]),
        },
        frozenset(days["totals"].get("unpricedModels", ())),
    )


def ask_codeburn(run: Runner, case: Case) -> Answer:
    codeburn = (run.peers / "node_modules/.bin/codeburn", "--timezone", case.timezone)
    # Its `all` is the last six months.
    options = ("--from", "2024-01-01", "--to", "2027-12-31", "--provider", "claude")
    models = run.json(*codeburn, "audit", *options, "--format", "json")
    report = run.json(*codeburn, "report", *options, "--format", "json")
    return Answer(
        sum((Decimal(row["attributedCostUSD"]) for row in models), Decimal()),
        {
            "daily": sums((row["date"], row["cost"]) for row in report["daily"]),
            "session": sums((row["sessionId"], row["cost"]) for row in report["topSessions"]),
        },
        frozenset(row["model"] for row in models if row["rates"] is None),
    )


def ask_cctrack(run: Runner, case: Case) -> Answer:
    told = run.json(run.peers / "py/bin/cctrack", "--json")
    sessions = told["sessions"]
    views = {
        "session": sums(
            (row["parent_session_id"] or row["session_id"], row["cost_usd"]) for row in sessions
        )
    }
    if case.timezone == "UTC":  # its days are UTC
        days = ((row["bucket_start"][:10], row["cost_usd"]) for row in told["buckets"])
        views["daily"] = sums(days)
    return Answer(
        sum((Decimal(row["cost_usd"]) for row in sessions), Decimal()),
        views,
        frozenset(row["model"] for row in told["rate_card"] if row["priced_by_fallback"]),
    )


def our_version() -> str:
    from budget import __version__

    return __version__


OURS = Tool("budget", our_version(), ask_budget)
PEERS = (
    Tool("ccusage", "20.0.24", ask_ccusage),
    Tool("codeburn", "0.9.15", ask_codeburn),
    Tool("cctrack", "0.11.0", ask_cctrack),
)
TOOLS = (OURS, *PEERS)


def asked(tool: Tool, case: Case, peers: Path) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        case.build(home / ".claude")
        try:
            return tool.ask(Runner(home, peers), case)
        except subprocess.TimeoutExpired:
            return Answer(failure="no answer in 120 s")
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            return Answer(failure=f"failed: {error}")


def check_versions(peers: Path) -> None:
    """The tools in the folder are the ones that the page names."""
    run: dict[str, list[Path | str]] = {
        "ccusage": [peers / "node_modules/.bin/ccusage", "--version"],
        "codeburn": [
            peers / "node_modules/node/bin/node",
            peers / "node_modules/.bin/codeburn",
            "--version",
        ],
        "cctrack": [peers / "py/bin/pip", "show", "cctrack"],
    }
    for tool in PEERS:
        done = subprocess.run(run[tool.name], capture_output=True, text=True, check=True)
        if tool.version not in done.stdout:
            raise SystemExit(f"{tool.name} is not {tool.version}, but: {done.stdout.strip()}")
    if (
        not shutil.which(NO_NETWORK[0])
        or subprocess.run([*NO_NETWORK, "true"], check=False).returncode
    ):
        raise SystemExit("`unshare` cannot take the network away here; Linux can.")


# -- judging ---------------------------------------------------------------------------------------


def near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= TOLERANCE


def right(case: Case, answer: Answer) -> bool | None:
    """Whether an answer is true; None where the tool does not offer one."""
    if answer.failure:
        return False
    if case.judged == "unpriced":
        return set(case.truth.unpriced_models) <= answer.unpriced
    if case.judged == "usd":
        return near(answer.usd, case.truth.total_usd)
    if case.judged not in answer.views:
        return None
    told = {key: usd for key, usd in answer.views[case.judged].items() if usd}
    truth = case.view(case.judged)
    return told.keys() == truth.keys() and all(near(told[key], truth[key]) for key in truth)


def shown(case: Case, answer: Answer) -> str:
    if answer.failure:
        return answer.failure
    if case.judged == "unpriced":
        return f"{'told' if right(case, answer) else 'not told'}, {answer.usd + 0:.6f}"
    if case.judged != "usd":
        view = answer.views.get(case.judged)
        return "not offered" if view is None else parts(case, view)
    return f"{answer.usd + 0:.6f}{TOLD if answer.unpriced and not right(case, answer) else ''}"


def parts(case: Case, view: Mapping[str, Decimal]) -> str:
    names = {session_id(case.name, label): label for label in LABELS}
    short = {key: names.get(key, key[5:]) for key in sorted(view)}
    return ", ".join(f"{name} {view[key]:.4f}" for key, name in short.items())


def truth_shown(case: Case) -> str:
    if case.judged == "unpriced":
        return f"told, {case.truth.usd:.6f}"
    if case.judged != "usd":
        return parts(case, case.view(case.judged))
    return f"{case.truth.total_usd:.6f}"


# -- the page --------------------------------------------------------------------------------------

Answers = dict[tuple[str, str], Answer]
"""By tool and case."""

MARKS = {True: "✓", False: "✗", None: "–"}


def tables(answers: Answers, day: str) -> str:
    heads = [f"{tool.name} {tool.version}" for tool in TOOLS]
    lines = [f"{len(CASES)} cases, {day}. Right answers:", ""]
    lines += row("", *heads) + row("---", *("---:" for _ in TOOLS))
    groups = list(dict.fromkeys(case.group for case in CASES))
    for group in groups:
        of_group = [case for case in CASES if case.group == group]
        counts = (f"{rights(tool, of_group, answers)} of {len(of_group)}" for tool in TOOLS)
        lines += row(group, *counts)
    totals = (f"**{rights(tool, CASES, answers)} of {len(CASES)}**" for tool in TOOLS)
    lines += row("**all**", *totals)
    told = (
        str(sum(TOLD in shown(case, answers[tool.name, case.name]) for case in CASES))
        for tool in TOOLS
    )
    lines += row("wrong, and told that a price is missing", *told)
    for group in groups:
        lines += ["", f"### {group}", "", *row("case", "truth", *heads)]
        lines += row(*("---" for _ in range(2 + len(TOOLS))))
        for case in CASES:
            if case.group == group:
                cells = (cell(case, answers[tool.name, case.name]) for tool in TOOLS)
                lines += row(f"`{case.name}`", truth_shown(case), *cells)
        lines.append("")
        for case in CASES:
            if case.group == group:
                whose = f" *Convention: {case.convention}.*" if case.convention else ""
                lines.append(f"- `{case.name}`: {case.about}{whose}")
    return "\n".join(lines)


def row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def cell(case: Case, answer: Answer) -> str:
    return f"{MARKS[right(case, answer)]} {shown(case, answer)}"


def rights(tool: Tool, cases: Iterable[Case], answers: Answers) -> int:
    return sum(right(case, answers[tool.name, case.name]) is True for case in cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--case", action="append", metavar="NAME", default=[])
    options = parser.parse_args()
    peers = options.peers.resolve()
    check_versions(peers)
    answers: Answers = {}
    for number, case in enumerate(CASES):
        if options.case and case.name not in options.case:
            continue
        for tool in TOOLS:
            answers[tool.name, case.name] = asked(tool, case, peers)
        cells = (f"{tool.name} {cell(case, answers[tool.name, case.name])}" for tool in TOOLS)
        progress = f"{number + 1:3}/{len(CASES)} {case.name}: {truth_shown(case)} | "
        print(progress + " | ".join(cells), flush=True)
    if options.case:
        return
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    day = datetime.now(UTC).date().isoformat()
    made = f"{before}{START}\n{tables(answers, day)}\n{END}{after}"
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
