"""The folder of a study: study.json, and a record for each case, named by its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from membench.errors import EnvironmentProblemError, FileFormatError, InputError
from membench.record import Record, find, save
from membench.study import StudyInfo


class RecordStore:
    """Records by fingerprint: what is there is whole, and is not measured again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, fingerprint: str) -> Path:
        return self.folder / "records" / f"{fingerprint}.json"

    def get(self, fingerprint: str, engine: str, weights: str) -> Record | None:
        """The record of that case on that engine with those weights, if it is there.

        A damaged file counts as none: it would be measured again.

        Args:
            weights: SHA-256 of the weights' file.
        """
        try:
            record = find(Record, self.file(fingerprint))
        except FileFormatError:
            return None
        if record is None:
            return None
        known = (record.fingerprint, record.engine, record.weights.sha256)
        return record if known == (fingerprint, engine, weights) else None

    def put(self, record: Record) -> Path:
        return save(record, self.file(record.fingerprint))

    def declare(self, info: StudyInfo) -> Path:
        """Write study.json.

        Raises:
            InputError: when another study, or the same one coarse or fine, lies there already.
        """
        file = self.folder / StudyInfo.FILE
        there = find(StudyInfo, file)
        if there is not None and (there.name, there.quick, there.engine) != (info.name, info.quick, info.engine):
            raise InputError(
                f"{self.folder} holds the study {_said(there)}; this is {_said(info)}. Name another folder with --out, or remove it."
            )
        return save(info, file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: two runs would measure the same points.

        Raises:
            InputError: when another run holds it.
            EnvironmentProblemError: when the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                yield
        except filelock.Timeout:
            raise InputError(
                f"Another membench study is running in {self.folder}. Wait for it, or name another folder with --out."
            ) from None
        except OSError as error:
            raise EnvironmentProblemError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Make it writable, or name another folder with --out."
            ) from error


def _said(info: StudyInfo) -> str:
    return f"{info.name!r} ({'quick' if info.quick else 'whole'}, engine {info.engine})"
