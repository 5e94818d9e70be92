"""Checks the form of the CI workflow, and names the tests that know no operating system.

    python .ci/workflow.py                exits 1 where an action is not pinned, a right is too wide
    python .ci/workflow.py --everywhere   prints the files of tests to run on every system

A linter of workflows sees more; this needs nothing but a checkout.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"

EVERYWHERE = ("advice", "merge", "pricing", "projection", "typed", "windows")
"""They do arithmetic on values: no process, no mode, no path of one system."""


def problems(text: str) -> list[str]:
    found = [
        f"{action} is not pinned to a commit"
        for action in re.findall(r"uses: (\S+)", text)
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)
    ]
    if not re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE):
        found.append("the rights of the token are not `contents: read` alone")
    jobs = text.partition("\njobs:\n")[2]
    for job in re.split(r"^  (?=\w+:\n)", jobs, flags=re.MULTILINE)[1:]:
        name = job.partition(":")[0]
        if "timeout-minutes:" not in job:
            found.append(f"the job {name} may run without end")
        if "persist-credentials: false" not in job:
            found.append(f"the job {name} leaves its token in the checkout")
        if "end_to_end.py" not in job:
            found.append(f"the job {name} sends nothing through the installed hooks")
    return found


def main() -> int:
    if "--everywhere" in sys.argv:
        print(*(f"tests/test_{name}.py" for name in EVERYWHERE))
        return 0
    found = [
        f"{path.name}: {problem}"
        for path in sorted(WORKFLOWS.glob("*.yml"))
        for problem in problems(path.read_text(encoding="utf-8"))
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
