"""Measures the tracked cases, once a commit, for the benchmarks beside it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

# The tracked cases, unless MEMBENCH_ASV_CASES names others, separated by commas: few and quick.
CASES = "mnist5k-ideal,mnist5k-miv-3v,mnist5k-states-4"
ENGINE = "vectorized"

_ROOT = Path(__file__).resolve().parents[3]


def _of_this_checkout(file: Path) -> ModuleType:
    """A module by its path: the membench that could be imported is the one of the commit that is measured."""
    spec = importlib.util.spec_from_file_location(f"this_checkout_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tracking = _of_this_checkout(_ROOT / "membench" / "tracking.py")
TRACKED = tracking.tracked(_ROOT / "baselines" / ENGINE, os.environ.get("MEMBENCH_ASV_CASES", CASES).split(","))
LABELS = list(TRACKED)


def setup_cache() -> dict[str, Any]:
    """The outcome of each case; asv hands it to every benchmark."""
    outcomes: dict[str, Any] = tracking.outcomes(TRACKED)
    return outcomes


setup_cache.timeout = 3600  # type: ignore[attr-defined]


def setup(outcomes: dict[str, Any], case: str) -> None:
    """asv shows n/a for what the commit cannot express."""
    if "unfit" in outcomes[case]:
        raise NotImplementedError(outcomes[case]["unfit"])


def value(outcomes: dict[str, Any], case: str, name: str) -> Any:
    """A tracked value of a case.

    Raises:
        RuntimeError: says how the case failed.
    """
    if "failed" in outcomes[case]:
        raise RuntimeError(f"{case} could not be measured: {outcomes[case]['failed']}")
    return outcomes[case]["values"][name]
