"""The protocol of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from membench.case import ADC, Conversion, Tuning
from membench.effect import Crossbar, Effect, Reading
from membench.engines._layers import Plan
from membench.engines._ways import Ways
from membench.errors import EnvironmentProblemError, UnsupportedError
from membench.record import LayerInfo
from membench.registry import Registry

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Problem:
    """Why something cannot be used here, and the command that mends it."""

    reason: str
    remedy: str


class Converted(ABC):
    """A network on crossbars. It holds its own copy of the network it was made from.

    Attributes:
        network: takes float32 images (n, channels, height, width), gives logits (n, classes).
        layers: what was converted.
    """

    network: nn.Module
    layers: tuple[LayerInfo, ...]

    @abstractmethod
    def targets(self) -> tuple[Crossbar, ...]:
        """The conductances that the mapping asked for, on devices that are all as the device model says."""

    @abstractmethod
    def crossbars(self) -> tuple[Crossbar, ...]:
        """The conductances as they are now, copied; the order and shapes of `targets`."""

    @abstractmethod
    def apply(self, effect: Effect, seed: int) -> None:
        """Let a non-ideality act. Fabrication acts in `Engine.convert`."""

    def readings(self) -> tuple[Reading, ...]:
        """Each layer read again and again with the same voltages, for the proof of effects that act at each read."""
        raise UnsupportedError("This engine cannot read its crossbars one by one.")

    def calibrate(self, inputs: Mapping[str, Sequence[Tensor]], adc: ADC) -> None:
        """Fix the range of each layer's ADC.

        Args:
            inputs: of each layer, call by call, as the digital network gives them for the calibration images.
            adc: whose range is `calibrated`.

        Raises:
            MeasurementError: a layer's range would be 0 A.
        """
        raise UnsupportedError("This engine has no ADC of a fixed range.")

    @abstractmethod
    def tune(self, tuning: Tuning, seed: int) -> None:
        """Fit the gain and offset of each layer."""

    @abstractmethod
    def infer(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of one batch."""


class Engine(ABC):
    """Turns a digital network into a converted one.

    Attributes:
        name: as the command line, records and the folder of baselines name it.
        any_device: whether a converted network runs on the device of its model, or on the CPU only.
        optional: whether nothing else needs it, so that a machine without it lacks nothing.
        ways: how it expresses each field of a profile; docs/engines.md is made from them.
    """

    name: ClassVar[str]
    any_device: ClassVar[bool] = True
    optional: ClassVar[bool] = False
    ways: ClassVar[Ways] = {}

    @abstractmethod
    def problem(self) -> Problem | None:
        """Why this engine cannot run on this machine, or None."""

    def require(self) -> None:
        """Raise EnvironmentProblemError, with the command that mends it, where this engine cannot run."""
        if (problem := self.problem()) is not None:
            raise EnvironmentProblemError(
                f"The engine {self.name} cannot be used: {problem.reason}. Mend it with: {problem.remedy}"
            )

    @abstractmethod
    def version(self) -> str:
        """Of the simulator."""

    @abstractmethod
    def plan(self, model: nn.Module, conversion: Conversion, effects: Sequence[Effect], sample: Any) -> Plan:
        """Which layers will be converted and which stay digital, found out before anything is run.

        Args:
            sample: a batch as the network takes it (a tensor, a tuple of arguments, or a dict of named ones), or `Batches`, to see
                what the network executes; None: not looked at.

        Raises:
            UnsupportedError: names every layer or effect that the engine cannot represent, and why.
        """

    @abstractmethod
    def convert(
        self,
        model: nn.Module,
        conversion: Conversion,
        plan: Plan,
        fabrication: tuple[Effect, ...],
        seed: int,
        progress: Progress,
    ) -> Converted:
        """A converted copy of `model`; `model` stays as it is.

        Args:
            fabrication: effects that act while devices are made.
            seed: of all randomness.
            progress: called with ("convert", layers done, layers in all).
        """


ENGINES: Registry[Engine] = Registry("engine", "membench.engines")
