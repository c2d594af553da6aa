"""The pytest plugin: `pytest benchmarks/` is the gate.

Two fixtures, one option prefix. A test that takes `membench_case` runs once for each declared case; `membench_gate` measures
the case, judges it, and fails or skips the test. In the end: a table, the reasons, a report, and an exit code other than 0
when any verdict is not green. With `--membench-gate` every declared case owes an outcome, however the tests were chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from membench.case import DEFAULT_ENGINE, Case
from membench.pytest_gate import Gate


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
        "--membench-report", type=Path, metavar="DIR", help="write each record as JSON and a Markdown summary to DIR"
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


def pytest_configure(config: pytest.Config) -> None:
    for option in ("images", "seeds", "threads"):
        value = config.getoption(f"membench_{option}")
        if value is not None and value < 1:
            raise pytest.UsageError(f"--membench-{option} must be 1 or more, not {value}")
    gate = Gate(config)
    if gate.strict:
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
        from membench.verdict import Status

        outcome = gate.run(case)
        request.node.membench_outcomes = [*getattr(request.node, "membench_outcomes", []), outcome]
        request.node.user_properties += outcome.properties()
        if outcome.verdict.status is Status.SKIPPED:
            pytest.skip(outcome.verdict.reason)
        said = f"{outcome.verdict.status}: {outcome.verdict.reason}"
        if outcome.excused:
            pytest.xfail(f"{said}; {outcome.excused}")
        if not outcome.verdict.green:
            pytest.fail(said, pytrace=False)

    return check


@pytest.fixture
def membench_parity(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Run a few images of a declared case on MemTorch too: fails, naming the layer, unless this session's engine gives the same."""
    gate: Gate = request.config.pluginmanager.get_plugin("membench-gate")  # type: ignore[assignment]

    def check(name: str) -> None:
        from membench.parity import REFERENCE, compare

        case = next((case for case in gate.cases() if case.name == name), None)
        if case is None:
            pytest.skip(f"{name} is not among the cases chosen")
        if gate.engine in (REFERENCE, "digital"):
            pytest.skip(f"the engine {gate.engine} is not one that should equal {REFERENCE}")
        with gate.progress(name) as progress:
            found = compare(case, engine=gate.engine, progress=progress)
        if found.faults:
            pytest.fail(f"{'; '.join(found.faults)}\n{found}", pytrace=False)

    return check
