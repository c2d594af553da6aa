"""Data sets: one file each. A new data set is one new file here, or `DATASETS.add(...)` in a user's own."""

from membench.datasets._base import DATASETS, Dataset
from membench.datasets._contract import UnusualDataWarning, values_of
from membench.datasets._split import Part, Split, balanced_order, image_hashes

__all__ = ["DATASETS", "Dataset", "Part", "Split", "UnusualDataWarning", "balanced_order", "image_hashes", "values_of"]
