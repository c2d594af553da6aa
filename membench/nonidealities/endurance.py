"""Endurance: what SET-RESET cycling does to the resistances."""

from __future__ import annotations

from typing import ClassVar, Literal

from membench.effect import Stage
from membench.nonidealities._empirical import EmpiricalMetalOxide
from membench.plain import Positive


class Endurance(EmpiricalMetalOxide):
    """The empirical metal-oxide model over SET-RESET cycles.

    Attributes:
        cycles: SET-RESET cycles that each device has been through.
    """

    kind: Literal["endurance"] = "endurance"
    stage: ClassVar[Stage] = Stage.AGEING
    cycles: Positive

    @property
    def x(self) -> float:
        return self.cycles
