"""Finds declared cases: every `*.py` below a folder, each with a list `CASES`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from membench.case import Case
from membench.errors import MembenchError, SuiteError, UnknownNameError


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
    name = f"membench_cases_{file.stem}_{abs(hash(file.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SuiteError(f"{file} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except MembenchError as error:
        raise SuiteError(f"{file}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and pytest.skip would end the process, or skip the gate
        raise SuiteError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        del sys.modules[name]
    cases = getattr(module, "CASES", None)
    if not isinstance(cases, list | tuple) or not all(isinstance(case, Case) for case in cases):
        raise SuiteError(f"{file} must declare CASES, a list of membench.Case. (Files that start with _ are not read.)")
    return list(cases)
