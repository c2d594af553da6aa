"""Trained weights: a safetensors file and its card. They are found by what the network computes and by the data, else trained."""

from __future__ import annotations

import datetime
import glob
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from membench.datasets import Dataset, Split, image_hashes
from membench.errors import DataMissingError, FileFormatError, InputError
from membench.models._base import Network, Recipe
from membench.models._cards import Card, digest, find_card, weights_key
from membench.models._factory import check_network
from membench.models._probe import START_TOLERANCE, probe, same, start_of
from membench.models._train import Progress, accuracy, build, check_fit, train
from membench.storage import cache_dir, locked, read_whole, readable_json, remove, sha256, write_atomically
from membench.words import brief, quoted

SHIPPED = Path(__file__).parent / "weights"
_LOG = logging.getLogger("membench")


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


def cached_weights(folder: Path | None = None) -> Path:
    """The folder in which weights are kept: `folder`, else the cache's."""
    return folder or cache_dir() / "weights"


def shipped_file(network: Network, dataset: Dataset) -> Path:
    """Where the weights that come with membench lie, if there are some."""
    return SHIPPED / f"{dataset.name}-{network.name}.safetensors"


def candidates(network: Network, dataset: Dataset, key: str, folder: Path | None = None) -> list[Path]:
    """Where weights of that key may lie: those shipped with membench, then each file of that key in the cache (or `folder`)."""
    stem = f"{dataset.name}-{network.name}"
    return [shipped_file(network, dataset), *candidates_of(cached_weights(folder), f"{stem}-{key[:12]}")]


def free_name(folder: Path, stem: str) -> Path:
    """The first of STEM.safetensors, STEM-2.safetensors, ... that is not there with its card."""
    taken = {file for file in candidates_of(folder, stem) if file.exists() and file.with_suffix(".json").exists()}
    names = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.safetensors" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def candidates_of(folder: Path, stem: str) -> list[Path]:
    """STEM.safetensors, and those beside it that were made later under the same key, in order."""
    later = [
        file for file in folder.glob(f"{glob.escape(stem)}-*.safetensors") if file.stem.removeprefix(f"{stem}-").isdecimal()
    ]
    return [folder / f"{stem}.safetensors", *sorted(later, key=lambda file: int(file.stem.removeprefix(f"{stem}-")))]


