"""`pytest benchmarks/` in a user's repository: green when it should be, red for every way of not being measured."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import make_case
from repository import TINY, accept, declare

from membench import ADC, Case, DeviceFaults
from membench.errors import EnvironmentProblemError
from membench.record import Baseline, Record, load, save


def gate(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("benchmarks", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


def verdicts(result: pytest.RunResult) -> dict[str, str]:
    """The last word of each case's row in the summary table."""
    lines = result.outlines[next(i for i, line in enumerate(result.outlines) if "membench:" in line) :]
    return {
        line.split()[0]: line.split()[-1] for line in lines if line.split()[:1] in (["one"], ["two"], ["small"], ["absent"])
    }


def test_green(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    declare(pytester.path, *pair)
    accept(pytester.path, *pair)
    result = gate(pytester, "--membench-report=out", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    assert verdicts(result) == {"one": "PASS", "two": "PASS"}
    result.stdout.fnmatch_lines(["*loss, points*", "*The gate is open: 2 cases are green.*"])
    assert load(Record, pytester.path / "out/records/vectorized/one.json").case == pair[0]
    assert "| one " in (pytester.path / "out/summary.md").read_text()
    assert 'tests="2"' in (pytester.path / "junit.xml").read_text()


def test_no_baseline_is_red_and_says_how_to_accept(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    result = gate(pytester)
    assert result.ret == 1
    assert verdicts(result) == {"small": "NO_BASELINE"}
    result.stdout.fnmatch_lines(["*membench baseline update small --engine vectorized --reason*"])


def test_a_mapping_that_is_scaled_in_one_layer_is_red(
    pytester: pytest.Pytester, pair: tuple[Case, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change on purpose: after tuning, the conductances of one layer are 0.9 of what they were. No image need flip."""
    from membench.engines.vectorized import VectorizedNetwork

    declare(pytester.path, *pair)
    accept(pytester.path, *pair)
    tune = VectorizedNetwork.tune

    def scaled(self: VectorizedNetwork, *arguments: object) -> None:
        tune(self, *arguments)  # type: ignore[arg-type]
        self.network.get_submodule("0").conductance.mul_(0.9)

    monkeypatch.setattr(VectorizedNetwork, "tune", scaled)
    result = gate(pytester)
    assert result.ret == 1
    assert verdicts(result) == {"one": "REGRESSED", "two": "REGRESSED"}
    result.stdout.fnmatch_lines(["*The gate is closed: 2 of 2 cases are not green.*"])


def test_a_loss_beyond_the_threshold_is_red_whatever_the_baseline(pytester: pytest.Pytester, case: Case) -> None:
    broken = case.replace(nonidealities=(DeviceFaults(hrs_proportion=1.0),))
    declare(pytester.path, broken)
    result = gate(pytester)
    assert result.ret == 1
    assert verdicts(result) == {"small": "OVER_THRESHOLD"}


def test_a_changed_case_is_red_until_its_baseline_is_accepted_anew(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case.replace(conversion=case.conversion.replace(adc=ADC(bits=8))))
    accept(pytester.path, case)
    result = gate(pytester)
    assert result.ret == 1
    assert verdicts(result) == {"small": "STALE_BASELINE"}
    result.stdout.fnmatch_lines(["*the case changed since: conversion*"])


def test_fewer_images_are_compared_with_the_beginning_of_the_baseline(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    accept(pytester.path, case)
    assert verdicts(gate(pytester, "--membench-images=20")) == {"small": "PASS"}
    more = gate(pytester, "--membench-images=60")
    assert (more.ret, verdicts(more)) == (1, {"small": "STALE_BASELINE"})


@pytest.mark.parametrize("edit", ["accuracy", "truncate", "copy"])
def test_a_baseline_that_was_tampered_with_is_red(pytester: pytest.Pytester, pair: tuple[Case, Case], edit: str) -> None:
    declare(pytester.path, pair[1])
    accept(pytester.path, *pair)
    file = pytester.path / "baselines/vectorized/two.json"
    text = file.read_text()
    if edit == "accuracy":
        content = json.loads(text)
        content["record"]["measured"]["accuracy"] = 0.01
        file.write_text(json.dumps(content))
    elif edit == "truncate":
        file.write_text(text[: len(text) // 2])
    else:
        file.write_text((file.parent / "one.json").read_text())
    result = gate(pytester)
    assert (result.ret, verdicts(result)) == (1, {"two": "ERROR"})
    result.stdout.fnmatch_lines(["*two.json*"])


def test_missing_data_skip_with_the_command_and_are_red_unless_allowed(
    pytester: pytest.Pytester, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(pytester.path, case, make_case(name="absent", dataset="cifar10"))
    accept(pytester.path, case)
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "empty"))
    strict = gate(pytester, "-rs")
    strict.assert_outcomes(passed=1, skipped=1)
    assert (strict.ret, verdicts(strict)) == (1, {"small": "PASS", "absent": "SKIPPED"})
    strict.stdout.fnmatch_lines(["*SKIPPED*membench data get cifar10*"])
    allowed = gate(pytester, "--membench-allow-skip")
    assert (allowed.ret, verdicts(allowed)) == (0, {"small": "PASS", "absent": "SKIPPED"})
    allowed.stdout.fnmatch_lines(["*1 case is green (1 skipped, as --membench-allow-skip allows)*"])


def test_a_crash_in_one_case_is_its_verdict_and_the_rest_goes_on(
    pytester: pytest.Pytester, pair: tuple[Case, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    from membench.engines.vectorized import VectorizedNetwork

    declare(pytester.path, *pair)
    accept(pytester.path, *pair)
    infer = VectorizedNetwork.infer
    calls = iter(range(1000))

    def crash(self: VectorizedNetwork, images: object) -> object:
        if next(calls) == 0:
            raise ZeroDivisionError("a bug in a simulator")
        return infer(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorizedNetwork, "infer", crash)
    result = gate(pytester)
    assert (result.ret, verdicts(result)) == (1, {"one": "ERROR", "two": "PASS"})
    result.stdout.fnmatch_lines(["*ZeroDivisionError: a bug in a simulator (at *"])


def test_selection_by_name_and_by_keyword(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    declare(pytester.path, *pair)
    accept(pytester.path, *pair)
    assert verdicts(gate(pytester, "--membench-case=two")) == {"two": "PASS"}
    assert verdicts(gate(pytester, "-k", "one")) == {"one": "PASS"}


def test_an_empty_selection_is_red(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    assert gate(pytester, "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--membench-case=smal",), "There is no case 'smal'"),
        (("--membench-images=0",), "--membench-images must be 1 or more"),
        (("--membench-threads=100000",), "--membench-threads must be 1 to 1024"),
        (("--membench-seeds=6",), "--membench-seeds 6: no case has more than 1 seed"),
        (("--membench-engine=memtorh",), "no engine 'memtorh'. Did you mean 'memtorch'"),
        (("--membench-device=gpu",), "There is no device 'gpu'"),
        (("--membench-device=cuda:99",), "The device 'cuda:99' cannot be used here"),
        (("--membench-engine=memtorch", "--membench-device=cuda"), "The engine memtorch runs on the CPU only"),
        (("--membench-report=",), "--membench-report: the name of the folder is empty"),
    ],
)
@pytest.mark.parametrize("strict", [(), ("--membench-gate",)])
def test_bad_options_are_usage_errors_before_anything_is_measured(
    pytester: pytest.Pytester,
    case: Case,
    arguments: tuple[str, ...],
    words: str,
    strict: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("membench.gate.run_case", lambda *_, **__: pytest.fail("it was measured"))
    declare(pytester.path, case)
    result = gate(pytester, *arguments, *strict)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    printed = result.stdout.str() + result.stderr.str()
    assert words in printed
    assert "Traceback" not in printed
    assert "INTERNALERROR" not in printed


def test_a_suite_without_cases_is_red(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    (pytester.path / "benchmarks/cases/mine.py").write_text("CASES = []\n")
    result = gate(pytester)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "No case is declared" in result.stdout.str() + result.stderr.str()


def test_an_unwritable_report_is_refused_before_anything_is_measured(
    pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("membench.gate.run_case", lambda *_, **__: pytest.fail("it was measured"))
    declare(pytester.path, case)
    (pytester.path / "out").write_text("a file where the folder should be")
    result = gate(pytester, "--membench-report=out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--membench-report: out cannot be a folder: out is not one*"])


def test_a_report_that_cannot_be_written_at_the_end_is_red(
    pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise EnvironmentProblemError("Cannot write summary.md: No space left on device.")

    declare(pytester.path, case)
    accept(pytester.path, case)
    monkeypatch.setattr("membench.report.write.save", full)
    result = gate(pytester, "--membench-report=out")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*The report could not be written: *No space left*"])


def test_the_digital_engine_has_its_own_baselines(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    accept(pytester.path, case, engine="digital")
    assert verdicts(gate(pytester, "--membench-engine=digital")) == {"small": "PASS"}
    assert verdicts(gate(pytester)) == {"small": "NO_BASELINE"}


def test_stop_at_the_first_failure(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    declare(pytester.path, *pair)
    result = gate(pytester, "-x")
    result.assert_outcomes(failed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*two*ERROR*", "*ERROR two: the case was declared and gave no record*"])


def test_what_is_absent_does_not_bring_the_progress_beyond_100_percent(
    pytester: pytest.Pytester, pair: tuple[Case, Case]
) -> None:
    declare(pytester.path, *pair)
    accept(pytester.path, pair[0])
    shown = re.findall(r"\[ *(\d+)%\]", gate(pytester, "--membench-gate", "-k", "one").stdout.str())
    assert shown
    assert all(int(percent) <= 100 for percent in shown)


@pytest.mark.parametrize("workers", [("-p", "no:xdist"), ("-n", "1")])
def test_a_project_without_cases_is_left_alone(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """The plugin is loaded wherever membench is installed."""
    pytester.makepyfile("import pytest\n\n@pytest.mark.parametrize('number', [1, 2])\ndef test(number):\n    assert number\n")
    result = pytester.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    assert "membench:" not in result.stdout.str()


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    declare(pytester.path, *pair, conftest=TINY)
    accept(pytester.path, *pair)
    result = pytester.runpytest_subprocess("benchmarks", "-n", "2", "--membench-report=out", timeout=300)
    result.assert_outcomes(passed=2)
    assert (result.ret, verdicts(result)) == (0, {"one": "PASS", "two": "PASS"})
    for case in pair:
        baseline = load(Baseline, pytester.path / f"baselines/vectorized/{case.name}.json")
        record = load(Record, pytester.path / f"out/records/vectorized/{case.name}.json")
        assert record.measured.model_dump_json() == baseline.record.measured.model_dump_json()


@pytest.mark.slow
def test_a_case_whose_worker_dies_is_an_error(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    killer = """
import os
from membench.engines.vectorized import VectorizedEngine
convert = VectorizedEngine.convert
def dies(self, model, conversion, plan, fabrication, seed, progress):
    if len(os.environ.get("PYTEST_CURRENT_TEST", "").split("[one]")) > 1:
        os._exit(9)
    return convert(self, model, conversion, plan, fabrication, seed, progress)
VectorizedEngine.convert = dies
"""
    declare(pytester.path, *pair, conftest=TINY + killer)
    accept(pytester.path, *pair)
    result = pytester.runpytest_subprocess("benchmarks", "-n", "2", timeout=300)
    assert result.ret == 1
    assert verdicts(result) == {"one": "ERROR", "two": "PASS"}


def test_a_record_kept_in_a_report_can_be_loaded_and_saved_again(pytester: pytest.Pytester, case: Case) -> None:
    declare(pytester.path, case)
    gate(pytester, "--membench-report=out")
    file = pytester.path / "out/records/vectorized/small.json"
    again = save(load(Record, file), pytester.path / "again.json")
    assert again.read_bytes() == file.read_bytes()


def test_what_is_absent_is_in_junit_and_annotated_at_its_declaration(
    pytester: pytest.Pytester, pair: tuple[Case, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    declare(pytester.path, *pair)
    accept(pytester.path, *pair)
    result = gate(pytester, "--membench-gate", "-k", "one", "--junitxml=junit.xml")
    assert (result.ret, verdicts(result)) == (1, {"one": "PASS", "two": "ERROR"})
    result.stdout.fnmatch_lines(["::error file=benchmarks/cases/mine.py,line=?,title=ERROR%3A two::*"])
    tests = {test.get("name"): test for test in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")}
    assert set(tests) == {"test_accuracy[one]", "two"}
    assert "no test ran it" in str(tests["two"].find("failure").get("message"))  # type: ignore[union-attr]
    told = {item.get("name"): item.get("value") for item in tests["test_accuracy[one]"].iter("property")}
    assert told == {
        "membench_verdict": "PASS",
        "membench_loss_points": "0.0000",
        "membench_fingerprint": pair[0].fingerprint,
    }
    assert "ERROR" in (tmp_path / "summary.md").read_text()


def test_without_the_gate_nothing_is_written_for_github(
    pytester: pytest.Pytester, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    declare(pytester.path, case)
    assert gate(pytester).ret == 1
    assert not (tmp_path / "summary.md").exists()


def test_a_known_failure_is_let_through_and_shown(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    broken = pair[0].replace(nonidealities=(DeviceFaults(hrs_proportion=1.0),))
    declare(pytester.path, broken, pair[1])
    accept(pytester.path, pair[1])
    day = datetime.datetime.now(datetime.UTC).date()
    (pytester.path / "baselines/known-failures.toml").write_text(
        f'[[known]]\ncase = "one"\nmax_loss_points = 100\nexpires = {day}\nreason = "All devices are stuck"\n'
    )
    result = gate(pytester, "--membench-gate")
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*OVER_THRESHOLD (known) one:*; known until * All devices are stuck",
            "*The gate is open: 1 case is green (1 known failure let through).*",
        ]
    )


def test_a_test_that_is_named_like_a_case_owes_nothing(pytester: pytest.Pytester, pair: tuple[Case, Case]) -> None:
    declare(pytester.path, *pair, conftest=TINY)
    accept(pytester.path, *pair)
    (pytester.path / "benchmarks/test_other.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('name', ['two'])\ndef test_other(name):\n    assert name\n"
    )
    result = pytester.runpytest_subprocess("benchmarks", "-n", "1", "-k", "one or other", timeout=300)
    assert (result.ret, verdicts(result)) == (0, {"one": "PASS"})
