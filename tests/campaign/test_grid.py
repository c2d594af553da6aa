"""A sweep from the command line: a grid over fields of one case."""

from __future__ import annotations

import itertools

import pytest
from conftest import make_case

from membench import ADC, ConductanceDrift, Conversion, DeviceFaults
from membench.campaign import grid
from membench.errors import InputError

CASE = make_case(
    name="base",
    nonidealities=(DeviceFaults(lrs_proportion=0.01), ConductanceDrift(time=10.0)),
    conversion=Conversion(adc=ADC(bits=8), max_input_voltage=6.0),
)


def test_every_combination_is_a_case_with_all_else_as_it_was() -> None:
    points = grid(CASE, ["adc.bits=4,6", "device_faults.lrs_proportion=0.02,0.1", "images=20,30,40"]).points()
    assert [tuple(point.settings.values()) for point in points] == list(itertools.product((4, 6), (0.02, 0.1), (20, 30, 40)))
    for point in points:
        conversion, images = point.case.conversion, point.case.images
        faults, drift = point.case.nonidealities
        assert conversion.adc is not None
        assert isinstance(faults, DeviceFaults)
        assert {
            "adc.bits": conversion.adc.bits,
            "device_faults.lrs_proportion": faults.lrs_proportion,
            "images": images,
        } == dict(point.settings)
        back = point.case.replace(
            images=CASE.images,
            conversion=conversion.replace(adc=ADC(bits=8)),
            nonidealities=(faults.replace(lrs_proportion=0.01), drift),
        )
        assert back.fingerprint == CASE.fingerprint


def test_values_are_json_words_none_and_shapes() -> None:
    points = grid(
        CASE, ["tile_shape=none,64x64,[16,8]", "adc.range=vector,calibrated,0.5", "conversion.max_input_voltage=3,none"]
    ).points()
    assert [point.settings["tile_shape"] for point in points[::6]] == ["none", "64x64", "[16,8]"]
    assert [point.case.conversion.tile_shape for point in points[::6]] == [None, (64, 64), (16, 8)]
    assert [point.case.conversion.adc.range for point in points[:6:2] if point.case.conversion.adc] == [
        "vector",
        "calibrated",
        0.5,
    ]
    assert [point.case.conversion.max_input_voltage for point in points[:2]] == [3.0, None]
    assert [point.case.seeds for point in grid(CASE, ["seeds=[0],[0,1]"]).points()] == [(0,), (0, 1)]


def test_an_adc_can_be_gone_over_where_there_was_none() -> None:
    (point,) = grid(make_case(), ["adc.bits=5"]).points()
    assert point.case.conversion.adc == ADC(bits=5)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ([], "needs something to go over"),
        (["adc.bits"], "not of the form field=v1,v2"),
        (["adc.bits="], "not of the form"),
        (["=4"], "not of the form"),
        (["images=4,,5"], "not of the form"),
        (["images=4", "images=5"], "names 'images' twice"),
        (["images=4,4"], "a value stands there twice"),
        (["bits=4"], r"no field 'bits'.*adc\.bits.*device_faults\.FIELD, conductance_drift\.FIELD"),
        (["name=a,b"], "no field 'name'"),
        (["read_noise.sigma=1"], "no field 'read_noise.sigma'"),
    ],
)
def test_what_makes_no_sense_is_refused(over: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid(CASE, over)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("adc.bits=4,77", r"(?s)sweep 'sweep' at adc\.bits=77.*16"),
        ("adc.bit=4", "adc.*bit"),
        ("images=many", "images=many"),
        ("device_faults.lrs_proportion=2", "lrs_proportion=2"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_setting(over: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid(CASE, [over]).points()


def test_one_of_two_alike_effects_cannot_be_named() -> None:
    twice = CASE.replace(nonidealities=(ConductanceDrift(time=10.0), ConductanceDrift(time=20.0)))
    with pytest.raises(InputError, match="more than one conductance_drift"):
        grid(twice, ["conductance_drift.time=5"])
