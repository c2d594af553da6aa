"""Crossbars to let effects act on, and engines that do what they are told, or something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from membench import VTEAM
from membench.effect import Crossbar, Effect, Proof, ReadEffect, Reading
from membench.errors import EffectDidNothingError, InputError

R_ON, R_OFF = 100.0, 1000.0
LOW, HIGH = 1 / R_OFF, 1 / R_ON
DEVICE = VTEAM(r_on=R_ON, r_off=R_OFF)
Array = NDArray[np.float64]
# Of endurance and retention; failure begins at about 144 for LRS and 122 for HRS.
WEAR: dict[str, Any] = {
    "mode": "gradual",
    "p_lrs": (2.0, 0.3, 1.5, 0.05),
    "p_hrs": (3.0, 0.2, 2.0, -0.04),
    "stable_resistance_lrs": 300.0,
    "stable_resistance_hrs": 700.0,
    "cell_size": 10.0,
    "temperature": 350.0,
    "temperature_threshold": 298.0,
}


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def crossbar(conductance: Array, *, padding: bool = False, layer: str = "conv", index: int = 0) -> Crossbar:
    """A crossbar of a device of 100 to 1000 ohm; `padding`: the last row only pads."""
    real = np.ones(conductance.shape, dtype=bool)
    if padding:
        real[-1] = False
    return Crossbar(layer, index, conductance, np.full(conductance.shape, LOW), np.full(conductance.shape, HIGH), real, DEVICE)


def programmed(shape: tuple[int, ...] = (40, 25), *, seed: int = 1, **options: Any) -> Crossbar:
    """Resistances spread between the ends, with none at an end."""
    return crossbar(1 / rng(seed).uniform(1.1 * R_ON, 0.9 * R_OFF, shape), **options)


def at(conductance: float, shape: tuple[int, ...] = (40, 25)) -> Crossbar:
    """All devices at one conductance."""
    return crossbar(np.full(shape, conductance))


def varied(bar: Crossbar, spread: float = 0.1) -> Crossbar:
    """The same with devices that have each its own range."""
    factor = rng(2).uniform(1 - spread, 1 + spread, bar.conductance.shape)
    return dataclasses.replace(bar, conductance_max=factor * HIGH, conductance_min=factor * LOW)


def holding(bar: Crossbar, *where: tuple[int, ...]) -> Crossbar:
    """The same with these devices stuck."""
    stuck = np.zeros(bar.conductance.shape, dtype=bool)
    for place in where:
        stuck[place] = True
    return dataclasses.replace(bar, stuck=stuck)


def single(conductance: Array) -> Array:
    """As an engine holds it."""
    return conductance.astype(np.float32).astype(np.float64)


def rounded(bar: Crossbar) -> Crossbar:
    return dataclasses.replace(bar, conductance=single(bar.conductance))


def after(bar: Crossbar, conductance: Array) -> Crossbar:
    return dataclasses.replace(bar, conductance=conductance)


def acted(effect: Effect, bar: Crossbar, seed: int = 5) -> Crossbar:
    """As an engine lets it act."""
    return effect.act_on([bar], rng(seed))[0]


def prove(effect: Effect, bar: Crossbar, conductance: Array) -> Proof:
    return effect.prove([bar], [after(bar, conductance)])


def found_out(effect: Effect, before: Crossbar | Sequence[Crossbar], now: Crossbar | Sequence[Crossbar], said: str) -> None:
    """An engine that made `now` of `before` has not done what was asked for."""
    old, new = ([one] if isinstance(one, Crossbar) else one for one in (before, now))
    with pytest.raises(EffectDidNothingError, match=said):
        effect.prove(old, new)


def refused(kind: type[Effect], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        kind(**fields)


# ---- reads --------------------------------------------------------------------------------------------------------------


def voltages(rows: int, vectors: int = 16, top: float = 0.5) -> Array:
    """As an engine probes: each vector has one magnitude and random signs."""
    signs = rng(7).integers(0, 2, (vectors, rows)) * 2.0 - 1
    return signs * np.linspace(top / vectors, top, vectors)[:, None]


def reading(
    bars: Sequence[Crossbar],
    acting: Array,
    *,
    law: Any = None,
    variance: Array | None = None,
    reads: int = 64,
    seed: int = 0,
    limit: float | None = 0.5,
) -> Reading:
    """A layer on a positive and a negative crossbar, read as often as said.

    Args:
        acting: voltages on the word lines.
        law: between them and the devices.
        variance: of the difference of the conductances, in S^2, from read to read.
        reads: how often.
        seed: of their noise.
        limit: largest input voltage, in volts.
    """
    conductance = bars[0].conductance - bars[1].conductance
    through = acting if law is None else law(acting)
    currents = np.repeat((through @ conductance)[None], reads, axis=0)
    if variance is not None:
        currents += rng(seed).standard_normal(currents.shape) * np.sqrt(np.square(through) @ variance)
    return Reading(bars[0].layer, through, conductance, currents, limit)


def unread(effect: ReadEffect, bars: Sequence[Crossbar], before: Reading, now: Reading, said: str) -> None:
    """An engine whose reads were `before` and are `now` has not done what was asked for."""
    with pytest.raises(EffectDidNothingError, match=said):
        effect.check_reading(bars, [before], [now])
