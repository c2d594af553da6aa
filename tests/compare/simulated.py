"""Runs without a network, with what real ones have: images that are hard for every device, and devices that are worse than others.

Of the committed records, between 14 % and all of a loss's variance is between images, and a device's loss spreads by up to 15 points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Images and devices to draw from. Device s gets image i wrong where their two numbers and a third one exceed a threshold.

    Attributes:
        loss: proportion of the images that are lost.
        images: standard deviation of an image's number, where that of the single answer is 1.
        devices: the same of a device's number.
    """

    loss: float
    images: float
    devices: float

    def runs(self, rng: np.random.Generator, seeds: int, images: int, more: float = 0.0) -> tuple[Losses, Losses]:
        """A and B on the same images, each on devices of its own; B loses `more` than A. Shapes (seeds, images)."""
        whole = float(np.sqrt(1 + self.images**2 + self.devices**2))
        image = rng.normal(0, self.images, images)

        def run(loss: float) -> Losses:
            device = rng.normal(0, self.devices, (seeds, 1))
            return (image + device + rng.normal(size=(seeds, images)) > -whole * special.ndtri(loss)).astype(float)

        return run(self.loss), run(self.loss + more)


MIXED = Population(loss=0.15, images=0.6, devices=0.15)  # as read noise and weak faults: images and devices matter alike
DEVICES = Population(loss=0.15, images=0.4, devices=0.6)  # as many faults: the device decides
IMAGES = Population(loss=0.03, images=2.0, devices=0.02)  # as few states or a low input limit: the image decides
