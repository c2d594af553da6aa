"""A case refuses what cannot be measured, and its fingerprint moves with every field that can move a result, and with no other."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from membench import (
    ADC,
    DAC,
    VTEAM,
    Case,
    ConductanceDrift,
    Conversion,
    DataDriven,
    DataDriven2021,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    InputScaling,
    LinearIonDrift,
    LineResistance,
    NonLinear,
    ProgrammingError,
    ReadNoise,
    Retention,
    Scheme,
    StanfordPKU,
    Thresholds,
    Tuning,
    UnusualOrderWarning,
    Variability,
    WriteVerify,
)
from membench.devices import Device
from membench.effect import EFFECTS, Effect
from membench.errors import InputError, UnknownNameError
from membench.plain import Plain
from membench.storage import sha256
from membench.words import control_in

WEAR: dict[str, Any] = {
    "mode": "gradual",
    "p_lrs": (1.0, 0.921, 0.0, 0.01),
    "p_hrs": (1.0, 0.921, 0.1, -0.01),
    "stable_resistance_lrs": 200.0,
    "stable_resistance_hrs": 400.0,
}
MINIMAL = Case(
    name="minimal", dataset="mnist", network="vgg-mnist", conversion=Conversion(), thresholds=Thresholds(max_loss_points=1.0)
)
FULL = Case(
    name="full",
    dataset="cifar10",
    network="vgg-cifar10",
    description="Everything at once.",
    conversion=Conversion(
        device=VTEAM(r_on=1.4e4, r_off=5e7),
        scheme=Scheme.SINGLE_COLUMN,
        tile_shape=(64, 32),
        adc=ADC(bits=6, method="log", overflow_rate=0.01),
        max_input_voltage=0.3,
        retained=0.99,
        tuning=Tuning(conv_images=4, conv_size=16, linear_rows=128, after="effects"),
        keep_digital=("0", "features.3"),
    ),
    nonidealities=(
        Variability(r_on_sigma=1e3, r_off_sigma=1e6, distribution="lognormal", minimum=10.0),
        DeviceFaults(lrs_proportion=0.02, hrs_proportion=0.03, electroform_proportion=0.01),
        ConductanceDrift(time=1e4, initial_time=2.0, coefficient=0.05),
        Endurance(cycles=1e6, **WEAR),
        Retention(time=1e7, **WEAR),
    ),
    seeds=(3, 1, 2**63 - 1),
    images=37,
    subset_seed=9,
    batch_size=5,
    thresholds=Thresholds(max_loss_points=10.0, tolerance_points=1.0),
)


def with_effect(effect: Effect) -> Case:
    return MINIMAL.replace(nonidealities=(effect,))


def with_conversion(**changes: Any) -> Case:
    return MINIMAL.replace(conversion=MINIMAL.conversion.replace(**changes))


def with_law(**changes: Any) -> Case:
    """A case whose law is a table, or has the fields that belong to what is changed."""
    fields = {"law": "table", "voltages": (-1.0, 0.0, 1.0), "currents": (-1.0, 0.0, 3.0)}
    if {"law", "scale", "look_up"} & set(changes):
        fields = {"law": "sinh", "scale": 0.3}
    case = with_conversion(max_input_voltage=0.5)
    return case.replace(nonidealities=(NonLinear(**{**fields, **changes}),))


# ---- refusals -----------------------------------------------------------------------------------------------------------

REFUSED_FIELDS: list[tuple[type[Plain], dict[str, Any], str, list[Any]]] = [
    # class, its other fields, field, values that are refused
    (Case, {}, "images", [True, "8", 8.0, 0, -1, None, math.nan, math.inf]),
    (Case, {}, "batch_size", [True, "8", 2.5, 0, -1, None, math.nan]),
    (Case, {}, "subset_seed", [True, "0", -1, 2**63, 0.0, math.inf]),
    (Case, {}, "seeds", [(), (1, 1), (True,), ("1",), (1.0,), (-1,), (2**63,), 3, "01", None]),
    (Case, {}, "name", ["", "Upper", "a b", "a_b", "-a", "a-", "a--b", "a/b", "../a", "a\n", "é", "a" * 81, 3, None, ".json"]),
    (Case, {}, "dataset", [3, None]),
    (Case, {}, "network", [3, None, ["vgg"]]),
    (Case, {}, "description", [3, None]),
    (Case, {}, "conversion", [None, "ideal", 3]),
    (Case, {}, "thresholds", [None, 5.0]),
    (Case, {}, "nonidealities", [None, 3, "device_faults"]),
    (Conversion, {}, "tile_shape", [8, (8,), (8, 8, 8), (0, 8), (8, -1), (True, 8), ("8", 8), (8.0, 8.0), "88"]),
    (Conversion, {}, "adc", [8, True, "8-bit"]),
    (Conversion, {}, "scheme", ["double", "", 2, None]),
    (Conversion, {}, "max_input_voltage", [True, "6", 0, -1.0, math.nan, math.inf]),
    (Conversion, {}, "mapping", ["Naive", "", None]),
    (Conversion, {}, "retained", [True, "1", -0.1, 1.1, math.nan]),
    (Conversion, {}, "tuning", [True, "yes", 8]),
    (Conversion, {}, "keep_digital", ["0", (0,), None, 0]),
    (Conversion, {}, "device", [None, "VTEAM", {"kind": "PCM"}]),
    (ADC, {}, "bits", [True, "8", 8.0, 1, 17, None, math.nan]),
    (ADC, {"bits": 8}, "method", ["Linear", "sqrt", None]),
    (ADC, {"bits": 8}, "overflow_rate", [True, "0.1", -0.1, 1.1, math.nan]),
    (ADC, {"bits": 8}, "range", ["vectors", "", True, 0.0, -1e-3, math.nan, math.inf, None]),
    (ADC, {"bits": 8, "range": "calibrated"}, "calibration_images", [True, "64", 0, 64.0, None]),
    (DAC, {}, "bits", [True, "8", 8.0, 1, 17, None, math.nan]),
    (InputScaling, {}, "undone", ["undone", 2, None]),
    (InputScaling, {}, "per", ["images", "", None, True]),
    (Conversion, {"max_input_voltage": 1.0}, "dac", [8, True, "8-bit"]),
    (Conversion, {"max_input_voltage": 1.0}, "scaling", [None, True, "undone"]),
    (Tuning, {}, "conv_images", [True, "8", 0, 8.0]),
    (Tuning, {}, "conv_size", [True, "32", 7, 32.0]),
    (Tuning, {}, "linear_rows", [True, "4098", 15, math.inf]),
    (Tuning, {}, "after", ["conversions", None, True]),
    (Thresholds, {}, "max_loss_points", [True, "5", -0.1, 100.1, math.nan, math.inf, None]),
    (Thresholds, {"max_loss_points": 1.0}, "tolerance_points", [True, "5", -0.1, math.nan, math.inf]),
    (Thresholds, {"max_loss_points": 1.0}, "tolerance_logit_error", [True, "5", -0.1, math.nan, math.inf, None]),
]


@pytest.mark.parametrize(
    ("kind", "others", "field", "value"),
    [
        pytest.param(kind, others, field, value, id=f"{kind.__name__}.{field}={str(value)[:20]!r}")
        for kind, others, field, values in REFUSED_FIELDS
        for value in values
    ],
)
def test_a_wrong_value_is_refused_and_the_field_named(
    kind: type[Plain], others: dict[str, Any], field: str, value: Any
) -> None:
    if kind is Case:
        others = {name: getattr(MINIMAL, name) for name in Case.model_fields}
    with pytest.raises(InputError) as error:
        kind(**{**others, field: value})
    assert f"\n  {field}" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nonidealities": DeviceFaults(lrs_proportion=0.1)}, "nonidealities=(DeviceFaults(...),)"),
        ({"seeds": 0}, "seeds=(0,)"),
    ],
)
def test_a_tuple_that_was_forgotten_is_shown_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        MINIMAL.replace(**changes)
    (field,) = changes
    assert str(error.value) == f"Case {MINIMAL.name!r} is not valid:\n  {field}: takes several values: write {said}"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("keep_digital", "conv1", "several values: write keep_digital=('conv1',)"),
        ("tile_shape", 64, "2 values: write tile_shape=(64, 64)"),
    ],
)
def test_a_conversion_shows_the_tuple_too(field: str, value: object, said: str) -> None:
    with pytest.raises(InputError) as error:
        Conversion(**{field: value})  # type: ignore[arg-type]
    assert str(error.value) == f"Conversion is not valid:\n  {field}: takes {said}"


@pytest.mark.parametrize("field", ["description", "dataset", "network"])
def test_a_text_of_a_case_holds_no_control_characters(field: str) -> None:
    with pytest.raises(InputError, match=rf"{field}: must be text that a terminal can show"):
        MINIMAL.replace(**{field: "\x1b[2J"})


@pytest.mark.parametrize("field", [name for name, field in Case.model_fields.items() if field.is_required()])
def test_a_missing_field_is_named(field: str) -> None:
    fields = {name: getattr(MINIMAL, name) for name in Case.model_fields if name != field}
    with pytest.raises(InputError, match=rf"\n  {field}: Field required"):
        Case(**fields)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MINIMAL.replace(image=3), "image: there is no such field. did you mean 'images'?"),
        (lambda: MINIMAL.replace(seed=(3,)), "did you mean 'seeds'?"),
        (lambda: Conversion(tile_shap=(8, 8)), "tile_shap: there is no such field. did you mean 'tile_shape'?"),
        (lambda: MINIMAL.replace(conversion={"adcs": None}), "did you mean 'adc'?"),
        (lambda: ADC(bit=8), "did you mean 'bits'?"),
        (lambda: Tuning(rows=8), "Fields: conv_images, conv_size, linear_rows, after."),
        (lambda: Thresholds(max_loss=1.0), "did you mean 'max_loss_points'?"),
        (lambda: ConductanceDrift(times=2.0), "did you mean 'time'?"),
    ],
)
def test_an_unknown_field_is_refused_with_what_was_meant(make: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["a", "mnist5k-ideal", "a.b-c", "0", "a" * 80])
def test_names_that_fit_a_file(name: str) -> None:
    assert MINIMAL.replace(name=name).name == name


def test_the_bounds_themselves_are_accepted() -> None:
    assert ADC(bits=2).bits == 2
    assert ADC(bits=16, overflow_rate=1).overflow_rate == 1
    assert Thresholds(max_loss_points=100).max_loss_points == 100
    assert Thresholds(max_loss_points=0).max_loss_points == 0
    assert MINIMAL.replace(seeds=(0, 2**63 - 1)).seeds == (0, 2**63 - 1)
    assert Tuning(conv_size=8, linear_rows=16, conv_images=1).conv_size == 8


def test_a_repeated_seed_says_why_it_is_refused() -> None:
    with pytest.raises(InputError, match="narrow the interval without measuring more"):
        MINIMAL.replace(seeds=(1, 2, 1))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"range": "calibrated", "method": "log"}, "a fixed range belongs to method='linear'"),
        ({"range": 1e-3, "method": "log"}, "a fixed range belongs to method='linear'"),
        ({"range": 1e-3, "overflow_rate": 0.1}, "with a range in amperes nothing is left for overflow_rate to decide"),
    ],
)
def test_a_fixed_range_of_an_adc_that_has_none_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ADC(bits=8, **fields)
    assert ADC(bits=8, range="calibrated", overflow_rate=0.1).fixed
    assert ADC(bits=8, range=1e-3).fixed
    assert not ADC(bits=8, method="log", overflow_rate=0.1).fixed


@pytest.mark.parametrize(
    "fields", [{"dac": DAC(bits=8)}, {"scaling": InputScaling(undone=True)}, {"scaling": {"per": "image"}}]
)
def test_what_speaks_of_the_input_limit_needs_one(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="dac and scaling speak of inputs within max_input_voltage; set it, in volts"):
        Conversion(**fields)
    assert Conversion(**fields, max_input_voltage=0.3).max_input_voltage == 0.3


DRIFT, FAULTS = ConductanceDrift(time=10.0), DeviceFaults(lrs_proportion=0.1)
VARIED, STATES, ERRORS = (
    Variability(r_on_sigma=1.0, r_off_sigma=1.0),
    FiniteConductanceStates(states=4),
    ProgrammingError(sigma=0.1),
)
LINES, NOISE = LineResistance(line_resistance=1.0), ReadNoise(sigma=0.1)


@pytest.mark.parametrize(
    "effects",
    [
        (VARIED, STATES, ERRORS, FAULTS, DRIFT, LINES, NOISE),
        (STATES, FAULTS),
        (DRIFT, DRIFT),
        (FAULTS, FAULTS, DRIFT, Retention(time=1e7, **WEAR), DRIFT),
        (NOISE, LINES, NonLinear(law="sinh", scale=0.3), NOISE),
    ],
)
def test_the_usual_order_of_effects_is_silent(effects: tuple[Effect, ...], recwarn: pytest.WarningsRecorder) -> None:
    assert MINIMAL.replace(nonidealities=list(effects)).nonidealities == effects
    assert not recwarn.list


@pytest.mark.parametrize(
    ("effects", "usual"),
    [
        ((DRIFT, FAULTS), "device_faults, conductance_drift"),
        ((FAULTS, STATES), "finite_conductance_states, device_faults"),
        ((ERRORS, STATES), "finite_conductance_states, programming_error"),
        ((FAULTS, ERRORS), "programming_error, device_faults"),
        ((VARIED, LINES, DRIFT, STATES), "variability, finite_conductance_states, conductance_drift, line_resistance"),
    ],
)
def test_effects_in_another_order_act_as_given_with_a_warning(effects: tuple[Effect, ...], usual: str) -> None:
    with pytest.warns(UnusualOrderWarning, match="nonidealities act in an unusual order") as seen:
        case = MINIMAL.replace(nonidealities=effects)
    given = ", ".join(f"{effect.kind} ({effect.stage})" for effect in effects)
    assert f"Case 'minimal': nonidealities act in an unusual order: {given}." in str(seen[0].message)
    assert f"is read: {usual}. They will act as given." in str(seen[0].message)
    assert len(seen) == 1
    assert case.nonidealities == effects
    with pytest.warns(UnusualOrderWarning):
        assert Case.from_json(case.model_dump_json(), "f").fingerprint == case.fingerprint


@pytest.mark.parametrize("effects", [(DRIFT, VARIED), (STATES, VARIED, FAULTS), (LINES, FAULTS, VARIED)])
def test_devices_made_after_anything_else_are_refused_with_the_order(effects: tuple[Effect, ...]) -> None:
    with pytest.raises(InputError, match=r"out of order: .*A device is made before anything else can happen to it") as error:
        MINIMAL.replace(nonidealities=effects)
    assert f"{effects[0].kind} ({effects[0].stage}), " in str(error.value)
    assert "The usual order is variability, " in str(error.value)


def test_an_order_that_warns_has_a_fingerprint_of_its_own() -> None:
    with pytest.warns(UnusualOrderWarning):
        other = MINIMAL.replace(nonidealities=(DRIFT, FAULTS))
    assert other.fingerprint != MINIMAL.replace(nonidealities=(FAULTS, DRIFT)).fingerprint


def test_variability_may_stand_there_once_and_ageing_more_often() -> None:
    variability, drift = Variability(r_on_sigma=1.0, r_off_sigma=1.0), ConductanceDrift(time=10.0)
    with pytest.raises(InputError, match="fabrication may stand there once; given: variability, variability"):
        MINIMAL.replace(nonidealities=(variability, variability))
    assert len(MINIMAL.replace(nonidealities=(variability, drift, drift)).nonidealities) == 3


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        ({"kind": "non_linear"}, "the effect 'non_linear' does not fit: the current of VTEAM is ohmic"),
        ({"kind": "finite_conductance_states", "levels": (1.0,)}, "'finite_conductance_states' does not fit: its levels"),
        ({"kind": "finite_conductance_states"}, "give either states"),
    ],
)
def test_an_effect_that_could_do_nothing_on_this_hardware_is_refused_with_the_reason(
    effect: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        MINIMAL.replace(nonidealities=(DRIFT, effect))


def test_an_unknown_effect_gets_a_guess() -> None:
    with pytest.raises(UnknownNameError, match=r"no non-ideality 'retentoin'\. Did you mean 'retention'"):
        MINIMAL.replace(nonidealities=({"kind": "retentoin"},))


@pytest.mark.parametrize("item", [3, "device_faults", None, {}, {"kind": 3}, {"lrs_proportion": 0.1}])
def test_what_is_no_effect_is_refused(item: Any) -> None:
    with pytest.raises(InputError, match="must be an Effect or a mapping with a 'kind'"):
        MINIMAL.replace(nonidealities=(item,))


def test_an_effect_may_be_declared_as_a_mapping() -> None:
    case = MINIMAL.replace(nonidealities=({"kind": "conductance_drift", "time": 10.0},))
    assert case.nonidealities == (ConductanceDrift(time=10.0),)


@pytest.mark.parametrize("field", Case.model_fields)
def test_a_case_is_frozen(field: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(MINIMAL, field, getattr(FULL, field))


@pytest.mark.parametrize("inside", [FULL.conversion, FULL.conversion.adc, FULL.conversion.device, *FULL.nonidealities])
def test_what_a_case_holds_is_frozen_too(inside: Plain) -> None:
    for field in type(inside).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(inside, field, getattr(inside, field))


# ---- the fingerprint ----------------------------------------------------------------------------------------------------

GOLDEN_MINIMAL = "7c0ac97ffe9b6cf33065aec670bea6f929b86d75cf3d2b34fb000e5dc5c55884"
GOLDEN_FULL = "26dd4781b3ccfa17d6eb25d059db92e02a7438c922a822690e18f7749d835fe6"
GOLDEN_FIRST = "b36848ff4adabf6e3c6d4d98593bd9d26ecc95a8ff6fe40927ba96c341d5de7d"
CANONICAL_MINIMAL = (
    '{"batch_size":20,"conversion":{"adc":null,"device":{"kind":"VTEAM","r_off":1000.0,"r_on":50.0},"keep_digital":[],'
    '"mapping":"naive","max_input_voltage":null,"retained":null,"scheme":"double-column","tile_shape":null,'
    '"tuning":{"after":"conversion","conv_images":8,"conv_size":32,"linear_rows":4098}},"dataset":"mnist","images":1000,'
    '"network":"vgg-mnist","nonidealities":[],"schema":"membench-case/1","seeds":[0,1,2,3,4],"subset_seed":0}'
)


# FULL without faults, as it was written before effects and converters had fields that came later.
FIRST = """{"name":"full","dataset":"cifar10","network":"vgg-cifar10","conversion":{"device":{"kind":"VTEAM","r_on":14000.0,
"r_off":50000000.0},"scheme":"single-column","tile_shape":[64,32],"adc":{"bits":6,"method":"log","overflow_rate":0.01},
"max_input_voltage":0.3,"mapping":"naive","retained":0.99,"tuning":{"conv_images":4,"conv_size":16,"linear_rows":128,
"after":"effects"},"keep_digital":["0","features.3"]},"thresholds":{"max_loss_points":10.0,"tolerance_points":1.0,
"tolerance_logit_error":0.05},"nonidealities":[{"kind":"variability","r_on_sigma":1000.0,"r_off_sigma":1000000.0,
"distribution":"lognormal","minimum":10.0},{"kind":"conductance_drift","time":10000.0,"initial_time":2.0,"coefficient":0.05},
{"kind":"endurance","mode":"gradual","p_lrs":[1.0,0.921,0.0,0.01],"p_hrs":[1.0,0.921,0.1,-0.01],"stable_resistance_lrs":200.0,
"stable_resistance_hrs":400.0,"cell_size":10.0,"temperature":298.0,"temperature_threshold":298.0,"cycles":1000000.0},
{"kind":"retention","mode":"gradual","p_lrs":[1.0,0.921,0.0,0.01],"p_hrs":[1.0,0.921,0.1,-0.01],"stable_resistance_lrs":200.0,
"stable_resistance_hrs":400.0,"cell_size":10.0,"temperature":298.0,"temperature_threshold":298.0,"time":10000000.0}],
"seeds":[3,1,9223372036854775807],"images":37,"subset_seed":9,"batch_size":5,"description":"Everything at once."}"""


@pytest.mark.parametrize(("case", "golden"), [(MINIMAL, GOLDEN_MINIMAL), (FULL, GOLDEN_FULL)], ids=["minimal", "full"])
def test_fingerprints_are_the_same_on_every_machine_and_version(case: Case, golden: str) -> None:
    """If this fails, all baselines in the world are stale: raise the schema in `fingerprint` and say so, or undo the change."""
    assert case.fingerprint == golden


def test_a_case_that_was_written_before_fields_came_later_keeps_its_fingerprint() -> None:
    case = Case.from_json(FIRST, "f")
    assert case.fingerprint == GOLDEN_FIRST
    assert case == FULL.replace(nonidealities=(FULL.nonidealities[0], *FULL.nonidealities[2:]))
    assert json.loads(case.model_dump_json()) == json.loads(FIRST)


def test_a_case_with_faults_of_the_first_release_is_another_one_now() -> None:
    """Its faults were drawn as MemTorch draws them; they are disjoint and stay now."""
    case = MINIMAL.replace(nonidealities=({"kind": "device_faults", "lrs_proportion": 0.1},))
    assert not case.nonidealities[0].memtorch_compatible
    assert '"memtorch_compatible":false' in case.model_dump_json()


def test_the_fingerprint_is_the_hash_of_readable_text() -> None:
    assert MINIMAL.fingerprint == sha256(CANONICAL_MINIMAL.encode())


ONE_VALUE = object()  # a Literal with a single value: there is nothing else to say

# Of every class that a case is made of: an instance within a case, and of every field another value.
MOVES: dict[type[Plain], tuple[Any, dict[str, Any]]] = {
    Case: (
        lambda changes: FULL.replace(**changes),
        {
            "dataset": "cifar100",
            "network": "tiny",
            "conversion": Conversion(),
            "nonidealities": (),
            "seeds": (3, 1),
            "images": 38,
            "subset_seed": 10,
            "batch_size": 6,
            "weights": "weights/own.pt",
        },
    ),
    Conversion: (
        lambda changes: FULL.replace(conversion=FULL.conversion.replace(**changes)),
        {
            "device": VTEAM(),
            "scheme": "double-column",
            "tile_shape": (32, 64),
            "adc": None,
            "max_input_voltage": 0.31,
            "mapping": ONE_VALUE,
            "retained": None,
            "tuning": None,
            "keep_digital": ("0",),
            "scaling": InputScaling(undone=True),
            "dac": DAC(bits=8),
        },
    ),
    ADC: (
        lambda changes: with_conversion(adc=ADC(bits=8).replace(**changes)),
        {"bits": 7, "method": "log", "overflow_rate": 0.1, "range": "calibrated", "calibration_images": 65},
    ),
    DAC: (
        lambda changes: with_conversion(max_input_voltage=1.0, dac=DAC(bits=8).replace(**changes)),
        {"bits": 7},
    ),
    InputScaling: (
        lambda changes: with_conversion(max_input_voltage=1.0, scaling=InputScaling().replace(**changes)),
        {"undone": True, "per": "image"},
    ),
    Tuning: (
        lambda changes: with_conversion(tuning=Tuning().replace(**changes)),
        {"conv_images": 9, "conv_size": 33, "linear_rows": 4099, "after": "effects"},
    ),
    **{
        model: (
            lambda changes, model=model: with_conversion(device=model().replace(**changes)),
            {"kind": ONE_VALUE, "r_on": 600.0 + 0.5, "r_off": 5e8},
        )
        for model in (VTEAM, LinearIonDrift, StanfordPKU, DataDriven, DataDriven2021)
    },
    Variability: (
        lambda changes: with_effect(Variability(r_on_sigma=1.0, r_off_sigma=2.0).replace(**changes)),
        {"kind": ONE_VALUE, "r_on_sigma": 1.5, "r_off_sigma": 2.5, "distribution": "lognormal", "minimum": 2.0},
    ),
    DeviceFaults: (
        lambda changes: with_effect(DeviceFaults(lrs_proportion=0.1, electroform_proportion=0.1).replace(**changes)),
        {
            "kind": ONE_VALUE,
            "lrs_proportion": 0.2,
            "hrs_proportion": 0.1,
            "electroform_proportion": 0.2,
            "electroform_resistance": 5e3,
            "counts": "binomial",
            "memtorch_compatible": True,
        },
    ),
    ConductanceDrift: (
        lambda changes: with_effect(ConductanceDrift(time=10.0).replace(**changes)),
        {"kind": ONE_VALUE, "time": 11.0, "initial_time": 2.0, "coefficient": 0.2, "coefficient_sigma": 0.01},
    ),
    FiniteConductanceStates: (
        lambda changes: with_effect(FiniteConductanceStates(**({"states": 4} if "levels" not in changes else {}) | changes)),
        {"kind": ONE_VALUE, "states": 5, "levels": (2e-3, 5e-3)},
    ),
    ProgrammingError: (
        lambda changes: with_effect(ProgrammingError(sigma=0.1).replace(**changes)),
        {"kind": ONE_VALUE, "sigma": 0.2, "relative_to": "range", "write_verify": WriteVerify(tolerance=0.1)},
    ),
    WriteVerify: (
        lambda changes: with_effect(ProgrammingError(sigma=0.1, write_verify=WriteVerify(tolerance=0.1).replace(**changes))),
        {"tolerance": 0.2, "attempts": 6},
    ),
    LineResistance: (
        lambda changes: with_effect(LineResistance(line_resistance=1.0).replace(**changes)),
        {"kind": ONE_VALUE, "line_resistance": 2.0, "source_resistance": 1.0, "memtorch_compatible": True},
    ),
    NonLinear: (
        lambda changes: with_law(**changes),
        {
            "kind": ONE_VALUE,
            "law": "sinh",
            "scale": 0.4,
            "voltages": (-0.9, 0.0, 1.0),
            "currents": (-1.0, 0.0, 2.0),
            "look_up": 9,
        },
    ),
    ReadNoise: (
        lambda changes: with_effect(ReadNoise(sigma=0.1).replace(**changes)),
        {"kind": ONE_VALUE, "sigma": 0.2, "relative_to": "range"},
    ),
    **{
        model: (
            lambda changes, make=make: with_effect(make.replace(**changes)),
            {
                "kind": ONE_VALUE,
                "mode": "sudden",
                "p_lrs": (1.0, 0.921, 0.0, 0.02),
                "p_hrs": (1.0, 0.9, 0.1, -0.01),
                "stable_resistance_lrs": 201.0,
                "stable_resistance_hrs": 401.0,
                "cell_size": 10.1,
                "temperature": 310.0,
                "temperature_threshold": 299.0,
                "memtorch_compatible": True,
                count: 2e6,
            },
        )
        for model, make, count in (
            (Endurance, Endurance(cycles=1e6, temperature=300.0, **WEAR), "cycles"),
            (Retention, Retention(time=1e6, temperature=300.0, **WEAR), "time"),
        )
    },
}
STAYS: dict[type[Plain], dict[str, Any]] = {
    Case: {"name": "other", "description": "Other words.", "thresholds": Thresholds(max_loss_points=99.0)},
}
FIELDS = [pytest.param(kind, field, id=f"{kind.__name__}.{field}") for kind in MOVES for field in kind.model_fields]


def parts(kind: type[Plain]) -> set[type[Plain]]:
    """All declared classes that an instance of `kind` may hold, found in its annotations."""
    found = {kind}
    waiting = [field.annotation for field in kind.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, Plain):
            if annotation not in found:
                found.add(annotation)
                waiting += [field.annotation for field in annotation.model_fields.values()]
        elif hasattr(annotation, "__metadata__"):
            waiting.append(annotation.__origin__)
        else:
            waiting += get_args(annotation)
    return found


def own(kinds: Any) -> set[type[Plain]]:
    """Those of membench: tests may register others."""
    return {kind for kind in kinds if kind.__module__.startswith("membench.")}


def test_the_table_knows_every_class_that_a_case_is_made_of() -> None:
    """A new device model, effect or part of a conversion must be added to MOVES."""
    everything = parts(Case) | {part for kind in own(EFFECTS) for part in parts(kind)} | own(Device.__subclasses__())
    assert everything - {Effect, Thresholds} == set(MOVES)


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_every_field_that_can_move_a_result_moves_the_fingerprint(kind: type[Plain], field: str) -> None:
    """A new field must be added to MOVES or, if it moves no result, to STAYS."""
    make, changes = MOVES[kind]
    if field in STAYS.get(kind, {}):
        changed = make({field: STAYS[kind][field]})
        assert changed != make({})
        assert changed.fingerprint == make({}).fingerprint
        assert changed.setup_fingerprint == make({}).setup_fingerprint
        return
    assert field in changes, f"{kind.__name__}.{field} is new: say in MOVES or STAYS whether it can move a result"
    if changes[field] is ONE_VALUE:
        annotation = kind.model_fields[field].annotation
        assert get_origin(annotation) is Literal
        assert len(get_args(annotation)) == 1, f"{kind.__name__}.{field} has a choice now: give another value in MOVES"
        return
    changed = make({field: changes[field]})
    assert changed.fingerprint != make({}).fingerprint
    assert (changed.setup_fingerprint != make({}).setup_fingerprint) is (field not in ("images", "seeds"))


@pytest.mark.parametrize("kind", [kind for kind in MOVES if kind is not Case], ids=lambda kind: kind.__name__)
def test_every_field_is_written_unless_it_came_later_and_is_neutral(kind: type[Plain]) -> None:
    make, changes = MOVES[kind]
    for case in (make({}), *(make({field: value}) for field, value in changes.items() if value is not ONE_VALUE)):
        waiting: list[Any] = [case]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Plain):
                neutral = {name for name, value in part.later.items() if getattr(part, name) == value}
                assert set(part.model_dump(mode="json")) == set(type(part).model_fields) - neutral
                waiting += [getattr(part, name) for name in type(part).model_fields]
            elif isinstance(part, tuple):
                waiting += part


@pytest.mark.parametrize("kind", sorted((kind for kind in MOVES if kind.later), key=lambda kind: kind.__name__))
def test_a_field_that_came_later_is_neutral_unless_it_is_given(kind: type[Plain]) -> None:
    """Else a case that was written before would mean something else now."""
    for name, neutral in kind.later.items():
        field = kind.model_fields[name]
        assert not field.is_required()
        assert field.get_default(call_default_factory=True) == neutral
        assert type(field.get_default()) is type(neutral)


def test_which_fields_came_later() -> None:
    """Those of an effect that was not there before need none; DeviceFaults.memtorch_compatible is written always, since its
    default is not what there was before."""
    assert {kind.__name__: set(kind.later) for kind in MOVES if kind.later} == {
        "Case": {"weights"},
        "ADC": {"range", "calibration_images"},
        "Conversion": {"scaling", "dac"},
        "DeviceFaults": {"electroform_resistance", "counts"},
        "ConductanceDrift": {"coefficient_sigma"},
        "Endurance": {"memtorch_compatible"},
        "Retention": {"memtorch_compatible"},
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [("own.pt", "own.pt"), ("weights/own.pt", "weights/own.pt"), ("./own.pt", "own.pt"), ("weights//own.pt", "weights/own.pt")],
)
def test_a_file_of_weights_has_one_path_and_so_one_fingerprint(given: str, kept: str) -> None:
    assert MINIMAL.replace(weights=given).weights == kept
    assert MINIMAL.replace(weights=given).fingerprint == MINIMAL.replace(weights=kept).fingerprint != MINIMAL.fingerprint


@pytest.mark.parametrize("given", ["/data/own.pt", "../own.pt", "a/../../own.pt", "C:/own.pt", "//server/own.pt"])
def test_a_file_of_weights_lies_in_the_repository(given: str) -> None:
    with pytest.raises(
        InputError, match=r"weights: must be a path inside the repository, as weights/own\.pt: another one gives"
    ):
        MINIMAL.replace(weights=given)


@pytest.mark.parametrize("given", ["", " ", ".", "a\\own.pt", "own\x1b.pt", "own\n.pt"])
def test_what_is_no_path_of_a_file_of_weights(given: str) -> None:
    with pytest.raises(InputError, match="weights: must be the path of a file, with / between its parts"):
        MINIMAL.replace(weights=given)


def test_devices_of_the_same_resistances_have_different_fingerprints() -> None:
    models = (VTEAM, LinearIonDrift, StanfordPKU, DataDriven, DataDriven2021)
    assert len({with_conversion(device=model(r_on=2000.0, r_off=9000.0)).fingerprint for model in models}) == len(models)


def test_endurance_and_retention_of_the_same_numbers_have_different_fingerprints() -> None:
    assert with_effect(Endurance(cycles=1e6, **WEAR)).fingerprint != with_effect(Retention(time=1e6, **WEAR)).fingerprint


def test_the_order_of_effects_and_of_seeds_moves_the_fingerprint() -> None:
    one, two = ConductanceDrift(time=10.0), ConductanceDrift(time=20.0)
    assert MINIMAL.replace(nonidealities=(one, two)).fingerprint != MINIMAL.replace(nonidealities=(two, one)).fingerprint
    assert MINIMAL.replace(seeds=(0, 1)).fingerprint != MINIMAL.replace(seeds=(1, 0)).fingerprint


def test_the_two_fingerprints_differ() -> None:
    assert MINIMAL.fingerprint != MINIMAL.setup_fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (with_conversion(device=VTEAM(r_on=100)), with_conversion(device=VTEAM(r_on=100.0))),
        (with_conversion(tile_shape=[8, 8]), with_conversion(tile_shape=(8, 8))),
        (with_conversion(scheme="single-column"), with_conversion(scheme=Scheme.SINGLE_COLUMN)),
        (with_conversion(adc={"bits": 8}), with_conversion(adc=ADC(bits=8))),
        (MINIMAL.replace(seeds=[0, 1, 2, 3, 4]), MINIMAL),
        (with_conversion(adc=ADC(bits=8, overflow_rate=-0.0)), with_conversion(adc=ADC(bits=8, overflow_rate=0.0))),
    ],
    ids=["integer", "list", "text", "mapping", "seeds", "minus zero"],
)
def test_equal_cases_have_equal_fingerprints_however_they_were_written(one: Case, other: Case) -> None:
    assert one == other
    assert one.fingerprint == other.fingerprint


# ---- round trip ---------------------------------------------------------------------------------------------------------


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def devices(draw: st.DrawFn) -> Device:
    model = draw(st.sampled_from([VTEAM, LinearIonDrift, StanfordPKU, DataDriven, DataDriven2021]))
    r_on = draw(numbers(300.0, 1e6))
    return model(r_on=r_on, r_off=r_on * draw(numbers(1.001, 1e6)))


PROPORTIONS = numbers(0.0, 1.0)
TEXTS = st.text(max_size=10).filter(lambda text: not control_in(text))
CONVERSIONS = st.builds(
    Conversion,
    device=devices(),
    scheme=st.sampled_from(Scheme),
    tile_shape=st.none() | st.tuples(st.integers(1, 512), st.integers(1, 512)),
    adc=st.none()
    | st.builds(ADC, bits=st.integers(2, 16), method=st.sampled_from(["linear", "log"]), overflow_rate=PROPORTIONS)
    | st.builds(ADC, bits=st.integers(2, 16), range=st.just("calibrated") | numbers(1e-9, 1.0)),
    max_input_voltage=numbers(1e-300, 1e300),
    scaling=st.builds(InputScaling, undone=st.booleans(), per=st.sampled_from(["memtorch", "image", "batch"])),
    dac=st.none() | st.builds(DAC, bits=st.integers(2, 16)),
    retained=st.none() | PROPORTIONS,
    tuning=st.none() | st.builds(Tuning, linear_rows=st.integers(16, 10**6), after=st.sampled_from(["conversion", "effects"])),
    keep_digital=st.lists(TEXTS, max_size=3).map(tuple),
)
FITS = st.tuples(numbers(1e-3, 10.0), numbers(-1.0, 1.0), numbers(-1.0, 1.0), numbers(-10.0, 10.0))
WORN = {
    "mode": st.sampled_from(["gradual", "sudden"]),
    "p_lrs": FITS,
    "p_hrs": FITS,
    "stable_resistance_lrs": numbers(1.0, 1e6),
    "stable_resistance_hrs": numbers(1.0, 1e9),
    "cell_size": numbers(1.0, 10.0),
    "memtorch_compatible": st.booleans(),
}
FABRICATION = st.builds(Variability, r_on_sigma=numbers(1e-6, 1e6), r_off_sigma=numbers(0.0, 1e9))
STATES_OF = st.builds(FiniteConductanceStates, states=st.integers(2, 65_536))
ERRORS_OF = st.builds(
    ProgrammingError,
    sigma=numbers(1e-3, 10.0),
    relative_to=st.sampled_from(["conductance", "range"]),
    write_verify=st.none() | st.builds(WriteVerify, tolerance=numbers(1e-6, 4e-3), attempts=st.integers(2, 1000)),
)
FAULTS_OF = st.builds(
    DeviceFaults,
    lrs_proportion=numbers(0.0, 0.3),
    hrs_proportion=numbers(0.001, 0.3),
    electroform_proportion=numbers(0.0, 0.3),
    memtorch_compatible=st.booleans(),
) | st.builds(
    DeviceFaults,
    electroform_proportion=numbers(0.001, 1.0),
    electroform_resistance=st.none() | numbers(1e-3, 1e12),
    counts=st.sampled_from(["exact", "binomial"]),
)
AGEING = st.one_of(
    st.builds(ConductanceDrift, time=numbers(2.0, 1e12), coefficient=numbers(1e-6, 1.0), coefficient_sigma=numbers(0.0, 1.0)),
    st.builds(Endurance, cycles=numbers(1e7, 1e12), **WORN),
    st.builds(Retention, time=numbers(1e7, 1e12), **WORN),
)
READ_OUT = st.one_of(
    st.builds(LineResistance, line_resistance=numbers(1e-6, 1e3), memtorch_compatible=st.booleans()),
    st.builds(NonLinear, law=st.just("sinh"), scale=numbers(1e-3, 1e3), look_up=st.none() | st.integers(2, 100)),
    st.builds(ReadNoise, sigma=numbers(1e-6, 10.0), relative_to=st.sampled_from(["conductance", "range"])),
)
CASES = st.builds(
    Case,
    name=st.from_regex(r"[a-z0-9]{1,10}([-.][a-z0-9]{1,10}){0,3}", fullmatch=True),
    dataset=TEXTS,
    network=TEXTS,
    conversion=CONVERSIONS,
    thresholds=st.builds(
        Thresholds,
        max_loss_points=numbers(0.0, 100.0),
        tolerance_points=st.none() | numbers(0.0, 100.0),
        tolerance_logit_error=numbers(0.0, 10.0),
    ),
    nonidealities=st.tuples(
        st.lists(FABRICATION, max_size=1),
        *[st.lists(kind, max_size=2) for kind in (STATES_OF, ERRORS_OF, FAULTS_OF, AGEING, READ_OUT)],
    ).map(lambda groups: tuple(effect for group in groups for effect in group)),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4, unique=True).map(tuple),
    images=st.integers(1, 10**6),
    subset_seed=st.integers(0, 2**63 - 1),
    batch_size=st.integers(1, 1000),
    description=TEXTS,
)


@settings(max_examples=60, deadline=None, database=None)
@given(CASES)
def test_a_case_survives_json_with_its_fingerprint(case: Case) -> None:
    again = Case.from_json(case.model_dump_json(), "f")
    assert again == case
    assert [type(effect) for effect in again.nonidealities] == [type(effect) for effect in case.nonidealities]
    assert again.fingerprint == case.fingerprint
    assert Case.from_json(json.dumps(case.model_dump(mode="json")), "f").fingerprint == case.fingerprint


# ---- another process ----------------------------------------------------------------------------------------------------

ELSEWHERE = """
import sys
import membench, membench.suite, membench.baselines, membench.verdict, membench.outcome, membench.record
from membench.case import Case
from membench.effect import EFFECTS
EFFECTS.names()
case = Case.from_json(sys.stdin.read(), "stdin")
loaded = [name for name in ("torch", "torchvision", "memtorch", "pytest", "sklearn", "pandas") if name in sys.modules]
print(case.fingerprint, *loaded)
"""


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_another_process_gives_the_same_fingerprint_without_importing_torch(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=FULL.model_dump_json(),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == [FULL.fingerprint]
