"""IBM's analog hardware kit (aihwkit 1.1.0), its pure-torch inference tile, behind the engine protocol.

By default aihwkit adds noise to each output, converts inputs with 7 bits and outputs with 9, scales each vector by its largest
input, repeats a product whose output is out of bounds, and cuts layers at 512 x 512: `_configuration` sets all of that by hand.
Its own tile array spreads a matrix evenly over the tiles that it needs; `_cutting` cuts it as a profile says, at whole tiles.

Its C++ tile is not used: in the wheel 1.1.0 it cannot be made beside torch 2.14.1 ("weights must be a CPU tensor").
"""

from __future__ import annotations

import copy
import functools
import importlib
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from membench.case import Conversion
from membench.effect import Crossbar, Effect
from membench.engines._base import ENGINES, Problem
from membench.engines._simulated import AROUND, FIXED_ONLY, SimulatedLayer, SimulatorEngine
from membench.engines._ways import By, Way, Ways
from membench.nonidealities import ConductanceDrift
from membench.runtime import isolated

_INSTALL = "pip install --no-deps aihwkit==1.1.0 (Python 3.11 or 3.12 on Linux)"
_MICRO = 1e6  # aihwkit writes conductances in microsiemens


@functools.cache
def _part(name: str) -> Any:
    """A module of aihwkit, imported without its own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"aihwkit.{name}")


def _converter(conversion: Conversion) -> Any:
    """From weights to pairs of conductances in microsiemens."""
    low, high = conversion.device.conductance_range
    return _part("inference.converter.conductance").SinglePairConductanceConverter(g_max=_MICRO * high, g_min=_MICRO * low)


def _configuration(conversion: Conversion) -> Any:
    """Without noise, scaling, repetition and converters; tiles as the profile says. Every default that would act is set."""
    parameters, enums = _part("simulator.parameters"), _part("simulator.parameters.enums")
    configuration = _part("simulator.configs").TorchInferenceRPUConfig()
    configuration.forward = parameters.IOParameters(
        is_perfect=conversion.dac is None,  # its short cut, until there is an ADC
        mv_type=enums.AnalogMVType.ONE_PASS,
        noise_management=enums.NoiseManagementType.NONE,
        bound_management=enums.BoundManagementType.NONE,
        inp_noise=0.0, inp_res=-1.0, inp_bound=0.0, inp_sto_round=False, inp_asymmetry=0.0,
        out_noise=0.0, out_noise_std=0.0, out_res=-1.0, out_bound=0.0, out_sto_round=False, out_asymmetry=0.0, out_scale=1.0,
        out_nonlinearity=0.0, w_noise=0.0, w_noise_type=enums.WeightNoiseType.NONE, ir_drop=0.0, r_series=0.0,
    )  # fmt: skip
    configuration.drift_compensation = None
    configuration.noise_model = _noise_model(conversion, 0.0, 0.0, 1.0)
    configuration.modifier.type = enums.WeightModifierType.NONE
    configuration.clip.type = enums.WeightClipType.NONE
    configuration.remap.type = enums.WeightRemapType.NONE
    configuration.pre_post.input_range.enable = False
    mapping = configuration.mapping
    mapping.digital_bias = True
    mapping.weight_scaling_omega = 0.0  # weights come in as conductances over 1 / r_on - 1 / r_off
    mapping.learn_out_scaling = False
    mapping.max_input_size, mapping.max_output_size = conversion.tile_shape or (0, 0)
    configuration.tile_array_class = _cutting()
    if (dac := conversion.dac) is not None:
        configuration.forward.inp_bound = conversion.max_input_voltage
        configuration.forward.inp_res = 1 / (2**dac.bits - 2)
    return configuration


def _noise_model(conversion: Conversion, drift: float, spread: float, start: float) -> Any:
    """Drift alone: its other noises, which are on by default, are off."""
    return _part("inference.noise.custom").StateIndependentNoiseModel(
        g_converter=_converter(conversion), prog_coeff=[0.0, 0.0, 0.0], prog_noise_scale=0.0, drift_nu_mean=drift,
        drift_nu_std=spread, drift_scale=1.0, t_0=start, read_noise_scale=0.0,
        t_read=start,  # of the noise that is off; later than the reading it would give NaN
    )  # fmt: skip


@functools.cache
def _cutting() -> type[Any]:
    """aihwkit's array of tiles, cut at whole tiles: 144 rows on tiles of 64 are 64 + 64 + 16, not 48 + 48 + 48."""

    class Cutting(_part("simulator.tiles.array").TileModuleArray):  # type: ignore[misc]
        def get_split_sizes(self, size: int, split_max_size: int) -> list[int]:
            if split_max_size <= 0:
                return [size]
            return [min(split_max_size, size - start) for start in range(0, size, split_max_size)]

    return Cutting


