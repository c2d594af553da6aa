"""Every way that we know in which a gate could be open without having measured. Each is red here; docs/gate.md lists them.

The control shows that the same repository is green without the trouble, so that each red is the trouble's.
"""

from __future__ import annotations

import datetime
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, make_case
from repository import TINY, accept, declare

from membench import Case, DeviceFaults
from membench.engines.vectorized import VectorizedNetwork

Result = pytest.RunResult


@dataclass
class Repository:
    """A user's repository with two cases that are green, and what is done to it."""

    pytester: pytest.Pytester
    cases: tuple[Case, ...]
    patch: pytest.MonkeyPatch
    options: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.pytester.path

    def conftest(self, text: str) -> None:
        (self.folder / "conftest.py").write_text(TINY + text)

    def declare(self, *cases: Case) -> None:
        declare(self.folder, *cases, conftest=TINY)

    def baseline(self, name: str) -> Path:
        return self.folder / f"baselines/vectorized/{name}.json"

    def known(self, **changes: object) -> None:
        fields = {
            "case": '"one"',
            "max_loss_points": 99.0,
            "expires": "2000-01-01",
            "reason": '"known for this test"',
            **changes,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in fields.items())
        (self.folder / "baselines/known-failures.toml").write_text(f"[[known]]\n{lines}\n")

    def gate_test(self, text: str) -> None:
        (self.folder / "benchmarks/test_accuracy.py").write_text(text)

    def run(self, *, apart: bool = False) -> Result:
        common = ("benchmarks", "--membench-gate", "-p", "no:cacheprovider", *self.options)
        if apart:
            return self.pytester.runpytest_subprocess(*common, timeout=300)
        return self.pytester.runpytest_inprocess(*common, "-p", "no:xdist")


