"""Trained weights are used where the network computes with them what it was trained to, on the data that it was trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stored import RECIPE, Stored, drawn, network, write
from torch import Tensor, nn

from membench.datasets import Split, image_hashes
from membench.errors import DataMissingError, InputError
from membench.models import Network, Recipe, Trained, _weights, cross_validate, find_trained, obtain, ship_weights
from membench.runtime import pinned_threads

STORED = Stored()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "data", drawn())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that were trained, in order."""
    seen: list[str] = []
    original = _weights.train

    def spy(network: Any, *given: Any, **rest: Any) -> nn.Module:
        seen.append(network.name)
        return original(network, *given, **rest)

    monkeypatch.setattr(_weights, "train", spy)
    return seen


def get(network: Network, data: Path, cache: Path, dataset: Any = STORED) -> Trained:
    with pinned_threads(1):
        return obtain(network, dataset, root=data, folder=cache)


def right(trained: Trained, data: Path, part: Any = "test", dataset: Any = STORED) -> float:
    """Proportion of a part that the network answers rightly, by a loop of its own."""
    split = dataset.load(part, data)
    with torch.inference_mode():
        return float((trained.model(dataset.normalise(split.images)).argmax(1) == split.labels).float().mean())


def files(cache: Path) -> set[str]:
    return {file.name for file in cache.glob("*.safetensors")}


# What the network computes


class Centred(Stored):
    mean = (0.4,)


class Spread(Stored):
    std = (0.26,)


class Halved(Stored):
    """Normalises in a way of its own."""

    def normalise(self, images: Tensor) -> Tensor:
        return super().normalise(images) * 0.99


class Norm(nn.BatchNorm1d):
    def __init__(self, eps: float) -> None:
        super().__init__(64, eps=eps)


def built(layers: Callable[[int], nn.Module]) -> Network:
    return Network("mine", lambda classes, shape: layers(classes), RECIPE)


def of_norm(eps: float) -> Network:
    return built(lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(36, 64), Norm(eps), nn.ReLU(), nn.Linear(64, classes)))


def of_pooling(pool: nn.Module) -> Network:
    return built(
        lambda classes: nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), pool, nn.ReLU(), nn.Flatten(), nn.Linear(72, classes))
    )


def of_padding(mode: str) -> Network:
    return built(
        lambda classes: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, padding_mode=mode), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes)
        )
    )


