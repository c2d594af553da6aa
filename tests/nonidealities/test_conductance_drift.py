"""Drift is a power law, the same for all devices or with a spread, and its proof knows the exponent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from bars import R_OFF, Array, acted, after, crossbar, found_out, holding, programmed, prove, refused, rng, rounded, single

from membench import ConductanceDrift
from membench.errors import EffectDidNothingError


@pytest.mark.parametrize(
    ("time", "initial", "coefficient", "factor"),
    [(100.0, 1.0, 0.5, 0.1), (1000.0, 10.0, 0.1, 0.630957), (16.0, 2.0, 1.0, 0.125), (math.e, 1.0, 0.1, math.exp(-0.1))],
)
def test_drift_is_a_power_law(time: float, initial: float, coefficient: float, factor: float) -> None:
    effect = ConductanceDrift(time=time, initial_time=initial, coefficient=coefficient)
    bar = programmed()
    assert effect.factor == pytest.approx(factor, rel=1e-5)
    np.testing.assert_allclose(effect.act(bar, rng()), bar.conductance * factor, rtol=1e-5)


def test_a_drifted_conductance_may_lie_below_the_range() -> None:
    bar = crossbar(np.full((2, 2), 1 / R_OFF))
    assert np.all(ConductanceDrift(time=100.0, coefficient=0.5).act(bar, rng()) < bar.conductance_min)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"time": 1.0}, "time .* must be later than initial_time"),
        ({"time": 10.0, "initial_time": 10.0}, "must be later"),
        ({"time": 10.0, "initial_time": 11.0}, r"\(10 s\) must be later than initial_time \(11 s\)"),
        ({"time": 10.0, "coefficient": 0.0}, "coefficient is 0: nothing would drift"),
        ({"time": 10.0, "coefficient": 1.5}, "coefficient"),
        ({"time": 10.0, "coefficient": -0.1}, "coefficient"),
        ({"time": 10.0, "coefficient_sigma": -0.1}, "coefficient_sigma"),
        ({"time": 10.0, "coefficient": 0.0, "coefficient_sigma": 0.0}, "nothing would drift"),
        ({"time": True}, "time"),
        ({}, "time: Field required"),
    ],
)
def test_drift_that_would_do_nothing_or_is_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    refused(ConductanceDrift, fields, said)


def test_drift_s_proof() -> None:
    effect, bar = ConductanceDrift(time=100.0, coefficient=0.5), programmed()
    proof = prove(effect, bar, effect.act(bar, rng()))
    assert proof.moved == 1000
    assert proof.mean_change == pytest.approx(0.9)
    assert proof.details["factor"] == pytest.approx(0.1)
    assert proof.details["worst_deviation"] < 1e-12


@pytest.mark.parametrize("wrong", [0.99, 1.01, 0.9999])
def test_drift_by_another_factor_is_found_out(wrong: float) -> None:
    effect, bar = ConductanceDrift(time=100.0), programmed()
    with pytest.raises(EffectDidNothingError, match="conductances should be"):
        prove(effect, bar, effect.act(bar, rng()) * wrong)


def test_drift_of_all_devices_but_one_is_found_out() -> None:
    effect, bar = ConductanceDrift(time=100.0), programmed()
    conductance = effect.act(bar, rng())
    conductance[7, 7] = bar.conductance[7, 7]
    with pytest.raises(EffectDidNothingError, match="conductances should be"):
        prove(effect, bar, conductance)


def test_drift_of_one_crossbar_of_two_is_found_out() -> None:
    effect, bar = ConductanceDrift(time=100.0), programmed()
    with pytest.raises(EffectDidNothingError, match="conductances should be"):
        effect.prove([bar, bar], [after(bar, effect.act(bar, rng())), bar])


# ---- a spread of nu -----------------------------------------------------------------------------------------------------

SPREAD = ConductanceDrift(time=1e4, initial_time=10.0, coefficient=0.06, coefficient_sigma=0.02)


def exponents(before: Array, now: Array, effect: ConductanceDrift = SPREAD) -> Array:
    return -np.log(now / before) / math.log(effect.time / effect.initial_time)


def test_each_device_drifts_with_its_own_nu() -> None:
    bar = programmed((400, 100))
    found = exponents(bar.conductance, SPREAD.act(bar, rng()))
    assert found.mean() == pytest.approx(0.06, abs=5 * 0.02 / 200)
    assert found.std() == pytest.approx(0.02, abs=5 * 0.02 / 200 / math.sqrt(2))
    assert abs(np.corrcoef(found.ravel(), bar.conductance.ravel())[0, 1]) < 0.03
    assert len(np.unique(found)) == found.size
    within = [np.mean(np.abs(found - 0.06) < times * 0.02) for times in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)


def test_nu_may_vary_around_0() -> None:
    effect, bar = ConductanceDrift(time=100.0, coefficient=0.0, coefficient_sigma=0.05), programmed()
    now = effect.act(bar, rng())
    assert (now > bar.conductance).any()
    assert (now < bar.conductance).any()
    assert prove(effect, bar, single(now)).details["mean_coefficient"] == pytest.approx(0.0, abs=0.01)


def test_a_spread_so_small_that_it_cannot_be_told_gives_the_power_law() -> None:
    effect, bar = SPREAD.replace(coefficient_sigma=1e-9), programmed()
    np.testing.assert_allclose(effect.act(bar, rng()), SPREAD.replace(coefficient_sigma=0.0).act(bar, rng()), rtol=1e-7)


def test_another_seed_draws_another_nu() -> None:
    assert not np.array_equal(SPREAD.act(programmed(), rng(1)), SPREAD.act(programmed(), rng(2)))
    alike = SPREAD.replace(coefficient_sigma=0.0)
    assert np.array_equal(alike.act(programmed(), rng(1)), alike.act(programmed(), rng(2)))


def test_the_proof_measures_the_spread_of_nu() -> None:
    details = prove(SPREAD, rounded(programmed()), single(SPREAD.act(rounded(programmed()), rng()))).details
    assert details["factor"] == pytest.approx(1000**-0.06)
    assert details["mean_coefficient"] == pytest.approx(0.06, abs=0.004)
    assert details["coefficient_spread"] == pytest.approx(0.02, abs=0.003)


@pytest.mark.parametrize(
    "done",
    [
        SPREAD.replace(coefficient_sigma=0.0),
        SPREAD.replace(coefficient_sigma=0.012),
        SPREAD.replace(coefficient_sigma=0.03),
        SPREAD.replace(coefficient=0.07),
        SPREAD.replace(coefficient=0.05),
        SPREAD.replace(initial_time=1.0),
        SPREAD.replace(time=1e3),
    ],
    ids=["none", "less", "more", "faster", "slower", "another start", "another time"],
)
def test_another_spread_is_found_out(done: ConductanceDrift) -> None:
    found_out(SPREAD, programmed(), acted(done, programmed()), "nu has mean .* were asked for")


def test_one_nu_for_each_crossbar_is_found_out() -> None:
    bars = [programmed(seed=seed) for seed in range(4)]
    nu = rng().normal(0.06, 0.02, 4)
    now = [after(bar, bar.conductance * 1000**-one) for bar, one in zip(bars, nu, strict=True)]
    found_out(SPREAD, bars, now, "nu has mean")


def test_a_spread_where_none_was_asked_for_is_found_out() -> None:
    found_out(SPREAD.replace(coefficient_sigma=0.0), programmed(), acted(SPREAD, programmed()), "conductances should be")


# ---- stuck devices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [SPREAD, SPREAD.replace(coefficient_sigma=0.0)], ids=["spread", "alike"])
def test_stuck_devices_do_not_drift_and_the_proof_knows_them(effect: ConductanceDrift) -> None:
    bar = rounded(holding(programmed(), *[(row, column) for row in range(40) for column in range(5)]))
    now = rounded(acted(effect, bar))
    assert np.array_equal(now.conductance[:, :5], bar.conductance[:, :5])
    assert effect.prove([bar], [now]).moved == 800
    found_out(effect, bar, after(bar, bar.conductance + (now.conductance - bar.conductance) / 2), "were asked for|should be")


def test_devices_held_that_are_not_stuck_are_found_out() -> None:
    bar = holding(programmed(), *[(row, 0) for row in range(40)])
    found_out(ConductanceDrift(time=100.0), programmed(), acted(ConductanceDrift(time=100.0), bar), "conductances should be")
