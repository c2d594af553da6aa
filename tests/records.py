"""Records made by hand, without a network: `from records import make_record` (tests/ is on sys.path because of its conftest)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from membench.case import Case, Conversion, Thresholds
from membench.effect import Proof
from membench.record import (
    Baseline,
    Costs,
    LayerInfo,
    Measured,
    Provenance,
    Record,
    SeedCost,
    SeedResult,
    WeightsRef,
)
from membench.storage import sha256

PerSeed = Mapping[int, Collection[int]]


def make_record(
    *,
    name: str = "small",
    engine: str = "memtorch",
    images: int = 20,
    batch_size: int = 10,
    seeds: tuple[int, ...] = (0,),
    classes: int = 10,
    wrong: Collection[int] | PerSeed = (),
    digital_wrong: Collection[int] = (),
    broken: Collection[int] = (),
    digital_broken: Collection[int] = (),
    logit_error: float | Mapping[int, float | Sequence[float]] = 0.1,
    digital_power: float = 1.0,
    weights: str = "a" * 64,
    weights_file: str | None = None,
    pretrained: str | None = None,
    image_prefix: str = "image",
    relabelled: Collection[int] = (),
    max_loss_points: float = 100.0,
    tolerance_points: float | None = None,
    tolerance_logit_error: float = 0.05,
    **case_fields: object,
) -> Record:
    """A valid record.

    Args:
        classes: image i is of class i % classes.
        wrong: positions of the images that the converted network gets wrong, of all seeds or {seed: positions}.
        digital_wrong: the same of the digital network.
        broken: positions of the images whose converted logits are not finite.
        digital_broken: the same of the digital network.
        logit_error: relative error of each batch, of all seeds or {seed: one number, or one a batch}.
        digital_power: of each batch.
        weights: hash of the weights.
        weights_file: that the case names.
        pretrained: where the weights come from.
        image_prefix: image i has the hash of f"{image_prefix}-{i}".
        relabelled: positions of images with another label; the networks then are right about the other label.
        case_fields: further fields of the case.
    """
    case = Case(
        **{
            "name": name,
            "dataset": "mnist5k",
            "network": "tiny",
            "conversion": Conversion(),
            "thresholds": Thresholds(
                max_loss_points=max_loss_points,
                tolerance_points=tolerance_points,
                tolerance_logit_error=tolerance_logit_error,
            ),
            "seeds": seeds,
            "images": images,
            "batch_size": batch_size,
            "weights": weights_file,
            **case_fields,
        }
    )
    labels = [(i + (i in relabelled)) % classes for i in range(images)]
    batches = -(-images // batch_size)
    sizes = tuple(min(batch_size, images - batch_size * b) for b in range(batches))

    def answers(wrong: Collection[int], broken: Collection[int]) -> tuple[int, ...]:
        return tuple(-1 if i in broken else (labels[i] + (i in wrong)) % max(classes, 2) for i in range(images))

    def error_power(seed: int) -> tuple[float, ...]:
        error = logit_error[seed] if isinstance(logit_error, Mapping) else logit_error
        each = [error] * batches if isinstance(error, float | int) else list(error)
        return tuple(e * e for e in each)

    return Record(
        engine=engine,
        fingerprint=case.fingerprint,
        case=case,
        weights=WeightsRef(network=case.network, dataset=case.dataset, sha256=weights, accuracy=0.97, pretrained=pretrained),
        measured=Measured.of(
            images=tuple(sha256(f"{image_prefix}-{i}".encode())[:16] for i in range(images)),
            labels=tuple(labels),
            digital_predictions=answers(digital_wrong, digital_broken),
            digital_batch_power=(digital_power,) * batches,
            seeds=tuple(
                SeedResult(
                    seed=seed,
                    predictions=answers(wrong.get(seed, ()) if isinstance(wrong, Mapping) else wrong, broken),
                    batch_error_power=error_power(seed),
                    proofs=tuple(
                        Proof(effect=effect.kind, devices=100, moved=60, mean_change=0.25, details={"seen": 60.0})
                        for effect in case.nonidealities
                    ),
                )
                for seed in case.seeds
            ),
            layers=(LayerInfo(name="0", kind="Conv2d", rows=25, columns=4, crossbars=2, tiles=None, devices=200),),
            digital_layers=("1",),
        ),
        costs=Costs(
            threads=1,
            digital_batches=tuple(0.001 * n for n in sizes),
            seeds=tuple(
                SeedCost(seed=seed, convert=0.5, tune=0.25, effects=0.0, batches=tuple(0.02 * n for n in sizes))
                for seed in case.seeds
            ),
            peak_memory=2**20,
            batch_sizes=sizes,
        ),
        provenance=Provenance(
            created="2026-01-02T03:04:05+00:00",
            versions={"python": "3.11.7", "torch": "2.6.0"},
            machine={"system": "Linux x86_64", "processor": "A processor", "cores": "2", "memory": "8 GiB"},
        ),
    )


def make_baseline(record: Record | None = None, reason: str = "The first measurement of this case.") -> Baseline:
    """A record, accepted."""
    return Baseline(reason=reason, accepted="2026-01-03T00:00:00+00:00", record=record or make_record())
