"""The status line: what it says, how it gives way, whose other status line it keeps."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import line_format, other_line, settings, statusline
from budget.statusline import Options
from tests.realclient.terminal import Terminal, have_tmux
from tests.sample_work import MINUTE_MS, Work, made
from tests.samples import AT_MS

NOW_MS = AT_MS
"""The work's day began at 09:00, and its last step was made 3 minutes ago."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return made(tmp_path_factory.mktemp("work"), NOW_MS)


def line(work: Work, options: Options = Options(), now_ms: int = NOW_MS, **more: Any) -> str:  # noqa: B008
    env = {**work.env, "NO_COLOR": "1", **more.pop("env", {})}
    told = json.loads(work.status_line_input(**more))
    return statusline.line(told, env, now_ms, options)


# -- what it says ----------------------------------------------------------------------------------

WHOLE = (
    "day █████████░ 92 % · $0.73 left of $10.00, ~4 min · session $3.60 · $11.49/h in all"
    " · /compact saves $0.0412 a step · today 68 % opus-5 · context $0.0815/step"
    " · cache 47 min left"
)


def test_the_line_tells_what_is_left_what_it_went_on_and_what_comes(work: Work) -> None:
    assert line(work) == WHOLE


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (200, WHOLE),
        (
            140,
            "day █████████░ 92 % · $0.73 left of $10.00, ~4 min · session $3.60 · $11.49/h in all"
            " · /compact saves $0.0412 a step · today 68 % opus-5",
        ),
        (80, "day █████████░ 92 % · $0.73 left of $10.00, ~4 min · session $3.60"),
        (60, "day █████████░ 92 % · $0.73 left of $10.00, ~4 min"),
        (40, "day · $0.73 left of $10.00, ~4 min"),
        (34, "$0.73 left of $10.00, ~4 min"),
        (10, "$0.73 left of $10.00, ~4 min"),
    ],
)
def test_a_narrow_terminal_shows_what_matters_most(work: Work, columns: int, text: str) -> None:
    assert line(work, env={"COLUMNS": str(columns)}) == text
    assert len(text) <= columns - 4 or text == "$0.73 left of $10.00, ~4 min"


