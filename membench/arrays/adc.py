"""MemTorch's ADC (cpp/quantize.h) in plain torch, on any device: one range for each vector of currents."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from membench.case import ADC

_TINY = 1e-12  # MemTorch adds it to the largest magnitude, in amperes


def rank_of(adc: ADC, length: int) -> int:
    """Which magnitude of a vector sets the range, counted from 0, the largest: MemTorch's min(round(rate n), n - 1)."""
    return min(math.floor(float(np.float32(adc.overflow_rate) * np.float32(length)) + 0.5), length - 1)


@functools.cache
def log2_tolerance() -> Tensor:
    """For each biased exponent, how far above a power of two log2 in single precision still gives the power itself.

    MemTorch takes ceil(log2(range)) in single precision. A range a few units in the last place above 2^k then counts as 2^k,
    and how many depends on |k|. int32, shape (256,), in units of the last place.
    """
    counts = []
    for exponent in range(256):
        power = exponent - 127
        units = 0
        while units < 256 and float(np.float32(power + math.log2(1 + (units + 1) * 2.0**-23))) <= power:
            units += 1
        counts.append(units)
    return torch.tensor(counts, dtype=torch.int32)


def step_of(top: Tensor, bits: int) -> Tensor:
    """2^(1 - bits + ceil(log2(top + 1e-12))), the step of the linear ADC for a range of `top` amperes; exact."""
    word = (top + _TINY).contiguous().view(torch.int32)
    exponent = word >> 23
    above = (word & 0x7FFFFF) > log2_tolerance().to(word.device)[(exponent & 255).long()]
    power = exponent - 127 + above.int() + 1 - bits
    return ((power + 127) << 23).view(torch.float32)


def fixed_step(full_scale: float, bits: int) -> tuple[float, float]:
    """The step of a linear ADC for a range from -full_scale to full_scale amperes, and its inverse, both in single precision."""
    step = np.float32(full_scale) / np.float32(2 ** (bits - 1))
    return float(step), float(np.float32(1) / step)


def quantised_fixed(currents: Tensor, full_scale: float, bits: int) -> Tensor:
    """Currents after a linear ADC whose range does not depend on them."""
    step, inverse = fixed_step(full_scale, bits)
    bound = 2.0 ** (bits - 1)
    # Multiplied, not divided, as the C++ kernel does: both give the same codes.
    return (currents * inverse).add_(0.5).floor_().clamp_(-bound, bound - 1).mul_(step)


def quantised(currents: Tensor, dims: tuple[int, ...], adc: ADC, *, length: int, zero_padding: bool) -> Tensor:
    """Each vector of currents after its ADC.

    Args:
        currents: in amperes.
        dims: the dimensions that one vector runs over.
        adc: resolution, method and overflow rate.
        length: of a vector as MemTorch has it, with padding bit lines that are left out here.
        zero_padding: whether bit lines of 0 A were left out.
    """
    top, constant = _range(currents, dims, adc, length, zero_padding)
    if adc.method == "linear":
        changed = _linear(currents, step_of(top, adc.bits), adc.bits)
    else:
        logarithm = currents.abs().log().clamp(min=1e-20)
        changed = _linear(logarithm, step_of(top, adc.bits), adc.bits - 1).exp() * currents.sign()
    return torch.where(constant, currents, changed)


def _range(currents: Tensor, dims: tuple[int, ...], adc: ADC, length: int, zero_padding: bool) -> tuple[Tensor, Tensor]:
    """Of each vector: the magnitude that sets its range, and whether all of its currents are equal."""
    low, high = currents.amin(dims, keepdim=True), currents.amax(dims, keepdim=True)
    if zero_padding:
        low, high = low.clamp(max=0), high.clamp(min=0)
    rank = rank_of(adc, length)
    top = torch.maximum(high, -low) if rank == 0 else _ranked(currents.abs(), dims, rank)
    return top, low == high


def _linear(values: Tensor, step: Tensor, bits: int) -> Tensor:
    bound = 2.0 ** (bits - 1)
    return torch.clamp(torch.floor(values / step + 0.5), -bound, bound - 1) * step


def _ranked(magnitudes: Tensor, dims: tuple[int, ...], rank: int) -> Tensor:
    """The rank-th largest over `dims`; padding bit lines of 0 A that were left out come last."""
    rest = [dim for dim in range(magnitudes.ndim) if dim not in dims]
    flat = magnitudes.permute(*rest, *dims).flatten(len(rest))
    size = [1 if dim in dims else magnitudes.shape[dim] for dim in range(magnitudes.ndim)]
    if rank >= flat.shape[-1]:
        return magnitudes.new_zeros(size)
    return flat.topk(rank + 1, dim=-1).values[..., rank].reshape(size)


def clipped(currents: Tensor, dims: tuple[int, ...], adc: ADC, *, length: int, zero_padding: bool) -> Tensor:
    """Which currents lie beyond the codes of `quantised`, and so come out smaller than rounding alone makes them; bool."""
    top, constant = _range(currents, dims, adc, length, zero_padding)
    linear = adc.method == "linear"
    values, bits = (currents, adc.bits) if linear else (currents.abs().log().clamp(min=1e-20), adc.bits - 1)
    code, bound = torch.floor(values / step_of(top, adc.bits) + 0.5), 2.0 ** (bits - 1)
    return ((code < -bound) | (code > bound - 1)) & ~constant


def clipped_fixed(currents: Tensor, step: float, bits: int) -> Tensor:
    """Which currents lie beyond the codes of `quantised_fixed`; bool."""
    code, bound = torch.floor(currents / step + 0.5), 2.0 ** (bits - 1)
    return (code < -bound) | (code > bound - 1)
