"""Device faults: devices stuck at the low or the high resistance state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy import stats

from membench.effect import Array, Crossbar, Effect, Random, Stage
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

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        conductance = crossbar.conductance.ravel().copy()
        for proportion, stuck in (
            (self.hrs_proportion + self.electroform_proportion, crossbar.conductance_min),
            (self.lrs_proportion, crossbar.conductance_max),
        ):
            chosen = rng.choice(conductance.size, size=int(conductance.size * proportion), replace=False)
            conductance[chosen] = stuck.ravel()[chosen]
        return conductance.reshape(crossbar.conductance.shape)

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Each device that moved must be at an end of its range, and as many must be there as chance allows for.

        Devices may be at an end before (at HRS those that hold no weight), so only the ones that moved there are evidence.
        """
        stuck = {"stuck_at_lrs": 0, "stuck_at_hrs": 0}
        found, least = dict(stuck), dict(stuck)
        for old, new in zip(before, after, strict=True):
            at_lrs, at_hrs = _at(new.conductance, new.conductance_max), _at(new.conductance, new.conductance_min)
            stray = int(np.count_nonzero((old.conductance != new.conductance) & ~at_lrs & ~at_hrs))
            if stray:
                raise EffectDidNothingError(
                    f"device_faults: {stray} devices of {new.layer!r} moved to a conductance that is neither LRS nor HRS."
                )
            stuck["stuck_at_lrs"] += int(np.count_nonzero(at_lrs))
            stuck["stuck_at_hrs"] += int(np.count_nonzero(at_hrs))
            not_lrs = ~_at(old.conductance, old.conductance_max)
            not_hrs = ~_at(old.conductance, old.conductance_min)
            found["stuck_at_lrs"] += int(np.count_nonzero(at_lrs & not_lrs))
            found["stuck_at_hrs"] += int(np.count_nonzero(at_hrs & not_hrs))
            size, lrs = new.conductance.size, int(new.conductance.size * self.lrs_proportion)
            hrs = int(size * (self.hrs_proportion + self.electroform_proportion))
            # Some draws fall on devices that are there already, and an LRS draw may take devices at HRS away again.
            least["stuck_at_lrs"] += _fewest(size, int(np.count_nonzero(not_lrs)), lrs)
            least["stuck_at_hrs"] += _fewest(size, _fewest(size, int(np.count_nonzero(not_hrs)), hrs), size - lrs)
        for name, number in least.items():
            if found[name] < number:
                raise EffectDidNothingError(
                    f"device_faults: {name}: at least {number} devices were to move there, {found[name]} did."
                )
        return {name: float(number) for name, number in stuck.items()}


def _at(conductance: Array, end: Array) -> NDArray[np.bool_]:
    return np.isclose(conductance, end, rtol=1e-6, atol=0)


def _fewest(population: int, special: int, draws: int) -> int:
    """How many special members a draw without replacement has at the least, but for once in 10^9 draws."""
    return int(stats.hypergeom.ppf(1e-9, population, special, draws))
