"""Conductance drift: every conductance falls with time by a power law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Positive, Proportion


class ConductanceDrift(Effect):
    """G(t) = G(t0) (t / t0)^-nu (Boybat et al., NVMTS 2018; MemTorch's model_conductance_drift).

    MemTorch does not clip: a drifted conductance may lie below 1 / r_off.

    Attributes:
        time: since programming, in seconds.
        initial_time: t0 at which the programmed conductances hold, in seconds; below `time`.
        coefficient: nu, 0 to 1; about 0.1 for the amorphous phase of PCM.
    """

    kind: Literal["conductance_drift"] = "conductance_drift"
    stage: ClassVar[Stage] = Stage.AGEING
    time: Positive
    initial_time: Positive = 1.0
    coefficient: Proportion = 0.1

    @model_validator(mode="after")
    def _drifts(self) -> Self:
        if self.time <= self.initial_time:
            raise InputError(
                f"ConductanceDrift: time ({self.time:g} s) must be later than initial_time ({self.initial_time:g} s)."
            )
        if self.coefficient == 0:
            raise InputError("ConductanceDrift: coefficient is 0: nothing would drift. Leave the effect out.")
        return self

    @property
    def factor(self) -> float:
        """What each conductance is multiplied by."""
        return float((self.time / self.initial_time) ** -self.coefficient)

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        return crossbar.conductance * self.factor

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Every device must follow the closed form, to single precision."""
        worst = max(
            float(np.max(np.abs(new.conductance / (old.conductance * self.factor) - 1)[old.real]))
            for old, new in zip(before, after, strict=True)
        )
        if worst > 1e-5:
            raise EffectDidNothingError(
                f"conductance_drift: conductances should be {self.factor:.6g} of what they were; one is off by {worst:.2g} of that."
            )
        return {"factor": self.factor, "worst_deviation": worst}
