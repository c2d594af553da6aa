"""Two sides compared case by case: commits, folders of records, single records, or baselines and a run."""

from membench.compare.comparison import CaseChange, Comparison, Finding, compare_sides
from membench.compare.sides import Side, read_side

__all__ = ["CaseChange", "Comparison", "Finding", "Side", "compare_sides", "read_side"]
