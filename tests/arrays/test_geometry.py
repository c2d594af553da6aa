"""Geometry: torch's own convolutions, whole and cut into word lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from membench.arrays.geometry import Geometry, matrix_of, scaled
from membench.runtime import pinned_threads

# torch's own, of its padding="same".
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths and odd dilation")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def numbers(*shape: int) -> Tensor:
    """Whole numbers, so that every order of adding gives the same sum."""
    return torch.randint(-8, 9, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


def whole(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        parameter.data = numbers(*parameter.shape)
        parameter.requires_grad_(False)
    return layer


LAYERS = [
    (nn.Linear(7, 5), ()),
    (nn.Linear(7, 5, bias=False), ()),
    (nn.Conv1d(3, 5, 4, stride=3, padding=2), (17,)),
    (nn.Conv1d(3, 5, 4, padding="same", dilation=3), (17,)),
    (nn.Conv1d(3, 5, 4, padding="valid", bias=False), (17,)),
    (nn.Conv2d(3, 5, 3, padding=1), (8, 9)),
    (nn.Conv2d(3, 5, (1, 4), stride=(2, 1), padding=(0, 3)), (8, 9)),
    (nn.Conv2d(3, 5, (4, 1), stride=(1, 3), dilation=(2, 1)), (8, 9)),
    (nn.Conv2d(3, 5, (2, 4), padding="same", dilation=(3, 1)), (8, 9)),
    (nn.Conv2d(3, 5, (2, 3), padding="valid", stride=2), (8, 9)),
    (nn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 2), padding=(1, 0, 2), dilation=(1, 1, 2)), (5, 6, 4)),
    (nn.Conv3d(2, 4, (2, 4, 3), padding="same"), (5, 6, 4)),
]
each = pytest.mark.parametrize(("layer", "size"), LAYERS, ids=[str(layer) for layer, _ in LAYERS])


def prepared(layer: nn.Module, size: tuple[int, ...]) -> tuple[Geometry, Tensor, Tensor, Tensor]:
    """The geometry, an input, the matrix, and what torch gives."""
    geometry = Geometry.of(whole(layer))
    x = numbers(3, geometry.inputs, *size)
    return geometry, x, matrix_of(layer.weight), layer(x)


@each
def test_the_product_is_torchs(layer: nn.Module, size: tuple[int, ...]) -> None:
    geometry, x, matrix, wanted = prepared(layer, size)
    kernel = geometry.kernel_of(matrix)
    assert torch.equal(kernel, layer.weight)
    assert torch.equal(geometry.multiply(x, kernel, layer.bias), wanted)
    assert torch.equal(geometry.multiply(geometry.pad(x), kernel, layer.bias, padded=True), wanted)


@each
def test_sizes_are_torchs(layer: nn.Module, size: tuple[int, ...]) -> None:
    geometry, x, matrix, wanted = prepared(layer, size)
    assert geometry.out(size) == tuple(wanted.shape[2:])
    assert geometry.padded(size) == tuple(geometry.pad(x).shape[2:])
    assert (geometry.rows, geometry.outputs) == tuple(matrix.shape)
    assert geometry.dimensions == len(size)


@each
@pytest.mark.parametrize("high", [1, 4, 5, 100])
def test_the_parts_of_the_word_lines_add_up_to_the_whole(layer: nn.Module, size: tuple[int, ...], high: int) -> None:
    geometry, x, matrix, _ = prepared(layer, size)
    voltages, total = geometry.pad(x), torch.tensor(0.0)
    for first in range(0, geometry.rows, high):
        channels, kernel = geometry.part_of(matrix, first, min(first + high, geometry.rows))
        assert kernel.shape[1] == channels.stop - channels.start
        total = total + geometry.multiply(voltages[:, channels], kernel, None, padded=True)
    assert torch.equal(total, geometry.multiply(x, geometry.kernel_of(matrix), None))


def test_a_part_touches_no_more_channels_than_it_needs() -> None:
    geometry = Geometry.of(nn.Conv2d(5, 2, 2))
    matrix = torch.ones(20, 2)
    for first, last, channels in ((0, 4, slice(0, 1)), (3, 5, slice(0, 2)), (4, 8, slice(1, 2)), (15, 20, slice(3, 5))):
        found, kernel = geometry.part_of(matrix, first, last)
        assert found == channels
        assert kernel.sum() == 2 * (last - first)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_convolution_is_torchs(data: st.DataObject) -> None:
    dimensions = data.draw(st.integers(1, 3))
    kernel, stride, dilation, padding, size = (
        tuple(data.draw(st.integers(low, high)) for _ in range(dimensions))
        for low, high in ((1, 4), (1, 3), (1, 2), (0, 2), (7, 9))
    )
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    if data.draw(st.booleans()):
        layer = kind(2, 3, kernel, stride, padding, dilation)
    else:
        layer = kind(2, 3, kernel, padding=data.draw(st.sampled_from(["same", "valid"])), dilation=dilation)
    geometry, x, matrix, wanted = prepared(layer, size)
    assert torch.equal(geometry.multiply(x, geometry.kernel_of(matrix), layer.bias), wanted)
    assert geometry.out(size) == tuple(wanted.shape[2:])


# --- the input limit ---------------------------------------------------------------------------------------------------------


def test_inputs_within_the_limit_stay_as_they_are() -> None:
    x = torch.randn(3, 2, 4)
    assert scaled(x, None) is x
    for image in x:
        assert torch.equal(scaled(image[None].clone(), float(image.abs().max()))[0], image)


def test_each_image_that_exceeds_the_limit_is_scaled_to_fit() -> None:
    x = torch.tensor([[[1.0, -8.0]], [[0.5, 2.0]]])
    assert torch.equal(scaled(x, 2.0), torch.tensor([[[0.25, -2.0]], [[0.5, 2.0]]]))


def test_a_batch_may_be_scaled_by_its_largest_input() -> None:
    x = torch.tensor([[1.0, -8.0], [0.5, 2.0]])
    assert torch.equal(scaled(x.clone(), 2.0, x.abs().max()), x / 4)
    assert torch.equal(scaled(x.clone(), 8.0, x.abs().max()), x)
