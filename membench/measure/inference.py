"""Logits of each batch, and how long each batch took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inference:
    """What a network answered.

    Attributes:
        logits: of each batch, float32 (images of the batch, classes).
        seconds: that each batch took.
    """

    logits: tuple[Tensor, ...]
    seconds: tuple[float, ...]

    @property
    def predictions(self) -> tuple[int, ...]:
        """The class of each image; -1 where a logit is not finite."""
        every = torch.cat(self.logits)
        classes = torch.where(torch.isfinite(every).all(1), every.argmax(1), -1)
        return tuple(int(k) for k in classes)

    @property
    def power(self) -> tuple[float, ...]:
        """Sum of the squared logits of each batch."""
        return tuple(float(batch.double().square().sum()) for batch in self.logits)

    def error_power(self, reference: Inference) -> tuple[float, ...]:
        """Sum of the squared differences to the reference's logits, of each batch."""
        pairs = zip(self.logits, reference.logits, strict=True)
        return tuple(float((mine.double() - its.double()).square().sum()) for mine, its in pairs)


def infer(
    network: Callable[[Tensor], Tensor], images: Tensor, batch_size: int, progress: Callable[[int, int], None] | None = None
) -> Inference:
    """Run `network` batch by batch.

    Args:
        images: float32, shape (n, channels, height, width); the last batch may be smaller.
        progress: called with (images done, images in all).
    """
    logits, seconds = [], []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        before = time.perf_counter()
        output = network(batch).detach().cpu()  # where a GPU works, this waits for it
        seconds.append(time.perf_counter() - before)
        logits.append(output.clone())
        if progress:
            progress(min(start + batch_size, len(images)), len(images))
    return Inference(tuple(logits), tuple(seconds))
