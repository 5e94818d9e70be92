"""The price table that ships is the one its generator makes."""

import json
import subprocess
import sys
from pathlib import Path

from budget.pricing import TABLE, load_table, picousd_per_token
from tests.plugin import ROOT


def test_the_table_is_what_the_generator_makes() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "prices.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_price_has_a_source_and_newer_periods_stand_first() -> None:
    raw = json.loads(Path(TABLE).read_text())
    for name, periods in raw["models"].items():
        starts = [period["from"] or "" for period in periods]
        assert starts == sorted(starts, reverse=True), name
        assert all(period["source"] in raw["sources"] for period in periods), name


def test_a_price_is_exact_to_the_picodollar() -> None:
    assert picousd_per_token("0.025") == 25_000  # 0.025 USD / 10**6 tokens x 10**12
    assert picousd_per_token("15") == 15 * 10**6
    opus = load_table().models["claude-opus-5-5"][0]
    assert picousd_per_token(opus["cache_read"]) == 200_000
