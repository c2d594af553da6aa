"""Device faults: devices stuck at the low or the high resistance state, or never formed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy import stats

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Flag, Positive, Proportion

_KINDS = ("electroform", "hrs", "lrs")


class DeviceFaults(Effect):
    """Devices chosen at random are stuck: no later effect moves them.

    The three kinds are disjoint, and the proportions are of the devices that hold a weight. MemTorch (DeviceFaults.py) draws the
    stuck-at-HRS devices, then the stuck-at-LRS devices independently, so that one drawn twice ends at LRS, among all devices of
    a crossbar, padding included, and a later effect moves them again (docs/deviations.md).

    Attributes:
        lrs_proportion: devices stuck at 1 / r_on, 0 to 1.
        hrs_proportion: devices stuck at 1 / r_off, 0 to 1.
        electroform_proportion: devices that failed to electroform, 0 to 1.
        electroform_resistance: of those devices, in ohms; None: they stay at their r_off, as in MemTorch.
        counts: `exact`: just that proportion of each crossbar's devices, rounded; `binomial`: each device by itself.
        memtorch_compatible: draw as MemTorch does.
    """

    kind: Literal["device_faults"] = "device_faults"
    stage: ClassVar[Stage] = Stage.PROGRAMMING
    rank: ClassVar[int] = 2
    later: ClassVar[Mapping[str, Any]] = {"electroform_resistance": None, "counts": "exact"}
    lrs_proportion: Proportion = 0.0
    hrs_proportion: Proportion = 0.0
    electroform_proportion: Proportion = 0.0
    electroform_resistance: Positive | None = None
    counts: Literal["exact", "binomial"] = "exact"
    memtorch_compatible: Flag = False

    @model_validator(mode="after")
    def _some_fail(self) -> Self:
        if self.lrs_proportion + self.hrs_proportion + self.electroform_proportion == 0:
            raise InputError("DeviceFaults: all proportions are 0: no device would fail. Leave the effect out.")
        together = self.hrs_proportion + self.electroform_proportion
        if self.memtorch_compatible:
            if together > 1:
                raise InputError(
                    f"DeviceFaults: hrs_proportion + electroform_proportion is {together:g}; both leave a device at HRS, so together "
                    "they may be 1 at most."
                )
            if self.counts != "exact" or self.electroform_resistance is not None:
                raise InputError(
                    "DeviceFaults: MemTorch has exact counts and no electroform_resistance; leave both as they are."
                )
        elif together + self.lrs_proportion > 1 + 1e-12:
            raise InputError(
                f"DeviceFaults: the proportions add up to {together + self.lrs_proportion:g}; a device fails in one way only, so "
                "together they may be 1 at most."
            )
        if self.electroform_resistance is not None and self.electroform_proportion == 0:
            raise InputError("DeviceFaults: electroform_resistance is given, but electroform_proportion is 0.")
        return self

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        return self.act_on([crossbar], rng)[0].conductance

    def act_on(self, crossbars: Sequence[Crossbar], rng: Random) -> list[Crossbar]:
        return [(self._as_memtorch if self.memtorch_compatible else self._stuck)(bar, rng) for bar in crossbars]

    def _stuck(self, crossbar: Crossbar, rng: Random) -> Crossbar:
        conductance = crossbar.conductance.copy()
        devices = np.flatnonzero(crossbar.free)
        stuck = np.zeros(conductance.shape, dtype=bool) if crossbar.stuck is None else crossbar.stuck.copy()
        for name, chosen in self._chosen(devices, rng).items():
            at = np.unravel_index(chosen, conductance.shape)
            conductance[at] = self._ends(crossbar)[name][at]
            stuck[at] = True
        return dataclasses.replace(crossbar, conductance=conductance, stuck=stuck)

    def _chosen(self, devices: NDArray[np.intp], rng: Random) -> dict[str, NDArray[np.intp]]:
        """Which of `devices` fail in each way."""
        if self.counts == "exact":
            order = rng.permutation(devices)
            edges = [round(devices.size * part) for part in np.cumsum(self._proportions)]
            parts = [order[start:stop] for start, stop in zip([0, *edges], edges, strict=False)]
        else:
            which = np.searchsorted(np.cumsum(self._proportions), rng.uniform(size=devices.size), side="right")
            parts = [devices[which == index] for index in range(len(_KINDS))]
        return dict(zip(_KINDS, parts, strict=True))

    @property
    def _proportions(self) -> tuple[float, float, float]:
        """Of each kind of fault."""
        return self.electroform_proportion, self.hrs_proportion, self.lrs_proportion

    def _ends(self, crossbar: Crossbar) -> dict[str, Array]:
        """Where each kind of fault holds a device."""
        low, high = crossbar.conductance_min, crossbar.conductance_max
        never = low if self.electroform_resistance is None else np.full(low.shape, 1 / self.electroform_resistance)
        return {"electroform": never, "hrs": low, "lrs": high}

    def _as_memtorch(self, crossbar: Crossbar, rng: Random) -> Crossbar:
        conductance = crossbar.conductance.ravel().copy()
        for proportion, stuck in (
            (self.hrs_proportion + self.electroform_proportion, crossbar.conductance_min),
            (self.lrs_proportion, crossbar.conductance_max),
        ):
            chosen = rng.choice(conductance.size, size=int(conductance.size * proportion), replace=False)
            conductance[chosen] = stuck.ravel()[chosen]
        return crossbar.moved_to(conductance.reshape(crossbar.conductance.shape))

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        return self._check_memtorch(before, after) if self.memtorch_compatible else self._check_own(before, after)

    def _check_own(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """The stuck devices are known one by one: as many as were asked for at each end, and no other device moved."""
        seen: list[list[int]] = []
        at_end = np.zeros(len(_KINDS))
        for old, new in zip(before, after, strict=True):
            was = np.zeros(old.real.shape, dtype=bool) if old.stuck is None else old.stuck
            fresh = np.zeros_like(was) if new.stuck is None else new.stuck & ~was
            if int(np.count_nonzero(fresh & ~old.real)):
                raise EffectDidNothingError(
                    f"device_faults: devices of {new.layer!r} that only pad a tile were counted as faults."
                )
            moved = ~np.isclose(new.conductance, old.conductance, rtol=1e-6, atol=0) & ~fresh
            if stray := int(np.count_nonzero(moved)):
                raise EffectDidNothingError(f"device_faults: {stray} devices of {new.layer!r} moved though they are not stuck.")
            at = np.stack([(fresh & _at(new.conductance, end)).ravel() for end in self._ends(old).values()])
            if stray := int(np.count_nonzero(fresh)) - int(np.count_nonzero(at.any(axis=0))):
                raise EffectDidNothingError(
                    f"device_faults: {stray} stuck devices of {new.layer!r} are at a conductance that is no end of theirs."
                )
            at_end += (at & (np.cumsum(at, axis=0) == 1)).sum(axis=1)
            # Where two ends are equal, a device may be stuck in either way.
            only = at & (at.sum(axis=0) == 1)
            fell = int(np.count_nonzero(fresh))
            seen.append([int(np.count_nonzero(old.free)), fell, *at.sum(axis=1).tolist(), *only.sum(axis=1).tolist()])
        every = np.sum(seen, axis=0).tolist()
        for devices, found, *limits in seen if self.counts == "exact" else [every]:
            self._check_counts(devices, found, limits[: len(_KINDS)], limits[len(_KINDS) :])
        names = dict(zip(_KINDS, at_end.tolist(), strict=True))
        if self.electroform_resistance is None:  # these two are at the same end
            names["hrs"] += names.pop("electroform")
        asked, stuck = every[0] * sum(self._proportions), float(every[1])
        return {"asked": asked, "stuck": stuck} | {f"stuck_at_{name}": number for name, number in names.items()}

    def _check_counts(self, devices: int, found: int, at_most: Sequence[int], at_least: Sequence[int]) -> None:
        """So many `devices` could fail and so many did; how many in each way is known within limits."""
        total = sum(self._proportions)
        if abs(found - devices * total) > self._margin(devices, total, 0.5):
            raise EffectDidNothingError(f"device_faults: {devices * total:g} devices were to be stuck, {found} are.")
        for name, part, most, least in zip(_KINDS, self._proportions, at_most, at_least, strict=True):
            margin = self._margin(devices, part, 1.0) if part else 0.0
            if most < devices * part - margin or least > devices * part + margin:
                raise EffectDidNothingError(
                    f"device_faults: stuck_at_{name}: {devices * part:g} devices were to be there, {least if least else most} are."
                )

    def _margin(self, devices: int, part: float, rounding: float) -> float:
        """By how much a count may be off: by rounding, or by chance."""
        chance = 6 * math.sqrt(devices * part * max(1 - part, 0)) + 1
        return (rounding if self.counts == "exact" else chance) + 1e-9 * devices

    def _check_memtorch(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
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
