"""Training: deterministic for a seed and a number of threads, and resumed after an interruption at the last whole epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from membench.datasets import Dataset, Split, image_hashes
from membench.errors import FileFormatError, InputError, MembenchError
from membench.models._base import Network, Recipe
from membench.runtime import derive_seed, isolated
from membench.storage import canonical_json, remove, sha256, write_atomically
from membench.strict_json import parse
from membench.words import brief, quoted, raised_at

Progress = Callable[[str, int, int], None]


def build(network: Network, dataset: Dataset, seed: int) -> nn.Module:
    """The untrained network with the initial weights of `seed`.

    Raises:
        InputError: when the factory fails, or gives no module.
    """
    classes, shape, pair = dataset.classes, dataset.shape, _pair(network, dataset)
    with isolated(derive_seed(seed, "initial weights")):
        try:
            model = network.build(classes, shape)
        except (MembenchError, MemoryError):
            raise
        except Exception as error:
            raise InputError(f"{pair}: its build(classes, shape) failed: {_said(error)} (at {raised_at(error)}).") from error
        if not isinstance(model, nn.Module):
            raise InputError(f"{pair}: its build(classes, shape) returned {quoted(model)}; a torch.nn.Module is needed.")
    return model


def check_fit(network: Network, dataset: Dataset) -> None:
    """Pass two images of zeros through the untrained network, before it costs time.

    Raises:
        InputError: when it does not take images of the data set's shape, or does not give one output a class; names both numbers.
    """
    classes, pair = dataset.classes, _pair(network, dataset)
    model = build(network, dataset, 0).eval()
    try:
        with isolated(0), torch.inference_mode():
            logits = model(torch.zeros(2, *dataset.shape))
    except (MembenchError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{pair}: it does not take images of that shape: {_said(error)}. Build its layers from the classes and the shape that build() "
            "is given, or name another network."
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        given = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise InputError(
            f"{pair}: for 2 images it gives {given}; a tensor of shape (2, {classes}) is needed, one logit a class."
        )
    if logits.shape[1] != classes:
        raise InputError(
            f"{pair}: it gives {logits.shape[1]} outputs an image, and there are {classes} classes. Give its last layer as many outputs as "
            "build() is given classes."
        )


def _pair(network: Network, dataset: Dataset) -> str:
    return (
        f"Network {quoted(network.name)} on data set {quoted(dataset.name)} ({dataset.classes} classes, shape {dataset.shape})"
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {brief(error)}"


def accuracy(model: nn.Module, dataset: Dataset, split: Split, batch_size: int = 250) -> float:
    """Proportion of `split` that `model` classifies rightly."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            images = dataset.normalise(split.images[start : start + batch_size])
            right += int((model(images).argmax(1) == split.labels[start : start + batch_size]).sum())
    return right / len(split)


def augmentation(dataset: Dataset, recipe: Recipe) -> tuple[int, bool]:
    """By how many pixels images are moved, and whether they are mirrored: what the recipe asks for and the data set allows."""
    return recipe.shift if "shift" in dataset.augment else 0, recipe.mirror and "mirror" in dataset.augment


def augment(images: Tensor, shift: int, mirror: bool) -> Tensor:
    """Move each image by up to `shift` pixels, with what lies beyond the edge as the nearest pixel, and mirror half.

    Args:
        images: float32, shape (n, channels, height, width); of another number of axes where neither is asked for.
    """
    n = len(images)
    if shift:
        height, width = images.shape[2:]
        padded = F.pad(images, (shift,) * 4, mode="replicate")
        rows = torch.randint(0, 2 * shift + 1, (n, 1)) + torch.arange(height)
        columns = torch.randint(0, 2 * shift + 1, (n, 1)) + torch.arange(width)
        images = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if mirror:
        images = torch.where(torch.rand(n, 1, 1, 1) < 0.5, images.flip(3), images)
    return images


def steps_an_epoch(images: int, recipe: Recipe) -> int:
    """Whole batches of so many images; those that are left over wait for an epoch in which they come earlier."""
    return images // recipe.batch_size or 1


