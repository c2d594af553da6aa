"""Measuring what a side lacks: in a process of its own, with that side's code and that side's declared cases."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from membench.compare.revision import Revision
from membench.compare.sides import Key, Side, place_of
from membench.errors import FileFormatError, InputError
from membench.record import Record, load, save
from membench.study import StudyInfo

Progress = Callable[[str, int, int], None]

# Run by another commit's membench: it uses only what every version of membench has had.
_DRIVER = """
import sys
from pathlib import Path

import membench
from membench.errors import MembenchError
from membench.pipeline import run_case
from membench.record import save
from membench.suite import load_suite

name, engine, threads, out, *folders = sys.argv[1:]
print(membench.__file__)
try:
    save(run_case(load_suite([Path(folder) for folder in folders]).get(name), engine, threads=int(threads)), Path(out))
except MembenchError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Tree:
    """Code and declared cases that can be run.

    Attributes:
        folder: the current one of the process.
        code: where its membench is; None: the installed one.
    """

    folder: Path
    code: Path | None

    def measure(self, key: Key, cases: Sequence[Path], threads: int) -> Record:
        """Measure a declared case.

        Raises:
            InputError: with what the process said, when it gave no record.
        """
        case, engine = key
        with tempfile.TemporaryDirectory(prefix="membench-") as temporary:
            out = Path(temporary) / "record.json"
            done = subprocess.run(
                [sys.executable, "-c", _DRIVER, case, engine, str(threads), str(out), *map(str, cases)],
                cwd=self.folder,
                env=self._environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            used = Path(done.stdout.strip().splitlines()[0]) if done.stdout.strip() else None
            if used is not None and self.code is not None and self.code.resolve() not in used.resolve().parents:
                raise InputError(f"it was to be measured by the membench in {self.code}, but {used} was imported")
            if done.returncode or not out.exists():
                raise InputError(_last_words(done.stderr) or f"the process ended with {done.returncode}")
            try:
                return load(Record, out)
            except FileFormatError as error:
                raise InputError(f"its record cannot be read here: {str(error).replace(str(out), 'record.json')}") from error

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self.code is not None:
            before = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([str(self.code), *([before] if before else [])])
        for name in ("MEMBENCH_DATA", "MEMBENCH_CACHE"):  # relative to the folder that it was set in
            if environment.get(name):
                environment[name] = str(Path(environment[name]).resolve())
        return environment


def _last_words(said: str) -> str:
    """A membench error whole; of a traceback, the last line."""
    lines = said.strip().splitlines()
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1]
    return "\n".join(lines)


def measured(
    side: Side, keys: Sequence[Key], *, cases: Sequence[Path], threads: int = 1, progress: Progress | None = None
) -> Side:
    """`side` with the records that it lacked; where a measurement failed, with the reason.

    A commit's are measured in a temporary worktree of it, and not kept. A folder's are measured with the membench and the cases
    that are here, and written to it.

    Args:
        keys: cases and engines that the side is to have.
        cases: folders of declared cases, relative to the current folder.

    Raises:
        InputError: when the side is a folder whose records come from elsewhere: baselines, or a study's.
    """
    missing = [key for key in keys if key not in side.records]
    if not missing:
        return side
    say: Progress = progress or (lambda what, done, total: None)
    _check_writable(side, missing)
    records, failures = dict(side.records), dict(side.failures)
    with _tree(side) as tree:
        for done, key in enumerate(missing):
            say(f"{side.name}: {key[0]}", done, len(missing))
            try:
                records[key] = tree.measure(key, cases, threads)
            except InputError as error:
                failures[key] = str(error)
                continue
            failures.pop(key, None)
            if isinstance(side.origin, Path):
                save(records[key], place_of(key, side.origin))
    return replace(side, records=records, failures=failures)


def _check_writable(side: Side, missing: Sequence[Key]) -> None:
    if isinstance(side.origin, Revision):
        return
    names = ", ".join(sorted({case for case, _ in missing}))
    if side.is_file:
        raise InputError(f"{side.name} is a single record and not of {names}. Give a folder, or a commit.")
    if side.accepted:
        raise InputError(
            f"{side.name} holds baselines and lacks {names}. Baselines change in one way only: membench baseline update CASE --reason "
            '"..."; or name the cases to compare with --case.'
        )
    if (side.origin / StudyInfo.FILE).exists():
        raise InputError(f"{side.name} holds a study and lacks {names}. Go on with it: membench study NAME --out {side.name}.")


@contextmanager
def _tree(side: Side) -> Iterator[Tree]:
    if isinstance(side.origin, Revision):
        with side.origin.worktree() as worktree:
            own = (worktree / "membench" / "__init__.py").exists()
            yield Tree(worktree / side.origin.inside, worktree if own else None)
    else:
        yield Tree(Path.cwd(), Path(__file__).parents[2])
