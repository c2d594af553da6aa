"""MemTorch's own code (1.1.6, CPU), behind the engine protocol: the reference for every other engine.

Layers are converted one by one with MemTorch's layer classes, not with `patch_model`: that mutates its argument, converts
nothing by default, skips layers in a ModuleList or a subclass of Sequential, and cannot name the layer it fails on. The
result is the same (tests/engines/test_memtorch.py compares them).

Four things are mended here, since no case could mean them:

- A convolution without bias: MemTorch keeps the random bias that its own constructor drew.
- The reference device that gives a layer's mapping its r_on and r_off: where devices vary, MemTorch means to take the means,
  but looks for its flag in the wrong dict and draws a device at random, so each layer is mapped to a random range, and with one
  column a weight its middle is random too.
- r_on_mean and r_off_mean: MemTorch asks a dict for attributes, so they are always the model class's defaults.
- The midpoint of endurance and retention, `r_on_mean + r_off_mean / 2`, by its precedence, is not the midpoint.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from membench.case import Conversion, InputScaling, Scheme, Tuning
from membench.devices import Device
from membench.effect import Array, Crossbar, Effect, Stage
from membench.engines._base import ENGINES, Converted, Engine, Problem, Progress
from membench.engines._examine import examine
from membench.engines._layers import Plan, PlannedLayer, layer_at, replaced
from membench.engines._ways import By, Way, Ways, only
from membench.errors import NotConvertedError, UnsupportedError
from membench.nonidealities import ConductanceDrift, DeviceFaults, Variability
from membench.nonidealities._empirical import EmpiricalMetalOxide
from membench.record import LayerInfo
from membench.runtime import derive_seed, isolated, legacy_generator

_INSTALL = "make setup (in a clone of membench), or: uv pip install 'membench[memtorch]'"


@functools.cache
def _memtorch() -> Any:
    """The package, imported once and without its own warnings (`is not` with a literal; numpy.core)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        import memtorch
        import memtorch.bh.nonideality.DeviceFaults
        import memtorch.bh.nonideality.endurance_retention_models
        import memtorch.mn.Module
    return memtorch


def _refuse(module: nn.Module) -> str | None:
    """Why MemTorch cannot represent a layer, or None. Each line was confirmed by a run that failed or gave wrong results."""
    if isinstance(module, nn.Linear):
        return None
    if isinstance(module, nn.Conv3d):
        return "MemTorch's Conv3d uses the crossbars of the first input channel only, and adds the bias to the last image only"
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if module.groups != 1:
        return f"groups={module.groups}: MemTorch ignores grouping"
    if any(step != 1 for step in module.dilation):
        return f"dilation={module.dilation}: MemTorch ignores dilation"
    if len(set(module.kernel_size)) != 1:
        return f"kernel_size={module.kernel_size}: MemTorch uses the first size for both axes"
    if len(set(module.stride)) != 1:
        return f"stride={module.stride}: MemTorch uses the first step for both axes"
    if isinstance(module.padding, str):
        return f"padding={module.padding!r}: MemTorch takes numbers; write the padding in pixels"
    if module.padding_mode != "zeros":
        return f"padding_mode={module.padding_mode!r}: MemTorch pads with zeros"
    return None


