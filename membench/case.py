"""What is measured, and nothing else: frozen, validated when it is made, with a fingerprint of every field that can move a
result."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from membench.devices import VTEAM, AnyDevice
from membench.effect import Effects, Stage
from membench.errors import InputError
from membench.plain import Count, Flag, Integer, NonNegative, Number, Plain, Positive, Proportion, Text
from membench.storage import canonical_json, sha256

_NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
DEFAULT_ENGINE = "vectorized"  # what executes a case unless told otherwise
MOST_THREADS = 1024  # of torch: with tens of thousands OpenMP ends the process

_STAGES = tuple(Stage)


class Scheme(StrEnum):
    """How a weight is held by conductances."""

    DOUBLE_COLUMN = "double-column"  # G_positive - G_negative
    SINGLE_COLUMN = "single-column"  # MemTorch clamps negative weights to zero: they are lost


class ADC(Plain):
    """The converter at the foot of each tile's columns.

    With the range `vector` it is taken afresh from each vector of partial sums, as MemTorch does (Quantize.py, quantize.h):
    delta = 2^(1 - bits + ceil(log2(max|y| + 1e-12))), y -> clamp(round(y / delta), -2^(bits-1), 2^(bits-1) - 1) delta. No converter
    works so: it would have to know a vector before it converts it. With a fixed range, delta = range / 2^(bits-1).

    Attributes:
        bits: resolution, 2 to 16. (MemTorch fails on 1 bit.)
        method: `linear`, or `log`, which quantises log|y|. MemTorch's log clamps log|y| to 0 from below, so it keeps nothing
            but the sign of a current below 1 A.
        overflow_rate: proportion of the values that may lie beyond the range, 0 to 1: of each vector, or, where the range is
            calibrated, of the currents seen then.
        range: `vector`; `calibrated`: one range a layer, fixed once from the currents that `calibration_images` of the training
            set cause; or the largest current itself, the same for every layer, in amperes.
        calibration_images: how many.
    """

    later: ClassVar[Mapping[str, Any]] = {"range": "vector", "calibration_images": 64}
    bits: Annotated[Integer, Field(ge=2, le=16)]
    method: Literal["linear", "log"] = "linear"
    overflow_rate: Proportion = 0.0
    range: Literal["vector", "calibrated"] | Positive = "vector"
    calibration_images: Count = 64

    @property
    def fixed(self) -> bool:
        """Whether the range does not depend on the vector."""
        return self.range != "vector"

    @model_validator(mode="after")
    def _range_fits(self) -> Self:
        if self.fixed and self.method != "linear":
            raise InputError(
                "ADC: a fixed range belongs to method='linear'; the log converter takes its range from each vector."
            )
        if not isinstance(self.range, str) and self.overflow_rate:
            raise InputError("ADC: with a range in amperes nothing is left for overflow_rate to decide; leave it out.")
        return self


class DAC(Plain):
    """The converter that drives the word lines.

    Voltages become the nearest of 2^bits - 1 levels, evenly spaced from -max_input_voltage to max_input_voltage, 0 V among them.

    Attributes:
        bits: resolution, 2 to 16.
    """

    bits: Annotated[Integer, Field(ge=2, le=16)]


class InputScaling(Plain):
    """What becomes of inputs beyond max_input_voltage: they are scaled down to fit.

    Attributes:
        undone: whether the layer's output is multiplied by the inverse of the scale. MemTorch never does (map/Input.py).
        per: which inputs have one scale: an `image` (or vector), a `batch`, or as in MemTorch: a batch in a fully connected layer and
            in Conv1d, an image in Conv2d and Conv3d.
    """

    undone: Flag = False
    per: Literal["memtorch", "image", "batch"] = "memtorch"


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
        max_input_voltage: in volts (MIV), or None: unbounded. Inputs that exceed it are scaled down to fit.
        scaling: how.
        dac: converter of the inputs, or None: voltages are exact. It needs a max_input_voltage.
        mapping: `naive`, MemTorch's linear map from |w| in [0, max|w|] to [1 / r_off, 1 / r_on].
        retained: proportion p_l of the weights that the map keeps in range; larger ones saturate, and weights below
            max / (r_off / r_on) are lifted to it. None: no weight saturates.
        tuning: the fit of gain and offset, or None: the raw currents go on.
        keep_digital: what stays digital on purpose, by dotted names: modules with all below them (`head`), parameters and buffers of
            modules that are not converted (`1.gamma`), and `MODULE:products`, the matrix products that a module's own forward computes
            (`attention:products`; `:products` of the network itself). Each must be there, and be used.
    """

    later: ClassVar[Mapping[str, Any]] = {"scaling": InputScaling(), "dac": None}
    device: AnyDevice = VTEAM()
    scheme: Scheme = Scheme.DOUBLE_COLUMN
    tile_shape: tuple[Count, Count] | None = None
    adc: ADC | None = None
    max_input_voltage: Positive | None = None
    mapping: Literal["naive"] = "naive"
    retained: Proportion | None = None
    tuning: Tuning | None = Tuning()
    keep_digital: tuple[Text, ...] = ()
    scaling: InputScaling = InputScaling()
    dac: DAC | None = None

    @model_validator(mode="after")
    def _voltages_end_somewhere(self) -> Self:
        if self.max_input_voltage is None and (self.dac is not None or self.scaling != InputScaling()):
            raise InputError("Conversion: dac and scaling speak of inputs within max_input_voltage; set it, in volts.")
        return self


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


