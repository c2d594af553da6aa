"""What a network computes, as a few numbers: its answers to inputs that are the same on every machine.

Names, recipes and shapes do not tell a ReLU from a GELU. These numbers do, and they stay the same where nothing but the machine changes.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from membench.datasets import Dataset
from membench.models._base import Network, Recipe
from membench.models._train import augment, augmentation, build
from membench.plain import Number
from membench.runtime import derive_seed, isolated, pinned_threads

IMAGES = 2  # of each kind: those that the data set normalises, and those that are normal already
MOST = 8  # logits of an image that are kept
DIGITS = 6
MAGNITUDES = (1.0, 10.0)  # at ten times the input, limits show: ReLU6 against ReLU, clipping, saturation
TOLERANCE = 1e-4  # of a row's largest number: other processors add up in another order
START_TOLERANCE = 1e-3  # the same of what training starts from
STEP = 0.01  # its learning rate

Row = tuple[Number | None, ...]  # None: not finite
Probe = Annotated[tuple[tuple[Row, ...], ...], Field(min_length=1)]


def probe(model: nn.Module, dataset: Dataset) -> Probe:
    """The answers of a trained network; the model is in evaluation mode afterwards.

    Returns:
        Blocks of rows: some normalised values, then for each of MAGNITUDES the logits of IMAGES inputs of each kind. At most MOST numbers
        a row, evenly spread, rounded to DIGITS significant digits.
    """
    images = _inputs(dataset)
    answers = (block for size in MAGNITUDES for block in _answers(model, size * images))
    return (_rows(images[:IMAGES].reshape(1, -1)), *answers)


def start_of(network: Network, dataset: Dataset, recipe: Recipe) -> Probe | None:
    """The answers of the network with its initial weights, and after one step of training from them, as `recipe` trains.

    They tell apart what a trained network's answers cannot: initial weights, dropout, parameters that are kept from training, augmentation.

    Returns:
        The blocks of `probe`, then the logits of the inputs after the step; None where they are others each time, since the
        factory draws from a generator of its own, or where so few images are not enough for the step.
    """
    first, again = (_start(network, dataset, recipe) for _ in range(2))
    return first if first == again else None


def _start(network: Network, dataset: Dataset, recipe: Recipe) -> Probe | None:
    images = _inputs(dataset)
    model = build(network, dataset, recipe.seed)
    untrained = probe(model, dataset)
    shift, mirror = augmentation(dataset, recipe)
    optimizer = torch.optim.SGD(model.parameters(), STEP)
    try:
        with isolated(derive_seed(recipe.seed, "first step")), pinned_threads(1):
            logits = model.train()(augment(images, shift, mirror))
            classes = torch.arange(len(images)) % dataset.classes
            F.cross_entropy(logits, classes, label_smoothing=recipe.label_smoothing).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return (*untrained, *_answers(model, images))
    except (RuntimeError, ValueError, IndexError):
        return None


def same(one: Probe, other: Probe, tolerance: float = TOLERANCE) -> bool:
    """Whether both are of networks that compute the same.

    In each block half of the rows must agree: where a network takes signs or rounds, another machine may turn a value over and so move
    a row, while another function moves all of them.
    """
    return len(one) == len(other) and all(_same_block(*blocks, tolerance) for blocks in zip(one, other, strict=True))


def _same_block(one: tuple[Row, ...], other: tuple[Row, ...], tolerance: float) -> bool:
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    return 2 * sum(_same_row(*rows, tolerance) for rows in zip(one, other, strict=True)) >= len(one)


def _same_row(one: Row, other: Row, tolerance: float) -> bool:
    largest = max((abs(value) for value in (*one, *other) if value is not None), default=0.0)
    return all(
        a == b or (a is not None and b is not None and abs(a - b) <= tolerance * largest)
        for a, b in zip(one, other, strict=True)
    )


def _inputs(dataset: Dataset) -> Tensor:
    """Inputs as a network gets them, shape (2 * IMAGES, *dataset.shape): half normalised by the data set, half between -2 and 2.

    The bytes come from a hash, whose output no version of a library changes.
    """
    count = IMAGES * math.prod(dataset.shape)
    drawn = torch.frombuffer(bytearray(hashlib.shake_256(b"membench probe").digest(2 * count)), dtype=torch.uint8)
    raw, normal = (part.view(IMAGES, *dataset.shape) for part in (drawn[:count], drawn[count:]))
    return torch.cat([dataset.normalise(raw), normal.float() / 64 - 2])


def _answers(model: nn.Module, images: Tensor) -> tuple[tuple[Row, ...], ...]:
    """A block of rows for each kind of inputs."""
    with isolated(0), pinned_threads(1), torch.inference_mode():
        return tuple(map(_rows, model.eval()(images).split(IMAGES)))


def _rows(values: Tensor) -> tuple[Row, ...]:
    flat = values.flatten(1)
    chosen = torch.linspace(0, flat.shape[1] - 1, min(MOST, flat.shape[1])).round().long()
    return tuple(tuple(_rounded(value) for value in row) for row in flat[:, chosen].double().tolist())


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
