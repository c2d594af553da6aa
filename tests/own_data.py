"""Data sets as users make them: `import own_data` (tests/ is on sys.path because of its conftest).

Each kind holds the same 1,500 + 1,000 samples of three classes: the mean of a sample rises with its class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from membench.datasets import Dataset, Split, arrays, image_folder, npz, torch_dataset

CLASSES = 3


def labels(number: int) -> np.ndarray:
    return np.arange(number) % CLASSES


def pixels(number: int, shape: tuple[int, ...] = (3, 6, 6), seed: int = 0) -> np.ndarray:
    """Random bytes, 60 more for each class; uint8, (number, *shape)."""
    noise = np.random.default_rng(seed).integers(0, 136, (number, *shape))
    classes = labels(number).reshape(-1, *[1] * len(shape))
    return (noise + 60 * classes).clip(0, 255).astype(np.uint8)


def signals(number: int, shape: tuple[int, ...] = (1, 40), seed: int = 0) -> np.ndarray:
    """Random numbers in millivolts, 1 more for each class; float32, (number, *shape)."""
    noise = np.random.default_rng(seed).normal(size=(number, *shape))
    return (noise + labels(number).reshape(-1, *[1] * len(shape))).astype(np.float32)


TRAIN, TEST = 1_500, 1_000


class Signals(Dataset):
    """A class of one's own: numpy arrays, int32 labels, float signals."""

    classes, shape, mean, std = CLASSES, (1, 40), (1.0,), (1.29,)
    test_images = TEST

    def find(self, root: Path) -> Path:
        return Path(__file__)

    def read(self, found: Path, part: str) -> Split:
        number = {"train": TRAIN, "test": TEST}[part]
        return Split(signals(number, seed=len(part)), labels(number).astype(np.int32))  # type: ignore[arg-type]


def named(name: str, dataset: Dataset) -> Dataset:
    """As `DATASETS.add` names it; that another test registers the same name does not matter."""
    dataset.name = name
    return dataset


def write_folder(place: Path, images: np.ndarray) -> Path:
    """`place`/CLASS/NUMBER.png"""
    for number, (image, label) in enumerate(zip(images, labels(len(images)), strict=True)):
        folder = place / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.moveaxis(image, 0, 2)).save(folder / f"{number:04}.png")
    return place


def of_class(place: Path) -> Dataset:
    return named("own-class", Signals())


def of_arrays(place: Path) -> Dataset:
    return named("own-arrays", arrays(pixels(TRAIN), labels(TRAIN), pixels(TEST, seed=1), labels(TEST)))


def of_one_array(place: Path) -> Dataset:
    return named("own-array", arrays(pixels(TRAIN + TEST), labels(TRAIN + TEST), test_fraction=0.4))


def of_npz(place: Path) -> Dataset:
    x_train, x_test = signals(TRAIN), signals(TEST, seed=1)
    np.savez(place / "own.npz", x_train=x_train, y_train=labels(TRAIN), x_test=x_test, y_test=labels(TEST))
    return named("own-npz", npz(place / "own.npz"))


def of_folder(place: Path) -> Dataset:
    write_folder(place / "train", pixels(TRAIN))
    write_folder(place / "test", pixels(TEST, seed=1))
    return named("own-folder", image_folder(place))


def of_torch(place: Path) -> Dataset:
    parts = [(signals(TRAIN, (2, 5, 5)), labels(TRAIN)), (signals(TEST, (2, 5, 5), seed=1), labels(TEST))]
    train, test = (TensorDataset(torch.from_numpy(x), torch.from_numpy(y)) for x, y in parts)
    return named("own-torch", torch_dataset(train, test, channels="first"))


KINDS: Mapping[str, Callable[[Path], Dataset]] = {
    "a class": of_class,
    "arrays": of_arrays,
    "one array": of_one_array,
    "npz": of_npz,
    "image folder": of_folder,
    "torch data set": of_torch,
}
