"""What every data set must be: checked here and nowhere else, what it declares when it is added, what it holds when it is read."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from membench.datasets._split import Part, Split
from membench.errors import FileFormatError, InputError
from membench.words import quoted

if TYPE_CHECKING:
    from membench.datasets._base import Dataset

AUGMENTATIONS = ("shift", "mirror")
MOST_CLASSES = 1_000_000
_LOOKED_AT = 1_000  # images whose values are looked at, evenly spread over a part


class UnusualDataWarning(UserWarning):
    """A data set can be used as it is, and is probably not what was meant."""


# What is declared


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _are_numbers(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(
        isinstance(number, Real) and not isinstance(number, bool) and math.isfinite(number) for number in value
    )


_DECLARED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "classes": (lambda value: _is_count(value, 2), "an integer of 2 or more"),
    "shape": (
        lambda value: isinstance(value, tuple) and 1 <= len(value) <= 4 and all(map(_is_count, value)),
        "a tuple of 1 to 4 positive integers, the channels first, as (1, 28, 28)",
    ),
    "mean": (_are_numbers, "a tuple of finite numbers, one a channel, as (0.5,)"),
    "std": (
        lambda value: _are_numbers(value) and all(number > 0 for number in value),
        "a tuple of positive numbers, one a channel, as (0.25,)",
    ),
    "augment": (
        lambda value: isinstance(value, tuple | list) and all(word in AUGMENTATIONS for word in value),
        f"a tuple of the words {', '.join(map(repr, AUGMENTATIONS))}, or ()",
    ),
    "shares_images": (lambda value: isinstance(value, bool), "True or False"),
    "test_images": (lambda value: value is None or _is_count(value), "a positive integer, or None where it is not known"),
    "remedy": (lambda value: isinstance(value, str), "a sentence or a command"),
}


def check_declared(dataset: Dataset) -> None:
    """Refuse a data set that does not declare what it must.

    Raises:
        InputError: names the data set, the field, its value and what is allowed.
    """
    start = f"Data set {quoted(dataset.name)}"
    known: dict[str, Any] = {}
    for field, (allowed, words) in _DECLARED.items():
        if field in dataset.found_on_reading:
            continue
        try:
            known[field] = getattr(dataset, field)
        except AttributeError:
            raise InputError(f"{start} does not say its {field}: {words}.") from None
        if not allowed(known[field]):
            raise InputError(f"{start}: {field} is {quoted(known[field])}; it must be {words}.")
    if "shape" in known:
        _check_together(start, known["shape"], {field: known[field] for field in ("mean", "std", "augment") if field in known})
    if inspect.isgeneratorfunction(type(dataset).read):
        raise InputError(f"{start}: read() is a generator; it must return a whole part, Split(images, labels).")


def _check_together(start: str, shape: tuple[int, ...], known: Mapping[str, Any]) -> None:
    """Refuse fields that do not fit the shape."""
    for field in ("mean", "std"):
        if field in known and len(known[field]) != shape[0]:
            raise InputError(
                f"{start}: {field} is {quoted(known[field])}; shape {shape} begins with the number of channels, {shape[0]}, and one number "
                "a channel is needed."
            )
    if known.get("augment") and len(shape) != 3:
        raise InputError(
            f"{start}: augment is {quoted(known['augment'])}; only images (channels, height, width) can be shifted or mirrored, and its "
            f"shape is {shape}. Leave it out."
        )


# What is read


class Reading(NamedTuple):
    """What is being read, for messages."""

    dataset: Dataset
    part: Part
    found: Path

    def refuse(self, field: str, fault: str, advice: str) -> NoReturn:
        what = f"Data set {quoted(self.dataset.name)}, {self.part} part, {field}: {fault}"
        raise FileFormatError(f"{what} (read from {self.found}). {self.dataset.mend(advice)}")


def as_tensors(dataset: Dataset, given: object, part: Part, found: Path) -> Split:
    """What `read` gave as tensors: whole numbers of labels, uint8 or finite float32 images.

    Raises:
        FileFormatError: names data set, part, field and value, and says what to do.
    """
    reading = Reading(dataset, part, found)
    if not isinstance(given, Split):
        reading.refuse("what was read", f"it is {_a(given)}, not a Split", "Return Split(images, labels)")
    images, labels = _array(reading, "images", given.images), _labels(reading, _array(reading, "labels", given.labels))
    if images.ndim == 0 or len(images) != len(labels) or len(images) == 0:
        number = len(images) if images.ndim else 0
        reading.refuse("images", f"{number} images and {len(labels)} labels", "Give as many labels as images, and at least one")
    values = _values(reading, images)
    if values.ndim < 2:
        reading.refuse("images", f"their array has shape {images.shape}", "Give an array of shape (n, channels, ...)")
    return Split(_tensor(values), _tensor(labels))


def _a(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _array(reading: Reading, field: str, value: Any) -> NDArray[Any]:
    if isinstance(value, Tensor) and value.layout is torch.strided:
        value = value.detach().cpu()
        return np.asarray((value.float() if value.dtype is torch.bfloat16 else value).numpy())
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return value
    return reading.refuse(field, f"they are {_a(value)}", f"Give the {field} as a numpy array or a torch tensor")


def _tensor(array: NDArray[Any]) -> Tensor:
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _labels(reading: Reading, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        reading.refuse("labels", f"their array has shape {labels.shape}", "Give the number of each class: labels.argmax(1)")
    if labels.ndim != 1:
        reading.refuse("labels", f"their array has shape {labels.shape}", "Give one number an image, in an array of shape (n,)")
    if labels.dtype.kind in "OUS":
        advice = "Number the classes: np.unique(labels, return_inverse=True)[1]"
        reading.refuse("labels", f"they are {labels.dtype}, not integers", advice)
    if labels.dtype.kind not in "iu":
        reading.refuse("labels", f"they are {labels.dtype}, not integers", "Give whole numbers: labels.astype('int64')")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < MOST_CLASSES:
        fault = f"they are {labels.min()} to {labels.max()}; 0 to {MOST_CLASSES - 1} are possible"
        reading.refuse("labels", fault, "Number the classes from 0: np.unique(labels, return_inverse=True)[1]")
    return labels.astype(np.int64)


def _values(reading: Reading, images: NDArray[Any]) -> NDArray[Any]:
    kind = images.dtype.kind
    if images.dtype == np.uint8:
        return images
    if kind == "b":
        reading.refuse("images", "they are bool", "Give uint8 or float32: images.astype('uint8') * 255")
    if kind in "iu":
        fault = f"they are {images.dtype}, from {images.min()} to {images.max()}"
        reading.refuse(
            "images", fault, "Give uint8 where they are 0 to 255; else float32, in any unit: images.astype('float32')"
        )
    if kind != "f":
        reading.refuse("images", f"they are {images.dtype}", "Give uint8 or float32, all images of one shape: np.stack(images)")
    with np.errstate(over="ignore"):
        values = images.astype(np.float32, copy=False)
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        fault = (
            f"{(~finite).sum()} of {len(values)} hold NaN or infinity in float32, the first is number {int(np.argmin(finite))}"
        )
        reading.refuse("images", fault, "Leave these images out, or fill in what is missing")
    return values


def check_read(dataset: Dataset, split: Split, part: Part, found: Path) -> None:
    """Refuse what was read where it is not as many labelled images of every class, of that shape, as the data set declares.

    Raises:
        FileFormatError: names data set, part, field and value, and says what to do.
    """
    reading = Reading(dataset, part, found)
    has, shape = tuple(split.images.shape[1:]), tuple(dataset.shape)
    if has != shape:
        reading.refuse("images", f"they have shape {has}; {dataset.name} has {shape}", _reshaping(has, shape))
    together = {field: getattr(dataset, field) for field in ("mean", "std", "augment")}
    _check_together(f"Data set {quoted(dataset.name)}", shape, together)
    if part == "test" and dataset.test_images not in (None, len(split)):
        fault = f"{len(split)} images; {dataset.name} has {dataset.test_images} test images"
        reading.refuse("images", fault, "Give them all, or declare how many there are as test_images")
    present, classes = torch.unique(split.labels).tolist(), dataset.classes
    if classes < 2:
        reading.refuse(
            "labels", f"all are {present[0]}; 2 classes or more are needed", "Give images of each class, with its number"
        )
    low, high = present[0], present[-1]
    from_one = low == 1 and len(present) == high
    if from_one and high == classes:
        fault = f"they are 1 to {high}; {dataset.name} has the classes 0 to {classes - 1}"
        reading.refuse("labels", fault, "Subtract 1 from the labels")
    if high >= classes:
        fault = f"they are {low} to {high}, {len(present)} classes; {dataset.name} has {classes} classes, 0 to {classes - 1}"
        reading.refuse("labels", fault, f"Number the classes from 0, or declare classes={high + 1}")
    if len(present) < classes:
        missing = _listed(sorted(set(range(classes)) - set(present)))
        fault = f"they hold {len(present)} classes; {dataset.name} has {classes}, and no image is of class {missing}"
        advice = f"Give each class images in both parts, or number {len(present)} classes without gaps"
        reading.refuse("labels", fault, f"Subtract 1 if the labels count from 1. {advice}" if from_one else advice)
    _warn_if_unusual(dataset, split, part)


def check_rest(dataset: Dataset, split: Split, rest: Split, found: Path) -> None:
    """Refuse a training part of which nothing, or no image of a class, is left without the images that are also test images.

    Raises:
        FileFormatError: names the data set, and how many images or which class.
    """
    left_out = len(split) - len(rest)
    if not left_out:
        return
    reading = Reading(dataset, "train", found)
    both = f"{left_out} of {len(split)} are test images as well, to the last value, and are left out of training"
    if len(torch.unique(rest.labels)) < dataset.classes:
        advice = "Train on other images than those that are tested"
        reading.refuse("images", f"{both}; then no image of class {_lost(split, rest)} is left", advice)
    if not dataset.shares_images:
        said = f"Data set {quoted(dataset.name)}, train part: {both}. Declare shares_images=True where that is known."
        warnings.warn(said, UnusualDataWarning, stacklevel=2)


def _lost(split: Split, rest: Split) -> str:
    return _listed(sorted(set(split.labels.tolist()) - set(rest.labels.tolist())))


def _listed(classes: list[int]) -> str:
    return ", ".join(map(str, classes[:8])) + (", ..." if len(classes) > 8 else "")


def _reshaping(has: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if has == shape[1:] and shape[0] == 1:
        return "Add the axis of the channel: images[:, None]"
    if has == (*shape[1:], shape[0]):
        return "Put the channels first: np.moveaxis(images, -1, 1)"
    return "Give images of the shape that is declared, or declare the shape that they have"


class Values(NamedTuple):
    """The numbers that a network gets of some images, after `normalise`."""

    low: float
    high: float
    mean: float
    std: float

    @property
    def usual(self) -> bool:
        """Whether a network can be expected to learn from them: mean and deviation are not far from 0 and 1."""
        return abs(self.mean) <= 3 and 0.1 <= self.std <= 10

    def __str__(self) -> str:
        return f"values from {self.low:.3g} to {self.high:.3g} with mean {self.mean:.3g} and standard deviation {self.std:.3g}"


def values_of(dataset: Dataset, images: Tensor) -> Values:
    """What a network gets of at most 1,000 of the images, evenly spread."""
    normal = dataset.normalise(images[:: max(1, len(images) // _LOOKED_AT)]).double()
    low, high = torch.aminmax(normal)
    return Values(float(low), float(high), float(normal.mean()), float(normal.std(correction=0)))


def _warn_if_unusual(dataset: Dataset, split: Split, part: Part) -> None:
    values = values_of(dataset, split.images)
    if values.usual:
        return
    raw = split.images[:: max(1, len(split) // _LOOKED_AT)].double()
    if split.images.dtype is torch.uint8:
        raw, taken = raw / 255, "uint8 images are divided by 255 before that"
    else:
        taken = "float images are taken as they are, and not divided by 255"
    warnings.warn(
        f"Data set {quoted(dataset.name)}, {part} part: a network gets {values}; about 0 and 1 are usual. Its mean is "
        f"{quoted(dataset.mean)} and its std {quoted(dataset.std)}; {taken}. Over all channels these images then have mean "
        f"{raw.mean():.3g} and std {raw.std(correction=0):.3g}: declare the mean and std of each channel.",
        UnusualDataWarning,
        stacklevel=2,
    )
