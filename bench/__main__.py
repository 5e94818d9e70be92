"""All benchmarks in one run: tables, and with `--json` the figures that docs/performance.md keeps.

    python -m bench [--quick] [--json FILE] [--ccusage FILE]

Times are of this machine and this hour; the ratios, taken in the same run, are the figures. The
full run takes about ten minutes and 2 GB of disk, `--quick` about one. `--ccusage` names the native
binary that the npm package `ccusage` brings (`node_modules/@ccusage/.../bin/ccusage`).
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import commands, hooks, machine
from bench.page import tables


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, about a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--ccusage", default="", metavar="FILE", help="its native binary")
    options = parser.parse_args()
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started:4.0f} s  {what}", file=sys.stderr, flush=True)

    of_hooks = hooks.QUICK if options.quick else hooks.FULL
    of_commands = commands.QUICK if options.quick else commands.FULL
    peer = commands.ccusage(options.ccusage)
    if not peer:
        tell("ccusage is not here: imports are timed alone (--ccusage names its native binary)")
    found: dict[str, Any] = {"machine": machine.described()}
    with tempfile.TemporaryDirectory(prefix="budget-bench-") as name:
        folder = Path(name)
        found |= hooks.measured(folder, of_hooks, tell)
        line = commands.status_line(folder, of_hooks.rounds // 2, of_hooks.entries[-1], tell)
        found["status_line"] = line
        found["imports"] = commands.imports(folder, of_commands, peer, tell)
        found["reports"] = commands.reports(folder, of_commands, tell)
    found["took_s"] = round(time.monotonic() - started)
    for title, table in tables(found).items():
        print(f"\n{title}\n\n{table}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
