"""Programming error: a device ends near the conductance that it was to have, not at it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import stats

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Integer, Plain, Positive

_ENOUGH = 100  # devices of which a spread can be told
_CHANCE = 1e-9  # how often a count may lie beyond what is accepted
_SINGLE = 2e-7  # rounding to single precision, as a proportion of a conductance


class WriteVerify(Plain):
    """Read after each pulse, and program again while the error is too large (Alibart et al., Nanotechnology 23(7), 2012).

    Attributes:
        tolerance: largest accepted error, as a proportion of what `ProgrammingError.relative_to` says.
        attempts: pulses a device gets at most, the first one included; 2 to 1,000. The last one stands, whatever its error.
    """

    tolerance: Positive
    attempts: Annotated[Integer, Field(ge=2, le=1000)] = 5


class ProgrammingError(Effect):
    """G = G_target + N(0, sigma unit), within the device's own range (Joshi et al., Nature Communications 11, 2020, have the form).

    Attributes:
        sigma: standard deviation of one pulse, as a proportion of the unit.
        relative_to: the unit: `conductance`, each device's own target, or `range`, 1 / r_on - 1 / r_off of the device model.
        write_verify: pulses are repeated until the error is small enough; None: one pulse a device.
    """

    kind: Literal["programming_error"] = "programming_error"
    stage: ClassVar[Stage] = Stage.PROGRAMMING
    rank: ClassVar[int] = 1
    sigma: Positive
    relative_to: Literal["conductance", "range"] = "conductance"
    write_verify: WriteVerify | None = None

    @model_validator(mode="before")
    @classmethod
    def _some_error(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("sigma") == 0:
            raise InputError("ProgrammingError: sigma is 0: nothing would move. Leave the effect out.")
        return data

    @model_validator(mode="after")
    def _verify_moves_something(self) -> Self:
        verify = self.write_verify
        if verify is not None and verify.tolerance > 4 * self.sigma:
            raise InputError(
                f"ProgrammingError: write_verify.tolerance ({verify.tolerance:g}) is beyond 4 sigma ({4 * self.sigma:g}): no pulse would "
                "be repeated. Lower it, or leave write_verify out."
            )
        return self

    def _unit(self, crossbar: Crossbar) -> Array:
        if self.relative_to == "conductance":
            return crossbar.conductance
        low, high = crossbar.device.conductance_range
        return np.full_like(crossbar.conductance, high - low)

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        target, unit = crossbar.conductance, self._unit(crossbar)
        error = rng.normal(0.0, self.sigma, target.shape)
        if self.write_verify is not None:
            for _ in range(self.write_verify.attempts - 1):
                wrong = np.abs(error) > self.write_verify.tolerance
                error[wrong] = rng.normal(0.0, self.sigma, int(wrong.sum()))
        programmed = (target + error * unit).clip(crossbar.conductance_min, crossbar.conductance_max)
        return np.where(crossbar.real, programmed, target)  # what holds no weight is not programmed

    @property
    def spread(self) -> float:
        """Standard deviation of the error that stands, as a proportion of the unit; closed form."""
        if self.write_verify is None:
            return self.sigma
        # Each pulse is a normal number; those within the tolerance stand, and the last one stands anyway.
        kept, within = _cut(self.write_verify.tolerance / self.sigma)
        missed = (1 - kept) ** (self.write_verify.attempts - 1)
        return self.sigma * math.sqrt((1 - missed) * within + missed)

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Mean and spread of the error, over the devices that are too far from the ends of their range to be cut there.

        With write_verify, those within the tolerance and those beyond it are looked at one by one: where the latter are few, they
        decide the spread of all, which is then left to chance.
        """
        errors, rounding, real = [], [], []
        for old, new in zip(before, after, strict=True):
            unit = self._unit(old)
            error, reach = (new.conductance - old.conductance) / unit, 4 * self.sigma * unit
            free = old.free & (old.conductance - reach > old.conductance_min) & (old.conductance + reach < old.conductance_max)
            errors.append(error[old.real])
            rounding.append((_SINGLE * old.conductance / unit)[old.real])
            real.append(free[old.real])
        every, free = np.concatenate(errors), np.concatenate(real)
        details = {"free_devices": float(free.sum()), "expected_spread": self.spread}
        if free.sum() >= _ENOUGH:
            details |= {"mean_error": float(np.mean(every[free])), "spread": float(np.std(every[free]))}
        if self.write_verify is None:
            _check_spread(every[free], self.sigma)
            return details
        tolerance, attempts = self.write_verify.tolerance, self.write_verify.attempts
        stands = np.abs(every) <= tolerance + np.concatenate(rounding)
        kept, within = _cut(tolerance / self.sigma)
        beyond, asked = int(np.count_nonzero(free & ~stands)), (1 - kept) ** attempts
        lowest, highest = stats.binom.ppf(_CHANCE, free.sum(), asked), stats.binom.isf(_CHANCE, free.sum(), asked)
        if not lowest <= beyond <= highest:
            raise EffectDidNothingError(
                f"programming_error: {beyond} of {free.sum()} devices are beyond the tolerance; {asked * free.sum():.3g} were to be."
            )
        _check_spread(every[free & stands], self.sigma * math.sqrt(within))
        if kept < 1:
            _check_spread(every[free & ~stands], self.sigma * math.sqrt((1 - kept * within) / (1 - kept)))
        return details | {"within_tolerance": float(np.mean(stands))}


def _cut(limit: float) -> tuple[float, float]:
    """Of unit normal numbers: how large a part lies within +-`limit`, and the variance of that part."""
    kept = math.erf(limit / math.sqrt(2))
    if limit < 1e-3:
        return kept, limit**2 / 3
    return kept, 1 - limit * math.sqrt(2 / math.pi) * math.exp(-(limit**2) / 2) / kept


def _check_spread(errors: Array, asked: float) -> None:
    """Enough errors must have this standard deviation, and mean 0."""
    if errors.size < _ENOUGH:
        return
    mean, spread = float(np.mean(errors)), float(np.std(errors))
    # Five standard errors, and a hundredth for single precision and the tail beyond the reach.
    margin = 5 / math.sqrt(errors.size) + 0.01
    if abs(spread / asked - 1) > margin or abs(mean) / asked > margin:
        raise EffectDidNothingError(
            f"programming_error: the errors of {errors.size} devices have mean {mean:.3g} and standard deviation {spread:.3g}; "
            f"0 and {asked:.3g} were asked for."
        )
