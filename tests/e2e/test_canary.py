"""The canary inside a gate: green where the engines agree, red with the layer's name where they do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT, make_case
from repository import TINY, accept, declare

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


ABSENT = "def test_parity(membench_parity):\n    membench_parity('absent')\n"


@pytest.fixture
def without_data(pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A repository with a green case, another one whose data are missing, and a comparison of each with MemTorch."""
    declare(pytester.path, case, make_case(name="absent", dataset="cifar10"))
    accept(pytester.path, case)
    (pytester.path / "benchmarks/test_absent.py").write_text(ABSENT)
    monkeypatch.setenv("MEMBENCH_DATA", str(pytester.path / "empty"))
    return pytester


def gate(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("benchmarks", "-p", "no:cacheprovider", "-rs", *options)


@pytest.mark.parametrize("strict", [(), ("--membench-gate",)])
def test_a_comparison_without_data_is_skipped_where_that_is_allowed_and_the_summary_says_so(
    without_data: pytest.Pytester, strict: tuple[str, ...]
) -> None:
    result = gate(without_data, "--membench-allow-skip", "--membench-report=out", *strict)
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=2)
    warned = "WARNING: the comparison with memtorch did not run: absent: cifar10 was not found *membench data get cifar10*"
    result.stdout.fnmatch_lines([warned, "The gate is open: 1 case is green (1 skipped*"])
    assert "WARNING: the comparison with memtorch did not run: absent" in (without_data.path / "out/summary.md").read_text()


def test_a_comparison_without_data_closes_the_gate_with_the_command_that_gets_them(without_data: pytest.Pytester) -> None:
    result = gate(without_data, "-k", "test_parity or small")
    assert result.ret == 1
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED comparison of absent: cifar10 was not found *membench data get cifar10*",
            "The gate is closed: 1 comparison or test is not green.",
        ]
    )


def test_nothing_is_let_through_where_nothing_was_measured(without_data: pytest.Pytester) -> None:
    alone = gate(without_data, "-k", "test_parity", "--membench-allow-skip")
    assert alone.ret == 1
    alone.stdout.fnmatch_lines(["*WARNING: the comparison with memtorch did not run*", "The gate is closed: 1 comparison or*"])


def test_the_summary_says_on_how_many_cases_the_comparison_ran(without_data: pytest.Pytester) -> None:
    (without_data.path / "benchmarks/test_small.py").write_text(CANARY)
    result = gate(without_data, "--membench-allow-skip")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "Equal to memtorch, layer by layer: 1 of 1 case compared.",
            "WARNING: the comparison with memtorch did not run on every case: absent: *",
        ]
    )


def test_a_strict_gate_says_that_no_test_compares_with_the_reference(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    accept(pytester.path, case)
    warned = "WARNING: no test compared the engine with memtorch (none takes membench_parity)."
    strict = gate(pytester, "--membench-gate")
    assert strict.ret == 0
    strict.stdout.fnmatch_lines([warned])
    assert warned not in gate(pytester).stdout.str()
    accept(pytester.path, case, engine="digital")
    assert warned not in gate(pytester, "--membench-gate", "--membench-engine=digital").stdout.str()


def test_an_unknown_case_to_compare_is_an_error(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    (pytester.path / "benchmarks/test_canary_of_a_user.py").write_text(CANARY.replace("small", "smal"))
    result = gate(pytester, "-k", "parity")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*There is no case 'smal'*"])


@pytest.mark.parametrize("where", ["test", "fixture"])
def test_any_test_of_the_plugin_is_skipped_without_its_data(without_data: pytest.Pytester, where: str) -> None:
    """A timing of a declared case, as a user writes it: it loads the data in the test, or in a fixture."""
    (without_data.path / "benchmarks/test_absent.py").unlink()
    body = "import pytest\nfrom membench import run_case\n"
    if where == "test":
        body += "def test_time(membench_case):\n    run_case(membench_case)\n"
    else:
        body += "@pytest.fixture\ndef ran(membench_case):\n    return run_case(membench_case)\ndef test_time(ran):\n    assert ran\n"
    (without_data.path / "benchmarks/test_time.py").write_text(body)
    allowed = gate(without_data, "--membench-allow-skip", "--membench-gate")
    allowed.assert_outcomes(passed=2, skipped=2)
    assert allowed.ret == 0
    closed = gate(without_data, "-k", "test_time")
    closed.assert_outcomes(passed=1, skipped=1)
    assert closed.ret == 1
    closed.stdout.fnmatch_lines(["SKIPPED benchmarks/test_time.py::test_time?absent?: cifar10 was not found *"])


def test_a_test_of_others_is_left_alone(pytester: pytest.Pytester) -> None:
    """The plugin is loaded wherever membench is installed: what does not take its fixtures fails as it would."""
    pytester.makepyfile("from membench.errors import DataMissingError\ndef test():\n    raise DataMissingError('none')\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)


@pytest.mark.slow
def test_workers_tell_of_comparisons_too(without_data: pytest.Pytester) -> None:
    (without_data.path / "conftest.py").write_text(TINY)
    result = without_data.runpytest_subprocess("benchmarks", "-n", "2", timeout=300)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*SKIPPED comparison of absent: cifar10*", "*WARNING: the comparison with memtorch did not run*"]
    )


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
