"""Effects on a real network: more of one costs more, none of one costs nothing, and in the limit all is as it should be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from membench import (
    ADC,
    DAC,
    VTEAM,
    Case,
    ConductanceDrift,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    Thresholds,
    Variability,
    WriteVerify,
    profile,
    run_case,
)
from membench.effect import Crossbar, Effect
from membench.record import Measured
from membench.statistics import paired_difference

IDEAL = profile("ideal").conversion
WEAR: dict[str, Any] = {
    "mode": "gradual",
    "p_lrs": (1.0, 0.921, 0.0, 0.01086),
    "p_hrs": (1.0, 0.921, 0.0, -0.01086),
    "stable_resistance_lrs": 1.4e5,
    "stable_resistance_hrs": 5e6,
}
SEEDS = (0, 1)
IMAGES = 200


def measured(*effects: Effect, images: int = IMAGES, **changes: Any) -> Measured:
    """The shipped network on 64x64 tiles with an 8-bit ADC at 9 V, where no input is scaled."""
    case = Case(
        name="physics",
        dataset="mnist5k",
        network="vgg-mnist",
        conversion=IDEAL.replace(**{"max_input_voltage": 9.0, **changes}),
        nonidealities=effects,
        seeds=SEEDS,
        images=images,
        thresholds=Thresholds(max_loss_points=100.0),
    )
    return run_case(case).measured


@pytest.fixture(scope="module")
def ideal() -> Measured:
    return measured()


RISING: dict[str, list[tuple[Effect, ...]]] = {
    "variability": [
        (Variability(r_on_sigma=s * 1.4e4, r_off_sigma=s * 5e7, distribution="lognormal"),) for s in (0.1, 0.9, 8.0)
    ],
    "finite states": [(FiniteConductanceStates(states=n),) for n in (64, 8, 2)],
    "programming error": [(ProgrammingError(sigma=s, relative_to="range"),) for s in (0.02, 0.08, 0.3)],
    "write-verify": [
        (ProgrammingError(sigma=0.2, relative_to="range", write_verify=WriteVerify(tolerance=t, attempts=300)),)
        for t in (0.02, 0.08, 0.3)
    ],
    "faults at LRS": [(DeviceFaults(lrs_proportion=p),) for p in (0.001, 0.01, 0.1)],
    "faults at HRS": [(DeviceFaults(hrs_proportion=p),) for p in (0.01, 0.1, 0.5)],
    "drift": [(ConductanceDrift(time=10.0, coefficient=nu),) for nu in (0.01, 0.1, 0.5)],
    "spread of drift": [(ConductanceDrift(time=1e4, coefficient=0.05, coefficient_sigma=s),) for s in (0.01, 0.1, 0.4)],
    "retention": [(Retention(time=t, **WEAR),) for t in (3e4, 3e5, 3e7)],
    "endurance": [(Endurance(cycles=n, **WEAR),) for n in (3e4, 3e5, 3e7)],
    "line resistance": [(LineResistance(line_resistance=r, source_resistance=10 * r),) for r in (0.5, 8.0, 64.0)],
    "non-linear": [(NonLinear(law="sinh", scale=v),) for v in (20.0, 3.0, 0.5)],
    "read noise": [(ReadNoise(sigma=s, relative_to="range"),) for s in (0.02, 0.1, 0.5)],
}


@pytest.mark.parametrize("name", RISING)
def test_the_stronger_an_effect_the_larger_the_error_and_the_loss(name: str) -> None:
    found = [measured(*effects) for effects in RISING[name]]
    errors = [one.logit_error for one in found]
    assert errors == sorted(errors), errors
    right = [one.correct(SEEDS, IMAGES) for one in found]
    for weak, strong in itertools.pairwise(right):
        assert paired_difference(weak, strong).high >= 0  # beyond noise, no stronger effect wins accuracy
    assert errors[-1] > 1.5 * errors[0]
    assert found[-1].loss.estimate > found[0].loss.estimate


ZERO: list[Effect] = [
    ProgrammingError.model_construct(sigma=0.0, relative_to="range", write_verify=None),
    DeviceFaults.model_construct(),
    DeviceFaults.model_construct(counts="binomial"),
    DeviceFaults.model_construct(memtorch_compatible=True),
    ConductanceDrift.model_construct(time=100.0, coefficient=0.0, initial_time=1.0),
    LineResistance.model_construct(line_resistance=0.0, source_resistance=0.0),
]


@pytest.mark.parametrize("effect", ZERO, ids=lambda effect: type(effect).__name__)
def test_zero_strength_changes_nothing_to_the_last_bit(effect: Effect) -> None:
    device = VTEAM(r_on=1.4e4, r_off=5e7)
    low, high = device.conductance_range
    conductance = np.random.default_rng(0).uniform(low, high, (3, 16, 8))
    real = np.ones(conductance.shape, dtype=bool)
    bar = Crossbar("a", 0, conductance, np.full_like(conductance, low), np.full_like(conductance, high), real, device)
    assert np.array_equal(effect.act_on([bar], np.random.RandomState(1))[0].conductance, conductance)


def test_zero_read_noise_has_no_variance() -> None:
    device = VTEAM(r_on=1.4e4, r_off=5e7)
    conductance = np.full((4, 4), 1e-5)
    ends = np.full((4, 4), 1 / 5e7), np.full((4, 4), 1 / 1.4e4)
    bar = Crossbar("a", 0, conductance, *ends, np.ones((4, 4), dtype=bool), device)
    assert not ReadNoise.model_construct(sigma=0.0, relative_to="range").variance(bar).any()


@pytest.mark.parametrize(
    "effect",
    [DeviceFaults(lrs_proportion=1.0), DeviceFaults(hrs_proportion=1.0), DeviceFaults(lrs_proportion=0.5, hrs_proportion=0.5)],
)
def test_a_network_of_stuck_devices_guesses(effect: Effect) -> None:
    """Ten classes, balanced: chance is 10 %."""
    found = measured(effect)
    assert found.accuracy == pytest.approx(0.1, abs=0.06)


def test_no_line_resistance_is_the_limit_of_little(ideal: Measured) -> None:
    little = measured(LineResistance(line_resistance=1e-2, source_resistance=1e-2), adc=None)
    exact = measured(adc=None)
    assert little.seeds[0].predictions == exact.seeds[0].predictions
    assert little.logit_error < 1e-3


@pytest.mark.parametrize("range_", ["vector", "calibrated"])
def test_more_bits_of_an_adc_approach_none(range_: str) -> None:
    errors = [measured(adc=ADC(bits=bits, range=range_)).logit_error for bits in (3, 5, 7, 10, 14)]
    assert errors == sorted(errors, reverse=True), errors
    assert errors[-1] < 0.01
    assert errors[0] > 20 * errors[-1]


def test_more_bits_of_a_dac_approach_none() -> None:
    errors = [measured(adc=None, dac=DAC(bits=bits)).logit_error for bits in (4, 6, 8, 12)]
    assert errors == sorted(errors, reverse=True), errors
    assert errors[-1] < 0.01


def test_many_states_approach_none(ideal: Measured) -> None:
    found = measured(FiniteConductanceStates(states=60_000))
    assert found.logit_error == pytest.approx(ideal.logit_error, abs=1e-3)


def test_the_scale_undone_is_no_limit_at_all() -> None:
    """Without converters the product is linear, so that undoing a scale leaves nothing of it."""
    bounded = measured(adc=None, max_input_voltage=0.3, scaling=InputScaling(undone=True))
    assert bounded.logit_error < 1e-5
    kept = measured(adc=None, max_input_voltage=0.3)
    assert kept.logit_error > 0.5


@pytest.mark.parametrize("per", ["image", "batch"])
def test_the_scale_undone_saves_a_network_behind_converters(per: str) -> None:
    saved = measured(max_input_voltage=0.3, scaling=InputScaling(undone=True, per=per), adc=ADC(bits=8), dac=DAC(bits=8))
    lost = measured(max_input_voltage=0.3, scaling=InputScaling(per=per), adc=ADC(bits=8), dac=DAC(bits=8))
    assert saved.loss.estimate < 2 < 50 < lost.loss.estimate


def test_the_same_seed_reads_the_same_noise() -> None:
    first, again = measured(ReadNoise(sigma=0.05), images=40), measured(ReadNoise(sigma=0.05), images=40)
    assert first == again
    assert first.seeds[0].batch_error_power != first.seeds[1].batch_error_power
