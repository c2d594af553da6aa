"""VGG-style CNNs (Simonyan and Zisserman, arXiv 1409.1556) with BatchNorm and ReLU, as in arXiv 2407.13410.

Blocks of two 3x3 convolutions and a 2x2 maximum, then one fully connected layer: two blocks for MNIST, three for CIFAR-10,
three larger ones for CIFAR-100. The paper's channels are not known; these are membench's own.
"""

from __future__ import annotations

import functools

from torch import nn

from membench.models._base import NETWORKS, Network, Recipe


def vgg(blocks: tuple[tuple[int, ...], ...], classes: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """Blocks of convolutions and a maximum, then a classifier.

    Args:
        blocks: channels of each convolution of each block.
        classes: outputs.
        shape: (channels, height, width) of an image.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for block in blocks:
        for out in block:
            layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
        height, width = height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, classes))


_CIFAR10 = Recipe(epochs=20, shift=4, label_smoothing=0.1, precision="bfloat16")
_CIFAR100 = Recipe(epochs=30, shift=4, label_smoothing=0.1, precision="bfloat16")

for _network in (
    Network(
        "vgg-mnist",
        functools.partial(vgg, ((16, 16), (32, 32))),
        Recipe(epochs=15, mirror=False),
        {"mnist5k": Recipe(epochs=40, batch_size=64, max_lr=0.02, mirror=False)},
    ),
    Network("vgg-cifar10", functools.partial(vgg, ((32, 32), (64, 64), (128, 128))), _CIFAR10),
    Network("vgg-cifar100", functools.partial(vgg, ((48, 48), (96, 96), (192, 192))), _CIFAR100),
):
    NETWORKS.add(_network.name, _network)
