"""From a digital network to a memristive one: convert, tune, let the effects act, prove that they did.

`run_case` measures what this gives; `convert` hands it to a user's own script.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn

from membench.arrays import MemristiveLayer
from membench.case import DEFAULT_ENGINE, Conversion
from membench.effect import Effect, Effects, Proof, ReadEffect, Stage
from membench.engines import ENGINES, Call, Converted, Engine, FirstCall, Plan, check_converted, evaluated, observed
from membench.errors import InputError
from membench.profiles import Profile, profile
from membench.record import LayerInfo
from membench.runtime import derive_seed

Progress = Callable[[str, int, int], None]


class Clock:
    """Adds up wall-clock seconds under a name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


def fabricate(
    engine: Engine,
    model: nn.Module,
    plan: Plan,
    conversion: Conversion,
    effects: Effects,
    seed: int,
    progress: Progress,
    clock: Clock,
    calibration: Any = None,
) -> tuple[Converted, list[Proof]]:
    """A converted copy of `model` with its non-idealities, and the proof of each.

    Args:
        engine: that executes it.
        model: the digital network; it stays as it is.
        plan: which layers are converted.
        conversion: how.
        effects: in the order in which they act.
        seed: all randomness is derived from it, axis by axis.
        progress: called with (what is being done, done, in all).
        clock: is told how long "convert", "tune" and "effects" took.
        calibration: a batch, as the network takes it, that fixes the range of ADCs, where the conversion has one that is calibrated.

    Raises:
        MeasurementError: when an effect did not act, the converted network does not execute what was converted, or an ADC's range
            would be calibrated to 0 A.
    """
    fabrication = tuple(effect for effect in effects if effect.stage is Stage.FABRICATION)
    with clock("convert"):
        converted = engine.convert(model, conversion, plan, fabrication, derive_seed(seed, "devices"), progress)
        if plan.calls:
            _check(converted, plan)
    tuning, adc = conversion.tuning, conversion.adc
    moments = {"conversion", tuning.after if tuning is not None else "conversion"}

    def tune_if(moment: str) -> None:
        if adc is not None and adc.range == "calibrated" and moment in moments:
            with clock("tune"):
                converted.calibrate(_inputs(model, plan, calibration), adc)
        if tuning is not None and tuning.after == moment:
            progress("tune", 0, 1)
            with clock("tune"):
                converted.tune(tuning, derive_seed(seed, "tuning"))

    tune_if("conversion")
    with clock("effects"):
        proofs = [effect.prove(converted.targets(), converted.crossbars()) for effect in fabrication]
        for axis, effect in _axes(effects):
            before = converted.crossbars()
            if isinstance(effect, ReadEffect):
                read = converted.readings()
                converted.apply(effect, derive_seed(seed, *axis))
                proofs.append(effect.check_reading(before, read, converted.readings()))
            else:
                converted.apply(effect, derive_seed(seed, *axis))
                proofs.append(effect.prove(before, converted.crossbars()))
    tune_if("effects")
    return converted, proofs


def _check(converted: Converted, plan: Plan) -> None:
    """See that the sample is computed by the converted layers. It leaves no trace in the noise of later reads."""
    reads = {layer: layer.reads for layer in converted.network.modules() if isinstance(layer, MemristiveLayer)}
    check_converted(converted.network, plan)
    for layer, before in reads.items():
        layer.reads = before


def _inputs(model: nn.Module, plan: Plan, batch: Any) -> dict[str, list[Tensor]]:
    """What each planned layer gets in the digital network, call by call."""
    if batch is None:
        raise InputError(
            "The ADC's range is calibrated, so a batch of images is needed that it is calibrated on: give a `sample`."
        )
    modules = {layer.name: layer.module for layer in plan.layers}
    with observed(modules) as seen, torch.inference_mode(), evaluated(model):
        Call.of(batch)(model)
    return {name: [x for x, _ in calls] for name, calls in seen.items()}


def _axes(effects: Effects) -> Iterator[tuple[tuple[str, str, int], Effect]]:
    """The effects that act after fabrication, each with an axis of randomness that the other effects do not move."""
    seen: Counter[str] = Counter()
    for effect in effects:
        if effect.stage is not Stage.FABRICATION:
            yield ("effect", effect.kind, seen[effect.kind]), effect
            seen[effect.kind] += 1


def convert(
    model: nn.Module,
    profile: str | Profile | Conversion,
    *,
    seed: int = 0,
    sample: Any = None,
    engine: str = DEFAULT_ENGINE,
    verbose: bool = True,
) -> nn.Module:
    """A memristive copy of a network, for a script of your own: the very network that a case of this seed measures.

        memristive = membench.convert(model, "ideal", seed=0)

    The copy is an ordinary torch module for inference, on the device of `model`. `state_dict` and `load_state_dict` keep and
    restore it, `copy.deepcopy` and torch's DataLoader workers take it. A fully connected layer scales its inputs by the
    largest of the whole batch, as MemTorch does, so an image's output may depend on the other images in its batch.

    Args:
        model: of Linear, Conv1d, Conv2d and Conv3d layers with float32 weights, and any layers without weights; it stays as it is.
        profile: a profile, its name, or a conversion without non-idealities.
        seed: of devices, tuning and effects.
        sample: a batch as the network takes it (a tensor, a tuple of arguments, or a dict of named ones), to see beforehand that
            every product runs in a layer that is converted, and to calibrate the range of an ADC that asks for it. Without one,
            the first batch that goes through the copy is looked at.
        engine: that executes the layers.
        verbose: whether to print which layers were converted, and to how many tiles.

    Raises:
        UnsupportedError: names every layer or effect that cannot be converted, and why.
        NotConvertedError: when the copy computes a product outside of its converted layers; without a sample, at its first batch.
        EffectDidNothingError: when a non-ideality changed nothing.
        MeasurementError: when the sample causes no current that an ADC could be calibrated on.
    """
    chosen, model = _profile(profile), getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    executor = ENGINES.get(engine)
    executor.require()
    plan = executor.plan(model, chosen.conversion, chosen.nonidealities, sample)
    converted, proofs = fabricate(
        executor, model, plan, chosen.conversion, chosen.nonidealities, seed, lambda what, done, total: None, Clock(), sample
    )
    if sample is None and plan.layers:
        FirstCall.watch(converted.network, plan)
    if verbose:
        print(_told(converted.layers, plan.digital, proofs))
    return converted.network


def _profile(given: str | Profile | Conversion) -> Profile:
    if isinstance(given, Profile):
        return given
    if isinstance(given, Conversion):
        return Profile(name="given", source="the caller's own", conversion=given)
    if isinstance(given, str):
        return profile(given)
    raise InputError(f"A profile is needed: its name, a Profile or a Conversion; given: {given!r}.")


def _told(layers: tuple[LayerInfo, ...], digital: tuple[str, ...], proofs: list[Proof]) -> str:
    rows = [
        (layer.name, layer.kind, f"{layer.rows} x {layer.columns}", layer.crossbars, layer.tiles or "none", layer.devices)
        for layer in layers
    ]
    table = tabulate(rows, headers=("layer", "kind", "word x bit lines", "crossbars", "tiles each", "devices"))
    stay = f"\nstay digital: {', '.join(digital)}" if digital else ""
    acted = "".join(f"\n{proof.effect}: moved {proof.moved} of {proof.devices} devices that hold a weight" for proof in proofs)
    return f"{table}{stay}{acted}"
