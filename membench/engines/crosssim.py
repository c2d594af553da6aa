"""Sandia's CrossSim 3.2 behind the engine protocol; it is used where its package `simulator` can be imported.

Every parameter that would add an error or a quantisation is set in `_parameters`, and those that act only together are set
together: `adc.mvm.bits` does nothing while `adc.mvm.model` is IdealADC. A matrix is cut at whole tiles by giving CrossSim's
AnalogCore the bounds of its partitions; by itself it cuts evenly wherever that is possible.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from membench.case import Conversion
from membench.effect import Array, Crossbar, Effect, ReadEffect
from membench.engines._base import ENGINES, Problem
from membench.engines._layers import Plan
from membench.engines._simulated import AROUND, FIXED_ONLY, SimulatedLayer, SimulatorEngine
from membench.engines._ways import By, Way, Ways, only
from membench.errors import MeasurementError, UnsupportedError
from membench.nonidealities import LineResistance, ReadNoise
from membench.runtime import derive_seed, isolated

_INSTALL = "git clone https://github.com/sandialabs/cross-sim && pip install --no-deps ./cross-sim"
_NOISE_BYTES = 128 * 2**20  # of the copy of a tile that CrossSim makes for each vector it reads with noise; it then holds three
_CLOSE_ENOUGH = 1e-10  # of the input voltage, where the solver of its lines stops


@functools.cache
def _part(name: str) -> Any:
    """A module of CrossSim, imported without its own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"simulator.{name}" if name else "simulator")


def _parameters(conversion: Conversion, largest_weight: float) -> Any:
    """A balanced pair of devices a weight, subtracted before the ADC; tiles, DAC and mapping as the profile says."""
    enums, xbar = _part("parameters.core_parameters"), _part("parameters.xbar_parameters")
    given = _part("").CrossSimParameters()
    core = given.core
    core.style = enums.CoreStyle.BALANCED
    core.balanced.style = enums.BalancedCoreStyle.ONE_SIDED
    core.balanced.interleaved_posneg = False
    core.balanced.subtract_current_in_xbar = True
    core.complex_matrix = core.complex_input = False
    core.rows_max, core.cols_max = conversion.tile_shape or (0, 0)  # its rows are word lines
    weights, inputs = core.mapping.weights, core.mapping.inputs.mvm
    weights.percentile, weights.clipping = None, False
    weights.min, weights.max = -largest_weight, largest_weight
    limit = conversion.max_input_voltage or 1.0
    inputs.percentile, inputs.clipping = None, False
    inputs.min, inputs.max = -limit, limit
    device = given.xbar.device
    device.Rmin, device.Rmax = conversion.device.r_on, conversion.device.r_off
    device.infinite_on_off_ratio, device.clip_conductance, device.cell_bits, device.time = False, False, 0, 0
    for error in (device.read_noise, device.programming_error, device.drift_error, device.nonlinear_IV):
        error.enable, error.model, error.magnitude = False, "IdealDevice", 0.0
    given.xbar.array.Icol_max = 0.0
    given.xbar.array.parasitics.enable = False
    if conversion.adc is not None:
        adc = given.xbar.adc
        adc.mvm.model = "QuantizerADC"  # replaces adc.mvm, so it comes before the rest
        adc.mvm.bits, adc.mvm.signed = conversion.adc.bits, True
        adc.mvm.stochastic_rounding, adc.mvm.adc_per_ibit = False, False
        adc.mvm.adc_range_option = xbar.ADCRangeLimits.CALIBRATED
        adc.mvm.calibrated_range = [-1.0, 1.0]  # until `set_range`
    if conversion.dac is not None:
        dac = given.xbar.dac.mvm
        dac.model, dac.bits, dac.signed, dac.input_bitslicing = "SignMagnitudeDAC", conversion.dac.bits, True, False
    given.validate()
    return given


