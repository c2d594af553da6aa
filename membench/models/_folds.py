"""K-fold cross-validation: how much of an accuracy hangs on which images a network was trained on."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from membench.datasets import Dataset, Split, image_hashes
from membench.errors import FileFormatError, InputError
from membench.models._base import Network, Recipe
from membench.models._cards import digest, weights_key
from membench.models._factory import check_network, refuse_pretrained
from membench.models._probe import start_of
from membench.models._train import Progress, accuracy, check_fit, steps_an_epoch, train
from membench.models._weights import both_parts
from membench.plain import Count, Integer, Line, Moment, NonNegative, Number, Plain, Proportion, Sha256
from membench.record import find
from membench.runtime import derive_seed
from membench.statistics import mean_half_width
from membench.storage import cache_dir, canonical_json, locked, readable_json, remove, sha256, write_atomically
from membench.words import quoted


class Fold(Plain):
    """One network, trained without the images of one part.

    Attributes:
        number: which part was held out; 1 to K.
        train_images: how many images it was trained on.
        train_digest: hash over the sorted hashes of these images.
        held_out_images: how many images it did not see.
        held_out_digest: hash over the sorted hashes of these.
        held_out_accuracy: proportion of the held-out images classified rightly.
        test_images: how many images the data set has for testing, the same for each fold.
        test_accuracy: proportion of these classified rightly.
        torch: its version.
        seconds: that training and measuring took; after an interruption, since it was taken up again.
        created: UTC, ISO 8601.
    """

    number: Count
    train_images: Count
    train_digest: Sha256
    held_out_images: Count
    held_out_digest: Sha256
    held_out_accuracy: Proportion
    test_images: Count
    test_accuracy: Proportion
    torch: Line
    seconds: NonNegative
    created: Moment


class FoldCard(Plain):
    """A finished fold as it is kept in a file, so that it is not trained again.

    Attributes:
        network: registered name.
        dataset: whose training images were parted.
        recipe: how it was trained.
        folds: K.
        threads: of torch; another number gives other weights.
        key: hash of all these, of the images with their classes, of what the network computes before it is trained, and of the fold: the
            result holds where it is the same.
        fold: what was measured.
    """

    schema_version: Literal[1] = 1
    network: Line
    dataset: Line
    recipe: Recipe
    folds: Annotated[Integer, Field(ge=2)]
    threads: Count
    key: Sha256
    fold: Fold


class Spread(Plain):
    """An accuracy over the folds.

    Attributes:
        mean: in %.
        deviation: standard deviation of the folds (n - 1), in percentage points.
        low: lower bound of Student's 95 % interval of the mean, in %.
        high: upper bound, in %.
    """

    mean: Number
    deviation: NonNegative
    low: Number
    high: Number

    @classmethod
    def of(cls, accuracies: Sequence[float]) -> Spread:
        """Over proportions, at least two of them."""
        percent = 100 * np.asarray(accuracies, dtype=float)
        mean, half = float(percent.mean()), mean_half_width(percent)
        return cls(mean=mean, deviation=float(percent.std(ddof=1)), low=max(0.0, mean - half), high=min(100.0, mean + half))


class CrossValidation(Plain):
    """K networks of one recipe, each trained without one part of the training images.

    Any two of them share most of their images, so that their accuracies are not independent: the intervals tell how much
    hangs on the images that were left out, and are narrower than those of networks trained on images drawn anew.

    Attributes:
        network: registered name.
        dataset: whose training images were parted.
        recipe: how each was trained; its seed also parts the images.
        threads: of torch, with which they were trained.
        folds: K results, in order.
        held_out: accuracy on the images that a network did not see.
        test: accuracy on the test images, which all folds share.
    """

    schema_version: Literal[1] = 1
    network: str
    dataset: str
    recipe: Recipe
    threads: Count
    folds: tuple[Fold, ...]
    held_out: Spread
    test: Spread


def part_images(split: Split, folds: int, seed: int, name: str = "the data set") -> list[tuple[Tensor, Tensor]]:
    """Part images into `folds` parts of about one size, each with all classes in the same proportions.

    Which image is in which part, and the order of the images, depend on the images and not on their order on disk. Copies
    of an image are in the same part: no network is measured on an image that it was trained on.

    Args:
        split: the images.
        folds: how many parts.
        seed: another seed, other parts.
        name: of the data set, for errors.

    Returns:
        For each fold the indices of the images to train on and of those held out; int64.

    Raises:
        InputError: when there are fewer than two folds, or more than images of a class.
    """
    from sklearn.model_selection import StratifiedKFold  # it takes a second to import

    hashes, labels = np.array(image_hashes(split)), split.labels.numpy()
    order = np.lexsort((labels, hashes))
    _, first, copy_of = np.unique(hashes[order], return_index=True, return_inverse=True)
    classes = labels[order][first]
    present, counts = np.unique(classes, return_counts=True)
    most = int(counts.min())
    allowed = f"Allowed: 2 to {most}." if most > 1 else "No number of folds is: get more images."
    if folds < 2:
        raise InputError(
            f"{folds} folds are not possible: there is one part to hold out and at least one to train on. {allowed}"
        )
    if folds > most:
        raise InputError(
            f"{folds} folds are not possible: class {present[counts.argmin()]} of {name} has {most} different training images, "
            f"and each part needs one of them. {allowed}"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    parts = []
    for _, held_out in splitter.split(np.zeros(len(classes)), classes):
        outside = np.isin(copy_of, held_out)
        parts.append((torch.from_numpy(order[~outside]), torch.from_numpy(order[outside])))
    return parts


def cross_validate(
    network: Network,
    dataset: Dataset,
    folds: int,
    *,
    root: Path | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """Train `network` once for each fold of the training images, and measure it on the part held out and on the test images.

    Each finished fold is kept in a file and not trained again; an interrupted one goes on at its last whole epoch.

    Args:
        folds: how many; at least 2, at most the images of the smallest class.
        root: where data are looked for.
        recipe: instead of the network's own.
        folder: where finished folds are kept, instead of the cache.
        progress: called with (what, steps done, steps in all) over all folds.

    Raises:
        InputError: when so many folds are not possible, or the network has weights that are not to be trained; before anything is trained.
        FileFormatError: when a kept fold is damaged; names the file.
        DataMissingError: when the data are not there.
    """
    refuse_pretrained(network)
    chosen = recipe or network.recipe_for(dataset.name)
    images, test = both_parts(dataset, root)
    check_fit(network, dataset)
    check_network(network, dataset, chosen)
    start = start_of(network, dataset, chosen)
    parts = part_images(images, folds, chosen.seed, dataset.name)
    steps = [chosen.epochs * steps_an_epoch(len(seen), chosen) for seen, _ in parts]
    common = {
        "weights": weights_key(network, dataset, chosen),
        "start": start,
        "test": test.labelled_digest,
        "threads": torch.get_num_threads(),
    }
    found = []
    for index, (seen, unseen) in enumerate(parts):
        number, training, held_out = index + 1, images.take(seen), images.take(unseen)
        key = sha256(
            canonical_json(
                common
                | {"folds": folds, "fold": number, "train": training.labelled_digest, "held_out": held_out.labelled_digest}
            )
        )
        stem = f"{dataset.name}-{network.name}-fold-{number}-of-{folds}-{key[:12]}"
        file = (folder or cache_dir() / "folds") / f"{stem}.json"

        known = {
            "network": network.name,
            "dataset": dataset.name,
            "recipe": chosen,
            "folds": folds,
            "threads": torch.get_num_threads(),
            "fold.number": number,
            "fold.train_images": len(training),
            "fold.train_digest": digest(training),
            "fold.held_out_images": len(held_out),
            "fold.held_out_digest": digest(held_out),
            "fold.test_images": len(test),
        }

        def tell(what: str, done: int, total: int, before: int = sum(steps[:index]), number: int = number) -> None:
            if progress:
                progress(f"fold {number}/{folds}, {what}", before + done, sum(steps))

        with locked(file.with_suffix(".lock")):
            fold = _kept(file, key, known)
            if fold is None:
                fold = _measure(
                    network, dataset, chosen, number, training, held_out, test, file.with_suffix(".checkpoint"), tell, start
                )
                card = FoldCard(
                    network=network.name,
                    dataset=dataset.name,
                    recipe=chosen,
                    folds=folds,
                    threads=torch.get_num_threads(),
                    key=key,
                    fold=fold,
                )
                write_atomically(file, readable_json(card.model_dump(mode="json")))
            remove(file.with_suffix(".checkpoint"))
        found.append(fold)
    return CrossValidation(
        network=network.name,
        dataset=dataset.name,
        recipe=chosen,
        threads=torch.get_num_threads(),
        folds=tuple(found),
        held_out=Spread.of([fold.held_out_accuracy for fold in found]),
        test=Spread.of([fold.test_accuracy for fold in found]),
    )


def _kept(file: Path, key: str, known: Mapping[str, object]) -> Fold | None:
    """The fold in `file` if it is there and has that key.

    Args:
        known: fields that the key was made from, with their values.
    """
    remedy = f"Remove {file}; this fold will be trained again."
    card = find(FoldCard, file, remedy)
    if card is None or card.key != key:
        return None
    for name, value in known.items():
        if (said := attrgetter(name)(card)) != value:
            raise FileFormatError(f"{file}: {name} is {quoted(said)}, but its key is that of {quoted(value)}. {remedy}")
    return card.fold


def _measure(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    number: int,
    training: Split,
    held_out: Split,
    test: Split,
    checkpoint: Path,
    progress: Progress,
    identity: object,
) -> Fold:
    start = time.monotonic()
    model = train(network, dataset, training, recipe, checkpoint=checkpoint, progress=progress, identity=identity)
    return Fold(
        number=number,
        train_images=len(training),
        train_digest=digest(training),
        held_out_images=len(held_out),
        held_out_digest=digest(held_out),
        held_out_accuracy=accuracy(model, dataset, held_out),
        test_images=len(test),
        test_accuracy=accuracy(model, dataset, test),
        torch=torch.__version__,
        seconds=round(time.monotonic() - start, 1),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
