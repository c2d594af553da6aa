"""kill -9 at each step of each writer: the old files or the new ones are there, whole, and the next run works."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from writers import WRITERS, Server, check_whole, content, running

from membench.storage import STALE

FAST = ("baseline",)


@pytest.fixture(scope="module")
def server() -> Server:
    return running()


def named(fast: bool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in WRITERS if (name in FAST) == fast])


def kill_at_each_step(server: Server, name: str, place: Path, harm: str) -> int:
    """Kill a run at its steps, each time from the same beginning; return how many steps there are."""
    writer, before = WRITERS[name], server.prepare(name, place)
    steps = range(before.steps[harm])
    chosen = steps if writer.kills is None else random.Random(0).sample(steps, min(writer.kills, len(steps)))
    for step in chosen:
        folder = place / f"{harm}-{step}"
        shutil.copytree(before.folder, folder)
        code, said = server.do(name, folder, **{harm: step})
        assert code == -signal.SIGKILL, said
        check_whole(writer, folder, before.old, before.new)
        assert server.do(name, folder) == (0, ""), "the next run failed"
        check_whole(writer, folder, before.old, before.new)
        assert set(content(folder)) == set(before.new)
        shutil.rmtree(folder)
    return len(steps)


@named(fast=True)
@pytest.mark.parametrize("harm", ["kill", "within"])
def test_a_kill_leaves_whole_files(name: str, harm: str, server: Server, tmp_path: Path) -> None:
    assert kill_at_each_step(server, name, tmp_path, harm) >= (3 if harm == "kill" else 1)


@pytest.mark.slow
@named(fast=False)
@pytest.mark.parametrize("harm", ["kill", "within"])
def test_a_kill_leaves_whole_files_of_what_takes_longer(name: str, harm: str, server: Server, tmp_path: Path) -> None:
    assert kill_at_each_step(server, name, tmp_path, harm) >= (3 if harm == "kill" else 1)


@named(fast=True)
def test_a_kill_at_any_moment_leaves_whole_files(name: str, server: Server, tmp_path: Path) -> None:
    before, moments = server.prepare(name, tmp_path), random.Random(0)
    for _ in range(10):
        code, said = server.do(name, before.folder, seconds=moments.uniform(0.005, 0.05))
        assert code == -signal.SIGALRM, said
        check_whole(WRITERS[name], before.folder, before.old, before.new)
    assert server.do(name, before.folder) == (0, "")


def test_what_killed_runs_left_is_taken_away_when_it_is_old(server: Server, tmp_path: Path) -> None:
    folder = server.prepare("record", tmp_path).folder
    assert server.do("record", folder, within=0)[0] == -signal.SIGKILL
    (left,) = folder.rglob("*.tmp")
    assert server.do("record", folder) == (0, "")
    assert left.exists()  # its writer may live
    of_another = left.with_name(f".other{left.name}")
    of_another.write_bytes(b"")
    past = time.time() - STALE - 1
    for file in (left, of_another):
        os.utime(file, (past, past))
    assert server.do("record", folder) == (0, "")
    assert not left.exists()
    assert of_another.exists()
