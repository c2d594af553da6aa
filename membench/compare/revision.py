"""A commit of the repository around the current folder."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from membench.errors import EnvironmentProblemError


@dataclass(frozen=True)
class Revision:
    """A commit.

    Attributes:
        spec: as it was named.
        commit: its whole hash.
        root: of the repository.
        inside: the folder that git was asked in, below the root; a worktree has it too.
    """

    spec: str
    commit: str
    root: Path
    inside: Path

    def __str__(self) -> str:
        return self.spec if self.commit.startswith(self.spec) else f"{self.spec} ({self.commit[:10]})"

    @contextmanager
    def extracted(self, folder: Path) -> Iterator[Path | None]:
        """What `folder` held at this commit, in a temporary folder; None where it was not there.

        Args:
            folder: absolute, or relative to the folder that git was asked in.
        """
        asked = self.root / self.inside
        tree = _git(asked, "rev-parse", "--verify", "--quiet", f"{self.commit}:./{_relative(folder, asked)}")
        if tree is None:
            yield None
            return
        packed = subprocess.run(["git", "archive", tree], cwd=self.root, capture_output=True, check=False)
        if packed.returncode:
            raise EnvironmentProblemError(f"git cannot read {folder} at {self}: {packed.stderr.decode().strip()}.")
        with tempfile.TemporaryDirectory(prefix="membench-") as temporary:
            with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
                archive.extractall(temporary, filter="data")
            yield Path(temporary)

    @contextmanager
    def worktree(self) -> Iterator[Path]:
        """The whole commit in a temporary worktree, removed afterwards.

        Raises:
            EnvironmentProblemError: when git cannot make it.
        """
        with tempfile.TemporaryDirectory(prefix="membench-") as temporary:
            place = Path(temporary) / self.commit[:10]
            hookless = ("-c", f"core.hooksPath={os.devnull}")  # a repository's hooks are for its own checkouts
            command = ["git", *hookless, "worktree", "add", "--detach", "--quiet", str(place), self.commit]
            made = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
            try:
                if made.returncode:
                    raise EnvironmentProblemError(f"git cannot make a worktree of {self}: {made.stderr.strip()}.")
                yield place
            finally:
                _git(self.root, "worktree", "remove", "--force", str(place))


def find_revision(spec: str, folder: Path) -> Revision | None:
    """The commit of that name in the repository around `folder`, or None: there is none, or no repository, or no git."""
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{spec}^{{commit}}")
    root = _git(folder, "rev-parse", "--show-toplevel")
    if commit is None or root is None:
        return None
    return Revision(spec, commit, Path(root), folder.resolve().relative_to(Path(root).resolve()))


def _relative(folder: Path, start: Path) -> str:
    return Path(os.path.relpath(folder.resolve() if folder.is_absolute() else start / folder, start)).as_posix()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers, or None where it refuses or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
