"""The summary of a gate that is closed names the step at which a failed case lost its accuracy, and nothing else changes."""

from __future__ import annotations

import pytest
from conftest import make_case
from repository import TINY, accept, declare

from membench import ADC, Case, Conversion, DeviceFaults, Thresholds
from membench.errors import InputError

FAULTY = make_case(nonidealities=(DeviceFaults(hrs_proportion=1.0),))


def gate(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("benchmarks", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


def test_a_case_over_its_threshold_names_the_step(pytester: pytest.Pytester) -> None:
    declare(pytester.path, FAULTY)
    result = gate(pytester, "--membench-report=out")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*OVER_THRESHOLD small: lost *; lost at: device_faults (0.00 -> *points) on 40 images x 1 seed"]
    )
    assert "lost at: device_faults" in (pytester.path / "out/summary.md").read_text()


def test_a_case_that_regressed_names_the_step(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change on purpose: the ADC has 2 bits, where the case and its baseline have 8."""
    from membench.engines.vectorized import VectorizedEngine

    case = make_case(conversion=Conversion(adc=ADC(bits=8)), images=100, thresholds=Thresholds(max_loss_points=100))
    declare(pytester.path, case)
    accept(pytester.path, case)
    convert = VectorizedEngine.convert

    def coarse(self: VectorizedEngine, model: object, conversion: Conversion, *rest: object) -> object:
        changed = conversion.replace(adc=ADC(bits=2)) if conversion.adc else conversion
        return convert(self, model, changed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorizedEngine, "convert", coarse)
    result = gate(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*REGRESSED small: *; lost at: ADC (0.00 -> *"])


@pytest.mark.slow
def test_a_worker_tells_the_step_to_the_controller(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, FAULTY, case.replace(name="fine"), conftest=TINY)
    accept(pytester.path, case.replace(name="fine"))
    result = pytester.runpytest_subprocess("benchmarks", "-n", "2", timeout=300)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*OVER_THRESHOLD small: *; lost at: device_faults (*"])


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    declare(pytester.path, FAULTY)
    result = gate(pytester, "--membench-no-explain")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*OVER_THRESHOLD small: lost *"])
    assert "lost at" not in result.stdout.str()


@pytest.mark.parametrize("error", [InputError("no way to tell"), ZeroDivisionError("a bug in the explanation")])
def test_an_explanation_that_fails_changes_no_verdict(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*arguments: object, **named: object) -> str:
        raise error

    monkeypatch.setattr("membench.gate.lost_at", fails)
    declare(pytester.path, FAULTY)
    result = gate(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*OVER_THRESHOLD small: lost *; it could not be explained: *{error}"])


def test_cases_that_fail_otherwise_and_green_ones_are_not_explained(
    pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("membench.gate.lost_at", lambda *arguments, **named: pytest.fail("nothing was to be explained"))
    declare(pytester.path, case, case.replace(name="new"))
    accept(pytester.path, case)
    result = gate(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*NO_BASELINE new: *"])
    assert "could not be explained" not in result.stdout.str()
