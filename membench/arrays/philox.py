"""Read noise's random numbers: normal numbers that only a seed and a place decide, in plain torch on any device.

A number's place is its image, output position, tile row and column, so that it does not matter how a batch is split, how many
threads there are, or whether this file or kernel.cpp computes it. The generator is Philox4x32-10 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011): a place (image, position, tile row, column // 4) gives four words, and Box-Muller
makes a normal number of each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROUNDS = 10
_WORD = 2**32 - 1
_FACTORS = 0xD2511F53, 0xCD9E8D57
_STEPS = 0x9E3779B9, 0xBB67AE85


def words(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words for each counter of four words, all int64 and between 0 and 2^32 - 1; `seed`: its lower 64 bits are the key."""
    a, b, c, d = (part & _WORD for part in counter)
    low, high = seed & _WORD, seed >> 32 & _WORD
    for _ in range(_ROUNDS):
        # A product may wrap around to a negative number; its bits are right nevertheless.
        first, second = a * _FACTORS[0], c * _FACTORS[1]
        a, b, c, d = (second >> 32 & _WORD) ^ b ^ low, second & _WORD, (first >> 32 & _WORD) ^ d ^ high, first & _WORD
        low, high = (low + _STEPS[0]) & _WORD, (high + _STEPS[1]) & _WORD
    return a, b, c, d


def normals(seed: int, images: Tensor, positions: int, columns: int, tile_row: int = 0) -> Tensor:
    """Standard normal numbers of one tile row, (images, columns, positions), float32.

    Args:
        seed: of the noise.
        images: their numbers; int64, (n,).
        positions: output positions of an image.
        columns: bit lines that hold weights.
        tile_row: which.
    """
    groups = -(-columns // 4)
    image = images.view(-1, 1, 1)
    group = torch.arange(groups, device=images.device).view(1, -1, 1)
    position = torch.arange(positions, device=images.device).view(1, 1, -1)
    row = torch.full((1, 1, 1), tile_row, device=images.device)
    a, b, c, d = words((image, position, row, group), seed)
    found = torch.stack([*_pair(a, b), *_pair(c, d)], dim=2)
    return found.view(len(images), 4 * groups, positions)[:, :columns]


def _pair(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Box-Muller: the radius from one word, the direction from another."""
    radius = ((one.float() + 0.5) * 2.0**-32).log_().mul_(-2.0).sqrt_()
    # The nearest quarter of the circle, then the angle from there: it is small, and so exact in single precision.
    turned = other + 2**29
    quarter = turned >> 30 & 3
    angle = ((turned & (2**30 - 1)) - 2**29).float() * (math.pi / 2**31)
    cosine, sine = angle.cos(), angle.sin()
    swapped = (quarter & 1).bool()
    across, up = torch.where(swapped, sine, cosine), torch.where(swapped, cosine, sine)
    across = torch.where((quarter + 1 & 2).bool(), -across, across)
    up = torch.where((quarter & 2).bool(), -up, up)
    return across.mul_(radius), up.mul_(radius)
