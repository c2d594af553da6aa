"""Intervals for paired accuracies: the same images classified twice, once or more (seeds) each.

Two things vary: which images were drawn, and which devices (seeds). The interval carries both:

- images: Bonett and Price's adjusted Wald interval for a difference of paired proportions (Journal of Educational and Behavioral
  Statistics 37(4), 2012), which stays honest where nothing at all differs: 0 changes in 100 images is not 0 +- 0. Seeds share
  their images, so each image counts once, with its mean over the seeds.
- seeds: Student's t over the differences of the seeds.

The two half-widths are joined as the square root of their sum of squares (Zou and Donner's MOVER, Statistics in Medicine
27(2008)). With one seed the interval speaks of the images alone.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import model_validator
from scipy import stats

from membench.errors import InputError
from membench.plain import Count, Number, Plain, Proportion

LEVEL = 0.95


class Interval(Plain):
    """An estimate with its confidence interval.

    Attributes:
        estimate: in percentage points.
        low: lower bound, in percentage points.
        high: upper bound, in percentage points.
        seeds: over how many seeds; with one, the spread between devices is not in the interval.
        level: of confidence.
    """

    estimate: Number
    low: Number
    high: Number
    seeds: Count
    level: Proportion = LEVEL

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.estimate <= self.high:
            raise InputError(f"Interval: low {self.low:g}, estimate {self.estimate:g}, high {self.high:g} are out of order")
        return self

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def paired_difference(reference: ArrayLike, other: ArrayLike, *, devices_vary: bool = True) -> Interval:
    """By how many points `other` is less accurate than `reference` on the same images.

    Args:
        reference: True where an image was classified rightly; shape (images,) or (seeds, images).
        other: the same of the other classifier; shape (seeds, images). A reference without seeds is shared by all.
        devices_vary: whether the interval is to hold for other devices (seeds) too, or for these alone.

    Returns:
        The mean of reference - other in percentage points, with its 95 % interval.
    """
    right = np.atleast_2d(np.asarray(other, dtype=bool))
    expected = np.broadcast_to(np.atleast_2d(np.asarray(reference, dtype=bool)), right.shape)
    return _interval(expected.astype(int), right.astype(int), devices_vary)


def difference_of_drops(before: ArrayLike, now: ArrayLike) -> Interval:
    """By how many points the accuracy drop of one measurement is larger than that of another, on the same images and seeds.

    Where the digital network answers alike in both, this is `paired_difference` of the converted networks' answers.

    Args:
        before: of each image, whether the digital network is right (1 or 0) minus whether the converted one is; shape (seeds, images).
        now: the same of the other measurement.

    Returns:
        The mean of now - before in percentage points, with its 95 % interval.

    Example: one of four images was lost by the conversion, and is not any more.

        >>> difference_of_drops([[0, 0, 1, 0]], [[0, 0, 0, 0]]).estimate
        -25.0
    """
    return _interval(np.atleast_2d(np.asarray(now, dtype=int)), np.atleast_2d(np.asarray(before, dtype=int)), True)


def _interval(reference: NDArray[np.int_], other: NDArray[np.int_], devices_vary: bool) -> Interval:
    """The interval of the mean of reference - other; both of shape (seeds, images), their differences between -2 and 2."""
    change = reference - other
    seeds, images = change.shape
    if seeds == 0 or images == 0:
        raise ValueError("an interval needs at least one seed and one image")
    lost, won = int(change[change > 0].sum()), int(-change[change < 0].sum())
    twice = int((np.square(change) - np.abs(change)).sum())  # 0 where no difference is 2
    limit = 2.0 if twice else 1.0
    centre = (lost - won) / seeds / (images + 2)
    by_images = _images_half_width(lost / seeds, won / seeds, twice / seeds, images)
    by_seeds = _seeds_half_width(reference.mean(axis=1) - other.mean(axis=1)) if devices_vary else 0.0
    half = math.hypot(by_images, by_seeds)
    return Interval(
        estimate=100 * (lost - won) / (seeds * images),  # counts first: 7 of 100 are 7 points to the last digit
        low=100 * max(-limit, centre - half),
        high=100 * min(limit, centre + half),
        seeds=seeds,
    )


def _images_half_width(lost: float, won: float, twice: float, images: int) -> float:
    p_lost, p_won = (lost + 1) / (images + 2), (won + 1) / (images + 2)
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    return z * math.sqrt((p_lost + p_won + twice / (images + 2) - (p_lost - p_won) ** 2) / (images + 2))


def _seeds_half_width(differences: NDArray[np.float64]) -> float:
    return mean_half_width(differences) if differences.size > 1 else 0.0


def mean_half_width(values: ArrayLike) -> float:
    """Half-width of Student's 95 % interval of the mean; values: shape (n,), n at least 2."""
    array = np.asarray(values, dtype=float)
    t = float(stats.t.ppf((1 + LEVEL) / 2, array.size - 1))
    return t * float(np.std(array, ddof=1)) / math.sqrt(array.size)
