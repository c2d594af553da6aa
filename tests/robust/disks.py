"""Disks that fail: a small one of its own, to be filled or made read-only. It takes root's rights to mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _mount(*arguments: str) -> str:
    """Why it did not work, or nothing."""
    if shutil.which("mount") is None:
        return "there is no mount here"
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False).stderr.strip()


@contextmanager
def disk(place: Path, kibibytes: int = 4096) -> Iterator[Path]:
    """A file system in memory at `place`; skips the test where none can be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    if problem := _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(place)):
        pytest.skip(f"no disk can be mounted: {problem}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def full(place: Path) -> Iterator[None]:
    """No byte more fits on the disk at `place`."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Nothing can be written below `place`: a disk that is mounted so, or folders without the right to."""
    if os.path.ismount(place):
        assert not _mount("-o", "remount,ro", str(place))
        try:
            yield
        finally:
            assert not _mount("-o", "remount,rw", str(place))
        return
    folders = [place, *(folder for folder in place.rglob("*") if folder.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)
