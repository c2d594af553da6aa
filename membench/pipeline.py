"""run_case: the one way from a case to a record. pytest, the command line and all else call it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from membench.case import DEFAULT_ENGINE, Case
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, Split, balanced_order, image_hashes
from membench.engines import ENGINES, Batches, Engine, Plan
from membench.errors import InputError
from membench.measure.inference import Inference, infer
from membench.measure.machine import provenance
from membench.measure.memory import PeakMemory
from membench.models import Trained, obtain_for
from membench.record import Costs, LayerInfo, Measured, Provenance, Record, SeedCost, SeedResult, WeightsRef
from membench.runtime import full_precision, pinned_threads, torch_device
from membench.words import counted, quoted

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Ground:
    """What every seed of a case starts from. Cases that differ in conversion, effects and seeds alone share it.

    Attributes:
        trained: the digital network.
        subset: the images that are measured, with their classes.
        images: the same as the network takes them, float32 (n, channels, *size).
        digital: what the digital network answers.
    """

    trained: Trained
    subset: Split
    images: Tensor
    digital: Inference


class Grounds:
    """The last few grounds, for a process that measures one case after another.

    They are told apart by name: a data set or network that is registered anew under its name needs a new collection.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Ground] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Ground]) -> Ground:
        """The ground of that key; made where it is not there, in place of the one not used for longest."""
        ground = self._kept.pop(key, None) or make()
        self._kept[key] = ground
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return ground


def usable(engine: str, device: str = "cpu") -> tuple[Engine, torch.device]:
    """The engine and the device of those names, if both can be used here: found out before anything is measured.

    Raises:
        InputError: there is no such engine or device, or the engine does not run on that device.
        EnvironmentProblemError: this machine lacks one of the two.
    """
    executor = ENGINES.get(engine)
    executor.require()
    if not executor.any_device and not device.startswith("cpu"):
        raise InputError(
            f"The engine {engine} runs on the CPU only, not on {quoted(device)}. Choose another engine, or device cpu."
        )
    return executor, torch_device(device)


def run_case(
    case: Case,
    engine: str = DEFAULT_ENGINE,
    *,
    data: Path | None = None,
    threads: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
    weights: Path | None = None,
    trained: Callable[[], Trained] | None = None,
    grounds: Grounds | None = None,
) -> Record:
    """Measure a case.

    Args:
        case: what to measure.
        engine: name of the engine that executes the converted network.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        threads: torch's threads while measuring. Another number may change the last bits of sums, and with them a record.
        device: where both networks run, as torch names it ("cpu", "cuda", "cuda:1").
        progress: called with (what is being done, done, in all).
        weights: a file of trained weights, instead of those that the case or its network names, or membench trains.
        trained: gives the digital network, for a caller who has it already; None: `membench.models.obtain_for`.
        grounds: where what this case shares with others is kept for them, the digital network's answers among it.

    Returns:
        The record. All in `record.measured` is the same for the same case and weights, byte for byte.

    Raises:
        InputError, UnsupportedError: when the case cannot be run as declared; found out before anything slow.
        DataMissingError: when the data set is not on this machine.
        EnvironmentProblemError: when the engine is not.
        MeasurementError: when an effect did not act, or a layer was not converted.
    """
    say: Progress = progress or (lambda what, done, total: None)
    executor, place = usable(engine, device)
    named = weights or case.weights
    key = (case.dataset, case.network, named, case.images, case.subset_seed, case.batch_size, data, threads, device)
    kept = Grounds() if grounds is None else grounds
    obtain = trained or (lambda: obtain_for(case, weights=weights, root=data, progress=say))
    ground = kept.get(key, lambda: _ground(case, data, obtain, threads, place))
    model, digital = ground.trained.model, ground.digital
    with pinned_threads(threads), full_precision(place), PeakMemory() as memory:
        plan = executor.plan(model, case.conversion, case.nonidealities, Batches.of(ground.images, case.batch_size))
        calibration = calibration_images(case, data, place)
        runs = [_run_seed(case, seed, executor, plan, model, ground.images, calibration, digital, say) for seed in case.seeds]
    costs = Costs(
        threads=threads,
        batch_sizes=tuple(len(batch) for batch in digital.logits),
        digital_batches=digital.seconds,
        seeds=tuple(run.cost for run in runs),
        peak_memory=memory.bytes,
    )
    return _record(case, engine, device, ground, plan, runs, costs)


