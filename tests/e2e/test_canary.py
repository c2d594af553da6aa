"""The canary inside a gate: green where the engines agree, red with the layer's name where they do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from repository import declare

from membench import Case
from membench.engines.vectorized import VectorizedNetwork

CANARY = """
def test_parity(membench_parity):
    membench_parity("small")
"""


def canary(pytester: pytest.Pytester, case: Case, *options: str) -> pytest.RunResult:
    declare(pytester.path, case)
    (pytester.path / "benchmarks" / "test_accuracy.py").unlink()
    (pytester.path / "benchmarks" / "test_canary_of_a_user.py").write_text(CANARY)
    return pytester.runpytest_inprocess("benchmarks", "-p", "no:cacheprovider", "-rs", *options)


def test_engines_that_agree_are_green(pytester: pytest.Pytester, case: Case) -> None:
    assert canary(pytester, case).ret == 0


def test_an_engine_that_differs_is_red_and_the_layer_is_named(
    pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = VectorizedNetwork.tune

    def scaled(self: VectorizedNetwork, *arguments: object) -> None:
        tune(self, *arguments)  # type: ignore[arg-type]
        self.network.get_submodule("4").conductance.mul_(1.01)  # type: ignore[operator,union-attr]

    monkeypatch.setattr(VectorizedNetwork, "tune", scaled)
    result = canary(pytester, case)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*layer 4: conductances differ by 0.01 of their value; 5e-06 is accepted*"])
    result.stdout.no_fnmatch_line("*layer 0: *")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--membench-engine=memtorch",), "*the engine memtorch is not one that should equal memtorch*"),
        (("--membench-engine=digital",), "*the engine digital is not one that should equal memtorch*"),
    ],
)
def test_it_stands_aside_where_there_is_nothing_to_compare(
    pytester: pytest.Pytester, case: Case, options: tuple[str, ...], reason: str
) -> None:
    result = canary(pytester, case, *options)
    assert result.ret == 0
    result.stdout.fnmatch_lines([reason])


@pytest.mark.slow
def test_timings_stand_aside_unless_they_are_asked_for() -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks", "--collect-only", "-q"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}  # no worker of this run
    usual = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    asked = subprocess.run([*command, "-m", "speed"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    assert "test_speed.py" not in usual
    assert "test_accuracy.py" in usual
    assert "test_speed.py::test_cost_is_linear[images]" in asked
    assert "test_accuracy.py" not in asked
