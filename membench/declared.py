"""Imports a Python file in which a user declares something: cases or a study."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from membench.errors import MembenchError, SuiteError
from membench.words import capped


def import_file(file: Path) -> ModuleType:
    """Run a declaring file.

    Raises:
        SuiteError: names the file and what was wrong in it.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise SuiteError(f"{file} cannot be imported: {error.strerror}.") from error
    return import_source(source, file)


def import_source(source: str | bytes, file: Path) -> ModuleType:
    """Run the text of a declaring file, which may lie on another machine: what it declares is of `file` all the same.

    Raises:
        SuiteError: names the file and what was wrong in it.
    """
    module = ModuleType(f"membench_declared_{file.stem}_{abs(hash(file.absolute()))}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    except MembenchError as error:
        raise SuiteError(capped(f"{file}: {error}", str(file)) + _line(error, file)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and pytest.skip would end the process, or skip the gate
        said = f"{file} cannot be imported: {type(error).__name__}: {error}"
        raise SuiteError(capped(said, str(file)) + _line(error, file)) from error
    finally:
        del sys.modules[module.__name__]
    return module


def _line(error: BaseException, file: Path) -> str:
    """Where in the file an error arose, in words."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" (line {lines[-1]})" if lines else ""