def train(
    network: Network,
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    *,
    checkpoint: Path,
    progress: Progress | None = None,
    identity: object = None,
) -> nn.Module:
    """Train `network` on `split`.

    Args:
        split: the training images.
        identity: plain data that must be the same for a checkpoint to be used, besides recipe, shapes, images, classes and threads.
        checkpoint: file that keeps the state after each epoch, for the caller to remove once the weights are safe. Found
            there, training goes on from it, and ends with the very weights of an uninterrupted one.
        progress: called with (what, steps done, steps in all).
    """
    halved = recipe.precision == "bfloat16"
    flat = len(dataset.shape) == 3  # bfloat16 convolutions of images are fast in this layout alone
    layout = torch.channels_last if halved and flat else torch.contiguous_format
    model = build(network, dataset, recipe.seed).to(memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.max_lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    steps = steps_an_epoch(len(split), recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.max_lr, total_steps=recipe.epochs * steps + 1, pct_start=0.3, cycle_momentum=False
    )
    images = dataset.normalise(split.images)
    shift, mirror = augmentation(dataset, recipe)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    parts = {"recipe": recipe.model_dump(mode="json"), "shapes": shapes, "images": image_hashes(split)}
    also = {"labels": split.labels.tolist(), "threads": torch.get_num_threads(), "identity": identity}
    belongs = sha256(canonical_json(parts | also))
    start = _resume(checkpoint, belongs, model, optimizer, schedule)
    for epoch in range(start, recipe.epochs):
        with isolated(derive_seed(recipe.seed, "epoch", epoch)):
            model.train()
            order = torch.randperm(len(split))
            for step in range(steps):
                chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                batch = augment(images[chosen], shift, mirror).contiguous(memory_format=layout)
                with torch.autocast("cpu", torch.bfloat16, enabled=halved):
                    logits = model(batch)
                loss = F.cross_entropy(logits.float(), split.labels[chosen], label_smoothing=recipe.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                if progress:
                    progress(f"epoch {epoch + 1}/{recipe.epochs}", epoch * steps + step + 1, recipe.epochs * steps)
        _keep(checkpoint, belongs, model, optimizer, schedule, epoch + 1)
    return model.to(memory_format=torch.contiguous_format).eval()


def _keep(file: Path, belongs: str, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, epoch: int) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items() if isinstance(value, Tensor)}
    plain = {
        "belongs": belongs,
        "epoch": epoch,
        "groups": state["param_groups"],
        "schedule": {key: value for key, value in schedule.state_dict().items() if isinstance(value, int | float | str | list)},
    }
    content, said = (
        {name: value.clone().contiguous() for name, value in tensors.items()},
        json.dumps(plain),
    )  # none shares memory
    metadata = {"membench": said, "sha256": sha256(to_safetensors(content) + said.encode())}
    write_atomically(file, to_safetensors(content, metadata))


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint says of itself, and its tensors; nothing of both where there is none.

    Raises:
        FileFormatError: when it is damaged; names the file.
    """
    if not os.path.lexists(file):
        return {}, {}
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{file} is no checkpoint: {brief(error)}.") from error
    said = metadata.get("membench", "")
    if metadata.get("sha256") != sha256(to_safetensors(tensors) + said.encode()):
        raise FileFormatError(f"{file} is no checkpoint of membench, or damaged: its sha256 is another one.")
    return parse(said, str(file)), tensors


def _resume(file: Path, belongs: str, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> int:
    """Load the checkpoint if one is there, is whole and belongs to this training; return the epoch to go on from."""
    try:
        plain, tensors = read_checkpoint(file)
    except FileFormatError:
        plain, tensors = {}, {}
    if plain.get("belongs") != belongs:
        remove(file)  # damaged, or of another network, recipe or images: it holds nothing but time
        return 0
    slots: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.startswith("model."):
            weights[name.removeprefix("model.")] = value
        else:
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = value
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": slots, "param_groups": plain["groups"]})
    schedule.load_state_dict(plain["schedule"])
    return int(plain["epoch"])
