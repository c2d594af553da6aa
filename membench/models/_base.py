"""What a network is: a factory of torch modules, and the recipe by which it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from membench.errors import InputError
from membench.plain import Count, Flag, Integer, NonNegative, Plain, Positive, Proportion
from membench.registry import Registry, check_name
from membench.words import quoted

Factory = Callable[[int, tuple[int, ...]], nn.Module]


class Recipe(Plain):
    """How a network is trained: SGD with Nesterov momentum under a one-cycle schedule (Smith and Topin, arXiv 1708.07120).

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        max_lr: peak of the learning rate.
        momentum: of SGD.
        weight_decay: L2 penalty.
        label_smoothing: 0 to 1.
        shift: images are moved by up to so many pixels a side, where the data set allows it; 0: not at all.
        mirror: images are mirrored left to right at random, where the data set allows it.
        seed: of initial weights, order and augmentation.
        fine_tune: whether training goes on from weights that the factory loads. A factory that loads some is refused without it, since
            they would be trained over; one that loads none is refused with it.
        precision: in which products are formed. `bfloat16` trains 2 to 3 times as fast where the processor has it (AVX512-BF16,
            AMX, or a GPU); the weights, their updates and the statistics of BatchNorm stay float32.
    """

    later: ClassVar[Mapping[str, Any]] = {"precision": "float32", "fine_tune": False}

    epochs: Count
    batch_size: Annotated[Integer, Field(ge=2)] = 128
    max_lr: Positive = 0.1
    momentum: Proportion = 0.9
    weight_decay: NonNegative = 5e-4
    label_smoothing: Proportion = 0.0
    shift: Annotated[Integer, Field(ge=0)] = 2
    mirror: bool = True
    seed: Annotated[Integer, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    fine_tune: Flag = False


@dataclass(frozen=True)
class Network:
    """A network that cases can name.

    Attributes:
        name: as a case names it.
        build: (classes, shape) -> an untrained torch module that takes images (n, *shape) and gives logits (n, classes); the shape is
            (channels, height, width) for images, (channels, length) for signals.
        recipe: how it is trained unless told otherwise; None: it is not trained.
        recipes: for some data sets, another one.
        weights: file of trained weights that it is measured with, as they are; then it is never trained. A relative path is looked for
            in the current folder, then in the repository around it. A case may name another file.

    Example:
        Network("mine", lambda classes, shape: MyNet(classes), weights="weights/own.pt")
    """

    name: str
    build: Factory
    recipe: Recipe | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    weights: str | Path | None = None

    def recipe_for(self, dataset: str) -> Recipe:
        """The recipe on that data set.

        Raises:
            InputError: when there is none.
        """
        found = self.recipes.get(dataset, self.recipe)
        if found is None:
            raise InputError(
                f"The network {self.name!r} has no recipe for {dataset!r}, so it cannot be trained. Give it one, Recipe(epochs=10), or a "
                "file of trained weights: weights='own.pt'."
            )
        return found


def _checked(name: str, item: object) -> Network:
    """What `NETWORKS.add` registers.

    Raises:
        InputError: when it is not a network of that name, with a factory and recipes.
    """
    if not isinstance(item, Network):
        raise InputError(
            f"Network {quoted(name)} is of type {type(item).__name__}; a membench.models.Network is needed: Network({quoted(name)}, "
            "lambda classes, shape: ..., Recipe(epochs=10))."
        )
    check_name("network", name, item.name)
    if isinstance(item.build, nn.Module) or not callable(item.build):
        raise InputError(
            f"Network {quoted(name)}: build is of type {type(item.build).__name__}; a function (classes, shape) -> torch module is "
            "needed, so that each seed gets a network of its own."
        )
    for recipe in (item.recipe, *item.recipes.values()):
        if not isinstance(recipe, Recipe | None):
            raise InputError(f"Network {quoted(name)}: a recipe is {quoted(recipe)}; a membench.models.Recipe is needed.")
    return item


NETWORKS: Registry[Network] = Registry("network", "membench.models", _checked)
