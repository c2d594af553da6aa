"""One pytest session as a gate: which cases owe an outcome, what became of them, and what is told of it."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from membench.case import DEFAULT_ENGINE, MOST_THREADS, Case
from membench.errors import DataMissingError, InputError, MembenchError
from membench.pytest_progress import live_progress
from membench.suite import Suite, load_suite
from membench.words import counted

if TYPE_CHECKING:
    from membench.grace import KnownFailure
    from membench.outcome import Outcome
    from membench.parity import Parity
    from membench.report.github import Place

SELECTED = "membench_selected"  # what a worker of xdist tells at its end
FIXTURES = {"membench_case", "membench_gate", "membench_parity"}
# Options that ask for something of the gate, with their defaults.
OPTIONS: dict[str, object] = {
    "engine": DEFAULT_ENGINE,
    "device": "cpu",
    "images": None,
    "seeds": None,
    "case": [],
    "report": None,
}
# Kinds of outcomes.
CASE = "case"  # of a declared case, from membench_gate
COMPARISON = "comparison"  # with the reference, from membench_parity
LACKING = "lacking"  # of any other test that lacked its data
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
        self.kept: dict[str, dict[str, Outcome]] = {CASE: {}, COMPARISON: {}, LACKING: {}}
        self.seen: set[str] = set()  # tests that pytest has counted
        self.problem = ""
        self.closed = False

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Of the declared cases, by name."""
        return self.kept[CASE]

    @property
    def others(self) -> list[Outcome]:
        """Of comparisons with the reference, and of tests that lacked their data."""
        compared = [replace(outcome, name=f"comparison of {name}") for name, outcome in self.kept[COMPARISON].items()]
        return [*compared, *self.kept[LACKING].values()]

    def prepare(self) -> None:
        """Before any test runs: refuse what was asked for and cannot be done, and forget an earlier run's summary.

        A process that ends early then leaves no summary, which is how CI tells. Without --membench-gate and with no option given, it
        does nothing: the plugin is loaded wherever membench is installed.
        """
        option = self.config.getoption
        self._check_numbers()
        if self.strict and self.config.option.collectonly:
            raise pytest.UsageError(
                "--membench-gate and --collect-only exclude each other: the gate would be open, and nothing measured"
            )
        if not self.strict and all(option(f"membench_{name}") == default for name, default in OPTIONS.items()):
            return
        self._check_images(self.cases())
        _ = self.known
        from membench.pipeline import usable
        from membench.storage import check_writable

        try:
            usable(self.engine, option("membench_device"))
            if self.report is not None and not hasattr(self.config, "workerinput"):
                check_writable(self.report, "--membench-report")
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error
        if self.strict and self.report is not None and not hasattr(self.config, "workerinput"):
            with suppress(OSError):  # writing it will tell
                (self.report / "summary.md").unlink(missing_ok=True)

    def _check_numbers(self) -> None:
        for name, most in (("images", None), ("seeds", None), ("threads", MOST_THREADS)):
            value = self.config.getoption(f"membench_{name}")
            if value is not None and not 1 <= value <= (most or value):
                allowed = f"1 to {most}" if most else "1 or more"
                raise pytest.UsageError(f"--membench-{name} must be {allowed}, not {value}")

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
            if seeds is not None and seeds > (most := max(len(case.seeds) for case in cases)):
                raise InputError(f"--membench-seeds {seeds}: no case has more than {counted(most, 'seed')}. Ask for fewer.")
            cases = [case.replace(images=images or case.images, seeds=case.seeds[:seeds]) for case in cases]
            check_images(cases)
        except MembenchError as error:
            raise pytest.UsageError(str(error)) from error
        return cases

    def run(self, case: Case) -> Outcome:
        from membench.baselines import BaselineStore
        from membench.gate import run_and_judge
        from membench.grace import with_grace

        with live_progress(self.config, case.name) as progress:
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

    def compare(self, name: str) -> tuple[Outcome, Parity | None]:
        """Run a few images of a case on the reference too. Where there is nothing to compare, an outcome that is excused says so."""
        from membench.gate import compare_and_judge
        from membench.outcome import Outcome
        from membench.parity import REFERENCE
        from membench.verdict import Status, Verdict

        case = next((case for case in self.cases() if case.name == name), None)
        reason = ""
        if case is None:
            self.suite.get(name)
            reason = "not among the cases chosen (--membench-case)"
        elif self.engine in (REFERENCE, "digital"):
            reason = f"the engine {self.engine} is not one that should equal {REFERENCE}"
        if case is None or reason:
            return Outcome(name, self.engine, Verdict(Status.SKIPPED, reason), excused=reason), None
        with live_progress(self.config, name) as progress:
            return compare_and_judge(case, self.engine, progress=progress)

    def keep(self, item: pytest.Item, kind: str, outcome: Outcome) -> None:
        """Give an outcome to the test's next report, which xdist carries to the controller."""
        kept: list[tuple[str, str]] = item.__dict__.setdefault("membench_kept", [])
        kept.append((kind, outcome.packed()))

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

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        with self._skipped_without_data(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """A test that times a declared case tells which, in pytest-benchmark's JSON."""
        if isinstance(item, pytest.Function) and {"benchmark", "membench_case"} <= set(item.funcargs):
            case: Any = item.funcargs["membench_case"]
            benchmark: Any = item.funcargs["benchmark"]
            benchmark.extra_info.update(case=case.name, fingerprint=case.fingerprint)
        with self._skipped_without_data(item):
            return (yield)

    @contextmanager
    def _skipped_without_data(self, item: pytest.Item) -> Iterator[None]:
        """Any test that takes a fixture of membench is skipped where its data are missing; that closes the gate unless allowed."""
        try:
            yield
        except DataMissingError as error:
            if not (isinstance(item, pytest.Function) and set(item.fixturenames) & FIXTURES):
                raise
            from membench.outcome import Outcome
            from membench.verdict import failed

            outcome = Outcome(item.nodeid, self.engine, failed(error))
            self.keep(item, LACKING, outcome)
            end_test(outcome)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report: Any = yield
        report.membench = item.__dict__.pop("membench_kept", [])  # plain data, so that xdist carries it to the controller
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        from membench.outcome import Outcome, worse

        self.seen.add(report.nodeid)
        for kind, packed in getattr(report, "membench", []):
            outcome, kept = Outcome.unpacked(packed), self.kept[kind]
            kept[outcome.name] = worse(kept.get(outcome.name, outcome), outcome)

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
            self._fail(session, outcome)
        if not (self.outcomes or self.others):
            return
        order = {case.name: place for place, case in enumerate(self.suite)} if self.outcomes else {}
        self.kept[CASE] = dict(sorted(self.outcomes.items(), key=lambda item: order.get(item[0], len(order))))
        outcomes, notes = list(self.outcomes.values()), self._comparison()
        summary = os.environ.get("GITHUB_STEP_SUMMARY") if self.strict else None
        try:
            if self.report is not None and outcomes:
                write_report(self.report, outcomes, self.engine, notes)
            if summary and outcomes:
                add_to_summary(Path(summary), markdown(outcomes, self.engine, notes))
        except MembenchError as error:
            self.problem = f"The report could not be written: {error}"
        self.closed = bool(self.failures() or self.problem)

    def _comparison(self) -> list[str]:
        """What is said of the comparison with the reference."""
        from membench.parity import REFERENCE
        from membench.report.gate_lines import comparison_lines

        return comparison_lines(
            self.kept[COMPARISON], REFERENCE, wanted=self.strict and self.engine not in (REFERENCE, "digital")
        )

    def failures(self) -> list[Outcome]:
        """What closes the gate. A comparison or a timing without its data may be skipped where anything else was measured."""
        from membench.outcome import gate_failures

        cases, others, allowed = list(self.outcomes.values()), self.others, self.config.getoption("membench_allow_skip")
        wrong = gate_failures([*cases, *others], allowed)
        return [*gate_failures(cases, allowed), *(one for one in others if one in wrong)]

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

    def _fail(self, session: pytest.Session, outcome: Outcome) -> None:
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
        session.testscollected = max(session.testscollected, len(self.seen | {report.nodeid}))  # else pytest shows [150%]
        self.config.hook.pytest_runtest_logreport(report=report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        outcomes, others, say = list(self.outcomes.values()), self.others, terminalreporter
        if not (outcomes or others):
            return
        from membench.report.gate_lines import closing_line
        from membench.report.github import annotate
        from membench.report.table import reasons, table

        say.section(f"membench: {counted(len(outcomes), 'case')} on engine {self.engine}")
        if outcomes:
            say.write_line(table(outcomes))
            say.write_line("")
        bad = self.failures()
        for line in reasons([*outcomes, *(one for one in others if one in bad)]):
            say.write_line(line, red=True)
        for line in self._comparison():
            say.write_line(line, yellow=line.startswith("WARNING"))
        if self.problem:
            say.write_line(self.problem, red=True)
        if bad or (outcomes and not self.problem):
            say.write_line(closing_line(outcomes, others, bad), red=bool(bad), green=not bad, bold=True)
        if self.strict and os.environ.get("GITHUB_ACTIONS") == "true":
            for line in annotate([*outcomes, *others], {outcome.name: self.place(outcome.name) for outcome in outcomes}):
                say.write_line(line)


def end_test(outcome: Outcome) -> None:
    """End the test that is running as its outcome says; every fixture of membench ends its test here."""
    from membench.verdict import Status

    said = f"{outcome.verdict.status}: {outcome.verdict.reason}"
    if outcome.verdict.status is Status.SKIPPED:
        pytest.skip(outcome.verdict.reason)
    if outcome.excused:
        pytest.xfail(f"{said}; {outcome.excused}")
    if not outcome.verdict.green:
        pytest.fail(said, pytrace=False)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
