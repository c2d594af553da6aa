"""What one run measured, with everything needed to run it again. One JSON file, schema-versioned."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from membench.case import Case
from membench.effect import Proof
from membench.errors import FileFormatError, InputError
from membench.plain import Count, Integer, Line, Moment, NonNegative, Plain, Power, Proportion, Reason, Seed, Sha256
from membench.statistics import Interval, paired_difference
from membench.storage import read_whole, readable_json, write_atomically
from membench.strict_json import first_difference, parse
from membench.words import capped, quoted

Schema = Literal[1]
Label = Annotated[int, Field(ge=0, lt=2**31)]
Class = Annotated[int, Field(ge=-1, lt=2**31)]  # -1: the logits were not finite, so there was no prediction
ImageHash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
REMEDY = "Restore the file from version control, or make it anew."


class LayerInfo(Plain):
    """A layer as it was converted.

    Attributes:
        name: dotted name in the network.
        kind: its torch class.
        rows: word lines that hold weights (input channels times kernel size, or input features).
        columns: bit lines that hold weights (output channels or features).
        crossbars: 2 with two columns a weight, else 1.
        tiles: modular tiles a crossbar, or None without tiles.
        devices: of all crossbars, those that pad tiles included.
        reads: vectors that one image puts through the layer (one for each output pixel of a convolution); None in records made
            before this was kept.
    """

    later: ClassVar[Mapping[str, Any]] = {"reads": None}

    name: Line
    kind: Line
    rows: Count
    columns: Count
    crossbars: Annotated[Integer, Field(ge=1, le=2)]
    tiles: Count | None
    devices: Count
    reads: Count | None = None

    @model_validator(mode="after")
    def _devices_hold_the_weights(self) -> Self:
        if self.devices < self.rows * self.columns * self.crossbars:
            raise InputError(
                f"layer {self.name}: devices: {self.devices} cannot hold {self.rows} x {self.columns} weights on {self.crossbars} crossbars"
            )
        return self


class SeedResult(Plain):
    """One seed's run.

    Attributes:
        seed: the seed.
        predictions: class of each image, in the order of Measured.labels; -1 where a logit was not finite.
        batch_error_power: of each batch, the sum over images and classes of (converted - digital logit)^2.
        proofs: of each non-ideality, what it did.
    """

    seed: Seed
    predictions: tuple[Class, ...]
    batch_error_power: tuple[Power, ...]
    proofs: tuple[Proof, ...] = ()


class Measured(Plain):
    """All that the same case, weights and seeds give again, byte for byte.

    Attributes:
        images: short hash of each image measured, in order.
        labels: true class of each.
        digital_predictions: the digital network's class of each.
        digital_batch_power: of each batch, the sum over images and classes of (digital logit)^2.
        seeds: one result a seed.
        layers: what was converted.
        digital_layers: layers with parameters that stay digital (normalisation, or kept so on purpose).
        digital_accuracy: of the digital network, 0 to 1.
        accuracy: mean over the seeds, 0 to 1.
        loss: digital minus converted accuracy, in percentage points, paired by image, with its interval.
        agreement: proportion of images and seeds to which both networks give the same class.
        logit_error: root mean square of the logits' error relative to that of the digital logits, mean over the seeds.
    """

    images: tuple[ImageHash, ...]
    labels: tuple[Label, ...]
    digital_predictions: tuple[Class, ...]
    digital_batch_power: tuple[Power, ...]
    seeds: tuple[SeedResult, ...]
    layers: tuple[LayerInfo, ...]
    digital_layers: tuple[Line, ...]
    digital_accuracy: Proportion
    accuracy: Proportion
    loss: Interval
    agreement: Proportion
    logit_error: Power

    @classmethod
    def of(
        cls,
        *,
        images: tuple[str, ...],
        labels: tuple[int, ...],
        digital_predictions: tuple[int, ...],
        digital_batch_power: tuple[float, ...],
        seeds: tuple[SeedResult, ...],
        layers: tuple[LayerInfo, ...],
        digital_layers: tuple[str, ...],
    ) -> Self:
        """The raw values with all that follows from them."""
        truth, digital = np.array(labels), np.array(digital_predictions)
        converted = np.array([result.predictions for result in seeds])
        return cls(
            images=images,
            labels=labels,
            digital_predictions=digital_predictions,
            digital_batch_power=digital_batch_power,
            seeds=seeds,
            layers=layers,
            digital_layers=digital_layers,
            digital_accuracy=float(np.mean(digital == truth)),
            accuracy=float(np.mean(converted == truth)),
            loss=paired_difference(digital == truth, converted == truth),
            agreement=float(np.mean(converted == digital)),
            logit_error=float(np.mean(logit_errors(seeds, digital_batch_power))),
        )

    def again(self) -> Measured:
        """The same, derived anew from the raw values."""
        raw = ("images", "labels", "digital_predictions", "digital_batch_power", "seeds", "layers", "digital_layers")
        return Measured.of(**{name: getattr(self, name) for name in raw})

    def correct(self, seeds: tuple[int, ...], images: int) -> NDArray[np.bool_]:
        """Whether each of the first `images` images was classified rightly; shape (seeds, images)."""
        of_seed = {result.seed: result.predictions[:images] for result in self.seeds}
        truth = np.array(self.labels[:images])
        return np.array([np.array(of_seed[seed]) == truth for seed in seeds])

    def drops(self, seeds: tuple[int, ...], images: int) -> NDArray[np.int_]:
        """Of the first `images` images, whether the digital network is right (1 or 0) minus whether the converted one is; shape
        (seeds, images).
        """
        digital = np.array(self.digital_predictions[:images]) == np.array(self.labels[:images])
        drops: NDArray[np.int_] = digital.astype(int) - self.correct(seeds, images)
        return drops

    def first_batches(self, seeds: tuple[int, ...], batches: int) -> NDArray[np.float64]:
        """The logit error of each of `seeds` over the first `batches` batches; shape (seeds,)."""
        chosen = tuple(result for seed in seeds for result in self.seeds if result.seed == seed)
        return logit_errors(chosen, self.digital_batch_power, batches)


def logit_errors(
    seeds: tuple[SeedResult, ...], digital_power: tuple[float, ...], batches: int | None = None
) -> NDArray[np.float64]:
    """Relative root-mean-square error of the logits of each seed; shape (seeds,)."""
    errors = np.array([sum(result.batch_error_power[:batches]) for result in seeds])
    with np.errstate(all="ignore"):  # logits that are all zero or not finite give NaN, which the verdict calls INVALID
        return np.asarray(np.sqrt(errors / np.float64(sum(digital_power[:batches]))))


class SeedCost(Plain):
    """What one seed's run cost, in seconds.

    Attributes:
        seed: the seed.
        convert: from the digital network to crossbars.
        tune: the fit of gain and offset.
        effects: the non-idealities and their proofs.
        batches: of each batch, the simulated inference.
    """

    seed: Seed
    convert: NonNegative
    tune: NonNegative
    effects: NonNegative
    batches: tuple[NonNegative, ...]


class Costs(Plain):
    """Time and memory: another run gives others.

    Attributes:
        threads: torch's threads, pinned for the whole run.
        digital_batches: seconds of each batch of the digital network, timed in the same process.
        seeds: one cost a seed.
        peak_memory: largest resident memory above what the process held before, in bytes.
        batch_sizes: images in each batch.
    """

    threads: Count
    digital_batches: tuple[NonNegative, ...]
    seeds: tuple[SeedCost, ...]
    peak_memory: Annotated[Integer, Field(ge=0)]
    batch_sizes: tuple[Count, ...]

    @property
    def digital_seconds_per_image(self) -> float:
        return float(np.median([s / n for s, n in zip(self.digital_batches, self.batch_sizes, strict=True)]))

    @property
    def seconds_per_image(self) -> float:
        """Median over batches and seeds."""
        return float(np.median([s / n for cost in self.seeds for s, n in zip(cost.batches, self.batch_sizes, strict=True)]))

    @property
    def ratio(self) -> float:
        """Simulated time against the digital network's, in the same run."""
        return self.seconds_per_image / self.digital_seconds_per_image

    @property
    def convert_seconds(self) -> float:
        return float(np.median([cost.convert for cost in self.seeds]))

    @property
    def tune_seconds(self) -> float:
        return float(np.median([cost.tune for cost in self.seeds]))


