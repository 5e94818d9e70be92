"""A world for each fault, made of one seed: `BUDGET_FAULT_SEED` plays a failure again."""

import os
from pathlib import Path

import pytest

from tests.faults.law import World


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("BUDGET_FAULT_SEED", "1"))


@pytest.fixture
def world(tmp_path: Path, seed: int) -> World:
    return World(tmp_path / "world", seed)
