"""How a matrix is cut into tiles, and what of it takes part in a product."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """A matrix of word lines and bit lines, cut into tiles or whole.

    Attributes:
        rows: word lines that hold weights.
        columns: bit lines that hold weights.
        tile_shape: (rows, columns) of a tile, or None: one crossbar as large as the matrix.
    """

    rows: int
    columns: int
    tile_shape: tuple[int, int] | None

    @property
    def counts(self) -> tuple[int, int]:
        """Tile rows and tile columns."""
        if self.tile_shape is None:
            return 1, 1
        return math.ceil(self.rows / self.tile_shape[0]), math.ceil(self.columns / self.tile_shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one crossbar's devices: (tiles, tile rows, tile columns), or (rows, columns)."""
        if self.tile_shape is None:
            return self.rows, self.columns
        return math.prod(self.counts), *self.tile_shape

    def cut(self, matrix: Tensor) -> Tensor:
        """A matrix (rows, columns) as its tiles, those at the edges padded with zeros; as MemTorch's gen_tiles."""
        if self.tile_shape is None:
            return matrix
        (down, across), (high, wide) = self.counts, self.tile_shape
        padded = F.pad(matrix, (0, across * wide - self.columns, 0, down * high - self.rows))
        return padded.view(down, high, across, wide).transpose(1, 2).reshape(self.shape)

    def joined(self, tiles: Tensor) -> Tensor:
        """The matrix again, with the padding bit lines of the last tiles; shape (rows, columns and padding)."""
        if self.tile_shape is None:
            return tiles
        (down, across), (high, wide) = self.counts, self.tile_shape
        return tiles.view(down, across, high, wide).transpose(1, 2).reshape(down * high, across * wide)[: self.rows]

    def real(self) -> Tensor:
        """Whether each device holds a weight; bool, of `shape`."""
        return self.cut(torch.ones(self.rows, self.columns)) > 0


@dataclass(frozen=True)
class Weights:
    """What a product needs of the crossbars: the difference of the columns, in siemens.

    Attributes:
        matrix: (rows, width): bit lines that hold weights, then as many padding ones as must be computed.
        zero_padding: whether the last tile has padding bit lines that carry no current, and so take part in the ADC's range
            as 0 A.
    """

    matrix: Tensor
    zero_padding: bool


def weights_of(tiling: Tiling, difference: Tensor, *, ranked: bool) -> Weights:
    """Leave out the padding bit lines that cannot move the result.

    Args:
        difference: effective conductance of each device, of the tiling's shape, in siemens.
        ranked: whether the ADC's range is another than the largest magnitude, so that equal bit lines count.
    """
    whole = tiling.joined(difference)
    padding = whole[:, tiling.columns :]
    if padding.shape[1] == 0 or not bool(padding.any()):
        return Weights(whole[:, : tiling.columns].contiguous(), padding.shape[1] > 0)
    if not ranked and bool((padding == padding[:, :1]).all()):
        padding = padding[:, :1]  # one current stands for all of them
    return Weights(torch.cat([whole[:, : tiling.columns], padding], dim=1).contiguous(), False)
