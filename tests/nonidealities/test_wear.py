"""Endurance and retention: the empirical model of metal oxides, over cycles and over time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import WEAR, crossbar, found_out, holding, programmed, prove, rng, rounded, single

from membench import VTEAM, Endurance, LinearIonDrift, Retention
from membench.effect import Crossbar
from membench.errors import EffectDidNothingError, InputError

MIDDLE = 550.0
LRS_STARTS = 2.0 * math.exp(0.3 * 10 + 1.5 * 298 / 350)  # about 144
HRS_STARTS = 3.0 * math.exp(0.2 * 10 + 2.0 * 298 / 350)  # about 122
WORN = pytest.mark.parametrize(("model", "count"), [(Endurance, "cycles"), (Retention, "time")], ids=["endurance", "retention"])


def resistances(*values: float) -> Crossbar:
    return crossbar(1 / np.array([values]))


@WORN
def test_failure_begins_at_its_threshold(model: type[Endurance | Retention], count: str) -> None:
    effect = model(**{count: 1e4}, **WEAR)
    assert effect.x == 1e4
    assert effect.threshold(effect.p_lrs) == pytest.approx(LRS_STARTS)
    assert effect.threshold(effect.p_hrs) == pytest.approx(HRS_STARTS)


@WORN
@pytest.mark.parametrize("x", [1.0, 0.5 * HRS_STARTS, 0.999 * HRS_STARTS])
def test_before_anything_fails_the_effect_is_refused(model: type[Endurance | Retention], count: str, x: float) -> None:
    with pytest.raises(
        InputError, match=f"{model.__name__}: nothing fails yet at .* begins at 144.* for LRS and at 121.* for HRS"
    ):
        model(**{count: x}, **WEAR)


@WORN
@pytest.mark.parametrize("mode", ["gradual", "sudden"])
def test_between_the_thresholds_only_one_state_moves(model: type[Endurance | Retention], count: str, mode: str) -> None:
    bar = resistances(120.0, 540.0, 560.0, 900.0)
    x = (LRS_STARTS + HRS_STARTS) / 2
    moved = 1 / model(**{count: x}, **{**WEAR, "mode": mode}).act(bar, rng())[0]
    np.testing.assert_allclose(moved[:2], [120.0, 540.0])
    if mode == "sudden":
        np.testing.assert_allclose(moved[2:], [700.0, 700.0])
    else:
        assert np.all(moved[2:] < [559.9, 899.9])


@WORN
def test_gradual_failure_follows_the_formula(model: type[Endurance | Retention], count: str) -> None:
    """log10 R moves by p_3 (p_1 size + p_2 T0/T) log10(x / start)."""
    bar = resistances(120.0, 400.0, 700.0, 900.0)
    moved = 1 / model(**{count: 1e4}, **WEAR).act(bar, rng())[0]
    lrs = 10 ** (0.05 * (0.3 * 10 + 1.5 * 298 / 350) * math.log10(1e4 / LRS_STARTS))
    hrs = 10 ** (-0.04 * (0.2 * 10 + 2.0 * 298 / 350) * math.log10(1e4 / HRS_STARTS))
    assert (lrs, hrs) == pytest.approx((2.4763, 0.5205), rel=1e-4)
    np.testing.assert_allclose(moved[[0, 2, 3]], [120.0 * lrs, 700.0 * hrs, 900.0 * hrs], rtol=1e-9)


@WORN
def test_sudden_failure_ends_at_the_stable_resistances(model: type[Endurance | Retention], count: str) -> None:
    bar = resistances(120.0, 540.0, 560.0, 900.0)
    moved = 1 / model(**{count: 1e4}, **{**WEAR, "mode": "sudden"}).act(bar, rng())[0]
    np.testing.assert_allclose(moved, [300.0, 300.0, 700.0, 700.0])


@WORN
def test_only_heat_above_the_threshold_hastens_failure(model: type[Endurance | Retention], count: str) -> None:
    def starts(temperature: float) -> float:
        effect = model(**{count: 1e6}, **{**WEAR, "temperature": temperature})
        return effect.threshold(effect.p_lrs)

    assert starts(200.0) == starts(298.0) == pytest.approx(2.0 * math.exp(0.3 * 10 + 1.5))
    assert starts(300.0) > starts(400.0) > starts(600.0)


@WORN
def test_wear_s_proof(model: type[Endurance | Retention], count: str) -> None:
    effect, bar = model(**{count: 1e4}, **{**WEAR, "mode": "sudden"}), programmed()
    details = prove(effect, bar, effect.act(bar, rng())).details
    resistance = 1 / bar.conductance
    assert details["mean_log10_shift_lrs"] == pytest.approx(np.mean(np.log10(300 / resistance[resistance < MIDDLE])))
    assert details["mean_log10_shift_hrs"] == pytest.approx(np.mean(np.log10(700 / resistance[resistance > MIDDLE])))
    assert details["threshold_lrs"] == pytest.approx(LRS_STARTS)
    assert details["threshold_hrs"] == pytest.approx(HRS_STARTS)


@WORN
@pytest.mark.parametrize("mode", ["gradual", "sudden"])
def test_wear_of_another_size_is_found_out(model: type[Endurance | Retention], count: str, mode: str) -> None:
    """An engine with other parameters, or one that moves a single device, has not done what was asked for."""
    effect, bar = model(**{count: 1e4}, **{**WEAR, "mode": mode}), programmed()
    right = effect.act(bar, rng())
    one = bar.conductance.copy()
    one[0, 0] = right[0, 0]
    lrs_only = np.where(bar.conductance > 1 / MIDDLE, right, bar.conductance)
    for wrong in (right * 1.01, one, lrs_only):
        with pytest.raises(EffectDidNothingError):
            prove(effect, bar, wrong)


@WORN
@pytest.mark.parametrize("p_1", [92.1, -92.1])
def test_parameters_beyond_all_numbers_are_refused(model: type[Endurance | Retention], count: str, p_1: float) -> None:
    """p_1 in another unit makes exp() overflow, or makes a threshold of 0 to divide by."""
    with pytest.raises(InputError, match=model.__name__):
        model(**{count: 1e4}, **{**WEAR, "p_lrs": (2.0, p_1, 1.5, 0.05)})


@WORN
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("p_lrs", (0.0, 0.3, 1.5, 0.05)),
        ("p_hrs", (-1.0, 0.3, 1.5, 0.05)),
        ("p_lrs", (1.0, 0.3, 1.5)),
        ("p_lrs", (1.0, 0.3, 1.5, math.nan)),
        ("p_lrs", (1.0, "0.3", 1.5, 0.0)),
        ("mode", "slow"),
        ("stable_resistance_lrs", 0.0),
        ("stable_resistance_hrs", -1.0),
        ("cell_size", 0.0),
        ("temperature", 0.0),
        ("temperature_threshold", True),
    ],
)
def test_wrong_parameters_of_wear_are_refused(model: type[Endurance | Retention], count: str, field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        model(**{count: 1e4}, **{**WEAR, field: value})


@WORN
def test_midpoints(model: type[Endurance | Retention], count: str) -> None:
    """Half-way between the device's resistances; MemTorch has r_on + r_off / 2 of the model class's defaults."""
    here, there = (model(**{count: 1e4}, **WEAR, memtorch_compatible=compatible) for compatible in (False, True))
    assert here.midpoint(VTEAM(r_on=100.0, r_off=1000.0)) == 550.0
    assert there.midpoint(VTEAM(r_on=100.0, r_off=1000.0)) == there.midpoint(VTEAM(r_on=1e3, r_off=1e6)) == 50 + 1000 / 2
    assert there.midpoint(LinearIonDrift(r_on=500.0, r_off=600.0)) == 100 + 16e3 / 2


@WORN
def test_which_devices_are_lrs_follows_the_midpoint(model: type[Endurance | Retention], count: str) -> None:
    """As MemTorch has it, no device of a range above its default midpoint is ever at LRS."""
    high = VTEAM(r_on=1e3, r_off=1e4)
    bar = dataclasses.replace(resistances(1.2e3, 5e3, 6e3, 9e3), device=high)
    fields = {count: 1e4, **WEAR, "mode": "sudden"}
    np.testing.assert_allclose(1 / model(**fields).act(bar, rng())[0], [300.0, 300.0, 700.0, 700.0])
    np.testing.assert_allclose(1 / model(**fields, memtorch_compatible=True).act(bar, rng())[0], 700.0)


@WORN
def test_the_other_midpoint_is_found_out(model: type[Endurance | Retention], count: str) -> None:
    high = VTEAM(r_on=1e3, r_off=1e4)
    draw = np.random.default_rng(4)
    bar = dataclasses.replace(resistances(*draw.uniform(1.1e3, 9e3, 500)), device=high)
    here, there = (model(**{count: 1e4, **WEAR}, memtorch_compatible=compatible) for compatible in (False, True))
    for one, other in ((here, there), (there, here)):
        assert prove(one, bar, single(one.act(bar, rng()))).moved == 500
        found_out(one, bar, dataclasses.replace(bar, conductance=other.act(bar, rng())), "are not where the model puts them")


@WORN
def test_wear_leaves_stuck_devices_and_its_proof_knows_them(model: type[Endurance | Retention], count: str) -> None:
    effect, bar = model(**{count: 1e4}, **WEAR), rounded(holding(programmed(), *[(row, 3) for row in range(20)]))
    worn = effect.act_on([bar], rng())[0]
    assert np.array_equal(worn.conductance[:20, 3], bar.conductance[:20, 3])
    assert effect.prove([bar], [rounded(worn)]).moved == 980
    found_out(effect, bar, dataclasses.replace(bar, conductance=effect.act(bar, rng())), "20 of 1000 devices are not where")
