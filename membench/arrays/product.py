"""A layer's product for given conductances, in chunks that stay within a limit of memory.

Without an ADC on tiles it is one product of torch's own. With one, each tile row's currents are quantised before they are
added: in C++ on the CPU (kernel.cpp), else in plain torch.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from membench.arrays.adc import log2_tolerance, quantised, rank_of, step_of
from membench.arrays.geometry import Geometry, exceeding, scaled
from membench.arrays.kernel import Kernel, LayerShape, kernel_in_use
from membench.arrays.tiles import Tiling, weights_of
from membench.case import ADC


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What a product does beside multiplying.

    Attributes:
        geometry: of the layer.
        tiling: of its crossbars.
        adc: of each tile's bit lines, or of the layer's outputs where there are no tiles; None: exact currents.
        limit: largest input voltage, or None.
    """

    geometry: Geometry
    tiling: Tiling
    adc: ADC | None
    limit: float | None


class Product:
    """gain x (sum over tile rows of ADC(voltages x conductances)) + offset + bias."""

    def __init__(
        self, hardware: Hardware, difference: Tensor, gain: Tensor, offset: Tensor, bias: Tensor | None, chunk_bytes: int
    ) -> None:
        """What can be prepared before the first input.

        Args:
            hardware: tiles, ADC and input limit.
            difference: effective conductance of each device, of the tiling's shape, in siemens.
            gain: of the output, a float32 scalar.
            offset: the same.
            bias: (columns,) or None.
            chunk_bytes: how much memory may be taken beside inputs and outputs; one image is always allowed.
        """
        self._hardware, self._geometry, self._tiling, self._adc = hardware, hardware.geometry, hardware.tiling, hardware.adc
        self._tiled = hardware.adc is not None and hardware.tiling.tile_shape is not None
        self._weights = weights_of(
            hardware.tiling, difference, ranked=hardware.adc is not None and hardware.adc.overflow_rate > 0
        )
        self._gain, self._offset, self._bias, self._chunk_bytes = gain, offset, bias, chunk_bytes
        self._scalars = float(gain), float(offset)
        self._one_range = not self._geometry.dimensions  # without tiles, the ADC of a fully connected layer sees a whole batch
        self._one_scale = self._geometry.one_scale
        self._sizes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._shapes: dict[tuple[int, ...], LayerShape] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (n, columns, *out) of images (n, channels, *size) or vectors (n, features), float32."""
        size = self._out(x)
        if not len(x):
            return x.new_empty(0, self._geometry.outputs, *size)
        if not self._tiled:
            return self._finished(self._exact(x)) if self._adc is not None else self._exact(x)
        kernel = self._kernel(x)
        return self._native(x, kernel) if kernel is not None else self._plain(x)

    def _kernel(self, x: Tensor) -> Kernel | None:
        """The C++ kernel where it has this ADC, on the CPU; else plain torch does the work."""
        assert self._adc is not None
        return kernel_in_use() if x.device.type == "cpu" and self._adc.method == "linear" else None

    def _out(self, x: Tensor) -> tuple[int, ...]:
        """Size of the output, known after the first image of a size."""
        size = x.shape[2:]
        return self._sizes.get(size) or self._sizes.setdefault(size, self._geometry.out(size))

    # Without an ADC on tiles

    def _exact(self, x: Tensor) -> Tensor:
        """One product; gain, offset and bias are part of it, unless an ADC comes between."""
        limit, geometry = self._hardware.limit, self._geometry
        matrix, bias = self._folded
        low, high = map(float, torch.aminmax(x)) if limit is not None else (0.0, 0.0)
        if limit is None or max(high, -low) <= limit:
            return geometry.multiply(x, matrix, bias)
        if self._adc is None:
            return self._scaled_afterwards(geometry.multiply(x, matrix, bias), x, limit, bias)
        top = _largest(x) if self._one_scale else None
        out = x.new_empty(len(x), geometry.outputs, *self._out(x))
        for part in self._chunks(x, 2 * math.prod(geometry.padded(x.shape[2:])) * geometry.inputs):
            voltages = scaled(geometry.pad(x[part]), limit, top)
            out[part] = geometry.multiply(voltages, matrix, bias, padded=True)
        return out

    def _scaled_afterwards(self, out: Tensor, x: Tensor, limit: float, bias: Tensor | None) -> Tensor:
        """Without an ADC the product is linear, so that images beyond the limit may as well be scaled after it."""
        shift = 0.0 if bias is None else bias.view(-1, *[1] * self._geometry.dimensions)
        if self._one_scale:
            return (out - shift) * (limit / _largest(x)) + shift
        which, top = exceeding(x, limit)
        out[which] = (out[which] - shift) * (limit / top) + shift
        return out

    @functools.cached_property
    def _folded(self) -> tuple[Tensor, Tensor | None]:
        """The kernel, or matrix, of a product without an ADC in between, and its bias."""
        matrix = self._weights.matrix[:, : self._tiling.columns]  # padding bit lines matter to an ADC only
        if self._adc is not None:
            return self._geometry.kernel_of(matrix), None
        bias = self._offset.expand(self._tiling.columns) if self._bias is None else self._bias + self._offset
        return self._geometry.kernel_of(matrix * self._gain), bias.contiguous()

    def _finished(self, raw: Tensor) -> Tensor:
        """After the ADC of a layer without tiles: one range for an image's outputs, or for a batch's."""
        assert self._adc is not None
        vectors = 1 if self._one_range else len(raw)
        length = raw.numel() // vectors
        kernel = self._kernel(raw)
        if kernel is not None and rank_of(self._adc, length) == 0:
            flat = raw.contiguous().view(*raw.shape[:2], -1)
            kernel.convert(flat, vectors, self._adc.bits, self._bias, log2_tolerance(), *self._scalars)
            return flat.view(raw.shape)
        dims = tuple(range(0 if self._one_range else 1, raw.ndim))
        parts = [slice(None)] if self._one_range else self._chunks(raw, 8 * length)
        for part in parts:
            raw[part] = quantised(raw[part], dims, self._adc, length=length, zero_padding=False)
        return self._scaled_back(raw)

    def _scaled_back(self, raw: Tensor) -> Tensor:
        raw.mul_(self._gain).add_(self._offset)
        return raw if self._bias is None else raw.add_(self._bias.view(-1, *[1] * self._geometry.dimensions))

    # With an ADC on tiles

    def _native(self, x: Tensor, kernel: Kernel) -> Tensor:
        x = x.contiguous()
        size = tuple(x.shape[2:])
        known = self._shapes.get(size) or self._shapes.setdefault(size, self._shape_of(size))
        shape = LayerShape.from_buffer_copy(known)  # so that two threads may use a layer at once
        shape.images = len(x)
        if self._one_scale and self._hardware.limit is not None:
            shape.range = float(_largest(x))
        out = x.new_empty(len(x), self._geometry.outputs, *self._out(x))
        kernel.product(shape, x, self._weights.matrix, self._bias, log2_tolerance(), out)
        return out

    def _shape_of(self, size: tuple[int, ...]) -> LayerShape:
        geometry, tiling, adc = self._geometry, self._tiling, self._adc
        assert adc is not None
        assert tiling.tile_shape is not None

        def three(values: tuple[int, ...], fill: int) -> tuple[int, int, int]:
            a, b, c = (fill,) * (3 - len(values)) + tuple(values)
            return a, b, c

        return LayerShape(
            channels=geometry.inputs,
            size=three(size, 1),
            before=three(tuple(pair[0] for pair in geometry.padding), 0),
            padded=three(geometry.padded(size), 1),
            out=three(geometry.out(size), 1),
            kernel=three(geometry.kernel, 1),
            stride=three(geometry.stride, 1),
            dilation=three(geometry.dilation, 1),
            rows=geometry.rows,
            columns=geometry.outputs,
            width=self._weights.matrix.shape[1],
            tile_rows=tiling.tile_shape[0],
            tile_columns=tiling.tile_shape[1],
            bits=adc.bits,
            rank=rank_of(adc, tiling.tile_shape[1]),
            zero_padding=self._weights.zero_padding,
            limit=self._hardware.limit or 0.0,
            range=-1.0,
            gain=self._scalars[0],
            offset=self._scalars[1],
        )

    def _plain(self, x: Tensor) -> Tensor:
        """In torch's own operations: a product for each tile row, over the inputs that it touches."""
        geometry, limit = self._geometry, self._hardware.limit
        top = _largest(x) if self._one_scale else None
        out = x.new_empty(len(x), geometry.outputs, *self._out(x))
        padded = geometry.inputs * math.prod(geometry.padded(x.shape[2:]))
        currents = self._weights.matrix.shape[1] * math.prod(self._out(x))
        for part in self._chunks(x, 4 * padded + 8 * currents):
            voltages = scaled(geometry.pad(x[part]), limit, top)
            total: Tensor | None = None
            for channels, kernel in self._tile_rows:
                levels = self._levels(geometry.multiply(voltages[:, channels], kernel, None, padded=True))
                total = levels if total is None else total + levels
            assert total is not None
            out[part] = total
        return self._scaled_back(out)

    @functools.cached_property
    def _tile_rows(self) -> list[tuple[slice, Tensor]]:
        """For each tile row: the input channels that it touches, and their kernel, zero outside the row."""
        assert self._tiling.tile_shape is not None
        high, rows = self._tiling.tile_shape[0], self._tiling.rows
        return [self._geometry.part_of(self._weights.matrix, first, min(first + high, rows)) for first in range(0, rows, high)]

    def _levels(self, currents: Tensor) -> Tensor:
        """Currents of one tile row after the ADC of each of its tiles: those that are full all at once, then the last one."""
        assert self._adc is not None
        assert self._tiling.tile_shape is not None
        wide, columns = self._tiling.tile_shape[1], self._tiling.columns
        full = columns // wide * wide
        parts = []
        if full:
            tiles = currents[:, :full].reshape(len(currents), -1, wide, *currents.shape[2:])
            parts.append(quantised(tiles, (2,), self._adc, length=wide, zero_padding=False).flatten(1, 2))
        if full < columns:
            padding = self._weights.zero_padding
            last = quantised(currents[:, full:], (1,), self._adc, length=wide, zero_padding=padding)
            parts.append(last[:, : columns - full])
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def largest_step(self, x: Tensor) -> float:
        """The largest step that an ADC takes for these inputs, times the gain: what one code is worth in the output. 0 without."""
        if self._adc is None:
            return 0.0
        dims: tuple[int, ...] = (1,)
        if not self._tiled:  # then the matrix is the difference of the conductances itself
            exact, one = dataclasses.replace(self._hardware, adc=None), torch.ones_like(self._gain)
            bare = Product(exact, self._weights.matrix, one, torch.zeros_like(one), None, self._chunk_bytes)
            currents = [bare(x)]
            dims = tuple(range(0 if self._one_range else 1, x.ndim))
        else:
            voltages = scaled(self._geometry.pad(x), self._hardware.limit, _largest(x) if self._one_scale else None)
            currents = [
                self._geometry.multiply(voltages[:, part], kernel, None, padded=True) for part, kernel in self._tile_rows
            ]
        tops = [step_of(part.abs().amax(dims), self._adc.bits).max() for part in currents]
        return float(max(tops)) * abs(self._scalars[0])

    def _chunks(self, x: Tensor, image_numbers: int) -> Iterator[slice]:
        """Slices of the batch whose numbers beside input and output stay within the limit."""
        count = max(1, self._chunk_bytes // max(1, image_numbers * x.element_size()))
        for start in range(0, len(x), count):
            yield slice(start, start + count)


def _largest(x: Tensor) -> Tensor:
    """The largest magnitude, in one pass."""
    low, high = torch.aminmax(x)
    return torch.maximum(high, -low)
