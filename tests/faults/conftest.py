"""A world for each fault, made of one seed: `BUDGET_FAULT_SEED` plays a failure again."""

import os
from pathlib import Path

import pytest

from tests.faults.law import World

# The faults are made with what POSIX has: signals, limits, a disk in memory.
collect_ignore_glob = ["test_*.py"] if os.name == "nt" else []


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("BUDGET_FAULT_SEED", "1"))


@pytest.fixture
def world(tmp_path: Path, seed: int) -> World:
    return World(tmp_path / "world", seed)
