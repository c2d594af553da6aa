"""Hugging Face's parquet layout: columns `img` {bytes, path} and a label."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from membench.datasets._split import Part, Split
from membench.errors import FileFormatError
from membench.words import brief


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
    labels: list[np.ndarray] = []
    for file in _shards(folder, part):
        try:
            table = pq.read_table(file, columns=["img", label])
            images.append(np.stack([_decode(item["bytes"]) for item in table["img"].to_pylist()]))
            labels.append(table[label].to_numpy().astype(np.int64, casting="safe"))
        except Exception as error:  # Pillow and Arrow raise many kinds on damaged bytes
            raise FileFormatError(
                f"{file} cannot be read: {brief(error)}. Columns img {{bytes, path}} and {label} are needed. "
                "Is the file truncated? Get it again."
            ) from error
        if images[-1].shape[1:] != images[0].shape[1:]:
            raise FileFormatError(f"{file} holds images of another size than the file before it. Get it again.")
    return Split(
        torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(np.concatenate(labels))
    )


def _shards(folder: Path, part: Part) -> list[Path]:
    files = sorted(folder.glob(f"{part}-*.parquet"))
    for file in files:
        if match := re.fullmatch(rf"{part}-\d+-of-(\d+)", file.stem):
            wanted = [folder / f"{part}-{index:05}-of-{match[1]}.parquet" for index in range(int(match[1]))]
            if missing := [shard.name for shard in wanted if not shard.exists()]:
                raise FileFormatError(f"{folder} lacks {', '.join(missing)}. Get it again.")
    return files


def _decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
