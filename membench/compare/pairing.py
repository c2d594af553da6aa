"""Which images and seeds two records share, and what else they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from membench.errors import InputError
from membench.record import Record
from membench.words import counted

MOST_FIELDS = 3  # of a case that has changed are named, so that a note stays a line


@dataclass(frozen=True)
class Pairing:
    """What two records lose, arranged so that the shared stands side by side.

    Attributes:
        a: of each seed and image, 1 where only the digital network is right, -1 where only the converted one is, else 0; shape
            (seeds, images).
        b: the same of the other record.
        same_images: whether column i is the same image in both.
        same_seeds: whether row s is the same seed in both.
        identical: whether every answer and every batch's logit error is the same, of all images and seeds of both.
        same_answers: whether every answer compared is the same.
        notes: what differs or was left out, in words.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    same_images: bool
    same_seeds: bool
    identical: bool
    same_answers: bool
    notes: tuple[str, ...]

    @property
    def test(self) -> str:
        """The test that this allows, in words."""
        if self.same_images and self.same_seeds:
            return "paired by image and seed"
        if self.same_images:
            return "paired by image; weaker: the seeds differ, so devices are compared as two samples"
        if self.same_seeds:
            return "paired by seed; weaker: the images differ, so they are compared as two samples"
        return "two samples; weaker: neither images nor seeds are the same"


def pair(a: Record, b: Record) -> Pairing:
    """Put what two records share side by side.

    Images are known by their content. Where at least half of the smaller side's are also on the other side, those alone are compared;
    else all are, as two samples. Of seeds, those that both have are compared; where there are none, all are, as two samples.

    Raises:
        InputError: when a comparison would mean nothing: other data sets, other classes for the same image, or other devices of which
            one side has a single one.
    """
    if a.case.dataset != b.case.dataset:
        raise InputError(f"A was measured on {a.case.dataset}, B on {b.case.dataset}")
    notes = list(_notes(a, b))
    columns_a, columns_b = _shared_images(a, b)
    same_images = 2 * len(columns_a) >= min(a.case.images, b.case.images)
    if same_images:
        notes += _image_notes(a, b, columns_a, columns_b)
    else:
        notes.append(
            f"{counted(len(columns_a), 'image is', 'images are')} the same of {a.case.images} in A and {b.case.images} in B"
        )
        columns_a, columns_b = list(range(a.case.images)), list(range(b.case.images))
    seeds = [seed for seed in a.case.seeds if seed in b.case.seeds]
    same_seeds = bool(seeds)
    seeds_a, seeds_b = (seeds, seeds) if seeds else (list(a.case.seeds), list(b.case.seeds))
    if not seeds and 1 in (len(seeds_a), len(seeds_b)):  # which does not show how much devices differ
        raise InputError(
            f"no seed is the same ({_listed(a.case.seeds)} in A, {_listed(b.case.seeds)} in B), and of one device alone it cannot be told "
            "whether the change or the device did it: measure both on the same seeds, or on two each at least"
        )
    if not seeds:
        notes.append(f"no seed is the same: {_listed(a.case.seeds)} in A, {_listed(b.case.seeds)} in B")
    elif len(seeds) < max(len(a.case.seeds), len(b.case.seeds)):
        notes.append(f"only the seeds {_listed(seeds)} are on both sides; the others were left out")

    answers_a, answers_b = _answers(a, seeds_a, columns_a), _answers(b, seeds_b, columns_b)
    same_answers = same_images and same_seeds and bool(np.array_equal(answers_a, answers_b))
    whole = same_answers and a.measured.images == b.measured.images and a.case.seeds == b.case.seeds
    return Pairing(
        a=_losses(a, answers_a, columns_a),
        b=_losses(b, answers_b, columns_b),
        same_images=same_images,
        same_seeds=same_seeds,
        identical=whole and _raw(a) == _raw(b),
        same_answers=same_answers,
        notes=tuple(notes),
    )


def _raw(record: Record) -> tuple[object, ...]:
    measured = record.measured
    powers = tuple(result.batch_error_power for result in measured.seeds)
    return measured.digital_predictions, measured.digital_batch_power, powers


