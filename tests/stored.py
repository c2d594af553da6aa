"""A data set of a user's own, small enough to be trained on in a moment: noisy patterns of three classes in one .npz file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from membench.datasets import Dataset, Split
from membench.models import Network, Recipe

RECIPE = Recipe(epochs=8, batch_size=30, max_lr=0.2, weight_decay=0.0, shift=0, mirror=False)


class Stored(Dataset):
    """What `write` puts into a folder."""

    name = "stored"
    classes = 3
    shape = (1, 6, 6)
    mean = (0.5,)
    std = (0.25,)
    shares_images = True  # as some tests write it

    def find(self, root: Path) -> Path | None:
        file = root / "stored.npz"
        return file if file.exists() else None

    def read(self, found: Path, part: Any) -> Split:
        with np.load(found) as content:
            return Split(torch.from_numpy(content[f"x_{part}"]), torch.from_numpy(content[f"y_{part}"]))


def drawn(seed: int = 0, train: int = 120, test: int = 60, noise: float = 180.0) -> dict[str, Any]:
    """Patterns of three classes in noise: so loud that a network learns its training images by heart, and not the others."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(40, 216, (3, 1, 6, 6))

    def part(count: int) -> tuple[Any, Any]:
        labels = np.arange(count) % 3
        images = patterns[labels] + rng.normal(0, noise, (count, 1, 6, 6))
        return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)

    (x_train, y_train), (x_test, y_test) = part(train), part(test)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def write(folder: Path, arrays: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "stored.npz", **arrays)
    return folder


def network(*, activation: Callable[[], nn.Module] = nn.ReLU, between: Callable[[], nn.Module] = nn.Identity) -> Network:
    """Two fully connected layers of the name `mine`."""

    def build(classes: int, shape: Any) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(36, 64), nn.BatchNorm1d(64), activation(), between(), nn.Linear(64, classes)
        )

    return Network("mine", build, RECIPE)
