"""JSON as membench reads it: one object of UTF-8 text, each name once in it, its numbers finite and of a size that a program can use.

Python's json and pydantic's parser each let some of the rest through: a name that stands twice, NaN, 1e999, integers without end.
"""

from __future__ import annotations

import json
import math
from typing import Any

from membench.errors import FileFormatError
from membench.words import capped, control_in, quoted

DEEPEST = 64  # membench's own files are nested a dozen deep
_REMEDY = "Restore it, or make it anew."
_SOUND = (int, float, bool, type(None))  # most of a record; what is wrong with a number is a _Bad by then


class _Bad:
    """Stands where a value would, until it is known where that is."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def parse(data: bytes | str, what: str, remedy: str = _REMEDY) -> dict[str, Any]:
    """The object that `data` holds.

    Args:
        what: the file, for messages.
        remedy: what to do about a damaged one.

    Raises:
        FileFormatError: names the file and, where it is one's, the field.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{what} is not a JSON object: byte {error.start} is not UTF-8 text. {remedy}") from None
    except RecursionError:
        raise FileFormatError(f"{what} is not a JSON object of membench: it is nested without end. {remedy}") from None
    except ValueError as error:
        raise FileFormatError(f"{what} is not a JSON object: {error}. {remedy}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is not a JSON object: it holds {quoted(value, 40)}. {remedy}")
    if found := _first_bad(value):
        raise FileFormatError(capped(f"{what}: {found}. {remedy}", f"{what}{remedy}"))
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = _Bad("it stands there twice")
            seen.add(name)
    return found


def _integer(text: str) -> int | _Bad:
    return int(text) if len(text) <= 20 else _Bad(f"an integer of {len(text)} digits is none that membench writes")


def _number(text: str) -> float | _Bad:
    value = float(text)
    return value if math.isfinite(value) else _Bad(f"{quoted(text, 30)} is beyond every floating-point number")


def _constant(text: str) -> _Bad:
    return _Bad(f"{text} is no number in JSON")


def _first_bad(value: dict[str, Any]) -> str:
    """The first value that cannot be, with the path to it; empty where there is none."""
    todo: list[tuple[str, int, Any]] = [("", 0, value)]
    while todo:
        path, depth, item = todo.pop()
        if isinstance(item, _Bad):
            return f"{path}: {item.reason}"
        if isinstance(item, str):
            if fault := _fault(item):
                return f"{path}: {fault}"
            continue
        inner = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        if inner and depth == DEEPEST:
            return f"{path[:200]}: it is nested more than {DEEPEST} deep"
        if isinstance(item, dict) and (fault := next(filter(None, map(_fault, item)), "")):
            return f"{path or '(the whole)'}: a field's name is no text: {fault}"
        todo += [(_below(path, name), depth + 1, part) for name, part in inner if type(part) not in _SOUND]
    return ""


def _fault(text: str) -> str:
    """Why a text is none that membench writes; empty where it is one. Stored text is printed: it must not drive a terminal."""
    if text.isprintable():  # as nearly always
        return ""
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "half a surrogate pair is no text"
    found = control_in(text)
    return f"it holds the control character {found}" if found else ""


def first_difference(given: Any, written: Any) -> str:
    """The first field of a file that is not as it would be written; empty where there is none.

    Args:
        given: what the file holds.
        written: what was read from it, as it would be written.
    """
    if json.dumps(given, sort_keys=True) == json.dumps(written, sort_keys=True):
        return ""  # as nearly always, and much faster than by field
    return _by_field(given, written, "")


def _by_field(given: Any, written: Any, path: str) -> str:
    if isinstance(given, dict) and isinstance(written, dict):
        if lost := [name for name in written if name not in given]:
            return f"{_below(path, lost[0])}: Field required"
        if more := [name for name in given if name not in written]:
            return f"{_below(path, more[0])}: it is not written at this value (given: {quoted(given[more[0]])})"
        parts: Any = [(name, given[name], written[name]) for name in written]
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        parts = [(index, *pair) for index, pair in enumerate(zip(given, written, strict=True))]
    else:
        same = given == written and isinstance(given, bool) == isinstance(written, bool)
        return "" if same else f"{path}: {quoted(given)} is written as {quoted(written)}"
    found = (_by_field(one, other, _below(path, name)) for name, one, other in parts)
    return next(filter(None, found), "")


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
