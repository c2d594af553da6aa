"""What CIFAR-10 and CIFAR-100 share (Krizhevsky 2009): torchvision's batches of pickles, and Hugging Face's parquet."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from membench.datasets import _parquet
from membench.datasets._builtin import BuiltIn
from membench.datasets._split import Part, Split
from membench.errors import FileFormatError
from membench.words import brief

# All that CIFAR's files need to be rebuilt. Anything else in a pickle could run code, so it is refused.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which image data do not need")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


class CIFAR(BuiltIn):
    """Base of both.

    Attributes:
        folder: torchvision's folder.
        batches: its files of each part.
        keys: the label's key in them, and its column in parquet.
        parquet: folders in which Hugging Face's files may lie.
        torchvision_name: of torchvision's class, for the download.
    """

    shape = (3, 32, 32)
    augment = ("shift", "mirror")
    test_images = 10_000
    folder: ClassVar[str]
    batches: ClassVar[dict[str, tuple[str, ...]]]
    keys: ClassVar[tuple[bytes, str]]
    parquet: ClassVar[tuple[str, ...]]
    torchvision_name: ClassVar[str]

    @property
    def source(self) -> Any:
        """torchvision's class."""
        import torchvision  # takes a second, and is needed for downloads alone

        return getattr(torchvision.datasets, self.torchvision_name)

    def find(self, root: Path) -> Path | None:
        place = root / self.folder
        if any((place / name).exists() for names in self.batches.values() for name in names):
            return place
        return _parquet.find(root, self.parquet)

    def read(self, found: Path, part: Part) -> Split:
        if found.name != self.folder:
            return _parquet.read(found, part, self.keys[1])
        batches = [self._batch(found / name) for name in self.batches[part]]
        images = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, *self.shape)
        return Split(torch.from_numpy(images), torch.tensor([label for batch in batches for label in batch[self.keys[0]]]))

    def download(self, root: Path) -> None:
        import torchvision

        base = self.source
        torchvision.datasets.utils.download_and_extract_archive(base.url, str(root), filename=base.filename, md5=base.tgz_md5)

    def _batch(self, file: Path) -> dict[bytes, Any]:
        try:
            content = _DataOnly(io.BytesIO(file.read_bytes()), encoding="bytes").load()
            rows, labels = np.asarray(content[b"data"], dtype=np.uint8), np.asarray(content[self.keys[0]])
        except Exception as error:  # a damaged pickle can raise anything, LookupError, OverflowError and MemoryError among it
            raise FileFormatError(f"{file} cannot be read: {brief(error)}. Get it again: {self.remedy}") from error
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or rows.shape != (len(labels), int(np.prod(self.shape))):
            raise FileFormatError(
                f"{file} holds labels of {labels.shape} ({labels.dtype}) and images of {rows.shape}. Get it again: {self.remedy}"
            )
        return {b"data": rows, self.keys[0]: labels.tolist()}
