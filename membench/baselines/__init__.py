"""The store of accepted records: one JSON file a case and engine, and one way to change it."""

from membench.baselines._store import BaselineStore, check_acceptable, checked_reason

__all__ = ["BaselineStore", "check_acceptable", "checked_reason"]
