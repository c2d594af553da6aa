"""Hugging Face's parquet layout: columns `img` {bytes, path} and a label."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from membench.datasets._base import Part, Split
from membench.errors import FileFormatError


def find(root: Path, folders: tuple[str, ...]) -> Path | None:
    """The first of `folders` below `root` that holds test-*.parquet and train-*.parquet."""
    for folder in folders:
        place = root / folder
        if any(place.glob("test-*.parquet")) and any(place.glob("train-*.parquet")):
            return place
    return None


def read(folder: Path, part: Part, label: str) -> Split:
    """All shards of one part, in order of their names."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    for file in sorted(folder.glob(f"{part}-*.parquet")):
        try:
            table = pq.read_table(file, columns=["img", label])
            images += [_decode(item["bytes"]) for item in table["img"].to_pylist()]
            labels += table[label].to_pylist()
        except (OSError, pa.ArrowException, KeyError, TypeError, UnidentifiedImageError) as error:
            raise FileFormatError(
                f"{file} cannot be read: {error}. Columns img {{bytes, path}} and {label} are needed. Is the file truncated? Get it again."
            ) from error
    return Split(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))


def _decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
