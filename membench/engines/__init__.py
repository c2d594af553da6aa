"""Engines: how a converted network is executed. One file each, behind one small protocol that knows nothing of MemTorch."""

from membench.engines._base import ENGINES, Converted, Engine, Problem
from membench.engines._calls import Batches, Call
from membench.engines._examine import FirstCall, check_converted
from membench.engines._layers import Plan, PlannedLayer, evaluated, layer_at, observed

__all__ = [
    "ENGINES",
    "Batches",
    "Call",
    "Converted",
    "Engine",
    "FirstCall",
    "Plan",
    "PlannedLayer",
    "Problem",
    "check_converted",
    "evaluated",
    "layer_at",
    "observed",
]
