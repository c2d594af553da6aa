"""What every data set promises: the registered ones on the real images of this machine, and one of each kind that a user can make."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import own_data
import pytest
import torch
from conftest import needs_data

from membench.datasets import DATASETS, Dataset, Split, balanced_order, image_hashes
from membench.datasets._contract import as_tensors
from membench.errors import DataMissingError

PARTS = ("train", "test")


class Real(NamedTuple):
    """Both parts as they are loaded, and the training part as it lies on disk."""

    dataset: Dataset
    train: Split
    test: Split
    raw: Split


@pytest.fixture(
    scope="module", params=[*(pytest.param(name, marks=needs_data(name)) for name in DATASETS.names()), *own_data.KINDS]
)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    made = own_data.KINDS.get(request.param)
    dataset = made(tmp_path_factory.mktemp("own")) if made else DATASETS.get(request.param)
    found = dataset.locate()
    raw = as_tensors(dataset, dataset.read(found, "train"), "train", found)
    return Real(dataset, dataset.load("train"), dataset.load("test"), raw)


def hashes_in_order(split: Split, seed: int) -> list[str]:
    return image_hashes(split.take(balanced_order(split, seed)))


@pytest.mark.parametrize("part", PARTS)
def test_images_have_the_declared_shape_and_labels_count_from_zero(real: Real, part: str) -> None:
    split: Split = getattr(real, part)
    assert split.images.shape == (len(split), *real.dataset.shape)
    assert split.images.is_contiguous()
    if split.images.dtype == torch.uint8:
        assert split.images.min() == 0
        assert split.images.max() == 255
    else:
        assert split.images.dtype == torch.float32
        assert split.images.isfinite().all()
    assert split.labels.dtype == torch.int64
    assert split.labels.shape == (len(split),)
    assert len(split) >= 1000


def test_it_says_how_many_test_images_it_has(real: Real) -> None:
    """So that a case that asks for more is refused before anything is read, and `compare` plans with no more."""
    unread = real.dataset.name in ("own-array", "own-npz", "own-folder")  # known when they are read
    assert real.dataset.test_images == (None if unread else len(real.test))


@pytest.mark.parametrize("part", PARTS)
def test_every_class_is_present_and_none_is_rare(real: Real, part: str) -> None:
    counts = torch.bincount(getattr(real, part).labels)
    assert len(counts) == real.dataset.classes
    assert counts.min() > 0.8 * counts.float().mean()


def test_normalised_training_images_have_mean_0_and_deviation_1_a_channel(real: Real) -> None:
    normal = real.dataset.normalise(real.train.images[:: 5 if len(real.train) >= 4_000 else 1])
    assert normal.dtype == torch.float32
    assert normal.shape[1:] == real.dataset.shape
    channels = normal.transpose(0, 1).flatten(1)
    assert channels.mean(1).abs().max() < 0.03
    assert (channels.std(1) - 1).abs().max() < 0.03


def test_no_test_image_is_among_the_training_images(real: Real) -> None:
    assert set(image_hashes(real.train)).isdisjoint(image_hashes(real.test))


def test_training_loses_only_the_images_that_are_also_test_images(real: Real) -> None:
    raw, test = image_hashes(real.raw), set(image_hashes(real.test))
    assert image_hashes(real.train) == [hashed for hashed in raw if hashed not in test]
    if real.dataset.name == "cifar100":  # whose files do share images, so that there is something to lose
        assert test.intersection(raw)
        assert len(real.train) < len(real.raw)


def test_the_hashes_tell_the_images_of_the_test_part_apart(real: Real) -> None:
    """Only byte-equal images share a hash: CIFAR-100's test part has a few."""
    pixels = {image.numpy().tobytes() for image in real.test.images}  # or values of a signal
    assert len(set(image_hashes(real.test))) == len(pixels) > 0.99 * len(real.test)


def test_the_balanced_order_is_a_permutation(real: Real) -> None:
    order = balanced_order(real.test, 0)
    assert order.dtype == torch.int64
    assert order.sort().values.equal(torch.arange(len(real.test)))


def test_every_beginning_of_the_balanced_order_is_balanced(real: Real) -> None:
    classes = real.dataset.classes
    labels = real.test.labels[balanced_order(real.test, 0)]
    whole = classes * int(torch.bincount(labels).min())  # after that the rarest class is used up
    counts = torch.nn.functional.one_hot(labels[:whole], classes).cumsum(0)
    assert (counts[classes - 1 :: classes].min(1).values == torch.arange(1, whole // classes + 1)).all()
    assert (counts.max(1).values - counts.min(1).values).max() == 1


def test_the_balanced_order_comes_from_its_seed(real: Real) -> None:
    first, again, other = (balanced_order(real.test, seed) for seed in (3, 3, 4))
    assert first.equal(again)
    assert not first.equal(other)
    begins = 10 * real.dataset.classes
    assert set(first[:begins].tolist()) != set(other[:begins].tolist())


def test_the_balanced_order_does_not_depend_on_the_order_on_disk(real: Real) -> None:
    shuffled = real.test.take(torch.randperm(len(real.test), generator=torch.Generator().manual_seed(1)))
    assert image_hashes(shuffled) != image_hashes(real.test)
    assert hashes_in_order(shuffled, 0) == hashes_in_order(real.test, 0)


def test_classes_take_turns_in_another_order_each_turn(real: Real) -> None:
    classes = real.dataset.classes
    labels = real.test.labels[balanced_order(real.test, 0)]
    assert not labels[:classes].equal(labels[classes : 2 * classes])


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if name != "mnist5k"])
def test_absent_data_name_where_they_were_looked_for_and_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataMissingError) as caught:
        DATASETS.get(name).load("test", tmp_path)
    assert name in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert f"membench data get {name}" in str(caught.value)


def test_membench_data_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataMissingError, match="elsewhere"):
        DATASETS.get("mnist").load("test")
