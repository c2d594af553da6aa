"""run_case: the one way from a case to a record. pytest, the command line and all else call it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from membench.case import Case
from membench.datasets import DATASETS, Split, balanced_order, image_hashes
from membench.effect import Effect, Stage
from membench.engines import ENGINES, Engine, Plan
from membench.errors import EnvironmentProblemError, InputError
from membench.measure.inference import Inference, infer
from membench.measure.machine import provenance
from membench.measure.memory import PeakMemory
from membench.models import NETWORKS, Trained, obtain
from membench.record import Costs, LayerInfo, Measured, Record, SeedCost, SeedResult, WeightsRef
from membench.runtime import derive_seed, pinned_threads

Progress = Callable[[str, int, int], None]


def run_case(
    case: Case,
    engine: str = "memtorch",
    *,
    data: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Record:
    """Measure a case.

    Args:
        case: what to measure.
        engine: name of the engine that executes the converted network.
        data: where data sets are looked for; MEMBENCH_DATA, else the cache folder.
        threads: torch's threads while measuring. Another number may change the last bits of sums, and with them a record.
        progress: called with (what is being done, done, in all).

    Returns:
        The record. All in `record.measured` is the same for the same case and weights, byte for byte.

    Raises:
        InputError, UnsupportedError: when the case cannot be run as declared; found out before anything slow.
        DataMissingError: when the data set is not on this machine.
        EnvironmentProblemError: when the engine is not.
        MeasurementError: when an effect did not act, or a layer was not converted.
    """
    say: Progress = progress or (lambda what, done, total: None)
    executor = ENGINES.get(engine)
    dataset, network = DATASETS.get(case.dataset), NETWORKS.get(case.network)
    if (problem := executor.problem()) is not None:
        raise EnvironmentProblemError(f"The engine {engine} cannot be used: {problem.reason}. Mend it with: {problem.remedy}")
    test = dataset.load("test", data)
    if case.images > len(test):
        raise InputError(f"Case {case.name!r} asks for {case.images} images; {dataset.name} has {len(test)} test images.")
    trained = obtain(network, dataset, root=data, progress=say)
    subset = test.take(balanced_order(test, case.subset_seed)[: case.images])
    images = dataset.normalise(subset.images)
    with pinned_threads(threads), PeakMemory() as memory:
        plan = executor.plan(trained.model, case.conversion, case.nonidealities, images[:2])
        digital = _digital(trained, images, case.batch_size)
        runs = [_run_seed(case, seed, executor, plan, trained, images, digital, say) for seed in case.seeds]
    costs = Costs(
        threads=threads,
        batch_sizes=tuple(len(batch) for batch in digital.logits),
        digital_batches=digital.seconds,
        seeds=tuple(run.cost for run in runs),
        peak_memory=memory.bytes,
    )
    return _record(case, engine, trained, subset, plan, digital, runs, costs)


def _digital(trained: Trained, images: Tensor, batch_size: int) -> Inference:
    with torch.inference_mode():
        trained.model(images[:batch_size])  # warm
        return infer(trained.model, images, batch_size)


@dataclass(frozen=True)
class _SeedRun:
    result: SeedResult
    cost: SeedCost
    layers: tuple[LayerInfo, ...]


def _run_seed(
    case: Case, seed: int, engine: Engine, plan: Plan, trained: Trained, images: Tensor, digital: Inference, say: Progress
) -> _SeedRun:
    """One seed: convert, tune, let the effects act, prove that they did, infer."""
    clock = _Clock()

    def tell(what: str, done: int, total: int) -> None:
        say(f"seed {seed}: {what}", done, total)

    fabrication = tuple(effect for effect in case.nonidealities if effect.stage is Stage.FABRICATION)
    with clock("convert"):
        converted = engine.convert(trained.model, case.conversion, plan, fabrication, derive_seed(seed, "devices"), tell)
    tuning = case.conversion.tuning

    def tune_if(moment: str) -> None:
        if tuning is not None and tuning.after == moment:
            tell("tune", 0, 1)
            with clock("tune"):
                converted.tune(tuning, derive_seed(seed, "tuning"))

    tune_if("conversion")
    with clock("effects"):
        proofs = [effect.prove(converted.targets(), converted.crossbars()) for effect in fabrication]
        for axis, effect in _axes(case):
            before = converted.crossbars()
            converted.apply(effect, derive_seed(seed, *axis))
            proofs.append(effect.prove(before, converted.crossbars()))
    tune_if("effects")

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


def _axes(case: Case) -> Iterator[tuple[tuple[str, str, int], Effect]]:
    """The effects that act after fabrication, each with an axis of randomness that the other effects do not move."""
    seen: Counter[str] = Counter()
    for effect in case.nonidealities:
        if effect.stage is not Stage.FABRICATION:
            yield ("effect", effect.kind, seen[effect.kind]), effect
            seen[effect.kind] += 1


class _Clock:
    """Adds up wall-clock seconds under a name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


def _record(
    case: Case,
    engine: str,
    trained: Trained,
    subset: Split,
    plan: Plan,
    digital: Inference,
    runs: Sequence[_SeedRun],
    costs: Costs,
) -> Record:
    return Record(
        engine=engine,
        fingerprint=case.fingerprint,
        case=case,
        weights=WeightsRef(
            network=trained.card.network,
            dataset=trained.card.dataset,
            sha256=trained.card.sha256,
            accuracy=trained.card.accuracy,
        ),
        measured=Measured.of(
            images=tuple(image_hashes(subset)),
            labels=tuple(subset.labels.tolist()),
            digital_predictions=digital.predictions,
            digital_batch_power=digital.power,
            seeds=tuple(run.result for run in runs),
            layers=runs[0].layers,
            digital_layers=plan.digital,
        ),
        costs=costs,
        provenance=provenance(),
    )
