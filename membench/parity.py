"""Do two engines compute the same? The same case on both, device by device and layer by layer, on a few images.

Each layer is given the input that the reference's own layer saw, so that a difference is found in the layer that makes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn

from membench.arrays import MemristiveLayer
from membench.case import DEFAULT_ENGINE, Case
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.effect import Crossbar
from membench.engines import ENGINES, Batches, Converted, layer_at, observed
from membench.errors import InputError
from membench.models import obtain_for
from membench.pipeline import calibration_images
from membench.runtime import pinned_threads

REFERENCE = "memtorch"

# Both engines compute in single precision and add up in another order.
DEVICE_TOLERANCE = 5e-6  # of a conductance, relative; MemTorch ages through log10 in single precision
EXACT_TOLERANCE = 1e-5  # of an output without an ADC, relative to the layer's largest; MemTorch's gains are good to 1e-6
OFF_BY_A_STEP = 1e-4  # proportion of outputs behind an ADC that may be another code


@dataclass(frozen=True)
class LayerParity:
    """One layer on both engines.

    Attributes:
        name: of the layer.
        devices: largest relative difference of a conductance.
        values: outputs compared.
        error: largest difference of an output, relative to the largest output.
        off: outputs that differ by more than rounding: another code of an ADC.
        steps: the largest difference in steps of the ADC; 0 without one.
    """

    name: str
    devices: float
    values: int
    error: float
    off: int
    steps: float

    @property
    def fault(self) -> str:
        """What is beyond the tolerance, or nothing."""
        if not self.values:
            return "these images do not enter it; give more images"
        if not self.devices <= DEVICE_TOLERANCE:
            return f"conductances differ by {self.devices:.2g} of their value; {DEVICE_TOLERANCE:g} is accepted"
        if self.steps and not self.steps <= 1 + 1e-3:
            return f"an output differs by {self.steps:.2f} steps of the ADC; 1 is accepted"
        if self.off > max(1, self.values * OFF_BY_A_STEP):
            return (
                f"{self.off} of {self.values} outputs are off by more than rounding; 1 in {1 / OFF_BY_A_STEP:,.0f} is accepted"
            )
        if not self.steps and not self.error <= EXACT_TOLERANCE:
            return f"outputs differ by {self.error:.2g} of the largest; {EXACT_TOLERANCE:g} is accepted"
        return ""


@dataclass(frozen=True)
class Parity:
    """A case on both engines.

    Attributes:
        case: its name.
        engine: the one that was looked at.
        reference: the one that it should equal.
        layers: in the order of the network.
        logits: largest difference of a logit through the whole network, relative to the largest logit.
    """

    case: str
    engine: str
    reference: str
    layers: tuple[LayerParity, ...]
    logits: float

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(f"layer {layer.name}: {layer.fault}" for layer in self.layers if layer.fault)

    def __str__(self) -> str:
        rows = [
            (one.name, f"{one.devices:.1e}", one.values, f"{one.error:.1e}", one.off, f"{one.steps:.2f}", one.fault or "equal")
            for one in self.layers
        ]
        heads = ("layer", "conductances", "outputs", "largest error", "off", "ADC steps", "verdict")
        table = tabulate(rows, headers=heads, disable_numparse=True)
        return (
            f"{self.case}: {self.engine} against {self.reference}; logits differ by {self.logits:.1e} of the largest\n{table}"
        )


def compare(
    case: Case,
    *,
    engine: str = DEFAULT_ENGINE,
    reference: str = REFERENCE,
    images: int = 2,
    data: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Parity:
    """Run a few images of a case, with its first seed, on both engines.

    Args:
        case: what to run.
        engine: the one to look at.
        reference: the one that it should equal.
        images: how many of the case's images.
        data: where data sets are looked for.
        progress: called with (what is being done, done, in all).

    Raises:
        MembenchError: whatever `run_case` raises.
    """
    say = progress or (lambda what, done, total: None)
    dataset = DATASETS.get(case.dataset)
    test = dataset.load("test", data)
    trained = obtain_for(case, root=data, progress=say)
    order = balanced_order(test, case.subset_seed)
    batch = dataset.normalise(test.take(order[:images]).images)
    sample = Batches.of(dataset.normalise(test.take(order[: case.images]).images), case.batch_size)
    with pinned_threads(1):
        calibration = calibration_images(case, data, batch.device)
        first, second = (_converted(case, name, trained.model, sample, calibration, say) for name in (reference, engine))
        return measure(case.name, (reference, first), (engine, second), batch)


def measure(case: str, reference: tuple[str, Converted], engine: tuple[str, Converted], batch: Tensor) -> Parity:
    """Compare two converted networks on a batch of images.

    Raises:
        InputError: one of them has no crossbars, or they are of different layers.
    """
    (first_name, first), (second_name, second) = reference, engine
    for name, network in (reference, engine):
        if not network.layers:
            raise InputError(f"The engine {name} has no crossbars, so that there is nothing to compare. Name another engine.")
    if (one := _layout(first)) != (other := _layout(second)):
        odd = ", ".join(sorted({name for name, _ in one ^ other}))
        raise InputError(f"The engines {first_name} and {second_name} have crossbars of different layers or sizes: {odd}.")
    with observed({layer.name: layer_at(first.network, layer.name) for layer in first.layers}) as seen:
        logits = first.infer(batch)
    devices = _devices(first.crossbars(), second.crossbars())
    layers = tuple(
        _layer(layer.name, devices[layer.name], layer_at(second.network, layer.name), seen[layer.name])
        for layer in first.layers
    )
    return Parity(case, second_name, first_name, layers, _relative(second.infer(batch), logits))


def _converted(
    case: Case,
    name: str,
    model: nn.Module,
    sample: Batches,
    calibration: Tensor | None,
    say: Callable[[str, int, int], None],
) -> Converted:
    engine = ENGINES.get(name)
    engine.require()
    plan = engine.plan(model, case.conversion, case.nonidealities, sample)
    converted, _ = fabricate(
        engine, model, plan, case.conversion, case.nonidealities, case.seeds[0],
        lambda what, done, total: say(f"{name}: {what}", done, total), Clock(), calibration,
    )  # fmt: skip
    return converted


def _layout(network: Converted) -> set[tuple[str, object]]:
    """The layers of a converted network with the shape of each of their crossbars."""
    bars = network.crossbars()
    return {(layer.name, tuple(bar.conductance.shape for bar in bars if bar.layer == layer.name)) for layer in network.layers}


def _devices(first: tuple[Crossbar, ...], second: tuple[Crossbar, ...]) -> dict[str, float]:
    """The largest relative difference of a conductance in each layer."""
    worst: dict[str, float] = {}
    for one, other in zip(first, second, strict=True):
        difference = float((abs(one.conductance - other.conductance) / one.conductance).max())
        worst[one.layer] = float(np.maximum(worst.get(one.layer, 0.0), difference))  # keeps a NaN
    return worst


def _layer(name: str, devices: float, layer: nn.Module, calls: Sequence[tuple[Tensor, Tensor]]) -> LayerParity:
    if not calls:
        return LayerParity(name, devices, 0, 0.0, 0, 0.0)
    x, wanted = calls[-1]
    with torch.no_grad():
        found = layer(x)
    difference = (found - wanted).abs()
    largest = float(wanted.abs().max())
    step = layer.largest_step(x) if isinstance(layer, MemristiveLayer) else 0.0
    return LayerParity(
        name=name,
        devices=devices,
        values=wanted.numel(),
        error=_relative(found, wanted),
        off=int((~(difference <= EXACT_TOLERANCE * largest)).sum()),
        steps=float(difference.max()) / step if step else 0.0,
    )


def _relative(found: Tensor, wanted: Tensor) -> float:
    largest = float(wanted.abs().max())
    return float((found - wanted).abs().max()) / largest if largest else math.inf
