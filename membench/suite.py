"""Finds declared cases: every `*.py` below a folder, each with a list `CASES`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from membench.case import Case
from membench.declared import import_file
from membench.errors import SuiteError, UnknownNameError


@dataclass(frozen=True)
class Declared:
    """A case and the file that declares it."""

    case: Case
    file: Path


@dataclass(frozen=True)
class Suite:
    """Declared cases, in the order of files and lines."""

    declared: tuple[Declared, ...]

    def __iter__(self) -> Iterator[Case]:
        return (item.case for item in self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def get(self, name: str) -> Case:
        """The case of that name."""
        for case in self:
            if case.name == name:
                return case
        raise UnknownNameError(f"There is no case {name!r}. Declared: {', '.join(case.name for case in self)}.")


def load_suite(folders: Sequence[Path]) -> Suite:
    """Import each declaring file below `folders`.

    Raises:
        SuiteError: when a folder is missing, a file cannot be imported or has no CASES, two cases share a name, or none is
            declared at all.
    """
    declared: list[Declared] = []
    for folder in {folder.resolve(): folder for folder in folders}.values():
        if not folder.is_dir():
            raise SuiteError(f"There is no folder of cases at {folder}. Make it, or name another one with --cases.")
        for file in sorted(folder.rglob("*.py")):
            if not file.name.startswith("_"):
                declared += [Declared(case, file) for case in _cases_of(file)]
    if not declared:
        raise SuiteError(f"No case is declared below {', '.join(map(str, folders))}. An empty suite measures nothing.")
    seen: dict[str, Path] = {}
    for item in declared:
        if item.case.name in seen:
            raise SuiteError(
                f"Two cases are named {item.case.name!r}: in {seen[item.case.name]} and in {item.file}. Rename one."
            )
        seen[item.case.name] = item.file
    return Suite(tuple(declared))


def _cases_of(file: Path) -> list[Case]:
    module = import_file(file)
    cases = getattr(module, "CASES", None)
    if not isinstance(cases, list | tuple) or not all(isinstance(case, Case) for case in cases):
        raise SuiteError(f"{file} must declare CASES, a list of membench.Case. (Files that start with _ are not read.)")
    return list(cases)
