"""Where a campaign stands, as its client tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class State:
    """Where a campaign stands.

    Attributes:
        done: cases that have a record, those of earlier runs among them.
        total: cases in all.
        points_done: points that have a record, or whose case has one.
        points: in all.
        work: seconds of one worker that the measured points were estimated to take.
        whole: seconds of one worker that all points are estimated to take, from a few images of each network and data set.
        failures: why there is no record of a point, by its description.
        workers: how many there are.
        busy: seconds that each worker, by its address, spent on the points that this client had measured.
    """

    done: int
    total: int
    points_done: int
    points: int
    work: float
    whole: float
    failures: Mapping[str, str]
    workers: int
    busy: Mapping[str, float] = field(default_factory=dict)
