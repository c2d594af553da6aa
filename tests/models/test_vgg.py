"""The VGG family: what it is made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from membench.models import NETWORKS
from membench.models.vgg import vgg

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)

# name, classes, shape, parameters by hand (weights of convolutions, 2 a channel for BatchNorm, the classifier), blocks
NETS = [
    ("vgg-mnist", 10, MNIST, 9 * (16 + 16 * 16 + 16 * 32 + 32 * 32) + 2 * 96 + (32 * 7 * 7 + 1) * 10, 2),
    (
        "vgg-cifar10",
        10,
        CIFAR,
        9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * 448 + (128 * 4 * 4 + 1) * 10,
        3,
    ),
    (
        "vgg-cifar100",
        100,
        CIFAR,
        9 * (3 * 48 + 48 * 48 + 48 * 96 + 96 * 96 + 96 * 192 + 192 * 192) + 2 * 672 + (192 * 4 * 4 + 1) * 100,
        3,
    ),
]
nets = pytest.mark.parametrize(("name", "classes", "shape", "parameters", "blocks"), NETS)


@nets
def test_output_shape(name: str, classes: int, shape: tuple[int, int, int], parameters: int, blocks: int) -> None:
    with torch.inference_mode():
        assert NETWORKS.get(name).build(classes, shape).eval()(torch.zeros(2, *shape)).shape == (2, classes)


@nets
def test_number_of_parameters(name: str, classes: int, shape: tuple[int, int, int], parameters: int, blocks: int) -> None:
    model = NETWORKS.get(name).build(classes, shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_vgg_mnist_has_32154_parameters() -> None:
    assert sum(parameter.numel() for parameter in NETWORKS.get("vgg-mnist").build(10, MNIST).parameters()) == 32154


@nets
def test_blocks_of_two_convolutions_each_with_batchnorm_and_relu(
    name: str, classes: int, shape: tuple[int, int, int], parameters: int, blocks: int
) -> None:
    layers = [type(layer) for layer in NETWORKS.get(name).build(classes, shape)]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2 + [nn.MaxPool2d]
    assert layers == block * blocks + [nn.Flatten, nn.Linear]


@nets
def test_convolutions_keep_the_size_and_leave_the_bias_to_batchnorm(
    name: str, classes: int, shape: tuple[int, int, int], parameters: int, blocks: int
) -> None:
    convolutions = [layer for layer in NETWORKS.get(name).build(classes, shape) if isinstance(layer, nn.Conv2d)]
    assert {(layer.kernel_size, layer.padding, layer.stride) for layer in convolutions} == {((3, 3), (1, 1), (1, 1))}
    assert all(layer.bias is None for layer in convolutions)


def test_an_odd_size_is_halved_as_the_maximum_halves_it() -> None:
    """28 -> 14 -> 7 -> 3: the classifier fits what the last maximum leaves."""
    with torch.inference_mode():
        assert vgg(((4,), (4,), (4,)), 5, MNIST).eval()(torch.zeros(1, *MNIST)).shape == (1, 5)
