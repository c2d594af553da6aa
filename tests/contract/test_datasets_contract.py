"""What every registered data set promises, on the real images of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import needs_data

from membench.compare.power import TEST_IMAGES
from membench.datasets import DATASETS, Dataset, Split, balanced_order, image_hashes
from membench.errors import DataMissingError
from membench.storage import data_root

PARTS = ("train", "test")


class Real(NamedTuple):
    """Both parts as they are loaded, and the training part as it lies on disk."""

    dataset: Dataset
    train: Split
    test: Split
    raw: Split


@pytest.fixture(scope="module", params=[pytest.param(name, marks=needs_data(name)) for name in DATASETS.names()])
def real(request: pytest.FixtureRequest) -> Real:
    dataset = DATASETS.get(request.param)
    found = dataset.find(data_root())
    assert found is not None
    return Real(dataset, dataset.load("train"), dataset.load("test"), dataset.read(found, "train"))


def hashes_in_order(split: Split, seed: int) -> list[str]:
    return image_hashes(split.take(balanced_order(split, seed)))


@pytest.mark.parametrize("part", PARTS)
def test_images_are_bytes_of_the_declared_shape_and_labels_count_from_zero(real: Real, part: str) -> None:
    split: Split = getattr(real, part)
    assert split.images.dtype == torch.uint8
    assert split.images.shape == (len(split), *real.dataset.shape)
    assert split.images.is_contiguous()
    assert split.images.min() == 0
    assert split.images.max() == 255
    assert split.labels.dtype == torch.int64
    assert split.labels.shape == (len(split),)
    assert len(split) >= 1000


def test_compare_plans_with_as_many_test_images_as_there_are(real: Real) -> None:
    assert TEST_IMAGES.get(real.dataset.name) in (None, len(real.test))


@pytest.mark.parametrize("part", PARTS)
def test_every_class_is_present_and_none_is_rare(real: Real, part: str) -> None:
    counts = torch.bincount(getattr(real, part).labels)
    assert len(counts) == real.dataset.classes
    assert counts.min() > 0.8 * counts.float().mean()


def test_normalised_training_images_have_mean_0_and_deviation_1_a_channel(real: Real) -> None:
    normal = real.dataset.normalise(real.train.images[::5])
    assert normal.dtype == torch.float32
    assert normal.shape[1:] == real.dataset.shape
    assert normal.mean((0, 2, 3)).abs().max() < 0.03
    assert (normal.std((0, 2, 3)) - 1).abs().max() < 0.03


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
    pixels = {image.numpy().tobytes() for image in real.test.images}
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
