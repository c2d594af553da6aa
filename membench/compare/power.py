"""How many images, or seeds, would tell: by the parts in which the measured change varies.

It answers for a change that is as large as the one measured. A measured change is uncertain itself, and so is the spread of a few seeds:
the numbers are for planning.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from membench.compare.significance import LEVEL, ROUNDING, Change, Components, quantile
from membench.plain import Plain

POWER = 0.8
MOST_IMAGES = 10_000_000  # of a data set that is not known here
MOST_SEEDS = 1_000
# The spread between seeds is itself estimated: these are equally likely places in its distribution.
_PLACES = (np.arange(400) + 0.5) / 400


class Need(Plain):
    """What would do with a power of 80 %.

    Attributes:
        images: with as many seeds as now; None where no number of images that there are would do.
        seeds: with as many images as now; None where no number of seeds would do, or where the spread between seeds is unknown.
    """

    images: int | None
    seeds: int | None


def to_find(change: Change, cases: int = 1, most: int = MOST_IMAGES) -> Need:
    """What it takes to find a change as large as the one measured, as one of so many cases, with no more images than `most`."""
    effect, parts = abs(change.estimate), change.components
    return _need(change, most, lambda images, seeds: chance_to_find(effect, parts, images, seeds, LEVEL / cases))


def to_rule_out(change: Change, margin: float, cases: int = 1, most: int = MOST_IMAGES) -> Need:
    """What it takes to show that the change is smaller than `margin` (a proportion), if it is as measured."""
    effect, parts = abs(change.estimate), change.components
    return _need(change, most, lambda images, seeds: chance_within(effect, margin, parts, images, seeds, LEVEL / cases))


def _need(change: Change, most: int, power: Callable[[int, int], float]) -> Need:
    images = _smallest(lambda n: power(n, change.seeds) >= POWER, change.images, most)
    seeds = _smallest(lambda m: power(change.images, m) >= POWER, change.seeds, MOST_SEEDS) if change.seeds > 1 else None
    return Need(images=None if images is None else min(_rounded_up(images), most), seeds=seeds)


def chance_to_find(effect: float, parts: Components, images: int, seeds: int, level: float) -> float:
    """Power of the two-sided test at `level`.

    Args:
        effect: the true change, a proportion of the images.
    """
    spread, half = _sampling(parts, images, seeds, level)
    centre = effect * images / (images + 2)
    return float(np.mean(special.ndtr((centre - half) / spread) + special.ndtr((-centre - half) / spread)))


def chance_within(effect: float, margin: float, parts: Components, images: int, seeds: int, level: float) -> float:
    """Chance that both one-sided tests at `level` show the change to be smaller than `margin`."""
    spread, half = _sampling(parts, images, seeds, 2 * level)
    room, centre = np.maximum(margin - half, 0.0), effect * images / (images + 2)
    return float(np.mean(special.ndtr((room - centre) / spread) - special.ndtr((-room - centre) / spread)))


def _sampling(parts: Components, images: int, seeds: int, level: float) -> tuple[float, np.typing.NDArray[np.float64]]:
    """The estimate's standard deviation, and the half-widths that the test may take."""
    of_image = parts.images + parts.scatter / seeds
    by_images = (images * of_image + 2) / (images + 2) ** 2
    by_seeds = (parts.seeds + parts.scatter / images) / seeds
    spread = max(1e-12, parts.images / images + parts.seeds / seeds + parts.scatter / (images * seeds)) ** 0.5
    squares = np.full(_PLACES.size, quantile(level) ** 2 * by_images)
    if seeds > 1:
        seen = by_seeds * 2 * special.gammaincinv((seeds - 1) / 2, _PLACES) / (seeds - 1) + 2 * ROUNDING / images**2 / seeds
        squares = squares + quantile(level, seeds - 1) ** 2 * seen
    return spread, np.sqrt(squares)


def _smallest(enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """The smallest number above `start` that is enough, or None up to `most`; what is enough stays so with more."""
    if start >= most:
        return None
    low, high = start, start + 1
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _rounded_up(number: int) -> int:
    """To two digits: more would promise more than is known."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit
