"""Has the loss changed? One test for all ways in which two runs share images and seeds.

The change is a mean over images and seeds (devices) of what B loses and A does not. Both are drawn from many, so its interval has
two parts, as the interval of a loss has (ADR 3):

- images: the variance of an image's mean over the seeds, divided by the images. One image lost and one won are added first, as
  Bonett and Price do (Journal of Educational and Behavioral Statistics 37(4), 2012), since few changed images are not exactly known.
- seeds: the variance of the seeds' means, divided by the seeds, with Student's t.

The half-widths are joined as the root of the sum of their squares (MOVER: Zou and Donner, Statistics in Medicine 27, 2008). The p value
is the level at which the interval just reaches 0. With one seed it speaks of the images alone. Holm's correction (Scandinavian Journal
of Statistics 6, 1979) keeps the chance of any false finding among all cases at the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from membench.statistics import Interval

LEVEL = 0.05  # of the whole family of cases
LOG_LEVELS = (math.log(1e-100), math.log(1 - 1e-9))  # where p values are looked for
# A seed's mean is a whole number of images: so much (in images squared) of the variance between seeds may hide in the rounding of one
# side (Sheppard). Without it two seeds that happen to tie would be taken for devices without spread.
ROUNDING = 1 / 12


@dataclass(frozen=True)
class Components:
    """Where the change varies, as variances of single answers (1: an image lost). They do not depend on how many were measured.

    Attributes:
        images: between images, the same for all seeds.
        seeds: between seeds, the same for all images.
        scatter: of single answers around both.
    """

    images: float
    seeds: float
    scatter: float


@dataclass(frozen=True)
class Change:
    """By how much more B loses than A, with what is needed to test it. All are proportions of the images, or their variances.

    Attributes:
        estimate: the mean.
        centre: of the interval, which the two added images draw towards 0.
        image_variance: of the mean, from images.
        seed_variances: of the mean, from seeds: (variance, degrees of freedom), one for both sides or one each.
        images: how many; of the smaller side where they are not paired.
        seeds: the same of seeds.
        components: for the planning of more images or seeds.
    """

    estimate: float
    centre: float
    image_variance: float
    seed_variances: tuple[tuple[float, int], ...]
    images: int
    seeds: int
    components: Components

    def half_width(self, level: float) -> float:
        """Of the interval that leaves out `level` in all, half on either side; `level`: 0 to 1, exclusive."""
        return half_width(level, self.image_variance, self.seed_variances)

    def interval(self) -> Interval:
        """The change in percentage points, with its 95 % interval. It is that of this case alone, not corrected for others."""
        half = self.half_width(LEVEL)
        return Interval(
            estimate=100 * self.estimate,
            low=100 * max(-2.0, self.centre - half),
            high=100 * min(2.0, self.centre + half),
            seeds=self.seeds,
        )

    def p_value(self) -> float:
        """Of no change: two-sided."""
        return self._level_of(abs(self.centre))

    def p_within(self, margin: float) -> float:
        """Of a change of `margin` or more in either direction (the larger of two one-sided tests).

        Args:
            margin: a proportion of the images, more than 0.
        """
        distance = margin - abs(self.centre)
        return 1.0 if distance <= 0 else self._level_of(distance) / 2

    def _level_of(self, distance: float) -> float:
        """The level at which the interval is as wide as that."""

        def beyond(log_level: float) -> float:
            return self.half_width(math.exp(log_level)) - distance

        if beyond(LOG_LEVELS[1]) >= 0:
            return 1.0
        if beyond(LOG_LEVELS[0]) <= 0:
            return math.exp(LOG_LEVELS[0])
        return math.exp(float(optimize.brentq(beyond, *LOG_LEVELS, xtol=1e-12)))


def half_width(level: float, image_variance: float, seed_variances: Sequence[tuple[float, int]]) -> float:
    """The root of the sum of squares of the parts' half-widths."""
    squares = quantile(level) ** 2 * image_variance
    for variance, freedom in seed_variances:
        squares += quantile(level, freedom) ** 2 * variance
    return math.sqrt(squares)


def quantile(level: float, freedom: int | None = None) -> float:
    """Beyond which the normal distribution has half of `level`; or Student's, where there are degrees of freedom."""
    return -float(special.ndtri(level / 2) if freedom is None else special.stdtrit(freedom, level / 2))


def change_of(a: ArrayLike, b: ArrayLike, *, same_images: bool = True, same_seeds: bool = True) -> Change:
    """Compare what two runs lose.

    Args:
        a: of each seed and image, 1 where the digital network is right and the converted one wrong, -1 the other way round, else 0;
            shape (seeds, images).
        b: the same of the other run.
        same_images: whether column i is the same image in both; else they are two samples of images.
        same_seeds: whether row s is the same seed in both; else they are two samples of seeds.

    Raises:
        ValueError: when nothing was measured, or the shapes do not allow what is said to be the same.
    """
    one, other = np.atleast_2d(np.asarray(a, dtype=float)), np.atleast_2d(np.asarray(b, dtype=float))
    if one.size == 0 or other.size == 0:
        raise ValueError("a comparison needs at least one seed and one image on both sides")
    if (same_seeds and len(one) != len(other)) or (same_images and one.shape[1] != other.shape[1]):
        raise ValueError(f"runs of shapes {one.shape} and {other.shape} (seeds, images) do not share them")

    difference = [other - one] if same_images and same_seeds else [one, other]
    by_image = [other.mean(axis=0) - one.mean(axis=0)] if same_images else [one.mean(axis=0), other.mean(axis=0)]
    by_seed = [other.mean(axis=1) - one.mean(axis=1)] if same_seeds else [one.mean(axis=1), other.mean(axis=1)]
    images, seeds = min(one.shape[1], other.shape[1]), min(len(one), len(other))
    sides_a_part = 2 // len(by_seed)
    spread = [_between_seeds(table) for table in difference]
    between, scatter = sum(part for part, _ in spread), sum(part for _, part in spread)
    return Change(
        estimate=float(other.mean() - one.mean()),
        centre=_towards_zero(other) - _towards_zero(one),
        image_variance=sum(_image_variance(part) for part in by_image),
        seed_variances=tuple(
            (float(np.var(part, ddof=1)) / len(part) + sides_a_part * ROUNDING / images**2 / len(part), len(part) - 1)
            for part in by_seed
        )
        if seeds > 1
        else (),
        images=images,
        seeds=seeds,
        components=Components(
            images=max(0.0, sum(float(np.var(part)) for part in by_image) - scatter / seeds), seeds=between, scatter=scatter
        ),
    )


def _towards_zero(losses: NDArray[np.float64]) -> float:
    images = int(losses.shape[1])
    return float(losses.mean()) * images / (images + 2)


def _image_variance(means: NDArray[np.float64]) -> float:
    with_two_more = np.append(means, (1.0, -1.0))
    return float(np.var(with_two_more)) / with_two_more.size


def _between_seeds(losses: NDArray[np.float64]) -> tuple[float, float]:
    """Variance between seeds, and of single answers around their image and their seed: by a two-way analysis of variance.

    One seed shows neither: all is between images.
    """
    seeds, images = losses.shape
    if seeds == 1 or images == 1:
        return 0.0, 0.0
    of_image, of_seed = losses.mean(axis=0), losses.mean(axis=1)
    rest = losses - of_image - of_seed[:, None] + losses.mean()
    scatter = float(np.sum(rest**2)) / float((seeds - 1) * (images - 1))
    return max(0.0, float(np.var(of_seed, ddof=1)) - scatter / images), scatter


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the order given: each is significant at a level where it is at most that level."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
