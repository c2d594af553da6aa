"""The ladder takes a case apart without leaving anything out, and the blame falls where half of the loss is reached."""

from __future__ import annotations

import math
from typing import Any

import pytest
from conftest import make_case

from membench import ADC, Case, ConductanceDrift, Conversion, DeviceFaults, Variability
from membench.explanation import PARTS, Culprit, Explanation, LayerBlame, Step, culprit, ladder, most_valuable
from membench.statistics import Interval

FULL = Conversion(tile_shape=(16, 8), adc=ADC(bits=8), max_input_voltage=3.0, retained=0.9, keep_digital=("0",))
EFFECTS = (
    Variability(r_on_sigma=5.0, r_off_sigma=100.0),
    DeviceFaults(lrs_proportion=0.02),
    ConductanceDrift(time=2.0),
    ConductanceDrift(time=3.0, coefficient=0.2),
)


def names(case: Case) -> list[str]:
    return [rung.name for rung in ladder(case)]


def test_the_ladder_adds_one_part_in_each_step() -> None:
    case = make_case(conversion=FULL, nonidealities=EFFECTS)
    rungs = ladder(case)
    assert [(rung.name, rung.what) for rung in rungs] == [
        ("mapped", "VTEAM, 50 ohm to 1 kohm, double-column, 90 % of the weights in range, tuned"),
        ("tiles", "16x8 tiles"),
        ("input limit", "MIV 3 V"),
        ("ADC", "8-bit ADC"),
        ("variability", "variability(r_on_sigma=5, r_off_sigma=100)"),
        ("device_faults", "device_faults(lrs_proportion=0.02)"),
        ("conductance_drift", "conductance_drift(time=2)"),
        ("conductance_drift 2", "conductance_drift(time=3, coefficient=0.2)"),
    ]
    bare = FULL.replace(tile_shape=None, adc=None, max_input_voltage=None)
    assert rungs[0].case == case.replace(conversion=bare, nonidealities=())
    conversions = [bare, bare.replace(tile_shape=(16, 8)), FULL.replace(adc=None), *[FULL] * 5]
    assert [rung.case.conversion for rung in rungs] == conversions
    assert [rung.case.nonidealities for rung in rungs] == [*[()] * 4, *(EFFECTS[:count] for count in (1, 2, 3, 4))]
    assert rungs[-1].case == case


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["mapped"]),
        ({"adc": ADC(bits=4)}, ["mapped", "ADC"]),
        ({"tile_shape": (8, 8)}, ["mapped", "tiles"]),
        ({"max_input_voltage": 1.0, "adc": ADC(bits=4)}, ["mapped", "input limit", "ADC"]),
    ],
)
def test_what_a_case_lacks_is_no_step(changes: dict[str, Any], expected: list[str]) -> None:
    case = make_case(conversion=Conversion(**changes))
    assert names(case) == expected
    assert ladder(case)[-1].case == case


def test_every_part_that_a_conversion_may_lack_is_a_step() -> None:
    """A field added later that is None by default would be blamed on the mapping in silence."""
    optional = {name for name, field in Conversion.model_fields.items() if field.default is None}
    assert optional - {field for _, field in PARTS} == {"retained"}  # which is part of the mapping


def test_settings_that_are_not_as_by_default_are_told() -> None:
    case = make_case(conversion=Conversion(adc=ADC(bits=4, method="log", overflow_rate=0.25), tuning=None))
    assert [rung.what for rung in ladder(case)] == [
        "VTEAM, 50 ohm to 1 kohm, double-column, not tuned",
        "4-bit ADC(method=log, overflow_rate=0.25)",
    ]


def step(name: str, loss: float, error: float = 0.1, *, certain: bool = True) -> Step:
    interval = Interval(estimate=loss, low=loss - 1, high=loss + 1, seeds=2)
    return Step(name=name, what="", accuracy=0.5, loss=interval, certain=certain, change=interval, logit_error=error)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([6.0, 6.0, 6.0], ("a", 0.0, 6.0)),
        ([0.0, 3.0, 6.0], ("b", 0.0, 3.0)),
        ([0.0, 2.9, 6.0], ("c", 2.9, 6.0)),
        ([0.0, 5.0, 1.0, 6.0], ("b", 0.0, 5.0)),
        ([-1.0, -1.0, 4.0], ("c", -1.0, 4.0)),
    ],
)
def test_the_culprit_is_the_first_step_that_reaches_half_of_the_loss(
    losses: list[float], expected: tuple[str, float, float]
) -> None:
    """The logits' errors point elsewhere, and do not count."""
    errors = [1.0, *[0.0] * (len(losses) - 2), 1.0]
    found = culprit([step(name, *values) for name, values in zip("abcd", zip(losses, errors, strict=True), strict=False)])
    assert found is not None
    assert (found.step, found.before, found.after) == expected
    assert found.by == "loss"


def test_a_loss_that_cannot_be_told_from_none_is_looked_for_in_the_logits() -> None:
    steps = [step("a", 3.0, 0.1), step("b", 3.0, 0.3), step("c", 3.0, 0.5, certain=False)]
    found = culprit(steps)
    assert found == Culprit(step="b", by="logit error", before=0.1, after=0.3)
    assert str(found) == "b (logit error 0.1 -> 0.3)"


def test_logits_that_are_not_finite_are_as_wrong_as_can_be() -> None:
    found = culprit([step("a", 0.0, 0.5), step("b", 0.0, math.nan), step("c", 0.0, math.nan, certain=False)])
    assert found is not None
    assert (found.step, found.after) == ("b", math.inf)


def test_where_nothing_is_lost_nobody_is_to_blame() -> None:
    assert culprit([step("a", 0.0, 0.0, certain=False)]) is None


def layer(name: str, gain: float, error: float) -> LayerBlame:
    return LayerBlame(
        name=name, kind="Linear", snr_db_alone=math.inf, snr_db_arriving=20.0, clipped=0.0, scaled=0.5,
        protected_gain=Interval(estimate=gain, low=gain - 1, high=gain + 1, seeds=2), protected_logit_error=error,
    )  # fmt: skip


def test_the_most_valuable_layer_is_found_by_what_found_the_culprit() -> None:
    layers = [layer("0", 2.0, 0.4), layer("1", 1.0, 0.1), layer("2", 2.0, 0.3)]
    by_loss = Culprit(step="a", by="loss", before=0.0, after=3.0)
    assert most_valuable(layers, by_loss) == "2"
    assert most_valuable(layers, by_loss.replace(by="logit error")) == "1"
    assert most_valuable((), by_loss) is None
    assert most_valuable(layers, None) is None


def test_an_explanation_goes_through_json() -> None:
    whole = Explanation(
        case="small", fingerprint="f" * 64, engine="vectorized", images=40, seeds=(0, 1), layer_images=40, layer_seeds=(0,),
        digital_accuracy=0.9, steps=(step("a", 1.0),), layers=(layer("0", 1.0, 0.1),),
        culprit=Culprit(step="a", by="loss", before=0.0, after=1.0), most_valuable="0",
    )  # fmt: skip
    assert Explanation.from_json(whole.model_dump_json(), "here") == whole
