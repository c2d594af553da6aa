"""Arrays and .npz files: which arrays are taken, and which words say that none can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch

from membench.datasets import DATASETS, arrays, npz
from membench.errors import InputError, MembenchError

X, Y = own_data.pixels(60), own_data.labels(60)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    DATASETS._items.pop("mine", None)
    DATASETS._files.pop("mine", None)


def test_arrays_are_checked_when_they_are_added() -> None:
    with pytest.raises(
        InputError, match=r"Data set 'mine', train part, labels: they are float64, not integers \(read from memory\)"
    ):
        DATASETS.add("mine", arrays(X, Y / 1, test_fraction=0.2))
    with pytest.raises(InputError, match="Data set 'mine', test part, labels: they hold 2 classes; mine has 3"):
        DATASETS.add("mine", arrays(X, Y, X[:2] + 1, Y[:2]))
    dataset = DATASETS.add("mine", arrays(torch.from_numpy(X), torch.from_numpy(Y), X + 1, Y.astype("int16")))
    assert (dataset.name, len(dataset.load("train")), dataset.test_images) == ("mine", 60, 60)


def test_arrays_need_something_to_test_with() -> None:
    with pytest.raises(InputError, match=r"has no images to test with\. Give x_test and y_test, or test_fraction=0\.2"):
        arrays(X, Y)
    with pytest.raises(InputError, match="given x_test without y_test"):
        arrays(X, Y, X)
    with pytest.raises(InputError, match="given y_test without x_test"):
        arrays(X, Y, y_test=Y)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train_data", "train_targets", "valid_data", "valid_targets"),
        ("x_train", "y_train", "x_val", "y_val"),
        ("trainx", "trainy", "testx", "testy"),
        ("x_train", "labels_train", "images_test", "test_y"),
    ],
)
def test_the_usual_names_are_known(names: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **dict(zip(names, (X, Y, X + 1, Y), strict=True)))
    dataset = own_data.named("mine", npz(tmp_path / "mine.npz"))
    assert dataset.load("train").images.equal(torch.from_numpy(X))
    assert dataset.load("test").images.equal(torch.from_numpy(X + 1))


@pytest.mark.parametrize(
    "names", [("x", "y"), ("images", "labels"), ("data", "target"), ("X", "targets"), ("x_train", "y_train")]
)
def test_one_pair_is_split(names: tuple[str, str], tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", **dict(zip(names, (X, Y), strict=True)))
    assert len(own_data.named("mine", npz(tmp_path / "mine.npz", test_fraction=0.2)).load("test")) == 12


def test_test_comes_before_validation(tmp_path: Path) -> None:
    """As in MedMNIST's files, whose labels have a second axis."""
    held = {
        f"{part}_{kind}": X + n if kind == "images" else Y[:, None]
        for n, part in enumerate(("train", "val", "test"))
        for kind in ("images", "labels")
    }
    np.savez(tmp_path / "mine.npz", **held)
    dataset = own_data.named("mine", npz(tmp_path / "mine.npz"))
    assert dataset.load("test").images.equal(torch.from_numpy(X + 2))
    assert dataset.load("test").labels.tolist() == Y.tolist()


def test_other_names_can_be_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=X, b=Y, c=X + 1, d=Y, x_train=X)
    dataset = own_data.named("mine", npz(tmp_path / "mine.npz", keys=("a", "b", "c", "d")))
    assert dataset.load("test").images.equal(torch.from_numpy(X + 1))
    two = own_data.named("mine", npz(tmp_path / "mine.npz", keys=("c", "d"), test_fraction=0.2))
    assert len(two.load("test")) == 12
    for keys in ("ab", ("a", "b", "c"), ()):
        with pytest.raises(InputError, match=re.escape(f"keys is {keys!r}; it must be the names of 4 arrays")):
            npz("mine.npz", keys=keys)


@pytest.mark.parametrize(
    ("held", "keys", "words"),
    [
        ({"a": X, "b": Y}, None, "images and labels to train on are not to be told among the arrays a, b"),
        ({"x_train": X, "y": Y}, None, "among the arrays x_train, y"),
        ({"x_train": X, "train_images": X, "y_train": Y}, None, "among the arrays x_train, train_images, y_train"),
        ({"x_test": X, "y_test": Y}, None, "among the arrays x_test, y_test"),
        ({"x_test": X, "y_test": Y, "x": X, "y": Y}, None, "among the arrays x_test, y_test, x, y"),
        ({f"a{n}": Y for n in range(20)}, None, "a10, a11, ..."),
        ({"x": X, "y": Y}, ("x", "z"), "there is no z among the arrays x, y"),
    ],
)
def test_arrays_that_cannot_be_told_are_listed(held: dict[str, Any], keys: Any, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **held)
    with pytest.raises(MembenchError, match=re.escape(words)) as caught:
        own_data.named("mine", npz(tmp_path / "mine.npz", keys=keys, test_fraction=0.2)).load("test")
    assert str(tmp_path / "mine.npz") in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_bytes(b"no archive"), "it is no whole .npz file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-30]), "it is no whole .npz file"),
        (lambda file: np.save(file.open("wb"), X), "it is no whole .npz file"),
        (lambda file: np.savez(file, x=np.array([1, "a", None], dtype=object), y=Y), "Object arrays cannot be loaded"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file")
def test_a_file_that_is_no_npz_is_refused(damage: Any, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    np.savez(file, x=X, y=Y)
    damage(file)
    with pytest.raises(MembenchError, match=re.escape(words)) as caught:
        own_data.named("mine", npz(file, test_fraction=0.2)).load("test")
    assert str(file) in str(caught.value)
    assert "np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)" in str(caught.value)
