"""The base of every declared thing: frozen, strict about its fields, with errors that a reader can act on."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

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


def explain(error: ValidationError, what: str, known: Mapping[str, Any]) -> str:
    """`error` in membench's words: one line a fault, with the field, the reason and what was given."""
    faults = error.errors(include_url=False)
    lines = [_explained(fault, known) for fault in faults[:FAULTS]]
    if len(faults) > FAULTS:
        lines.append(f"and {len(faults) - FAULTS} more")
    return f"{what} is not valid:\n  " + "\n  ".join(lines)


def _explained(fault: Any, known: Mapping[str, Any]) -> str:
    where = fault["loc"]
    field = ".".join(printable(str(part))[:QUOTE] for part in where) or "(the whole)"
    if fault["type"] != "extra_forbidden":
        return f"{field}: {printable(fault['msg'].removeprefix('Value error, '))[:LINE]} (given: {quoted(fault['input'])})"
    if len(where) > 1:
        return f"{field}: there is no such field."
    close = difflib.get_close_matches(str(where[0])[:QUOTE], known, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return f"{field}: there is no such field.{hint} Fields: {', '.join(known)}."


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
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise InputError(explain(error, self._title(data), type(self).model_fields)) from None

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
