"""A study, run: checked whole before it starts, estimated, spread over Dask's workers, and resumed where it was left."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from membench.campaign._cluster import Workers
    from membench.campaign._grid import grid
    from membench.campaign._prepare import prepare
    from membench.campaign._run import Campaign
    from membench.campaign._state import State
    from membench.campaign._status import ClientStatus, StoreStatus, status_of
    from membench.campaign._store import PointError, Store

__all__ = ["Campaign", "ClientStatus", "PointError", "State", "Store", "StoreStatus", "Workers", "grid", "prepare", "status_of"]

_WHERE = {
    "Campaign": "_run",
    "ClientStatus": "_status",
    "PointError": "_store",
    "State": "_state",
    "Store": "_store",
    "StoreStatus": "_status",
    "Workers": "_cluster",
    "grid": "_grid",
    "prepare": "_prepare",
    "status_of": "_status",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:  # to look at a store needs neither torch nor Dask, which take seconds to import
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
