"""One case on several engines, as plain data: what each measured, and where any two of them part."""

from __future__ import annotations

from membench.plain import Plain
from membench.statistics import Interval


class LayerError(Plain):
    """What one layer does on one engine.

    Attributes:
        name: dotted name in the network.
        kind: its torch class.
        alone: root mean square of its output's error, given the digital layer's input, relative to that of the digital output.
        arriving: the same, given what arrives from the layers before it.
        noise: root mean square of the difference of two reads of the same input, relative to the same; 0 where reads are exact.
    """

    name: str
    kind: str
    alone: float
    arriving: float
    noise: float


class Measurement(Plain):
    """What one engine measured, on the same images and seeds as all others.

    Attributes:
        accuracy: 0 to 1, mean over the seeds.
        loss: against the digital network, in percentage points, paired by image.
        logit_error: root mean square of the logits' error relative to the digital logits.
        seconds_per_image: of the simulated inference, median over the batches.
        ratio: that against the digital network, timed in the same run.
        convert_seconds: from the digital network to crossbars, tuning and calibration included; median over the seeds.
        effects_seconds: non-idealities and their proofs; median over the seeds.
        layers: in the order of the network.
    """

    accuracy: float
    loss: Interval
    logit_error: float
    seconds_per_image: float
    ratio: float
    convert_seconds: float
    effects_seconds: float
    layers: tuple[LayerError, ...]


class Contender(Plain):
    """An engine that was asked for.

    Attributes:
        engine: its name.
        version: of the simulator; empty where it is not on this machine.
        refused: why it measured nothing: the fields that it cannot express, or what is missing on this machine.
        measured: what it measured, or None.
    """

    engine: str
    version: str = ""
    refused: str = ""
    measured: Measurement | None = None


class Parting(Plain):
    """The first layer that two engines compute differently, given the same input.

    Attributes:
        layer: dotted name in the network.
        off: proportion of the layer's outputs that differ by more than is accepted.
        steps: largest difference in steps of the ADC; 0 without one.
        error: largest difference relative to the layer's largest output.
        devices: largest relative difference of a conductance: above rounding, the devices themselves are others.
        noise: root mean square of the difference of two reads of the same input, of both engines; 0 where reads are exact.
    """

    layer: str
    off: float
    steps: float
    error: float
    devices: float
    noise: tuple[float, float] = (0.0, 0.0)

    def __str__(self) -> str:
        if self.devices > 1e-4:
            why = f"its devices are others, by up to {100 * self.devices:.2g} %"
        elif max(self.noise) > 0:
            why = f"its reads vary by {self.noise[0]:.2g} and {self.noise[1]:.2g}, and differ by up to {self.error:.2g} of the largest"
        elif self.steps:
            why = f"{100 * self.off:.2g} % of its outputs are off, by up to {self.steps:.2g} steps of the ADC"
        else:
            why = f"its outputs differ by up to {self.error:.2g} of the largest"
        return f"{self.layer} ({why})"


class Pair(Plain):
    """Two engines against each other.

    Attributes:
        one: name of an engine.
        other: name of another.
        difference: by how many points `other` is less accurate than `one`, paired by image and seed.
        same_predictions: proportion of images and seeds to which both give the same class.
        parting: the first layer at which they part; None: every layer agrees, given the same input.
    """

    one: str
    other: str
    difference: Interval
    same_predictions: float
    parting: Parting | None

    @property
    def disagree(self) -> bool:
        """Whether their accuracies differ beyond the interval."""
        return self.difference.low > 0 or self.difference.high < 0


class Comparison(Plain):
    """A case on several engines.

    Attributes:
        case: its name.
        fingerprint: of the case as it was measured.
        images: how many.
        seeds: one run each.
        layer_images: on how many of them the layers were compared, with the first seed.
        digital_accuracy: of the digital network on these images, 0 to 1.
        contenders: in the order asked for.
        pairs: every two that measured something.
        machine: where it was measured.
        threads: torch's.
    """

    case: str
    fingerprint: str
    images: int
    seeds: tuple[int, ...]
    layer_images: int
    digital_accuracy: float
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
    machine: str
    threads: int
