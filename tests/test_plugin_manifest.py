"""The plugin's own files: what they say of each other, and what the real client makes of them."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from budget import __version__, answers
from budget.model import AGENT_TOOLS
from tests.plugin import command
from tests.realclient.client import Home, find_client
from tests.realclient.stub import Stub, bash_loop

ROOT = Path(__file__).resolve().parent.parent
CONTRACT_EVENTS = (
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolBatch",
    "SubagentStop",
    "Stop",
    "PreCompact",
    "SessionEnd",
)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / name).read_text(encoding="utf-8"))
    return content


def hooks_json() -> dict[str, list[dict[str, Any]]]:
    hooks: dict[str, list[dict[str, Any]]] = read("hooks/hooks.json")["hooks"]
    return hooks


def one_hook(groups: list[dict[str, Any]]) -> dict[str, Any]:
    (group,) = groups
    (only,) = group["hooks"]
    assert isinstance(only, dict)
    return only


# -- manifests -------------------------------------------------------------------------------------


def test_both_manifests_are_the_same_real_files() -> None:
    """Claude Code takes only the one in its folder, other hosts read the one at the top."""
    top, own = ROOT / "plugin.json", ROOT / ".claude-plugin" / "plugin.json"
    assert top.read_bytes() == own.read_bytes()
    assert not top.is_symlink() and not own.is_symlink()


def test_the_manifest_names_the_plugin_and_its_version() -> None:
    manifest = read("plugin.json")
    assert manifest["name"] == "budget"
    assert manifest["version"] == __version__
    assert manifest["author"]["name"]
    for path in manifest["commands"]:
        assert (ROOT / path).is_file()


def test_the_marketplace_offers_the_plugin_in_its_own_folder() -> None:
    market = read(".claude-plugin/marketplace.json")
    assert market["name"] == "codebudget"
    (plugin,) = market["plugins"]
    assert (plugin["name"], plugin["source"]) == ("budget", "./")
    assert plugin["description"] == read("plugin.json")["description"]


def test_every_command_file_says_what_it_is_for() -> None:
    files = sorted((ROOT / "hooks" / "commands").iterdir())
    assert [f"./hooks/commands/{path.name}" for path in files] == sorted(
        read("plugin.json")["commands"]
    )
    for path in files:
        first, description, *_ = path.read_text(encoding="utf-8").splitlines()
        assert first == "---"
        assert description.startswith("description: ")


# -- hooks.json ------------------------------------------------------------------------------------


def test_the_hooks_are_those_of_the_contract() -> None:
    assert tuple(hooks_json()) == CONTRACT_EVENTS
    assert set(hooks_json()) == set(answers.ANSWERS), "each has an answer, and no other"


def test_every_hook_is_started_as_a_program_and_not_by_a_shell() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import run"
    for event, groups in hooks_json().items():
        started = one_hook(groups)
        assert started["type"] == "command"
        assert started["command"] == "python3", event
        assert started["args"] == ["-I", "-S", "-c", code, "${CLAUDE_PLUGIN_ROOT}/hooks"], event


def test_every_hook_has_a_time_limit() -> None:
    """The client's own would be 600 seconds; SessionEnd has 1.5 in all."""
    limits = {event: one_hook(groups)["timeout"] for event, groups in hooks_json().items()}
    assert limits == {**dict.fromkeys(CONTRACT_EVENTS, 15), "SessionStart": 30, "SessionEnd": 2}


def test_only_tools_that_start_agents_are_matched() -> None:
    matchers = {event: groups[0].get("matcher") for event, groups in hooks_json().items()}
    assert matchers == {
        **dict.fromkeys(CONTRACT_EVENTS),
        "PreToolUse": "|".join(AGENT_TOOLS),
    }


def test_settings_get_the_same_hooks_as_the_plugin(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "budget", "install"]
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "BUDGET_HOME": str(tmp_path / "state")}
    subprocess.run(install, check=True, env={**env, "TMPDIR": str(tmp_path)}, capture_output=True)
    settings = json.loads((tmp_path / ".claude" / "settings.json").read_text())["hooks"]
    assert tuple(settings) == tuple(hooks_json())
    for event, groups in hooks_json().items():
        assert settings[event][0].get("matcher") == groups[0].get("matcher"), event
        ours, plugins = one_hook(settings[event]), one_hook(groups)
        assert ours["timeout"] == plugins["timeout"], event
        assert ours["args"][:3] == plugins["args"][:3], event


def test_the_modules_that_are_named_are_there() -> None:
    for name in read("hooks/hooks.json")["modules"]:
        assert (ROOT / "hooks" / name).is_file()


# -- the icon --------------------------------------------------------------------------------------


