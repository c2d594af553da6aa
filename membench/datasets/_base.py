"""What a data set is: where it is found, what it holds, and how it is read, checked and normalised."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from membench.datasets._contract import as_tensors, check_declared, check_read, check_rest
from membench.datasets._split import Part, Split, without
from membench.errors import DataMissingError, EnvironmentProblemError, FileFormatError, InputError, MembenchError
from membench.registry import Registry, check_name
from membench.storage import data_root, locked
from membench.words import brief, origin, quoted, raised_at

T = TypeVar("T")


class Dataset(ABC):
    """A data set: labelled images, or other samples of one shape, in a training part and a test part.

    A data set of one's own is a subclass with the attributes below and the methods `find` and `read`:

        class ECG(Dataset):
            classes, shape, mean, std = 5, (1, 187), (0.17,), (0.22,)

            def find(self, root):
                return root / "ecg.npz" if (root / "ecg.npz").exists() else None

            def read(self, found, part):
                stored = np.load(found, allow_pickle=False)
                return Split(stored[f"x_{part}"][:, None], stored[f"y_{part}"])

        DATASETS.add("ecg", ECG())

    `DATASETS.add` checks what is declared, and `load` what is read. Files and arrays of the usual kinds need no class:
    `membench.datasets.arrays`, `npz`, `image_folder` and `torch_dataset`.

    Attributes:
        name: as a case names it. `DATASETS.add` sets it where a class has none.
        classes: how many; 2 or more. Labels are 0 to classes - 1, and both parts hold each of them.
        shape: of one image, channels first, 1 to 4 numbers: (channels, height, width) of an image, (channels, length) of a signal.
        mean: of each channel over the training part: of uint8 images as numbers in [0, 1], of float32 images as they are.
        std: standard deviation of each channel, of the same numbers.
        augment: what training does to an image at random: `shift` by a few pixels, `mirror` left to right. For images only.
        shares_images: whether it is known that some training images are test images as well. They are left out; where it is not known,
            a warning says how many.
        test_images: how many images the test part has, so that a case that asks for more is refused before anything is read; None:
            known when it is read.
        remedy: the command, or a sentence, that gets the data.
        found_on_reading: attributes that are not declared, but found in the data when they are read.
        in_memory: whether the data are in memory when they are declared, so that they can be checked then.
    """

    name: str = ""
    classes: int
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: tuple[str, ...] = ()
    shares_images: bool = False
    test_images: int | None = None
    found_on_reading: tuple[str, ...] = ()
    in_memory: bool = False

    @abstractmethod
    def find(self, root: Path) -> Path | None:
        """Where the data lie: a file or a folder below `root`, or anywhere else; None: they are not on this machine."""

    @abstractmethod
    def read(self, found: Path, part: Part) -> Split:
        """Read one part from where `find` found it: uint8 or float images with integer labels, tensors or numpy arrays."""

    def download(self, root: Path) -> None:
        """Fetch the data to `root`, with a progress bar. A data set that can be downloaded overrides this."""
        raise DataMissingError(f"{self.name} cannot be downloaded. {sentence(self.remedy)}")

    @property
    def remedy(self) -> str:
        return f"Put the data where find() of {origin(type(self).find, type(self).__name__)} looks for them"

    def mend(self, advice: str) -> str:
        """What can be done about data that break the contract.

        Args:
            advice: for the one who made the data set: an imperative without its full stop.
        """
        again = "" if type(self).remedy is Dataset.remedy else f" Or get the data again: {sentence(self.remedy)}"
        return f"{advice}, in read() of {origin(type(self).read, type(self).__name__)}.{again}"

    def absent(self, root: Path) -> str:
        """The message where `find` found nothing."""
        return f"{self.name} was not found below {root}. {sentence(self.remedy)} MEMBENCH_DATA names the folder that is looked through."

    def locate(self, root: Path | None = None) -> Path:
        """Where the data lie.

        Args:
            root: where to look; MEMBENCH_DATA, else the cache folder.

        Raises:
            DataMissingError: when they are not there; says where it looked and what to do.
            InputError: when `find` fails.
        """
        place = root or data_root()
        found = self._guarded("find()", lambda: self.find(place))
        if found is None:
            raise DataMissingError(self.absent(place))
        if not isinstance(found, str | os.PathLike):
            raise InputError(f"Data set {quoted(self.name)}: find() returned {quoted(found)}; a path or None is needed.")
        if not Path(found).exists():
            raise DataMissingError(f"{self.absent(place)} (find() returned {found}, which does not exist.)")
        return Path(found)

    def get(self, root: Path) -> None:
        """Download the data to `root` unless they are there and whole; one process at a time. Damaged ones are put aside.

        Raises:
            EnvironmentProblemError: when the download fails, or the folder cannot be written.
        """
        try:
            with locked(root / f".{self.name}.lock"):
                if not self._whole(root):
                    self.download(root)
        except MembenchError:
            raise
        except Exception as error:  # of torchvision, http.client, tarfile, zlib
            raise EnvironmentProblemError(
                f"{self.name} could not be downloaded to {root}: {brief(error)}. Is there a network, and can the folder be written? "
                "Or put the files there by hand."
            ) from error

    def _whole(self, root: Path) -> bool:
        try:
            self.load("train", root)
        except DataMissingError:
            return False
        except FileFormatError:
            found = self.locate(root)
            inside = found.resolve().is_relative_to(root.resolve()) and found.resolve() != root.resolve()
            if not inside or type(self).download is Dataset.download:  # others' files, or none would come in their place
                raise
            aside = found.with_name(f"{found.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            found.rename(aside)
            return False
        return True

    def load(self, part: Part, root: Path | None = None) -> Split:
        """One part of the data, checked. Training images that are test images as well are left out (CIFAR-100 has some).

        Args:
            part: `train` or `test`.
            root: where to look; MEMBENCH_DATA, else the cache folder.

        Returns:
            Tensors: uint8 or float32 images, int64 labels.

        Raises:
            DataMissingError: when the data are not there; says where it looked and what to do.
            FileFormatError: when a file is truncated, or holds other images or labels than it should; names the data set, the part,
                the field, the value and what to do.
            InputError: when the data set declares something that cannot be, or its own code fails.
        """
        found = self.locate(root)
        return loaded(self, found, part, self.stamp(found))

    def normalise(self, images: Tensor) -> Tensor:
        """Images as a network gets them, (n, channels, *size) in float32: less the mean, over the deviation of each channel.

        uint8 images are divided by 255 before; float32 images are taken as they are.
        """
        channels = (1, -1, *[1] * (images.ndim - 2))
        mean = torch.tensor(self.mean).view(channels)
        std = torch.tensor(self.std).view(channels)
        values = images.float() / 255 if images.dtype is torch.uint8 else images
        return (values - mean) / std

    def stamp(self, found: Path) -> object:
        """Changes when a file at `found`, or anywhere below it, does: what was read before is not taken for what lies there now."""
        return tuple(_files(found, set()))

    def _part(self, found: Path, part: Part, stamp: object) -> object:
        """What `read` gives, not checked yet."""
        return self._guarded("read()", lambda: self.read(found, part))

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        """What a user's own code returns; what it raises, in membench's words."""
        try:
            return call()
        except (MembenchError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"Data set {quoted(self.name)}: {what} failed: {type(error).__name__}: {brief(error)} (at {raised_at(error)})."
            ) from error


def sentence(text: str) -> str:
    """A remedy as a sentence; a command stays one."""
    if text[:1].isupper():
        return text if text.endswith(".") else f"{text}."
    return f"Get it with: {text}"


def _files(place: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of each file at `place` or below it; links are followed, each folder once."""
    found = place.stat()
    if not place.is_dir():
        yield str(place), found.st_size, found.st_mtime_ns
    elif (found.st_dev, found.st_ino) not in seen:
        seen.add((found.st_dev, found.st_ino))
        for below in sorted(place.iterdir()):
            if below.exists():  # not a broken link
                yield from _files(below, seen)


