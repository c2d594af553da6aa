"""A data set that a user makes works, or is refused in one line: field, value, and a remedy for the one who made it. All of issue 16."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_case
from given import HERE, NUMBER, Own, both, classes, flat, forgotten, refusal, same, tensor  # noqa: F401
from torch import nn

from membench import ADC, Conversion, run_case
from membench.baselines import BaselineStore
from membench.datasets import DATASETS, Dataset, Split
from membench.errors import DataMissingError, InputError
from membench.gate import run_and_judge
from membench.models import NETWORKS, Network, Recipe
from membench.verdict import Status


def judged(dataset: Dataset, tmp_path: Path, build: Any = flat, **fields: Any) -> tuple[Status, str]:
    """The verdict on a case of a data set, and its reason, on a network trained for it."""
    DATASETS.add(dataset.name, dataset)
    NETWORKS.add("own-net", Network("own-net", build, Recipe(epochs=8, batch_size=16, max_lr=0.05, shift=0, mirror=False)))
    case = make_case(**{"dataset": "own", "network": "own-net", "images": 30, **fields})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache"))
        found = run_and_judge(case, "vectorized", BaselineStore(tmp_path / "baselines"))
    return found.verdict.status, found.verdict.reason


# What issue 16 lists


@pytest.mark.parametrize("kind", [tensor, same], ids=["tensors", "numpy arrays"])
@pytest.mark.parametrize("integer", ["int64", "int32", "uint8", "int8", "uint16"])
def test_labels_of_any_integer_type_and_arrays_of_numpy_are_taken(kind: Any, integer: str, tmp_path: Path) -> None:
    dataset = Own(both(kind, lambda labels: kind(labels.astype(integer))))
    if integer == "int32":  # torch's cross entropy refused them
        assert judged(dataset, tmp_path)[0] is Status.NO_BASELINE
    loaded = dataset.load("test")
    assert (loaded.images.dtype, loaded.labels.dtype) == (torch.uint8, torch.int64)
    assert loaded.labels.tolist() == classes().tolist()


def test_labels_that_count_from_1_are_told_so() -> None:
    said = refusal(Own(both(tensor, lambda labels: tensor(labels + 1))))
    assert "Data set 'own', train part, labels: they are 1 to 3; own has the classes 0 to 2" in said
    assert re.search(r"Subtract 1 from the labels, in read\(\) of Own \(.*given\.py, line \d+\)", said)
    assert "data get" not in said


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_a_part_lacks_is_named(part: str) -> None:
    parts = both(tensor, tensor)
    parts[part] = parts[part].take(torch.from_numpy(np.flatnonzero(classes() != 1)))
    said = refusal(Own(parts))
    assert f"Data set 'own', {part} part, labels: they hold 2 classes; own has 3, and no image is of class 1" in said
    assert "Give each class images in both parts, or number 2 classes without gaps" in said


def signals(seed: int) -> Split:
    """200 values in millivolts of one channel; int32 labels."""
    values = np.random.default_rng(seed).normal(size=(NUMBER, 1, 187)) + classes().reshape(-1, 1, 1)
    return Split(values.astype(np.float32), classes().astype(np.int32))  # type: ignore[arg-type]


def conv1d(classes: int, shape: tuple[int, ...]) -> nn.Module:
    channels, _ = shape
    return nn.Sequential(nn.Conv1d(channels, 4, 7, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 61, classes))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_float_signals_are_trained_and_measured_with_conv1d(precision: str) -> None:
    dataset = Own({"train": signals(0), "test": signals(1)}, shape=(1, 187), mean=(1.0,), std=(1.3,))
    DATASETS.add("own", dataset)
    NETWORKS.add("own-net", Network("own-net", conv1d, Recipe(epochs=8, batch_size=16, max_lr=0.05, precision=precision)))
    conversion = Conversion(
        adc=ADC(bits=8, range="calibrated", calibration_images=20), max_input_voltage=3.0, tile_shape=(32, 32)
    )
    record = run_case(make_case(dataset="own", network="own-net", images=30, conversion=conversion))
    assert record.measured.digital_accuracy > 0.8
    assert [layer.kind for layer in record.measured.layers] == ["Conv1d", "Linear"]
    assert len(set(record.measured.images)) == 30
    assert dataset.load("train").images.dtype is torch.float32


def test_floats_are_taken_as_they_are_and_not_divided_by_255(tmp_path: Path) -> None:
    """In image shape too: divided unasked, they left the network at chance without a word why."""
    dataset = Own(both(lambda images: tensor((images / 255).astype(np.float32)), tensor))
    assert judged(dataset, tmp_path)[0] is Status.NO_BASELINE
    images = dataset.load("test").images
    assert dataset.normalise(images).equal((images - 0.43) / 0.22)


class Guessing(nn.Module):
    """Says the first class, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 0 * self.layer(images.flatten(1)) + torch.tensor([1.0, 0.0, 0.0])


@pytest.mark.filterwarnings("ignore:Data set 'own', (train|test) part. a network gets values")
def test_a_network_at_chance_says_what_it_gets(tmp_path: Path) -> None:
    dataset = Own(both(lambda images: tensor(images.astype(np.float32)), tensor))
    status, reason = judged(dataset, tmp_path, lambda classes, shape: Guessing())
    assert status is Status.INVALID
    assert re.search(
        r"at chance \(33\.3 % on 3 classes\); it gets values from -1\.95 to 994 with mean 499 and standard deviation 260: about 0 and 1 "
        r"are usual\. Data set 'own' declares mean \(0\.43,\) and std \(0\.22,\)",
        reason,
    ), reason


