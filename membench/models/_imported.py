"""Weights that others trained: read from a file, checked, measured once, and kept with a card. They are never trained."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from pathlib import Path

import torch

from membench.datasets import Dataset
from membench.errors import FileFormatError, InputError
from membench.models._base import Network
from membench.models._cards import Card, Source, digest, find_card, weights_key
from membench.models._checkpoint import fitted, tensors_in
from membench.models._probe import probe
from membench.models._train import accuracy, build
from membench.models._weights import (
    Trained,
    cached_weights,
    candidates_of,
    count_parameters,
    free_name,
    other_function,
    packed_tensors,
    read,
    write_weights,
)
from membench.storage import find_in_repository, locked, read_whole, readable_json, repository_places, sha256


def find_or_take(
    network: Network, dataset: Dataset, weights: str | Path, *, root: Path | None = None, folder: Path | None = None
) -> Trained:
    """The network with the weights of a file, as they are.

    A card beside a .safetensors file, as `membench train` and `membench import` write it, is used where it fits; else the weights are
    measured, and kept with a card in the cache (or `folder`).

    Args:
        weights: the file; a relative path is looked for in the current folder, then in the repository around it.

    Raises:
        InputError: when there is no such file, or it does not fit the network; lists what does not.
        FileFormatError: when it is damaged, needs code to be read, or is not what the card beside it describes; or when membench
            trained it, and the test images are others now.
        DataMissingError: when the test images are not there.
    """
    file, data = _content(weights)
    there = _with_its_card(file, data, network, dataset, root)
    if there is not None:
        return there
    origin = sha256(data)
    place, stem = cached_weights(folder), f"{dataset.name}-{network.name}-{origin[:12]}"
    with locked(place / f"{stem}.lock"):
        for kept in candidates_of(place, stem):
            card = find_card(kept.with_suffix(".json"))
            if card is not None and card.source is not None and card.source.sha256 == origin:
                found = _fitting(kept, card, network, dataset, root)
                if found is not None:
                    return found
        return _take(network, dataset, file, data, free_name(place, stem), root)


def import_weights(network: Network, dataset: Dataset, file: Path, folder: Path, *, root: Path | None = None) -> Trained:
    """Take weights from a file into a folder: FOLDER/STEM.safetensors with its card, for `Network(weights=...)` or `Case(weights=...)`.

    Args:
        file: a checkpoint.
        folder: of the project.

    Raises:
        InputError: when there is no such file, it does not fit the network, or other weights of its name lie in the folder.
        FileFormatError: when it is damaged, or needs code to be read.
        DataMissingError: when the test images are not there.
    """
    found, data = _content(file)
    target = folder / f"{found.stem}.safetensors"
    if target.resolve() == found.resolve():
        raise InputError(f"{file} would be written over by its own import. Name another folder with --out.")
    return _take(network, dataset, found, data, target, root, replace=False)


def _content(weights: str | Path) -> tuple[Path, bytes]:
    file = find_in_repository(weights)
    data = None if file is None else read_whole(file)
    if file is None or data is None:
        looked = "" if Path(weights).is_absolute() else f" in {' or '.join(map(str, repository_places()))}"
        raise InputError(f"There is no file of weights {weights}{looked}. Name a checkpoint, by a path from the repository.")
    return file, data


def _with_its_card(file: Path, data: bytes, network: Network, dataset: Dataset, root: Path | None) -> Trained | None:
    """The weights of a file that has a card of membench beside it, where that is of this network, these data and this code."""
    card_file = file.with_suffix(".json")
    if file.suffix != ".safetensors" or not _is_card(card_file):
        return None
    card = find_card(card_file)
    if card is None or (card.network, card.dataset) != (network.name, dataset.name):
        return None
    if sha256(data) != card.sha256:
        raise FileFormatError(
            f"{file} is not what its card describes (another sha256). Restore it, or remove {card_file} and import it again."
        )
    if card.key != weights_key(network, dataset, card.recipe):
        return None
    found = _fitting(file, card, network, dataset, root)
    if found is None and card.source is None and card.test_labelled not in (None, dataset.load("test", root).labelled_digest):
        raise FileFormatError(
            f"{file}: the test images of {dataset.name} are others than when these weights were trained, and may be among their training "
            f"images. Train anew, or remove {card_file}: then they count as weights of which nobody knows on what they were trained."
        )
    return found


def _is_card(file: Path) -> bool:
    """Whether a JSON file is a card of membench: other tools put files of that name beside weights, too."""
    data = read_whole(file)
    if data is None:
        return False
    with suppress(ValueError, RecursionError):
        content = json.loads(data)
        return isinstance(content, dict) and {"schema_version", "network", "dataset", "sha256"} <= content.keys()
    return False


def _fitting(file: Path, card: Card, network: Network, dataset: Dataset, root: Path | None) -> Trained | None:
    """The weights in `file`, where the test images are the card's and the network computes what it did."""
    if card.test_labelled != dataset.load("test", root).labelled_digest or card.key != weights_key(
        network, dataset, card.recipe
    ):
        return None
    found = read(file, network, dataset, card.key)
    return found if found is not None and not other_function(found, dataset) else None


def _take(
    network: Network, dataset: Dataset, file: Path, data: bytes, target: Path, root: Path | None, *, replace: bool = True
) -> Trained:
    """Read, measure and keep the weights of a file."""
    model = build(network, dataset, 0)
    model.load_state_dict(fitted(tensors_in(data, file), model, file, network.name))
    packed = packed_tensors(model.eval())
    if not replace and (read_whole(target) or packed) != packed:
        raise InputError(
            f"{target} is there, and holds other weights. Remove it, rename {file.name}, or name another folder with --out."
        )
    test = dataset.load("test", root)
    card = Card(
        network=network.name,
        dataset=dataset.name,
        recipe=None,
        key=weights_key(network, dataset, None),
        sha256=sha256(packed),
        parameters=count_parameters(model),
        train_images=None,
        train_digest=None,
        test_images=len(test),
        test_digest=digest(test),
        test_labelled=test.labelled_digest,
        accuracy=accuracy(model, dataset, test),
        probe=probe(model, dataset),
        source=Source(file=file.name, sha256=sha256(data)),
        torch=torch.__version__,
        threads=None,
        seconds=None,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_weights(target, packed, readable_json(card.model_dump(mode="json")))
    return Trained(model, card, target)
