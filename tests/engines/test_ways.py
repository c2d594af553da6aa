"""Every engine says how it expresses every field of a profile."""

from __future__ import annotations

import pytest

from membench import ADC, VTEAM, Conversion, ReadNoise
from membench.engines import ENGINES
from membench.engines._ways import By, Way, faults, profile_fields, way_of


@pytest.mark.parametrize("engine", list(ENGINES), ids=lambda engine: engine.name)
def test_every_field_is_declared(engine: object) -> None:
    for path in profile_fields():
        if path.startswith("nonidealities.") or engine.name != "badcrossbar":  # type: ignore[attr-defined]
            assert way_of(engine.ways, path) is not None, path  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", list(ENGINES), ids=lambda engine: engine.name)
def test_nothing_is_declared_that_no_profile_has(engine: object) -> None:
    known = set(profile_fields())
    prefixes = {".".join(path.split(".")[:length]) for path in known for length in range(1, path.count(".") + 2)}
    assert set(engine.ways) <= prefixes  # type: ignore[attr-defined]


def test_the_fields_of_a_profile_are_found() -> None:
    fields = profile_fields()
    assert len(fields) == len(set(fields))
    for path in (
        "conversion.device.r_on",
        "conversion.adc.overflow_rate",
        "conversion.scaling.per",
        "nonidealities.programming_error.write_verify.attempts",
        "nonidealities.read_noise.sigma",
    ):
        assert path in fields


def test_what_nobody_declared_is_refused() -> None:
    conversion = Conversion(device=VTEAM(), adc=ADC(bits=8))
    ways = {"conversion.device": Way(By.MEMBENCH, "ohms"), "conversion.adc": Way(By.SIMULATOR, "bits")}
    found = faults("mine", ways, conversion, (ReadNoise(sigma=0.1),))
    assert any("conversion.scheme" in line and "does not say how" in line for line in found)
    assert any("nonidealities.read_noise: it has no such effect" in line for line in found)
    assert not any("conversion.adc" in line or "conversion.device" in line for line in found)


def test_the_own_declaration_of_a_field_speaks_before_that_of_the_whole() -> None:
    ways = {"conversion": Way(By.MEMBENCH, "all"), "conversion.adc.bits": Way(By.SIMULATOR, "bits")}
    assert way_of(ways, "conversion.adc.bits") == ("conversion.adc.bits", ways["conversion.adc.bits"])
    assert way_of(ways, "conversion.adc.range") == ("conversion", ways["conversion"])
    assert way_of(ways, "nonidealities.read_noise") is None
