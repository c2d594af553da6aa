"""asv's environments that share the packages of the one asv runs in."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from pathlib import Path

import pytest
from asv.config import Config
from asv.environment import EnvironmentUnavailable, get_environment_class_by_name
from asv.repo import get_repo

from membench.overlay import Overlay

HERE = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Of a repository with a module `project`, which says 1 in its first commit and 2 in the second, and one that is installed too."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.com")
    subprocess.run(["git", "init", "--quiet", "."], check=True)
    for number in (1, 2):
        (tmp_path / "project.py").write_text(f"NUMBER = {number}\n")
        (tmp_path / "tabulate.py").write_text("")
        subprocess.run(["git", "add", "project.py", "tabulate.py"], check=True)
        subprocess.run(["git", "commit", "--quiet", "--message", str(number)], check=True)
    return Config.from_json({"repo": ".", "dvcs": "git", "project": "project", "env_dir": str(tmp_path / "env")})


def test_each_commit_runs_with_the_packages_that_are_here(config: Config) -> None:
    environment, repository = Overlay(config, HERE, {}, {}), get_repo(config)
    environment.create()
    compiled = "memtorch_bindings"
    ours = importlib.util.find_spec(compiled)
    script = f"import project, tabulate, importlib.util as u; print(project.NUMBER, tabulate.__file__, u.find_spec({compiled!r}).origin)"
    for number, name in ((2, "HEAD"), (1, "HEAD~1")):
        environment.install_project(config, repository, repository.get_hash_from_name(name))
        said, project, origin = environment.run(["-c", script], cwd=str(environment._path)).split()
        assert said == str(number)
        assert Path(project).is_relative_to(environment._path)
        assert ours is not None
        assert origin == ours.origin


def test_an_environment_is_made_once_and_anew_when_its_paths_have_changed(config: Config) -> None:
    Overlay(config, HERE, {}, {}).create()
    environment = Overlay(config, HERE, {}, {})
    assert environment.check_presence()
    environment._path_file.write_text("/elsewhere\n")
    assert not environment.check_presence()
    environment.create()
    assert environment.check_presence()


def test_a_folder_of_the_repository_can_be_the_project(config: Config) -> None:
    config.repo_subdir = "src"
    environment = Overlay(config, HERE, {}, {})
    assert environment._paths.splitlines()[0] == f"{environment._build_root}/src"


@pytest.mark.parametrize(
    ("python", "requirements", "words"),
    [("2.7", {}, "has the Python that asv runs in"), (HERE, {"numpy": "1.0"}, r"installs none \(numpy\)")],
)
def test_what_an_overlay_cannot_be_is_refused(config: Config, python: str, requirements: dict[str, str], words: str) -> None:
    with pytest.raises(EnvironmentUnavailable, match=words):
        Overlay(config, python, requirements, {})


def test_asv_finds_it_by_name() -> None:
    assert get_environment_class_by_name("overlay") is Overlay