def test_far_from_its_limit_the_line_says_as_much(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    config = mine.project / ".claude" / "budget.toml"
    text = config.read_text().replace("usd = 10.00", "usd = 500.00")
    config.write_text(text.replace("usd = 4.00", "usd = 40.00").replace("60.00", "600.00"))
    assert line(mine) == (
        "session ░░░░░░░░░░ 9 % · $36.40 left of $40.00, ~3 h 11 min · $11.49/h in all"
        " · /compact saves $0.0412 a step · today $9.27, 68 % opus-5 · context $0.0815/step"
        " · cache 47 min left"
    )


def test_the_plain_line_is_ascii(work: Work) -> None:
    plain = WHOLE.replace("█████████░", "[#########-]").replace("·", "|")
    assert line(work, Options(plain=True)) == plain
    assert plain.isascii()


def test_only_the_bar_has_a_colour(work: Work) -> None:
    told = json.loads(work.status_line_input())
    text = statusline.line(told, work.env, NOW_MS)
    assert text == WHOLE.replace("█████████░", "\x1b[33m█████████░\x1b[0m")


def test_the_cache_is_told_by_the_client_else_by_the_last_step(work: Work) -> None:
    cache = Options("{cache}")
    assert line(work, cache) == "cache 47 min left"
    assert line(work, cache, prompt_cache={"expires_at": None}) == "cache 57 min left", (
        "1 h from it"
    )
    assert line(work, cache, prompt_cache=7) == "cache 57 min left"
    later = NOW_MS + 58 * MINUTE_MS
    # 163,000 tokens at 10 USD per million.
    assert line(work, cache, later) == "cache expired: next prompt $1.63"


def test_a_budget_that_is_used_up_says_when_it_is_whole_again(work: Work, tmp_path: Path) -> None:
    used_up = made(tmp_path, NOW_MS)
    config = used_up.project / ".claude" / "budget.toml"
    config.write_text(config.read_text().replace("usd = 10.00", "usd = 9.00"))
    text = line(used_up, Options("{budget} {bar} · {left}"))
    assert text == "day ██████████ 103 % · USED UP $9.27 of $9.00, resets at 00:00"


def test_a_session_budget_does_not_have_its_session_told_twice(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    config = mine.project / ".claude" / "budget.toml"
    config.write_text(config.read_text().replace("usd = 10.00", "usd = 50.00"))
    text = line(mine, Options(), env={"COLUMNS": "140"})
    assert text.startswith(
        "session █████████░ 90 % · $0.40 left of $4.00, ~3 min · $11.49/h in all "
    )
    assert "session $" not in text


# -- a format of one's own -------------------------------------------------------------------------


def test_a_field_without_a_value_takes_the_text_before_it_along() -> None:
    form = "<{budget}> [{left}] {bar} / {burn}!"
    assert line_format.filled(form, {"budget": "day", "burn": "$1/h"}) == "<day / $1/h!"
    assert line_format.filled(form, {"left": "$1"}) == "$1!"
    assert line_format.filled(form, {}) == ""
    assert line_format.filled("no field", {}) == "no field"


VALUES = st.dictionaries(st.sampled_from(sorted(line_format.FIELDS)), st.text("ab ", max_size=12))
FORMS = st.lists(
    st.sampled_from([*(f"{{{name}}}" for name in line_format.FIELDS), " ", " · "]), max_size=20
).map("".join)


@given(FORMS, VALUES, st.integers(1, 60))
def test_a_line_fits_or_holds_but_its_most_important_field(
    form: str, values: dict[str, str], width: int
) -> None:
    text = line_format.filled(form, values, width)
    if len(text) <= width:
        return
    named = [name for name in line_format.FIELDS if f"{{{name}}}" in form and values.get(name)]
    first = max(named, key=lambda name: line_format.FIELDS[name].stays, default="")
    assert text == line_format.filled(form, {first: values.get(first, "")})


def write_user_config(work: Work, text: str) -> None:
    folder = work.home / ".claude"
    folder.mkdir(exist_ok=True)
    (folder / "budget.toml").write_text(f"version = 1\n[statusline]\nformat = {text}\n")


def test_the_person_s_config_has_a_format(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    write_user_config(mine, '"{left} ({budget}) {session}"')
    assert line(mine) == "$0.73 left of $10.00, ~4 min (day) session $3.60"
    assert line(mine, Options("{budget}")) == "day", "an option holds before it"


def test_an_unknown_field_is_named_with_the_nearest_known(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    write_user_config(mine, '"{budget} {sesion}"')
    run = subprocess.run(
        [sys.executable, "-m", "budget", "check"],
        cwd=mine.project,
        env=mine.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3
    assert "line 3, statusline.format" in run.stdout + run.stderr
    assert "{sesion} is no field of the status line; did you mean {session}?" in (
        " ".join((run.stdout + run.stderr).split())
    )
    assert line(mine).endswith(" · config error: budget check")
    with pytest.raises(Exception, match=r"did you mean \{budget\}"):
        line(mine, Options("{bugdet}"))


def test_a_repository_cannot_set_the_format(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    config = mine.project / ".claude" / "budget.toml"
    config.write_text(config.read_text() + '[statusline]\nformat = "{budget}"\n')
    assert line(mine) == f"{WHOLE} · config error: budget check"


# -- another status line beside it -----------------------------------------------------------------


def shown(work: Work, *options: str) -> list[str]:
    """The rows of `budget statusline ...`."""
    run = subprocess.run(
        [sys.executable, "-m", "budget", "statusline", "--format", "{session}", *options],
        input=work.status_line_input(),
        cwd=work.project,
        env={**work.env, "NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


def test_the_rows_of_another_status_line_come_first(work: Work) -> None:
    other = "printf '\\033[31mred\\033[0m\\n'; head -c 14; echo; echo not shown >&2"
    assert shown(work, "--with", other) == ["\x1b[31mred\x1b[0m", '{"session_id":', "session $3.60"]


@pytest.mark.parametrize("other", ["exit 3", "echo half; exit 1", "nowhere", "kill -9 $$", "'"])
def test_another_status_line_that_fails_leaves_ours_alone(work: Work, other: str) -> None:
    assert shown(work, "--with", other) == ["session $3.60"]


def test_another_status_line_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    running = other_line.start(f"sleep 60 & echo $! > {started}; wait")
    assert running is not None
    while not started.exists() or not started.read_text().strip():
        time.sleep(0.01)
    assert other_line.finish(running._replace(until_s=time.monotonic()), "{}") == []
    pid = int(started.read_text())
    until = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# -- install ---------------------------------------------------------------------------------------

THEIRS = {"type": "command", "command": "~/bin/mine.sh 'a b' \"$HOME\"", "padding": 0}


def settings_of(work: Work, content: object) -> Path:
    path = work.home / ".claude" / "settings.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
    return path


def budget(work: Work, *arguments: str) -> tuple[int, str, str]:
    run = subprocess.run(
        [sys.executable, "-m", "budget", *arguments],
        cwd=work.project,
        env={**work.env, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout, run.stderr


def test_without_a_terminal_install_shows_what_would_change_and_refuses(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    path = settings_of(mine, {"statusLine": THEIRS, "model": "opus"})
    before = path.read_bytes()
    code, stdout, stderr = budget(mine, "install", "--statusline")
    assert code == 2
    assert stdout.startswith(f"The status line in {path}\n  now:   {json.dumps(THEIRS)}\n  after: ")
    assert "Yours goes on: its rows come first." in stdout
    assert stderr == (
        "budget: nothing was changed: `budget install --statusline` asks before it changes a"
        " status line, and there is no terminal to ask on. Add --yes to agree beforehand.\n"
    )
    assert path.read_bytes() == before
    assert not path.with_name("settings.json.before-budget").exists()


@pytest.mark.parametrize("theirs", [THEIRS, None], ids=["another one", "none"])
def test_the_status_line_alone_is_installed_and_uninstalled_exactly(
    tmp_path: Path, theirs: object
) -> None:
    mine = made(tmp_path, NOW_MS)
    hooks = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}}
    before = {"a": 1, **({"statusLine": theirs} if theirs else {}), **hooks}
    path = settings_of(mine, before)
    code, _, stderr = budget(mine, "install", "--statusline", "--yes")
    assert (code, stderr) == (0, "")
    after = json.loads(path.read_text())
    assert after["hooks"] == hooks["hooks"], "no hooks of ours: the plugin may bring them"
    command = after["statusLine"].pop("command")
    assert after["statusLine"] == {"type": "command", **({"padding": 0} if theirs else {})}
    assert command.endswith(" --with '~/bin/mine.sh '\"'\"'a b'\"'\"' \"$HOME\"'") is bool(theirs)

    once = path.read_bytes()
    told = f"Already installed in {path}."
    for again in (["install", "--statusline"], ["install", "--no-hooks"]):
        assert budget(mine, *again)[1].splitlines()[0] == told, "nothing to ask"
        assert path.read_bytes() == once

    budget(mine, "uninstall")
    assert path.read_text() == json.dumps(before, indent=2) + "\n", "to the byte and in order"


def test_what_the_person_added_to_our_command_stays(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    path = settings_of(mine, {"statusLine": THEIRS})
    budget(mine, "install", "--statusline", "--yes")
    installed = json.loads(path.read_text())
    installed["statusLine"]["command"] += " --format '{left}'"
    installed["statusLine"]["refreshInterval"] = 60
    settings_of(mine, installed)
    assert budget(mine, "install", "--statusline")[0] == 0
    assert json.loads(path.read_text()) == installed


def test_the_installed_command_shows_both(tmp_path: Path) -> None:
    mine = made(tmp_path, NOW_MS)
    path = settings_of(mine, {"statusLine": {"type": "command", "command": "echo 'my own' row"}})
    budget(mine, "install", "--statusline", "--yes")
    command = json.loads(path.read_text())["statusLine"]["command"]
    run = subprocess.run(
        ["sh", "-c", f"{command} --plain --format '{{session}}'"],
        input=mine.status_line_input(),
        env={key: value for key, value in mine.env.items() if key != "PYTHONPATH"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("my own row\nsession $3.60\n", "")


@pytest.mark.skipif(not have_tmux(), reason="tmux is missing")
@pytest.mark.parametrize(("answer", "changed"), [("n", False), ("y", True)])
def test_on_a_terminal_install_asks(tmp_path: Path, answer: str, changed: bool) -> None:
    mine = made(tmp_path, NOW_MS)
    path = settings_of(mine, {"statusLine": THEIRS})
    argv = [sys.executable, "-m", "budget", "install", "--statusline"]
    with Terminal(argv, cwd=mine.project, env=mine.env) as screen:
        screen.wait_for("Change it? [y/N]:")
        screen.type(answer)
        screen.keys("Enter")
        screen.wait_for("Installed in" if changed else "Nothing was changed.")
    assert (json.loads(path.read_text())["statusLine"] != THEIRS) is changed


WORDS = st.lists(st.text("ab \\\"'\t$-\n", max_size=8), min_size=1, max_size=4)


@given(WORDS)
def test_a_windows_command_line_is_read_back(words: list[str]) -> None:
    assert settings.windows_words(subprocess.list2cmdline(words)) == words
