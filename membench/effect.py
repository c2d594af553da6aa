"""What a non-ideality is, as far as a case and an engine need to know.

An effect is plain data: its parameters, when it acts, and how its action is proven from the conductances before and after.
`membench/nonidealities/` holds one file for each.
"""

from __future__ import annotations

import dataclasses
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from membench.devices import CurrentLaw, Device
from membench.errors import EffectDidNothingError, InputError
from membench.plain import Line, Plain
from membench.registry import Registry
from membench.words import quoted

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
        device: the device model. The mapping used its r_on and r_off, and they are the means where devices vary.
        stuck: True for the devices that a fault holds where they are; None: none is.
    """

    layer: str
    index: int
    conductance: Array
    conductance_min: Array
    conductance_max: Array
    real: NDArray[np.bool_]
    device: Device
    stuck: NDArray[np.bool_] | None = None

    @property
    def free(self) -> NDArray[np.bool_]:
        """The devices that hold a weight and are not stuck."""
        return self.real if self.stuck is None else self.real & ~self.stuck

    def moved_to(self, conductance: Array) -> Crossbar:
        """This crossbar with other conductances, but for the devices that are stuck."""
        held = conductance if self.stuck is None else np.where(self.stuck, self.conductance, conductance)
        return dataclasses.replace(self, conductance=held)


@dataclass(frozen=True)
class Reading:
    """What was seen when one layer's crossbars were read, again and again, with the same voltages.

    Attributes:
        layer: dotted name of the layer.
        voltages: on the word lines, as far as the current laws of the devices let them act, in volts; shape (vectors, rows).
            Each vector has one magnitude and random signs.
        conductance: positive minus negative, in siemens, shape (rows, columns).
        currents: of the bit lines before any ADC, in amperes, shape (reads, vectors, columns).
        max_input_voltage: of the hardware, in volts, or None.
    """

    layer: str
    voltages: Array
    conductance: Array
    currents: Array
    max_input_voltage: float | None = None


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
    devices: Annotated[int, Field(ge=1, lt=2**63)]
    moved: Annotated[int, Field(ge=0, lt=2**63)]
    mean_change: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    details: dict[Line, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _moved_are_devices(self) -> Self:
        if self.moved > self.devices:
            raise InputError(f"proof of {self.effect}: moved: {self.moved} of {self.devices} devices")
        return self


class Effect(Plain):
    """Base of all non-idealities. A subclass sets `kind` and `stage` and says how its action is proven.

    Subclasses register themselves under their kind, so that a case can be read back from JSON.
    """

    kind: str
    stage: ClassVar[Stage]
    rank: ClassVar[int] = 0  # within the stage, in the canonical order

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if (default := cls.model_fields["kind"].default) and isinstance(default, str):
            EFFECTS.add(default, cls, str(getattr(sys.modules.get(cls.__module__), "__file__", cls.__module__)))

    def unfit(self, device: Device, max_input_voltage: float | None) -> str:
        """Why this effect could do nothing on such hardware, or the empty string: found out when a case is declared."""
        return ""

    def act(self, crossbar: Crossbar, rng: Random) -> Array:
        """The conductances after the effect acted, in siemens; `crossbar` is left as it is.

        Effects of fabrication act while an engine makes devices, those of read-out at each read (`ReadEffect`).

        Args:
            crossbar: one of the layer's.
            rng: where all randomness comes from; seeded for this effect and layer.
        """
        raise NotImplementedError

    def act_on(self, crossbars: Sequence[Crossbar], rng: Random) -> list[Crossbar]:
        """All crossbars of a layer after the effect acted, one after the other with the same generator.

        An engine calls this, unless its simulator has a function of its own that is right. Stuck devices stay where they are.
        """
        return [bar.moved_to(self.act(bar, rng)) for bar in crossbars]

    @property
    def acts(self) -> bool:
        """Whether this effect says itself how it moves conductances."""
        return type(self).act is not Effect.act or type(self).act_on is not Effect.act_on

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


class ReadEffect(Effect):
    """Base of the effects that act at each read and leave the conductances as they are. All of them act at once: every law on
    the voltages in the order of the effects, and the sum of the variances on the currents."""

    stage: ClassVar[Stage] = Stage.READ_OUT

    def current_law(self, device: Device, max_input_voltage: float | None) -> CurrentLaw | None:
        """How a device's current depends on its voltage; None: this effect leaves that as it is."""
        return None

    def variance(self, crossbar: Crossbar) -> Array | None:
        """Of each device's conductance from read to read, in S^2; None: this effect adds none."""
        return None

    def check(self, before: Sequence[Crossbar], after: Sequence[Crossbar]) -> Mapping[str, float]:
        raise NotImplementedError

    @abstractmethod
    def check_reading(self, crossbars: Sequence[Crossbar], before: Sequence[Reading], after: Sequence[Reading]) -> Proof:
        """Evidence that the effect acts, from the same reads before and after.

        Raises:
            EffectDidNothingError: when it is not there.
        """


EFFECTS: Registry[type[Effect]] = Registry("non-ideality", "membench.nonidealities")


def effect_from(value: Any) -> Effect:
    """An effect from its declared form: an `Effect`, or a mapping with a `kind` (as read from JSON)."""
    if isinstance(value, Effect):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise InputError(f"A non-ideality must be an Effect or a mapping with a 'kind', not {quoted(value)}.")
    return EFFECTS.get(value["kind"])(**value)


def _effects(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(effect_from(item) for item in value)
    return value


# A field of effects, in order; a mapping with a `kind` will do for one.
Effects = Annotated[tuple[SerializeAsAny[Effect], ...], BeforeValidator(_effects)]
