"""A declared case with what became of it: what reports and gates are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from membench.record import Baseline, Record
from membench.verdict import Status, Verdict


@dataclass(frozen=True)
class Outcome:
    """A case's verdict, with the record if there is one, and the baseline if there was one."""

    name: str
    engine: str
    verdict: Verdict
    record: Record | None = None
    baseline: Baseline | None = None


def unaccounted(declared: Sequence[str], outcomes: Sequence[Outcome], engine: str) -> list[Outcome]:
    """An ERROR for each declared case of which nothing came: nothing passes by being absent."""
    known = {outcome.name for outcome in outcomes}
    reason = "the case was declared and gave no record (its process died, or it was never run)"
    return [Outcome(name, engine, Verdict(Status.ERROR, reason)) for name in declared if name not in known]


def gate_failures(outcomes: Sequence[Outcome], allow_skip: bool = False) -> list[Outcome]:
    """The outcomes that keep the gate from being green. SKIPPED is one of them unless it is allowed by name."""
    return [
        outcome
        for outcome in outcomes
        if not outcome.verdict.green and not (allow_skip and outcome.verdict.status is Status.SKIPPED)
    ]
