"""CIFAR's two layouts hold the same images, and a damaged or malicious file of either is refused by name."""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from conftest import needs_data
from PIL import Image

from membench.datasets import DATASETS, Split, balanced_order, image_hashes
from membench.datasets._cifar import CIFAR
from membench.errors import DataMissingError, FileFormatError

pytestmark = pytest.mark.usefixtures("small_copies")

CIFAR10 = DATASETS.get("cifar10")
assert isinstance(CIFAR10, CIFAR)


def noise(images: int, seed: int, classes: int = 10) -> Split:
    """Images of random pixels, their labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Split(pixels, torch.arange(images) % classes)


TRAIN, TEST = noise(50, 0), noise(20, 1)


# torchvision's layout: CIFAR's files as their authors wrote them, with Python 2


class Python2Pickler(pickle._Pickler):
    """Writes every string as Python 2 does, as bytes: the opcodes of the original files."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: bytes | str) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write((b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + len(data).to_bytes(4, "little")) + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def python2(content: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def python3(content: object) -> bytes:
    return pickle.dumps(content, 2)


def batch(dataset: CIFAR, split: Split) -> dict[bytes, object]:
    content: dict[bytes, object] = {
        b"batch_label": b"training batch 1 of 5",
        dataset.keys[0]: split.labels.tolist(),
        b"data": split.images.reshape(len(split), -1).numpy(),
        b"filenames": [b"a_%d.png" % index for index in range(len(split))],
    }
    return content | ({b"coarse_labels": [0] * len(split)} if dataset.name == "cifar100" else {})


def write_pickles(root: Path, dataset: CIFAR, train: Split, test: Split, dump: Callable[[object], bytes] = python2) -> Path:
    folder = root / dataset.folder
    folder.mkdir(parents=True, exist_ok=True)
    for part, split in (("train", train), ("test", test)):
        names = dataset.batches[part]
        for name, chosen in zip(names, torch.arange(len(split)).tensor_split(len(names)), strict=True):
            (folder / name).write_bytes(dump(batch(dataset, split.take(chosen))))
    return folder


# Hugging Face's layout


def encoded(image: torch.Tensor, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def columns(dataset: CIFAR, split: Split, kind: str = "PNG") -> dict[str, list[Any]]:
    images = [{"bytes": encoded(image, kind), "path": None} for image in split.images]
    return {"img": images, dataset.keys[1]: split.labels.tolist()}


def write_parquet(root: Path, dataset: CIFAR, train: Split, test: Split, folder: int = 0, shards: int = 1) -> Path:
    place = root / dataset.parquet[folder]
    place.mkdir(parents=True)
    for part, split, kind in (("train", train, "WEBP"), ("test", test, "PNG")):
        for shard, chosen in enumerate(torch.arange(len(split)).tensor_split(shards)):
            table = pa.table(columns(dataset, split.take(chosen), kind))
            pq.write_table(table, place / f"{part}-{shard:05}-of-{shards:05}.parquet")
    return place


LAYOUTS: dict[str, Callable[[Path, CIFAR, Split, Split], Path]] = {
    "Python 2 pickles": write_pickles,
    "Python 3 pickles of protocol 2": functools.partial(write_pickles, dump=python3),
    "parquet": write_parquet,
    "parquet in the short folder": functools.partial(write_parquet, folder=1),
    "parquet in three shards": functools.partial(write_parquet, shards=3),
}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=needs_data(name)) for name in ("cifar10", "cifar100")])
def real(request: pytest.FixtureRequest) -> tuple[CIFAR, Split, Split]:
    """The data set with a few of its real images, three a class to train and two a class to test."""
    dataset = DATASETS.get(request.param)
    assert isinstance(dataset, CIFAR)
    images = dataset.load("test")
    order = balanced_order(images, 0)
    return dataset, images.take(order[: 3 * dataset.classes]), images.take(order[3 * dataset.classes : 5 * dataset.classes])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_and_labels(layout: str, real: tuple[CIFAR, Split, Split], tmp_path: Path) -> None:
    dataset, train, test = real
    LAYOUTS[layout](tmp_path, dataset, train, test)
    for part, original in (("train", train), ("test", test)):
        loaded = dataset.load(part, tmp_path)
        assert loaded.images.equal(original.images)
        assert loaded.images.dtype == torch.uint8
        assert loaded.labels.equal(original.labels)
        assert loaded.labels.dtype == torch.int64


def test_every_layout_gives_the_same_balanced_subset(real: tuple[CIFAR, Split, Split], tmp_path: Path) -> None:
    """Also where it holds the images in another order."""
    dataset, train, test = real
    generator = torch.Generator().manual_seed(0)
    subsets = []
    for index, write in enumerate(LAYOUTS.values()):
        shuffled = test.take(torch.randperm(len(test), generator=generator))
        write(tmp_path / str(index), dataset, train, shuffled)
        loaded = dataset.load("test", tmp_path / str(index))
        subsets.append(image_hashes(loaded.take(balanced_order(loaded, 5)[: dataset.classes])))
    assert len(set(subsets[0])) == dataset.classes
    assert all(subset == subsets[0] for subset in subsets)