class CrossSimLayer(SimulatedLayer):
    """One of CrossSim's torch layers."""

    converts_inputs = True

    def __init__(self, digital: nn.Module, conversion: Conversion) -> None:
        super().__init__(digital, conversion)
        low, high = conversion.device.conductance_range
        self._largest = float(self.weight.abs().max())
        self._unit = high * (conversion.max_input_voltage or 1.0)  # amperes of a current of 1 inside CrossSim
        self._amperes = (high - low) / self._largest  # of an output of 1, which CrossSim has scaled to weights
        self._noise_seed: int | None = None
        self._reads = 0
        self._digital_layer = (digital,)  # not a module of this one: its weights are held already
        self._build()

    def _build(self, noise: ReadNoise | None = None) -> None:
        given = _parameters(self.conversion, self._largest)
        if noise is not None:
            read = given.xbar.device.read_noise
            read.enable, read.model, read.magnitude = True, "NormalProportionalDevice", noise.sigma
        layers = _part("algorithms.dnn.torch.convert")
        with isolated(0):  # its torch layers draw weights of their own first
            self.analog = layers.from_torch(self._digital_layer[0], given, bias_rows=0).eval()
        self.analog.bias = None  # membench adds it
        core = self.analog.core.core
        _cut_at_whole_tiles(core, self.conversion.tile_shape)
        core.set_matrix(self.weight.flatten(1).numpy())
        self._cores = [core.cores[row][column] for row in range(core.num_cores_row) for column in range(core.num_cores_col)]
        bounds = [((0, core.nrow), (0, core.ncol))]
        if core.Ncores > 1:
            bounds = [(r[1:], c[1:]) for r in core.row_partition_bounds for c in core.col_partition_bounds]
        self._bounds = bounds

    def mapped(self) -> Tensor:
        held = self.read_back()
        assert held is not None
        return held

    def write(self, matrices: Tensor) -> None:
        on = self.conversion.device.conductance_range[1]
        normal = (matrices / on).float().transpose(1, 2).numpy()  # CrossSim's matrices are (outputs, inputs)
        for core, (outputs, inputs) in zip(self._cores, self._bounds, strict=True):
            for part, one in zip((core.core_pos, core.core_neg), normal, strict=True):
                part.set_matrix(one[slice(*outputs), slice(*inputs)].copy())
            if core.fast_balanced:
                core.W_balanced = core.core_pos._read_matrix() - core.core_neg._read_matrix()

    def read_back(self) -> Tensor | None:
        found = np.zeros((2, self.tiling.columns, self.tiling.rows))
        for core, (outputs, inputs) in zip(self._cores, self._bounds, strict=True):
            for index, part in enumerate((core.core_pos, core.core_neg)):
                found[index, slice(*outputs), slice(*inputs)] = part._read_matrix()
        return torch.from_numpy(found).transpose(1, 2) * self.conversion.device.conductance_range[1]

    def currents(self, voltages: Tensor) -> Tensor:
        if self._noise_seed is None:
            return self._product(voltages)
        windows = math.prod(self.geometry.out(voltages.shape[2:])) if self.geometry.dimensions else 1
        with isolated(derive_seed(self._noise_seed, self._reads)):
            self._reads += len(voltages)
            return torch.cat([self._product(part) for part in torch.split(voltages, self._at_once(windows))])

    def _at_once(self, windows: int = 1) -> int:
        """How many images of so many vectors each may be read with noise at once."""
        rows, columns = self.conversion.tile_shape or (self.tiling.rows, self.tiling.columns)
        return max(1, _NOISE_BYTES // (8 * rows * columns * windows))

    def _product(self, voltages: Tensor) -> Tensor:
        out: Tensor = self.analog(voltages.contiguous())
        return out.float().mul_(self._amperes)

    def set_range(self, full_scale: float | None) -> None:
        adc = self.conversion.adc
        assert adc is not None
        for core in self._cores:
            converter = core.adc.mvm
            if full_scale is None:
                converter.bits = 0  # then it hands its inputs on
                continue
            converter.bits = adc.bits
            top = full_scale / self._unit
            converter.adc_params.calibrated_range = [-top, top * (1 - 2.0 ** (1 - adc.bits))]  # 2^bits codes, 0 A one of them
            converter.set_limits(np.zeros((1, 1)))

    def act(self, effect: Effect, crossbars: Sequence[Crossbar], seed: int) -> list[Crossbar]:
        if not isinstance(effect, LineResistance):
            return super().act(effect, crossbars, seed)
        # What is read of a stuck device falls too, so none is held here.
        return [dataclasses.replace(bar, conductance=_with_lines(bar, effect.line_resistance)) for bar in crossbars]

    def let_read(self, effect: ReadEffect, seed: int) -> None:
        assert isinstance(effect, ReadNoise)
        held, scale = self.conductance, self.full_scale
        self._build(effect)
        self.program(held)
        if scale is not None:
            self.set_range(scale)
        self._noise_seed = seed

    def read(self, voltages: Tensor) -> Tensor:
        core = self.analog.core.core
        with self._without_converters(), isolated(derive_seed(self._noise_seed or 0, "readings")):
            read = np.hstack([core.matmul(part.numpy().T) for part in torch.split(voltages.float(), self._at_once())]).T
        return torch.from_numpy(np.ascontiguousarray(read)) * self._amperes

    @contextmanager
    def _without_converters(self) -> Iterator[None]:
        converters = [part for core in self._cores for part in (core.adc.mvm, core.dac.mvm) if hasattr(part, "bits")]
        bits = [part.bits for part in converters]
        for part in converters:
            part.bits = 0
        try:
            yield
        finally:
            for part, before in zip(converters, bits, strict=True):
                part.bits = before


def _cut_at_whole_tiles(core: Any, tile_shape: tuple[int, int] | None) -> None:
    """Give an AnalogCore of several cores membench's bounds: 144 rows on tiles of 64 are 64 + 64 + 16, not 48 + 48 + 48."""
    if core.Ncores == 1 or tile_shape is None:
        return
    for size, tile, sizes, bounds in (
        (core.nrow, tile_shape[1], "NrowsVec", "row_partition_bounds"),
        (core.ncol, tile_shape[0], "NcolsVec", "col_partition_bounds"),
    ):
        starts = range(0, size, tile)
        setattr(core, sizes, np.array([min(tile, size - start) for start in starts]))
        setattr(core, bounds, [(index, start, min(start + tile, size)) for index, start in enumerate(starts)])


def _with_lines(bar: Crossbar, line_resistance: float) -> Array:
    """The effective conductances of each tile, by CrossSim's circuit solver with 1 V at one input after the other.

    The devices that only pad a tile are there, but not read.
    """
    given = _part("").CrossSimParameters()
    given.xbar.device.Rmin, given.xbar.device.Rmax = bar.device.r_on, bar.device.r_off
    lines = given.xbar.array.parasitics
    lines.enable, lines.Rp_row, lines.Rp_col, lines.current_from_input = True, line_resistance, line_resistance, True
    lines.Rp_row_terminal = lines.Rp_col_terminal = 0.0
    given.simulation.Verr_th_mvm, given.simulation.Niters_max_parasitics = _CLOSE_ENOUGH, 10_000
    given.simulation.hide_convergence_msg = True
    on = bar.device.conductance_range[1]
    tiles = bar.conductance.reshape(-1, *bar.conductance.shape[-2:])
    effective = np.empty_like(tiles)
    for index, tile in enumerate(tiles):
        solver = _part("circuits.array").NoninterleavedInputSourceArray(given)
        try:
            effective[index] = on * solver.iterative_solve(tile.T / on, np.eye(len(tile))).T
        except ValueError as error:
            raise MeasurementError(
                f"CrossSim's solver of lines did not converge on a tile of {bar.layer!r} with {line_resistance:g} ohm: {error}. Lower "
                "line_resistance, or use the engine badcrossbar or vectorized."
            ) from error
    return np.where(bar.real, effective.reshape(bar.conductance.shape), bar.conductance)


def _one_sided(value: float) -> str | None:
    if value <= 0.25:
        return None
    return "above 0.25 more than one read of a device in 31,574 would be below 0 S, where CrossSim cuts"


class CrossSimEngine(SimulatorEngine):
    """CrossSim's torch layers on the CPU, with numpy."""

    name = "crosssim"
    layer_class = CrossSimLayer
    ways: ClassVar[Ways] = {
        **AROUND,
        "conversion.device.r_on": Way(By.SIMULATOR, "xbar.device.Rmin, ohms"),
        "conversion.device.r_off": Way(By.SIMULATOR, "xbar.device.Rmax, ohms"),
        "conversion.mapping": Way(
            By.SIMULATOR, "BALANCED, ONE_SIDED core with mapping.weights.max = max|w| of the layer; conductances are G r_on"
        ),
        "conversion.tile_shape": Way(
            By.SIMULATOR, "core.rows_max x core.cols_max; it would cut evenly where it can, here it gets bounds at whole tiles"
        ),
        "conversion.adc.bits": Way(
            By.SIMULATOR, "xbar.adc.mvm.bits with model = QuantizerADC: the same codes; halves are rounded to even, not up"
        ),
        "conversion.adc.range": Way(
            By.SIMULATOR,
            "xbar.adc.mvm.calibrated_range = [-range, range (1 - 2^(1-bits))] r_on / max_input_voltage, option CALIBRATED",
            FIXED_ONLY,
        ),
        "conversion.max_input_voltage": Way(
            By.MEMBENCH, "volts; inputs beyond it are scaled before they enter; mapping.inputs.mvm.max: it is 1 inside"
        ),
        "conversion.dac.bits": Way(By.SIMULATOR, "xbar.dac.mvm.bits with model = SignMagnitudeDAC: the same levels"),
        "nonidealities.line_resistance": Way(
            By.SIMULATOR, "its circuit solver (NoninterleavedInputSourceArray), once a tile with 1 V at each input: the network is linear"
        ),
        "nonidealities.line_resistance.line_resistance": Way(By.SIMULATOR, "parasitics.Rp_row = Rp_col, ohms"),
        "nonidealities.line_resistance.source_resistance": Way(
            By.SIMULATOR,
            "0 only",
            only(0.0, "CrossSim 3.2 adds Rp_row_terminal to the segments of the first input, not to the first segments"),
        ),
        "nonidealities.line_resistance.memtorch_compatible": Way(
            By.SIMULATOR, "False only", only(False, "no circuit has one network of differences")
        ),
        "nonidealities.read_noise": Way(By.SIMULATOR, "xbar.device.read_noise, drawn for each device at each product, cut at 0 S"),
        "nonidealities.read_noise.sigma": Way(By.SIMULATOR, "magnitude of NormalProportionalDevice", _one_sided),
        "nonidealities.read_noise.relative_to": Way(
            By.SIMULATOR,
            "`conductance` only",
            only("conductance", "CrossSim cuts at 0 S, which takes half the noise of the devices at HRS"),
        ),
    }  # fmt: skip

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        if sum(isinstance(effect, ReadNoise) for effect in effects) > 1:
            raise UnsupportedError(
                f"The engine {self.name} cannot express nonidealities.read_noise twice: CrossSim has one model of it."
            )
        return super().plan(model, conversion, effects, sample)

    def problem(self) -> Problem | None:
        try:
            _part("algorithms.dnn.torch.convert")
            if not hasattr(_part(""), "CrossSimParameters"):
                return Problem("the package `simulator` that is found is not CrossSim", _INSTALL)
        except Exception as error:  # whatever keeps it from being imported keeps it from being used
            return Problem(f"CrossSim cannot be imported: {type(error).__name__}: {error}", _INSTALL)
        return None

    def version(self) -> str:
        try:
            return metadata.version("CrossSim")
        except metadata.PackageNotFoundError:  # a checkout on the path
            project = Path(_part("").__file__).parents[1] / "pyproject.toml"
            found = tomllib.loads(project.read_text()) if project.is_file() else {}
            return str(found.get("project", {}).get("version", "unknown"))

    def refused(self, module: nn.Module) -> str | None:
        if isinstance(module, nn.Linear):
            return None
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        if module.groups != 1:
            return f"groups={module.groups}: there is no agreed way to lay a grouped convolution out on crossbars"
        if any(step != 1 for step in module.dilation):
            return f"dilation={module.dilation}: CrossSim has none"
        if module.padding_mode != "zeros":
            return f"padding_mode={module.padding_mode!r}: only zeros can be applied to word lines that see no pixel"
        return None


ENGINES.add(CrossSimEngine.name, CrossSimEngine())
