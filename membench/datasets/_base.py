"""What a data set is: where it is found, what it holds, and a balanced, seeded order of its images."""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from membench.errors import DataMissingError, EnvironmentProblemError, FileFormatError, MembenchError
from membench.registry import Registry
from membench.runtime import derive_seed
from membench.storage import data_root, locked, sha256

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Split:
    """Images with their classes.

    Attributes:
        images: uint8, shape (n, channels, height, width).
        labels: int64, shape (n,).
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


class Dataset(ABC):
    """A data set of images, found on this machine or told how to get.

    Attributes:
        name: as a case names it.
        classes: how many.
        shape: (channels, height, width) of an image.
        mean: of each channel over the training images, pixels in [0, 1].
        std: of each channel.
        augment: what training does to an image at random: `shift` by a few pixels, `mirror` left to right.
    """

    name: ClassVar[str]
    classes: ClassVar[int]
    shape: ClassVar[tuple[int, int, int]]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    augment: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def find(self, root: Path) -> Path | None:
        """Where the data lie below `root`, or None."""

    @abstractmethod
    def read(self, found: Path, part: Part) -> Split:
        """Read one part from where `find` found it."""

    def download(self, root: Path) -> None:
        """Fetch the data to `root` with a progress bar. Data that come with a package need none."""
        raise DataMissingError(f"{self.name} cannot be downloaded.")

    def get(self, root: Path) -> None:
        """Download the data to `root` unless they are there and whole; one process at a time. Damaged ones are put aside.

        Raises:
            EnvironmentProblemError: when the download fails, or the folder cannot be written.
        """
        try:
            with locked(root / f".{self.name}.lock"):
                if not self._whole(root):
                    self.download(root)
        except MembenchError:
            raise
        except Exception as error:  # of torchvision, http.client, tarfile, zlib
            raise EnvironmentProblemError(
                f"{self.name} could not be downloaded to {root}: {error}. Is there a network, and can the folder be written? "
                "Or put the files there by hand, in torchvision's layout or as Hugging Face's parquet files."
            ) from error

    def _whole(self, root: Path) -> bool:
        found = self.find(root)
        try:
            self.load("train", root)
        except DataMissingError:
            return False
        except FileFormatError:
            if found is None or not found.is_relative_to(root):
                raise
            aside = found.with_name(f"{found.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            found.rename(aside)
            return False
        return True

    @property
    def remedy(self) -> str:
        """The command that gets the data."""
        return f"membench data get {self.name}"

    def load(self, part: Part, root: Path | None = None) -> Split:
        """One part of the data, checked. Training images that are test images as well are left out (CIFAR-100 has some).

        Args:
            part: `train` or `test`.
            root: where to look; MEMBENCH_DATA, else the cache folder.

        Raises:
            DataMissingError: when the data are not there; says where it looked and what to do.
            FileFormatError: when a file is truncated or holds other images than it should; names the file.
        """
        place = root or data_root()
        found = self.find(place)
        if found is None:
            raise DataMissingError(
                f"{self.name} was not found below {place}. Get it with: {self.remedy} - or set MEMBENCH_DATA to a folder that has it, "
                "in torchvision's layout or as Hugging Face's parquet files."
            )
        split = _load(self, found, part, _stamp(found))
        self.check(split, found)
        if part == "train":
            split = _without(split, self.load("test", root))
        return split

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, channels, height, width) as float32 with mean 0 and deviation 1 a channel."""
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        return (images.float() / 255 - mean) / std

    def check(self, split: Split, found: Path) -> None:
        """Raise FileFormatError where what was read from `found` is not as many labelled images of every class as there should be."""
        if len(split) == 0 or len(split) != len(split.labels):
            raise FileFormatError(f"{found}: {len(split)} images and {len(split.labels)} labels. Get it again: {self.remedy}")
        if tuple(split.images.shape[1:]) != self.shape:
            raise FileFormatError(
                f"{found} holds images of shape {tuple(split.images.shape[1:])}; {self.name} has {self.shape}. Get it again: {self.remedy}"
            )
        classes = torch.unique(split.labels)
        if classes.tolist() != list(range(self.classes)):
            raise FileFormatError(
                f"{found} holds {len(classes)} classes; {self.name} has {self.classes}. Get it again: {self.remedy}"
            )


def _stamp(found: Path) -> object:
    """Changes when a file does, so that what was read before is not taken for what lies there now."""
    files = sorted(found.iterdir()) if found.is_dir() else [found]
    return tuple((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


@lru_cache(maxsize=4)
def _load(dataset: Dataset, found: Path, part: Part, stamp: object) -> Split:
    return dataset.read(found, part)


DATASETS: Registry[Dataset] = Registry("data set", "membench.datasets")


def image_hashes(split: Split) -> list[str]:
    """A 64-bit hash of each image's pixels, as 16 hexadecimal digits."""
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).hexdigest() for image in split.images.contiguous()]


def _without(split: Split, others: Split) -> Split:
    """`split` less the images that are also among `others`, to the last pixel."""
    known = set(image_hashes(others))
    keep = [index for index, hashed in enumerate(image_hashes(split)) if hashed not in known]
    return split if len(keep) == len(split) else split.take(torch.tensor(keep))


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
