"""The ADC: MemTorch's own, code by code, in plain torch and in the C++ kernel."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from membench import ADC
from membench.arrays import kernel_in_use
from membench.arrays.adc import log2_tolerance, quantised, rank_of, step_of
from membench.arrays.geometry import Geometry
from membench.arrays.kernel import Kernel
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling
from membench.engines import ENGINES
from membench.runtime import pinned_threads

assert ENGINES.get("memtorch").problem() is None  # imports MemTorch, and so its bindings, without its warnings
bindings: Any = importlib.import_module("memtorch_bindings")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def memtorchs(currents: Tensor, adc: ADC) -> Tensor:
    """One vector after MemTorch's own ADC."""
    found = currents.clone()
    bindings.quantize(
        found,
        bits=adc.bits,
        overflow_rate=adc.overflow_rate,
        quant_method=("linear", "log").index(adc.method),
        min=float("nan"),
        max=float("nan"),
    )
    return found


def plain(currents: Tensor, adc: ADC) -> Tensor:
    return quantised(currents, (0,), adc, length=len(currents), zero_padding=False)


def native(currents: Tensor, adc: ADC) -> Tensor:
    """Through the kernel's `convert` of a layer without tiles."""
    kernel, found = in_use(), currents.clone().view(1, 1, -1)
    kernel.convert(found, 1, adc.bits, None, log2_tolerance(), 1.0, 0.0)
    return found.flatten()


def tiled(currents: Tensor, adc: ADC) -> Tensor:
    """Through the kernel's product: the rows (n, length) as inputs of a tile whose weights are the unit matrix."""
    in_use()
    length = currents.shape[-1]
    hardware = Hardware(Geometry(length, length), Tiling(length, length, (length, length)), adc, None)
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    return Product(hardware, torch.eye(length)[None], one, zero, None, 2**20)(currents)


def in_use() -> Kernel:
    kernel = kernel_in_use()
    if kernel is None:
        pytest.skip("there is no C++ kernel here")
    return kernel


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(np.array(values, dtype=np.float32))


@st.composite
def vectors(draw: st.DrawFn) -> Tensor:
    """Currents of any magnitude, with what an ADC may stumble over: zeros, equal values, powers of two and their neighbours."""
    exponent = draw(st.one_of(st.integers(-110, 60), st.integers(-45, -5)))
    near = st.builds(
        lambda sign, power, units: sign * math.ldexp(1 + units * 2.0**-23, exponent - power),
        st.sampled_from([-1, 1]),
        st.integers(0, 6),
        st.integers(-3, 60),
    )
    spread = st.floats(-1, 1, width=32).map(lambda value: math.ldexp(value, exponent))
    kinds = [spread, near, st.just(0.0)]
    values = draw(st.lists(st.one_of(*kinds[: draw(st.integers(1, 3))]), min_size=1, max_size=20))
    if draw(st.integers(0, 9)) == 0:
        values = [values[0]] * len(values)
    return tensor(values)


bits = st.integers(2, 16)
rates = st.one_of(st.just(0.0), st.floats(0, 1, width=32), st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0]))
many = settings(max_examples=150, deadline=None)


@given(vectors(), bits, rates)
@example(tensor([0.0, 0.0]), 8, 0.0)
@example(tensor([1e-30, 0.0]), 8, 0.0)
@example(tensor([3e38, -1e38]), 8, 0.0)
@example(tensor([-5.0]), 8, 0.0)
@many
def test_the_linear_adc_is_memtorchs(currents: Tensor, bits: int, rate: float) -> None:
    adc = ADC(bits=bits, overflow_rate=rate)
    assert torch.equal(plain(currents, adc), memtorchs(currents, adc))


@given(vectors(), bits, rates)
@example(tensor([1000.0, 1.5, 1.2, -0.3]), 5, 0.3)
@many
def test_the_logarithmic_adc_is_memtorchs(currents: Tensor, bits: int, rate: float) -> None:
    adc = ADC(bits=bits, method="log", overflow_rate=rate)
    assert torch.equal(plain(currents, adc), memtorchs(currents, adc))


def test_the_overflow_rate_is_rounded_in_single_precision_as_memtorchs() -> None:
    """At some lengths and rates double precision would pick another magnitude."""
    for length in range(2, 60):
        currents = 2.0 ** -torch.arange(float(length))
        for percent in range(101):
            adc = ADC(bits=8, overflow_rate=percent / 100)
            assert torch.equal(plain(currents, adc), memtorchs(currents, adc)), (length, percent)


@given(vectors(), bits)
@example(tensor([0.0, 0.0]), 8)
@example(tensor([0.0, -0.0, 0.0]), 8)
@many
def test_the_kernels_adc_is_memtorchs(currents: Tensor, bits: int) -> None:
    adc = ADC(bits=bits)
    assert torch.equal(native(currents, adc), memtorchs(currents, adc))


