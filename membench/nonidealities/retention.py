"""Retention: what waiting does to the resistances of a metal-oxide device."""

from __future__ import annotations

from typing import ClassVar, Literal

from membench.effect import Stage
from membench.nonidealities._empirical import EmpiricalMetalOxide
from membench.plain import Positive


class Retention(EmpiricalMetalOxide):
    """The empirical metal-oxide model over time.

    Attributes:
        time: since programming, in seconds.
    """

    kind: Literal["retention"] = "retention"
    stage: ClassVar[Stage] = Stage.AGEING
    time: Positive

    @property
    def x(self) -> float:
        return self.time
