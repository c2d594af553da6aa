"""The folder of a study: study.json, a file for each point, each case and each error, all named by fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from membench.case import Case
from membench.errors import EnvironmentProblemError, FileFormatError, InputError
from membench.plain import Integer, Line, Moment, Plain, Sha256
from membench.record import Record, find, save
from membench.storage import write_atomically
from membench.study import StudyInfo

P = TypeVar("P", bound=Plain)


class PointError(Plain):
    """Why there is no record of a point: the file errors/<fingerprint>.json. A next start tries the point again.

    Attributes:
        fingerprint: of the point (or, where its points do not fit together, of the case).
        case: what should have been measured.
        engine: that should have executed it.
        reason: what went wrong, in a sentence.
        tries: how often it was tried; 0 where no worker has the memory.
        created: UTC, ISO 8601.
    """

    schema_version: Literal[1] = 1
    fingerprint: Sha256
    case: Case
    engine: Line
    reason: str
    tries: Annotated[Integer, Field(ge=0)]
    created: Moment


class Plan(Plain):
    """Which points a study has: the file plan.json.

    Attributes:
        points: of each case, by fingerprint.
    """

    FILE: ClassVar[str] = "plan.json"
    schema_version: Literal[1] = 1
    points: dict[Sha256, tuple[Sha256, ...]]


class Store:
    """Files that are whole or not there: any process may be killed at any moment, and what is there is not measured again.

    Attributes:
        folder: records/<case>.json, which reports read; points/<two digits>/<point>.json; errors/<point>.json.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record_file(self, fingerprint: str) -> Path:
        return self.folder / "records" / f"{fingerprint}.json"

    def point_file(self, fingerprint: str) -> Path:
        """In one of 256 folders, so that none grows too large to list."""
        return self.folder / "points" / fingerprint[:2] / f"{fingerprint}.json"

    def error_file(self, fingerprint: str) -> Path:
        return self.folder / "errors" / f"{fingerprint}.json"

    def record(self, fingerprint: str, engine: str, weights: str) -> Record | None:
        """The record of that case on that engine with those weights, if it is there. A damaged file counts as none.

        Args:
            weights: SHA-256 of the weights' file.
        """
        record = _read(Record, self.record_file(fingerprint))
        return record if record and _known(record) == (fingerprint, engine, weights) else None

    def point(self, fingerprint: str, engine: str, weights: str, threads: int) -> Record | None:
        """The same of a point; with another number of torch threads it was not measured as the rest of its case will be."""
        record = _read(Record, self.point_file(fingerprint))
        if record is None or record.costs.threads != threads:
            return None
        return record if _known(record) == (fingerprint, engine, weights) else None

    def put_record(self, record: Record) -> Path:
        return save(record, self.record_file(record.fingerprint))

    def put_point(self, fingerprint: str, text: str) -> None:
        """Keep a point as its worker wrote it (JSON of a Record); an error of an earlier try is forgotten."""
        write_atomically(self.point_file(fingerprint), text)
        self.error_file(fingerprint).unlink(missing_ok=True)

    def error(self, fingerprint: str) -> PointError | None:
        return _read(PointError, self.error_file(fingerprint))

    def put_error(self, error: PointError) -> Path:
        return save(error, self.error_file(error.fingerprint))

    def plan(self) -> dict[str, tuple[str, ...]] | None:
        """The fingerprints of the points of each case, by the fingerprint of the case, as they were declared last."""
        plan = _read(Plan, self.folder / Plan.FILE)
        return plan.points if plan else None

    def declare(self, info: StudyInfo, points: dict[str, tuple[str, ...]]) -> Path:
        """Write study.json, and the plan of points beside it.

        Raises:
            InputError: when another study, or the same one coarse or fine, lies there already.
            EnvironmentProblemError: when the folder cannot be written.
        """
        file = self.folder / StudyInfo.FILE
        there = find(StudyInfo, file)
        if there is not None and (there.name, there.quick, there.engine) != (info.name, info.quick, info.engine):
            raise InputError(
                f"{self.folder} holds the study {_said(there)}; this is {_said(info)}. Name another folder with --out, or remove it."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentProblemError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Make it writable, or name another folder with --out."
            ) from error
        save(info, file)
        save(Plan(points=points), self.folder / Plan.FILE)
        return file


def _read(kind: type[P], file: Path) -> P | None:
    try:
        return find(kind, file)
    except FileFormatError:
        return None


def _known(record: Record) -> tuple[str, str, str]:
    return record.fingerprint, record.engine, record.weights.sha256


def _said(info: StudyInfo) -> str:
    return f"{info.name!r} ({'quick' if info.quick else 'whole'}, engine {info.engine})"
