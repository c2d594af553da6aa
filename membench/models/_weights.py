"""Trained weights: a safetensors file and a JSON card that says how they came about."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from membench.datasets import Dataset, Split, image_hashes
from membench.errors import FileFormatError
from membench.models._base import Network, Recipe
from membench.models._train import Progress, accuracy, build, check_fit, train
from membench.plain import Count, Line, Moment, NonNegative, Plain, Proportion, Sha256
from membench.record import find
from membench.storage import cache_dir, canonical_json, locked, read_whole, readable_json, remove, sha256, write_atomically
from membench.words import brief, quoted

SHIPPED = Path(__file__).parent / "weights"


class Card(Plain):
    """How weights came about.

    Attributes:
        network: registered name.
        dataset: what they were trained and tested on.
        recipe: how.
        key: hash of network, data set, recipe and the shape of every tensor: weights fit where it is the same.
        sha256: of the safetensors file.
        parameters: how many.
        train_images: how many images they were trained on.
        train_digest: hash over the sorted hashes of these images: proves which they were, whatever their order on disk.
        test_images: how many images the accuracy was measured on.
        test_digest: hash over their sorted hashes. None of them was among the training images: `Dataset.load` leaves such ones out,
            so that where these are the test images, none was trained on, though the training images are not at hand.
        accuracy: proportion of the test images classified rightly.
        torch: its version.
        threads: with which it was trained; another number gives other weights.
        seconds: that training took.
        created: UTC, ISO 8601.
    """

    later: ClassVar[Mapping[str, Any]] = {"test_digest": None}
    schema_version: Literal[1] = 1
    network: Line
    dataset: Line
    recipe: Recipe
    key: Sha256
    sha256: Sha256
    parameters: Count
    train_images: Count
    train_digest: Sha256
    test_images: Count
    test_digest: Sha256 | None = None
    accuracy: Proportion
    torch: Line
    threads: Count
    seconds: NonNegative
    created: Moment


@dataclass(frozen=True)
class Trained:
    """A trained network, in evaluation mode, with its card."""

    model: nn.Module
    card: Card
    file: Path

    @property
    def shipped(self) -> bool:
        """Whether these weights come with membench."""
        return self.file.parent == SHIPPED


def digest(split: Split) -> str:
    """One hash for a set of images, whatever their order."""
    return sha256("\n".join(sorted(image_hashes(split))).encode())


def weights_key(network: Network, dataset: Dataset, recipe: Recipe) -> str:
    """What weights must have been made by to fit."""
    shapes = {name: list(value.shape) for name, value in build(network, dataset, recipe.seed).state_dict().items()}
    parts = {"network": network.name, "dataset": dataset.name, "recipe": recipe.model_dump(mode="json"), "shapes": shapes}
    return sha256(canonical_json(parts))


def candidates(network: Network, dataset: Dataset, key: str, folder: Path | None = None) -> list[Path]:
    """Where weights are looked for: those shipped with membench, then the cache (or `folder`)."""
    stem = f"{dataset.name}-{network.name}"
    return [SHIPPED / f"{stem}.safetensors", (folder or cache_dir() / "weights") / f"{stem}-{key[:12]}.safetensors"]


def obtain(
    network: Network,
    dataset: Dataset,
    *,
    root: Path | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Load weights that fit, else train them once and keep them.

    Args:
        root: where data are looked for.
        recipe: instead of the network's own.
        folder: where trained weights are kept, instead of the cache.
        progress: called with (what, done, in all) while training.

    Raises:
        FileFormatError: when weights or their card are damaged; names the file.
        InputError: when the network does not take the images of the data set, or gives another number of outputs than it has classes.
        DataMissingError: when they must be trained and the data are not there.
    """
    chosen = recipe or network.recipe_for(dataset.name)
    if (there := find_trained(network, dataset, recipe=chosen, folder=folder)) is not None:
        return there
    key = weights_key(network, dataset, chosen)
    target = candidates(network, dataset, key, folder)[-1]
    with locked(target.with_suffix(".lock")):
        found = read(target, network, dataset, key)  # another process may have trained them while this one waited
        return found or _make(network, dataset, chosen, key, target, root, progress)


