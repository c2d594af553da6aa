"""What A or B may be: a record or baseline, a folder of them, or a commit with its committed baselines."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from membench.compare.revision import Revision, find_revision
from membench.errors import FileFormatError, InputError
from membench.record import Baseline, Record, load
from membench.storage import read_whole
from membench.strict_json import parse
from membench.study import StudyInfo

Key = tuple[str, str]  # case, engine
T = TypeVar("T")


@dataclass(frozen=True)
class Side:
    """The records of one side.

    Attributes:
        name: as reports name it.
        origin: the file, folder or commit.
        records: by case and engine.
        accepted: whether there are baselines among them.
        failures: of cases without a record, what went wrong: the file is damaged, or the measurement failed.
        unreadable: the same of files that do not tell of which case they are.
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

        def kept(content: dict[Key, T]) -> dict[Key, T]:
            return {
                (case, on): item
                for (case, on), item in content.items()
                if (not cases or case in cases) and engine in (None, on)
            }

        return replace(self, records=kept(self.records), failures=kept(self.failures))


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

    def said(reason: str) -> str:
        return reason.replace(str(extracted), f"{spec}:{baselines}")

    failures = {key: said(reason) for key, reason in side.failures.items()}
    return replace(side, failures=failures, unreadable=tuple(map(said, side.unreadable)))


def read_record(file: Path) -> tuple[Record, bool]:
    """The record in a file, and whether it is an accepted one.

    Raises:
        FileFormatError: when it is neither a record nor a baseline.
    """
    data = read_whole(file)
    if data is None:
        raise FileFormatError(f"Cannot read {file}: there is no such file.")
    if "record" in parse(data, str(file)):
        return load(Baseline, file).record, True
    return load(Record, file), False


def _read_folder(folder: Path, name: str, origin: Path | Revision) -> Side:
    records: dict[Key, Record] = {}
    places: dict[Key, Path] = {}
    failures: dict[Key, str] = {}
    unreadable: list[str] = []
    any_accepted = False
    for file in _files(folder):
        try:
            record, accepted = read_record(file)
        except FileFormatError as error:
            reason = str(error).replace("\n", " ")
            if key := _key_in(file):
                failures[key] = reason
            else:
                unreadable.append(reason)
            continue
        key = _key(record)
        if key in records:
            raise InputError(
                f"{places[key]} and {file} are both records of {key[0]!r} on engine {key[1]}. Compare them as files."
            )
        records[key], places[key] = record, file
        any_accepted |= accepted
    return Side(name, origin, records, any_accepted, failures, tuple(unreadable))


def _key_in(file: Path) -> Key | None:
    """The case and engine that a damaged record still names."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content = content.get("record", content)
        key = content["case"]["name"], content["engine"]
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return None
    return key if all(isinstance(part, str) for part in key) else None


def _files(folder: Path) -> list[Path]:
    """All below records/ where there is one, else the folder's own files and those of its folders, as baselines lie."""
    if (folder / "records").is_dir():
        return sorted((folder / "records").rglob("*.json"))
    found = (*folder.glob("*.json"), *folder.glob("*/*.json"))
    return sorted(file for file in found if file.name != StudyInfo.FILE)


def place_of(key: Key, folder: Path) -> Path:
    """Where a record is written so that it is read together with those that are there: a records/ would hide a folder's own files."""
    flat = not (folder / "records").is_dir() and _files(folder)
    return (folder if flat else folder / "records") / key[1] / f"{key[0]}.json"


def _key(record: Record) -> Key:
    return record.case.name, record.engine


def matched(a: Side, b: Side) -> tuple[Side, Side]:
    """Both sides, where one is a single record: what it is to be compared with is clear, whatever else the other side holds.

    Two single records are compared whatever their case and engine.
    """
    if a.is_file and b.is_file:
        keys = a.records or b.records  # none of a side that is not of the cases and the engine chosen
        return a, replace(b, records=dict(zip(keys, b.records.values(), strict=False)))
    if a.is_file:
        return a, _only_keys(b, a)
    if b.is_file:
        return _only_keys(a, b), b
    return a, b


def _only_keys(side: Side, of: Side) -> Side:
    """`side`, less what `of` has not."""
    records = {key: record for key, record in side.records.items() if key in of.records}
    failures = {key: reason for key, reason in side.failures.items() if key in of.records}
    return replace(side, records=records, failures=failures, unreadable=())
