"""Intervals of paired accuracies, against numbers worked out by hand, published ones, and simulation."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from membench import statistics
from membench.statistics import Interval, difference_of_drops, mean_half_width, paired_difference

Answers = NDArray[np.bool_]


def answers(images: int, lost: int, won: int) -> tuple[Answers, Answers]:
    """Two classifiers: the first alone is right on `lost` images, the second alone on `won`, both on half of the others."""
    both = (images - lost - won) // 2
    neither = images - lost - won - both
    first = [True] * lost + [False] * won + [True] * both + [False] * neither
    second = [False] * lost + [True] * won + [True] * both + [False] * neither
    return np.array(first), np.array(second)


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_the_half_width_worked_out_by_hand() -> None:
    """12 lost and 4 won of 100: p = 13/102 and 5/102; 1.959964 sqrt((18/102 - (8/102)^2) / 102) = 0.08009."""
    interval = paired_difference(*answers(100, 12, 4))
    by_hand = 1.959963984540054 * math.sqrt((18 / 102 - (8 / 102) ** 2) / 102)
    assert by_hand == pytest.approx(0.0800903, abs=1e-7)
    assert interval.estimate == pytest.approx(8.0)
    assert interval.half_width == pytest.approx(100 * by_hand)
    assert (interval.seeds, interval.level) == (1, 0.95)


def test_the_half_width_is_bonett_and_price_s_published_one() -> None:
    """R's statpsych: ci.prop.ps(.05, 12, 4, 26, 6) gives SE 0.09448809 and 0.2548067 to 0.6251933."""
    interval = paired_difference(*answers(48, 26, 4))
    assert interval.half_width == pytest.approx(100 * (0.6251933 - 0.2548067) / 2, abs=1e-4)


def test_the_bounds_are_bonett_and_price_s_published_ones() -> None:
    """Their interval stands around (lost - won) / (images + 2), not around the difference observed."""
    assert bounds(paired_difference(*answers(48, 26, 4))) == pytest.approx((25.48067, 62.51933), abs=1e-4)


@pytest.mark.parametrize("images", [20, 40, 50, 100, 500])
def test_the_estimate_of_whole_points_is_exact(images: int) -> None:
    """7 lost of 100 are 7 points, not 7.000000000000001: a threshold of 7 points must accept them."""
    inexact = [k for k in range(images + 1) if paired_difference(*answers(images, k, 0)).estimate != 100 * k / images]
    assert inexact == []


def test_swapped_classifiers_give_the_mirrored_interval() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((3, 200)) < 0.9, rng.random((3, 200)) < 0.8
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.estimate == pytest.approx(-back.estimate)
    assert bounds(there) == pytest.approx((-back.high, -back.low))


def test_a_worse_classifier_has_a_positive_difference() -> None:
    assert paired_difference([True, True], [False, False]).estimate == 100
    assert paired_difference([False, False], [True, True]).estimate == -100


def test_no_change_in_100_images_is_not_certainty() -> None:
    """Half-width 1.959964 sqrt(2/102 / 102) = 2.7175 points."""
    same = np.ones(100, dtype=bool)
    interval = paired_difference(same, same)
    assert interval.estimate == 0
    assert bounds(interval) == pytest.approx((-2.7175, 2.7175), abs=1e-3)


def test_only_images_on_which_they_differ_count() -> None:
    """Both right or both wrong is the same to a paired interval."""
    right, wrong = np.ones(50, dtype=bool), np.zeros(50, dtype=bool)
    assert paired_difference(right, right) == paired_difference(wrong, wrong)


