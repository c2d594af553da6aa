"""Where a case loses its accuracy, as plain data: the ladder from the digital network to the whole case, and its layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from membench.case import Case, Conversion, InputScaling
from membench.errors import InputError
from membench.plain import Count, Line, Plain, Power, Proportion, Seed, Sha256
from membench.statistics import Interval
from membench.words import counted, quoted

# Parts of a conversion that are added one by one: (name of the step, its field). A field that Conversion lacks is left out.
PARTS = (("tiles", "tile_shape"), ("input limit", "max_input_voltage"), ("DAC", "dac"), ("ADC", "adc"))


class Rung(Plain):
    """A step of the ladder before it is measured.

    Attributes:
        name: of the step.
        what: it adds to the one before, in words.
        case: to be measured: all steps up to this one.
    """

    name: str
    what: str
    case: Case


class Step(Plain):
    """A step of the ladder, measured: with all steps before it.

    Attributes:
        name: of the step.
        what: it adds to the one before, in words.
        accuracy: 0 to 1, mean over the seeds.
        loss: against the digital network, in percentage points, paired by image.
        certain: whether these very devices lose accuracy, and not these images by chance (95 %). Few seeds make the interval of
            the loss wide, since it is to hold for other devices too; what these have lost can be told with less.
        change: by how many points it is less accurate than the step before, paired by image and seed.
        logit_error: root mean square of the logits' error relative to the digital logits.
    """

    name: Line
    what: str
    accuracy: Proportion
    loss: Interval
    certain: bool
    change: Interval
    logit_error: Power


class LayerBlame(Plain):
    """What one layer of the whole case does to the signal.

    Attributes:
        name: dotted name in the network.
        kind: its torch class.
        snr_db_alone: power of the digital layer's output over that of its error, in dB, given the digital layer's input.
        snr_db_arriving: the same, given what arrives from the converted layers before it.
        clipped: proportion of the currents beyond the codes of their ADC, 0 to 1, for what arrives.
        scaled: proportion of the images that are scaled down to fit the input limit, 0 to 1, for what arrives.
        protected_gain: how many points the case wins back when this layer is left digital.
        protected_logit_error: the logit error that is left then.
    """

    name: Line
    kind: Line
    snr_db_alone: float
    snr_db_arriving: float
    clipped: Proportion
    scaled: Proportion
    protected_gain: Interval
    protected_logit_error: Power


class Culprit(Plain):
    """The step that is to blame.

    Attributes:
        step: its name.
        by: what tells so: the `loss`, or the `logit error` where the loss cannot be told from none.
        before: loss in points, or relative logit error, before the step.
        after: the same after it.
    """

    step: str
    by: Literal["loss", "logit error"]
    before: float
    after: float

    def __str__(self) -> str:
        if self.by == "loss":
            return f"{self.step} ({self.before:.2f} -> {self.after:.2f} points)"
        return f"{self.step} (logit error {self.before:.2g} -> {self.after:.2g})"


class Explanation(Plain):
    """Where a case loses its accuracy.

    Attributes:
        case: its name.
        fingerprint: of the case as it was measured.
        engine: that executed it.
        images: measured in each step.
        seeds: of each step.
        layer_images: over how many images the figures of the layers' signals are taken.
        layer_seeds: over which seeds the figures of the layers are taken, protection among them.
        digital_accuracy: 0 to 1.
        steps: of the ladder; the last one is the whole case.
        layers: in the order of the network; empty where the engine does not tell.
        culprit: the step that is to blame, or None where nothing is lost at all.
        most_valuable: name of the layer whose protection would win back most.
        note: what is left out, and why.
    """

    schema_version: Literal[1] = 1
    case: Line
    fingerprint: Sha256
    engine: Line
    images: Count
    seeds: tuple[Seed, ...]
    layer_images: Annotated[int, Field(ge=0)] = 0
    layer_seeds: tuple[Seed, ...] = ()
    digital_accuracy: Proportion
    steps: tuple[Step, ...]
    layers: tuple[LayerBlame, ...] = ()
    culprit: Culprit | None
    most_valuable: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        steps, layers = [step.name for step in self.steps], [layer.name for layer in self.layers]
        if not steps:
            raise InputError("steps: there is one at least, the mapping")
        if self.culprit is not None and self.culprit.step not in steps:
            raise InputError(f"culprit.step: {quoted(self.culprit.step)} is none of the steps {', '.join(steps)}")
        if layers and self.most_valuable is not None and self.most_valuable not in layers:
            raise InputError(f"most_valuable: {quoted(self.most_valuable)} is none of the layers {', '.join(layers)}")
        if not self.seeds or not set(self.layer_seeds) <= set(self.seeds) or self.layer_images > self.images:
            raise InputError("layer_seeds, layer_images: more than the seeds and images that were measured, or no seeds")
        if any(step.loss.seeds != len(self.seeds) for step in self.steps):
            raise InputError("steps: a loss is over another number of seeds than there are")
        return self


def measured_on(images: int, seeds: Sequence[int]) -> str:
    """In words, how many images and seeds there were."""
    return f"{counted(images, 'image')} x {counted(len(seeds), 'seed')}"


def ladder(case: Case) -> tuple[Rung, ...]:
    """The case taken apart: the mapping alone, then tiles, input limit, DAC, ADC and each effect, one more in each step.

    What the case does not have is no step. All else of the conversion (device, tuning, layers kept digital) is in every step.
    """
    whole = case.conversion
    present = [(name, field) for name, field in PARTS if getattr(whole, field) is not None]
    conversion = whole.replace(
        **{field: None for _, field in present}, scaling=InputScaling()
    )  # that belongs to the input limit
    rungs = [Rung(name="mapped", what=_mapping(whole), case=case.replace(conversion=conversion, nonidealities=()))]
    for name, field in present:
        scaling = whole.scaling if field == "max_input_voltage" else conversion.scaling
        conversion = conversion.replace(**{field: getattr(whole, field)}, scaling=scaling)
        rungs.append(Rung(name=name, what=_part(whole, field), case=case.replace(conversion=conversion, nonidealities=())))
    seen: Counter[str] = Counter()
    for count, effect in enumerate(case.nonidealities, start=1):
        seen[effect.kind] += 1
        name = effect.kind if seen[effect.kind] == 1 else f"{effect.kind} {seen[effect.kind]}"
        so_far = case.nonidealities[:count]
        rungs.append(Rung(name=name, what=in_words(effect, effect.kind), case=case.replace(nonidealities=so_far)))
    return tuple(rungs)


def culprit(steps: Sequence[Step]) -> Culprit | None:
    """The first step at which half of what the last one has lost is lost.

    Where the last step's loss cannot be told from none, the logits' error is looked at instead; where that is 0 too, no step
    is to blame.
    """
    if steps[-1].certain:
        losses = [step.loss.estimate for step in steps]
        index = next(i for i, loss in enumerate(losses) if loss >= losses[-1] / 2)
        return Culprit(step=steps[index].name, by="loss", before=([0.0, *losses])[index], after=losses[index])
    errors = [math.inf if math.isnan(step.logit_error) else step.logit_error for step in steps]
    if not errors[-1]:
        return None
    index = next(i for i, error in enumerate(errors) if error >= errors[-1] / 2)
    return Culprit(step=steps[index].name, by="logit error", before=([0.0, *errors])[index], after=errors[index])


def most_valuable(layers: Sequence[LayerBlame], found: Culprit | None) -> str | None:
    """The layer whose protection wins back most, by the measure that found the culprit: points, or the logits' error."""
    if not layers or found is None:
        return None
    if found.by == "loss":
        return max(layers, key=lambda layer: (layer.protected_gain.estimate, -layer.protected_logit_error)).name
    return min(layers, key=lambda layer: layer.protected_logit_error).name


