"""What the engines of other simulators share: the devices, what stands around a product, and how effects act.

A simulator programs the devices and computes the product with its own code. membench does what is digital or belongs to the
devices alone, the same for each of them: the input limit, gain and offset, the bias, the range of an ADC, and effects that the
simulator has no function for. So the same seed gives the same devices on every engine, and what differs is the simulator.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from membench.arrays.encoding import Encoding
from membench.arrays.fit import fit
from membench.arrays.geometry import Geometry, matrix_of
from membench.arrays.layer import chunk_limit
from membench.arrays.product import Hardware, Product
from membench.arrays.tiles import Tiling
from membench.case import ADC, Conversion, Tuning
from membench.effect import Crossbar, Effect, ReadEffect, Reading
from membench.engines._base import Converted, Engine, Progress
from membench.engines._examine import examine
from membench.engines._layers import Plan, PlannedLayer, replaced
from membench.engines._tuning import check_tuning
from membench.engines._variability import device_limits
from membench.engines._ways import By, Way, Ways, faults, never, only
from membench.errors import UnsupportedError
from membench.nonidealities import Variability
from membench.record import LayerInfo
from membench.runtime import derive_seed, legacy_generator

# How crossbars are read for the proof of effects that act at each read, as the engine vectorized reads them.
_PROBES, _READS, _PROBE_SEED = 16, 64, 0
_R_ON_FIRST = frozenset({"LinearIonDrift"})  # MemTorch's device models that draw r_on before r_off
_TUNING_NUMBERS = 2**20  # of noise, held at once


class SimulatedLayer(nn.Module):
    """A fully connected layer or a convolution whose product a simulator computes. For inference only.

    Attributes:
        geometry: the layer without its weights.
        tiling: how its matrix is cut into tiles.
        conductance: of each device, in siemens; float64, shape (2, tiles, tile rows, tile columns), or (2, rows, columns). The
            first crossbar holds the positive part.
        conductance_min, conductance_max: 1 / r_off and 1 / r_on of each device, or of all (shape ()).
        gain, offset: of the output, per ampere and by itself.
        full_scale: largest current of the ADC, in amperes; None: there is none, or it is not calibrated yet.
    """

    conductance: Tensor
    conductance_min: Tensor
    conductance_max: Tensor
    weight: Tensor
    bias: Tensor | None
    converts_inputs: ClassVar[bool] = False  # whether the simulator has a DAC of its own

    def __init__(self, digital: nn.Module, conversion: Conversion) -> None:
        super().__init__()
        self.kind = type(digital).__name__
        self.conversion = conversion
        self.geometry = Geometry.of(digital)
        self.tiling = Tiling(self.geometry.rows, self.geometry.outputs, conversion.tile_shape)
        encoding = Encoding.of(conversion, self.geometry.one_scale)
        if self.converts_inputs and conversion.dac is not None:
            encoding = dataclasses.replace(encoding, dac=None, linear=False)
        self.encoding = encoding
        weight, bias = cast(Tensor, digital.weight), cast("Tensor | None", digital.bias)
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.register_buffer("bias", None if bias is None else bias.detach())
        low, high = conversion.device.conductance_range
        self.register_buffer("conductance_min", torch.tensor(low, dtype=torch.float64))
        self.register_buffer("conductance_max", torch.tensor(high, dtype=torch.float64))
        self.register_buffer("conductance", torch.full((2, *self.tiling.shape), low, dtype=torch.float64))
        self.gain, self.offset = 1.0, 0.0
        adc = conversion.adc
        self.full_scale = float(adc.range) if adc is not None and not isinstance(adc.range, str) else None

    # What a simulator does

    @abstractmethod
    def mapped(self) -> Tensor:
        """The conductances that the simulator's own mapping gives the weights: (2, rows, columns), in siemens."""

    @abstractmethod
    def write(self, matrices: Tensor) -> None:
        """Program the simulator's devices: (2, rows, columns), in siemens."""

    def read_back(self) -> Tensor | None:
        """The conductances that the simulator holds, as `write` takes them; None: it does not hold devices one by one."""
        return None

    @abstractmethod
    def currents(self, voltages: Tensor) -> Tensor:
        """What comes out of the simulator's ADCs, or of its bit lines, summed over tiles: (n, columns, *out), in amperes."""

    def set_range(self, full_scale: float | None) -> None:
        """Let the ADC convert from -full_scale to full_scale amperes; None: take it away."""
        raise NotImplementedError

    def act(self, effect: Effect, crossbars: Sequence[Crossbar], seed: int) -> list[Crossbar]:
        """The layer's crossbars after an effect; by the simulator where it has a function of its own."""
        return effect.act_on(crossbars, legacy_generator(seed))

    def let_read(self, effect: ReadEffect, seed: int) -> None:
        """Let an effect act at each read; `Engine.plan` has refused what the simulator has not."""
        raise NotImplementedError

    def read(self, voltages: Tensor) -> Tensor:
        """Read the crossbars by themselves, without DAC and ADC: (vectors, rows) volts to (vectors, columns) amperes."""
        raise NotImplementedError

    # What membench does around it

    def program(self, conductance: Tensor) -> None:
        """Set every device, those that only pad a tile too; of the shape of `self.conductance`."""
        self.conductance = conductance.to(self.conductance)
        self.write(torch.stack([self._matrix(part) for part in self.conductance]))

    def fabricate(self, limits: tuple[Tensor, Tensor] | None) -> None:
        """Write the mapped weights, each device as near to its own as its 1 / r_off and 1 / r_on allow."""
        if limits is not None:
            self.conductance_min, self.conductance_max = (limit.to(self.conductance) for limit in limits)
        wanted = torch.stack([self.tiling.cut(matrix.double()) for matrix in self.mapped()])
        self.program(torch.minimum(wanted, self.conductance_max).maximum(self.conductance_min))
        if self.full_scale is not None:
            self.set_range(self.full_scale)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch's own layers name it
        """Outputs (n, columns, *out) for float32 inputs (n, inputs, *size)."""
        with torch.no_grad():
            out = self._raw(input).mul_(self.gain).add_(self.offset)
            return out if self.bias is None else out.add_(self.bias.view(-1, *[1] * self.geometry.dimensions))

    def _raw(self, x: Tensor) -> Tensor:
        """Currents with the input scale undone where that is asked for, in amperes."""
        voltages, factor = self.encoding(x)
        out = self.currents(voltages)
        if factor is not None:
            out.mul_(factor.view(factor.shape[:1] + (1,) * (out.ndim - 1)) if factor.ndim else factor)
        return out

    def snapshots(self, name: str, stuck: Sequence[NDArray[np.bool_] | None]) -> list[Crossbar]:
        """The layer's crossbars, copied: as the simulator holds them, where it tells."""
        held = self.read_back()
        now = self.conductance.clone()
        real = self.tiling.real().numpy()
        if held is not None:
            cut = torch.stack([self.tiling.cut(matrix) for matrix in held])
            now = torch.where(torch.from_numpy(real), cut, now)
        low, high = (
            np.broadcast_to(limit.numpy(), self.conductance.shape) for limit in (self.conductance_min, self.conductance_max)
        )
        return [
            Crossbar(name, index, now[index].numpy(), low[index], high[index], real, self.conversion.device, stuck[index])
            for index in range(2)
        ]

    def target(self) -> list[Tensor]:
        """What the mapping asks for by the formula: |w| / max|w| of the way from 1 / r_off to 1 / r_on, on the side of its sign."""
        low, high = self.conversion.device.conductance_range
        share = matrix_of(self.weight).double() / float(self.weight.abs().max())
        return [low + (high - low) * part.clamp(min=0) for part in (share, -share)]

    def difference(self) -> Tensor:
        """Positive minus negative conductance, of the tiling's shape, in siemens."""
        return self.conductance[0] - self.conductance[1]

    def matrix(self) -> Tensor:
        """The same as a matrix (rows, columns)."""
        return self._matrix(self.difference())

    def _matrix(self, tiles: Tensor) -> Tensor:
        return self.tiling.joined(tiles)[:, : self.tiling.columns]

    def calibrate(self, batches: Sequence[Tensor], adc: ADC, name: str) -> None:
        """Fix the ADC's range as the engine vectorized does: a proportion `overflow_rate` of the currents lie beyond it.

        Raises:
            MeasurementError: the range would be 0 A; the message has the layer's name.
        """
        hardware = Hardware(self.geometry, self.tiling, adc, None)
        one, difference = self.weight.new_tensor(1.0), self.difference().to(self.weight)
        product = Product(hardware, difference, one, torch.zeros_like(one), None, chunk_limit())
        with torch.no_grad():
            self.full_scale = product.range_of(map(self._voltages, batches), adc.overflow_rate, name)
        self.set_range(self.full_scale)

    def _voltages(self, x: Tensor) -> Tensor:
        """What acts on the word lines, for the ADC's range."""
        plain = self.encoding
        if self.converts_inputs and self.conversion.dac is not None:
            plain = dataclasses.replace(plain, dac=self.conversion.dac)
        return plain(x)[0]

    def tune(self, tuning: Tuning, seed: int) -> None:
        """Fit gain and offset as the engine vectorized does: on the same noise, without an ADC of a fixed range."""
        geometry = self.geometry
        shape: tuple[int, ...] = (tuning.linear_rows, geometry.inputs)
        if geometry.dimensions:
            shape = (tuning.conv_images, geometry.inputs, *[tuning.conv_size] * geometry.dimensions)
        limit = self.encoding.limit
        whole = limit is not None and limit < 1 and self.encoding.one_scale
        scale, self.full_scale = self.full_scale, None
        if scale is not None:
            self.set_range(None)
        with torch.no_grad():
            slab = torch.Size(shape).numel() if whole else _TUNING_NUMBERS
            self.gain, self.offset = fit(self._raw, self._digital, shape, seed, slab)
        self.full_scale = scale
        if scale is not None:
            self.set_range(scale)

    def _digital(self, x: Tensor) -> Tensor:
        return self.geometry.multiply(x, self.weight, None)

    def steps(self, x: Tensor) -> Tensor:
        """What one code of the ADC is worth in the output, at most, for each of these images, shape (n,); 0 without one."""
        adc = self.conversion.adc
        if adc is None or self.full_scale is None:
            return x.new_zeros(len(x))
        factor = self.encoding(x)[1]
        steps = x.new_full((len(x),), float(self.full_scale) * 0.5 ** (adc.bits - 1) * abs(self.gain))
        return steps if factor is None else steps * factor.flatten()


