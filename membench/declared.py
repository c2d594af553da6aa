"""Imports a Python file in which a user declares something: cases or a study."""

from __future__ import annotations

import importlib.util
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
    name = f"membench_declared_{file.stem}_{abs(hash(file.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SuiteError(f"{file} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except MembenchError as error:
        raise SuiteError(capped(f"{file}: {error}", str(file)) + _line(error, file)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and pytest.skip would end the process, or skip the gate
        said = f"{file} cannot be imported: {type(error).__name__}: {error}"
        raise SuiteError(capped(said, str(file)) + _line(error, file)) from error
    finally:
        del sys.modules[name]
    return module


def _line(error: BaseException, file: Path) -> str:
    """Where in the file an error arose, in words."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" (line {lines[-1]})" if lines else ""
