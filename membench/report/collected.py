"""What lies in a folder of results: its records, and the study that they belong to where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from membench.errors import FileFormatError, InputError
from membench.record import Record, load
from membench.study import PointInfo, StudyInfo, SweepInfo
from membench.words import counted

_FINGERPRINT = re.compile("[0-9a-f]{64}")  # a campaign's records are named so; those gathered by hand may have any names


@dataclass(frozen=True)
class Collected:
    """The content of a folder.

    Attributes:
        study: what study.json says, or None without one.
        records: those that are reported, each once: of a study in the order of its points, else by case and engine.
        strangers: how many records lie there that are no point of the study.
    """

    study: StudyInfo | None
    records: tuple[Record, ...]
    strangers: int = 0

    def placed(self, sweep: SweepInfo) -> Iterator[tuple[PointInfo, Record]]:
        """The points of a sweep that are there."""
        of = {record.fingerprint: record for record in self.records}
        return ((point, of[point.fingerprint]) for point in sweep.points if point.fingerprint in of)

    @property
    def planned(self) -> tuple[str, ...]:
        """The fingerprints of the study's points, each once."""
        sweeps = self.study.sweeps if self.study else ()
        return tuple(dict.fromkeys(point.fingerprint for sweep in sweeps for point in sweep.points))


def collect(folder: Path) -> Collected:
    """Read `records/**/*.json` and `study.json` of a folder.

    Raises:
        InputError: when there is no record to report; two records are of one point.
        FileFormatError: when a file is damaged; names it.
    """
    files = {file: load(Record, file) for file in sorted((folder / "records").rglob("*.json"))}
    if not files:
        raise InputError(
            f"There is no record below {folder / 'records'}: nothing to report. Measure first: membench study NAME --out {folder}, or "
            f"membench run CASE... --report {folder}. Or name the folder that was given there."
        )
    if not (folder / StudyInfo.FILE).exists():
        return Collected(None, tuple(sorted(files.values(), key=lambda record: (record.case.name, record.engine))))
    return _of_study(load(StudyInfo, folder / StudyInfo.FILE), files, folder)


def _of_study(study: StudyInfo, files: dict[Path, Record], folder: Path) -> Collected:
    places: dict[str, Path] = {}
    for file, record in files.items():
        if record.engine != study.engine:
            continue
        if _FINGERPRINT.fullmatch(file.stem) and file.stem != record.fingerprint:
            raise FileFormatError(
                f"{file} is named by another fingerprint than that of the record in it ({record.fingerprint}). Was it renamed? Remove it: "
                "the same study measures it again."
            )
        if (other := places.get(record.fingerprint)) is not None:
            raise InputError(f"{other} and {file} are records of the same case. A study has one of each: remove one.")
        places[record.fingerprint] = file
    planned = Collected(study, ()).planned
    found = tuple(files[places[fingerprint]] for fingerprint in planned if fingerprint in places)
    if not found:
        raise InputError(
            f"Below {folder / 'records'} {counted(len(files), 'record lies', 'records lie')}, but none is a point of the study "
            f"{study.name!r} on engine {study.engine} that {folder / StudyInfo.FILE} describes. Run it: membench study {study.name} --out "
            f"{folder}."
        )
    return Collected(study, found, strangers=len(files) - len(found))
