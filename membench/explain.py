"""Where a case loses its accuracy: its ladder, step by step, and its layers, one by one."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from membench.arrays import MemristiveLayer
from membench.case import DEFAULT_ENGINE, Case
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.engines import ENGINES, Batches, layer_at, observed
from membench.errors import InputError
from membench.explanation import Explanation, LayerBlame, Step, culprit, ladder, measured_on, most_valuable
from membench.models import obtain_for
from membench.pipeline import Progress, calibration_images, run_case
from membench.record import Measured, Record
from membench.runtime import full_precision, pinned_threads, torch_device
from membench.statistics import paired_difference

LAYER_IMAGES = 100  # whose signals are compared layer by layer
LAYER_SEEDS = 3  # on which the layers are looked at, and protected one by one
FAILED_IMAGES, FAILED_SEEDS, FAILED_SECONDS = 200, 2, 60.0  # of a failed case's ladder at most: the gate has others to judge


@dataclass(frozen=True)
class _Run:
    """How to measure: what each `run_case` of one explanation is told alike."""

    engine: str
    data: Path | None
    threads: int
    device: str
    progress: Progress | None
    weights: Path | None = None

    def measure(self, case: Case, what: str) -> Record:
        def tell(doing: str, done: int, total: int) -> None:
            if self.progress:
                self.progress(f"{what}, {doing}", done, total)

        return run_case(
            case,
            self.engine,
            data=self.data,
            threads=self.threads,
            device=self.device,
            progress=tell,
            weights=self.weights,
        )


def explain(
    case: Case,
    engine: str = DEFAULT_ENGINE,
    *,
    data: Path | None = None,
    threads: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
    weights: Path | None = None,
) -> Explanation:
    """Find out where a case loses its accuracy.

    The layers are looked at on the vectorized engine only, on the case's first images and seeds.

    Args:
        case: to explain, on its own images and seeds.
        engine: name of the engine that executes the converted networks.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        threads: torch's threads while measuring.
        device: where the networks run, as torch names it.
        progress: called with (what is being done, done, in all).
        weights: a file of trained weights, instead of those of the case.

    Raises:
        MembenchError: whatever `run_case` raises.
    """
    run = _Run(engine, data, threads, device, progress, weights)
    steps, record = _climb(case, run)
    found = culprit(steps)
    few = case.replace(seeds=case.seeds[:LAYER_SEEDS])
    layers: tuple[LayerBlame, ...] = ()
    note = f"The engine {engine} does not tell what its layers do; the engine {DEFAULT_ENGINE} does."
    if engine == DEFAULT_ENGINE:
        layers = _layers(few, record.measured, run)
        note = (
            ""
            if layers
            else "Which layers the network calls depends on its input, so that they cannot be compared call by call."
        )
    return Explanation(
        case=case.name,
        fingerprint=case.fingerprint,
        engine=engine,
        images=case.images,
        seeds=case.seeds,
        layer_images=min(LAYER_IMAGES, case.images) if layers else 0,
        layer_seeds=few.seeds if layers else (),
        digital_accuracy=record.measured.digital_accuracy,
        steps=steps,
        layers=layers,
        culprit=found,
        most_valuable=most_valuable(layers, found),
        note=note,
    )


def lost_at(
    record: Record,
    *,
    data: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    weights: Path | None = None,
) -> str:
    """The first step of the ladder that lost a measured case's accuracy, in words; on a few of its images and seeds.

    Args:
        weights: as it was measured.

    Raises:
        InputError: when it would take longer than FAILED_SECONDS, judging by what the record cost.
        MembenchError: whatever `run_case` raises.
    """
    whole, costs = record.case, record.costs
    case = whole.replace(images=min(whole.images, FAILED_IMAGES), seeds=whole.seeds[:FAILED_SEEDS])
    runs = len(ladder(case)) * len(case.seeds)
    seconds = runs * (costs.convert_seconds + costs.tune_seconds + case.images * costs.seconds_per_image)
    if seconds > FAILED_SECONDS:
        raise InputError(f"it would take about {seconds / 60:.0f} minutes on engine {record.engine}")
    steps, _ = _climb(case, _Run(record.engine, data, costs.threads, device, progress, weights))
    found = culprit(steps)
    return "no step: nothing is lost" if found is None else f"{found} on {measured_on(case.images, case.seeds)}"


def _climb(case: Case, run: _Run) -> tuple[tuple[Step, ...], Record]:
    """All steps of the ladder, measured, and the record of the last one: the whole case."""
    steps: list[Step] = []
    before: NDArray[np.bool_] | None = None
    rungs = ladder(case)
    for rung in rungs:
        record = run.measure(rung.case, f"step {len(steps) + 1} of {len(rungs)}, {rung.name}")
        measured = record.measured
        now = measured.correct(case.seeds, case.images)
        digital = _digital(measured)
        step = Step(
            name=rung.name,
            what=rung.what,
            accuracy=measured.accuracy,
            loss=measured.loss,
            certain=paired_difference(digital, now, devices_vary=False).low > 0,
            change=paired_difference(digital if before is None else before, now),
            logit_error=measured.logit_error,
        )
        steps.append(step)
        before = now
    return tuple(steps), record


def _digital(measured: Measured) -> NDArray[np.bool_]:
    """Whether the digital network classified each image rightly; shape (images,)."""
    return np.asarray(np.array(measured.digital_predictions) == np.array(measured.labels))


# Layer by layer


@dataclass
class _Signal:
    """Sums over images and seeds of what one layer does.

    Attributes:
        power: of the digital layer's output.
        alone: of the error, given the digital input.
        arriving: of the error, given the input that arrives.
        images: how many there were.
        clipped, scaled: images times the proportion.
    """

    power: float = 0.0
    alone: float = 0.0
    arriving: float = 0.0
    images: int = 0
    clipped: float = 0.0
    scaled: float = 0.0

    def add(self, layer: MemristiveLayer, digital: tuple[Tensor, Tensor], arrived: tuple[Tensor, Tensor]) -> None:
        """A batch: the (input, output) of the digital layer and those of the memristive one."""
        (x, wanted), (x_arrived, y_arrived) = digital, arrived
        self.power += _power(wanted)
        self.alone += _power(layer(x) - wanted)
        self.arriving += _power(y_arrived - wanted)
        self.images += len(x)
        self.clipped += len(x) * layer.clipping_rate(x_arrived)
        self.scaled += len(x) * layer.scaled_rate(x_arrived)


def _power(x: Tensor) -> float:
    return float(x.double().square().sum())


def decibel(signal: float, noise: float) -> float:
    """10 log10(signal / noise): infinite without noise, minus infinity where nothing of the signal is left."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf


