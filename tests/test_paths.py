"""Where things are, and that outside text cannot lead elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget import paths
from budget.errors import InputError
from budget.paths import Project, check_transcript, find_project, safe_name

HOME = {"HOME": "/home/ana"}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="of another platform")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    git(tmp_path, "init", "--quiet", str(made))
    git(made, "commit", "--quiet", "--allow-empty", "--message=start")
    return made.resolve()


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Dev", "-c", "user.email=dev@example.com", "-c")
    subprocess.run(
        ("git", *who, "protocol.file.allow=always", *arguments),
        cwd=folder,
        check=True,
        capture_output=True,
    )


# -- projects --------------------------------------------------------------------------------------


def test_a_folder_of_a_repository_belongs_to_it(repository: Path) -> None:
    below = repository / "src" / "deep"
    below.mkdir(parents=True)
    project = find_project(str(below))
    assert project == find_project(str(repository))
    assert (project.root, project.worktree) == (str(repository), str(repository))
    assert re.fullmatch(r".*-repository-0-shop-[0-9a-f]{8}", project.key)


def test_a_folder_in_no_repository_is_a_project_of_its_own(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    project = find_project(str(below))
    assert (project.root, project.worktree) == (str(below), str(below))
    assert project.key != find_project(str(below.parent)).key


def test_worktrees_are_one_project_with_a_config_each(repository: Path) -> None:
    linked = repository.parent / "linked"
    git(repository, "worktree", "add", "--quiet", str(linked))
    main, other = find_project(str(repository)), find_project(str(linked))
    assert (other.key, other.root) == (main.key, main.root)
    assert other.worktree == str(linked)
    assert paths.repo_config(other) == str(linked / ".claude" / "budget.toml")
    env = {"BUDGET_HOME": "/state"}
    assert paths.ledger_file(env, main) == paths.ledger_file(env, other)
    assert paths.policy_file(env, main) != paths.policy_file(env, other)


def test_worktrees_of_a_bare_repository_are_one_project(tmp_path: Path, repository: Path) -> None:
    bare = tmp_path / "shop.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    linked = [tmp_path / "one", tmp_path / "two"]
    for number, place in enumerate(linked):
        git(bare, "worktree", "add", "--quiet", "-b", f"branch-{number}", str(place))
    found = [find_project(str(place)) for place in linked]
    assert [project.root for project in found] == [str(bare)] * 2
    assert [project.worktree for project in found] == [str(place) for place in linked]


def test_a_submodule_is_a_project_of_its_own(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    git(tmp_path, "init", "--quiet", str(inner))
    git(inner, "commit", "--quiet", "--allow-empty", "--message=start")
    git(repository, "submodule", "add", "--quiet", str(inner), "lib")
    project = find_project(str(repository / "lib"))
    assert (project.root, project.worktree) == (str(repository / "lib"), str(repository / "lib"))


@pytest.mark.parametrize(
    "content", [b"", b"gitdir: nowhere\n", b"gitdir:", b"\xff\xfe", b"gitdir: a\0b", b"hello"]
)
def test_a_git_file_that_leads_nowhere_marks_a_project(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    (tmp_path / "below").mkdir()
    project = find_project(str(tmp_path / "below"))
    assert (project.root, project.worktree) == (str(tmp_path), str(tmp_path))


def test_a_linked_folder_is_where_it_leads(repository: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository, target_is_directory=True)
    assert find_project(str(link)) == find_project(str(repository))


def test_projects_with_names_alike_have_keys_of_their_own(tmp_path: Path) -> None:
    names = ["a b", "a-b", "a_b", "a.b", "A-b", "ä-b", "x" * 200, "x" * 199]
    keys = set()
    for name in names:
        (tmp_path / name).mkdir()
        key = find_project(str(tmp_path / name)).key
        assert safe_name(key) == key
        keys.add(key)
    assert len(keys) == len(names)


def test_the_root_of_the_file_system_is_a_project() -> None:
    assert find_project("/").root == os.path.realpath("/")


# -- folders and files -----------------------------------------------------------------------------


def test_the_state_folder_is_what_the_variable_says(tmp_path: Path) -> None:
    env = {**HOME, "BUDGET_HOME": str(tmp_path), "XDG_DATA_HOME": "/xdg"}
    assert paths.state_folder(env) == str(tmp_path)
    assert paths.state_folder({"BUDGET_HOME": "here"}) == os.path.abspath("here")


@linux_only
def test_the_state_folder_is_in_the_users_data_folder() -> None:
    assert paths.state_folder(HOME) == "/home/ana/.local/share/codebudget"
    assert paths.state_folder({**HOME, "BUDGET_HOME": ""}) == "/home/ana/.local/share/codebudget"
    assert paths.state_folder({**HOME, "XDG_DATA_HOME": "/xdg"}) == "/xdg/codebudget"


@linux_only
def test_every_file_has_its_place() -> None:
    project = Project("shop-1234", "/srv/shop", "/srv/linked")
    state = "/home/ana/.local/share/codebudget"
    assert paths.user_config(HOME) == "/home/ana/.claude/budget.toml"
    assert paths.user_config({**HOME, "CLAUDE_CONFIG_DIR": "/c"}) == "/c/budget.toml"
    assert paths.repo_config(project) == "/srv/linked/.claude/budget.toml"
    assert paths.ledger_file(HOME, project) == f"{state}/projects/shop-1234/ledger.db"
    assert paths.client_totals_folder(HOME, "../s:1") == f"{state}/client/---s-1"
    assert paths.price_file(HOME) == f"{state}/prices.json"
    assert paths.log_file(HOME) == f"{state}/logs/hook.log"


@given(st.text(max_size=300))
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= 100
    assert os.path.dirname(os.path.normpath(os.path.join("/folder", safe))) == "/folder"
    assert safe_name(safe) == safe


# -- transcripts -----------------------------------------------------------------------------------


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    made = tmp_path / "home" / ".claude" / "projects" / "p"
    made.mkdir(parents=True)
    return made


def env_of(projects: Path) -> dict[str, str]:
    return {"HOME": str(projects.parents[2])}


def test_a_transcript_of_the_client_is_accepted_before_it_is_there(projects: Path) -> None:
    path = str(projects / "s1.jsonl")
    assert check_transcript(path, env_of(projects)) == path


def test_the_clients_folder_may_be_a_link(projects: Path, tmp_path: Path) -> None:
    link = tmp_path / "other"
    link.symlink_to(projects.parents[1], target_is_directory=True)
    env = {"HOME": "/nowhere", "CLAUDE_CONFIG_DIR": str(link)}
    path = str(link / "projects" / "p" / "s1.jsonl")
    assert check_transcript(path, env) == str(projects / "s1.jsonl")


@pytest.mark.parametrize("path", ["", "s1.jsonl", "p/s1.jsonl", "/p/s1.json", "/p/s\0.jsonl"])
def test_what_is_no_absolute_path_of_a_transcript_is_refused(path: str) -> None:
    with pytest.raises(InputError) as raised:
        check_transcript(path, HOME)
    shown = path.replace("\0", "?")
    assert str(raised.value) == f"The transcript path {shown!r} is not one: it was not read."


def test_a_transcript_elsewhere_is_refused_with_the_way_out(projects: Path) -> None:
    outside = projects.parents[2] / "s1.jsonl"
    outside.touch()
    (projects / "link.jsonl").symlink_to(outside)
    for path in (
        str(outside),
        f"{projects}/../../../s1.jsonl",
        str(projects / "link.jsonl"),
        f"{projects.parent}-not/s1.jsonl",
    ):
        with pytest.raises(InputError) as raised:
            check_transcript(path, env_of(projects))
        assert str(raised.value) == (
            f"The transcript {path} is outside {projects.parent}, where Claude Code keeps"
            " transcripts: it was not read. If that is where yours are, set CLAUDE_CONFIG_DIR."
        )


# -- people ----------------------------------------------------------------------------------------


def test_a_person_is_the_variable_then_gits_email_then_the_systems_user(
    repository: Path, tmp_path: Path
) -> None:
    project = find_project(str(repository))
    env = {"HOME": str(tmp_path), "USER": "ana"}
    assert paths.person(env, project) == "ana"
    (tmp_path / ".gitconfig").write_text('[core]\nemail = no\n[User]\n\tEmail = "me@example.com"\n')
    assert paths.person(env, project) == "me@example.com"
    git(repository, "config", "user.email", "work@example.com")
    assert paths.person(env, project) == "work@example.com"
    assert paths.person({**env, "BUDGET_USER": "a\x1b[mb"}, project) == "a?[mb"
