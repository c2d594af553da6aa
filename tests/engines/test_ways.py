"""Every engine says how it expresses every field of a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from membench import ADC, VTEAM, Conversion, ReadNoise
from membench.engines import ENGINES
from membench.engines._ways import By, Way, faults, profile_fields, way_of
from membench.report.engines_table import inserted, translation

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_table_of_the_documentation_is_what_the_engines_declare() -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    assert page == inserted(page), "run: python tools/engines_table.py"


def test_the_table_holds_every_field_of_a_profile() -> None:
    rows = [line.split(" | ")[0] for line in translation().splitlines()[2:]]
    for path in profile_fields():
        short = path.removeprefix("conversion.").removeprefix("nonidealities.")
        parts = short.split(".")
        names = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts) + 1)]
        found = [row for row in rows for whole, rest in names if f"`{whole}`" in row and (not rest or f"`{rest}`" in row)]
        assert found, path


def test_every_row_of_the_table_has_as_many_cells() -> None:
    counts = {line.replace(r"\|", "").count("|") for line in translation().splitlines()}
    assert len(counts) == 1
