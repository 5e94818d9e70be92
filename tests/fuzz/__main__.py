"""Runs the laws under atheris: `python -m tests.fuzz [TARGET ...] [--seconds 60]`.

A target that breaks a law leaves the bytes in the folder it names, and the exit code is 1.
`python -m tests.fuzz TARGET --file FILE` runs one input again. Atheris is in the extra `fuzz`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.world import ROOT

CORPUS = Path(tempfile.gettempdir()) / f"codebudget-fuzz-{os.getuid() if os.name == 'posix' else 0}"


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--file", help="an input to run again")
    told = parser.parse_args()
    if told.file:
        for name in told.targets:
            TARGETS[name](Path(told.file).read_bytes())
        return 0
    if find_spec("atheris") is None:
        print("atheris is not here: pip install '.[fuzz]' (Linux, Python 3.11 or 3.12)")
        return 2
    failed = 0
    for name in told.targets or TARGETS:
        failed |= _fuzz(name, told.seconds)
    return failed


def _fuzz(name: str, seconds: int) -> int:
    """Each target in a process of its own: atheris never returns."""
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    run = subprocess.run(
        [
            *(sys.executable, "-c", _RUN, name, str(corpus)),
            *(f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-print_final_stats=1"),
            f"-artifact_prefix={corpus}/broken-",
        ],
        cwd=ROOT,
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    stats = {
        key: value
        for key, _, value in (line.partition(": ") for line in run.stderr.splitlines())
        if key.startswith("stat::")
    }
    runs = stats.get("stat::number_of_executed_units", "?").strip()
    if run.returncode == 0:
        print(f"{name}: {runs} inputs, every law held", flush=True)
        return 0
    told = [line for line in run.stderr.splitlines() if not line.startswith(("INFO", "#"))]
    lines = "\n".join(told[:40])
    print(f"{name}: a law was broken after {runs} inputs\n{lines}", flush=True)
    return 1


_RUN = """
import sys
import atheris
with atheris.instrument_imports(include=["budget", "json", "tomllib"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
atheris.Fuzz()
"""


def _seeds(name: str) -> list[bytes]:
    """Good inputs to begin from."""
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation": {"ephemeral_1h_input_tokens": 3},
    }
    message = {"id": "m1", "model": "claude-opus-5", "usage": usage, "content": []}
    step = {"type": "assistant", "timestamp": "2026-11-22T10:00:00.000Z", "message": message}
    line = json.dumps(step).encode() + b"\n"
    config = (
        b'version = 1\ntimezone = "Europe/Berlin"\n[budgets.day]\nper = "day"\nusd = 5\nwarn_at ='
        b' [0.5]\nmodels = ["*opus*"]\n[advice]\nfocus = "x"\n[notify]\ncommand = ["x"]\n'
        b'[prices.models."y"]\ninput = 1.0\noutput = 2.0\n[groups.a]\nmembers = ["*"]\n'
        b'[groups.a.budgets.day]\nper = "rolling 5h"\ntokens = 3\n[rules]\nmax_grant_usd = 1\n'
    )
    report = {
        "session": "11111111-2222-4333-8444-555555555555",
        "since_ms": 1,
        "base_usd": 0,
        "usd": 1,
    }
    limits = [{"kind": "five_hour", "percentUsed": 4, "resetsAt": "2026-11-23T11:45:33.000Z"}]
    told = json.dumps({**report, "rate_limits": limits, "at_ms": 5}).encode()
    table = (ROOT / "budget" / "prices.json").read_bytes()
    return {
        "transcripts": [line, line * 3 + b"garbage\n"],
        "lines": [line[:-1]],
        "hook_input": [bytes(range(64)), b'{"hook_event_name": "Stop", "session_id": "s"}'],
        "configs": [config],
        "prices": [b'{"version": "2027-01-01", "models": {}, "aliases": {}}', table],
        "totals": [told, b'[["five_hour_percent", 4, null, 5]]', b'["k", "/r", "/w"]'],
        "status_lines": [bytes(range(64)), b'{"cost": {"total_cost_usd": 1.5}}'],
        "git_files": [
            b"\1[user]\n\temail = a@b\xff\xffDIRC\0\0\0\2x.claude/budget.local.toml\0\xff\xff"
            b'{"env": {"BUDGET_HOME": "x"}}',
            b"\2\xff\xff/tmp\xff\xff../.git",
        ],
        "compiled_files": [b"{}", b'abc as written\n{"budgets": []}'],
    }[name]


if __name__ == "__main__":
    sys.exit(main())
