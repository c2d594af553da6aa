"""Cross-validation: every image is held out once, none is measured by a network that saw it, and nothing is trained twice."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from membench.datasets import DATASETS, Split, image_hashes
from membench.errors import DataMissingError, FileFormatError, InputError
from membench.models import NETWORKS, CrossValidation, Fold, FoldCard, Network, Recipe, Spread, _folds, digest
from membench.models._folds import cross_validate, part_images
from membench.models._train import Progress, train
from membench.runtime import isolated, pinned_threads

MNIST5K, TINY = DATASETS.get("mnist5k"), NETWORKS.get("tiny")
FOLDS, EPOCHS = 3, 2
RECIPE = Recipe(epochs=EPOCHS, batch_size=64, mirror=False, shift=0)
STEPS = 4  # an epoch of the 266 or 267 images that a fold is trained on


class Few(type(MNIST5K)):  # type: ignore[misc]
    """Every tenth image of mnist5k: 400 and 100."""

    name, test_images = "few", 100

    def read(self, found: Path, part: Any) -> Split:
        split = super().read(found, part)
        return split.take(torch.arange(0, len(split), 10))


FEW = Few()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with pinned_threads(1):
        yield


@pytest.fixture(scope="module")
def images() -> Split:
    return FEW.load("train")


def validate(folder: Path, folds: int = FOLDS, recipe: Recipe = RECIPE, **rest: Any) -> CrossValidation:
    return cross_validate(rest.pop("network", TINY), rest.pop("dataset", FEW), folds, recipe=recipe, folder=folder, **rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def whole(folder: Path) -> CrossValidation:
    """An uninterrupted cross-validation; its cards are in `folder`."""
    return validate(folder)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    """The images of each training, in order."""
    seen: list[Split] = []

    def spy(network: Network, dataset: Any, split: Split, recipe: Recipe, **rest: Any) -> torch.nn.Module:
        seen.append(split)
        return train(network, dataset, split, recipe, **rest)

    monkeypatch.setattr(_folds, "train", spy)
    return seen


def measured(found: CrossValidation) -> list[dict[str, Any]]:
    """The folds without what differs from one training to the next of the very same weights."""
    return [fold.model_dump(exclude={"seconds", "created"}) for fold in found.folds]


# Parts


def parted(split: Split, folds: int, seed: int, name: str = "few") -> list[tuple[Split, Split]]:
    """Of each fold the images to train on, and those held out."""
    return [(split.take(seen), split.take(unseen)) for seen, unseen in part_images(split, folds, seed, name)]


@pytest.mark.parametrize("folds", [2, 3, 7, 20])
def test_each_image_is_held_out_once_and_trained_on_by_all_other_folds(folds: int, images: Split) -> None:
    parts = parted(images, folds, 0)
    everything = sorted(image_hashes(images))
    assert len(parts) == folds
    assert sorted(hashed for _, held_out in parts for hashed in image_hashes(held_out)) == everything
    for training, held_out in parts:
        assert set(image_hashes(training)).isdisjoint(image_hashes(held_out))
        assert sorted(image_hashes(training) + image_hashes(held_out)) == everything


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_each_part_has_as_many_images_of_a_class_to_within_one(folds: int, images: Split) -> None:
    counts = torch.stack([torch.bincount(held_out.labels, minlength=10) for _, held_out in parted(images, folds, 0)])
    assert (counts.max(0).values - counts.min(0).values).max() <= 1
    assert counts.sum(0).equal(torch.bincount(images.labels))
    assert counts.sum(1).max() - counts.sum(1).min() <= 1


def test_images_keep_their_classes(images: Split) -> None:
    known = dict(zip(image_hashes(images), images.labels.tolist(), strict=True))
    for pair in parted(images, 3, 0):
        for split in pair:
            assert [known[hashed] for hashed in image_hashes(split)] == split.labels.tolist()


def same(one: list[tuple[Split, Split]], other: list[tuple[Split, Split]]) -> bool:
    return all(
        a.images.equal(b.images) and a.labels.equal(b.labels)
        for pair, pair_of_other in zip(one, other, strict=True)
        for a, b in zip(pair, pair_of_other, strict=True)
    )


def test_parts_and_order_are_the_same_whatever_lies_first_on_disk(images: Split) -> None:
    """The order too, in which a network is shown its images."""
    shuffled = images.take(torch.randperm(len(images), generator=torch.Generator().manual_seed(1)))
    assert not shuffled.images.equal(images.images)
    assert same(parted(shuffled, 3, 5), parted(images, 3, 5))


def test_another_seed_gives_other_parts(images: Split) -> None:
    held_out = [{digest(part[1]) for part in parted(images, 3, seed)} for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1]
    assert held_out[0].isdisjoint(held_out[2])


def test_parts_depend_on_no_generator_and_leave_them_alone(images: Split) -> None:
    first = parted(images, 3, 0)
    with isolated(123):
        python, legacy = random.getstate(), np.random.get_state()
        assert same(parted(images, 3, 0), first)
        assert random.getstate() == python
        assert np.random.get_state()[1].tolist() == legacy[1].tolist()


def test_images_of_a_class_are_not_parted_as_they_lie(images: Split) -> None:
    """Parts are drawn: they are no stretches of the order by hash."""
    by_hash = sorted(image_hashes(images))
    positions = [sorted(by_hash.index(hashed) for hashed in image_hashes(part[1])) for part in parted(images, 4, 0)]
    assert all(found[0] < 40 and found[-1] >= 360 for found in positions)


def test_copies_of_an_image_are_in_the_same_part_whatever_their_class(images: Split) -> None:
    """Or a network would be measured on an image that it was trained on."""
    copies = torch.arange(0, 60)
    labels = images.labels[copies].clone()
    labels[::2] = (labels[::2] + 1) % 10
    doubled = Split(torch.cat([images.images, images.images[copies]]), torch.cat([images.labels, labels]))
    for seed in range(3):
        parts = parted(doubled, 5, seed)
        assert sum(len(held_out) for _, held_out in parts) == len(doubled)
        for training, held_out in parts:
            assert len(training) + len(held_out) == len(doubled)
            assert set(image_hashes(training)).isdisjoint(image_hashes(held_out))
    reversed_ = doubled.take(torch.arange(len(doubled) - 1, -1, -1))
    assert same(parted(reversed_, 5, 0), parted(doubled, 5, 0))


@pytest.mark.parametrize("folds", [-1, 0, 1, 41, 1000])
def test_impossible_numbers_of_folds_are_refused_before_anything_is_trained(
    folds: int, trainings: list[Split], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"^{folds} folds are not possible: .* Allowed: 2 to 40\.$"):
        validate(tmp_path, folds)
    assert trainings == []
    assert not list(tmp_path.iterdir())


def test_the_class_that_has_too_few_images_is_named(images: Split) -> None:
    others, threes = torch.nonzero(images.labels != 3)[:, 0], torch.nonzero(images.labels == 3)[:, 0]
    few = images.take(torch.cat([others, threes[:5]]))
    assert len(parted(few, 5, 0)) == 5
    with pytest.raises(InputError, match=r"class 3 of few has 5 different training images.* Allowed: 2 to 5\."):
        parted(few, 6, 0)
    with pytest.raises(InputError, match=r"class 3 of few has 1 different.* get more images\."):
        parted(images.take(torch.cat([others, threes[:1]])), 2, 0)


def test_as_many_folds_as_images_of_the_smallest_class(images: Split) -> None:
    assert len(parted(images, 40, 0)) == 40
    twice = Split(torch.cat([images.images] * 2), torch.cat([images.labels] * 2))
    with pytest.raises(InputError, match="40 different training images"):
        parted(twice, 41, 0)


# What is measured


def test_each_fold_is_the_network_trained_on_the_other_parts(whole: CrossValidation, images: Split, tmp_path: Path) -> None:
    """Trained and measured again, by a loop of its own."""
    test = FEW.load("test")
    assert [fold.number for fold in whole.folds] == [1, 2, 3]
    for fold, (training, held_out) in zip(whole.folds, parted(images, FOLDS, RECIPE.seed), strict=True):
        model = train(TINY, FEW, training, RECIPE, checkpoint=tmp_path / str(fold.number))
        with torch.inference_mode():
            right = [
                (model(FEW.normalise(split.images)).argmax(1) == split.labels).sum().item() / len(split)
                for split in (held_out, test)
            ]
        assert [fold.held_out_accuracy, fold.test_accuracy] == right
        assert (fold.train_images, fold.held_out_images, fold.test_images) == (len(training), len(held_out), 100)
        assert (fold.train_digest, fold.held_out_digest) == (digest(training), digest(held_out))
        assert fold.torch == torch.__version__
        assert 0 <= fold.seconds < 60
    assert len({(fold.held_out_accuracy, fold.test_accuracy) for fold in whole.folds}) == FOLDS  # they are three networks


def test_no_network_sees_what_it_is_measured_on(tmp_path: Path, images: Split, trainings: list[Split]) -> None:
    found = validate(tmp_path, recipe=RECIPE.replace(epochs=1))
    assert len(trainings) == FOLDS
    known, test = set(image_hashes(images)), set(image_hashes(FEW.load("test")))
    for fold, training in zip(found.folds, trainings, strict=True):
        seen = set(image_hashes(training))
        unseen = [index for index, hashed in enumerate(image_hashes(images)) if hashed not in seen]
        assert seen.isdisjoint(test)
        assert len(seen) == fold.train_images < len(known)
        assert digest(images.take(torch.tensor(unseen))) == fold.held_out_digest


def test_the_seed_of_the_recipe_parts_the_images_and_gives_the_weights(whole: CrossValidation, tmp_path: Path) -> None:
    again, other = validate(tmp_path), validate(tmp_path, recipe=RECIPE.replace(seed=1))
    assert measured(again) == measured(whole)
    assert {fold.held_out_digest for fold in other.folds}.isdisjoint(fold.held_out_digest for fold in whole.folds)


def test_the_whole_says_what_was_validated(whole: CrossValidation) -> None:
    assert (whole.network, whole.dataset, whole.recipe, whole.threads) == ("tiny", "few", RECIPE, 1)
    assert whole.held_out == Spread.of([fold.held_out_accuracy for fold in whole.folds])
    assert whole.test == Spread.of([fold.test_accuracy for fold in whole.folds])
    assert whole.held_out != whole.test
    assert CrossValidation.from_json(whole.model_dump_json(), "it") == whole


def test_the_networks_own_recipe_for_the_data_set_is_used(tmp_path: Path) -> None:
    network = Network("tiny", TINY.build, RECIPE, {"few": RECIPE.replace(epochs=1)})
    assert cross_validate(network, FEW, 2, folder=tmp_path).recipe.epochs == 1


def test_spread_by_hand() -> None:
    """Mean 93 %, deviation sqrt(13) points; t of two degrees of freedom is 4.302653."""
    spread = Spread.of([0.90, 0.92, 0.97])
    assert spread.mean == pytest.approx(93)
    assert spread.deviation == pytest.approx(13**0.5)
    assert spread.low == pytest.approx(93 - 4.302653 * (13 / 3) ** 0.5, abs=1e-5)
    assert spread.high == 100.0  # 101.96, and there is no such accuracy
    assert Spread.of([0.02, 0.0]).low == 0.0
    equal = Spread.of([0.5, 0.5])
    assert (equal.mean, equal.deviation, equal.low, equal.high) == (50, 0, 50, 50)


def test_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=re.escape(str(tmp_path / "none"))):
        cross_validate(TINY, DATASETS.get("mnist"), 2, root=tmp_path / "none", folder=tmp_path)


# Progress and interruptions


class InterruptedByTestError(Exception):
    """What ends a validation early."""


def interrupt(at: int) -> Progress:
    def tell(what: str, done: int, total: int) -> None:
        if done == at:
            raise InterruptedByTestError

    return tell


def test_progress_counts_the_steps_of_all_folds(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    validate(tmp_path, progress=lambda *said: told.append(said))
    total = FOLDS * EPOCHS * STEPS
    assert [done for _, done, _ in told] == list(range(1, total + 1))
    assert {of for _, _, of in told} == {total}
    assert told[0][0] == "fold 1/3, epoch 1/2"
    assert told[-1][0] == "fold 3/3, epoch 2/2"


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_interrupted_it_goes_on_in_the_fold_and_epoch_it_was_in(
    fold: int, whole: CrossValidation, tmp_path: Path, trainings: list[Split]
) -> None:
    reached = ((fold - 1) * EPOCHS + 1) * STEPS + 1  # the first step of the fold's second epoch
    with pytest.raises(InterruptedByTestError):
        validate(tmp_path, progress=interrupt(reached))
    assert len(list(tmp_path.glob("*.json"))) == fold - 1
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1
    trainings.clear()
    steps: list[int] = []
    found = validate(tmp_path, progress=lambda what, done, total: steps.append(done))
    assert steps == list(range(reached, FOLDS * EPOCHS * STEPS + 1))
    assert [digest(split) for split in trainings] == [one.train_digest for one in whole.folds[fold - 1 :]]
    assert measured(found) == measured(whole)


def test_a_kill_after_the_last_epoch_costs_nothing(
    whole: CrossValidation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the training stays until the card is written, and then goes."""
    with monkeypatch.context() as patch:
        patch.setattr(_folds, "write_atomically", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            validate(tmp_path)
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1
    steps: list[int] = []
    assert measured(validate(tmp_path, progress=lambda what, done, total: steps.append(done))) == measured(whole)
    assert steps[0] == EPOCHS * STEPS + 1
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".lock"}  # neither weights nor checkpoints


