"""Read noise: its variance in closed form, new for every image and tile, the same however a batch is split and computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from membench import ADC
from membench.arrays import kernel_in_use
from membench.arrays.geometry import Geometry
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling
from membench.runtime import pinned_threads


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


class Layer:
    """A layer of random devices, whose products are made with and without noise."""

    def __init__(
        self,
        digital: nn.Module,
        tile: tuple[int, int] | None = (8, 4),
        adc: ADC | None = None,
        *,
        limit: float | None = None,
        full_scale: float | None = None,
        padding: bool = False,
        gain: float = 1234.5,
        spread: float = 1e-6,
        seed: int = 0,
    ) -> None:
        self.geometry = Geometry.of(digital)
        self.tiling = Tiling(self.geometry.rows, self.geometry.outputs, tile)
        self.hardware = Hardware(self.geometry, self.tiling, adc, limit, full_scale)
        generator = torch.Generator().manual_seed(seed)
        self.difference = torch.randn(self.tiling.shape, generator=generator) * 1e-5
        self.variance = torch.rand(self.tiling.shape, generator=generator) * spread**2
        if not padding:
            self.difference, self.variance = (part * self.tiling.real() for part in (self.difference, self.variance))
        self.gain, self.offset = torch.tensor(gain), torch.tensor(-0.5)
        self.bias = torch.randn(self.geometry.outputs, generator=generator)

    def product(self, seed: int | None = 1, *, variance: Tensor | None = None, chunk: int = 2**25) -> Product:
        """With read noise, or without where `seed` is None."""
        noise = None if seed is None else (self.variance if variance is None else variance, seed)
        return Product(self.hardware, self.difference, self.gain, self.offset, self.bias, chunk, noise)

    def expected_variances(self, voltages: Tensor, variance: Tensor | None = None) -> Tensor:
        """Of each output, in double precision: the sum over all word lines of v^2 s, times the gain squared."""
        given = self.variance if variance is None else variance
        matrix = self.tiling.joined(given)[:, : self.tiling.columns].double()
        padded = self.geometry.pad(voltages.double()).square()
        return self.geometry.multiply(padded, self.geometry.kernel_of(matrix), None, padded=True) * float(self.gain) ** 2


@pytest.fixture(params=["cpp", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing a product."""
    monkeypatch.setenv("MEMBENCH_KERNEL", "auto" if request.param == "cpp" else "torch")
    if request.param == "cpp" and kernel_in_use() is None:
        pytest.skip("there is no C++ kernel here")
    return str(request.param)


