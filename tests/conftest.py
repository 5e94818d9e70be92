"""A home that tests cannot leave, and how hypothesis searches."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine; `--hypothesis-profile=search` looks for new ones.
settings.register_profile("suite", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile("suite")

# A shell starts what runs in its background deaf to Ctrl-C, and every child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_home(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Whatever a test starts finds a home of its own, and nothing of the person's settings."""
    home = tmp_path / "own-home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("CLAUDE", "BUDGET", "ANTHROPIC", "XDG_")):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))
    # The harness of the real client makes whole environments, and a test of it states that no
    # variable of this process is among them.
    if "realclient" not in request.path.parts:
        monkeypatch.setenv("BUDGET_HOME", str(home / "state"))
        monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / ".claude"))
    return home