class MemTorchNetwork(Converted):
    """A network of MemTorch's layers."""

    def __init__(self, network: nn.Module, conversion: Conversion, converted: dict[str, tuple[PlannedLayer, Any]]) -> None:
        self.network = network
        self._conversion = conversion
        self._converted = converted
        self._stuck: dict[str, list[NDArray[np.bool_] | None]] = {
            name: [None] * len(layer.crossbars) for name, (_, layer) in converted.items()
        }
        self.layers = tuple(_describe(planned, layer, conversion) for planned, layer in converted.values())

    def targets(self) -> tuple[Crossbar, ...]:
        lowest, highest = self._conversion.device.conductance_range
        found = []
        for name, (planned, layer) in self._converted.items():
            real = self._real(layer)
            for index, matrix in enumerate(map_weights(planned.weight.detach(), self._conversion)):
                conductance = np.full(real.shape, lowest)
                conductance[real] = self._arranged(layer, matrix.reshape(matrix.shape[0], -1).T)[real].clip(lowest, highest)
                ends = np.full(real.shape, lowest), np.full(real.shape, highest)
                found.append(Crossbar(name, index, conductance, *ends, real, self._conversion.device))
        return tuple(found)

    def crossbars(self) -> tuple[Crossbar, ...]:
        return tuple(bar for name in self._converted for bar in self._snapshots(name))

    def apply(self, effect: Effect, seed: int) -> None:
        for name, (_, layer) in self._converted.items():
            own = derive_seed(seed, name)
            before = self._snapshots(name)
            with isolated(own):
                if _act(effect, layer):
                    after = [old.moved_to(new.conductance) for old, new in zip(before, self._snapshots(name), strict=True)]
                else:
                    after = effect.act_on(before, legacy_generator(own))
            self._stuck[name] = [bar.stuck for bar in after]
            for crossbar, bar in zip(layer.crossbars, after, strict=True):
                crossbar.conductance_matrix = torch.from_numpy(bar.conductance).float()

    def _snapshots(self, name: str) -> list[Crossbar]:
        """The crossbars of one layer, copied."""
        _, layer = self._converted[name]
        real, device = self._real(layer), self._conversion.device
        return [
            _snapshot(name, index, crossbar, real, device, stuck)
            for index, (crossbar, stuck) in enumerate(zip(layer.crossbars, self._stuck[name], strict=True))
        ]

    def tune(self, tuning: Tuning, seed: int) -> None:
        for name, (planned, layer) in self._converted.items():
            with isolated(derive_seed(seed, name)), torch.no_grad():
                if planned.kind == "Linear":
                    layer.tune(input_shape=tuning.linear_rows)
                else:
                    layer.tune(input_batch_size=tuning.conv_images, input_shape=tuning.conv_size)

    def infer(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return cast(Tensor, self.network(images))

    def _arranged(self, layer: Any, matrix: Tensor) -> Array:
        """A matrix (rows, columns) as the layer's crossbars hold it: cut into tiles, padded with zeros."""
        if self._conversion.tile_shape is not None:
            matrix, _ = importlib.import_module("memtorch.bh.crossbar.Tile").gen_tiles(
                matrix.contiguous(), self._conversion.tile_shape, input=False, use_bindings=True
            )
        return cast(Array, matrix.double().numpy())

    def _real(self, layer: Any) -> NDArray[np.bool_]:
        crossbar = layer.crossbars[0]
        return self._arranged(layer, torch.ones(crossbar.rows, crossbar.columns)) > 0


def _describe(planned: PlannedLayer, layer: Any, conversion: Conversion) -> LayerInfo:
    rows, columns = layer.crossbars[0].rows, layer.crossbars[0].columns
    tiles = None
    if conversion.tile_shape is not None:
        tiles = math.ceil(rows / conversion.tile_shape[0]) * math.ceil(columns / conversion.tile_shape[1])
    return LayerInfo(
        name=planned.name,
        kind=planned.kind,
        rows=rows,
        columns=columns,
        crossbars=len(layer.crossbars),
        tiles=tiles,
        devices=sum(crossbar.devices.size for crossbar in layer.crossbars),
        reads=planned.reads,
    )


def _snapshot(
    name: str, index: int, crossbar: Any, real: NDArray[np.bool_], device: Device, stuck: NDArray[np.bool_] | None
) -> Crossbar:
    shape = crossbar.devices.shape
    resistances = np.array([(device.r_off, device.r_on) for device in crossbar.devices.flat], dtype=np.float64)
    return Crossbar(
        layer=name,
        index=index,
        conductance=crossbar.conductance_matrix.detach().double().numpy().copy(),
        conductance_min=1 / resistances[:, 0].reshape(shape),
        conductance_max=1 / resistances[:, 1].reshape(shape),
        real=real,
        device=device,
        stuck=stuck,
    )


def _scheme(scheme: Scheme) -> Any:
    schemes = _memtorch().bh.Scheme
    return {Scheme.DOUBLE_COLUMN: schemes.DoubleColumn, Scheme.SINGLE_COLUMN: schemes.SingleColumn}[scheme]


def map_weights(weight: Tensor, conversion: Conversion) -> tuple[Tensor, ...]:
    """The conductances that MemTorch's mapping routine wants for a layer's weights, in siemens; one tensor a crossbar.

    The routine is held to the device model's own resistances.
    """
    device = conversion.device
    mapped = _memtorch().map.naive_map(weight, device.r_on, device.r_off, _scheme(conversion.scheme), conversion.retained)
    return mapped if isinstance(mapped, tuple) else (mapped,)


def draws_r_on_first(device: Device) -> bool:
    """Whether MemTorch's device model samples r_on before r_off: it does so in the order of its own parameters."""
    parameters = list(inspect.signature(getattr(_memtorch().bh.memristor, device.kind).__init__).parameters)
    return parameters.index("r_on") < parameters.index("r_off")


def _mapping(conversion: Conversion) -> Any:
    """`map_weights` as MemTorch's layers call it."""

    def mapping(weight: Tensor, *_: Any, **__: Any) -> Any:
        mapped = map_weights(weight, conversion)
        return mapped if len(mapped) > 1 else mapped[0]

    return mapping


def _resistances(conversion: Conversion, fabrication: Sequence[Effect]) -> dict[str, Any]:
    """MemTorch's device parameters: numbers, or generators where devices vary."""
    parameters: dict[str, Any] = {"r_on": conversion.device.r_on, "r_off": conversion.device.r_off}
    for effect in fabrication:
        assert isinstance(effect, Variability)  # MemTorchEngine.plan has refused all others
        for name, sigma in (("r_on", effect.r_on_sigma), ("r_off", effect.r_off_sigma)):
            if sigma > 0:
                parameters[name] = _generator(effect, parameters[name], sigma)
    return parameters


def _generator(effect: Variability, mean: float, sigma: float) -> Any:
    """MemTorch's generator of one resistance, in ohms, with that mean and standard deviation."""
    if effect.distribution == "normal":
        return _memtorch().bh.StochasticParameter(torch.distributions.Normal, min=effect.minimum, loc=mean, scale=sigma)
    variance = math.log1p((sigma / mean) ** 2)
    return _memtorch().bh.StochasticParameter(
        torch.distributions.LogNormal, min=effect.minimum, loc=math.log(mean) - variance / 2, scale=math.sqrt(variance)
    )


@functools.singledispatch
def _act(effect: Effect, layer: Any) -> bool:
    """Let `effect` act on a layer with MemTorch's own function, where it has one that does what the effect says.

    MemTorch draws from the global generators, which have been seeded.

    Returns:
        Whether it has; if not, the effect acts as it says itself.
    """
    return False


@_act.register
def _(effect: DeviceFaults, layer: Any) -> bool:
    if effect.memtorch_compatible:
        _memtorch().bh.nonideality.DeviceFaults.apply_device_faults(
            layer, effect.lrs_proportion, effect.hrs_proportion, effect.electroform_proportion
        )
    return effect.memtorch_compatible


@_act.register
def _(effect: ConductanceDrift, layer: Any) -> bool:
    one_for_all = effect.coefficient_sigma == 0
    if one_for_all:
        _memtorch().bh.nonideality.endurance_retention_models.model_conductance_drift(
            layer, effect.time, effect.initial_time, effect.coefficient
        )
    return one_for_all


@_act.register
def _(effect: EmpiricalMetalOxide, layer: Any) -> bool:
    models = _memtorch().bh.nonideality.endurance_retention_models
    means = [(crossbar.r_on_mean, crossbar.r_off_mean) for crossbar in layer.crossbars]
    for crossbar, (r_on, _) in zip(layer.crossbars, means, strict=True):
        if effect.memtorch_compatible:  # the means are the model class's defaults there
            defaults = inspect.signature(type(crossbar.devices.flat[0]).__init__).parameters
            crossbar.r_on_mean, crossbar.r_off_mean = defaults["r_on"].default, defaults["r_off"].default
        else:
            crossbar.r_on_mean = r_on / 2  # so that MemTorch's r_on_mean + r_off_mean / 2 is the midpoint
    models.model_endurance_retention(
        layer,
        operation_mode=models.OperationMode[effect.mode],
        x=effect.x,
        p_lrs=list(effect.p_lrs),
        stable_resistance_lrs=effect.stable_resistance_lrs,
        p_hrs=list(effect.p_hrs),
        stable_resistance_hrs=effect.stable_resistance_hrs,
        cell_size=effect.cell_size,
        temperature=effect.temperature,
        temperature_threshold=effect.temperature_threshold,
    )
    for crossbar, (r_on, r_off) in zip(layer.crossbars, means, strict=True):
        crossbar.r_on_mean, crossbar.r_off_mean = r_on, r_off
    return True


def _beyond(conversion: Conversion, effects: Sequence[Effect]) -> list[str]:
    """What of a case MemTorch cannot express, field by field."""
    faults = []
    for effect in effects:
        if not isinstance(effect, Variability) and (effect.stage is Stage.FABRICATION or not effect.acts):
            faults.append(f"The engine memtorch cannot express the non-ideality {effect.kind!r}.")
    if conversion.adc is not None and conversion.adc.fixed:
        faults.append(
            f"The engine memtorch cannot express adc.range={conversion.adc.range!r}: its ranges are those of each vector."
        )
    if conversion.dac is not None:
        faults.append("The engine memtorch cannot express conversion.dac: its voltages are exact.")
    if conversion.scaling != InputScaling():
        faults.append(
            f"The engine memtorch cannot express conversion.scaling={conversion.scaling!r}: it has its own scaling only."
        )
    return faults


class MemTorchEngine(Engine):
    """MemTorch 1.1.6 on the CPU, with its C++ bindings, one transistor and one memristor a cell."""

    name = "memtorch"
    any_device = False
    ways: ClassVar[Ways] = {
        "conversion": Way(By.SIMULATOR, "its own: where the field comes from"),
        "conversion.adc.range": Way(By.SIMULATOR, "taken afresh from each vector", only("vector", "its ranges are those of each vector")),
        "conversion.adc.calibration_images": Way(By.NOBODY, "its ranges are those of each vector"),
        "conversion.scaling": Way(By.NOBODY, "it has its own scaling only: per image or batch, never undone"),
        "conversion.dac": Way(By.NOBODY, "its voltages are exact"),
        "conversion.keep_digital": Way(By.MEMBENCH, "names of layers"),
        "nonidealities": Way(By.MEMBENCH, "acts on the conductances as the effect says; MemTorch is programmed with the result"),
        "nonidealities.variability": Way(By.SIMULATOR, "StochasticParameter for r_on and r_off, ohms"),
        "nonidealities.device_faults": Way(By.MEMBENCH, "as in membench; with memtorch_compatible MemTorch's apply_device_faults"),
        "nonidealities.conductance_drift": Way(By.SIMULATOR, "model_conductance_drift, seconds; with a spread of nu, membench's"),
        "nonidealities.retention": Way(By.SIMULATOR, "model_endurance_retention"),
        "nonidealities.endurance": Way(By.SIMULATOR, "model_endurance_retention"),
        "nonidealities.read_noise": Way(By.NOBODY, "it has none"),
        "nonidealities.non_linear": Way(By.NOBODY, "its effect of this name does nothing, or takes hours"),
    }  # fmt: skip

    def problem(self) -> Problem | None:
        try:
            _memtorch()
        except Exception as error:  # whatever keeps it from being imported keeps it from being used
            return Problem(f"memtorch-cpu cannot be imported: {type(error).__name__}: {error}", _INSTALL)
        return None

    def version(self) -> str:
        return str(_memtorch().__version__)

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        if faults := _beyond(conversion, effects):
            raise UnsupportedError("\n".join(faults))
        plan = examine(model, conversion, sample, _refuse)
        if conversion.tuning is not None:
            for layer in plan.layers:
                kernel = max(getattr(layer.module, "kernel_size", (1,)))
                if kernel > conversion.tuning.conv_size:
                    raise UnsupportedError(
                        f"{layer.name}: its kernel of {kernel} does not fit tuning noise of {conversion.tuning.conv_size}: raise "
                        "Tuning.conv_size."
                    )
        return plan

    def convert(
        self,
        model: nn.Module,
        conversion: Conversion,
        plan: Plan,
        fabrication: tuple[Effect, ...],
        seed: int,
        progress: Progress,
    ) -> Converted:
        self.require()

        def made(name: str, digital: nn.Module) -> Any:
            with isolated(derive_seed(seed, name)):
                return self._layer(digital, conversion, fabrication)

        network, converted = replaced(model, plan.layers, made, progress)
        _verify(network, plan)
        return MemTorchNetwork(network, conversion, converted)

    @staticmethod
    def _layer(digital: nn.Module, conversion: Conversion, fabrication: Sequence[Effect]) -> Any:
        memtorch = _memtorch()
        kind = memtorch.mn.Module.supported_module_parameters[str(type(digital))]
        adc = conversion.adc
        layer = kind(
            digital,
            memristor_model=getattr(memtorch.bh.memristor, conversion.device.kind),
            memristor_model_params=_resistances(conversion, fabrication),
            mapping_routine=_mapping(conversion),
            scheme=_scheme(conversion.scheme),
            tile_shape=conversion.tile_shape,
            max_input_voltage=conversion.max_input_voltage,
            ADC_resolution=adc.bits if adc else None,
            ADC_overflow_rate=adc.overflow_rate if adc else 0.0,
            quant_method=adc.method if adc else None,
            verbose=False,
        )
        if digital.bias is None:
            layer.bias = None
        if conversion.scheme is Scheme.SINGLE_COLUMN:
            middle = sum(conversion.device.conductance_range) / 2
            layer.crossbar_operation = lambda crossbars, operation, **rest: operation(crossbars[0], **rest) - middle
        for crossbar in layer.crossbars:
            crossbar.r_on_mean, crossbar.r_off_mean = conversion.device.r_on, conversion.device.r_off
        layer.forward_legacy_enabled = False
        return layer


def _verify(network: nn.Module, plan: Plan) -> None:
    """Every planned layer must be memristive now, and work from its crossbars."""
    for planned in plan.layers:
        for alias in planned.aliases:
            layer: Any = layer_at(network, alias or planned.name)
            if not getattr(layer, "crossbars", None) or layer.forward_legacy_enabled:
                raise NotConvertedError(f"The layer {alias!r} is still digital after the conversion.")


ENGINES.add(MemTorchEngine.name, MemTorchEngine())
