"""Current laws are MemTorch's device models', or a table's; the proof compares currents with the law."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from bars import DEVICE, programmed, reading, refused, single, unread, voltages
from conftest import make_case
from hypothesis import given, settings
from hypothesis import strategies as st

from membench import VTEAM, Conversion, DataDriven, DataDriven2021, LinearIonDrift, NonLinear, StanfordPKU
from membench.devices import Device, LookUp, Sinh
from membench.engines.memtorch import _memtorch
from membench.errors import InputError
from membench.runtime import isolated

SINH = NonLinear(law="sinh", scale=0.3)
TABLE = {"voltages": (-0.5, -0.1, 0.2, 0.5), "currents": (-1.0, -0.05, 0.1, 0.7)}
OWN = pytest.mark.parametrize("device", [StanfordPKU(), DataDriven(), DataDriven2021()], ids=lambda device: device.kind)


def law_of(effect: NonLinear, device: Device = DEVICE, limit: float | None = 0.5) -> Any:
    law = effect.current_law(device, limit)
    assert law is not None
    return law


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"law": "sinh"}, "scale, in volts, belongs to law='sinh', and must be given there"),
        ({"scale": 0.3}, "scale, in volts, belongs to law='sinh'"),
        ({"law": "table", "scale": 0.3, **TABLE}, "scale, in volts, belongs to law='sinh'"),
        ({"law": "sinh", "scale": 0.0}, "scale"),
        ({"law": "sinh", "scale": -0.3}, "scale"),
        ({"law": "cosh"}, "law"),
        ({"law": "table"}, "voltages and currents belong to law='table', and must both be given"),
        ({"law": "table", "voltages": (-1.0, 1.0)}, "voltages and currents belong to law='table'"),
        ({"law": "table", "currents": (-1.0, 1.0)}, "voltages and currents belong to law='table'"),
        (TABLE, "voltages and currents belong to law='table'"),
        ({"voltages": (-1.0, 1.0)}, "voltages and currents belong to law='table'"),
        ({"law": "sinh", "scale": 0.3, **TABLE}, "voltages and currents belong to law='table'"),
        ({"law": "table", "voltages": (-1.0, 0.0, 1.0), "currents": (-1.0, 1.0)}, "3 voltages, but 2 currents"),
        ({"law": "table", "voltages": (-1.0, 1.0, 0.0), "currents": (-1.0, 0.0, 2.0)}, "voltages must rise, each once"),
        ({"law": "table", "voltages": (-1.0, 0.0, 0.0), "currents": (-1.0, 0.0, 2.0)}, "voltages must rise, each once"),
        ({"law": "table", "voltages": (1.0,), "currents": (2.0,)}, "voltages"),
        ({"law": "table", "voltages": (-1.0, math.nan), "currents": (-1.0, 2.0)}, "voltages"),
        ({"law": "table", **TABLE, "look_up": 9}, "is a look-up already; leave look_up out"),
        ({"law": "table", "voltages": (-1.0, 0.0, 1.0), "currents": (-1.0, 0.0, 1.0)}, "nothing would be non-linear"),
        ({"look_up": 1}, "look_up"),
        ({"look_up": 65_537}, "look_up"),
        ({"look_up": 9.0}, "look_up"),
        ({"look_up": True}, "look_up"),
    ],
)
def test_a_law_that_is_not_whole_is_refused(fields: dict[str, Any], said: str) -> None:
    refused(NonLinear, fields, said)


@pytest.mark.parametrize(
    ("effect", "device", "limit", "said"),
    [
        (NonLinear(), VTEAM(), 0.5, "the current of VTEAM is ohmic; take law='sinh' or 'table', or another device"),
        (NonLinear(), LinearIonDrift(), None, "the current of LinearIonDrift is ohmic"),
        (NonLinear(look_up=9), DataDriven(), None, "a table ends somewhere, so max_input_voltage must be set"),
        (SINH.replace(look_up=9), VTEAM(), None, "a table ends somewhere"),
        (NonLinear(law="table", **TABLE), VTEAM(), None, "a table ends somewhere"),
        (NonLinear(law="table", **TABLE), VTEAM(), 0.51, r"its table reaches \+-0.5 V, max_input_voltage is 0.51 V"),
        (
            NonLinear(law="table", voltages=(-0.2, 0.0, 0.5), currents=(-0.1, 0.0, 1.0)),
            VTEAM(),
            0.3,
            r"its table reaches \+-0.2 V",
        ),
        (
            NonLinear(law="table", voltages=(-1.0, 1.0), currents=(-1.0, 2.0)),
            VTEAM(),
            0.5,
            "its table has a current of 0.5 A at 0 V",
        ),
        (NonLinear(law="table", voltages=(0.1, 0.5), currents=(0.0, 1.0)), VTEAM(), 0.3, r"its table reaches \+--0.1 V"),
    ],
)
def test_a_law_that_does_not_fit_the_hardware_is_refused_when_a_case_is_declared(
    effect: NonLinear, device: Any, limit: float | None, said: str
) -> None:
    conversion = Conversion(device=device, max_input_voltage=limit)
    with pytest.raises(InputError, match=f"the effect 'non_linear' does not fit: {said}"):
        make_case(conversion=conversion, nonidealities=(effect,))


@pytest.mark.parametrize(
    ("effect", "device", "limit"),
    [
        (NonLinear(), StanfordPKU(), None),
        (NonLinear(look_up=2), DataDriven(), 0.3),
        (SINH, VTEAM(), None),
        (NonLinear(law="table", **TABLE), VTEAM(), 0.5),
        (NonLinear(law="table", voltages=(-9.0, 9.0), currents=(-2.0, 2.0)), VTEAM(), 0.5),
    ],
)
def test_laws_that_fit(effect: NonLinear, device: Any, limit: float | None) -> None:
    assert effect.unfit(device, limit) == ""


# ---- the laws -----------------------------------------------------------------------------------------------------------


@OWN
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 1.0])
def test_a_device_s_law_is_memtorchs_current(device: Device, part: float) -> None:
    low, high = device.conductance_range
    g = low + part * (high - low)
    law = law_of(NonLinear(), device)
    with isolated(0):
        memristor = getattr(_memtorch().bh.memristor, device.kind)(r_on=device.r_on, r_off=device.r_off)
        memristor.set_conductance(g)
        for voltage in (-2.0, -0.5, -0.1, -1e-3, 0.0, 1e-3, 0.1, 0.3, 1.0, 2.0):
            assert g * float(law(voltage)) == pytest.approx(memristor.current(voltage), rel=1e-8)


@OWN
def test_a_device_s_law_does_not_depend_on_its_resistances(device: Any) -> None:
    assert device.replace(r_on=device.r_on * 1.1, r_off=device.r_off * 2).law == device.law


def test_stanford_pku_s_conductance_is_that_at_its_read_voltage() -> None:
    assert float(law_of(NonLinear(), StanfordPKU())(0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize("device", [VTEAM(), LinearIonDrift()])
def test_two_models_are_ohmic(device: Device) -> None:
    assert device.law is None
    assert NonLinear().current_law(device, 0.5) is None


@settings(max_examples=40)
@given(st.floats(0.01, 10.0), st.floats(-2.0, 2.0))
def test_sinh_is_ohmic_at_low_voltages_and_odd(scale: float, voltage: float) -> None:
    law = law_of(NonLinear(law="sinh", scale=scale))
    assert float(law(voltage)) == pytest.approx(scale * math.sinh(voltage / scale), rel=1e-12, abs=1e-300)
    assert float(law(-voltage)) == -float(law(voltage))
    assert float(law(scale * 1e-4)) == pytest.approx(scale * 1e-4, rel=1e-8)


def test_the_scale_of_sinh_is_given_whatever_the_device_says() -> None:
    assert law_of(SINH, StanfordPKU()) == Sinh(0.3, 0.3)


@given(
    points=st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=9, unique_by=lambda value: round(value, 6)),
    values=st.lists(st.floats(-3.0, 3.0), min_size=9, max_size=9),
    voltage=st.floats(-1.5, 1.5),
)
def test_a_table_is_linear_in_between_and_constant_beyond(points: list[float], values: list[float], voltage: float) -> None:
    points = sorted(points)
    currents = values[: len(points)]
    law = law_of(NonLinear(law="table", voltages=tuple(points), currents=tuple(currents)))
    assert isinstance(law, LookUp)
    assert float(law(voltage)) == pytest.approx(np.interp(voltage, points, currents))
    for left, right, low, high in zip(points, points[1:], currents, currents[1:], strict=False):
        assert float(law((left + right) / 2)) == pytest.approx((low + high) / 2, abs=1e-9)
    assert [float(law(point)) for point in points] == pytest.approx(currents)
    assert (float(law(-9.0)), float(law(9.0))) == (currents[0], currents[-1])


@pytest.mark.parametrize(("effect", "device"), [(NonLinear(), StanfordPKU()), (NonLinear(), DataDriven()), (SINH, VTEAM())])
def test_a_look_up_converges_to_its_law(effect: NonLinear, device: Device) -> None:
    """The error of linear interpolation falls with the square of the distance between points."""
    inside = np.linspace(-0.5, 0.5, 9973)
    exact = law_of(effect, device)(inside)
    worst = [
        np.abs(law_of(effect.replace(look_up=points), device)(inside) - exact).max() for points in (5, 9, 17, 33, 65, 129, 257)
    ]
    ratios = np.array(worst[:-1]) / worst[1:]
    assert (ratios > 2.5).all()
    assert ratios[-3:] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("points", [2, 3, 64])
def test_a_look_up_ends_at_the_largest_input_voltage(points: int) -> None:
    law = law_of(SINH.replace(look_up=points), limit=0.7)
    assert isinstance(law, LookUp)
    assert len(law.voltages) == len(law.values) == points
    assert (law.voltages[0], law.voltages[-1]) == (-0.7, 0.7)
    np.testing.assert_allclose(np.diff(law.voltages), 1.4 / (points - 1), rtol=1e-9)
    np.testing.assert_allclose(law.values, law_of(SINH)(law.voltages))


# ---- its proof ----------------------------------------------------------------------------------------------------------

BARS = [programmed(), programmed(seed=2, index=1)]  # 40 word lines
WIRES = voltages(40)
BEFORE = reading(BARS, WIRES)
LAWS = [
    (SINH, DEVICE),
    (SINH.replace(look_up=5), DEVICE),
    (NonLinear(law="table", **TABLE), DEVICE),
    (NonLinear(), StanfordPKU()),
    (NonLinear(), DataDriven()),
    (NonLinear(look_up=33), DataDriven2021()),
]


def made_of(device: Device) -> list[Any]:
    return [dataclasses.replace(bar, device=device) for bar in BARS]


def in_single(now: Any) -> Any:
    return dataclasses.replace(now, currents=single(now.currents), conductance=single(now.conductance))


@pytest.mark.parametrize(("effect", "device"), LAWS)
def test_currents_of_the_law_prove_it_in_single_precision_too(effect: NonLinear, device: Device) -> None:
    now = reading(BARS, WIRES, law=law_of(effect, device))
    proof = effect.check_reading(made_of(device), [BEFORE, BEFORE], [in_single(now), now])
    ohmic = np.abs(WIRES @ now.conductance).mean()
    change = np.abs(now.currents[0] - WIRES @ now.conductance).mean() / ohmic
    assert proof.effect == "non_linear"
    assert proof.devices == proof.moved == 2000
    assert proof.mean_change == pytest.approx(change, rel=1e-4)
    assert proof.details == {"largest_change": pytest.approx(change, rel=1e-4)}


def test_padding_is_not_counted() -> None:
    bars = [programmed(padding=True), programmed(padding=True, seed=2)]
    assert SINH.check_reading(bars, [BEFORE], [reading(BARS, WIRES, law=law_of(SINH))]).devices == 2 * 975


@pytest.mark.parametrize(
    "law",
    [
        None,
        law_of(NonLinear(law="sinh", scale=0.31)),
        law_of(NonLinear(law="sinh", scale=0.29)),
        law_of(SINH.replace(look_up=5)),
        lambda v: 1.001 * law_of(SINH)(v),
        lambda v: np.abs(law_of(SINH)(v)),
        lambda v: -law_of(SINH)(v),
        lambda v: law_of(SINH)(np.clip(v, -0.4, 0.4)),
        lambda v: law_of(SINH)(law_of(SINH)(v)),
    ],
    ids=["none", "wider", "narrower", "a table", "a gain", "no sign", "another sign", "clipped", "twice"],
)
def test_another_law_is_found_out(law: Any) -> None:
    unread(SINH, BARS, BEFORE, reading(BARS, WIRES, law=law), "currents of 'conv' are not those of the law")


def test_a_law_at_one_column_only_is_found_out() -> None:
    now = reading(BARS, WIRES, law=law_of(SINH))
    now.currents[..., 7] = BEFORE.currents[..., 7]
    unread(SINH, BARS, BEFORE, now, "currents of 'conv' are not those of the law")


def test_another_table_is_found_out() -> None:
    effect = NonLinear(law="table", **TABLE)
    shifted = LookUp(tuple(v + 0.01 for v in TABLE["voltages"]), TABLE["currents"])
    unread(effect, BARS, BEFORE, reading(BARS, WIRES, law=shifted), "not those of the law")


def test_a_second_layer_that_the_law_did_not_reach_is_found_out() -> None:
    now = reading(BARS, WIRES, law=law_of(SINH))
    assert SINH.check_reading(BARS, [BEFORE, BEFORE], [now, now]).moved == 2000
    with pytest.raises(Exception, match="not those of the law"):
        SINH.check_reading(BARS, [BEFORE, BEFORE], [now, BEFORE])
    with pytest.raises(ValueError, match="zip"):
        SINH.check_reading(BARS, [BEFORE, BEFORE], [now])


def test_a_law_that_changes_nothing_at_these_voltages_is_found_out() -> None:
    ohmic = NonLinear(law="sinh", scale=1e4)
    unread(ohmic, BARS, BEFORE, reading(BARS, WIRES, law=law_of(ohmic)), "changes no current by more than a millionth")


def test_noise_of_reads_neither_hides_nor_fakes_a_law() -> None:
    variance = np.square(0.02 * BARS[0].conductance)
    noisy = reading(BARS, WIRES, variance=variance)
    for seed in range(20):
        now = reading(BARS, WIRES, law=law_of(SINH), variance=variance, seed=seed)
        assert SINH.check_reading(BARS, [noisy], [now]).moved == 2000
    unread(SINH, BARS, noisy, reading(BARS, WIRES, variance=variance, seed=1), "not those of the law")


def test_a_look_up_after_another_law_reaches_as_far_as_the_inputs_do() -> None:
    """The first law lets up to 0.76 V act; the table of the second ends at 0.5 V all the same."""
    first, second = law_of(SINH), SINH.replace(look_up=9)
    before = reading(BARS, WIRES, law=first)
    assert np.abs(before.voltages).max() > 0.7
    law = law_of(second, limit=0.5)
    now = reading(BARS, WIRES, law=lambda v: law(first(v)))
    assert second.check_reading(BARS, [before], [now]).moved == 2000
    wider = law_of(second, limit=float(np.abs(before.voltages).max()))
    unread(second, BARS, before, reading(BARS, WIRES, law=lambda v: wider(first(v))), "not those of the law")
