"""Runs the real client headless, in a home of its own that knows nothing of the caller's."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .stub import STEP_MODEL, Stub

API_KEY = "sk-ant-stub-0123456789-0123456789"
"""Any key will do for the stub; the client remembers approved ones by their last 20 characters."""


def find_client() -> Path:
    """The client that the ``claude-agent-sdk`` wheel bundles, else ``claude`` on the PATH.

    FileNotFoundError, saying how to get one, when there is neither.
    """
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in ("claude", "claude.exe"):
            bundled = Path(folder, "_bundled", name)
            if bundled.is_file():
                return bundled
    if found := shutil.which("claude"):
        return Path(found)
    raise FileNotFoundError(
        "no Claude Code client: neither bundled with claude-agent-sdk in this Python "
        f"({sys.executable}) nor on the PATH; try: pip install claude-agent-sdk"
    )


class Home:
    """A temporary home and project folder for one or more runs of the client.

    ``root/home`` is ``HOME``, ``root/project`` the trusted project, ``root/state`` the
    ``BUDGET_HOME``, ``root/tmp`` where the client puts its sockets and its agents' output. Seeded
    so that neither form of the client asks anything at the start. With ``root`` given the folder is
    the caller's to remove; else it is a new temporary one, removed at the end of the block.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        budget_toml: str | None = None,
        settings: Mapping[str, object] | None = None,
        git: bool = False,
    ) -> None:
        self._owned = root is None
        # Resolved because the client looks trust up by the real path, and macOS links its /tmp.
        self.root = Path(root or tempfile.mkdtemp(prefix="realclient-")).resolve()
        self.home = self.root / "home"
        self.project = self.root / "project"
        self.state = self.root / "state"
        self.tmp = self.root / "tmp"
        for folder in (self.home, self.project, self.tmp):
            folder.mkdir(parents=True)
        self._seed()
        if budget_toml is not None:
            self.write(".claude/budget.toml", budget_toml)
        if settings is not None:
            self.write(".claude/settings.json", json.dumps(settings, indent=2))
        if git:
            self._init_git()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._owned:
            # A client on its way out may still write a last file.
            shutil.rmtree(self.root, ignore_errors=True)

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the project, folders included."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def trust(self, folder: Path) -> None:
        """Marks one more folder as trusted, for a second project or a worktree."""
        path = self.home / ".claude.json"
        seed = json.loads(path.read_text(encoding="utf-8"))
        seed["projects"].setdefault(str(folder.resolve()), {})["hasTrustDialogAccepted"] = True
        path.write_text(json.dumps(seed), encoding="utf-8")

    def env(
        self,
        stub: Stub,
        *,
        path: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """A whole environment, built from nothing: no other variable of the caller's gets through.

        ``path`` replaces the PATH, by default the running interpreter's folder before the caller's
        own. ``extra`` is added last.
        """
        own = os.pathsep.join(
            (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
        )
        return {
            "PATH": own if path is None else path,
            "HOME": str(self.home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.tmp),
            "ANTHROPIC_BASE_URL": stub.url,
            "ANTHROPIC_API_KEY": API_KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
            "BUDGET_HOME": str(self.state),
            **(extra or {}),
        }

    def transcripts(self) -> list[Path]:
        """Every transcript of every session, subagents' included, sorted."""
        return sorted((self.home / ".claude" / "projects").rglob("*.jsonl"))

    def transcript(self, session_id: str) -> Path:
        """The main transcript of a session."""
        return next(path for path in self.transcripts() if path.name == f"{session_id}.jsonl")

    def final_total(self, session_id: str) -> Decimal | None:
        """The client's own total of a session, from its last ``cost-state`` line, to 12 places.

        The client writes the line when a session ends, ``/clear`` and a hang-up included, and reads
        it on a resume; None when there is none, as after a kill.
        """
        total = None
        for line in self.transcript(session_id).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line, parse_float=Decimal)
            if entry.get("type") == "cost-state":
                total = _exact(entry["totalCostUSD"])
        return total

    def _seed(self) -> None:
        seed = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "hasSeenAutoDefaultNotice": True,
            "customApiKeyResponses": {"approved": [API_KEY[-20:]], "rejected": []},
            "projects": {str(self.project): {"hasTrustDialogAccepted": True}},
        }
        (self.home / ".claude.json").write_text(json.dumps(seed), encoding="utf-8")

    def _init_git(self) -> None:
        who = ("-c", "user.name=Dev", "-c", "user.email=dev@example.com")
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home)}
        for command in (
            ("init", "--quiet", "--initial-branch=main"),
            # A branch exists only once something is committed.
            (*who, "commit", "--quiet", "--allow-empty", "--message=start"),
        ):
            subprocess.run(("git", *command), cwd=self.project, env=env, check=True)


