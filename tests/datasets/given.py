"""A data set whose parts a test gives: `from given import Own` (pytest puts this folder on sys.path)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from membench.datasets import DATASETS, Dataset, Split
from membench.errors import MembenchError
from membench.models import NETWORKS

HERE = Path(__file__)
NUMBER = 60


def pixels(shape: tuple[int, ...] = (1, 8, 8), seed: int = 0, number: int = NUMBER) -> np.ndarray:
    """Bytes of three classes, the brighter the higher."""
    noise = np.random.default_rng(seed).integers(0, 100, (number, *shape))
    return (noise + 60 * classes(number).reshape(-1, *[1] * len(shape))).astype(np.uint8)


def classes(number: int = NUMBER) -> np.ndarray:
    return np.arange(number) % 3


def both(images: Any, labels: Any) -> dict[str, Split]:
    """Parts from functions of the usual images and labels."""
    return {part: Split(images(pixels(seed=seed)), labels(classes())) for seed, part in enumerate(("train", "test"))}


def same(value: Any) -> Any:
    return value


def tensor(value: Any) -> Any:
    return torch.from_numpy(value)


@dataclass(eq=False)
class Own(Dataset):
    """A data set whose parts a test gives."""

    parts: dict[str, Any] = field(default_factory=lambda: both(tensor, tensor))
    name: str = "own"
    classes: Any = 3
    shape: Any = (1, 8, 8)
    mean: Any = (0.43,)
    std: Any = (0.22,)
    augment: Any = ()

    def find(self, root: Path) -> Path | None:
        return HERE

    def read(self, found: Path, part: str) -> Split:
        given: Split = self.parts[part]
        return given


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is gone after it."""
    yield
    for registry in (DATASETS, NETWORKS):
        for name in ("own", "other", "a/b", "own-net"):
            registry._items.pop(name, None)  # type: ignore[attr-defined]
            registry._files.pop(name, None)


def flat(classes: int, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def refusal(dataset: Dataset) -> str:
    """Why a part cannot be loaded, in one line."""
    with pytest.raises(MembenchError) as caught:
        dataset.load("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)
