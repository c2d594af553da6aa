"""What the repository itself promises."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from membench import Case
from membench.baselines import BaselineStore
from membench.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent
SUITE = load_suite([ROOT / "benchmarks" / "cases"])
STORE = BaselineStore(ROOT / "baselines")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda file: file.name)
def test_pins_are_plain(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line)] == []


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile(rb"(pypi\.org|pythonhosted|index-url|download\.pytorch\.org|/opt/pypi)")
    named = [file for file in tracked() if file != Path(__file__) and hosts.search(file.read_bytes())]
    assert named == []


def test_no_data_set_is_committed() -> None:
    large = {file.name: file.stat().st_size for file in tracked() if file.stat().st_size > 8_000_000}
    assert large == {}
    assert not [file for file in tracked() if file.suffix in {".parquet", ".gz", ".pkl", ".pt", ".pth"}]


def test_the_suite_covers_what_it_must() -> None:
    """At least 12 MNIST cases: tiles, ADC, input voltage, variability, faults, retention; and one of each CIFAR."""
    cases = {case.name: case for case in SUITE}
    mnist = [case for case in SUITE if case.dataset.startswith("mnist")]
    assert len(mnist) >= 12
    assert {case.conversion.tile_shape for case in mnist} >= {None, (8, 8), (64, 64), (128, 128)}
    assert {case.conversion.adc.bits if case.conversion.adc else None for case in mnist} >= {None, 4, 6, 8}
    assert {case.conversion.max_input_voltage for case in mnist} >= {0.3, 3.0, 6.0}
    assert {effect.kind for case in mnist for effect in case.nonidealities} >= {"variability", "device_faults", "retention"}
    assert {"cifar10", "cifar100"} <= {case.dataset for case in cases.values()}


@pytest.mark.parametrize("case", list(SUITE), ids=lambda case: case.name)
def test_every_declared_case_has_a_baseline_that_is_not_stale(case: Case) -> None:
    baseline = STORE.get("vectorized", case.name)
    assert baseline is not None
    assert baseline.record.fingerprint == case.fingerprint
    assert len(baseline.reason.split()) > 3


@pytest.mark.parametrize("engine", ["memtorch", "vectorized"])
def test_no_baseline_is_left_of_a_case_that_is_gone(engine: str) -> None:
    assert set(STORE.cases(engine)) <= {case.name for case in SUITE}


@pytest.mark.parametrize("name", STORE.cases("memtorch"))
def test_what_memtorch_measured_is_the_beginning_of_a_case_that_is_declared(name: str) -> None:
    """So that `--membench-engine memtorch` compares with it on as many images and seeds."""
    native = STORE.get("memtorch", name).record.case  # type: ignore[union-attr]
    declared = next(case for case in SUITE if case.name == name)
    assert native.setup_fingerprint == declared.setup_fingerprint
    assert native.images <= declared.images
    assert set(native.seeds) <= set(declared.seeds)


def test_cases_measure_a_thousand_images_on_five_seeds() -> None:
    assert {len(case.seeds) for case in SUITE} == {5}
    assert min(case.images for case in SUITE) == 1_000


def test_the_ideal_case_loses_no_more_than_a_point_on_1000_images() -> None:
    record = STORE.get("vectorized", "mnist5k-ideal").record  # type: ignore[union-attr]
    conversion = record.case.conversion
    assert (conversion.tile_shape, conversion.adc.bits, conversion.max_input_voltage) == ((64, 64), 8, 6.0)  # type: ignore[union-attr]
    assert record.case.images == 1_000
    assert record.measured.loss.estimate <= 1.0


def test_an_input_limit_of_0_3_volt_loses_most_of_the_accuracy() -> None:
    measured = STORE.get("vectorized", "mnist5k-miv-0.3v").record.measured  # type: ignore[union-attr]
    assert measured.loss.estimate > 50


def test_pyproject_tells_uv_what_memtorch_needs() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    (metadata,) = tool["dependency-metadata"]
    assert metadata["name"] == "memtorch-cpu"
    assert "scikit-learn" in metadata["requires-dist"]
    assert "sklearn" not in metadata["requires-dist"]
    assert any(
        need["requirement"] == "torch" for need in tool["extra-build-dependencies"]["memtorch-cpu"] if isinstance(need, dict)
    )


def test_ci_runs_the_command_that_the_readme_names() -> None:
    commands = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.strip().startswith("make ")]
    assert commands == ["make test SKIP=", "make test", "make stranger"]
    readme = (ROOT / "README.md").read_text()
    assert "make bench" in readme
    assert "make test" in readme


def test_both_commands_run_the_whole_gate() -> None:
    gates = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pytest benchmarks " in line]
    assert len(gates) == 2
    assert not any("--membench-images" in gate or "--membench-seeds" in gate for gate in gates)