@pytest.mark.filterwarnings("ignore:Data set 'own', (train|test) part. a network gets values")
def test_numbers_that_are_not_normalised_are_a_warning_with_a_name() -> None:
    from membench.datasets import UnusualDataWarning

    bytes_as_floats = Own(both(lambda images: tensor(images.astype(np.float32)), tensor))
    with pytest.warns(
        UnusualDataWarning, match=r"'own', test part: a network gets values from .* mean 499 .*not divided by 255"
    ):
        bytes_as_floats.load("test")
    masks = Own(both(lambda images: tensor((images > 100).astype(np.uint8)), tensor))
    with pytest.warns(UnusualDataWarning, match=r"standard deviation 0\.00\d.*uint8 images are divided by 255 before"):
        masks.load("test")


class NotFound(Own):
    def find(self, root: Path) -> Path | None:
        return None


class Elsewhere(Own):
    def find(self, root: Path) -> Path | None:
        return root / "nothing.npz"


@pytest.mark.parametrize("kind", [NotFound, Elsewhere])
def test_data_that_are_not_found_are_skipped_with_words_that_fit(kind: type[Own], tmp_path: Path) -> None:
    status, reason = judged(kind(), tmp_path)
    assert status is Status.SKIPPED
    assert f"Put the data where find() of {kind.__name__} ({__file__}, line " in reason
    assert not re.search("torchvision|parquet|data get", reason)


class Sent(NotFound):
    remedy = "python tools/get_own.py"


class SentAndBroken(Own):
    remedy = "Ask the ward for the tape"


def test_a_remedy_of_ones_own_is_told() -> None:
    with pytest.raises(DataMissingError, match=r"own was not found below .*\. Get it with: python tools/get_own\.py"):
        Sent().load("test")
    said = refusal(SentAndBroken(both(tensor, lambda labels: tensor(labels + 1))))
    assert said.endswith("Or get the data again: Ask the ward for the tape.")


class Rooted(Own):
    """Like a user's whose files lie in MEMBENCH_DATA itself."""

    def find(self, root: Path) -> Path | None:
        return root

    def download(self, root: Path) -> None:
        raise AssertionError("it was not damaged by a download")


@pytest.mark.parametrize("link", [False, True], ids=["the root", "a link to it"])
def test_the_root_itself_is_never_put_aside_as_damaged(link: bool, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "others.txt").write_text("of another data set")
    if link:
        (tmp_path / "link").symlink_to(root)
    with pytest.raises(InputError, match="Subtract 1"):
        Rooted(both(tensor, lambda labels: tensor(labels + 1))).get(tmp_path / "link" if link else root)
    assert (root / "others.txt").exists()


def test_damaged_data_that_cannot_be_downloaded_stay_where_they_are(tmp_path: Path) -> None:
    """Nothing would come in their place."""

    class Below(Own):
        def find(self, root: Path) -> Path | None:
            return root / "own"

    (tmp_path / "own").mkdir()
    with pytest.raises(InputError, match="Subtract 1"):
        Below(both(tensor, lambda labels: tensor(labels + 1))).get(tmp_path)
    assert (tmp_path / "own").exists()


def test_changes_of_nested_files_are_seen(tmp_path: Path) -> None:
    class Nested(Own):
        def find(self, root: Path) -> Path | None:
            return root

        def read(self, found: Path, part: str) -> Split:
            given: Split = self.parts[part]
            return Split(given.images + int((found / "a" / "b" / "offset").read_text()), given.labels)

    (tmp_path / "a" / "b").mkdir(parents=True)
    dataset = Nested()
    for offset in ("0", "10"):
        (tmp_path / "a" / "b" / "offset").write_text(offset)
        assert dataset.load("test", tmp_path).images.equal(dataset.parts["test"].images + int(offset))


def test_a_class_in_place_of_an_instance_is_refused_when_it_is_declared() -> None:
    with pytest.raises(InputError, match=r"Data set 'own' is the class Own; an instance is needed: Own\(\)"):
        DATASETS.add("own", Own)  # type: ignore[arg-type]


def test_as_many_outputs_as_classes(tmp_path: Path) -> None:
    status, reason = judged(Own(), tmp_path, lambda classes, shape: flat(10, shape))
    assert status is Status.ERROR
    assert (
        "Network 'own-net' on data set 'own' (3 classes, shape (1, 8, 8)): it gives 10 outputs an image, and there are 3"
        in reason
    )
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_network_of_another_shape_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    status, reason = judged(Own(), tmp_path, lambda classes, shape: flat(classes, (28, 28)))
    assert status is Status.ERROR
    assert "(3 classes, shape (1, 8, 8)): it does not take images of that shape: RuntimeError: mat1 and mat2 shapes" in reason


class Counted(Own):
    test_images = NUMBER


def test_more_images_than_there_are_say_how_many_to_ask_for(tmp_path: Path) -> None:
    status, reason = judged(Own(), tmp_path, images=1_000)
    assert (status, "asks for 1000 images; own has 60 test images. Set images=60." in reason) == (Status.ERROR, True)


def test_a_declared_number_of_test_images_that_is_wrong_is_refused() -> None:
    dataset = Counted()
    dataset.test_images = 100
    assert "test part, images: 60 images; own has 100 test images" in refusal(dataset)
