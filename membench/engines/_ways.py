"""How an engine expresses a profile, field by field: declared once, shown in docs/engines.md, and refused by name where it cannot.

Fields are named by their path: `conversion.adc.bits`, `nonidealities.read_noise.sigma`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, get_args

from membench.case import Conversion
from membench.devices import Device
from membench.effect import EFFECTS, Effect, ReadEffect, Stage
from membench.plain import Plain


class By(StrEnum):
    """Who does what a field says."""

    SIMULATOR = "simulator"  # the simulator's own code
    MEMBENCH = "membench"  # membench, on what goes into the simulator or comes out of it, exactly as the field says
    NOBODY = "nobody"  # refused


@dataclass(frozen=True)
class Way:
    """How an engine expresses one field.

    Attributes:
        by: who does it.
        how: what the field becomes, with its unit and the differences that remain; for `nobody`, why it is refused.
        refuse: of a value, why it cannot be expressed; None: it can.
    """

    by: By
    how: str
    refuse: Callable[[Any], str | None] = lambda value: None


Ways = Mapping[str, Way]


def only(wanted: Any, reason: str) -> Callable[[Any], str | None]:
    """For `Way.refuse`: every other value is refused, for this reason."""
    return lambda value: None if value == wanted else reason


def never(unwanted: Any, reason: str) -> Callable[[Any], str | None]:
    """For `Way.refuse`: this value is refused, for this reason."""
    return lambda value: reason if value == unwanted else None


def way_of(ways: Ways, path: str) -> tuple[str, Way] | None:
    """The declaration that speaks for a field: its own, or that of what it is part of; with the path it stands under."""
    while path:
        if path in ways:
            return path, ways[path]
        path = path.rpartition(".")[0]
    return None


def faults(engine: str, ways: Ways, conversion: Conversion, effects: Sequence[Effect]) -> list[str]:
    """What of a profile an engine cannot express: a line for each field, with its value and the reason."""
    found = []
    for path, value, default in _given(conversion):
        declared = way_of(ways, path)
        if value is None and default is None:  # no tiles, no converter, no limit
            continue
        if declared is None:
            reason: str | None = "the engine does not say how"
        elif declared[1].by is By.NOBODY:
            reason = declared[1].how if value != default else None
        else:
            reason = declared[1].refuse(value)
        if reason:
            found.append(f"The engine {engine} cannot express {path}={value!r}: {reason}.")
    for effect in effects:
        path = f"nonidealities.{effect.kind}"
        declared = way_of(ways, path)
        if declared is None or declared[1].by is By.NOBODY:
            found.append(
                f"The engine {engine} cannot express {path}: {declared[1].how if declared else 'it has no such effect'}."
            )
            continue
        if declared[0] == "nonidealities" and (effect.stage is Stage.FABRICATION or not effect.acts):
            found.append(f"The engine {engine} cannot express {path}: the effect does not say how it moves conductances.")
            continue
        for name in type(effect).model_fields:
            own, value = ways.get(f"{path}.{name}"), getattr(effect, name)
            if own is not None and (reason := own.refuse(value)):
                found.append(f"The engine {engine} cannot express {path}.{name}={value!r}: {reason}.")
        if reason := declared[1].refuse(effect):
            found.append(f"The engine {engine} cannot express {path}: {reason}.")
    reads = [isinstance(effect, ReadEffect) for effect in effects]
    if reads != sorted(reads):
        found.append(
            f"The engine {engine} cannot express nonidealities in this order: one acts on conductances after a read effect."
        )
    return found


def _given(conversion: Conversion) -> Iterator[tuple[str, Any, Any]]:
    """(path, value, default) of each field that a conversion holds; those of an absent converter are not there."""

    def walk(prefix: str, part: Plain) -> Iterator[tuple[str, Any, Any]]:
        for name, field in type(part).model_fields.items():
            value = getattr(part, name)
            if isinstance(value, Plain):
                yield from walk(f"{prefix}.{name}", value)
            else:
                yield f"{prefix}.{name}", value, field.default

    return walk("conversion", conversion)


def profile_fields() -> list[str]:
    """The path of every field that a profile may hold, of membench's own effects; in their order."""

    def walk(prefix: str, kind: type[Plain]) -> Iterator[str]:
        for name, field in kind.model_fields.items():
            nested = next(_nested(field.annotation), None)
            if nested is None:
                yield f"{prefix}.{name}"
            else:
                yield from walk(f"{prefix}.{name}", nested)

    paths = list(walk("conversion", Conversion))
    for name in EFFECTS.names():
        effect = EFFECTS.get(name)
        if effect.__module__.startswith("membench."):
            own = [path for path in walk(f"nonidealities.{name}", effect) if not path.endswith(f"{name}.kind")]
            paths += own or [f"nonidealities.{name}"]
    return paths


def _nested(annotation: Any) -> Iterator[type[Plain]]:
    """The plain classes in an annotation; of the device models, their base speaks for all."""
    if isinstance(annotation, type):
        if issubclass(annotation, Plain):
            yield Device if issubclass(annotation, Device) else annotation
        return
    for part in get_args(annotation):
        yield from _nested(part)
