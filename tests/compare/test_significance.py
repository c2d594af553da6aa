"""The test of a change, against numbers worked out by hand, other tests, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from simulated import DEVICES, IMAGES, MIXED, Losses, Population

from membench.compare.significance import Change, change_of, half_width, holm
from membench.statistics import paired_difference

FAMILY = 20


def table(images: int, lost: int, won: int, seeds: int = 1) -> tuple[Losses, Losses]:
    """A loses nothing; B loses the first images and wins the last, on each seed."""
    b = np.zeros((seeds, images))
    b[:, :lost], b[:, images - won :] = 1, -1
    return np.zeros((seeds, images)), b


def allowed(of: int, level: float = 0.05) -> int:
    """How many of so many honest tests may be false, but for one chance in a thousand."""
    return int(stats.binom.ppf(0.999, of, level))


# numbers


def test_one_seed_gives_the_interval_of_a_paired_difference() -> None:
    """Bonett and Price's, which the rest of membench has."""
    a, b = table(500, 12, 4)
    here, there = change_of(a, b).interval(), paired_difference(a == 0, b == 1)
    there = paired_difference(np.arange(500) >= 4, np.arange(500) < 500 - 12)
    assert (here.estimate, here.low, here.high) == pytest.approx((there.estimate, there.low, there.high))


def test_the_p_value_worked_out_by_hand() -> None:
    """12 lost and 4 won of 100: z = (8/102) / sqrt((18/102 - (8/102)^2) / 102) = 1.9194, two-sided 0.0549."""
    z = (8 / 102) / math.sqrt((18 / 102 - (8 / 102) ** 2) / 102)
    p = change_of(*table(100, 12, 4)).p_value()
    assert p == pytest.approx(2 * stats.norm.sf(z), rel=1e-6)
    assert p == pytest.approx(0.0549, abs=5e-4)


@pytest.mark.parametrize(("lost", "won"), [(5, 0), (6, 0), (10, 0), (12, 4), (20, 10), (30, 10)])
def test_it_is_near_mcnemar_s_exact_test(lost: int, won: int) -> None:
    """One seed, or seeds that all answer alike, is the setting of McNemar's test."""
    exact = stats.binomtest(lost, lost + won).pvalue
    assert change_of(*table(1000, lost, won)).p_value() == pytest.approx(exact, rel=0.35, abs=0.002)


def test_the_spread_of_seeds_joins_by_student_s_t() -> None:
    """Losses of 5 and 15 points of 100 images: sd 10 / sqrt(2) images, so 5 + rounding over two seeds."""
    b = np.zeros((2, 100))
    b[0, :5], b[1, :15] = 1, 1
    change = change_of(np.zeros((2, 100)), b)
    ((variance, freedom),) = change.seed_variances
    assert freedom == 1
    assert variance == pytest.approx((50 + 1 / 6) / 2 / 100**2)
    means = np.array([1.0] * 5 + [0.5] * 10 + [0.0] * 85 + [1.0, -1.0])
    assert change.image_variance == pytest.approx(means.var() / 102)
    level = 0.2
    by_hand = math.hypot(
        stats.norm.isf(level / 2) * math.sqrt(change.image_variance), stats.t.isf(level / 2, 1) * math.sqrt(variance)
    )
    assert change.half_width(level) == pytest.approx(by_hand)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_zero() -> None:
    change = change_of(*MIXED.runs(np.random.default_rng(3), 4, 300, more=0.05))
    assert change.half_width(change.p_value()) == pytest.approx(abs(change.centre))


def test_the_p_value_of_a_margin_is_half_the_level_at_which_the_interval_reaches_it() -> None:
    change = change_of(*table(1000, 3, 2, seeds=5))
    p = change.p_within(0.01)
    assert change.half_width(2 * p) == pytest.approx(0.01 - abs(change.centre))
    assert change.p_within(abs(change.centre)) == change.p_within(0.0005) == 1.0


def test_two_seeds_that_tie_are_not_devices_without_spread() -> None:
    """The seeds' losses are whole numbers of images: without the rounding's share the interval would be that of the images alone."""
    b = np.zeros((2, 100))
    b[0, :10], b[1, 10:20] = 1, 1
    change = change_of(np.zeros((2, 100)), b)
    assert change.seed_variances == ((pytest.approx(1 / 6 / 2 / 100**2), 1),)
    assert change.half_width(0.001) > 3 * half_width(0.001, change.image_variance, ())


def test_nothing_that_differs_is_p_1_and_not_certainty() -> None:
    change = change_of(*table(100, 0, 0))
    assert change.p_value() == 1.0
    assert change.interval().high == pytest.approx(2.7175, abs=1e-3)


def test_a_change_without_any_doubt_has_a_tiny_p() -> None:
    assert change_of(*table(10_000, 9_000, 0)).p_value() == pytest.approx(1e-100)


def test_two_samples_are_compared_by_the_sum_of_their_variances() -> None:
    a, b = MIXED.runs(np.random.default_rng(4), 3, 200)
    paired, apart = change_of(a, b), change_of(a, b, same_images=False, same_seeds=False)
    assert apart.estimate == pytest.approx(paired.estimate)
    assert len(apart.seed_variances) == 2
    assert apart.seed_variances[0][0] == pytest.approx((a.mean(axis=1).var(ddof=1) + 1 / 12 / 200**2) / 3)
    assert apart.half_width(0.05) > paired.half_width(0.05)


