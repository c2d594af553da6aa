"""Data sets of arrays in memory and of .npz files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from membench.datasets._base import Dataset
from membench.datasets._contract import Reading
from membench.datasets._made import InFile, InMemory, Known
from membench.datasets._split import Part, Split
from membench.errors import InputError, MembenchError
from membench.words import brief, quoted

_IMAGES = ("x", "images", "image", "data", "features")
_LABELS = ("y", "labels", "label", "targets", "target")
_PARTS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
_MEMBERS = 12  # names of arrays that a message lists


def arrays(x_train: Any, y_train: Any, x_test: Any = None, y_test: Any = None, **known: Unpack[Known]) -> Dataset:
    """A data set of arrays that are in memory.

        DATASETS.add("digits", arrays(x_train, y_train, x_test, y_test))
        DATASETS.add("digits", arrays(x, y, test_fraction=0.2))

    They are checked when the data set is added. A file that declares them reads them each time it is imported: `npz` does not.

    Args:
        x_train: numpy array or torch tensor, (n, ...): uint8, which is divided by 255, or floats, which are taken as they are.
        y_train: the class of each, from 0, of any integer type; (n,).
        x_test: the same to test with; without it `test_fraction` is needed.
        y_test: their classes.
        known: what is declared, and `test_fraction`; see `Known`.

    Raises:
        InputError: when one of x_test and y_test is missing, or a field cannot be.
    """
    if (x_test is None) != (y_test is None):
        given, missing = ("y_test", "x_test") if x_test is None else ("x_test", "y_test")
        raise InputError(f"arrays() was given {given} without {missing}. Give both, or neither and test_fraction.")
    if x_test is None and "test_fraction" not in known:
        raise InputError(
            "arrays() has no images to test with. Give x_test and y_test, or test_fraction=0.2 to hold out a fifth."
        )
    parts: dict[Part, Split] = {"train": Split(x_train, y_train)}
    return Arrays(parts if x_test is None else {**parts, "test": Split(x_test, y_test)}, known)


class Arrays(InMemory):
    """What `arrays` gives."""

    in_memory = True

    def __init__(self, parts: Mapping[Part, Split], known: Known) -> None:
        super().__init__(known)
        self.parts = parts
        if "test" in parts and (shape := getattr(parts["test"].labels, "shape", ())):
            self.test_images = int(shape[0]) or None

    def read_parts(self, found: Path) -> Mapping[Part, Split]:
        return self.parts


def npz(file: str | os.PathLike[str], *, keys: Sequence[str] | None = None, **known: Unpack[Known]) -> Dataset:
    """A data set in a file of `numpy.savez` or `numpy.savez_compressed`. The file is read when it is needed.

        DATASETS.add("ecg", npz("data/ecg.npz"))

    The arrays are those of Keras' files, x_train, y_train, x_test, y_test; or train_images, train_labels and so on; val in place
    of test where there is no test; or x and y, with `test_fraction`. Files that hold Python objects are refused.

    Args:
        file: absolute, or relative to the current folder, else to MEMBENCH_DATA.
        keys: the names of the arrays where they are others: (x_train, y_train, x_test, y_test), or (x, y) with `test_fraction`.
        known: what is declared, and `test_fraction`; see `Known`.

    Raises:
        InputError: when a field cannot be.
    """
    return Npz(file, keys, known)


class Npz(InFile):
    """What `npz` gives."""

    def __init__(self, file: str | os.PathLike[str], keys: Sequence[str] | None, known: Known) -> None:
        super().__init__(file, known)
        if keys is not None and (isinstance(keys, str) or len(keys) not in (2, 4)):
            raise InputError(
                f"keys is {quoted(keys)}; it must be the names of 4 arrays, (x_train, y_train, x_test, y_test), or of 2, (x, y)."
            )
        self.keys = keys

    def read_parts(self, found: Path) -> Mapping[Part, Split]:
        reading, advice = (
            Reading(self, "train", found),
            "Save numeric arrays: np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
        if not zipfile.is_zipfile(found):
            reading.refuse("file", "it is no whole .npz file", advice)
        try:
            with found.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                chosen = self._chosen(stored.files, reading)
                return {part: Split(stored[x], stored[y]) for part, (x, y) in chosen.items()}
        except MembenchError:
            raise
        except Exception as error:  # a damaged archive raises many kinds, MemoryError among them
            return reading.refuse("file", f"it cannot be read as .npz: {brief(error)}", advice)

    def _chosen(self, names: Sequence[str], reading: Reading) -> dict[Part, tuple[str, str]]:
        """The names of the images and the labels of each part."""
        held = ", ".join(names[:_MEMBERS]) + (", ..." if len(names) > _MEMBERS else "")
        if self.keys is not None:
            if missing := [key for key in self.keys if key not in names]:
                reading.refuse("keys", f"there is no {', '.join(missing)} among the arrays {held}", "Name arrays of the file")
            pairs = [(self.keys[0], self.keys[1]), *([(self.keys[2], self.keys[3])] if len(self.keys) == 4 else [])]
            return dict(zip(("train", "test"), pairs, strict=False))
        found: dict[Part, tuple[str, str]] = {}
        for part, words in _PARTS.items():
            for word in words:
                pair = [[name for name in names if name.lower() in _spellings(word, kind)] for kind in (_IMAGES, _LABELS)]
                if part not in found and all(len(matches) == 1 for matches in pair):
                    found[part] = pair[0][0], pair[1][0]
        if "train" not in found:
            pair = [[name for name in names if name.lower() in kind] for kind in (_IMAGES, _LABELS)]
            if found or not all(len(matches) == 1 for matches in pair):
                advice = "Name the four arrays: keys=('x_train', 'y_train', 'x_test', 'y_test'), or two, and test_fraction"
                reading.refuse("keys", f"images and labels to train on are not to be told among the arrays {held}", advice)
            found["train"] = pair[0][0], pair[1][0]
        return found


def _spellings(part: str, kinds: Sequence[str]) -> set[str]:
    return {spelt for kind in kinds for spelt in (f"{kind}_{part}", f"{part}_{kind}", f"{kind}{part}", f"{part}{kind}")}