def both(product: Product, x: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """In C++ and in plain torch."""
    if kernel_in_use() is None:
        pytest.skip("there is no C++ kernel here")
    native = product(x, first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMBENCH_KERNEL", "torch")
        return native, product(x, first)


def inputs_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


FINE = ADC(bits=16)
VARIETY = [
    (nn.Linear(19, 10), (70, 19)),
    (nn.Conv1d(3, 6, 4, stride=3, padding=2), (5, 3, 17)),
    (nn.Conv2d(3, 10, 3, padding=1), (5, 3, 12, 11)),
    (nn.Conv2d(2, 5, 6, padding=1), (9, 2, 4, 4)),
    (nn.Conv3d(2, 6, (2, 3, 1), stride=(1, 2, 2), padding=(1, 0, 2)), (3, 2, 5, 6, 4)),
]
each = pytest.mark.parametrize(("digital", "shape"), VARIETY, ids=[str(digital) for digital, _ in VARIETY])
HARDWARE: list[dict[str, Any]] = [
    {"tile": (8, 4), "adc": FINE},
    {"tile": (8, 4), "adc": FINE, "full_scale": 1e-3},
    {"tile": (7, 3), "adc": FINE, "padding": True, "limit": 1.0},
    {"tile": (8, 4), "adc": None},
    {"tile": None, "adc": FINE},
    {"tile": None, "adc": FINE, "full_scale": 1e-3},
    {"tile": None, "adc": None, "limit": 1.0},
]
on_each = pytest.mark.parametrize("fields", HARDWARE, ids=str)


@each
@on_each
def test_cpp_gives_what_torch_gives(digital: nn.Module, shape: tuple[int, ...], fields: dict[str, Any]) -> None:
    """But for rounding: where that moves a code, by one step at each tile."""
    layer, x = Layer(digital, **fields), inputs_of(*shape)
    product = layer.product()
    native, plain = both(product, x, first=3)
    steps = layer.tiling.counts[0] if layer.tiling.tile_shape and layer.hardware.adc else 1
    tolerance = steps * product.largest_step(x) + 1e-5 * float(plain.abs().max())
    torch.testing.assert_close(native, plain, rtol=0, atol=tolerance)
    assert float((plain - layer.product(None)(x)).abs().mean()) > 3 * tolerance, "the noise is no more than the tolerance"


@on_each
def test_the_variance_is_the_closed_form(way: str, fields: dict[str, Any]) -> None:
    """Of 4000 reads of the same voltages, each by an image of its own; a 16 bit ADC adds next to nothing."""
    reads = 4000
    for digital, shape in ((nn.Conv2d(2, 5, 3, padding=1), (2, 3, 4)), (nn.Linear(19, 6), (19,))):
        layer, one = Layer(digital, **{**fields, "limit": None}), inputs_of(*shape, seed=5)
        x = one.expand(reads, *shape).contiguous()
        noise = (layer.product()(x) - layer.product(None)(x[:1])).double()
        wanted = layer.expected_variances(one[None])[0]
        assert (noise.mean(0).abs() < 5 * (wanted / reads).sqrt() + layer.product().largest_step(x)).all()
        ratios = noise.var(0) / wanted
        assert (ratios - 1).abs().max() < 5 * math.sqrt(2 / reads)
        assert abs(float(ratios.mean()) - 1) < 5 * math.sqrt(2 / reads / ratios.numel()) + 1e-3
        flat = noise.flatten(1).T
        correlations = torch.corrcoef(flat) - torch.eye(len(flat))
        assert correlations.abs().max() < 5.5 / math.sqrt(reads)


def test_the_noise_of_each_tile_comes_before_its_adc(way: str) -> None:
    """An ADC of 2 bits with a wide range gives 0 for every current without noise, and codes where the noise is as large."""
    layer = Layer(nn.Linear(16, 4), (8, 4), ADC(bits=2), full_scale=1.0, gain=1.0, spread=0.2)
    layer.bias, layer.offset = torch.zeros(4), torch.tensor(0.0)
    x = torch.ones(3000, 16)
    assert not layer.product(None)(x).any()
    found = layer.product()(x)
    assert torch.equal(found, (found * 2).round() / 2)
    codes = torch.stack([(found == level / 2).float().mean(0) for level in range(-4, 3)])
    sigma = layer.tiling.joined(layer.variance).view(2, 8, 4).sum(1).sqrt()
    normal = torch.distributions.Normal(0.0, 1.0)
    edges = torch.tensor([-math.inf, -0.75, -0.25, 0.25, math.inf])
    one = normal.cdf(edges[1:].view(-1, 1, 1) / sigma) - normal.cdf(edges[:-1].view(-1, 1, 1) / sigma)  # codes -2 to 1
    wanted = torch.zeros(7, 4)
    for a in range(4):
        for b in range(4):
            wanted[a + b] += one[a, 0] * one[b, 1]
    assert (codes - wanted).abs().max() < 5 * math.sqrt(0.25 / 3000)


def test_inputs_beyond_the_limit_bring_the_noise_of_their_scaled_voltages(way: str) -> None:
    for tile, adc in ((None, None), (None, FINE), ((8, 4), FINE)):
        layer = Layer(nn.Conv2d(2, 5, 3, padding=1), tile, adc, limit=0.5)
        one = inputs_of(2, 3, 4, seed=5)
        x = one.expand(4000, *one.shape).contiguous()
        noise = (layer.product()(x) - layer.product(None)(x[:1])).double()
        ratios = noise.var(0) / layer.expected_variances(one[None] * (0.5 / one.abs().max()))[0]
        assert abs(float(ratios.mean()) - 1) < 5 * math.sqrt(2 / 4000 / ratios.numel()) + 1e-3


def test_one_input_beyond_the_limit_scales_the_noise_of_a_whole_batch_of_vectors(way: str) -> None:
    for tile, adc in ((None, None), (None, FINE), ((8, 4), FINE)):
        layer, one = Layer(nn.Linear(19, 6), tile, adc, limit=0.5), inputs_of(19, seed=5)
        x = one.expand(4000, 19).contiguous()
        x[0] *= 4
        noise = (layer.product()(x) - layer.product(None)(x)).double()[1:]
        ratios = noise.var(0) / layer.expected_variances(one[None] * (0.5 / x.abs().max()))[0]
        assert abs(float(ratios.mean()) - 1) < 5 * math.sqrt(2 / 4000 / ratios.numel()) + 1e-3


@pytest.mark.parametrize("spread", [1e-12, 1e-18, 1e-3])
def test_small_variances_do_not_vanish(way: str, spread: float) -> None:
    """Squared and times the squares of small voltages, they would be below the smallest number of single precision."""
    for tile in (None, (8, 4)):
        layer = Layer(
            nn.Linear(19, 6), tile, FINE if tile else None, full_scale=1e-3 * spread, spread=spread, gain=1.0 / spread
        )
        layer.difference.zero_()
        x = torch.full((3000, 19), 1e-5)
        ratios = layer.product()(x).double().var(0) / layer.expected_variances(x[:1])[0]
        assert abs(float(ratios.mean()) - 1) < 5 * math.sqrt(2 / 3000 / 6) + 2e-3


@each
@on_each
def test_no_variance_gives_the_ideal_result(
    way: str, digital: nn.Module, shape: tuple[int, ...], fields: dict[str, Any]
) -> None:
    layer, x = Layer(digital, **fields), inputs_of(*shape)
    silent = layer.product(variance=torch.zeros_like(layer.variance))
    assert torch.equal(silent(x), layer.product(None)(x))


def test_only_devices_with_variance_are_noisy(way: str) -> None:
    layer, x = Layer(nn.Linear(16, 6), (8, 4), FINE, full_scale=1e-3), inputs_of(50, 16)
    variance = layer.tiling.cut(torch.zeros(16, 6).index_fill(1, torch.tensor([1, 4]), 1e-12))
    moved = layer.product(variance=variance)(x) != layer.product(None)(x)
    assert moved[:, [1, 4]].float().mean() > 0.9
    assert not moved[:, [0, 2, 3, 5]].any()


def test_padding_bit_lines_have_no_noise(way: str) -> None:
    """Theirs would move the range of the last tile's ADC, whatever variance they are given."""
    layer, x = Layer(nn.Linear(16, 6), (8, 4), ADC(bits=6), padding=True), inputs_of(50, 16)
    more = layer.variance + (~layer.tiling.real()).float()
    assert torch.equal(layer.product(variance=more)(x), layer.product()(x))


@each
@on_each
def test_neither_batches_nor_chunks_nor_threads_matter(
    way: str, digital: nn.Module, shape: tuple[int, ...], fields: dict[str, Any]
) -> None:
    """Nor where in a register an image lies. Where a batch has one range or one scale, it cannot be split."""
    layer, x = Layer(digital, **fields), inputs_of(*shape)
    wanted = layer.product()(x, 10)
    with pinned_threads(2):
        torch.testing.assert_close(layer.product()(x, 10), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.product(chunk=1)(x, 10), wanted, **near(layer, x))
    one_range = layer.tiling.tile_shape is None and layer.hardware.adc and not layer.hardware.full_scale and x.ndim == 2
    if one_range or (layer.hardware.limit and x.ndim < 4):
        return
    parts = [layer.product()(x[start : start + 2], 10 + start) for start in range(0, len(x), 2)]
    torch.testing.assert_close(torch.cat(parts), wanted, **near(layer, x))


def near(layer: Layer, x: Tensor) -> dict[str, float]:
    """torch may add in another order in a smaller batch, and so move a code; a wrong number would move hundreds of them."""
    return {"rtol": 1e-5, "atol": layer.tiling.counts[0] * layer.product().largest_step(x) + 1e-5}


def test_the_kernel_gives_the_same_to_the_last_bit_however_it_is_called() -> None:
    if kernel_in_use() is None:
        pytest.skip("there is no C++ kernel here")
    layer, x = Layer(nn.Conv2d(3, 10, 3, padding=1), (7, 6), ADC(bits=8)), inputs_of(7, 3, 5, 5)
    wanted = layer.product()(x, 4)
    with pinned_threads(2):
        assert torch.equal(layer.product()(x, 4), wanted)
    assert torch.equal(torch.cat([layer.product()(x[i : i + 1], 4 + i) for i in range(7)]), wanted)
    assert torch.equal(torch.cat([layer.product()(x[:3], 4), layer.product()(x[3:], 7)]), wanted)


@on_each
def test_seeds_and_images_have_noise_of_their_own(way: str, fields: dict[str, Any]) -> None:
    layer = Layer(nn.Conv2d(2, 5, 3, padding=1), **fields)
    x = inputs_of(1, 2, 6, 6).expand(4, 2, 6, 6).contiguous()
    clean = layer.product(None)(x)
    one, again, other, later = (
        (layer.product(seed)(x, first) - clean).flatten() for seed, first in ((1, 0), (1, 0), (2, 0), (1, 100))
    )
    assert torch.equal(one, again)
    for different in (other, later, (layer.product(1 + 2**40)(x) - clean).flatten()):
        assert abs(float(torch.corrcoef(torch.stack([one, different]))[0, 1])) < 5 / math.sqrt(len(one))
    images = torch.corrcoef(one.view(4, -1)) - torch.eye(4)
    assert images.abs().max() < 5 / math.sqrt(len(one) / 4)


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 70), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**64 - 1)
)
@settings(max_examples=60, deadline=None)
def test_cpp_gives_what_torch_gives_for_any_tiles(
    inputs: int, columns: int, images: int, high: int, wide: int, seed: int
) -> None:
    """Tiles whose columns are no multiple of 4 share groups of numbers with their neighbours."""
    layer = Layer(nn.Linear(inputs, columns), (high, wide), FINE, full_scale=1e-3, seed=seed % 1000)
    x = inputs_of(images, inputs, seed=seed % 99)
    product = layer.product(seed)
    native, plain = both(product, x, first=seed % 1000)
    torch.testing.assert_close(native, plain, rtol=1e-6, atol=1.01 * layer.tiling.counts[0] * product.largest_step(x))


def test_the_step_of_an_adc_leaves_the_noise_out() -> None:
    layer, x = Layer(nn.Linear(16, 6), (8, 4), ADC(bits=6)), inputs_of(5, 16)
    assert layer.product().largest_step(x) == layer.product(None).largest_step(x) > 0


def test_no_images_give_no_outputs(way: str) -> None:
    for fields in HARDWARE:
        assert Layer(nn.Linear(16, 6), **fields).product()(torch.empty(0, 16)).shape == (0, 6)