def _shared_images(a: Record, b: Record) -> tuple[list[int], list[int]]:
    """Positions in A and in B of each image that both have, in A's order. An image that stands there twice is shared twice."""
    places: dict[str, list[int]] = defaultdict(list)
    for position in reversed(range(b.case.images)):
        places[b.measured.images[position]].append(position)
    shared = [(position, places[image].pop()) for position, image in enumerate(a.measured.images) if places.get(image)]
    for here, there in shared:
        if a.measured.labels[here] != b.measured.labels[there]:
            raise InputError(
                f"image {a.measured.images[here]} is of class {a.measured.labels[here]} in A and {b.measured.labels[there]} in B: the "
                "data set is not the same"
            )
    return [here for here, _ in shared], [there for _, there in shared]


def _answers(record: Record, seeds: list[int], columns: list[int]) -> NDArray[np.int64]:
    of_seed = {result.seed: result.predictions for result in record.measured.seeds}
    return np.array([of_seed[seed] for seed in seeds], dtype=np.int64)[:, columns]


def _losses(record: Record, answers: NDArray[np.int64], columns: list[int]) -> NDArray[np.float64]:
    labels = np.array(record.measured.labels)[columns]
    digital = np.array(record.measured.digital_predictions)[columns]
    lost: NDArray[np.float64] = (digital == labels).astype(float) - (answers == labels)
    return lost


def _image_notes(a: Record, b: Record, columns_a: list[int], columns_b: list[int]) -> Iterator[str]:
    shared = len(columns_a)
    if shared < max(a.case.images, b.case.images):
        yield f"only the {counted(shared, 'image')} on both sides (of {a.case.images} in A, {b.case.images} in B)"
    size = a.case.batch_size
    in_order = columns_a == columns_b == list(range(shared))
    whole_batches = a.case.images == b.case.images or shared % size == 0
    if size != b.case.batch_size or not in_order or not whole_batches:
        yield "the images were in other batches, which moves the logits where a batch shares a scale"


def _notes(a: Record, b: Record) -> Iterator[str]:
    if a.engine != b.engine:
        yield f"other engines: {a.engine} in A, {b.engine} in B"
    if a.case.network != b.case.network:
        yield f"other networks: {a.case.network} in A, {b.case.network} in B; each loss is against its own"
    elif a.weights.sha256 != b.weights.sha256:
        yield (
            f"other weights: {100 * a.measured.digital_accuracy:.2f} % digital in A, {100 * b.measured.digital_accuracy:.2f} % in B; each "
            "loss is against its own"
        )
    elif a.measured.images == b.measured.images and a.measured.digital_predictions != b.measured.digital_predictions:
        yield (
            f"the digital network answers otherwise, with the same weights: {100 * a.measured.digital_accuracy:.2f} % in A, "
            f"{100 * b.measured.digital_accuracy:.2f} % in B; each loss is against its own"
        )
    if changed := list(changed_fields(a, b)):
        more = f" and {len(changed) - MOST_FIELDS} more" if len(changed) > MOST_FIELDS else ""
        yield f"the case is another one: {', '.join(changed[:MOST_FIELDS])}{more}"


def changed_fields(a: Record, b: Record) -> Iterator[str]:
    """The fields of the case that can move a result and differ, each with both values; images, seeds and network apart."""
    apart = {"name", "description", "thresholds", "images", "seeds", "network"}
    yield from _differences(a.case.model_dump(mode="json", exclude=apart), b.case.model_dump(mode="json", exclude=apart))


def _differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in dict.fromkeys((*a, *b)):
            yield from _differences(a.get(name, "-"), b.get(name, "-"), f"{path}.{name}" if path else name)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, f"{path}.{place}")
    elif a != b:
        yield f"{path} {_short(a)} -> {_short(b)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value)}]"
    if isinstance(value, Mapping):
        return str(value.get("kind", "{...}"))
    return str(value)


def _listed(seeds: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, seeds[:5])) + (f" and {len(seeds) - 5} more" if len(seeds) > 5 else "")
