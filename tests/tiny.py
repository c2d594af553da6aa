"""A network small enough for MemTorch in a second. One file registers it, as a user's own would."""

from __future__ import annotations

from torch import nn

from membench.models import NETWORKS, Network, Recipe


def tiny(classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """A convolution and a classifier: 2078 parameters on MNIST, over 80 % right after a second of training."""
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