class UnusualOrderWarning(UserWarning):
    """The effects of a case stand in another order than the life of a device has."""


class Case(Plain):
    """One thing to measure: a data set, a network, a conversion, an ordered list of non-idealities, seeds and images.

    Attributes:
        name: lower-case words joined by `-` or `.`; names the baseline's file.
        dataset: name of a registered data set.
        network: name of a registered network.
        conversion: how the network becomes memristive.
        nonidealities: effects, in the order in which they act. The canonical one is fabrication, programming (finite states,
            then programming error, then faults), ageing, read-out; another one warns.
        seeds: one run each; every source of randomness is derived from the seed, axis by axis.
        images: how many test images, a balanced and seeded subset that is the same for all seeds. A subset of fewer images
            is the beginning of one of more.
        subset_seed: which subset.
        batch_size: images simulated at once. It is part of the case, since MemTorch scales a fully connected layer's inputs
            per batch: the other images in the batch change an image's logits.
        weights: file of trained weights that the network is measured with, as they are; its path in the repository, "weights/own.pt".
            None: those that the network itself names, else such as membench trains by its recipe. See docs/checkpoints.md.
        thresholds: what the gate accepts. Not in the fingerprint: it moves no result.
        description: a sentence for people. Not in the fingerprint.
    """

    later: ClassVar[Mapping[str, Any]] = {"weights": None}

    name: str
    dataset: Text
    network: Text
    conversion: Conversion
    thresholds: Thresholds
    nonidealities: Effects = ()
    seeds: tuple[Annotated[Integer, Field(ge=0, lt=2**63)], ...] = (0, 1, 2, 3, 4)
    images: Count = 1_000
    subset_seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 0
    batch_size: Count = 20
    description: Text = ""
    weights: str | None = None

    @field_validator("weights")
    @classmethod
    def _weights_lie_in_the_repository(cls, weights: str | None) -> str | None:
        if weights is None:
            return None
        path = PurePosixPath(weights)
        if not weights.strip() or not weights.isprintable() or "\\" in weights or not path.parts:
            raise ValueError("must be the path of a file, with / between its parts")
        if path.is_absolute() or PureWindowsPath(weights).drive or ".." in path.parts:
            raise ValueError(
                "must be a path inside the repository, as weights/own.pt: another one gives the case another fingerprint on each "
                "machine. Copy the file there, or bring it with: membench import FILE NETWORK DATASET"
            )
        return str(path)

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
    def _effects_fit(self) -> Self:
        device, limit = self.conversion.device, self.conversion.max_input_voltage
        for effect in self.nonidealities:
            if reason := effect.unfit(device, limit):
                raise InputError(f"Case {self.name!r}: the effect {effect.kind!r} does not fit: {reason}.")
        once = [effect.kind for effect in self.nonidealities if effect.stage is Stage.FABRICATION]
        if len(set(once)) != len(once):
            raise InputError(f"Case {self.name!r}: an effect of fabrication may stand there once; given: {', '.join(once)}.")
        return self

    @model_validator(mode="after")
    def _effects_in_order(self) -> Self:
        ranks = [(_STAGES.index(effect.stage), effect.rank) for effect in self.nonidealities]
        if ranks == sorted(ranks):
            return self
        given = ", ".join(f"{effect.kind} ({effect.stage})" for effect in self.nonidealities)
        usual = ", ".join(
            effect.kind for _, effect in sorted(zip(ranks, self.nonidealities, strict=True), key=lambda pair: pair[0])
        )
        made = [effect.stage is Stage.FABRICATION for effect in self.nonidealities]
        if made != sorted(made, reverse=True):
            raise InputError(
                f"Case {self.name!r}: nonidealities are out of order: {given}. A device is made before anything else can happen to "
                f"it. The usual order is {usual}."
            )
        warnings.warn(
            f"Case {self.name!r}: nonidealities act in an unusual order: {given}. A device is made, then programmed, then ages, then is "
            f"read: {usual}. They will act as given.",
            UnusualOrderWarning,
            stacklevel=2,
        )
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
