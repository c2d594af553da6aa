"""The card beside trained weights: how they came about, and by what it is known whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from membench.datasets import Dataset, Split, image_hashes
from membench.errors import InputError
from membench.models._base import Network, Recipe
from membench.models._probe import Probe
from membench.models._train import build
from membench.plain import Count, Line, Moment, NonNegative, Plain, Proportion, Sha256
from membench.record import find
from membench.storage import canonical_json, sha256

_OF_TRAINING = ("recipe", "train_images", "train_digest", "threads", "seconds")


class Source(Plain):
    """A file of weights that membench did not train.

    Attributes:
        file: its name.
        sha256: of its content.
    """

    file: Line
    sha256: Sha256


class Card(Plain):
    """How weights came about. What membench did not train has a source, and none of the fields about training.

    Attributes:
        network: registered name.
        dataset: what they were trained and tested on.
        recipe: how they were trained.
        key: hash of network, data set, recipe and the shape of every tensor.
        sha256: of the safetensors file.
        parameters: how many.
        train_images: how many images they were trained on.
        train_digest: hash over the sorted hashes of these images: proves which they were, whatever their order on disk.
        train_labelled: the same with the class of each image.
        test_images: how many images the accuracy was measured on.
        test_digest: hash over their sorted hashes. None of them was among the training images: `Dataset.load` leaves such ones out,
            so that where these are the test images, none was trained on, though the training images are not at hand.
        test_labelled: the same with the class of each image.
        accuracy: proportion of the test images classified rightly.
        probe: what the network answered with these weights to inputs that never change (see `membench.models._probe`).
        start: the same of its initial weights, and after one step of training from them; None where that cannot be compared.
        source: the file that they were taken from.
        torch: its version.
        threads: with which they were trained; another number gives other weights.
        seconds: that training took.
        created: UTC, ISO 8601.
    """

    later: ClassVar[Mapping[str, Any]] = {
        "train_labelled": None,
        "test_digest": None,
        "test_labelled": None,
        "probe": None,
        "start": None,
        "source": None,
    }
    schema_version: Literal[1] = 1
    network: Line
    dataset: Line
    recipe: Recipe | None
    key: Sha256
    sha256: Sha256
    parameters: Count
    train_images: Count | None
    train_digest: Sha256 | None
    train_labelled: Sha256 | None = None
    test_images: Count
    test_digest: Sha256 | None = None
    test_labelled: Sha256 | None = None
    accuracy: Proportion
    probe: Probe | None = None
    start: Probe | None = None
    source: Source | None = None
    torch: Line
    threads: Count | None
    seconds: NonNegative | None
    created: Moment

    @model_validator(mode="after")
    def _trained_or_taken(self) -> Self:
        missing = [name for name in _OF_TRAINING if getattr(self, name) is None]
        if self.source is None and missing:
            raise InputError(f"{missing[0]}: is null; only weights with a source lack it")
        if self.source is not None and (len(missing) < len(_OF_TRAINING) or self.train_labelled or self.start):
            raise InputError(f"source: weights that were taken from a file have null in {', '.join(_OF_TRAINING)}")
        return self

    @property
    def pretrained(self) -> str | None:
        """Where the weights come from, if it is not known on which images they were trained; None where membench knows."""
        if self.source is not None:
            return f"{self.source.file} (sha256 {self.source.sha256[:12]})"
        if self.recipe is not None and self.recipe.fine_tune:
            return f"the factory of {self.network}, trained on"
        return None


def digest(split: Split) -> str:
    """One hash for a set of images, whatever their order."""
    return sha256("\n".join(sorted(image_hashes(split))).encode())


def weights_key(network: Network, dataset: Dataset, recipe: Recipe | None) -> str:
    """Hash of the names, the recipe and the shape of every tensor: what weights must share to fit. None: of no recipe."""
    model = build(network, dataset, recipe.seed if recipe else 0)
    parts = {
        "network": network.name,
        "dataset": dataset.name,
        "recipe": recipe.model_dump(mode="json") if recipe else None,
        "shapes": {name: list(value.shape) for name, value in model.state_dict().items()},
    }
    return sha256(canonical_json(parts))


def find_card(file: Path) -> Card | None:
    """The card in `file`; None where there is none."""
    return find(Card, file, f"Remove {file.with_suffix('.safetensors')} and {file}; they will be made again.")
