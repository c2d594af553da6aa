"""Labelled images in memory: their hashes, a balanced and seeded order, and a split by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from membench.runtime import derive_seed
from membench.storage import sha256

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Split:
    """Images, or other samples of one shape, with their classes.

    What `Dataset.load` returns holds tensors. `Dataset.read` may give numpy arrays too, and any integer type for the labels.

    Attributes:
        images: shape (n, channels, *size); uint8, which stands for 0 to 1 in steps of 1/255, or float32, in any unit.
        labels: int64, shape (n,); the classes count from 0.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def take(self, order: Tensor) -> Split:
        return Split(self.images[order], self.labels[order])

    @cached_property
    def labelled_digest(self) -> str:
        """One hash for the images with their classes, whatever their order."""
        pairs = zip(image_hashes(self), self.labels.tolist(), strict=True)
        return sha256("\n".join(sorted(f"{hashed} {label}" for hashed, label in pairs)).encode())


def image_hashes(split: Split) -> list[str]:
    """A 64-bit hash of each image's values, as 16 hexadecimal digits."""
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).hexdigest() for image in split.images.contiguous()]


def without(split: Split, others: Split) -> Split:
    """`split` less the images that are also among `others`, to the last value."""
    known = set(image_hashes(others))
    keep = [index for index, hashed in enumerate(image_hashes(split)) if hashed not in known]
    return split if len(keep) == len(split) else split.take(torch.tensor(keep, dtype=torch.int64))


def held_out(split: Split, number: Callable[[int], int]) -> NDArray[np.bool_]:
    """Which images are test images: of each class those with the lowest hashes.

    No seed and no order take part: the same images give the same parts, however they lie on disk.

    Args:
        number: of test images, given how many images a class has.

    Returns:
        One flag an image, shape (n,).
    """
    hashes, labels = np.array(image_hashes(split)), split.labels.numpy()
    test = np.zeros(len(split), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        test[members[np.argsort(hashes[members], kind="stable")[: number(len(members))]]] = True
    return test


def balanced_order(split: Split, seed: int) -> Tensor:
    """An order of all images of which every beginning is balanced over the classes.

    Each class is shuffled, then the classes take turns, in an order that is shuffled anew each turn. It depends on the
    images themselves and not on their order on disk, so that two layouts of a data set give the same subset.

    Args:
        split: the images.
        seed: another seed, another order.

    Returns:
        int64 indices, shape (n,).
    """
    rng = np.random.default_rng(derive_seed(seed, "subset"))
    by_hash = np.argsort(np.array(image_hashes(split)), kind="stable")
    labels = split.labels.numpy()[by_hash]
    queues = [rng.permutation(by_hash[labels == label]) for label in np.unique(labels)]
    order: list[int] = []
    for turn in range(max(map(len, queues))):
        order += [int(queues[k][turn]) for k in rng.permutation(len(queues)) if turn < len(queues[k])]
    return torch.tensor(order)
