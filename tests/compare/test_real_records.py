"""The comparison on records of a real network, real images and real engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from membench import Case, DeviceFaults, Thresholds, profile, run_case
from membench.compare import CaseChange, Finding, Side, compare_sides
from membench.compare.pairing import pair
from membench.compare.significance import change_of, holm
from membench.record import Record

pytestmark = pytest.mark.slow


def faulty(hrs: float, images: int = 1000, seeds: int = 5) -> Case:
    """The recommended hardware, with a part of the devices stuck at HRS."""
    case = profile("ideal").case(
        name="faulty", dataset="mnist5k", network="vgg-mnist", thresholds=Thresholds(max_loss_points=100.0)
    )
    return case.replace(nonidealities=(DeviceFaults(hrs_proportion=hrs),), images=images, seeds=tuple(range(seeds)))


def compared(a: Record, b: Record) -> CaseChange:
    sides = [Side(name, Path(name), {("faulty", "vectorized"): record}) for name, record in (("A", a), ("B", b))]
    (case,) = compare_sides(*sides).cases
    return case


def test_more_faults_are_found_where_the_losses_intervals_overlap() -> None:
    """3 % and 10 % of the devices: each loss alone is uncertain by more than they differ, the paired change is not."""
    few, many = run_case(faulty(0.03)), run_case(faulty(0.10))
    assert few.measured.loss.high > many.measured.loss.low
    case = compared(few, many)
    assert case.finding is Finding.WORSE
    assert case.change is not None
    assert case.change.estimate == pytest.approx(many.measured.loss.estimate - few.measured.loss.estimate)
    assert case.p is not None
    assert case.p < 0.01


def test_the_same_case_twice_is_identical() -> None:
    case = faulty(0.03, images=200, seeds=2)
    one, again = run_case(case), run_case(case)
    assert one.provenance.created != again.provenance.created or one.costs != again.costs
    found = compared(one, again)
    assert (found.finding, found.words) == (
        Finding.IDENTICAL,
        "every answer and every batch's logit error of 200 images x 2 seeds",
    )


def test_other_devices_alone_are_not_found() -> None:
    """Disjoint seeds of one case, drawn again and again: at most 5 % of the families of 10 may have a finding."""
    record = run_case(faulty(0.10, images=300, seeds=30))
    losses = pair(record, record).a
    assert losses.mean(axis=1).std() > 0.005
    rng = np.random.default_rng(31)
    false = 0
    for _ in range(200):
        p_values = []
        for _ in range(10):
            seeds = rng.permutation(30)[:10]
            p_values.append(change_of(losses[seeds[:5]], losses[seeds[5:]]).p_value())
        false += min(holm(p_values)) <= 0.05
    assert false <= stats.binom.ppf(0.999, 200, 0.05)
