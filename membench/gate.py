"""Run a case and judge it: what the gate, the command line and a user's own test do alike."""

from __future__ import annotations

from pathlib import Path

from membench.baselines import BaselineStore
from membench.case import Case
from membench.outcome import Outcome
from membench.pipeline import Progress, run_case
from membench.record import Baseline
from membench.verdict import decide, failed


def run_and_judge(
    case: Case,
    engine: str,
    store: BaselineStore,
    *,
    data: Path | None = None,
    threads: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Outcome:
    """Measure a case and judge it. Whatever goes wrong becomes a verdict, so that one case cannot end the suite."""
    baseline: Baseline | None = None
    try:
        baseline = store.get(engine, case.name)
        record = run_case(case, engine, data=data, threads=threads, device=device, progress=progress)
        return Outcome(case.name, engine, decide(record, baseline), record, baseline)
    except Exception as error:
        return Outcome(case.name, engine, failed(error), None, baseline)