@given(st.lists(vectors(), min_size=1, max_size=30), st.integers(1, 9), bits, rates)
@settings(max_examples=80, deadline=None)
def test_the_adc_of_the_kernels_tiles_is_memtorchs(rows: list[Tensor], length: int, bits: int, rate: float) -> None:
    adc = ADC(bits=bits, overflow_rate=rate)
    currents = torch.stack([row.repeat(length)[:length] for row in rows])
    wanted = torch.stack([memtorchs(row, adc) for row in currents])
    assert torch.equal(tiled(currents, adc), wanted)


@pytest.mark.parametrize("sign", [1, -1])
def test_every_power_of_two_and_its_neighbours_have_memtorchs_range(sign: int) -> None:
    """MemTorch takes log2 in single precision: a range just above a power of two counts as the power."""
    adc, steps = ADC(bits=8), [*range(-3, 24), 100]
    kernel = kernel_in_use()
    for power in range(-44, 64):
        for units in steps:
            top = math.ldexp(1 + units * 2.0**-23, power)
            currents = tensor([sign * top, 0.3 * top])
            wanted = memtorchs(currents, adc)
            assert torch.equal(plain(currents, adc), wanted), (power, units)
            assert kernel is None or torch.equal(native(currents, adc), wanted), (power, units)


@given(st.integers(1, 300), st.floats(0, 1, width=32))
@many
def test_the_overflow_rate_picks_a_magnitude_of_the_vector(length: int, rate: float) -> None:
    rank = rank_of(ADC(bits=8, overflow_rate=rate), length)
    assert 0 <= rank < length
    assert abs(rank - rate * length) <= 1


@given(vectors(), bits, rates)
@many
def test_n_bits_give_at_most_2_to_the_n_codes(currents: Tensor, bits: int, rate: float) -> None:
    adc = ADC(bits=bits, overflow_rate=rate)
    found = plain(currents, adc)
    if torch.equal(found, currents):
        return
    rank = rank_of(adc, len(currents))
    codes = found.double() / step_of(currents.abs().sort(descending=True).values[rank], bits).double()
    assert torch.equal(codes, codes.round())
    assert -(2 ** (bits - 1)) <= codes.min()
    assert codes.max() <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize("method", ["linear", "log"])
def test_a_long_vector_has_no_more_codes_than_bits_allow(method: str) -> None:
    currents = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 3
    for bits in (2, 3, 5):
        found = plain(currents, ADC(bits=bits, method=method)).unique()
        assert 2 ** (bits - 2) <= len(found) <= 2**bits


@given(vectors(), bits, rates)
@many
def test_the_error_is_at_most_half_a_step_where_nothing_is_clipped(currents: Tensor, bits: int, rate: float) -> None:
    adc = ADC(bits=bits, overflow_rate=rate)
    step = float(step_of(currents.abs().sort(descending=True).values[rank_of(adc, len(currents))], bits))
    exact, found = currents.double(), plain(currents, adc).double()
    inside = (exact >= -(2 ** (bits - 1)) * step) & (exact <= (2 ** (bits - 1) - 1) * step)
    assert ((found - exact).abs()[inside] <= step * (0.5 + 1e-6)).all()
    assert (found.abs() <= torch.maximum(exact.abs() + step, torch.tensor(2.0**-100))).all()


def test_a_batch_is_quantised_vector_by_vector() -> None:
    currents = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    currents[1, :, 2] = 0.25
    for adc in (ADC(bits=5), ADC(bits=5, overflow_rate=0.5), ADC(bits=9, method="log")):
        over = quantised(currents, (1,), adc, length=4, zero_padding=False)
        for i in range(3):
            for k in range(5):
                assert torch.equal(over[i, :, k], memtorchs(currents[i, :, k], adc))
        whole = quantised(currents, (0, 2), adc, length=15, zero_padding=False)
        for j in range(4):
            assert torch.equal(whole[:, j], memtorchs(currents[:, j].flatten(), adc).view(3, 5))


@given(vectors(), bits, rates, st.integers(1, 5), st.sampled_from(["linear", "log"]))
@many
def test_bit_lines_of_zero_that_were_left_out_count(currents: Tensor, bits: int, rate: float, more: int, method: str) -> None:
    adc = ADC(bits=bits, overflow_rate=rate, method=method)
    found = quantised(currents, (0,), adc, length=len(currents) + more, zero_padding=True)
    assert torch.equal(found, memtorchs(torch.cat([currents, torch.zeros(more)]), adc)[: len(currents)])


# --- a fixed range -----------------------------------------------------------------------------------------------------------


def by_numpy(currents: Tensor, full_scale: float, bits: int) -> Tensor:
    """Each operation in single precision."""
    one, half, bound = np.float32(1), np.float32(0.5), np.float32(2 ** (bits - 1))
    step = np.float32(full_scale) / bound
    codes = np.clip(np.floor(currents.numpy() * (one / step) + half), -bound, bound - one)
    return torch.from_numpy(codes * step)


