"""Messages quote what they were given in a line, whatever it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membench.words import LINE, LINES, QUOTE, brief, capped, control_in, counted, part_of, printable, quoted


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HUGE: dict[str, Any] = {
    "deep": nested(100_000),
    "digits": 10**6000,
    "text": "x" * 10**6,
    "bytes": b"x" * 10**6,
    "list": [0] * 10**6,
    "dict": {i: i for i in range(1000)},
    "rude": Rude(),
    "control": "\x1b[2J\n\u2028",
}


@pytest.mark.parametrize("name", HUGE)
def test_a_quote_is_short_and_printable(name: str) -> None:
    text = quoted(HUGE[name])
    assert 0 < len(text) <= QUOTE
    assert text.isprintable()


@pytest.mark.parametrize("value", [1, 1.5, -0.0, True, None, "text", "it's", [1, 2], {"a": 1}, (1,), b"x"])
def test_a_short_value_is_quoted_as_python_does(value: object) -> None:
    assert quoted(value) == repr(value)


def test_a_message_keeps_its_file_and_a_few_short_lines() -> None:
    file = "/a" * 400
    lines = capped(f"{file}: {'x' * 1000}\n" + "\n".join(f"line {i}\x00" for i in range(40)), file).split("\n")
    assert lines[0].startswith(f"{file}: xxx")
    assert max(map(len, lines)) <= LINE + len(file)
    assert len(lines) <= LINES + 1
    assert lines[-1] == "  and more"
    assert lines[1] == "line 0\\x00"


def test_a_short_message_stays_as_it_is() -> None:
    assert capped("one\n  two: é") == "one\n  two: é"


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_an_error_of_others_is_one_line() -> None:
    assert brief(ValueError("a\n  b\x00")) == "a b\\x00"
    assert len(brief(ValueError("x" * 1000))) == 200


@pytest.mark.parametrize(
    ("number", "nouns", "said"),
    [
        (0, ("case",), "0 cases"),
        (1, ("case",), "1 case"),
        (2, ("case",), "2 cases"),
        (1, ("image is", "images are"), "1 image is"),
        (1000, ("image is", "images are"), "1000 images are"),
    ],
)
def test_a_number_with_its_noun(number: int, nouns: tuple[str, ...], said: str) -> None:
    assert counted(number, *nouns) == said


@pytest.mark.parametrize(
    ("done", "total", "said"), [(3, 10, "3/10"), (10, 10, "10/10"), (15, 10, "10/10"), (-1, 10, "0/10"), (0, 0, ""), (7, 0, "")]
)
def test_how_far_something_is_never_exceeds_the_whole(done: int, total: int, said: str) -> None:
    assert part_of(done, total) == said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", ""),
        ("two\nlines\tand a tab", ""),
        ("\u00e9 \u4e2d \u00a0 \u200d", ""),
        ("a\x1b[2J", "\\x1b"),
        ("\r", "\\r"),
        ("\x85", "\\x85"),
        ("\u2028", "\\u2028"),
        ("\u202e\u2066", "\\u202e"),
    ],
)
def test_control_characters_are_found(text: str, found: str) -> None:
    assert control_in(text) == found
