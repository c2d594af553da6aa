"""What `membench doctor` says about this machine, and about one that lacks something."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import needs_data

from membench import doctor
from membench.doctor import Finding, examine_machine, healthy
from membench.engines import ENGINES
from membench.engines._base import Problem
from membench.measure.machine import versions
from membench.models import _weights
from membench.models._weights import SHIPPED


@pytest.fixture(scope="module")
def here() -> dict[str, Finding]:
    """This machine as it is."""
    return by_name(examine_machine())


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data that can be downloaded."""
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    assert len({finding.what for finding in findings}) == len(findings)
    return {finding.what: finding for finding in findings}


def test_this_machine_is_healthy_if_its_engines_are(here: dict[str, Finding]) -> None:
    assert healthy(list(here.values())) == all(engine.optional or engine.problem() is None for engine in ENGINES)


def test_every_version_engine_data_set_and_weight_is_named(here: dict[str, Finding]) -> None:
    assert here["torch"].found == versions()["torch"]
    assert torch.__version__.startswith(here["torch"].found)
    assert here["torch"].ok
    assert here["torch"].vital
    assert {f"engine {name}" for name in ENGINES.names()} <= here.keys()
    assert {"processor", "torch threads", "CUDA", "C++ compiler", "cache folder", "data folder"} <= here.keys()
    assert {f"data {name}" for name in ("cifar10", "cifar100", "mnist", "mnist5k")} <= here.keys()
    assert here.keys() >= set(versions()) - {"memtorch-cpu"}


def test_what_is_not_ok_has_a_remedy_and_what_is_ok_has_none(here: dict[str, Finding]) -> None:
    for finding in here.values():
        assert finding.found
        assert bool(finding.remedy) != finding.ok, finding


def test_mnist5k_is_there_and_vital(here: dict[str, Finding]) -> None:
    assert here["data mnist5k"].found.endswith("1000 test images")
    assert here["data mnist5k"].ok
    assert here["data mnist5k"].vital


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_data(name)) for name in ("mnist", "cifar10", "cifar100")])
def test_data_that_are_here_are_read(name: str, here: dict[str, Finding]) -> None:
    assert here[f"data {name}"].ok
    assert here[f"data {name}"].found.endswith("10000 test images")


def test_shipped_weights_are_listed_with_their_accuracy(here: dict[str, Finding]) -> None:
    for file in SHIPPED.glob("*.json"):
        card = json.loads(file.read_text())
        said = f"{100 * card['accuracy']:.2f} % of {card['test_images']} test images"
        assert said in here[f"weights {card['network']} on {card['dataset']}"].found
    assert sum(name.startswith("weights ") for name in here) == len(list(SHIPPED.glob("*.json")))


def test_without_data_the_remedy_is_named_and_the_machine_still_healthy(bare: Path) -> None:
    findings = by_name(examine_machine())
    for name in ("cifar10", "cifar100", "mnist"):
        assert not findings[f"data {name}"].ok
        assert findings[f"data {name}"].remedy == f"membench data get {name}"
        assert str(bare / "data") in findings[f"data {name}"].found
    assert findings["data mnist5k"].ok
    assert healthy(list(findings.values())) == all(engine.optional or engine.problem() is None for engine in ENGINES)


def test_damaged_data_are_a_finding(bare: Path) -> None:
    folder = bare / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    finding = by_name(examine_machine())["data mnist"]
    assert not finding.ok
    assert "t10k-images-idx3-ubyte" in finding.found


def test_an_absent_simulator_is_told_and_lacks_nothing(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in ENGINES:
        if engine.optional:
            monkeypatch.setattr(type(engine), "problem", lambda self: Problem("it is not here", "get it"))
    findings = examine_machine()
    finding = by_name(findings)["engine crosssim"]
    assert (finding.found, finding.ok, finding.vital, finding.remedy) == ("it is not here", False, False, "get it")
    assert healthy(findings) == all(engine.optional or engine.problem() is None for engine in ENGINES)


def test_an_engine_that_cannot_run_makes_the_machine_unhealthy(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(ENGINES.get("memtorch")), "problem", lambda self: Problem("it is not installed", "make setup"))
    findings = examine_machine()
    finding = by_name(findings)["engine memtorch"]
    assert (finding.ok, finding.vital, finding.remedy) == (False, True, "make setup")
    assert "it is not installed" in finding.found
    assert not healthy(findings)


def test_a_package_that_is_absent_makes_the_machine_unhealthy(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "versions", lambda: {"torch": "2.7.0", "scipy": "absent", "memtorch-cpu": "absent"})
    findings = examine_machine()
    found = by_name(findings)
    assert found["torch"].ok
    assert not found["scipy"].ok
    assert found["scipy"].remedy == "pip install scipy"
    assert "memtorch-cpu" not in found  # its engine speaks for it
    assert not healthy(findings)


@pytest.mark.parametrize(("ok", "vital", "expected"), [(True, True, True), (False, False, True), (False, True, False)])
def test_only_a_vital_fault_is_unhealthy(ok: bool, vital: bool, expected: bool) -> None:
    assert healthy([Finding("a", "fine"), Finding("b", "?", ok, vital=vital)]) is expected


def test_without_a_compiler_the_package_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    finding = by_name(examine_machine())["C++ compiler"]
    assert not finding.ok
    assert "g++" in finding.remedy


def test_a_cache_that_cannot_be_written_is_vital(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_CACHE", str(bare / "cache"))
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: False)
    findings = examine_machine()
    finding = by_name(findings)["cache folder"]
    assert (finding.ok, finding.vital) == (False, True)
    assert "export MEMBENCH_CACHE=" in finding.remedy
    assert not healthy(findings)
    assert by_name(findings)["data folder"].ok  # reading is enough


def test_a_file_in_place_of_the_cache_folder_is_no_folder(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "file").touch()
    monkeypatch.setenv("MEMBENCH_CACHE", str(bare / "file"))
    finding = by_name(examine_machine())["cache folder"]
    assert not finding.ok
    assert "export MEMBENCH_CACHE=" in finding.remedy


def test_a_damaged_shipped_card_is_a_finding(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor must not fall ill itself."""
    monkeypatch.setattr(_weights, "SHIPPED", bare)
    (bare / "mnist-vgg-mnist.json").write_text("{")
    faulty = [finding for finding in examine_machine() if not finding.ok and "mnist-vgg-mnist.json" in finding.found]
    assert len(faulty) == 1
