"""MemTorch's random numbers, drawn as arrays: the same numbers in the same order from the same seed.

MemTorch draws one number at a time from torch's global generator, device by device. A single normal number comes from the
scalar Box-Muller transform in double precision, two numbers a pair of uniform ones (ATen's DistributionsHelper.h), so that a
whole crossbar's can be computed at once from the same uniform numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from membench.errors import InputError

_RETRIES = 5


@dataclass(frozen=True)
class Resistance:
    """How one resistance of a device is made, in ohms.

    Attributes:
        mean: what the device model says.
        sigma: standard deviation; 0: every device has the mean.
        lognormal: whether the logarithm is normal.
        minimum: smaller samples are raised to it.
    """

    mean: float
    sigma: float = 0.0
    lognormal: bool = False
    minimum: float = 0.0

    def sampled(self, unit: Tensor) -> Tensor:
        """Resistances from unit normal numbers, in single precision as torch.distributions has them; float64."""
        if self.lognormal:
            variance = math.log1p((self.sigma / self.mean) ** 2)
            location, scale = math.log(self.mean) - variance / 2, math.sqrt(variance)
        else:
            location, scale = self.mean, self.sigma
        value = unit.float() * torch.tensor(scale) + torch.tensor(location)
        return (value.exp() if self.lognormal else value).clamp(min=self.minimum).double()


def normals(generator: torch.Generator, count: int) -> Tensor:
    """`count` unit normal numbers as that many calls of torch.normal for one number would give them; float64."""
    uniform = torch.rand(2 * ((count + 1) // 2), dtype=torch.float64, generator=generator)
    first, second = uniform[0::2], uniform[1::2]
    radius, angle = torch.sqrt(-2 * torch.log1p(-second)), 2 * math.pi * first
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1).flatten()[:count]


def resistances(
    generator: torch.Generator, devices: int, r_off: Resistance, r_on: Resistance, *, r_on_first: bool = False
) -> tuple[Tensor, Tensor]:
    """r_off and r_on of each of `devices` devices, after one reference device; float64, in ohms.

    A device whose two samples are equal is sampled again, up to five times, as in MemTorch, and again r_off first.

    Args:
        generator: at the state in which MemTorch's would be.
        devices: how many.
        r_off: how it is made.
        r_on: how it is made.
        r_on_first: whether the device model draws r_on first; drawn again, r_off comes first in every model.
    """
    order = (r_on, r_off) if r_on_first else (r_off, r_on)
    varying = [one for one in order if one.sigma > 0]
    unit = normals(generator, (devices + 1) * len(varying)).view(devices + 1, len(varying))
    again: Counter[int] = Counter()
    while True:
        columns = iter(unit.T)
        one, other = (
            each.sampled(next(columns)) if each.sigma > 0 else torch.full((devices + 1,), each.mean, dtype=torch.float64)
            for each in order
        )
        equal = torch.isclose(one, other, rtol=1e-9, atol=0.0).nonzero().flatten()
        if not len(equal):
            return (other[1:], one[1:]) if r_on_first else (one[1:], other[1:])
        device = int(equal[0])
        again[device] += 1
        if again[device] > _RETRIES or len(varying) < 2:
            raise InputError(
                f"r_on and r_off of a device came out equal ({float(other[device]):g} ohm): the spread is too wide for the "
                "distance between them, or `minimum` holds both. Lower the sigmas."
            )
        # It is drawn anew from the numbers that follow, so that all later devices move on by one.
        unit = torch.cat([unit[:device], unit[device + 1 :], normals(generator, 2).view(1, 2)])
        if r_on_first:
            unit[device] = unit[device].flip(0)
