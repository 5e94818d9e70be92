"""Imports go downward only, and a hook loads no more than it needs."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.samples import SESSION, step_line

ROOT = Path(__file__).resolve().parent.parent

LAYERS = {
    "words": ("", "errors", "files", "lean", "model", "permissions", "shown", "system"),
    "pure": (
        *(
            "advice",
            "allowance",
            "advice_words",
            "burn",
            "chain",
            "commandline",
            "entry",
            "evaluate",
            "keys",
            "line_format",
            "standing_words",
            "stop_words",
            "merge",
            "messages",
            "places",
            "pricing",
            "projection",
            "proposals",
            "remarks",
            "replay",
            "scanning",
            "schema",
            "steps",
            "transcript",
            "typed",
            "windows",
        ),
    ),
    "disk": (
        *(
            "anchor",
            "ancestry",
            "database",
            "derived",
            "early",
            "events",
            "grants",
            "ledger",
            "readings",
        ),
        "mending",
        *("paths", "people", "rebuild", "restoring", "salvage", "verify"),
        *("plan", "policy", "reconcile", "reservations", "result", "rules", "sensor", "tables"),
        *("users", "witness"),
    ),
    "flow": (
        *(
            "backlog",
            "booking",
            "bug_report",
            "counsel",
            "environment",
            "installed",
            "event",
            "granting",
            "notify",
            "other_line",
            "outlook",
            "overrides",
            "passthrough",
            "untyped",
        ),
        *("pipeline", "sessions", "settings", "sweep", "verdicts"),
    ),
    "doors": (
        "against",
        "answers",
        "billing",
        "conversation",
        "counselling",
        "dashboard",
        "doctor",
        "explain",
        "export",
        "failure",
        "headless",
        "history",
        "hook",
        "outcome",
        "render",
        "report",
        "running",
        "sdk",
        "status",
        "statusline",
        "spending",
        "prompts",
        "story",
        "stream",
        "summary",
        "grant_request",
        "watch",
    ),
    "face": ("__main__", "cli"),
}
"""From the lowest up; `""` is `budget/__init__.py`, `cli` all modules of that package."""

SIDEWAYS = {
    "files": {"errors", "permissions", "system"},
    "permissions": {"system"},
    "system": {"lean"},
    "shown": {"files"},
    "model": {"lean"},
    "places": {"steps"},
    "remarks": {"places", "scanning", "steps"},
    "scanning": {"steps"},
    "transcript": {"places", "remarks", "scanning", "steps"},
    "advice": {"pricing", "projection"},
    "advice_words": {"advice", "messages", "windows"},
    "keys": {"line_format", "windows"},
    "merge": {"windows"},
    "typed": {"steps", "transcript"},
    "messages": {"windows"},
    "allowance": {"evaluate", "messages"},
    "projection": {"pricing"},
    "proposals": {"windows"},
    "replay": {"evaluate", "windows"},
    "schema": {"keys"},
    "against": {"history"},
    "anchor": {"ledger"},
    "derived": {"ledger", "tables"},
    "rebuild": {"derived", "events", "ledger", "reconcile", "verify"},
    "restoring": {"anchor", "events", "ledger", "paths", "rebuild"},
    "salvage": {"database", "ledger"},
    "verify": {"derived", "ledger"},
    "events": {"ledger"},
    "grants": {"ledger"},
    "database": {"tables"},
    "tables": {"early"},
    "ledger": {"readings"},
    "readings": {"database"},
    "mending": {"database", "ledger", "paths"},
    "people": {"ledger", "paths", "reservations"},
    "plan": {"paths"},
    "policy": {"rules"},
    "reconcile": {"ledger"},
    "result": {"ledger", "reconcile"},
    "sessions": {"backlog", "booking", "pipeline", "verdicts"},
    "installed": {"settings"},
    "billing": {"conversation", "export", "report", "sdk"},
    "users": {"ledger", "readings"},
    "conversation": {"answers", "hook", "status", "stream"},
    "sdk": {"conversation"},
    "stream": {"status"},
    "outcome": {"headless", "stream", "summary"},
    "dashboard": {"report", "status", "story", "watch"},
    "story": {"report"},
    "summary": {"status"},
    "reservations": {"ledger"},
    "granting": {"verdicts"},
    "backlog": {"booking", "verdicts"},
    "pipeline": {"backlog", "booking", "outlook", "verdicts"},
    "verdicts": {"outlook"},
    "event": {"booking"},
    "answers": {"counselling", "prompts"},
    "hook": {"answers", "failure"},
    "prompts": {"counselling", "spending"},
    "spending": {"story"},
    "standing_words": {"messages"},
    "stop_words": {"messages"},
    "doctor": {"status", "verify"},
    "explain": {"status"},
    "export": {"status"},
    "render": {"report", "status"},
    "grant_request": {"status"},
    "watch": {"grant_request", "running", "status", "story"},
    "__main__": {"cli"},
}
"""Imports within a layer, other than within `cli`."""

UPWARD: dict[str, str] = {}

FILES = sorted((ROOT / "budget").rglob("*.py"))
LEVEL = {name: level for level, names in enumerate(LAYERS.values()) for name in names}


def module_of(path: Path) -> str:
    """`ledger` for budget/ledger.py, `cli` for what is below budget/cli."""
    return path.relative_to(ROOT / "budget").parts[0].removesuffix(".py").replace("__init__", "")


def imports(path: Path) -> Iterator[str]:
    """The dotted names a file imports, at its top and within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_budget(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    found = set()
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "budget":
            module = rest.partition(".")[0]
            found.add(module if module in MODULES else "")
    return found - {module_of(path)}


MODULES = {module_of(path) for path in FILES}


def test_every_module_has_a_layer() -> None:
    assert set(LEVEL) == MODULES


def documented() -> dict[str, list[str]]:
    """The rows of the tables below "Modules" in docs/design.md, by layer."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = text.partition("\n## Modules\n")[2].partition("\n## ")[0]
    found = {}
    for part in section.split("\n### ")[1:]:
        layer = part.partition(":")[0]
        found[layer] = re.findall(r"^\| `([^`]+)` \| \S.* \|$", part, re.MULTILINE)
    return found


def test_the_design_page_has_a_line_for_each_module_in_its_layer() -> None:
    expected: dict[str, list[str]] = {}
    for level, (layer, names) in enumerate(LAYERS.items()):
        rows = expected[f"{level} {layer}"] = []
        for name in sorted(names):
            folder = ROOT / "budget" / name
            if not name or not folder.is_dir():
                rows.append(name or "__init__")
                continue
            rows.append(f"{name}/")
            inner = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
            # The commands are in the README, and a test says so.
            rows += [f"{name}/{each}" for each in sorted(inner) if name != "cli"]
    assert documented() == expected


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=str(path.relative_to(ROOT)),
            marks=[pytest.mark.xfail(strict=True, reason=UPWARD[module_of(path)])]
            if module_of(path) in UPWARD
            else [],
        )
        for path in FILES
    ],
)
def test_imports_go_downward(path: Path) -> None:
    module = module_of(path)
    higher = {name for name in of_budget(path) if LEVEL[name] > LEVEL[module]}
    beside = {name for name in of_budget(path) if LEVEL[name] == LEVEL[module]}
    assert higher == set()
    assert beside <= SIDEWAYS.get(module, set())


def test_no_two_modules_import_each_other() -> None:
    uses: dict[str, set[str]] = {name: set() for name in MODULES}
    for path in FILES:
        uses[module_of(path)] |= of_budget(path)
    while leaves := [name for name, used in uses.items() if not used]:
        for leaf in leaves:
            del uses[leaf]
        uses = {name: used.difference(leaves) for name, used in uses.items()}
    assert uses == {}


@pytest.mark.parametrize("door", ["hook", "statusline"])
def test_all_that_a_hook_may_ever_import_is_of_the_standard_library(door: str) -> None:
    files = {module_of(path): path for path in FILES if module_of(path) != "cli"}
    reached, waiting = set(), {door}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= of_budget(files[module]) - reached
        for name in imports(files[module]):
            first = name.partition(".")[0]
            assert first == "budget" or first in sys.stdlib_module_names, f"{module}: {name}"


# -- the hot path ----------------------------------------------------------------------------------

HOT_BUDGET = frozenset(
    {
        "files",
        "anchor",
        "booking",
        "chain",
        "database",
        "entry",
        "errors",
        "evaluate",
        "hook",
        "lean",
        "ledger",
        "messages",
        "model",
        "paths",
        "pipeline",
        "places",
        "readings",
        "remarks",
        "scanning",
        "answers",
        "event",
        "failure",
    }
    | {"policy", "pricing", "reconcile", "sensor", "steps", "system", "transcript", "windows"}
    | {
        "grants",
        "merge",
        "outlook",
        "projection",
        "reservations",
        "verdicts",
    }
)
HOT_LIBRARY = frozenset(
    {"binascii", "collections", "functools", "genericpath", "keyword", "operator", "os"}
    | {"posixpath", "reprlib", "stat", "types"}
)
"""Of Python 3.11, beyond what the interpreter starts with; without `_accelerators`."""

STEP = """
import sys
before = set(sys.modules)
sys.path.append(sys.argv[1])
from budget.hook import respond
from budget.lean import loads
answer = respond(loads(sys.argv[2]), loads(sys.argv[3]), int(sys.argv[4]))
loaded = set(sys.modules) - before
print(sorted(loaded))
print(answer)
"""


def run_hook(payload: object, env: dict[str, str], now_ms: int) -> tuple[set[str], str]:
    """The modules that one event loads in an interpreter of its own, and the answer."""
    run = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-B", "-c", STEP, str(ROOT)),
            *(json.dumps(payload), json.dumps(env), str(now_ms)),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""
    modules, answer = run.stdout.splitlines()
    return set(ast.literal_eval(modules)), answer


def test_a_step_loads_exactly_these_modules(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".claude").mkdir(parents=True)
    (project / ".claude" / "budget.toml").write_text(
        'version = 1\n[budgets.day]\nper = "day"\nusd = 5\n'
    )
    transcript = tmp_path / "home" / ".claude" / "projects" / "p" / f"{SESSION}.jsonl"
    transcript.parent.mkdir(parents=True)
    payload = {
        "hook_event_name": "PostToolBatch",
        "session_id": SESSION,
        "transcript_path": str(transcript),
        "cwd": str(project),
        "tool_calls": [{"tool_use_id": "toolu_1"}],
    }
    env = {"HOME": str(tmp_path / "home"), "BUDGET_HOME": str(tmp_path / "state")}
    transcript.write_bytes(step_line("msg_1", tools=["toolu_1"]))
    first, answer = run_hook(payload, env, 1)
    assert "budget.rules" in first, "the config is compiled once"
    assert answer == "{}"
    with transcript.open("ab") as file:
        file.write(step_line("msg_2", tools=["toolu_1"]))
    loaded, answer = run_hook(payload, env, 1)
    assert answer == "{}"
    ours = {name for name in loaded if name.startswith("budget.")}
    assert ours == {f"budget.{name}" for name in HOT_BUDGET}
    if sys.version_info[:2] == (3, 11) and os.name == "posix":
        library = {name.partition(".")[0] for name in loaded} - {"budget"}
        own = {name for name in library if not name.startswith("_")}
        assert own - set(sys.builtin_module_names) == HOT_LIBRARY - set(sys.builtin_module_names)
