"""Effects act as their formulas say, and their proofs find out an engine that does something else."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from membench import ConductanceDrift, DeviceFaults, Endurance, Retention, Variability
from membench.effect import EFFECTS, Crossbar, Effect, Stage, effect_from
from membench.errors import EffectDidNothingError, InputError, UnknownNameError

R_ON, R_OFF = 100.0, 1000.0
MIDDLE = 550.0
Array = NDArray[np.float64]


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def crossbar(conductance: Array, *, padding: bool = False, layer: str = "conv") -> Crossbar:
    """A crossbar of a device of 100 to 1000 ohm; `padding`: the last row only pads."""
    real = np.ones(conductance.shape, dtype=bool)
    if padding:
        real[-1] = False
    return Crossbar(
        layer, 0, conductance, np.full(conductance.shape, 1 / R_OFF), np.full(conductance.shape, 1 / R_ON), real, (R_ON, R_OFF)
    )


def programmed(shape: tuple[int, ...] = (40, 25), **options: Any) -> Crossbar:
    """Resistances spread between the ends, with none at an end."""
    return crossbar(1 / np.random.default_rng(1).uniform(1.1 * R_ON, 0.9 * R_OFF, shape), **options)


def single(conductance: Array) -> Array:
    """As an engine holds it."""
    return conductance.astype(np.float32).astype(np.float64)


def after(bar: Crossbar, conductance: Array) -> Crossbar:
    return dataclasses.replace(bar, conductance=conductance)


def prove(effect: Effect, bar: Crossbar, conductance: Array) -> Any:
    return effect.prove([bar], [after(bar, conductance)])


WEAR: dict[str, Any] = {
    "mode": "gradual",
    "p_lrs": (2.0, 0.3, 1.5, 0.05),
    "p_hrs": (3.0, 0.2, 2.0, -0.04),
    "stable_resistance_lrs": 300.0,
    "stable_resistance_hrs": 700.0,
    "cell_size": 10.0,
    "temperature": 350.0,
    "temperature_threshold": 298.0,
}
LRS_STARTS = 2.0 * math.exp(0.3 * 10 + 1.5 * 298 / 350)  # about 144
HRS_STARTS = 3.0 * math.exp(0.2 * 10 + 2.0 * 298 / 350)  # about 122
WORN = pytest.mark.parametrize(("model", "count"), [(Endurance, "cycles"), (Retention, "time")], ids=["endurance", "retention"])


# ---- what all have in common --------------------------------------------------------------------------------------------

EFFECT_OF = {
    "variability": Variability(r_on_sigma=1.0, r_off_sigma=1.0),
    "device_faults": DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2),
    "conductance_drift": ConductanceDrift(time=100.0),
    "endurance": Endurance(cycles=1e4, **WEAR),
    "retention": Retention(time=1e4, **WEAR),
}
ACTING = [effect for effect in EFFECT_OF.values() if effect.acts]


def test_the_effects_and_when_they_act() -> None:
    own = {name for name in EFFECTS.names() if EFFECTS.get(name).__module__.startswith("membench.")}
    assert own == set(EFFECT_OF)
    assert {name: effect.stage for name, effect in EFFECT_OF.items()} == {
        "variability": Stage.FABRICATION,
        "device_faults": Stage.PROGRAMMING,
        "conductance_drift": Stage.AGEING,
        "endurance": Stage.AGEING,
        "retention": Stage.AGEING,
    }


@pytest.mark.parametrize("kind", EFFECT_OF)
def test_an_effect_is_made_from_its_declared_form(kind: str) -> None:
    effect = EFFECT_OF[kind]
    assert effect.kind == kind
    assert effect_from(effect) is effect
    assert effect_from(effect.model_dump(mode="json")) == effect


def test_only_fabrication_leaves_the_acting_to_the_engine() -> None:
    assert [kind for kind, effect in EFFECT_OF.items() if not effect.acts] == ["variability"]
    with pytest.raises(NotImplementedError):
        EFFECT_OF["variability"].act(programmed(), rng())


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no non-ideality 'drift'"):
        effect_from({"kind": "drift"})


@pytest.mark.parametrize("effect", ACTING, ids=lambda effect: effect.kind)
def test_acting_leaves_the_crossbar_as_it_was_and_keeps_its_shape(effect: Effect) -> None:
    bar = programmed((3, 8, 8))
    before = bar.conductance.copy()
    result = effect.act(bar, rng())
    assert np.array_equal(bar.conductance, before)
    assert result.shape == before.shape
    assert not np.array_equal(result, before)


@pytest.mark.parametrize("effect", ACTING, ids=lambda effect: effect.kind)
def test_the_same_seed_acts_the_same(effect: Effect) -> None:
    bar = programmed()
    assert np.array_equal(effect.act(bar, rng()), effect.act(bar, rng()))


@pytest.mark.parametrize("effect", ACTING, ids=lambda effect: effect.kind)
def test_what_an_effect_does_is_proven_in_single_precision_too(effect: Effect) -> None:
    """Engines hold float32."""
    bar = crossbar(single(programmed().conductance))
    proof = prove(effect, bar, single(effect.act(bar, rng())))
    assert proof.effect == effect.kind
    assert proof.devices == 1000
    assert 0 < proof.moved <= 1000
    assert proof.mean_change > 0


@pytest.mark.parametrize("effect", EFFECT_OF.values(), ids=lambda effect: effect.kind)
def test_an_effect_that_moved_nothing_is_an_error(effect: Effect) -> None:
    bar = programmed()
    for rounding in (1.0, 1 + 5e-7):
        with pytest.raises(EffectDidNothingError, match=f"'{effect.kind}' was asked for and changed none of 1000 devices"):
            prove(effect, bar, bar.conductance * rounding)


@pytest.mark.parametrize("effect", EFFECT_OF.values(), ids=lambda effect: effect.kind)
def test_a_device_that_only_pads_proves_nothing(effect: Effect) -> None:
    bar = programmed(padding=True)
    conductance = bar.conductance.copy()
    conductance[-1] = 1 / R_ON
    with pytest.raises(EffectDidNothingError, match="changed none of 975 devices"):
        prove(effect, bar, conductance)


@pytest.mark.parametrize("effect", EFFECT_OF.values(), ids=lambda effect: effect.kind)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_conductance_that_is_not_finite_proves_nothing(effect: Effect, value: float) -> None:
    bar = programmed()
    conductance = effect.act(bar, rng()) if effect.acts else bar.conductance * 1.1
    conductance[3, 4] = value
    with pytest.raises(EffectDidNothingError):
        prove(effect, bar, conductance)


@pytest.mark.parametrize("effect", EFFECT_OF.values(), ids=lambda effect: effect.kind)
def test_a_lost_crossbar_is_an_error(effect: Effect) -> None:
    bar = programmed()
    with pytest.raises(ValueError, match="zip"):
        effect.prove([bar, bar], [after(bar, bar.conductance * 2)])


def test_a_proof_counts_all_crossbars() -> None:
    """Half of the devices at 1.1 and half at 0.7 of what they were: mean change (0.1 + 0.3) / 2."""

    class Counting(Effect):
        kind: str = ""  # registered nowhere
        stage = Stage.AGEING  # type: ignore[misc]

        def check(self, before: Any, after: Any) -> dict[str, float]:
            return {"crossbars": float(len(after))}

    bars = [programmed((4, 5)), programmed((2, 10)), programmed((5, 4))]
    results = [after(bars[0], bars[0].conductance * 1.1), after(bars[1], bars[1].conductance * 0.7), bars[2]]
    proof = Counting().prove(bars, results)
    assert (proof.devices, proof.moved) == (60, 40)
    assert proof.mean_change == pytest.approx(0.4 / 3)
    assert proof.details == {"crossbars": 3.0}


# ---- drift --------------------------------------------------------------------------------------------------------------


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
        ({"time": True}, "time"),
        ({}, "time: Field required"),
    ],
)
def test_drift_that_would_do_nothing_or_is_out_of_range_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ConductanceDrift(**fields)


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


# ---- faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lrs", "hrs", "electroform", "at_lrs", "at_hrs"),
    [
        (0.2, 0.0, 0.0, (200, 200), (0, 0)),
        (0.0, 0.2, 0.0, (0, 0), (200, 200)),
        (0.0, 0.2, 0.1, (0, 0), (300, 300)),
        (0.0, 0.0, 0.1, (0, 0), (100, 100)),
        (0.25, 0.5, 0.0, (250, 250), (250, 500)),  # LRS is drawn last and may take HRS devices away
        (1.0, 0.0, 0.0, (1000, 1000), (0, 0)),
        (0.0, 1.0, 0.0, (0, 0), (1000, 1000)),
        (0.0, 0.75, 0.25, (0, 0), (1000, 1000)),
        (1.0, 1.0, 0.0, (1000, 1000), (0, 0)),
    ],
)
def test_as_many_devices_are_stuck_as_were_asked_for(
    lrs: float, hrs: float, electroform: float, at_lrs: tuple[int, int], at_hrs: tuple[int, int]
) -> None:
    effect = DeviceFaults(lrs_proportion=lrs, hrs_proportion=hrs, electroform_proportion=electroform)
    bar = programmed()
    result = effect.act(bar, rng())
    low, high = int(np.sum(result == bar.conductance_min)), int(np.sum(result == bar.conductance_max))
    assert at_lrs[0] <= high <= at_lrs[1]
    assert at_hrs[0] <= low <= at_hrs[1]
    untouched = (result != bar.conductance_min) & (result != bar.conductance_max)
    assert np.array_equal(result[untouched], bar.conductance[untouched])
    proof = prove(effect, bar, result)
    assert proof.details == {"stuck_at_lrs": high, "stuck_at_hrs": low}
    assert proof.moved == low + high


def test_a_device_is_stuck_at_its_own_ends() -> None:
    """With variability, each device has its own range."""
    spread = np.random.default_rng(2).uniform(0.9, 1.1, (40, 25))
    bar = dataclasses.replace(programmed(), conductance_max=spread / R_ON, conductance_min=spread / R_OFF)
    assert np.array_equal(DeviceFaults(lrs_proportion=1.0).act(bar, rng()), spread / R_ON)
    assert np.array_equal(DeviceFaults(hrs_proportion=1.0).act(bar, rng()), spread / R_OFF)


def test_another_seed_draws_other_devices() -> None:
    effect, bar = DeviceFaults(lrs_proportion=0.1), programmed()
    assert not np.array_equal(effect.act(bar, rng()), effect.act(bar, np.random.default_rng(6)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "all proportions are 0"),
        ({"lrs_proportion": 0.0, "hrs_proportion": 0.0}, "all proportions are 0"),
        ({"hrs_proportion": 0.6, "electroform_proportion": 0.5}, r"is 1\.1; both leave a device at HRS"),
        ({"lrs_proportion": 1.1}, "lrs_proportion"),
        ({"lrs_proportion": -0.1}, "lrs_proportion"),
        ({"hrs_proportion": True}, "hrs_proportion"),
    ],
)
def test_faults_that_would_do_nothing_or_are_out_of_range_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DeviceFaults(**fields)


def test_faults_at_neither_end_are_found_out() -> None:
    effect, bar = DeviceFaults(lrs_proportion=0.1), programmed()
    conductance = effect.act(bar, rng())
    conductance[conductance == 1 / R_ON] *= 0.99
    with pytest.raises(EffectDidNothingError, match="100 devices of 'conv' moved to a conductance that is neither LRS nor HRS"):
        prove(effect, bar, conductance)


def test_a_device_that_moved_though_it_is_not_stuck_is_found_out() -> None:
    effect, bar = DeviceFaults(lrs_proportion=0.1), programmed()
    conductance = effect.act(bar, rng())
    conductance[conductance != 1 / R_ON] *= 1.001
    with pytest.raises(EffectDidNothingError, match="900 devices of 'conv' moved"):
        prove(effect, bar, conductance)


@pytest.mark.parametrize(
    ("asked", "done", "name"),
    [
        ({"lrs_proportion": 0.2}, {"lrs_proportion": 0.1}, "stuck_at_lrs: at least 200 devices were to move there, 100 did"),
        ({"hrs_proportion": 0.2}, {"hrs_proportion": 0.1}, "stuck_at_hrs: at least 200 devices were to move there, 100 did"),
        ({"electroform_proportion": 0.2}, {"electroform_proportion": 0.1}, "stuck_at_hrs: at least 2[04][03] devices"),
        ({"lrs_proportion": 0.2}, {"hrs_proportion": 0.2}, "stuck_at_lrs: at least 200 devices were to move there, 0 did"),
        ({"lrs_proportion": 0.1, "hrs_proportion": 0.3}, {"lrs_proportion": 0.1}, "stuck_at_hrs: at least 2[04][03] devices"),
        ({"lrs_proportion": 0.1, "hrs_proportion": 0.3}, {"hrs_proportion": 0.3}, "stuck_at_lrs: at least 100 devices"),
    ],
)
def test_too_few_faults_are_found_out(asked: dict[str, float], done: dict[str, float], name: str) -> None:
    bar = programmed()
    with pytest.raises(EffectDidNothingError, match=name):
        prove(DeviceFaults(**asked), bar, DeviceFaults(**done).act(bar, rng()))


def test_faults_that_are_missing_are_found_out_though_half_of_the_devices_were_at_hrs_before() -> None:
    """With two columns a weight, half of the devices hold nothing and are at HRS: they must not pass for stuck ones."""
    bar = programmed()
    bar.conductance[:20] = 1 / R_OFF
    asked = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.3)
    prove(asked, bar, asked.act(bar, rng()))
    with pytest.raises(EffectDidNothingError, match="stuck_at_hrs"):
        prove(asked, bar, DeviceFaults(lrs_proportion=0.1).act(bar, rng()))


def test_faults_that_are_missing_are_found_out_though_weights_were_saturated_at_lrs_before() -> None:
    """With `retained` below 1, the largest weights are at LRS: they must not pass for stuck ones either."""
    bar = programmed()
    bar.conductance[:4] = 1 / R_ON
    asked = DeviceFaults(lrs_proportion=0.08, hrs_proportion=0.1)
    prove(asked, bar, asked.act(bar, rng()))
    with pytest.raises(EffectDidNothingError, match="stuck_at_lrs"):
        prove(asked, bar, DeviceFaults(hrs_proportion=0.1).act(bar, rng()))


# ---- variability --------------------------------------------------------------------------------------------------------


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


# ---- endurance and retention --------------------------------------------------------------------------------------------


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
