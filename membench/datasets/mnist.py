"""MNIST: 60,000 + 10,000 handwritten digits (LeCun, Cortes, Burges), in torchvision's layout."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from membench.datasets._base import DATASETS
from membench.datasets._builtin import BuiltIn
from membench.datasets._split import Part, Split
from membench.errors import FileFormatError

_FILES = {"train": "train", "test": "t10k"}


class MNIST(BuiltIn):
    name = "mnist"
    classes = 10
    shape = (1, 28, 28)
    mean = (0.1307,)
    std = (0.3081,)
    augment = ("shift",)
    test_images = 10_000
    layouts = "in torchvision's layout"

    def find(self, root: Path) -> Path | None:
        place = root / "MNIST" / "raw"
        names = [f"{prefix}-{kind}" for prefix in _FILES.values() for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        return place if any((place / name).exists() for name in names) else None

    def read(self, found: Path, part: Part) -> Split:
        images = read_idx(found / f"{_FILES[part]}-images-idx3-ubyte", 3)
        labels = read_idx(found / f"{_FILES[part]}-labels-idx1-ubyte", 1)
        return Split(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))

    def download(self, root: Path) -> None:
        import torchvision  # takes a second, and is needed for downloads alone

        torchvision.datasets.MNIST(str(root), download=True)


def read_idx(file: Path, dimensions: int) -> np.ndarray:
    """An array of unsigned bytes in the IDX format: magic 0x08, number of dimensions, their sizes, the bytes."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{file} cannot be read: {error.strerror}. Get it again: membench data get mnist") from error
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]):
        raise FileFormatError(f"{file} is no IDX file of {dimensions} dimensions. Get it again: membench data get mnist")
    if len(data) < header:
        raise FileFormatError(f"{file} ends within its header. Get it again: membench data get mnist")
    sizes = tuple(int(size) for size in np.frombuffer(data[4:header], dtype=">u4"))
    if len(data) - header != math.prod(sizes):
        raise FileFormatError(
            f"{file} is truncated or too long: {math.prod(sizes)} bytes should follow its header, {len(data) - header} do. "
            "Get it again: membench data get mnist"
        )
    return np.frombuffer(data[header:], dtype=np.uint8).reshape(sizes).copy()


DATASETS.add(MNIST.name, MNIST())
