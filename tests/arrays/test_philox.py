"""The numbers of read noise: Random123's known answers, normal, independent, and the same in C++ and in torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from membench.arrays import kernel_in_use
from membench.arrays.kernel import Kernel
from membench.arrays.philox import _pair, normals, words

ANSWERS = [  # kat_vectors of Random123: counter, key, words
    ([0, 0, 0, 0], 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        0x299F31D0_A4093822,
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def in_use() -> Kernel:
    kernel = kernel_in_use()
    if kernel is None:
        pytest.skip("there is no C++ kernel here")
    return kernel


def native(seed: int, first: int, images: int, positions: int, columns: int) -> Tensor:
    """The C++ kernel's numbers: noise of variance 1 on currents of 0 A."""
    found = torch.zeros(images, columns, positions)
    in_use().disturb(found, torch.ones_like(found), 1.0, seed, first)
    return found


def in_torch(counters: Tensor, seed: int) -> Tensor:
    a, b, c, d = counters.T
    return torch.stack(words((a, b, c, d), seed), dim=1)


@pytest.mark.parametrize(("counter", "seed", "wanted"), ANSWERS)
def test_the_known_answers(counter: list[int], seed: int, wanted: list[int]) -> None:
    given = torch.tensor([counter])
    assert in_torch(given, seed).tolist() == [wanted]
    assert in_use().philox(given, seed).tolist() == [wanted]


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 + 5, 2**63, 2**64 - 3])
def test_cpp_and_torch_give_the_same_words(seed: int) -> None:
    counters = torch.randint(0, 2**32, (2000, 4), generator=torch.Generator().manual_seed(1))
    assert torch.equal(in_use().philox(counters, seed), in_torch(counters, seed))


@pytest.mark.parametrize(
    ("images", "positions", "columns"), [(1, 1, 1), (3, 1, 10), (70, 1, 5), (2, 35, 7), (5, 49, 16), (300, 9, 2)]
)
@pytest.mark.parametrize(("seed", "first"), [(0, 0), (2**64 - 1, 1000), (12345678901, 2**32 - 1)])
def test_cpp_and_torch_give_the_same_normals(images: int, positions: int, columns: int, seed: int, first: int) -> None:
    wanted = normals(seed, torch.arange(first, first + images), positions, columns)
    assert wanted.shape == (images, columns, positions)
    torch.testing.assert_close(native(seed, first, images, positions, columns), wanted, rtol=1e-6, atol=1e-6)


def test_box_muller_is_exact_where_single_precision_allows() -> None:
    """Against double precision, words of 0 and 2^32 - 1 and the corners of the quarters among them."""
    corners = torch.tensor([0, 1, 2**29 - 1, 2**29, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 7 * 2**29, 2**32 - 1])
    drawn = torch.randint(0, 2**32, (2, 50_000), generator=torch.Generator().manual_seed(2))
    one = torch.cat([drawn[0], corners.repeat_interleave(len(corners))])
    other = torch.cat([drawn[1], corners.repeat(len(corners))])
    uniform = ((one.float() + 0.5) * 2.0**-32).double()  # the rounding is part of the definition
    radius, angle = (-2 * uniform.log()).sqrt(), other.double() * (2 * math.pi / 2**32)
    across, up = _pair(one, other)
    torch.testing.assert_close(across.double(), radius * angle.cos(), rtol=0, atol=1e-6)
    torch.testing.assert_close(up.double(), radius * angle.sin(), rtol=0, atol=1e-6)


def test_the_numbers_are_standard_normal() -> None:
    for found in (native(7, 0, 64, 64, 64), normals(7, torch.arange(64), 64, 64, tile_row=3)):
        sample = found.double().numpy()
        assert stats.kstest(sample.ravel(), "norm").pvalue > 1e-3
        assert abs(sample.mean()) < 4 / math.sqrt(sample.size)
        assert abs(sample.var() - 1) < 4 * math.sqrt(2 / sample.size)
        assert abs(stats.kurtosis(sample.ravel())) < 4 * math.sqrt(24 / sample.size)
        for column in range(8):  # both numbers of both pairs
            assert stats.kstest(sample[:, column::8].ravel(), "norm").pvalue > 1e-4


def test_neighbours_are_independent() -> None:
    """Numbers and their squares, along every part of a place and between seeds: what is shared shows as a correlation."""
    found = torch.stack([normals(7, torch.arange(32), 32, 32, tile_row=row) for row in range(8)]).double().numpy()
    for power in (1, 2):
        values = found**power
        pairs = [
            (np.take(values, range(size - lag), axis), np.take(values, range(lag, size), axis))
            for axis, size in enumerate(values.shape)
            for lag in (1, 2, 3, 4, 7)
            if lag < size
        ]
        pairs.append((values[0], normals(8, torch.arange(32), 32, 32).double().numpy() ** power))
        pairs.append((values[0], normals(7 + 2**32, torch.arange(32), 32, 32).double().numpy() ** power))
        for one, other in pairs:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4.5 / math.sqrt(one.size)


def test_no_number_comes_twice() -> None:
    """Of 2^17 numbers in single precision a few may agree; places that share a counter would all agree."""
    found = torch.cat([normals(7, torch.arange(16), 32, 64, tile_row=row).flatten() for row in range(4)])
    assert len(found.unique()) > 0.98 * len(found)
