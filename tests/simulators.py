"""Other simulators in tests: which are here, small networks, and a network of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from membench import ADC, DAC, STUDY_DEVICE, Conversion, InputScaling
from membench.conversion import Clock, fabricate
from membench.effect import Effect, Proof
from membench.engines import ENGINES, Converted
from membench.engines._simulated import SimulatorEngine

SIMULATORS = tuple(engine.name for engine in ENGINES if isinstance(engine, SimulatorEngine))
CONVERTING = ("aihwkit", "crosssim")  # those with an ADC
TILED = Conversion(device=STUDY_DEVICE, tile_shape=(8, 8))
CONVERTERS = TILED.replace(
    max_input_voltage=2.0,
    adc=ADC(bits=6, range="calibrated"),
    dac=DAC(bits=5),
    scaling=InputScaling(undone=True, per="image"),
)


def usable(name: str) -> str:
    """The name, where that simulator is on this machine; else the test is skipped, with the reason."""
    if (problem := ENGINES.get(name).problem()) is not None:
        pytest.skip(problem.reason)
    return name


@pytest.fixture(params=SIMULATORS)
def simulator(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


@pytest.fixture(params=CONVERTING)
def converting(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


def network() -> nn.Module:
    """Convolutions of 27 x 6 and 54 x 5, with and without bias, padding and stride, and 45 x 4 fully connected."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(45, 4),
    ).eval()


def images(count: int = 12) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def made(
    engine: str,
    conversion: Conversion,
    effects: Sequence[Effect] = (),
    model: nn.Module | None = None,
    sample: Tensor | None = None,
    seed: int = 0,
) -> tuple[Converted, list[Proof]]:
    """A network of that engine, with its proofs."""
    chosen, batch, executor = model or network(), images() if sample is None else sample, ENGINES.get(engine)
    plan = executor.plan(chosen, conversion, tuple(effects), batch)
    return fabricate(executor, chosen, plan, conversion, tuple(effects), seed, lambda *_: None, Clock(), batch)


def apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((found - wanted).detach().abs().max() / wanted.detach().abs().max())


def changed(**fields: Any) -> Conversion:
    return TILED.replace(**fields)
