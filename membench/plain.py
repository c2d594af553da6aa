"""The base of every declared thing: frozen, strict about its fields, with errors that a reader can act on."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    ValidationError,
    model_serializer,
)

from membench.errors import InputError
from membench.strict_json import parse
from membench.words import LINE, QUOTE, capped, control_in, printable, quoted

FAULTS = 8  # that one message names
_ALTERNATIVE = re.compile(r"(?:literal|function-[a-z]+|constrained-[a-z]+)\[.*|str|int|float|bool|none", re.DOTALL)
_ONE = (BaseModel, Mapping, type, str, bytes, int, float, type(None))  # what is one value, though some can be iterated over

# Strict numbers: True is no integer, "8" is no number, and neither NaN nor an infinity is a value of any field.
Flag = Annotated[bool, Strict()]
Integer = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]  # -0.0 is 0.0
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[Integer, Field(ge=1)]
Proportion = Annotated[Number, Field(ge=0, le=1)]


def _one_line(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("must be one line of text without spaces around it")
    return text


def _moment(text: str) -> str:
    try:
        offset = datetime.datetime.fromisoformat(text).utcoffset()
    except ValueError:
        offset = None
    if offset is None:
        raise ValueError("must be a date and time with its offset from UTC, as 2026-01-31T12:00:00+00:00")
    return text


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _without_controls(text: str) -> str:
    if found := control_in(text):
        raise ValueError(f"must be text that a terminal can show; it holds the control character {found}")
    return text


def _reason(text: str) -> str:
    if len(text.split()) < 2 or len(text.strip()) < 10:
        raise ValueError("must be a sentence of at least ten letters")
    if len(text.splitlines()) > 1 or "\t" in text:
        raise ValueError("must be on one line, without tabs")
    return _without_controls(text)


Text = Annotated[str, AfterValidator(_without_controls)]  # of any number of lines
Reason = Annotated[str, Field(max_length=2_000), AfterValidator(_reason)]
Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Moment = Annotated[str, AfterValidator(_moment)]  # ISO 8601
Power = Annotated[float, AfterValidator(_not_negative)]  # NaN or infinite where logits were
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def explain(
    error: ValidationError, what: str, known: Mapping[str, Any], single: Mapping[str, str] = MappingProxyType({})
) -> str:
    """`error` in membench's words: one line a fault, with the field, the reason and what was given.

    Args:
        known: the fields that there are.
        single: fields whose fault is known already, with it.
    """
    faults: dict[tuple[str, ...], list[Any]] = {}
    for fault in error.errors(include_url=False):
        faults.setdefault(_place(fault["loc"]), []).append(fault)
    lines = [f"{name}: {fault}" for name, fault in single.items()]
    lines += [_explained(place, some, known) for place, some in faults.items() if not place or place[0] not in single]
    return _told(what, lines)


def _told(what: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - FAULTS} more"] if len(lines) > FAULTS else []
    return f"{what} is not valid:\n  " + "\n  ".join([*lines[:FAULTS], *more])


def _place(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Where a fault is, without the names that pydantic gives to the alternatives of a union."""
    parts = [str(part) for part in location]
    return tuple(part for number, part in enumerate(parts) if not (number and _ALTERNATIVE.fullmatch(part)))


def _explained(place: tuple[str, ...], faults: Sequence[Any], known: Mapping[str, Any]) -> str:
    """One line on what is wrong at a place: each alternative of a union has a fault of its own."""
    field = ".".join(printable(part)[:QUOTE] for part in place) or "(the whole)"
    first = faults[0]
    if first["type"] != "extra_forbidden":
        said = " or: ".join(dict.fromkeys(printable(fault["msg"].removeprefix("Value error, ")) for fault in faults))
        return f"{field}: {said[:LINE]} (given: {quoted(first['input'])})"
    if len(place) > 1:
        return f"{field}: there is no such field."
    close = difflib.get_close_matches(place[0][:QUOTE], known, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return f"{field}: there is no such field.{hint} Fields: {', '.join(known)}."


def not_several(name: str, value: object, length: int = 0) -> str:
    """What is wrong with a value of a field that takes a tuple or list, with the text to write; empty where nothing is.

    Args:
        name: of the field.
        length: of the tuple; 0: any.

    Example: `not_several("seeds", 0)` is "takes several values: write seeds=(0,)".
    """
    if isinstance(value, set | frozenset):
        return f"takes values in order, and a set has none: write {name}=(...)"
    if length and isinstance(value, list | tuple):
        return "" if len(value) == length else f"takes {length} values (given: {quoted(value)})"
    if not isinstance(value, _ONE) and not dataclasses.is_dataclass(value):
        return ""
    takes = f"takes {length or 'several'} values"
    if value is None:
        return f"{takes}, not None" + ("" if length else f": write {name}=() for none")
    said = f"{value.__name__ if isinstance(value, type) else type(value).__name__}(...)"
    one = quoted(value) if isinstance(value, str | bytes | int | float) else said
    if not length:
        return f"{takes}: write {name}=({one},)"
    return f"{takes}: write {name}=({', '.join([one] * length)})" if isinstance(value, int) else f"{takes} (given: {one})"


def _tuple_length(annotation: Any) -> int | None:
    """Of the tuples that a field takes: 0 for any length, None where it takes none."""
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return 0 if arguments[-1] is Ellipsis else len(arguments)
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next((length for part in arguments if (length := _tuple_length(part)) is not None), None)
    return None


class Plain(BaseModel):
    """A frozen pydantic model without silently ignored fields.

    Attributes:
        later: fields that a class was given after its first release, each with the value at which all is as it was before (its
            default). Such a field is not written at that value, so that old files and fingerprints stay what they are.

    Raises:
        InputError: when a field is unknown, missing or out of its range. Its message names every faulty field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", validate_default=True)
    later: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **data: Any) -> None:
        single = {name: fault for name, value in data.items() if (fault := self._not_several(name, value))}
        try:
            super().__init__(**{name: value for name, value in data.items() if name not in single})
        except ValidationError as error:
            raise InputError(explain(error, self._title(data), type(self).model_fields, single)) from None
        except InputError:
            if not single:
                raise
        if single:
            raise InputError(_told(self._title(data), [f"{name}: {fault}" for name, fault in single.items()]))

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        for name, neutral in self.later.items():
            if getattr(self, name) == neutral:
                fields.pop(name, None)
        return fields

    def replace(self, **changes: Any) -> Self:
        """A copy with other fields, validated anew."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})

    @classmethod
    def _not_several(cls, name: str, value: Any) -> str:
        """What is wrong with one value, or values without an order, given to a field of several; empty where nothing is."""
        field = cls.model_fields.get(name)
        length = None if field is None else _tuple_length(field.annotation)
        if length is None or (value is None and type(None) in get_args(field.annotation if field else None)):
            return ""
        return not_several(name, value, length)

    @classmethod
    def _title(cls, data: Mapping[str, Any]) -> str:
        return f"{cls.__name__} {quoted(data['name'])}" if "name" in data else cls.__name__

    @classmethod
    def from_json(cls, text: str | bytes, what: str) -> Self:
        """Read an instance from JSON; `what` names the file in errors. Fields that have a default may be left out."""
        parse(text, what)
        return cls.from_parsed(text, what)

    @classmethod
    def from_parsed(cls, text: str | bytes, what: str) -> Self:
        """The same of text that `strict_json.parse` has accepted already."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(capped(explain(error, what, cls.model_fields), what)) from None
        except InputError as error:
            raise InputError(capped(f"{what}: {error}", what)) from None