def find_trained(
    network: Network, dataset: Dataset, *, recipe: Recipe | None = None, folder: Path | None = None
) -> Trained | None:
    """Weights that fit, or None where there are none; arguments and errors as for `obtain`, which would train them."""
    check_fit(network, dataset)
    key = weights_key(network, dataset, recipe or network.recipe_for(dataset.name))
    places = candidates(network, dataset, key, folder)
    return next((found for file in places if (found := read(file, network, dataset, key)) is not None), None)


def find_card(file: Path) -> Card | None:
    """The card in `file`; None where there is none."""
    return find(Card, file, f"Remove {file.with_suffix('.safetensors')} and {file}; they will be trained again.")


def read(file: Path, network: Network, dataset: Dataset, key: str) -> Trained | None:
    """The weights in `file` if they are there and fit `key`.

    Raises:
        FileFormatError: when weights or card are damaged, or the card does not say what its key and the weights do.
    """
    card_file = file.with_suffix(".json")
    card, data = find_card(card_file), read_whole(file)
    if card is None or data is None or card.key != key:
        return None
    if sha256(data) != card.sha256:
        raise FileFormatError(
            f"{file} is not what its card describes (another sha256). Restore it, or remove both to train again."
        )
    model = build(network, dataset, card.recipe.seed)
    _check_card(card, card_file, network, dataset, model)
    try:
        model.load_state_dict(from_safetensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise FileFormatError(f"{file} does not hold the weights of {network.name}: {brief(error)}") from error
    return Trained(model.eval(), card, file)


def _check_card(card: Card, file: Path, network: Network, dataset: Dataset, model: nn.Module) -> None:
    """A card that was edited by hand does not fit its key any more, or its weights."""
    expected = {
        "network": network.name,
        "dataset": dataset.name,
        "key": weights_key(network, dataset, card.recipe),
        "parameters": _parameters(model),
    }
    for name, value in expected.items():
        if getattr(card, name) != value:
            raise FileFormatError(
                f"{file}: {name} is {quoted(getattr(card, name))}, but the rest of the card gives {value!r}. It was edited by hand: "
                f"restore it, or remove it and {file.with_suffix('.safetensors')} to train again."
            )


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _make(
    network: Network, dataset: Dataset, recipe: Recipe, key: str, file: Path, root: Path | None, progress: Progress | None
) -> Trained:
    split, test = dataset.load("train", root), dataset.load("test", root)
    start = time.monotonic()
    checkpoint = file.with_suffix(".checkpoint")
    model = train(network, dataset, split, recipe, checkpoint=checkpoint, progress=progress)
    data = to_safetensors({name: value.contiguous() for name, value in model.state_dict().items()})
    card = Card(
        network=network.name,
        dataset=dataset.name,
        recipe=recipe,
        key=key,
        sha256=sha256(data),
        parameters=_parameters(model),
        train_images=len(split),
        train_digest=digest(split),
        test_images=len(test),
        test_digest=digest(test),
        accuracy=accuracy(model, dataset, test),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - start, 1),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_weights(file, data, readable_json(card.model_dump(mode="json")))
    remove(checkpoint)
    return Trained(model, card, file)


def write_weights(file: Path, weights: bytes, card: bytes | str) -> None:
    """Weights first, their card last: without a card there are no weights. An older card goes before all, if it is of other
    weights: a kill in between must not leave it beside these."""
    card_file = file.with_suffix(".json")
    old = read_whole(file)
    if old is not None and old != weights:
        remove(card_file)
    write_atomically(file, weights)
    write_atomically(card_file, card)


def ship_weights(trained: Trained) -> Trained:
    """Copy weights and card to membench's own folder, from where they are loaded first."""
    file = SHIPPED / f"{trained.card.dataset}-{trained.card.network}.safetensors"
    write_weights(file, trained.file.read_bytes(), trained.file.with_suffix(".json").read_bytes())
    return Trained(trained.model, trained.card, file)


def shipped(network: str) -> list[Card]:
    """The cards of the weights of `network` that come with membench."""
    cards = [find_card(file) for file in sorted(SHIPPED.glob("*.json"))]
    return [card for card in cards if card is not None and card.network == network]
