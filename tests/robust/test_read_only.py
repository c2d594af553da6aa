"""A folder that cannot be written: what is there is read, what would be written is told, and nothing is harmed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disks import disk, read_only
from formats import FEW, RECIPE, TINY
from test_full_disk import LATER, fails
from writers import WRITERS, Server, check_whole, compiler, content, running

from membench.arrays import kernel
from membench.baselines import BaselineStore
from membench.models import obtain
from membench.runtime import pinned_threads


@pytest.fixture(scope="module")
def server() -> Server:
    return running()


@contextmanager
def place(tmp_path: Path) -> Iterator[Path]:
    """Root may write whatever the rights say: for it, a disk of its own is made read-only."""
    if os.getuid() == 0:
        with disk(tmp_path / "disk") as made:
            yield made
    else:
        (tmp_path / "disk").mkdir()
        yield tmp_path / "disk"


@pytest.mark.parametrize("name", LATER)
def test_a_read_only_folder_stays_as_it_is(name: str, server: Server, tmp_path: Path) -> None:
    with place(tmp_path) as folder:
        before = server.prepare(name, folder)
        with read_only(folder):
            fails(server, name, before.folder, "(Read-only file system|Permission denied)")
        assert content(before.folder) == before.old
        assert server.do(name, before.folder) == (0, "")
        check_whole(WRITERS[name], before.folder, before.old, before.new)


def test_what_lies_in_a_read_only_folder_is_used(server: Server, tmp_path: Path) -> None:
    with place(tmp_path) as folder:
        assert server.do("baseline", folder) == (0, "")
        assert server.do("weights", folder) == (0, "")
        with read_only(folder):
            assert BaselineStore(folder / "baselines").get("vectorized", "small") is not None
            with pinned_threads(1):
                trained = obtain(TINY, FEW, recipe=RECIPE, folder=folder / "weights")
            assert trained.file.is_relative_to(folder)


@pytest.mark.slow
def test_a_kernel_in_a_read_only_cache_is_used(server: Server, tmp_path: Path) -> None:
    with place(tmp_path) as folder:
        assert server.do("kernel", folder) == (0, "")
        (library,) = folder.rglob("*.so")
        with read_only(folder), pytest.MonkeyPatch.context() as patch:
            patch.setenv("CXX", str(compiler(tmp_path, "two", library)))
            found, reason = kernel._load.__wrapped__(str(folder / "cache"))
        assert found is not None, reason
        assert (found.path, found.build_seconds) == (library, 0.0)
