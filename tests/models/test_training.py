"""Training: the same weights for the same seed, also after an interruption, and no trace left behind."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from membench.datasets import DATASETS, Split
from membench.errors import InputError
from membench.models import NETWORKS, Network, Recipe
from membench.models._train import Progress, accuracy, augment, build, train
from membench.models.vgg import vgg
from membench.runtime import derive_seed, isolated, pinned_threads
from membench.storage import sha256

MNIST5K, TINY = DATASETS.get("mnist5k"), NETWORKS.get("tiny")
RECIPE = Recipe(epochs=3, batch_size=64, shift=1)
STEPS = 6  # an epoch of the 400 images


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Another number gives other weights; and one is the fastest for a network as small as this."""
    with pinned_threads(1):
        yield


@pytest.fixture(scope="module")
def images() -> Split:
    return MNIST5K.load("train").take(torch.arange(0, 4000, 10))


class InterruptedByTestError(Exception):
    """What ends a training early."""


def interrupt(after: int) -> Progress:
    """Stop when so many epochs are done and the next one has made a step."""

    def tell(what: str, done: int, total: int) -> None:
        assert total == RECIPE.epochs * STEPS
        if done == after * STEPS + 1:
            raise InterruptedByTestError

    return tell


def trained(
    images: Split, checkpoint: Path, recipe: Recipe = RECIPE, progress: Progress | None = None, network: Network = TINY
) -> str:
    """One hash for all bits of the weights after training."""
    model = train(network, MNIST5K, images, recipe, checkpoint=checkpoint, progress=progress)
    return sha256(save({name: value.contiguous() for name, value in model.state_dict().items()}))


