"""The digital network itself: the reference accuracy."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from membench.case import ADC, Conversion, Tuning
from membench.effect import Crossbar, Effect
from membench.engines._base import ENGINES, Converted, Engine, Problem, Progress
from membench.engines._examine import examine
from membench.engines._layers import Plan
from membench.engines._ways import By, Way, Ways
from membench.errors import UnsupportedError


class DigitalNetwork(Converted):
    """A copy that computes as the original does."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.layers = ()

    def targets(self) -> tuple[Crossbar, ...]:
        return ()

    def crossbars(self) -> tuple[Crossbar, ...]:
        return ()

    def apply(self, effect: Effect, seed: int) -> None:
        _no_devices(effect)

    def calibrate(self, inputs: Mapping[str, Sequence[Tensor]], adc: ADC) -> None:
        """Nothing to calibrate."""

    def tune(self, tuning: Tuning, seed: int) -> None:
        """Nothing to fit."""

    def infer(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            output: Tensor = self.network(images)
        return output


def _no_devices(effect: Effect) -> NoReturn:
    raise UnsupportedError(f"The digital engine has no devices, so {effect.kind!r} cannot act. Choose another engine.")


class DigitalEngine(Engine):
    """No conversion: a case on this engine loses nothing, and its baseline tracks the digital accuracy."""

    name = "digital"
    ways: ClassVar[Ways] = {
        "conversion": Way(By.MEMBENCH, "says nothing to a network without devices"),
        "nonidealities": Way(By.NOBODY, "the digital engine has no devices"),
    }

    def problem(self) -> Problem | None:
        return None

    def version(self) -> str:
        return torch.__version__

    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        for effect in effects:
            _no_devices(effect)
        return Plan((), examine(model, conversion, sample, lambda module: None).digital)

    def convert(
        self,
        model: nn.Module,
        conversion: Conversion,
        plan: Plan,
        fabrication: tuple[Effect, ...],
        seed: int,
        progress: Progress,
    ) -> Converted:
        return DigitalNetwork(copy.deepcopy(model).eval())


ENGINES.add(DigitalEngine.name, DigitalEngine())
