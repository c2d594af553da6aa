"""What a case loses in accuracy."""

from __future__ import annotations

from typing import Any

from .measured import LABELS, setup, setup_cache, value  # noqa: F401 - asv looks for the first three here

params = [LABELS]
param_names = ["case"]
version = "1"  # another one when a number comes to mean something else: asv then shows no older ones beside it


def track_loss(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "loss")


track_loss.pretty_name = "Accuracy loss"  # type: ignore[attr-defined]
track_loss.unit = "points"  # type: ignore[attr-defined]


def track_error(outcomes: dict[str, Any], case: str) -> Any:
    return value(outcomes, case, "error")


track_error.pretty_name = "Wrong answers"  # type: ignore[attr-defined]
track_error.unit = "% of images"  # type: ignore[attr-defined]
