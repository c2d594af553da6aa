"""Finds declared cases: every `*.py` below a folder, each with a list `CASES`."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from membench.case import Case
from membench.declared import import_file
from membench.errors import SuiteError, UnknownNameError
from membench.words import quoted


@dataclass(frozen=True)
class Declared:
    """A case and the file that declares it."""

    case: Case
    file: Path

    @property
    def line(self) -> int:
        """Where the file speaks of the case, from 1: its name, else the longest text that its name ends with, else CASES."""
        with tokenize.open(self.file) as source:  # in the encoding that its first lines name
            return _line(source.read(), self.case.name)


def _line(source: str, name: str) -> int:
    nodes = list(ast.walk(ast.parse(source)))
    texts = [(node.value, node.lineno) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    ends = [(len(text), line) for text, line in texts if len(text) > 1 and name.endswith(text)]
    if ends:
        return max(ends)[1]
    assigned = (node for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign))
    return next((node.lineno for node in assigned if "CASES" in ast.unparse(node).split("=")[0]), 1)


@dataclass(frozen=True)
class Suite:
    """Declared cases, in the order of files and lines."""

    declared: tuple[Declared, ...]

    def __iter__(self) -> Iterator[Case]:
        return (item.case for item in self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def declared_as(self, name: str) -> Declared | None:
        """The case of that name with its file, or None."""
        return next((item for item in self.declared if item.case.name == name), None)

    def get(self, name: str) -> Case:
        """The case of that name."""
        if found := self.declared_as(name):
            return found.case
        raise UnknownNameError(f"There is no case {quoted(name)}. Declared: {', '.join(case.name for case in self)}.")


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
