"""What points are estimated to cost, in seconds, and how long one may take before it is taken for hung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from membench.campaign._kit import setup_of
from membench.case import Case

LIMIT_FACTOR = 20.0  # a point may take so many times its estimate,
LIMIT_BASE_S = 60.0  # and this more: the digital network answers first, and a machine may be busy
LIMIT_UNKNOWN_S = 3600.0  # where there is no estimate


@dataclass(frozen=True)
class Price:
    """Seconds that a point takes, and each of its images."""

    point: float
    image: float

    def of(self, point: Case) -> float:
        return self.point + point.images * self.image


@dataclass(frozen=True)
class Prices:
    """The price of a point of each network and data set, from a few images of one case; more where it could not be measured.

    Attributes:
        known: by `setup_of`.
        limit: seconds that a point may take, instead of what follows from its price.
    """

    known: Mapping[str, Price] = field(default_factory=dict)
    limit: float | None = None

    def of(self, point: Case) -> float:
        """Seconds; 1 where nothing is known."""
        price = self.known.get(setup_of(point))
        return price.of(point) if price else 1.0

    def limit_of(self, point: Case) -> float:
        """Seconds after which a point is taken for hung."""
        if self.limit is not None:
            return self.limit
        return LIMIT_BASE_S + LIMIT_FACTOR * self.of(point) if setup_of(point) in self.known else LIMIT_UNKNOWN_S