def test_pickles_are_what_torchvision_reads(real: tuple[CIFAR, Split, Split], tmp_path: Path) -> None:
    """The layout that these tests write is torchvision's, but for its checksums."""
    dataset, train, test = real
    write_pickles(tmp_path, dataset, train, test)
    meta = {b"label_names": [b"x"] * 10, b"fine_label_names": [b"x"] * 100}
    (tmp_path / dataset.folder / dataset.source.meta["filename"]).write_bytes(python2(meta))

    class Unchecked(dataset.source):
        def _check_integrity(self) -> bool:
            return True

        def _load_meta(self) -> None:
            self.classes = []

    theirs = Unchecked(str(tmp_path), train=False)
    assert torch.from_numpy(theirs.data).permute(0, 3, 1, 2).equal(dataset.load("test", tmp_path).images)
    assert theirs.targets == dataset.load("test", tmp_path).labels.tolist()


# Damaged pickles


def without(key: bytes) -> Callable[[dict[bytes, Any]], dict[bytes, Any]]:
    return lambda content: {name: value for name, value in content.items() if name != key}


CONTENTS = {
    "no data": without(b"data"),
    "no labels": without(b"labels"),
    "a list": lambda content: [content],
    "fewer labels": lambda content: content | {b"labels": content[b"labels"][1:]},
    "labels are one number": lambda content: content | {b"labels": 3},
    "labels are no numbers": lambda content: content | {b"labels": [b"cat"] * 20},
    "images of another size": lambda content: content | {b"data": content[b"data"][:, :3071]},
    "images are text": lambda content: content | {b"data": b"pixels"},
    "images beyond a byte": lambda content: content | {b"data": [[300] * 3072] * 20},
}


@pytest.mark.parametrize("fault", CONTENTS)
@pytest.mark.parametrize("dump", [python2, python3])
def test_a_pickle_of_something_else_is_named(fault: str, dump: Callable[[object], bytes], tmp_path: Path) -> None:
    file = write_pickles(tmp_path, CIFAR10, TRAIN, TEST) / "test_batch"
    content = CONTENTS[fault](batch(CIFAR10, TEST))
    file.write_bytes(dump(content))
    with pytest.raises(FileFormatError, match=re.escape(str(file))) as caught:
        CIFAR10.load("test", tmp_path)
    assert "membench data get cifar10" in str(caught.value)


