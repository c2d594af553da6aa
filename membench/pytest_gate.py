"""One pytest session as a gate: which cases owe an outcome, what became of them, and what is told of it."""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from membench.case import Case
from membench.errors import MembenchError
from membench.suite import Suite, load_suite

if TYPE_CHECKING:
    from membench.grace import KnownFailure
    from membench.outcome import Outcome
    from membench.report.github import Place

HEARTBEAT_S = 20.0
SELECTED = "membench_selected"  # what a worker of xdist tells at its end
NOT_SELECTED = (
    "the case is declared, and no test ran it (-k, -m, --deselect, a path, or no test takes membench_case); with --membench-gate only "
    "--membench-case narrows the choice"
)


class Gate:
    """One pytest session: which cases owe an outcome, and what became of them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.engine: str = config.getoption("membench_engine")
        self.strict: bool = config.getoption("membench_gate")
        self.report: Path | None = config.getoption("membench_report")
        self.selected: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.problem = ""
        self.closed = False

    def prepare(self) -> None:
        """Before any test runs: refuse what could not be judged, and forget an earlier run's summary.

        A process that ends early then leaves no summary, which is how CI tells.
        """
        if self.config.option.collectonly:
            raise pytest.UsageError(
                "--membench-gate and --collect-only exclude each other: the gate would be open, and nothing measured"
            )
        self._check_images(self.cases())
        _ = self.known
        if self.report is not None and not hasattr(self.config, "workerinput"):
            with suppress(OSError):  # writing it will tell
                (self.report / "summary.md").unlink(missing_ok=True)

    @property
    def folders(self) -> list[Path]:
        """Where cases are declared."""
        return self.config.getini("membench_cases") or [self.config.rootpath / "benchmarks" / "cases"]

    @property
    def baselines(self) -> Path:
        """Where baselines are kept."""
        folder: Path = self.config.rootpath / self.config.getini("membench_baselines")
        return folder

    @cached_property
    def suite(self) -> Suite:
        try:
            return load_suite(self.folders)
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error

    @cached_property
    def known(self) -> tuple[KnownFailure, ...]:
        """Failures that are let through for a while."""
        from membench.grace import FILE, load_known_failures

        try:
            return load_known_failures(self.baselines / FILE, [case.name for case in self.suite], _today())
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error

    def cases(self) -> list[Case]:
        """The declared cases, narrowed by --membench-case, --membench-images and --membench-seeds."""
        option = self.config.getoption
        from membench.datasets import check_images

        chosen, images, seeds = option("membench_case"), option("membench_images"), option("membench_seeds")
        try:
            cases = [self.suite.get(name) for name in chosen] if chosen else list(self.suite)
            cases = [case.replace(images=images or case.images, seeds=case.seeds[:seeds]) for case in cases]
            check_images(cases)
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error
        return cases

    def run(self, case: Case) -> Outcome:
        from membench.baselines import BaselineStore
        from membench.gate import run_and_judge
        from membench.grace import with_grace

        with self.progress(case.name) as progress:
            outcome = run_and_judge(
                case,
                self.engine,
                BaselineStore(self.baselines),
                threads=self.config.getoption("membench_threads"),
                device=self.config.getoption("membench_device"),
                progress=progress,
                explain_failure=not self.config.getoption("membench_no_explain"),
            )
        return with_grace(outcome, self.known, _today())

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "membench_case" in metafunc.fixturenames:
            cases = self.cases()
            metafunc.parametrize("membench_case", cases, indirect=True, ids=[case.name for case in cases])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which cases were selected. A test that takes a case to time it owes no verdict."""
        for item in session.items:
            if isinstance(item, pytest.Function) and {"membench_case", "membench_gate"} <= set(item.fixturenames):
                case: Case = item.callspec.params["membench_case"]  # type: ignore[assignment]
                self._select([case.name])
        if self.selected and not self.config.option.collectonly:
            self._check_images([case for case in self.cases() if case.name in self.selected])

    def _check_images(self, cases: list[Case]) -> None:
        """Before the first case is measured: read the data sets that do not declare how many test images they have.

        A worker of xdist leaves it to the controller, which does so with --membench-gate; without, each case says so itself.
        """
        from membench.datasets import check_images

        if hasattr(self.config, "workerinput"):
            return
        try:
            check_images(cases, read=True)
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error

    def _select(self, names: Sequence[str]) -> None:
        self.selected += [name for name in names if name not in self.selected]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """With xdist, the workers collect; each tells at its end what it had selected."""
        self._select(getattr(node, "workeroutput", {}).get(SELECTED, []))

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """pytest-benchmark's JSON tells versions and machine as records do, so that its comparison warns where they differ."""
        if "torch" in sys.modules:  # else nothing of membench was timed
            from membench.measure.machine import provenance

            machine_info["membench"] = provenance().model_dump(mode="json", exclude={"created"})

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """A test that times a declared case tells which, in pytest-benchmark's JSON."""
        if isinstance(item, pytest.Function) and {"benchmark", "membench_case"} <= set(item.funcargs):
            case: Any = item.funcargs["membench_case"]
            benchmark: Any = item.funcargs["benchmark"]
            benchmark.extra_info.update(case=case.name, fingerprint=case.fingerprint)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report: Any = yield
        outcomes: list[Outcome] = getattr(item, "membench_outcomes", [])
        if report.when == "call" and outcomes:
            report.membench = [
                outcome.packed() for outcome in outcomes
            ]  # plain data, so that xdist carries it to the controller
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from membench.outcome import Outcome, worse

        for packed in getattr(report, "membench", []):
            outcome = Outcome.unpacked(packed)
            self.outcomes[outcome.name] = worse(self.outcomes.get(outcome.name, outcome), outcome)

    def absent(self) -> list[Outcome]:
        """An ERROR for each case that owes an outcome and gave none, and with --membench-gate for each baseline without a case."""
        from membench.baselines import BaselineStore
        from membench.outcome import NEVER_RUN, unaccounted, undeclared

        owed = dict.fromkeys(self.selected, NEVER_RUN)
        lost: list[Outcome] = []
        if self.strict:
            owed |= {case.name: NOT_SELECTED for case in self.cases() if case.name not in owed}
            if not self.config.getoption("membench_case"):
                lost = undeclared(
                    BaselineStore(self.baselines).cases(self.engine), [case.name for case in self.suite], self.engine
                )
        return [*unaccounted(owed, list(self.outcomes.values()), self.engine), *lost]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Around all others: what is absent is reported before JUnit's file is written, and no other plugin opens the gate again."""
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput[SELECTED] = self.selected  # type: ignore[attr-defined]
        elif not self.config.option.collectonly:
            self._settle(session)
        yield
        if self.closed and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _settle(self, session: pytest.Session) -> None:
        from membench.report import write_report
        from membench.report.github import add_to_summary
        from membench.report.markdown import markdown

        for outcome in self.absent():
            self.outcomes[outcome.name] = outcome
            self._fail(outcome)
        if not self.outcomes:
            return
        order = {case.name: place for place, case in enumerate(self.suite)}
        self.outcomes = dict(sorted(self.outcomes.items(), key=lambda item: order.get(item[0], len(order))))
        outcomes = list(self.outcomes.values())
        summary = os.environ.get("GITHUB_STEP_SUMMARY") if self.strict else None
        try:
            if self.report is not None:
                write_report(self.report, outcomes, self.engine)
            if summary:
                add_to_summary(Path(summary), markdown(outcomes, self.engine))
        except MembenchError as error:
            self.problem = f"The report could not be written: {error}"
        self.closed = bool(self.failures() or self.problem)

    def failures(self) -> list[Outcome]:
        """What closes the gate."""
        from membench.outcome import gate_failures

        return gate_failures(list(self.outcomes.values()), self.config.getoption("membench_allow_skip"))

    def place(self, name: str) -> Place:
        """Where a case is declared; its baseline, where it is not."""
        from membench.baselines import BaselineStore
        from membench.report.github import Place

        declared = self.suite.declared_as(name)
        file = declared.file if declared else BaselineStore(self.baselines).path(self.engine, name)
        root = self.config.rootpath
        return Place(
            file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file), declared.line if declared else 1
        )

    def _fail(self, outcome: Outcome) -> None:
        """A failed test for a case of which nothing came, so that it is in JUnit's file and among the failures."""
        place = self.place(outcome.name)
        report = pytest.TestReport(
            nodeid=f"{place.file}::{outcome.name}",
            location=(place.file, place.line, outcome.name),
            keywords={},
            outcome="failed",
            longrepr=f"{outcome.verdict.status}: {outcome.verdict.reason}",
            when="call",
        )
        self.config.hook.pytest_runtest_logreport(report=report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.outcomes:
            return
        from membench.report.github import annotate
        from membench.report.table import reasons, table

        outcomes = list(self.outcomes.values())
        say = terminalreporter
        say.section(f"membench: {len(outcomes)} cases on engine {self.engine}")
        say.write_line(table(outcomes))
        say.write_line("")
        for line in reasons(outcomes):
            say.write_line(line, red=True)
        bad = self.failures()
        if self.problem:
            say.write_line(self.problem, red=True)
        if bad:
            say.write_line(f"The gate is closed: {len(bad)} of {len(outcomes)} cases are not green.", red=True, bold=True)
        elif not self.problem:
            excused = sum(bool(outcome.excused) for outcome in outcomes)
            skipped = sum(not outcome.verdict.green for outcome in outcomes) - excused
            notes = [f"{skipped} skipped, as --membench-allow-skip allows"] if skipped else []
            notes += [f"{excused} known failures let through"] if excused else []
            note = f" ({'; '.join(notes)})" if notes else ""
            green = len(outcomes) - skipped - excused
            say.write_line(f"The gate is open: {green} cases are green{note}.", green=True, bold=True)
        if self.strict and os.environ.get("GITHUB_ACTIONS") == "true":
            for line in annotate(outcomes, {outcome.name: self.place(outcome.name) for outcome in outcomes}):
                say.write_line(line)

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


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