@dataclass(frozen=True)
class Result:
    """What a headless run left behind; ``messages`` are its JSON lines, fractions as Decimal."""

    exit_code: int
    stdout: str
    stderr: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    debug_log: Path | None = None

    @property
    def result(self) -> dict[str, Any]:
        """The closing ``result`` message; LookupError, with the output, when the run had none."""
        results = [message for message in self.messages if message.get("type") == "result"]
        if results:
            return results[-1]
        raise LookupError(f"no result message; exit {self.exit_code}\n{self.stdout}{self.stderr}")

    @property
    def total_cost_usd(self) -> Decimal:
        """The client's own total of the session, to 12 places."""
        return _exact(self.result["total_cost_usd"])

    @property
    def session_id(self) -> str:
        return str(self.result["session_id"])


Output = Literal["stream-json", "json", "text"]


def client_argv(
    *,
    plugin_dir: Path | None = None,
    settings: Mapping[str, object] | Path | None = None,
    model: str | None = STEP_MODEL,
    args: Sequence[str] = (),
) -> list[str]:
    """The command line that both forms of the client share."""
    argv = [str(find_client())]
    if model is not None:
        argv += ["--model", model]
    if plugin_dir is not None:
        argv += ["--plugin-dir", str(plugin_dir)]
    if settings is not None:
        argv += [
            "--settings",
            str(settings) if isinstance(settings, Path) else json.dumps(settings),
        ]
    return [*argv, *args]


def run_headless(
    home: Home,
    stub: Stub,
    prompt: str,
    *,
    plugin_dir: Path | None = None,
    args: Sequence[str] = (),
    output: Output = "stream-json",
    settings: Mapping[str, object] | Path | None = None,
    model: str | None = STEP_MODEL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    debug: bool = False,
    timeout: float = 90.0,
) -> Result:
    """One ``claude -p`` in the home's project, to its end.

    ``env`` replaces the environment (see ``Home.env``), ``cwd`` the project folder. ``settings``
    are a mapping or a file. With ``debug`` the client's log is kept at ``Result.debug_log``.
    TimeoutError, with the output so far, when it does not end; its process group is killed then.
    """
    argv = client_argv(plugin_dir=plugin_dir, settings=settings, model=model, args=args)
    argv += ["--print", "--output-format", output]
    if output == "stream-json":
        argv.append("--verbose")
    debug_log = home.root / "debug" / f"{uuid.uuid4().hex[:8]}.log" if debug else None
    if debug_log is not None:
        argv += ["--debug-file", str(debug_log)]
    process = subprocess.Popen(
        argv,
        cwd=cwd or home.project,
        env=dict(env) if env is not None else home.env(stub),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        # Through stdin: on the command line a prompt that begins with a dash is an option.
        stdout, stderr = process.communicate(prompt, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise TimeoutError(f"the client ran for {timeout} s\n{stdout}\n{stderr}") from None
    messages = [] if output == "text" else list(_parsed(stdout))
    return Result(process.returncode, stdout, stderr, messages, debug_log)


def _exact(total: Decimal | int) -> Decimal:
    # The client adds floats and writes 0.009600000000000001 for four steps of 0.0024.
    return Decimal(total).quantize(Decimal("1e-12")).normalize()


def _parsed(stdout: str) -> Iterator[dict[str, Any]]:
    for line in stdout.splitlines():
        value = json.loads(line, parse_float=Decimal)
        # ``--output-format json`` with ``--verbose`` prints one array instead of lines.
        yield from value if isinstance(value, list) else (value,)
