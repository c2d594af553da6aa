"""The same case on several engines: do they agree, and where they do not, at which layer do they part?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from membench.case import Case
from membench.comparison import Comparison, Contender, LayerError, Measurement, Pair, Parting
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.engines import ENGINES, Batches, Converted, layer_at, observed
from membench.errors import InputError, UnsupportedError
from membench.measure.machine import processor
from membench.models import obtain_for
from membench.pipeline import Progress, calibration_images, run_case
from membench.record import Record
from membench.runtime import pinned_threads
from membench.statistics import paired_difference

LAYER_IMAGES = 40  # on which the layers are compared
ACCEPTED = 1e-3  # proportion of a layer's outputs that may differ by more than one step of the ADC
EXACT = 1e-4  # of an output without an ADC, relative to the layer's largest
ROUNDING = 1e-6  # of a layer's largest output: no step of an ADC is told apart below
NOISIER = 1.2  # of noisy layers: by what their noise may differ, and their difference exceed that of two reads of one engine; more where
# there are few outputs: the ratio of two deviations, each of n values, itself has a deviation of 1 / sqrt(n)
SLOW = ("memtorch",)  # compared only when asked for by name


def default_engines() -> tuple[str, ...]:
    """All but the digital network itself and the ones that take hundreds of times as long."""
    return tuple(
        sorted((name for name in ENGINES.names() if name not in ("digital", *SLOW)), key=lambda name: name != "vectorized")
    )


def versus(
    case: Case,
    engines: Sequence[str] = (),
    *,
    data: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Measure a case on several engines.

    Args:
        case: what to measure.
        engines: names, each once; empty: all but `digital` and `memtorch`. One that cannot express the case, or is not on this
            machine, stands in the result with the reason.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        threads: torch's threads while measuring.
        progress: called with (what is being done, done, in all).

    Raises:
        InputError: fewer than two of the engines can measure the case; the message holds each one's reason.
        MembenchError: whatever `run_case` raises otherwise.
    """
    names = tuple(engines) or default_engines()
    if len(set(names)) != len(names):
        raise InputError(f"Each engine may be named once; given: {', '.join(names)}.")
    say: Progress = progress or (lambda what, done, total: None)
    refused = _refused(case, names, data)
    able = [name for name in names if name not in refused]
    if len(able) < 2:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in refused.items())
        raise InputError(f"{case.name!r} needs two engines that can measure it; {', '.join(able) or 'none'} can:{reasons}")
    records: dict[str, Record] = {}
    for name in able:

        def tell(what: str, done: int, total: int, name: str = name) -> None:
            say(f"{name}, {what}", done, total)

        records[name] = run_case(case, name, data=data, threads=threads, progress=tell)
    with pinned_threads(threads):
        layers = _Layers.of(case, able, data, say)
        errors = {name: layers.errors(name) for name in able}
        pairs = tuple(_pair(records, layers, *two) for two in itertools.combinations(able, 2))
    first = records[able[0]]
    return Comparison(
        case=case.name,
        fingerprint=case.fingerprint,
        images=case.images,
        seeds=case.seeds,
        layer_images=len(layers.images),
        digital_accuracy=first.measured.digital_accuracy,
        contenders=tuple(_contender(name, refused, records, errors) for name in names),
        pairs=pairs,
        machine=processor(),
        threads=threads,
    )


def _refused(case: Case, names: Sequence[str], data: Path | None) -> dict[str, str]:
    """Why engines cannot measure a case, found out before any of them is run."""
    dataset = DATASETS.get(case.dataset)
    test = dataset.load("test", data)
    model = obtain_for(case, root=data).model
    sample = Batches.of(dataset.normalise(test.images[: case.images]), case.batch_size)
    found = {}
    for name in names:
        engine = ENGINES.get(name)
        if (problem := engine.problem()) is not None:
            found[name] = f"{problem.reason}. Mend it with: {problem.remedy}"
            continue
        try:
            engine.plan(model, case.conversion, case.nonidealities, sample)
        except UnsupportedError as error:
            found[name] = str(error)
    return found


def _contender(
    name: str, refused: dict[str, str], records: dict[str, Record], errors: dict[str, tuple[LayerError, ...]]
) -> Contender:
    if name in refused:
        return Contender(engine=name, refused=refused[name])
    record = records[name]
    measured, costs = record.measured, record.costs
    return Contender(
        engine=name,
        version=ENGINES.get(name).version(),
        measured=Measurement(
            accuracy=measured.accuracy,
            loss=measured.loss,
            logit_error=measured.logit_error,
            seconds_per_image=costs.seconds_per_image,
            ratio=costs.ratio,
            convert_seconds=costs.convert_seconds + costs.tune_seconds,
            effects_seconds=float(np.median([cost.effects for cost in costs.seeds])),
            layers=errors[name],
        ),
    )


def _pair(records: dict[str, Record], layers: _Layers, one: str, other: str) -> Pair:
    case = records[one].case
    first, second = (records[name].measured for name in (one, other))
    predictions = [np.array([seed.predictions for seed in measured.seeds]) for measured in (first, second)]
    return Pair(
        one=one,
        other=other,
        difference=paired_difference(first.correct(case.seeds, case.images), second.correct(case.seeds, case.images)),
        same_predictions=float(np.mean(predictions[0] == predictions[1])),
        parting=layers.parting(one, other),
    )


# Layer by layer


