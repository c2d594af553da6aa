"""What a non-ideality is, as far as a case and an engine need to know.

An effect is plain data: its parameters, when it acts, and how its action is proven from the conductances before and after.
`membench/nonidealities/` holds one file for each.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, SerializeAsAny

from membench.errors import EffectDidNothingError, InputError
from membench.plain import Plain
from membench.registry import Registry

Array = NDArray[np.float64]
Random = np.random.Generator | np.random.RandomState

_ROUNDING = 1e-6


class Stage(StrEnum):
    """When in a device's life an effect acts. The canonical order of effects is the order of these."""

    FABRICATION = "fabrication"
    PROGRAMMING = "programming"
    AGEING = "ageing"
    READ_OUT = "read-out"


@dataclass(frozen=True)
class Crossbar:
    """The state of one crossbar, copied out of an engine: plain arrays, all of one shape.

    The shape is (tiles, tile rows, tile columns), or (rows, columns) where there are no tiles.

    Attributes:
        layer: dotted name of the layer in the network.
        index: position among the layer's crossbars; with two columns a weight, 0 holds the positive part and 1 the negative.
        conductance: of each device, in siemens.
        conductance_min: 1 / r_off of each device, in siemens.
        conductance_max: 1 / r_on of each device, in siemens.
        real: False for the devices that only pad a tile and hold no weight.
        resistances: r_on and r_off of the device model, in ohms: what the mapping used, and the means where devices vary.
    """

    layer: str
    index: int
    conductance: Array
    conductance_min: Array
    conductance_max: Array
    real: NDArray[np.bool_]
    resistances: tuple[float, float]


class Proof(Plain):
    """What was seen of an effect after it acted: evidence, kept in the record.

    Attributes:
        effect: the kind of the effect.
        devices: how many devices hold a weight (padding not counted).
        moved: how many of them changed their conductance by more than a millionth (single precision rounds below that).
        mean_change: mean of |G after - G before| / G before over those devices.
        details: what else the effect counted.
    """

    effect: str
    devices: int
    moved: int
    mean_change: float
    details: dict[str, float] = Field(default_factory=dict)


class Effect(Plain):
    """Base of all non-idealities. A subclass sets `kind` and `stage` and says how its action is proven.

    Subclasses register themselves under their kind, so that a case can be read back from JSON.
    """

    kind: str
    stage: ClassVar[Stage]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if (default := cls.model_fields["kind"].default) and isinstance(default, str):
            EFFECTS.add(default, cls, str(getattr(sys.modules.get(cls.__module__), "__file__", cls.__module__)))

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        """The conductances after the effect acted, in siemens; `crossbar` is left as it is.

        An engine uses its simulator's own function where it has one, and this where it has none. Effects of fabrication act
        while an engine makes devices, and have none.

        Args:
            crossbar: one of the layer's; an engine asks for each in turn, with the same generator.
            rng: where all randomness comes from; seeded for this effect and layer.
        """
        raise NotImplementedError

    @property
    def acts(self) -> bool:
        """Whether this effect says itself how it acts."""
        return type(self).act is not Effect.act

    @abstractmethod
    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        """Look for what this effect must have done; return what was counted.

        Raises:
            EffectDidNothingError: when it is not there.
        """

    def prove(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Proof:
        """Evidence that the effect acted on the conductances.

        Args:
            before: the crossbars as they were, in the engine's order.
            after: the same crossbars afterwards.

        Raises:
            EffectDidNothingError: when no device moved, or `check` finds that the effect's own mark is missing.
        """
        devices = moved = 0
        change = 0.0
        for old, new in zip(before, after, strict=True):
            g_old, g_new = old.conductance[old.real], new.conductance[new.real]
            if not np.isfinite(new.conductance).all() or g_new.min() <= 0:
                raise EffectDidNothingError(
                    f"{self.kind}: conductances of {new.layer!r} are not all finite and above 0 S afterwards. No device has such a one."
                )
            devices += g_old.size
            moved += int(np.count_nonzero(np.abs(g_new - g_old) > _ROUNDING * g_old))
            change += float(np.sum(np.abs(g_new - g_old) / g_old))
        if not moved:
            raise EffectDidNothingError(
                f"The effect {self.kind!r} was asked for and changed none of {devices} devices: {self!r}. Either its strength is "
                "too small to act on this network, or the engine ignored it. Raise its strength, or take it out of the case."
            )
        details = self.check(before, after)
        return Proof(effect=self.kind, devices=devices, moved=moved, mean_change=change / devices, details=dict(details))


EFFECTS: Registry[type[Effect]] = Registry("non-ideality", "membench.nonidealities")

# Effects that exist in MemTorch by name and do nothing there. Asking for one must say so, not pass in silence.
REFUSED = {
    "finite_conductance_states": (
        "MemTorch 1.1.6 ignores it: asked for 4 states it leaves every conductance as it was, since a bare `except` in "
        "FiniteConductanceStates.py hides a type error (MemTorch issues 140 and 156)"
    ),
    "non_linear": (
        "MemTorch 1.1.6 ignores it: the look-up table is built and never used, inference stays g * v "
        "(NonLinear.py; with simulate=True it takes hours, MemTorch issue 167)"
    ),
}


def effect_from(value: Any) -> Effect:
    """An effect from its declared form: an `Effect`, or a mapping with a `kind` (as read from JSON)."""
    if isinstance(value, Effect):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise InputError(f"A non-ideality must be an Effect or a mapping with a 'kind', not {value!r}.")
    kind = value["kind"]
    if kind in REFUSED:
        raise InputError(
            f"The non-ideality {kind!r} is not offered yet. {REFUSED[kind]}. Offered: {', '.join(EFFECTS.names())}."
        )
    return EFFECTS.get(kind)(**value)


def _effects(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(effect_from(item) for item in value)
    return value


# A field of effects, in order; a mapping with a `kind` will do for one.
Effects = Annotated[tuple[SerializeAsAny[Effect], ...], BeforeValidator(_effects)]