class WeightsRef(Plain):
    """Which weights were measured.

    Attributes:
        network: registered name.
        dataset: what they were trained on.
        sha256: of the safetensors file.
        accuracy: of the digital network on the whole test set, as its card says, 0 to 1.
        pretrained: where they come from, if membench did not train them from the start: then nobody here knows on which images they
            were trained, the test images perhaps among them. None: membench trained them, on none of the test images.
    """

    later: ClassVar[Mapping[str, Any]] = {"pretrained": None}

    network: Line
    dataset: Line
    sha256: Sha256
    accuracy: Proportion
    pretrained: Line | None = None


class Provenance(Plain):
    """Where and with what it ran.

    Attributes:
        created: UTC, ISO 8601.
        versions: of Python and the packages that take part.
        machine: system, processor, cores, memory.
    """

    created: Moment
    versions: Annotated[dict[Line, Line], Field(min_length=1)]
    machine: Annotated[dict[Line, Line], Field(min_length=1)]


class Record(Plain):
    """One run of one case on one engine."""

    schema_version: Schema = 1
    engine: Line
    fingerprint: Sha256
    case: Case
    weights: WeightsRef
    measured: Measured
    costs: Costs
    provenance: Provenance

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """A record read from a file must fit together; one that was edited by hand does not."""
        measured, case = self.measured, self.case
        if self.fingerprint != case.fingerprint:
            raise InputError(
                "the fingerprint is not that of the case beside it: the file was edited by hand or damaged, or an earlier membench wrote "
                "it, in which a part of this case did something else"
            )
        if (self.weights.network, self.weights.dataset) != (case.network, case.dataset):
            raise InputError(
                f"weights: of {self.weights.network} on {self.weights.dataset}; the case is of {case.network} on {case.dataset}"
            )
        if tuple(result.seed for result in measured.seeds) != case.seeds:
            raise InputError("measured.seeds: the seeds measured are not those of the case")
        if tuple(cost.seed for cost in self.costs.seeds) != case.seeds:
            raise InputError("costs.seeds: the seeds timed are not those of the case")
        batches = math.ceil(case.images / case.batch_size)
        lengths = {
            "images": (len(measured.images), case.images),
            "labels": (len(measured.labels), case.images),
            "digital_predictions": (len(measured.digital_predictions), case.images),
            "digital_batch_power": (len(measured.digital_batch_power), batches),
            **{f"predictions of seed {r.seed}": (len(r.predictions), case.images) for r in measured.seeds},
            **{f"batch_error_power of seed {r.seed}": (len(r.batch_error_power), batches) for r in measured.seeds},
            "costs.digital_batches": (len(self.costs.digital_batches), batches),
            "costs.batch_sizes": (len(self.costs.batch_sizes), batches),
            "costs.seeds": (len(self.costs.seeds), len(case.seeds)),
            **{f"costs of seed {c.seed}: batches": (len(c.batches), batches) for c in self.costs.seeds},
        }
        for name, (found, expected) in lengths.items():
            if found != expected:
                raise InputError(f"{name}: {found} values, {expected} are needed")
        whole, rest = divmod(case.images, case.batch_size)
        if self.costs.batch_sizes != (case.batch_size,) * whole + ((rest,) if rest else ()):
            raise InputError(f"costs.batch_sizes: not those of {case.images} images in batches of {case.batch_size}")
        names = [*(layer.name for layer in measured.layers), *measured.digital_layers]
        if len(set(names)) != len(names):
            raise InputError("measured.layers, measured.digital_layers: a layer stands there twice")
        effects = [effect.kind for effect in case.nonidealities]
        for result in measured.seeds:
            if [proof.effect for proof in result.proofs] != effects:
                raise InputError(
                    f"the proofs of seed {result.seed} are not those of the case's effects ({', '.join(effects) or 'none'})"
                )
        derived = measured.again()
        for name in ("digital_accuracy", "accuracy", "agreement", "logit_error"):
            if not _same(getattr(measured, name), getattr(derived, name)):
                raise InputError(
                    f"measured.{name} is {getattr(measured, name)}, but the raw values give {getattr(derived, name)}"
                )
        for name in ("estimate", "low", "high", "seeds", "level"):
            if not _same(getattr(measured.loss, name), getattr(derived.loss, name)):
                raise InputError(f"measured.loss.{name} is not what the raw values give ({getattr(derived.loss, name)})")
        return self


