"""Data sets that membench makes of a user's own arrays, files and torch data sets: what is not declared is found in the data."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from membench.datasets._base import Dataset, loaded, sentence
from membench.datasets._contract import Reading, as_tensors, check_declared
from membench.datasets._split import Part, Split, held_out
from membench.errors import InputError
from membench.words import quoted

Layout = Literal["first", "last", "none"]
FACTS = ("classes", "shape", "mean", "std")  # found in the training part where they are not declared
_USUAL = (1, 3)  # channels of grey and of colour images


class Known(TypedDict, total=False):
    """What can be declared of a data set that is made in one line.

    Attributes:
        classes: how many; else the largest label and 1.
        shape: of one image, channels first; else that of the data.
        mean: of each channel, after uint8 was divided by 255; else that of the training part.
        std: standard deviation of each channel, of the same numbers; else that of the training part.
        augment: what training does to an image at random: `shift`, `mirror`; else nothing.
        shares_images: whether it is known that some training images are test images as well; else a warning says how many.
        test_fraction: 0 to 1, exclusive: what proportion of each class becomes the test part, where the data have none: the images
            with the lowest hashes, so that the choice depends on neither a seed nor an order.
        channels: which axis of an image's array holds the channels: `first`, `last`, or `none` where there is one channel without an
            axis. Needed only where the shape does not tell.
        remedy: the command, or a sentence, that gets the data.
    """

    classes: int
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: tuple[str, ...]
    shares_images: bool
    test_fraction: float
    channels: Layout
    remedy: str


class Made(Dataset):
    """Base of these data sets. Nothing is read before it is needed."""

    def __init__(self, known: Known) -> None:
        if unknown := set(known) - set(Known.__annotations__):
            raise InputError(
                f"{', '.join(sorted(unknown))}: there is no such field. Fields: {', '.join(Known.__annotations__)}."
            )
        fraction, channels = known.get("test_fraction"), known.get("channels")
        if fraction is not None and not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise InputError(f"test_fraction is {quoted(fraction)}; it must be a number between 0 and 1, as 0.2.")
        if channels not in (None, "first", "last", "none"):
            raise InputError(f"channels is {quoted(channels)}; it must be 'first', 'last' or 'none'.")
        self.known = known
        self.found_on_reading = tuple(fact for fact in FACTS if fact not in known)
        self.__dict__ |= {field: value for field, value in known.items() if field in (*FACTS, "augment", "shares_images")}

    @abstractmethod
    def read_parts(self, found: Path) -> Mapping[Part, Split]:
        """Both parts, as `Dataset.read` gives them; where there is no test part, all images as `train`."""

    def read(self, found: Path, part: Part) -> Split:
        return _parts(self, found, self.stamp(found))[part]

    def load(self, part: Part, root: Path | None = None) -> Split:
        found = self.locate(root)
        stamp = self.stamp(found)
        self.__dict__ |= _facts(self, found, stamp)
        return loaded(self, found, part, stamp)

    @property
    def remedy(self) -> str:
        return self.known.get("remedy", "Declare it with other data")

    def mend(self, advice: str) -> str:
        return f"{advice}."

    def _part(self, found: Path, part: Part, stamp: object) -> object:
        return _parts(self, found, stamp)[part]

    def __getattr__(self, name: str) -> Any:
        """A fact that is not declared, asked for before anything was loaded."""
        if name not in self.__dict__.get("found_on_reading", ()):
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        self.load("train")
        return self.__dict__[name]


class InMemory(Made):
    """A data set that needs no file."""

    def find(self, root: Path) -> Path:
        return Path("memory")  # for messages

    def locate(self, root: Path | None = None) -> Path:
        return self.find(root or Path())

    def stamp(self, found: Path) -> object:
        return None


class InFile(Made):
    """A data set in a file or a folder.

    Args:
        place: absolute; or relative to the current folder, else to MEMBENCH_DATA.
    """

    def __init__(self, place: str | os.PathLike[str], known: Known) -> None:
        super().__init__(known)
        if not isinstance(place, str | os.PathLike) or not str(place):
            raise InputError(f"The place of a data set is {quoted(place)}; it must be the path of a file or a folder.")
        self.place = Path(place).expanduser()

    def find(self, root: Path) -> Path | None:
        return next((place for place in self._places(root) if place.exists()), None)

    def absent(self, root: Path) -> str:
        places = " or ".join(map(str, self._places(root)))
        return f"{self.name} was not found: there is no {places}. {sentence(self.remedy)}"

    @property
    def remedy(self) -> str:
        return self.known.get(
            "remedy", f"Put {self.place.name} there, or set MEMBENCH_DATA to the folder below which {self.place} lies"
        )

    def _places(self, root: Path) -> list[Path]:
        return list(dict.fromkeys([Path.cwd() / self.place, root.absolute() / self.place]))  # a place that is absolute stays it


@lru_cache(maxsize=2)
def _parts(dataset: Made, found: Path, stamp: object) -> Mapping[Part, Split]:
    """Both parts as tensors, channels first."""
    check_declared(dataset)
    whole: dict[Part, Split] = {}
    for part, given in dataset._guarded("reading it", lambda: dataset.read_parts(found)).items():
        split = as_tensors(dataset, given, part, found)
        whole[part] = Split(_channels_first(split.images, dataset.known, Reading(dataset, part, found)), split.labels)
    fraction, reading = dataset.known.get("test_fraction"), Reading(dataset, "test", found)
    if "test" in whole:
        if fraction is not None:
            reading.refuse("test_fraction", f"it is {fraction}, and the data have a test part", "Leave test_fraction out")
        return whole
    if fraction is None:
        reading.refuse("images", "there are none", "Give test_fraction=0.2 to hold out a fifth of the images, or a test part")
    return _held_out(whole["train"], fraction, reading)


def _held_out(everything: Split, fraction: float, reading: Reading) -> Mapping[Part, Split]:
    classes, counts = torch.unique(everything.labels, return_counts=True)
    if int(counts.min()) < 2:
        fault = f"class {int(classes[counts.argmin()])} has one image, and it needs one to train on and one to test"
        reading.refuse("images", fault, "Give more images of it")
    test = torch.from_numpy(held_out(everything, lambda images: min(max(1, round(fraction * images)), images - 1)))
    return {"train": everything.take(~test), "test": everything.take(test)}


def _channels_first(images: Tensor, known: Known, reading: Reading) -> Tensor:
    """Images with their channels as the first axis of each."""
    item, shape, channels = tuple(images.shape[1:]), known.get("shape"), known.get("channels")
    layouts: dict[Layout, tuple[int, ...]] = {"first": item, "last": (item[-1], *item[:-1]), "none": (1, *item)}
    if channels is None and shape is not None:
        channels = next((layout for layout, arranged in layouts.items() if arranged == tuple(shape)), "first")
    if channels is None:
        channels = _layout(item, images.dtype)
    if channels is None:
        advice = "Give channels='first', 'last' or 'none' (one channel, without an axis)"
        reading.refuse("images", f"they have shape {item}, which does not tell the axis of the channels", advice)
    if channels == "none":
        return images.unsqueeze(1)
    return images.movedim(-1, 1).contiguous() if channels == "last" else images


def _layout(item: tuple[int, ...], dtype: torch.dtype) -> Layout | None:
    """Where the channels are, as far as the shape tells: one or three are channels; bytes in two axes are a grey image."""
    first, last = item[0] in _USUAL, item[-1] in _USUAL
    if len(item) == 1:
        return "first"
    if first != last:
        return "first" if first else "last"
    return "none" if len(item) == 2 and dtype is torch.uint8 and not first else None


@lru_cache(maxsize=2)
def _facts(dataset: Made, found: Path, stamp: object) -> Mapping[str, Any]:
    """What is not declared, found in the training part."""
    split = _parts(dataset, found, stamp)["train"]
    mean, std = _statistics(split.images)
    facts = {"classes": int(split.labels.max()) + 1, "shape": tuple(split.images.shape[1:]), "mean": mean, "std": std}
    return {fact: facts[fact] for fact in dataset.found_on_reading}


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel to six digits, so that they do not depend on how a machine adds up."""
    flat = images.reshape(*images.shape[:2], -1)
    count = len(images) * flat.shape[2]
    sums, squares = torch.zeros(flat.shape[1], dtype=torch.float64), torch.zeros(flat.shape[1], dtype=torch.float64)
    for chunk in torch.split(flat, 1_000):
        sums += chunk.double().sum((0, 2))
    for chunk in torch.split(flat, 1_000):
        squares += (chunk.double() - (sums / count).view(1, -1, 1)).square().sum((0, 2))
    unit = 255 if images.dtype is torch.uint8 else 1
    constant, means = (flat.amin((0, 2)) == flat.amax((0, 2))).tolist(), (sums / count / unit).tolist()
    scales = ((squares / count).sqrt() / unit).tolist()
    std = [1.0 if same else float(f"{scale:.6g}") for scale, same in zip(scales, constant, strict=True)]
    mean = [round(value, 6 - math.floor(math.log10(scale))) for value, scale in zip(means, std, strict=True)]
    return tuple(mean), tuple(std)
