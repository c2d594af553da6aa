"""A study, run: checked whole before it starts, estimated, spread over Dask's workers, and resumed where it was left."""

from membench.campaign._cluster import Workers
from membench.campaign._prepare import prepare
from membench.campaign._run import Campaign
from membench.campaign._state import State
from membench.campaign._store import PointError, Store

__all__ = ["Campaign", "PointError", "State", "Store", "Workers", "prepare"]
