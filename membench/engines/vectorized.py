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

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from membench.arrays import MemristiveLayer, kernel_in_use
from membench.case import ADC, Conversion, Tuning
from membench.effect import Array, Crossbar, Effect, ReadEffect, Reading, Stage
from membench.engines._base import ENGINES, Converted, Engine, Problem, Progress
from membench.engines._examine import examine
from membench.engines._layers import Plan, PlannedLayer, replaced
from membench.engines._tuning import check_tuning
from membench.engines._variability import device_limits
from membench.engines._ways import By, Way, Ways
from membench.engines.memtorch import MemTorchEngine, draws_r_on_first, map_weights
from membench.errors import UnsupportedError
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
    def calibrate(self, inputs: Mapping[str, Sequence[Tensor]], adc: ADC) -> None:
        for name, (_, layer) in self._converted.items():
            layer.calibrate([x.to(layer.conductance) for x in inputs[name]], adc.overflow_rate, name)

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
    ways: ClassVar[Ways] = {
        "conversion.device.kind": Way(By.MEMBENCH, "of a device model only r_on and r_off act (1T1R, written directly)"),
        "conversion.device.r_on": Way(By.MEMBENCH, "ohms; the largest weight is 1 / r_on"),
        "conversion.device.r_off": Way(By.MEMBENCH, "ohms; a weight of 0 is 1 / r_off"),
        "conversion.scheme": Way(By.MEMBENCH, "G+ - G-, subtracted before the ADC; or one column minus the middle"),
        "conversion.tile_shape": Way(By.MEMBENCH, "word lines x bit lines; whole tiles first, the last ones padded at HRS"),
        "conversion.adc": Way(By.MEMBENCH, "at the foot of each tile's bit lines"),
        "conversion.adc.bits": Way(By.MEMBENCH, "2^bits codes from -2^(bits-1); halves are rounded up"),
        "conversion.adc.method": Way(By.MEMBENCH, "linear, or MemTorch's log"),
        "conversion.adc.range": Way(By.MEMBENCH, "of each vector (MemTorch's rule), calibrated once a layer, or amperes"),
        "conversion.adc.overflow_rate": Way(By.MEMBENCH, "proportion of currents beyond the range"),
        "conversion.adc.calibration_images": Way(By.MEMBENCH, "images of the training set"),
        "conversion.max_input_voltage": Way(By.MEMBENCH, "volts; an input of 1 is 1 V"),
        "conversion.mapping": Way(By.MEMBENCH, "MemTorch's naive_map: |w| from [0, max|w| of the layer] to [1 / r_off, 1 / r_on]"),
        "conversion.retained": Way(By.MEMBENCH, "proportion of weights kept in range"),
        "conversion.tuning": Way(By.MEMBENCH, "a gain and an offset a layer, fitted on noise"),
        "conversion.keep_digital": Way(By.MEMBENCH, "names of layers"),
        "conversion.scaling": Way(By.MEMBENCH, "what becomes of inputs beyond max_input_voltage"),
        "conversion.dac.bits": Way(By.MEMBENCH, "2^bits - 1 levels from -max_input_voltage to max_input_voltage, 0 V among them"),
        "nonidealities": Way(By.MEMBENCH, "acts on the conductances as the effect says"),
        "nonidealities.variability": Way(By.MEMBENCH, "r_on and r_off of each device, ohms; drawn as MemTorch draws them"),
        "nonidealities.finite_conductance_states": Way(By.MEMBENCH, "the nearest of `states` even ones, or of `levels`, siemens"),
        "nonidealities.programming_error": Way(By.MEMBENCH, "normal, a proportion of G or of the range; repeated until in tolerance"),
        "nonidealities.device_faults": Way(By.MEMBENCH, "proportions of the devices, held at 1 / r_on, 1 / r_off or a resistance, ohms"),
        "nonidealities.conductance_drift": Way(By.MEMBENCH, "G (time / initial_time)^-nu, seconds; nu is normal"),
        "nonidealities.retention": Way(By.MEMBENCH, "MemTorch's empirical model, seconds, kelvin, nanometres, ohms"),
        "nonidealities.endurance": Way(By.MEMBENCH, "MemTorch's empirical model, switching cycles"),
        "nonidealities.line_resistance": Way(By.MEMBENCH, "ohms; each tile solved exactly once, as effective conductances"),
        "nonidealities.read_noise": Way(By.MEMBENCH, "normal, each device at each product: a proportion of G or of the range"),
        "nonidealities.non_linear": Way(By.MEMBENCH, "the current law of the devices, applied to the voltages"),
    }  # fmt: skip

    def problem(self) -> Problem | None:
        return ENGINES.get(MemTorchEngine.name).problem()  # the mapping routine is MemTorch's

    def version(self) -> str:
        return f"{'C++ kernel' if kernel_in_use() else 'plain torch'}, mapping of MemTorch {ENGINES.get(MemTorchEngine.name).version()}"

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        for effect in effects:
            known = isinstance(effect, Variability | ReadEffect)
            if not known and (effect.stage is Stage.FABRICATION or not effect.acts):
                raise UnsupportedError(f"The engine {self.name} cannot express the non-ideality {effect.kind!r}.")
        plan = examine(model, conversion, sample, _refuse)
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
    ) -> VectorizedNetwork:
        def made(name: str, digital: nn.Module) -> MemristiveLayer:
            return self._layer(digital, conversion, fabrication, derive_seed(seed, name))

        network, converted = replaced(model, plan.layers, made, progress)
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
    """1 / r_off and 1 / r_on of each device."""
    device, before = conversion.device, layer.weight.numel() + layer.tiling.columns
    return device_limits(effect, device, tuple(layer.conductance.shape), before, seed, r_on_first=draws_r_on_first(device))


ENGINES.add(VectorizedEngine.name, VectorizedEngine())