OTHERS: dict[str, tuple[tuple[Network, Any], tuple[Network, Any]]] = {
    "another activation": ((network(), STORED), (network(activation=nn.Tanh), STORED)),
    "an activation with a limit": ((network(), STORED), (network(activation=nn.ReLU6), STORED)),
    "an activation that is nearly the same": ((network(), STORED), (network(activation=lambda: nn.LeakyReLU(0.001)), STORED)),
    "another mean": ((network(), STORED), (network(), Centred())),
    "another deviation": ((network(), STORED), (network(), Spread())),
    "another way to normalise": ((network(), STORED), (network(), Halved())),
    "another eps": ((of_norm(1e-5), STORED), (of_norm(1e-2), STORED)),
    "another pooling": ((of_pooling(nn.MaxPool2d(2)), STORED), (of_pooling(nn.AvgPool2d(2)), STORED)),
    "another padding": ((of_padding("zeros"), STORED), (of_padding("circular"), STORED)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_computes_something_else_is_trained_anew_and_both_are_kept(
    what: str, data: Path, cache: Path, trainings: list[str]
) -> None:
    """Names, recipe and shapes are the same. Two commits in turns do not train each time."""
    (one, its), (other, others) = OTHERS[what]
    first, second = get(one, data, cache, its), get(other, data, cache, others)
    assert len(trainings) == 2
    assert second.file != first.file
    assert second.card.key == first.card.key
    again = [get(*given) for given in ((one, data, cache, its), (other, data, cache, others), (one, data, cache, its))]
    assert [trained.file for trained in again] == [first.file, second.file, first.file]
    assert len(trainings) == 2


def test_what_is_measured_is_what_a_fresh_cache_gives(data: Path, tmp_path: Path) -> None:
    """With the weights of another activation it measured 63 % where a fresh cache gives 88.5 %."""
    get(network(), data, tmp_path / "used")
    used, fresh = (get(network(activation=nn.Tanh), data, tmp_path / name) for name in ("used", "fresh"))
    assert used.card.accuracy == fresh.card.accuracy == pytest.approx(right(used, data))
    assert used.card.sha256 == fresh.card.sha256


# How it is trained: the same function with the same weights, and other weights from the same data


class Frozen(nn.Linear):
    def __init__(self) -> None:
        super().__init__(36, 64)
        self.weight.requires_grad_(False)


class Mirrored(Stored):
    augment = ("mirror",)


def started(start: Callable[[Tensor], object]) -> Network:
    def layers(classes: int) -> nn.Module:
        first = nn.Linear(36, 64)
        start(first.weight)
        return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(64, classes))

    return built(layers)


def of_momentum(momentum: float) -> Network:
    return built(
        lambda classes: nn.Sequential(
            nn.Flatten(), nn.Linear(36, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(), nn.Linear(64, classes)
        )
    )


PLAIN = built(lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, classes)))
TRAINED_OTHERWISE: dict[str, tuple[tuple[Network, Any], tuple[Network, Any]]] = {
    "dropout": ((network(), STORED), (network(between=nn.Dropout), STORED)),
    "more dropout": (
        (network(between=lambda: nn.Dropout(0.2)), STORED),
        (network(between=lambda: nn.Dropout(0.3)), STORED),
    ),
    "other initial weights": ((started(nn.init.xavier_uniform_), STORED), (started(nn.init.kaiming_normal_), STORED)),
    "a frozen layer": (
        (PLAIN, STORED),
        (built(lambda classes: nn.Sequential(nn.Flatten(), Frozen(), nn.ReLU(), nn.Linear(64, classes))), STORED),
    ),
    "another momentum": ((of_momentum(0.1), STORED), (of_momentum(0.5), STORED)),
    "augmentation": (
        (Network("mine", network().build, RECIPE.replace(mirror=True)), STORED),
        (Network("mine", network().build, RECIPE.replace(mirror=True)), Mirrored()),
    ),
}