def test_more_images_narrow_the_interval() -> None:
    widths = [paired_difference(*answers(n, n // 10, n // 50)).half_width for n in (50, 100, 500, 5000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] / widths[-1] == pytest.approx(10, rel=0.15)  # the square root of 100 times as many


def test_a_shared_reference_stands_for_each_seed() -> None:
    rng = np.random.default_rng(1)
    reference, other = rng.random(60) < 0.9, rng.random((4, 60)) < 0.8
    assert paired_difference(reference, other) == paired_difference(np.tile(reference, (4, 1)), other)
    assert paired_difference(reference, other).seeds == 4


def test_the_same_answers_of_more_seeds_are_not_more_images() -> None:
    """Seeds share their images: the interval of two equal seeds is that of one."""
    one, other = answers(100, 10, 2)
    once, twice = paired_difference(one, other), paired_difference(one, np.tile(other, (2, 1)))
    assert bounds(twice) == pytest.approx(bounds(once))


def test_a_spread_between_seeds_widens_the_interval_by_student_s_t() -> None:
    """Losses of 5 and 15 points: t(0.975, 1) = 12.7062 times sd 7.0711 / sqrt(2) = 63.531, joined with the images'."""
    right = np.ones(100, dtype=bool)
    even = np.stack([np.arange(100) >= 10] * 2)
    uneven = np.stack([np.arange(100) >= 5, np.arange(100) >= 15])
    narrow, wide = paired_difference(right, even), paired_difference(right, uneven)
    assert narrow.estimate == pytest.approx(wide.estimate)
    assert wide.half_width == pytest.approx(math.hypot(narrow.half_width, 63.531), rel=1e-4)


def test_student_s_half_width_by_hand() -> None:
    """1, 2, 3: t(0.975, 2) = 4.302653 times 1 / sqrt(3)."""
    assert mean_half_width([1, 2, 3]) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_bounds_stay_within_100_points() -> None:
    interval = paired_difference([True] * 3, [False] * 3)
    assert interval.high == 100
    assert interval.low < 100
    interval = paired_difference([False] * 3, [True] * 3)
    assert interval.low == -100


@pytest.mark.parametrize("shape", [(0,), (1, 0), (3, 0), (0, 5)])
def test_nothing_measured_is_refused(shape: tuple[int, ...]) -> None:
    nothing = np.ones(shape, dtype=bool)
    with pytest.raises(ValueError, match="at least one seed and one image"):
        paired_difference(nothing, nothing)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        paired_difference([True] * 4, [True] * 5)


@settings(max_examples=150, deadline=None, database=None)
@given(st.data())
def test_an_interval_holds_its_estimate_and_lies_within_100_points(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 60)))
    one, other = data.draw(arrays(bool, shape)), data.draw(arrays(bool, shape))
    interval = paired_difference(one, other)
    assert -100 <= interval.low <= interval.estimate <= interval.high <= 100
    assert interval.half_width > 0
    assert interval.estimate == pytest.approx(100 * (one.mean() - other.mean()))


@pytest.mark.parametrize(
    ("images", "lost", "won"), [(50, 0.1, 0.02), (100, 0.05, 0.0), (100, 0.3, 0.05), (200, 0.02, 0.01), (500, 0.01, 0.01)]
)
def test_coverage_over_images(images: int, lost: float, won: float) -> None:
    """Of 400 experiments with a known difference, at least 93 % of the 95 % intervals hold it."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        draw = rng.random(images)
        interval = paired_difference(draw >= won, draw < 1 - lost)
        held += interval.low <= 100 * (lost - won) <= interval.high
    assert held / 400 >= 0.93


@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_over_images_and_seeds(seeds: int) -> None:
    """Devices differ too: each seed has its own loss, drawn around 10 points with a standard deviation of 4."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(400):
        loss = np.clip(rng.normal(0.10, 0.04, size=(seeds, 1)), 0, 1)
        hard = rng.random(200)  # the same images for every seed
        interval = paired_difference(np.ones(200, dtype=bool), hard >= loss)
        held += interval.low <= 10 <= interval.high
    assert held / 400 >= 0.93


def test_coverage_needs_the_seeds() -> None:
    """The images alone would promise too much: the spread between devices is what the seeds are for."""
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(400):
        loss = float(np.clip(rng.normal(0.10, 0.04), 0, 1))
        interval = paired_difference(np.ones(200, dtype=bool), rng.random(200) >= loss)
        held += interval.low <= 10 <= interval.high
    assert held / 400 < 0.90


# ---- differences of drops -----------------------------------------------------------------------------------------------


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(statistics).failed == 0
    assert doctest.testmod(statistics).attempted > 0


@pytest.mark.parametrize("seed", range(20))
def test_without_a_change_of_the_digital_network_it_is_the_paired_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seeds, images = rng.integers(1, 6), rng.integers(5, 200)
    before, now = (rng.random((seeds, images)) < rate for rate in (0.9, 0.8))
    digital = (rng.random(images) < 0.95).astype(int)
    found, expected = difference_of_drops(digital - before, digital - now), paired_difference(before, now)
    assert found.estimate == expected.estimate
    assert bounds(found) == pytest.approx(bounds(expected), abs=1e-9)


def test_a_difference_of_two_counts_twice_and_widens_the_interval() -> None:
    """2 of 100 images from won to lost: 4 points; E[d^2] = (2 * 4 + 2) / 102, by hand."""
    change = np.zeros((1, 100), dtype=int)
    change[0, :2] = 1
    found = difference_of_drops(-change, change)
    by_hand = 1.959963984540054 * math.sqrt((10 / 102 - (4 / 102) ** 2) / 102)
    assert found.estimate == 4
    assert found.half_width == pytest.approx(100 * by_hand)


@pytest.mark.parametrize("value", [1, 2])
def test_the_largest_change_there_can_be_is_within_its_interval(value: int) -> None:
    before = np.zeros((1, 3), dtype=int) - (value == 2)
    found = difference_of_drops(before, np.ones((1, 3), dtype=int))
    assert found.low <= found.estimate == 100 * value <= found.high


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    """Digital answers that change by chance on a tenth of the images: 95 % of the intervals hold the true difference of 0."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        drops = [(rng.random(200) < 0.9).astype(int) - (rng.random((1, 200)) < 0.85) for _ in range(2)]
        found = difference_of_drops(*drops)
        held += found.low <= 0 <= found.high
    assert 930 <= held <= 985
