"""Random numbers drawn as arrays: those that MemTorch draws device by device."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from membench.arrays.draws import Resistance, normals, resistances
from membench.engines import ENGINES
from membench.errors import InputError

assert ENGINES.get("memtorch").problem() is None  # imports MemTorch without its warnings
memtorch: Any = importlib.import_module("memtorch")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameter(resistance: Resistance) -> Any:
    """The same resistance as MemTorch has it."""
    if resistance.sigma == 0:
        return resistance.mean
    if not resistance.lognormal:
        kind, fields = torch.distributions.Normal, {"loc": resistance.mean, "scale": resistance.sigma}
    else:
        variance = math.log1p((resistance.sigma / resistance.mean) ** 2)
        kind, fields = (
            torch.distributions.LogNormal,
            {"loc": math.log(resistance.mean) - variance / 2, "scale": math.sqrt(variance)},
        )
    return memtorch.bh.StochasticParameter(kind, min=resistance.minimum, **fields)


def memtorchs(seed: int, devices: int, r_off: Resistance, r_on: Resistance) -> tuple[Tensor, Tensor]:
    """r_off and r_on of real devices, made one by one; the first is the layer's reference device."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = [memtorch.bh.memristor.VTEAM(r_off=parameter(r_off), r_on=parameter(r_on)) for _ in range(devices + 1)][1:]
    return tuple(torch.tensor([getattr(one, name) for one in made], dtype=torch.float64) for name in ("r_off", "r_on"))


def same(seed: int, devices: int, r_off: Resistance, r_on: Resistance) -> bool:
    found, wanted = resistances(seeded(seed), devices, r_off, r_on), memtorchs(seed, devices, r_off, r_on)
    return all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("count", [10_000, 9_999, 1])
def test_normal_numbers_are_those_of_as_many_calls(count: int) -> None:
    one_by_one = seeded(7)
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    wanted = torch.stack([torch.normal(zero, one, generator=one_by_one) for _ in range(count)])
    assert torch.equal(normals(seeded(7), count).float(), wanted)


def test_numbers_in_pieces_are_those_of_the_whole() -> None:
    whole, pieces = seeded(3), seeded(3)
    wanted = normals(whole, 1000)
    assert torch.equal(torch.cat([normals(pieces, size) for size in (2, 400, 598)]), wanted)


def test_nothing_is_drawn_from_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    resistances(seeded(0), 10, Resistance(1000, 100, minimum=1), Resistance(50, 5, minimum=1))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("devices", [1, 2, 200])
@pytest.mark.parametrize("lognormal", [False, True])
@pytest.mark.parametrize(("off", "on"), [(100.0, 5.0), (100.0, 0.0), (0.0, 5.0), (400.0, 30.0)])
def test_devices_are_memtorchs(off: float, on: float, lognormal: bool, devices: int) -> None:
    assert same(11, devices, Resistance(1000, off, lognormal, 1.0), Resistance(50, on, lognormal, 1.0))


def test_devices_that_do_not_vary_all_have_the_mean() -> None:
    off, on = resistances(seeded(0), 5, Resistance(1000), Resistance(50))
    assert off.tolist() == [1000.0] * 5
    assert on.tolist() == [50.0] * 5


# --- r_on equal to r_off -----------------------------------------------------------------------------------------------------

NARROW = Resistance(103, 3, minimum=100.0), Resistance(103, 3, minimum=100.0)  # 1 device in 40 has 100 ohm twice


def retried(seed: int, devices: int) -> list[int]:
    """How often MemTorch draws each device anew."""
    numbers = normals(seeded(seed), 4 * devices + 40).view(-1, 2)
    off, on = (one.sampled(column) for one, column in zip(NARROW, numbers.T, strict=True))
    counts, first = [], 0
    for _ in range(devices + 1):
        count = 0
        while off[first] == on[first]:
            first, count = first + 1, count + 1
        counts.append(count)
        first += 1
    return counts


@pytest.mark.parametrize("seed", range(12))
def test_a_device_with_equal_resistances_is_drawn_anew_as_in_memtorch(seed: int) -> None:
    assert 0 < sum(retried(seed, 120)) <= 5 or seed not in (0, 1)
    assert same(seed, 120, *NARROW)


def test_the_reference_device_may_be_drawn_anew_too() -> None:
    seed = next(seed for seed in range(1000) if retried(seed, 20)[0] > 0)
    assert same(seed, 20, *NARROW)


def test_each_device_may_be_drawn_anew_five_times() -> None:
    """The limit is MemTorch's: of each device, however many there are."""
    assert sum(retried(0, 2000)) > 20
    assert same(0, 2000, *NARROW)


OFTEN = Resistance(95, 5, minimum=100.0), Resistance(95, 5, minimum=100.0)  # 7 devices in 10 have 100 ohm twice


@pytest.mark.parametrize("seed", range(30))
def test_a_device_that_comes_out_equal_six_times_is_an_error_in_both(seed: int) -> None:
    def refused(draw: Callable[[], object], error: type[Exception], words: str) -> bool:
        try:
            draw()
        except error as told:
            return bool(re.search(words, str(told)))
        return False

    if refused(lambda: memtorchs(seed, 1, *OFTEN), Exception, "Resample threshold exceeded"):
        words = r"r_on and r_off of a device came out equal \(100 ohm\).*Lower the sigmas"
        assert refused(lambda: resistances(seeded(seed), 1, *OFTEN), InputError, words)
    else:
        assert same(seed, 1, *OFTEN)


def test_resistances_that_never_differ_are_an_error() -> None:
    never = Resistance(10, 1, minimum=100.0)
    with pytest.raises(InputError, match="came out equal"):
        resistances(seeded(0), 3, never, never)


def test_a_spread_that_meets_a_fixed_resistance_is_an_error_as_in_memtorch() -> None:
    varying, fixed = Resistance(10, 1, minimum=100.0), Resistance(100)
    with pytest.raises(Exception, match="deterministic values used"):
        memtorchs(0, 3, varying, fixed)
    with pytest.raises(InputError, match="came out equal"):
        resistances(seeded(0), 3, varying, fixed)


# --- distributions -----------------------------------------------------------------------------------------------------------


def test_numbers_are_normal_and_independent() -> None:
    drawn = normals(seeded(0), 50_000).numpy()
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(stats.pearsonr(drawn[0::2], drawn[1::2]).statistic) < 0.02


@pytest.mark.parametrize("lognormal", [False, True])
def test_resistances_have_the_mean_and_spread_that_were_asked_for(lognormal: bool) -> None:
    off, on = resistances(seeded(1), 50_000, Resistance(1000, 200, lognormal, 1.0), Resistance(50, 5, lognormal, 1.0))
    for drawn, mean, sigma in ((off, 1000, 200), (on, 50, 5)):
        assert drawn.mean().item() == pytest.approx(mean, rel=0.01)
        assert drawn.std().item() == pytest.approx(sigma, rel=0.03)
        assert stats.kstest(stats.zscore(drawn.log() if lognormal else drawn), "norm").pvalue > 0.01
    assert abs(stats.pearsonr(off, on).statistic) < 0.02


def test_samples_are_raised_to_the_minimum() -> None:
    off, on = resistances(seeded(2), 1000, Resistance(1000, 800, minimum=700.0), Resistance(50, 5, minimum=1.0))
    assert off.min() == 700
    assert (off == 700).double().mean().item() == pytest.approx(stats.norm.cdf(-300 / 800), abs=0.05)
    assert on.min() > 1
