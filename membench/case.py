"""What is measured, and nothing else: frozen, validated when it is made, with a fingerprint of every field that can move a
result."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from membench.devices import VTEAM, AnyDevice
from membench.effect import Effects, Stage
from membench.errors import InputError
from membench.plain import Integer, NonNegative, Number, Plain, Positive, Proportion
from membench.storage import canonical_json, sha256

_NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
DEFAULT_ENGINE = "vectorized"  # what executes a case unless told otherwise

_STAGES = tuple(Stage)

Count = Annotated[Integer, Field(ge=1)]


class Scheme(StrEnum):
    """How a weight is held by conductances."""

    DOUBLE_COLUMN = "double-column"  # G_positive - G_negative
    SINGLE_COLUMN = "single-column"  # MemTorch clamps negative weights to zero: they are lost


class ADC(Plain):
    """The converter at the foot of each tile's columns.

    The range is taken afresh from each vector of partial sums, as MemTorch does (Quantize.py, quantize.h):
    delta = 2^(1 - bits + ceil(log2(max|y| + 1e-12))), y -> clamp(round(y / delta), -2^(bits-1), 2^(bits-1) - 1) delta.

    Attributes:
        bits: resolution, 2 to 16. (MemTorch fails on 1 bit.)
        method: `linear`, or `log`, which quantises log|y|. MemTorch's log clamps log|y| to 0 from below, so it keeps nothing
            but the sign of a current below 1 A.
        overflow_rate: proportion of the values that may lie beyond the range, 0 to 1.
    """

    bits: Annotated[Integer, Field(ge=2, le=16)]
    method: Literal["linear", "log"] = "linear"
    overflow_rate: Proportion = 0.0


class Tuning(Plain):
    """MemTorch's linear fit of one gain and one offset a layer, on noise drawn from U(-1, 1) (map/Module.py).

    Attributes:
        conv_images: noise images for a convolution.
        conv_size: their height and width, in pixels (length for Conv1d).
        linear_rows: noise vectors for a fully connected layer.
        after: `conversion`, before faults and ageing act, as MemTorch's tutorials do; or `effects`, as a chip is calibrated
            with the faults and the age that it has.
    """

    conv_images: Count = 8
    conv_size: Annotated[Integer, Field(ge=8)] = 32
    linear_rows: Annotated[Integer, Field(ge=16)] = 4098
    after: Literal["conversion", "effects"] = "conversion"


class Conversion(Plain):
    """How a digital network becomes a memristive one.

    Attributes:
        device: device model and its resistances, in ohms.
        scheme: how a weight is held.
        tile_shape: (rows, columns) of a modular tile, or None: one crossbar holds the whole layer.
        adc: converter, or None: the partial sums are exact.
        max_input_voltage: in volts (MIV), or None: unbounded. Inputs that exceed it are scaled down to fit, and MemTorch
            never undoes that scale: per image in a convolution, per batch in a fully connected layer.
        mapping: `naive`, MemTorch's linear map from |w| in [0, max|w|] to [1 / r_off, 1 / r_on].
        retained: proportion p_l of the weights that the map keeps in range; larger ones saturate, and weights below
            max / (r_off / r_on) are lifted to it. None: no weight saturates.
        tuning: the fit of gain and offset, or None: the raw currents go on.
        keep_digital: dotted names of layers that stay digital on purpose.
    """

    device: AnyDevice = VTEAM()
    scheme: Scheme = Scheme.DOUBLE_COLUMN
    tile_shape: tuple[Count, Count] | None = None
    adc: ADC | None = None
    max_input_voltage: Positive | None = None
    mapping: Literal["naive"] = "naive"
    retained: Proportion | None = None
    tuning: Tuning | None = Tuning()
    keep_digital: tuple[str, ...] = ()


class Thresholds(Plain):
    """What the gate accepts.

    Attributes:
        max_loss_points: largest accepted accuracy loss against the digital network, in percentage points.
        tolerance_points: how much more than the baseline the loss may be, in points. None: as much as the paired test on the
            same images and seeds cannot tell from no change (95 %).
        tolerance_logit_error: how much more than the baseline the relative logit error may be, as a proportion of the
            baseline's. The spread over the baseline's seeds is added to it.
    """

    max_loss_points: Annotated[Number, Field(ge=0, le=100)]
    tolerance_points: NonNegative | None = None
    tolerance_logit_error: NonNegative = 0.05


class Case(Plain):
    """One thing to measure: a data set, a network, a conversion, an ordered list of non-idealities, seeds and images.

    Attributes:
        name: lower-case words joined by `-` or `.`; names the baseline's file.
        dataset: name of a registered data set.
        network: name of a registered network.
        conversion: how the network becomes memristive.
        nonidealities: effects, in the order in which they act: fabrication, programming, ageing, read-out.
        seeds: one run each; every source of randomness is derived from the seed, axis by axis.
        images: how many test images, a balanced and seeded subset that is the same for all seeds. A subset of fewer images
            is the beginning of one of more.
        subset_seed: which subset.
        batch_size: images simulated at once. It is part of the case, since MemTorch scales a fully connected layer's inputs
            per batch: the other images in the batch change an image's logits.
        thresholds: what the gate accepts. Not in the fingerprint: it moves no result.
        description: a sentence for people. Not in the fingerprint.
    """

    name: str
    dataset: str
    network: str
    conversion: Conversion
    thresholds: Thresholds
    nonidealities: Effects = ()
    seeds: tuple[Annotated[Integer, Field(ge=0, lt=2**63)], ...] = (0, 1, 2, 3, 4)
    images: Count = 1_000
    subset_seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 0
    batch_size: Count = 20
    description: str = ""

    @field_validator("name")
    @classmethod
    def _name_fits_a_file(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or len(name) > 80:
            raise ValueError("must be lower-case letters and digits in words joined by '-' or '.', 80 characters at most")
        return name

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds:
            raise ValueError("at least one seed is needed")
        if len(set(seeds)) != len(seeds):
            raise ValueError("each seed may stand there once: a repeated one would narrow the interval without measuring more")
        return seeds

    @model_validator(mode="after")
    def _effects_in_order(self) -> Self:
        ranks = [_STAGES.index(effect.stage) for effect in self.nonidealities]
        if ranks != sorted(ranks):
            stages = ", ".join(f"{effect.kind} ({effect.stage})" for effect in self.nonidealities)
            raise InputError(
                f"Case {self.name!r}: nonidealities are out of order: {stages}. A device is made, then programmed, then ages, then "
                f"is read, so the order is {', '.join(_STAGES)}."
            )
        once = [effect.kind for effect in self.nonidealities if effect.stage is Stage.FABRICATION]
        if len(set(once)) != len(once):
            raise InputError(f"Case {self.name!r}: an effect of fabrication may stand there once; given: {', '.join(once)}.")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every field that can move a result, as canonical JSON: the same on every machine and Python version."""
        fields = self.model_dump(mode="json", exclude={"name", "description", "thresholds"})
        return sha256(canonical_json({"schema": "membench-case/1", **fields}))

    @property
    def setup_fingerprint(self) -> str:
        """The fingerprint without the numbers of images and seeds: what two runs must share to be compared image by image."""
        fields = self.model_dump(mode="json", exclude={"name", "description", "thresholds", "images", "seeds"})
        return sha256(canonical_json({"schema": "membench-case/1", **fields}))
