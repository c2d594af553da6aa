"""Trained weights: what ships with membench is what its card claims, and nothing damaged or foreign is ever used."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import needs_data
from safetensors.torch import save

import membench
from membench.datasets import DATASETS, Split, image_hashes
from membench.errors import DataMissingError, FileFormatError
from membench.models import NETWORKS, Card, Recipe, Trained, _weights, digest, obtain, ship_weights, shipped
from membench.models._weights import SHIPPED, weights_key
from membench.runtime import pinned_threads
from membench.storage import sha256

MNIST5K, TINY = DATASETS.get("mnist5k"), NETWORKS.get("tiny")
RECIPE = Recipe(epochs=1, batch_size=500, mirror=False, shift=0)
FLOORS = {"mnist": 0.993, "mnist5k": 0.97}


FILES = sorted(SHIPPED.glob("*.json"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def cards(large: tuple[pytest.MarkDecorator, ...] = ()) -> list[Any]:
    """Every card that ships; skipped where its data are not on this machine, marked as `large` where its network is."""
    found = []
    for file in FILES:
        content = json.loads(file.read_text())
        marks = large if content["parameters"] > 100_000 else ()
        found.append(pytest.param(file, marks=[needs_data(content["dataset"]), *marks], id=file.stem))
    return found


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training fails the test."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("it was trained")

    monkeypatch.setattr(_weights, "train", fail)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes that were trained, in order."""
    seen: list[Recipe] = []
    original = _weights.train

    def spy(network: Any, dataset: Any, split: Split, recipe: Recipe, **rest: Any) -> torch.nn.Module:
        seen.append(recipe)
        with pinned_threads(1):
            return original(network, dataset, split, recipe, **rest)

    monkeypatch.setattr(_weights, "train", spy)
    return seen


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The tiny network, trained on mnist5k in a folder of its own."""
    with pinned_threads(1):
        yield get(tmp_path_factory.mktemp("made"))


def get(folder: Path, recipe: Recipe = RECIPE) -> Trained:
    return obtain(TINY, MNIST5K, recipe=recipe, folder=folder)


def weights(trained: Trained) -> str:
    return sha256(save(trained.model.state_dict()))


# What ships


@pytest.mark.parametrize("file", cards())
def test_a_shipped_card_names_the_very_images_found_here(file: Path) -> None:
    """They hash to the card's digest and share none with the test images: no image that is measured was trained on."""
    card = Card.from_json(file.read_bytes(), file.name)
    train, test = (DATASETS.get(card.dataset).load(part) for part in ("train", "test"))
    assert card.test_images == len(test)
    assert set(image_hashes(train)).isdisjoint(image_hashes(test))
    if len(train) < card.train_images:  # CI has a part of CIFAR: these are the very test images that were kept out of training
        assert card.test_digest == digest(test)
    else:
        assert (card.train_images, card.train_digest) == (len(train), digest(train))


@pytest.mark.parametrize("file", cards((pytest.mark.slow,)))
def test_shipped_weights_are_as_accurate_as_their_card_claims(file: Path, forbidden: None) -> None:
    """Measured again on the whole test set, by a loop of its own."""
    card = Card.from_json(file.read_bytes(), file.name)
    dataset = DATASETS.get(card.dataset)
    test = dataset.load("test")
    trained = obtain(NETWORKS.get(card.network), dataset)
    assert trained.card == card
    right = 0
    with torch.inference_mode():
        for images, labels in zip(test.images.split(500), test.labels.split(500), strict=True):
            right += int((trained.model(dataset.normalise(images)).argmax(1) == labels).sum())
    assert abs(right / len(test) - card.accuracy) < 1e-3
    assert card.accuracy >= FLOORS.get(card.dataset, 5 / dataset.classes)


@every_file
def test_shipped_weights_fit_their_card_and_the_network_of_today(file: Path) -> None:
    card = Card.from_json(file.read_bytes(), file.name)
    network, dataset = NETWORKS.get(card.network), DATASETS.get(card.dataset)
    assert file.stem == f"{card.dataset}-{card.network}"
    assert card.recipe == network.recipe_for(card.dataset)
    assert card.key == weights_key(network, dataset, card.recipe)
    assert card.sha256 == sha256(file.with_suffix(".safetensors").read_bytes())
    model = network.build(dataset.classes, dataset.shape)
    assert card.parameters == sum(parameter.numel() for parameter in model.parameters())


