"""Folders of image files: two layouts, sizes and modes; and nothing in them is passed over in silence."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch
from PIL import Image

from membench.datasets import Dataset, image_folder
from membench.errors import InputError, MembenchError

X = own_data.pixels(30)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """train/ and test/ with 30 images each, in the folders a, b and c."""
    own_data.write_folder(tmp_path / "own" / "train", X)
    own_data.write_folder(tmp_path / "own" / "test", 255 - X)
    return tmp_path / "own"


def folder(place: Path, *given: Any, **known: Any) -> Dataset:
    return own_data.named("mine", image_folder(place, *given, **known))


def save(file: Path, mode: str = "RGB", size: tuple[int, int] = (6, 6)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file)


def test_train_and_test_are_read_by_class(place: Path) -> None:
    dataset = folder(place)
    assert (dataset.classes, dataset.shape) == (3, (3, 6, 6))
    for part, images in (("train", X), ("test", 255 - X)):
        split = dataset.load(part)
        order = np.argsort(own_data.labels(30), kind="stable")
        assert split.images.equal(torch.from_numpy(images[order]))
        assert split.labels.tolist() == own_data.labels(30)[order].tolist()


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_another_name_stands_for_test(name: str, place: Path) -> None:
    (place / "test").rename(place / name)
    assert len(folder(place).load("test")) == 30
    save(place / "test" / "a" / "0.png")
    with pytest.raises(InputError, match="b, c: in one of train and test only"):  # now this is the test part
        folder(place).load("test")


def test_folders_of_classes_are_split(place: Path) -> None:
    dataset = folder(place / "train", test_fraction=0.2)
    assert (len(dataset.load("train")), len(dataset.load("test"))) == (24, 6)


def test_images_of_unlike_size_are_scaled_when_a_size_is_given(place: Path) -> None:
    save(place / "train" / "a" / "large.png", size=(9, 12))
    with pytest.raises(
        MembenchError, match=r"large\.png has shape \(3, 9, 12\), .* and those before it \(3, 6, 6\).*Give size=\(6, 6\)"
    ):
        folder(place).load("train")
    assert folder(place, (4, 5)).load("train").images.shape == (31, 3, 4, 5)
    scaled = folder(place, 6)
    assert scaled.shape == (3, 6, 6)
    alone = np.moveaxis(
        np.asarray(Image.open(place / "train" / "a" / "large.png").resize((6, 6), Image.Resampling.BILINEAR)), 2, 0
    )
    assert any(image.equal(torch.from_numpy(alone.copy())) for image in scaled.load("train").images)


def test_grey_images_have_one_channel_and_a_mode_converts_all(place: Path, tmp_path: Path) -> None:
    for name in "abc":
        for part, size in (("train", (6, 6)), ("test", (6, 6))):
            save(tmp_path / "grey" / part / name / f"{part}{name}.png", "L", size)
    with pytest.raises(MembenchError, match="are test images as well"):  # the same noise in all of them
        folder(tmp_path / "grey").load("train")
    assert folder(tmp_path / "grey").load("test").images.shape == (3, 1, 6, 6)
    save(place / "train" / "a" / "grey.png", "L")
    with pytest.raises(
        MembenchError, match=r"has shape \(3, 6, 6\).* and those before it \(1, 6, 6\).*Give mode='RGB' or mode='L'|grey\.png"
    ):
        folder(place).load("train")
    for mode, channels in (("RGB", 3), ("L", 1)):
        assert folder(place, mode=mode).load("train").images.shape == (31, channels, 6, 6)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("RGBA", "is of mode RGBA, neither grey (L) nor RGB"),
        ("P", "is of mode P, neither grey (L) nor RGB"),
        ("1", "is of mode 1, neither grey (L) nor RGB"),
    ],
)
def test_other_modes_are_converted_when_a_mode_is_given_alone(mode: str, words: str, place: Path) -> None:
    save(place / "train" / "b" / "other.png", mode)
    with pytest.raises(MembenchError, match=re.escape(words)):
        folder(place).load("train")
    assert len(folder(place, mode="RGB").load("train")) == 31


def sixteen(place: Path) -> None:
    Image.fromarray(np.ones((6, 6), dtype=np.uint16)).save(place / "train" / "a" / "deep.png")


def animated(place: Path) -> None:
    frames = [Image.fromarray(np.full((6, 6), value, dtype=np.uint8)) for value in (0, 255)]
    frames[0].save(place / "train" / "a" / "moving.gif", save_all=True, append_images=frames[1:])


def truncated(place: Path) -> None:
    file = place / "train" / "a" / "0000.png"
    file.write_bytes(file.read_bytes()[:60])


def emptied(place: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(place / part / "b")
        (place / part / "b").mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (sixteen, "deep.png has more than 8 bits a channel (mode I;16) (read from "),
        (animated, "moving.gif holds 2 frames"),
        (truncated, "0000.png cannot be read: "),
        (lambda place: (place / "test" / "c" / "0.png").write_bytes(b"no image"), "0.png cannot be read: cannot identify image file"),
        (lambda place: (place / "train" / "a" / "notes.txt").write_text("x"), "notes.txt is no image by its name"),
        (lambda place: save(place / "train" / "loose.png"), "loose.png lies in no folder of a class"),
        (lambda place: save(place / "train" / "a" / "deeper" / "0.png"), "train/a/deeper is a folder in that of a class"),
        (emptied, "train/b holds no image"),
        (lambda place: save(place / "train" / "d" / "0.png"), "classes: d: in one of train and test only"),
        (lambda place: shutil.rmtree(place / "test"), "it holds train and no test"),
        (lambda place: shutil.rmtree(place / "train"), "it holds test and no train"),
        (lambda place: [shutil.rmtree(place / "train" / name) for name in "ab"], "classes: a, b: in one of train and test only"),
        (lambda place: [shutil.rmtree(place / part / name) for part in ("train", "test") for name in "ab"], "train holds 1 folders"),
        (lambda place: (shutil.rmtree(place), place.write_text("x")), "folder: it is a file"),
        (lambda place: (shutil.rmtree(place), place.mkdir()), "holds 0 folders"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_folder_is_named(damage: Any, words: str, place: Path) -> None:
    damage(place)
    with pytest.raises(MembenchError, match=re.escape(words)) as caught:
        folder(place).load("train")
    assert "\n" not in str(caught.value)
    assert str(place) in str(caught.value)


def test_hidden_files_and_folders_are_not_looked_at(place: Path) -> None:
    (place / "train" / ".cache").mkdir()
    for name in (".DS_Store", "Thumbs.db"):
        (place / "train" / "a" / name).write_text("x")
    (place / "train" / "README.md").write_text("x")
    assert len(folder(place).load("train")) == 30


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "8"}, "size is '8'; it must be (height, width) in pixels"),
        ({"size": (8,)}, "size is (8,)"),
        ({"size": (8, -8)}, "size is (8, -8)"),
        ({"size": 0}, "size is 0"),
        ({"mode": "RGBA"}, "mode is 'RGBA'; it must be 'L' (grey), 'RGB' or None"),
        ({"folder": 7}, "The place of a data set is 7"),
        ({"folder": ""}, "The place of a data set is ''"),
    ],
)
def test_a_field_that_cannot_be_is_refused_when_it_is_declared(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        image_folder(**{"folder": "own", **given})


def test_an_image_that_is_exchanged_is_read_again(place: Path) -> None:
    dataset = folder(place)
    before = dataset.load("train").images
    save(place / "train" / "b" / "0001.png")
    assert not dataset.load("train").images.equal(before)
