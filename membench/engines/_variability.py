"""The devices that variability makes: the same ones on every engine."""

from __future__ import annotations

from torch import Generator, Tensor, rand

from membench.arrays.draws import Resistance, resistances
from membench.devices import Device
from membench.nonidealities import Variability


def device_limits(
    effect: Variability, device: Device, shape: tuple[int, ...], drawn_before: int, seed: int, *, r_on_first: bool
) -> tuple[Tensor, Tensor]:
    """1 / r_off and 1 / r_on of each device, in siemens, from the numbers that MemTorch draws when it makes a layer with this seed.

    Args:
        effect: how they vary.
        device: whose resistances are the means.
        shape: of the layer's devices, all its crossbars together.
        drawn_before: numbers that MemTorch's layer draws first: its weights and a bias.
        seed: of the layer.
        r_on_first: whether MemTorch's device model draws r_on before r_off.
    """
    generator = Generator().manual_seed(seed)
    rand(drawn_before, generator=generator)
    lognormal = effect.distribution == "lognormal"
    r_off = Resistance(device.r_off, effect.r_off_sigma, lognormal, effect.minimum)
    r_on = Resistance(device.r_on, effect.r_on_sigma, lognormal, effect.minimum)
    count = 1
    for size in shape:
        count *= size
    off, on = resistances(generator, count, r_off, r_on, r_on_first=r_on_first)
    return (1 / off).float().view(shape), (1 / on).float().view(shape)
