"""A memristive layer as a torch module: its state is arrays, its forward pass is MemTorch's."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from membench.arrays.encoding import Encoding, acting
from membench.arrays.fit import fit
from membench.arrays.geometry import Geometry, exceeding, largest, matrix_of
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling
from membench.case import Conversion, Scheme, Tuning
from membench.devices import CurrentLaw
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
    - `full_scale`: largest current of the ADC, in amperes, where its range is fixed; 0 until it is calibrated.
    - `variance`: of each conductance from read to read, in S^2, where reads are noisy.
    - `weight`, `bias`: of the digital layer; the weight is a frozen parameter, so that a network finds its device by its parameters.

    Conductances may be changed in place; the next forward pass sees it.

    Attributes:
        geometry: the layer without its weights.
        hardware: tiles, ADC and input limit.
        encoding: from inputs to voltages.
        noise_seed: of the noise of reads; None: reads are exact.
        reads: images read so far: the noise of the next ones follows from it.
        chunk_bytes: memory a forward pass may take beside its input and output, where it takes any.
    """

    conductance: Tensor
    conductance_min: Tensor
    conductance_max: Tensor
    gain: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor | None
    full_scale: Tensor
    variance: Tensor

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
        self.encoding = Encoding.of(conversion, self.geometry.one_scale)
        self.noise_seed: int | None = None
        self.reads = 0
        self.scheme = conversion.scheme
        self.chunk_bytes = chunk_limit()
        weight, bias = digital.weight, digital.bias
        assert isinstance(weight, Tensor)
        assert bias is None or isinstance(bias, Tensor)
        lowest, highest = conversion.device.conductance_range
        self._middle = (highest + lowest) / 2
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)  # a forward may ask for the network's parameters
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.register_buffer("conductance", weight.new_full((self.crossbars, *self.tiling.shape), lowest))
        self.register_buffer("conductance_min", weight.new_tensor(lowest))
        self.register_buffer("conductance_max", weight.new_tensor(highest))
        self.register_buffer("gain", weight.new_tensor(1.0))
        self.register_buffer("offset", weight.new_tensor(0.0))
        adc = conversion.adc
        if adc is not None and adc.fixed:
            self.register_buffer("full_scale", weight.new_tensor(0.0 if isinstance(adc.range, str) else adc.range))
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
        first, self.reads = self.reads, self.reads + len(x)
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            return self._run(self._prepared(), x, first)  # the usual way, without the contexts that it does not need
        with torch.no_grad(), full_precision(x.device):
            return self._run(self._prepared(), x, first)

    def _run(self, product: Product, x: Tensor, first: int = 0) -> Tensor:
        """Encode, multiply, and undo the scale where that is asked for."""
        if self.encoding.memtorchs or not len(x):
            return product(x, first)
        voltages, factor = self.encoding(x)
        out = product(voltages, first)
        if factor is not None:
            shift = product.shift
            out.sub_(shift).mul_(factor.view(factor.shape[:1] + (1,) * (out.ndim - 1)) if factor.ndim else factor).add_(shift)
        return out

    def steps(self, x: Tensor) -> Tensor:
        """What one code of an ADC is worth in the output, at most, for each of these images, shape (n,); 0 without an ADC."""
        with torch.no_grad():
            voltages, factor = (x, None) if self.encoding.memtorchs else self.encoding(x)
            steps = self._prepared().steps(voltages)
            return steps if factor is None else steps * factor.flatten()

    def largest_step(self, x: Tensor) -> float:
        """The largest of `steps`."""
        return float(self.steps(x).max())

    def add_law(self, law: CurrentLaw) -> None:
        """Let every device follow a current law, after those that it follows already."""
        self.encoding = dataclasses.replace(self.encoding, laws=(*self.encoding.laws, law))

    def add_noise(self, variances: Iterable[Tensor], seed: int) -> None:
        """Let every read find other conductances.

        Args:
            variances: of each crossbar's conductances, in S^2, in the conductances' shape. What there was before stays.
            seed: of the noise, where there was none before.
        """
        added = torch.stack([part.to(self.conductance) for part in variances])
        if self.noise_seed is None:
            self.noise_seed = seed
            self.register_buffer("variance", added)
        else:
            self.variance = self.variance + added

    def calibrate(self, batches: Sequence[Tensor], overflow_rate: float, name: str) -> None:
        """Fix the ADC's range so that a proportion `overflow_rate` of the currents that these batches of inputs cause lie beyond it.

        Raises:
            MeasurementError: the range would be 0 A; the message has the layer's name.
        """
        with torch.no_grad(), full_precision(self.gain.device):
            product = self._product_of(self.gain.new_tensor(1.0), self.offset.new_tensor(0.0), None)
            self.full_scale = self.gain.new_tensor(product.range_of(map(self._voltages, batches), overflow_rate, name))

    def read(self, voltages: Tensor, times: int, first: int) -> tuple[Tensor, Tensor]:
        """Read the crossbars by themselves, without DAC, ADC and gain.

        Args:
            voltages: (vectors, rows), in volts.
            times: how often.
            first: number of the first read, for the noise.

        Returns:
            The voltages as far as the devices' current laws let them act, and currents (times, vectors, columns) in amperes.
        """
        with torch.no_grad(), full_precision(voltages.device):
            acting_voltages = voltages
            for law in self.encoding.laws:
                acting_voltages = acting(law, acting_voltages)
            one, zero = self.gain.new_tensor(1.0), self.offset.new_tensor(0.0)
            line = Hardware(Geometry(self.tiling.rows, self.tiling.columns), self.tiling, None, None)
            product = Product(line, self.difference(), one, zero, None, self.chunk_bytes, self._noise())
            currents = product(acting_voltages.repeat(times, 1), first)
        return acting_voltages, currents.view(times, len(voltages), -1)

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
        limit, adc = self.encoding.limit, self.hardware.adc
        fixed = adc is not None and adc.fixed
        # Where the whole batch has one scale or one ADC range, it cannot be cut.
        one_range = adc is not None and not fixed and self.tiling.tile_shape is None and not self.geometry.dimensions
        whole = one_range or (limit is not None and limit < 1 and self.encoding.one_scale)
        device = self.weight.device
        with torch.no_grad(), full_precision(device):
            # Noise within +-1 uses a few codes only of a range fixed for a network's activations: it would tune to those.
            exact = dataclasses.replace(self.hardware, adc=None) if fixed else self.hardware
            plain = self._product_of(self.gain.new_tensor(1.0), self.offset.new_tensor(0.0), None, exact)
            slab = torch.Size(shape).numel() if whole else self.chunk_bytes // 16
            done = 0

            def raw(x: Tensor) -> Tensor:
                nonlocal done
                done += len(x)
                return self._run(plain, x.to(device), done - len(x))

            gain, offset = fit(raw, lambda x: self.digital(x.to(device)), shape, seed, slab)
        self.gain, self.offset = self.gain.new_tensor(gain), self.offset.new_tensor(offset)

    @staticmethod
    def matrices(mapped: Iterable[Tensor]) -> Iterator[Tensor]:
        """Mapped weights, of the digital weight's shape, as crossbars hold them: (rows, columns)."""
        return (matrix_of(weight) for weight in mapped)

    def difference(self) -> Tensor:
        """Positive minus negative conductance, or minus the middle; of the tiling's shape, in siemens."""
        state = self.conductance
        return state[0] - state[1] if self.crossbars == 2 else state[0] - self._middle

    def _noise(self) -> tuple[Tensor, int] | None:
        return None if self.noise_seed is None else (self.variance.sum(0), self.noise_seed)

    def _product_of(self, gain: Tensor, offset: Tensor, bias: Tensor | None, hardware: Hardware | None = None) -> Product:
        chosen = hardware or self.hardware
        if not self.encoding.memtorchs:  # then inputs are scaled before they come here
            chosen = dataclasses.replace(chosen, limit=None)
        if chosen.adc is not None and chosen.adc.fixed:
            chosen = dataclasses.replace(chosen, full_scale=float(self.full_scale) or None)  # None: not calibrated yet
        return Product(chosen, self.difference(), gain, offset, bias, self.chunk_bytes, self._noise())

    def _prepared(self) -> Product:
        """The product, prepared anew when a part of the state changed."""
        held, kept = self._buffers, self._product
        state = tuple(held.get(name) for name in ("conductance", "gain", "offset", "bias", "full_scale", "variance"))
        versions = (self.chunk_bytes, self.encoding.laws, *map(_version, state))
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

    def clipping_rate(self, x: Tensor) -> float:
        """Proportion of the currents beyond the codes of their ADC, for these inputs; 0 without an ADC."""
        with torch.no_grad():
            return self._prepared().clipping_rate(self._voltages(x))

    def scaled_rate(self, x: Tensor) -> float:
        """Proportion of these images that are scaled down to fit the input limit; 0 without one."""
        limit = self.encoding.limit
        if limit is None or not len(x):
            return 0.0
        with torch.no_grad():
            return float(largest(x) > limit) if self.encoding.one_scale else len(exceeding(x, limit)[0]) / len(x)

    def _voltages(self, x: Tensor) -> Tensor:
        """What the product gets: the inputs themselves where it scales them."""
        return x if self.encoding.memtorchs else self.encoding(x)[0]


def _version(tensor: Tensor | None) -> object:
    """What changes whenever a tensor is changed in place. One made in inference mode does not tell, so it counts as changed."""
    if tensor is None:
        return None
    return object() if tensor.is_inference() else tensor._version