@every_file
def test_shipped_weights_need_no_data(file: Path, forbidden: None, tmp_path: Path) -> None:
    card = Card.from_json(file.read_bytes(), file.name)
    trained = obtain(NETWORKS.get(card.network), DATASETS.get(card.dataset), root=tmp_path, folder=tmp_path)
    assert trained.file == file.with_suffix(".safetensors")
    assert not trained.model.training


def test_weights_for_mnist_and_mnist5k_ship() -> None:
    assert {card.dataset for card in shipped("vgg-mnist")} >= {"mnist", "mnist5k"}


def test_every_file_that_ships_belongs_to_a_card() -> None:
    assert {file.stem for file in SHIPPED.glob("*.safetensors")} == {file.stem for file in FILES}


# The digest


def test_the_digest_tells_sets_of_images_apart_and_not_their_order() -> None:
    split = MNIST5K.load("test")
    some = split.take(torch.arange(10))
    assert digest(split.take(torch.arange(9, -1, -1))) == digest(some)
    assert digest(split.take(torch.arange(9))) != digest(some)
    assert digest(split.take(torch.arange(1, 11))) != digest(some)
    assert digest(split.take(torch.tensor([*range(10), 0]))) != digest(some)


# Training once


def test_weights_are_trained_once_and_then_loaded(
    tmp_path: Path, trainings: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = get(tmp_path)
    assert trainings == [RECIPE]
    monkeypatch.setattr(_weights, "train", lambda *_, **__: pytest.fail("it was trained again"))
    second = get(tmp_path)
    assert weights(second) == weights(first)
    assert second.card == first.card
    assert not first.model.training
    assert not second.model.training


def test_a_kill_after_the_last_epoch_costs_nothing(
    tmp_path: Path, trainings: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the training stays until weights and card are written, and then goes."""
    with monkeypatch.context() as patch:
        patch.setattr(_weights, "accuracy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path)
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1
    get(tmp_path)
    assert not list(tmp_path.glob("*.checkpoint"))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_the_card_says_how_they_came_about(made: Trained) -> None:
    train, test = MNIST5K.load("train"), MNIST5K.load("test")
    card = made.card
    assert (card.network, card.dataset, card.recipe, card.threads) == ("tiny", "mnist5k", RECIPE, 1)
    assert (card.train_images, card.train_digest, card.test_images) == (4000, digest(train), 1000)
    assert card.sha256 == sha256(made.file.read_bytes())
    assert card.parameters == 4 * 25 + 2 * 4 + (4 * 7 * 7 + 1) * 10
    with torch.inference_mode():
        right = made.model(MNIST5K.normalise(test.images)).argmax(1) == test.labels
    assert card.accuracy == right.sum().item() / 1000
    assert Card.from_json(made.file.with_suffix(".json").read_bytes(), "card") == card


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 2},
        {"max_lr": 0.05},
        {"momentum": 0.8},
        {"shift": 1},
        {"mirror": True},
        {"precision": "bfloat16"},
    ],
)
def test_a_changed_recipe_has_another_key_and_is_trained_again(
    change: dict[str, Any], made: Trained, trainings: list[Recipe]
) -> None:
    changed = RECIPE.replace(**change)
    other = get(made.file.parent, changed)
    assert trainings == [changed]
    assert other.card.key != made.card.key
    assert other.file != made.file
    assert weights(get(made.file.parent)) == weights(made)  # the first ones are still there
    assert trainings == [changed]


@every_file
def test_a_shipped_card_has_the_key_that_its_recipe_gives_today(file: Path) -> None:
    """A field that recipes were given later moves no key of weights that were trained without it."""
    content = json.loads(file.read_text())
    card = Card.from_json(file.read_bytes(), file.name)
    assert card.recipe.model_dump(mode="json") == content["recipe"]
    assert weights_key(NETWORKS.get(card.network), DATASETS.get(card.dataset), card.recipe) == card.key


def test_a_recipe_from_before_there_was_a_precision_is_one_in_float32() -> None:
    old = (
        '{"epochs": 15, "batch_size": 128, "max_lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005, "label_smoothing": 0.0, '
        '"shift": 2, "mirror": false, "seed": 0}'
    )
    recipe = Recipe.from_json(old, "an old card")
    assert recipe == Recipe(epochs=15, mirror=False, precision="float32")
    assert recipe.model_dump(mode="json") == json.loads(old)
    # Of the card of vgg-mnist as it first shipped.
    assert weights_key(NETWORKS.get("vgg-mnist"), DATASETS.get("mnist"), recipe) == (
        "0cc8bef688a23ac0021dd21e3e2956b2db58109306b7938e00a6636436865266"
    )


def test_the_card_says_bfloat16_and_only_that(made: Trained, tmp_path: Path) -> None:
    halved = get(tmp_path, RECIPE.replace(precision="bfloat16"))
    assert json.loads(halved.file.with_suffix(".json").read_text())["recipe"]["precision"] == "bfloat16"
    assert "precision" not in json.loads(made.file.with_suffix(".json").read_text())["recipe"]
    assert halved.card.recipe.precision == "bfloat16"
    assert halved.card.sha256 != made.card.sha256


def test_another_network_data_set_or_shape_has_another_key() -> None:
    mnist, vgg = DATASETS.get("mnist"), NETWORKS.get("vgg-mnist")
    keys = [weights_key(network, data, RECIPE) for network in (TINY, vgg) for data in (MNIST5K, mnist)]
    wider = type(TINY)("tiny", lambda classes, shape: TINY.build(classes + 1, shape), TINY.recipe)
    assert len({*keys, weights_key(wider, MNIST5K, RECIPE)}) == 5
    assert weights_key(TINY, MNIST5K, RECIPE) == keys[0]


def test_what_must_be_trained_needs_data(tmp_path: Path, forbidden: None) -> None:
    with pytest.raises(DataMissingError, match=re.escape(str(tmp_path / "none"))):
        obtain(TINY, DATASETS.get("mnist"), root=tmp_path / "none", folder=tmp_path)


def test_two_threads_at_once_train_once(tmp_path: Path, trainings: list[Recipe], made: Trained) -> None:
    start, results = threading.Barrier(2), list[Trained]()

    def work() -> None:
        start.wait(10)
        results.append(get(tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2
    assert trainings == [RECIPE]
    assert weights(results[0]) == weights(results[1])


# Damaged and foreign files


@pytest.fixture
def copied(made: Trained, tmp_path: Path) -> Path:
    """A copy of the weights, and of their card, that a test may damage."""
    for suffix in (".safetensors", ".json"):
        (tmp_path / made.file.name).with_suffix(suffix).write_bytes(made.file.with_suffix(suffix).read_bytes())
    return tmp_path / made.file.name


def test_the_copy_is_used_as_it_is(copied: Path, made: Trained, forbidden: None) -> None:
    assert weights(get(copied.parent)) == weights(made)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="a flipped bit"),
        pytest.param(lambda data: data[:-1], id="truncated"),
        pytest.param(lambda data: data + b"\0", id="too long"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_damaged_weights_are_refused_by_name(damage: Callable[[bytes], bytes], copied: Path, forbidden: None) -> None:
    copied.write_bytes(damage(copied.read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(copied))):
        get(copied.parent)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no safetensors", id="no safetensors"),
        pytest.param(save({"0.weight": torch.zeros(4, 1, 5, 5)}), id="tensors are missing"),
        pytest.param(save({"0.weight": torch.zeros(5, 1, 5, 5)}), id="of another shape"),
    ],
)
def test_weights_that_do_not_fit_the_network_are_refused_by_name(content: bytes, copied: Path, forbidden: None) -> None:
    """Even where the card has their hash."""
    copied.write_bytes(content)
    card = copied.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"sha256": sha256(content)}))
    with pytest.raises(FileFormatError, match=re.escape(str(copied))):
        get(copied.parent)


def edit(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | changes).encode()


def lack(field: str) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({name: value for name, value in json.loads(data).items() if name != field}).encode()


CARDS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-20],
    "no text": lambda data: b"\xff\xfe" + data,
    "a list": lambda data: b"[]",
    "a field is missing": lack("train_digest"),
    "a field too many": edit(note="mine"),
    "another schema version": edit(schema_version=2),
    "a recipe that is none": edit(recipe={"epochs": 0}),
    "accuracy is text": edit(accuracy="high"),
    "accuracy beyond 1": edit(accuracy=98.9),
    "accuracy is no number": lambda data: re.sub(rb'"accuracy": [\d.]+', b'"accuracy": NaN', data),
    "a negative number of images": edit(train_images=-1),
}


@pytest.mark.parametrize("damage", CARDS)
def test_a_damaged_card_is_refused_by_name(damage: str, copied: Path, forbidden: None) -> None:
    card = copied.with_suffix(".json")
    card.write_bytes(CARDS[damage](card.read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(str(card))):
        get(copied.parent)


def test_weights_with_the_card_of_another_key_are_not_used(copied: Path, made: Trained, trainings: list[Recipe]) -> None:
    card = copied.with_suffix(".json")
    card.write_bytes(edit(key="0" * 64)(card.read_bytes()))
    assert get(copied.parent).card.key == made.card.key
    assert trainings == [RECIPE]


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_weights_or_a_card_alone_are_not_used(suffix: str, copied: Path, trainings: list[Recipe]) -> None:
    copied.with_suffix(suffix).unlink()
    get(copied.parent)
    assert trainings == [RECIPE]
    assert copied.with_suffix(suffix).exists()


# Shipping


@pytest.fixture
def own_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder for what ships."""
    monkeypatch.setattr(_weights, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


def test_shipped_weights_are_loaded_first(own_shipped: Path, made: Trained, forbidden: None, tmp_path: Path) -> None:
    sent = ship_weights(made)
    assert sent.file == own_shipped / "mnist5k-tiny.safetensors"
    assert shipped("tiny") == [made.card]
    assert shipped("vgg-mnist") == []
    loaded = get(tmp_path / "empty")
    assert loaded.file == sent.file
    assert weights(loaded) == weights(made)


def test_shipped_weights_of_another_recipe_are_passed_over(
    own_shipped: Path, made: Trained, trainings: list[Recipe], tmp_path: Path
) -> None:
    ship_weights(made)
    changed = RECIPE.replace(seed=9)
    assert get(tmp_path, changed).card.recipe == changed
    assert trainings == [changed]


def test_a_damaged_shipped_card_is_a_format_error_wherever_it_is_read(own_shipped: Path, made: Trained) -> None:
    file = ship_weights(made).file.with_suffix(".json")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        get(own_shipped)
    with pytest.raises(FileFormatError, match=re.escape(str(file))):
        shipped("tiny")


# Pickles

SOURCES = sorted(Path(membench.__file__).parent.rglob("*.py"))
UNSAFE = re.compile(
    r"torch\.(load|save|jit|package|hub)\b|\bpickle\b|\bjoblib\b|\bdill\b|\bcloudpickle\b|\bshelve\b|\bmarshal\b"
    r"|read_pickle|allow_pickle|load_state_dict_from_url"
)


def test_nothing_pickled_is_ever_loaded() -> None:
    """Weights and records are data; only CIFAR's own files are pickles, and pass a guard (tests/datasets/test_cifar_layouts.py).

    torch reads checkpoints of others with weights_only=True, in one place (tests/models/test_checkpoint.py).
    """
    lines = [(file.name, line) for file in SOURCES for line in file.read_text().splitlines()]
    loads = [line for _, line in lines if "np.load(" in line]
    assert loads
    assert all("allow_pickle=False" in line for line in loads)
    found = [(name, line) for name, line in lines if UNSAFE.search(line.replace("allow_pickle=False", ""))]
    assert len(SOURCES) > 40
    assert {name for name, _ in found} == {"_cifar.py", "_checkpoint.py"}
    of_torch = [line.strip() for name, line in found if name == "_checkpoint.py" and "torch.load(" in line]
    assert of_torch == ['return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)']
    assert not [
        line for name, line in found if name == "_checkpoint.py" and re.search(r"pickle\.|torch\.(jit|package|hub)", line)
    ]
    used = {match for _, line in found for match in re.findall(r"pickle\.\w+", line)}
    assert used == {"pickle.Unpickler", "pickle.UnpicklingError"}