@pytest.fixture(scope="module")
def whole(images: Split, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of an uninterrupted training."""
    return trained(images, tmp_path_factory.mktemp("whole") / "checkpoint")


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(images: Split, whole: str, tmp_path: Path) -> None:
    torch.manual_seed(123)  # whatever was drawn before
    assert trained(images, tmp_path / "checkpoint") == whole


@pytest.mark.parametrize("change", [{"seed": 1}, {"max_lr": 0.05}, {"shift": 0}, {"epochs": 2}, {"label_smoothing": 0.1}])
def test_another_recipe_gives_other_weights(change: dict[str, float], images: Split, whole: str, tmp_path: Path) -> None:
    assert trained(images, tmp_path / "checkpoint", RECIPE.replace(**change)) != whole


@pytest.mark.parametrize("shift", [0, 2])
def test_each_epoch_sees_each_image_once_in_an_order_of_its_own(shift: int, images: Split, tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def spy(classes: int, shape: tuple[int, int, int]) -> nn.Module:
        model = TINY.build(classes, shape)
        model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
        return model

    trained(images, tmp_path / "checkpoint", RECIPE.replace(epochs=2, shift=shift), network=Network("spy", spy, RECIPE))
    first, second = ([image.numpy().tobytes() for batch in epoch for image in batch] for epoch in (seen[:STEPS], seen[STEPS:]))
    given = {image.numpy().tobytes() for image in MNIST5K.normalise(images.images)}
    assert len(first) == len(second) == STEPS * RECIPE.batch_size
    assert first != second
    if shift:  # most of them moved, otherwise in each epoch
        assert len(given.intersection(first)) < len(given) / 4
        assert len(set(first).intersection(second)) < len(given) / 4
    else:
        assert len(set(first)) == len(first)
        assert given.issuperset(first)


def test_accuracy_rises_well_above_chance(tmp_path: Path) -> None:
    test = MNIST5K.load("test")
    before = accuracy(build(TINY, MNIST5K, 0), MNIST5K, test)
    model = train(TINY, MNIST5K, MNIST5K.load("train"), TINY.recipe, checkpoint=tmp_path / "checkpoint")
    assert before < 0.3
    assert accuracy(model, MNIST5K, test) > 0.8


def test_a_trained_network_is_in_evaluation_mode(images: Split, tmp_path: Path) -> None:
    steps: list[int] = []
    model = train(
        TINY,
        MNIST5K,
        images,
        RECIPE,
        checkpoint=tmp_path / "checkpoint",
        progress=lambda what, done, total: steps.append(done),
    )
    assert steps == list(range(1, RECIPE.epochs * STEPS + 1))
    assert not model.training
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]  # the caller's, until the weights are safe


@pytest.mark.parametrize("count", [2, 10, 70])
def test_fewer_images_than_a_batch_and_a_last_batch_that_is_left_out(count: int, images: Split, tmp_path: Path) -> None:
    few, recipe = images.take(torch.arange(count)), RECIPE.replace(epochs=1)
    steps: list[int] = []
    model = train(TINY, MNIST5K, few, recipe, checkpoint=tmp_path / "c", progress=lambda what, done, total: steps.append(done))
    assert steps == [1]
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_without_momentum(images: Split, whole: str, tmp_path: Path) -> None:
    """Then the optimizer has no state to keep; an interruption must not mind."""
    recipe = RECIPE.replace(momentum=0.0)
    expected = trained(images, tmp_path / "one", recipe)
    with pytest.raises(InterruptedByTestError):
        trained(images, tmp_path / "two", recipe, interrupt(1))
    assert trained(images, tmp_path / "two", recipe) == expected
    assert expected != whole


# Precision

HALVED = RECIPE.replace(precision="bfloat16")
# Convolutions of several channels each way: the layout in memory of a single channel is any.
CONVOLUTIONS = Network("convolutions", functools.partial(vgg, ((6, 6), (8,))), RECIPE)


def by_plain_torch(images: Split, recipe: Recipe, network: Network) -> nn.Module:
    """What single precision did before there was another one: no autocast, no layout."""
    model, inputs = build(network, MNIST5K, recipe.seed), MNIST5K.normalise(images.images)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.max_lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.max_lr, total_steps=recipe.epochs * STEPS + 1, pct_start=0.3, cycle_momentum=False
    )
    for epoch in range(recipe.epochs):
        with isolated(derive_seed(recipe.seed, "epoch", epoch)):
            model.train()
            for chosen in torch.randperm(len(images)).split(recipe.batch_size)[:STEPS]:
                logits = model(augment(inputs[chosen], recipe.shift, False))
                optimizer.zero_grad()
                F.cross_entropy(logits, images.labels[chosen]).backward()
                optimizer.step()
                schedule.step()
    return model


@pytest.mark.parametrize("network", [TINY, CONVOLUTIONS], ids=lambda network: network.name)
def test_float32_is_plain_torch_to_the_last_bit(network: Network, images: Split, tmp_path: Path) -> None:
    expected = by_plain_torch(images, RECIPE, network).state_dict()
    assert trained(images, tmp_path / "checkpoint", network=network) == sha256(save(expected))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trained_weights_are_contiguous_float32_whatever_the_precision(precision: str, images: Split, tmp_path: Path) -> None:
    recipe = RECIPE.replace(precision=precision)
    model = train(CONVOLUTIONS, MNIST5K, images, recipe, checkpoint=tmp_path / "checkpoint")
    for name, value in model.state_dict().items():
        assert value.is_contiguous(), name
        assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32), name
        assert value.isfinite().all(), name


def test_bfloat16_gives_other_weights_near_those_of_float32(images: Split, tmp_path: Path) -> None:
    """Other ones, so that it does something; near ones, so that it does no more than round."""
    recipe = RECIPE.replace(epochs=1, max_lr=0.01)
    found = {
        precision: train(CONVOLUTIONS, MNIST5K, images, recipe.replace(precision=precision), checkpoint=tmp_path / precision)
        for precision in ("float32", "bfloat16")
    }
    begin = torch.cat([value.flatten() for value in build(CONVOLUTIONS, MNIST5K, RECIPE.seed).parameters()])
    single, halved = (torch.cat([value.flatten() for value in model.parameters()]) for model in found.values())
    assert 0 < (halved - single).norm() < 0.2 * (single - begin).norm()


def test_bfloat16_forms_its_products_in_bfloat16_and_channels_last(images: Split, tmp_path: Path) -> None:
    seen: list[tuple[torch.dtype, bool, torch.dtype]] = []

    def spy(classes: int, shape: tuple[int, int, int]) -> nn.Module:
        model = CONVOLUTIONS.build(classes, shape)

        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            weight = layer.weight
            seen.append((output.dtype, weight.is_contiguous(memory_format=torch.channels_last), weight.dtype))

        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and layer.in_channels > 1:  # of one channel both layouts are the same
                layer.register_forward_hook(hook)
        return model

    for recipe, dtype in ((RECIPE, torch.float32), (HALVED, torch.bfloat16)):
        seen.clear()
        train(Network("spy", spy, RECIPE), MNIST5K, images, recipe, checkpoint=tmp_path / recipe.precision)
        assert set(seen) == {(dtype, dtype == torch.bfloat16, torch.float32)}


def test_bfloat16_learns(tmp_path: Path) -> None:
    recipe = TINY.recipe.replace(precision="bfloat16")
    model = train(TINY, MNIST5K, MNIST5K.load("train"), recipe, checkpoint=tmp_path / "checkpoint")
    assert accuracy(model, MNIST5K, MNIST5K.load("test")) > 0.8


def test_bfloat16_gives_the_same_weights_again_and_after_an_interruption(images: Split, tmp_path: Path) -> None:
    """As the layout in memory is not kept, a resumed training must not depend on it."""
    expected = trained(images, tmp_path / "one", HALVED, network=CONVOLUTIONS)
    assert trained(images, tmp_path / "two", HALVED, network=CONVOLUTIONS) == expected
    for after in (1, 2):
        with pytest.raises(InterruptedByTestError):
            trained(images, tmp_path / "three", HALVED, interrupt(after), CONVOLUTIONS)
    steps: list[int] = []
    resumed = trained(images, tmp_path / "three", HALVED, lambda what, done, total: steps.append(done), CONVOLUTIONS)
    assert resumed == expected
    assert steps[0] == 2 * STEPS + 1


def test_a_checkpoint_of_another_precision_is_ignored(images: Split, whole: str, tmp_path: Path) -> None:
    with pytest.raises(InterruptedByTestError):
        trained(images, tmp_path / "checkpoint", HALVED, interrupt(1))
    assert trained(images, tmp_path / "checkpoint") == whole


@pytest.mark.parametrize("precision", ["float16", "double", "", None, 32])
def test_another_precision_is_refused(precision: object) -> None:
    with pytest.raises(InputError, match="precision: Input should be 'float32' or 'bfloat16'"):
        RECIPE.replace(precision=precision)


# The caller's generators


@pytest.mark.parametrize("ends", ["whole", "interrupted"])
def test_the_callers_generators_are_untouched(ends: str, images: Split, tmp_path: Path) -> None:
    with isolated(0):
        python, legacy, state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        if ends == "whole":
            trained(images, tmp_path / "checkpoint")
        else:
            with pytest.raises(InterruptedByTestError):
                trained(images, tmp_path / "checkpoint", progress=interrupt(1))
        assert random.getstate() == python
        assert np.random.get_state()[1].tolist() == legacy[1].tolist()
        assert np.random.get_state()[2] == legacy[2]
        assert torch.random.get_rng_state().equal(state)


# Interruptions


@pytest.mark.parametrize("after", [1, 2])
def test_interrupted_and_resumed_it_ends_with_the_same_weights(after: int, images: Split, whole: str, tmp_path: Path) -> None:
    checkpoint, steps = tmp_path / "checkpoint", list[int]()
    with pytest.raises(InterruptedByTestError):
        trained(images, checkpoint, progress=interrupt(after))
    assert checkpoint.exists()
    assert trained(images, checkpoint, progress=lambda what, done, total: steps.append(done)) == whole
    assert steps[0] == after * STEPS + 1  # it did go on, and not begin again


def test_interrupted_twice(images: Split, whole: str, tmp_path: Path) -> None:
    for after in (1, 2):
        with pytest.raises(InterruptedByTestError):
            trained(images, tmp_path / "checkpoint", progress=interrupt(after))
    assert trained(images, tmp_path / "checkpoint") == whole


def test_interrupted_within_the_first_epoch_nothing_is_kept(images: Split, whole: str, tmp_path: Path) -> None:
    with pytest.raises(InterruptedByTestError):
        trained(images, tmp_path / "checkpoint", progress=interrupt(0))
    assert not (tmp_path / "checkpoint").exists()
    assert trained(images, tmp_path / "checkpoint") == whole


# Damaged checkpoints


def edited(change: Callable[[dict[str, Tensor], dict[str, str]], None]) -> Callable[[Path], None]:
    """Damage by changing tensors or metadata of the safetensors file."""

    def damage(file: Path) -> None:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        change(tensors, metadata)
        save_file(tensors, file, metadata)

    return damage


def overwrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(change(file.read_bytes())) and None


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 0x40]) + data[at:][1:]


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": overwrite(lambda data: b""),
    "no safetensors": overwrite(lambda data: b"\0" * 1000),
    "truncated": overwrite(lambda data: data[:-1]),
    "header flipped": overwrite(flip(20)),
    "weights flipped": overwrite(flip(-3)),
    "no metadata": edited(lambda tensors, metadata: metadata.clear()),
    "metadata is no JSON": edited(lambda tensors, metadata: metadata.update(membench="{")),
    "metadata lacks the optimizer": edited(lambda tensors, metadata: metadata.update(membench=json.dumps({"epoch": 1}))),
    "first weight missing": edited(lambda tensors, metadata: tensors.__delitem__("model.0.weight")),
    "last weight missing": edited(lambda tensors, metadata: tensors.__delitem__("model.4.bias")),
    "last weight of another shape": edited(lambda tensors, metadata: tensors.update({"model.4.bias": torch.zeros(3)})),
    "momentum missing": edited(lambda tensors, metadata: tensors.__delitem__("optimizer.0.momentum_buffer")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_ignored(damage: str, images: Split, whole: str, tmp_path: Path) -> None:
    """Training starts anew and ends with the same weights."""
    checkpoint, steps = tmp_path / "checkpoint", list[int]()
    with pytest.raises(InterruptedByTestError):
        trained(images, checkpoint, progress=interrupt(1))
    DAMAGES[damage](checkpoint)
    weights = trained(images, checkpoint, progress=lambda what, done, total: steps.append(done))
    assert steps[0] == 1
    assert weights == whole


def wider(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """The tiny network with another classifier: its first tensors fit, its last ones do not."""
    return nn.Sequential(*list(TINY.build(classes, shape))[:4], nn.Linear(4 * 7 * 7, classes + 1))


def test_a_checkpoint_of_another_network_is_ignored(images: Split, whole: str, tmp_path: Path) -> None:
    with pytest.raises(InterruptedByTestError):
        trained(images, tmp_path / "checkpoint", progress=interrupt(1), network=Network("wider", wider, RECIPE))
    assert trained(images, tmp_path / "checkpoint") == whole


def test_a_checkpoint_of_another_recipe_is_ignored(images: Split, whole: str, tmp_path: Path) -> None:
    with pytest.raises(InterruptedByTestError):
        trained(images, tmp_path / "checkpoint", RECIPE.replace(seed=1), interrupt(1))
    assert trained(images, tmp_path / "checkpoint") == whole


def test_a_checkpoint_of_other_images_is_ignored(images: Split, whole: str, tmp_path: Path) -> None:
    """Or the card would name images that are not the ones it was trained on, and prove nothing about the test images."""
    others = MNIST5K.load("train").take(torch.arange(1, 4001, 10))
    with pytest.raises(InterruptedByTestError):
        trained(others, tmp_path / "checkpoint", progress=interrupt(1))
    assert trained(images, tmp_path / "checkpoint") == whole


# Augmentation


def sample(count: int = 64) -> Tensor:
    return torch.randn(count, 3, 8, 9, generator=torch.Generator().manual_seed(0))


def by_hand(image: Tensor, down: int, right: int) -> Tensor:
    """The image moved, pixel by pixel; beyond the edge lies the nearest pixel of the edge."""
    _, height, width = image.shape
    moved = torch.empty_like(image)
    for y in range(height):
        for x in range(width):
            moved[:, y, x] = image[:, min(max(y - down, 0), height - 1), min(max(x - right, 0), width - 1)]
    return moved


def test_no_shift_and_no_mirror_is_the_identity() -> None:
    assert augment(sample(), 0, False).equal(sample())


def test_a_shift_moves_each_image_by_up_to_so_many_pixels() -> None:
    images = sample()
    with isolated(0):
        moved = augment(images, 2, False)
    assert moved.shape == images.shape
    assert moved.dtype == images.dtype
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    found = []
    for image, result in zip(images, moved, strict=True):
        fits = [move for move in moves if by_hand(image, *move).equal(result)]
        assert len(fits) == 1
        found += fits
    assert {down for down, _ in found} == {right for _, right in found} == {-2, -1, 0, 1, 2}
    assert len(set(found)) > 15  # the two directions are drawn apart


def test_about_half_of_the_images_are_mirrored() -> None:
    images = sample(200)
    with isolated(0):
        result = augment(images, 0, True)
    mirrored = [one.equal(other.flip(2)) for one, other in zip(result, images, strict=True)]
    kept = [one.equal(other) for one, other in zip(result, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 70 < sum(mirrored) < 130


def test_shift_and_mirror_together() -> None:
    images = sample(8)
    with isolated(0):
        result = augment(images, 1, True)
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    for image, changed in zip(images, result, strict=True):
        candidates = [by_hand(image, *move) for move in moves]
        assert any(changed.equal(one) or changed.equal(one.flip(2)) for one in candidates)


def test_augmentation_leaves_its_argument_as_it_is() -> None:
    images = sample()
    augment(images, 2, True)
    assert images.equal(sample())


@pytest.mark.parametrize(
    ("allowed", "shifted", "mirrored"), [((), False, False), (("shift",), True, False), (("mirror",), False, True)]
)
def test_only_what_the_data_set_allows_is_done(
    allowed: tuple[str, ...], shifted: bool, mirrored: bool, images: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirrored digit is no digit."""
    calls: list[tuple[int, bool]] = []

    def spy(batch: Tensor, shift: int, mirror: bool) -> Tensor:
        calls.append((shift, mirror))
        return batch

    monkeypatch.setattr("membench.models._train.augment", spy)
    monkeypatch.setattr(type(MNIST5K), "augment", allowed)
    trained(images, tmp_path / "checkpoint", Recipe(epochs=1, shift=2, mirror=True))
    assert set(calls) == {(2 if shifted else 0, mirrored)}


# Accuracy


def test_accuracy_counts_each_image_once_whatever_the_batch() -> None:
    test = MNIST5K.load("test").take(torch.arange(0, 1000, 3))
    model = build(TINY, MNIST5K, 0).train()
    with torch.inference_mode():
        right = (model.eval()(MNIST5K.normalise(test.images)).argmax(1) == test.labels).sum().item()
    for batch_size in (250, 7, 1000):
        model.train()  # it must be put into evaluation mode
        assert accuracy(model, MNIST5K, test, batch_size) == right / len(test)
