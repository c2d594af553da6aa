"""The base of every declared thing: frozen, strict about its fields, with errors that a reader can act on."""

from __future__ import annotations

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

# Strict numbers: True is no integer, "8" is no number, and neither NaN nor an infinity is a value of any field.
Flag = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]  # -0.0 is 0.0
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[Integer, Field(ge=1)]
Proportion = Annotated[Number, Field(ge=0, le=1)]


def explain(error: ValidationError, what: str, known: Mapping[str, Any]) -> str:
    """`error` in membench's words: one line a fault, with the field, the reason and what was given."""
    lines = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"]) or "(the whole)"
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close and len(fault["loc"]) == 1 else ""
            allowed = f" Fields: {', '.join(known)}." if len(fault["loc"]) == 1 else ""
            lines.append(f"{field}: there is no such field.{' ' + hint if hint else ''}{allowed}")
        else:
            given = repr(fault["input"])
            given = given if len(given) <= 80 else given[:77] + "..."
            lines.append(f"{field}: {fault['msg'].removeprefix('Value error, ')} (given: {given})")
    return f"{what} is not valid:\n  " + "\n  ".join(lines)


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
        return f"{cls.__name__} {data['name']!r}" if "name" in data else cls.__name__

    @classmethod
    def from_json(cls, text: str | bytes, what: str) -> Self:
        """Read an instance from JSON; `what` names the file in errors."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(explain(error, what, cls.model_fields)) from None
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
