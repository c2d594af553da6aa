"""pytest-benchmark beside membench: its JSON tells machine and case, and its comparison works."""

from __future__ import annotations

import json

import pytest
from repository import declare

from membench import Case

TIMED = """
def test_simulated(membench_case, benchmark):
    benchmark.pedantic(lambda: sum(range(1000)), rounds=3)
"""


@pytest.fixture
def timed(pytester: pytest.Pytester, case: Case, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # the one that runs this test: pytest-benchmark would not measure
    declare(pytester.path, case)
    (pytester.path / "benchmarks/test_accuracy.py").unlink()
    (pytester.path / "benchmarks/test_timed.py").write_text(TIMED)
    return pytester


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("benchmarks/test_timed.py", "-p", "no:xdist", "-p", "no:cacheprovider", *options)


def test_the_json_tells_machine_and_case(timed: pytest.Pytester, case: Case) -> None:
    run(timed, "--benchmark-json=speed.json")
    content = json.loads((timed.path / "speed.json").read_text())
    assert content["machine_info"]["membench"]["machine"]["cores"]
    assert content["machine_info"]["membench"]["versions"]["torch"]
    (one,) = content["benchmarks"]
    assert one["extra_info"] == {"case": "small", "fingerprint": case.fingerprint}


def test_a_comparison_with_an_earlier_run(timed: pytest.Pytester) -> None:
    run(timed, "--benchmark-save=before")
    (file,) = timed.path.glob(".benchmarks/*/0001_before.json")
    same = run(timed, "--benchmark-compare=0001")
    same.stdout.fnmatch_lines_random(["test_simulated*small*NOW*", "test_simulated*small*0001_before*"])
    assert "machine_info is different" not in same.stdout.str() + same.stderr.str()
    text = file.read_text().replace('"cores": "', '"cores": "9')
    file.write_text(text)
    other = run(timed, "--benchmark-compare=0001")
    assert "Benchmark machine_info is different" in other.stdout.str() + other.stderr.str()
