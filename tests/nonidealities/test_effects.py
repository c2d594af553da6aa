"""What all non-idealities have in common; each has a file of its own beside this one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import DEVICE, HIGH, WEAR, after, crossbar, holding, programmed, prove, rng, rounded, varied

from membench import (
    ConductanceDrift,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    Variability,
    WriteVerify,
)
from membench.effect import EFFECTS, Effect, ReadEffect, Stage, effect_from
from membench.errors import EffectDidNothingError, UnknownNameError

EFFECT_OF = {
    "variability": Variability(r_on_sigma=1.0, r_off_sigma=1.0),
    "finite_conductance_states": FiniteConductanceStates(states=8),
    "programming_error": ProgrammingError(sigma=0.02),
    "device_faults": DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2),
    "conductance_drift": ConductanceDrift(time=100.0),
    "endurance": Endurance(cycles=1e4, **WEAR),
    "retention": Retention(time=1e4, **WEAR),
    "line_resistance": LineResistance(line_resistance=0.1),
    "non_linear": NonLinear(law="sinh", scale=0.5),
    "read_noise": ReadNoise(sigma=0.02),
}
OTHER_MODES = [
    DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, memtorch_compatible=True),
    DeviceFaults(lrs_proportion=0.1, electroform_proportion=0.2, electroform_resistance=5e3, counts="binomial"),
    ConductanceDrift(time=100.0, coefficient_sigma=0.02),
    ProgrammingError(sigma=0.02, relative_to="range", write_verify=WriteVerify(tolerance=0.02)),
    FiniteConductanceStates(levels=(1e-3, 2e-3, 5e-3)),
    Endurance(cycles=1e4, **WEAR, memtorch_compatible=True),
    LineResistance(line_resistance=0.1, source_resistance=5.0, memtorch_compatible=True),
]
MOVING = [effect for effect in EFFECT_OF.values() if not isinstance(effect, ReadEffect)]
ACTING = [effect for effect in [*MOVING, *OTHER_MODES] if effect.acts]
EACH = pytest.mark.parametrize("effect", ACTING, ids=lambda effect: effect.kind)
MOVES = pytest.mark.parametrize("effect", MOVING, ids=lambda effect: effect.kind)


def test_the_effects_and_when_they_act() -> None:
    own = {name for name in EFFECTS.names() if EFFECTS.get(name).__module__.startswith("membench.")}
    assert own == set(EFFECT_OF)
    assert {name: (effect.stage, effect.rank) for name, effect in EFFECT_OF.items()} == {
        "variability": (Stage.FABRICATION, 0),
        "finite_conductance_states": (Stage.PROGRAMMING, 0),
        "programming_error": (Stage.PROGRAMMING, 1),
        "device_faults": (Stage.PROGRAMMING, 2),
        "conductance_drift": (Stage.AGEING, 0),
        "endurance": (Stage.AGEING, 0),
        "retention": (Stage.AGEING, 0),
        "line_resistance": (Stage.READ_OUT, 0),
        "non_linear": (Stage.READ_OUT, 0),
        "read_noise": (Stage.READ_OUT, 0),
    }


@pytest.mark.parametrize("kind", EFFECT_OF)
def test_an_effect_is_made_from_its_declared_form(kind: str) -> None:
    effect = EFFECT_OF[kind]
    assert effect.kind == kind
    assert effect_from(effect) is effect
    assert effect_from(effect.model_dump(mode="json")) == effect


def test_only_fabrication_and_read_out_leave_the_acting_to_the_engine() -> None:
    silent = {kind for kind, effect in EFFECT_OF.items() if not effect.acts}
    assert silent == {"variability", "non_linear", "read_noise"}
    for kind in silent:
        with pytest.raises(NotImplementedError):
            EFFECT_OF[kind].act(programmed(), rng())


def test_what_acts_at_each_read_moves_no_conductance_and_has_another_proof() -> None:
    assert {kind for kind, effect in EFFECT_OF.items() if isinstance(effect, ReadEffect)} == {"non_linear", "read_noise"}
    for kind in ("non_linear", "read_noise"):
        with pytest.raises(NotImplementedError):
            EFFECT_OF[kind].check([], [])


def test_a_read_effect_leaves_alone_what_it_does_not_name() -> None:
    noise, law = EFFECT_OF["read_noise"], EFFECT_OF["non_linear"]
    assert noise.current_law(DEVICE, 0.5) is None
    assert law.variance(programmed()) is None


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no non-ideality 'drift'"):
        effect_from({"kind": "drift"})


@EACH
def test_acting_leaves_the_crossbar_as_it_was_and_keeps_its_shape(effect: Effect) -> None:
    bar = programmed((3, 8, 8))
    before = bar.conductance.copy()
    result = effect.act(bar, rng())
    assert np.array_equal(bar.conductance, before)
    assert result.shape == before.shape
    assert not np.array_equal(result, before)


@EACH
def test_the_same_seed_acts_the_same(effect: Effect) -> None:
    bar = programmed()
    assert np.array_equal(effect.act(bar, rng()), effect.act(bar, rng()))


@EACH
def test_what_an_effect_does_is_proven_in_single_precision_too(effect: Effect) -> None:
    """Engines hold float32."""
    for bar in (programmed(), varied(programmed()), programmed(padding=True), crossbar(programmed((5, 20, 10)).conductance)):
        bars = [rounded(bar), rounded(dataclasses.replace(bar, index=1, conductance=bar.conductance[..., ::-1, :]))]
        proof = effect.prove(bars, [rounded(one) for one in effect.act_on(bars, rng())])
        assert proof.effect == effect.kind
        assert proof.devices == 2 * bar.real.sum()
        assert 0 < proof.moved <= proof.devices
        assert proof.mean_change > 0


@EACH
def test_acting_on_all_crossbars_leaves_them_as_they_were(effect: Effect) -> None:
    bars = [programmed(), programmed(seed=2)]
    before = [bar.conductance.copy() for bar in bars]
    after = effect.act_on(bars, rng())
    assert [bar.layer for bar in after] == ["conv", "conv"]
    for bar, conductance in zip(bars, before, strict=True):
        assert np.array_equal(bar.conductance, conductance)
        assert bar.stuck is None


@EACH
def test_crossbars_of_one_layer_draw_one_after_the_other(effect: Effect) -> None:
    """With one generator, so that two equal crossbars do not get the same errors."""
    if isinstance(effect, LineResistance) and effect.memtorch_compatible:
        return  # it is one network of both
    bars = [programmed(), programmed()]
    one, two = (bar.conductance for bar in effect.act_on(bars, rng()))
    alone = effect.act_on(bars[:1], rng())[0].conductance
    assert np.array_equal(one, alone)
    drawn = not np.array_equal(effect.act(bars[0], rng(1)), effect.act(bars[0], rng(2)))
    assert np.array_equal(one, two) is not drawn


@EACH
def test_stuck_devices_stay_but_for_what_is_read_of_them(effect: Effect) -> None:
    """Later effects leave them; line resistance changes what is read of a device, not the device."""
    where = [(0, 0), (3, 7), (39, 24)]
    bars = [holding(programmed(), *where), holding(programmed(seed=2), *where)]
    held = not isinstance(effect, LineResistance)
    for bar, now in zip(bars, effect.act_on(bars, rng()), strict=True):
        assert not np.array_equal(now.conductance, bar.conductance)
        for place in where:
            assert (now.conductance[place] == bar.conductance[place]) is np.bool_(held)
            assert now.stuck is not None
            assert now.stuck[place]


@MOVES
def test_an_effect_that_moved_nothing_is_an_error(effect: Effect) -> None:
    bar = programmed()
    for rounding in (1.0, 1 + 5e-7):
        with pytest.raises(EffectDidNothingError, match=f"'{effect.kind}' was asked for and changed none of 1000 devices"):
            prove(effect, bar, bar.conductance * rounding)


@MOVES
def test_a_device_that_only_pads_proves_nothing(effect: Effect) -> None:
    bar = programmed(padding=True)
    conductance = bar.conductance.copy()
    conductance[-1] = HIGH
    with pytest.raises(EffectDidNothingError, match="changed none of 975 devices"):
        prove(effect, bar, conductance)


@MOVES
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_conductance_that_is_not_finite_proves_nothing(effect: Effect, value: float) -> None:
    bar = programmed()
    conductance = effect.act(bar, rng()) if effect.acts else bar.conductance * 1.1
    conductance[3, 4] = value
    with pytest.raises(EffectDidNothingError):
        prove(effect, bar, conductance)


@MOVES
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
