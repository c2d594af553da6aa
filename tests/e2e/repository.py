"""A user's own repository: cases declared as data, a gate of three lines, baselines."""

from __future__ import annotations

from pathlib import Path

from membench import Case, run_case
from membench.baselines import BaselineStore
from membench.datasets import DATASETS
from membench.engines import ENGINES
from membench.gate import run_and_judge
from membench.models import NETWORKS
from membench.report import write_report

# pytester forgets every module that was first imported inside it, so all that a gate needs is imported before.
PRELOADED = [DATASETS.names(), NETWORKS.names(), [engine.problem() for engine in ENGINES], run_and_judge, write_report]

GATE = (Path(__file__).parents[2] / "benchmarks" / "test_accuracy.py").read_text()
TINY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import tiny  # registers the network of that name
"""


def declare(folder: Path, *cases: Case, conftest: str = "") -> None:
    """Write a repository that declares `cases`."""
    (folder / "benchmarks" / "cases").mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"    Case.from_json({case.model_dump_json()!r}, 'here')" for case in cases)
    (folder / "benchmarks" / "cases" / "mine.py").write_text(f"from membench import Case\n\nCASES = [\n{lines},\n]\n")
    (folder / "benchmarks" / "test_accuracy.py").write_text(GATE)
    (folder / "conftest.py").write_text(conftest)


def accept(folder: Path, *cases: Case, engine: str = "vectorized") -> None:
    """Measure `cases` and make the records their baselines."""
    for case in cases:
        BaselineStore(folder / "baselines").update(run_case(case, engine), "measured for this test")
