"""Engines: how a converted network is executed. One file each, behind one small protocol that knows nothing of MemTorch."""

from membench.engines._base import ENGINES, Converted, Engine, Problem
from membench.engines._layers import Plan, PlannedLayer, evaluated, layer_at, observed

__all__ = [
    "ENGINES",
    "Converted",
    "Engine",
    "Plan",
    "PlannedLayer",
    "Problem",
    "evaluated",
    "layer_at",
    "observed",
]
