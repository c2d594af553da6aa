"""A full disk: what cannot be written is told, the old files stay whole, and with room again the same run works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from disks import disk, full
from writers import WRITERS, Server, check_whole, content, running

FAST = ("baseline", "record", "report of a run")
LATER = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in WRITERS]


@pytest.fixture(scope="module")
def server() -> Server:
    return running()


def fails(server: Server, name: str, folder: Path, words: str, **harm: int) -> None:
    """A run that cannot write tells so, names a file below `folder` and leaves no temporary one; a cache is done without."""
    code, said = server.do(name, folder, **harm)
    if WRITERS[name].must:
        assert code == 3, said
        assert re.search(rf"EnvironmentProblemError: Cannot (write|lock|remove) {re.escape(str(folder))}.*{words}", said)
    else:
        assert code == 0, said
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("name", LATER)
def test_a_full_disk_leaves_the_old_files_whole(name: str, server: Server, tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as place:
        before = server.prepare(name, place)
        with full(place):
            fails(server, name, before.folder, "No space left on device")
            check_whole(WRITERS[name], before.folder, before.old, before.new)
            assert set(content(before.folder)) <= set(before.old)
        assert server.do(name, before.folder) == (0, "")
        assert set(content(before.folder)) == set(before.new)


@pytest.mark.parametrize("name", LATER)
def test_a_file_that_may_not_grow_leaves_the_old_ones_whole(name: str, server: Server, tmp_path: Path) -> None:
    """The kernel of the system refuses a write in the middle: half of a file is there when it fails. This needs no rights."""
    before = server.prepare(name, tmp_path)
    fails(server, name, before.folder, "File too large", largest=1000)
    check_whole(WRITERS[name], before.folder, before.old, before.new)
    assert server.do(name, before.folder) == (0, "")
    assert set(content(before.folder)) == set(before.new)
