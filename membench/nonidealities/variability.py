"""Device-to-device variability: each device is made with its own r_on and r_off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from membench.effect import Crossbar, Effect, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import NonNegative, Positive


class Variability(Effect):
    """r_on and r_off of every device are drawn around the device model's values, which stay the means.

    A weight is mapped with the means, then each device clamps its conductance to its own [1 / r_off, 1 / r_on]
    (MemTorch: StochasticParameter.py, Crossbar.write_conductance_matrix). So the devices near either end of the range move.

    Attributes:
        r_on_sigma: standard deviation of r_on, in ohms.
        r_off_sigma: standard deviation of r_off, in ohms.
        distribution: `normal`, or `lognormal` with that mean and standard deviation.
        minimum: draws below it are raised to it, in ohms: a normal distribution has a negative tail.
    """

    kind: Literal["variability"] = "variability"
    stage: ClassVar[Stage] = Stage.FABRICATION
    r_on_sigma: NonNegative
    r_off_sigma: NonNegative
    distribution: Literal["normal", "lognormal"] = "normal"
    minimum: Positive = 1.0

    @model_validator(mode="after")
    def _varies(self) -> Self:
        if self.r_on_sigma == 0 and self.r_off_sigma == 0:
            raise InputError("Variability: r_on_sigma and r_off_sigma are both 0: nothing would vary. Leave the effect out.")
        return self

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """The spread of r_on and r_off over all devices, which must be there where a sigma was asked for."""
        found = {
            "r_on_sigma": float(np.std(np.concatenate([(1 / bar.conductance_max).ravel() for bar in after]))),
            "r_off_sigma": float(np.std(np.concatenate([(1 / bar.conductance_min).ravel() for bar in after]))),
        }
        for name, sigma in found.items():
            # `minimum` cuts the tail of a very wide distribution, so a fifth of what was asked for will do.
            if sigma < getattr(self, name) / 5:
                raise EffectDidNothingError(
                    f"variability: {name} = {getattr(self, name):g} ohm was asked for, the devices show {sigma:.3g} ohm."
                )
        return found
