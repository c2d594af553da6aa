"""Cycle-to-cycle (read) noise: each read finds every device at another conductance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from membench.effect import Array, Crossbar, Proof, ReadEffect, Reading
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Positive


class ReadNoise(ReadEffect):
    """Every product of a vector with a tile reads G + N(0, sigma unit), new for each device and each read.

    A bit line adds up many devices, so its current gets one normal number of variance sum_i v_i^2 sigma_i^2 (exactly so, since
    the devices are independent; AIHWKIT and CrossSim do the same). The devices that hold a weight are noisy, padding is not.
    MemTorch has no such effect: its apply_cycle_variability clamps the conductances to a new range, for good, and draws nothing at a
    read.

    Attributes:
        sigma: standard deviation, as a proportion of the unit.
        relative_to: the unit: `conductance`, each device's own, or `range`, 1 / r_on - 1 / r_off of the device model.
    """

    kind: Literal["read_noise"] = "read_noise"
    sigma: Positive
    relative_to: Literal["conductance", "range"] = "conductance"

    @model_validator(mode="before")
    @classmethod
    def _some_noise(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("sigma") == 0:
            raise InputError("ReadNoise: sigma is 0: nothing would be noisy. Leave the effect out.")
        return data

    def variance(self, crossbar: Crossbar) -> Array:
        low, high = crossbar.device.conductance_range
        unit = crossbar.conductance if self.relative_to == "conductance" else high - low
        return np.where(crossbar.real, np.square(self.sigma * unit), 0.0)

    def check_reading(self, crossbars: Sequence[Crossbar], before: Sequence[Reading], after: Sequence[Reading]) -> Proof:
        """The variance over the reads must be what the devices' variances add up to, beside what noise there was before."""
        of_layer: defaultdict[str, float] = defaultdict(float)
        for bar in crossbars:
            of_layer[bar.layer] += float(self.variance(bar).sum())
        ratios = []
        for old, new in zip(before, after, strict=True):
            reads, vectors, columns = new.currents.shape
            added = float((new.currents.var(axis=0, ddof=1) - old.currents.var(axis=0, ddof=1)).mean(axis=0).sum())
            ratio = added / (float(np.mean(np.square(new.voltages))) * of_layer[new.layer])
            # Six standard errors of a variance from so many reads; columns may carry unequal shares of it.
            margin = 6 * math.sqrt(2 / ((reads - 1) * vectors * min(columns, 4))) + 0.05
            if not abs(ratio - 1) <= margin:
                raise EffectDidNothingError(
                    f"read_noise: the currents of {new.layer!r} vary from read to read by {ratio:.3g} of the variance asked for."
                )
            ratios.append(ratio)
        real = sum(int(bar.real.sum()) for bar in crossbars)
        relative = sum(float((np.sqrt(self.variance(bar)) / bar.conductance)[bar.real].sum()) for bar in crossbars)
        return Proof(
            effect=self.kind,
            devices=real,
            moved=sum(int(np.count_nonzero(self.variance(bar)[bar.real])) for bar in crossbars),
            mean_change=relative * math.sqrt(2 / math.pi) / real,  # the mean of |N(0, sigma)|
            details={
                "variance_found_to_asked": float(np.mean(ratios)),
                "worst_layer": float(max(ratios, key=lambda r: abs(r - 1))),
            },
        )
