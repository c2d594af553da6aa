"""Device models: MemTorch's defaults, and only the two resistances that act."""

from __future__ import annotations

import pytest

from membench import VTEAM, Conversion, DataDriven, DataDriven2021, LinearIonDrift, StanfordPKU
from membench.devices import Device
from membench.errors import InputError

# kind, r_on, r_off: the defaults of MemTorch 1.1.6 (memtorch/bh/memristor/*.py), in ohms.
DEFAULTS = {
    VTEAM: ("VTEAM", 50.0, 1000.0),
    LinearIonDrift: ("LinearIonDrift", 100.0, 16e3),
    StanfordPKU: ("Stanford_PKU", 542.0, 218586.0),
    DataDriven: ("Data_Driven", 1280.0, 17e3),
    DataDriven2021: ("Data_Driven2021", 1600.0, 3000.0),
}
EVERY = pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)


@EVERY
def test_defaults(model: type[Device]) -> None:
    device = model()
    assert (device.kind, device.r_on, device.r_off) == DEFAULTS[model]


@EVERY
def test_the_conductances_are_in_siemens_from_low_to_high(model: type[Device]) -> None:
    low, high = model(r_on=1000.0, r_off=8000.0).conductance_range
    assert (low, high) == (1 / 8000, 1 / 1000)


@EVERY
@pytest.mark.parametrize("r_off", [2000.0, 1999.0])
def test_resistances_in_the_wrong_order_are_refused(model: type[Device], r_off: float) -> None:
    with pytest.raises(InputError, match=rf"{model.__name__}: r_on \(2000 ohm\) must be below r_off .*swapped"):
        model(r_on=2000.0, r_off=r_off)


@EVERY
def test_a_parameter_that_would_move_nothing_is_refused(model: type[Device]) -> None:
    with pytest.raises(InputError, match=rf"{model.__name__} has no parameter 'k_on', 'alpha_on'\. It takes r_on and r_off"):
        model(k_on=-10.0, alpha_on=3.0)


@EVERY
@pytest.mark.parametrize("value", [True, "100", 0.0, -1.0, float("nan"), float("inf")])
def test_a_resistance_is_a_positive_number(model: type[Device], value: object) -> None:
    for field in ("r_on", "r_off"):
        with pytest.raises(InputError, match=rf"\n  {field}: "):
            model(**{field: value})


@EVERY
def test_a_device_is_read_back_by_its_kind(model: type[Device]) -> None:
    conversion = Conversion(device=model(r_on=1700.0, r_off=2900.0))
    again = Conversion.from_json(conversion.model_dump_json(), "f")
    assert again == conversion
    assert type(again.device) is model


def test_another_model_s_kind_is_refused() -> None:
    with pytest.raises(InputError, match="kind"):
        VTEAM(kind="Data_Driven")


@pytest.mark.parametrize("device", [{"kind": "PCM"}, {"r_on": 10.0}, "VTEAM", None])
def test_what_is_no_known_device_is_refused(device: object) -> None:
    with pytest.raises(InputError, match="device"):
        Conversion(device=device)


def test_stanford_pku_s_gap_must_be_positive() -> None:
    """gap > 0 needs r_on > V / (I_0 sinh(V / V_0)) = 0.1 V / (1 mA sinh 0.4) = 243.456 ohm."""
    assert StanfordPKU(r_on=243.46).r_on == 243.46
    with pytest.raises(InputError, match=r"StanfordPKU: r_on \(243\.45 ohm\) must be above 243\.5 ohm"):
        StanfordPKU(r_on=243.45)