@dataclass
class _Layers:
    """The layers of a case on several engines, with its first seed, on a few images.

    Attributes:
        images: as the network takes them.
        batch_size: images computed at once.
        inputs, outputs: of each digital layer, batch by batch.
        kinds: of each layer.
        converted: the network of each engine.
        arrived: each engine's outputs of each layer in its own network, batch by batch.
    """

    images: Tensor
    batch_size: int
    inputs: dict[str, list[Tensor]]
    outputs: dict[str, list[Tensor]]
    kinds: dict[str, str]
    converted: dict[str, Converted]
    arrived: dict[str, dict[str, list[Tensor]]]

    @classmethod
    def of(cls, case: Case, engines: Sequence[str], data: Path | None, say: Progress) -> _Layers:
        dataset = DATASETS.get(case.dataset)
        test = dataset.load("test", data)
        measured = dataset.normalise(test.take(balanced_order(test, case.subset_seed)[: case.images]).images)
        images = measured[:LAYER_IMAGES]
        model = obtain_for(case, root=data).model
        calibration = calibration_images(case, data, images.device)
        converted, modules, kinds = dict[str, Converted](), dict[str, nn.Module](), dict[str, str]()
        for number, name in enumerate(engines):
            say(f"{name}, layers", number, len(engines))
            engine = ENGINES.get(name)
            plan = engine.plan(model, case.conversion, case.nonidealities, Batches.of(measured, case.batch_size))
            converted[name], _ = fabricate(
                engine, model, plan, case.conversion, case.nonidealities, case.seeds[0], lambda *_: None, Clock(), calibration
            )  # fmt: skip
            if plan.depends:
                raise InputError(
                    f"{case.name!r}: which layers its network calls depends on the input, so that layers cannot be compared."
                )
            modules |= {layer.name: layer.module for layer in plan.layers}
            kinds |= {layer.name: layer.kind for layer in plan.layers}
        batches = torch.split(images, case.batch_size)
        seen = _seen(model, modules, batches)
        arrived = {
            name: {
                layer: [y for _, y in calls]
                for layer, calls in _seen(
                    each.infer, {layer: layer_at(each.network, layer) for layer in modules}, batches
                ).items()
            }
            for name, each in converted.items()
        }
        inputs, outputs = ({name: [call[part] for call in calls] for name, calls in seen.items()} for part in (0, 1))
        return cls(images, case.batch_size, inputs, outputs, kinds, converted, arrived)

    def errors(self, engine: str) -> tuple[LayerError, ...]:
        """What each layer does on an engine."""
        found = []
        for name in self.inputs:
            wanted = torch.cat([y.flatten() for y in self.outputs[name]]).double()
            power = _rms(wanted) or 1.0
            alone, again = self._given(engine, name), self._given(engine, name)
            arrived = torch.cat([y.flatten() for y in self.arrived[engine][name]]).double()
            found.append(
                LayerError(
                    name=name,
                    kind=self.kinds[name],
                    alone=_rms(alone - wanted) / power,
                    arriving=_rms(arrived - wanted) / power,
                    noise=_rms(alone - again) / power,
                )
            )
        return tuple(found)

    def parting(self, one: str, other: str) -> Parting | None:
        """The first layer that two engines compute differently, given the digital layer's input."""
        devices = self._devices(one, other)
        for name in self.inputs:
            first, second = self._given(one, name), self._given(other, name)
            difference, largest = (first - second).abs(), float(first.abs().max())
            error = float(difference.max()) / (largest or 1.0)
            step = torch.maximum(self._steps(one, name), self._steps(other, name))
            quantised = bool(step.any())
            noise = [_rms(mine - self._given(engine, name)) for engine, mine in ((one, first), (other, second))]
            beyond = difference > ((1.001 * step).clamp(min=ROUNDING * largest) if quantised else EXACT * largest)
            off = float(beyond.double().mean())
            if max(noise) > 0:
                noisier = max(NOISIER, 1 + 4 / math.sqrt(len(first)))
                louder = max(noise) > noisier * min(noise)
                parted = louder or _rms(difference) > noisier * float(np.sqrt(np.mean(np.square(noise))))
            else:
                parted = off > (ACCEPTED if quantised else 0)
            if parted:
                steps = float((difference / step)[step > 0].max()) if quantised else 0.0
                return Parting(
                    layer=name, off=off, steps=steps, error=error, devices=devices.get(name, 0.0), noise=(noise[0], noise[1])
                )
        return None

    def _given(self, engine: str, name: str) -> Tensor:
        """An engine's outputs of a layer, given the digital layer's inputs; flat."""
        layer = layer_at(self.converted[engine].network, name)
        with torch.no_grad():
            return torch.cat([layer(x).flatten() for x in self.inputs[name]]).double()

    def _steps(self, engine: str, name: str) -> Tensor:
        """What one code is worth in each of the layer's outputs, flat: an image that was scaled has a step of its own."""
        layer: Any = layer_at(self.converted[engine].network, name)
        found = []
        for x, y in zip(self.inputs[name], self.outputs[name], strict=True):
            steps = layer.steps(x) if hasattr(layer, "steps") else y.new_zeros(len(y))
            found.append(steps.view(-1, *[1] * (y.ndim - 1)).expand_as(y).flatten())
        return torch.cat(found).double()

    def _devices(self, one: str, other: str) -> dict[str, float]:
        """The largest relative difference of a conductance in each layer."""
        worst: dict[str, float] = {}
        pairs = zip(self.converted[one].crossbars(), self.converted[other].crossbars(), strict=False)
        for mine, theirs in pairs:
            real = mine.real
            difference = np.abs(mine.conductance[real] / theirs.conductance[real] - 1).max()
            worst[mine.layer] = max(worst.get(mine.layer, 0.0), float(difference))
        return worst


def _seen(
    network: Callable[[Tensor], Tensor], modules: dict[str, nn.Module], batches: Sequence[Tensor]
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    with observed(modules) as seen, torch.no_grad():
        for batch in batches:
            network(batch)
    return {name: list(calls) for name, calls in seen.items()}


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
