"""Simulation time: in seconds where both sides ran on the same machine, else as a ratio to the digital network of the same run."""

from __future__ import annotations

import numpy as np

from membench.plain import Plain
from membench.record import Costs, Record

# What makes times comparable. The C++ kernel is not among them: where it cannot be built any more, that is a change worth seeing.
MACHINE = ("system", "processor", "cores", "memory", "device")
SAME, OTHER = "s/image", "x digital"


class Timing(Plain):
    """The time that one image takes to simulate.

    Attributes:
        unit: `s/image` on the same machine, `x digital` otherwise.
        a: median over batches and seeds.
        b: the same of the other side.
        factor: b / a.
        apart: whether the middle halves of the batches' times do not overlap. It is no test: a run sees one state of a machine.
        why_ratio: why seconds are not compared; empty where they are.
    """

    unit: str
    a: float
    b: float
    factor: float
    apart: bool
    why_ratio: str = ""


def compare_times(a: Record, b: Record) -> Timing:
    """Compare the costs of two records."""
    why = _other_machine(a, b)
    of_a, of_b = (_ratios(record.costs) if why else _seconds(record.costs) for record in (a, b))
    middle_a, middle_b = float(np.median(of_a)), float(np.median(of_b))
    (low_a, high_a), (low_b, high_b) = (np.quantile(times, (0.25, 0.75)) for times in (of_a, of_b))
    return Timing(
        unit=OTHER if why else SAME,
        a=middle_a,
        b=middle_b,
        factor=middle_b / middle_a,
        apart=bool(low_b > high_a or high_b < low_a),
        why_ratio=why,
    )


def _other_machine(a: Record, b: Record) -> str:
    here, there = a.provenance.machine, b.provenance.machine
    other = [name for name in MACHINE if here.get(name) != there.get(name)]
    if other:
        return ", ".join(f"{name}: {here.get(name, 'unknown')} in A, {there.get(name, 'unknown')} in B" for name in other)
    if a.costs.threads != b.costs.threads:
        return f"threads: {a.costs.threads} in A, {b.costs.threads} in B"
    if a.case.batch_size != b.case.batch_size:
        return f"images a batch: {a.case.batch_size} in A, {b.case.batch_size} in B"
    return ""


def _seconds(costs: Costs) -> list[float]:
    return [seconds / n for seed in costs.seeds for seconds, n in zip(seed.batches, costs.batch_sizes, strict=True)]


def _ratios(costs: Costs) -> list[float]:
    """Against the digital network's median, as `Costs.ratio` has it: single digital batches are short and noisy."""
    return [seconds / costs.digital_seconds_per_image for seconds in _seconds(costs)]
