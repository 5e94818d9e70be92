"""Laws that hold for any input, a function of bytes for each kind of it.

`tests/security/test_laws.py` runs them in the suite, on what hypothesis makes up; `make fuzz` runs
each under atheris, which looks for bytes that reach new lines of the program.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from budget import (
    booking,
    event,
    hook,
    overrides,
    paths,
    plan,
    policy,
    pricing,
    rules,
    sensor,
    statusline,
    stop_words,
    transcript,
    typed,
)
from budget.errors import BudgetError, ConfigError, PriceError
from budget.files import printable
from budget.merge import Layer, held_to, merged, policy_budget
from budget.model import MAX_TOKENS, Policy, Step, Usage, Verdict, Window
from budget.places import Place
from budget.shown import shown
from budget.steps import Writer
from tests.fuzz.world import World, check_answer, check_text, check_touched, watched

NOW_MS = 1_795_000_000_000
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_world: World | None = None


def world() -> World:
    """One for the process: to make it anew for each input would take most of the time."""
    global _world  # noqa: PLW0603
    if _world is None:
        _world = World()
        # No client writes: there is nothing to wait for.
        booking.LATE_LINES_S = 0.0
    return _world


# -- transcripts -----------------------------------------------------------------------------------


def transcripts(data: bytes) -> None:
    """Any bytes: steps with counts in bounds, the same however they are decoded and split."""
    here = world()
    here.transcript.write_bytes(data)
    place = Place(str(here.transcript), here.SESSION)
    with watched() as touched:
        whole = list(transcript.read(place, transcript.Cursor()))
        fast = list(transcript.read(place, transcript.Cursor(), typed.decoded))
    check_touched(here, touched)
    steps = [step for batch in whole for step in batch.steps]
    assert steps == [step for batch in fast for step in batch.steps]
    assert [batch.bad_lines for batch in whole] == [batch.bad_lines for batch in fast]
    assert all(batch.cursor.offset <= len(data) for batch in whole)
    table = pricing.load_table()
    for step in steps:
        _check_step(step)
        cost = pricing.price(step, table)
        assert 0 <= (cost.picousd or 0) < 2**62
        assert 0 <= cost.bound_picousd < 2**62
    cut = data[: len(data) // 2]
    here.transcript.write_bytes(cut)
    first = list(transcript.read(place, transcript.Cursor()))
    with here.transcript.open("ab") as file:
        file.write(data[len(cut) :])
    cursor = first[-1].cursor if first else transcript.Cursor()
    rest = list(transcript.read(place, cursor))
    assert _highest([s for b in (*first, *rest) for s in b.steps]) == _highest(steps)


def _check_step(step: Step) -> None:
    texts = (step.message_id, step.session_id, step.agent, step.agent_id, step.prompt_id)
    for text in (*texts, step.branch, step.model, step.speed, step.geo, step.tier):
        assert text.isprintable()
        assert len(text) <= 220
    assert all(0 <= count <= 2 * MAX_TOKENS for count in step.usage)


def _highest(steps: list[Step]) -> dict[str, Any]:
    """What a ledger keeps of them."""
    found: dict[str, Any] = {}
    for step in steps:
        known = found.get(step.message_id)
        found[step.message_id] = known.highest(step.usage) if known else step.usage
    return found


def lines(data: bytes) -> None:
    """Any line: both decoders say the same of it, or both call it damaged."""
    writer = Writer("s")
    told = [_decoded(each, data, writer) for each in (transcript.decoded, typed.decoded)]
    assert told[0] == told[1]


def _decoded(decode: Callable[..., Any], line: bytes, writer: Any) -> Any:
    try:
        return decode(bytearray(line), writer, "p")
    except _DAMAGED:
        return "damaged"


# -- hook input ------------------------------------------------------------------------------------


def hook_input(data: bytes) -> None:
    """Any event: an answer or a `BudgetError`; nothing outside is touched, nothing is run."""
    here = world()
    payload = _event(data, here)
    with watched() as touched:
        context: dict[str, Any] = {}
        try:
            answer = hook.respond(payload, here.env, NOW_MS, context)
        except BudgetError as error:
            answer = {"systemMessage": str(error)}
        if "ledger" in context:
            context["ledger"].close()
    check_touched(here, touched)
    # As the boundary gives it out.
    check_answer(hook._harmless(answer))


def _event(data: bytes, here: World) -> Any:
    """The bytes as JSON; or a good event, some of whose fields they replace."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        pass
    source = Source(data)
    good: dict[str, Any] = {
        "hook_event_name": event.NAMES[source.number(len(event.NAMES))],
        "session_id": here.SESSION,
        "transcript_path": str(here.transcript),
        "cwd": str(here.project),
        "prompt": "hello",
        "prompt_id": "p1",
        "source": "startup",
        "tool_name": "Task",
        "tool_use_id": "t1",
        "agent_id": "",
        "agent_type": "",
        "tool_input": {"subagent_type": "x"},
        "tool_calls": [{"tool_use_id": "t1", "tool_response": "x"}],
    }
    for _ in range(1 + source.number(4)):
        good[list(good)[source.number(len(good))]] = source.value()
    return good