class SimulatedNetwork(Converted):
    """A network of a simulator's layers."""

    def __init__(self, network: nn.Module, converted: Mapping[str, tuple[PlannedLayer, SimulatedLayer]]) -> None:
        self.network = network
        self._converted = converted
        self._stuck: dict[str, list[NDArray[np.bool_] | None]] = {name: [None, None] for name in converted}
        self.layers = tuple(_describe(planned, layer) for planned, layer in converted.values())

    def targets(self) -> tuple[Crossbar, ...]:
        found = []
        for name, (_, layer) in self._converted.items():
            low, high = layer.conversion.device.conductance_range
            real = layer.tiling.real().numpy()
            for index, matrix in enumerate(layer.target()):
                wanted = np.where(real, layer.tiling.cut(matrix).numpy(), low)
                ends = np.broadcast_to(low, real.shape), np.broadcast_to(high, real.shape)
                found.append(Crossbar(name, index, wanted, *ends, real, layer.conversion.device))
        return tuple(found)

    def crossbars(self) -> tuple[Crossbar, ...]:
        return tuple(bar for name, (_, layer) in self._converted.items() for bar in layer.snapshots(name, self._stuck[name]))

    @torch.inference_mode(False)
    @torch.no_grad()
    def apply(self, effect: Effect, seed: int) -> None:
        for name, (_, layer) in self._converted.items():
            own = derive_seed(seed, name)
            if isinstance(effect, ReadEffect):
                layer.let_read(effect, own)
                continue
            after = layer.act(effect, layer.snapshots(name, self._stuck[name]), own)
            self._stuck[name] = [bar.stuck for bar in after]
            layer.program(torch.from_numpy(np.stack([bar.conductance for bar in after])))

    def readings(self) -> tuple[Reading, ...]:
        found = []
        for name, (_, layer) in self._converted.items():
            limit = layer.conversion.max_input_voltage
            top = limit or 1.0
            generator = torch.Generator().manual_seed(_PROBE_SEED)
            signs = torch.randint(2, (_PROBES, layer.tiling.rows), generator=generator) * 2.0 - 1
            voltages = signs * torch.linspace(top / _PROBES, top, _PROBES).unsqueeze(1)
            read = layer.read(voltages.repeat(_READS, 1)).view(_READS, _PROBES, -1)
            acting, matrix, currents = (part.double().numpy() for part in (voltages, layer.matrix(), read))
            found.append(Reading(name, acting, matrix, currents, limit))
        return tuple(found)

    def calibrate(self, inputs: Mapping[str, Sequence[Tensor]], adc: ADC) -> None:
        for name, (_, layer) in self._converted.items():
            layer.calibrate(inputs[name], adc, name)

    def tune(self, tuning: Tuning, seed: int) -> None:
        for name, (_, layer) in self._converted.items():
            layer.tune(tuning, derive_seed(seed, name))

    def infer(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            return cast(Tensor, self.network(images))


def _describe(planned: PlannedLayer, layer: SimulatedLayer) -> LayerInfo:
    return LayerInfo(
        name=planned.name,
        kind=planned.kind,
        rows=layer.tiling.rows,
        columns=layer.tiling.columns,
        crossbars=2,
        tiles=None if layer.tiling.tile_shape is None else math.prod(layer.tiling.counts),
        devices=layer.conductance.numel(),
        reads=planned.reads,
    )


class SimulatorEngine(Engine):
    """An engine whose layers another simulator computes."""

    any_device = False
    optional = True
    layer_class: ClassVar[type[SimulatedLayer]]

    @abstractmethod
    def refused(self, module: nn.Module) -> str | None:
        """Why the simulator cannot represent a layer of a kind that it knows, or None."""

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        if found := faults(self.name, self.ways, conversion, effects):
            raise UnsupportedError("\n".join(found))
        plan = examine(model, conversion, sample, self.refused)
        check_tuning(plan, conversion.tuning)
        return plan

    @torch.inference_mode(False)
    @torch.no_grad()
    def convert(
        self,
        model: nn.Module,
        conversion: Conversion,
        plan: Plan,
        fabrication: tuple[Effect, ...],
        seed: int,
        progress: Progress,
    ) -> SimulatedNetwork:
        self.require()

        def made(name: str, digital: nn.Module) -> SimulatedLayer:
            layer = self.layer_class(digital, conversion)
            layer.eval()
            layer.fabricate(_limits(layer, fabrication, derive_seed(seed, name)))
            return layer

        return SimulatedNetwork(*replaced(model, plan.layers, made, progress))


def _limits(layer: SimulatedLayer, fabrication: Sequence[Effect], seed: int) -> tuple[Tensor, Tensor] | None:
    for effect in fabrication:
        assert isinstance(effect, Variability)  # `plan` has refused all others
        device, before = layer.conversion.device, layer.weight.numel() + layer.tiling.columns
        shape = tuple(layer.conductance.shape)
        return device_limits(effect, device, shape, before, seed, r_on_first=device.kind in _R_ON_FIRST)
    return None


# What membench does around every simulator, and what no simulator here has.
AROUND: Ways = {
    "conversion.device.kind": Way(By.MEMBENCH, "only its r_on and r_off act, as in membench"),
    "conversion.scheme": Way(
        By.SIMULATOR,
        "two devices a weight, subtracted before the ADC",
        only("double-column", "a weight has two devices here; MemTorch's single column loses negative weights"),
    ),
    "conversion.retained": Way(By.NOBODY, "all weights are kept in range"),
    "conversion.tuning": Way(
        By.MEMBENCH, "a gain (per ampere) and an offset a layer, fitted on the same noise with the simulator's own currents"
    ),
    "conversion.keep_digital": Way(By.MEMBENCH, "layers that are not converted"),
    "conversion.max_input_voltage": Way(By.MEMBENCH, "volts; inputs beyond it are scaled before they enter the simulator"),
    "conversion.scaling": Way(By.MEMBENCH, "the scale is taken, and undone where asked for, outside of the simulator"),
    "conversion.adc.method": Way(By.SIMULATOR, "linear only", only("linear", "its converter is linear")),
    "conversion.adc.calibration_images": Way(By.MEMBENCH, "the same training images fix the same range"),
    "conversion.adc.overflow_rate": Way(By.MEMBENCH, "decides the calibrated range, as in membench"),
    "nonidealities": Way(
        By.MEMBENCH, "acts on the conductances as the effect says; the simulator is programmed with the result"
    ),
    "nonidealities.variability": Way(By.MEMBENCH, "the devices that MemTorch would draw; each clamps to its own range"),
    "nonidealities.non_linear": Way(By.NOBODY, "its devices are ohmic"),
    "nonidealities.read_noise": Way(By.NOBODY, "it draws no noise for each device at each read"),
}
FIXED_ONLY = never("vector", "its range does not depend on the vector; give `calibrated` or amperes")