def test_shared_images_and_shared_seeds_are_each_made_use_of() -> None:
    rng = np.random.default_rng(5)
    a, b = IMAGES.runs(rng, 5, 400)
    neither, images = change_of(a, b, same_images=False, same_seeds=False), change_of(a, b, same_seeds=False)
    assert images.image_variance < neither.image_variance / 2
    shared = rng.normal(0, 0.2, (5, 1)) + rng.random((5, 400)) > 0.9
    seeds = change_of(shared, shared, same_images=False)
    assert seeds.seed_variances[0][0] < change_of(shared, shared, same_images=False, same_seeds=False).seed_variances[0][0]


def test_samples_may_be_of_different_sizes() -> None:
    change = change_of(np.zeros((2, 30)), np.ones((3, 50)), same_images=False, same_seeds=False)
    assert (change.images, change.seeds, change.estimate) == (30, 2, 1.0)
    assert [freedom for _, freedom in change.seed_variances] == [1, 2]


@pytest.mark.parametrize(("a", "b"), [((0, 5), (0, 5)), ((1, 0), (1, 0)), ((1, 5), (2, 5)), ((2, 4), (2, 5))])
def test_tables_that_do_not_fit_are_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"one seed and one image|do not share"):
        change_of(np.zeros(a), np.zeros(b))


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_no_correction_and_bonferroni_s(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for before, after in zip(p_values, corrected, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before) + 1e-12
    assert np.argsort(p_values, kind="stable").tolist() == sorted(
        range(len(p_values)), key=lambda i: (corrected[i], p_values[i], i)
    )


@given(st.data())
def test_swapped_sides_give_the_mirrored_change(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40)))
    a, b = (data.draw(arrays(np.int8, shape, elements=st.integers(-1, 1))) for _ in range(2))
    there, back = change_of(a, b), change_of(b, a)
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.p_value() == pytest.approx(back.p_value())
    interval = there.interval()
    assert -200 <= interval.low <= interval.high <= 200
    assert 0 < there.p_value() <= 1
    assert (there.p_value() <= 0.05) == (not there.centre - there.half_width(0.05) < 0 < there.centre + there.half_width(0.05))


# simulation


def p_values(population: Population, seeds: int, images: int, tests: int, seed: int) -> Losses:
    rng = np.random.default_rng(seed)
    return np.array([change_of(*population.runs(rng, seeds, images)).p_value() for _ in range(tests)])


def false_families(p: Losses) -> int:
    return sum(min(holm(list(family))) <= 0.05 for family in p.reshape(-1, FAMILY))


@pytest.mark.parametrize(("population", "seeds"), [(MIXED, 5), (DEVICES, 5), (DEVICES, 2)])
def test_false_findings_of_a_family_of_cases(population: Population, seeds: int) -> None:
    """100 families of 20 cases in which nothing has changed but the devices: at most 5 % of them may have a finding."""
    p = p_values(population, seeds, 200, 100 * FAMILY, seed=11)
    assert false_families(p) <= allowed(100)
    assert np.count_nonzero(p <= 0.05) <= allowed(p.size)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("population", [MIXED, DEVICES, IMAGES])
def test_false_findings_of_many_families(population: Population, seeds: int) -> None:
    p = p_values(population, seeds, 300, 400 * FAMILY, seed=12)
    assert false_families(p) <= allowed(400)
    for level in (0.05, 0.005, 0.05 / FAMILY):
        assert np.count_nonzero(p <= level) <= allowed(p.size, level)


def test_false_findings_where_one_seed_answers_for_all_and_few_images_change() -> None:
    """Not one image in a hundred differs: the normal distribution alone would find too much."""
    rng = np.random.default_rng(13)
    found = 0
    for _ in range(2000):
        u = rng.random(400)
        found += change_of(np.zeros(400), (u < 0.006) * 1.0 - (u > 0.994)).p_value() <= 0.05
    assert found <= allowed(2000)


def images_alone(change: Change) -> float:
    """The level at which the images' part of the interval reaches 0."""
    return float(2 * stats.norm.sf(abs(change.centre) / math.sqrt(change.image_variance)))


def test_the_images_alone_would_find_devices_instead_of_changes() -> None:
    """What the seeds' part is for: with other devices and nothing else changed, a test over images finds something everywhere."""
    rng = np.random.default_rng(14)
    p = np.array([images_alone(change_of(*DEVICES.runs(rng, 5, 200))) for _ in range(30 * FAMILY)])
    assert false_families(p) > 25


def test_without_correction_a_family_would_have_findings() -> None:
    """One seed of a population without devices, where a single test is near its nominal level."""
    rng = np.random.default_rng(15)
    population = Population(loss=0.2, images=0.3, devices=0.0)
    p = np.array([change_of(*population.runs(rng, 1, 400)).p_value() for _ in range(100 * FAMILY)])
    assert 0.035 < np.mean(p <= 0.05) < 0.06
    assert np.mean(p.reshape(-1, FAMILY).min(axis=1) <= 0.05) > 0.4
    assert false_families(p) <= allowed(100)


def test_a_change_of_the_size_of_the_tolerance_is_not_called_none() -> None:
    """The true change is the margin itself: at most 5 % may be said to be within it."""
    rng = np.random.default_rng(16)
    within = 0
    for _ in range(1000):
        u = rng.random((5, 400))
        within += change_of(np.zeros((5, 400)), (u < 0.04) * 1.0 - (u > 0.98)).p_within(0.02) <= 0.05
    assert within <= allowed(1000)


def test_no_change_is_shown_where_there_is_none() -> None:
    rng = np.random.default_rng(17)
    within = 0
    for _ in range(200):
        u = rng.random((5, 1000))
        within += change_of(np.zeros((5, 1000)), (u < 0.005) * 1.0 - (u > 0.995)).p_within(0.01) <= 0.05
    assert within > 190
