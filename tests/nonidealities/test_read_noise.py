"""Each read finds other conductances: the variance of each device, and a proof that sees it in the currents."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import HIGH, LOW, Array, at, programmed, reading, refused, rng, single, unread, varied, voltages
from conftest import make_case

from membench import ReadNoise
from membench.effect import Crossbar, Reading
from membench.errors import EffectDidNothingError

UNITS = pytest.mark.parametrize("relative_to", ["conductance", "range"])
NOISE = ReadNoise(sigma=0.05)
BARS = [programmed(), programmed(seed=2, index=1)]
WIRES = voltages(40)


def summed(effect: ReadNoise, bars: list[Crossbar] = BARS) -> Array:
    """Variance of the difference: devices are independent."""
    return np.sum([effect.variance(bar) for bar in bars], axis=0)


def read(effect: ReadNoise | None, factor: float = 1.0, **options: Any) -> Reading:
    return reading(BARS, WIRES, variance=None if effect is None else factor * summed(effect), **options)


BEFORE = read(None)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "sigma: Field required"),
        ({"sigma": 0}, "sigma is 0: nothing would be noisy"),
        ({"sigma": 0.0}, "sigma is 0: nothing would be noisy"),
        ({"sigma": -0.1}, "sigma"),
        ({"sigma": True}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"sigma": 0.1, "relative_to": "r_off"}, "relative_to"),
    ],
)
def test_noise_that_would_do_nothing_or_is_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    refused(ReadNoise, fields, said)


@UNITS
def test_it_fits_any_hardware(relative_to: Any) -> None:
    effect = ReadNoise(sigma=3.0, relative_to=relative_to)
    assert effect.unfit(BARS[0].device, None) == ""
    assert make_case(nonidealities=(effect,)).nonidealities == (effect,)


# ---- the variance -------------------------------------------------------------------------------------------------------


def test_the_variance_is_that_of_a_proportion_of_each_conductance_or_of_the_range() -> None:
    np.testing.assert_allclose(NOISE.variance(BARS[0]), (0.05 * BARS[0].conductance) ** 2)
    of_range = ReadNoise(sigma=0.05, relative_to="range")
    np.testing.assert_allclose(of_range.variance(BARS[0]), (0.05 * (HIGH - LOW)) ** 2)
    assert of_range.variance(BARS[0]).shape == BARS[0].conductance.shape


def test_devices_at_hrs_are_quiet_where_noise_is_relative_to_the_conductance() -> None:
    assert NOISE.variance(at(LOW)).max() == pytest.approx(NOISE.variance(at(HIGH)).min() / 100)
    of_range = ReadNoise(sigma=0.05, relative_to="range")
    np.testing.assert_array_equal(of_range.variance(at(LOW)), of_range.variance(at(HIGH)))


@UNITS
def test_padding_is_quiet(relative_to: Any) -> None:
    variance = ReadNoise(sigma=0.05, relative_to=relative_to).variance(programmed(padding=True))
    assert (variance[-1] == 0).all()
    assert (variance[:-1] > 0).all()


def test_the_range_is_the_device_model_s_even_where_devices_vary() -> None:
    effect = ReadNoise(sigma=0.05, relative_to="range")
    np.testing.assert_array_equal(effect.variance(varied(BARS[0])), effect.variance(BARS[0]))


def test_conductances_stay_as_they_are() -> None:
    before = BARS[0].conductance.copy()
    NOISE.variance(BARS[0])
    np.testing.assert_array_equal(BARS[0].conductance, before)
    assert not NOISE.acts


# ---- its proof ----------------------------------------------------------------------------------------------------------


@UNITS
@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.5])
def test_noise_of_the_right_variance_proves_it_in_single_precision_too(relative_to: Any, sigma: float) -> None:
    effect = ReadNoise(sigma=sigma, relative_to=relative_to)
    now = read(effect)
    proof = effect.check_reading(BARS, [BEFORE], [dataclasses.replace(now, currents=single(now.currents))])
    deviation = np.concatenate([np.sqrt(effect.variance(bar)) / bar.conductance for bar in BARS])
    assert proof.effect == "read_noise"
    assert proof.devices == proof.moved == 2000
    assert proof.mean_change == pytest.approx(deviation.mean() * math.sqrt(2 / math.pi))
    assert proof.details["variance_found_to_asked"] == pytest.approx(1.0, abs=0.03)


def test_the_mean_change_is_that_of_a_normal_number() -> None:
    change = np.abs(0.05 * rng().standard_normal(200_000)).mean()
    assert NOISE.check_reading(BARS, [BEFORE], [read(NOISE)]).mean_change == pytest.approx(change, rel=0.01)


def test_chance_is_allowed_for() -> None:
    for seed in range(100):
        NOISE.check_reading(BARS, [BEFORE], [read(NOISE, seed=seed)])


def test_few_columns_of_unequal_share_are_allowed_for() -> None:
    bars = [programmed((40, 1)), programmed((40, 1), seed=2)]
    for seed in range(100):
        now = reading(bars, WIRES, variance=summed(NOISE, bars), seed=seed)
        NOISE.check_reading(bars, [reading(bars, WIRES)], [now])


def test_what_noise_there_was_before_does_not_count() -> None:
    first, second = ReadNoise(sigma=0.05), ReadNoise(sigma=0.08)
    once = read(first)
    twice = reading(BARS, WIRES, variance=summed(first) + summed(second), seed=1)
    assert second.check_reading(BARS, [once], [twice]).details["variance_found_to_asked"] == pytest.approx(1.0, abs=0.05)
    unread(second, BARS, once, read(first, seed=1), "of the variance asked for")
    unread(second, BARS, once, read(second, seed=1), "of the variance asked for")


def test_noise_after_a_current_law_counts_the_voltages_that_act() -> None:
    law = lambda v: 0.3 * np.sinh(v / 0.3)  # noqa: E731
    before, now = (reading(BARS, WIRES, law=law, variance=variance) for variance in (None, summed(NOISE)))
    assert NOISE.check_reading(BARS, [before], [now]).moved == 2000


def test_padding_is_not_counted() -> None:
    bars = [programmed(padding=True), programmed(padding=True, seed=2)]
    before, now = reading(bars, WIRES), reading(bars, WIRES, variance=summed(NOISE, bars))
    proof = NOISE.check_reading(bars, [before], [now])
    assert proof.devices == proof.moved == 2 * 975
    assert proof.mean_change == pytest.approx(0.05 * math.sqrt(2 / math.pi))


def test_the_worst_layer_is_told() -> None:
    other = [dataclasses.replace(bar, layer="fc") for bar in BARS]
    readings = [read(NOISE), dataclasses.replace(read(NOISE, 1.08, seed=3), layer="fc")]
    details = NOISE.check_reading([*BARS, *other], [BEFORE, BEFORE], readings).details
    assert details["worst_layer"] == pytest.approx(1.08, abs=0.03)
    assert details["variance_found_to_asked"] == pytest.approx(1.04, abs=0.02)


@pytest.mark.parametrize("factor", [0.0, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_another_variance_is_found_out(factor: float) -> None:
    unread(NOISE, BARS, BEFORE, read(NOISE, factor), "the currents of 'conv' vary from read to read by .* of the variance")


def test_the_noise_of_one_crossbar_of_two_is_found_out() -> None:
    now = reading(BARS, WIRES, variance=NOISE.variance(BARS[0]))
    unread(NOISE, BARS, BEFORE, now, "of the variance asked for")


def test_the_other_unit_is_found_out() -> None:
    for one, other in (("conductance", "range"), ("range", "conductance")):
        now = read(NOISE.replace(relative_to=other))
        unread(NOISE.replace(relative_to=one), BARS, BEFORE, now, "of the variance asked for")


def test_an_error_that_is_the_same_at_each_read_is_found_out() -> None:
    """That is a programming error."""
    now = read(NOISE)
    now.currents[:] = now.currents[:1]
    unread(NOISE, BARS, BEFORE, now, r"vary from read to read by \S*(e-\d+|0) of the variance")


def test_noise_of_each_vector_that_does_not_grow_with_its_voltage_is_found_out() -> None:
    noise = rng().standard_normal(BEFORE.currents.shape) * np.sqrt(summed(NOISE).sum(axis=0))
    now = dataclasses.replace(BEFORE, currents=BEFORE.currents + noise)
    unread(NOISE, BARS, BEFORE, now, "of the variance asked for")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_currents_that_are_none_are_found_out(value: float) -> None:
    now = read(NOISE)
    now.currents[3, 2, 1] = value
    unread(NOISE, BARS, BEFORE, now, "of the variance asked for")


def test_a_second_layer_without_noise_is_found_out() -> None:
    other = [dataclasses.replace(bar, layer="fc") for bar in BARS]
    quiet = dataclasses.replace(BEFORE, layer="fc")
    with pytest.raises(EffectDidNothingError, match="the currents of 'fc' vary from read to read by 0"):
        NOISE.check_reading([*BARS, *other], [BEFORE, quiet], [read(NOISE), quiet])
