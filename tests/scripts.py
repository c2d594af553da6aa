"""Files of tools/ as modules: they are scripts, and in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/NAME.py, imported anew for one test."""
    alias = f"{name}_for_test"
    spec = importlib.util.spec_from_file_location(alias, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, alias, module)
    spec.loader.exec_module(module)
    return module