def _ground(case: Case, data: Path | None, obtain: Callable[[], Trained], threads: int, place: torch.device) -> Ground:
    dataset = DATASETS.get(case.dataset)
    test = dataset.load("test", data)
    if case.images > len(test):
        raise InputError(
            f"Case {case.name!r} asks for {counted(case.images, 'image')}; {dataset.name} has {len(test)} test images. Set "
            f"images={len(test)}."
        )
    trained = obtain()
    subset = test.take(balanced_order(test, case.subset_seed)[: case.images])
    images = dataset.normalise(subset.images).to(place)
    with pinned_threads(threads), full_precision(place):
        digital = _digital(trained.model.to(place), images, case.batch_size)
    return Ground(trained, subset, images, digital)


def calibration_images(case: Case, data: Path | None, place: torch.device) -> Tensor | None:
    """Training images that fix the range of the case's ADCs, or None where nothing is calibrated."""
    adc = case.conversion.adc
    if adc is None or adc.range != "calibrated":
        return None
    dataset = DATASETS.get(case.dataset)
    train = dataset.load("train", data)
    if adc.calibration_images > len(train):
        raise InputError(
            f"Case {case.name!r} calibrates on {counted(adc.calibration_images, 'image')}; {dataset.name} has {len(train)} to train "
            "with here."
        )
    return dataset.normalise(train.take(balanced_order(train, case.subset_seed)[: adc.calibration_images]).images).to(place)


def _digital(model: nn.Module, images: Tensor, batch_size: int) -> Inference:
    with torch.inference_mode():
        model(images[:batch_size])  # warm
        return infer(model, images, batch_size)


@dataclass(frozen=True)
class _SeedRun:
    result: SeedResult
    cost: SeedCost
    layers: tuple[LayerInfo, ...]


def _run_seed(
    case: Case,
    seed: int,
    engine: Engine,
    plan: Plan,
    model: nn.Module,
    images: Tensor,
    calibration: Tensor | None,
    digital: Inference,
    say: Progress,
) -> _SeedRun:
    """One seed: convert, tune, let the effects act, prove that they did, infer."""
    clock = Clock()

    def tell(what: str, done: int, total: int) -> None:
        say(f"seed {seed}: {what}", done, total)

    converted, proofs = fabricate(engine, model, plan, case.conversion, case.nonidealities, seed, tell, clock, calibration)
    answers = infer(converted.infer, images, case.batch_size, lambda done, total: tell("infer", done, total))
    return _SeedRun(
        SeedResult(
            seed=seed, predictions=answers.predictions, batch_error_power=answers.error_power(digital), proofs=tuple(proofs)
        ),
        SeedCost(
            seed=seed,
            convert=clock.seconds["convert"],
            tune=clock.seconds["tune"],
            effects=clock.seconds["effects"],
            batches=answers.seconds,
        ),
        converted.layers,
    )


def _record(
    case: Case,
    engine: str,
    device: str,
    ground: Ground,
    plan: Plan,
    runs: Sequence[_SeedRun],
    costs: Costs,
) -> Record:
    card = ground.trained.card
    return Record(
        engine=engine,
        fingerprint=case.fingerprint,
        case=case,
        weights=WeightsRef(
            network=card.network,
            dataset=card.dataset,
            sha256=card.sha256,
            accuracy=card.accuracy,
            pretrained=card.pretrained,
        ),
        measured=Measured.of(
            images=tuple(image_hashes(ground.subset)),
            labels=tuple(ground.subset.labels.tolist()),
            digital_predictions=ground.digital.predictions,
            digital_batch_power=ground.digital.power,
            seeds=tuple(run.result for run in runs),
            layers=runs[0].layers,
            digital_layers=plan.digital,
        ),
        costs=costs,
        provenance=_provenance(engine, device),
    )


def _provenance(engine: str, device: str) -> Provenance:
    """With the version of the simulator, where that is none of the packages that every record names."""
    found, executor = provenance(device), ENGINES.get(engine)
    return found.replace(versions={**found.versions, engine: executor.version()}) if executor.optional else found