def test_finished_folds_are_not_trained_again(whole: CrossValidation, folder: Path, trainings: list[Split]) -> None:
    assert validate(folder) == whole
    assert trainings == []


def test_one_fold_that_is_gone_is_trained_again_alone(
    whole: CrossValidation, copied: list[Path], trainings: list[Split]
) -> None:
    copied[1].unlink()
    assert measured(validate(copied[1].parent)) == measured(whole)
    assert [digest(split) for split in trainings] == [whole.folds[1].train_digest]


def test_two_at_once_train_each_fold_once(whole: CrossValidation, tmp_path: Path, trainings: list[Split]) -> None:
    start, results = threading.Barrier(2), list[CrossValidation]()

    def work() -> None:
        with pinned_threads(1):  # the number is each thread's own
            start.wait(10)
            results.append(validate(tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2
    assert results[0] == results[1]
    assert len(trainings) == FOLDS


# Cards


@pytest.fixture
def copied(whole: CrossValidation, folder: Path, tmp_path: Path) -> list[Path]:
    """Copies of the three cards, in the order of the folds, that a test may damage."""
    for file in folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return sorted(tmp_path.glob("*.json"))


def test_the_card_of_a_fold(whole: CrossValidation, copied: list[Path]) -> None:
    cards = [FoldCard.from_json(file.read_bytes(), file.name) for file in copied]
    assert tuple(card.fold for card in cards) == whole.folds
    assert len({card.key for card in cards}) == FOLDS
    for number, (card, file) in enumerate(zip(cards, copied, strict=True), 1):
        assert (card.network, card.dataset, card.recipe, card.folds, card.threads) == ("tiny", "few", RECIPE, FOLDS, 1)
        assert file.name == f"few-tiny-fold-{number}-of-3-{card.key[:12]}.json"


class Other(Few):
    """Another tenth of the images, for one part."""

    def __init__(self, part: str) -> None:
        self.part = part

    def read(self, found: Path, part: Any) -> Split:
        split = super(Few, self).read(found, part)
        return split.take(torch.arange(1 if part == self.part else 0, len(split), 10))


class Relabelled(Few):
    """Two images of different classes with each other's class."""

    def __init__(self, part: str) -> None:
        self.part = part

    def read(self, found: Path, part: Any) -> Split:
        split = super().read(found, part)
        if part != self.part:
            return split
        labels = split.labels.clone()
        pair = [0, int((labels != labels[0]).nonzero()[0])]
        labels[pair] = labels[pair[::-1]]
        return Split(split.images, labels)


class Renamed(Few):
    """The same images under another name."""

    name = "renamed"


CHANGES: dict[str, dict[str, Any]] = {
    "the recipe": {"recipe": RECIPE.replace(max_lr=0.05)},
    "the precision": {"recipe": RECIPE.replace(precision="bfloat16")},
    "the number of folds": {"folds": 2},
    "the network": {"network": Network("other", TINY.build, RECIPE)},
    "the name of the data": {"dataset": Renamed()},
    "the training images": {"dataset": Other("train")},
    "the test images": {"dataset": Other("test")},
    "the classes of training images": {"dataset": Relabelled("train")},
    "the classes of test images": {"dataset": Relabelled("test")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_is_trained_again(change: str, copied: list[Path], trainings: list[Split]) -> None:
    keys = {json.loads(file.read_text())["key"] for file in copied}
    found = validate(copied[0].parent, **CHANGES[change])
    assert len(trainings) == len(found.folds)
    after = {json.loads(file.read_text())["key"] for file in copied[0].parent.glob("*.json")}
    assert len(after - keys) == len(found.folds)
    assert keys < after  # the first ones are still there


def test_another_number_of_threads_is_trained_again(copied: list[Path], trainings: list[Split]) -> None:
    with pinned_threads(2):
        assert validate(copied[0].parent).threads == 2
    assert len(trainings) == FOLDS


def edit(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | changes).encode()


def edit_fold(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps((card := json.loads(data)) | {"fold": card["fold"] | changes}).encode()


CARDS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-20],
    "no text": lambda data: b"\xff\xfe" + data,
    "a list": lambda data: b"[]",
    "a field too many": edit(note="mine"),
    "a field of the fold is missing": lambda data: data.replace(b'"test_accuracy"', b'"accuracy"'),
    "another schema version": edit(schema_version=2),
    "accuracy beyond 1": edit_fold(held_out_accuracy=98.9),
    "accuracy is text": edit_fold(test_accuracy="high"),
}


@pytest.mark.parametrize("damage", CARDS)
def test_a_damaged_card_is_refused_by_name(damage: str, copied: list[Path], trainings: list[Split]) -> None:
    copied[1].write_bytes(CARDS[damage](copied[1].read_bytes()))
    with pytest.raises(FileFormatError, match=re.escape(f"Remove {copied[1]}; this fold will be trained again.")):
        validate(copied[1].parent)
    assert trainings == []


def test_a_card_of_another_key_is_not_used(whole: CrossValidation, copied: list[Path], trainings: list[Split]) -> None:
    original = copied[2].read_bytes()
    copied[2].write_bytes(edit_fold(test_accuracy=1.0)(edit(key="0" * 64)(original)))
    assert measured(validate(copied[2].parent)) == measured(whole)
    assert len(trainings) == 1
    assert json.loads(copied[2].read_bytes())["key"] == json.loads(original)["key"]


def test_without_a_folder_cards_are_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_CACHE", str(tmp_path))
    cross_validate(TINY, FEW, 2, recipe=RECIPE.replace(epochs=1))
    assert len(list((tmp_path / "folds").glob("few-tiny-fold-?-of-2-*.json"))) == 2


def test_a_fold_is_plain_data() -> None:
    with pytest.raises(InputError, match="held_out_accuracy"):
        Fold(
            number=1,
            train_images=2,
            train_digest="",
            held_out_images=1,
            held_out_digest="",
            held_out_accuracy=1.5,
            test_images=1,
            test_accuracy=1.0,
            torch="",
            seconds=0.0,
            created="",
        )
