"""The benchmarks run, and what the documents tell of them is what they measured."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import commands, hooks, machine
from bench.page import plot, tables

ROOT = Path(__file__).resolve().parent.parent


def check(module: str) -> tuple[int, str]:
    command = [sys.executable, "-m", module, "--check"]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def test_the_documents_tell_the_figures_that_were_kept() -> None:
    assert check("bench.page") == (0, "")


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or sys.platform != "linux" or os.uname().machine != "x86_64",
    reason="what an interpreter loads and asks is listed of Python 3.11 on Linux, x86-64",
)
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_every_import_and_system_call_of_a_hook_has_its_reason_in_the_documents() -> None:
    assert check("bench.hot_path") == (0, "")


def test_the_benchmarks_measure_and_their_tables_tell_it(tmp_path: Path) -> None:
    def tell(_: str) -> None:
        pass

    few = hooks.Sizes(1, (1,), (0, 10), 3, 1)
    short = commands.Sizes(1, 1, ("client",), 100)
    found = hooks.measured(tmp_path, few, tell)
    found["status_line"] = commands.status_line(tmp_path, 1, 10, tell)
    found["imports"] = commands.imports(tmp_path, short, "", tell)
    found["reports"] = commands.reports(tmp_path, short, tell)
    found |= {"machine": machine.described(), "took_s": 1}
    # A step at the start of a session of 1 MB, a round to warm up and one that is timed.
    assert [row["entries"] for row in found["warm"]] == [20, 30, 21, 21]
    assert [row["booked"] for row in found["at_once"]] == [6, 6]
    assert found["cold"][0]["hooks"] == 1
    told = tables(found)
    assert set(told) >= {"machine", "warm hooks", "cold hooks", "hooks at once", "imports"}
    assert "| 1 MB | 20 | 2 |" in told["warm hooks"]
    assert "ccusage" not in told["imports"]
    assert plot(found).count("<circle") == 3