def unit_product(rows: int, columns: int, bits: int, full_scale: float, *, tiled: bool, rate: float = 0.0) -> Product:
    """A fully connected layer that passes its first `columns` inputs on as currents, on one row of tiles or on one crossbar."""
    tiling = Tiling(rows, columns, (rows, 3) if tiled else None)
    hardware = Hardware(Geometry(rows, columns), tiling, ADC(bits=bits, overflow_rate=rate), None, full_scale)
    unit = tiling.cut(torch.eye(rows, columns))
    if tiled:
        unit = torch.where(tiling.real(), unit, torch.tensor(5.0))  # currents of padding bit lines, which must not matter
    return Product(hardware, unit, torch.tensor(1.0), torch.tensor(0.0), None, 2**20)


def four_ways(product: Callable[[bool], Product], x: Tensor) -> Iterator[tuple[str, Tensor]]:
    for tiled in (True, False):
        made = product(tiled)
        for choice in ("cpp", "torch") if kernel_in_use() else ("torch",):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MEMBENCH_KERNEL", choice)
                yield f"{choice}, {'tiled' if tiled else 'untiled'}", made(x)


full_scales = st.one_of(st.floats(1e-9, 1e-2), st.sampled_from([1e-4, 2.0**-10, 3.0]))


@given(
    st.integers(1, 9),
    st.integers(1, 70),
    bits,
    full_scales,
    st.sampled_from([0.3, 1.0, 4.0]),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.4]),
)
@many
def test_a_fixed_range_gives_numpys_codes_in_all_four_ways(
    length: int, vectors: int, bits: int, full_scale: float, spread: float, seed: int, rate: float
) -> None:
    """Within the range, at both of its ends and beyond; constant vectors too, and whatever the overflow rate."""
    drawn = torch.rand(vectors, length, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    currents = drawn * spread * full_scale
    step = float(np.float32(full_scale)) / 2 ** (bits - 1)
    currents[0] = full_scale / 3  # a constant vector
    currents[-1, 0] = (seed % 2**bits - 2 ** (bits - 1) + 0.5) * step  # between two codes
    wanted = by_numpy(currents, full_scale, bits)
    for name, found in four_ways(
        lambda tiled: unit_product(length, length, bits, full_scale, tiled=tiled, rate=rate), currents
    ):
        assert torch.equal(found, wanted), name


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_a_fixed_range_clips_at_both_ends(bits: int) -> None:
    """The range is not symmetric: its lower end is -full_scale, its upper end one step below full_scale."""
    full_scale = 3e-4
    step = np.float32(full_scale) / np.float32(2 ** (bits - 1))
    currents = tensor([-1e3, -2 * full_scale, -full_scale, full_scale, 2 * full_scale, 1e3])[:, None]
    highest = float((np.float32(2 ** (bits - 1)) - np.float32(1)) * step)
    lowest = -float(np.float32(full_scale))
    for name, found in four_ways(lambda tiled: unit_product(1, 1, bits, full_scale, tiled=tiled), currents):
        assert found.flatten().tolist() == [lowest, lowest, lowest, highest, highest, highest], name


def test_a_fixed_range_does_not_depend_on_the_currents() -> None:
    """Neither on other images nor on other columns nor on the largest of a vector."""
    x = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)) * 1e-4
    larger = torch.cat([x[:20], x[20:] * 1000])
    larger[:, 6] = 1.0
    for tiled in (True, False):
        product = unit_product(7, 7, 5, 2e-4, tiled=tiled)
        assert torch.equal(product(larger)[:20, :6], product(x)[:20, :6])


@pytest.mark.parametrize("tiled", [True, False])
def test_the_step_of_a_fixed_range_is_known_beforehand(tiled: bool) -> None:
    hardware = Hardware(Geometry(4, 3), Tiling(4, 3, (2, 2) if tiled else None), ADC(bits=6), None, 3e-4)
    one = Product(hardware, torch.rand(hardware.tiling.shape), torch.tensor(-7.0), torch.tensor(0.5), None, 2**20)
    wanted = 7 * float(np.float32(3e-4) / np.float32(32))
    assert (
        one.largest_step(torch.rand(2, 4)) == one.largest_step(torch.zeros(2, 4)) == pytest.approx(wanted, rel=1e-7)
    )  # float32


def test_a_layer_without_an_adc_has_no_range() -> None:
    x, weights = torch.rand(5, 4), torch.rand(4, 3)
    hardware = Hardware(Geometry(4, 3), Tiling(4, 3, None), None, None, 1e-9)
    product = Product(hardware, weights, torch.tensor(1.0), torch.tensor(0.0), None, 2**20)
    torch.testing.assert_close(product(x), x @ weights)
    assert product.largest_step(x) == 0
