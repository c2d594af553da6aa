"""From a layer's inputs to the voltages that act on its devices, where this is more than MemTorch's scaling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from membench.arrays.geometry import exceeding, largest
from membench.case import DAC, Conversion, InputScaling
from membench.devices import CurrentLaw, LookUp, Sinh


@dataclass(frozen=True)
class Encoding:
    """What stands between an input and a word line.

    Attributes:
        limit: largest input voltage, in volts, or None.
        scaling: what becomes of inputs beyond it.
        one_scale: whether a whole batch has one scale.
        dac: converter, or None.
        laws: current laws of the devices, as far as they act on the voltage; in order.
        linear: whether nothing that depends on the voltages' size follows, so that undoing the scale leaves it out altogether.
    """

    limit: float | None
    scaling: InputScaling
    one_scale: bool
    dac: DAC | None
    laws: tuple[CurrentLaw, ...] = ()
    linear: bool = False

    @classmethod
    def of(cls, conversion: Conversion, one_scale: bool) -> Encoding:
        """Of a conversion, for a layer in which MemTorch has `one_scale` for a batch."""
        scaling = conversion.scaling
        decided = one_scale if scaling.per == "memtorch" else scaling.per == "batch"
        return cls(conversion.max_input_voltage, scaling, decided, conversion.dac, (), conversion.adc is None)

    @property
    def memtorchs(self) -> bool:
        """Whether this is MemTorch's own scaling, which the product does by itself."""
        return self.scaling == InputScaling() and self.dac is None and not self.laws

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Voltages, and by what the outputs must be multiplied: None, a scalar, or one number an image, shape (n, 1, ...)."""
        voltages, factor = self._scaled(x)
        if self.dac is not None:
            assert self.limit is not None
            step = self.limit / (2 ** (self.dac.bits - 1) - 1)
            voltages = torch.round(voltages / step).mul_(step)
        for law in self.laws:
            voltages = acting(law, voltages)
        return voltages, factor if self.scaling.undone else None

    def _scaled(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.limit is None or (self.linear and self.scaling.undone and self.dac is None and not self.laws):
            return x, None
        if self.one_scale:
            factor = largest(x) / self.limit
            return (x / factor, factor) if bool(factor > 1) else (x, None)
        which, tops = exceeding(x, self.limit)
        if not len(which):
            return x, None
        factor = x.new_ones(len(x), *[1] * (x.ndim - 1))
        factor[which] = tops / self.limit
        return (x / factor).clamp_(-self.limit, self.limit), factor  # rounding must not leave the range


def acting(law: CurrentLaw, voltages: Tensor) -> Tensor:
    """The voltages at which ohmic devices would carry the same currents."""
    match law:
        case Sinh(amplitude, scale):
            return (voltages / scale).sinh_().mul_(amplitude)
        case LookUp(points, values):
            return _interpolated(voltages, voltages.new_tensor(points), voltages.new_tensor(values))


def _interpolated(x: Tensor, points: Tensor, values: Tensor) -> Tensor:
    """Linear between the points, constant beyond the ends; as numpy.interp."""
    low, high = float(points[0]), float(points[-1])
    inside = x.clamp(low, high)
    steps = points[1:] - points[:-1]
    if bool((steps - steps.mean()).abs().max() <= 1e-4 * steps.mean()):  # evenly spaced: no search is needed
        left = ((inside - low) * ((len(points) - 1) / (high - low))).to(torch.int32).clamp_(max=len(points) - 2)
    else:
        left = torch.searchsorted(points, inside.contiguous(), right=True, out_int32=True).sub_(1).clamp_(0, len(points) - 2)
    slopes = (values[1:] - values[:-1]) / steps
    return (inside - points[left]).mul_(slopes[left]).add_(values[left])
