"""Fixtures for all tests: a cache of their own, real data where they are, and a network small enough for MemTorch in a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from membench import Case, Conversion, Thresholds
from membench.models import NETWORKS, Network, Recipe

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MEMBENCH_DATA") or ROOT.parent / "shared" / "data")

pytest_plugins = ["pytester"]


def tiny(classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """A convolution and a classifier: 874 parameters on MNIST, over 80 % right after a second of training."""
    channels, height, width = shape
    features = 4 * (height // 4) * (width // 4)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, stride=4, padding=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(features, classes),
    )


NETWORKS.add("tiny", Network("tiny", tiny, Recipe(epochs=4, mirror=False, shift=0)))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that no other run sees, so that a test cannot pass on what an earlier one left."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMBENCH_CACHE", str(folder))
        patch.setenv("MEMBENCH_DATA", str(SHARED))
        yield folder


@pytest.fixture
def case() -> Case:
    """A case that MemTorch runs in about a second: the tiny network on mnist5k, untiled."""
    return make_case()


def make_case(**changes: object) -> Case:
    """The small case of the fixture `case`, with other fields."""
    fields: dict[str, object] = {
        "name": "small",
        "dataset": "mnist5k",
        "network": "tiny",
        "conversion": Conversion(),
        "thresholds": Thresholds(max_loss_points=5.0),
        "seeds": (0,),
        "images": 40,
    }
    return Case(**{**fields, **changes})


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip where a data set that cannot be committed is not on this machine."""
    from membench.datasets import DATASETS

    return pytest.mark.skipif(DATASETS.get(name).find(SHARED) is None, reason=f"{name} is not below {SHARED}: set MEMBENCH_DATA")