def _layers(case: Case, whole: Measured, run: _Run) -> tuple[LayerBlame, ...]:
    """What each layer of the whole case does; `whole` was measured on the case's images, and on its seeds among others.

    Nothing where which layers are called depends on the input.
    """
    signals = _signals(case, run)
    if signals is None:
        return ()
    right = whole.correct(case.seeds, case.images)
    blames = []
    for layer in whole.layers:
        kept = (*case.conversion.keep_digital, layer.name)
        if len(whole.layers) == 1:  # then the network with this layer left digital is the digital network
            protected, error = _digital(whole), 0.0
        else:
            protecting = case.replace(conversion=case.conversion.replace(keep_digital=kept))
            measured = run.measure(protecting, f"protect {layer.name}").measured
            protected, error = measured.correct(case.seeds, case.images), measured.logit_error
        signal = signals[layer.name]
        blames.append(
            LayerBlame(
                name=layer.name,
                kind=layer.kind,
                snr_db_alone=decibel(signal.power, signal.alone),
                snr_db_arriving=decibel(signal.power, signal.arriving),
                clipped=signal.clipped / signal.images,
                scaled=signal.scaled / signal.images,
                protected_gain=paired_difference(protected, right),
                protected_logit_error=error,
            )
        )
    return tuple(blames)


def _signals(case: Case, run: _Run) -> dict[str, _Signal] | None:
    """The signals of each layer on the first images of a case, with all of its seeds; None where calls cannot be compared."""
    dataset, engine, place = DATASETS.get(case.dataset), ENGINES.get(run.engine), torch_device(run.device)
    test = dataset.load("test", run.data)
    measured = dataset.normalise(test.take(balanced_order(test, case.subset_seed)[: case.images]).images).to(place)
    images = measured[:LAYER_IMAGES]
    model = obtain_for(case, weights=run.weights, root=run.data).model.to(place)
    found: defaultdict[str, _Signal] = defaultdict(_Signal)
    with pinned_threads(run.threads), full_precision(place), torch.inference_mode():
        plan = engine.plan(model, case.conversion, case.nonidealities, Batches.of(measured, case.batch_size))
        if plan.depends:
            return None
        digital = {layer.name: layer.module for layer in plan.layers}
        calibration = calibration_images(case, run.data, place)
        for seed in case.seeds:
            converted, _ = fabricate(
                engine,
                model,
                plan,
                case.conversion,
                case.nonidealities,
                seed,
                lambda what, done, total: None,
                Clock(),
                calibration,
            )
            layers = {name: layer_at(converted.network, name) for name in digital}
            for batch in torch.split(images, case.batch_size):
                with observed(digital) as wanted, observed(layers) as arrived:
                    model(batch)
                    converted.infer(batch)
                for name, layer in layers.items():
                    assert isinstance(layer, MemristiveLayer)
                    for pair in zip(wanted[name], arrived[name], strict=True):
                        found[name].add(layer, *pair)
    return dict(found)
