"""Data sets of torch's own kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from membench.datasets._base import Dataset, sentence
from membench.datasets._contract import Reading
from membench.datasets._made import InMemory, Known
from membench.datasets._split import Part, Split
from membench.errors import DataMissingError, InputError
from membench.words import brief

_ASKED_TWICE = 64  # items of a part, evenly spread, that must be the same each time


class MapStyle(Protocol):
    """What is needed of a torch data set: items by number, and how many."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


def torch_dataset(
    train: MapStyle | Callable[[], MapStyle], test: MapStyle | Callable[[], MapStyle] | None = None, **known: Unpack[Known]
) -> Dataset:
    """A data set of map-style `torch.utils.data.Dataset`s, whose items are (image, class).

        DATASETS.add(
            "fashion",
            torch_dataset(lambda: FashionMNIST("data", train=True), lambda: FashionMNIST("data", train=False)),
        )

    An image is a PIL image, a tensor or an array; a tensor of torchvision's `ToTensor` is taken as it is. An item must be the same
    each time it is asked for: random transforms are refused, and belong into the recipe of a network (`augment`).

    Args:
        train: the training part; or a function without arguments that makes it, called when it is needed: where it does not find its
            files, the data are missing, and the cases that need them are skipped.
        test: the test part; without it `test_fraction` is needed.
        known: what is declared, and `test_fraction`; see `Known`.

    Raises:
        InputError: when a part is not of that style, or a field cannot be.
    """
    if test is None and "test_fraction" not in known:
        raise InputError(
            "torch_dataset() has no images to test with. Give a test part, or test_fraction=0.2 to hold out a fifth."
        )
    parts: dict[Part, MapStyle | Callable[[], MapStyle]] = {"train": train}
    return TorchParts(parts if test is None else {**parts, "test": test}, known)


class TorchParts(InMemory):
    """What `torch_dataset` gives."""

    def __init__(self, parts: Mapping[Part, MapStyle | Callable[[], MapStyle]], known: Known) -> None:
        super().__init__(known)
        for part, source in parts.items():
            if not _is_factory(source):
                _check_style(part, source)
        self.parts = parts
        if "test" in parts and not _is_factory(parts["test"]):
            self.test_images = len(parts["test"]) or None  # type: ignore[arg-type]

    def find(self, root: Path) -> Path:
        return Path("a torch data set")  # for messages

    def read_parts(self, found: Path) -> Mapping[Part, Split]:
        return {part: self._read(source, Reading(self, part, found)) for part, source in self.parts.items()}

    def _read(self, source: Any, reading: Reading) -> Split:
        if _is_factory(source):
            source = self._made(source)
            _check_style(reading.part, source)
        number = len(source)
        items = [_item(source, index, reading) for index in range(number)]
        for index in range(0, number, max(1, number // _ASKED_TWICE)):
            again = _item(source, index, reading)
            if not all(
                np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
                for one, other in zip(items[index], again, strict=True)
            ):
                advice = "Leave random transforms out; augment=('shift', 'mirror') varies images while a network is trained"
                reading.refuse("images", f"item {index} is another one each time it is asked for", advice)
        for index, item in enumerate(items):
            if (shapes := [column.shape for column in item]) != (first := [column.shape for column in items[0]]):
                fault = f"item {index} has the shapes (image, class) {shapes}, and item 0 has {first}"
                reading.refuse("images", fault, "Give items of one shape: torchvision.transforms.Resize, CenterCrop")
        if not items:
            reading.refuse("images", "there are none", "Give a data set with items")
        images, labels = (np.stack(column) for column in zip(*items, strict=True))
        return Split(images, labels)  # type: ignore[arg-type]

    def _made(self, make: Callable[[], MapStyle]) -> MapStyle:
        try:
            return make()
        except (FileNotFoundError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "not found" not in str(error).lower():  # as torchvision's data sets say it
                raise
            remedy = sentence(self.known.get("remedy", "Download it first"))
            raise DataMissingError(f"{self.name} was not found: {brief(error).rstrip('.')}. {remedy}") from error


def _is_factory(source: object) -> bool:
    return callable(source) and not hasattr(source, "__getitem__")


def _check_style(part: str, source: object) -> None:
    if isinstance(source, IterableDataset):
        raise InputError(f"torch_dataset(): the {part} part can only be iterated; list(...) of it is a map-style data set.")
    if hasattr(source, "dataset") and not hasattr(source, "__getitem__"):
        raise InputError(
            f"torch_dataset(): the {part} part is a {type(source).__name__}; give the data set that it loads from."
        )
    if isinstance(source, type) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        kind = f"the class {source.__name__}" if isinstance(source, type) else f"of type {type(source).__name__}"
        raise InputError(
            f"torch_dataset(): the {part} part is {kind}; a map-style data set is needed, with items by number and a length: list(...) of "
            "what can be iterated is one."
        )


def _item(source: MapStyle, index: int, reading: Reading) -> tuple[NDArray[Any], NDArray[Any]]:
    item = source[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        kind = f"{len(item)} parts" if isinstance(item, tuple | list) else f"type {type(item).__name__}"
        reading.refuse("items", f"item {index} is of {kind}", "Give items (image, class)")
    image, label = item
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "RGB"):
            reading.refuse(
                "images", f"item {index} is a PIL image of mode {image.mode}", "Convert it: image.convert('RGB'), or 'L'"
            )
        pixels = np.asarray(image)
        return (pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)), _array(label)
    if not isinstance(image, Tensor | np.ndarray):
        reading.refuse("images", f"item {index} is of type {type(image).__name__}", "Give a PIL image, a tensor or an array")
    return _array(image), _array(label)


def _array(value: object) -> NDArray[Any]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return np.asarray(value.float() if value.is_floating_point() else value)
    return np.asarray(value)
