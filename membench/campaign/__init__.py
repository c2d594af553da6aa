"""A study, run: checked whole before it starts, estimated, spread over processes, and resumed where it was left."""

from membench.campaign._run import Campaign, State, prepare
from membench.campaign._store import RecordStore

__all__ = ["Campaign", "RecordStore", "State", "prepare"]
