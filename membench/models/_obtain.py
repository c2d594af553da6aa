"""The one way to a network with its weights: a file that is named, else weights that membench trained or trains."""

from __future__ import annotations

from pathlib import Path

from membench.case import Case
from membench.datasets import DATASETS, Dataset
from membench.models._base import NETWORKS, Network, Recipe
from membench.models._factory import refuse_pretrained
from membench.models._imported import find_or_take
from membench.models._train import Progress
from membench.models._weights import Trained, find_or_train


def obtain(
    network: Network,
    dataset: Dataset,
    *,
    weights: str | Path | None = None,
    root: Path | None = None,
    recipe: Recipe | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """The network with the weights of a file, where one is named; else with weights that fit, which are trained once and kept.

    Args:
        weights: a file of trained weights, instead of the network's own `weights`; see docs/checkpoints.md.
        root: where data are looked for.
        recipe: how to train, instead of the network's own.
        folder: where trained weights are kept, instead of the cache.
        progress: called with (what, done, in all) while training.

    Raises:
        InputError: when a file of weights does not fit, or the network cannot be trained.
        FileFormatError: when weights or their card are damaged; names the file.
        DataMissingError: when the data are not there. Weights that come with membench need none.
    """
    if recipe is not None:
        refuse_pretrained(network)
    named = weights if weights is not None else network.weights
    if named is not None:
        return find_or_take(network, dataset, named, root=root, folder=folder)
    return find_or_train(network, dataset, root=root, recipe=recipe, folder=folder, progress=progress)


def obtain_for(
    case: Case,
    *,
    weights: str | Path | None = None,
    root: Path | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """The digital network of a case, with the weights that the case, else its network names, else such as membench trains.

    All that measures a case gets its network here. Arguments and errors are those of `obtain`.

    Args:
        weights: a file of trained weights, instead of all these.
    """
    named = weights if weights is not None else case.weights
    network, dataset = NETWORKS.get(case.network), DATASETS.get(case.dataset)
    return obtain(network, dataset, weights=named, root=root, folder=folder, progress=progress)
