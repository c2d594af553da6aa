"""What A or B may be: a record or baseline, a folder of them, or a commit with its committed baselines."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from membench.compare.revision import Revision, find_revision
from membench.errors import FileFormatError, InputError
from membench.record import Baseline, Record, load
from membench.study import StudyInfo

Key = tuple[str, str]  # case, engine


@dataclass(frozen=True)
class Side:
    """The records of one side.

    Attributes:
        name: as reports name it.
        origin: the file, folder or commit.
        records: by case and engine.
        accepted: whether there are baselines among them.
        failures: of records that should have been measured, why they are not there.
        unreadable: files that are no record, with the reason.
    """

    name: str
    origin: Path | Revision
    records: dict[Key, Record]
    accepted: bool = False
    failures: dict[Key, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        return isinstance(self.origin, Path) and self.origin.is_file()

    def only(self, cases: Collection[str] = (), engine: str | None = None) -> Side:
        """The same, less all other cases and engines; none given: all stay."""
        kept = {
            (case, on): record
            for (case, on), record in self.records.items()
            if (not cases or case in cases) and engine in (None, on)
        }
        return replace(self, records=kept)


def read_side(spec: str, baselines: Path = Path("baselines"), folder: Path | None = None) -> Side:
    """Read a side.

    Args:
        spec: a JSON file, a folder, or a commit as git names it. What is both is taken for the file or folder.
        baselines: where a commit has its baselines.
        folder: in which `spec` is looked for; the current one.

    Raises:
        InputError: when there is nothing of that name.
        FileFormatError: when a single file is no record; in folders and commits, such files are listed.
    """
    where = folder or Path.cwd()
    path = where / spec
    if path.is_file():
        record, accepted = read_record(path)
        return Side(spec, path, {_key(record): record}, accepted)
    if path.is_dir():
        return _read_folder(path, spec, path)
    revision = find_revision(spec, where)
    if revision is None:
        raise InputError(
            f"{spec!r} is neither a file nor a folder, nor a commit of a git repository here. Give a record or baseline (.json), a "
            "folder of them (as left by --report or --out, or baselines), or a commit as git names it."
        )
    with revision.extracted(baselines) as extracted:
        if extracted is None:
            return Side(str(revision), revision, {})
        side = _read_folder(extracted, str(revision), revision)
    return replace(side, unreadable=tuple(said.replace(str(extracted), f"{spec}:{baselines}") for said in side.unreadable))


def read_record(file: Path) -> tuple[Record, bool]:
    """The record in a file, and whether it is an accepted one.

    Raises:
        FileFormatError: when it is neither a record nor a baseline.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileFormatError(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError as error:
        raise FileFormatError(f"{file} is not JSON: {error}. Restore it, or make it anew.") from error
    if isinstance(content, dict) and "record" in content:
        return load(Baseline, file).record, True
    return load(Record, file), False


def _read_folder(folder: Path, name: str, origin: Path | Revision) -> Side:
    records: dict[Key, Record] = {}
    places: dict[Key, Path] = {}
    unreadable: list[str] = []
    any_accepted = False
    for file in _files(folder):
        try:
            record, accepted = read_record(file)
        except FileFormatError as error:
            unreadable.append(str(error))
            continue
        key = _key(record)
        if key in records:
            raise InputError(
                f"{places[key]} and {file} are both records of {key[0]!r} on engine {key[1]}. Compare them as files."
            )
        records[key], places[key] = record, file
        any_accepted |= accepted
    return Side(name, origin, records, any_accepted, unreadable=tuple(unreadable))


def _files(folder: Path) -> list[Path]:
    """All below records/ where there is one, else the folder's own files and those of its folders, as baselines lie."""
    if (folder / "records").is_dir():
        return sorted((folder / "records").rglob("*.json"))
    found = (*folder.glob("*.json"), *folder.glob("*/*.json"))
    return sorted(file for file in found if file.name != StudyInfo.FILE)


def _key(record: Record) -> Key:
    return record.case.name, record.engine


def matched(a: Side, b: Side) -> tuple[Side, Side]:
    """Both sides, where one is a single record: what it is to be compared with is clear, whatever else the other side holds.

    Two single records are compared whatever their case and engine.
    """
    if a.is_file and b.is_file:
        (key,), (record,) = a.records, b.records.values()
        return a, replace(b, records={key: record})
    if a.is_file:
        return a, replace(b, records={key: record for key, record in b.records.items() if key in a.records}, unreadable=())
    if b.is_file:
        return replace(a, records={key: record for key, record in a.records.items() if key in b.records}, unreadable=()), b
    return a, b
