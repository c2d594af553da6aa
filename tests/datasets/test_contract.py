"""The contract of a data set and of a network: what is declared and what is read wrongly, in one line each."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from given import HERE, NUMBER, Own, both, flat, forgotten, refusal, same, tensor  # noqa: F401
from torch import nn

from membench.datasets import DATASETS, Dataset, Split
from membench.errors import InputError
from membench.models import NETWORKS, Network, Recipe, obtain

# What else is declared wrongly


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"classes": 1}, "classes is 1; it must be an integer of 2 or more"),
        ({"classes": "3"}, "classes is '3'; it must be an integer"),
        ({"classes": True}, "classes is True; it must be an integer"),
        ({"shape": [1, 8, 8]}, r"shape is [1, 8, 8]; it must be a tuple of 1 to 4 positive integers, the channels first"),
        ({"shape": (1, 8, -8)}, "shape is (1, 8, -8)"),
        ({"shape": ()}, "shape is ()"),
        ({"shape": (1, 2, 3, 4, 5)}, "shape is (1, 2, 3, 4, 5)"),
        (
            {"shape": (8, 8)},
            "mean is (0.43,); shape (8, 8) begins with the number of channels, 8, and one number a channel is needed",
        ),
        ({"mean": 0.5}, "mean is 0.5; it must be a tuple of finite numbers, one a channel"),
        ({"mean": (math.nan,)}, "mean is (nan,)"),
        ({"mean": ("0.5",)}, "mean is ('0.5',)"),
        ({"mean": (0.4, 0.4, 0.4)}, "mean is (0.4, 0.4, 0.4); shape (1, 8, 8) begins with the number of channels, 1,"),
        ({"std": (0.0,)}, "std is (0.0,); it must be a tuple of positive numbers"),
        ({"std": (-1.0,)}, "std is (-1.0,)"),
        ({"augment": "shift"}, "augment is 'shift'; it must be a tuple of the words 'shift', 'mirror', or ()"),
        ({"augment": ("rotate",)}, "augment is ('rotate',)"),
        ({"shape": (1, 8), "augment": ("shift",)}, "augment is ('shift',); only images (channels, height, width)"),
    ],
)
def test_a_field_that_cannot_be_is_refused_when_it_is_declared(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"Data set 'own': {words}")):
        DATASETS.add("own", Own(**fields))


class Bare(Dataset):
    def find(self, root: Path) -> Path | None:
        return HERE

    def read(self, found: Path, part: str) -> Split:
        return both(tensor, tensor)[part]


def test_what_is_not_declared_is_asked_for_and_a_name_is_given() -> None:
    dataset = Bare()
    for name, value in {"classes": 3, "shape": (1, 8, 8), "mean": (0.43,), "std": (0.22,)}.items():
        with pytest.raises(InputError, match=f"Data set 'own' does not say its {name}: an? "):
            DATASETS.add("own", dataset)
        setattr(dataset, name, value)
    assert DATASETS.add("own", dataset).name == "own"
    assert len(DATASETS.get("own").load("train")) == NUMBER


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "a b", "x" * 81, 7, "..", "a\n"])
def test_a_name_that_no_file_can_have_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match="must be 1 to 80 letters, digits"):
        DATASETS.add(name, Own(name=name))


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="The data set 'own' is registered as 'other'"):
        DATASETS.add("other", Own())


@pytest.mark.parametrize("item", ["data/ecg.npz", None, [1], torch.utils.data.TensorDataset(torch.zeros(3))])
def test_what_is_no_data_set_is_refused_with_the_ways_that_there_are(item: Any) -> None:
    with pytest.raises(
        InputError, match=r"is of type \w+; a membench\.datasets\.Dataset is needed.*npz, image_folder and torch_dataset"
    ):
        DATASETS.add("own", item)


def test_a_generator_is_refused_when_it_is_declared() -> None:
    class Yielding(Own):
        def read(self, found: Path, part: str) -> Any:
            yield from self.parts[part]

    with pytest.raises(InputError, match=r"read\(\) is a generator; it must return a whole part, Split\(images, labels\)"):
        DATASETS.add("own", Yielding())


# What else is read wrongly


def taken(**changes: Any) -> dict[str, Any]:
    """Both parts, each with other images or labels."""
    usual = both(same, same)
    return {
        part: Split(changes.get("images", same)(split.images), changes.get("labels", same)(split.labels))
        for part, split in usual.items()
    }


def floats(images: np.ndarray, value: float) -> np.ndarray:
    images = (images / 255).astype(np.float32)
    images[7, 0, 3, 3] = value
    return images


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (taken(labels=lambda y: y.astype("float32")), "labels: they are float32, not integers .*labels.astype\\('int64'\\)"),
        (taken(labels=lambda y: y > 0), "labels: they are bool, not integers"),
        (taken(labels=lambda y: np.eye(3)[y]), r"labels: their array has shape \(60, 3\) .*the number of each class: labels.argmax\(1\)"),
        (taken(labels=lambda y: y[:, None, None]), r"labels: their array has shape \(60, 1, 1\).*one number an image"),
        (taken(labels=lambda y: np.array(["a", "b", "c"])[y]), r"labels: they are <U1, not integers .*return_inverse=True"),
        (taken(labels=lambda y: y.tolist()), "labels: they are of type list .*Give the labels as a numpy array or a torch tensor"),
        (taken(labels=lambda y: None), "labels: they are None"),
        (taken(labels=lambda y: np.where(y == 0, -1, y)), "labels: they are -1 to 2"),
        (taken(labels=lambda y: np.where(y == 2, 2**62, y)), "labels: they are 0 to 4611686018427387904"),
        (taken(labels=lambda y: np.where(y == 2, 2**64 - 1, y).astype("uint64")), "labels: they are 0 to 18446744073709551615"),
        (taken(labels=lambda y: y + 4), "labels: they are 4 to 6, 3 classes; own has 3 classes, 0 to 2.*or declare classes=7"),
        (taken(labels=np.zeros_like), "labels: they hold 1 classes; own has 3, and no image is of class 1, 2"),
        (taken(labels=lambda y: y[:50]), "images: 60 images and 50 labels"),
        (taken(images=lambda x: x[:0], labels=lambda y: y[:0]), "images: 0 images and 0 labels"),
        (taken(images=lambda x: x.tolist()), "images: they are of type list"),
        (taken(images=lambda x: np.ma.masked_greater(x, 200)), "images: they are of type MaskedArray"),
        (taken(images=lambda x: torch.from_numpy(x).to_sparse()), "images: they are of type Tensor"),
        (taken(images=lambda x: np.float32(1)), "images: they are of type float32"),
        (taken(images=lambda x: x[:, 0, 0, 0]), r"images: their array has shape \(60,\)"),
        (taken(images=lambda x: x[:, 0]), r"images: they have shape \(8, 8\); own has \(1, 8, 8\) .*Add the axis of the channel: images\["),
        (taken(images=lambda x: x[..., None][:, 0]), r"images: they have shape \(8, 8, 1\).*Put the channels first: np.moveaxis"),
        (taken(images=lambda x: x[..., :7]), r"images: they have shape \(1, 8, 7\); own has \(1, 8, 8\)"),
        (taken(images=lambda x: x > 100), r"images: they are bool .*images.astype\('uint8'\) \* 255"),
        (taken(images=lambda x: x.astype("uint16") * 257), r"images: they are uint16, from 0 to 5\d{4} .*else float32"),
        (taken(images=lambda x: x.astype("int64")), "images: they are int64, from 0 to 2"),
        (taken(images=lambda x: x.astype("complex64")), "images: they are complex64"),
        (taken(images=lambda x: np.array([*list(x), None], dtype=object)[:-1]), "images: they are object .*np.stack"),
        (taken(images=lambda x: floats(x, math.nan)), "images: 1 of 60 hold NaN or infinity in float32, the first is number 7"),
        (taken(images=lambda x: floats(x, -math.inf)), "images: 1 of 60 hold NaN or infinity in float32, the first is number 7"),
        (taken(images=lambda x: np.where(x > 200, 1e300, x / 255)), "images: 20 of 60 hold NaN or infinity in float32"),
        ({"train": (1, 2), "test": (1, 2)}, r"what was read: it is of type tuple, not a Split .*Return Split\(images, labels\)"),
        ({"train": None, "test": None}, "what was read: it is None, not a Split"),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused_in_one_line(parts: dict[str, Any], words: str) -> None:
    said = refusal(Own(parts))
    assert re.search(f"Data set 'own', train part, {words}", said), said
    assert f"(read from {HERE})" in said
    assert "in read() of Own" in said


def test_a_network_gets_the_same_of_other_float_types() -> None:
    wanted = Own(both(lambda x: (x / 255).astype("float32"), same)).load("test").images
    for kind in (lambda x: x / 255, lambda x: torch.from_numpy(x / 255), lambda x: (x / 255).astype(">f8")):
        assert Own(both(kind, same)).load("test").images.equal(wanted)
    halves = Own(both(lambda x: torch.from_numpy(x / 255).bfloat16(), same)).load("test").images
    assert halves.dtype is torch.float32
    assert (halves - wanted).abs().max() < 0.01


def test_arrays_that_cannot_be_written_or_lie_otherwise_in_memory_are_taken() -> None:
    def frozen(values: np.ndarray) -> np.ndarray:
        values.flags.writeable = False
        return values

    wanted = Own().load("test")
    for kind in (
        frozen,
        np.asfortranarray,
        lambda values: values[::-1][::-1],
        lambda values: values.astype(values.dtype.newbyteorder()),
    ):
        loaded = Own(both(kind, kind)).load("test")
        assert loaded.images.equal(wanted.images)
        assert loaded.labels.equal(wanted.labels)
        assert loaded.images.is_contiguous()


def test_training_images_that_are_all_test_images_leave_nothing() -> None:
    part = both(tensor, tensor)["test"]
    said = refusal(Own({"train": part, "test": part}))
    assert "images: 60 of 60 are test images as well" in said
    assert "no image of class 0, 1, 2 is left" in said


@pytest.mark.parametrize("method", ["find", "read"])
def test_an_error_of_a_users_code_names_its_place(method: str) -> None:
    class Raising(Own):
        def find(self, root: Path) -> Path | None:
            return {}["x"] if method == "find" else HERE

        def read(self, found: Path, part: str) -> Split:
            return {}["x"]  # type: ignore[no-any-return]

    assert re.search(rf"Data set 'own': {method}\(\) failed: KeyError: 'x' \(at .*test_contract\.py:\d+\)", refusal(Raising()))


def test_find_must_give_a_path() -> None:
    class Odd(Own):
        def find(self, root: Path) -> Any:
            return 7

    assert "Data set 'own': find() returned 7; a path or None is needed" in refusal(Odd())


# Networks


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (flat, "Network 'own-net' is of type function; a membench.models.Network is needed"),
        (Network("other", flat, Recipe(epochs=1)), "The network 'other' is registered as 'own-net'"),
        (Network("own-net", flat(3, (1, 8, 8)), Recipe(epochs=1)), "build is of type Sequential; a function"),
        (Network("own-net", flat, 10), "a recipe is 10; a membench.models.Recipe is needed"),  # type: ignore[arg-type]
        (Network("own-net", flat, Recipe(epochs=1), {"own": {}}), "a recipe is {}"),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_network_is_refused_when_it_is_declared(item: Any, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        NETWORKS.add("own-net", item)


class Two(nn.Module):
    def forward(self, images: torch.Tensor) -> Any:
        return images.flatten(1), None


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda classes, shape: shape[9],
            r"its build\(classes, shape\) failed: IndexError: tuple index out of range \(at .*py:\d+\)",
        ),
        (lambda classes, shape: nn.Linear, r"returned <class 'torch.nn.modules.linear.Linear'>; a torch.nn.Module is needed"),
        (lambda classes, shape: Two(), "for 2 images it gives a tuple; a tensor of shape \\(2, 3\\) is needed"),
        (lambda classes, shape: nn.Conv2d(1, 3, 3), r"for 2 images it gives a tensor of shape \(2, 3, 6, 6\)"),
    ],
)
def test_a_network_that_does_not_fit_says_why(build: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"Network 'own-net' on data set 'own' \(3 classes, shape \(1, 8, 8\)\): .*{words}"):
        obtain(Network("own-net", build, Recipe(epochs=1)), Own(), folder=tmp_path)