@lru_cache(maxsize=4)
def loaded(dataset: Dataset, found: Path, part: Part, stamp: object) -> Split:
    """A part as `load` gives it. The last few are kept."""
    check_declared(dataset)
    split = as_tensors(dataset, dataset._part(found, part, stamp), part, found)
    check_read(dataset, split, part, found)
    if part == "test":
        return split
    rest = without(split, loaded(dataset, found, "test", stamp))
    check_rest(dataset, split, rest, found)
    return rest


def _checked(name: str, item: object) -> Dataset:
    """What `DATASETS.add` registers.

    Raises:
        InputError: when it is not a data set of that name that declares what it must.
    """
    if isinstance(item, type):
        raise InputError(f"Data set {quoted(name)} is the class {item.__name__}; an instance is needed: {item.__name__}().")
    if not isinstance(item, Dataset):
        raise InputError(
            f"Data set {quoted(name)} is of type {type(item).__name__}; a membench.datasets.Dataset is needed. Arrays, .npz files, image "
            "folders and torch data sets become one by membench.datasets.arrays, npz, image_folder and torch_dataset."
        )
    check_name("data set", name, item.name or name)
    item.name = name
    check_declared(item)
    if item.in_memory:
        item.load("train")
    return item


DATASETS: Registry[Dataset] = Registry("data set", "membench.datasets", _checked)
