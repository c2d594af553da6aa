"""Where a layer's word lines get their voltages from: one description for fully connected layers and convolutions."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from membench.errors import InputError

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Geometry:
    """A layer without its weights.

    Rows are ordered as torch orders a kernel: input channel, then kernel depth, height, width.

    Attributes:
        inputs: input channels or features.
        outputs: output channels or features.
        kernel: size of the kernel in each dimension; empty in a fully connected layer.
        stride: steps, of the same length.
        dilation: of the same length.
        padding: zeros in front of and behind each dimension, of the same length.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> Geometry:
        """Of a Linear, Conv1d, Conv2d or Conv3d."""
        if isinstance(module, nn.Linear):
            return cls(module.in_features, module.out_features)
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        flat = [int(n) for n in module._reversed_padding_repeated_twice]
        pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        return cls(
            module.in_channels,
            module.out_channels,
            tuple(module.kernel_size),
            tuple(module.stride),
            tuple(module.dilation),
            tuple(reversed(pairs)),
        )

    @property
    def dimensions(self) -> int:
        """Of an image: 0 in a fully connected layer."""
        return len(self.kernel)

    @property
    def one_scale(self) -> bool:
        """Whether a whole batch is scaled by its largest input, as MemTorch does in a fully connected layer and in Conv1d."""
        return self.dimensions < 2

    @property
    def rows(self) -> int:
        """Word lines that hold weights."""
        return self.inputs * math.prod(self.kernel)

    def padded(self, size: Sequence[int]) -> tuple[int, ...]:
        """Size of an image with its padding."""
        return tuple(n + sum(pair) for n, pair in zip(size, self.padding, strict=True))

    def out(self, size: Sequence[int]) -> tuple[int, ...]:
        """Size of the output for an image of `size`.

        Raises:
            InputError: when the kernel does not fit the image.
        """
        span = [step * (k - 1) + 1 for step, k in zip(self.dilation, self.kernel, strict=True)]
        out = tuple((n - k) // step + 1 for n, k, step in zip(self.padded(size), span, self.stride, strict=True))
        if min(out, default=1) < 1 or min(size, default=1) < 1:
            raise InputError(
                f"An image of {tuple(size)} is smaller than the kernel of {self.kernel} with its dilation and padding."
            )
        return out

    def pad(self, x: Tensor) -> Tensor:
        """Images with their padding; a copy."""
        flat = [n for pair in reversed(self.padding) for n in pair]
        return F.pad(x, flat) if any(flat) else x.clone()

    def kernel_of(self, matrix: Tensor) -> Tensor:
        """A matrix (rows, width) as torch's functions take it: (width, channels, *kernel), or (width, features)."""
        return matrix.T.reshape(matrix.shape[1], -1, *self.kernel).contiguous()

    def part_of(self, matrix: Tensor, first: int, last: int) -> tuple[slice, Tensor]:
        """The word lines from `first` to `last`: the input channels that they touch, and the kernel over these.

        A convolution cannot take part of a channel, so its weights are zero outside the word lines.
        """
        volume = math.prod(self.kernel)
        start, stop = first // volume, -(-last // volume)
        part = matrix.new_zeros((stop - start) * volume, matrix.shape[1])
        part[first - start * volume : last - start * volume] = matrix[first:last]
        return slice(start, stop), self.kernel_of(part)

    def multiply(self, x: Tensor, kernel: Tensor, bias: Tensor | None, *, padded: bool = False) -> Tensor:
        """The product with a kernel of `kernel_of`: (n, width, *out).

        Args:
            x: images (n, channels, *size), or vectors (n, features).
            kernel: for those channels.
            bias: (width,) or None.
            padded: whether `x` has its padding already.
        """
        if not self.kernel:
            return F.linear(x, kernel, bias)
        if not padded and self._even is None:
            x, padded = self.pad(x), True
        padding = 0 if padded or self._even is None else self._even
        return _CONVOLVE[self.dimensions](x, kernel, bias, self.stride, padding, self.dilation)

    @functools.cached_property
    def _even(self) -> tuple[int, ...] | None:
        """The padding of each dimension, or None where there is more of it on one side."""
        even = all(before == behind for before, behind in self.padding)
        return tuple(before for before, _ in self.padding) if even else None


def matrix_of(weight: Tensor) -> Tensor:
    """A layer's weight as its crossbar holds it: (rows, columns)."""
    return weight.reshape(weight.shape[0], -1).T


def largest(x: Tensor) -> Tensor:
    """The largest magnitude, in one pass."""
    low, high = torch.aminmax(x)
    return torch.maximum(high, -low)


def exceeding(x: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Which images (n, ...) hold an input beyond `limit` volts: their indices, and the largest magnitude of each of these."""
    top = x.abs().amax(tuple(range(1, x.ndim)))
    which = (top > limit).nonzero().flatten()
    return which, top[which].view(-1, *[1] * (x.ndim - 1))


def scaled(x: Tensor, limit: float | None, top: Tensor | None = None) -> Tensor:
    """Inputs as voltages: where the largest exceeds `limit` volts, all are scaled to fit (MemTorch's naive_scale).

    Args:
        x: padded inputs (n, ...); may be changed in place.
        limit: the largest input voltage, or None.
        top: largest magnitude of the whole batch, where that decides for all (`one_scale`); None: each image's own.
    """
    if limit is None:
        return x
    if top is not None:
        return _fitted(x, limit, top) if bool(top > limit) else x
    which, tops = exceeding(x, limit)
    if len(which):
        x[which] = _fitted(x[which], limit, tops)
    return x


def _fitted(x: Tensor, limit: float, top: Tensor) -> Tensor:
    """From [-top, top] to [-limit, limit], rounded as MemTorch's convert_range rounds."""
    return ((x - -top) * (limit - -limit)) / (top - -top) + -limit
