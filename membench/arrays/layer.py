"""A memristive layer as a torch module: its state is arrays, its forward pass is MemTorch's."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from membench.arrays.fit import fit
from membench.arrays.geometry import Geometry, matrix_of
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling
from membench.case import Conversion, Scheme, Tuning
from membench.errors import InputError
from membench.runtime import full_precision

CHUNK_BYTES = 32 * 2**20


def chunk_limit() -> int:
    """Memory in bytes that a forward pass may take beside its input and output: MEMBENCH_CHUNK_MB, else 32 MiB."""
    given = os.environ.get("MEMBENCH_CHUNK_MB")
    if given is None:
        return CHUNK_BYTES
    try:
        limit = int(float(given) * 2**20)
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise InputError(f"MEMBENCH_CHUNK_MB is {given!r}; a number of mebibytes above 0 is needed, such as 32.")
    return limit


class MemristiveLayer(nn.Module):
    """A fully connected layer or a convolution on crossbars. For inference only.

    Its state (`state_dict`) is:

    - `conductance`: of each device, in siemens; float32, shape (crossbars, tiles, tile rows, tile columns), or
      (crossbars, rows, columns) without tiles. With two columns a weight, the first crossbar holds the positive part.
    - `conductance_min`, `conductance_max`: 1 / r_off and 1 / r_on of each device, or of all (shape ()).
    - `gain`, `offset`: of the output, fitted by `tune`.
    - `weight`, `bias`: of the digital layer.

    Conductances may be changed in place; the next forward pass sees it.

    Attributes:
        geometry: the layer without its weights.
        hardware: tiles, ADC and input limit.
        chunk_bytes: memory a forward pass may take beside its input and output, where it takes any.
    """

    conductance: Tensor
    conductance_min: Tensor
    conductance_max: Tensor
    gain: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor | None

    def __init__(self, digital: nn.Module, conversion: Conversion) -> None:
        """Crossbars whose devices are all at HRS; `program` writes them.

        Args:
            digital: a Linear, Conv1d, Conv2d or Conv3d with float32 weights.
            conversion: device, scheme, tiles, ADC and input limit.
        """
        super().__init__()
        self.kind = type(digital).__name__
        self.geometry = Geometry.of(digital)
        rows, columns = self.geometry.rows, self.geometry.outputs
        self.hardware = Hardware(
            self.geometry, Tiling(rows, columns, conversion.tile_shape), conversion.adc, conversion.max_input_voltage
        )
        self.scheme = conversion.scheme
        self.chunk_bytes = chunk_limit()
        weight, bias = digital.weight, digital.bias
        assert isinstance(weight, Tensor)
        assert bias is None or isinstance(bias, Tensor)
        lowest, highest = conversion.device.conductance_range
        self._middle = (highest + lowest) / 2
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.register_buffer("conductance", weight.new_full((self.crossbars, *self.tiling.shape), lowest))
        self.register_buffer("conductance_min", weight.new_tensor(lowest))
        self.register_buffer("conductance_max", weight.new_tensor(highest))
        self.register_buffer("gain", weight.new_tensor(1.0))
        self.register_buffer("offset", weight.new_tensor(0.0))
        self._product: tuple[tuple[Tensor | None, ...], tuple[object, ...], Product] | None = None

    @property
    def tiling(self) -> Tiling:
        return self.hardware.tiling

    @property
    def crossbars(self) -> int:
        return 2 if self.scheme is Scheme.DOUBLE_COLUMN else 1

    def program(self, targets: Iterable[Tensor], limits: tuple[Tensor, Tensor] | None = None) -> None:
        """Write the devices, each as near to its target as its own r_off and r_on allow.

        Args:
            targets: of each crossbar, a matrix (rows, columns) in siemens.
            limits: 1 / r_off and 1 / r_on of each device, of the conductances' shape; None: all as the device model says.
        """
        if limits is not None:
            self.conductance_min, self.conductance_max = (limit.to(self.conductance) for limit in limits)
        for index, target in enumerate(targets):
            self.conductance[index] = self.tiling.cut(target)
        self.conductance = torch.minimum(self.conductance, self.conductance_max).maximum(self.conductance_min)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch's own layers name it
        """Outputs (n, columns, *out) for float32 inputs (n, inputs, *size).

        Raises:
            InputError: for an input of another shape or type.
        """
        geometry, x = self.geometry, input
        if x.ndim != 2 + geometry.dimensions or x.shape[1] != geometry.inputs or x.dtype != torch.float32:
            raise InputError(
                f"A memristive {self.kind} of {geometry.inputs} inputs takes float32 of {2 + geometry.dimensions} dimensions with "
                f"{geometry.inputs} as the second; given: {x.dtype}, shape {tuple(x.shape)}."
            )
        if x.device != self._buffers["conductance"].device:  # type: ignore[union-attr]
            raise InputError(
                f"The input is on {x.device}, the memristive {self.kind} on {self.conductance.device}: move one of them."
            )
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._prepared()(x)  # the usual way, without the contexts that it does not need
        with torch.no_grad(), full_precision(x.device):
            return self._prepared()(x)

    def largest_step(self, x: Tensor) -> float:
        """What one code of an ADC is worth in the output, at most, for these inputs; 0 without an ADC."""
        with torch.no_grad():
            return self._prepared().largest_step(x)

    def digital(self, x: Tensor) -> Tensor:
        """What the digital layer gives, without its bias."""
        return self.geometry.multiply(x, self.weight, None) if self.geometry.dimensions else x @ self.weight.T

    def tune(self, tuning: Tuning, seed: int) -> None:
        """Fit gain and offset on noise, as MemTorch's tune() after torch.manual_seed(seed)."""
        shape: tuple[int, ...]
        if self.geometry.dimensions:
            shape = (tuning.conv_images, self.geometry.inputs, *[tuning.conv_size] * self.geometry.dimensions)
        else:
            shape = (tuning.linear_rows, self.geometry.inputs)
        limit, adc = self.hardware.limit, self.hardware.adc
        # Where the whole batch has one scale or one ADC range, it cannot be cut.
        one_range = adc is not None and self.tiling.tile_shape is None and not self.geometry.dimensions
        whole = one_range or (limit is not None and limit < 1 and self.geometry.one_scale)
        device = self.weight.device
        with torch.no_grad(), full_precision(device):
            plain = self._product_of(self.gain.new_tensor(1.0), self.offset.new_tensor(0.0), None)
            slab = torch.Size(shape).numel() if whole else self.chunk_bytes // 16
            gain, offset = fit(lambda x: plain(x.to(device)), lambda x: self.digital(x.to(device)), shape, seed, slab)
        self.gain, self.offset = self.gain.new_tensor(gain), self.offset.new_tensor(offset)

    @staticmethod
    def matrices(mapped: Iterable[Tensor]) -> Iterator[Tensor]:
        """Mapped weights, of the digital weight's shape, as crossbars hold them: (rows, columns)."""
        return (matrix_of(weight) for weight in mapped)

    def _product_of(self, gain: Tensor, offset: Tensor, bias: Tensor | None) -> Product:
        state = self.conductance
        difference = state[0] - state[1] if self.crossbars == 2 else state[0] - self._middle
        return Product(self.hardware, difference, gain, offset, bias, self.chunk_bytes)

    def _prepared(self) -> Product:
        """The product, prepared anew when a part of the state changed."""
        held, kept = self._buffers, self._product
        state = held["conductance"], held["gain"], held["offset"], held["bias"]
        conductance, gain, offset, bias = state
        versions = self.chunk_bytes, _version(conductance), _version(gain), _version(offset), _version(bias)
        if kept is not None and kept[1] == versions and all(map(operator.is_, kept[0], state)):
            return kept[2]
        if wrong := {str(part.dtype) for part in state if part is not None and part.dtype != torch.float32}:
            raise InputError(f"A memristive {self.kind} computes in float32; its state is {', '.join(wrong)} now.")
        product = self._product_of(self.gain, self.offset, self.bias)
        self._product = state, versions, product
        return product

    def __getstate__(self) -> dict[str, object]:
        """Without what is made from the state."""
        return {**self.__dict__, "_product": None}

    def extra_repr(self) -> str:
        tile = "x".join(map(str, self.tiling.tile_shape)) if self.tiling.tile_shape else "none"
        return f"{self.kind}, rows={self.tiling.rows}, columns={self.tiling.columns}, tiles={tile}, scheme={self.scheme}"


def _version(tensor: Tensor | None) -> object:
    """What changes whenever a tensor is changed in place. One made in inference mode does not tell, so it counts as changed."""
    if tensor is None:
        return None
    return object() if tensor.is_inference() else tensor._version
