"""The pytest plugin: `pytest benchmarks/` is the gate.

Two fixtures, one option prefix. A test that takes `membench_case` runs once for each declared case; `membench_gate` measures
the case, judges it, and fails or skips the test. In the end: a table, the reasons, a report, and an exit code other than 0
when any verdict is not green.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from membench.case import DEFAULT_ENGINE, Case
from membench.errors import MembenchError
from membench.suite import Suite, load_suite

if TYPE_CHECKING:
    from membench.outcome import Outcome

HEARTBEAT_S = 20.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("membench", "accuracy on memristive hardware")
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
    config.pluginmanager.register(Gate(config), "membench-gate")


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
        request.node.membench_outcome = outcome
        if outcome.verdict.status is Status.SKIPPED:
            pytest.skip(outcome.verdict.reason)
        if not outcome.verdict.green:
            pytest.fail(f"{outcome.verdict.status}: {outcome.verdict.reason}", pytrace=False)

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


class Gate:
    """One pytest session: which cases are expected, and what became of them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.engine: str = config.getoption("membench_engine")
        self.expected: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.problem = ""
        self._suite: Suite | None = None

    @property
    def folders(self) -> list[Path]:
        """Where cases are declared."""
        return self.config.getini("membench_cases") or [self.config.rootpath / "benchmarks" / "cases"]

    @property
    def suite(self) -> Suite:
        if self._suite is None:
            try:
                self._suite = load_suite(self.folders)
            except MembenchError as error:
                raise pytest.UsageError(str(error)) from error
        return self._suite

    def cases(self) -> list[Case]:
        """The declared cases, narrowed by --membench-case, --membench-images and --membench-seeds."""
        option = self.config.getoption
        chosen, images, seeds = option("membench_case"), option("membench_images"), option("membench_seeds")
        try:
            cases = [self.suite.get(name) for name in chosen] if chosen else list(self.suite)
            return [case.replace(images=images or case.images, seeds=case.seeds[:seeds]) for case in cases]
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error

    def run(self, case: Case) -> Outcome:
        from membench.baselines import BaselineStore
        from membench.gate import run_and_judge

        store = BaselineStore(self.config.rootpath / self.config.getini("membench_baselines"))
        with self.progress(case.name) as progress:
            return run_and_judge(
                case,
                self.engine,
                store,
                threads=self.config.getoption("membench_threads"),
                device=self.config.getoption("membench_device"),
                progress=progress,
                explain_failure=not self.config.getoption("membench_no_explain"),
            )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "membench_case" in metafunc.fixturenames:
            cases = self.cases()
            metafunc.parametrize("membench_case", cases, indirect=True, ids=[case.name for case in cases])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which cases were selected: each owes an outcome."""
        self._expect([item.nodeid for item in session.items if "membench_case" in getattr(item, "fixturenames", ())])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """With xdist, the workers collect and this process only counts. In a project without cases it keeps out of the way."""
        if all(folder.is_dir() for folder in self.folders):
            self._expect(ids)

    def _expect(self, ids: list[str]) -> None:
        for nodeid in ids:
            found = re.search(r"\[([^\]]+)\]$", nodeid)
            if found and found[1] not in self.expected and found[1] in {case.name for case in self.suite}:
                self.expected.append(found[1])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report: Any = yield
        outcome: Outcome | None = getattr(item, "membench_outcome", None)
        if report.when == "call" and outcome is not None:
            report.membench = _packed(outcome)  # plain data, so that xdist carries it to the controller
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        packed = getattr(report, "membench", None)
        if packed is not None:
            outcome = _unpacked(packed)
            self.outcomes[outcome.name] = outcome

    def all_outcomes(self) -> list[Outcome]:
        """In the order of the suite, with an ERROR for each case that owes an outcome."""
        from membench.outcome import unaccounted

        every = [*self.outcomes.values(), *unaccounted(self.expected, list(self.outcomes.values()), self.engine)]
        return sorted(every, key=lambda outcome: self.expected.index(outcome.name) if outcome.name in self.expected else -1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.expected or hasattr(self.config, "workerinput") or self.config.option.collectonly:
            return
        from membench.outcome import gate_failures
        from membench.report import write_report

        outcomes = self.all_outcomes()
        bad = gate_failures(outcomes, self.config.getoption("membench_allow_skip"))
        folder: Path | None = self.config.getoption("membench_report")
        if folder is not None:
            try:
                write_report(folder, outcomes, self.engine)
            except MembenchError as error:
                self.problem = f"The report could not be written: {error}"
        if (bad or self.problem) and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.expected or self.config.option.collectonly:
            return
        from membench.outcome import gate_failures
        from membench.report.table import reasons, table

        outcomes = self.all_outcomes()
        say = terminalreporter
        say.section(f"membench: {len(outcomes)} cases on engine {self.engine}")
        say.write_line(table(outcomes))
        say.write_line("")
        for line in reasons(outcomes):
            say.write_line(line, red=True)
        bad = gate_failures(outcomes, self.config.getoption("membench_allow_skip"))
        if self.problem:
            say.write_line(self.problem, red=True)
        if bad:
            say.write_line(f"The gate is closed: {len(bad)} of {len(outcomes)} cases are not green.", red=True, bold=True)
        elif not self.problem:
            skipped = sum(not outcome.verdict.green for outcome in outcomes)
            note = f" ({skipped} skipped, as --membench-allow-skip allows)" if skipped else ""
            say.write_line(f"The gate is open: {len(outcomes) - skipped} cases are green{note}.", green=True, bold=True)

    @contextmanager
    def progress(self, name: str) -> Iterator[Callable[[str, int, int], None] | None]:
        """Live progress past pytest's capture: a bar on a terminal, a line every 20 s elsewhere, nothing on xdist's workers."""
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if hasattr(self.config, "workerinput") or capture is None:
            yield None
            return
        last = time.monotonic()
        tty = sys.__stderr__ is not None and sys.__stderr__.isatty()

        def tell(what: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < (0.2 if tty else HEARTBEAT_S):
                return
            last = now
            line = f"  {name}: {what} {done}/{total}"
            with capture.global_and_fixture_disabled():
                print(f"\r\033[K{line}" if tty else f"\n{line}", end="", file=sys.stderr, flush=True)

        try:
            yield tell
        finally:
            if tty:
                with capture.global_and_fixture_disabled():
                    print("\r\033[K", end="", file=sys.stderr, flush=True)


def _packed(outcome: Outcome) -> str:
    return json.dumps(
        {
            "name": outcome.name,
            "engine": outcome.engine,
            "status": str(outcome.verdict.status),
            "reason": outcome.verdict.reason,
            "record": outcome.record.model_dump_json() if outcome.record else None,
            "baseline": outcome.baseline.model_dump_json() if outcome.baseline else None,
        }
    )


def _unpacked(packed: str) -> Outcome:
    from membench.outcome import Outcome
    from membench.record import Baseline, Record
    from membench.verdict import Status, Verdict

    content = json.loads(packed)
    return Outcome(
        name=content["name"],
        engine=content["engine"],
        verdict=Verdict(Status(content["status"]), content["reason"]),
        record=Record.from_json(content["record"], "a worker's record") if content["record"] else None,
        baseline=Baseline.from_json(content["baseline"], "a worker's baseline") if content["baseline"] else None,
    )
