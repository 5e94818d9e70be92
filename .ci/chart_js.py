"""Brings Chart.js into `budget/dashboard/vendor`, as the npm registry has it.

    python .ci/chart_js.py VERSION   takes that version and records it
    python .ci/chart_js.py --check   exits 1 when the files are not those that are recorded

Needs npm. The registry's integrity hash is of the whole package; `npm` checks it when it fetches,
and it is checked once more here. What is recorded beside it is the hash of the one file that is
embedded in the page.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parent.parent / "budget" / "dashboard" / "vendor"
RECORD = VENDOR / "chart.js.json"
TAKEN = {
    "package/dist/chart.umd.min.js": "chart.umd.min.js",
    "package/LICENSE.md": "chart.js.LICENSE.md",
}


def integrity(content: bytes) -> str:
    """As npm and browsers write it: `sha512-` and the hash in base64."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def npm(*words: str, folder: str | Path = ".") -> Any:
    run = subprocess.run(
        ["npm", *words, "--json"], cwd=folder, check=True, capture_output=True, text=True
    )
    return json.loads(run.stdout)


def take(version: str) -> None:
    package = f"chart.js@{version}"
    told = npm("view", package, "version", "license", "dist")
    with tempfile.TemporaryDirectory() as folder:
        npm("pack", package, folder=folder)
        (archive,) = Path(folder).glob("*.tgz")
        if integrity(archive.read_bytes()) != told["dist"]["integrity"]:
            raise SystemExit(f"{package}: what came is not what the registry says it has.")
        VENDOR.mkdir(exist_ok=True)
        with tarfile.open(archive) as files:
            for name, kept in TAKEN.items():
                member = files.extractfile(name)
                assert member is not None
                (VENDOR / kept).write_bytes(member.read())
    record = {
        "name": "chart.js",
        "version": told["version"],
        "license": told["license"],
        "package": told["dist"]["tarball"],
        "package_integrity": told["dist"]["integrity"],
        "files": {kept: integrity((VENDOR / kept).read_bytes()) for kept in TAKEN.values()},
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def differing() -> list[str]:
    """The files whose content is not the recorded one."""
    files: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))["files"]
    return [
        name for name, known in files.items() if integrity((VENDOR / name).read_bytes()) != known
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.version:
        take(options.version)
    changed = differing()
    if changed:
        sys.exit(f"Not as recorded in {RECORD.name}: {', '.join(changed)}")


if __name__ == "__main__":
    main()
