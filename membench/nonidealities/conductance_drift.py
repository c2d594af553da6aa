"""Conductance drift: every conductance falls with time by a power law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import NonNegative, Positive, Proportion


class ConductanceDrift(Effect):
    """G(t) = G(t0) (t / t0)^-nu (Boybat et al., NVMTS 2018; MemTorch's model_conductance_drift).

    MemTorch does not clip: a drifted conductance may lie below 1 / r_off.

    Attributes:
        time: since programming, in seconds.
        initial_time: t0 at which the programmed conductances hold, in seconds; below `time`.
        coefficient: nu, 0 to 1; about 0.1 for the amorphous phase of PCM.
        coefficient_sigma: standard deviation of nu from device to device (Joshi et al., Nature Communications 11, 2020);
            MemTorch has one nu for all.
    """

    later: ClassVar[Mapping[str, Any]] = {"coefficient_sigma": 0.0}

    kind: Literal["conductance_drift"] = "conductance_drift"
    stage: ClassVar[Stage] = Stage.AGEING
    time: Positive
    initial_time: Positive = 1.0
    coefficient: Proportion = 0.1
    coefficient_sigma: NonNegative = 0.0

    @model_validator(mode="after")
    def _drifts(self) -> Self:
        if self.time <= self.initial_time:
            raise InputError(
                f"ConductanceDrift: time ({self.time:g} s) must be later than initial_time ({self.initial_time:g} s)."
            )
        if self.coefficient == 0 and self.coefficient_sigma == 0:
            raise InputError("ConductanceDrift: coefficient is 0: nothing would drift. Leave the effect out.")
        return self

    @property
    def factor(self) -> float:
        """What each conductance is multiplied by; where nu varies, its median."""
        return float((self.time / self.initial_time) ** -self.coefficient)

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        if self.coefficient_sigma == 0:
            return crossbar.conductance * self.factor
        drawn = rng.normal(self.coefficient, self.coefficient_sigma, crossbar.conductance.shape)
        coefficient = np.where(crossbar.real, drawn, self.coefficient)  # what only pads a tile is not read
        return np.asarray(crossbar.conductance * (self.time / self.initial_time) ** -coefficient)

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Every free device must follow the closed form, to single precision; where nu varies, its mean and spread must be there."""
        parts = []
        for old, new in zip(before, after, strict=True):
            free = old.free
            parts.append(np.log(new.conductance[free] / old.conductance[free]))
        found = -np.concatenate(parts) / math.log(self.time / self.initial_time)  # nu of each device
        mean, spread = float(np.mean(found)), float(np.std(found))
        if self.coefficient_sigma == 0:
            worst = float(np.max(np.abs((self.time / self.initial_time) ** (self.coefficient - found) - 1)))
            if worst > 1e-5:
                raise EffectDidNothingError(
                    f"conductance_drift: conductances should be {self.factor:.6g} of what they were; one is off by {worst:.2g} of that."
                )
            return {"factor": self.factor, "worst_deviation": worst}
        margin = 6 * self.coefficient_sigma / math.sqrt(found.size) + 1e-6
        if abs(mean - self.coefficient) > margin or abs(spread - self.coefficient_sigma) > margin:
            raise EffectDidNothingError(
                f"conductance_drift: nu has mean {mean:.4g} and standard deviation {spread:.4g}; {self.coefficient:g} and "
                f"{self.coefficient_sigma:g} were asked for."
            )
        return {"factor": self.factor, "mean_coefficient": mean, "coefficient_spread": spread}
