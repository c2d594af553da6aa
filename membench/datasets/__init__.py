"""Data sets: one file each. A new data set is one new file here, or `DATASETS.add(...)` in a user's own.

Arrays, .npz files, image folders and torch data sets become one in one line: `arrays`, `npz`, `image_folder`, `torch_dataset`.
"""

from membench.datasets._arrays import arrays, npz
from membench.datasets._asked import check_images, count_test_images
from membench.datasets._base import DATASETS, Dataset
from membench.datasets._contract import UnusualDataWarning, values_of
from membench.datasets._folder import image_folder
from membench.datasets._made import Known
from membench.datasets._split import Part, Split, balanced_order, image_hashes
from membench.datasets._torch import torch_dataset

__all__ = [
    "DATASETS",
    "Dataset",
    "Known",
    "Part",
    "Split",
    "UnusualDataWarning",
    "arrays",
    "balanced_order",
    "check_images",
    "count_test_images",
    "image_folder",
    "image_hashes",
    "npz",
    "torch_dataset",
    "values_of",
]
