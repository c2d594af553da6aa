"""Data sets of image files, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from membench.datasets._base import Dataset
from membench.datasets._contract import Reading
from membench.datasets._made import InFile, Known
from membench.datasets._split import Part, Split
from membench.errors import InputError
from membench.words import brief, quoted

Mode = Literal["L", "RGB"]
_TESTS = ("test", "val", "valid", "validation")
_ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"])
_NOT_LISTED = frozenset({"thumbs.db", "desktop.ini"})


def image_folder(
    folder: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    *,
    mode: Mode | None = None,
    **known: Unpack[Known],
) -> Dataset:
    """A data set of image files: `train/CLASS/*.png` and `test/CLASS/*.png`, or `CLASS/*.png` with `test_fraction`.

        DATASETS.add("leaves", image_folder("data/leaves", size=(64, 64)))

    Folders `val`, `valid` or `validation` stand for `test` where there is none. The classes are the names of the folders, in
    alphabetical order. Files whose names begin with a dot are not looked at; any other file that is no image is refused.

    Args:
        folder: absolute, or relative to the current folder, else to MEMBENCH_DATA.
        size: (height, width) in pixels, or one number for both, that images of unlike size are scaled to, bilinearly; None: all
            must have one size.
        mode: `L` (grey) or `RGB`, to which images are converted; None: all must be of one of the two.
        known: what is declared, and `test_fraction`; see `Known`.

    Raises:
        InputError: when a field cannot be.
    """
    return Folder(folder, size, mode, known)


class Folder(InFile):
    """What `image_folder` gives."""

    def __init__(
        self, folder: str | os.PathLike[str], size: int | tuple[int, int] | None, mode: Mode | None, known: Known
    ) -> None:
        super().__init__(folder, known)
        pair = (size, size) if isinstance(size, int) else size
        if pair is not None and not (
            isinstance(pair, tuple) and len(pair) == 2 and all(type(side) is int and side > 0 for side in pair)
        ):
            raise InputError(f"size is {quoted(size)}; it must be (height, width) in pixels, as (64, 64), or None.")
        if mode not in (None, "L", "RGB"):
            raise InputError(f"mode is {quoted(mode)}; it must be 'L' (grey), 'RGB' or None.")
        self.size, self.mode = pair, mode

    def read_parts(self, found: Path) -> Mapping[Part, Split]:
        reading = Reading(self, "train", found)
        if not found.is_dir():
            reading.refuse("folder", "it is a file", "Name the folder that holds train and test, or a folder for each class")
        below = {place.name: place for place in _folders(found)}
        test = next((name for name in _TESTS if name in below), None)
        if "train" not in below and test is None:
            return {"train": self._labelled(found, list(below), reading)}
        if "train" not in below or test is None:
            has, lacks = ("train", "test") if test is None else (test, "train")
            advice = f"Add {lacks}/CLASS/*.png; or give the folder of the classes, image_folder('.../{has}', test_fraction=0.2)"
            reading.refuse("folder", f"it holds {has} and no {lacks}", advice)
        classes = [place.name for place in _folders(below["train"])]
        others = [place.name for place in _folders(below[test])]
        if classes != others:
            unlike = ", ".join(sorted(set(classes) ^ set(others)))
            reading.refuse("classes", f"{unlike}: in one of train and {test} only", "Make a folder for each class in both")
        return {
            "train": self._labelled(below["train"], classes, reading),
            "test": self._labelled(below[test], classes, Reading(self, "test", found)),
        }

    def _labelled(self, folder: Path, classes: list[str], reading: Reading) -> Split:
        """All images of one part."""
        if loose := [file for file in folder.iterdir() if file.is_file() and _is_image(file)]:
            reading.refuse("classes", f"{loose[0]} lies in no folder of a class", "Move it to the folder of its class")
        if len(classes) < 2:
            reading.refuse(
                "classes", f"{folder} holds {len(classes)} folders", "Make a folder of images for each class, 2 or more"
            )
        images: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            files = list(_images(folder / name, reading))
            if not files:
                reading.refuse("classes", f"{folder / name} holds no image", "Put images there, or remove the folder")
            for file in files:
                images.append(self._image(file, reading))
                if images[-1].shape != images[0].shape:
                    self._refuse_unlike(file, images[-1].shape, images[0].shape, reading)
            labels += [label] * len(files)
        return Split(torch.from_numpy(np.stack(images)), torch.tensor(labels))

    def _image(self, file: Path, reading: Reading) -> NDArray[np.uint8]:
        """One image, (channels, height, width)."""
        try:
            with Image.open(file) as image:
                image.load()
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a camera's preview
        except Exception as error:  # Pillow raises many kinds on damaged bytes
            reading.refuse("images", f"{file} cannot be read: {brief(error)}", "Replace it, or remove it")
        if frames != 1:
            reading.refuse("images", f"{file} holds {frames} frames", "Save each as an image of its own")
        if image.mode[0] in "IF":
            reading.refuse("images", f"{file} has more than 8 bits a channel (mode {image.mode})", "Save 8-bit images")
        if self.mode is None and image.mode not in ("L", "RGB"):
            advice = "Give mode='RGB' or mode='L' to convert all images to it"
            reading.refuse("images", f"{file} is of mode {image.mode}, neither grey (L) nor RGB", advice)
        converted = image.convert(self.mode or image.mode)
        if self.size is not None and converted.size != self.size[::-1]:
            converted = converted.resize(self.size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(converted)
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)

    def _refuse_unlike(self, file: Path, has: tuple[int, ...], first: tuple[int, ...], reading: Reading) -> None:
        if has[0] != first[0]:
            advice = "Give mode='RGB' or mode='L' to convert all images to it"
        else:
            advice = f"Give size=({first[1]}, {first[2]}), or another one, to scale all images to it"
        reading.refuse("images", f"{file} has shape {has}, (channels, height, width), and those before it {first}", advice)


def _folders(place: Path) -> list[Path]:
    return sorted(below for below in place.iterdir() if below.is_dir() and not below.name.startswith("."))


def _is_image(file: Path) -> bool:
    return not file.name.startswith(".") and file.suffix.lower() in _ENDINGS


def _images(folder: Path, reading: Reading) -> Iterator[Path]:
    """The image files in the folder of a class, in order of their names."""
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or file.name.lower() in _NOT_LISTED:
            continue
        if file.is_dir():
            reading.refuse(
                "classes",
                f"{file} is a folder in that of a class",
                "Put the images of a class into its folder, and none below it",
            )
        if not _is_image(file):
            advice = f"Remove it, or save it as one of {', '.join(sorted(ending[1:] for ending in _ENDINGS))}"
            reading.refuse("images", f"{file} is no image by its name", advice)
        yield file
