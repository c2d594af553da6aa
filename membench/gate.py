"""Run a case, or compare it with the reference, and judge it: what the gate, the command line and a user's own test do alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from membench.baselines import BaselineStore
from membench.case import Case
from membench.datasets import DATASETS, values_of
from membench.errors import MembenchError
from membench.explain import lost_at
from membench.outcome import Outcome
from membench.parity import REFERENCE, Parity, compare
from membench.pipeline import Progress, run_case
from membench.record import Baseline, Record
from membench.verdict import Status, Verdict, at_chance, decide, failed


def run_and_judge(
    case: Case,
    engine: str,
    store: BaselineStore,
    *,
    data: Path | None = None,
    threads: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
    explain_failure: bool = False,
    weights: Path | None = None,
) -> Outcome:
    """Measure a case and judge it. Whatever goes wrong becomes a verdict, so that one case cannot end the suite.

    Args:
        weights: a file of trained weights, instead of those of the case.
        explain_failure: whether the reason is to name the step of the ladder at which a case that lost too much lost it.
    """
    baseline: Baseline | None = None
    try:
        baseline = store.get(engine, case.name)
        record = run_case(case, engine, data=data, threads=threads, device=device, progress=progress, weights=weights)
        verdict = decide(record, baseline)
    except Exception as error:
        return Outcome(case.name, engine, failed(error), None, baseline)
    if verdict.status is Status.INVALID and at_chance(record.measured):
        verdict = replace(verdict, reason=f"{verdict.reason}; {_got(record, data)}")
    if explain_failure and verdict.status in (Status.REGRESSED, Status.OVER_THRESHOLD):
        verdict = _explained(verdict, record, data, device, progress, weights)
    return Outcome(case.name, engine, verdict, record, baseline)


def _got(record: Record, data: Path | None) -> str:
    """What numbers the digital network got: those of images that are not normalised teach it nothing."""
    try:
        dataset = DATASETS.get(record.case.dataset)
        values = values_of(dataset, dataset.load("test", data).images)
    except Exception as error:  # it must not change what was measured
        return f"what it gets could not be looked at: {error}"
    advice = "is its recipe long enough, and are the labels right?" if values.usual else "about 0 and 1 are usual."
    return (
        f"it gets {values}: {advice} Data set {dataset.name!r} declares mean {dataset.mean} and std {dataset.std}; uint8 images are "
        "divided by 255 before, float images are not"
    )


def compare_and_judge(
    case: Case, engine: str, *, reference: str = REFERENCE, data: Path | None = None, progress: Progress | None = None
) -> tuple[Outcome, Parity | None]:
    """Run a few images of a case on an engine and on the reference, and judge whether they are equal.

    Returns:
        PASS where they are, INVALID with the layer's name where they are not, and else what `failed` makes of the error; and what
        was compared, if it was.
    """
    try:
        found = compare(case, engine=engine, reference=reference, data=data, progress=progress)
    except Exception as error:
        return Outcome(case.name, engine, failed(error)), None
    if found.faults:
        return Outcome(case.name, engine, Verdict(Status.INVALID, "; ".join(found.faults))), found
    return Outcome(case.name, engine, Verdict(Status.PASS, f"{engine} equals {reference}")), found


def _explained(
    verdict: Verdict, record: Record, data: Path | None, device: str, progress: Progress | None, weights: Path | None
) -> Verdict:
    """The same status; its reason says where the accuracy was lost, or why that could not be found out."""
    try:
        where = f"lost at: {lost_at(record, data=data, device=device, progress=progress, weights=weights)}"
    except Exception as error:  # an explanation that fails must not change what was measured
        reason = str(error) if isinstance(error, MembenchError) else f"{type(error).__name__}: {error}"
        where = f"it could not be explained: {reason}"
    return replace(verdict, reason=f"{verdict.reason}; {where}")