def _mapping(conversion: Conversion) -> str:
    device, tuned = conversion.device, "not tuned" if conversion.tuning is None else "tuned"
    saturates = "" if conversion.retained is None else f", {100 * conversion.retained:g} % of the weights in range"
    return f"{device.kind}, {_ohms(device.r_on)} to {_ohms(device.r_off)}, {conversion.scheme}{saturates}, {tuned}"


def _part(conversion: Conversion, field: str) -> str:
    """A part of a conversion in words."""
    value = getattr(conversion, field)
    if field == "tile_shape":
        return f"{value[0]}x{value[1]} tiles"
    if field == "max_input_voltage":
        scaling = in_words(conversion.scaling, "scale")
        return f"MIV {value:g} V" + (f", {scaling}" if scaling != "scale" else "")
    return in_words(value, f"{value.bits}-bit {field.upper()}", said=("bits",))


def in_words(item: Plain, name: str, said: Sequence[str] = ()) -> str:
    """The name with the fields that are not as they are by default, but for those that are `said` already."""
    fields = type(item).model_fields
    told = [
        f"{key}={_value(getattr(item, key))}" for key in fields if key not in said and getattr(item, key) != fields[key].default
    ]
    return f"{name}({', '.join(told)})" if told else name


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"({', '.join(map(_value, value))})" if isinstance(value, tuple) else str(value)


def _ohms(value: float) -> str:
    scale, unit = next((s for s in ((1e6, "Mohm"), (1e3, "kohm")) if value >= s[0]), (1.0, "ohm"))
    return f"{value / scale:g} {unit}"
