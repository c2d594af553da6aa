"""The empirical metal-oxide RRAM model that endurance and retention share.

C. Lammie, M. Rahimi Azghadi, D. Ielmini, "Empirical metal-oxide RRAM device endurance and retention model for deep learning
simulations", Semiconductor Science and Technology 36(6), 2021.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from membench.devices import Device
from membench.effect import Array, Crossbar, Effect, Random
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Flag, Number, Positive

Fit = tuple[Annotated[Number, Field(gt=0)], Number, Number, Number]


_LEAST = 1e-100  # a threshold below it could not be divided by


class EmpiricalMetalOxide(Effect):
    """Resistances fail once x (cycles, or seconds) exceeds a threshold p_0 exp(p_1 size + p_2 min(T0 / T, 1)).

    Devices below the midpoint of r_on and r_off are taken for LRS, those above for HRS; one that ages past the midpoint as
    LRS ages on as HRS, as in MemTorch. Mode `gradual` moves log10(R) by
    p_3 (p_1 size + p_2 min(T0 / T, 1)) log10(x / threshold); `sudden` puts R at the stable resistance.

    Attributes:
        mode: `gradual` or `sudden`.
        p_lrs: (p_0, p_1, p_2, p_3) of devices at LRS; p_0 in the unit of x and above 0, p_1 in 1/nm, p_2 and p_3 without unit.
        p_hrs: the same of devices at HRS.
        stable_resistance_lrs: where `sudden` leaves a device at LRS, in ohms.
        stable_resistance_hrs: where `sudden` leaves a device at HRS, in ohms.
        cell_size: in nm.
        temperature: T, in kelvin.
        temperature_threshold: T0 above which failure is hastened, in kelvin.
        memtorch_compatible: MemTorch's midpoint, r_on + r_off / 2 of the model class's defaults, whatever the device's own are
            (docs/deviations.md).
    """

    later: ClassVar[Mapping[str, Any]] = {"memtorch_compatible": False}
    mode: Literal["gradual", "sudden"]
    p_lrs: Fit
    p_hrs: Fit
    stable_resistance_lrs: Positive
    stable_resistance_hrs: Positive
    cell_size: Positive = 10.0
    temperature: Positive = 298.0
    temperature_threshold: Positive = 298.0
    memtorch_compatible: Flag = False

    def midpoint(self, device: Device) -> float:
        """The resistance that parts LRS from HRS, in ohms."""
        if not self.memtorch_compatible:
            return (device.r_on + device.r_off) / 2
        defaults = type(device)()  # type: ignore[call-arg] # each model has defaults
        return defaults.r_on + defaults.r_off / 2

    @property
    def x(self) -> float:
        """What the model counts: cycles or seconds."""
        raise NotImplementedError

    def exponent(self, fit: Fit) -> float:
        """p_1 size + p_2 min(T0 / T, 1)."""
        return fit[1] * self.cell_size + fit[2] * min(self.temperature_threshold / self.temperature, 1)

    def threshold(self, fit: Fit) -> float:
        """The x at which failure begins."""
        return fit[0] * math.exp(self.exponent(fit))

    @model_validator(mode="after")
    def _fails(self) -> Self:
        try:
            lrs, hrs = self.threshold(self.p_lrs), self.threshold(self.p_hrs)
        except OverflowError:
            lrs = hrs = math.inf
        if not _LEAST < min(lrs, hrs) <= max(lrs, hrs) < math.inf:
            raise InputError(
                f"{type(self).__name__}: p_lrs or p_hrs puts the threshold at 0 or beyond all numbers: p_1 is per nm, times a cell "
                f"of {self.cell_size:g} nm. Is it in another unit?"
            )
        if self.x <= min(lrs, hrs):
            raise InputError(
                f"{type(self).__name__}: nothing fails yet at {self.x:g}: failure begins at {lrs:g} for LRS and at {hrs:g} for HRS. "
                "Raise it, or leave the effect out."
            )
        return self

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        middle = self.midpoint(crossbar.device)
        resistance = 1 / crossbar.conductance
        for fit, stable, chosen in (
            (self.p_lrs, self.stable_resistance_lrs, np.less),
            (self.p_hrs, self.stable_resistance_hrs, np.greater),
        ):
            start = self.threshold(fit)
            if self.x > start:
                aged = resistance * (self.x / start) ** (fit[3] * self.exponent(fit)) if self.mode == "gradual" else stable
                resistance = np.where(chosen(resistance, middle), aged, resistance)
        return 1 / resistance

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """The devices must be where the model puts them; how far log10(R) moved on average, on either side of the midpoint.

        A device in a hundred may be elsewhere: at the very midpoint, single precision decides to which side it belongs.
        """
        wrong = total = 0
        for old, new in zip(before, after, strict=True):
            expected = self.act_on([old], np.random.default_rng(0))[0].conductance[old.real]
            wrong += int(np.count_nonzero(~np.isclose(new.conductance[old.real], expected, rtol=1e-4, atol=0)))
            total += expected.size
        if wrong > total / 100:
            raise EffectDidNothingError(f"{self.kind}: {wrong} of {total} devices are not where the model puts them.")
        shift: dict[str, list[float]] = {"lrs": [], "hrs": []}
        for old, new in zip(before, after, strict=True):
            resistance = 1 / old.conductance[old.real]
            middle = self.midpoint(old.device)
            moved = np.log10(1 / new.conductance[old.real]) - np.log10(resistance)
            shift["lrs"].extend(moved[resistance < middle])
            shift["hrs"].extend(moved[resistance >= middle])
        return {f"mean_log10_shift_{state}": float(np.mean(values)) if values else 0.0 for state, values in shift.items()} | {
            "threshold_lrs": self.threshold(self.p_lrs),
            "threshold_hrs": self.threshold(self.p_hrs),
        }