def find_or_train(
    network: Network,
    dataset: Dataset,
    *,
    root: Path | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Load weights that fit, else train them once and keep them beside those that do not; see `obtain`."""
    chosen = recipe or network.recipe_for(dataset.name)
    if (there := find_trained(network, dataset, root=root, recipe=chosen, folder=folder)) is not None:
        return there
    key = weights_key(network, dataset, chosen)
    place, stem = cached_weights(folder), f"{dataset.name}-{network.name}-{key[:12]}"
    with locked(place / f"{stem}.lock"):
        found, unfit = _search(network, dataset, chosen, root, folder)  # another process may have trained them meanwhile
        if found is not None:
            return found
        for reason in unfit:
            _LOG.warning("%s on %s is trained anew. Not used: %s", network.name, dataset.name, reason)
        return _make(network, dataset, chosen, key, free_name(place, stem), root, progress)


def find_trained(
    network: Network,
    dataset: Dataset,
    *,
    root: Path | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
) -> Trained | None:
    """Weights that membench trained and that fit, or None where there are none.

    They fit where names, recipe and shapes are those of their card, the network computes with them what it computed when the card was
    written, and the data are the card's: the test images, and, unless the weights come with membench, the training images.

    Args:
        root: where data are looked for.
        recipe: instead of the network's own.
        folder: where trained weights are kept, instead of the cache.

    Raises:
        FileFormatError: when weights or their card are damaged; names the file.
        InputError: when the network does not take the images of the data set, or gives another number of outputs than it has classes.
        DataMissingError: when the data are not there; weights that come with membench need none.
    """
    check_fit(network, dataset)
    return _search(network, dataset, recipe or network.recipe_for(dataset.name), root, folder)[0]


def _search(
    network: Network, dataset: Dataset, recipe: Recipe, root: Path | None, folder: Path | None
) -> tuple[Trained | None, list[str]]:
    """The weights that fit, and why others of the same names, recipe and shapes do not."""
    key, unfit = weights_key(network, dataset, recipe), list[str]()
    for file in candidates(network, dataset, key, folder):
        card = find_card(file.with_suffix(".json"))
        if card is None or card.key != key:
            continue
        reason = _other_data(card, dataset, root, shipped=file.parent == SHIPPED)
        if not reason:
            found = read(file, network, dataset, key)
            if found is None:
                continue
            reason = other_function(found, dataset) or _other_training(found, network, dataset, recipe)
            if not reason:
                return found, unfit
        unfit.append(f"{file}: {reason}.")
    return None, unfit


def _other_data(card: Card, dataset: Dataset, root: Path | None, shipped: bool) -> str:
    """Why weights are not of these data; nothing where they are. The training images of those that ship need not be here."""
    if card.test_labelled is None or card.probe is None or not (shipped or card.train_labelled):
        return "an earlier membench trained them, which did not keep by what to know whether they fit"
    try:
        test = dataset.load("test", root)
    except DataMissingError:
        if shipped:
            return ""  # nothing can be measured on them here
        raise
    if test.labelled_digest != card.test_labelled:
        return "the test images, or their classes, are others than when they were trained"
    if not shipped and dataset.load("train", root).labelled_digest != card.train_labelled:
        return "the training images, or their classes, are others than when they were trained"
    return ""


def other_function(trained: Trained, dataset: Dataset) -> str:
    """Why the network does not compute with its weights what its card says; nothing where it does."""
    kept = trained.card.probe
    if kept is not None and same(kept, probe(trained.model, dataset)):
        return ""
    return "the network, or the normalisation of its inputs, computes something else than when their card was written"


def _other_training(trained: Trained, network: Network, dataset: Dataset, recipe: Recipe) -> str:
    """Why the network would not be trained as these weights were; nothing where it would, or where that cannot be known."""
    kept = trained.card.start
    if trained.shipped or kept is None or trained.card.torch != torch.__version__:
        return ""
    now = start_of(network, dataset, recipe)
    if now is not None and same(kept, now, START_TOLERANCE):
        return ""
    return "the network is trained otherwise than then: other initial weights, dropout, or parameters that are trained"


def read(file: Path, network: Network, dataset: Dataset, key: str | None = None) -> Trained | None:
    """The weights in `file` if they are there, and are of `key` where one is given.

    Raises:
        FileFormatError: when weights or card are damaged, or the card does not say what its key and the weights do.
    """
    card_file = file.with_suffix(".json")
    card, data = find_card(card_file), read_whole(file)
    if card is None or data is None or (key is not None and card.key != key):
        return None
    if sha256(data) != card.sha256:
        raise FileFormatError(
            f"{file} is not what its card describes (another sha256). Restore it, or remove both to make them again."
        )
    model = build(network, dataset, card.recipe.seed if card.recipe else 0)
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
        "parameters": count_parameters(model),
    }
    for name, value in expected.items():
        if getattr(card, name) != value:
            raise FileFormatError(
                f"{file}: {name} is {quoted(getattr(card, name))}, but the rest of the card gives {value!r}. It was edited by hand: "
                f"restore it, or remove it and {file.with_suffix('.safetensors')} to make them again."
            )


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def both_parts(dataset: Dataset, root: Path | None) -> tuple[Split, Split]:
    """The training and the test images.

    Raises:
        InputError: when an image is in both: a network would be measured on what it was trained on.
    """
    training, test = dataset.load("train", root), dataset.load("test", root)
    if shared := len(set(image_hashes(training)) & set(image_hashes(test))):
        raise InputError(
            f"Data set {dataset.name!r}: {shared} of its {len(test)} test images are training images as well. Dataset.load leaves such "
            "images out of the training part; a load() of your own must do so, too."
        )
    return training, test


def _make(
    network: Network, dataset: Dataset, recipe: Recipe, key: str, file: Path, root: Path | None, progress: Progress | None
) -> Trained:
    split, test = both_parts(dataset, root)
    check_network(network, dataset, recipe)
    started = start_of(network, dataset, recipe)
    start = time.monotonic()
    checkpoint = file.with_suffix(".checkpoint")
    model = train(network, dataset, split, recipe, checkpoint=checkpoint, progress=progress, identity=started)
    data = packed_tensors(model)
    card = Card(
        network=network.name,
        dataset=dataset.name,
        recipe=recipe,
        key=key,
        sha256=sha256(data),
        parameters=count_parameters(model),
        train_images=len(split),
        train_digest=digest(split),
        train_labelled=split.labelled_digest,
        test_images=len(test),
        test_digest=digest(test),
        test_labelled=test.labelled_digest,
        accuracy=accuracy(model, dataset, test),
        probe=probe(model, dataset),
        start=started,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - start, 1),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_weights(file, data, readable_json(card.model_dump(mode="json")))
    remove(checkpoint)
    return Trained(model, card, file)


def packed_tensors(model: nn.Module) -> bytes:
    """The state of a network as a safetensors file. Tensors that share memory, as tied weights do, are written once for each name."""
    packed: bytes = to_safetensors({name: value.detach().clone().contiguous() for name, value in model.state_dict().items()})
    return packed


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