BYTES = {
    "keys are text": lambda data: python3({"data": TEST.images.reshape(20, -1).numpy(), "labels": TEST.labels.tolist()}),
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "text": lambda data: b"<html>404 Not Found</html>",
    "compressed": lambda data: b"\x1f\x8b" + data,
    "absurd length": lambda data: b"\x80\x04\x95" + b"\xff" * 8 + data,
    "unknown encoding": lambda data: b"c_codecs\nencode\n(Vabc\nVno-such\ntR.",
    "persistent id": lambda data: b"Psomething\n.",
    "extension code": lambda data: b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("damage", BYTES)
def test_a_damaged_pickle_is_named(damage: str, tmp_path: Path) -> None:
    file = write_pickles(tmp_path, CIFAR10, TRAIN, TEST) / "test_batch"
    file.write_bytes(BYTES[damage](file.read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        CIFAR10.load("test", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch"])
def test_a_missing_batch_is_named(name: str, tmp_path: Path) -> None:
    file = write_pickles(tmp_path, CIFAR10, TRAIN, TEST) / name
    file.unlink()
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        CIFAR10.load("train", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_downloaded_with_torchvisions_address_and_checksum(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = DATASETS.get(name)
    assert isinstance(dataset, CIFAR)
    calls: list[tuple[object, ...]] = []

    def fake(url: str, root: str, filename: str, md5: str) -> None:
        calls.append((url, root, filename, md5))
        write_pickles(Path(root), dataset, noise(200, 0, dataset.classes), noise(100, 1, dataset.classes))

    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", fake)
    dataset.get(tmp_path)
    source = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
    assert calls == [(source.url, str(tmp_path), source.filename, source.tgz_md5)]
    assert len(dataset.load("test", tmp_path)) == 100


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_the_command_that_an_error_names_mends_it(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as after an interruption: it must not find the damaged files and leave them as they are."""
    file = write_pickles(tmp_path, CIFAR10, TRAIN, TEST) / "test_batch"
    if damage == "missing":
        file.unlink()
    else:
        os.truncate(file, 1000)
    with pytest.raises(FileFormatError, match="membench data get cifar10"):
        CIFAR10.load("test", tmp_path)

    def fake(url: str, root: str, **_: object) -> None:
        write_pickles(Path(root), CIFAR10, TRAIN, TEST)

    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", fake)
    CIFAR10.get(tmp_path)
    assert len(CIFAR10.load("test", tmp_path)) == 20


# Malicious pickles


class Call:
    """Pickled, it is the call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda marker: python3(Call(os.system, f"touch {marker}")),
    "os.mkdir": lambda marker: python3(Call(os.mkdir, str(marker))),
    "eval": lambda marker: python3(Call(eval, f"open({str(marker)!r}, 'w').close()")),
    "exec": lambda marker: python3(Call(exec, f"open({str(marker)!r}, 'w').close()")),
    "subprocess": lambda marker: python3(Call(subprocess.check_call, ["touch", str(marker)])),
    "numpy's memmap": lambda marker: python3(Call(np.memmap, str(marker), "uint8", "w+", 0, (1,))),
    "numpy's save": lambda marker: python3(Call(np.save, str(marker), 1)),
    "within the labels": lambda marker: python3(batch(CIFAR10, TEST) | {b"labels": Call(os.mkdir, str(marker))}),
    "opcode INST": lambda marker: b"(S'%s'\nios\nmkdir\n." % str(marker).encode(),
    "opcode STACK_GLOBAL": lambda marker: pickle.dumps(Call(os.mkdir, str(marker)), 4),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_malicious_pickle_is_refused_and_does_not_run(attack: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = ATTACKS[attack](marker)
    file = write_pickles(tmp_path, CIFAR10, TRAIN, TEST) / "test_batch"
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=re.escape(str(file))) as caught:
        CIFAR10.load("test", tmp_path)
    assert "which image data do not need" in str(caught.value)
    assert not list(tmp_path.glob("marker*"))
    pickle.loads(content, encoding="bytes")  # without the guard it does run
    assert list(tmp_path.glob("marker*"))


# Damaged parquet


def rewrite(file: Path, **changes: Any) -> None:
    table = columns(CIFAR10, TEST) | changes
    pq.write_table(pa.table({name: values for name, values in table.items() if values is not None}), file)


def first_image(data: bytes | None) -> list[dict[str, Any]]:
    return [{"bytes": data, "path": None}, *columns(CIFAR10, TEST)["img"][1:]]


GOOD = encoded(TEST.images[0])
SMALL = encoded(torch.zeros(3, 16, 16, dtype=torch.uint8))
TABLES: dict[str, dict[str, Any]] = {
    "no label": {"label": None},
    "no image": {"img": None},
    "image is text": {"img": ["cat"] * 20},
    "image is bare bytes": {"img": [GOOD] * 20},
    "image is null": {"img": first_image(None)},
    "image is no image": {"img": first_image(b"not an image at all")},
    "image is empty": {"img": first_image(b"")},
    "image is truncated": {"img": first_image(GOOD[:1500])},
    "image with a broken chunk": {"img": first_image(GOOD[:33] + b"\0\0\0\x0a" + GOOD[37:])},
    "image of another size": {"img": first_image(SMALL)},
    "label is null": {"label": [None, *TEST.labels.tolist()[1:]]},
    "label is text": {"label": ["cat"] * 20},
    "no rows": {
        "img": pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([], pa.int64()),
    },
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_parquet_file_of_something_else_is_named(fault: str, tmp_path: Path) -> None:
    file = write_parquet(tmp_path, CIFAR10, TRAIN, TEST) / "test-00000-of-00001.parquet"
    rewrite(file, **TABLES[fault])
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        CIFAR10.load("test", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:-1], id="last byte missing"),
        pytest.param(lambda data: b"<html>404 Not Found</html>", id="text"),
        pytest.param(lambda data: data[:-200] + bytes(192) + data[-8:], id="footer overwritten"),
        pytest.param(lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", id="LFS pointer"),
    ],
)
def test_a_damaged_parquet_file_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = write_parquet(tmp_path, CIFAR10, TRAIN, TEST) / "test-00000-of-00001.parquet"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        CIFAR10.load("test", tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("shard", [0, 2])
def test_a_missing_shard_is_not_passed_over(part: str, shard: int, tmp_path: Path) -> None:
    """Its name says how many there are; without one of them, other images would be measured."""
    file = write_parquet(tmp_path, CIFAR10, TRAIN, TEST, shards=2 + 1) / f"{part}-{shard:05}-of-00003.parquet"
    file.unlink()
    with pytest.raises(FileFormatError, match=re.escape(file.name)):
        CIFAR10.load(part, tmp_path)


def test_an_archive_that_was_not_unpacked_is_not_data(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataMissingError, match="membench data get cifar10"):
        CIFAR10.load("test", tmp_path)
