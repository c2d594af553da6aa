"""`make stranger` on a repository of a few lines: what its steps see, and that nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from scripts import TOOLS

pytestmark = pytest.mark.skipif(shutil.which("git") is None or shutil.which("make") is None, reason="git and make are needed")

SEEN = ("step", "home", "data", "cache", "arguments", "folder", "files_at_home", "interfaces")
MAKEFILE = """
setup bench quick:
	@echo "$@|$$HOME|$$MEMBENCH_DATA|$$MEMBENCH_CACHE|$(ARGS)|$$PWD|$$(ls -A "$$HOME")|$$(sed 1,2d /proc/net/dev | cut -d: -f1)" \\
	| tr '\\n' ' ' >> {log}
	@echo >> {log}
	@touch "$$HOME/left"
	@{waits}
	@test "$@" != "{fails}"
"""


def repository_in(folder: Path, fails: str = "nothing", waits: str = "true") -> tuple[Path, Path]:
    """A repository whose steps write what they see to a log; `fails` names a step that does."""
    repository, log = folder / "repository", folder / "log"
    for made in (repository / "tools", folder / "home", folder / "tmp"):
        made.mkdir(parents=True)
    shutil.copy(TOOLS / "stranger.sh", repository / "tools")
    (repository / "Makefile").write_text(MAKEFILE.format(log=log, fails=fails, waits=waits))
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    return repository, log


def stranger(folder: Path, fails: str = "nothing") -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    """Run the script there, to its end."""
    repository, log = repository_in(folder, fails)
    home = folder / "home"
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(folder / "tmp"), "MEMBENCH_DATA": "d", "MEMBENCH_CACHE": "c"}
    done = subprocess.run(
        [repository / "tools/stranger.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done, [dict(zip(SEEN, map(str.strip, line.split("|")), strict=True)) for line in log.read_text().splitlines()]


def test_the_steps_have_no_data_no_cache_an_empty_home_and_no_network(tmp_path: Path) -> None:
    done, (setup, bench, quick) = stranger(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [setup["step"], bench["step"], quick["step"]] == ["setup", "bench", "quick"]
    assert setup["home"] == str(tmp_path / "home")  # where pip's cache is
    assert bench["arguments"] == "--membench-images 40"
    for seen in (setup, bench, quick):
        assert seen["data"] == seen["cache"] == seen["files_at_home"] == ""
        assert seen["folder"].startswith(f"{tmp_path / 'tmp'}/membench-stranger.")
    for seen in (bench, quick):
        assert seen["home"].startswith(f"{tmp_path / 'tmp'}/membench-stranger.")
        assert seen["interfaces"] == "lo" or "WARNING: this system permits no unshare" in done.stdout


@pytest.mark.parametrize("fails", ["setup", "bench", "quick"])
def test_a_step_that_fails_ends_it_and_nothing_is_left(tmp_path: Path, fails: str) -> None:
    done, seen = stranger(tmp_path, fails)
    assert done.returncode != 0
    assert seen[-1]["step"] == fails
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nothing_is_left_and_what_is_not_committed_is_told(tmp_path: Path) -> None:
    stranger(tmp_path)
    assert list((tmp_path / "tmp").iterdir()) == []
    repository = tmp_path / "repository"
    with (repository / "Makefile").open("a") as file:
        file.write("# changed\n")
    done = subprocess.run(
        [repository / "tools/stranger.sh"],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "WARNING: a clone holds what is committed; the changes in" in done.stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_where_it_is_ended(tmp_path: Path, how: signal.Signals) -> None:
    repository, log = repository_in(tmp_path, waits="sleep 60")
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    running = subprocess.Popen(
        [repository / "tools/stranger.sh"],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not log.exists():
            assert running.poll() is None
            time.sleep(0.02)
    finally:
        os.killpg(running.pid, how)
    assert running.wait(30) != 0
    assert list((tmp_path / "tmp").iterdir()) == []
