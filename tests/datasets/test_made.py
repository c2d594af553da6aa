"""Data sets made in one line: what is found in the data, how they are split, which axis holds the channels, and when they are read."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch

from membench.datasets import Dataset, UnusualDataWarning, arrays, image_hashes, npz
from membench.errors import DataMissingError, InputError, MembenchError


def made(images: Any, labels: Any = None, **known: Any) -> Dataset:
    """Of images, with the usual labels and a fifth held out."""
    labels = own_data.labels(len(images)) if labels is None else labels
    return own_data.named("mine", arrays(images, labels, **{"test_fraction": 0.2, **known}))


def saved(place: Path, **held: Any) -> Path:
    file = place / "mine.npz"
    np.savez(file, **held)
    return file


def refusal(dataset: Dataset, root: Path | None = None) -> str:
    with pytest.raises(MembenchError) as caught:
        dataset.load("train", root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is found


def test_what_is_not_declared_is_found_in_the_training_part() -> None:
    x, y = own_data.pixels(90, (2, 5, 4)), own_data.labels(90)
    dataset = own_data.named("mine", arrays(x[:60], y[:60], x[60:], y[60:], channels="first"))
    train = x[:60].transpose(1, 0, 2, 3).reshape(2, -1) / 255
    assert (dataset.classes, dataset.shape) == (3, (2, 5, 4))
    assert dataset.mean == pytest.approx(train.mean(1), rel=1e-6)
    assert dataset.std == pytest.approx(train.std(1), rel=1e-5)
    assert dataset.test_images == 30


def test_what_is_declared_stays() -> None:
    dataset = made(
        own_data.pixels(30), mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0), classes=3, shape=(3, 6, 6), augment=("mirror",)
    )
    dataset.load("train")
    assert (dataset.mean, dataset.std, dataset.classes, dataset.shape) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 3, (3, 6, 6))
    assert dataset.augment == ("mirror",)
    assert dataset.found_on_reading == ()


def test_statistics_do_not_depend_on_the_order_or_on_how_a_machine_adds_up() -> None:
    """Float sums differ in their last bits from machine to machine; six digits do not."""
    x = own_data.signals(3_000) * 1e-3 + 1e4
    order = np.random.default_rng(0).permutation(len(x))
    one, other = made(x, test_fraction=0.01), made(x[order], own_data.labels(len(x))[order], test_fraction=0.01)
    assert (one.mean, one.std) == (other.mean, other.std)
    ((mean,), (std,)) = (dataset := made(own_data.signals(300))).mean, dataset.std
    assert (round(mean, 6), float(f"{std:.6g}")) == (mean, std)


def test_a_constant_channel_is_divided_by_1() -> None:
    x = own_data.pixels(60)
    x[:, 1] = 77
    dataset = made(x)
    assert dataset.std[1] == 1.0
    assert dataset.normalise(dataset.load("test").images)[:, 1].abs().max() < 1e-6


def test_labels_that_count_from_1_are_told_so_and_one_class_is_none() -> None:
    x, y = own_data.pixels(30), own_data.labels(30)
    assert "no image is of class 0" in (said := refusal(made(x, y + 1)))
    assert "Subtract 1 if the labels count from 1" in said
    assert "labels: all are 0; 2 classes or more are needed" in refusal(made(x, np.zeros(30, int)))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (
            {"clases": 3},
            "clases: there is no such field. Fields: classes, shape, mean, std, augment, shares_images, test_fraction, channels, remedy.",
        ),
        ({"test_fraction": 20}, "test_fraction is 20; it must be a number between 0 and 1, as 0.2."),
        ({"test_fraction": 0.0}, "test_fraction is 0.0"),
        ({"test_fraction": "0.2"}, "test_fraction is '0.2'"),
        ({"channels": "middle"}, "channels is 'middle'; it must be 'first', 'last' or 'none'."),
    ],
)
def test_a_field_that_cannot_be_is_refused_when_it_is_declared(known: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        npz("mine.npz", **known)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"classes": 1}, "Data set 'mine': classes is 1"),
        ({"shape": [3, 6, 6]}, "Data set 'mine': shape is [3, 6, 6]"),
        (
            {"mean": (0.5,), "shape": (3, 6, 6)},
            "Data set 'mine': mean is (0.5,); shape (3, 6, 6) begins with the number of channels, 3,",
        ),
        ({"augment": "mirror"}, "Data set 'mine': augment is 'mirror'"),
    ],
)
def test_a_declared_fact_is_checked_as_that_of_a_class_is(known: dict[str, Any], words: str) -> None:
    assert words in refusal(made(own_data.pixels(30), **known))


def test_declared_facts_that_the_data_contradict_are_refused() -> None:
    assert "images: they have shape (3, 6, 6); mine has (3, 5, 6)" in refusal(made(own_data.pixels(30), shape=(3, 5, 6)))
    assert "labels: they are 0 to 2, 3 classes; mine has 2 classes" in refusal(made(own_data.pixels(30), classes=2))
    assert "mean is (0.5,)" in refusal(made(own_data.pixels(30), mean=(0.5,)))
    assert "augment is ('shift',)" in refusal(made(own_data.signals(30), augment=("shift",)))


def test_images_in_both_parts_are_left_out_with_a_warning_that_can_be_declared() -> None:
    x, y = own_data.pixels(60), own_data.labels(60)
    for known in ({}, {"shares_images": True}):
        dataset = own_data.named("mine", arrays(x[:40], y[:40], x[36:], y[36:], **known))
        with (
            pytest.warns(UnusualDataWarning, match="4 of 40 are test images as well.*Declare shares_images=True")
            if not known
            else nullcontext()
        ):
            assert len(dataset.load("train")) == 36


# The split


def test_the_split_depends_on_neither_order_nor_seed() -> None:
    x, y = own_data.pixels(300), own_data.labels(300)
    dataset, order = made(x, y), np.random.default_rng(1).permutation(300)
    again = made(x[order], y[order])
    for part, number in (("train", 240), ("test", 60)):
        hashes = image_hashes(dataset.load(part))
        assert len(hashes) == number
        assert sorted(hashes) == sorted(image_hashes(again.load(part)))
        assert torch.bincount(dataset.load(part).labels).tolist() == [number // 3] * 3
    assert set(image_hashes(dataset.load("train"))).isdisjoint(image_hashes(dataset.load("test")))


def test_more_images_move_no_image_from_one_part_to_the_other() -> None:
    """But for one at the edge of each class."""
    x, y = own_data.pixels(303), own_data.labels(303)
    fewer, more = (set(image_hashes(made(x[:n], y[:n]).load("test"))) for n in (300, 303))
    assert len(fewer - more) <= 3


def test_each_class_keeps_an_image_in_both_parts_however_small_the_fraction() -> None:
    y = np.array([0] * 50 + [1] * 2)
    for fraction in (0.001, 0.999):
        dataset = made(own_data.pixels(52), y, test_fraction=fraction)
        assert set(dataset.load("train").labels.tolist()) == set(dataset.load("test").labels.tolist()) == {0, 1}
    said = refusal(made(own_data.pixels(52), np.array([0] * 51 + [1]), test_fraction=0.2))
    assert "class 1 has one image, and it needs one to train on and one to test" in said


def test_without_a_test_part_the_remedy_is_named(tmp_path: Path) -> None:
    file = saved(tmp_path, x=own_data.pixels(30), y=own_data.labels(30))
    assert "Give test_fraction=0.2 to hold out a fifth of the images" in refusal(own_data.named("mine", npz(file)))
    assert len(own_data.named("mine", npz(file, test_fraction=0.2)).load("test")) == 6


def test_a_fraction_beside_a_test_part_is_refused(tmp_path: Path) -> None:
    x, y = own_data.pixels(30), own_data.labels(30)
    file = saved(tmp_path, x_train=x, y_train=y, x_test=x + 1, y_test=y)
    said = refusal(own_data.named("mine", npz(file, test_fraction=0.2)))
    assert "test_fraction: it is 0.2, and the data have a test part" in said


# Channels


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "found"),
    [
        ((28, 28), "uint8", None, (1, 28, 28)),  # Keras' MNIST
        ((32, 32, 3), "uint8", None, (3, 32, 32)),  # Keras' CIFAR-10
        ((32, 32, 3), "float32", None, (3, 32, 32)),
        ((28, 28, 1), "float32", None, (1, 28, 28)),
        ((3, 32, 32), "uint8", None, (3, 32, 32)),
        ((1, 187), "float32", None, (1, 187)),
        ((187, 1), "float32", None, (1, 187)),  # Keras' Conv1D
        ((20,), "float32", None, (20,)),
        ((1, 4, 5, 6), "float32", None, (1, 4, 5, 6)),
        ((4, 5, 6, 3), "uint8", None, (3, 4, 5, 6)),
        ((28, 28), "float32", "none", (1, 28, 28)),
        ((12, 100), "float32", "first", (12, 100)),
        ((100, 12), "float32", "last", (12, 100)),
        ((187,), "float32", "none", (1, 187)),
        ((8, 8, 12), "uint8", "last", (12, 8, 8)),
        ((3, 8, 3), "uint8", "first", (3, 8, 3)),
    ],
)
def test_channels_are_put_first(shape: tuple[int, ...], dtype: str, channels: Any, found: tuple[int, ...]) -> None:
    x = own_data.pixels(30, shape).astype(dtype)
    dataset = made(x, **({"channels": channels} if channels else {}))
    assert dataset.shape == found
    images = torch.cat([dataset.load("train").images, dataset.load("test").images])
    assert len(images) == 30
    wanted = np.moveaxis(x, -1, 1) if channels == "last" or (channels is None and found[1:] == shape[:-1]) else x
    assert {image.tobytes() for image in images.numpy()} == {np.ascontiguousarray(one).tobytes() for one in wanted}
    declared = made(x, shape=found)  # which tells the axis, too
    assert declared.load("test").images.equal(dataset.load("test").images)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((28, 28), "float32"), ((12, 100), "float32"), ((8, 8, 12), "uint8"), ((3, 8, 3), "uint8"), ((1, 1), "uint8")],
)
def test_a_shape_that_does_not_tell_the_channels_is_refused(shape: tuple[int, ...], dtype: str) -> None:
    said = refusal(made(own_data.pixels(30, shape).astype(dtype)))
    assert f"they have shape {shape}, which does not tell the axis of the channels" in said
    assert "Give channels='first', 'last' or 'none'" in said


# When and where they are read


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    dataset = own_data.named("mine", npz(tmp_path / "later.npz", test_fraction=0.2))
    said = refusal(dataset)
    assert f"mine was not found: there is no {tmp_path / 'later.npz'}. Put later.npz there" in said
    with pytest.raises(DataMissingError):
        _ = dataset.classes
    np.savez(tmp_path / "later.npz", x=own_data.pixels(30), y=own_data.labels(30))
    assert dataset.classes == 3
    with pytest.raises(AttributeError, match="has no attribute nothing"):
        _ = dataset.nothing  # type: ignore[attr-defined]


def test_a_relative_place_is_below_the_current_folder_or_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, root = tmp_path / "here", tmp_path / "root"
    for place in (here, root):
        (place / "data").mkdir(parents=True)
    monkeypatch.chdir(here)
    dataset = own_data.named("mine", npz("data/mine.npz", test_fraction=0.2))
    assert f"there is no {here / 'data/mine.npz'} or {root / 'data/mine.npz'}. Put mine.npz there" in refusal(dataset, root)
    np.savez(root / "data" / "mine.npz", x=own_data.pixels(30), y=own_data.labels(30))
    assert len(dataset.load("test", root)) == 6
    np.savez(here / "data" / "mine.npz", x=own_data.pixels(60), y=own_data.labels(60))
    assert len(dataset.load("test", root)) == 12


def test_a_remedy_of_ones_own_is_told(tmp_path: Path) -> None:
    dataset = own_data.named("mine", npz(tmp_path / "none.npz", remedy="python get.py"))
    assert refusal(dataset).endswith("Get it with: python get.py")


def test_facts_are_those_of_what_was_loaded_last(tmp_path: Path) -> None:
    """One declaration, two roots with other data in turn, and a file that changes."""
    for place, images in (("a", own_data.signals(30)), ("b", own_data.signals(30, (1, 7)) + 5)):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "mine.npz", x=images, y=own_data.labels(30))
    dataset = own_data.named("mine", npz("mine.npz", test_fraction=0.2))
    for place, length, least in (("a", 40, 0.9), ("b", 7, 5.5), ("a", 40, 0.9), ("b", 7, 5.5)):
        dataset.load("test", tmp_path / place)
        assert dataset.shape == (1, length)
        assert least < dataset.mean[0] < least + 1
    np.savez(tmp_path / "b" / "mine.npz", x=own_data.signals(36, (1, 9)), y=own_data.labels(36))
    assert dataset.load("test", tmp_path / "b").images.shape == (6, 1, 9)
    assert dataset.shape == (1, 9)
