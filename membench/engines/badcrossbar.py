"""badcrossbar 1.1 behind the engine protocol: the exact solver of small passive arrays, to check the others against.

It has devices and lines, and nothing else: no converters, no noise. Its networks are linear, so each tile is solved once with
1 V at one input after the other, and currents are voltages times what that gives, in double precision.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from membench.case import Conversion
from membench.effect import Array, Crossbar, Effect
from membench.engines._base import ENGINES, Problem
from membench.engines._layers import Plan
from membench.engines._simulated import AROUND, SimulatedLayer, SimulatorEngine
from membench.engines._ways import By, Way, Ways, only
from membench.errors import UnsupportedError
from membench.nonidealities import LineResistance

_INSTALL = "pip install --no-deps badcrossbar==1.1.0 pathvalidate"
_LARGEST = 128 * 128  # devices of a tile: a sparse system of twice as many unknowns for each


@functools.cache
def _compute() -> Any:
    """Its `compute`. Importing it sets up the root logger to print on stdout, and lets import warnings through: both are undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with warnings.catch_warnings(record=True):
        import badcrossbar
    root.handlers[:], root.level = handlers, level
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)
    return badcrossbar.compute


def _effective(tile: Array, line_resistance: float) -> Array:
    """Output currents per volt at each input: (rows, columns), in siemens."""
    solution = _compute()(np.eye(len(tile)), 1 / tile, r_i=line_resistance, node_voltages=False, all_currents=False)
    return np.asarray(solution.currents.output, dtype=np.float64)


class BadcrossbarLayer(SimulatedLayer):
    """A layer on passive arrays."""

    def mapped(self) -> Tensor:
        return torch.stack(self.target())

    def write(self, matrices: Tensor) -> None:
        """Solve every tile without lines: what LineResistance adds is in the conductances by then."""
        solved = []
        for part in self.conductance:
            tiles = part.numpy().reshape(-1, *part.shape[-2:])
            solved.append(np.stack([_effective(tile, 0.0) for tile in tiles]).reshape(tuple(part.shape)))
        difference = torch.from_numpy(solved[0] - solved[1])
        self._kernel = self.geometry.kernel_of(self._matrix(difference))

    def currents(self, voltages: Tensor) -> Tensor:
        return self.geometry.multiply(voltages.double(), self._kernel, None).to(voltages)

    def act(self, effect: Effect, crossbars: Sequence[Crossbar], seed: int) -> list[Crossbar]:
        if not isinstance(effect, LineResistance):
            return super().act(effect, crossbars, seed)
        after = []
        for bar in crossbars:
            tiles = bar.conductance.reshape(-1, *bar.conductance.shape[-2:])
            effective = np.stack([_effective(tile, effect.line_resistance) for tile in tiles]).reshape(bar.conductance.shape)
            # What is read of a stuck device falls too, so none is held here. Lines that only pad a tile are there, but not read.
            after.append(dataclasses.replace(bar, conductance=np.where(bar.real, effective, bar.conductance)))
        return after


class BadcrossbarEngine(SimulatorEngine):
    """Passive arrays, solved exactly."""

    name = "badcrossbar"
    layer_class = BadcrossbarLayer
    ways: ClassVar[Ways] = {
        **{path: way for path, way in AROUND.items() if not path.startswith("conversion.adc")},
        "conversion.device.r_on": Way(By.MEMBENCH, "ohms; badcrossbar takes the resistance of each device"),
        "conversion.device.r_off": Way(By.MEMBENCH, "ohms, likewise"),
        "conversion.mapping": Way(By.MEMBENCH, "membench's formula; badcrossbar knows no weights"),
        "conversion.tile_shape": Way(
            By.MEMBENCH,
            "each tile is an array of its own, with the devices that pad it; at most 16,384 devices",
            lambda value: "badcrossbar solves small arrays; give tiles of at most 128 x 128" if value[0] * value[1] > _LARGEST else None,
        ),
        "conversion.adc": Way(By.NOBODY, "badcrossbar has no converters"),
        "conversion.dac": Way(By.NOBODY, "badcrossbar has no converters"),
        "nonidealities.line_resistance": Way(By.SIMULATOR, "its own solution, once a tile with 1 V at each input: the network is linear"),
        "nonidealities.line_resistance.line_resistance": Way(By.SIMULATOR, "r_i, ohms"),
        "nonidealities.line_resistance.source_resistance": Way(
            By.SIMULATOR, "0 only: the first segment is r_i", only(0.0, "badcrossbar's first segments are as the others")
        ),
        "nonidealities.line_resistance.memtorch_compatible": Way(
            By.SIMULATOR, "False only", only(False, "no circuit has one network of differences")
        ),
    }  # fmt: skip

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        if conversion.tile_shape is None:
            raise UnsupportedError(
                f"The engine {self.name} cannot express conversion.tile_shape=None: badcrossbar solves small arrays; give tiles of at most "
                "128 x 128."
            )
        return super().plan(model, conversion, effects, sample)

    def problem(self) -> Problem | None:
        try:
            _compute()
        except Exception as error:  # whatever keeps it from being imported keeps it from being used
            return Problem(f"badcrossbar cannot be imported: {type(error).__name__}: {error}", _INSTALL)
        return None

    def version(self) -> str:
        return metadata.version("badcrossbar")

    def refused(self, module: nn.Module) -> str | None:
        if getattr(module, "groups", 1) != 1:
            return f"groups={module.groups}: there is no agreed way to lay a grouped convolution out on crossbars"
        if getattr(module, "padding_mode", "zeros") != "zeros":
            return f"padding_mode={module.padding_mode!r}: only zeros can be applied to word lines that see no pixel"
        return None


ENGINES.add(BadcrossbarEngine.name, BadcrossbarEngine())
