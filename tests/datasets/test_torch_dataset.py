"""torch's own data sets: items of every usual kind; and what is random, endless or of another form is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

from membench.datasets import Dataset, torch_dataset
from membench.errors import DataMissingError, InputError, MembenchError

X, Y = own_data.pixels(60), own_data.labels(60)


class Items:
    """A map-style data set of one's own."""

    def __init__(self, item: Callable[[int], Any], number: int = 60) -> None:
        self.item, self.number = item, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


def made(train: Any, test: Any = None, **known: Any) -> Dataset:
    return own_data.named("mine", torch_dataset(train, test, **({"test_fraction": 0.2} if test is None else {}), **known))


@pytest.mark.parametrize(
    "item",
    [
        lambda i: (Image.fromarray(np.moveaxis(X[i], 0, 2)), int(Y[i])),
        lambda i: (torch.from_numpy(X[i]), torch.tensor(int(Y[i]))),
        lambda i: (X[i], Y[i]),
        lambda i: [X[i], np.int32(Y[i])],
        lambda i: (np.moveaxis(X[i], 0, 2), torch.tensor([Y[i]])),
    ],
    ids=["PIL", "tensors", "arrays", "lists", "channels last"],
)
def test_items_of_every_usual_kind_are_taken(item: Callable[[int], Any]) -> None:
    dataset = made(Items(item), Items(lambda i: (255 - X[i], Y[i])))
    assert dataset.load("train").images.equal(torch.from_numpy(X))
    assert dataset.load("train").labels.tolist() == Y.tolist()
    assert (dataset.shape, dataset.classes, dataset.test_images) == ((3, 6, 6), 3, 60)


def test_grey_images_and_torchvisions_floats_are_taken() -> None:
    grey = own_data.pixels(60, (6, 6))
    assert made(Items(lambda i: (Image.fromarray(grey[i]), int(Y[i])))).shape == (1, 6, 6)
    to_tensor = torchvision.transforms.ToTensor()
    dataset = made(Items(lambda i: (to_tensor(Image.fromarray(grey[i])), int(Y[i]))))
    assert dataset.load("train").images.dtype is torch.float32
    assert 0 < dataset.mean[0] < 1


def test_torchs_own_containers_are_taken() -> None:
    whole = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    train, test = Subset(whole, range(30)), ConcatDataset([Subset(whole, range(30, 45)), Subset(whole, range(45, 60))])
    dataset = made(train, test)
    assert torch.cat([dataset.load("train").images, dataset.load("test").images]).equal(torch.from_numpy(X))


@pytest.mark.parametrize(
    "draw",
    [
        lambda i: torch.rand(3, 6, 6),
        lambda i: torch.from_numpy(X[i] if random.random() < 0.5 else X[i, :, :, ::-1].copy()),
        lambda i: np.random.default_rng().normal(size=(3, 6, 6)),
    ],
    ids=["noise", "random mirroring", "numpy's noise"],
)
def test_an_image_that_is_another_one_each_time_is_refused(draw: Callable[[int], Any]) -> None:
    with pytest.raises(MembenchError, match=r"item \d+ is another one each time it is asked for .*Leave random transforms out"):
        made(Items(lambda i: (draw(i), Y[i]))).load("train")


def test_a_label_that_is_another_one_each_time_is_refused() -> None:
    calls = iter(range(10_000))
    with pytest.raises(MembenchError, match="item 0 is another one each time"):
        made(Items(lambda i: (X[i], next(calls) // 60 % 3))).load("train")


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from ()

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Endless(), "the train part can only be iterated; list(...) of it is a map-style data set"),
        ((x for x in range(3)), "the train part is of type generator"),
        (DataLoader(TensorDataset(torch.zeros(3))), "the train part is a DataLoader; give the data set that it loads from"),
        (TensorDataset, "the train part is the class TensorDataset"),
        (7, "the train part is of type int"),
        (None, "the train part is of type NoneType"),
    ],
)
def test_what_is_not_map_style_is_refused_when_it_is_declared(source: Any, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        torch_dataset(source, test_fraction=0.2)


def test_something_to_test_with_is_needed() -> None:
    with pytest.raises(InputError, match=r"has no images to test with\. Give a test part, or test_fraction=0\.2"):
        torch_dataset(Items(lambda i: (X[i], Y[i])))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (lambda i: {"image": X[i], "label": Y[i]}, "items: item 0 is of type dict .*Give items (image, class)"),
        (lambda i: X[i], "items: item 0 is of type ndarray"),
        (lambda i: (X[i], Y[i], 1), "items: item 0 is of 3 parts"),
        (lambda i: ("a.png", Y[i]), "images: item 0 is of type str .*Give a PIL image, a tensor or an array"),
        (lambda i: (X[i] if i != 7 else X[i, :, :5], Y[i]), "images: item 7 has the shapes (image, class)"),
        (lambda i: (Image.new("RGBA", (6, 6)), Y[i]), "item 0 is a PIL image of mode RGBA .*image.convert('RGB')"),
        (lambda i: (X[i], "abc"[Y[i]]), "labels: they are <U1, not integers"),
        (lambda i: (X[i], float(Y[i])), "labels: they are float64, not integers"),
        (lambda i: (X[i], np.eye(3)[Y[i]]), "labels: their array has shape (60, 3)"),
        (lambda i: [][i], "Data set 'mine': reading it failed: IndexError: list index out of range (at "),
    ],
)
def test_items_of_another_form_are_named(item: Callable[[int], Any], words: str) -> None:
    with pytest.raises(MembenchError, match=".*".join(map(re.escape, words.split(".*")))):
        made(Items(item)).load("train")


def test_an_empty_part_is_named() -> None:
    with pytest.raises(MembenchError, match="test part, images: there are none"):
        made(Items(lambda i: (X[i], Y[i])), Items(lambda i: (X[i], Y[i]), 0)).load("train")


def test_a_function_is_called_when_the_data_are_needed(tmp_path: Path) -> None:
    calls = []

    def make() -> Items:
        calls.append(1)
        return Items(lambda i: (X[i], Y[i]))

    dataset = made(make)
    assert (calls, dataset.test_images) == ([], None)
    assert len(dataset.load("test")) == 12
    assert calls == [1]


def test_torchvisions_data_that_are_not_there_are_missing(tmp_path: Path) -> None:
    fashion = torchvision.datasets.FashionMNIST
    dataset = made(lambda: fashion(str(tmp_path)), lambda: fashion(str(tmp_path), train=False), remedy="python get.py")
    with pytest.raises(DataMissingError, match=r"mine was not found: Dataset not found.*python get\.py"):
        dataset.load("test")
    with pytest.raises(DataMissingError, match="mine was not found"):
        made(lambda: open(tmp_path / "none"), Items(lambda i: (X[i], Y[i]))).load("test")  # noqa: SIM115


def test_a_function_with_a_bug_is_no_missing_data() -> None:
    with pytest.raises(InputError, match=r"Data set 'mine': reading it failed: ZeroDivisionError: .*test_torch_dataset\.py"):
        made(lambda: 1 / 0).load("test")
    with pytest.raises(InputError, match="the train part is of type int; a map-style data set is needed"):
        made(lambda: 7).load("test")
