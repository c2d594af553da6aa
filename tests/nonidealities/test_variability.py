"""The proof of variability measures the spread of the devices; engines make them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from bars import R_OFF, R_ON, crossbar

from membench import Variability
from membench.effect import Crossbar
from membench.errors import EffectDidNothingError, InputError


def varied(r_on_sigma: float, r_off_sigma: float, shape: tuple[int, int] = (40, 25)) -> tuple[Crossbar, Crossbar]:
    """A crossbar as it should be, with devices near either end, and as its own devices clamp it."""
    draw = np.random.default_rng(3)
    target = crossbar(1 / draw.uniform(R_ON, R_OFF, shape))
    target.conductance[0], target.conductance[-1] = 1 / R_ON, 1 / R_OFF
    low = 1 / (R_OFF + r_off_sigma * draw.standard_normal(shape))
    high = 1 / (R_ON + r_on_sigma * draw.standard_normal(shape))
    return target, dataclasses.replace(
        target, conductance=np.clip(target.conductance, low, high), conductance_min=low, conductance_max=high
    )


def test_variability_s_proof_measures_the_spread() -> None:
    before, now = varied(5.0, 50.0)
    details = Variability(r_on_sigma=5.0, r_off_sigma=50.0).prove([before], [now]).details
    assert details["r_on_sigma"] == pytest.approx(5.0, rel=0.1)
    assert details["r_off_sigma"] == pytest.approx(50.0, rel=0.1)


@pytest.mark.parametrize(("asked", "made"), [((5.0, 50.0), (0.0, 50.0)), ((5.0, 50.0), (5.0, 0.0)), ((5.0, 0.0), (0.0, 50.0))])
def test_variability_without_the_spread_that_was_asked_for_is_found_out(
    asked: tuple[float, float], made: tuple[float, float]
) -> None:
    before, now = varied(*made)
    with pytest.raises(EffectDidNothingError, match="ohm was asked for"):
        Variability(r_on_sigma=asked[0], r_off_sigma=asked[1]).prove([before], [now])


@pytest.mark.parametrize("r_on", [1.4e4, 1234.5, 0.7, 100 / 3])
@pytest.mark.parametrize("devices", [7, 10, 1000])
def test_rounding_is_no_spread(r_on: float, devices: int) -> None:
    """The standard deviation of equal floats need not be 0."""
    before, now = varied(0.0, 50.0, (1, devices))
    now = dataclasses.replace(now, conductance_max=np.full((1, devices), 1 / r_on))
    with pytest.raises(EffectDidNothingError, match="r_on_sigma"):
        Variability(r_on_sigma=5.0, r_off_sigma=50.0).check([before], [now])


def test_a_spread_a_hundred_times_too_small_is_found_out() -> None:
    """An engine that takes ohms for kilohms."""
    before, now = varied(0.05, 0.5)
    with pytest.raises(EffectDidNothingError, match="ohm was asked for"):
        Variability(r_on_sigma=5.0, r_off_sigma=50.0).prove([before], [now])


def test_a_sigma_that_was_not_asked_for_needs_no_spread() -> None:
    before, now = varied(0.0, 50.0)
    assert Variability(r_on_sigma=0.0, r_off_sigma=50.0).prove([before], [now]).details["r_off_sigma"] > 40


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"r_on_sigma": 0.0, "r_off_sigma": 0.0}, "nothing would vary"),
        ({"r_on_sigma": -1.0, "r_off_sigma": 1.0}, "r_on_sigma"),
        ({"r_on_sigma": 1.0}, "r_off_sigma: Field required"),
        ({"r_on_sigma": 1.0, "r_off_sigma": 1.0, "distribution": "gamma"}, "distribution"),
        ({"r_on_sigma": 1.0, "r_off_sigma": 1.0, "minimum": 0.0}, "minimum"),
    ],
)
def test_variability_that_would_do_nothing_or_is_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Variability(**fields)
