"""What every registered network promises, on the shapes of every registered data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from membench.datasets import DATASETS, Split
from membench.models import NETWORKS, Recipe, cross_validate
from membench.models._train import build
from membench.runtime import pinned_threads

KINDS = {(dataset.classes, dataset.shape): dataset.name for dataset in DATASETS}  # one data set of each shape
pairs = pytest.mark.parametrize(
    ("network", "dataset"), [(network, dataset) for network in NETWORKS.names() for dataset in KINDS.values()]
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The fastest for a few images, and on a busy machine by far."""
    with pinned_threads(1):
        yield


def built(network: str, dataset: str, seed: int = 0) -> nn.Module:
    return build(NETWORKS.get(network), DATASETS.get(dataset), seed)


def noise(dataset: str, images: int) -> Tensor:
    return torch.randn(images, *DATASETS.get(dataset).shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("network", NETWORKS.names())
def test_it_is_registered_under_its_own_name(network: str) -> None:
    assert NETWORKS.get(network).name == network


@pairs
def test_it_gives_one_logit_a_class(network: str, dataset: str) -> None:
    with torch.inference_mode():
        logits = built(network, dataset).eval()(noise(dataset, 2))
    assert logits.shape == (2, DATASETS.get(dataset).classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.std() > 0


@pairs
def test_an_image_gets_the_same_logits_alone_as_in_a_batch(network: str, dataset: str) -> None:
    model, images = built(network, dataset).eval(), noise(dataset, 3)
    with torch.inference_mode():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]), rtol=1e-3, atol=1e-4)


@pairs
def test_gradients_reach_every_parameter(network: str, dataset: str) -> None:
    model = built(network, dataset).train()
    F.cross_entropy(model(noise(dataset, 4)), torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pairs
def test_initial_weights_come_from_the_seed_alone(network: str, dataset: str) -> None:
    first, again, other = built(network, dataset), built(network, dataset), built(network, dataset, seed=1)
    assert all(a.equal(b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert any(not a.equal(b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


class Noise(type(DATASETS.get("mnist5k"))):  # type: ignore[misc]
    """Twenty images of noise of ten classes."""

    name, test_images = "noise", 20

    def read(self, found: Path, part: Any) -> Split:
        generator = torch.Generator().manual_seed(len(part))
        images = torch.randint(0, 256, (20, *self.shape), dtype=torch.uint8, generator=generator)
        return Split(images, torch.arange(20) % 10)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", NETWORKS.names())
def test_it_can_be_cross_validated(network: str, precision: str, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=5, precision=precision)
    found = cross_validate(NETWORKS.get(network), Noise(), 2, recipe=recipe, folder=tmp_path)
    assert [(fold.train_images, fold.held_out_images, fold.test_images) for fold in found.folds] == [(10, 10, 20)] * 2


@pytest.mark.parametrize("dataset", DATASETS.names())
@pytest.mark.parametrize("network", NETWORKS.names())
def test_its_recipe_is_valid(network: str, dataset: str) -> None:
    """Validated anew from JSON, as a card keeps it."""
    recipe = NETWORKS.get(network).recipe_for(dataset)
    assert Recipe.from_json(recipe.model_dump_json(), network) == recipe
