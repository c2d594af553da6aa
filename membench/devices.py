"""Memristive device models: which of MemTorch's models a crossbar is made of, and between which resistances it works.

membench writes conductances directly (one transistor and one memristor a cell, 1T1R). There, of a device model only the two
resistances act; the switching parameters (VTEAM's k_on, alpha_on, ...) move no result, so they are not fields: a field that
is accepted and ignored would be a lie. Defaults are MemTorch 1.1.6's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from membench.errors import InputError
from membench.plain import Plain, Positive
from membench.words import quoted


@dataclass(frozen=True)
class Sinh:
    """A device of conductance g carries g a sinh(v / v0) at v volts.

    Attributes:
        amplitude: a, in volts.
        scale: v0, in volts.
    """

    amplitude: float
    scale: float

    def __call__(self, voltage: ArrayLike) -> NDArray[np.float64]:
        """The voltage at which an ohmic device would carry the same current, in volts."""
        return np.asarray(self.amplitude * np.sinh(np.asarray(voltage, dtype=np.float64) / self.scale))


@dataclass(frozen=True)
class LookUp:
    """A device of conductance g carries g times what a table says for its voltage, linear in between and constant beyond the ends.

    Attributes:
        voltages: in volts, rising.
        values: current through a device of 1 S, in amperes; of the same length.
    """

    voltages: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, voltage: ArrayLike) -> NDArray[np.float64]:
        """The voltage at which an ohmic device would carry the same current, in volts."""
        return np.asarray(np.interp(np.asarray(voltage, dtype=np.float64), self.voltages, self.values))


CurrentLaw = Sinh | LookUp


class Device(Plain):
    """Base of the device models.

    Attributes:
        r_on: low resistance state (LRS), in ohms.
        r_off: high resistance state (HRS), in ohms; greater than r_on.
    """

    kind: str
    r_on: Positive
    r_off: Positive

    @model_validator(mode="before")
    @classmethod
    def _explain_switching_parameters(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [key for key in data if key not in cls.model_fields]):
            raise InputError(
                f"{cls.__name__} has no parameter {', '.join(map(quoted, unknown[:8]))}. It takes r_on and r_off, in ohms. Conductances "
                "are written directly (1T1R), so a model's switching parameters would move no result and are not accepted."
            )
        return data

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.r_on >= self.r_off:
            raise InputError(
                f"{type(self).__name__}: r_on ({self.r_on:g} ohm) must be below r_off ({self.r_off:g} ohm): LRS is the low "
                "resistance. Were they swapped?"
            )
        return self

    @property
    def conductance_range(self) -> tuple[float, float]:
        """(1 / r_off, 1 / r_on), in siemens."""
        return 1 / self.r_off, 1 / self.r_on

    @property
    def law(self) -> CurrentLaw | None:
        """The model's own current law (MemTorch's `current`), for a device of given conductance; None: i = g v."""
        return None


class VTEAM(Device):
    """VTEAM (Kvatinsky et al., IEEE TCAS-II 62(8), 2015)."""

    kind: Literal["VTEAM"] = "VTEAM"
    r_on: Positive = 50.0
    r_off: Positive = 1000.0


class LinearIonDrift(Device):
    """Linear ion drift (Strukov et al., Nature 453, 2008)."""

    kind: Literal["LinearIonDrift"] = "LinearIonDrift"
    r_on: Positive = 100.0
    r_off: Positive = 16e3


class StanfordPKU(Device):
    """Stanford-PKU RRAM model (Jiang et al., SISPAD 2014). Its gap is positive only where r_on is above 243.5 ohm."""

    kind: Literal["Stanford_PKU"] = "Stanford_PKU"
    r_on: Positive = 542.0
    r_off: Positive = 218586.0

    @model_validator(mode="after")
    def _gap_is_positive(self) -> Self:
        # MemTorch: gap_min = g_0 ln(I_0 sinh(V / V_0) / (V / r_on)) > 0, with I_0 = 1 mA, V = 0.1 V, V_0 = 0.25 V.
        lowest = 0.1 / (1e-3 * math.sinh(0.1 / 0.25))
        if self.r_on <= lowest:
            raise InputError(
                f"StanfordPKU: r_on ({self.r_on:g} ohm) must be above {lowest:.1f} ohm, where the gap is positive."
            )
        return self

    @property
    def law(self) -> CurrentLaw:
        """i = I_0 exp(-gap / g_0) sinh(v / V_0), V_0 = 0.25 V; the gap is such that i / v is the conductance at 0.1 V."""
        return Sinh(0.1 / math.sinh(0.1 / 0.25), 0.25)


class DataDriven(Device):
    """Data-driven ReRAM model (Messaris et al., IEEE TCAD 37(12), 2018)."""

    kind: Literal["Data_Driven"] = "Data_Driven"
    r_on: Positive = 1280.0
    r_off: Positive = 17e3

    @property
    def law(self) -> CurrentLaw:
        """i = a g sinh(b v) with a = 0.24 V and b = 3 / V: at low voltages 0.72 of g v."""
        return Sinh(0.24, 1 / 3)


class DataDriven2021(Device):
    """Data-driven ReRAM model as updated in arXiv 2012.02267."""

    kind: Literal["Data_Driven2021"] = "Data_Driven2021"
    r_on: Positive = 1600.0
    r_off: Positive = 3000.0

    @property
    def law(self) -> CurrentLaw:
        """i = a g sinh(b v) with a = 0.320 V and b = 2.717 / V: at low voltages 0.87 of g v."""
        return Sinh(0.32046175, 1 / 2.71689828)


AnyDevice = Annotated[VTEAM | LinearIonDrift | StanfordPKU | DataDriven | DataDriven2021, Field(discriminator="kind")]
