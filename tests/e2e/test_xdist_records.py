"""`pytest benchmarks/ -n auto` gives the records of a serial run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import make_case
from repository import accept, declare

from membench import ADC, ConductanceDrift, Conversion, DeviceFaults, ReadNoise, Variability

CASES = (
    make_case(name="plain", seeds=(0, 1)),
    make_case(name="tiled", conversion=Conversion(tile_shape=(16, 16), adc=ADC(bits=6))),
    make_case(name="worn", nonidealities=(Variability(r_on_sigma=5.0, r_off_sigma=100.0), DeviceFaults(hrs_proportion=0.05))),
    make_case(name="noisy", nonidealities=(ConductanceDrift(time=2.0), ReadNoise(sigma=0.1)), images=20),
)
CONFTEST = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); import tiny"


def lasting(folder: Path) -> dict[str, str]:
    found = {}
    for file in (folder / "records").rglob("*.json"):
        record = json.loads(file.read_text())
        del record["provenance"]
        costs = record.pop("costs")
        found[file.name] = json.dumps({**record, "threads": costs["threads"]})
    return found


@pytest.mark.slow
def test_records_of_a_parallel_run_are_those_of_a_serial_one(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    declare(pytester.path, *CASES, conftest=CONFTEST)
    accept(pytester.path, *CASES)
    options = ("benchmarks", "-p", "no:randomly", "--membench-no-explain")
    serial = pytester.runpytest_subprocess(*options, "--membench-report=serial")
    serial.assert_outcomes(passed=len(CASES))
    parallel = pytester.runpytest_subprocess(*options, "-n", "2", "--membench-report=parallel")
    parallel.assert_outcomes(passed=len(CASES))
    assert "2 workers" in parallel.stdout.str()
    assert lasting(pytester.path / "serial") == lasting(pytester.path / "parallel")
    assert len(lasting(pytester.path / "serial")) == len(CASES)
