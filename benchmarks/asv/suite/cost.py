"""What simulating a case costs, on one thread."""

from __future__ import annotations

from typing import Any

from .measured import LABELS, setup, setup_cache, value  # noqa: F401 - asv looks for the first three here

params = [LABELS]
param_names = ["case"]
version = "1"  # another one when a number comes to mean something else: asv then shows no older ones beside it


def track_time(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "time")


track_time.pretty_name = "Simulation time per image"  # type: ignore[attr-defined]
track_time.unit = "seconds"  # type: ignore[attr-defined]


def track_ratio(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "ratio")


track_ratio.pretty_name = "Simulation time against the digital network's"  # type: ignore[attr-defined]
track_ratio.unit = "x digital"  # type: ignore[attr-defined]


def track_conversion(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "conversion")


track_conversion.pretty_name = "Conversion time"  # type: ignore[attr-defined]
track_conversion.unit = "seconds"  # type: ignore[attr-defined]


def track_memory(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "memory")


track_memory.pretty_name = "Peak memory of the process"  # type: ignore[attr-defined]
track_memory.unit = "MB"  # type: ignore[attr-defined]
