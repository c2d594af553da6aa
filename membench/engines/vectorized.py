"""MemTorch's numbers at the speed of the digital network.

Mapping is MemTorch's own routine and devices are drawn from the same random numbers in the same order, but conductances, r_on
and r_off are arrays from the start, and a layer's product is one pass (membench/arrays). What differs from MemTorch, all of it:

- The last bits of a product: rows are summed in their order here, in the order of a BLAS routine there.
- Without an ADC an image beyond the input limit is scaled after the product. MemTorch scales before it and rounds each voltage, so
  that 0 V may become 1e-8 V: seen only where no position of the kernel sees the large inputs.
- Conv3d works, with the word lines of all its input channels on one pair of crossbars, as in Conv2d. Kernels, strides and
  dilations may differ from axis to axis.
- The mends of membench/engines/memtorch.py hold here too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from membench.arrays import MemristiveLayer, kernel_in_use
from membench.arrays.draws import Resistance, resistances
from membench.arrays.geometry import Geometry
from membench.case import ADC, Conversion, Tuning
from membench.effect import Array, Crossbar, Effect, ReadEffect, Reading, Stage
from membench.engines._base import ENGINES, Converted, Engine, Problem, Progress
from membench.engines._layers import Plan, PlannedLayer, examine, layer_at, with_layer
from membench.engines.memtorch import MemTorchEngine, draws_r_on_first, map_weights
from membench.errors import InputError, UnsupportedError
from membench.nonidealities import Variability
from membench.record import LayerInfo
from membench.runtime import derive_seed, legacy_generator

# How crossbars are read for the proof of effects that act at each read: probe vectors of rising magnitude, each so often.
_PROBES, _READS, _PROBE_SEED = 16, 64, 0
_PROBE_FIRST = 2**31  # numbers of reads that no inference reaches, so that their noise is their own


def _refuse(module: nn.Module) -> str | None:
    """Why a layer cannot be put on crossbars, or None."""
    if getattr(module, "groups", 1) != 1:
        return f"groups={module.groups}: there is no agreed way to lay a grouped convolution out on crossbars"
    if getattr(module, "padding_mode", "zeros") != "zeros":
        return f"padding_mode={module.padding_mode!r}: only zeros can be applied to word lines that see no pixel"
    return None


class VectorizedNetwork(Converted):
    """A network of memristive layers, each an array."""

    def __init__(self, network: nn.Module, conversion: Conversion, converted: dict[str, tuple[PlannedLayer, MemristiveLayer]]):
        self.network = network
        self._conversion = conversion
        self._converted = converted
        self._stuck: dict[str, list[NDArray[np.bool_] | None]] = {
            name: [None] * converted[name][1].crossbars for name in converted
        }
        self.layers = tuple(_describe(planned, layer) for planned, layer in converted.values())

    def targets(self) -> tuple[Crossbar, ...]:
        low, high = self._conversion.device.conductance_range
        found = []
        for name, (_, layer) in self._converted.items():
            real = layer.tiling.real().numpy()
            for index, matrix in enumerate(layer.matrices(map_weights(layer.weight.cpu(), self._conversion))):
                wanted = np.where(real, layer.tiling.cut(matrix).double().numpy().clip(low, high), low)
                ends = np.broadcast_to(low, real.shape), np.broadcast_to(high, real.shape)
                found.append(Crossbar(name, index, wanted, *ends, real, self._conversion.device))
        return tuple(found)

    def crossbars(self) -> tuple[Crossbar, ...]:
        return tuple(snapshot for name in self._converted for snapshot in self._snapshots(name))

    @torch.inference_mode(False)  # a tensor made in inference mode does not tell when it is changed
    @torch.no_grad()
    def apply(self, effect: Effect, seed: int) -> None:
        for name, (_, layer) in self._converted.items():
            own = derive_seed(seed, name)
            if isinstance(effect, ReadEffect):
                self._let_read(effect, name, layer, own)
                continue
            after = effect.act_on(self._snapshots(name), legacy_generator(own))
            self._stuck[name] = [bar.stuck for bar in after]
            for index, bar in enumerate(after):
                layer.conductance[index] = torch.from_numpy(bar.conductance).to(layer.conductance)

    def _let_read(self, effect: ReadEffect, name: str, layer: MemristiveLayer, seed: int) -> None:
        law = effect.current_law(self._conversion.device, self._conversion.max_input_voltage)
        if law is not None:
            layer.add_law(law)
        variances = [effect.variance(bar) for bar in self._snapshots(name)]
        given = [torch.from_numpy(part) for part in variances if part is not None]
        if given:
            layer.add_noise(given, seed)

    def readings(self) -> tuple[Reading, ...]:
        found = []
        top = self._conversion.max_input_voltage or 1.0
        for name, (_, layer) in self._converted.items():
            generator = torch.Generator().manual_seed(_PROBE_SEED)
            signs = torch.randint(2, (_PROBES, layer.tiling.rows), generator=generator) * 2.0 - 1
            voltages = (signs * torch.linspace(top / _PROBES, top, _PROBES).unsqueeze(1)).to(layer.conductance)
            acting, read = layer.read(voltages, _READS, _PROBE_FIRST)
            matrix = layer.tiling.joined(layer.difference())[:, : layer.tiling.columns]
            voltage, conductance, currents = (part.double().cpu().numpy() for part in (acting, matrix, read))
            found.append(Reading(name, voltage, conductance, currents, self._conversion.max_input_voltage))
        return tuple(found)

    @torch.inference_mode(False)
    @torch.no_grad()
    def calibrate(self, inputs: Mapping[str, Tensor], adc: ADC) -> None:
        for name, (_, layer) in self._converted.items():
            layer.calibrate(inputs[name].to(layer.conductance), adc.overflow_rate)

    @torch.inference_mode(False)
    @torch.no_grad()
    def tune(self, tuning: Tuning, seed: int) -> None:
        for name, (_, layer) in self._converted.items():
            layer.tune(tuning, derive_seed(seed, name))

    def infer(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            return cast(Tensor, self.network(images))

    def _snapshots(self, name: str) -> list[Crossbar]:
        """The crossbars of one layer, copied."""
        _, layer = self._converted[name]
        shape, real = layer.conductance.shape, layer.tiling.real().numpy()

        def ends(limit: Tensor) -> Array:
            return np.broadcast_to(limit.double().cpu().numpy(), shape)

        now, low, high = layer.conductance.double().cpu().numpy(), ends(layer.conductance_min), ends(layer.conductance_max)
        return [
            Crossbar(name, index, now[index], low[index], high[index], real, self._conversion.device, self._stuck[name][index])
            for index in range(shape[0])
        ]


def _describe(planned: PlannedLayer, layer: MemristiveLayer) -> LayerInfo:
    return LayerInfo(
        name=planned.name,
        kind=planned.kind,
        rows=layer.tiling.rows,
        columns=layer.tiling.columns,
        crossbars=layer.crossbars,
        tiles=None if layer.tiling.tile_shape is None else math.prod(layer.tiling.counts),
        devices=layer.conductance.numel(),
        reads=planned.reads,
    )


class VectorizedEngine(Engine):
    """MemTorch's semantics on arrays: the C++ kernel on the CPU, plain torch elsewhere or without a compiler."""

    name = "vectorized"

    def problem(self) -> Problem | None:
        return ENGINES.get(MemTorchEngine.name).problem()  # the mapping routine is MemTorch's

    def version(self) -> str:
        return f"{'C++ kernel' if kernel_in_use() else 'plain torch'}, mapping of MemTorch {ENGINES.get(MemTorchEngine.name).version()}"

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Tensor | None) -> Plan:
        for effect in effects:
            known = isinstance(effect, Variability | ReadEffect)
            if not known and (effect.stage is Stage.FABRICATION or not effect.acts):
                raise UnsupportedError(f"The engine {self.name} cannot express the non-ideality {effect.kind!r}.")
        plan = examine(model, conversion, sample, _refuse)
        for layer in plan.layers:
            if conversion.tuning is not None and layer.kind != "Linear":
                size = conversion.tuning.conv_size
                geometry = Geometry.of(layer.module)
                try:
                    geometry.out([size] * geometry.dimensions)
                except InputError as error:
                    raise UnsupportedError(
                        f"{layer.name}: its kernel of {geometry.kernel} does not fit tuning noise of {size}: raise Tuning.conv_size."
                    ) from error
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
    ) -> VectorizedNetwork:
        network = copy.deepcopy(model).eval()
        converted: dict[str, tuple[PlannedLayer, MemristiveLayer]] = {}
        for done, planned in enumerate(plan.layers):
            progress("convert", done, len(plan.layers))
            layer = self._layer(layer_at(network, planned.name), conversion, fabrication, derive_seed(seed, planned.name))
            network = with_layer(network, planned, layer)
            converted[planned.name] = planned, layer
        progress("convert", len(plan.layers), len(plan.layers))
        return VectorizedNetwork(network, conversion, converted)

    @staticmethod
    def _layer(digital: nn.Module, conversion: Conversion, fabrication: Sequence[Effect], seed: int) -> MemristiveLayer:
        layer = MemristiveLayer(digital, conversion)
        layer.eval()
        limits = None
        for effect in fabrication:
            assert isinstance(effect, Variability)  # `plan` has refused all others
            limits = _sampled(layer, effect, conversion, seed)
        layer.program(layer.matrices(map_weights(layer.weight.cpu(), conversion)), limits)
        return layer


def _sampled(layer: MemristiveLayer, effect: Variability, conversion: Conversion, seed: int) -> tuple[Tensor, Tensor]:
    """1 / r_off and 1 / r_on of each device, from the numbers that MemTorch draws when it makes the layer with this seed."""
    generator = torch.Generator().manual_seed(seed)
    # MemTorch's layer draws weights and a bias first.
    torch.rand(layer.weight.numel() + layer.tiling.columns, generator=generator)
    lognormal = effect.distribution == "lognormal"
    r_off = Resistance(conversion.device.r_off, effect.r_off_sigma, lognormal, effect.minimum)
    r_on = Resistance(conversion.device.r_on, effect.r_on_sigma, lognormal, effect.minimum)
    shape = layer.conductance.shape
    off, on = resistances(generator, shape.numel(), r_off, r_on, r_on_first=draws_r_on_first(conversion.device))
    return (1 / off).float().view(shape), (1 / on).float().view(shape)


ENGINES.add(VectorizedEngine.name, VectorizedEngine())
