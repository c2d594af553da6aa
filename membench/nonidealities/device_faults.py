"""Device faults: devices stuck at the low or the high resistance state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from membench.effect import Array, Crossbar, Effect, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Proportion


class DeviceFaults(Effect):
    """Devices chosen at random are stuck.

    MemTorch (DeviceFaults.py) draws the stuck-at-HRS devices, then the stuck-at-LRS devices independently: a device drawn
    twice ends at LRS. The proportions are of all devices of a crossbar, those that only pad a tile included.

    Attributes:
        lrs_proportion: devices stuck at 1 / r_on, 0 to 1.
        hrs_proportion: devices stuck at 1 / r_off, 0 to 1.
        electroform_proportion: devices that failed to electroform, 0 to 1; they stay at 1 / r_off.
    """

    kind: Literal["device_faults"] = "device_faults"
    stage: ClassVar[Stage] = Stage.PROGRAMMING
    lrs_proportion: Proportion = 0.0
    hrs_proportion: Proportion = 0.0
    electroform_proportion: Proportion = 0.0

    @model_validator(mode="after")
    def _some_fail(self) -> Self:
        if self.lrs_proportion + self.hrs_proportion + self.electroform_proportion == 0:
            raise InputError("DeviceFaults: all proportions are 0: no device would fail. Leave the effect out.")
        if self.hrs_proportion + self.electroform_proportion > 1:
            raise InputError(
                f"DeviceFaults: hrs_proportion + electroform_proportion is {self.hrs_proportion + self.electroform_proportion:g}; "
                "both leave a device at HRS, so together they may be 1 at most."
            )
        return self

    def act(self, crossbar: Crossbar, rng: np.random.Generator) -> Array:
        conductance = crossbar.conductance.ravel().copy()
        for proportion, stuck in (
            (self.hrs_proportion + self.electroform_proportion, crossbar.conductance_min),
            (self.lrs_proportion, crossbar.conductance_max),
        ):
            chosen = rng.choice(conductance.size, size=int(conductance.size * proportion), replace=False)
            conductance[chosen] = stuck.ravel()[chosen]
        return conductance.reshape(crossbar.conductance.shape)

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Each device that moved must be at an end of its range; as many must be there as were asked for."""
        stuck = {"stuck_at_lrs": 0, "stuck_at_hrs": 0}
        asked = {"stuck_at_lrs": 0, "stuck_at_hrs": 0}
        for old, new in zip(before, after, strict=True):
            size = new.conductance.size
            at_lrs = np.isclose(new.conductance, new.conductance_max, rtol=1e-6, atol=0)
            at_hrs = np.isclose(new.conductance, new.conductance_min, rtol=1e-6, atol=0)
            moved = old.conductance != new.conductance
            stray = int(np.count_nonzero(moved & ~at_lrs & ~at_hrs))
            if stray:
                raise EffectDidNothingError(
                    f"device_faults: {stray} devices of {new.layer!r} moved to a conductance that is neither LRS nor HRS."
                )
            stuck["stuck_at_lrs"] += int(np.count_nonzero(at_lrs))
            stuck["stuck_at_hrs"] += int(np.count_nonzero(at_hrs))
            lrs = int(size * self.lrs_proportion)
            asked["stuck_at_lrs"] += lrs
            # An LRS draw may take any of the HRS devices away again.
            asked["stuck_at_hrs"] += max(0, int(size * (self.hrs_proportion + self.electroform_proportion)) - lrs)
        for name, number in asked.items():
            if stuck[name] < number:
                raise EffectDidNothingError(f"device_faults: {name}: {number} devices were asked for, {stuck[name]} are there.")
        return {name: float(number) for name, number in stuck.items()}
