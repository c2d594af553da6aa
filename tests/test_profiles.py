"""Profiles: conversions under a name, and cases made from them."""

from __future__ import annotations

import pytest

from membench import (
    ADC,
    DAC,
    VTEAM,
    ConductanceDrift,
    Conversion,
    DeviceFaults,
    InputScaling,
    Profile,
    Thresholds,
    UnusualOrderWarning,
    Variability,
    profile,
)
from membench.effect import EFFECTS, Stage
from membench.errors import InputError, UnknownNameError
from membench.profiles import PROFILES, STUDY_DEVICE

FIELDS = {"name": "c", "dataset": "mnist", "network": "tiny", "thresholds": Thresholds(max_loss_points=1.0)}
OWN = ("exact", "ideal", "variable", "faulty", "chip")
SHARED = OWN[1:4]  # those on the recommended hardware as it stands


def test_the_study_device() -> None:
    assert VTEAM(r_on=1.4e4, r_off=5e7) == STUDY_DEVICE


def test_what_the_named_profiles_are() -> None:
    recommended = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64), adc=ADC(bits=8), max_input_voltage=6.0)
    assert profile("exact").conversion == Conversion(device=STUDY_DEVICE)
    assert {name: profile(name).conversion for name in SHARED} == dict.fromkeys(SHARED, recommended)
    assert {name: profile(name).nonidealities for name in OWN[:4]} == {
        "exact": (),
        "ideal": (),
        "variable": (Variability(r_on_sigma=1.4e3, r_off_sigma=5e6),),
        "faulty": (DeviceFaults(lrs_proportion=0.02, hrs_proportion=0.02),),
    }


def test_the_chip_has_every_effect_that_does_not_wear_it_out_in_the_usual_order() -> None:
    chip = profile("chip")
    ranks = [(list(Stage).index(effect.stage), effect.rank) for effect in chip.nonidealities]
    assert ranks == sorted(ranks)
    own = {name for name in EFFECTS.names() if EFFECTS.get(name).__module__.startswith("membench.")}
    assert {effect.kind for effect in chip.nonidealities} == own - {"endurance", "retention"}
    assert chip.conversion.adc == ADC(bits=8, range="calibrated")
    assert chip.conversion.dac == DAC(bits=8)
    assert chip.conversion.scaling == InputScaling(undone=True, per="image")


@pytest.mark.parametrize("name", OWN)
def test_a_profile_is_found_by_its_name_and_says_where_its_numbers_come_from(name: str) -> None:
    assert profile(name).name == name
    assert len(profile(name).source) > 20
    assert name in PROFILES.names()


def test_an_unknown_profile_gets_a_guess() -> None:
    with pytest.raises(UnknownNameError, match=r"no profile 'idael'\. Did you mean 'ideal'"):
        profile("idael")


@pytest.mark.parametrize("name", OWN)
def test_a_case_of_a_profile(name: str) -> None:
    case = profile(name).case(**FIELDS)
    assert case.conversion == profile(name).conversion
    assert case.nonidealities == profile(name).nonidealities
    assert (case.name, case.dataset, case.network) == ("c", "mnist", "tiny")


def test_a_case_may_override_its_profile() -> None:
    drift = ConductanceDrift(time=10.0)
    case = profile("faulty").case(**FIELDS, nonidealities=(drift,), conversion=Conversion())
    assert case.nonidealities == (drift,)
    assert case.conversion == Conversion()


def test_a_case_of_a_profile_is_checked() -> None:
    with pytest.raises(InputError, match="did you mean 'images'"):
        profile("ideal").case(**FIELDS, image=3)
    late = Profile(
        name="p",
        source="nowhere",
        conversion=Conversion(),
        nonidealities=(ConductanceDrift(time=10.0), Variability(r_on_sigma=1.0, r_off_sigma=1.0)),
    )
    with pytest.raises(InputError, match="out of order"):
        late.case(**FIELDS)


def test_a_case_of_a_profile_of_another_order_warns() -> None:
    effects = (ConductanceDrift(time=10.0), DeviceFaults(lrs_proportion=0.1))
    with pytest.warns(UnusualOrderWarning, match="device_faults, conductance_drift. They will act as given"):
        case = Profile(name="p", source="nowhere", conversion=Conversion(), nonidealities=effects).case(**FIELDS)
    assert case.nonidealities == effects


def test_no_other_profile_takes_a_name_that_is_held() -> None:
    with pytest.raises(InputError, match="two components for the profile 'ideal'"):
        PROFILES.add("ideal", profile("exact"))
    assert profile("ideal").conversion.adc == ADC(bits=8)


@pytest.mark.parametrize("name", OWN)
def test_a_profile_survives_json_with_its_effects(name: str) -> None:
    again = Profile.from_json(profile(name).model_dump_json(), "f")
    assert again == profile(name)


def test_an_effect_of_a_profile_may_be_declared_as_a_mapping_as_in_a_case() -> None:
    made = Profile(name="p", source="s", conversion=Conversion(), nonidealities=({"kind": "conductance_drift", "time": 9.0},))
    assert made.nonidealities == (ConductanceDrift(time=9.0),)
