"""A layer's product for given conductances, in chunks that stay within a limit of memory.

Without an ADC on tiles it is one product of torch's own. With one, each tile row's currents are quantised before they are
added: in C++ on the CPU (kernel.cpp), else in plain torch.

With read noise, every bit line's current for voltages v gets N(0, sum v^2 s) at each read, s the variances of its devices: a
second product, of the squares, times a normal number that philox.py or the kernel gives.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from membench.arrays.adc import clipped, clipped_fixed, fixed_step, log2_tolerance, quantised, quantised_fixed, rank_of, step_of
from membench.arrays.geometry import Geometry, exceeding, largest, scaled
from membench.arrays.kernel import Kernel, LayerShape, kernel_in_use, signed
from membench.arrays.philox import normals
from membench.arrays.tiles import Tiling, Weights, weights_of
from membench.case import ADC
from membench.errors import MeasurementError


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What a product does beside multiplying.

    Attributes:
        geometry: of the layer.
        tiling: of its crossbars.
        adc: of each tile's bit lines, or of the layer's outputs where there are no tiles; None: exact currents.
        limit: largest input voltage, or None.
        full_scale: the range of a linear ADC, from -full_scale to full_scale amperes, whatever the currents; None: it is taken
            afresh from each vector of them.
    """

    geometry: Geometry
    tiling: Tiling
    adc: ADC | None
    limit: float | None
    full_scale: float | None = None

    @property
    def step(self) -> float:
        """Of an ADC with a fixed range, in amperes; 0 without one."""
        return 0.0 if self.adc is None or self.full_scale is None else fixed_step(self.full_scale, self.adc.bits)[0]


