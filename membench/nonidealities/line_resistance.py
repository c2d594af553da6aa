"""Line resistance (IR drop): the lines of a passive array take part of the voltage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from membench.effect import Array, Crossbar, Effect, Random, Stage
from membench.errors import EffectDidNothingError, InputError
from membench.nonidealities._lines import effective_conductances
from membench.plain import Flag, NonNegative


class LineResistance(Effect):
    """Each crossbar is an array without transistors (1R) whose lines have resistance; its nodes obey Kirchhoff's law.

    The network is linear, so currents are voltages times effective conductances, found once by solving it. The topology is
    MemTorch's (Passive.py): a word line is driven through `source_resistance`, a bit line is read through another one, and where
    that is 0 a first segment of line takes its place. The devices that pad a tile are there, at HRS.

    MemTorch solves one network of the differences G+ - G-, with conductances below 0 S, which no circuit has; with
    `memtorch_compatible` it is done here too. Its networks for `source_resistance` 0 are connected to nothing, and those for
    `line_resistance` 0 are cut: that is not repeated (docs/deviations.md).

    Attributes:
        line_resistance: of a segment between two neighbouring devices, in ohms; 0 or more.
        source_resistance: of each driver and each reader, in ohms; 0 or more.
        memtorch_compatible: one network of the differences.
    """

    kind: Literal["line_resistance"] = "line_resistance"
    stage: ClassVar[Stage] = Stage.READ_OUT
    line_resistance: NonNegative
    source_resistance: NonNegative = 0.0
    memtorch_compatible: Flag = False

    @model_validator(mode="after")
    def _some_resistance(self) -> Self:
        if self.line_resistance == 0 and self.source_resistance == 0:
            raise InputError("LineResistance: both resistances are 0: no voltage would be lost. Leave the effect out.")
        return self

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        effective = effective_conductances(crossbar.conductance, self.line_resistance, self.source_resistance)
        return np.where(
            crossbar.real, effective, crossbar.conductance
        )  # bit lines that only pad a tile are there, but not read

    def act_on(self, crossbars: Sequence[Crossbar], rng: Random) -> list[Crossbar]:
        """What is read of a stuck device falls too, so that none is held here."""
        if self.memtorch_compatible and len(crossbars) == 2:
            positive, negative = crossbars
            difference = effective_conductances(
                positive.conductance - negative.conductance, self.line_resistance, self.source_resistance
            )
            low = positive.device.conductance_range[0]
            effective = [low + difference.clip(min=0), low - difference.clip(max=0)]  # only the difference is read
        else:
            effective = [self.act(bar, rng) for bar in crossbars]
        return [dataclasses.replace(bar, conductance=new) for bar, new in zip(crossbars, effective, strict=True)]

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """The first tile of each crossbar must be what solving it gives, to single precision; what is left of the current in all."""
        kept = []
        of_layer: dict[str, list[tuple[Crossbar, Crossbar]]] = {}
        for old, new in zip(before, after, strict=True):
            of_layer.setdefault(new.layer, []).append((old, new))
            kept.append(float(new.conductance.sum() / old.conductance.sum()))
        for layer, pairs in of_layer.items():
            expected = self.act_on([_first_tile(old) for old, _ in pairs], np.random.default_rng(0))
            for wanted, (_, new) in zip(expected, pairs, strict=True):
                if not np.allclose(_first_tile(new).conductance, wanted.conductance, rtol=1e-5, atol=0):
                    raise EffectDidNothingError(
                        f"line_resistance: a crossbar of {layer!r} does not read what its network gives."
                    )
        if not self.memtorch_compatible and not all(0 < share < 1 for share in kept):
            raise EffectDidNothingError(
                f"line_resistance: a crossbar reads {max(kept):.6g} of what it would without lines; less than 1 is needed."
            )
        return {"mean_kept": float(np.mean(kept)), "least_kept": min(kept)}


def _first_tile(crossbar: Crossbar) -> Crossbar:
    """The first tile by itself, or all of a crossbar that has none; the conductances only."""
    if crossbar.conductance.ndim == 2:
        return crossbar
    return dataclasses.replace(crossbar, conductance=crossbar.conductance[0], real=crossbar.real[0])