@pytest.mark.parametrize("what", TRAINED_OTHERWISE)
def test_what_would_be_trained_otherwise_is_trained_anew(
    what: str, data: Path, cache: Path, trainings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (one, its), (other, others) = TRAINED_OTHERWISE[what]
    first = get(one, data, cache, its)
    with caplog.at_level(logging.WARNING, "membench"):
        second = get(other, data, cache, others)
    assert second.card.sha256 != first.card.sha256
    assert "mine on stored is trained anew. Not used: " in caplog.text
    assert "the network is trained otherwise than then" in caplog.text
    assert get(one, data, cache, its).file == first.file
    assert len(trainings) == 2


def test_another_number_of_threads_is_not_another_network(data: Path, cache: Path, trainings: list[str]) -> None:
    first = get(network(), data, cache)
    with pinned_threads(2):
        assert obtain(network(), STORED, root=data, folder=cache).file == first.file
    assert trainings == ["mine"]


def test_weights_of_another_version_of_torch_are_used(data: Path, cache: Path, trainings: list[str]) -> None:
    """Its generators may draw other initial weights; what the network computes with the trained ones tells enough."""
    first = get(network(), data, cache)
    card = first.file.with_suffix(".json")
    content = json.loads(card.read_text())
    content["torch"] = "1.0"
    content["start"][0][0][0] = 1e6
    card.write_text(json.dumps(content))
    assert get(network(), data, cache).file == first.file
    assert trainings == ["mine"]


def test_a_factory_that_draws_from_a_generator_of_its_own_is_trained_once(
    data: Path, cache: Path, trainings: list[str]
) -> None:
    generator = np.random.default_rng()

    def start(weight: Tensor) -> None:
        with torch.no_grad():
            weight.copy_(torch.from_numpy(generator.normal(0, 0.1, weight.shape)))

    mine = started(start)
    first = get(mine, data, cache)
    assert first.card.start is None
    assert get(mine, data, cache).file == first.file
    assert trainings == ["mine"]


def test_a_network_of_signs_is_trained_once(data: Path, cache: Path, trainings: list[str]) -> None:
    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + (x.sign() - x).detach()

    mine = network(activation=Sign)
    assert get(mine, data, cache).file == get(mine, data, cache).file
    assert trainings == ["mine"]


# The data


def swapped(arrays: dict[str, Any]) -> dict[str, Any]:
    """Training and test images change places: what is measured was trained on."""
    count = len(arrays["x_test"])
    return {
        "x_train": np.concatenate([arrays["x_test"], arrays["x_train"][count:]]),
        "y_train": np.concatenate([arrays["y_test"], arrays["y_train"][count:]]),
        "x_test": arrays["x_train"][:count],
        "y_test": arrays["y_train"][:count],
    }


def added(arrays: dict[str, Any]) -> dict[str, Any]:
    """The test images are among the training images, too."""
    return arrays | {
        name: np.concatenate([arrays[name], arrays[name.replace("train", "test")]]) for name in ("x_train", "y_train")
    }


def one_more(arrays: dict[str, Any]) -> dict[str, Any]:
    """One test image has become a training image with another in its place."""
    x_test = arrays["x_test"].copy()
    x_test[0] = 255 - x_test[0]
    x_train = arrays["x_train"].copy()
    x_train[0] = arrays["x_test"][0]
    return arrays | {"x_test": x_test, "x_train": x_train}


def moved(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda arrays: arrays | {name: (arrays[name] + 1) % 3}


def turned(arrays: dict[str, Any]) -> dict[str, Any]:
    """Another order of the same images."""
    order = np.random.default_rng(5).permutation(len(arrays["x_train"]))
    return arrays | {"x_train": arrays["x_train"][order], "y_train": arrays["y_train"][order]}


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "training and test images changed places": swapped,
    "one test image became a training image": one_more,
    "the training images were replaced": lambda arrays: (
        arrays | {"x_train": drawn(1)["x_train"], "y_train": drawn(1)["y_train"]}
    ),
    "some training images were left out": lambda arrays: arrays | {name: arrays[name][30:] for name in ("x_train", "y_train")},
    "the test images were replaced": lambda arrays: arrays | {"x_test": drawn(1)["x_test"], "y_test": drawn(1)["y_test"]},
    "fewer test images": lambda arrays: arrays | {name: arrays[name][:30] for name in ("x_test", "y_test")},
    "all was replaced": lambda arrays: drawn(1),
    "the classes of the training images changed": moved("y_train"),
    "the classes of the test images changed": moved("y_test"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_or_classes_are_trained_on_anew(change: str, data: Path, cache: Path, trainings: list[str]) -> None:
    first = get(network(), data, cache)
    write(data, CHANGES[change](drawn()))
    second = get(network(), data, cache)
    assert len(trainings) == 2
    assert second.card.accuracy == pytest.approx(right(second, data))
    training, test = STORED.load("train", data), STORED.load("test", data)
    assert (second.card.train_labelled, second.card.test_labelled) == (training.labelled_digest, test.labelled_digest)
    assert set(image_hashes(training)).isdisjoint(image_hashes(test))
    write(data, drawn())
    assert get(network(), data, cache).file == first.file
    assert len(trainings) == 2


def test_no_network_is_measured_on_what_it_was_trained_on(data: Path, cache: Path) -> None:
    """The test images were trained on before both parts changed places: 100 % right, and 'baseline update' made that the baseline."""
    first = get(network(), data, cache)
    assert right(first, data, "train") > 0.95
    write(data, swapped(drawn()))
    assert right(first, data) > 0.95  # with the old weights
    second = get(network(), data, cache)
    assert second.card.accuracy < 0.9
    assert right(second, data) == pytest.approx(second.card.accuracy)


@pytest.mark.parametrize("change", [added, turned], ids=["test images are among the training images", "another order"])
def test_the_same_images_are_not_trained_on_twice(
    change: Callable[[dict[str, Any]], dict[str, Any]], data: Path, cache: Path, trainings: list[str]
) -> None:
    """Training images that are test images are left out, so that the same ones are left."""
    first = get(network(), data, cache)
    write(data, change(drawn()))
    assert get(network(), data, cache).file == first.file
    assert trainings == ["mine"]


def test_two_projects_of_the_same_names_each_get_their_own(tmp_path: Path, cache: Path, trainings: list[str]) -> None:
    """They share the user's cache. One of them was measured at chance with the weights of the other."""
    places = [write(tmp_path / name, drawn(seed)) for name, seed in (("one", 0), ("two", 7))]
    trained = [get(network(), place, cache) for place in (*places, *places)]
    assert [right(one, place) for one, place in zip(trained, 2 * places, strict=True)] == [
        pytest.approx(one.card.accuracy) for one in trained
    ]
    assert trained[0].file == trained[2].file != trained[1].file == trained[3].file
    assert len(trainings) == 2
    assert min(one.card.accuracy for one in trained) > 0.4


class Leaking(Stored):
    """Reads its parts in a way of its own, and leaves nothing out."""

    def load(self, part: Any, root: Path | None = None) -> Split:
        assert root is not None
        return self.read(root / "stored.npz", part)


@pytest.mark.parametrize(
    "work", [obtain, lambda *given, **rest: cross_validate(given[0], given[1], 2, **rest)], ids=["train", "folds"]
)
def test_a_data_set_that_trains_on_its_test_images_is_refused(work: Any, data: Path, cache: Path, trainings: list[str]) -> None:
    write(data, added(drawn()))
    with pytest.raises(InputError, match=r"Data set 'stored': 60 of its 60 test images are training images as well"):
        work(network(), Leaking(), root=data, folder=cache)
    assert trainings == []


def test_without_the_training_images_other_weights_than_shipped_ones_are_not_used(data: Path, cache: Path) -> None:
    """What they were trained on cannot be seen then."""
    get(network(), data, cache)

    class TestAlone(Stored):
        def read(self, found: Path, part: Any) -> Split:
            if part == "train":
                raise DataMissingError("the training part is not here")
            return super().read(found, part)

    with pytest.raises(DataMissingError, match="the training part is not here"):
        get(network(), data, cache, TestAlone())


# Shipped weights


@pytest.fixture
def ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_weights, "SHIPPED", tmp_path / "shipped")


@pytest.mark.usefixtures("ships")
def test_shipped_weights_need_the_test_images_and_not_the_training_images(
    data: Path, cache: Path, trainings: list[str]
) -> None:
    sent = ship_weights(get(network(), data, cache))
    read: list[str] = []

    class Watched(Stored):
        def read(self, found: Path, part: Any) -> Split:
            read.append(part)
            return super().read(found, part)

    assert get(network(), data, cache / "other", Watched()).file == sent.file
    assert set(read) == {"test"}
    assert trainings == ["mine"]


@pytest.mark.usefixtures("ships")
@pytest.mark.parametrize("change", ["the test images were replaced", "the classes of the test images changed"])
def test_shipped_weights_are_not_used_on_other_test_images(change: str, data: Path, cache: Path, trainings: list[str]) -> None:
    sent = ship_weights(get(network(), data, cache))
    write(data, CHANGES[change](drawn()))
    assert get(network(), data, cache).file != sent.file
    assert len(trainings) == 2


@pytest.mark.usefixtures("ships")
@pytest.mark.parametrize("what", ["another activation", "another mean"])
def test_shipped_weights_are_not_used_by_another_network(what: str, data: Path, cache: Path, trainings: list[str]) -> None:
    (one, its), (other, others) = OTHERS[what]
    sent = ship_weights(get(one, data, cache, its))
    found = get(other, data, cache / "other", others)
    assert (found.file != sent.file, len(trainings)) == (True, 2)
    assert find_trained(one, its, root=data, folder=cache / "other") is not None


# Cards


@pytest.mark.parametrize("field", ["probe", "test_labelled", "train_labelled"])
def test_a_card_of_an_earlier_membench_does_not_fit(
    field: str, data: Path, cache: Path, trainings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = get(network(), data, cache)
    card = first.file.with_suffix(".json")
    card.write_text(json.dumps({name: value for name, value in json.loads(card.read_text()).items() if name != field}))
    second = get(network(), data, cache)
    assert len(trainings) == 2
    assert second.file.name == first.file.name.replace(".safetensors", "-2.safetensors")
    assert files(cache) == {first.file.name, second.file.name}
    assert "an earlier membench trained them" in caplog.text


def test_three_that_do_not_fit_each_other_are_kept_side_by_side(data: Path, cache: Path) -> None:
    activations = (nn.ReLU, nn.Tanh, nn.Sigmoid)
    names = [get(network(activation=each), data, cache).file.name for each in (*activations, *activations)]
    stem = names[0].removesuffix(".safetensors")
    assert names == 2 * [f"{stem}.safetensors", f"{stem}-2.safetensors", f"{stem}-3.safetensors"]


def test_weights_alone_are_replaced_in_their_place(data: Path, cache: Path) -> None:
    first, second = (get(network(activation=each), data, cache) for each in (nn.ReLU, nn.Tanh))
    first.file.with_suffix(".json").unlink()
    assert get(network(), data, cache).file == first.file
    assert files(cache) == {first.file.name, second.file.name}


def test_a_network_of_tied_weights_is_trained_and_found_again(data: Path, cache: Path, trainings: list[str]) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode, self.head = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 3)
            self.decode.weight = self.encode.weight

        def forward(self, x: Tensor) -> Tensor:
            answers: Tensor = self.head(self.decode(self.encode(x.flatten(1)).relu()).relu())
            return answers

    mine = built(lambda classes: Tied())
    first, second = get(mine, data, cache), get(mine, data, cache)
    assert trainings == ["mine"]
    assert torch.equal(second.model.encode.weight, second.model.decode.weight)  # type: ignore[union-attr, arg-type]
    assert right(first, data) == right(second, data)


# What training leaves when it is interrupted


def interrupted(network: Network, data: Path, cache: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("epoch 5"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pinned_threads(1):
        obtain(network, STORED, root=data, folder=cache, progress=stop)


def steps(network: Network, data: Path, cache: Path) -> set[str]:
    """The epochs that are trained to get the weights."""
    seen: set[str] = set()
    with pinned_threads(1):
        obtain(network, STORED, root=data, folder=cache, progress=lambda what, done, total: seen.add(what))
    return seen


def test_an_interrupted_training_goes_on(data: Path, cache: Path) -> None:
    interrupted(network(), data, cache)
    assert "epoch 1/8" not in steps(network(), data, cache)


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.Tanh])
def test_an_interrupted_training_of_another_network_is_begun_anew(
    activation: Callable[[], nn.Module], data: Path, cache: Path, tmp_path: Path
) -> None:
    interrupted(network(), data, cache)
    assert "epoch 1/8" in steps(network(activation=activation), data, cache)


def test_an_interrupted_training_with_other_classes_is_begun_anew(data: Path, cache: Path) -> None:
    interrupted(network(), data, cache)
    write(data, moved("y_train")(drawn()))
    assert "epoch 1/8" in steps(network(), data, cache)


# Cross-validation


def test_folds_of_another_network_are_trained_anew(data: Path, cache: Path) -> None:
    with pinned_threads(1):
        first, other, again = (
            cross_validate(network(activation=each), STORED, 2, root=data, folder=cache) for each in (nn.ReLU, nn.Tanh, nn.ReLU)
        )
    assert again == first
    assert other.held_out != first.held_out
    assert len(list(cache.glob("*.json"))) == 4


# What cannot be trained at all


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng()

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(self.generator.normal(0, 0.1, x.shape)).float()


def test_a_network_that_answers_otherwise_each_time_is_refused_before_it_is_trained(
    data: Path, cache: Path, trainings: list[str]
) -> None:
    """It was trained, and would be trained anew each time: it never computes what its card says."""
    with pytest.raises(
        InputError, match=r"Network 'mine' answers otherwise each time, with the same weights in evaluation mode"
    ):
        get(network(between=Noisy), data, cache)
    assert trainings == []


def test_a_network_without_a_recipe_says_what_to_give_it(data: Path, cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"The network 'bare' has no recipe for 'stored', so it cannot be trained\. Give it one"
    ):
        get(Network("bare", network().build), data, cache)


def test_a_recipe_for_one_data_set_is_enough_for_it(data: Path, cache: Path) -> None:
    mine = Network("mine", network().build, recipes={"stored": Recipe(epochs=1, batch_size=30, shift=0, mirror=False)})
    assert get(mine, data, cache).card.recipe == mine.recipe_for("stored")
