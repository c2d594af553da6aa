"""Finite conductance states: a device can be programmed to one of a few conductances only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from membench.devices import Device
from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Integer, Positive


class FiniteConductanceStates(Effect):
    """Each device takes the nearest of its states, and no other than its own r_off and r_on allow.

    MemTorch's effect of this name does nothing (docs/deviations.md), so there is no mode that is compatible with it.

    Attributes:
        states: how many, evenly spaced in conductance from 1 / r_off to 1 / r_on of the device model; 2 to 65,536.
        levels: instead of `states`, the conductances themselves, in siemens, rising.
    """

    kind: Literal["finite_conductance_states"] = "finite_conductance_states"
    stage: ClassVar[Stage] = Stage.PROGRAMMING
    states: Annotated[Integer, Field(ge=2, le=65_536)] | None = None
    levels: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.states is None) == (self.levels is None):
            raise InputError("FiniteConductanceStates: give either states (how many) or levels (in siemens).")
        if self.levels is not None and any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise InputError(f"FiniteConductanceStates: levels must rise, each once; given: {self.levels}.")
        return self

    def unfit(self, device: Device, max_input_voltage: float | None) -> str:
        low, high = device.conductance_range
        if self.levels is not None and not low * (1 - 1e-6) <= self.levels[0] <= self.levels[-1] <= high * (1 + 1e-6):
            return f"its levels, {self.levels[0]:g} to {self.levels[-1]:g} S, are not all within the device's {low:g} to {high:g} S"
        return ""

    def of(self, device: Device) -> Array:
        """The states of a device, in siemens, rising."""
        return np.array(self.levels) if self.levels is not None else np.linspace(*device.conductance_range, self.states or 2)

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        states = self.of(crossbar.device)
        between = (states[1:] + states[:-1]) / 2
        nearest = states[np.searchsorted(between, crossbar.conductance)]
        return np.asarray(nearest.clip(crossbar.conductance_min, crossbar.conductance_max))

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Each device must be at its nearest state, or at the end of its own range; the levels seen are counted."""
        seen: set[float] = set()
        for old, new in zip(before, after, strict=True):
            free = old.free
            expected = self.act(old, np.random.default_rng(0))[free]
            stray = int(np.count_nonzero(~np.isclose(new.conductance[free], expected, rtol=1e-5, atol=0)))
            # Half-way between two states, single precision decides.
            if stray > free.sum() / 1000:
                raise EffectDidNothingError(f"{self.kind}: {stray} devices of {new.layer!r} are not at their nearest state.")
            inside = (expected > old.conductance_min[free] * (1 + 1e-6)) & (expected < old.conductance_max[free] * (1 - 1e-6))
            seen |= set(expected[inside].tolist())
        return {"states": float(len(self.of(after[0].device))), "states_seen_inside": float(len(seen))}
