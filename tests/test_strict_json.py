"""JSON is refused by file and field where a lenient parser would let something through."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membench.errors import FileFormatError
from membench.strict_json import first_difference, parse
from membench.words import control_in

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": {"b": 1, "b": 1}}', "a.b: it stands there twice"),
        ('{"a": [1, {"c": NaN}]}', "a.1.c: NaN is no number"),
        ('{"a": Infinity}', "a: Infinity is no number"),
        ('{"a": -Infinity}', "a: -Infinity is no number"),
        ('{"a": 1e999}', "a: '1e999' is beyond"),
        ('{"a": ' + "9" * 5000 + "}", "a: an integer of 5000 digits"),
        ('{"a": "\\ud800"}', "a: half a surrogate pair"),
        ('{"a": {"\\ud800": 1}}', "a: a field's name is no text"),
        ('{"a": ' + "[" * 70 + "1" + "]" * 70 + "}", "nested more than 64 deep"),
        ('{"a": ' + DEEP, "nested without end"),
        (DEEP, "nested without end"),
        ("[1, 2]", r"is not a JSON object: it holds \[1, 2\]"),
        ('"' + "x" * 10_000 + '"', "it holds 'xxx"),
        ("", "line 1 column 1"),
        ('{"a": 1} {', "Extra data"),
        ("\ufeff{}", "BOM"),
        (b"\xff\xfe{\x00}\x00", "byte 0 is not UTF-8 text"),
        ('{"a": "é"}'.encode("latin-1"), "byte 7 is not UTF-8 text"),
        ('{"a": "\x00"}', "control character"),
        ('{"a": {"b": ["fine", "\\u001b[2J"]}}', r"a\.b\.1: it holds the control character \\x1b"),
        ('{"a": "back\\b"}', r"a: it holds the control character \\x08"),
        ('{"a": "\u009b31m"}', r"a: it holds the control character \\x9b"),
        ('{"a": "\u202e"}', r"a: it holds the control character \\u202e"),
        ('{"a": {"\\r": 1}}', r"a: a field's name is no text: it holds the control character \\r"),
    ],
)
def test_what_is_no_json_of_membench_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(FileFormatError, match=rf"^file\.json.*{words}") as error:
        parse(text, "file.json")
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


def test_the_remedy_is_told() -> None:
    with pytest.raises(FileFormatError, match=r"Train again\.$"):
        parse("{", "f", "Train again.")


TEXTS = st.text().filter(lambda text: not control_in(text))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, PLAIN, max_size=4)


@given(OBJECTS)
def test_all_else_is_read_as_it_is(value: dict[str, object]) -> None:
    assert parse(json.dumps(value), "f") == value
    assert parse(json.dumps(value, ensure_ascii=False).encode(), "f") == value
    assert first_difference(value, value) == ""


@pytest.mark.parametrize(
    ("given_", "written", "words"),
    [
        ({}, {"a": 1}, "a: Field required"),
        ({"a": {"b": 1}}, {"a": {}}, r"a\.b: it is not written at this value \(given: 1\)"),
        ({"a": True}, {"a": 1}, "a: True is written as 1"),
        ({"a": "1"}, {"a": 1}, "a: '1' is written as 1"),
        ({"a": [1, 2]}, {"a": [1, 3]}, r"a\.1: 2 is written as 3"),
        ({"a": [1]}, {"a": [1, 2]}, r"a: \[1\] is written as \[1, 2\]"),
    ],
)
def test_the_first_difference_is_named(given_: object, written: object, words: str) -> None:
    assert re.fullmatch(words, first_difference(given_, written))


def test_an_integer_is_a_number() -> None:
    assert first_difference({"a": 1, "b": 2.0}, {"a": 1.0, "b": 2}) == ""
