"""The pytest plugin: `pytest benchmarks/` is the gate.

Two fixtures, one option prefix. A test that takes `membench_case` runs once for each declared case; `membench_gate` measures
the case, judges it, and fails or skips the test. In the end: a table, the reasons, a report, and an exit code other than 0
when any verdict is not green. With `--membench-gate` every declared case owes an outcome, however the tests were chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from membench.case import DEFAULT_ENGINE, Case
from membench.pytest_gate import CASE, COMPARISON, Gate, end_test


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("membench", "accuracy on memristive hardware")
    group.addoption(
        "--membench-gate",
        action="store_true",
        help="for CI: every declared case must be measured and green, however tests are chosen (-k, -m, paths); and every baseline "
        "must have a case. Only --membench-case narrows it",
    )
    group.addoption(
        "--membench-engine",
        default=DEFAULT_ENGINE,
        metavar="NAME",
        help=f"engine that executes the cases (default: {DEFAULT_ENGINE})",
    )
    group.addoption(
        "--membench-images", type=int, metavar="N", help="measure N images of each case; compared with its baseline's first N"
    )
    group.addoption(
        "--membench-seeds", type=int, metavar="N", help="measure the first N seeds of each case; compared with its baseline's"
    )
    group.addoption(
        "--membench-case", action="append", default=[], metavar="NAME", help="run this case only (may be given again)"
    )
    group.addoption(
        "--membench-report", type=_folder, metavar="DIR", help="write each record as JSON and a Markdown summary to DIR"
    )
    group.addoption("--membench-threads", type=int, default=1, metavar="N", help="torch threads while measuring (default: 1)")
    group.addoption(
        "--membench-device", default="cpu", metavar="NAME", help="where the networks run: cpu, cuda, cuda:1 (default: cpu)"
    )
    group.addoption(
        "--membench-allow-skip",
        action="store_true",
        help="do not fail on a case whose data set is not on this machine; it is shown as SKIPPED with the command that gets it",
    )
    group.addoption(
        "--membench-no-explain",
        action="store_true",
        help="do not look for the step at which a case that lost too much lost its accuracy",
    )
    parser.addini("membench_cases", "folders of declared cases", type="paths", default=None)
    parser.addini("membench_baselines", "folder of baselines (default: baselines)", default="baselines")


def _folder(text: str) -> Path:
    """An empty name is a shell variable that is not set; as a path it would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def pytest_configure(config: pytest.Config) -> None:
    gate = Gate(config)
    gate.prepare()
    config.pluginmanager.register(gate, "membench-gate")


@pytest.fixture
def membench_case(request: pytest.FixtureRequest) -> Case:
    """A declared case: the test runs once for each."""
    case: Case = request.param
    return case


@pytest.fixture
def membench_gate(request: pytest.FixtureRequest) -> Callable[[Case], None]:
    """Measure a case and judge it: fails unless the verdict is green, skips where the data set is missing."""
    gate: Gate = request.config.pluginmanager.get_plugin("membench-gate")  # type: ignore[assignment]

    def check(case: Case) -> None:
        outcome = gate.run(case)
        gate.keep(request.node, CASE, outcome)
        request.node.user_properties += outcome.properties()
        end_test(outcome)

    return check


@pytest.fixture
def membench_parity(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Run a few images of a declared case on MemTorch too: fails, naming the layer, unless this session's engine gives the same.

    Skips where the data set is missing, and where there is nothing to compare; the summary names both.
    """
    gate: Gate = request.config.pluginmanager.get_plugin("membench-gate")  # type: ignore[assignment]

    def check(name: str) -> None:
        outcome, found = gate.compare(name)
        gate.keep(request.node, COMPARISON, outcome)
        if found is not None:
            print(found)  # pytest shows it where the test fails
        end_test(outcome)

    return check
