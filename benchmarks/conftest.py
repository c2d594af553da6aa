"""Timings stand aside unless they are asked for: `pytest benchmarks/` is the accuracy gate."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `speed`, unless -m speaks of it and so decides. Nothing is skipped, so the gate's summary stays."""
    if "speed" in config.option.markexpr:
        return
    timings = [item for item in items if item.get_closest_marker("speed")]
    if timings:
        config.hook.pytest_deselected(items=timings)
        items[:] = [item for item in items if item not in timings]
