"""A data set that a user makes works, or is refused in one line: field, value, and a remedy for the one who made it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_case
from torch import nn

from membench import ADC, Conversion, run_case
from membench.baselines import BaselineStore
from membench.datasets import DATASETS, Dataset, Split
from membench.errors import DataMissingError, InputError, MembenchError
from membench.gate import run_and_judge
from membench.models import NETWORKS, Network, Recipe, obtain
from membench.verdict import Status

HERE = Path(__file__)
NUMBER = 60


def pixels(shape: tuple[int, ...] = (1, 8, 8), seed: int = 0, number: int = NUMBER) -> np.ndarray:
    """Bytes of three classes, the brighter the higher."""
    noise = np.random.default_rng(seed).integers(0, 100, (number, *shape))
    return (noise + 60 * classes(number).reshape(-1, *[1] * len(shape))).astype(np.uint8)


def classes(number: int = NUMBER) -> np.ndarray:
    return np.arange(number) % 3


def both(images: Any, labels: Any) -> dict[str, Split]:
    """Parts from functions of the usual images and labels."""
    return {part: Split(images(pixels(seed=seed)), labels(classes())) for seed, part in enumerate(("train", "test"))}


def same(value: Any) -> Any:
    return value


def tensor(value: Any) -> Any:
    return torch.from_numpy(value)


@dataclass(eq=False)
class Own(Dataset):
    """A data set whose parts a test gives."""

    parts: dict[str, Any] = field(default_factory=lambda: both(tensor, tensor))
    name: str = "own"
    classes: Any = 3
    shape: Any = (1, 8, 8)
    mean: Any = (0.43,)
    std: Any = (0.22,)
    augment: Any = ()

    def find(self, root: Path) -> Path | None:
        return HERE

    def read(self, found: Path, part: str) -> Split:
        given: Split = self.parts[part]
        return given


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is gone after it."""
    yield
    for registry in (DATASETS, NETWORKS):
        for name in ("own", "other", "a/b", "own-net"):
            registry._items.pop(name, None)  # type: ignore[attr-defined]
            registry._files.pop(name, None)


def flat(classes: int, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def judged(dataset: Dataset, tmp_path: Path, build: Any = flat, **fields: Any) -> tuple[Status, str]:
    """The verdict on a case of a data set, and its reason, on a network trained for it."""
    DATASETS.add(dataset.name, dataset)
    NETWORKS.add("own-net", Network("own-net", build, Recipe(epochs=8, batch_size=16, max_lr=0.05, shift=0, mirror=False)))
    case = make_case(**{"dataset": "own", "network": "own-net", "images": 30, **fields})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMBENCH_CACHE", str(tmp_path / "cache"))
        found = run_and_judge(case, "vectorized", BaselineStore(tmp_path / "baselines"))
    return found.verdict.status, found.verdict.reason


def refusal(dataset: Dataset) -> str:
    """Why a part cannot be loaded, in one line."""
    with pytest.raises(MembenchError) as caught:
        dataset.load("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    assert re.search(r"Subtract 1 from the labels, in read\(\) of Own \(.*test_user_data\.py, line \d+\)", said)
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
def test_float_signals_are_trained_and_measured_with_conv1d(precision: str, tmp_path: Path) -> None:
    dataset = Own({"train": signals(0), "test": signals(1)}, shape=(1, 187), mean=(1.0,), std=(1.3,))
    DATASETS.add("own", dataset)
    NETWORKS.add("own-net", Network("own-net", conv1d, Recipe(epochs=8, batch_size=16, max_lr=0.05, precision=precision)))
    conversion = Conversion(
        adc=ADC(bits=8, range="calibrated", calibration_images=20), max_input_voltage=3.0, tile_shape=(32, 32)
    )
    record = run_case(make_case(dataset="own", network="own-net", images=30, conversion=conversion), weights=tmp_path)
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
    assert f"Put the data where find() of {kind.__name__} ({HERE}, line " in reason
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
        ({"shape": (8, 8)}, "mean is (0.43,); shape (8, 8) begins with 8 channels, and each needs one number"),
        ({"mean": 0.5}, "mean is 0.5; it must be a tuple of finite numbers, one a channel"),
        ({"mean": (math.nan,)}, "mean is (nan,)"),
        ({"mean": ("0.5",)}, "mean is ('0.5',)"),
        ({"mean": (0.4, 0.4, 0.4)}, "mean is (0.4, 0.4, 0.4); shape (1, 8, 8) begins with 1 channels"),
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

    assert re.search(rf"Data set 'own': {method}\(\) failed: KeyError: 'x' \(at .*test_user_data\.py:\d+\)", refusal(Raising()))


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
