"""The store of accepted records: one JSON file a case and engine, and one way to change it."""

from membench.baselines._store import BaselineStore

__all__ = ["BaselineStore"]