def test_the_icon_is_a_square_png_of_512_pixels_or_more() -> None:
    data = (ROOT / ".claude-plugin" / "icon.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width == height
    assert 512 <= width <= 2048
    assert len(data) < 2 * 1024 * 1024
    at, kinds = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind_and_content = data[at + 4 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind_and_content) == checksum
        kinds.append(kind_and_content[:4])
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_the_icon_is_what_its_script_draws() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "icon.py", "--check"], check=True)


# -- the real client -------------------------------------------------------------------------------


def client(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    with Stub(bash_loop(0)) as stub:
        return subprocess.run(
            [find_client(), *arguments],
            cwd=home.project,
            env=home.env(stub),
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def clean_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of the repository would hold: no virtual environment, no caches."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of what belongs to the plugin")
    copy = tmp_path_factory.mktemp("clean") / "codebudget"
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def test_the_client_finds_nothing_to_complain_of(clean_copy: Path) -> None:
    with Home() as home:
        run = client(
            home, "plugin", "validate", "--strict", "--profile", "directory", str(clean_copy)
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Validation passed" in run.stdout
    assert "⚠" not in run.stdout, run.stdout


def test_the_client_installs_it_from_a_marketplace_and_doctor_finds_it(clean_copy: Path) -> None:
    with Home(budget_toml='version = 1\n[budgets.s]\nper = "session"\nusd = 5\n') as home:
        added = client(home, "plugin", "marketplace", "add", str(clean_copy))
        assert added.returncode == 0, added.stdout + added.stderr
        installed = client(home, "plugin", "install", "budget@codebudget")
        assert installed.returncode == 0, installed.stdout + installed.stderr
        env = {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.defpath))}
        env |= {"HOME": str(home.home), "BUDGET_HOME": str(home.state)}
        doctor = subprocess.run(
            [sys.executable, "-m", "budget", "doctor", "--json"],
            cwd=home.project,
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (doctor.returncode, doctor.stderr) == (0, "")
        found = {each["id"]: each for each in json.loads(doctor.stdout)["findings"]}
        # A marketplace that is a folder is run from there (2.1.330), not from the client's copy.
        assert found["hooks.installed"]["detail"] == (
            f"plugin budget@codebudget, {clean_copy}, 8 events"
        )
        for event in ("step", "prompt", "agent"):
            assert found[f"hooks.stops_{event}"]["state"] == "ok"

        assert client(home, "plugin", "disable", "budget@codebudget").returncode == 0
        assert doctor_says(home).startswith("the plugin is installed, but disabled in ")
        assert client(home, "plugin", "enable", "budget@codebudget").returncode == 0
        moved = clean_copy.rename(clean_copy.with_name("moved"))
        assert f"the plugin's folder {clean_copy} is gone" in doctor_says(home)
        moved.rename(clean_copy)


def test_the_environment_of_a_checkout_is_not_copied_into_the_client(clean_copy: Path) -> None:
    with Home() as home:
        env = {"PATH": os.environ["PATH"], "HOME": str(home.home)}
        subprocess.run(["make", "-s", ".venv/pyvenv.cfg"], cwd=clean_copy, env=env, check=True)
        environment = clean_copy / ".venv"
        assert environment.is_symlink()
        subprocess.run([environment / "bin" / "python", "-m", "pip", "--version"], check=True)
        assert environment.resolve().is_relative_to(home.home / ".cache" / "codebudget")
        (environment / "large").write_bytes(bytes(1_000_000))
        assert client(home, "plugin", "marketplace", "add", str(clean_copy)).returncode == 0
        assert client(home, "plugin", "install", "budget@codebudget").returncode == 0
        (copy,) = (home.home / ".claude" / "plugins" / "cache").glob("*/budget/*")
        assert (copy / "hooks" / "hooks.json").is_file()
        assert not os.path.lexists(copy / ".venv")
        subprocess.run(["make", "-s", "clean"], cwd=clean_copy, env=env, check=True)
        assert list((home.home / ".cache" / "codebudget").iterdir()) == []


def test_in_ci_the_environment_is_a_folder_of_the_checkout(clean_copy: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(clean_copy / "no-home"), "CI": "true"}
    subprocess.run(["make", "-s", ".venv"], cwd=clean_copy, env=env, check=True)
    assert (clean_copy / ".venv").is_dir()
    assert not (clean_copy / ".venv").is_symlink()
    (clean_copy / ".venv").rmdir()


def doctor_says(home: Home) -> str:
    """What is wrong with the installation."""
    run = command(home, "doctor", "--json")
    assert run.returncode == 3, run.stdout + run.stderr
    findings = json.loads(run.stdout)["findings"]
    found = [each for each in findings if each["what"] == "Installed"]
    assert [each["state"] for each in found] == ["fail"]
    return str(found[0]["detail"])