class Source:
    """Values of JSON out of bytes; the same bytes give the same values."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, below: int) -> int:
        self._at += 1
        return self._data[self._at - 1] % below if self._at <= len(self._data) else 0

    def text(self) -> str:
        length = self.number(24)
        raw = self._data[self._at : self._at + length]
        self._at += length
        return raw.decode("utf-8", ("surrogateescape", "replace")[self.number(2)])

    def value(self, depth: int = 0) -> Any:
        kind = self.number(11 if depth < 4 else 8)
        if kind < 5:
            return (None, True, 2**63, -1.5, float("inf"))[kind]
        if kind < 7:
            return (ODD + self.text(), self.text())[kind - 5]
        if kind == 7:
            return self.text() * 5_000
        if kind == 8:
            return [self.value(depth + 1) for _ in range(self.number(4))]
        return {self.text(): self.value(depth + 1) for _ in range(self.number(4))}


ODD = "../../x\0\n\x1b[31m\u202e\ud800\x9b"

# -- configs ---------------------------------------------------------------------------------------


def configs(data: bytes) -> None:
    """Any file: a policy, or a `ConfigError` of printable lines, bounded, without secrets."""
    here = world()
    path = here.project / ".claude" / "budget.toml"
    path.write_bytes(data)
    with watched() as touched:
        for name in ("repo", "user", "team", "managed"):
            try:
                settings = rules.read_config(str(path), policy=name in ("team", "managed"))
            except ConfigError as error:
                check_text(str(error))
                assert len(str(error)) < 50_000
                continue
            assert settings is not None
            layer = Layer(name, str(path), "x.toml", name != "repo")
            compiled = json.loads(json.dumps(merged([(layer, settings)], "dev@example.com")))
            assert bool(compiled["notify"]) <= (name in ("user", "managed"))
            held = held_to(compiled, compiled)
            assert [row["limit"] for row in held["budgets"]] == [
                row["limit"] for row in compiled["budgets"]
            ]
            _check_messages(compiled)
    check_touched(here, touched)
    path.unlink()


def _check_messages(compiled: dict[str, Any]) -> None:
    """What is said of each budget that a config makes."""
    for row in compiled["budgets"]:
        budget = policy_budget(row)
        for spent in (0, budget.limit, budget.limit + 1):
            verdict = Verdict(budget, Window(0, None), spent)
            said = stop_words.stop((verdict,), Policy(), NOW_MS), stop_words.fact(verdict)
            for text in (*said, stop_words.warning(verdict, Policy(), NOW_MS)):
                check_text(text)


# -- small files -----------------------------------------------------------------------------------


def prices(data: bytes) -> None:
    """Any table: a `PriceError`, or one by which steps have a price."""
    here = world()
    here.state.mkdir(mode=0o700, exist_ok=True)
    path = here.state / "prices.json"
    path.write_bytes(data)
    try:
        table = pricing.load_table(str(path), of_state=True)
    except PriceError as error:
        check_text(printable(str(error)))
        return
    finally:
        path.unlink()
    for model in (*list(table.models)[:5], "claude-opus-5", "unknown"):
        cost = pricing.price(_step(model), table)
        assert (cost.picousd or 0) >= 0


def _step(model: str) -> Step:
    return Step("m", "s", "main", "", "p", "b", model, NOW_MS, Usage(10, 10, 10, 10, 10, 1))


def totals(data: bytes) -> None:
    """Any report of the sensor, and any plan usage: amounts in bounds, or passed over."""
    here = world()
    folder = here.state / "client" / here.SESSION
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / "x.json", here.state / "plan-usage.json", folder / "project"):
        path.write_bytes(data)
    with watched() as touched:
        for total in sensor.client_totals(str(folder), here.SESSION):
            assert 0 <= total.base_picousd <= total.total_picousd < 10**18
            assert 0 <= total.since_ms < 2**53
        for reading in plan.latest(here.env, here.SESSION).values():
            assert 0 <= reading.percent <= 1000
        project = paths.session_project(here.env, here.SESSION, str(here.project))
        assert os.sep not in project.key and project.key not in ("", ".", "..")
    check_touched(here, touched)


def status_lines(data: bytes) -> None:
    """Any input of the status line: one line of printable characters and colours."""
    here = world()
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        source = Source(data)
        status = {
            "session_id": here.SESSION,
            "cost": {"total_cost_usd": source.value()},
            "workspace": {"project_dir": str(here.project)},
            "rate_limits": {"five_hour": {"used_percentage": 3, "resets_at": source.value()}},
        }
        status[("session_id", "cost", "workspace", "rate_limits", "cwd")[source.number(5)]] = (
            source.value()
        )
    with chdir(here.project), watched() as touched:
        try:
            line = statusline.line(status, here.env, NOW_MS)
        except BudgetError as error:
            line = str(error)
    check_touched(here, touched)
    check_text(_plain(line))


def _plain(line: str) -> str:
    """Without the colours, which are ours."""
    text = shown(line)
    for code in ("0", "32", "33", "31", "1", "2"):
        text = text.replace(f"\x1b[{code}m", "")
    return text


def git_files(data: bytes) -> None:
    """Any files of git: a project of its own, a name of a person, an answer whether it is kept."""
    here = world()
    first, second, third, kind = _parts(data)
    dot_git = here.project / ".git"
    if kind & 1:
        dot_git.mkdir()
        (dot_git / "config").write_bytes(first)
        (dot_git / "index").write_bytes(second)
        (here.project / ".claude" / "settings.json").write_bytes(third)
    else:
        dot_git.write_bytes(b"gitdir: fake\n" if kind & 2 else first)
        fake = here.project / "fake"
        fake.mkdir()
        (fake / "commondir").write_bytes(second)
        (fake / "gitdir").write_bytes(third)
    local = here.project / ".claude" / "budget.local.toml"
    local.write_text("version = 1\n")
    try:
        with watched() as touched:
            project = paths.find_project(str(here.project))
            assert (project.root, project.worktree) == (str(here.project), str(here.project))
            name = paths.person(here.env, project)
            assert name.isprintable() and len(name) <= 200
            for text in overrides.told(here.env, project):
                check_text(text)
            compiled = here.state / "projects" / project.key / "policy-x.json"
            layer = Layer("local", str(local), "x", root=project.root)
            policy.load_policy([layer], str(compiled))
            compiled.unlink(missing_ok=True)
        within = str(here.project / "fake")
        wrong = [each for each in touched if not here.allowed(each)]
        outside = [each for each in wrong if not each.path.startswith(within)]
        # Where the git folder is, only git's file says: its index may be looked at for a name.
        assert all(each.path.endswith(f"{os.sep}index") for each in outside), outside
        assert all(each.what == "read" for each in outside), outside
    finally:
        _remove(dot_git)
        _remove(here.project / "fake")
        (here.project / ".claude" / "settings.json").unlink(missing_ok=True)
        local.unlink()


def _parts(data: bytes) -> Iterator[Any]:
    """Three files, and a number that says what they are."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    first, _, rest = rest.partition(b"\xff\xff")
    second, _, third = rest.partition(b"\xff\xff")
    return iter((first, second, third, kind))


def _remove(path: Path) -> None:
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def compiled_files(data: bytes) -> None:
    """Any bytes for the files that remember what holds: compiled anew, or what is in them holds."""
    here = world()
    project = paths.find_project(str(here.project))
    for path in (
        paths.policy_file(here.env, project),
        *paths.session_policy_files(here.env, project, here.SESSION),
    ):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        Path(path).write_bytes(data)
    hook_input(
        json.dumps(
            {"hook_event_name": "Stop", "session_id": here.SESSION, "cwd": str(here.project)}
        ).encode()
    )


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        *(transcripts, lines, hook_input, configs, prices, totals, status_lines, git_files),
        compiled_files,
    )
}
