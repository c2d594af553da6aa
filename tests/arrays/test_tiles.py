"""Tiles: a matrix is cut as MemTorch cuts it, and what is left out of a product cannot move it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from membench import ADC
from membench.arrays.geometry import Geometry
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling, weights_of
from membench.engines import ENGINES
from membench.runtime import pinned_threads

assert ENGINES.get("memtorch").problem() is None  # imports MemTorch without its warnings
gen_tiles: Any = importlib.import_module("memtorch.bh.crossbar.Tile").gen_tiles
bindings: Any = importlib.import_module("memtorch_bindings")

size = st.integers(1, 20)
tilings = st.builds(Tiling, size, size, st.one_of(st.none(), st.tuples(st.integers(1, 25), st.integers(1, 25))))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def matrix_for(tiling: Tiling) -> Tensor:
    return torch.arange(1.0, tiling.rows * tiling.columns + 1).view(tiling.rows, tiling.columns)


@given(tilings)
@settings(max_examples=200, deadline=None)
def test_joined_is_the_inverse_of_cut(tiling: Tiling) -> None:
    matrix = matrix_for(tiling)
    tiles = tiling.cut(matrix)
    assert tiles.shape == tiling.shape
    assert tiles.sum() == matrix.sum()
    joined = tiling.joined(tiles)
    assert torch.equal(joined[:, : tiling.columns], matrix)
    assert len(joined) == tiling.rows
    assert not joined[:, tiling.columns :].any()
    if tiling.tile_shape is not None:
        assert joined.shape[1] == tiling.counts[1] * tiling.tile_shape[1]
        assert tiling.counts == (
            math.ceil(tiling.rows / tiling.tile_shape[0]),
            math.ceil(tiling.columns / tiling.tile_shape[1]),
        )


@given(tilings.filter(lambda tiling: tiling.tile_shape is not None))
@settings(max_examples=100, deadline=None)
def test_tiles_are_memtorchs(tiling: Tiling) -> None:
    matrix = matrix_for(tiling)
    tiles, _ = gen_tiles(matrix, tiling.tile_shape, input=False, use_bindings=True)
    assert torch.equal(tiling.cut(matrix), tiles)


@given(tilings)
@settings(max_examples=100, deadline=None)
def test_a_device_is_real_where_it_holds_a_weight(tiling: Tiling) -> None:
    assert torch.equal(tiling.real(), tiling.cut(matrix_for(tiling)) > 0)
    assert int(tiling.real().sum()) == tiling.rows * tiling.columns


# --- padding bit lines -------------------------------------------------------------------------------------------------------

TILING = Tiling(5, 4, (3, 6))  # 1 padding word line, 2 padding bit lines
KINDS = ("zero", "equal", "different", "one row")


def crossbar(kind: str) -> Tensor:
    """Conductances whose padding bit lines are of a kind; the padding word line holds what must not matter."""
    generator = torch.Generator().manual_seed(4)
    whole = torch.rand(6, 6, generator=generator) - 0.5
    if kind == "zero":
        whole[:, 4:] = 0
    elif kind == "equal":
        whole[:, 4:] = whole[:, 4:5] * 2
    elif kind == "one row":
        whole[:, 4:] = 0
        whole[4, 5] = 3
    return whole.view(2, 3, 1, 6).transpose(1, 2).reshape(2, 3, 6)


@pytest.mark.parametrize(
    ("kind", "ranked", "width", "zero_padding"),
    [
        ("zero", False, 4, True),
        ("zero", True, 4, True),
        ("equal", False, 5, False),
        ("equal", True, 6, False),
        ("different", False, 6, False),
        ("different", True, 6, False),
        ("one row", False, 6, False),
    ],
)
def test_padding_bit_lines_are_kept_where_they_carry_current(kind: str, ranked: bool, width: int, zero_padding: bool) -> None:
    difference = crossbar(kind)
    found = weights_of(TILING, difference, ranked=ranked)
    assert found.zero_padding is zero_padding
    assert found.matrix.is_contiguous()
    assert torch.equal(found.matrix, TILING.joined(difference)[:, :width])


@pytest.mark.parametrize("tiling", [Tiling(5, 6, (3, 6)), Tiling(5, 6, (3, 2)), Tiling(5, 6, None)])
def test_without_padding_bit_lines_there_is_no_zero_among_the_currents(tiling: Tiling) -> None:
    matrix = matrix_for(tiling)
    found = weights_of(tiling, tiling.cut(matrix), ranked=False)
    assert not found.zero_padding
    assert torch.equal(found.matrix, matrix)


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("bits", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_product_is_that_of_whole_tiles(
    kind: str, bits: int, rate: float, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against MemTorch's ADC on each tile with all its bit lines."""
    monkeypatch.setenv("MEMBENCH_KERNEL", kernel)
    adc, difference = ADC(bits=bits, overflow_rate=rate), crossbar(kind)
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(5))
    x[3] = 0
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    product = Product(Hardware(Geometry(5, 4), TILING, adc, None), difference, one, zero, None, 2**20)
    wanted = torch.zeros(40, 4)
    for tile, voltages in zip(difference, torch.nn.functional.pad(x, (0, 1)).split(3, dim=1), strict=True):
        for image in range(40):
            currents = voltages[image] @ tile
            bindings.quantize(currents, bits=bits, overflow_rate=rate, quant_method=0, min=float("nan"), max=float("nan"))
            wanted[image] += currents[:4]
    torch.testing.assert_close(product(x), wanted, rtol=0, atol=1e-6)
