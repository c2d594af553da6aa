"""A grid over fields of one declared case: `--over field=v1,v2` as a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from membench.case import Case, Conversion
from membench.errors import InputError
from membench.study import Knob, Study, Sweep, Value

_NAMES = frozenset({"name", "description", "thresholds"})  # move no result


def grid(case: Case, over: Sequence[str]) -> Study:
    """The study that measures a case with every combination of values of some of its fields.

    Args:
        case: where all other fields come from.
        over: `field=v1,v2,...` each. A field is one of the case's (`images`), of its conversion (`max_input_voltage`, `adc.bits`), or of an
            effect that it has (`device_faults.lrs_proportion`). A value is JSON, or `none`, a word, or a shape such as `64x64`; lists
            are written in brackets.

    Raises:
        InputError: when a field is not there, is given twice or without values; a value that cannot be is found by `Study.points`.
    """
    if not over:
        raise InputError("A sweep needs something to go over: --over field=v1,v2 (for example --over adc.bits=4,6,8).")
    fields: dict[str, tuple[str, ...]] = {}
    for given in over:
        field, equals, values = given.partition("=")
        words = _split(values)
        if not equals or not field or not all(words):
            raise InputError(f"--over {given!r} is not of the form field=v1,v2 (for example adc.bits=4,6,8).")
        if field in fields:
            raise InputError(f"--over names {field!r} twice. Give all of its values at once.")
        if len(set(words)) != len(words):
            raise InputError(f"--over {given!r}: a value stands there twice.")
        _place(case, field)
        fields[field] = words

    def turn(base: Case, **settings: Value) -> Case:
        plain = base.model_dump(mode="json")
        for field, word in settings.items():
            _set(plain, _place(base, field), _value(str(word)))
        return Case.from_json(json.dumps(plain), f"{base.name} with {', '.join(f'{k}={v}' for k, v in settings.items())}")

    knobs = tuple(Knob(name=field, label=field, values=tuple(map(_number, words))) for field, words in fields.items())
    title = f"{case.name} over {', '.join(fields)}"
    return Study(
        name=f"{case.name}-sweep",
        title=title,
        description=f"The case `{case.name}` with every combination of: {'; '.join(over)}.",
        bases={case.name: case},
        sweeps=(Sweep("sweep", title, knobs, turn, kind="table"),),
    )


def _split(values: str) -> tuple[str, ...]:
    """At the commas that are not within brackets."""
    words, depth = [""], 0
    for letter in values:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            words.append("")
        else:
            words[-1] += letter
    return tuple(word.strip() for word in words)


def _value(word: str) -> Any:
    if word.lower() in ("none", "null"):
        return None
    high, times, wide = word.partition("x")
    if times and high.isdigit() and wide.isdigit():
        return [int(high), int(wide)]
    try:
        return json.loads(word)
    except ValueError:
        return word


def _number(word: str) -> Value:
    value = _value(word)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else word


def _place(case: Case, field: str) -> tuple[str | int, ...]:
    """Where a field is in the case's JSON."""
    first, *rest = field.split(".")
    effects = [effect.kind for effect in case.nonidealities]
    own = [name for name in Case.model_fields if name not in {*_NAMES, "conversion", "nonidealities"}]
    if first == "conversion" and rest:
        first, *rest = rest
    if first in own and not rest:
        return (first,)
    if first in Conversion.model_fields:
        return ("conversion", first, *rest)
    if first in effects and rest:
        if effects.count(first) > 1:
            raise InputError(f"Case {case.name!r} has more than one {first}: a sweep cannot tell which one {field!r} is of.")
        return ("nonidealities", effects.index(first), *rest)
    raise InputError(
        f"Case {case.name!r} has no field {field!r} to go over. Its own: {', '.join(own)}. Its conversion's: "
        f"{', '.join(Conversion.model_fields)} (fields of these with a dot: adc.bits). Its effects': "
        f"{', '.join(f'{kind}.FIELD' for kind in effects) or 'it has none'}."
    )


def _set(plain: Any, place: Sequence[str | int], value: Any) -> None:
    *way, last = place
    for step in way:
        if isinstance(plain, dict) and plain.get(str(step)) is None:
            plain[step] = {}  # an ADC where there was none
        plain = plain[step]
    plain[last] = value
