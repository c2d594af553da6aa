"""Can a network be trained? Not where its factory sets weights, which would be lost, and not where it answers otherwise each time."""

from __future__ import annotations

import torch
from torch import Tensor

from membench.datasets import Dataset
from membench.errors import InputError
from membench.models._base import Network, Recipe
from membench.models._probe import probe
from membench.models._train import build


def check_network(network: Network, dataset: Dataset, recipe: Recipe) -> None:
    """Refuse what cannot be trained, before it costs time.

    Raises:
        InputError: when the factory sets weights that training would overwrite, or the network with the same weights answers otherwise
            each time.
    """
    check_factory(network, dataset, recipe)
    one, other = (build(network, dataset, recipe.seed) for _ in range(2))
    other.load_state_dict(one.state_dict())
    if probe(one, dataset) != probe(other, dataset):
        raise InputError(
            f"Network {network.name!r} answers otherwise each time, with the same weights in evaluation mode: it draws random numbers of "
            "its own, or computes with tensors that are not in its state_dict. Register these as parameters or buffers."
        )


def refuse_pretrained(network: Network) -> None:
    """Refuse to train a network that names its weights.

    Raises:
        InputError: names the file.
    """
    if network.weights is not None:
        raise InputError(
            f"There is nothing to train: the network {network.name!r} is measured with the weights of {network.weights}, as they are. To "
            "train on from them, load them in its factory, with Recipe(fine_tune=True)."
        )


def set_by_factory(network: Network, dataset: Dataset, seed: int) -> dict[str, tuple[int, ...]]:
    """The matrices that are the same for two seeds, with their shapes: parameters of two or more dimensions that are not constant.

    A matrix of zeros with one and the same value in each row, as torch.nn.init's eye_ and dirac_ make, counts as constant.
    """
    one, other = (dict(build(network, dataset, each).named_parameters()) for each in (seed, seed + 1))
    return {
        name: tuple(value.shape)
        for name, value in one.items()
        if value.ndim >= 2 and not _constant(value) and name in other and torch.equal(value, other[name])
    }


def check_factory(network: Network, dataset: Dataset, recipe: Recipe) -> None:
    """Refuse to train over weights that the factory sets, unless the recipe says so.

    Raises:
        InputError: names the first such parameter, and what can be done.
    """
    found = set_by_factory(network, dataset, recipe.seed)
    if recipe.fine_tune and not found:
        raise InputError(
            f"Network {network.name!r}: its recipe has fine_tune=True, but its factory sets no weights: each of them depends on the seed. "
            "Load them in the factory, or leave fine_tune out."
        )
    if found and not recipe.fine_tune:
        name, shape = next(iter(found.items()))
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise InputError(
            f"Network {network.name!r}: its factory sets {name} {shape}{more}: the same for two seeds, as where it loads a checkpoint. "
            f"Training would overwrite it. To measure such weights as they are: Network({network.name!r}, ..., weights='own.pt'). To "
            "train on from them: Recipe(fine_tune=True). If the factory seeds torch itself, leave that out: Recipe.seed does it. If the "
            "matrix is fixed by design, register it as a buffer."
        )


def _constant(value: Tensor) -> bool:
    flat = value.detach().flatten(1)
    filled = flat != 0
    values = torch.unique(flat[filled])
    return len(values) == 0 or (len(values) == 1 and (bool(filled.all()) or int(filled.sum(1).max()) <= 1))