class AihwkitLayer(SimulatedLayer):
    """One of aihwkit's analog layers. Its weights are (G+ - G-) / (1 / r_on - 1 / r_off), its inputs volts."""

    converts_inputs = True

    def __init__(self, digital: nn.Module, conversion: Conversion) -> None:
        super().__init__(digital, conversion)
        low, high = conversion.device.conductance_range
        self._range = high - low
        self.configuration = _configuration(conversion)
        layers = _part("nn")
        kind = layers.AnalogLinear if isinstance(digital, nn.Linear) else layers.AnalogConv2d
        with isolated(0):  # it draws weights of its own first
            self.analog = kind.from_digital(_without_bias(digital), self.configuration).eval()
        for tile in self.analog.analog_tiles():
            tile.rpu_config = self.configuration  # each holds the same, so that one change of the ADC is seen by all

    def mapped(self) -> Tensor:
        pairs, _ = _converter(self.conversion).convert_to_conductances(self.weight.double().flatten(1).T)
        return torch.stack(pairs) / _MICRO

    def write(self, matrices: Tensor) -> None:
        weights = ((matrices[0] - matrices[1]) / self._range).T.reshape(self.weight.shape)
        self.analog.set_weights(weights.to(self.weight).contiguous(), None)

    def currents(self, voltages: Tensor) -> Tensor:
        out: Tensor = self.analog(voltages)
        return out.mul(self._range)

    def set_range(self, full_scale: float | None) -> None:
        forward, adc = self.configuration.forward, self.conversion.adc
        forward.out_bound, forward.out_res, forward.is_perfect = 0.0, -1.0, self.conversion.dac is None
        if full_scale is not None and adc is not None:
            forward.is_perfect = False
            # Its codes are symmetric; these have the step of a range with one more code below.
            forward.out_bound = full_scale / self._range * (1 - 2.0 ** (1 - adc.bits))
            forward.out_res = 1 / (2**adc.bits - 2)

    def act(self, effect: Effect, crossbars: Sequence[Crossbar], seed: int) -> list[Crossbar]:
        if not isinstance(effect, ConductanceDrift):
            return super().act(effect, crossbars, seed)
        model = _noise_model(self.conversion, effect.coefficient, effect.coefficient_sigma, effect.initial_time)
        after = []
        with isolated(seed):
            for bar in crossbars:
                programmed = torch.from_numpy(_MICRO * bar.conductance)
                coefficients = model.generate_drift_coefficients(programmed)
                drifted = model.apply_drift_noise_to_conductance(programmed, coefficients, effect.time - effect.initial_time)
                after.append(bar.moved_to(drifted.numpy() / _MICRO))
        return after


def _without_bias(digital: nn.Module) -> nn.Module:
    """The same layer without a bias, which membench adds."""
    plain = copy.deepcopy(digital)
    plain.register_parameter("bias", None)
    return plain


def _folded(effect: ConductanceDrift) -> str | None:
    if 3 * effect.coefficient_sigma <= effect.coefficient:
        return None
    return (
        f"coefficient_sigma={effect.coefficient_sigma!r} is above a third of coefficient={effect.coefficient!r}, and its nu is never "
        "negative"
    )


class AihwkitEngine(SimulatorEngine):
    """aihwkit's torch tile on the CPU."""

    name = "aihwkit"
    layer_class = AihwkitLayer
    ways: ClassVar[Ways] = {
        **AROUND,
        "conversion.device.r_on": Way(By.SIMULATOR, "g_max of SinglePairConductanceConverter, 1e6 / r_on microsiemens"),
        "conversion.device.r_off": Way(By.SIMULATOR, "g_min of SinglePairConductanceConverter, 1e6 / r_off microsiemens"),
        "conversion.mapping": Way(
            By.SIMULATOR,
            "SinglePairConductanceConverter on the whole layer; a tile holds (G+ - G-) / (1 / r_on - 1 / r_off), so its currents are in "
            "volts times that",
        ),
        "conversion.tile_shape": Way(
            By.SIMULATOR, "mapping.max_input_size x max_output_size; its own array would cut evenly, here it cuts at whole tiles"
        ),
        "conversion.adc.bits": Way(
            By.SIMULATOR,
            "forward.out_res = 1 / (2^bits - 2); halves are rounded to even; the lowest code, -2^(bits-1), is missing: there it is one "
            "step off",
        ),
        "conversion.adc.range": Way(
            By.SIMULATOR, "forward.out_bound = range (1 - 2^(1-bits)) / (1 / r_on - 1 / r_off), in volts", FIXED_ONLY
        ),
        "conversion.dac.bits": Way(
            By.SIMULATOR, "forward.inp_res = 1 / (2^bits - 2) with forward.inp_bound = max_input_voltage: the same levels"
        ),
        "nonidealities.conductance_drift": Way(
            By.SIMULATOR, "StateIndependentNoiseModel: t_0 = initial_time, t_inference = time - initial_time, in seconds", _folded
        ),
        "nonidealities.conductance_drift.coefficient": Way(By.SIMULATOR, "drift_nu_mean"),
        "nonidealities.conductance_drift.coefficient_sigma": Way(
            By.SIMULATOR, "drift_nu_std; a negative nu is folded to its magnitude, so at most a third of the coefficient is taken"
        ),
        "nonidealities.line_resistance": Way(
            By.MEMBENCH, "membench's solver gives the effective conductances that the tile holds (the torch tile has no IR drop)"
        ),
        "nonidealities.read_noise": Way(
            By.NOBODY, "the torch tile has noise of its outputs only, which does not depend on voltages or devices"
        ),
    }  # fmt: skip

    def problem(self) -> Problem | None:
        try:
            _part("nn"), _part("simulator.configs"), _part("inference.noise.custom")
        except Exception as error:  # whatever keeps it from being imported keeps it from being used
            return Problem(f"aihwkit cannot be imported: {type(error).__name__}: {error}", _INSTALL)
        return None

    def version(self) -> str:
        return f"{metadata.version('aihwkit')}, torch tile"

    def refused(self, module: nn.Module) -> str | None:
        if isinstance(module, nn.Linear):
            return None
        if not isinstance(module, nn.Conv2d):
            return "aihwkit's torch tile takes Linear and Conv2d; its Conv1d and Conv3d need the C++ tile"
        if module.groups != 1:
            return f"groups={module.groups}: aihwkit takes one group"
        if isinstance(module.padding, str):
            return f"padding={module.padding!r}: aihwkit takes numbers; write the padding in pixels"
        if module.padding_mode != "zeros":
            return f"padding_mode={module.padding_mode!r}: aihwkit pads with zeros"
        return None


ENGINES.add(AihwkitEngine.name, AihwkitEngine())
