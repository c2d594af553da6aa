"""MemTorch's tuning: a gain and an offset for each layer, fitted on noise (map/Module.py, naive_tune)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from membench.arrays.kernel import kernel_in_use


def noise(shape: tuple[int, ...], seed: int, slab: int) -> Iterator[Tensor]:
    """`torch.rand(shape).uniform_(-1, 1)` after `torch.manual_seed(seed)`, in slabs of at most `slab` numbers along the first axis.

    The numbers come one after the other from one stream, so that slabs give what the whole would. MemTorch fills the array
    twice; what comes first is thrown away.
    """
    row = torch.Size(shape[1:]).numel()
    each = min(max(1, slab // row), shape[0])
    sizes = [min(each, shape[0] - start) for start in range(0, shape[0], each)]
    kernel = kernel_in_use()
    if kernel is not None:
        stream = kernel.stream(seed)
        stream.skip(shape[0] * row)
        for size in sizes:
            yield stream.fill(torch.empty(size, *shape[1:]), -1, 1)
    else:
        generator = torch.Generator().manual_seed(seed)
        for size in sizes:
            torch.rand(size * row, generator=generator)
        for size in sizes:
            yield torch.empty(size, *shape[1:]).uniform_(-1, 1, generator=generator)


def gain_and_offset(raw: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The line through the points (raw output, digital output), by scikit-learn as in MemTorch. Changes `raw`."""
    from sklearn.linear_model import LinearRegression  # it takes a second to import

    fitted = LinearRegression(fit_intercept=True, copy_X=False).fit(raw.reshape(-1, 1).numpy(), wanted.reshape(-1, 1).numpy())
    return float(fitted.coef_.item()), float(fitted.intercept_.item())


def fit(
    raw: Callable[[Tensor], Tensor], digital: Callable[[Tensor], Tensor], shape: tuple[int, ...], seed: int, slab: int
) -> tuple[float, float]:
    """Gain and offset of one layer.

    Args:
        raw: the layer without gain, offset and bias.
        digital: the digital layer without bias.
        shape: of the noise.
        seed: of the noise.
        slab: how many numbers of noise are held at once.
    """
    found, wanted = zip(*((raw(part).cpu(), digital(part).cpu()) for part in noise(shape, seed, slab)), strict=True)
    return gain_and_offset(_joined(found), _joined(wanted))


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