@pytest.fixture
def repository(pytester: pytest.Pytester, pair: tuple[Case, Case], monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    found = Repository(pytester, pair, monkeypatch)
    found.declare(*pair)
    accept(pytester.path, *pair)
    return found


Trouble = Callable[[Repository], object]
WAYS: dict[str, tuple[Trouble, str]] = {}  # by name: what is done, and what the output says
APART: set[str] = set()  # those that need processes of their own


def way(name: str, words: str, *, apart: bool = False) -> Callable[[Trouble], Trouble]:
    def register(trouble: Trouble) -> Trouble:
        WAYS[name] = trouble, words
        if apart:
            APART.add(name)
        return trouble

    return register


# ---- what is chosen


@way("an empty selection", "ERROR two: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    r.options = ["-k", "nothing"]


@way("a part of the cases is selected", "ERROR two: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    r.options = ["-k", "one"]


@way("a case is deselected", "ERROR one: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    r.options = ["--deselect", "benchmarks/test_accuracy.py::test_accuracy[one]"]


@way("the gate's own test is gone", "ERROR one: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    (r.folder / "benchmarks/test_accuracy.py").rename(r.folder / "benchmarks/accuracy.py")
    (r.folder / "benchmarks/test_other.py").write_text("def test(): pass\n")


@way("a folder without tests is named", "ERROR one: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    (r.folder / "other").mkdir()
    (r.folder / "other/test_other.py").write_text("def test(): pass\n")
    (r.folder / "benchmarks/test_accuracy.py").unlink()
    r.options = ["other"]


@way("--collect-only", "--membench-gate and --collect-only exclude each other")
def _(r: Repository) -> None:
    r.options = ["--collect-only"]


@way("the run stops early", "ERROR two: the case was declared and gave no record")
def _(r: Repository) -> None:
    r.baseline("one").unlink()
    r.options = ["-x"]


@way("--benchmark-only skips the gate", "ERROR one: the case was declared and gave no record")
def _(r: Repository) -> None:
    r.options = ["--benchmark-only"]


@way("the plugin is not loaded", "unrecognized arguments: --membench-gate", apart=True)
def _(r: Repository) -> None:
    r.options = ["-p", "no:membench"]


# ---- what is declared


@way("no case is declared", "No case is declared")
def _(r: Repository) -> None:
    (r.folder / "benchmarks/cases/mine.py").write_text("CASES = []\n")


@way("the folder of cases is not there", "There is no folder of cases")
def _(r: Repository) -> None:
    (r.folder / "benchmarks/cases").rename(r.folder / "benchmarks/case")


@way("a declaring file skips itself", "mine.py cannot be imported: Skipped")
def _(r: Repository) -> None:
    (r.folder / "benchmarks/cases/mine.py").write_text("import pytest\npytest.skip('not today', allow_module_level=True)\n")


@way("a case is dropped", "ERROR two: there is a baseline, and no case of that name is declared")
def _(r: Repository) -> None:
    r.declare(r.cases[0])


@way("a case is renamed", "ERROR two: there is a baseline, and no case of that name is declared")
def _(r: Repository) -> None:
    r.declare(r.cases[0], r.cases[1].replace(name="three"))


@way("two cases have one name", "Two cases are named 'one'")
def _(r: Repository) -> None:
    r.declare(r.cases[0], r.cases[0])


# ---- what the gate's test does


@way("a test takes the case and does not measure it", "ERROR one: the case is declared, and no test ran it")
def _(r: Repository) -> None:
    r.gate_test("def test_accuracy(membench_case):\n    assert membench_case.name\n")


@way("a test swallows the failure", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    r.baseline("one").unlink()
    r.gate_test(
        "def test_accuracy(membench_case, membench_gate):\n"
        "    try:\n        membench_gate(membench_case)\n    except BaseException:\n        pass\n"
    )


@way("a second try is green", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    moved = r.folder / "one.json"
    r.baseline("one").rename(moved)
    r.gate_test(
        "from pathlib import Path\n"
        "def test_accuracy(membench_case, membench_gate):\n"
        "    try:\n        membench_gate(membench_case)\n    except BaseException:\n"
        f"        Path({str(moved)!r}).rename({str(r.baseline('one'))!r})\n        membench_gate(membench_case)\n"
    )


@way("every test is marked skip", "ERROR one: the case was declared and gave no record")
def _(r: Repository) -> None:
    r.conftest(
        "import pytest\ndef pytest_collection_modifyitems(items):\n    [i.add_marker(pytest.mark.skip) for i in items]\n"
    )


@way("every test is marked xfail", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    r.baseline("one").unlink()
    r.conftest(
        "import pytest\ndef pytest_collection_modifyitems(items):\n    [i.add_marker(pytest.mark.xfail) for i in items]\n"
    )


@way("a test asks for the gate and does not call it", "ERROR one: the case was declared and gave no record")
def _(r: Repository) -> None:
    r.gate_test("def test_accuracy(membench_case, membench_gate):\n    assert membench_case.name\n")


@way("a plugin drops tests", "ERROR one: the case was declared and gave no record")
def _(r: Repository) -> None:
    r.conftest("def pytest_runtest_protocol(item):\n    return True\n")


@way("a plugin sets the exit code back", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    r.baseline("one").unlink()
    r.conftest(
        "import pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_sessionfinish(session):\n    session.exitstatus = pytest.ExitCode.OK\n"
    )


# ---- what is measured


@way("data are missing", "SKIPPED absent: ")
def _(r: Repository) -> None:
    r.patch.setenv("MEMBENCH_DATA", str(r.folder / "empty"))
    r.declare(*r.cases, make_case(name="absent", dataset="cifar10"))


@way("all cases are skipped", "The gate is closed: 1 of 1 case is not green")
def _(r: Repository) -> None:
    r.patch.setenv("MEMBENCH_DATA", str(r.folder / "empty"))
    r.declare(make_case(name="absent", dataset="cifar10"))
    for name in ("one", "two"):
        r.baseline(name).unlink()
    r.options = ["--membench-allow-skip"]


@way("the comparison with MemTorch lacks its data", "SKIPPED comparison of absent: .*membench data get cifar10")
def _(r: Repository) -> None:
    r.patch.setenv("MEMBENCH_DATA", str(r.folder / "empty"))
    r.declare(*r.cases, make_case(name="absent", dataset="cifar10"))
    r.gate_test("def test_accuracy(membench_case, membench_gate):\n    membench_gate(membench_case)\n")
    (r.folder / "benchmarks/test_parity_of_a_user.py").write_text(
        "def test_parity(membench_parity):\n    membench_parity('absent')\n"
    )


@way("a test swallows that the engine differs from MemTorch", "INVALID comparison of one: layer 0: conductances differ")
def _(r: Repository) -> None:
    r.patch.setattr("membench.parity.DEVICE_TOLERANCE", -1.0)
    (r.folder / "benchmarks/test_parity_of_a_user.py").write_text(
        "def test_parity(membench_parity):\n    try:\n        membench_parity('one')\n    except BaseException:\n        pass\n"
    )


@way("a timing of a case lacks its data", "SKIPPED benchmarks/test_time.py::test_time.absent.: cifar10 was not found")
def _(r: Repository) -> None:
    r.patch.setenv("MEMBENCH_DATA", str(r.folder / "empty"))
    r.declare(*r.cases, make_case(name="absent", dataset="cifar10"))
    (r.folder / "benchmarks/test_time.py").write_text(
        "from membench import run_case\n\ndef test_time(membench_case):\n    run_case(membench_case)\n"
    )


@way("NaN", "INVALID one: 80 of 80 converted outputs hold NaN or infinity")
def _(r: Repository) -> None:
    infer = VectorizedNetwork.infer
    r.patch.setattr(VectorizedNetwork, "infer", lambda self, images: torch.full_like(infer(self, images), torch.nan))


@way("an exception in the simulator", "ERROR one: ZeroDivisionError: a bug")
def _(r: Repository) -> None:
    def crash(self: object, images: object) -> None:
        raise ZeroDivisionError("a bug")

    r.patch.setattr(VectorizedNetwork, "infer", crash)


@way("an effect does nothing", "ERROR small: EffectDidNothingError: ")
def _(r: Repository) -> None:
    faulty = make_case(nonidealities=(DeviceFaults(hrs_proportion=0.05),))
    accept(r.folder, faulty)
    r.declare(*r.cases, faulty)
    r.patch.setattr(VectorizedNetwork, "apply", lambda *arguments: None)


@way("a time-out", "ERROR one: the case was declared and gave no record")
def _(r: Repository) -> None:
    """As pytest-timeout does it: an alarm that fails the test."""
    r.conftest(
        "import pytest, signal\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_call(item):\n"
        "    signal.signal(signal.SIGALRM, lambda *_: pytest.fail('Timeout'))\n"
        "    try:\n        return (yield)\n    finally:\n        signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    infer = VectorizedNetwork.infer

    def slow(self: VectorizedNetwork, images: Any) -> Any:
        """The alarm is set here: inside a serializer of pydantic it would become another error."""
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.2)
        return infer(self, images)

    r.patch.setattr(VectorizedNetwork, "infer", slow)


@way("the run is interrupted", "KeyboardInterrupt", apart=True)
def _(r: Repository) -> None:
    r.conftest("def pytest_runtest_call(item):\n    raise KeyboardInterrupt\n")


@way("a worker crashes", "ERROR one: the case was declared and gave no record", apart=True)
def _(r: Repository) -> None:
    r.conftest("import os\ndef pytest_runtest_call(item):\n    if 'one' in item.name:\n        os._exit(9)\n")
    r.options = ["-n", "2"]


@way("a worker ends with 0", "ERROR one: the case was declared and gave no record", apart=True)
def _(r: Repository) -> None:
    r.conftest("import os\ndef pytest_runtest_call(item):\n    if 'one' in item.name:\n        os._exit(0)\n")
    r.options = ["-n", "2"]


@way("xdist loses a test", "ERROR one: the case was declared and gave no record", apart=True)
def _(r: Repository) -> None:
    r.conftest("def pytest_runtest_protocol(item):\n    return True if 'one' in item.name else None\n")
    r.options = ["-n", "2"]


# ---- what it is compared with


@way("no baseline", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    r.baseline("one").unlink()


@way("all baselines are gone", "The gate is closed: 2 of 2 cases are not green")
def _(r: Repository) -> None:
    (r.folder / "baselines").rename(r.folder / "old-baselines")


@way("a stale fingerprint", "STALE_BASELINE one: the case changed since: batch_size")
def _(r: Repository) -> None:
    r.declare(r.cases[0].replace(batch_size=10), r.cases[1])


@way("more images than the baseline's", "STALE_BASELINE one: ")
def _(r: Repository) -> None:
    r.options = ["--membench-images", "60"]


@way("the baseline of another engine", "ERROR one: FileFormatError: ")
def _(r: Repository) -> None:
    accept(r.folder, r.cases[0], engine="digital")
    r.baseline("one").write_text((r.folder / "baselines/digital/one.json").read_text())


@way("a truncated baseline", "ERROR one: FileFormatError: ")
def _(r: Repository) -> None:
    text = r.baseline("one").read_text()
    r.baseline("one").write_text(text[: len(text) // 2])


@way("an edited baseline", "ERROR one: FileFormatError: ")
def _(r: Repository) -> None:
    content = json.loads(r.baseline("one").read_text())
    content["record"]["measured"]["accuracy"] = 0.01
    r.baseline("one").write_text(json.dumps(content))


@way("other weights", "STALE_BASELINE one: the baseline was measured with other weights")
def _(r: Repository) -> None:
    content = json.loads(r.baseline("one").read_text())
    content["record"]["weights"]["sha256"] = "0" * 64
    r.baseline("one").write_text(json.dumps(content))


# ---- what is let through


@way("a known failure has expired", r"expired on 2000-01-01 \(known for this test\)")
def _(r: Repository) -> None:
    r.known()


@way("a known failure gets worse", r"more than the 1 points that known-failures.toml lets through")
def _(r: Repository) -> None:
    broken = r.cases[0].replace(nonidealities=(DeviceFaults(hrs_proportion=1.0),))
    r.baseline("one").unlink()
    r.declare(broken, r.cases[1])
    r.known(max_loss_points=1.0, expires=_tomorrow())


@way("a known failure that was not measured", "NO_BASELINE one: ")
def _(r: Repository) -> None:
    r.baseline("one").unlink()
    r.known(expires=_tomorrow())


@way("a known failure of no case", "known-failures.toml, entry 1: there is no case 'ones'")
def _(r: Repository) -> None:
    r.known(case='"ones"', expires=_tomorrow())


# ---- what is written


@way("an unwritable report", "--membench-report: out cannot be a folder: out is not one")
def _(r: Repository) -> None:
    (r.folder / "out").write_text("a file where the folder should be")
    r.options = ["--membench-report=out"]


@way("an unwritable job summary", "The report could not be written: Cannot write the job's summary")
def _(r: Repository) -> None:
    r.patch.setenv("GITHUB_STEP_SUMMARY", str(r.folder / "nowhere" / "summary.md"))


def _tomorrow() -> str:
    return str(datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1))


def test_without_trouble_the_gate_is_open(repository: Repository) -> None:
    result = repository.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*The gate is open: 2 cases are green.*"])


@pytest.mark.parametrize("name", [name for name in WAYS if name not in APART])
def test_it_is_red(repository: Repository, name: str) -> None:
    _is_red(repository, name, apart=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(APART))
def test_it_is_red_in_processes_of_its_own(repository: Repository, name: str) -> None:
    _is_red(repository, name, apart=True)


def _is_red(repository: Repository, name: str, *, apart: bool) -> None:
    trouble, words = WAYS[name]
    trouble(repository)
    result = repository.run(apart=apart)
    printed = result.stdout.str() + result.stderr.str()
    assert result.ret != 0, printed
    assert re.search(words, printed), printed
    assert "The gate is open" not in printed


@pytest.mark.slow
def test_a_process_that_ends_with_0_leaves_no_summary(repository: Repository) -> None:
    """Nothing inside a process can make this red. The workflow looks for the summary, and an earlier run's is not there any more."""
    repository.conftest("import os\ndef pytest_runtest_call(item):\n    os._exit(0)\n")
    summary = repository.folder / "out/summary.md"
    summary.parent.mkdir()
    summary.write_text("an earlier run's")
    repository.options = ["--membench-report=out"]
    assert repository.run(apart=True).ret == 0
    assert not summary.exists()


def test_the_documentation_lists_every_way() -> None:
    table = (
        (ROOT / "docs/gate.md").read_text().split("## How a gate could be open without having measured")[1].split("\n## ")[0]
    )
    listed = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]
    assert listed == [*WAYS, "the process ends with 0"]


@pytest.mark.slow
def test_there_is_nothing_to_import_for_a_gate_that_is_not_asked_for() -> None:
    """The plugin is loaded in every project of the environment: it must not cost what torch costs."""
    code = "import sys, membench.pytest_plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
