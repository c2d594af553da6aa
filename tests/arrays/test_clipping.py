"""How many currents lie beyond their ADC's codes, and how many images beyond the input limit: counted by hand, tile by tile."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from membench import ADC, Conversion
from membench.arrays import MemristiveLayer
from membench.arrays.adc import clipped, quantised, rank_of

CONVERSIONS = {
    "2 bit": Conversion(tile_shape=(8, 4), adc=ADC(bits=2)),
    "overflow": Conversion(tile_shape=(8, 4), adc=ADC(bits=5, overflow_rate=0.5)),
    "one tile row": Conversion(tile_shape=(64, 5), adc=ADC(bits=3)),
    "no tiles": Conversion(adc=ADC(bits=2)),
    "no tiles, overflow": Conversion(adc=ADC(bits=6, overflow_rate=0.1)),
    "scaled": Conversion(tile_shape=(8, 4), adc=ADC(bits=2), max_input_voltage=0.5),
}


def made(kind: str, conversion: Conversion) -> tuple[MemristiveLayer, Tensor]:
    """A layer with devices drawn at random and six images; on tiles of four bit lines, the last tile has one that counts."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        digital, x = {
            "Linear": (nn.Linear(19, 9), torch.randn(6, 19)),
            "Conv2d": (nn.Conv2d(3, 9, 3, padding=1, stride=2), torch.randn(6, 3, 8, 7)),
        }[kind]
        layer = MemristiveLayer(digital, conversion).eval()
        low, high = conversion.device.conductance_range
        layer.program([low + (high - low) * torch.rand(layer.tiling.rows, layer.tiling.columns) for _ in range(2)])
    return layer, x


def by_hand(layer: MemristiveLayer, x: Tensor) -> float:
    """The rate, from voltages and conductances in double precision."""
    adc = layer.hardware.adc
    assert adc is not None
    if layer.hardware.limit is not None:
        axes = tuple(range(1, x.ndim)) if x.ndim > 2 else None
        top = x.abs().amax(axes, keepdim=True) if axes else x.abs().max()
        x = x * torch.where(top > layer.hardware.limit, layer.hardware.limit / top, 1.0)
    volts = F.unfold(x, 3, padding=1, stride=2) if x.ndim > 2 else x[:, :, None]  # (images, rows, positions)
    matrix = layer.tiling.joined(layer.conductance[0] - layer.conductance[1]).double().numpy()
    high, wide = layer.tiling.tile_shape or matrix.shape
    columns, beyond, count = layer.tiling.columns, 0, 0
    for first in range(0, matrix.shape[0], high):
        rows = slice(first, first + high)
        currents = np.einsum("nrp,rc->ncp", volts.double().numpy()[:, rows], matrix[rows])
        for left in range(0, matrix.shape[1], wide):
            tile = currents[:, left : left + wide]
            if layer.tiling.tile_shape:
                vectors = np.moveaxis(tile, 1, 2).reshape(-1, tile.shape[1])
            else:
                vectors = tile.reshape(1, -1) if x.ndim == 2 else tile.reshape(len(x), -1)
            real = np.broadcast_to(np.arange(left, left + tile.shape[1])[None, :, None] < columns, tile.shape)
            shown = np.moveaxis(real, 1, 2).reshape(vectors.shape) if layer.tiling.tile_shape else np.ones(vectors.shape, bool)
            for vector, counts in zip(vectors, shown, strict=True):
                rank = min(math.floor(adc.overflow_rate * len(vector) + 0.5), len(vector) - 1)
                top = np.sort(np.abs(vector))[::-1][rank]
                code = np.floor(vector / 2.0 ** (1 - adc.bits + math.ceil(math.log2(top + 1e-12))) + 0.5)
                bound = 2 ** (adc.bits - 1)
                beyond += int(np.count_nonzero(((code < -bound) | (code > bound - 1)) & counts))
                count += int(np.count_nonzero(counts))
    return beyond / count


@pytest.mark.parametrize("kind", ["Linear", "Conv2d"])
@pytest.mark.parametrize("name", list(CONVERSIONS))
def test_the_clipping_rate_is_that_counted_by_hand(kind: str, name: str) -> None:
    layer, x = made(kind, CONVERSIONS[name])
    wanted = by_hand(layer, x)
    assert 0 < wanted < 0.7
    assert layer.clipping_rate(x) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("adc", [ADC(bits=2), ADC(bits=4, overflow_rate=0.3), ADC(bits=4, method="log", overflow_rate=0.9)])
def test_clipped_currents_are_those_that_the_adc_moves_by_more_than_half_a_step(adc: ADC) -> None:
    """Or by half a step up to the code that is one too high: half is rounded up."""
    currents = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * 3
    found = clipped(currents, (1,), adc, length=16, zero_padding=False)
    levels = quantised(currents, (1,), adc, length=16, zero_padding=False)
    magnitudes = currents.abs()
    if adc.method == "log":
        currents, levels = magnitudes.log().clamp(min=0), levels.abs().log()
    top = magnitudes.sort(dim=1, descending=True).values[:, [rank_of(adc, 16)]]
    step = 2.0 ** (1 - adc.bits + torch.ceil(torch.log2(top)))
    assert found.any()
    assert torch.equal(found, (levels - currents).abs() > step / 2 * (1 + 1e-5))


def test_equal_currents_are_not_quantised_and_so_not_clipped() -> None:
    assert not clipped(torch.full((2, 4), 3.0), (1,), ADC(bits=2), length=4, zero_padding=False).any()
    assert clipped(torch.full((2, 4), 4.0), (1,), ADC(bits=2), length=5, zero_padding=True).all()


def test_padding_bit_lines_take_part_in_the_range() -> None:
    """Nine columns on tiles of four: the padding ones may hold a fault, whose current widens the range and is not counted."""
    layer, x = made("Linear", CONVERSIONS["2 bit"])
    before = layer.clipping_rate(x)
    layer.conductance[0, :, :, 2:][torch.arange(len(layer.conductance[0])) % 3 == 2] *= 50  # of the last tile column
    after = layer.clipping_rate(x)
    assert after == pytest.approx(by_hand(layer, x), abs=1e-9)
    assert after < before


def test_nothing_is_clipped_or_scaled_without_adc_limit_or_images() -> None:
    for kind in ("Linear", "Conv2d"):
        layer, x = made(kind, Conversion(tile_shape=(8, 4)))
        assert (layer.clipping_rate(x), layer.scaled_rate(x)) == (0.0, 0.0)
        layer, x = made(kind, CONVERSIONS["scaled"])
        assert (layer.clipping_rate(x[:0]), layer.scaled_rate(x[:0])) == (0.0, 0.0)


def test_a_convolution_scales_image_by_image_and_a_connected_layer_the_batch() -> None:
    limited = Conversion(max_input_voltage=10.0)
    for kind, wanted in (("Conv2d", 2 / 6), ("Linear", 1.0)):
        layer, x = made(kind, limited)
        assert layer.scaled_rate(x) == 0.0
        x[1].view(-1)[0], x[4].view(-1)[0] = 11.0, -11.0
        assert layer.scaled_rate(x) == pytest.approx(wanted)