class Product:
    """gain x (sum over tile rows of ADC(voltages x conductances + noise)) + offset + bias."""

    def __init__(
        self,
        hardware: Hardware,
        difference: Tensor,
        gain: Tensor,
        offset: Tensor,
        bias: Tensor | None,
        chunk_bytes: int,
        noise: tuple[Tensor, int] | None = None,
    ) -> None:
        """What can be prepared before the first input.

        Args:
            hardware: tiles, ADC and input limit.
            difference: effective conductance of each device, of the tiling's shape, in siemens.
            gain: of the output, a float32 scalar.
            offset: the same.
            bias: (columns,) or None.
            chunk_bytes: how much memory may be taken beside inputs and outputs; one image is always allowed.
            noise: of each read: the variance of each effective conductance, of the shape of `difference`, in square siemens, and
                a seed.
        """
        self._hardware, self._geometry, self._tiling, self._adc = hardware, hardware.geometry, hardware.tiling, hardware.adc
        self._tiled = hardware.adc is not None and hardware.tiling.tile_shape is not None
        self._step = hardware.step
        if self._step:
            assert hardware.adc is not None
            assert hardware.adc.method == "linear", "a fixed range is the linear ADC's"
            self._weights = Weights(_real(hardware.tiling, difference), False)  # padding bit lines cannot move its range
        else:
            self._weights = weights_of(
                hardware.tiling, difference, ranked=hardware.adc is not None and hardware.adc.overflow_rate > 0
            )
        self._noise = None if noise is None else _Noise.of(hardware.tiling, *noise)
        self._difference = difference
        self._gain, self._offset, self._bias, self._chunk_bytes = gain, offset, bias, chunk_bytes
        self._scalars = float(gain), float(offset)
        self._one_range = not self._geometry.dimensions  # without tiles, the ADC of a fully connected layer sees a whole batch
        self._one_scale = self._geometry.one_scale
        self._sizes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._shapes: dict[tuple[int, ...], LayerShape] = {}

    def __call__(self, x: Tensor, first: int = 0) -> Tensor:
        """Outputs (n, columns, *out) of images (n, channels, *size) or vectors (n, features), float32.

        Args:
            x: the inputs.
            first: number of the first one. Each number has noise of its own, however the images are split into batches.
        """
        size = self._out(x)
        if not len(x):
            return x.new_empty(0, self._geometry.outputs, *size)
        if not self._tiled:
            raw = self._exact(x)
            if self._noise is not None:
                raw = self._disturbed(raw, x, first, self._noise)
            return self._finished(raw) if self._adc is not None else raw
        kernel = self._kernel(x)
        return self._native(x, kernel, first) if kernel is not None else self._plain(x, first)

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
        top = largest(x) if self._one_scale else None
        out = x.new_empty(len(x), geometry.outputs, *self._out(x))
        for part in self._chunks(x, 2 * math.prod(geometry.padded(x.shape[2:])) * geometry.inputs):
            voltages = scaled(geometry.pad(x[part]), limit, top)
            out[part] = geometry.multiply(voltages, matrix, bias, padded=True)
        return out

    def _scaled_afterwards(self, out: Tensor, x: Tensor, limit: float, bias: Tensor | None) -> Tensor:
        """Without an ADC the product is linear, so that images beyond the limit may as well be scaled after it."""
        shift = 0.0 if bias is None else bias.view(-1, *[1] * self._geometry.dimensions)
        if self._one_scale:
            return (out - shift) * (limit / largest(x)) + shift
        which, top = exceeding(x, limit)
        out[which] = (out[which] - shift) * (limit / top) + shift
        return out

    def _disturbed(self, raw: Tensor, x: Tensor, first: int, noise: _Noise) -> Tensor:
        """With read noise: without an ADC in between, that of all tile rows adds up to one normal number an output."""
        geometry, limit = self._geometry, self._hardware.limit
        deviation = noise.deviation * (1.0 if self._adc is not None else self._scalars[0])
        top = largest(x) if self._one_scale and limit is not None else None
        kernel = kernel_in_use() if x.device.type == "cpu" else None
        raw = raw.contiguous()
        flat = raw.view(*raw.shape[:2], -1)
        padded = geometry.inputs * math.prod(geometry.padded(x.shape[2:]))
        for part in self._chunks(x, 3 * padded + (2 if kernel is not None else 32) * flat[0].numel()):
            voltages = scaled(geometry.pad(x[part]), limit, top)
            variances = noise.sums(geometry, voltages, self._squared).contiguous().view(flat[part].shape)
            if kernel is not None:
                kernel.disturb(flat[part], variances, deviation, noise.seed, first + part.start)
            else:
                flat[part] += noise.drawn(variances, first + part.start, 0, deviation)
        return raw

    @functools.cached_property
    def _squared(self) -> Tensor:
        """The variances of all tile rows' devices as a kernel, or matrix."""
        assert self._noise is not None
        return self._geometry.kernel_of(self._noise.variances)

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
        vectors = 1 if self._one_range and not self._step else len(raw)
        length = raw.numel() // vectors
        kernel = self._kernel(raw)
        if kernel is not None and (self._step or rank_of(self._adc, length) == 0):
            flat = raw.contiguous().view(*raw.shape[:2], -1)
            kernel.convert(flat, vectors, self._adc.bits, self._bias, log2_tolerance(), *self._scalars, self._step)
            return flat.view(raw.shape)
        if self._hardware.full_scale is not None:
            return self._scaled_back(quantised_fixed(raw, self._hardware.full_scale, self._adc.bits))
        dims = tuple(range(0 if self._one_range else 1, raw.ndim))
        parts = [slice(None)] if self._one_range else self._chunks(raw, 8 * length)
        for part in parts:
            raw[part] = quantised(raw[part], dims, self._adc, length=length, zero_padding=False)
        return self._scaled_back(raw)

    def _scaled_back(self, raw: Tensor) -> Tensor:
        raw.mul_(self._gain).add_(self._offset)
        return raw if self._bias is None else raw.add_(self._bias.view(-1, *[1] * self._geometry.dimensions))

    # With an ADC on tiles

    def _native(self, x: Tensor, kernel: Kernel, first: int) -> Tensor:
        x = x.contiguous()
        size = tuple(x.shape[2:])
        known = self._shapes.get(size) or self._shapes.setdefault(size, self._shape_of(size))
        shape = LayerShape.from_buffer_copy(known)  # so that two threads may use a layer at once
        shape.images, shape.first = len(x), first
        if self._one_scale and self._hardware.limit is not None:
            shape.range = float(largest(x))
        out = x.new_empty(len(x), self._geometry.outputs, *self._out(x))
        variances = None if self._noise is None else self._noise.variances
        kernel.product(shape, x, self._weights.matrix, self._bias, log2_tolerance(), out, variances)
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
            rank=0 if self._step else rank_of(adc, tiling.tile_shape[1]),
            zero_padding=self._weights.zero_padding,
            limit=self._hardware.limit or 0.0,
            range=-1.0,
            gain=self._scalars[0],
            offset=self._scalars[1],
            step=self._step,
            deviation=0.0 if self._noise is None else self._noise.deviation,
            seed=0 if self._noise is None else signed(self._noise.seed),
        )

    def _plain(self, x: Tensor, first: int) -> Tensor:
        """In torch's own operations: a product for each tile row, over the inputs that it touches."""
        geometry, limit = self._geometry, self._hardware.limit
        top = largest(x) if self._one_scale else None
        out = x.new_empty(len(x), geometry.outputs, *self._out(x))
        padded = geometry.inputs * math.prod(geometry.padded(x.shape[2:]))
        currents, noise = self._weights.matrix.shape[1] * math.prod(self._out(x)), self._noise
        for part in self._chunks(x, 4 * padded + (8 if noise is None else 40) * currents):
            voltages = scaled(geometry.pad(x[part]), limit, top)
            total: Tensor | None = None
            for row, (channels, kernel) in enumerate(self._tile_rows):
                raw = geometry.multiply(voltages[:, channels], kernel, None, padded=True)
                if noise is not None:
                    variances = noise.sums(geometry, voltages[:, channels], self._squared_rows[row][1])
                    raw[:, : geometry.outputs] += noise.drawn(variances, first + part.start, row, noise.deviation)
                levels = self._levels(raw)
                total = levels if total is None else total + levels
            assert total is not None
            out[part] = total
        return self._scaled_back(out)

    @functools.cached_property
    def _tile_rows(self) -> list[tuple[slice, Tensor]]:
        """For each tile row: the input channels that it touches, and their kernel, zero outside the row."""
        return self._rows_of(self._weights.matrix)

    @functools.cached_property
    def _squared_rows(self) -> list[tuple[slice, Tensor]]:
        """The same for the variances of the devices."""
        assert self._noise is not None
        return self._rows_of(self._noise.variances)

    def _rows_of(self, matrix: Tensor) -> list[tuple[slice, Tensor]]:
        assert self._tiling.tile_shape is not None
        high, rows = self._tiling.tile_shape[0], self._tiling.rows
        return [self._geometry.part_of(matrix, first, min(first + high, rows)) for first in range(0, rows, high)]

    def _levels(self, currents: Tensor) -> Tensor:
        """Currents of one tile row after the ADC of each of its tiles: those that are full all at once, then the last one."""
        assert self._adc is not None
        assert self._tiling.tile_shape is not None
        if self._hardware.full_scale is not None:
            return quantised_fixed(currents, self._hardware.full_scale, self._adc.bits)
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

    @property
    def shift(self) -> Tensor:
        """What is added after the gain: offset and bias, shape () or (columns, 1, ...)."""
        return self._offset if self._bias is None else (self._bias + self._offset).view(-1, *[1] * self._geometry.dimensions)

    def currents(self, x: Tensor) -> Iterator[Tensor]:
        """What the ADCs see, exactly: for each tile row (n, width, *out), or once (n, columns, *out) without tiles; in amperes."""
        if self._adc is None or not self._tiled:
            exact, one = dataclasses.replace(self._hardware, adc=None), torch.ones_like(self._gain)
            yield Product(exact, self._difference, one, torch.zeros_like(one), None, self._chunk_bytes)(x)
            return
        voltages = scaled(self._geometry.pad(x), self._hardware.limit, largest(x) if self._one_scale else None)
        for channels, kernel in self._tile_rows:
            yield self._geometry.multiply(voltages[:, channels], kernel, None, padded=True)

    def range_of(self, batches: Iterable[Tensor], overflow_rate: float, layer: str) -> float:
        """The range of an ADC, in amperes: a proportion `overflow_rate` of the currents that these inputs cause lie beyond it.

        Bit lines that only pad a tile are not read, and so not counted.

        Args:
            batches: inputs; of one size or several.
            overflow_rate: 0 to 1.
            layer: its name, for the message.

        Raises:
            MeasurementError: the range would be 0 A.
        """
        every = torch.cat([part[:, : self._tiling.columns].abs().flatten() for x in batches for part in self.currents(x)])
        beyond = min(int(overflow_rate * len(every)), len(every) - 1)
        found = float(every.topk(beyond + 1).values[-1])
        if found == 0:
            raise MeasurementError(
                f"The ADC of the layer {layer!r} cannot be calibrated, its range would be 0 A: {int((every == 0).sum())} of the "
                f"{len(every)} currents that the calibration images cause are 0 A. Calibrate on other images or more of them, give the "
                "DAC more bits or a smaller max_input_voltage, lower overflow_rate, or give the ADC's range in amperes."
            )
        return found

    def steps(self, x: Tensor) -> Tensor:
        """The largest step that an ADC takes for each image, times the gain: what one code is worth in the output, shape (n,). 0 without.

        Read noise is left out.
        """
        if self._adc is None:
            return x.new_zeros(len(x))
        if self._step:
            return x.new_full((len(x),), self._step * abs(self._scalars[0]))
        dims = (1,) if self._tiled else tuple(range(0 if self._one_range else 1, x.ndim))
        tops = [step_of(part.abs().amax(dims), self._adc.bits) for part in self.currents(x)]
        steps = [top.expand(len(x)) if top.ndim == 0 else top.view(len(x), -1).amax(1) for top in tops]
        return torch.stack(steps).amax(0) * abs(self._scalars[0])

    def largest_step(self, x: Tensor) -> float:
        """The largest of `steps`."""
        return float(self.steps(x).max())

    def _chunks(self, x: Tensor, image_numbers: int) -> Iterator[slice]:
        """Slices of the batch whose numbers beside input and output stay within the limit."""
        count = max(1, self._chunk_bytes // max(1, image_numbers * x.element_size()))
        for start in range(0, len(x), count):
            yield slice(start, start + count)

    # What becomes of given inputs, for `membench explain`

    def clipping_rate(self, x: Tensor) -> float:
        """Proportion of the currents beyond the codes of their ADC for these inputs, padding bit lines not counted. 0 without."""
        adc, columns = self._adc, self._tiling.columns
        if adc is None or not len(x):
            return 0.0
        beyond = count = 0
        for currents in self.currents(x):
            count += len(x) * columns * math.prod(self._out(x))
            if self._step:
                beyond += int(clipped_fixed(currents[:, :columns], self._step, adc.bits).sum())
            elif not self._tiled:
                dims = tuple(range(0 if self._one_range else 1, x.ndim))
                length = currents.numel() if self._one_range else currents[0].numel()
                beyond += int(clipped(currents, dims, adc, length=length, zero_padding=False).sum())
            else:
                beyond += self._beyond(currents, adc)
        return beyond / count

    def _beyond(self, currents: Tensor, adc: ADC) -> int:
        """How many of a tile row's currents are beyond the codes of their tile's ADC."""
        assert self._tiling.tile_shape is not None
        wide, columns, beyond = self._tiling.tile_shape[1], self._tiling.columns, 0
        for first in range(0, columns, wide):
            last = first + wide >= columns  # its bit lines may be followed by padding ones that must be looked at
            tile = currents[:, first:] if last else currents[:, first : first + wide]
            padding = last and self._weights.zero_padding
            beyond += int(clipped(tile, (1,), adc, length=wide, zero_padding=padding)[:, : columns - first].sum())
        return beyond


@dataclasses.dataclass(frozen=True)
class _Noise:
    """Read noise of a layer's devices.

    Attributes:
        variances: of each device, (rows, columns) without padding bit lines, as parts of the largest: in square siemens they
            would be near the smallest numbers of single precision.
        deviation: the root of the largest, in siemens.
        seed: of the numbers.
    """

    variances: Tensor
    deviation: float
    seed: int

    @classmethod
    def of(cls, tiling: Tiling, variances: Tensor, seed: int) -> _Noise:
        real = _real(tiling, variances).double()
        largest = float(real.max())
        return cls((real / (largest or 1.0)).float(), math.sqrt(largest), seed)

    def sums(self, geometry: Geometry, voltages: Tensor, kernel: Tensor) -> Tensor:
        """Sums of v^2 s for a kernel of these variances, (n, columns, *out); some ways to convolve give -1e-9 for 0."""
        return geometry.multiply(voltages.square(), kernel, None, padded=True).clamp_(min=0)

    def drawn(self, variances: Tensor, first: int, tile_row: int, deviation: float) -> Tensor:
        """Noise of the images from number `first` on, for their sums of v^2 s (n, columns, *out); in plain torch."""
        flat = variances.flatten(2) if variances.ndim > 2 else variances.unsqueeze(2)
        images = torch.arange(first, first + len(flat), device=flat.device)
        drawn = normals(self.seed, images, flat.shape[2], flat.shape[1], tile_row)
        return drawn.mul_(flat.sqrt().mul_(deviation)).view(variances.shape)


def _real(tiling: Tiling, values: Tensor) -> Tensor:
    """Values of the devices that hold weights, (rows, columns)."""
    return tiling.joined(values)[:, : tiling.columns].contiguous()