class Baseline(Plain):
    """A record that was accepted.

    Attributes:
        reason: why, in the words of who accepted it.
        accepted: when, UTC, ISO 8601.
        record: what is compared against.
    """

    schema_version: Schema = 1
    reason: Reason
    accepted: Moment
    record: Record


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (not math.isfinite(a) and repr(a) == repr(b))


P = TypeVar("P", bound=Plain)


def save(item: Plain, path: Path) -> Path:
    """Write a record or baseline as readable JSON, atomically."""
    return write_atomically(path, readable_json(json.loads(item.model_dump_json())))


def find(kind: type[P], path: Path, remedy: str = REMEDY) -> P | None:
    """Read a file that membench wrote: a record, baseline, card or study. None where there is no such file.

    It must read back as what it holds, field by field: membench writes every field, so that one that is missing or of another
    type shows that the file was edited.

    Args:
        remedy: what to do about a damaged one.

    Raises:
        FileFormatError: names the file and the field; a file that is truncated, of another schema or edited by hand.
    """
    data = read_whole(path)
    if data is None:
        return None
    content = parse(data, str(path), remedy)
    version = content.get("schema_version")
    if type(version) is not int or version != 1:
        raise FileFormatError(
            f"{path} has schema version {quoted(version, 20)} in its field schema_version; this membench reads version 1. {remedy}"
        )
    try:
        item = kind.from_parsed(data, str(path))
    except InputError as error:
        raise FileFormatError(f"{error}\n{remedy}") from error
    if field := first_difference(content, json.loads(item.model_dump_json())):
        said = capped(f"{path} is not as membench wrote it:\n  {field}", str(path))
        raise FileFormatError(f"{said}\n{remedy}")
    return item


def load(kind: type[P], path: Path, remedy: str = REMEDY) -> P:
    """The same of a file that must be there.

    Raises:
        FileFormatError: as `find`, and where there is no such file.
    """
    if (item := find(kind, path, remedy)) is None:
        raise FileFormatError(f"Cannot read {path}: there is no such file.")
    return item
